#!/bin/bash
# sandbox.sh [ARG...] -- tests/sim/run.sh in the sandbox; what failed is in build/sim afterwards: the
# histories, and the logs of the last run. A file after --replay may lie anywhere in the checkout.
set -eu -o pipefail

top=$(cd "$(dirname "$0")/../.." && pwd)
export BUILD=${BUILD:-$top/build}
out=$BUILD/sim
args=()
mkdir -p "$out"

while [ $# -gt 0 ]; do
	if [ "$1" = --replay ] && [[ ${2:-} != tests/* ]]; then
		[ "$(dirname "$(realpath "$2")")" = "$out" ] || cp "$2" "$out/"
		args+=(--replay "bin/sim/$(basename "$2")")
		shift 2
	else
		args+=("$1")
		shift
	fi
done
make -s -C "$top/tests/sim"
status=0
SANDBOX_EXTRA='penstock-sim sim' "$top/tests/sandbox.sh" tests/sim/run.sh "${args[@]}" 3>"$out/failed.tar" ||
	status=$?
if [ -s "$out/failed.tar" ]; then
	tar -C "$out" -xf "$out/failed.tar"
	echo "sim: histories and logs of what failed are in $out"
fi
rm -f "$out/failed.tar"
exit "$status"
