#!/bin/bash
# cov.sh - line coverage of lib/ by the unit tests and the seeds; BUILD is one that COV=1 made.
set -eu
cd "$(dirname "$0")/../.."
find "$BUILD" -name '*.gcda' -delete
find "$BUILD/tests/unit" -type f -name 'test_*' ! -name '*.d' -print0 | xargs -0 -n 1 sh -c 'timeout 120 "$0" >/dev/null 2>&1 || true'
for t in tests/fuzz/*.c; do
	t=$(basename "$t" .c)
	[ ! -d "tests/fuzz/corpus/$t" ] || "$BUILD/tests/replay/$t" "tests/fuzz/corpus/$t" >/dev/null 2>&1 || true
done
find "$BUILD/obj/lib" -name '*.gcda' | sort | while read -r f; do
	gcov -n -o "$(dirname "$f")" "$f" 2>/dev/null | awk -v RS= '/^File .lib\//{gsub("\x27",""); split($0,a,"\n"); sub("File ","",a[1]); sub("Lines executed:","",a[2]); print a[2], a[1]}' | grep '\.c$' || true
done
