# shellcheck shell=bash
# What exim.conf says of a box's sockets and of its users' own mail: daemon_smtp_ports, local_interfaces, daemon_startup_retries,
# daemon_startup_sleep; acl_not_smtp_start, acl_not_smtp_mime, acl_not_smtp; bounce_return_message.
. "$(dirname "$0")/../lib/box.sh"
need python3

box_make
box_users joe ann
sed -i '/^smtp_listen/d' "$BOX/etc/vpost.conf"
sed -i -e "1i daemon_smtp_ports = $SMTP : $SUBMISSION\\
local_interfaces = 127.0.0.1 : 127.0.0.2\\
daemon_startup_retries = 90\\
daemon_startup_sleep = 1s\\
acl_not_smtp_start = ns_start\\
acl_not_smtp_mime = ns_mime\\
acl_not_smtp = ns_end\\
bounce_return_message = false" -e '/^begin acl/a ns_start:\
  accept logwrite = begins for $sender_address\
ns_mime:\
  deny condition = ${if eq{$mime_filename}{bad.exe}}\
       message = no programs\
  accept logwrite = part $mime_part_count <$mime_content_type>\
ns_end:\
  deny condition = ${if match{$h_subject:}{refuse}}\
       message = not this subject\
  discard condition = ${if match{$h_subject:}{discard}}\
  accept add_header = X-Not-Smtp: yes' "$BOX/etc/exim.conf"

# The port is somebody else's: it is asked for again until he goes.
python3 -c "
import socket, time
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('127.0.0.1', $SMTP))
s.listen(1)
print('bound', flush=True)
time.sleep(300)
" >"$T/occupant" &
OCCUPANT=$!
PIDS="$PIDS $OCCUPANT"
wait_for 10 grep -q bound "$T/occupant"
vpost run "$BOX" >>"$T/run.log" 2>&1 &
RUN=$!
PIDS="$PIDS $RUN"
wait_for 20 sh -c "cat $BOX/var/log/vpost.log $T/run.log | grep -q 'next try in 1 s'"
kill "$OCCUPANT"
wait_for 20 grep -q "" "$BOX/var/run/vsmtpd.pid"
greeting() { python3 -c "import socket; s = socket.create_connection(('$1', $2), 60); print(s.recv(100).decode()[:3])" 2>/dev/null || echo none; }
wait_for 20 sh -c "ss -Hltn | grep -q '127.0.0.2:$SMTP '"
eq "$(greeting 127.0.0.1 "$SMTP")" 220 "the first interface"
eq "$(greeting 127.0.0.2 "$SMTP")" 220 "the second interface"
eq "$(ss -Hltn | grep -c ":$SMTP ")" 2 "sockets of SMTP"
eq "$(ss -Hltn | grep -c ":$SUBMISSION ")" 1 "sockets of the port that submission has"
wait_port "$IMAP"

# Users' own mail.
rc=0; printf 'Subject: refuse\n\nx\n' | sendmail joe 2>"$T/err" || rc=$?
[ $rc != 0 ] || die "a message that acl_not_smtp refuses was taken"
has "$(cat "$T/err")" "not this subject" "what the sender is told"
wait_for 20 grep -qF -- "rejected by non-SMTP ACL: not this subject" "$BOX/var/log/mainlog"
part() { printf 'Subject: parts\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/html; name=%s\n\n<b>\n--x--\n' "$1"; }
rc=0; part bad.exe | sendmail joe 2>"$T/err" || rc=$?
[ $rc != 0 ] || die "a part that acl_not_smtp_mime refuses was taken"
has "$(cat "$T/err")" "no programs" "what the sender is told"
printf 'Subject: discard\n\nx\n' | sendmail joe
part good.html | sendmail joe
wait_for 15 sh -c "[ \"\$(python3 $TOP/tests/lib/mailtool.py imap $IMAP joe pw-joe count)\" = 1 ]"
has "$(mt imap "$IMAP" joe pw-joe fetch 1)" "X-Not-Smtp: yes" "the message"
wait_for 20 grep -qF -- "part 1 <text/html>" "$BOX/var/log/mainlog"
wait_for 20 grep -qF -- "begins for " "$BOX/var/log/mainlog"
# By SMTP nothing of it is asked.
mt send "$SMTP" a@out.test joe@local.test --subject refuse
wait_for 15 sh -c "[ \"\$(python3 $TOP/tests/lib/mailtool.py imap $IMAP joe pw-joe count)\" = 2 ]"
hasnot "$(mt imap "$IMAP" joe pw-joe fetch 2)" "X-Not-Smtp" "a message by SMTP"

# A report without the message.
printf 'missing@local.test, joe@local.test\n' >"$BOX/home/ann/.forward"
chmod 644 "$BOX/home/ann/.forward"
printf 'Subject: lost\n\nsecret body\n' | sendmail -f joe@local.test ann
wait_for 15 sh -c "[ \"\$(python3 $TOP/tests/lib/mailtool.py imap $IMAP joe pw-joe count)\" = 4 ]"
mt imap "$IMAP" joe pw-joe fetch 3 >"$T/three"
mt imap "$IMAP" joe pw-joe fetch 4 >"$T/four"
report=$(grep -l 'delivery-status' "$T/three" "$T/four") || die "no report in $(cat "$T/three" "$T/four")"
has "$(cat "$report")" "missing@local.test" "the report"
hasnot "$(cat "$report")" "secret body" "the report"
hasnot "$(cat "$report")" "Subject: lost" "the report"
