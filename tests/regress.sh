#!/bin/bash
# regress.sh [installcheck] -- the SQL tests in regress/, by pg_regress: on a server of their own, in
# the sandbox (tests/sandbox.sh tests/regress.sh), or on the running one that PGHOST and so on name.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
pg_config=${PG_CONFIG:-pg_config}
pg_regress=$(dirname "$("$pg_config" --pgxs)")/../test/regress/pg_regress
. "$here/server.sh"

# The settings of a server of their own.
settings()
{
	plugin_settings
	echo 'max_prepared_transactions = 10'
	echo 'fsync = off'
}

if [ "${1:-}" = installcheck ]; then
	output=${BUILD:-$here/../build}/regress
	server=(--bindir="$("$pg_config" --bindir)")
else
	output=$TMPDIR/regress
	settings >"$TMPDIR/regress.conf"
	server=(--temp-instance="$TMPDIR/instance" --temp-config="$TMPDIR/regress.conf"
		--bindir="$("$pg_config" --bindir)" --encoding=UTF8 --no-locale)
fi
mkdir -p "$output"

tests=$(cd "$here/regress/sql" && ls ./*.sql | sed 's|^\./||; s|\.sql$||' | sort)
if ! "$pg_regress" "${server[@]}" --inputdir="$here/regress" --outputdir="$output" \
	--dbname=contrib_regression $tests; then
	cat "$output/regression.diffs" "$output/log/postmaster.log" 2>/dev/null
	exit 1
fi
