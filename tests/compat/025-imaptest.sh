# shellcheck shell=bash
# Other people's IMAP dialogues: each group whose extensions are offered passes.
. "$(dirname "$0")/../lib/box.sh"
[ -n "${VPOST_SUITES-}" ] || skip "VPOST_SUITES is not set"

box_make
box_users joe
box_start
python3 "$TOP/tests/compat/imaptest.py" "$IMAP" joe pw-joe "$VPOST_SUITES/imaptest/tests"
