#!/bin/sh
# SPDX-License-Identifier: MIT
# embed.sh FILE...: each as an array of bytes in C, page_NAME_EXTENSION, on standard output.
set -eu
for file; do
	name=$(basename "$file" | tr '.-' '__')
	printf 'static const uint8_t page_%s[] = {\n' "$name"
	od -An -v -tu1 "$file" | sed 's/[0-9][0-9]*/&,/g'
	printf '};\n'
done
