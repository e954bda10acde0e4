#!/bin/bash
# demo.sh -- see Penstock work: a source, three followers and tables in memory, under load, and at
# the end all five compared row by row. Runs in the sandbox: make demo
set -eu -o pipefail

here=$PENSTOCK_SANDBOX/tests
. "$here/server.sh"

inserts=10000
changes=2000
tables='users events demo_postgres_cdc'
followers='f1 f2 f3'
report=$TMPDIR/report
bold='' green='' red='' plain=''
if [ -t 1 ]; then
	bold=$'\e[1m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
fi

fail()
{
	echo "${red}demo: $*${plain}" >&2
	exit 1
}

schema()
{
	cat <<'SQL'
CREATE TABLE users (
	id serial PRIMARY KEY,
	name text,
	email text);
CREATE TABLE events (
	id bigint PRIMARY KEY,
	ts timestamptz,
	event jsonb);
CREATE TABLE demo_postgres_cdc (
	id serial PRIMARY KEY,
	name text NOT NULL,
	age integer NOT NULL,
	email text NOT NULL,
	is_active boolean NOT NULL DEFAULT true);
CREATE SEQUENCE event_ids;
SQL
}

# pgbench scripts: one transaction is one statement.
write_load()
{
	cat >"$TMPDIR/insert.sql" <<'SQL'
\set table random(1, 3)
\set age random(18, 68)
\if :table = 1
INSERT INTO users (name, email) VALUES ('User ' || :client_id, 'user' || :age || '@example.com');
\elif :table = 2
INSERT INTO events VALUES (nextval('event_ids'), clock_timestamp(), '{"kind": "signup", "age": :age}');
\else
INSERT INTO demo_postgres_cdc (name, age, email) VALUES ('User', :age, 'user@example.com');
\endif
SQL
	cat >"$TMPDIR/change.sql" <<'SQL'
\set what random(1, 4)
\set back random(0, 50)
\if :what = 1
UPDATE users SET name = 'Updated Name' WHERE id = (SELECT last_value FROM users_id_seq) - :back;
\elif :what = 2
UPDATE demo_postgres_cdc SET age = 30, is_active = NOT is_active
	WHERE id = (SELECT last_value FROM demo_postgres_cdc_id_seq) - :back;
\elif :what = 3
DELETE FROM events WHERE id = (SELECT last_value FROM event_ids) - :back;
\else
DELETE FROM users WHERE id = (SELECT last_value FROM users_id_seq) - :back;
\endif
SQL
}

start_servers()
{
	local follower
	server_start source 'max_wal_senders = 10'
	server_start followers
	sql "$(server_uri source postgres)" 'CREATE DATABASE demo'
	source=$(server_uri source demo)
	schema | psql -X -q -d "$source"
	for follower in $followers; do
		sql "$(server_uri followers postgres)" "CREATE DATABASE $follower"
		schema | psql -X -q -d "$(server_uri followers "$follower")"
	done
}

start_penstock()
{
	local follower to=()
	for follower in $followers; do
		to+=(--to "$follower=$(server_uri followers "$follower")")
	done
	"$PENSTOCK" run --source "$source" --slot demo --create-slot --to memory: "${to[@]}" \
		--dump-tables "$TMPDIR/memory.json" >"$report" 2>"$TMPDIR/penstock.err" &
	penstock=$!
	wait_for 'the consumer to stream' sql "$source" \
		"SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'demo' AND active"
}

penstock_lives()
{
	kill -0 "$penstock" 2>/dev/null || fail "penstock ended: $(tail -n 3 "$TMPDIR/penstock.err")"
}

# wait_for WHAT COMMAND...: until the command prints 1, for half a minute at most
wait_for()
{
	local what=$1 until=$((SECONDS + 30))
	shift
	while [ "$SECONDS" -lt "$until" ]; do
		penstock_lives
		[ "$("$@")" != 1 ] || return 0
		sleep 0.05
	done
	fail "waited 30 s for $what: $(tail -n 3 "$TMPDIR/penstock.err")"
}

