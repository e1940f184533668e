# shellcheck shell=bash
# Authenticators of the configuration, each by what a client sees that knows the mechanism: the server's side by host
# checking, the client's by one process that delivers to such a server.
. "$(dirname "$0")/../lib/box.sh"
need python3
[ "$(id -u)" != 0 ] || skip "runs as a user"
python3 "$TOP/tests/lib/authenticators.py" "$BUILD/bin/sendmail" "$T" || die "authenticators differ"
