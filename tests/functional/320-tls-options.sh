# shellcheck shell=bash
# Main options about TLS, PROXY and XCLIENT, each by what a client sees (tests/lib/tlscases.py).
. "$(dirname "$0")/../lib/box.sh"
need python3 openssl
[ "$(id -u)" != 0 ] || skip "runs as a user"
python3 "$TOP/tests/lib/tlscases.py" "$(command -v sendmail)" || die "options differ"
