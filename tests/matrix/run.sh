#!/bin/bash
# run.sh [--clients] [MAJOR...] -- build Penstock for the PostgreSQL versions of later Debians, and test
# it there, each in a chroot: make matrix [VERSIONS="17 18"]. Then pg_recvlogical of each version,
# this machine's included, reads servers of each; --clients is only that: make matrix-clients
# Chroots are kept in PENSTOCK_CACHE (default ~/.cache/penstock/matrix), read-only while tests run.
# MATRIX_REFRESH=1 upgrades their packages first; MATRIX_MIRROR= names a Debian mirror where apt's
# configuration has none. Ends with the test runners' own summaries.
set -eu -o pipefail

top=$(cd "$(dirname "$0")/../.." && pwd)
build=${BUILD:-$top/build}
log=$build/matrix
cache=${PENSTOCK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/penstock/matrix}
chroot=$top/tests/matrix/chroot.sh
stale_days=14

# The TAP tests to run there, as patterns of names in tests/tap.
tap_tests='0*.t'

job=
work=

. "$top/tests/matrix/clients.sh"

# The Debian releases to look for a version in, the best first.
suites()
{
	case $1 in
	17) echo trixie ;;
	18) echo forky sid ;;
	*) echo "tests/matrix: no Debian release is known for PostgreSQL $1" >&2; return 1 ;;
	esac
}

