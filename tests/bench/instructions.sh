#!/bin/bash
# instructions.sh -- how many instructions a change costs in the server, by plugin: callgrind counts
# them for the whole of a single-user server that reads a slot, once with the changes and once
# without, and the difference is theirs. The same on every run, however busy the machine; but it
# counts no waiting, no system's work, and the SQL interface's own part too, which the floor has
# as well. Runs in the sandbox: make bench-instructions
set -eu -o pipefail

. "$PENSTOCK_SANDBOX/tests/bench/lib.sh"
pkglibdir=$("$PG_CONFIG" --pkglibdir)
contenders=()

# name, plugin, and its options as SQL literals
add_contender()
{
	[ ! -e "$pkglibdir/$2.so" ] || contenders+=("$1 $2 ${3:-}")
}

add_contenders()
{
	[ -e "$pkglibdir/penstock_floor.so" ] || cp "$PENSTOCK_SANDBOX/tests/bench/floor/penstock_floor.so" "$pkglibdir/"
	add_contender floor penstock_floor
	add_contender pgoutput pgoutput "'proto_version','1','publication_names','bench'"
	add_contender pgoutput-binary pgoutput "'proto_version','1','publication_names','bench','binary','true'"
	add_contender wal2json wal2json "'format-version','2'"
	add_contender decoderbufs decoderbufs
	add_contender penstock penstock
	add_contender penstock-json penstock "'format','json'"
	add_contender penstock-decoderbufs penstock "'format','decoderbufs'"
}

# slots SUFFIX: one for each plugin, at the present end of the WAL
slots()
{
	sql "$source" "SELECT pg_create_logical_replication_slot(plugin || '_$1', plugin)
		FROM unnest('{$(printf '%s\n' "${contenders[@]}" | cut -d' ' -f2 | sort -u | paste -sd,)}'::text[]) plugin" >/dev/null
}

# Slots X_from_narrow see both workloads, X_from_wide the second, X_from_end none of them.
prepare()
{
	server_start source 'logical_decoding_work_mem = 1GB' 'autovacuum = off' 'fsync = off' 'max_replication_slots = 40' \
		"output_plugin_libraries = 'pgoutput, penstock, wal2json, decoderbufs, penstock_floor'"
	source=$(server_uri source postgres)
	create W1
	create W3
	sql "$source" 'CREATE PUBLICATION bench FOR ALL TABLES'
	slots from_narrow
	sql "$source" "INSERT INTO narrow $(narrow_rows 1 9000)"
	slots from_wide
	sql "$source" "INSERT INTO wide $(wide_rows 3000)"
	sql "$source" "UPDATE wide SET a = a + 1, n = n + 1, t = t || '!'"
	sql "$source" 'DELETE FROM wide'
	slots from_end
	server_stop source
}

# count PLUGIN SLOT OPTIONS: the instructions of a server that reads the slot
count()
{
	local function=pg_logical_slot_peek_binary_changes log=$TMPDIR/callgrind.log
	echo "SELECT count(*) FROM $function('$1_$2', NULL, NULL${3:+, $3})" |
		valgrind --tool=callgrind --callgrind-out-file=/dev/null postgres --single -D "$TMPDIR/source" postgres >"$log" 2>&1
	sed -n 's/.*Collected : \([0-9]*\).*/\1/p' "$log" | grep . || { cat "$log" >&2; return 1; }
}

show_instructions()
{
	local line name plugin options narrow wide end floor_narrow=0 floor_wide=0
	echo "PostgreSQL $(postgres --version | grep -o '[0-9.]*' | head -n 1): instructions a change, and above the floor"
	printf '%-22s %10s %10s %10s %10s\n' '' narrow above wide above
	for line in "${contenders[@]}"; do
		read -r name plugin options <<<"$line"
		end=$(count "$plugin" from_end "$options")
		wide=$(count "$plugin" from_wide "$options")
		narrow=$(($(count "$plugin" from_narrow "$options") - wide))
		wide=$(((wide - end) / 9000))
		narrow=$((narrow / 9000))
		[ "$name" != floor ] || floor_narrow=$narrow floor_wide=$wide
		printf '%-22s %10d %10d %10d %10d\n' "$name" "$narrow" $((narrow - floor_narrow)) "$wide" $((wide - floor_wide))
		printf '%s\t%d\t%d\n' "$name" "$narrow" "$wide" >&3
	done
}

add_contenders
prepare
show_instructions