# wait_everywhere ID: commits come in order, so where this last row is, everything is.
wait_everywhere()
{
	local follower
	sql "$source" "INSERT INTO events VALUES ($1, now(), '{\"kind\": \"last\"}')"
	for follower in $followers; do
		wait_for "$follower to have everything" \
			sql "$(server_uri followers "$follower")" "SELECT count(*) FROM events WHERE id = $1"
	done
	wait_for 'memory to have everything' memory_is_complete
}

memory_is_complete()
{
	kill -USR1 "$penstock"
	sleep 0.1
	[ "$(count_memory)" != "$(count_rows "$source")" ] || echo 1
}

count_rows()
{
	sql "$1" 'SELECT (SELECT count(*) FROM users) + (SELECT count(*) FROM events)
		+ (SELECT count(*) FROM demo_postgres_cdc)'
}

# The rows of all memory tables, from the line that the consumer prints on SIGUSR1.
count_memory()
{
	sed -n 's/.*"tables":{\([^}]*\)}.*/\1/p' "$TMPDIR/penstock.err" | tail -n 1 | tr ',' '\n' |
		awk -F: '{ rows += $NF } END { print rows + 0 }'
}

# One line of counts: rewritten in place on a terminal, a new one each second elsewhere. The source
# is asked last, so that it is never behind.
show_counts()
{
	local follower line='' rows
	kill -USR1 "$penstock"
	for follower in $followers; do
		rows=$(count_rows "$(server_uri followers "$follower")")
		printf -v line '%s %10d' "$line" "$rows"
	done
	printf -v line '%10d%s' "$(count_memory)" "$line"
	printf -v line '  %6.1f s %10d %s' "$(elapsed)" "$(count_rows "$source")" "$line"
	if [ -t 1 ]; then
		printf '\r%s' "$line"
	else
		echo "$line"
	fi
}

now()
{
	date +%s.%N
}

elapsed()
{
	awk -v from="$began" -v to="$(now)" 'BEGIN { printf "%.1f", to - from }'
}

# All of the load, until it has arrived everywhere; then the seconds that it took.
load()
{
	pgbench -n -c 4 -j 2 -t $((inserts / 4)) -f "$TMPDIR/insert.sql" "$source" >"$TMPDIR/load.log" 2>&1 &
	local insert_job=$!
	pgbench -n -t "$changes" -f "$TMPDIR/change.sql" "$source" >"$TMPDIR/change.log" 2>&1 || return 1
	wait "$insert_job" || return 1
	wait_everywhere 1500000
	elapsed >"$TMPDIR/seconds"
}

# latency SAMPLES FIRST_ID: "p50 p99 max" in milliseconds, from source to the first follower
latency()
{
	"$PENSTOCK_SANDBOX/bin/latency" "$source" "$(server_uri followers f1)" "$@"
}

run_load()
{
	local load_job latency_job pause=1
	[ ! -t 1 ] || pause=0.3
	printf '\n%s  %8s %10s %10s %10s %10s %10s%s\n' "$bold" rows: source memory $followers "$plain"
	began=$(now)
	load &
	load_job=$!
	latency 300 1000000 >"$TMPDIR/latency-load" &
	latency_job=$!
	while kill -0 "$load_job" 2>/dev/null; do
		penstock_lives
		show_counts
		sleep "$pause"
	done
	wait "$load_job" || fail "the load failed: $(tail -n 3 "$TMPDIR/load.log" "$TMPDIR/change.log")"
	wait "$latency_job" || fail 'a row did not arrive'

	seconds=$(cat "$TMPDIR/seconds")
	show_counts
	[ ! -t 1 ] || echo
	latency 300 2000000 >"$TMPDIR/latency-idle"
	wait_everywhere 2500000
}

