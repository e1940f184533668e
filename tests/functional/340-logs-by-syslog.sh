# shellcheck shell=bash
# log_file_path = syslog and what goes with it: syslog_facility, syslog_processname, syslog_pid, syslog_timestamp,
# syslog_duplication; long entries in pieces; log_timezone; in a process of its own and in the daemons.
. "$(dirname "$0")/../lib/box.sh"

box_make
box_users joe
S=$T/syslog L=$BOX/var/log
python3 - "$T/log.sock" "$S" <<'X2' &
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
out = open(sys.argv[2], 'ab', 0)
while True:
    line = s.recv(65536)
    if line.startswith(b'settle '):     # all before it is written
        open(line[7:], 'w').close()
    else:
        out.write(line + b'\n')
X2
LISTENER=$!
at_end() { kill $LISTENER 2>/dev/null || true; }
wait_for 10 test -S "$T/log.sock"
me=$(id -un)

# settle: what was sent is in the file.
settle() {
	rm -f "$T/settled"
	python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"settle " + sys.argv[2].encode(), sys.argv[1])' "$T/log.sock" "$T/settled"
	wait_for 10 test -e "$T/settled"
}

# one OPTION...: a session whose first recipient is refused, by one process with these options; what came to syslog.
one() {
	rm -rf "$T/spool" "$T/mail"
	: >"$S"
	{
		printf '%s\n' "primary_hostname = mail.local.test" "spool_directory = $T/spool" "exim_user = $me" "trusted_users = $me" \
		    "keep_environment =" "host_lookup =" "tls_advertise_hosts =" "$@"
		cat <<'X2'
acl_smtp_rcpt = check
begin acl
check:
  deny local_parts = bad
       log_message = not this one
  accept
begin routers
r:
 driver = accept
 transport = t
begin transports
t:
 driver = appendfile
X2
		echo " file = $T/mail/box"
		echo " user = $me"
	} >"$T/one.conf"
	printf 'EHLO c.test\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<bad@y.test>\r\nRCPT TO:<joe@y.test>\r\nDATA\r\nSubject: x\r\n\r\nb\r\n.\r\nQUIT\r\n' |
	    VPOST_SYSLOG_SOCKET="$T/log.sock" sendmail -C "$T/one.conf" -odi -bs >"$T/out" || die "sendmail: $(cat "$T/out")"
	settle
}
STAMP='[A-Z][a-z][a-z] [ 0-9][0-9] [0-9:]\{8\}'
WHEN='[0-9]\{4\}-[0-9][0-9]-[0-9][0-9] [0-9][0-9]:[0-9][0-9]:[0-9][0-9]'
found() { grep -q -- "$1" "$S" || die "$2: $(cat "$S")"; }
count() { eq "$(grep -c -- "$1" "$S")" "$2" "$3"; }

# As it is by default: facility mail, "exim[PID]", the time, and an entry of two logs twice.
one "log_file_path = syslog"
found "^<22>$STAMP exim\[[0-9]*\]: $WHEN [^ ]* <= a@x.test U=$me P=local-esmtp" "the main log"
count "rejected RCPT <bad@y.test>: not this one" 2 "both logs"
found "^<21>$STAMP exim\[[0-9]*\]: $WHEN U=$me .*rejected RCPT <bad@y.test>" "the reject log's severity"
[ ! -e "$T/spool/log" ] || die "files, though only syslog was named"
# All of it otherwise.
one "log_file_path = syslog" "syslog_facility = local3" "syslog_processname = mailhub" "syslog_pid = false" \
    "syslog_timestamp = false" "syslog_duplication = false"
