# SPDX-License-Identifier: MIT
# For the lint scripts: results in TAP, and the lists of files they look at.
# Sourced, not run. $srcdir and $builddir come from make.
srcdir=${srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
builddir=${builddir:-$srcdir/build}
points=0

# check NAME PROBLEMS: one TAP result; no problems is a pass.
check() {
	points=$((points + 1))
	if [ -z "$2" ]; then
		printf 'ok %d - %s\n' "$points" "$1"
	else
		printf 'not ok %d - %s\n' "$points" "$1"
		printf '%s\n' "$2" | sed 's/^/# /'
	fi
}

finish() {
	printf '1..%d\n' "$points"
}

skip_all() {
	printf '1..0 # SKIP %s\n' "$1"
	exit 0
}

need() {
	command -v "$1" >/dev/null || skip_all "$1 is not installed"
}

# All C sources and headers, relative to the source tree.
c_files() {
	(cd "$srcdir" && find src filters tests -name '*.[ch]' | LC_ALL=C sort)
}
