#!/bin/bash
# sandbox.sh COMMAND [ARG...] -- run a command that needs servers, and leave nothing behind.
# The command gets a private copy of the PostgreSQL installation with the plugin in it, the
# consumer installed, and the tests, in a temporary folder that belongs to an unprivileged user:
# root becomes `nobody`, everyone else stays who they are. The system's installation and its
# servers are not touched. Whatever runs from the folder is ended when the command is, or at Ctrl-C.
#
# COMMAND is a path within the checkout; it runs in the copy, with
#   PENSTOCK_SANDBOX  the folder            PATH       the private servers' programs first
#   PENSTOCK          the program           PG_CONFIG  of the private installation
#   PENSTOCK_LIBDIR   with libpenstock.so; pkg-config knows it too
# SANDBOX_EXTRA=NAME copies build/NAME to bin/, too.
# SANDBOX_PARENT=DIR is where the folder is made instead of in /tmp.
# KEEP=1 keeps the folder (and says where) instead of removing it.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
build=${BUILD:-$top/build}
pg_config=$(command -v "${PG_CONFIG:-pg_config}")
bindir=$("$pg_config" --bindir)
sandbox=$(mktemp -d "${SANDBOX_PARENT:-/tmp}/penstock.XXXXXX")
job=

# Processes whose program lies in the sandbox are ours: nothing else runs from there.
sandbox_pids()
{
	local exe
	for exe in /proc/[0-9]*/exe; do
		case $(readlink "$exe" 2>/dev/null) in
		"$sandbox"/*) basename "${exe%/exe}" ;;
		esac
	done
}

clean_up()
{
	trap '' INT TERM HUP
	set +e
	[ -z "$job" ] || kill -TERM -- "-$job" 2>/dev/null
	for signal in QUIT KILL KILL; do
		pids=$(sandbox_pids)
		[ -n "$pids" ] || break
		kill -s "$signal" $pids 2>/dev/null
		sleep 0.5
	done
	[ -z "$job" ] || kill -KILL -- "-$job" 2>/dev/null
	if [ -n "${KEEP:-}" ]; then
		echo "kept: $sandbox"
	else
		rm -rf "$sandbox"
	fi
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# PostgreSQL finds its files relative to its programs, so a copy with the same layout is whole.
copy_server()
{
	local option dir
	for option in --bindir --pkglibdir --sharedir; do
		dir=$("$pg_config" "$option")
		mkdir -p "$sandbox/root$dir"
		tar -C "$dir" --exclude=./bitcode --exclude=./man -cf - . | tar -C "$sandbox/root$dir" -xf -
	done
	make -s -C "$top/plugin" PG_CONFIG="$pg_config" DESTDIR="$sandbox/root" install >/dev/null
}

# Installed as anywhere, so that programs can be built against the library too.
copy_consumer()
{
	local extra
	make -s -C "$top/consumer" BUILD="$build" PG_CONFIG="$pg_config" PREFIX="$sandbox" install >/dev/null
	cp -R "$top/consumer/examples" "$sandbox/"
	for extra in latency unit penstock-failpoints ${SANDBOX_EXTRA:-}; do
		[ ! -e "$build/$extra" ] || cp -R "$build/$extra" "$sandbox/bin/"
	done
}

copy_tests()
{
	mkdir -p "$sandbox/tmp" "$sandbox/ports"
	tar -C "$top" -cf - tests proto plugin/install-decoderbufs README.md | tar -C "$sandbox" --no-same-owner -xf -
}

copy_server
copy_consumer
copy_tests

# The tests' own knobs (PENSTOCK_SEED, PENSTOCK_CRASH_SECONDS, …) and those of coverage go through.
knobs=()
for name in $(compgen -e PENSTOCK_ || true) $(compgen -e GCOV_ || true); do
	knobs+=("$name=${!name}")
done

run=(env -i "${knobs[@]}"
	PATH="$sandbox/root$bindir:$sandbox/bin:/usr/local/bin:/usr/bin:/bin"
	HOME="$sandbox" TMPDIR="$sandbox/tmp" LANG=C.UTF-8 TZ=UTC TERM="${TERM:-dumb}"
	PENSTOCK_SANDBOX="$sandbox" PENSTOCK="$sandbox/bin/penstock"
	PENSTOCK_LIBDIR="$sandbox/lib" PKG_CONFIG_PATH="$sandbox/lib/pkgconfig"
	PG_CONFIG="$sandbox/root$bindir/pg_config" PG_TEST_PORT_DIR="$sandbox/ports"
	PROVE_FLAGS="${PROVE_FLAGS:-}")
if [ "$(id -u)" = 0 ]; then
	group=$(id -gn nobody)
	chown -R "nobody:$group" "$sandbox"
	run=(setpriv --reuid=nobody --regid="$group" --clear-groups "${run[@]}")
fi

# A process group of its own, so that all of it can be ended; set -m gives it one.
command=$sandbox/$1
shift
cd "$sandbox"
set -m
"${run[@]}" "$command" "$@" </dev/null &
job=$!
set +m
status=0
wait "$job" || status=$?
exit "$status"
