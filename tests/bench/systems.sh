# shellcheck shell=bash
# systems.sh -- the systems that carry changes from one server to another, under one set of verbs.
# Sourced. All of them stand between the same two servers, and the destination's databases are equal.
#
#   offered                       sets systems: those of $PENSTOCK_BENCH_SYSTEMS that can run here
#   prepare SYSTEM DB...          everything but to start; from slot `start`, or from now where live=yes
#   start SYSTEM DB...            let it run
#   finish SYSTEM DB...           let it end, and take away all that it made

live=
# Between servers as between machines, or by sockets of this one.
SERVER_TCP=${PENSTOCK_BENCH_TCP:-}

db_uri()
{
	server_uri destination "$1"
}

# Words for a connection inside of SQL.
conninfo()
{
	local address=host=$TMPDIR/$1
	[ -z "$SERVER_TCP" ] || address="host=127.0.0.1 port=$(cat "$TMPDIR/$1.port")"
	echo "$address user=postgres dbname=$2"
}

has_pglogical()
{
	[ -e "$("$PG_CONFIG" --pkglibdir)/pglogical.so" ]
}

start_servers()
{
	local preload=
	! has_pglogical || preload="shared_preload_libraries = 'pglogical'"
	# A commit is flushed, and so sent, when it returns, not when the WAL writer comes by.
	server_start source "$(bench_settings)" "$preload" 'synchronous_commit = on' 'max_replication_slots = 20' 'max_wal_senders = 20' \
		'max_worker_processes = 20' 'max_connections = 60' 'max_locks_per_transaction = 512'
	server_start destination "$(bench_settings)" 'max_replication_slots = 20' \
		'max_worker_processes = 20' 'max_logical_replication_workers = 12' 'wal_retrieve_retry_interval = 10ms' \
		'max_sync_workers_per_subscription = 2' 'max_locks_per_transaction = 512'
	source=$(server_uri source postgres)
	destination=$(server_uri destination postgres)
	major=$(($(sql "$source" 'SHOW server_version_num') / 10000))
}

# restart_destination SYSTEM: so that each begins with the same server. pglogical is loaded for itself
# only: its supervisor does not answer those who wait for all processes, as DROP DATABASE does.
restart_destination()
{
	local option=
	[ "$1" != pglogical ] || option='-c shared_preload_libraries=pglogical'
	server_stop destination
	pg_ctl -D "$TMPDIR/destination" -l "$TMPDIR/destination.log" -o "$option" -w -s start 3>&-
}

is_offered()
{
	case $1 in
	penstock | builtin) ;;
	builtin-parallel) [ "$major" -ge 16 ] ;;
	pglogical) has_pglogical ;;
	pgcopydb) command -v pgcopydb >/dev/null ;;
	*) fail "unknown system $1" ;;
	esac
}

offered()
{
	local system wanted=${PENSTOCK_BENCH_SYSTEMS:-penstock builtin builtin-parallel pglogical pgcopydb}
	systems=
	for system in $wanted; do
		if is_offered "$system"; then
			systems="$systems $system"
		else
			echo "Not here: $system"
		fi
	done
}

# publish: what each system is told of the source's tables, before slot `start`
publish()
{
	psql -X -q -v ON_ERROR_STOP=1 -d "$source" <<-'END'
	SELECT 'CREATE PUBLICATION bench FOR TABLE ' || string_agg(oid::regclass::text, ', ')
	FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
	\gexec
	END
	case $systems in
	*pglogical*)
		sql "$source" 'SET client_min_messages = warning; CREATE EXTENSION pglogical'
		sql "$source" "SELECT pglogical.create_node('provider', '$(conninfo source postgres)');
			SELECT pglogical.replication_set_add_table(
				CASE WHEN relreplident = 'd' AND EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND indisprimary)
					THEN 'default' ELSE 'default_insert_only' END, oid)
			FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'" >/dev/null
		;;
	esac
}

unpublish()
{
	sql "$source" 'DROP PUBLICATION bench'
	case $systems in
	*pglogical*) sql "$source" 'SET client_min_messages = error; DROP EXTENSION pglogical CASCADE' ;;
	esac
}

