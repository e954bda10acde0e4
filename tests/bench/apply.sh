#!/bin/bash
# apply.sh [RUNS [WORKLOAD...]] -- how long changes take from one server to another, by system, on the
# same two servers, in turns; medians. Runs in the sandbox: make bench-apply [RUNS=5]
# [WORKLOADS="W1 latency"] [SYSTEMS="penstock builtin"] [SCALE=0.02]
# Compare the ratios of one run, never seconds of different runs or machines. Wrong contents end it;
# a time never does. File descriptor 3, where open, gets the figures as TSV.
#
# W1 W2 W3 W5   a backlog: from the start of the system until the last transaction is visible
# followers     three databases that catch up at once
# running       pgbench at full speed beside each system: how long after its end all is there
# latency       from COMMIT to visible, one row at a time
# large         a transaction of a million rows on a live stream: from its COMMIT to visible
# huge          one of ten million: the memory that penstock takes
# tables        a million changes to 100 tables, of 100 and of 10,000
# transactions  changes a transaction, from a thousand to ten million
#
# cpu_source    processor time of the walsenders, cpu_dest of all that works in the databases
set -eu -o pipefail

. "$PENSTOCK_SANDBOX/tests/bench/lib.sh"
. "$PENSTOCK_SANDBOX/tests/bench/systems.sh"
runs=${1:-5}
shift || true
[ $# -gt 0 ] || set -- W1 W2 W3 W5 followers running latency large huge tables transactions
limit_s=${PENSTOCK_BENCH_LIMIT:-900}
marker=0
penstock=

# section system measure beside at-most|at-least limit
targets()
{
	cat <<-'END'
	W1 penstock seconds best at-most 0.25
	W2 penstock seconds best at-most 0.6
	W3 penstock seconds best at-most 0.5
	W5 penstock seconds best at-most 0.5
	followers penstock cpu_source best at-most 0.4
	followers penstock seconds best at-most 0.6
	latency penstock p50_ms builtin at-most 1.2
	latency penstock p99_ms builtin at-most 1.5
	huge penstock peak_mb - at-most 256
	huge memory beyond_table_mb - at-most 256
	tables of-10000 us_a_change of-100 at-most 1.2
	transactions of-100000 us_a_change of-10000 at-most 1.2
	transactions of-1000000 us_a_change of-10000 at-most 1.2
	transactions of-10000000 us_a_change of-10000 at-most 1.2
	END
}

# ---- the destination's databases: copies of `base`, which is what the source had before ----

make_base()
{
	sql "$destination" 'CREATE DATABASE base'
	pg_dump --no-publications -n public "$source" | sed "/^CREATE SCHEMA public;$/d" |
		psql -X -q -v ON_ERROR_STOP=1 -d "$(db_uri base)" >/dev/null
	sql "$(db_uri base)" 'VACUUM ANALYZE'
}

new_db()
{
	local strategy='STRATEGY file_copy'
	[ "$major" -ge 15 ] || strategy=
	sql "$destination" "CREATE DATABASE $1 TEMPLATE base $strategy"
}

drop_db()
{
	sql "$destination" "DROP DATABASE $1 WITH (FORCE)"
}

# set_up COMMAND...: which makes the tables
set_up()
{
	"$@"
	sql "$source" 'CREATE TABLE bench_marker(id int PRIMARY KEY)'
	make_base
	publish
	sql "$source" "SELECT pg_create_logical_replication_slot('start', 'pgoutput')" >/dev/null
}

# After all that a run shall find is there: its last transaction, and where it ends.
mark_end()
{
	marker=$((marker + 1))
	sql "$source" "INSERT INTO bench_marker VALUES ($marker)"
	end=$(sql "$source" 'SELECT pg_current_wal_insert_lsn()')
	sql "$source" 'CHECKPOINT'
	sums "$source" >"$TMPDIR/sums.source"
}

tear_down()
{
	sql "$source" "SELECT pg_drop_replication_slot('start')" >/dev/null
	unpublish
	drop_db base
	sql "$source" 'DROP TABLE bench_marker'
	"$@"
}

# ---- waiting ----

# begin_waiting DB...: for the marker, in the background
begin_waiting()
{
	local db
	waiting=()
	for db; do
		PGAPPNAME=await await "$(db_uri "$db")" "SELECT 1 FROM bench_marker WHERE id = $marker" "$limit_s" \
			>"$TMPDIR/arrived.$db" 3>&- &
		waiting+=($!)
	done
}

# end_waiting DB...: prints when the last one had it; 1: one had not
end_waiting()
{
	local job status=0
	for job in "${waiting[@]}"; do
		while kill -0 "$job" 2>/dev/null; do
			[ -z "$penstock" ] || kill -0 "$penstock" 2>/dev/null ||
				fail "penstock ended: $(tail -n 3 "$TMPDIR/penstock.log")"
			sleep 0.02
		done
		wait "$job" || status=1
	done
	arrived=$(cd "$TMPDIR" && sort -n "${@/#/arrived.}" | tail -n 1)
	return "$status"
}

# note_cpu SECTION SYSTEM DB... : but of pgcopydb, whose processes have ended by then
note_cpu()
{
	local db pids=$penstock
	[ "$2" != pgcopydb ] || return 0
	note "$1" "$2" cpu_source "$(cpu_of $(senders))"
	for db in "${@:3}"; do
		pids="$pids $(appliers "$db" | paste -sd' ')"
	done
	note "$1" "$2" cpu_dest "$(cpu_of $pids)"
	[ -z "$penstock" ] || note "$1" "$2" peak_mb "$(memory_of "$penstock" VmHWM)"
}

# ---- a backlog ----

# catch_up SECTION SYSTEM DB...: sets seconds, empty when it did not arrive in time. as= is what its
# figures are called instead of by the system.
catch_up()
{
	local section=$1 system=$2 from db
	shift 2
	for db; do
		new_db "$db"
	done
	restart_destination "$system"
	prepare "$system" "$@"
	begin_waiting "$@"
	from=$(now)
	start "$system" "$@"
	seconds=
	if end_waiting "$@"; then
		seconds=$(difference "$from" "$arrived")
		note "$section" "${as:-$system}" seconds "$seconds"
		note_cpu "$section" "${as:-$system}" "$@"
	else
		echo "$section: $system had not caught up after $limit_s s"
	fi
	finish "$system" "$@"
	for db; do
		[ -z "$seconds" ] || check_sums "$system" "$(db_uri "$db")"
		drop_db "$db"
	done
}

# What a destination that is fed in sets needs at least: floor_script WORKLOAD writes floor.sql, and
# the files that it reads.
floor_script()
{
	local table key
	case $1 in
	W1)
		save narrow narrow
		echo "\\copy narrow FROM '$TMPDIR/narrow.copy' WITH (FORMAT binary)"
		;;
	W3)
		psql -X -q -v ON_ERROR_STOP=1 -d "$source" <<-END
		CREATE TEMP TABLE rows AS SELECT * FROM wide WHERE false;
		INSERT INTO rows $(wide_rows "$rows");
		\\copy rows TO '$TMPDIR/inserted.copy' WITH (FORMAT binary)
		UPDATE rows SET a = a + 1, n = n + 1, t = t || '!';
		\\copy rows TO '$TMPDIR/updated.copy' WITH (FORMAT binary)
		END
		cat <<-END
		\\copy wide FROM '$TMPDIR/inserted.copy' WITH (FORMAT binary)
		CREATE TEMP TABLE rows (LIKE wide);
		\\copy rows FROM '$TMPDIR/updated.copy' WITH (FORMAT binary)
		UPDATE wide SET $(update_list wide id) FROM rows WHERE wide.id = rows.id;
		DELETE FROM wide USING rows WHERE wide.id = rows.id;
		END
		;;
	W2 | W5)
		save pgbench_history pgbench_history
		echo "\\copy pgbench_history FROM '$TMPDIR/pgbench_history.copy' WITH (FORMAT binary)"
		for table in accounts:aid tellers:tid branches:bid; do
			key=${table#*:}
			table=pgbench_${table%:*}
			[ "$1" = W5 ] || [ "$key" = aid ] || continue
			save "$table" "(SELECT * FROM $table WHERE $key IN (SELECT $key FROM pgbench_history))"
			cat <<-END
			CREATE TEMP TABLE new_$key (LIKE $table);
			\\copy new_$key FROM '$TMPDIR/$table.copy' WITH (FORMAT binary)
			ANALYZE new_$key;
			UPDATE $table SET $(update_list "$table" "$key" "new_$key") FROM new_$key
				WHERE $table.$key = new_$key.$key;
			END
		done
		;;
	esac
}

