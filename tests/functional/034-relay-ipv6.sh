# shellcheck shell=bash
# POP-before-SMTP with IPv6 clients: keys are canonical text (S3-21).
NEED_NET=1 NEED_IPV6=1
. "$(dirname "$0")/../lib/box.sh"

box_make
box_users joe
conf "smtp_listen = *:$SMTP"
conf "pop3_listen = *:$POP3"
conf "plaintext_auth = yes"
box_start
r() { mt rcpt "$SMTP" --host ::1 --source 2001:db8::1 joe@local.test x@elsewhere.test | tail -n 1; }
has "$(r)" "550 5.7.1" "before the login"
mt pop "$POP3" --host ::1 --source 2001:db8::1 joe pw-joe count >/dev/null
has "$(vsmtprelay list)" "2001:db8::1 " "entry"
has "$(r)" "250 2.1.5" "after the login"
# The same address in another spelling is the same entry.
vsmtprelay delete 2001:0DB8:0:0::0001
has "$(r)" "550 5.7.1" "after delete"
# IPv4 over the dual-stack socket is recorded as IPv4.
mt pop "$POP3" --host 127.0.0.1 --source 192.0.2.2 joe pw-joe count >/dev/null 2>&1 || mt pop "$POP3" --host 192.0.2.1 --source 192.0.2.2 joe pw-joe count >/dev/null
has "$(vsmtprelay list)" "192.0.2.2 " "IPv4 entry"
