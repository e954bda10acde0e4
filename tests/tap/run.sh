#!/bin/bash
# run.sh [FILE.t...] -- the TAP tests, by prove. Runs in the sandbox: make check-tap
# PROVE_FLAGS= adds flags, for example --verbose.
set -eu

pgxs_src=$(dirname "$("$PG_CONFIG" --pgxs)")/..
export PERL5LIB=$pgxs_src/test/perl:$PENSTOCK_SANDBOX/tests/tap/lib
export PG_REGRESS=$pgxs_src/test/regress/pg_regress
export TESTDIR=$PENSTOCK_SANDBOX/tap
export PG_TEST_TIMEOUT_DEFAULT=60
mkdir -p "$TESTDIR"

cd "$PENSTOCK_SANDBOX"
[ $# -gt 0 ] || set -- tests/tap/*.t
status=0
timeout --foreground -k 5 900 prove -j2 --timer ${PROVE_FLAGS:-} "$@" || status=$?

# A failed test's servers and programs tell why.
if [ "$status" != 0 ]; then
	find "$TESTDIR" -name '*.log' -o -name 'regress_log_*' | sort | while read -r log; do
		echo "== tail of ${log#"$PENSTOCK_SANDBOX"/}"
		tail -n 30 "$log"
	done
fi
exit "$status"
