#!/bin/sh
# SPDX-License-Identifier: MIT
# Every path that the documents name exists; every filter has its page.
. "${srcdir:-.}/tests/lint/tap.sh"

for file in README.md HACKING.md doc/ARCHITECTURE.md doc/THREAT-MODEL.md doc/servers.md; do
	if [ ! -f "$srcdir/$file" ]; then
		check "docs: $file" "$file is missing"
		continue
	fi
	bad=$(grep -o -E '(^|[^A-Za-z0-9_./:<-])(src|filters|tests|doc|data|m4|\.ci)/[A-Za-z0-9_./*-]*' "$srcdir/$file" |
		sed 's|^[^A-Za-z.]||; s|[.,]*$||' | sort -u | while read -r path; do
		# The shell expands * in what the documents call by pattern.
		set -- "$srcdir"/$path
		[ -e "$1" ] || printf '%s names %s\n' "$file" "$path"
	done)
	check "docs: paths in $file exist" "$bad"
done

# A claim without its test is none.
bad=$(grep -o '`test_[a-z0-9_]*\.[a-z]*::[a-z0-9_]*`' "$srcdir/doc/THREAT-MODEL.md" | tr -d '`' | sort -u | while read -r test; do
	grep -q -w -F "${test#*::}" "$srcdir"/tests/*/"${test%%::*}" "$srcdir"/filters/*/"${test%%::*}" 2>/dev/null ||
		printf 'doc/THREAT-MODEL.md names %s\n' "$test"
done)
check "docs: tests in doc/THREAT-MODEL.md exist" "$bad"

lines=$(wc -l <"$srcdir/HACKING.md")
check "docs: HACKING.md has at most 250 lines" "$([ "$lines" -le 250 ] || echo "$lines")"
lines=$(wc -l <"$srcdir/doc/ARCHITECTURE.md")
check "docs: doc/ARCHITECTURE.md has at most 300 lines" "$([ "$lines" -le 300 ] || echo "$lines")"

for folder in "$srcdir"/filters/*/; do
	name=$(basename "$folder")
	check "docs: filter $name has filters/$name/$name.md" "$([ -f "$folder$name.md" ] || echo missing)"
done

if command -v mandoc >/dev/null; then
	for page in "$srcdir"/doc/*.[1-8]; do
		[ -f "$page" ] || continue
		check "docs: mandoc on ${page#"$srcdir/"}" "$(mandoc -T lint -W warning "$page" 2>&1 | sed "s|$srcdir/||")"
	done
fi
finish
