# shellcheck shell=bash
# lib.sh -- what the benchmarks share: sizes, workloads, slots, processor time, figures. Sourced.
# Every size goes through scaled(): with SCALE=0.02 a script is tried out, and its times mean nothing.
# What a script finds goes into figures, one line a run, and is shown as medians.

. "$PENSTOCK_SANDBOX/tests/server.sh"
scale=${PENSTOCK_BENCH_SCALE:-1}
figures=$TMPDIR/figures.tsv
: >"$figures"
{ true >&3; } 2>/dev/null || exec 3>/dev/null

fail()
{
	echo "bench: $*" >&2
	exit 1
}

# scaled N: times SCALE, at least 1
scaled()
{
	awk -v n="$1" -v scale="$scale" 'BEGIN { n = int(n * scale + 0.5); print n < 1 ? 1 : n }'
}

# grouped N: 1,000,000
grouped()
{
	sed -E ':a; s/([0-9])([0-9]{3})(,|$)/\1,\2\3/; ta' <<<"$1"
}

now()
{
	date +%s.%N
}

# difference FROM TO
difference()
{
	awk -v from="$1" -v to="$2" 'BEGIN { printf "%.3f", to - from }'
}

# The same for all servers that are measured. Nothing spills: else the spilling would be measured.
bench_settings()
{
	cat <<-'END'
	logical_decoding_work_mem = 1GB
	max_wal_size = 8GB
	autovacuum = off
	shared_buffers = 512MB
	fsync = off
	synchronous_commit = off
	END
}

# ---- workloads: what is there before the slot, what is then decoded, and how much that is ----

# expected WORKLOAD: sets rows (or transactions a client), changes and commits
expected()
{
	case $1 in
	W1) rows=$(scaled 1000000) && changes=$rows commits=1 ;;
	W2) rows=$(scaled 25000) && changes=$((8 * rows)) commits=$((4 * rows)) ;;
	W3) rows=$(scaled 200000) && changes=$((3 * rows)) commits=3 ;;
	W4) rows=$(scaled 1000) && changes=$((200 * rows)) commits=$rows ;;
	W5) rows=$(scaled 6250) && changes=$((64 * rows)) commits=$((16 * rows)) ;;
	*) fail "unknown workload $1" ;;
	esac
}

describe()
{
	expected "$1"
	case $1 in
	W1) echo "one transaction of $(grouped "$rows") inserts" ;;
	W2) echo "$(grouped "$commits") transactions of pgbench -N" ;;
	W3) echo "$(grouped "$rows") wide rows inserted, updated, deleted, a transaction each" ;;
	W4) echo "$(grouped "$rows") tables, 200 rows in each, a transaction each" ;;
	W5) echo "$(grouped "$commits") transactions of pgbench's TPC-B at scale 1, by 16 clients" ;;
	esac
}

narrow_columns='id int PRIMARY KEY, grp int, payload text'
wide_columns='id bigint PRIMARY KEY, a int, b bigint, n numeric(12,2), t text, ts timestamptz, u uuid,
	j jsonb, f boolean, d float8, dt date, v varchar(40)'

# narrow_rows FROM TO, wide_rows N: a SELECT
narrow_rows()
{
	echo "SELECT i, i % 100, 'payload of row ' || i FROM generate_series($1, $2) i"
}

wide_rows()
{
	echo "SELECT i, i % 1000, i::bigint * 1000003, i / 7.0, 'text of row ' || i,
		timestamptz '2026-01-01' + i * interval '1 second', md5(i::text)::uuid,
		jsonb_build_object('id', i, 'tags', jsonb_build_array('a', 'b')), i % 2 = 0, i / 3.0,
		date '2026-01-01' + i % 365, 'varchar ' || i FROM generate_series(1, $1) i"
}

create()
{
	case $1 in
	W1) sql "$source" "CREATE TABLE narrow($narrow_columns)" ;;
	W2) pgbench -i -q -s "$(scaled 10)" "$source" >/dev/null 2>&1 ;;
	W3) sql "$source" "CREATE TABLE wide($wide_columns)" ;;
	W4) sql "$source" "DO \$\$ BEGIN FOR i IN 1..$(scaled 1000) LOOP
		EXECUTE format('CREATE TABLE t%s($narrow_columns)', i); END LOOP; END \$\$" ;;
	W5) pgbench -i -q -s 1 "$source" >/dev/null 2>&1 ;;
	esac
}

