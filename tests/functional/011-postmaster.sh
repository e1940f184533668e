# shellcheck shell=bash
# Mail to postmaster, with and without a domain, and to abuse reaches the first account of a new box; vpost check tells
# where it reaches nobody (RFC 5321 section 4.5.1).
. "$(dirname "$0")/../lib/box.sh"

box_make
vpost check "$BOX" >"$T/check" || { cat "$T/check"; die "vpost check of a new box"; }
has "$(cat "$T/check")" "warning  $BOX/etc/aliases:6: mail to postmaster reaches nobody" "check of a box without accounts"
has "$(cat "$T/check")" "etc/aliases:3: mail to abuse reaches nobody" "check of a box without accounts"
out=$(echo pw-admin | vpost adduser admin)
has "$out" "mail to postmaster goes to admin" "adduser"
out=$(echo pw-joe | vpost adduser joe)
hasnot "$out" postmaster "second adduser"
hasnot "$(vpost check "$BOX")" "reaches nobody" "check with an account"
has "$(echo pw | vpost adduser ZoE)" "zoe added; home $BOX/home/zoe" "a name with capitals"
box_start
for a in 'postmaster' 'Postmaster@local.test' 'POSTMASTER@mail.local.test' 'abuse@local.test' 'hostmaster@local.test'; do
	printf '%s\n' "$a"
done >"$T/addresses"
python3 - "$SMTP" "$T/addresses" <<'P'
import smtplib, sys
for a in open(sys.argv[2]).read().split():
    s = smtplib.SMTP('127.0.0.1', int(sys.argv[1]))
    s.ehlo()
    for c in ('MAIL FROM:<x@out.test>', 'RCPT TO:<%s>' % a):
        code, text = s.docmd(c)
        if code != 250:
            sys.exit('%s: %d %s' % (c, code, text))
    code, text = s.data('Subject: to %s\r\n\r\nhello\r\n' % a)
    if code != 250:
        sys.exit('%s: %d %s' % (a, code, text))
    s.quit()
P
wait_for 10 sh -c "[ \"\$(python3 $TOP/tests/lib/mailtool.py pop $POP3 admin pw-admin count)\" = 5 ]"

# The administrator's own choice is kept; one that leads nowhere is told, with the line.
sed -i 's/^postmaster:.*/postmaster: chief/; $a chief: gone, nobody.here' "$BOX/etc/aliases"
vnewaliases -d "$BOX" >/dev/null
out=$(echo pw-ann | vpost adduser ann)
hasnot "$out" postmaster "adduser beside an alias"
has "$(vpost check "$BOX")" "etc/aliases:6: mail to postmaster reaches nobody: \"chief\" leads to no account" "check"
for good in joe '\joe' 'joe+post' 'x@elsewhere.test' 'gone, joe@local.test' '"|/bin/prog a, b"' chief,ann postmaster,joe; do
	sed -i '/^postmaster:/d' "$BOX/etc/aliases"
	printf 'postmaster: %s\n' "$good" >>"$BOX/etc/aliases"
	hasnot "$(vpost check "$BOX")" "reaches nobody" "postmaster: $good"
done
for bad in gone 'gone@local.test' ':fail: no' ':blackhole:' 'postmaster' 'a' '\gone'; do
	sed -i '/^postmaster:/d; /^[ab]: /d' "$BOX/etc/aliases"
	printf 'a: b\nb: a\npostmaster: %s\n' "$bad" >>"$BOX/etc/aliases"
	has "$(vpost check "$BOX")" "mail to postmaster reaches nobody" "postmaster: $bad"
done
# A box with accounts that lost the alias gets it back.
sed -i '/^postmaster:/d' "$BOX/etc/aliases"
vpost init "$BOX" >"$T/again"
has "$(cat "$T/again")" "mail to postmaster goes to admin" "second init"
