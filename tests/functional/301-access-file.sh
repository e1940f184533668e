# shellcheck shell=bash
# TRUSTED_NETWORKS relay (S2-21); etc/access with keys of client, sender and recipient (S2-22), its OK wins over the other
# lists (S2-36), and comes before the look at users (S2-37).
NEED_NET=1
. "$(dirname "$0")/../lib/box.sh"

box_make
box_users joe
setting TRUSTED_NETWORKS "192.0.2.2/31 ; 2001:db8::/32 ; 127.0.9.0/24"
setting ACCESS_FILE
cat >"$BOX/etc/access" <<X
# clients, senders, recipients
Connect:127.0.1		REJECT
Connect:127.0.2		554 5.7.1 You have sent too much
Connect:127.0.3		451 4.7.1 Later
Connect:127.0.2.7	OK
2001:db8:bad		REJECT
bad.example		REJECT No mail from bad.example
From:good@bad.example	OK
From:slow@		450 4.2.1 Slow down
From:big.example	DUNNO
From:sub.big.example	REJECT
To:closed@local.test	550 5.2.1 The mailbox is closed
To:open@local.test	OK
odd.example		FROBNICATE
listed@spam.example	OK
X
makemap hash "$BOX/etc/access.db" <"$BOX/etc/access"
printf 'listed@spam.example\nother@spam.example\n' >"$BOX/etc/spammers"
vnewspammers
box_start
rcpt() { # CLIENT SENDER RECIPIENT: the last answer
	mt rcpt "$SMTP" --source "$1" "$2" "$3" | tail -n 1
}

# Inside relays, outside does not.
has "$(rcpt 192.0.2.2 a@other.example x@away.test)" "250 " "a trusted network"
has "$(rcpt 127.0.9.200 a@other.example x@away.test)" "250 " "a trusted network"
has "$(rcpt 192.0.2.1 a@other.example x@away.test)" "550 5.7.1 Relaying to <x@away.test> is not allowed" "outside"
for a in 2001:db8::7 192.0.2.3; do
	has "$(printf 'EHLO x\nMAIL FROM:<a@other.example>\nRCPT TO:<x@away.test>\nQUIT\n' | sendmail -bh $a 2>&1)" "250 Accepted" "$a"
done
has "$(printf 'EHLO x\nMAIL FROM:<a@other.example>\nQUIT\n' | sendmail -bh 2001:db8:bad::1 2>&1)" "550 " "the beginning of an IPv6 address"

has "$(rcpt 127.0.1.1 a@other.example joe@local.test)" "550 5.7.1" "REJECT by the beginning of an address"
has "$(rcpt 127.0.2.1 a@other.example joe@local.test)" "554 5.7.1 You have sent too much" "5xx and text"
has "$(rcpt 127.0.3.1 a@other.example joe@local.test)" "451 4.7.1 Later" "4xx and text"
has "$(rcpt 127.0.20.1 a@other.example joe@local.test)" "250 " "a beginning ends at a dot"
has "$(rcpt 127.0.2.7 a@bad.example joe@local.test)" "250 " "the longest key counts, and a client that is OK is asked no more"
has "$(rcpt 127.0.2.7 a@other.example x@away.test)" "550 5.7.1 Relaying" "but it may not relay"
has "$(rcpt 127.0.4.1 a@bad.example joe@local.test)" "550 5.7.1 No mail from bad.example" "REJECT and text, of a sender"
has "$(rcpt 127.0.4.1 a@SUB.bad.example joe@local.test)" "550 5.7.1 No mail from bad.example" "domains below it"
has "$(rcpt 127.0.4.1 good@bad.example joe@local.test)" "250 " "an address before its domain"
has "$(rcpt 127.0.4.1 slow@any.example joe@local.test)" "450 4.2.1 Slow down" "user@"
has "$(rcpt 127.0.4.1 a@big.example joe@local.test)" "250 " "DUNNO"
has "$(rcpt 127.0.4.1 a@x.sub.big.example joe@local.test)" "550 5.7.1" "the nearest domain"
has "$(rcpt 127.0.4.1 a@odd.example joe@local.test)" "451 4.3.5" "what nobody understands defers"
wait_for 20 grep -qF -- "FROBNICATE" "$BOX/var/log/mainlog"
has "$(rcpt 127.0.4.1 '' joe@local.test)" "250 " "a bounce"

# The whitelist wins over etc/spammers.
has "$(rcpt 127.0.4.1 other@spam.example joe@local.test)" "etc/spammers" "blacklist"
has "$(rcpt 127.0.4.1 listed@spam.example joe@local.test)" "250 " "the whitelist wins"

# Order: access comes before the look at users, also the other way.
has "$(rcpt 127.0.4.1 a@other.example closed@local.test)" "550 5.2.1 The mailbox is closed" "recipient"
has "$(rcpt 127.0.4.1 a@other.example open@local.test)" "550 5.1.1 <open@local.test>: no such user" "OK makes no users"
trace=$(printf 'EHLO x\nMAIL FROM:<a@other.example>\nRCPT TO:<nobody@local.test>\nQUIT\n' | sendmail -bh 127.0.4.1 2>&1)
has "$trace" "550 " "the session"
line() { echo "$trace" | grep -n -- "$1" | sed -n "${2:-1}p" | cut -d: -f1; }
mail=$(line 'acl_check_mail') access=$(line 'acl_obey') rcpt=$(line 'acl_check_rcpt') users=$(line 'verify *= *recipient')
[ "$mail" -lt "$access" ] && [ "$access" -lt "$rcpt" ] && [ "$rcpt" -lt "$users" ] ||
	{ echo "$trace"; die "order: $mail, $access, $rcpt, $users"; }
# A change of the map holds at once.
printf 'other.example REJECT Moved\n' | makemap hash "$BOX/etc/new.db" && mv "$BOX/etc/new.db" "$BOX/etc/access.db"
wait_for 5 sh -c "python3 $TOP/tests/lib/mailtool.py rcpt $SMTP --source 127.0.4.1 a@other.example joe@local.test | grep -q 'Moved'"
