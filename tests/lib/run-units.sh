#!/bin/sh
# run-units.sh BUILD PROGRAM... - run the unit tests.
set -u
BUILD=$1
shift
. "$(dirname "$0")/report.sh"
echo "unit tests"
for p in "$@"; do
	run_one "unit/${p#"$BUILD"/tests/unit/}" "${VPOST_UNIT_SECONDS:-300}" "$p"
done
