#!/bin/sh
# SPDX-License-Identifier: MIT
# Every option and every metric stands in its manual, every option in the sample file.
. "${srcdir:-.}/tests/lint/tap.sh"

# "section name" of every option; sections as users write them.
options() {
	sed -n 's/^OPTION_\([A-Z]*\)("\([^"]*\)".*/\1 \2/p' "$srcdir/src/conf/options.def" | tr 'A-Z' 'a-z'
}

metrics() {
	sed -n 's/^METRIC([A-Z0-9_#a-z]*, *[A-Z]*, *"\([^"]*\)".*/inset_\1/p
		s/^#define JOB_STATUS.*METRIC([^,]*, *[A-Z]*, *"\([^"]*\)".*/inset_\1/p
		s/^RULE_FIGURE([A-Z]*, *"[^"]*", *"\([^"]*\)".*/inset_\1/p
		s/^LISTENER_FIGURE([A-Z0-9_]*, *"\([^"]*\)".*/inset_\1/p
		s/^HISTOGRAM([A-Z0-9_]*, *"\([^"]*\)".*/inset_\1/p' "$srcdir/src/base/metrics.def" \
		"$srcdir/src/base/listener-figures.def" "$srcdir/src/base/rule-figures.def" | sort -u
}

for file in doc/inset.conf.5 data/inset.conf; do
	bad=
	if [ ! -f "$srcdir/$file" ]; then
		bad="$file is missing"
	else
		bad=$(options | while read -r section name; do
			# As a word of its own; roff writes - as \-.
			sed 's/\\-/-/g' "$srcdir/$file" | grep -q -E "(^|[^a-z0-9-])$name([^a-z0-9-]|\$)" ||
				printf '%s.%s is not in %s\n' "$section" "$name" "$file"
		done)
	fi
	check "tables: every option is in $file" "$bad"
done

bad=
if [ ! -f "$srcdir/doc/insetd.8" ]; then
	bad="doc/insetd.8 is missing"
else
	bad=$(metrics | while read -r name; do
		sed 's/\\-/-/g; s/\\_/_/g' "$srcdir/doc/insetd.8" | grep -q -E "(^|[^a-z0-9_])$name([^a-z0-9_]|\$)" ||
			printf '%s is not in doc/insetd.8\n' "$name"
	done)
fi
check "tables: every metric is in doc/insetd.8" "$bad"

sh "$srcdir/doc/rules-fill.sh" "$srcdir" >"${TMPDIR:-/tmp}/inset-rules.$$"
bad=$(diff "$srcdir/doc/inset-rules.5" "${TMPDIR:-/tmp}/inset-rules.$$")
rm -f "${TMPDIR:-/tmp}/inset-rules.$$"
check "tables: doc/inset-rules.5 says what the tables of rules say (make rules-manual)" "$bad"

for section in GLOBAL LOG LISTEN PROFILE FETCH SCALE CACHE WEB RECORD UPLOAD SERVICE LIMITS; do
	names=$(sed -n "s/^OPTION_$section(\"\([^\"]*\)\".*/\1/p" "$srcdir/src/conf/options.def")
	twice=$(printf '%s\n' "$names" | sort | uniq -d)
	check "tables: no option stands twice in $section" "$twice"
done
finish
