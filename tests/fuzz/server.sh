#!/bin/bash
# server.sh SECONDS SEED [options|rows] -- the fuzzers, half of the time each, on a server of their own.
# Runs in the sandbox: run.sh
set -eu -o pipefail

here=$(cd "$(dirname "$0")" && pwd)
. "$here/../server.sh"
seconds=${1:-60}
seed=${2:-$(od -An -N3 -tu4 /dev/urandom | tr -d ' ')}
which=${3:-}
[ -n "$which" ] || seconds=$(((seconds + 1) / 2))

server_start fuzz 'fsync = off' 'max_prepared_transactions = 10' 'autovacuum = off' \
	'max_replication_slots = 10' 'log_error_verbosity = verbose' 'statement_timeout = 60s'
status=0
[ "$which" = rows ] || perl "$here/options.pl" "$(server_uri fuzz postgres)" "$seconds" "$seed" || status=1
[ "$which" = options ] || perl "$here/rows.pl" "$(server_uri fuzz postgres)" "$seconds" "$seed" || status=1
if grep -aE 'PANIC|was terminated by signal|TRAP:|XX000' "$TMPDIR/fuzz.log"; then
	echo "fuzz: the server's log tells of a crash or an internal error"
	status=1
fi
[ "$status" = 0 ] || tail -n 30 "$TMPDIR/fuzz.log"
server_stop fuzz
exit "$status"
