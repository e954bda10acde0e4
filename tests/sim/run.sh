#!/bin/bash
# run.sh [ARG...] -- penstock-sim with these arguments, on three clusters of its own. Runs in the
# sandbox: make sim SEED=42. When something fails, descriptor 3 gets a tar of histories and logs.
set -eu -o pipefail

here=$(cd "$(dirname "$0")" && pwd)
. "$here/../server.sh"

common=('fsync = off' 'autovacuum = off' 'max_prepared_transactions = 30' 'max_connections = 50'
	'log_error_verbosity = verbose' 'log_lock_waits = on' 'deadlock_timeout = 200ms')
# What the one that is fed in order has committed is flushed late: a crash takes it away.
server_start source "${common[@]}" 'max_replication_slots = 20' 'max_wal_senders = 20' &
server_start sets "${common[@]}" 'wal_writer_delay = 10ms' &
server_start ordered "${common[@]}" 'wal_writer_delay = 300ms' &
wait
status=0
"$PENSTOCK_SANDBOX/bin/penstock-sim" "$@" "$TMPDIR" || status=$?
cd "$TMPDIR"
if grep -aE 'PANIC|was terminated by signal (6|11)|TRAP:|XX000' source.log sets.log ordered.log; then
	echo "sim: a server's log tells of a crash or an internal error"
	[ "$status" != 0 ] || status=1
fi
if [ "$status" != 0 ]; then
	tar -cf - $(ls -- *.log failed-*.sim 2>/dev/null) >&3
fi
for server in source sets ordered; do
	pg_ctl -D "$server" -m immediate -s stop || true
done
exit "$status"
