#!/bin/bash
# setup.sh demo|check|format|debezium|matrix|bench|soak|fuzz|coverage -- install what is missing for that, through apt-get.
# Nothing but packages is changed: no PostgreSQL cluster is created or started by them.
# setup.sh list MAJOR -- print, on one line, what a bare Debian needs for `check` with that PostgreSQL.
set -eu

purpose=${1:?usage: tests/setup.sh demo|check|format|debezium|matrix|bench|soak|fuzz|coverage}
cluster_conf=/etc/postgresql-common/createcluster.d/penstock-setup.conf

# Does $PG_CONFIG belong to a PostgreSQL with its server and headers?
have_postgresql()
{
	local pg_config=${PG_CONFIG:-pg_config}
	command -v "$pg_config" >/dev/null &&
		[ -f "$("$pg_config" --pgxs)" ] &&
		[ -f "$("$pg_config" --includedir-server)/postgres.h" ] &&
		[ -x "$("$pg_config" --bindir)/postgres" ] &&
		[ -x "$("$pg_config" --bindir)/initdb" ]
}

# The release's own version, 15 on Debian 12.
default_major()
{
	apt-cache depends postgresql 2>/dev/null | sed -n 's/.*Depends: postgresql-\([0-9]*\)$/\1/p' | head -n 1
}

build_packages='gcc make libc6-dev pkg-config libpq-dev libprotobuf-c-dev protobuf-c-compiler libxxhash-dev
liblz4-dev libini-config-dev libjansson-dev libmicrohttpd-dev libcurl4-openssl-dev'
test_packages='perl libipc-run-perl libcmocka-dev'

postgresql_packages()
{
	echo "postgresql-$1 postgresql-server-dev-$1"
}

# The major version of the PostgreSQL that is there or will be installed.
server_major()
{
	local major
	major=$("${PG_CONFIG:-pg_config}" --version 2>/dev/null | sed 's/^PostgreSQL \([0-9]*\).*/\1/') || major=
	major=${major:-$(default_major)}
	echo "${major:-15}"
}

# The other output plugins, for the PostgreSQL that is measured.
bench_packages()
{
	local major
	major=$(server_major)
	echo "postgresql-$major-wal2json postgresql-$major-decoderbufs postgresql-$major-pglogical pgcopydb valgrind"
}

# The plugin that ours must equal. Not every release has it: there that is not tested.
decoderbufs_package()
{
	local package
	package=postgresql-$(server_major)-decoderbufs
	if is_installed "$package" || apt-cache show "$package" >/dev/null 2>&1; then
		echo "$package"
	fi
}

wanted_packages()
{
	case $purpose in
	format) echo clang-format-14; return ;;
	matrix) echo debootstrap git; return ;;
	debezium) echo "maven default-jdk-headless $(decoderbufs_package)"; return ;;
	bench) bench_packages ;;
	fuzz) echo 'clang-14 libclang-rt-14-dev' ;;
	coverage) echo gcovr; return ;;
	soak) echo "bzip2 perl" ;;
	check) echo "$test_packages $(decoderbufs_package)" ;;
	esac
	echo "$build_packages"
	if ! have_postgresql; then
		local major
		major=$(default_major)
		postgresql_packages "${major:-15}"
	fi
}

is_installed()
{
	dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed
}

missing_packages()
{
	local package
	for package in $(wanted_packages); do
		is_installed "$package" || echo "$package"
	done
}

lists_are_there()
{
	compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null
}

apt_install()
{
	apt-get install -y -q --no-install-recommends "$@"
}

# As root. While this file exists Debian's packages create no cluster "main", so that nothing
# starts; an existing cluster is not touched.
install_packages()
{
	export DEBIAN_FRONTEND=noninteractive
	mkdir -p "${cluster_conf%/*}"
	trap 'rm -f "$cluster_conf"; rmdir "${cluster_conf%/*}" 2>/dev/null || true' EXIT
	trap 'exit 130' INT TERM HUP
	echo 'create_main_cluster = false' >"$cluster_conf"

	lists_are_there || apt-get update -q
	# Old lists name packages that are gone: refresh them and try once more.
	apt_install $(missing_packages) || { apt-get update -q && apt_install $(missing_packages); }
}

if [ "$purpose" = list ]; then
	echo $build_packages "$test_packages $(postgresql_packages "$2") postgresql-$2-decoderbufs"
	exit
fi

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
	have_postgresql && exit 0
	echo "tests/setup.sh: no apt-get here; these are needed, by their Debian names:" $(wanted_packages) >&2
	exit 1
fi

missing=$(missing_packages | tr '\n' ' ')
[ -n "$missing" ] || exit 0
echo "Installing: $missing"

if [ "$(id -u)" = 0 ]; then
	install_packages
elif sudo -n true 2>/dev/null || { [ -t 0 ] && command -v sudo >/dev/null; }; then
	sudo env PG_CONFIG="${PG_CONFIG:-pg_config}" "$(realpath "$0")" "$purpose"
else
	echo "tests/setup.sh: not root, and no sudo. Let root run this line, then try again:" >&2
	echo "    apt-get update && apt-get install -y --no-install-recommends $missing" >&2
	exit 1
fi