clean_up()
{
	trap '' INT TERM HUP
	[ -z "$job" ] || kill -KILL "$job" 2>/dev/null || true
	end_peers
	[ -z "$work" ] || rm -rf --one-file-system "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

# run LOG COMMAND... -- its output in the log and on the terminal. In the background, so that a
# signal is acted on at once.
run()
{
	local status=0 follow
	: >"$1"
	"${@:2}" >>"$1" 2>&1 </dev/null &
	job=$!
	tail -n +1 -s 0.3 -f --pid="$job" "$1" &
	follow=$!
	wait "$job" || status=$?
	job=
	wait "$follow" || true
	return "$status"
}

# The mirror that this machine's own packages come from.
find_mirror()
{
	apt-get indextargets --format '$(REPO_URI)' \
		'Origin: Debian' 'Label: Debian' 'Created-By: Packages' 2>/dev/null | sort -u | head -n 1
}

mirror()
{
	local uri=${MATRIX_MIRROR:-$(find_mirror)}
	if [ -z "$uri" ]; then
		apt-get update -q >&2
		uri=$(find_mirror)
	fi
	if [ -z "$uri" ]; then
		echo 'tests/matrix: apt knows no Debian mirror; name one with MATRIX_MIRROR=' >&2
		return 1
	fi
	echo "$uri"
}

# What apt was told of the way to the mirror holds for the chroot too.
transport_settings()
{
	apt-config dump --format '%F "%v";%n' | grep -E '^Acquire::(http|https|Retries|Check-|ForceIPv)' || true
}

proxy()
{
	local ACQUIRE_PROXY=
	eval "$(apt-config shell ACQUIRE_PROXY Acquire::http::Proxy)"
	echo "${ACQUIRE_PROXY:-${http_proxy:-}}"
}

# No services, no clusters, and no waiting for the disk: nothing runs there but builds and tests. The
# first file's age is the age of the chroot.
configure_chroot()
{
	local root=$1
	transport_settings >"$root/etc/apt/apt.conf.d/90host"
	echo 'APT::Install-Recommends "false";' >"$root/etc/apt/apt.conf.d/91matrix"
	echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/matrix"
	printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
	chmod 755 "$root/usr/sbin/policy-rc.d"
	mkdir -p "$root/etc/postgresql-common/createcluster.d" "$root/src"
	echo 'create_main_cluster = false' >"$root/etc/postgresql-common/createcluster.d/matrix.conf"
}

# apt_in ROOT ARG...: apt-get there; names are looked up as on this machine.
apt_in()
{
	cp -L /etc/resolv.conf "$1/etc/resolv.conf" &&
		run "$log/apt.log" "$chroot" --in "$1" --rw apt-get -q -y "${@:2}"
}

# install_packages ROOT MAJOR: a stamp, written when all are there, tells which ones a chroot has.
# What was cut short is repaired first; old lists name packages that are gone.
install_packages()
{
	local root=$1 stamp=$1/etc/penstock-matrix packages
	packages=$("$top/tests/setup.sh" list "$2") || return 1
	if [ "$packages" = "$(cat "$stamp" 2>/dev/null)" ]; then
		return
	fi
	run "$log/apt.log" "$chroot" --in "$root" --rw dpkg --configure -a || return 1
	apt_in "$root" install $packages ||
		{ apt_in "$root" update && apt_in "$root" install $packages; } || return 1
	apt_in "$root" clean && sync -f "$root" && echo "$packages" >"$stamp"
}

has_version()
{
	"$chroot" --in "$1" apt-cache show "postgresql-$2" >/dev/null 2>&1
}

# make_chroot MAJOR ROOT: whole or not there at all.
make_chroot()
{
	local major=$1 root=$2 new=$2.new suite script from
	from=$(mirror) || return 1
	for suite in $(suites "$major"); do
		rm -rf --one-file-system "$new" || return 1
		# A debootstrap older than the release has no script for it, but sid's will do.
		script=/usr/share/debootstrap/scripts/$suite
		[ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid
		run "$log/debootstrap.log" "$chroot" env http_proxy="$(proxy)" \
			debootstrap --variant=minbase "$suite" "$new" "$from" "$script" || return 1
		configure_chroot "$new" && apt_in "$new" update || return 1
		if has_version "$new" "$major"; then
			install_packages "$new" "$major" && mv "$new" "$root"
			return
		fi
		echo "tests/matrix: $suite has no PostgreSQL $major"
	done
	rm -rf --one-file-system "$new"
	return 1
}

refresh_chroot()
{
	local root=$1 days
	if [ -n "${MATRIX_REFRESH:-}" ]; then
		apt_in "$root" update && apt_in "$root" dist-upgrade && apt_in "$root" clean &&
			configure_chroot "$root" || return 1
	fi
	days=$((($(date +%s) - $(stat -c %Y "$root/etc/apt/apt.conf.d/90host")) / 86400))
	if [ "$days" -gt "$stale_days" ]; then
		echo "The chroot of PostgreSQL $2 is $days days old: MATRIX_REFRESH=1 brings it up to date."
	fi
}

# Under a lock: exclusive while the chroot may change, then shared with others that test in it.
prepare_chroot()
{
	local major=$1 root=$cache/$1
	mkdir -p "$cache" && exec {lock}>"$cache/$major.lock" || return 1
	flock -n -x "$lock" || { echo 'Waiting for another run...'; flock -x "$lock"; }
	[ -d "$root" ] || make_chroot "$major" "$root" || return 1
	install_packages "$root" "$major" && refresh_chroot "$root" "$major" && flock -s "$lock"
}

# The files that a clean clone of this tree would have.
copy_checkout()
{
	mkdir "$1"
	git -c safe.directory='*' -C "$top" ls-files -z -co --exclude-standard |
		(cd "$top" && xargs -0 ls -d 2>/dev/null | tar -cf - --no-recursion -T -) | tar -C "$1" --no-same-owner -xf -
}

# Words for chroot.sh, and the beginning of the command there: the checkout is /src.
chroot_options()
{
	echo --in "$cache/$1" --bind "$work/$1/src=/src" --bind "$work/$1/tmp=/tmp"
}

chroot_environment()
{
	echo /usr/bin/env -C /src PG_CONFIG="/usr/lib/postgresql/$1/bin/pg_config"
}

# step MAJOR NAME COMMAND...: in the chroot
step()
{
	local major=$1 name=$2
	shift 2
	printf '\n== PostgreSQL %s: %s (%d s)\n' "$major" "$name" "$SECONDS"
	run "$log/$major-$name.log" "$chroot" $(chroot_options "$major") $(chroot_environment "$major") "$@" ||
		failed="$failed $major-$name"
}

# Paths within the checkout.
tap_files()
{
	(cd "$work/$1/src/tests/tap" && printf 'tests/tap/%s\n' $tap_tests)
}

build_version()
{
	local major=$1
	mkdir -m 755 "$work/$major"
	mkdir -m 1777 "$work/$major/tmp"
	copy_checkout "$work/$major/src"
	step "$major" plugin make -s -j"$(nproc)" COPT=-Werror plugin
	step "$major" consumer make -s -j"$(nproc)" consumer
}

test_version()
{
	local major=$1
	step "$major" unit make -s -j"$(nproc)" -C tests/unit check
	step "$major" regress tests/sandbox.sh tests/regress.sh
	step "$major" tap tests/sandbox.sh tests/tap/run.sh $(tap_files "$major")
}

# The lines with which pg_regress and prove sum up.
summary()
{
	local major=$1
	if [ ! -d "$cache/$major" ]; then
		echo "PostgreSQL $major: no chroot"
		return
	fi
	"$chroot" --in "$cache/$major" "/usr/lib/postgresql/$major/bin/postgres" --version || true
	[ ! -e "$log/$major-unit.log" ] ||
		awk '/^== /{ name = $2 } /^\[  FAILED  \] [0-9]+ test/{ print name ": " $0 } /^unit tests failed/
			/^\[  PASSED  \] [0-9]+ test/{ passed += $4 } END { print "unit tests passed: " passed }' \
			"$log/$major-unit.log"
	[ ! -e "$log/$major-regress.log" ] ||
		grep -E '^(# )?( *All [0-9]+ tests passed| *[0-9]+ of [0-9]+ tests failed)' "$log/$major-regress.log" || true
	[ ! -e "$log/$major-tap.log" ] ||
		grep -E '^(All tests successful|Files=|Result:|.*Failed [0-9]+/)' "$log/$major-tap.log" || true
}

[ "$(id -u)" = 0 ] || exec "$chroot"
only_clients=
if [ "${1:-}" = --clients ]; then
	only_clients=yes
	shift
fi
[ $# -gt 0 ] || set -- 17 18
failed=
built=
rm -rf "$log"
mkdir -p "$log"
work=$(mktemp -d "${TMPDIR:-/tmp}/penstock-matrix.XXXXXX")
chmod 755 "$work"
for major; do
	if prepare_chroot "$major"; then
		build_version "$major"
		[ -n "$only_clients" ] || test_version "$major"
		built="$built $major"
	else
		failed="$failed $major-chroot"
	fi
done
test_clients $built

echo
{
	for major; do
		summary "$major"
	done
	cat "$log/clients-summary"
} | tee "$log/summary"
if [ -n "$failed" ]; then
	echo "matrix failed:$failed (logs in $log)" | tee -a "$log/summary"
	exit 1
fi
