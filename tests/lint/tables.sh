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

# says NAME WANTED-MODE WANTED-FILES MANUAL-MODE MANUAL: each row of the tables stands in the manual as it
# should, once, in order, and nothing else does. "<" is the table, ">" the manual.
says() {
	name=$1 manual_mode=$2 manual=$3 mode=$4
	shift 4
	awk -v mode="$mode" -f "$srcdir/tests/lint/manual.awk" "$@" | LC_ALL=C sort >"$rows.want"
	awk -v mode="$manual_mode" -f "$srcdir/tests/lint/manual.awk" "$manual" | LC_ALL=C sort >"$rows.have"
	check "tables: $name ($(wc -l <"$rows.want") rows)" "$(diff "$rows.want" "$rows.have" | grep '^[<>]')"
}
rows=$(mktemp)
says "doc/inset.conf.5 has every option's name, type and default" settings "$srcdir/doc/inset.conf.5" options "$srcdir/src/conf/options.def"
says "doc/insetd.8 has every metric's name, type and label" metrics "$srcdir/doc/insetd.8" figures "$srcdir/src/base/metrics.def" "$srcdir/src/base/listener-figures.def" "$srcdir/src/base/rule-figures.def"
awk -v mode=options -f "$srcdir/tests/lint/manual.awk" "$srcdir/src/conf/options.def" >"$rows.want"
awk -v mode=sample -f "$srcdir/tests/lint/manual.awk" "$srcdir/data/inset.conf" >"$rows.have"
bad=$(awk -F '\t' '
	NR == FNR { want[$1 FS $2] = $4; next }
	{ n[$1 FS $2]++ }
	!($1 FS $2 in want) { print "no such option: " $1 "." $2; next }
	want[$1 FS $2] != "empty" && want[$1 FS $2] != $3 { print $1 "." $2 " is " want[$1 FS $2] ", not " $3 }
	END { for (o in want) if (n[o] != 1) { sub(FS, ".", o); print o " stands there " n[o] + 0 " times" } }' "$rows.want" "$rows.have")
check "tables: data/inset.conf shows every option with its default" "$bad"
rm -f "$rows" "$rows.want" "$rows.have"

sh "$srcdir/doc/rules-fill.sh" "$srcdir" >"${TMPDIR:-/tmp}/inset-rules.$$"
bad=$(diff "$srcdir/doc/inset-rules.5" "${TMPDIR:-/tmp}/inset-rules.$$")
rm -f "${TMPDIR:-/tmp}/inset-rules.$$"
check "tables: doc/inset-rules.5 says what the tables of rules say (make rules-manual)" "$bad"

for section in GLOBAL LOG LISTEN PROFILE FETCH ORIGIN SCALE CACHE WEB RECORD UPLOAD SERVICE LIMITS; do
	names=$(sed -n "s/^OPTION_$section(\"\([^\"]*\)\".*/\1/p" "$srcdir/src/conf/options.def")
	twice=$(printf '%s\n' "$names" | sort | uniq -d)
	check "tables: no option stands twice in $section" "$twice"
done
finish
