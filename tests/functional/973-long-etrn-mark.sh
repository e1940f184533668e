# shellcheck shell=bash
# long
# smtp_etrn_serialize: while its program runs the mark in the hints is renewed, so that another process knows of it after more than
# the minute that a mark lives; one that nobody renews any more, because its process was killed, is forgotten.
. "$(dirname "$0")/../lib/box.sh"

box_make
sed -i "s/^acl_smtp_etrn = .*/acl_smtp_etrn = accept\nsmtp_etrn_command = \/bin\/sleep 200/" "$BOX/etc/exim.conf"
box_start
etrn() { printf 'EHLO x\nETRN #some.test\nQUIT\n' | mt talk "$SMTP"; }
at() { local left=$(($1 - (SECONDS - BEGAN))); [ $left -le 0 ] || sleep $left; }
BEGAN=$SECONDS
has "$(etrn)" "250 2.0.0 OK" "the first"
has "$(etrn)" "458 4.3.0 Already processing #some.test" "one that came at once"

# Renewed after half a minute; then nobody is left who could.
at 40
workers=$(pgrep -P "$(daemon_pid vsmtpd)")
# shellcheck disable=SC2086
kill -KILL $workers
wait_port "$SMTP"
at 70
has "$(etrn)" "458 4.3.0 Already processing #some.test" "of another process, after more than a minute"
at 85
wait_for 30 sh -c "printf 'EHLO x\nETRN #some.test\nQUIT\n' | python3 '$TOP/tests/lib/mailtool.py' talk '$SMTP' | grep -q '^250 2.0.0 OK'"
