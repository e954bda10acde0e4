#!/bin/bash
# run.sh -- is our library, under the name decoderbufs, the original one to an unmodified Debezium?
# Builds the program that runs Debezium's engine, then compares in the sandbox: compare.sh.
# Skipped only where Maven or Java are not there; tests/setup.sh debezium installs them.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
top=$here/../..
build=${BUILD:-$top/build}
[ "${build#/}" != "$build" ] || build=$PWD/$build

for tool in mvn java javac; do
	if ! command -v "$tool" >/dev/null; then
		echo "SKIPPED: the comparison under Debezium: no $tool here (tests/setup.sh debezium installs it)"
		exit 0
	fi
done

mkdir -p "$build"
if ! mvn -B -q -ntp -f "$here/pom.xml" -Dbuild.dir="$build/debezium" compile >"$build/debezium.log" 2>&1; then
	tail -n 40 "$build/debezium.log"
	exit 1
fi
SANDBOX_EXTRA=debezium "$top/tests/sandbox.sh" tests/debezium/compare.sh
