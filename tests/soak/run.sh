#!/bin/bash
# run.sh SECONDS SEED -- the soak on a server of its own, and a look at its log. Runs in a sandbox:
# make soak MINUTES=15
set -eu -o pipefail

here=$(cd "$(dirname "$0")" && pwd)
. "$here/../server.sh"
seconds=${1:-120}
seed=${2:-$(od -An -N3 -tu4 /dev/urandom | tr -d ' ')}
log=$TMPDIR/soak.log

server_start soak 'fsync = off' 'max_prepared_transactions = 20' 'max_replication_slots = 20' \
	'max_wal_senders = 20' 'logical_decoding_work_mem = 64kB' 'log_error_verbosity = verbose' \
	'autovacuum_naptime = 5s' 'max_wal_size = 512MB' 'wal_sender_timeout = 30s'
status=0
perl "$here/soak.pl" "$(server_uri soak postgres)" "$log" "$seconds" "$seed" || status=1
if grep -aE 'PANIC|was terminated by signal|TRAP:|ERROR:  XX|FATAL:  XX|due to replication timeout' "$log"; then
	echo "soak: the server's log tells of a crash or an internal error"
	status=1
fi
[ "$status" = 0 ] || tail -n 40 "$log"
server_stop soak
exit "$status"
