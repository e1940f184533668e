# shellcheck shell=bash
# A front end: the map first (S2-28), then a callout to the back end; aliases are the back end's (S2-29); what neither
# knows is refused (S2-30), and a back end that is down defers.
. "$(dirname "$0")/../lib/box.sh"

box_make back
box_users joe
printf 'sales: joe\n' >>"$BOX/etc/aliases"
vnewaliases >/dev/null
setting TRUSTED_NETWORKS 127.0.0.0/8
box_start
BACK=$BOX BACK_SMTP=$SMTP BACK_IMAP=$IMAP BACK_RUN=$RUN
HOSTNAME_OF_BOX=front.local.test
box_make front
setting BACKEND "127.0.0.1::$BACK_SMTP"
printf 'mapped@local.test x\n@whole.test x\n' | makemap hash "$BOX/etc/recipients.db"
echo whole.test >>"$BOX/etc/domains"
box_start
FRONT=$BOX
rcpt() { mt rcpt "$SMTP" --source 127.0.0.2 a@x.test "$1" | tail -n 1; }
asked() { grep -c "RCPT\|rejected" "$BACK/var/log/mainlog" || true; }

has "$(rcpt joe@local.test)" "250 " "a user of the back end, by callout"
has "$(rcpt sales@local.test)" "250 " "an alias of the back end"
has "$(rcpt nobody@local.test)" "550 5.1.1" "nobody's"
has "$(rcpt nobody@away.test)" "550 5.7.1 Relaying" "and no other domain's"
has "$(rcpt mapped@local.test)" "250 " "in the map only"
has "$(rcpt any@whole.test)" "250 " "a whole domain in the map"
# The back end was asked.
wait_for 20 grep -q "rejected.*nobody@local.test\|nobody@local.test.*rejected" "$BACK/var/log/mainlog"
hasnot "$(cat "$BACK/var/log/mainlog")" "mapped@local.test" "not about what the map knows"
before=$(asked)
has "$(rcpt nobody@local.test)" "550 5.1.1" "the second time"
eq "$(asked)" "$before" "questions the second time"

mt send "$SMTP" --source 127.0.0.2 a@x.test sales@local.test --subject "to an alias"
wait_for 15 sh -c "[ \"\$(python3 $TOP/tests/lib/mailtool.py imap $BACK_IMAP joe pw-joe count)\" = 1 ]"
got=$(mt imap "$BACK_IMAP" joe pw-joe fetch 1)
has "$got" "by front.local.test" "way"
# The front end did not resolve the alias.
wait_for 20 grep -q "=> sales@local.test R=backend" "$FRONT/var/log/mainlog"

kill -TERM "$BACK_RUN"; wait "$BACK_RUN" 2>/dev/null || true
PIDS=${PIDS/ $BACK_RUN/}
case $(rcpt other@local.test) in 45?*) ;; *) die "back end down: $(rcpt other@local.test)" ;; esac
has "$(rcpt mapped@local.test)" "250 " "the map needs no back end"
