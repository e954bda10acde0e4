#!/bin/bash
# mutants.sh [NAME...] -- bugs that are planted must be found: each patch of mutants/ is applied to a
# copy of the checkout, and the simulation runs from seed 1 on until something fails. One that is
# not found within SEEDS=50 makes this fail. make sim-mutants [MUTANTS="late_commit"]
set -eu -o pipefail

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
seeds=${SEEDS:-50}
at_once=5
work=$(mktemp -d /tmp/penstock-mutants.XXXXXX)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP
missed=
[ $# -gt 0 ] || set -- $(basename -s .patch -a "$here"/mutants/*.patch)

plant()
{
	rm -rf "$work/checkout"
	mkdir "$work/checkout"
	tar -C "$top" --exclude=./build --exclude=./.git --exclude='*.o' --exclude='*.so' --exclude='*.bc' -cf - . |
		tar -C "$work/checkout" -xf -
	patch -s -p1 -d "$work/checkout" <"$here/mutants/$1.patch"
	make -s -j2 -C "$work/checkout" CFLAGS='-O1 -g' plugin consumer >"$work/build.log" 2>&1 ||
		{ cat "$work/build.log"; exit 2; }
}

# The seed and what it found. Another failure than of a history is none of the bug's.
hunt()
{
	local seed status faults
	faults=$(sed -n 's/^FAULTS=//p' "$here/mutants/$1.patch")
	for ((seed = 1; seed <= seeds; seed += at_once)); do
		status=0
		make -s -C "$work/checkout" sim SEED="$seed" SEEDS=$at_once FAULTS="$faults" SHRINK=0 \
			>"$work/sim.log" 2>&1 || status=$?
		[ "$status" != 0 ] || continue
		grep -q '^seed [0-9]*: FAILED' "$work/sim.log" || { cat "$work/sim.log"; exit 2; }
		awk -v name="$1" '/^seed [0-9]*: FAILED/ { sub(":", "", $2); seed = $2; next }
			seed && !/^  at / { print "caught: " name ", by seed " seed ":" substr($0, 2, 200); exit }' "$work/sim.log"
		return
	done
	echo "MISSED: $1, in $seeds seeds"
	missed="$missed $1"
}

for name; do
	plant "$name"
	hunt "$name"
done
[ -z "$missed" ] || { echo "sim-mutants: missed:$missed"; exit 1; }
echo "sim-mutants: all of $# were caught"
