#!/bin/sh
# SPDX-License-Identifier: MIT
# Prints inset-rules.5 with its sections made from the tables. Argument: the top of the sources.
set -e
top=${1:-.}
awk -v dir="$top/" -f "$top/doc/rules.awk" "$top/src/rule/conditions.def" "$top/src/conf/actions.def" \
	"$top/src/xmpp/xpath.def" >"${TMPDIR:-/tmp}/rules-rows.$$"
awk -v rows="${TMPDIR:-/tmp}/rules-rows.$$" '
	/^\.\\" begin rows/ { print; while ((getline line < rows) > 0) print line; skip = 1; next }
	/^\.\\" end rows/ { skip = 0 }
	!skip { print }' "$top/doc/inset-rules.5"
rm -f "${TMPDIR:-/tmp}/rules-rows.$$"
