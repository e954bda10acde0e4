#!/bin/bash
# client.sh MAJOR... -- pg_recvlogical of this PostgreSQL reads a Penstock server of each MAJOR, of
# which it starts the one of its own version. Runs in the sandbox, for all versions at the same time;
# they meet in the folder PENSTOCK_SHARED, where the servers' sockets are and the captures go.
# The slots of all clients are older than a server's workload, so that all of them read the same.
# SHARED/SERVER/result.CLIENT tells what was found: lines "FAILED: …", "not possible: …", and "done".
set -eu -o pipefail

. "$PENSTOCK_SANDBOX/tests/server.sh"

servers=$*
shared=$PENSTOCK_SHARED
client=$(pg_config --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/')
formats='native json text'
meet_seconds=90
read_seconds=60

note()
{
	echo "$1" >>"$shared/$server/result.$client"
}

# A failure does not end the script: the others are told too.
failed()
{
	note "FAILED: $1"
	echo "pg_recvlogical $client, server $server: $1"
	[ ! -s "${2:-}" ] || head -n 20 "$2"
}

# Wait until every version has come here, unless one of them has given up.
meet()
{
	local other deadline=$((SECONDS + meet_seconds))
	touch "$shared/$1.$client"
	for other in $servers; do
		until [ -e "$shared/$1.$other" ]; do
			[ ! -e "$shared/stop" ] || { echo "$client: another has given up"; exit 1; }
			[ "$SECONDS" -lt "$deadline" ] || { echo "$client: $other does not come to $1"; exit 1; }
			sleep 0.1
		done
	done
}

uri()
{
	echo "postgresql:///postgres?host=$shared/$server&user=postgres"
}

query()
{
	sql "$(uri)" "$1"
}

recvlogical()
{
	timeout -k 5 "$read_seconds" pg_recvlogical -d "$(uri)" "$@" </dev/null
}

# ---- the server of this version ----

start_server()
{
	local server=$client
	server_start server "unix_socket_directories = '$shared/$client'" 'max_replication_slots = 50' \
		'max_wal_senders = 50' 'max_prepared_transactions = 10' 'logical_decoding_work_mem = 64kB' \
		'autovacuum = off' 'fsync = off'
	query "CREATE TABLE kinds(id int PRIMARY KEY, t text, n numeric, ts timestamptz, b bytea, a text[], j jsonb);
		CREATE TABLE whole(a int, t text); ALTER TABLE whole REPLICA IDENTITY FULL;
		CREATE TABLE gone(a int)"
}

# What a transaction of two phases brings depends on the slot: see expected_events.
run_workload()
{
	local server=$client statement
	for statement in \
		"INSERT INTO kinds SELECT i, E'row \"' || i || E'\"\n é', i / 8.0, '2026-01-02 03:04:05.6+02', '\x00ff', '{a,NULL,\"b c\"}', '{\"a\": [1, null]}' FROM generate_series(1, 10) i" \
		"BEGIN; UPDATE kinds SET t = NULL WHERE id < 4; UPDATE kinds SET id = 20 WHERE id = 10; DELETE FROM kinds WHERE id IN (1, 2);
			INSERT INTO whole VALUES (1, 'x'); UPDATE whole SET t = 'y'; DELETE FROM whole; COMMIT" \
		"SELECT pg_logical_emit_message(true, 'pre', 'in a transaction'), pg_logical_emit_message(false, 'pre', '\x00ff'::bytea)" \
		"BEGIN; INSERT INTO whole VALUES (2, 'kept'); PREPARE TRANSACTION 'kept \"é\"'" \
		"BEGIN; INSERT INTO whole VALUES (3, 'undone'); PREPARE TRANSACTION 'undone'" \
		"INSERT INTO whole SELECT i, 'large ' || i FROM generate_series(1, 3000) i" \
		"BEGIN; INSERT INTO whole SELECT i, 'prepared ' || i FROM generate_series(1, 2000) i; PREPARE TRANSACTION 'large'" \
		"ROLLBACK PREPARED 'undone'" "COMMIT PREPARED 'kept \"é\"'" "COMMIT PREPARED 'large'" \
		"INSERT INTO gone VALUES (1)" "TRUNCATE gone, whole RESTART IDENTITY" \
		"INSERT INTO whole VALUES (4, 'last')"; do
		query "$statement" >/dev/null
	done
	# There is something beyond the end, so that it is reached.
	query 'SELECT pg_current_wal_insert_lsn()' >"$shared/$client/end"
	query CHECKPOINT
}

# The number of events of each kind, but those that depend on how a version counts memory.
expected_events()
{
	if [ "$1" = two_phase ]; then
		echo begin=6 begin_prepare=2 commit=6 commit_prepared=2 delete=3 insert=5015 message=2 prepare=2 \
			rollback_prepared=1 stream_commit=1 stream_prepare=1 truncate=1 update=5
	else
		echo begin=7 commit=7 delete=3 insert=5014 message=2 stream_commit=2 truncate=1 update=5
	fi
}

# ---- slots ----

knows_option()
{
	pg_recvlogical --help | grep -e "$1" >/dev/null
}

# Each format's slot is created with another spelling, as far as this client has them.
two_phase_option()
{
	case $1 in
	native) knows_option --enable-two-phase && echo --enable-two-phase || echo --two-phase ;;
	json) echo --two-phase ;;
	text) echo -t ;;
	esac
}

