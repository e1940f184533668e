# shellcheck shell=bash
# quick
# A box is made, checked, started, looked at and stopped; services that are off do not run (S1-10, S1-11).
. "$(dirname "$0")/../lib/box.sh"

box_make
vpost check "$BOX" >"$T/check" || { cat "$T/check"; die "vpost check of a new box"; }
box_users joe
box_start
vpost status "$BOX" >"$T/status"
for d in vsmtpd vqueued vlocald vstored vpop3d vimapd vauthd; do
	has "$(cat "$T/status")" $d "status"
	kill -0 "$(daemon_pid $d)" || die "$d does not run"
done
# Each port with its process and the setting behind it (S1-11), and no port that is not told.
for p in "$SMTP vsmtpd smtp_listen" "$SUBMISSION vsmtpd submission_listen" "$SMTPS vsmtpd smtps_listen" "$POP3 vpop3d pop3_listen" \
    "$POP3S vpop3d pop3s_listen" "$IMAP vimapd imap_listen" "$IMAPS vimapd imaps_listen"; do
	set -- $p
	grep -qE "^127\.0\.0\.1:$1 +$2\[$(daemon_pid "$2")\] +$3\$" "$T/status" || { cat "$T/status"; die "status does not tell of port $1"; }
done
grep -qE "^vsmtpd +up +pid $(daemon_pid vsmtpd) +uid $(id -un) " "$T/status" || { cat "$T/status"; die "status does not tell pid and uid"; }
ss -Hltnp | grep -E '"(vsmtpd|vpop3d|vimapd|vqueued|vauthd|vstored|vlocald)"' | awk '{print $4}' >"$T/listening"
while read -r a; do
	case ${a##*:} in "$SMTP" | "$SUBMISSION" | "$SMTPS" | "$POP3" | "$POP3S" | "$IMAP" | "$IMAPS") grep -q "^$a " "$T/status" || die "$a listens untold" ;; esac
done <"$T/listening"
box_stop
for d in vsmtpd vqueued vlocald vstored vpop3d vimapd vauthd; do
	[ ! -e "$BOX/var/run/$d.pid" ] || ! kill -0 "$(daemon_pid $d)" 2>/dev/null || die "$d still runs"
done

# IMAP off: no port, no process, the rest works.
conf 'services = smtp:queue:local:store:pop3:auth'
vpost check "$BOX" >"$T/check" || { cat "$T/check"; die "check without imap"; }
vpost run "$BOX" >>"$T/run.log" 2>&1 &
RUN=$!
PIDS="$PIDS $RUN"
wait_port "$SMTP"; wait_port "$POP3"
sleep 0.5
port_free "$IMAP" || die "IMAP listens though it is off"
[ ! -e "$BOX/var/run/vimapd.pid" ] || ! kill -0 "$(daemon_pid vimapd)" 2>/dev/null || die "vimapd runs though it is off"
hasnot "$(vpost status "$BOX")" ":$IMAP" status
mt send "$SMTP" a@out.test joe@local.test
wait_for 10 sh -c "[ \"\$(python3 $TOP/tests/lib/mailtool.py pop $POP3 joe pw-joe count)\" = 1 ]"
box_stop

# start and stop through the box's own rc.d scripts.
vpost start "$BOX"
wait_port "$SMTP"
vpost status "$BOX" >/dev/null
vpost stop "$BOX"
port_free "$SMTP" || die "stopped box still listens"
