# shellcheck shell=bash
# Dialogues of every SMTP command, and of the ACLs' verbs, conditions, modifiers and controls, against the replies and
# log lines that are written down beside them (tests/data/dialogues), by host checking.
. "$(dirname "$0")/../lib/box.sh"

box_make
cp "$TOP/tests/data/dialogues/zone" "$BOX/etc/zone"
conf dns_zone_file = etc/zone
conf accept_bare_newlines = yes
for f in verbs conditions protocol controls more authentication acls commands corners answers clients facts options places mistakes limits envelopes; do
	python3 "$TOP/tests/lib/dialogues.py" "$BUILD/bin/sendmail" "$BOX/etc/exim.conf" "$TOP/tests/data/dialogues/$f" || bad=1
done
[ -z "${bad-}" ] || die "dialogues differ"