# make_slot NAME PLUGIN
make_slot()
{
	if [ -n "$live" ]; then
		sql "$source" "SELECT pg_create_logical_replication_slot('$1', '$2')" >/dev/null
	else
		copy_slot "$1" "$2"
	fi
}

# The walsenders' process ids.
senders()
{
	sql "$source" "SELECT active_pid FROM pg_replication_slots WHERE active AND slot_name <> 'start'"
}

# What works for a database at the destination, but for those who ask this and await.
appliers()
{
	sql "$destination" "SELECT pid FROM pg_stat_activity WHERE datname = '$1' AND pid <> pg_backend_pid()
		AND application_name NOT IN ('psql', 'await')"
}

# ---- penstock: one process for all databases ----

start_penstock()
{
	local db to=()
	for db; do
		to+=(--to "$db=$(db_uri "$db")")
	done
	# shellcheck disable=SC2086
	"$PENSTOCK" run --quiet --source "$source" --slot run_penstock --tables 'public.*' "${to[@]}" ${PENSTOCK_BENCH_OPTIONS:-} \
		>"$TMPDIR/penstock.log" 2>&1 3>&- &
	penstock=$!
}

stop_penstock()
{
	local status=0
	kill -TERM "$penstock" 2>/dev/null || true
	wait "$penstock" || status=$?
	[ "$status" = 0 ] || fail "penstock ended with $status: $(tail -n 3 "$TMPDIR/penstock.log")"
	penstock=
}

# ---- built-in: a subscription for each database ----

prepare_builtin()
{
	local db streaming=on options=
	if [ "$1" = builtin-parallel ]; then
		# Only what is streamed is applied in parallel.
		streaming=parallel options=" options=''-c logical_decoding_work_mem=64MB''"
	fi
	shift
	for db; do
		make_slot "run_$db" pgoutput
		sql "$(db_uri "$db")" "CREATE SUBSCRIPTION run_$db CONNECTION '$(conninfo source postgres)$options'
			PUBLICATION bench WITH (enabled = false, create_slot = false, slot_name = run_$db,
			copy_data = false, binary = true, streaming = $streaming)"
	done
}

# At the same time, as one process would.
start_builtin()
{
	local db jobs=()
	for db; do
		sql "$(db_uri "$db")" "ALTER SUBSCRIPTION run_$db ENABLE" &
		jobs+=($!)
	done
	wait "${jobs[@]}"
}

finish_builtin()
{
	local db
	for db; do
		sql "$(db_uri "$db")" "ALTER SUBSCRIPTION run_$db DISABLE"
		wait_for_release "run_$db"
		PGOPTIONS='-c client_min_messages=warning' sql "$(db_uri "$db")" "DROP SUBSCRIPTION run_$db"
	done
}

# ---- pglogical: only lets go of a subscription that has run, so it runs once before it is set back;
# its walsender needs wal_sender_timeout = 0, or it never catches up ----

pglogical_is_replicating()
{
	sql "$1" "SELECT 1 FROM pglogical.show_subscription_status() WHERE status = 'replicating'"
}

prepare_pglogical()
{
	local uri slot tries=0
	uri=$(db_uri "$1")
	sql "$uri" 'SET client_min_messages = warning; CREATE EXTENSION pglogical'
	sql "$uri" "SELECT pglogical.create_node('$1', '$(conninfo destination "$1")')" >/dev/null
	sql "$uri" "SELECT pglogical.create_subscription('bench',
		'$(conninfo source postgres) options=''-c wal_sender_timeout=0''',
		synchronize_structure := false, synchronize_data := false)" >/dev/null
	until [ "$(pglogical_is_replicating "$uri")" = 1 ]; do
		tries=$((tries + 1))
		[ "$tries" -lt 300 ] || fail "pglogical does not begin: $(tail -n 5 "$TMPDIR/destination.log")"
		sleep 0.1
	done
	sql "$uri" "SELECT pglogical.alter_subscription_disable('bench', true)" >/dev/null
	slot=$(sql "$uri" 'SELECT sub_slot_name FROM pglogical.subscription')
	drop_slot "$slot"
	make_slot "$slot" pglogical_output
	sql "$uri" "SELECT pg_replication_origin_advance('$slot', '$(sql "$source" \
		"SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '$slot'")')" >/dev/null
}

