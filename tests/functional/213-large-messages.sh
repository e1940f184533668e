# shellcheck shell=bash
# Large messages through users' files: 40 MB by .forward, a filter and rules; a body that rules changed; a long header.  None is lost, none
# is cut.
. "$(dirname "$0")/../lib/box.sh"
need python3 md5sum

box_make
box_users fwd box flt pm chg
sed -i 's/^message_size_limit.*/message_size_limit = 60M/' "$BOX/etc/exim.conf"
for u in fwd flt pm chg; do mkdir -p "$BOX/home/$u"; chmod 755 "$BOX/home/$u"; done
chmod 755 "$BOX/home"
put() { cat >"$BOX/home/$1/$2"; chmod 644 "$BOX/home/$1/$2"; }
echo box | put fwd .forward
printf '# Exim filter\nif $message_size is above 1M then\n  save $home/large\n  unseen deliver flt.Large\nendif\n' | put flt .forward
printf ':0 c\n%s/copy\n\n:0\n* > 1000000\n! pm.Large\n' "$BOX/home/pm" | put pm .procmailrc
# A filter program that changes the body, and one that makes the header long.
printf ':0 fbw\n* ^X-Kind: body\n| tr a b\n\n:0 fhw\n* ^X-Kind: head\n| sed -e "1,/^$/s/^X-Kind: .*/X-Long: `head -c 9000 /dev/zero | tr "\\\\0" y`/"\n' | put chg .procmailrc
in_box() { [ "$(mt imap "$IMAP" "$1" "pw-$1" count "${3:-INBOX}" 2>/dev/null)" = "$2" ]; }
box_start
python3 - "$T" <<'E'
import os, sys
def make(name, size, extra=''):
    with open(os.path.join(sys.argv[1], name), 'w') as f:
        f.write('From: s@out.test\nTo: x@local.test\nSubject: %s\n%s\n' % (name, extra))
        line = 'a' * 70 + '\n'
        f.write(line * (size // len(line)))
make('huge', 40_000_000)
make('body', 500_000, 'X-Kind: body\n')
make('wide', 3_000_000, 'X-Kind: body\n')
make('head', 2000, 'X-Kind: head\n')
E
for u in fwd flt pm; do mt send "$SMTP" s@out.test $u@local.test --file "$T/huge"; done
mt send "$SMTP" s@out.test chg@local.test --file "$T/body"
mt send "$SMTP" s@out.test chg@local.test --file "$T/head"
lines() { grep -c '^aaaa' "$1" || true; }
W=$(lines "$T/huge")
wait_for 60 in_box box 1
wait_for 60 in_box flt 1 INBOX.Large
wait_for 60 in_box pm 1 INBOX.Large
wait_for 60 test -s "$BOX/home/flt/large"
wait_for 60 test -s "$BOX/home/pm/copy"
wait_for 60 in_box chg 2
# Not less, when it is done with, and not more.
has_lines() { [ "$(lines "$1")" = "$W" ]; }
wait_for 60 has_lines "$BOX/home/flt/large"
wait_for 60 has_lines "$BOX/home/pm/copy"
for b in box:INBOX flt:INBOX.Large pm:INBOX.Large; do
	mt imap "$IMAP" "${b%:*}" "pw-${b%:*}" fetch 1 "${b#*:}" >"$T/got"
	eq "$(lines "$T/got")" "$W" "lines in the store, $b"
done
# What does not fit into a frame goes along as a file; past the limit of files the message comes as it was, and the log says so.
mt send "$SMTP" s@out.test chg@local.test --file "$T/wide"
wait_for 60 in_box chg 3
mt imap "$IMAP" chg pw-chg fetch 3 >"$T/3"
eq "$(grep -c '^bbbb' "$T/3")" "$(lines "$T/wide")" "lines of the long message that was changed"
eq "$(grep -c "$(printf '[^\r]$')" "$T/3")" 0 "lines without CRLF"
has "$(head -c 1000 "$T/3")" "Subject: wide" "the long message that was changed"
printf ':0 fw\n| sed -e "1,/^$/s/^Subject: .*/Subject: new/" -e s/aaaa/cccc/\n\n:0 c\n! box\n\n:0\n! pm.Large\n' | put pm .procmailrc
mt send "$SMTP" s@out.test pm@local.test --file "$T/wide"
wait_for 60 in_box pm 2 INBOX.Large
wait_for 60 in_box box 2
mt imap "$IMAP" box pw-box fetch 2 >"$T/4"
eq "$(grep -c '^cccc' "$T/4")" "$(lines "$T/wide")" "lines of the changed copy"
has "$(head -c 1000 "$T/4")" "Subject: new" "the changed copy"
conf "local_file = 2M"
vpost reload >/dev/null
mt send "$SMTP" s@out.test chg@local.test --file "$T/wide"
wait_for 60 in_box chg 4
wait_for 20 grep -q "changed message of .* bytes delivered as it came: " "$BOX/var/log/mainlog"
mt imap "$IMAP" chg pw-chg fetch 4 >"$T/5"
eq "$(lines "$T/5")" "$(lines "$T/wide")" "lines of the message that was too large to be changed"
mt imap "$IMAP" chg pw-chg fetch 1 >"$T/1"
mt imap "$IMAP" chg pw-chg fetch 2 >"$T/2"
cat "$T/1" "$T/2" >"$T/both"
eq "$(grep -c '^bbbb' "$T/both")" "$(grep -c '^aaaa' "$T/body")" "lines of the changed body"
grep -q '^X-Long: yyyy' "$T/both" || die "the long header is lost"
