#!/bin/sh
# SPDX-License-Identifier: MIT
# No file and no function grows without bounds: 1000 lines a .c, 400 a header, 100 a function.
# Exceptions stand in size.allow with their reason.
. "${srcdir:-.}/tests/lint/tap.sh"
need ctags
allow=$srcdir/tests/lint/size.allow

allowed() {
	awk -v want="$1" '$1 == want && NF > 1 { found = 1 } END { exit !found }' "$allow"
}

bad=
for file in $(c_files); do
	case $file in *.h) limit=400 ;; *) limit=1000 ;; esac
	lines=$(wc -l <"$srcdir/$file")
	if [ "$lines" -gt "$limit" ] && ! allowed "$file"; then
		bad="$bad${bad:+
}$file has $lines lines (limit $limit)"
	fi
done
check "size: files" "$bad"

bad=$(cd "$srcdir" && c_files | ctags -L - -o - --languages=C --langmap=C:.c.h --kinds-C=f --fields=+ne --sort=no 2>/dev/null |
	awk -F '\t' '{
		line = end = 0
		for (i = 4; i <= NF; i++) {
			if ($i ~ /^line:/) line = substr($i, 6)
			if ($i ~ /^end:/) end = substr($i, 5)
		}
		if (end - line + 1 > 100)
			print $2 ":" $1 " " end - line + 1
	}' | while read -r name lines; do
		allowed "$name" || printf '%s has %s lines (limit 100)\n' "$name" "$lines"
	done)
check "size: functions" "$bad"

# An exception that is not needed any more, or says no reason, goes.
bad=$(grep -v '^#' "$allow" | while read -r name reason; do
	[ -n "$name" ] || continue
	[ -n "$reason" ] || printf '%s: no reason given\n' "$name"
	[ -f "$srcdir/${name%%:*}" ] || printf '%s: no such file\n' "$name"
done)
check "size: exceptions" "$bad"
finish
