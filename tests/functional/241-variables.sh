# shellcheck shell=bash
# What each variable holds in sessions, ACLs, filters, routers, transports, reports: tests/data/variables.
. "$(dirname "$0")/../lib/box.sh"
need python3
[ "$(id -u)" != 0 ] || skip "runs as a user"
python3 "$TOP/tests/lib/variables.py" "$(command -v sendmail)" "$TOP/tests/data/variables" || die "values differ"
