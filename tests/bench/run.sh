#!/bin/bash
# run.sh [RUNS] -- how long the server takes to decode a million inserts of one transaction, by
# plugin: pg_recvlogical into /dev/null, in turns, medians. Runs in the sandbox: make bench
# Compare the ratios of one run, never seconds of different runs or machines.
set -eu -o pipefail

. "$PENSTOCK_SANDBOX/tests/server.sh"
runs=${1:-5}
rows=1000000
pkglibdir=$("$PG_CONFIG" --pkglibdir)

# The plugins that are here, pgoutput first: the ratios are to it. X_Y is plugin X with format Y.
plugins()
{
	local plugin
	for plugin in pgoutput penstock penstock_decoderbufs wal2json decoderbufs; do
		[ ! -e "$pkglibdir/${plugin%%_*}.so" ] || echo "$plugin"
	done
}

options()
{
	case $1 in
	pgoutput) echo --option proto_version=1 --option publication_names=bench ;;
	wal2json) echo --option format-version=2 ;;
	penstock_*) echo --option "format=${1#*_}" ;;
	esac
}

prepare()
{
	local plugin
	server_start source 'logical_decoding_work_mem = 1GB' 'max_wal_size = 4GB' 'autovacuum = off' \
		'shared_buffers = 256MB' 'fsync = off'
	source=$(server_uri source postgres)
	sql "$source" 'CREATE TABLE narrow(id int PRIMARY KEY, grp int, payload text)'
	sql "$source" 'CREATE PUBLICATION bench FOR ALL TABLES'
	for plugin in $(plugins); do
		sql "$source" "SELECT pg_create_logical_replication_slot('$plugin', '${plugin%%_*}')" >/dev/null
	done
	sql "$source" "INSERT INTO narrow SELECT i, i % 100, 'payload of row ' || i FROM generate_series(1, $rows) i"
	end=$(sql "$source" 'SELECT pg_current_wal_lsn()')
	sql "$source" 'CHECKPOINT'
}

# decode PLUGIN FILE: the seconds that it takes, from a copy of the plugin's slot
decode()
{
	local from to
	sql "$source" "SELECT pg_copy_logical_replication_slot('$1', 'run')" >/dev/null
	from=$(date +%s.%N)
	pg_recvlogical -d "$source" --slot run --start --endpos "$end" --no-loop -f "$2" $(options "$1")
	to=$(date +%s.%N)
	sql "$source" "SELECT pg_drop_replication_slot('run')" >/dev/null
	awk -v from="$from" -v to="$to" 'BEGIN { printf "%.2f\n", to - from }'
}

median()
{
	sort -n "$1" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

measure()
{
	local run plugin
	for run in $(seq "$runs"); do
		for plugin in $(plugins); do
			decode "$plugin" /dev/null >>"$TMPDIR/$plugin.times"
		done
		[ ! -t 1 ] || printf '\rrun %d of %d\r' "$run" "$runs"
	done
}

show()
{
	local plugin base seconds bytes
	base=$(median "$TMPDIR/pgoutput.times")
	echo "PostgreSQL $(sql "$source" 'SHOW server_version'), $rows inserts in one transaction, median of $runs runs"
	printf '%-20s %9s %12s %9s %s\n' plugin seconds "to pgoutput" MB 'all runs'
	for plugin in $(plugins); do
		seconds=$(median "$TMPDIR/$plugin.times")
		decode "$plugin" "$TMPDIR/capture" >/dev/null
		bytes=$(stat -c %s "$TMPDIR/capture")
		rm -f "$TMPDIR/capture"
		awk -v p="$plugin" -v s="$seconds" -v b="$base" -v n="$bytes" -v all="$(tr '\n' ' ' <"$TMPDIR/$plugin.times")" \
			'BEGIN { printf "%-20s %9.2f %12.2f %9.1f %s\n", p, s, s / b, n / 1e6, all }'
	done
}

prepare
measure
show
server_stop source