found "^<158>$STAMP mailhub: [^ ]* <= a@x.test" "facility, name, no pid, no time"
count "rejected RCPT <bad@y.test>: not this one" 1 "one copy"
found "^<157>.*rejected RCPT" "the copy is the reject log's"
one "log_file_path = syslog" "syslog_facility = log_uucp"
found "^<70>.* <= a@x.test" "log_uucp"
one "log_file_path = syslog" "syslog_timestamp = false" "log_selector = +millisec +pid" "log_timezone"
found "^<22>$STAMP exim\[[0-9]*\]: \[[0-9]*\] [^ ]* <= a@x.test" "a time with more in it is left out whole"
# Files and syslog; the file where log_file_path puts it, or at the usual place.
one "log_file_path = syslog : $T/spool/my-%s"
found " <= a@x.test" "both"
grep -q ' <= a@x.test' "$T/spool/my-main" || die "the named file"
one "log_file_path = :syslog"
grep -q ' <= a@x.test' "$T/spool/log/mainlog" || die "the usual file"
one "log_file_path = $T/spool/only-%s"
[ ! -s "$S" ] || die "syslog that was not asked for: $(cat "$S")"
# Mistakes of the configuration.
(one "syslog_facility = nosuch") 2>"$T/err" && die "a bad facility"
grep -q 'failed to interpret syslog_facility "nosuch"' "$T/err" || die "bad facility: $(cat "$T/err")"
(one "syslog_processname = an-unreasonably-long-name-of-a-program") 2>"$T/err" && die "a long name"
grep -q 'syslog_processname is longer than 32 chars' "$T/err" || die "long name: $(cat "$T/err")"
# Long entries come in pieces, none longer than 870 bytes.
one "log_file_path = syslog" "log_selector = +received_recipients"
: >"$S"
python3 - >"$T/long" <<'X2'
print("EHLO c.test\r\nMAIL FROM:<a@x.test>\r")
for i in range(60):
    print("RCPT TO:<recipient-with-a-long-name-%d@y.test>\r" % i)
print("DATA\r\nSubject: x\r\n\r\nb\r\n.\r\nQUIT\r")
X2
VPOST_SYSLOG_SOCKET="$T/log.sock" sendmail -C "$T/one.conf" -odq -bs <"$T/long" >"$T/out"
settle
found ': \[1/[34]\] .* <= a@x.test' "the first piece"
found ': \[3/[34]\] .*recipient-with-a-long-name' "the third piece"
[ -z "$(awk 'length > 930' "$S")" ] || die "a piece is too long"

# ---- the daemons ----
conf "syslog_socket = $T/log.sock"
sed -i '1i log_file_path = syslog\nsyslog_facility = local5\nsyslog_processname = box7\nsyslog_timestamp = false\nsyslog_duplication = false' "$BOX/etc/exim.conf"
: >"$S"
box_start
mt send "$SMTP" --source 127.0.0.2 a@x.test joe@local.test
mt rcpt "$SMTP" --source 127.0.0.2 a@x.test x@away.test >/dev/null
wait_for 10 grep -q Completed "$S"
wait_for 10 grep -q "relay not permitted" "$S"
settle
found "^<174>$STAMP box7\[[0-9]*\]: 1[^ ]* <= a@x.test" "vsmtpd"
found "^<174>$STAMP box7\[[0-9]*\]: 1[^ ]* => joe" "vqueued"
count "relay not permitted" 1 "one copy of a refusal"
found "^<173>.*relay not permitted" "it is the reject log's"
[ ! -s "$L/mainlog" ] || die "files of a box whose exim.conf names only syslog: $(cat "$L/mainlog")"
grep -q 'vsmtpd\[[0-9]*\] info: ready' "$L/vpost.log" || die "our own log stays a file"
# By a reload: files again, with the zone.
sed -i '1,5d; /^log_selector/d' "$BOX/etc/exim.conf"
sed -i '1i log_timezone\nlog_selector = +millisec +pid' "$BOX/etc/exim.conf"
vpost reload "$BOX" >/dev/null
wait_for 10 sh -c "[ \$(grep -c 'configuration read anew' $L/vpost.log) -ge 2 ]"
wait_for 20 sh -c "python3 $TOP/tests/lib/mailtool.py send $SMTP --source 127.0.0.2 b@x.test joe@local.test; sleep 0.3; grep -q '^$WHEN\.[0-9][0-9][0-9] [-+][0-9][0-9]00 \[[0-9]*\] 1[^ ]* <= b@x.test' $L/mainlog"
wait_for 20 sh -c "python3 $TOP/tests/lib/mailtool.py send $SMTP --source 127.0.0.2 b@x.test joe@local.test; sleep 0.3; grep -q Completed $L/mainlog"
settle
: >"$S"
mt send "$SMTP" --source 127.0.0.2 c@x.test joe@local.test
wait_for 20 grep -q ' <= c@x.test' "$L/mainlog"
settle
[ ! -s "$S" ] || die "syslog after it was taken out: $(cat "$S")"
