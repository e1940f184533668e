# shellcheck shell=bash
# A POP3 or IMAP login opens the relay for its address; only a right one does; vsmtprelay closes it (S3-12 to S3-19, S3-35).
. "$(dirname "$0")/../lib/box.sh"

box_make
box_users joe
box_start
relay() { mt rcpt "$SMTP" --source "$1" joe@local.test someone@elsewhere.test | tail -n 1; }

has "$(relay 127.0.0.2)" "550 5.7.1" "before a login"
# A wrong password records nothing.
mt pop "$POP3" --source 127.0.0.2 joe wrong count >/dev/null 2>&1 && die "wrong password taken" || true
python3 - "$POP3" "$IMAP" <<'X'
import imaplib, poplib, socket, sys
pop, imap = map(int, sys.argv[1:])
connect = socket.create_connection
def src(ip):
    socket.create_connection = lambda address, timeout=None, source_address=None, **k: connect(address, 30, (ip, 0))
src('127.0.0.3')
try:
    p = poplib.POP3('127.0.0.1', pop); p.user('joe'); p.pass_('wrong'); sys.exit('wrong password taken')
except poplib.error_proto:
    pass
src('127.0.0.2')
p = poplib.POP3('127.0.0.1', pop); p.user('joe'); p.pass_('pw-joe'); p.quit()
src('127.0.0.4')
m = imaplib.IMAP4('127.0.0.1', imap); m.login('joe', 'pw-joe'); m.logout()
X
has "$(relay 127.0.0.2)" "250 2.1.5" "after a POP3 login"
has "$(relay 127.0.0.4)" "250 2.1.5" "after an IMAP login"
has "$(relay 127.0.0.3)" "550 5.7.1" "after a wrong password"
eq "$(vsmtprelay list | grep -vc '^#')" 2 "entries"
# The form (S3-23), and what makemap makes of it (S3-26, S3-27).
vsmtprelay list | grep -qE '^# timestamp \(UTC\): [A-Z][a-z]{2} [A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8} [0-9]{4}$' || die "comment line: $(vsmtprelay list)"
vsmtprelay list | grep -qE '^127\.0\.0\.2 [0-9]+$' || die "entry line"
vsmtprelay dump >"$BOX/etc/relayers"
makemap hash "$BOX/etc/relayers.db" <"$BOX/etc/relayers"
vsmtprelay dump | cmp - "$BOX/etc/relayers" || die "dump, makemap, dump is not the same"
# Without a restart (S3-19).
vsmtprelay delete 127.0.0.2
has "$(relay 127.0.0.2)" "550 5.7.1" "after delete"
has "$(relay 127.0.0.4)" "250 2.1.5" "the other one"
vsmtprelay expire
has "$(relay 127.0.0.4)" "550 5.7.1" "after expire"
eq "$(vsmtprelay dump)" "" "dump after expire"
# The file itself (S3-18): address, blank or tab, seconds.
pop() { mt pop "$POP3" --source "$1" joe pw-joe count >/dev/null; }
pop 127.0.0.2
makemap -u hash "$BOX/etc/relayers.db" | grep -qE '^127\.0\.0\.2[[:blank:]][0-9]+$' || die "makemap -u: $(makemap -u hash "$BOX/etc/relayers.db")"
# A new login renews the entry, and there is one line an address (S3-17).
old=$(($(date +%s) - 3000))
vsmtprelay add 127.0.0.2 $old
eq "$(vsmtprelay list | grep -v '^#')" "127.0.0.2 $old" "an entry of an hour ago"
pop 127.0.0.2
eq "$(vsmtprelay list | grep -c '^127')" 1 "entries after a new login"
[ "$(vsmtprelay list | awk '/^127/{print $2}')" -gt $((old + 2900)) ] || die "the stamp is not renewed"
# Another address works after a login from there (S3-35).
has "$(relay 127.0.0.8)" "550 5.7.1" "a new address before its login"
pop 127.0.0.8
has "$(relay 127.0.0.8)" "250 2.1.5" "a new address after its login"
vsmtprelay expire
# Nothing expires by itself (S3-30); cron's line makes a window (S3-29, S3-31), silently.
vsmtprelay add 127.0.0.9 $(($(date +%s) - 315360000))
has "$(relay 127.0.0.9)" "250 2.1.5" "an entry ten years old"
vsmtprelay add 127.0.0.9 $(($(date +%s) - 3300)); vsmtprelay add 127.0.0.10 $(($(date +%s) - 3660))
eq "$(env -i PATH="$PATH" vsmtprelay -d "$BOX" expire 60 2>&1)" "" "output of expire 60"
has "$(relay 127.0.0.9)" "250 2.1.5" "55 minutes"
has "$(relay 127.0.0.10)" "550 5.7.1" "61 minutes"
vsmtprelay expire
# Times: list N is what is older than N minutes; the future is hidden from list and kept by expire (S3-24, S3-25, S3-29).
now=$(date +%s)
vsmtprelay add 10.0.0.5 $((now - 300)); vsmtprelay add 10.0.0.15 $((now - 900)); vsmtprelay add 10.0.0.99 $((now + 3600))
vsmtprelay add 2001:DB8:0::1
eq "$(vsmtprelay list 10 | grep -v '^#' | cut -d' ' -f1)" 10.0.0.15 "list 10"
hasnot "$(vsmtprelay list)" 10.0.0.99 "list"
has "$(vsmtprelay dump)" 10.0.0.99 "dump"
has "$(vsmtprelay dump)" "2001:db8::1 " "IPv6 key (S3-21)"
eq "$(vsmtprelay expire 10)" "" "output of expire"
hasnot "$(vsmtprelay dump)" 10.0.0.15 "dump after expire 10"
has "$(vsmtprelay dump)" 10.0.0.5 "dump after expire 10"
vsmtprelay expire
eq "$(vsmtprelay dump | grep -vc '^#')" 1 "the future one stays"
vsmtprelay add 10.11.12.13 906502527
eq "$(vsmtprelay list)" "# timestamp (UTC): Tue Sep 22 22:15:27 1998
10.11.12.13 906502527" "the printed example"
# Cron's bare environment (S3-32).
eq "$(env -i PATH="$PATH" vsmtprelay -d "$BOX" expire 2>&1)" "" "output of expire"
eq "$(vsmtprelay list)" "" "list after cron's expire"
# The tool works the same while the daemons are down.
box_stop
vsmtprelay add 10.1.1.1 && has "$(vsmtprelay list)" 10.1.1.1 "list without daemons"
vsmtprelay 2>&1 | grep -q 'usage (optional items in \[\])' || die "usage text"
vsmtprelay add not-an-ip >/dev/null 2>"$T/err" && die "a bad address was taken"
grep -q not-an-ip "$T/err" || die "the error does not name the address"
