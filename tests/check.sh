#!/bin/bash
# check.sh -- build, then run every test; at the end, the runners' own summaries once more.
set -eu -o pipefail

top=$(cd "$(dirname "$0")/.." && pwd)
build=${BUILD:-$top/build}
log=$build/check
jobs=$(nproc)
mkdir -p "$log"
failed=

# run NAME COMMAND... -- its output on the terminal and in NAME.log
run()
{
	local name=$1
	shift
	echo "== $name"
	"$@" 2>&1 | tee "$log/$name.log" || failed="$failed $name"
}

# The lines with which cmocka, pg_regress and prove sum up.
summary()
{
	awk '/^== /{ name = $2 } /^\[  (PASSED|FAILED)  \] [0-9]+ test/{ print name ": " $0 }
		/^unit tests failed/' "$log/unit.log"
	grep -E '^ *(All [0-9]+ tests passed|[0-9]+ of [0-9]+ tests failed)' "$log/regress.log" || true
	grep -E '^(All tests successful|Files=|Result:|.*Failed [0-9]+/)' "$log/tap.log" || true
}

make -C "$top" -j"$jobs" --no-print-directory all
run unit make -s -C "$top" check-unit
run regress "$top/tests/sandbox.sh" tests/regress.sh
run tap "$top/tests/sandbox.sh" tests/tap/run.sh

echo
summary | tee "$log/summary"
if [ -n "$failed" ]; then
	echo "failed:$failed (logs in $log)" | tee -a "$log/summary"
	exit 1
fi
