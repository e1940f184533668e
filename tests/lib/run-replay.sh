#!/bin/sh
# run-replay.sh BUILD TARGET... - feed each fuzz target its seeds.
set -u
BUILD=$1
shift
. "$(dirname "$0")/report.sh"
echo "fuzz seeds"
for t in "$@"; do
	if [ -d "tests/fuzz/corpus/$t" ]; then
		run_one "fuzz/$t" 300 "$BUILD/tests/replay/$t" "tests/fuzz/corpus/$t"
	else
		report fail "fuzz/$t" "no seeds in tests/fuzz/corpus/$t"
	fi
done
