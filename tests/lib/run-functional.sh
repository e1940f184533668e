#!/bin/sh
# run-functional.sh [-q|-l] DIR - run the scripts of DIR in order.  -q: only those with "# quick" in
# their first five lines; -l: only those with "# long"; otherwise all but the long ones.  A script
# ends with 0 (passed), 77 (skipped; in CI a failure), 78 (the kernel or the container forbids what it
# needs, which nothing that can be installed would change), or anything else.
set -u
mode=
case ${1-} in -q | -l) mode=$1; shift ;; esac
dir=$1
. "$(dirname "$0")/report.sh"
echo "${dir#tests/} tests"
for t in "$dir"/[0-9]*.sh; do
	[ -e "$t" ] || continue
	[ -z "${ONLY-}" ] || case $t in *$ONLY*) ;; *) continue ;; esac
	kind=$(head -n 5 "$t" | sed -n 's/^# \(quick\|long\)$/\1/p')
	case $mode$kind in
	-qquick | -llong | "" | quick) ;;
	*) continue ;;
	esac
	run_one "${dir#tests/}/$(basename "$t" .sh)" "${VPOST_TEST_SECONDS:-900}" bash "$t"
done
