# shellcheck shell=bash
# Envelope senders in etc/spammers are refused from vnewspammers on; the From: header does not count (S3-1 to S3-9).
. "$(dirname "$0")/../lib/box.sh"

box_make
box_users joe
box_start
from() { mt rcpt "$SMTP" --source 127.0.0.2 "$1" joe@local.test | tail -n 1; }
has "$(from joe@spam.example)" 250
printf '# listed\njoe@spam.example\nBAD.example\n' >>"$BOX/etc/spammers"
has "$(from joe@spam.example)" 250 "before vnewspammers (S3-5)"
vnewspammers
has "$(from joe@spam.example)" "550 5.7.1" "user@host (S3-3)"
has "$(from JOE@Spam.Example)" "550 5.7.1" "case"
has "$(from ann@spam.example)" 250 "another user there"
has "$(from any@bad.example)" "550 5.7.1" "host (S3-4)"
has "$(from any@sub.bad.example)" 250 "parent domains do not count as shipped"
has "$(from joe@spam.example)" "etc/spammers" "the text names the list (S0-5)"
# The header does not matter (S3-6).
mt send "$SMTP" clean@other.example joe@local.test --file <(printf 'From: joe@spam.example\r\nSubject: x\r\n\r\nx\r\n')
wait_for 10 sh -c "[ \"\$(python3 $TOP/tests/lib/mailtool.py imap $IMAP joe pw-joe count)\" = 1 ]"
# The setting for parent domains.
sed -i '1i SPAMMERS_PARENT_DOMAINS = yes' "$BOX/etc/exim.conf"
vpost check "$BOX" >"$T/check" || { cat "$T/check"; die "check"; }
vpost reload "$BOX"
wait_for 10 sh -c "python3 $TOP/tests/lib/mailtool.py rcpt $SMTP --source 127.0.0.2 any@sub.bad.example joe@local.test | grep -q '^550 5.7.1'"
has "$(from any@good.example)" 250
# Which address to list (S3-8): the envelope sender, from Return-Path or the first line of an mbox.
mt imap "$IMAP" joe pw-joe fetch 1 >"$T/got"
out=$(vpost explain "$T/got")
has "$out" "in etc/spammers: clean@other.example" "explain"
has "$out" 'not "From:":     joe@spam.example' "explain"
has "$(printf 'From x@bulk.example Mon Jan  2 10:00:00 2023\nFrom: friend@good.example\n\nx\n' | vpost explain)" "or the host:     bulk.example" "explain an mbox"
has "$(printf 'Return-Path: <>\nFrom: a@b.test\n\nx\n' | vpost explain)" "nothing to list" "explain a bounce"
printf 'From: friend@good.example\n\nx\n' | vpost explain 2>"$T/err" && die "explain without an envelope sender"
grep -q Return-Path "$T/err" || die "explain does not say what is missing"
# A broken map defers, and does not let through or refuse for good.
printf 'this is no database' >"$BOX/etc/spammers.db"
# A map written in place counts when it has been left alone for a moment.
answers() { case $(from any@good.example) in "$1"*) ;; *) return 1 ;; esac; }
wait_for 10 answers "451 4."
vnewspammers
wait_for 10 answers 250