load()
{
	expected "$1"
	case $1 in
	W1) sql "$source" "INSERT INTO narrow $(narrow_rows 1 "$rows")" ;;
	W2) pgbench -n -N -c 4 -t "$rows" "$source" >/dev/null 2>&1 ;;
	W3)
		sql "$source" "INSERT INTO wide $(wide_rows "$rows")"
		sql "$source" "UPDATE wide SET a = a + 1, n = n + 1, t = t || '!'"
		sql "$source" 'DELETE FROM wide'
		;;
	W4) sql "$source" "DO \$\$ BEGIN FOR i IN 1..$rows LOOP
		EXECUTE format('INSERT INTO t%s SELECT i, i %% 100, ''payload of row '' || i FROM generate_series(1, 200) i', i);
		COMMIT; END LOOP; END \$\$" ;;
	W5) pgbench -n -c 16 -j 2 -t "$rows" "$source" >/dev/null 2>&1 ;;
	esac
}

destroy()
{
	case $1 in
	W1) sql "$source" 'DROP TABLE narrow' ;;
	W2 | W5) pgbench -i -I d "$source" >/dev/null 2>&1 ;;
	W3) sql "$source" 'DROP TABLE wide' ;;
	W4) sql "$source" "DO \$\$ BEGIN FOR i IN 1..$(scaled 1000) LOOP
		EXECUTE format('DROP TABLE t%s', i); COMMIT; END LOOP; END \$\$" ;;
	esac
}

# ---- slots: `start` stands before a workload, and each run has copies of it, so that all of them
# decode the same WAL ----

# copy_slot NAME PLUGIN
copy_slot()
{
	sql "$source" "SELECT pg_copy_logical_replication_slot('start', '$1', false, '$2')" \
		>/dev/null 2>"$TMPDIR/stderr" || fail "$2: $(cat "$TMPDIR/stderr")"
}

wait_for_release()
{
	until [ "$(sql "$source" "SELECT active FROM pg_replication_slots WHERE slot_name = '$1'")" != t ]; do
		sleep 0.05
	done
}

drop_slot()
{
	wait_for_release "$1"
	sql "$source" "SELECT pg_drop_replication_slot('$1')" >/dev/null
}

# receive SLOT END FILE [OPTION...]: what it complains of is kept, as decoderbufs always says something
receive()
{
	pg_recvlogical -d "$source" --slot "$1" --start --endpos "$2" --no-loop -f "$3" "${@:4}" \
		2>"$TMPDIR/stderr" 3>&-
}

# decode_floor END: seconds of decoding from `start` to there by our plugin, into nothing
decode_floor()
{
	local from to
	copy_slot floor penstock
	from=$(now)
	receive floor "$1" /dev/null || fail "decoding: $(cat "$TMPDIR/stderr")"
	to=$(now)
	drop_slot floor
	difference "$from" "$to"
}

# ---- processes ----

# cpu_of PID...: processor time that they have used, in seconds
cpu_of()
{
	local pid
	for pid; do
		sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null || true
	done | awk -v hz="$(getconf CLK_TCK)" '{ s += $12 + $13 } END { printf "%.2f", s / hz }'
}

# ended_cpu PID: of its children that have ended
ended_cpu()
{
	sed 's/.*) //' "/proc/$1/stat" | awk -v hz="$(getconf CLK_TCK)" '{ print ($14 + $15) / hz }'
}

# memory_of PID VmHWM|VmRSS: in MB
memory_of()
{
	awk -v what="$2:" '$1 == what { printf "%.0f", $2 / 1024 }' "/proc/$1/status"
}

# ---- contents ----

# sums URI: of each table its rows and a sum over them, whatever their order
sums()
{
	psql -X -A -t -q -v ON_ERROR_STOP=1 -d "$1" <<-'END'
	SELECT format('SELECT %L, count(*), coalesce(sum(hashtextextended(t::text, 0)), 0) FROM public.%I t', relname, relname)
	FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY relname
	\gexec
	END
}

# check_sums WHO URI: equal to those in the file sums.source?
check_sums()
{
	sums "$2" >"$TMPDIR/sums.found"
	cmp -s "$TMPDIR/sums.source" "$TMPDIR/sums.found" ||
		fail "$1: wrong contents (< source, > $1)
$(diff "$TMPDIR/sums.source" "$TMPDIR/sums.found" | head -n 20)"
}

