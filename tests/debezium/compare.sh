#!/bin/bash
# compare.sh -- the same workload under Debezium on two servers, one with the original decoderbufs
# and one with our library under that name: both event logs must be equal. Runs in the sandbox:
# make check-debezium
set -eu -o pipefail

here=$PENSTOCK_SANDBOX/tests
. "$here/server.sh"

classes=$PENSTOCK_SANDBOX/bin/debezium
pkglibdir=$("$PG_CONFIG" --pkglibdir)
limit_s=60

fail()
{
	echo "debezium: $*" >&2
	exit 1
}

# A server on a free port of localhost: Debezium speaks TCP only. Sets port.
start_server()
{
	local try
	for try in 1 2 3 4 5; do
		port=$((20000 + RANDOM % 20000))
		rm -rf "${TMPDIR:?}/$1"
		server_start "$1" "listen_addresses = '127.0.0.1'" "port = $port" 'fsync = off' \
			'autovacuum = off' >"$TMPDIR/$1.start" 2>&1 && return
	done
	cat "$TMPDIR/$1.start"
	fail "no server after $try tries"
}

# workload PART
workload()
{
	psql -X -q -v part="$1" -d "postgresql://postgres@127.0.0.1:$port/postgres" \
		-f "$here/debezium/workload.sql" >/dev/null
}

# start_engine DIRECTORY MARKER: returns when it streams; it ends after that marker.
start_engine()
{
	java -cp "$classes/classes:$classes/lib/*" -Dorg.slf4j.simpleLogger.defaultLogLevel=warn \
		Capture "$port" "$1" "$2" >>"$1/log" 2>&1 &
	engine=$!
	for _ in $(seq $((limit_s * 10))); do
		[ ! -e "$1/ready.$2" ] || return 0
		kill -0 "$engine" 2>/dev/null || break
		sleep 0.1
	done
	tail -n 30 "$1/log"
	fail "the engine does not stream"
}

# end_engine DIRECTORY MARKER
end_engine()
{
	if ! wait "$engine"; then
		tail -n 30 "$1/log"
		fail "the engine failed before marker $2"
	fi
}

# capture NAME: all events of the workload in $TMPDIR/NAME.debezium/events. The engine is ended in
# the middle and continues from its offsets with what was written meanwhile.
capture()
{
	local name=$1 dir=$TMPDIR/$1.debezium started=$SECONDS
	mkdir "$dir"
	start_server "$name"
	workload 0
	start_engine "$dir" 1
	workload 1
	end_engine "$dir" 1
	workload 2
	start_engine "$dir" 3
	workload 3
	end_engine "$dir" 3
	server_stop "$name"
	echo "$name: $(wc -l <"$dir/events") events ($((SECONDS - started)) s)"
}

[ -f "$pkglibdir/decoderbufs.so" ] && [ "$(readlink "$pkglibdir/decoderbufs.so")" != penstock.so ] ||
	fail "the original decoderbufs.so is not installed (Debian: postgresql-N-decoderbufs)"
capture original
FORCE=1 "$PENSTOCK_SANDBOX/plugin/install-decoderbufs" install
capture penstock

if ! cmp -s "$TMPDIR"/{original,penstock}.debezium/events; then
	diff "$TMPDIR"/{original,penstock}.debezium/events | cut -c 1-2000 | head -n 20 || true
	fail "Debezium saw something else than from the original"
fi
cut -f 1 "$TMPDIR/penstock.debezium/events" | LC_ALL=C sort | uniq -c |
	awk '{ print $2, $1 }' >"$TMPDIR/counted"
diff "$here/debezium/expected" "$TMPDIR/counted" ||
	fail "other numbers of events by topic (>) than expected (<)"
echo "Debezium hands out the same $(wc -l <"$TMPDIR/penstock.debezium/events") events from both."
