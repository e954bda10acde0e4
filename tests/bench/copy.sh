#!/bin/bash
# copy.sh [RUNS] -- how long the initial copy of five tables takes, two at a time, by system, between the
# same two servers, in turns; medians. Runs in the sandbox: make bench-copy [RUNS=5] [SCALE=0.02]
# [SYSTEMS="penstock psql builtin"]. Wrong contents end it; a time never does.
#
# penstock  run --copy --copy-jobs 2 --until current, from its start to its end
# psql      two pipes psql COPY TO | psql COPY FROM at a time, in binary
# builtin   a subscription that copies, max_sync_workers_per_subscription = 2, until all are ready
# floor     one psql COPY FROM of a file after the other, two at a time: what the destination needs
set -eu -o pipefail

. "$PENSTOCK_SANDBOX/tests/bench/lib.sh"
. "$PENSTOCK_SANDBOX/tests/bench/systems.sh"
runs=${1:-5}
limit_s=${PENSTOCK_BENCH_LIMIT:-900}
tables='t1 t2 t3 t4 t5'

targets()
{
	cat <<-'END'
	copy penstock seconds psql at-most 1.15
	copy penstock seconds builtin at-most 0.8
	END
}

offered_copies()
{
	local system
	copies=
	for system in ${PENSTOCK_BENCH_SYSTEMS:-penstock psql builtin}; do
		case $system in
		penstock)
			if ! "$PENSTOCK" run --help | grep -- '--copy-jobs' >/dev/null; then
				echo 'Not here: penstock run --copy'
				continue
			fi
			;;
		psql | builtin) ;;
		*) continue ;;
		esac
		copies="$copies $system"
	done
}

make_tables()
{
	local table rows
	rows=$(scaled 1000000)
	for table in $tables; do
		sql "$source" "CREATE TABLE $table($narrow_columns)"
		sql "$source" "INSERT INTO $table $(narrow_rows 1 "$rows")"
		sql "$source" "COPY $table TO STDOUT (FORMAT binary)" >"$TMPDIR/$table.copy"
	done
	sql "$source" "CREATE PUBLICATION bench FOR TABLE ${tables// /, }"
	sql "$source" 'VACUUM ANALYZE'
	sums "$source" >"$TMPDIR/sums.source"
	sql "$destination" 'CREATE DATABASE base'
	for table in $tables; do
		sql "$(db_uri base)" "CREATE TABLE $table($narrow_columns)"
	done
}

copy_penstock()
{
	"$PENSTOCK" run --quiet --source "$source" --slot copying --create-slot --to "$(db_uri run)" \
		--copy --copy-jobs 2 --until current >"$TMPDIR/penstock.log" 2>&1 ||
		fail "penstock: $(tail -n 3 "$TMPDIR/penstock.log")"
}

# Each of the tables by COMMAND, in which TABLE stands for its name; two at a time.
two_at_a_time()
{
	printf '%s\n' $tables | xargs -P 2 -I TABLE bash -eu -o pipefail -c "$1"
}

copy_psql()
{
	two_at_a_time "psql -X -q -d '$source' -c 'COPY TABLE TO STDOUT (FORMAT binary)' |
		psql -X -q -d '$(db_uri run)' -c 'COPY TABLE FROM STDIN (FORMAT binary)'"
}

copy_floor()
{
	two_at_a_time "psql -X -q -d '$(db_uri run)' -c 'COPY TABLE FROM STDIN (FORMAT binary)' <'$TMPDIR/TABLE.copy'"
}

copy_builtin()
{
	PGOPTIONS='-c client_min_messages=warning' sql "$(db_uri run)" "CREATE SUBSCRIPTION copying
		CONNECTION '$(conninfo source postgres)' PUBLICATION bench WITH (slot_name = copying, binary = true)"
	PGAPPNAME=await await "$(db_uri run)" "SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_subscription_rel
		WHERE srsubstate <> 'r')" "$limit_s" >/dev/null || fail 'the subscription did not get ready'
}

# What the system left at the source, and the database.
clean_up_copy()
{
	case $1 in
	penstock) drop_slot copying ;;
	builtin) PGOPTIONS='-c client_min_messages=warning' sql "$(db_uri run)" 'DROP SUBSCRIPTION copying' ;;
	esac
	sql "$destination" 'DROP DATABASE run WITH (FORCE)'
}

measure()
{
	local from to
	sql "$destination" 'CREATE DATABASE run TEMPLATE base'
	restart_destination "$1"
	from=$(now)
	"copy_$1"
	to=$(now)
	note copy "$1" seconds "$(difference "$from" "$to")"
	# What penstock keeps of itself there is in a schema of its own.
	check_sums "$1" "$(db_uri run)"
	clean_up_copy "$1"
}

start_servers
echo "PostgreSQL $(sql "$source" 'SHOW server_version'), $(nproc) processors, fsync off"
offered_copies
make_tables
for run in $(seq "$runs"); do
	for system in $(in_turn "$run" $copies floor); do
		measure "$system"
	done
done
show copy "Initial copy of five tables of $(grouped "$(scaled 1000000)") rows, two at a time; medians of $runs runs" seconds
targets | show_targets
server_stop destination
server_stop source
