#!/bin/bash
# run.sh [ARG...] -- penstock-sim with these arguments, on three clusters of its own. Runs in the
# sandbox: make sim SEED=42
set -eu -o pipefail

here=$(cd "$(dirname "$0")" && pwd)
. "$here/../server.sh"

common=('fsync = off' 'autovacuum = off' 'log_lock_waits = on' 'deadlock_timeout = 200ms' 'max_prepared_transactions = 30' 'log_error_verbosity = verbose'
	'max_connections = 50' "log_line_prefix = '%m [%p] %q%a '")
server_start source "${common[@]}" 'max_replication_slots = 20' 'max_wal_senders = 20' &
server_start sets "${common[@]}" 'wal_writer_delay = 10ms' &
server_start ordered "${common[@]}" 'wal_writer_delay = 10ms'
wait
status=0
"$PENSTOCK_SANDBOX/bin/penstock-sim" "$@" "$TMPDIR" || status=$?
if grep -aE 'PANIC|was terminated by signal 11|TRAP:|XX000' "$TMPDIR"/{source,sets,ordered}.log; then
	echo "sim: a server's log tells of a crash or an internal error"
	[ "$status" != 0 ] || status=1
fi
for server in source sets ordered; do
	pg_ctl -D "$TMPDIR/$server" -m immediate -s stop || true
done
exit "$status"
