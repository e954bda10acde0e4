#!/bin/bash
# run.sh SECONDS SEED [TARGET...] -- libFuzzer's programs on their corpora, two at a time, so long
# in all; with RUNS= so many inputs each instead, which the seed determines. An input that breaks
# something stays in build/fuzz, with its name on the terminal: make fuzz FUZZ=bytes SECONDS=600; to
# try it again: build/fuzz/TARGET FILE
set -eu -o pipefail

here=$(cd "$(dirname "$0")" && pwd)
seconds=${1:-60}
seed=${2:-$(od -An -N3 -tu4 /dev/urandom | tr -d ' ')}
shift $(($# < 2 ? $# : 2))
export out=${BUILD:-$here/../../../build}/fuzz
[ $# -gt 0 ] || set -- $(basename -s .c "$here"/*.c)
make -s -j2 -C "$here" BUILD="${out%/fuzz}" all
export here seed
each=$((seconds * 2 / $# > 0 ? seconds * 2 / $# : 1))
export limit=-max_total_time=$each
[ -z "${RUNS:-}" ] || limit=-runs=$RUNS
found=$(mktemp -d)
export found
trap 'rm -rf "$found"' EXIT

# What was found on the way is of use for this run alone.
fuzz()
{
	local log=$found/$1.log status=0
	mkdir "$found/$1"
	"$out/$1" -seed="$seed" "$limit" -timeout=20 -rss_limit_mb=2048 \
		-artifact_prefix="$out/$1-" "$found/$1" "$here/corpus/$1" >"$log" 2>&1 || status=1
	if [ "$status" = 0 ]; then
		echo "bytes $1: $(sed -n 's/^Done \([0-9]*\) runs in.*/\1 runs/p' "$log"), seed $seed"
	else
		tail -n 40 "$log" | cut -c -500
		echo "bytes $1: FAILED, seed $seed"
	fi
	return "$status"
}
export -f fuzz

printf '%s\n' "$@" | xargs -P 2 -I TARGET bash -c 'fuzz TARGET'