finish_pglogical()
{
	local uri slot
	uri=$(db_uri "$1")
	slot=$(sql "$uri" 'SELECT sub_slot_name FROM pglogical.subscription')
	sql "$uri" "SELECT pglogical.alter_subscription_disable('bench', true)" >/dev/null
	wait_for_release "$slot"
	sql "$uri" "SET client_min_messages = error; SELECT pglogical.drop_subscription('bench')" >/dev/null
	sql "$uri" "SET client_min_messages = error; DROP EXTENSION pglogical CASCADE"
	[ -z "$(sql "$source" "SELECT 1 FROM pg_replication_slots WHERE slot_name = '$slot'")" ] || drop_slot "$slot"
	restart_destination none
}

# ---- pgcopydb: prefetches into files, makes SQL of them, and runs that; files are taken when they are
# full, so that it is only ever in step at an LSN that it was told of: $end ----

pgcopydb_in()
{
	local db=$1
	shift
	"$@" --source "$source" --target "$(db_uri "$db")" --dir "$TMPDIR/pgcopydb.dir" \
		--slot-name run_pgcopydb --origin run_pgcopydb --resume --not-consistent >>"$TMPDIR/pgcopydb.log" 2>&1 3>&-
}

prepare_pgcopydb()
{
	make_slot run_pgcopydb wal2json
	: >"$TMPDIR/pgcopydb.log"
	# What it leaves out where the slot is there already.
	sql "$source" "CREATE SCHEMA pgcopydb; CREATE TABLE pgcopydb.sentinel(startpos pg_lsn, endpos pg_lsn,
		apply bool, write_lsn pg_lsn, flush_lsn pg_lsn, replay_lsn pg_lsn);
		INSERT INTO pgcopydb.sentinel SELECT confirmed_flush_lsn, '0/0', true, '0/0', '0/0', '0/0'
		FROM pg_replication_slots WHERE slot_name = 'run_pgcopydb'"
	pgcopydb_in "$1" pgcopydb stream setup || fail "pgcopydb: $(tail -n 3 "$TMPDIR/pgcopydb.log")"
}

finish_pgcopydb()
{
	kill -TERM "$pgcopydb" 2>/dev/null || true
	wait "$pgcopydb" || true
	drop_slot run_pgcopydb
	sql "$(db_uri "$1")" "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
		WHERE datname = '$1' AND pid <> pg_backend_pid()" >/dev/null
	sql "$(db_uri "$1")" "SELECT pg_replication_origin_drop('run_pgcopydb')" >/dev/null
	PGOPTIONS='-c client_min_messages=warning' sql "$source" 'DROP SCHEMA IF EXISTS pgcopydb CASCADE'
	rm -rf "$TMPDIR/pgcopydb.dir" "$TMPDIR/pgcopydb"
}

# ---- any ----

prepare()
{
	case $1 in
	penstock) make_slot run_penstock penstock ;;
	builtin*) prepare_builtin "$@" ;;
	pglogical) prepare_pglogical "$2" ;;
	pgcopydb) prepare_pgcopydb "$2" ;;
	esac
}

start()
{
	case $1 in
	penstock) start_penstock "${@:2}" ;;
	builtin*) start_builtin "${@:2}" ;;
	pglogical) sql "$(db_uri "$2")" "SELECT pglogical.alter_subscription_enable('bench', true)" >/dev/null ;;
	pgcopydb)
		pgcopydb_in "$2" pgcopydb follow --endpos "$end" &
		pgcopydb=$!
		;;
	esac
}

finish()
{
	case $1 in
	penstock) stop_penstock && drop_slot run_penstock ;;
	builtin*) finish_builtin "${@:2}" ;;
	pglogical) finish_pglogical "$2" ;;
	pgcopydb) finish_pgcopydb "$2" ;;
	esac
}
