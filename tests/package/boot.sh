#!/bin/sh
# SPDX-License-Identifier: MIT
#
# boot.sh ROOT - boots the Debian in ROOT with systemd as its process 1, in namespaces of its own
# (processes, files, network, host name, cgroups). Stays until killed; then everything in there ends.
# Needs root. What the system writes outside /run, /tmp and /dev stays in ROOT.
# boot.sh --end FOLDER - removes the cgroups that are left after that; FOLDER is an empty one.
#
# The units' limits hold in there, as far as this machine's kernel has a controller for them: those of
# cgroup v2, or of v1 where this machine has given them to v1.
set -eu

# Controllers of v1 that units need, and systemd's own hierarchy, which goes with them: "NAME GROUP-OF-OURS".
hierarchies() {
	sed -n 's/^[0-9]*:\(memory\|pids\|name=systemd\):\(.*\)/\1 \2/p' /proc/self/cgroup
}

if [ "$1" = --end ]; then
	[ "${3:-}" = inside ] || exec unshare --mount sh "$0" --end "$2" inside
	mount --make-rprivate /
	mount -t cgroup2 none "$2"
	find "$2/inset-package" -depth -type d -exec rmdir {} \; 2>/dev/null || :
	hierarchies | while read -r name own; do
		mount -t cgroup -o "$name" none "$2"
		find "$2$own/inset-package" -depth -type d -exec rmdir {} \; 2>/dev/null || :
	done
	exit
fi
if [ "${2:-}" != inside ]; then
	exec unshare --mount --fork --kill-child sh "$0" "$1" inside
fi
if [ "${3:-}" != booting ]; then
	# Cgroups of its own, below ours, from which the cgroup namespace is made.
	mount --make-rprivate /
	group=$(mktemp -d)
	mount -t cgroup2 none "$group"
	mkdir -p "$group/inset-package"
	echo $$ >"$group/inset-package/cgroup.procs"
	hierarchies >"$group.v1"
	while read -r name own; do
		mount -t cgroup -o "$name" none "$group"
		mkdir -p "$group$own/inset-package"
		echo $$ >"$group$own/inset-package/cgroup.procs"
	done <"$group.v1"
	rm "$group.v1"
	exec unshare --pid --mount --uts --ipc --net --cgroup --fork --kill-child sh "$0" "$1" inside booting
fi

root=$1
ip link set lo up
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
if [ -z "$(hierarchies)" ]; then
	mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
else
	mount -t tmpfs -o mode=755 tmpfs "$root/sys/fs/cgroup"
	mkdir "$root/sys/fs/cgroup/unified"
	mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup/unified"
	hierarchies | while read -r name own; do
		mkdir "$root/sys/fs/cgroup/${name#name=}"
		mount -t cgroup -o "$name" cgroup "$root/sys/fs/cgroup/${name#name=}"
	done
fi
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
