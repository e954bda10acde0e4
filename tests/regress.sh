#!/bin/bash
# regress.sh -- the SQL tests in regress/, by pg_regress, on a server of their own.
# Runs in the sandbox: tests/sandbox.sh tests/regress.sh
set -eu

here=$PENSTOCK_SANDBOX/tests/regress
pg_regress=$(dirname "$("$PG_CONFIG" --pgxs)")/../test/regress/pg_regress
cat >"$TMPDIR/regress.conf" <<CONF
wal_level = logical
max_prepared_transactions = 10
logical_decoding_work_mem = 64kB
output_plugin_libraries = 'pgoutput, test_decoding, penstock'
fsync = off
CONF

tests=$(cd "$here/sql" && ls ./*.sql | sed 's|^\./||; s|\.sql$||' | sort)
cd "$here"
if ! "$pg_regress" --temp-instance="$TMPDIR/instance" --temp-config="$TMPDIR/regress.conf" \
	--bindir="$("$PG_CONFIG" --bindir)" --inputdir="$here" --outputdir="$here" --encoding=UTF8 --no-locale \
	--dbname=contrib_regression $tests; then
	cat "$here/regression.diffs" 2>/dev/null
	exit 1
fi
