#!/bin/sh
# SPDX-License-Identifier: MIT
# Layout is .clang-format's business (`make format` does it), the rest of the house style that
# a pattern can find is checked here.
. "${srcdir:-.}/tests/lint/tap.sh"
need clang-format

for file in $(c_files); do
	check "format: $file" "$(cd "$srcdir" && clang-format --dry-run -Werror --style=file "$file" 2>&1 | grep error: | head -n 5)"
done

# find_lines NAME PATTERN FILE...: no line of the files matches.
find_lines() {
	name=$1 pattern=$2
	shift 2
	check "style: $name" "$(cd "$srcdir" && grep -n -E "$pattern" "$@" /dev/null)"
}

find_lines "comments are /* */" '(^|[;{}),[:space:]])//([^"]*$)' $(c_files)
find_lines "no typedef but of function pointers (_fn)" '^[[:space:]]*typedef[[:space:]]+(struct|enum|union|[a-z0-9_ ]+[[:space:]][a-z0-9_]+;)' $(c_files)
find_lines "no TODO, XXX or FIXME" '(^|[^A-Za-z])(TODO|XXX|FIXME)([^A-Za-z]|$)' $(c_files)
find_lines "no white space at the end of a line" '[[:space:]]$' $(c_files)

bad=$(cd "$srcdir" && for file in $(c_files) $(find src filters tests data -name '*.def' -o -name '*.py' -o -name '*.sh'); do
	[ -s "$file" ] || continue
	head -n 3 "$file" | grep -q 'SPDX-License-Identifier: MIT' || printf '%s\n' "$file"
done)
check "style: every file names its licence" "$bad"

bad=$(cd "$srcdir" && for file in $(find src filters -name '*.h'); do
	grep -q '^#pragma once' "$file" || printf '%s\n' "$file"
done)
check "style: #pragma once in every header" "$bad"
finish
