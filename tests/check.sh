#!/bin/bash
# check.sh -- build, then run every test; at the end, the runners' own summaries once more.
set -eu -o pipefail

top=$(cd "$(dirname "$0")/.." && pwd)
build=${BUILD:-$top/build}
log=$build/check
jobs=$(nproc)
mkdir -p "$log"
failed=
job=

# A signal must reach what runs now, which cleans up after itself.
stop()
{
	trap '' INT TERM HUP
	set +e
	if [ -n "$job" ]; then
		kill -TERM -- "-$job" 2>/dev/null
		while kill -0 -- "-$job" 2>/dev/null; do
			sleep 0.1
		done
	fi
	exit 130
}
trap stop INT TERM HUP

# run NAME COMMAND... -- its output on the terminal and in NAME.log. A process group of its own:
# bash runs a trap at once only while it waits for a background job.
run()
{
	local name=$1
	shift
	echo "== $name"
	set -m
	{ "$@" 2>&1 </dev/null | tee "$log/$name.log"; } &
	job=$!
	set +m
	wait "$job" || failed="$failed $name"
	job=
}

# The lines with which cmocka, pg_regress and prove sum up.
summary()
{
	awk '/^== /{ name = $2 } /^\[  (PASSED|FAILED)  \] [0-9]+ test/{ print name ": " $0 }
		/^unit tests failed/' "$log/unit.log"
	grep -E '^ *(All [0-9]+ tests passed|[0-9]+ of [0-9]+ tests failed)' "$log/regress.log" || true
	grep -E '^(All tests successful|Files=|Result:|.*Failed [0-9]+/)' "$log/tap.log" || true
	# Which they were, and where: "#   Failed test 'what'" and "#   at FILE line N."
	grep -aE "^(#   Failed test|#   at |# *(got|expected): |.*\.t .*Wstat: )" "$log/tap.log" | cut -c -160 || true
}

make -C "$top" -j"$jobs" --no-print-directory all
make -s -C "$top/consumer" -j"$jobs" failpoints
run unit make -s -C "$top" check-unit
run regress "$top/tests/sandbox.sh" tests/regress.sh
run tap "$top/tests/sandbox.sh" tests/tap/run.sh

echo
summary | tee "$log/summary"
if [ -n "$failed" ]; then
	echo "failed:$failed (logs in $log)" | tee -a "$log/summary"
	exit 1
fi
