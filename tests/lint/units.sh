#!/bin/sh
# SPDX-License-Identifier: MIT
# The service is as locked up as it can be, and what systemd and AppArmor read is what they take.
. "${srcdir:-.}/tests/lint/tap.sh"
[ -f "$builddir/data/systemd/inset.service" ] || skip_all "not built in $builddir"
need systemd-analyze
need apparmor_parser
worst=1.5
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Under the names that they have when installed; what they execute exists.
mkdir "$work/units"
sed -e "s|^\(Exec[A-Z][a-z]*=\)[^ ]*/inset[a-z]* |\1/bin/true |" "$builddir/data/systemd/inset.service" >"$work/units/inset.service"
cp "$srcdir"/data/systemd/*.socket "$work/units"

score=$(SYSTEMD_COLORS=0 systemd-analyze security --offline=yes --no-pager "$work/units/inset.service" 2>&1 |
	sed -n 's/.*Overall exposure level for inset.service: \([0-9.]*\).*/\1/p')
check "units: exposure of inset.service is ${score:-unknown}, at most $worst" \
	"$(awk -v score="${score:-10}" -v worst=$worst 'BEGIN { if (score + 0 > worst) print score }')"

for unit in "$work"/units/*; do
	name=$(basename "$unit")
	bad=$(systemd-analyze verify --man=no --recursive-errors=no "$unit" 2>&1 | grep -F "$name")
	check "units: systemd takes $name" "$bad"
done

# Each setting once, so that none is undone by a later line; lists may go on.
bad=$(sed -n 's/^\([A-Za-z]*\)=.*/\1/p' "$builddir/data/systemd/inset.service" |
	grep -v -x -e ExecPaths -e SystemCallFilter | sort | uniq -d)
check "units: no setting of inset.service stands twice" "$bad"

left=$(grep -n '@[a-z]*@' "$builddir/data/systemd/inset.service" "$builddir/data/apparmor/usr.sbin.insetd")
check "units: no folder is left open" "$left"

bad=$(systemd-sysusers --dry-run "$srcdir/data/systemd/inset.sysusers" 2>&1) && bad=
check "units: systemd takes the user" "$bad"

# In a root of its own, where nobody but who runs this is known.
mkdir -p "$work/root/etc" "$work/root/usr/lib/tmpfiles.d"
sed "s/ _inset _inset / $(id -u) $(id -g) /" "$srcdir/data/systemd/inset.tmpfiles" >"$work/root/usr/lib/tmpfiles.d/inset.conf"
bad=$(systemd-tmpfiles --create --root="$work/root" inset.conf 2>&1)
[ "$(stat -c %a "$work/root/run/inset") $(stat -c %a "$work/root/var/lib/inset")" = "755 750" ] || bad="$bad wrong modes"
check "units: systemd makes the folders" "$bad"

# What a build needs stands in two places; compiler, make and autotools go without saying in a package.
sed -n '/^# group build/,/^# group demo/p' "$srcdir/data/packages.txt" |
	grep -v -x -e '#.*' -e autoconf -e automake -e ca-certificates -e gcc -e git -e libc6-dev -e make | sort >"$work/want"
sed -n '/^Build-Depends:/,/^$/p' "$srcdir/debian/control" | sed -n 's/^  *\([a-z0-9.+-]*\).*/\1/p' | grep -v -x dh-apparmor |
	sort >"$work/have"
check "units: debian/control and data/packages.txt name the same libraries" "$(diff "$work/want" "$work/have" | grep '^[<>]')"

# -Q: the kernel is not asked; this machine need not have AppArmor.
bad=$(apparmor_parser -Q -K -S "$builddir/data/apparmor/usr.sbin.insetd" 2>&1 >/dev/null | grep -v '^Cache read/write disabled')
check "units: AppArmor takes usr.sbin.insetd" "$bad"
finish
