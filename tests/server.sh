# shellcheck shell=bash
# server.sh -- throw-away servers, for the scripts that run in the sandbox: sourced, not run.
# They listen on a socket in their own folder only, so that no port can be taken.

# The settings that let the plugin in. Servers before August 2026 have no output_plugin_libraries.
plugin_settings()
{
	echo 'wal_level = logical'
	if postgres --describe-config | grep '^output_plugin_libraries' >/dev/null; then
		echo "output_plugin_libraries = 'pgoutput, test_decoding, penstock, penstock_floor, wal2json, decoderbufs, pglogical_output'"
	fi
}

# server_start NAME [SETTING...]: a server that allows the plugin, each SETTING a line of its conf.
server_start()
{
	local dir=$TMPDIR/$1 log=$TMPDIR/$1.log
	shift
	initdb -D "$dir" -A trust -N -U postgres -E UTF8 --no-locale >"$log" 2>&1 || { cat "$log"; return 1; }
	{
		echo "listen_addresses = ''"
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
	echo "postgresql:///$2?host=$TMPDIR/$1&user=postgres"
}

# sql URI STATEMENT...: its result, unadorned
sql()
{
	local uri=$1
	shift
	psql -X -A -t -q -v ON_ERROR_STOP=1 -d "$uri" -c "$*"
}