# SIGTERM is as good as Ctrl-C, and background jobs of a script do not ignore it.
stop_penstock()
{
	local status=0 until=$((SECONDS + 20))
	kill -TERM "$penstock"
	while kill -0 "$penstock" 2>/dev/null && [ "$SECONDS" -lt "$until" ]; do
		sleep 0.1
	done
	kill -KILL "$penstock" 2>/dev/null || true
	wait "$penstock" || status=$?
	[ "$status" = 0 ] || fail "penstock ended with $status: $(tail -n 3 "$TMPDIR/penstock.err")"
}

# rows_of URI TABLE: all of them as text, in order
rows_of()
{
	sql "$1" "COPY (SELECT * FROM $2 ORDER BY 1) TO STDOUT"
}

# The memory tables' dump, one JSON line a row, as tables in a database: PostgreSQL reads the values.
load_memory_dump()
{
	sql "$(server_uri source postgres)" 'CREATE DATABASE memory'
	memory=$(server_uri source memory)
	psql -X -q -v ON_ERROR_STOP=1 -d "$memory" <<SQL
CREATE TABLE dump(line jsonb);
\\copy dump FROM '$TMPDIR/memory.json' WITH (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')
CREATE VIEW rows AS SELECT line->>'table' AS name, line->'row' AS r FROM dump;
CREATE VIEW users AS SELECT (r->>'id')::int AS id, r->>'name' AS name, r->>'email' AS email
	FROM rows WHERE name = 'users';
CREATE VIEW events AS SELECT (r->>'id')::bigint AS id, (r->>'ts')::timestamptz AS ts,
	(r->>'event')::jsonb AS event FROM rows WHERE name = 'events';
CREATE VIEW demo_postgres_cdc AS SELECT (r->>'id')::int AS id, r->>'name' AS name,
	(r->>'age')::int AS age, r->>'email' AS email, (r->>'is_active')::bool AS is_active
	FROM rows WHERE name = 'demo_postgres_cdc';
SQL
}

# compare NAME URI: with the source
compare()
{
	local table rows=0
	for table in $tables; do
		rows_of "$source" "$table" >"$TMPDIR/expected"
		rows_of "$2" "$table" >"$TMPDIR/found"
		if ! diff "$TMPDIR/expected" "$TMPDIR/found" >"$TMPDIR/difference"; then
			printf '  %-8s %s%s differs%s (< source, > %s)\n' "$1" "$red" "$table" "$plain" "$1"
			head -n 6 "$TMPDIR/difference"
			differs=1
			return
		fi
		rows=$((rows + $(wc -l <"$TMPDIR/expected")))
	done
	printf '  %-8s %d rows, %sequal%s\n' "$1" "$rows" "$green" "$plain"
}

compare_all()
{
	local follower
	differs=0
	load_memory_dump
	printf '\n%sCompared with the source, row by row%s\n' "$bold" "$plain"
	compare memory "$memory"
	for follower in $followers; do
		compare "$follower" "$(server_uri followers "$follower")"
	done
}

show_figures()
{
	local p50 p99 when
	printf '\n%d inserts, %d updates and deletes, a transaction each, in %s s: %.0f transactions/s\n' \
		"$inserts" "$changes" "$seconds" \
		"$(awk -v n=$((inserts + changes)) -v s="$seconds" 'BEGIN { print n / s }')"
	echo "From COMMIT at the source to visible in a follower:"
	for when in load idle; do
		read -r p50 p99 _ <"$TMPDIR/latency-$when"
		printf '  %-6s p50 %6s ms   p99 %6s ms\n' "$when" "$p50" "$p99"
	done
}

echo "A source, three followers, and tables in memory; ${bold}penstock run${plain} in between."
write_load
start_servers
start_penstock
run_load
stop_penstock
compare_all
show_figures
server_stop source
server_stop followers
exit "$differs"
