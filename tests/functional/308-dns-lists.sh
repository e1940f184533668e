# shellcheck shell=bash
# Two DNS lists are asked as shipped (S4-47); who is listed gets X-RBL-Warning and is not refused (S4-48), and the user sorts by it
# (S4-49); a list that is dead or answers with an error does no harm, and mainlog tells (S4-50).
NEED_NET=1
. "$(dirname "$0")/../lib/box.sh"

box_make
box_users joe
eq "$(grep -c '^DNS_LIST_[12] = [a-z]' "$BOX/etc/exim.conf")" 2 "lists as shipped"
one=$(sed -n 's/^DNS_LIST_1 = //p' "$BOX/etc/exim.conf") two=$(sed -n 's/^DNS_LIST_2 = //p' "$BOX/etc/exim.conf")
conf "dns_zone_file = etc/test.zone"
zone() { # LINES about the lists
	printf '%b\n' "$1" >"$BOX/etc/test.zone"
	rm -rf "$BOX"/var/log/mainlog
	box_start
}
get() { # CLIENT N: the Nth message, in $got
	mt send "$SMTP" --source "$1" a@x.test joe@local.test --subject "n$2" || die "refused: $1"
	wait_for 15 sh -c "[ \"\$(python3 $TOP/tests/lib/mailtool.py imap $IMAP joe pw-joe count)\" = $2 ]"
	got=$(mt imap "$IMAP" joe pw-joe fetch "$2")
}

zone "zone $one\n1.2.0.192.$one A 127.0.0.4\n1.2.0.192.$one TXT \"see https://list.test/192.0.2.1\"\nzone $two\n1.2.0.192.$two A 127.0.0.2"
get 192.0.2.1 1
has "$got" "X-RBL-Warning: 192.0.2.1 is listed at $one (127.0.0.4) see https://list.test/192.0.2.1" "the first list"
has "$got" "X-RBL-Warning: 192.0.2.1 is listed at $two (127.0.0.2)" "the second list"
get 192.0.2.2 2
hasnot "$got" "X-RBL-Warning" "who is not listed"
get 127.0.0.1 3
hasnot "$got" "X-RBL-Warning" "this host"
# The user decides.
mkdir -p "$BOX/home/joe"
printf ':0\n* ^X-RBL-Warning:\n/dev/null\n' >"$BOX/home/joe/.procmailrc"
chmod 644 "$BOX/home/joe/.procmailrc"
mt send "$SMTP" --source 192.0.2.1 a@x.test joe@local.test --subject away
wait_for 15 grep -q 'T=procmail C="/dev/null"' "$BOX/var/log/mainlog"
get 192.0.2.2 4
hasnot "$got" "Subject: away" "the next in the inbox"
wait_for 10 sh -c "[ \$(grep -c Completed $BOX/var/log/mainlog) = 5 ]"
rm "$BOX/home/joe/.procmailrc"
box_stop

# One list is dead, the other says that we may not ask.
zone "fail $one\nzone $two\n1.2.0.192.$two A 127.255.255.254"
get 192.0.2.1 5
hasnot "$got" "X-RBL-Warning" "lists that are no use"
wait_for 20 grep -qF -- "DNS list lookup defer (probably timeout) for 1.2.0.192.$one" "$BOX/var/log/mainlog"
wait_for 20 grep -qF -- "$two: 127.255.255.254 is an error answer of the list" "$BOX/var/log/mainlog"
