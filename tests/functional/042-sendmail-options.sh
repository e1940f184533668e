# shellcheck shell=bash
# sendmail's command line: recipients and exclusions of -t, sender, full name, -bs, the queue's -bp, -bpc, -M..., exit codes, -bV -C.
. "$(dirname "$0")/../lib/box.sh"
box_make
box_users joe ann
conf "dns_zone_file = etc/test.zone"
echo 'fail away.test' >"$BOX/etc/test.zone"

# Before anything runs: a message is taken all the same, and the queue cannot be shown.
printf 'Subject: early\n\nx\n' | sendmail joe
rc=0; mailq >/dev/null 2>&1 || rc=$?
eq $rc 75 "mailq of a box that is down"
box_start
count() { mt imap "$IMAP" "$1" "pw-$1" count; }
wait_for 15 sh -c "[ \"\$(python3 $TOP/tests/lib/mailtool.py imap $IMAP joe pw-joe count)\" = 1 ]"
mt imap "$IMAP" joe pw-joe fetch 1 >"$T/m1"
for f in Received From Date Message-ID; do grep -qi "^$f:" "$T/m1" || die "no $f in $(cat "$T/m1")"; done

# -t without one of its addresses; CRLF input; a From_ line; From by -F and -f; the null sender.
printf 'From somebody Thu Jan  1 00:00:00 1970\r\nTo: joe, Ann <ann>\r\nSubject: excluded\r\n\r\nx\r\n' | sendmail -t -F 'The Box' -f joe ann
wait_for 15 sh -c "[ \"\$(python3 $TOP/tests/lib/mailtool.py imap $IMAP joe pw-joe count)\" = 2 ]"
mt imap "$IMAP" joe pw-joe fetch 2 | tr -d '\r' >"$T/m2"
has "$(cat "$T/m2")" 'From: The Box <joe@local.test>' "From"
hasnot "$(cat "$T/m2")" 'From somebody' "From_ line"
printf 'Subject: bounce\n\nx\n' | sendmail -f '<>' ann
wait_for 15 sh -c "[ \"\$(python3 $TOP/tests/lib/mailtool.py imap $IMAP ann pw-ann count)\" = 1 ]"
has "$(mt imap "$IMAP" ann pw-ann fetch 1 | tr -d '\r' | head -n 1)" 'eturn-path: <>' "Return-Path"
eq "$(count joe)" 2 "messages of joe"

# A single dot ends the message, unless -i.
printf 'Subject: dot\n\none\n.\ntwo\n' | sendmail ann
wait_for 15 sh -c "[ \"\$(python3 $TOP/tests/lib/mailtool.py imap $IMAP ann pw-ann count)\" = 2 ]"
hasnot "$(mt imap "$IMAP" ann pw-ann fetch 2)" two "text behind the dot"

# Exit codes.
rc=0; printf 'x\n' | sendmail >/dev/null 2>&1 || rc=$?
eq $rc 64 "no recipients"
rc=0; printf 'Subject: t\n\nx\n' | sendmail -t >/dev/null 2>&1 || rc=$?
eq $rc 67 "-t without recipients"
rc=0; printf 'x\n' | sendmail 'a@b@c' >/dev/null 2>&1 || rc=$?
eq $rc 65 "an address that is none"
rc=0; sendmail -bq >/dev/null 2>&1 || rc=$?
eq $rc 64 "an unknown mode"

# -bs.
printf 'EHLO x\r\nMAIL FROM:<joe@local.test>\r\nRCPT TO:<ann@local.test>\r\nDATA\r\nSubject: bs\r\n\r\nx\r\n.\r\nQUIT\r\n' | sendmail -bs >"$T/bs"
has "$(cat "$T/bs")" "250 2.0.0 OK" "-bs"
has "$(tail -n 1 "$T/bs")" 221 "-bs"

# The queue: away.test has no answer from DNS.
printf 'Subject: waits\n\nbody text\n' | sendmail -f joe@local.test x@away.test y@away.test
printf 'Subject: waits too\n\nx\n' | sendmail -f joe@local.test z@away.test
wait_for 15 sh -c '[ "$(sendmail -bpc)" = 2 ]'
wait_for 15 sh -c '[ "$(mailq | grep -c away.test)" = 3 ]'
wait_for 15 sh -c '[ "$(sendmail -bpc)" = 2 ]'
wait_for 10 on_queue 2
id=$(mailq | awk '/^ *[0-9]+[mhd]/ { print $3; exit }')
mailq | grep -Eq '^ +[0-9]m +[0-9]+ [0-9A-Za-z]{6}-[0-9A-Za-z]{6}-[0-9A-Za-z]{2} <joe@local.test>$' || die "first line of an entry: $(mailq)"
has "$(sendmail -Mvh "$id")" "Subject: waits" "-Mvh"
has "$(sendmail -Mvb "$id")" "body text" "-Mvb"
eq "$(mailq "$id" | grep -c away.test)" 2 "mailq ID"
# Scripts read what is said of each.
eq "$(sendmail -Mf "$id")" "Message $id is now frozen"
rc=0; out=$(sendmail -Mf "$id") || rc=$?
eq "$out $rc" "Message $id is already frozen 1"
wait_for 5 sh -c "mailq | grep -q 'frozen'"
eq "$(sendmail -Mt "$id")" "Message $id is no longer frozen"
rc=0; out=$(sendmail -Mt "$id") || rc=$?
eq "$out $rc" "Message $id is not frozen 1"
has "$(sendmail -Mvl "$id")" "$id frozen by" "the log of a message"
hasnot "$(sendmail -Mvl "$id")" "Subject:" "the log of a message"
rc=0; out=$(sendmail -Mes "$id" x@y.test 2>&1) || rc=$?
eq $rc 64 "-Mes in a box"
has "$out" "works with -C only" "-Mes in a box"
has "$(VPOST_BOX="" vpost trace -b "$BOX" "$id")" "in the queue: $id" "vpost trace -b"
hasnot "$(mailq)" frozen "thawed"
wait_for 10 sendmail -Mmd "$id" x@away.test
eq "$(mailq "$id" | grep -c ' y@away.test')" 1 "after -Mmd"
eq "$(sendmail -Mrm "$id")" "Message $id has been removed"
wait_for 5 sh -c '[ "$(sendmail -bpc)" = 1 ]'
rc=0; sendmail -Mrm "$id" 2>/dev/null || rc=$?
eq $rc 1 "-Mrm of what is gone"

# -bV: the box's configuration, another one, a broken one.
has "$(sendmail -bV)" "Configuration file is $BOX/etc/exim.conf" "-bV"
sendmail -bV -C "$BOX/etc/exim.conf" -DBOX="$BOX" >/dev/null || die "-bV -C"
echo 'no_such_option = 1' >"$T/bad.conf"
rc=0; sendmail -bV -C "$T/bad.conf" >"$T/bv" 2>&1 || rc=$?
eq $rc 1 "-bV of a broken configuration"
has "$(cat "$T/bv")" "line 1 of $T/bad.conf" "-bV of a broken configuration"
