# shellcheck shell=bash
# postqueue, postcat and postsuper over the box's queue; the modes of sendmail that only look, with the box's configuration.
. "$(dirname "$0")/../lib/box.sh"
box_make
box_users joe
conf "dns_zone_file = etc/test.zone"
echo 'fail away.test' >"$BOX/etc/test.zone"
box_start
for i in 1 2 3; do printf 'Subject: n%d\n\nbody %d\n' $i $i | sendmail -f joe@local.test "x$i@away.test"; done
wait_for 15 sh -c "[ \"\$(sendmail -bpc)\" = 3 ]"
wait_for 10 on_queue 3
eq "$(postqueue -p | grep -c '@away.test')" 3 "postqueue -p"
id=$(postqueue -p | awk '/joe@local.test/ { sub(/[*!]/, "", $1); print $1; exit }')
has "$(postcat -q "$id")" "Subject: n" "postcat -q"
hasnot "$(postcat -bq "$id")" "Subject:" "postcat -b"
postsuper -h "$id"
wait_for 10 sh -c "mailq | grep -q 'frozen'"
postsuper -H "$id"
wait_for 10 sh -c "! mailq | grep -q 'frozen'"
postqueue -f
eq "$(postsuper -d "$id" 2>&1)" "postsuper: Deleted: 1 message"
wait_for 10 sh -c "[ \"\$(sendmail -bpc)\" = 2 ]"
postsuper -d ALL
wait_for 10 sh -c "[ \"\$(sendmail -bpc)\" = 0 ]"
postsuper -d ALL
rc=0; postqueue 2>/dev/null || rc=$?
eq $rc 64 "postqueue without an option"

has "$(sendmail -be '${lc:ABC} $primary_hostname')" "abc " "-be"
has "$(echo '${uc:x}' | sendmail -be)" "> X" "-be from standard input"
has "$(sendmail -bt joe@local.test)" "router = " "-bt"
has "$(sendmail -bv joe@local.test)" "joe@local.test verified" "-bv"
rc=0; sendmail -bt nobody@local.test >/dev/null || rc=$?
eq $rc 2 "-bt of an address that does not exist"
has "$(sendmail -bP qualify_domain)" "qualify_domain = " "-bP"
has "$(sendmail -brt away.test)" "Retry rule: " "-brt"
has "$(printf 'EHLO x\r\nQUIT\r\n' | sendmail -bh 192.0.2.1 2>/dev/null)" "250-" "-bh"
printf 'exim_path = /x\nhide qualify_domain = secret.test\nspool_directory = /nonexistent\n' >"$T/c"
chmod 644 "$T/c"
if [ "$(id -u)" = 0 ]; then
	got=$(setpriv --reuid=65534 --regid=65534 --clear-groups "$(command -v sendmail)" -C "$T/c" -bP qualify_domain)
	eq "$got" "qualify_domain = <value not displayable>" "-bP of what is hidden, by somebody else"
fi
printf 'nosuch = 1\n' >"$T/bad"
rc=0; sendmail -C "$T/bad" -bV >/dev/null 2>"$T/err" || rc=$?
eq $rc 1 "-bV of a bad file"
has "$(cat "$T/err")" "Exim configuration error in line 1 of $T/bad:" "-bV's text"
