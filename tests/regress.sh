#!/bin/bash
# regress.sh -- the SQL tests in regress/, by pg_regress, on a server of their own.
# Runs in the sandbox: tests/sandbox.sh tests/regress.sh
set -eu

. "$PENSTOCK_SANDBOX/tests/server.sh"
here=$PENSTOCK_SANDBOX/tests/regress
pg_regress=$(dirname "$("$PG_CONFIG" --pgxs)")/../test/regress/pg_regress
{
	plugin_settings
	echo 'max_prepared_transactions = 10'
	echo 'fsync = off'
} >"$TMPDIR/regress.conf"

tests=$(cd "$here/sql" && ls ./*.sql | sed 's|^\./||; s|\.sql$||' | sort)
cd "$here"
if ! "$pg_regress" --temp-instance="$TMPDIR/instance" --temp-config="$TMPDIR/regress.conf" \
	--bindir="$("$PG_CONFIG" --bindir)" --inputdir="$here" --outputdir="$here" --encoding=UTF8 --no-locale \
	--dbname=contrib_regression $tests; then
	cat "$here/regression.diffs" "$here/log/postmaster.log" 2>/dev/null
	exit 1
fi