# save NAME WHAT: rows of the source into NAME.copy
save()
{
	sql "$source" "COPY $2 TO STDOUT (FORMAT binary)" >"$TMPDIR/$1.copy"
}

# update_list TABLE KEY [FROM]: a = rows.a, …
update_list()
{
	sql "$source" "SELECT string_agg(format('%1\$I = %2\$I.%1\$I', attname, '${3:-rows}'), ', ')
		FROM pg_attribute WHERE attrelid = '$1'::regclass AND attnum > 0 AND attname <> '$2'" | tr '\n' ' '
}

destination_floor()
{
	local from to
	new_db floor
	restart_destination floor
	from=$(now)
	psql -X -q -1 -v ON_ERROR_STOP=1 -d "$(db_uri floor)" -f "$TMPDIR/floor.sql" >/dev/null
	to=$(now)
	drop_db floor
	difference "$from" "$to"
}

show_limit()
{
	medians | awk -F'\t' -v section="$1" '
		$1 == section && $3 == "seconds" { v[$2] = $4 }
		END {
			larger = v["floor:decode"] > v["floor:dest"] ? "floor:decode" : "floor:dest"
			if (v["penstock"] > 0 && v[larger] > 0)
				printf "Distance to the limit: penstock takes %.2f times the larger floor, %s\n", v["penstock"] / v[larger], larger
		}'
}

