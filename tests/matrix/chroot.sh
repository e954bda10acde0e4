#!/bin/bash
# chroot.sh COMMAND... -- run a command as root where nothing that it mounts or starts outlives it:
# in mount, process and IPC namespaces of its own, which the kernel ends with it, even at kill -9.
# chroot.sh --in ROOT [--rw] [--bind DIR=PATH]... COMMAND... runs it in a chroot, with /proc, /dev
# and a private /dev/shm. ROOT is read-only without --rw; --bind shows DIR at PATH in it. PATH exists.
# chroot.sh --here COMMAND... runs it where it is, with /proc and /dev/shm as in a chroot.
set -eu -o pipefail

mount_devices()
{
	mount -t proc proc "$1/proc"
	mount --bind /dev "$1/dev"
	mount -t tmpfs -o mode=1777 tmpfs "$1/dev/shm"
}

# In the namespaces. A bind mount of the root on itself is what can be made read-only alone.
enter_chroot()
{
	local root=$1 option=ro
	shift
	mount --bind "$root" "$root"
	if [ "$1" = --rw ]; then
		option=rw
		shift
	fi
	mount_devices "$root"
	while [ "$1" = --bind ]; do
		mount --bind "${2%%=*}" "$root${2#*=}"
		shift 2
	done
	mount -o "remount,bind,$option" "$root"
	exec chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LANG=C.UTF-8 \
		TZ=UTC TERM=dumb DEBIAN_FRONTEND=noninteractive "$@"
}

# Process ids in /proc are those of the namespace; shared memory left by what was killed goes with it.
stay_here()
{
	mount -t proc proc /proc
	mount -t tmpfs -o mode=1777 tmpfs /dev/shm
	"$@"
}

if [ "${1:-}" = --inside ]; then
	shift
	case $1 in
	--in) enter_chroot "${@:2}" ;;
	--here) stay_here "${@:2}" ;;
	*) "$@" ;;
	esac
	exit
fi

if [ "$(id -u)" != 0 ]; then
	echo "tests/matrix: chroots and mounts need root; run make matrix as root" >&2
	exit 1
fi
# Not only the command's children end with it: it ends itself when whoever called us dies.
exec setpriv --pdeathsig KILL \
	unshare --mount --propagation private --ipc --pid --fork --kill-child "$0" --inside "$@"
