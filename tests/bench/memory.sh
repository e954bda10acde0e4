#!/bin/bash
# memory.sh [RUNS [WORKLOAD...]] -- how fast memory tables take changes: W1 W2 W3 W5, in turns; medians.
# Runs in the sandbox: make bench-memory [RUNS=5] [WORKLOADS=W1] [SCALE=0.02]
# What is in the tables at the end is compared with the source; wrong contents end it, a time never.
#
# rate     changes a second from a capture, by one thread's processor time: decoded and applied
# seconds  from the slot: slot is with memory tables, decode the plugin alone, into nothing
set -eu -o pipefail

. "$PENSTOCK_SANDBOX/tests/bench/lib.sh"
runs=${1:-5}
shift || true
[ $# -gt 0 ] || set -- W1 W2 W3 W5

targets()
{
	cat <<-'END'
	W1 memory rate - at-least 3000000
	W3 slot seconds decode at-most 1.1
	END
}

# The workload again, from nothing: what was there before the slot would not be in a capture.
load_all()
{
	case $1 in
	W2 | W5) pgbench -n -i -I g -q -s "$(pgbench_scale "$1")" "$source" >/dev/null 2>&1 ;;
	esac
	load "$1"
}

pgbench_scale()
{
	[ "$1" = W5 ] && echo 1 || scaled 10
}

# The rows of the source's tables, and replay's sum over them, modulo 2^64: integers, and lengths of
# all else.
expected_contents()
{
	case $1 in
	W1) sql "$source" "SELECT count(*), sum(id::bigint + grp + length(payload)) FROM narrow" ;;
	W3) sql "$source" "SELECT count(*), coalesce(sum(id), 0) FROM wide" ;;
	W2 | W5) sql "$source" "SELECT sum(n), mod(mod(sum(s), 2::numeric ^ 64) + 2::numeric ^ 64, 2::numeric ^ 64)::numeric(20, 0) FROM (
		SELECT count(*) n, sum(bid + bbalance::bigint + coalesce(length(filler), 0)) s FROM pgbench_branches
		UNION ALL SELECT count(*), sum(tid + bid + tbalance::bigint + coalesce(octet_length(filler), 0)) FROM pgbench_tellers
		UNION ALL SELECT count(*), sum(aid + bid + abalance::bigint + octet_length(filler)) FROM pgbench_accounts
		UNION ALL SELECT count(*), sum(tid + bid + aid + delta::bigint + coalesce(octet_length(filler), 0)
			+ (extract(epoch FROM mtime) * 1000000)::bigint - 946684800000000) FROM pgbench_history) x" ;;
	esac | tr '|' ' '
}

# check WHO CHANGES ROWS SUM: of one run of replay
check()
{
	[ "$2" = "$all_changes" ] || fail "$1: $2 changes, there are $all_changes"
	[ "$3 $4" = "$contents" ] || fail "$1: rows and sum are $3 $4, not $contents"
}

measure()
{
	local run changed taken rows_found sum
	create "$1"
	case $1 in
	W2 | W5) sql "$source" 'TRUNCATE pgbench_accounts, pgbench_branches, pgbench_tellers, pgbench_history' ;;
	esac
	sql "$source" "SELECT pg_create_logical_replication_slot('start', 'penstock')" >/dev/null
	load_all "$1"
	end=$(sql "$source" 'SELECT pg_current_wal_insert_lsn()')
	sql "$source" CHECKPOINT
	contents=$(expected_contents "$1")
	copy_slot capture penstock
	receive capture "$end" "$TMPDIR/capture" || fail "capture: $(cat "$TMPDIR/stderr")"
	drop_slot capture
	all_changes=$("$PENSTOCK" decode "$TMPDIR/capture" | grep -cE '^\{"op":"(insert|update|delete)"')
	while read -r changed taken rows_found sum; do
		check memory "$changed" "$rows_found" "$sum"
		note "$1" memory rate "$(awk -v n="$changed" -v s="$taken" 'BEGIN { printf "%.0f", n / s }')"
	done < <(replay "$TMPDIR/capture" "$runs")
	for run in $(seq "$runs"); do
		note "$1" decode seconds "$(decode_floor "$end")"
		copy_slot run penstock
		read -r changed taken rows_found sum < <(replay "$source" run "$end") || fail 'no line from replay'
		drop_slot run
		check slot "$changed" "$rows_found" "$sum"
		note "$1" slot seconds "$taken"
	done
	rm -f "$TMPDIR/capture"
	drop_slot start
	destroy "$1"
	show "$1" "$1: $(describe "$1"); medians of $runs runs" seconds rate
}

for workload; do
	case $workload in
	W[1235]) ;;
	*) fail "unknown workload $workload: W1, W2, W3, W5" ;;
	esac
done
server_start source "$(bench_settings)"
source=$(server_uri source postgres)
echo "PostgreSQL $(sql "$source" 'SHOW server_version'), $(nproc) processors"
for workload; do
	measure "$workload"
done
targets | show_targets
server_stop source