backlog()
{
	local run system
	set_up create "$1"
	load "$1"
	mark_end
	expected "$1"
	floor_script "$1" >"$TMPDIR/floor.sql"
	for run in $(seq "$runs"); do
		for system in $(in_turn "$run" $systems); do
			catch_up "$1" "$system" run
		done
		note "$1" floor:decode seconds "$(decode_floor "$end")"
		note "$1" floor:dest seconds "$(destination_floor)"
	done
	tear_down destroy "$1"
	rm -f "$TMPDIR"/*.copy
	show "$1" "$1: $(describe "$1"); medians of $runs runs" seconds cpu_source cpu_dest peak_mb
	show_limit "$1"
}

three_followers()
{
	local run system
	set_up create W2
	load W2
	mark_end
	for run in $(seq "$runs"); do
		for system in $(in_turn "$run" $systems); do
			case $system in
			penstock | builtin*) catch_up followers "$system" f1 f2 f3 ;;
			esac
		done
	done
	tear_down destroy W2
	show followers "Three followers at once: $(describe W2)" seconds cpu_source cpu_dest
}

# ---- a live stream ----

# attach SYSTEM DB: to the source as it is, and wait until it streams
attach()
{
	drop_db base
	make_base
	new_db "$2"
	restart_destination "$1"
	prepare "$1" "$2"
	marker=$((marker + 1))
	begin_waiting "$2"
	start "$1" "$2"
	sql "$source" "INSERT INTO bench_marker VALUES ($marker)"
	end_waiting "$2" || fail "$1 does not begin to stream"
}

detach()
{
	finish "$1" "$2"
	check_sums "$1" "$(db_uri "$2")"
	drop_db "$2"
}

# for_each_live COMMAND [TABLE]: run it with each system attached as database `run`, in turns, after
# TABLE was emptied
for_each_live()
{
	local run system
	live=yes
	for run in $(seq "$runs"); do
		for system in $(in_turn "$run" $systems); do
			[ "$system" != pgcopydb ] || continue
			[ -z "${2:-}" ] || sql "$source" "TRUNCATE $2"
			attach "$system" run
			"$1" "$system"
			sums "$source" >"$TMPDIR/sums.source"
			detach "$system" run
		done
	done
	live=
}

load_running()
{
	local from done
	pgbench -n -c 16 -j 2 -T "$(scaled 30)" "$source" >"$TMPDIR/pgbench.log" 2>&1
	from=$(now)
	marker=$((marker + 1))
	begin_waiting run
	sql "$source" "INSERT INTO bench_marker VALUES ($marker)"
	end_waiting run || fail "$1 had not caught up after $limit_s s"
	done=$(sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p' "$TMPDIR/pgbench.log")
	note running "$1" behind_s "$(difference "$from" "$arrived")"
	note running "$1" tps "$(sed -n 's/^tps = \([0-9]*\).*/\1/p' "$TMPDIR/pgbench.log")"
	note running "$1" us_a_tx "$(awk -v t="$(scaled 30)" -v behind="$(difference "$from" "$arrived")" -v n="$done" \
		'BEGIN { printf "%.1f", (t + behind) / n * 1e6 }')"
	note_cpu running "$1" run
}

running()
{
	set_up create W5
	for_each_live load_running
	tear_down destroy W5
	show running "pgbench's TPC-B for $(scaled 30) s by 16 clients; us_a_tx: until all is there, a transaction" \
		behind_s us_a_tx tps cpu_source cpu_dest
}

