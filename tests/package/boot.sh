#!/bin/sh
# SPDX-License-Identifier: MIT
#
# boot.sh ROOT - boots the Debian in ROOT with systemd as its process 1, in namespaces of its own
# (processes, files, network, host name, cgroups). Stays until killed; then everything in there ends.
# Needs root. What the system writes outside /run, /tmp and /dev stays in ROOT.
set -eu

if [ "${2:-}" != inside ]; then
	exec unshare --mount --fork --kill-child sh "$0" "$1" inside
fi
if [ "${3:-}" != booting ]; then
	# A cgroup of its own, from which the cgroup namespace is made.
	mount --make-rprivate /
	group=$(mktemp -d)
	mount -t cgroup2 none "$group"
	mkdir -p "$group/inset-package"
	echo $$ >"$group/inset-package/cgroup.procs"
	exec unshare --pid --mount --uts --ipc --net --cgroup --fork --kill-child sh "$0" "$1" inside booting
fi

root=$1
ip link set lo up
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for name in null zero full random urandom tty; do
	: >"$root/dev/$name"
	mount --bind "/dev/$name" "$root/dev/$name"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
cd "$root"
mkdir -p mnt
pivot_root . mnt
umount -l /mnt
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb \
	/lib/systemd/systemd --system --show-status=no --log-target=journal
