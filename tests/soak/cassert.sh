#!/bin/bash
# cassert.sh -- print the pg_config of a PostgreSQL with assertions, built if there is none yet.
# From Debian's source package, with as little as the tests need. It is kept under
# ${PENSTOCK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/penstock}/cassert, a folder a version; the
# folder gets its name when it is whole, so half of one is never taken for it.
set -eu -o pipefail

cache=${PENSTOCK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/penstock}/cassert
major=$("${PG_CONFIG:-pg_config}" --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/')
jobs=$(nproc)
work=

say()
{
	echo "cassert.sh: $*" >&2
}

clean_up()
{
	[ -z "$work" ] || rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# The host's own package sources, asked for sources: apt keeps them and the lists in $work only.
source_lists()
{
	local file
	mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial" "$work/apt/sources.list.d"
	for file in /etc/apt/sources.list.d/*.sources; do
		[ -f "$file" ] || continue
		sed 's/^Types:.*/Types: deb-src/' "$file" >"$work/apt/sources.list.d/${file##*/}"
	done
	cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
		sed -n 's/^deb /deb-src /p' >"$work/apt/sources.list" || true
}

# apt get|cache ARG...
apt()
{
	local program=apt-$1
	shift
	"$program" -q -o Dir::Etc::sourcelist="$work/apt/sources.list" \
		-o Dir::Etc::sourceparts="$work/apt/sources.list.d" \
		-o Dir::State::lists="$work/apt/lists" -o Dir::Cache="$work/apt/cache" -o APT::Sandbox::User=root "$@"
}

# Newest first: a mirror may lack the sources of the last security release for a while.
versions()
{
	apt cache showsrc "postgresql-$major" | sed -n 's/^Version: //p' | sort -urV
}

fetch()
{
	local version
	source_lists
	apt get update >&2
	for version in $(versions); do
		if (cd "$work" && apt get source --download-only "postgresql-$major=$version" >&2); then
			mkdir "$work/source"
			tar -C "$work/source" --strip-components=1 -xf "$work"/postgresql-"$major"_*.orig.tar.*
			return 0
		fi
		say "the source of version $version cannot be had"
	done
	return 1
}

# Of src/ what a server, its tests and extensions need, in the order in which they build.
build()
{
	local part
	cd "$work/source"
	./configure --quiet --prefix="$work/root" --enable-cassert --enable-debug --disable-rpath \
		--without-readline --without-zlib --without-icu CFLAGS='-O1 -g' >&2
	make -s -j"$jobs" -C src/backend generated-headers >&2
	for part in common port timezone backend backend/utils/mb/conversion_procs backend/snowball \
		include backend/replication/libpqwalreceiver backend/replication/pgoutput interfaces/libpq \
		fe_utils bin/initdb bin/pg_ctl bin/pg_config bin/psql bin/pg_basebackup pl/plpgsql makefiles; do
		make -s -j"$jobs" -C "src/$part" >&2
		make -s -C "src/$part" install >&2
	done
	make -s -C src install-local >&2
	make -s -C config install >&2
}

pg_config=$cache/$major/bin/pg_config
if [ ! -x "$pg_config" ]; then
	say "NO POSTGRESQL WITH ASSERTIONS IN $cache: BUILDING ONE, WHICH TAKES SOME 8 MINUTES"
	mkdir -p "$cache"
	work=$(mktemp -d "$cache/work.XXXXXX")
	if ! command -v apt-get >/dev/null || ! fetch; then
		say "the source of postgresql-$major cannot be had"
		exit 69
	fi
	build
	# Relocatable: a server finds its files relative to its programs.
	rm -rf "$cache/$major.old"
	mv -T "$work/root" "$cache/$major" 2>/dev/null || [ -x "$pg_config" ]
	say "built in $SECONDS s"
fi
echo "$pg_config"
