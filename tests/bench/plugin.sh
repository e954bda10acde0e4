#!/bin/bash
# plugin.sh [RUNS [WORKLOAD...]] -- how long the server takes to decode, by plugin: pg_recvlogical into
# /dev/null, in turns, medians. Runs in the sandbox: make bench-plugin [RUNS=5] [WORKLOADS="W1 W4"]
# Compare the ratios of one run, never seconds of different runs or machines. A run that did not
# decode everything ends it; a time never does. File descriptor 3, where open, gets the table as TSV.
#
# seconds  from the start of pg_recvlogical to its end
# cpu      of the server in that time: less noisy where other work runs on the machine
# MB       received, with the newline that pg_recvlogical writes after each message
set -eu -o pipefail

. "$PENSTOCK_SANDBOX/tests/bench/lib.sh"
runs=${1:-5}
shift || true
[ $# -gt 0 ] || set -- W1 W2 W3 W4
pkglibdir=$("$PG_CONFIG" --pkglibdir)
results=$TMPDIR/results.tsv
event=instructions:u

# What is to hold: workload, contender, measure, beside whom, at most.
targets()
{
	cat <<-'END'
	W1 penstock seconds floor 1.15
	W2 penstock seconds floor 1.15
	W3 penstock seconds floor 1.25
	W4 penstock seconds floor 1.15
	W1 penstock seconds pgoutput 0.55
	W2 penstock seconds pgoutput 0.85
	W3 penstock seconds pgoutput 0.75
	W3 penstock bytes pgoutput 0.75
	W3 penstock bytes decoderbufs 0.4
	W1 penstock-decoderbufs seconds decoderbufs 0.8
	W2 penstock-decoderbufs seconds decoderbufs 0.8
	W3 penstock-decoderbufs seconds decoderbufs 0.8
	END
}

# The contenders: an output plugin and its options each.

plugin_of()
{
	case $1 in
	floor) echo penstock_floor ;;
	pgoutput*) echo pgoutput ;;
	penstock*) echo penstock ;;
	*) echo "$1" ;;
	esac
}

options()
{
	case $1 in
	pgoutput) echo --option proto_version=1 --option publication_names=bench ;;
	pgoutput-binary) echo --option proto_version=1 --option publication_names=bench --option binary=true ;;
	wal2json) echo --option format-version=2 ;;
	penstock-decoderbufs) echo --option format=decoderbufs ;;
	esac
}

# Does the server take the contender's options?
is_offered()
{
	local plugin status=0
	plugin=$(plugin_of "$1")
	[ -e "$pkglibdir/$plugin.so" ] || return 1
	copy_slot run "$plugin"
	receive run "$end" /dev/null $(options "$1") || status=$?
	drop_slot run
	if [ "$status" = 0 ]; then
		return 0
	fi
	grep -qE 'unrecognized option|unknown option|invalid value .* option "format"' "$TMPDIR/stderr" ||
		fail "$1: $(cat "$TMPDIR/stderr")"
	return 1
}

choose_contenders()
{
	local name
	sql "$source" "SELECT pg_create_logical_replication_slot('start', 'pgoutput')" >/dev/null
	end=$(sql "$source" 'SELECT pg_current_wal_insert_lsn()')
	sql "$source" 'CHECKPOINT'
	contenders=
	for name in floor pgoutput pgoutput-binary wal2json decoderbufs penstock penstock-decoderbufs; do
		if is_offered "$name"; then
			contenders="$contenders $name"
		else
			echo "Not here: $name"
		fi
	done
	sql "$source" "SELECT pg_drop_replication_slot('start')" >/dev/null
}