load_latency()
{
	local p50 p99 max
	read -r p50 p99 max < <("$PENSTOCK_SANDBOX/bin/latency" "$source" "$(db_uri run)" "$(scaled 1000)" "$first_id")
	first_id=$((first_id + $(scaled 1000)))
	note latency "$1" p50_ms "$p50"
	note latency "$1" p99_ms "$p99"
	note latency "$1" max_ms "$max"
}

create_events()
{
	sql "$source" 'CREATE TABLE events(id bigint PRIMARY KEY, ts timestamptz, event jsonb)'
}

latency()
{
	first_id=1
	set_up create_events
	for_each_live load_latency
	tear_down sql "$source" 'DROP TABLE events'
	show latency "From COMMIT to visible, milliseconds, $(scaled 1000) samples a run" p50_ms p99_ms max_ms
}

# As most servers have it: larger transactions are streamed before their commit.
small_work_mem()
{
	sql "$source" "ALTER SYSTEM SET logical_decoding_work_mem = '64MB'"
	sql "$source" 'SELECT pg_reload_conf()' >/dev/null
}

reset_work_mem()
{
	sql "$source" 'ALTER SYSTEM RESET logical_decoding_work_mem'
	sql "$source" 'SELECT pg_reload_conf()' >/dev/null
}

# insert_with_marker ROWS: in one transaction; sets committed
insert_with_marker()
{
	marker=$((marker + 1))
	begin_waiting "${@:2}"
	psql -X -q -1 -v ON_ERROR_STOP=1 -d "$source" -c "INSERT INTO narrow $(narrow_rows 1 "$1")" \
		-c "INSERT INTO bench_marker VALUES ($marker)"
	committed=$(now)
}

load_large()
{
	insert_with_marker "$(scaled 1000000)" run
	end_waiting run || fail "$1 had not caught up after $limit_s s"
	note large "$1" seconds "$(difference "$committed" "$arrived")"
	note_cpu large "$1" run
}

large()
{
	small_work_mem
	set_up create W1
	for_each_live load_large narrow
	tear_down destroy W1
	reset_work_mem
	show large "A transaction of $(grouped "$(scaled 1000000)") rows on a live stream: from its COMMIT to visible" \
		seconds cpu_source cpu_dest peak_mb
}

# ---- ten million rows ----

huge_postgres()
{
	live=yes
	attach penstock run
	insert_with_marker "$(scaled 10000000)" run
	end_waiting run || fail "penstock had not caught up after $limit_s s"
	note huge penstock seconds "$(difference "$committed" "$arrived")"
	note huge penstock peak_mb "$(memory_of "$penstock" VmHWM)"
	sums "$source" >"$TMPDIR/sums.source"
	detach penstock run
	live=
}

start_memory()
{
	# shellcheck disable=SC2086
	"$PENSTOCK" run --quiet --source "$source" --slot run_penstock --status-interval 100ms \
		--tables 'public.*' --to memory: \
		${PENSTOCK_BENCH_OPTIONS:-} >"$TMPDIR/penstock.log" 2>&1 3>&- &
	penstock=$!
}