create_slot()
{
	recvlogical --slot "c${client}_$1" --create-slot --plugin penstock "${@:2}" >"$TMPDIR/output" 2>&1
}

has_failover_slots()
{
	[ "$(query "SELECT count(*) FROM pg_attribute WHERE attrelid = 'pg_replication_slots'::regclass AND attname = 'failover'")" = 1 ]
}

# What a client without the option says is what is reported of it.
create_failover_slots()
{
	if ! knows_option --enable-failover; then
		create_slot failover_plain_json --enable-failover && failed 'a slot with failover, by an option that --help does not know'
		note "not possible: failover: client: $(sed 's/^[^ ]*: //; q' "$TMPDIR/output")"
		return
	fi
	create_slot failover_plain_json --enable-failover || failed 'no slot with failover' "$TMPDIR/output"
	create_slot failover_two_phase_json --enable-failover --enable-two-phase ||
		failed 'no two-phase slot with failover' "$TMPDIR/output"
	if ! has_failover_slots; then
		note 'not possible: failover: server has no such slots, client silently makes ordinary ones'
	elif [ -n "$(slots "CASE WHEN failover <> (slot_name LIKE '%failover%') THEN slot_name END")" ]; then
		failed "failover is: $(slots "slot_name || '=' || failover")"
	fi
}

slots()
{
	query "SELECT string_agg($1, ' ' ORDER BY slot_name) FROM pg_replication_slots WHERE slot_name LIKE 'c${client}\\_%'"
}

create_slots()
{
	local format
	for format in $formats; do
		create_slot "plain_$format" || failed "no slot for $format" "$TMPDIR/output"
		create_slot "two_phase_$format" "$(two_phase_option "$format")" ||
			failed "no two-phase slot for $format" "$TMPDIR/output"
	done
	create_failover_slots
	[ -z "$(slots "CASE WHEN two_phase <> (slot_name LIKE '%two_phase%') THEN slot_name END")" ] ||
		failed "two-phase is: $(slots "slot_name || '=' || two_phase")"
}

# A walsender may outlive its client for a moment.
drop_slots()
{
	local slot slot_list deadline=$((SECONDS + 10))
	until [ -z "$(slots 'active_pid::text')" ] || [ "$SECONDS" -ge "$deadline" ]; do
		sleep 0.1
	done
	slot_list=$(slots slot_name)
	for slot in $slot_list; do
		recvlogical --slot "$slot" --drop-slot >"$TMPDIR/output" 2>&1 || failed "$slot is not dropped" "$TMPDIR/output"
	done
	slot_list=$(slots slot_name)
	[ -z "$slot_list" ] || failed "still there after --drop-slot: $slot_list"
}

