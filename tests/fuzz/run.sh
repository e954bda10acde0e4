#!/bin/bash
# run.sh SECONDS SEED [options|rows|bytes] -- the fuzzers, a third of the time each: those that ask a
# server, in the sandbox, and those that read bytes. make fuzz SECONDS=60 SEED=1
set -eu -o pipefail

here=$(cd "$(dirname "$0")" && pwd)
seconds=${1:-60}
seed=${2:-$(od -An -N3 -tu4 /dev/urandom | tr -d ' ')}
which=${3:-}
status=0

echo "fuzz: seed $seed"
if [ "$which" != bytes ]; then
	[ -n "$which" ] || servers=$((seconds * 2 / 3))
	"$here/../sandbox.sh" tests/fuzz/server.sh "${servers:-$seconds}" "$seed" "$which" || status=1
fi
if [ -z "$which" ] || [ "$which" = bytes ]; then
	[ -n "$which" ] || seconds=$((seconds / 3))
	"$here/bytes/run.sh" "$seconds" "$seed" || status=1
fi
exit "$status"
