# shellcheck shell=bash
# Clients without a name (S2-25), greylist and rate, with the whitelist above them (S2-36), a policy server that is asked in
# Postfix's protocol and obeyed (S2-38).
. "$(dirname "$0")/../lib/box.sh"

box_make
box_users joe
conf "dns_zone_file = etc/test.zone"
cat >"$BOX/etc/test.zone" <<X
zone 127.in-addr.arpa
2.0.0.127.in-addr.arpa PTR named.test
zone named.test
named.test A 127.0.0.2
fail 4.0.0.127.in-addr.arpa
5.0.0.127.in-addr.arpa PTR other.test
zone other.test
other.test A 127.0.0.99
X
POLICY=$((BASE + 31))
setting REQUIRE_REVERSE_DNS "550 5.7.25"
setting ACCESS_FILE
printf 'Connect:127.0.0.77 OK\n' | makemap hash "$BOX/etc/access.db"
box_start
rcpt() { mt rcpt "$SMTP" --source "$1" "$2" "$3" | tail -n 1; }

has "$(rcpt 127.0.0.2 a@x.test joe@local.test)" "250 " "with a name"
has "$(rcpt 127.0.0.5 a@x.test joe@local.test)" "250 " "a name is enough, though it does not lead back"
has "$(rcpt 127.0.0.3 a@x.test joe@local.test)" "550 5.7.25 Your address [127.0.0.3] has no name in the DNS" "no name"
has "$(rcpt 127.0.0.4 a@x.test joe@local.test)" "450 4.7.25" "the DNS fails"
has "$(rcpt 127.0.0.77 a@x.test joe@local.test)" "250 " "the whitelist wins"
has "$(rcpt 127.0.0.1 a@x.test joe@local.test)" "250 " "this host"

# Greylist: the first try waits, the second passes; the network counts, not the address.
box_stop
unset_setting REQUIRE_REVERSE_DNS
setting GREYLIST 2s
box_start
out=$(rcpt 127.0.8.2 g@x.test joe@local.test)
has "$out" "451 4.7.1 Greylisted" "the first try"
has "$(rcpt 127.0.8.2 g@x.test nobody@local.test)" "550 5.1.1" "who is not there is no secret of the greylist"
has "$(rcpt 127.0.0.77 g@x.test joe@local.test)" "250 " "the whitelist wins"
has "$(rcpt 127.0.8.2 h@x.test joe@local.test)" "451 4.7.1" "another sender"
wait_for 10 sh -c "python3 $TOP/tests/lib/mailtool.py rcpt $SMTP --source 127.0.8.9 g@x.test joe@local.test | grep -q '^250 '"

# Rates of outside clients.
box_stop
unset_setting GREYLIST
setting HOST_RATE "3 / 1h"
box_start
codes=
for _ in 1 2 3 4; do codes="$codes$(rcpt 127.0.8.3 r@x.test joe@local.test | cut -c 1-9) "; done
case $codes in "250 2.1.5 250 2.1.5 "*"450 4.7.1 ") ;; *) die "rate: $codes" ;; esac
for _ in 1 2 3 4; do has "$(rcpt 127.0.0.77 r@x.test joe@local.test)" "250 " "the whitelist wins"; done

# A policy server: it gets Postfix's attributes and its answer is done.
cat >"$T/policy.py" <<'X'
import socket, sys, threading
log = open(sys.argv[2], 'a', 1)
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('127.0.0.1', int(sys.argv[1])))
s.listen(50)
answers = {'ok': 'OK', 'dunno': 'DUNNO', 'no': 'REJECT policy says no', 'later': 'DEFER_IF_PERMIT come again', 'five': '554 5.7.9 five',
           'four': '421 4.7.9 four', 'head': 'PREPEND X-Policy: seen', 'odd': 'JUMP', 'drop': 'DISCARD away with it', 'warn': 'WARN look at it'}


def serve(c):
    f = c.makefile('rwb', 0)
    attrs = {}
    for line in f:
        line = line.decode().rstrip('\n')
        if line == '':
            log.write(repr(sorted(attrs.items())) + '\n')
            who = attrs.get('sender', '').split('@')[0]
            f.write(('action=%s\n\n' % answers.get(who, 'DUNNO')).encode())
            attrs = {}
        else:
            k, v = line.split('=', 1)
            attrs[k] = v
    c.close()


while True:
    threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
X
python3 "$T/policy.py" "$POLICY" "$T/policy.log" &
POLICY_PID=$!
at_end() { kill $POLICY_PID 2>/dev/null; }
wait_port "$POLICY"
box_stop
unset_setting HOST_RATE
setting POLICY_SERVER "inet:127.0.0.1:$POLICY"
box_start
has "$(rcpt 127.0.8.4 dunno@x.test joe@local.test)" "250 " DUNNO
log=$(cat "$T/policy.log")
for a in "('request', 'smtpd_access_policy')" "('protocol_state', 'RCPT')" "('client_address', '127.0.8.4')" "('helo_name', 'client.test')" \
    "('sender', 'dunno@x.test')" "('recipient', 'joe@local.test')" "('protocol_name', 'ESMTP')" "('client_name', 'unknown')"; do
	has "$log" "$a" "attributes"
done
has "$(rcpt 127.0.8.4 ok@x.test joe@local.test)" "250 " OK
has "$(rcpt 127.0.8.4 no@x.test joe@local.test)" "550 5.7.1 policy says no" REJECT
has "$(rcpt 127.0.8.4 later@x.test joe@local.test)" "450 4.7.1 come again" DEFER_IF_PERMIT
has "$(rcpt 127.0.8.4 five@x.test joe@local.test)" "554 5.7.9 five" "a 5xx answer"
has "$(rcpt 127.0.8.4 four@x.test joe@local.test)" "421 4.7.9 four" "a 4xx answer"
has "$(rcpt 127.0.8.4 odd@x.test joe@local.test)" "451 4.3.5" "an action that is not known"
has "$(rcpt 127.0.8.4 warn@x.test joe@local.test)" "250 " WARN
wait_for 20 grep -qF -- "WARN look at it" "$BOX/var/log/mainlog"
: >"$T/policy.log"
has "$(rcpt 127.0.8.4 no@x.test nobody@local.test)" "550 5.1.1" "who is there comes before the policy"
has "$(rcpt 127.0.0.77 no@x.test joe@local.test)" "250 " "the whitelist wins"
eq "$(cat "$T/policy.log")" "" "questions for those"
mt send "$SMTP" --source 127.0.8.4 head@x.test joe@local.test --subject one
mt send "$SMTP" --source 127.0.8.4 drop@x.test joe@local.test --subject two
wait_for 10 sh -c "[ \"\$(python3 $TOP/tests/lib/mailtool.py imap $IMAP joe pw-joe count)\" = 1 ]"
has "$(mt imap "$IMAP" joe pw-joe fetch 1)" "X-Policy: seen" PREPEND
wait_for 20 grep -qF -- "discarded by RCPT ACL: away with it" "$BOX/var/log/mainlog"
kill $POLICY_PID; wait $POLICY_PID 2>/dev/null || true
has "$(rcpt 127.0.8.4 dunno@x.test joe@local.test)" "450 4.3.5" "without the server"
has "$(rcpt 127.0.0.1 dunno@x.test joe@local.test)" "250 " "this host needs none"
