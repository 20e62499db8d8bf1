#!/bin/sh
# SPDX-License-Identifier: MIT
# Every header compiles alone, so that includes can be sorted.
. "${srcdir:-.}/tests/lint/tap.sh"
[ -f "$builddir/config.h" ] || skip_all "not configured in $builddir"

for header in $(cd "$srcdir" && find src filters tests -name '*.h' | LC_ALL=C sort); do
	bad=$(printf '#include "config.h"\n#include "%s"\n' "$srcdir/$header" |
		${CC:-cc} -std=gnu11 -Wall -Wextra -Werror -fsyntax-only -DHAVE_CONFIG_H \
			-I"$builddir" -I"$srcdir/src" -I"$builddir/src" -I"$srcdir/filters" \
			${CPPFLAGS_INSET:-} -x c - 2>&1 | head -n 5)
	check "headers: $header" "$bad"
done
finish
