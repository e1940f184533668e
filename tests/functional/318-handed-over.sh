# shellcheck shell=bash
# What sendmail(1) hands over comes without SMTP: its ACLs are not asked, the protocol is "local", and what -oM... say counts where
# the caller is trusted.  -bS takes a batch; -bs speaks SMTP, with its ACLs.
. "$(dirname "$0")/../lib/box.sh"

need python3
[ -z "${VPOST_SAN-}" ] || skip "a program of a pipe has no room for a sanitizer"
box_make
box_users joe
cat >"$T/edit.py" <<'P'
import sys
path, t = sys.argv[1:]
s = open(path).read()
s = "\n".join(l for l in s.split("\n") if not l.startswith("acl_smtp_"))
s = """smtp_accept_max_nonmail = 0
acl_smtp_connect = smtp
acl_smtp_helo = smtp
acl_smtp_mail = smtp
acl_smtp_rcpt = closed
acl_smtp_predata = smtp
acl_smtp_data = smtp
acl_smtp_quit = smtp
acl_not_smtp_start = start
acl_not_smtp = nosmtp
""" + s
s = s.replace("begin acl\n", """begin acl
smtp:
  warn logwrite = SMTP ACL
  accept
closed:
  deny message = nobody comes in
start:
  accept logwrite = start <$received_protocol>
nosmtp:
  deny condition = ${if eq {$h_x-bad:}{yes}}
       message = not like this
  accept logwrite = handed over <$received_protocol> by <$sender_ident> from <$sender_host_address> <$sender_host_name> \\
                    <$sender_helo_name> <$authenticated_id> <$smtp_command>
""", 1)
# A scanner of old: what comes back from it is known by its protocol.
s = s.replace("begin routers\n", """begin routers

scanner:
  driver = accept
  condition = ${if eq {$received_protocol}{local}}
  domains = local.test
  transport = scanner
  no_verify

""", 1)
s = s.replace("begin transports\n", f"""begin transports

scanner:
  driver = pipe
  command = {t}/scan
  use_bsmtp
  message_prefix =
  message_suffix =
  return_fail_output

""", 1)
open(path, "w").write(s)
P
python3 "$T/edit.py" "$BOX/etc/exim.conf" "$T"
cat >"$T/scan" <<P
#!/bin/sh
export VPOST_BOX=$BOX
sed 's/^Subject: /Subject: [seen] /' | $BUILD/bin/sendmail -oMr scanned -bS
P
chmod 755 "$T/scan" "$T"
vpost check "$BOX" >"$T/check" 2>&1 || { cat "$T/check"; die "vpost check"; }
box_start
L=$BOX/var/log/mainlog
count_is() { [ "$(mt imap "$IMAP" "$1" "pw-$1" count)" = "$2" ]; }

asked() { grep -c "SMTP ACL" "$L" || true; }
# Those who looked whether it listens were asked for, too.
settled() { local n; n=$(asked); sleep 1; [ "$n" -gt 0 ] && [ "$(asked)" = "$n" ]; }
wait_for 20 settled
before=$(asked)

# -bm: through the scanner, and back as a batch that is known by its protocol.
printf 'Subject: one\n\nx\n' | sendmail -f joe@local.test joe@local.test
wait_for 15 count_is joe 1
mt imap "$IMAP" joe pw-joe fetch 1 >"$T/got"
has "$(cat "$T/got")" "Subject: [seen] one" "what the recipient got"
has "$(cat "$T/got")" "with local" "Received"
has "$(cat "$T/got")" "with scanned" "Received of the second time"
me=$(id -un)
wait_for 20 grep -q "start <local>" "$L"
wait_for 20 grep -q "handed over <local> by <$me> from <> <> <> <> <>" "$L"
wait_for 20 grep -q "handed over <scanned> by <$me>" "$L"
wait_for 20 grep -q "<= joe@local.test U=$me P=local S=" "$L"
wait_for 20 grep -q "<= joe@local.test U=$me P=scanned S=" "$L"
eq "$(asked)" "$before" "how often the ACLs of SMTP were asked"
rc=0
printf 'Subject: two\nX-Bad: yes\n\nx\n' | sendmail -f joe@local.test joe@local.test 2>"$T/said" || rc=$?
eq "$rc" 65 "refused by acl_not_smtp"
has "$(cat "$T/said")" "not like this" "refused by acl_not_smtp"

# Facts of a host, as from a program that listens itself.
printf 'Subject: three\n\nx\n' | sendmail -oMr scanned -oMa 192.0.2.7.2525 -oMs far.test -oMt hers -oMai her-id -oMaa PLAIN -f a@far.test joe@local.test
wait_for 15 count_is joe 2
wait_for 20 grep -q "handed over <scanned> by <hers> from <192.0.2.7> <far.test> <> <her-id> <>" "$L"
wait_for 20 grep -q "<= a@far.test H=far.test \[192.0.2.7\] U=hers P=scanned A=PLAIN:her-id S=" "$L"

# A batch of two, and one with a mistake: what came before it is kept.
{
	printf 'EHLO batch.test\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<joe@local.test>\r\nDATA\r\nSubject: b1\r\n\r\n..dot\r\n.\r\n'
	printf 'MAIL FROM:<>\nRCPT TO:<joe@local.test>\nDATA\nSubject: b2\n\nx\n.\nQUIT\n'
} | sendmail -bS >"$T/out" 2>&1 || die "the batch: $(cat "$T/out")"
wait_for 15 count_is joe 4
wait_for 20 grep -q "handed over <local-bsmtp> by <$me> from <> <> <batch.test>" "$L"
mt imap "$IMAP" joe pw-joe fetch 3 >"$T/got"
mt imap "$IMAP" joe pw-joe fetch 4 >>"$T/got"
grep -q '^\.dot' "$T/got" || die "a line with a dot in front"
rc=0
printf 'MAIL FROM:<a@x.test>\nRCPT TO:<joe@local.test>\nDATA\nSubject: b3\n\nx\n.\nMAIL FROM:<a@x.test>\nMAIL FROM:<b@x.test>\n' |
	sendmail -bS >"$T/out" 2>&1 || rc=$?
eq "$rc" 1 "exit code of a batch with a mistake"
has "$(cat "$T/out")" "503 Sender already given" "the mistake"
wait_for 15 count_is joe 5

# -odq: it waits for a queue run.
printf 'Subject: four\n\nx\n' | sendmail -odq -oMr scanned -f joe@local.test joe@local.test
wait_for 10 sh -c '[ "$(sendmail -bpc)" = 1 ]'
sleep 1
count_is joe 5 || die "-odq did not keep the message"
wait_for 10 on_queue 1
sendmail -qf
wait_for 15 count_is joe 6

# -bs is SMTP.
printf 'EHLO x\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<joe@local.test>\r\nQUIT\r\n' | sendmail -bs >"$T/out"
has "$(cat "$T/out")" "nobody comes in" "-bs"
[ "$(asked)" -gt "$before" ] || die "the ACLs of -bs"
hasnot "$(cat "$L")" "handed over <local-esmtp>" "-bs"
