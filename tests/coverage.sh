#!/bin/bash
# coverage.sh [FILE.t...] -- which lines of the consumer the unit and TAP tests never reach: a table,
# and each line in build/coverage/*.gcov: make coverage [PROVE_TESTS="tests/tap/1*.t"]
# What is killed in a test leaves no counts: a little more is covered than it tells.
set -eu -o pipefail

top=$(cd "$(dirname "$0")/.." && pwd)
export BUILD=${BUILD:-$top/build}/coverage
counts=$(mktemp -d /tmp/penstock-coverage.XXXXXX)
trap 'rm -rf "$counts"' EXIT
flags='-O1 -g --coverage -fprofile-update=atomic -fprofile-abs-path'

"$top/tests/setup.sh" check
"$top/tests/setup.sh" coverage
make -s -j2 -C "$top" BUILD="$BUILD" CFLAGS="$flags" plugin consumer
make -s -j2 -C "$top/tests/unit" BUILD="$BUILD" CFLAGS="$flags" all
find "$BUILD" -name '*.gcda' -delete

# Counts go below this folder, under the paths of the objects: the sandbox's user may write nowhere
# else.
export GCOV_PREFIX=$counts
make -s -C "$top/tests/unit" BUILD="$BUILD" CFLAGS="$flags" check >"$BUILD/unit.log" 2>&1 ||
	echo "coverage: a unit test failed, see $BUILD/unit.log"
chmod -R a+rwX "$counts"
"$top/tests/sandbox.sh" tests/tap/run.sh "$@" >"$BUILD/tap.log" 2>&1 ||
	echo "coverage: a TAP test failed, see $BUILD/tap.log"
cp -R "$counts$BUILD/." "$BUILD/"

cd "$top"
gcovr --root . --object-directory "$BUILD" --exclude-throw-branches --filter 'consumer/' --filter 'proto/' \
	--exclude '.*pb-c' --gcov-ignore-parse-errors --txt "$BUILD/summary.txt" \
	--html-details "$BUILD/lines.html" "$BUILD"
cat "$BUILD/summary.txt"
