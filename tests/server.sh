# shellcheck shell=bash
# server.sh -- throw-away servers, for the scripts that run in the sandbox: sourced, not run.
# They listen on a socket in their own folder only, so that no port can be taken. With SERVER_TCP=yes
# they listen on 127.0.0.1 too, each on a port that was free, and are spoken to there.

# The settings that let the plugin in. Servers before August 2026 have no output_plugin_libraries.
plugin_settings()
{
	echo 'wal_level = logical'
	if postgres --describe-config | grep '^output_plugin_libraries' >/dev/null; then
		echo "output_plugin_libraries = 'pgoutput, test_decoding, penstock, penstock_floor, wal2json, decoderbufs, pglogical_output'"
	fi
}

free_port()
{
	perl -MIO::Socket::INET -e 'print IO::Socket::INET->new(LocalAddr => "127.0.0.1", Listen => 1)->sockport'
}

# server_start NAME [SETTING...]: a server that allows the plugin, each SETTING a line of its conf.
server_start()
{
	local dir=$TMPDIR/$1 log=$TMPDIR/$1.log listen="listen_addresses = ''"
	if [ "${SERVER_TCP:-}" = yes ]; then
		free_port >"$TMPDIR/$1.port"
		listen="listen_addresses = '127.0.0.1'
port = $(cat "$TMPDIR/$1.port")"
	fi
	shift
	initdb -D "$dir" -A trust -N -U postgres -E UTF8 --no-locale >"$log" 2>&1 || { cat "$log"; return 1; }
	{
		echo "$listen"
		echo "unix_socket_directories = '$dir'"
		plugin_settings
		printf '%s\n' "$@"
	} >>"$dir/postgresql.conf"
	pg_ctl -D "$dir" -l "$log" -w -s start || { cat "$log"; return 1; }
}

# server_stop NAME
server_stop()
{
	pg_ctl -D "$TMPDIR/$1" -m fast -w -s stop
}

# server_uri NAME DATABASE
server_uri()
{
	if [ -e "$TMPDIR/$1.port" ]; then
		echo "postgresql://postgres@127.0.0.1:$(cat "$TMPDIR/$1.port")/$2"
	else
		echo "postgresql:///$2?host=$TMPDIR/$1&user=postgres"
	fi
}

# sql URI STATEMENT...: its result, unadorned
sql()
{
	local uri=$1
	shift
	psql -X -A -t -q -v ON_ERROR_STOP=1 -d "$uri" -c "$*"
}
