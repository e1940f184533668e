# shellcheck shell=bash
# IMAP sessions: IDLE, several sessions on one mailbox, pipelining through the login, TLS, limits, broken input.
. "$(dirname "$0")/../lib/box.sh"

box_make
box_users joe ann
box_start
python3 "$TOP/tests/functional/imap_sessions.py" "$IMAP" "$IMAPS" "$BOX/var/log/vpost.log"
