# shellcheck shell=bash
# What routers of a box see of a long message's body, as the ACLs of the session saw it; and that what they say of tainted queries is in
# the panic log, too.
. "$(dirname "$0")/../lib/box.sh"
box_make
box_users joe
sed -i "1i sqlite_dbfile = $T/db
s|^begin routers|&\nshown:\n  driver = redirect\n  no_verify\n  senders = out@out.test\n  allow_fail\n  data = :fail: \
\${strlen:\$message_body} \${strlen:\$message_body_end} <\${length_15:\$message_body}> <\${substr_-15_15:\$message_body_end}>\n\
asks:\n  driver = accept\n  condition = \${lookup sqlite{select 1 where 'x' = '\$local_part'}{yes}{no}}\n  transport = store\n|" "$BOX/etc/exim.conf"
grep -q '^store:' "$BOX/etc/exim.conf" || die "no transport of that name is shipped"
box_start
{ printf 'Subject: long\n\n'; for i in $(seq 1000 1300); do echo "line $i"; done; } >"$T/long.eml"
printf 'Subject: short\n\nline 1000\nline 1001\n' >"$T/short.eml"
settled() { [ "$(grep -c ' \*\* joe@local.test R=shown: ' "$BOX/var/log/mainlog")" = "$1" ]; }
mt send "$SMTP" out@out.test joe@local.test --file "$T/long.eml" || die "send"
wait_for 10 settled 1
mt send "$SMTP" out@out.test joe@local.test --file "$T/short.eml" || die "send"
wait_for 10 settled 2
# Line ends count once.
eq "$(sed -n 's/.* R=shown: //p' "$BOX/var/log/mainlog")" $'500 500 <line 1000 line > <1299 line 1300 >\n20 20 <line 1000 line > <1000 line 1001 >' "the body"
mt send "$SMTP" other@out.test joe@local.test --file "$T/short.eml" || die "send"
told() { grep -q 'tainted search query is not properly quoted (router asks, ' "$BOX/var/log/paniclog" "$BOX/var/log/mainlog"; }
wait_for 10 told
for log in mainlog paniclog; do has "$(cat "$BOX/var/log/$log")" "tainted search query is not properly quoted (router asks, " "$log"; done
echo ok
