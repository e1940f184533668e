# shellcheck shell=bash
# Users' files while daemons and their children are killed at random: nothing is lost, and nothing in the store is doubled.
. "$(dirname "$0")/../lib/box.sh"
need python3

box_make
# shellcheck disable=SC2046
box_users $(python3 "$TOP/tests/lib/killdot.py" "$BOX" 0 0 --setup)
chmod 755 "$BOX/home"
box_start
python3 "$TOP/tests/lib/killdot.py" "$BOX" "$SMTP" "$IMAP" --messages "${KILL_MESSAGES:-400}" --rounds "${KILL_ROUNDS:-8}" \
	--connections 10 --wait "${KILL_WAIT:-90}"
wait_for 30 sh -c '[ "$(mailq | grep -c "<")" = 0 ]'
