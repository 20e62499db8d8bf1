#!/bin/sh
# SPDX-License-Identifier: MIT
#
# vm.sh FOLDER - the service under Debian's own kernel, with AppArmor, in a virtual machine. By hand, as
# root, with a Debian mirror at reach and qemu-system-x86; FOLDER is the one that run.sh keeps its root in.
# Without KVM the machine is emulated: a quarter of an hour.
#
# run.sh shows everything that systemd does; this shows that the AppArmor profile denies nothing that
# inset needs. Prints each step's result and every denial; exit status 0 when there is none of either.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
[ $# -eq 1 ] && [ -f "$1/root.tar" ] || { echo "usage: vm.sh FOLDER (run.sh FOLDER makes it)" >&2; exit 2; }
kept=$(cd "$1" && pwd)
work=$(mktemp -d)
root=$work/root
qemu=
trap '[ -z "$qemu" ] || kill "$qemu" 2>/dev/null || :; rm -rf --one-file-system "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

steps=${STEPS:-starts confined reloads relays limited activated restarts own_users}

[ -f "$top/build/package/inset.deb" ] || [ -n "$(ls "$top"/build/package/inset_*.deb 2>/dev/null)" ] || "$top/quickstart" package
mkdir "$root"
tar -C "$root" -xpf "$kept/root.tar"
cp "$top"/build/package/inset_*.deb "$root/root/inset.deb"
cp "$top"/data/captures/*.gz "$here/inside.sh" "$root/root"

# Few sessions: emulated, a picture takes a second. no_timer_check: on a busy machine the emulated timer
# is late, and the kernel would take it for broken.
cat >"$root/root/vm" <<END
#!/bin/sh
exec >/dev/ttyS0 2>&1
ip link set lo up
grep inset /sys/kernel/security/apparmor/profiles
for step in $steps; do
	SESSIONS=2 sh /root/inside.sh \$step >/tmp/out 2>&1 && sed -n "s/^figures: /RESULT: /p" /tmp/out && echo "RESULT ok \$step" || { sed "s/^/RESULT: /" /tmp/out; echo "RESULT not ok \$step"; }
	cat /sys/fs/cgroup/system.slice/inset.service/cgroup.procs | while read -r pid; do
		echo "PROFILE \$(cat /proc/\$pid/comm) \$(cat /proc/\$pid/attr/apparmor/current)"
	done
done
dmesg | sed -n 's/.*apparmor="DENIED"/RESULT DENIED/p'
echo RESULT end
poweroff -f
END
cat >"$root/etc/systemd/system/vm.service" <<'END'
[Unit]
After=multi-user.target inset.service apparmor.service
[Service]
Type=oneshot
ExecStart=/bin/sh /root/vm
END
unshare --mount sh -c '
	set -e
	mount --make-rprivate /
	mount -t proc proc "$0/proc"
	mount --bind /dev "$0/dev"
	echo "do_symlinks = no" >"$0/etc/kernel-img.conf"
	export DEBIAN_FRONTEND=noninteractive
	chroot "$0" apt-get -q update
	chroot "$0" apt-get -q install -y --no-install-recommends linux-image-cloud-amd64 initramfs-tools apparmor udev iproute2
	chroot "$0" apt-get -q install -y --no-install-recommends /root/inset.deb
	mkdir -p "$0/etc/systemd/system/multi-user.target.wants"
	ln -s ../vm.service "$0/etc/systemd/system/multi-user.target.wants/vm.service"' "$root" >"$work/log" 2>&1 ||
	{ tail -n 20 "$work/log" >&2; exit 1; }

mke2fs -q -t ext4 -d "$root" "$work/disk" 1500M
accel=${ACCEL:-tcg,thread=multi}
: >"$work/serial"
timeout 1800 qemu-system-x86_64 -accel "$accel" -cpu max -m 2048 -smp 2 -nographic -no-reboot -nodefaults -nic none \
	-serial "file:$work/serial" -drive "file=$work/disk,format=raw,if=virtio" \
	-kernel "$(ls "$root"/boot/vmlinuz-*)" -initrd "$(ls "$root"/boot/initrd.img-*)" \
	-append "root=/dev/vda rw console=ttyS0 security=apparmor apparmor=1 quiet no_timer_check panic=-1" &
qemu=$!
wait "$qemu" || { tail -n 40 "$work/serial"; exit 1; }
qemu=
tr -d '\r' <"$work/serial" | grep -a '^RESULT\|^PROFILE' | uniq -c
! grep -a -q '^RESULT \(not ok\|DENIED\)' "$work/serial"
[ "$(grep -a -c '^RESULT ok' "$work/serial")" -eq "$(echo $steps | wc -w)" ]
[ "$(grep -a '^PROFILE' "$work/serial" | grep -a -v -c 'insetd (enforce)')" -eq 0 ]
echo "all well"
