#!/bin/bash
# procmail and formail against recorded runs of the old ones: exit status, output, files, logs.
set -eu
: "${VPOST_ORACLE:=}"
[ -n "$VPOST_ORACLE" ] && [ -d "$VPOST_ORACLE/procmail" ] || { echo "VPOST_ORACLE is not set"; exit 77; }
command -v python3 >/dev/null || { echo "python3 is missing"; exit 77; }
cd "$(dirname "$0")/../.."
BUILD=$(realpath "${BUILD:-build}")
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT

# enough NAME REPORT: at least 95 of 100 are the same.
enough() {
	cat "$2"
	same=$(sed -n 's/^\([0-9]*\) same of [0-9]*$/\1/p' "$2")
	all=$(sed -n 's/^[0-9]* same of \([0-9]*\)$/\1/p' "$2")
	[ "${all:-0}" -gt 0 ] && [ $((same * 100)) -ge $((all * 95)) ] || { echo "$1: too few are the same"; exit 1; }
}

# With our formail in the rc files, too.
FORMAIL=$BUILD/bin/formail timeout 400 "$VPOST_ORACLE/procmail/compare.sh" --golden "$BUILD/bin/procmail" >"$T/procmail" 2>&1 || true
enough procmail "$T/procmail"
timeout 200 "$VPOST_ORACLE/procmail/compare-formail.sh" --golden "$BUILD/bin/formail" >"$T/formail" 2>&1 || true
enough formail "$T/formail"
