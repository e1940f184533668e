#!/bin/sh
# What .clang-format would change, as a diff; exit 1 if there is any.
cd "$(dirname "$0")/../.." || exit 2
command -v clang-format >/dev/null || { echo "clang-format is missing"; exit 1; }
bad=0
for f in $(find lib daemons tools -name '*.[ch]'); do
	clang-format "$f" | diff -u "$f" - >/dev/null || { echo "$f"; bad=1; }
done
exit $bad
