#!/bin/sh
# SPDX-License-Identifier: MIT
# What data/prometheus and data/grafana make of the figures: every metric and label value that they name
# is in a table of the code, and promtool understands them.
. "${srcdir:-.}/tests/lint/tap.sh"
alerts=data/prometheus/inset-alerts.yml
dashboard=data/grafana/inset-dashboard.json
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# "name" of every metric, "name label value" of every row with a label.
sed -n 's/^METRIC([A-Z0-9_]*, *[A-Z]*, *"\([^"]*\)".*/inset_\1/p
	s/^#define JOB_STATUS.*METRIC([^,]*, *[A-Z]*, *"\([^"]*\)".*/inset_\1/p
	s/^RULE_FIGURE([A-Z]*, *"[^"]*", *"\([^"]*\)".*/inset_\1/p
	s/^LISTENER_FIGURE([A-Z0-9_]*, *"\([^"]*\)".*/inset_\1/p
	s/^HISTOGRAM([A-Z0-9_]*, *"\([^"]*\)".*/inset_\1_bucket\ninset_\1_sum\ninset_\1_count/p' \
	"$srcdir/src/base/metrics.def" "$srcdir/src/base/listener-figures.def" "$srcdir/src/base/rule-figures.def" |
	sort -u >"$work/known"
echo inset_build_info >>"$work/known"
{
	sed -n 's/^METRIC([A-Z0-9_]*, *[A-Z]*, *"\([^"]*\)", *"\([a-z]*\)=\\"\([^"\\]*\)\\"".*/inset_\1 \2 \3/p' "$srcdir/src/base/metrics.def"
	sed -n 's/^JOB_STATUS([A-Z_]*, *"\([^"]*\)").*/inset_jobs_total outcome \1/p' "$srcdir/src/base/job-status.def"
} | sort -u >"$work/labels"

# What stands for a label: inset_x{label="v"} and inset_x{label=~"v|w"}, the label first.
named_labels() {
	grep -o 'inset_[a-z0-9_]*{[a-z]*=~*"[^"$]*"' "$1" | sed 's/{\([a-z]*\)=~*"\(.*\)"/ \1 \2/' |
		while read -r name label values; do
			printf '%s\n' "$values" | tr '|' '\n' | sed "s/^/$name $label /"
		done | sort -u
}

for file in "$alerts" "$dashboard"; do
	grep -o '\binset_[a-z0-9_]*' "$srcdir/$file" | sort -u >"$work/named"
	bad=$(grep -v -x -F -f "$work/known" "$work/named" | sed "s|^|$file names |")
	[ -s "$work/named" ] || bad="$file names no metric"
	check "figures: every metric of $file exists" "$bad"
	bad=$(named_labels "$srcdir/$file" | grep -v -x -F -f "$work/labels" | sed "s|^|$file names |")
	check "figures: every label value of $file exists" "$bad"
done

if command -v promtool >/dev/null; then
	bad=$(promtool check rules "$srcdir/$alerts" 2>&1) && bad=
	check "figures: promtool check rules" "$bad"
	bad=$(cd "$srcdir/data/prometheus" && promtool test rules inset-alerts.test.yml 2>&1) && bad=
	check "figures: promtool test rules" "$bad"
	# The dashboard's expressions as rules, so that promtool reads them.
	{
		printf 'groups:\n  - name: dashboard\n    rules:\n'
		sed -n 's/^ *"expr": "\(.*\)",\{0,1\}$/\1/p' "$srcdir/$dashboard" |
			sed "s/\\\\\"/\"/g; s/\$__rate_interval/5m/g; s/'/''/g; s/.*/      - { record: x, expr: '&' }/" |
			awk '{ sub(/record: x/, "record: x" NR); print }'
	} >"$work/dashboard.yml"
	bad=$(promtool check rules "$work/dashboard.yml" 2>&1) && bad=
	[ "$(grep -c record "$work/dashboard.yml")" -gt 20 ] || bad="$dashboard: no expressions found"
	check "figures: promtool reads the dashboard's expressions" "$bad"
fi
finish
