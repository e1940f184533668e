#!/bin/sh
# run.sh - every check of the sources that needs no build.  Each prints what is wrong with file:line.
set -u
cd "$(dirname "$0")/../.." || exit 2
rc=0
for c in layers banned headers length conditionals manpages letters guide shell architecture settings options names changes; do
	if ! out=$(sh "tests/lint/$c.sh" 2>&1); then
		rc=1
		printf 'lint %s:\n%s\n' "$c" "$out"
	fi
done
exit $rc
