#!/bin/sh
# SPDX-License-Identifier: MIT
# A folder uses only the layers it may (doc/ARCHITECTURE.md), and only its own outside
# libraries. The archives enforce the first at link time as well; this names the line.
. "${srcdir:-.}/tests/lint/tap.sh"

# layer: folders it may include
layers='
base: base
loop: base loop
xmpp: base xmpp
conf: base conf
rule: base xmpp conf rule
filter: base xmpp conf rule filter
stream: base xmpp conf rule filter stream
media: base loop conf media
scaler: base scaler
web: base conf web
box: base loop conf box
master: base conf master
replay: base xmpp replay
'
# header pattern: layers that may include it ("main": the files directly in src/)
libraries='
libxml/: xmpp rule main
openssl/: base conf stream replay main
event2/: loop stream media web box master replay main
libconfig: conf main
jansson: master replay main
curl/: loop media box main
ares: media main
hiredis/: media main
microhttpd: web box main
magick/: scaler
libheif/: scaler
jpeglib: scaler
seccomp: scaler
zlib: base stream replay
'

allowed_for() {
	printf '%s\n' "$1" | sed -n "s|^$2: ||p"
}

includes() {
	grep -n '^[[:space:]]*#[[:space:]]*include' "$1" /dev/null
}

for folder in "$srcdir"/src/*/ "$srcdir"/filters/*/; do
	[ -d "$folder" ] || continue
	case $folder in
	*/filters/*) layer=filters allowed="base xmpp conf rule filter" own=$(basename "$folder") ;;
	*) layer=$(basename "$folder") own=$layer allowed=$(allowed_for "$layers" "$layer") ;;
	esac
	bad=
	[ -n "$allowed" ] || bad="no row for this folder in tests/lint/layers.sh"
	for file in "$folder"*.[ch]; do
		[ -f "$file" ] || continue
		case $(basename "$file") in test_*) continue ;; esac
		for used in $(includes "$file" | sed -n 's|.*"\([a-z0-9_-]*\)/[^"]*".*|\1|p' | sort -u); do
			case " $allowed $own " in
			*" $used "*) ;;
			*) bad="$bad${bad:+
}${file#"$srcdir/"} includes $used/" ;;
			esac
		done
	done
	check "layers: ${folder#"$srcdir/"} includes only what it may" "$bad"
done

printf '%s\n' "$libraries" | grep . >"${TMPDIR:-/tmp}/layers.$$"
while IFS=: read -r header may; do
	bad=
	for file in $(cd "$srcdir" && find src filters -name '*.[ch]' ! -name 'test_*' ! -name 'fuzz_*' | LC_ALL=C sort); do
		case $file in
		filters/*) layer=filters ;;
		src/*/*) layer=${file#src/} layer=${layer%%/*} ;;
		*) layer=main ;;
		esac
		case " $may " in *" $layer "*) continue ;; esac
		if grep -q "^[[:space:]]*#[[:space:]]*include[[:space:]]*<$header" "$srcdir/$file"; then
			bad="$bad${bad:+
}$file includes <$header...>"
		fi
	done
	check "layers: <$header...> only in:$may" "$bad"
done <"${TMPDIR:-/tmp}/layers.$$"
rm -f "${TMPDIR:-/tmp}/layers.$$"
finish
