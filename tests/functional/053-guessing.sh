# shellcheck shell=bash
# Guessing passwords: answers come later each time, then the address is turned away, for all services, and nobody else is.
. "$(dirname "$0")/../lib/box.sh"

box_make
box_users joe
conf "auth_ban_failures = 4"
conf "auth_ban_time = 1h"
conf "services = store:auth:pop3:imap"
vpost run "$BOX" >>"$T/run.log" 2>&1 &
PIDS="$PIDS $!"
wait_port "$POP3"; wait_port "$IMAP"
python3 - "$POP3" "$IMAP" <<'X'
import imaplib, socket, sys, time
pop, imap = map(int, sys.argv[1:])

def login(source, user, password, port=pop):
    s = socket.create_connection(('127.0.0.1', port), 60, (source, 0))
    f = s.makefile('rwb')
    f.readline()
    lines = [b'USER ' + user, b'PASS ' + password] if port == pop else [b'a LOGIN ' + user + b' ' + password]
    t = time.time()
    for l in lines:
        f.write(l + b'\r\n')
        f.flush()
        a = f.readline()
    return a, time.time() - t

def want(what, got, start):
    if not got.startswith(start):
        sys.exit('%s: %r' % (what, got))

# The first answer after a second, the second after two; a name that does not exist the same.
for source, user in (('127.0.0.2', b'joe'), ('127.0.0.3', b'nobody')):
    for seconds in (1, 2):
        a, t = login(source, user, b'wrong')
        want('a wrong password', a, b'-ERR [AUTH]')
        if t < seconds - 0.1:
            sys.exit('%s: answer number %d after %.2f s' % (user, seconds, t))
a, t = login('127.0.0.2', b'joe', b'pw-joe')
want('a right password in between', a, b'+OK')
for _ in range(2):
    login('127.0.0.2', b'joe', b'wrong')
a, t = login('127.0.0.2', b'joe', b'pw-joe')
want('a right password from a banned address', a, b'-ERR [AUTH] too many')
a, t = login('127.0.0.2', b'joe', b'pw-joe', imap)
if b'too many' not in a:
    sys.exit('IMAP from a banned address: %r' % a)
a, t = login('127.0.0.4', b'joe', b'pw-joe')
want('another address', a, b'+OK')
X
grep -q 'peer=127.0.0.2 banned' "$BOX"/var/log/* || die "the log does not tell of the ban"
hasnot "$(cat "$BOX"/var/log/*)" "pw-joe" "the logs"
vsmtprelay list | grep -q '^127.0.0.3 ' && die "a wrong password opened the relay"
vsmtprelay list | grep -q '^127.0.0.4 ' || die "a right password did not open the relay"
# A right password is remembered for minutes, but not past a change of the account.
for _ in 1 2 3; do mt pop "$POP3" --source 127.0.0.5 joe pw-joe count >/dev/null || die "the password before the change"; done
sed -i 's/^joe:.*/joe:{PLAIN}new-pw:::::/' "$BOX/etc/vusers"
mt pop "$POP3" --source 127.0.0.5 joe pw-joe count >/dev/null 2>&1 && die "the old password is still taken"
mt pop "$POP3" --source 127.0.0.5 joe new-pw count >/dev/null || die "the new password is not taken"
sed -i '/^joe:/d' "$BOX/etc/vusers"
mt pop "$POP3" --source 127.0.0.5 joe new-pw count >/dev/null 2>&1 && die "a removed account is still let in"
wait_for 5 sh -c "! makemap -u hash $BOX/etc/vusers.db | grep -q ^joe"

# "Cannot tell now" is no "no": nobody is banned for it, and the client may try again (NO [UNAVAILABLE], -ERR [SYS/TEMP]).
# The file of accounts is away for a moment, is a directory, is being written by an editor that does it in place.
cat >"$T/unsure.py" <<'P'
import socket, sys, time
pop, imap, kind = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
def ask(port, lines):
    s = socket.create_connection(('127.0.0.1', port), 60, ('127.0.0.6', 0))
    f = s.makefile('rwb')
    f.readline()
    for l in lines:
        f.write(l + b'\r\n'); f.flush(); a = f.readline()
    return a
def all_ways(password):
    import base64
    plain = base64.b64encode(b'\0joe\0' + password)
    return [ask(imap, [b'a LOGIN joe ' + password]), ask(imap, [b'a AUTHENTICATE PLAIN ' + plain]),
            ask(pop, [b'USER joe', b'PASS ' + password]), ask(pop, [b'AUTH PLAIN ' + plain])]
for _ in range(3 if kind == 'unsure' else 1):
    for a in all_ways(b'new-pw'):
        good = (b'a NO [UNAVAILABLE]', b'-ERR [SYS/TEMP]') if kind == 'unsure' else (b'a OK', b'* CAP', b'+OK')
        if not a.startswith(good):
            sys.exit('%s: %r' % (kind, a))
P
unsure() { python3 "$T/unsure.py" "$POP3" "$IMAP" "$1" || die "$2"; }
printf 'joe:{PLAIN}new-pw:::::\n' >"$BOX/etc/vusers.new"
mv "$BOX/etc/vusers.new" "$BOX/etc/vusers"
unsure sure "before"
mv "$BOX/etc/vusers" "$T/away"
unsure unsure "vusers is missing"
mkdir "$BOX/etc/vusers"
unsure unsure "vusers is a directory"
rmdir "$BOX/etc/vusers"
mv "$T/away" "$BOX/etc/vusers"
unsure sure "vusers is back"
cp "$BOX/etc/vusers" "$T/away"
# In place: first empty, whole a little later.
for _ in 1 2 3; do
	began=$(date +%s%N)
	: >"$BOX/etc/vusers"
	mt pop "$POP3" --source 127.0.0.6 joe new-pw count >"$T/out" 2>&1 && die "an empty file lets in"
	# A file that stays empty is taken for what it is after half a second, which a busy machine may need for the login.
	grep -q 'SYS/TEMP' "$T/out" || [ $(($(date +%s%N) - began)) -gt 400000000 ] || die "an emptied file: $(cat "$T/out")"
	cat "$T/away" >"$BOX/etc/vusers"
	wait_for 5 mt pop "$POP3" --source 127.0.0.6 joe new-pw count
	sleep 0.6
done
unsure sure "after all this nobody is banned"
grep -q 'peer=127.0.0.6 banned' "$BOX"/var/log/* && die "the address was banned for what was no guess"
true