# ---- figures: section, system, measure, value ----

note()
{
	printf '%s\t%s\t%s\t%s\n' "$@" >>"$figures"
}

# Medians, in the order of first appearance: section, system, measure, median, all runs.
medians()
{
	awk -F'\t' '
		{
			key = $1 "\t" $2 "\t" $3
			if (!(key in n))
				keys[++count] = key
			v[key, ++n[key]] = $4
			all[key] = all[key] (n[key] > 1 ? " " : "") $4
		}
		END {
			for (k = 1; k <= count; k++) {
				key = keys[k]
				for (i = 2; i <= n[key]; i++)
					for (j = i; j > 1 && v[key, j - 1] + 0 > v[key, j] + 0; j--) {
						t = v[key, j]; v[key, j] = v[key, j - 1]; v[key, j - 1] = t
					}
				print key "\t" v[key, int((n[key] + 1) / 2)] "\t" all[key]
			}
		}' "$figures"
}

# Not ours, and no limit of nature either: what a ratio to "best" is taken of.
peers='^(builtin|pglogical|pgcopydb|psql)'

# show SECTION TITLE MEASURE...: a table of medians; beside each the ratio to the best peer
show()
{
	local section=$1
	echo
	echo "$2"
	shift 2
	medians | awk -F'\t' -v section="$section" -v measures="$*" -v peers="$peers" '
		$1 == section {
			if (!($2 in seen)) { seen[$2] = 1; name[++count] = $2 }
			value[$2, $3] = $4
			all[$2, $3] = $5
			if ($2 ~ peers && (!($3 in best) || $4 + 0 < best[$3])) best[$3] = $4 + 0
		}
		END {
			columns = split(measures, measure, " ")
			printf "%-20s", ""
			for (c = 1; c <= columns; c++) printf " %13s %6s", measure[c], (measure[c] in best ? "/best" : "")
			print "  all runs of " measure[1]
			for (k = 1; k <= count; k++) {
				printf "%-20s", name[k]
				for (c = 1; c <= columns; c++) {
					m = measure[c]
					if ((name[k], m) in value) {
						v = value[name[k], m]
						printf " %13s %6s", v, (m in best && best[m] > 0 ? sprintf("%.2f", v / best[m]) : "")
					}
					else
						printf " %13s %6s", "-", ""
				}
				print "  " all[name[k], measure[1]]
			}
		}'
}

# show_targets: reads lines of section, system, measure, beside whom ("best" peer, a system, or - for
# the figure itself), at-most or at-least, limit; those of what was not measured are left out
show_targets()
{
	echo
	echo 'Targets'
	medians >"$TMPDIR/medians.tsv"
	awk -v peers="$peers" -v results="$TMPDIR/medians.tsv" '
		BEGIN {
			while ((getline line < results) > 0) {
				split(line, f, "\t")
				value[f[1], f[2], f[3]] = f[4]
				if (f[2] ~ peers && (!((f[1], "best", f[3]) in value) || f[4] + 0 < value[f[1], "best", f[3]] + 0)) {
					value[f[1], "best", f[3]] = f[4]
					who[f[1], f[3]] = f[2]
				}
			}
		}
		!(($1, $2, $3) in value) || ($4 != "-" && !(($1, $4, $3) in value)) { next }
		{
			found = value[$1, $2, $3]
			beside = ""
			if ($4 != "-") {
				if (value[$1, $4, $3] + 0 == 0)
					next
				found = found / value[$1, $4, $3]
				beside = " / " ($4 == "best" ? who[$1, $3] : $4)
			}
			met = $5 == "at-most" ? found + 0 <= $6 + 0 : found + 0 >= $6 + 0
			printf "%-10s %-52s %s %s: %s, %s\n", $1, $2 beside ", " $3, $5 == "at-most" ? "at most" : "at least",
				$6, $4 == "-" ? found : sprintf("%.2f", found), met ? "met" : "MISSED"
		}'
	[ "$scale" = 1 ] || echo "At SCALE=$scale these times mean nothing."
	{
		printf 'section\tsystem\tmeasure\tmedian\truns\n'
		cat "$TMPDIR/medians.tsv"
	} >&3
}

# in_turn RUN NAME...: the names, each run beginning with the next one
in_turn()
{
	local shift_by
	shift_by=$((($1 - 1) % ($# - 1)))
	shift
	echo "${@:shift_by+1}" "${@:1:shift_by}"
}