# ---- reading ----

# The options of a kind of slot, beside the format
options()
{
	echo --option streaming=on --option messages=on
	case $1 in *two_phase) echo --option two_phase=on ;; esac
}

# capture KIND FORMAT: to a file of which $captured is the beginning of the name
capture()
{
	recvlogical --slot "c${client}_$1_$2" --start --no-loop --endpos "$(cat "$shared/$server/end")" \
		--file "$captured.$1.$2" --option "format=$2" $(options "$1") >"$TMPDIR/output" 2>&1 ||
		failed "$1 slot, format $2: not read" "$TMPDIR/output"
}

events()
{
	sed -E 's/^\{"op":"([a-z_]+)".*/\1/' "$1" | grep -vxE 'relation|stream_start|stream_stop' |
		sort | uniq -c | awk '{ printf "%s%s=%s", sep, $2, $1; sep = " " }'
}

# The formats of one kind of slot say the same, and what was done.
compare_formats()
{
	local kind=$1 json=$captured.$1.json
	if ! "$PENSTOCK" decode --schema "$captured.$kind.native" >"$TMPDIR/decoded" 2>"$TMPDIR/output"; then
		failed "$kind: the native file is not decoded" "$TMPDIR/output"
	fi
	diff -U0 "$json" "$TMPDIR/decoded" >"$TMPDIR/output" || failed "$kind: native, decoded, is not json" "$TMPDIR/output"
	[ "$(events "$json")" = "$(expected_events "$kind")" ] || failed "$kind: events are $(events "$json")"
	grep -F '"op":"stream_start"' "$json" >/dev/null || failed "$kind: nothing was streamed"
	[ "$(wc -l <"$json")" = "$(wc -l <"$captured.$kind.text")" ] || failed "$kind: text has not as many lines as json"
	grep -x 'STREAM COMMIT' "$captured.$kind.text" >/dev/null || failed "$kind: no streamed transaction as text"
}

# refused PATTERN OPTION: the client ends with an error, which is the server's
refused()
{
	local status=0
	recvlogical --slot "c${client}_plain_json" --start --no-loop --file - --option "$2" >/dev/null 2>"$TMPDIR/output" || status=$?
	[ "$status" != 0 ] || failed "-o $2 is no error"
	[ "$status" != 124 ] || failed "-o $2 does not end"
	grep -E "ERROR: .*$1" "$TMPDIR/output" >/dev/null || failed "-o $2: not the server's message" "$TMPDIR/output"
}

# Where there are any. Nothing waits for a standby, as none is named.
read_failover_slots()
{
	local slot kind
	for slot in $(slots "CASE WHEN slot_name LIKE '%failover%' THEN slot_name END"); do
		kind=${slot#*_failover_}
		kind=${kind%_json}
		capture "failover_$kind" json
		cmp "$captured.$kind.json" "$captured.failover_$kind.json" >"$TMPDIR/output" 2>&1 ||
			failed "$kind: the slot with failover is read otherwise" "$TMPDIR/output"
	done
}

read_server()
{
	local kind format captured=$shared/$server/$client
	refused 'unrecognized option "nonsense" of output plugin penstock' nonsense=1
	refused 'invalid value "xml" for option "format"' format=xml
	for kind in plain two_phase; do
		for format in $formats; do
			capture "$kind" "$format"
		done
		compare_formats "$kind"
	done
	read_failover_slots
	drop_slots
	note done
}

mkdir -p "$shared/$client"
start_server
meet started
for server in $servers; do
	create_slots
done
meet created
run_workload
meet written
for server in $servers; do
	read_server
done
meet read
server_stop server
