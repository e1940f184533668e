# shellcheck shell=bash
# quick
# vnewspammers, vnewaliases and vsmtprelay: what they accept, what they say, what they leave alone (S3-3 to S3-5, S3-33).
. "$(dirname "$0")/../lib/box.sh"

box_make
cd "$BOX/etc"
same() { cmp -s "$1" - || die "$1: $(cat "$1")"; }
cat >spammers <<'X'
# comment
Joe@Spam.example
spam2.example	since Monday

.dot.example
@spam3.example
<x@spam4.example>
JOE@spam.example
X
rc=0
vnewspammers >"$T/out" 2>"$T/err" || rc=$?
eq $rc 65 "vnewspammers with bad lines"
eq "$(cat "$T/out")" "" "output of vnewspammers"
same "$T/err" <<X
$BOX/etc/spammers:5: .dot.example: dots at the ends or side by side: write the domain alone, as in spam.example
$BOX/etc/spammers:6: @spam3.example: no user name before the @: write the host alone for all its users
$BOX/etc/spammers:7: <x@spam4.example>: write the bare address, user@host or host, one in a line
$BOX/etc/spammers:8: JOE@spam.example: was there before, the first line counts
vnewspammers: 3 bad lines left out, the others are in force
X
eq "$(makemap -u hash spammers | sort)" "joe@spam.example	spam
spam2.example	since Monday" "spammers.db"
: >spammers
vnewspammers
eq "$(makemap -u hash spammers)" "" "an empty list"
rm spammers
vnewspammers 2>/dev/null && die "vnewspammers without a list"
[ -e spammers.db ] || die "the old map went away"

cat >aliases <<'X'
# comment
root: alice,
   bob
Post-Master: "|/usr/bin/prog -x, y", /var/file, :include:/etc/list, \root, carol@elsewhere.example (Carol, here)
"odd name": alice
bad alice
two: a,,b
none:
open: "x
blank: a b
incl: :include:list
root: again
dom@local.test: alice
X
rc=0
vnewaliases >"$T/out" 2>"$T/err" || rc=$?
eq $rc 65 "vnewaliases with bad aliases"
has "$(cat "$T/out")" "aliases: 3 aliases, longest " "summary"
sed "s|^$BOX/etc/||" "$T/err" >"$T/e"
same "$T/e" <<'X'
aliases:6: bad: no colon after the alias name
aliases:7: two: an empty recipient: a comma too many
aliases:8: none: no recipient after the colon
aliases:9: open: a quote is not closed
aliases:10: blank: a blank inside a recipient: put commas between recipients, quotes around programs
aliases:11: incl: :include: needs the full path of a file
aliases:12: root: the alias was there before: the first one counts
aliases:13: dom@local.test: aliases look at the user part only: leave the @ and the domain away
X
makemap -u hash aliases | sort >"$T/a"
same "$T/a" <<'X'
@	@
odd name	alice
post-master	"|/usr/bin/prog -x, y", /var/file, :include:/etc/list, \root, carol@elsewhere.example (Carol, here)
root	alice, bob
X

# vsmtprelay: mistakes change nothing.
vsmtprelay add 10.0.0.1 100
before=$(vsmtprelay dump)
for args in "add" "add x" "add 10.0.0.2 x" "add 10.0.0.2 -5" "add 10.0.0.2 1 2" "add 10.0.0.256" "delete" "delete 10.0.0.1 x" "expire -1" "expire x" \
	"expire 1 2" "list x" "dump x" "remove 10.0.0.1" "-x"; do
	# shellcheck disable=SC2086
	vsmtprelay $args >/dev/null 2>"$T/err" && die "vsmtprelay $args was taken"
	[ -s "$T/err" ] || die "vsmtprelay $args says nothing"
done
eq "$(vsmtprelay dump)" "$before" "the map after mistakes"
vsmtprelay delete 10.9.9.9 2>"$T/err" && die "an absent address was deleted"
has "$(cat "$T/err")" "10.9.9.9: not in the database" "message"
for ip in 10.0.0.3 10.0.0.2 10.0.0.11; do vsmtprelay add $ip 500; done
eq "$(vsmtprelay list | grep -v '^#' | tr '\n' ,)" "10.0.0.1 100,10.0.0.2 500,10.0.0.3 500,10.0.0.11 500," "order: by time, then by address"
vsmtprelay add ::ffff:10.0.0.4 600
vsmtprelay delete 2001:DB8::9 10.0.0.4 2>/dev/null || true
hasnot "$(vsmtprelay dump)" 10.0.0.4 "a mapped address"
# The three ways to name a box.
vsmtprelay -d "$BOX" list >/dev/null
(unset VPOST_BOX; vsmtprelay -d /nonexistent list >/dev/null 2>&1 && die "no such box") || true
(unset VPOST_BOX; HOME=$BOX vsmtprelay list >/dev/null 2>&1) || true
