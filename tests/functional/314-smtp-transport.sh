# shellcheck shell=bash
# Options of the smtp transport, each by what another host sees of it (tests/lib/smtpcases.py): by one process that receives and
# delivers.
. "$(dirname "$0")/../lib/box.sh"
need python3 openssl
[ "$(id -u)" != 0 ] || skip "runs as a user"
python3 "$TOP/tests/lib/smtpoptions.py" one "$(command -v sendmail)" || die "options differ"
