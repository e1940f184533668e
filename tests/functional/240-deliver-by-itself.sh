# shellcheck shell=bash
# One process that receives and delivers under a configuration of its own: options of routers, transports, retry and rewriting, each by
# what it does to the logs, the answers and the files (tests/data/deliver).
. "$(dirname "$0")/../lib/box.sh"
need python3
[ "$(id -u)" != 0 ] || skip "runs as a user"
python3 "$TOP/tests/lib/delivercases.py" "$(command -v sendmail)" "$TOP"/tests/data/deliver/*.cases || die "answers differ"