# Until the slot says that memory tables have all that is committed now. Sets arrived.
wait_for_memory()
{
	local lsn
	lsn=$(sql "$source" 'SELECT pg_current_wal_insert_lsn()')
	arrived=$(PGAPPNAME=await await "$source" "SELECT 1 FROM pg_replication_slots
		WHERE slot_name = 'run_penstock' AND active AND confirmed_flush_lsn >= '$lsn'" "$limit_s") ||
		fail "memory tables did not get everything: $(tail -n 3 "$TMPDIR/penstock.log")"
}

# The rows of the memory tables, from the line of status that SIGUSR1 asks for.
count_memory()
{
	kill -USR1 "$penstock"
	sleep 1
	sed -n 's/.*"tables":{\([^}]*\)}.*/\1/p' "$TMPDIR/penstock.log" | tail -n 1 | tr ',' '\n' |
		awk -F: '{ n += $NF } END { print n + 0 }'
}

# What a table takes is what a process has that has only loaded it.
huge_memory()
{
	local peak rows
	sql "$source" 'TRUNCATE narrow'
	sql "$source" "SELECT pg_create_logical_replication_slot('run_penstock', 'penstock')" >/dev/null
	start_memory
	wait_for_memory
	waiting=()
	insert_with_marker "$(scaled 10000000)"
	wait_for_memory
	note huge memory seconds "$(difference "$committed" "$arrived")"
	peak=$(memory_of "$penstock" VmHWM)
	rows=$(count_memory)
	[ "$rows" = "$(($(scaled 10000000) + $(sql "$source" 'SELECT count(*) FROM bench_marker')))" ] ||
		fail "memory tables have $rows rows"
	stop_penstock
	start_memory
	wait_for_memory
	note huge memory peak_mb "$peak"
	note huge memory beyond_table_mb $((peak - $(memory_of "$penstock" VmRSS)))
	finish penstock
}

huge()
{
	small_work_mem
	set_up create W1
	huge_postgres
	huge_memory
	tear_down destroy W1
	reset_work_mem
	show huge "A transaction of $(grouped "$(scaled 10000000)") rows on a live stream, penstock alone" \
		seconds peak_mb beyond_table_mb
}

# ---- what a change costs ----

# cost SECTION NAME CHANGES: the runs, and what decoding alone takes
cost()
{
	local run as=$2
	for run in $(seq "$runs"); do
		catch_up "$1" penstock run
		[ -n "$seconds" ] || continue
		note "$1" "$2" us_a_change "$(awk -v s="$seconds" -v n="$3" 'BEGIN { printf "%.3f", s / n * 1e6 }')"
		note "$1" "$2" decode_us "$(awk -v s="$(decode_floor "$end")" -v n="$3" 'BEGIN { printf "%.3f", s / n * 1e6 }')"
	done
}

# make_tables N: hot ones come first
make_tables()
{
	sql "$source" "DO \$\$ BEGIN FOR i IN 1..$1 LOOP EXECUTE format('CREATE TABLE t%s($narrow_columns)', i);
		IF i % 500 = 0 THEN COMMIT; END IF; END LOOP; END \$\$"
}

drop_tables()
{
	sql "$source" "DO \$\$ BEGIN FOR i IN 1..$1 LOOP EXECUTE format('DROP TABLE t%s', i);
		IF i % 500 = 0 THEN COMMIT; END IF; END LOOP; END \$\$"
}

# One after the other in each transaction: ten rows for each of the hot tables.
load_hot()
{
	sql "$source" "DO \$\$ BEGIN FOR x IN 0..$(scaled 1000) - 1 LOOP FOR i IN 1..$(scaled 100) LOOP
		EXECUTE format('INSERT INTO t%s SELECT i, i %% 100, ''payload of row '' || i
			FROM generate_series(%s, %s) i', i, x * 10 + 1, x * 10 + 10);
		END LOOP; COMMIT; END LOOP; END \$\$"
}

only_penstock()
{
	local systems=penstock
	"$@"
}

tables()
{
	local count
	for count in 100 10000; do
		set_up make_tables "$(scaled $count)"
		load_hot
		mark_end
		cost tables "of-$count" $(($(scaled 1000) * $(scaled 100) * 10))
		tear_down drop_tables "$(scaled $count)"
	done
	show tables "Changes to $(scaled 100) hot tables, ten rows of each in each transaction, in a schema of so many (SCALE=$scale)" \
		us_a_change decode_us
}

# load_by SIZE TOTAL: transactions of SIZE inserts
load_by()
{
	sql "$source" "DO \$\$ BEGIN FOR lowest IN 1..$2 BY $1 LOOP
		INSERT INTO narrow SELECT i, i % 100, 'payload of row ' || i FROM generate_series(lowest, lowest + $1 - 1) i;
		COMMIT; END LOOP; END \$\$"
}

# Penstock's own stream is as most servers have it: what is larger is streamed before its commit.
transactions()
{
	local size changes total join='?'
	[[ $source != *\?* ]] || join='&'
	local PENSTOCK_BENCH_OPTIONS="${PENSTOCK_BENCH_OPTIONS:-} --source $source${join}options=-c%20logical_decoding_work_mem%3D64MB"
	for size in 1000 10000 100000 1000000 10000000; do
		total=$((size > 1000000 ? size : 1000000))
		set_up create W1
		changes=$(($(scaled $total) / $(scaled $size) * $(scaled $size)))
		load_by "$(scaled $size)" "$changes"
		mark_end
		cost transactions "of-$size" "$changes"
		tear_down destroy W1
	done
	show transactions "Transactions of so many inserts, a million changes or one transaction (SCALE=$scale)" us_a_change decode_us
}

for workload; do
	case $workload in
	W[1235] | followers | running | latency | large | huge | tables | transactions) ;;
	*) fail "unknown workload $workload" ;;
	esac
done
start_servers
echo "PostgreSQL $(sql "$source" 'SHOW server_version'), $(nproc) processors, fsync off"
offered
for workload; do
	case $workload in
	W*) backlog "$workload" ;;
	followers) three_followers ;;
	huge | tables | transactions) only_penstock "$workload" ;;
	*) "$workload" ;;
	esac
done
targets | show_targets
server_stop destination
server_stop source
