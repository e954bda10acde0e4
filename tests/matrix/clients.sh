# shellcheck shell=bash
# clients.sh -- pg_recvlogical of every version at hand against servers of every version, this
# machine's included: sourced by run.sh, not run. client.sh does the work, once in each version's
# sandbox, all at the same time; here they are started, ended, and compared with each other.

shared=
peers=

# The version of this machine's PostgreSQL, if there is one that can be built for.
host_major()
{
	local pg_config=${PG_CONFIG:-pg_config}
	if command -v "$pg_config" >/dev/null && [ -x "$("$pg_config" --bindir)/postgres" ] &&
		[ -f "$("$pg_config" --pgxs)" ]; then
		"$pg_config" --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/'
	fi
}

build_host()
{
	"$top/tests/setup.sh" demo && run "$log/clients-build.log" make -s -C "$top" -j"$(nproc)" all
}

# In the background, without a shell between us and what is to be ended: start_peer MAJOR COMMAND...
start_peer()
{
	"${@:2}" >"$log/clients-$1.log" 2>&1 </dev/null &
	peers="$peers $!"
}

# start_host_peer MAJOR MAJORS...: the sandbox of this machine's version
start_host_peer()
{
	mkdir -m 755 "$work/host"
	start_peer "$1" env SANDBOX_PARENT="$work/host" PENSTOCK_SHARED="$shared" \
		"$chroot" --here "$top/tests/sandbox.sh" tests/matrix/client.sh "${@:2}"
}

# start_chroot_peer MAJOR MAJORS...: what was built in this chroot is in its checkout
start_chroot_peer()
{
	start_peer "$1" "$chroot" $(chroot_options "$1") --bind "$shared=/mnt" \
		$(chroot_environment "$1") PENSTOCK_SHARED=/mnt tests/sandbox.sh tests/matrix/client.sh "${@:2}"
}

# The process ids of the namespaces' first processes: when such a one is killed, all of the namespace
# are gone before its parent, which is ours, ends. A parent killed first would leave that to chance.
end_peers()
{
	local peer first
	for peer in $peers; do
		first=$(cat "/proc/$peer/task/$peer/children" 2>/dev/null) || first=
		kill -KILL ${first:-$peer} 2>/dev/null || true
	done
	wait $peers 2>/dev/null || true
	peers=
}

# Should one fail, the others need not wait for it.
wait_for_peers()
{
	local pid
	while [ -n "${peers// /}" ]; do
		pid=
		wait -n -p pid $peers || touch "$shared/stop"
		peers=" $peers "
		peers=${peers/ $pid / }
	done
}

# Whatever program read them, the same slots of one server give the same bytes.
compare_clients()
{
	local server=$1 client=$2 first=$3 file
	for file in plain.json two_phase.json plain.text two_phase.text; do
		cmp -s "$shared/$server/$first.$file" "$shared/$server/$client.$file" ||
			echo "FAILED: $file is not what pg_recvlogical $first reads" >>"$shared/$server/result.$client"
	done
}

# What client.sh has found, on one line: ok or what failed, then what is not possible.
combination()
{
	awk '/^FAILED/ { failed = failed separator $0; separator = "; " }
		/^not possible/ { impossible = impossible "; " $0 }
		/^done$/ { whole = 1 }
		END { print (failed ? failed : whole ? "ok" : "FAILED: not read to the end") impossible }' "$1"
}

report_clients()
{
	local server client
	for client; do
		for server; do
			mkdir -p "$shared/$server" && touch "$shared/$server/result.$client"
			[ ! -e "$shared/read.$client" ] || compare_clients "$server" "$client" "$1"
			echo "pg_recvlogical $client, server $server: $(combination "$shared/$server/result.$client")"
		done
	done
}

# test_clients MAJOR...: the chroots' versions, built before.
test_clients()
{
	local host major
	host=$(host_major)
	case " $* " in *" $host "*) host= ;; esac
	if [ $# -lt 1 ] || [ -z "$host" ] && [ $# -lt 2 ]; then
		echo 'pg_recvlogical of other versions: not tested, only one version is at hand' >"$log/clients-summary"
		return
	fi
	printf '\n== pg_recvlogical of %s (%d s)\n' "$host $*" "$SECONDS"
	if [ -n "$host" ] && ! build_host; then
		echo "pg_recvlogical of other versions: FAILED: no build for PostgreSQL $host" >"$log/clients-summary"
		failed="$failed clients"
		return
	fi
	shared=$work/shared
	mkdir -m 1777 "$shared"
	[ -z "$host" ] || start_host_peer "$host" "$host" "$@"
	for major; do
		start_chroot_peer "$major" $host "$@"
	done
	wait_for_peers
	report_clients $host "$@" >"$log/clients-summary"
	if grep ': FAILED' "$log/clients-summary" >/dev/null; then
		tail -n 40 "$log"/clients-[0-9]*.log
		failed="$failed clients"
	fi
}
