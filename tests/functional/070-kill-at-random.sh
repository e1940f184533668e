# shellcheck shell=bash
# Nothing accepted is lost while the daemons are killed at random (S2-5): 3,000 messages over 20 connections, 30 kills.
. "$(dirname "$0")/../lib/box.sh"

box_make
box_users u0 u1 u2 u3 u4 u5 u6 u7 u8 u9
box_start
bad=0
python3 "$TOP/tests/lib/killtest.py" "$BOX" "$SMTP" "$IMAP" "$POP3" --messages "${KILL_MESSAGES:-3000}" --connections 20 \
	--rounds "${KILL_ROUNDS:-30}" --pace "${KILL_PACE:-0.15}" --deletes "${KILL_DELETES:-200}" || bad=1
if [ $bad = 1 ]; then
	echo "--- what waits, and why"
	mailq | head -n 40
	grep -ah ' == \| \*\* ' "$BOX"/var/log/mainlog* | tail -n 20 || true
	die "see the figures above"
fi
eq "$(mailq | grep -c '<' || true)" 0 "messages left on the queue"