# What the server itself says it decoded: equal for all, and nothing spilled to disk.
check_decoded()
{
	local decoded
	decoded=$(sql "$source" "SELECT total_txns, total_bytes, spill_txns FROM pg_stat_replication_slots WHERE slot_name = 'run'")
	: "${all_decode:=$decoded}"
	[ "$decoded" = "$all_decode" ] || fail "$1 decoded $decoded (transactions|bytes|spilled), others $all_decode"
	[ "${decoded##*|}" = 0 ] || fail "decoding spilled to disk: logical_decoding_work_mem is too small"
}

# run_once CONTENDER FILE: sets seconds and cpu
run_once()
{
	local from to cpu_from
	copy_slot run "$(plugin_of "$1")"
	cpu_from=$(ended_cpu "$postmaster")
	from=$(now)
	receive run "$end" "$2" $(options "$1") || fail "$1: $(cat "$TMPDIR/stderr")"
	to=$(now)
	wait_for_release run
	check_decoded "$1"
	sleep 0.05
	cpu=$(difference "$cpu_from" "$(ended_cpu "$postmaster")")
	seconds=$(difference "$from" "$to")
	drop_slot run
}

# With processor events: virtual machines often have none.
can_count()
{
	perf stat -x, -e "$event" true 2>&1 | grep -qE "^[0-9]+,"
}

# count CONTENDER: the instructions of the server in one more run, or nothing
count()
{
	can_count || return 0
	copy_slot run "$(plugin_of "$1")"
	perf stat -x, -o "$TMPDIR/perf" -e "$event" -p "$postmaster" -- \
		pg_recvlogical -d "$source" --slot run --start --endpos "$end" --no-loop -f /dev/null $(options "$1")
	drop_slot run
	awk -F, '/^[0-9]/ { print $1 }' "$TMPDIR/perf"
}

count_lines()
{
	grep -cE "$1" || true
}

# check_capture CONTENDER FILE: is everything in it? expected() has set how much that is.
check_capture()
{
	local got
	case $1 in
	floor)
		got=$(stat -c %s "$2")
		[ "$got" = $((2 * commits)) ] || fail "the floor sent $got bytes for $commits commits"
		;;
	wal2json)
		got=$(count_lines '"action":"[IUD]"' <"$2")
		[ "$got" = "$changes" ] || fail "wal2json sent $got of $changes changes"
		;;
	penstock)
		got=$("$PENSTOCK" decode "$2" | count_lines '^\{"op":"(insert|update|delete)"')
		[ "$got" = "$changes" ] || fail "penstock sent $got of $changes changes"
		;;
	decoderbufs) cp "$2" "$TMPDIR/decoderbufs.capture" ;;
	penstock-decoderbufs)
		[ ! -e "$TMPDIR/decoderbufs.capture" ] || cmp "$2" "$TMPDIR/decoderbufs.capture" >&2 ||
			echo "Note: penstock's format=decoderbufs sent other bytes than decoderbufs" >&2
		;;
	esac
}

