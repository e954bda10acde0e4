#!/bin/bash
# sandbox.sh COMMAND [ARG...] -- tests/sandbox.sh, with a server that has assertions.
# The plugin is built for it in a copy of the sources, so that the ordinary build stays as it is.
# Where the server's source cannot be had, the ordinary server must do; that is said.
set -eu -o pipefail

top=$(cd "$(dirname "$0")/../.." && pwd)
export BUILD=${BUILD:-$top/build}
tree=$BUILD/assertions

status=0
pg_config=$("$top/tests/soak/cassert.sh") || status=$?
if [ "$status" = 69 ]; then
	echo "NO ASSERTIONS: their server's source cannot be had, so the ordinary one it is" >&2
	make -s -C "$top" plugin
	exec "$top/tests/sandbox.sh" "$@"
fi
[ "$status" = 0 ] || exit "$status"
mkdir -p "$tree"
# Files keep their times, so that only what has changed is built again.
for part in plugin proto sql tests consumer; do
	[ "$part" = plugin ] || rm -rf "${tree:?}/$part"
	tar -C "$top" --exclude='*.o' --exclude='*.so' --exclude='*.pb-c.*' -cf - "$part" | tar -C "$tree" -xf -
done
cp "$top/README.md" "$tree/"
make -s -C "$tree/plugin" PG_CONFIG="$pg_config"
PG_CONFIG=$pg_config exec "$tree/tests/sandbox.sh" "$@"
