# shellcheck shell=bash
# quick
# The crash shim loses what was not synced, and nothing else (the tests of crashes rest on it).
set -eu
TOP=$(cd "$(dirname "$0")/../.." && pwd)
exec python3 "$TOP/tests/lib/crash/selftest.py" "${BUILD:-$TOP/build}/tests/lib/crashshim.so"
