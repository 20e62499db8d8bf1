#!/bin/sh
# SPDX-License-Identifier: MIT
#
# run.sh [FOLDER] - the package in a fresh Debian 12: built, installed, run by hand, run as a service
# by a real systemd, upgraded under load, removed, purged. By hand, as root, with a Debian mirror at
# reach (debootstrap, apt); some minutes. FOLDER keeps the fresh root for the next time.
#
# Prints TAP; exit status 0 when all is well. Nothing outside a temporary folder is touched: the system
# runs in namespaces of its own (boot.sh), its network is a loopback of its own.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
keep=${1:-}
work=$(mktemp -d)
root=$work/root
booted=
passed=0 failed=0

clean_up() {
	# unshare leaves SIGTERM to its child; boot.sh sees to it that all ends with it.
	[ -z "$booted" ] || { kill -KILL "$booted"; wait "$booted"; } 2>/dev/null || :
	sh "$here/boot.sh" --end "$work/group" || :
	rm -rf --one-file-system "$work"
}
mkdir "$work/group"
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# ok NAME COMMAND...: one result; what the command says only when it fails, and figures.
ok() {
	name=$1
	shift
	if "$@" >"$work/out" 2>&1; then
		passed=$((passed + 1))
		printf 'ok %d - %s\n' $((passed + failed)) "$name"
		sed -n 's/^figures: /# /p' "$work/out"
	else
		failed=$((failed + 1))
		printf 'not ok %d - %s\n' $((passed + failed)) "$name"
		sed 's/^/# /' "$work/out" | tail -n 60
	fi
}

# in_root COMMAND...: in the fresh root without a system running, with the network of this machine.
in_root() {
	unshare --mount --pid --fork --kill-child sh -c '
		mount --make-rprivate /
		mount -t proc proc "$0/proc"
		mount --bind /dev "$0/dev"
		exec chroot "$0" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@"' "$root" "$@"
}

# in_system COMMAND...: in the booted system.
in_system() {
	nsenter -t "$system" -a -W / env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@"
}

# All files that are not the package manager's own, logs or caches, with owner and mode.
files() {
	(cd "$root" && find . -xdev \( -path ./var/lib/dpkg -o -path ./var/lib/apt -o -path ./var/cache -o -path ./var/log -o \
		-path ./root -o -path ./dev -o -path ./proc -o -path ./tmp -o -path ./run -o -path ./var/tmp -o \
		-path ./var/lib/systemd \) -prune -o \
		-printf '%p %u:%g %m\n') | grep -v -e '^\./etc/\(passwd\|group\|shadow\|gshadow\|ld\.so\.cache\)-* ' | LC_ALL=C sort
}

accounts() {
	cat "$root/etc/passwd" "$root/etc/group"
}

same() {
	diff "$1" "$2"
}

# --- the package ------------------------------------------------------------------------------

"$top/quickstart" package
deb=$(ls "$top"/build/package/inset_*.deb)

# The same again with a higher number, for an upgrade.
dpkg-deb -R "$deb" "$work/next"
sed -i 's/^Version: .*/&+next/' "$work/next/DEBIAN/control"
dpkg-deb --root-owner-group -b "$work/next" "$work/next.deb" >/dev/null

# --- a fresh Debian ---------------------------------------------------------------------------

if [ -n "$keep" ] && [ -f "$keep/root.tar" ]; then
	mkdir "$root"
	tar -C "$root" -xpf "$keep/root.tar"
else
	debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus bookworm "$root" http://deb.debian.org/debian >"$work/log" ||
		{ tail -n 20 "$work/log" >&2; exit 1; }
	echo 'deb http://deb.debian.org/debian-security bookworm-security main' >>"$root/etc/apt/sources.list"
	# What the package needs, so that afterwards only its own files differ.
	cp "$deb" "$root/root/inset.deb"
	in_root apt-get -q update >"$work/log" 2>&1
	in_root sh -c 'dpkg-deb -f /root/inset.deb Depends | tr "," "\n" | sed "s/[ (|].*//; s/^ *//" >/dev/null
		apt-get -q install -y --no-install-recommends /root/inset.deb && apt-get -q purge -y inset' >"$work/log" 2>&1 ||
		{ tail -n 20 "$work/log" >&2; exit 1; }
	if [ -n "$keep" ]; then
		mkdir -p "$keep"
		tar -C "$root" -cpf "$keep/root.tar" .
	fi
fi
cp "$deb" "$root/root/inset.deb"
cp "$work/next.deb" "$root/root/next.deb"
cp "$top"/data/captures/*.gz "$here/inside.sh" "$root/root"
files >"$work/files.before"
accounts >"$work/accounts.before"

ok "installs" in_root apt-get -q install -y --no-install-recommends /root/inset.deb
ok "its programs start" in_root sh -c 'insetd --version && insetctl --version && inset-replay --version && insetd -V'
ok "its configuration is right" in_root insetd -t
ok "its manual pages are there" sh -c "ls $root/usr/share/man/man8/insetd.8.gz $root/usr/share/man/man5/inset.conf.5.gz"
ok "its user exists" in_root id _inset
ok "keys are for the service's group alone" test "$(stat -c '%a' "$root/etc/inset/tls")" = 750
ok "without systemd: runs by hand, as its user, and makes thumbnails" in_root sh /root/inside.sh by_hand

# --- as a service -----------------------------------------------------------------------------

sh "$here/boot.sh" "$root" >"$work/boot.log" 2>&1 </dev/null &
booted=$!
system=
for i in $(seq 300); do
	# The last child in a row of single ones is process 1 of the system.
	pid=$booted
	while child=$(cat "/proc/$pid/task/$pid/children" 2>/dev/null) && [ -n "$child" ]; do
		pid=${child%% *}
		[ "$(cat "/proc/$pid/comm" 2>/dev/null)" != systemd ] || { system=$pid; break; }
	done
	[ -n "$system" ] && in_system systemctl is-system-running 2>/dev/null | grep -q -e running -e degraded && break
	sleep 0.1
done
[ -n "$system" ] || { cat "$work/boot.log"; exit 1; }

for step in starts confined reloads relays limited watched activated restarts upgrades own_users; do
	ok "with systemd: $step" in_system sh /root/inside.sh "$step"
done
ok "with systemd: is removed" in_system apt-get -q remove -y inset
ok "removed: nothing of it runs, configuration and uploads are there" in_system sh /root/inside.sh removed
ok "with systemd: is installed again, with the old configuration" in_system dpkg -i /root/inset.deb
ok "installed again: runs" in_system sh /root/inside.sh again
ok "with systemd: is purged" in_system apt-get -q purge -y inset
ok "purged: nothing of it runs" in_system sh /root/inside.sh purged
ok "the system has no failed units" in_system sh -c 'systemctl --failed --no-legend --no-pager | grep . && exit 1 || exit 0'

kill -KILL "$booted"
wait "$booted" 2>/dev/null || :
booted=
files >"$work/files.after"
accounts >"$work/accounts.after"
ok "purged: no file is left" same "$work/files.before" "$work/files.after"
ok "purged: no account is left" same "$work/accounts.before" "$work/accounts.after"

printf '1..%d\n' $((passed + failed))
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
