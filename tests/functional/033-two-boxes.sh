# shellcheck shell=bash
# Two boxes on one machine have nothing in common: accounts, blocked senders, open relays (S3-9).
. "$(dirname "$0")/../lib/box.sh"

box_make one
box_users joe
echo "joe@spam.example" >>"$BOX/etc/spammers"
vnewspammers
box_start
ONE=$BOX ONE_SMTP=$SMTP ONE_POP3=$POP3 ONE_RUN=$RUN
box_make two
box_users joe
box_start
has "$(mt rcpt "$ONE_SMTP" joe@spam.example joe@local.test)" "550 5.7.1" "the box that lists the sender"
has "$(mt rcpt "$SMTP" joe@spam.example joe@local.test)" "250 2.1.5" "the other one"
mt pop "$ONE_POP3" --source 127.0.0.2 joe pw-joe count >/dev/null
has "$(mt rcpt "$ONE_SMTP" --source 127.0.0.2 joe@local.test x@elsewhere.test)" "250" "relay where the login was"
has "$(mt rcpt "$SMTP" --source 127.0.0.2 joe@local.test x@elsewhere.test)" "550 5.7.1" "relay at the other one"
has "$(vsmtprelay -d "$ONE" list)" 127.0.0.2
eq "$(vsmtprelay -d "$BOX" list)" ""
RUN=$ONE_RUN