# A first run of each, into a file, warms the caches and is not timed.
capture_all()
{
	local name
	for name in $contenders; do
		rm -f "$TMPDIR/capture"
		run_once "$name" "$TMPDIR/capture"
		check_capture "$name" "$TMPDIR/capture"
		stat -c %s "$TMPDIR/capture" >"$TMPDIR/$name.bytes"
		count "$name" >"$TMPDIR/$name.count"
		rm -f "$TMPDIR/$name.times" "$TMPDIR/$name.cpus"
	done
	rm -f "$TMPDIR"/*capture
}

time_all()
{
	local run name
	for run in $(seq "$runs"); do
		for name in $contenders; do
			run_once "$name" /dev/null
			echo "$seconds" >>"$TMPDIR/$name.times"
			echo "$cpu" >>"$TMPDIR/$name.cpus"
		done
	done
}

median()
{
	sort -n "$1" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

record()
{
	local name
	for name in $contenders; do
		printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$1" "$name" "$(median "$TMPDIR/$name.times")" \
			"$(median "$TMPDIR/$name.cpus")" "$(cat "$TMPDIR/$name.bytes")" "$changes" "$commits" \
			"$(cat "$TMPDIR/$name.count")" "$(paste -sd' ' "$TMPDIR/$name.times")" >>"$results"
	done
}

# 1 workload 2 contender 3 seconds 4 cpu 5 bytes 6 changes 7 commits 8 instructions 9 all runs
show_plugins()
{
	echo
	echo "$1: $(describe "$1"); medians of $runs runs"
	awk -F'\t' -v workload="$1" '
		BEGIN { format = "%-21s %8s %7s %7s %7s %7s %7s %8s %7s %7s  %s\n" }
		$1 == workload { name[++n] = $2; s[$2] = $3; cpu[$2] = $4; b[$2] = $5; i[$2] = $8; all[$2] = $9; changes = $6 }
		function ratio(a, b) { return b > 0 ? sprintf("%.2f", a / b) : "-" }
		END {
			printf format, "", "seconds", "/floor", "/pgout", "cpu", "/floor", "/pgout", "MB", "/pgout", "instr", "all runs"
			for (k = 1; k <= n; k++) {
				p = name[k]
				printf format, p, sprintf("%.2f", s[p]), ratio(s[p], s["floor"]), ratio(s[p], s["pgoutput"]),
					sprintf("%.2f", cpu[p]), ratio(cpu[p], cpu["floor"]), ratio(cpu[p], cpu["pgoutput"]),
					sprintf("%.1f", b[p] / 1e6), ratio(b[p], b["pgoutput"]),
					i[p] == "" ? "-" : sprintf("%.0f", i[p] / changes), all[p]
			}
		}' "$results"
}

show_plugin_targets()
{
	echo
	echo 'Targets'
	targets | awk -v results="$results" '
		BEGIN {
			while ((getline line < results) > 0) {
				split(line, f, "\t")
				value[f[1], f[2], "seconds"] = f[3]
				value[f[1], f[2], "cpu"] = f[4]
				value[f[1], f[2], "bytes"] = f[5]
			}
		}
		!(($1, $2, $3) in value) || !(($1, $4, $3) in value) { next }
		{
			ratio = value[$1, $2, $3] / value[$1, $4, $3]
			printf "%s %-44s at most %.2f: %.2f, %s", $1, $2 " / " $4 ", " $3, $5, ratio, ratio <= $5 ? "met" : "MISSED"
			if ($3 == "seconds" && value[$1, $4, "cpu"] > 0)
				printf " (cpu %.2f)", value[$1, $2, "cpu"] / value[$1, $4, "cpu"]
			print ""
		}'
}

measure()
{
	expected "$1"
	create "$1"
	sql "$source" "SELECT pg_create_logical_replication_slot('start', 'pgoutput')" >/dev/null
	load "$1"
	end=$(sql "$source" 'SELECT pg_current_wal_insert_lsn()')
	sql "$source" 'CHECKPOINT'
	all_decode=
	capture_all
	time_all
	record "$1"
	sql "$source" "SELECT pg_drop_replication_slot('start')" >/dev/null
	destroy "$1"
	show_plugins "$1"
}

for workload; do
	expected "$workload"
done
cp "$PENSTOCK_SANDBOX/tests/bench/floor/penstock_floor.so" "$pkglibdir/"
server_start source "$(bench_settings)"
source=$(server_uri source postgres)
postmaster=$(head -n 1 "$TMPDIR/source/postmaster.pid")
sql "$source" 'CREATE PUBLICATION bench FOR ALL TABLES'
echo "PostgreSQL $(sql "$source" 'SHOW server_version')"
choose_contenders
can_count || echo "Instructions are not counted: perf has no $event here."
for workload; do
	measure "$workload"
done
show_plugin_targets
{
	printf 'workload\tplugin\tseconds\tcpu_seconds\tbytes\tchanges\tcommits\tinstructions\truns\n'
	cat "$results"
} >&3
server_stop source
