# shellcheck shell=bash
# makemap beside sendmail's: the same answers, exit codes and contents; each reads what the other writes; and so with
# Postfix's postmap (S3-18, S3-27).
. "$(dirname "$0")/../lib/box.sh"

PEERS=${VPOST_PEERROOT:-/opt/peers}
SM=$PEERS/sendmail/usr/libexec/sendmail/makemap
POSTMAP=$(command -v postmap || echo "$PEERS/postfix/usr/sbin/postmap")
# The unpacked one looks for its libraries where the package would have put them.
postmap() { LD_LIBRARY_PATH=$PEERS/postfix/usr/lib/postfix "$POSTMAP" "$@"; }
[ -x "$SM" ] || skip "sendmail's makemap is not in $PEERS/sendmail"
[ -x "$POSTMAP" ] || skip "Postfix's postmap is not installed"
cd "$T"
: >cf
# Users that each Debian has; the package would make its own.
printf 'compatibility_level=3.6\nqueue_directory=%s\ninet_protocols=ipv4\nmail_owner=daemon\nsetgid_group=mail\ndefault_privs=nobody\n' "$T" >main.cf
sm() { "$SM" -C "$T/cf" "$@"; }

# both IN OPTIONS... : run both with the same input on maps named "m", each in a folder of its own; compare all there is.
mkdir -p ours theirs
both() {
	local in=$1 a=0 b=0
	shift
	(cd ours && makemap -C "$T/cf" "$@" <"$in" >../o.out 2>../o.err) || a=$?
	(cd theirs && sm "$@" <"$in" >../t.out 2>../t.err) || b=$?
	eq "$a" "$b" "exit code of makemap $*"
	cmp -s o.err t.err || die "messages of makemap $*: $(diff t.err o.err)"
	sort o.out >o.s
	sort t.out >t.s
	cmp -s o.s t.s || die "output of makemap $*: $(diff t.s o.s)"
}
same_content() { # TYPE
	makemap -u "$1" ours/m | sort >o.s
	sm -u "$1" theirs/m | sort >t.s
	cmp -s o.s t.s || die "contents after makemap $*: $(diff t.s o.s)"
	sm -u "$1" ours/m | sort | cmp -s - o.s || die "sendmail's makemap does not read ours ($1)"
	makemap -u "$1" theirs/m | sort | cmp -s - t.s || die "ours does not read sendmail's ($1)"
}

printf 'foo:\tbar\nfoo\tbaz\nx\nkey val ue \nFOO dup\n# c\n lead\n\nKey2\t\t v\n;semi x\n' >"$T/odd"
printf 'a 1\nb 2\na 3\n' >"$T/twice"
printf 'a:b c\n:x\nq:\nA:z\n' >"$T/colons"
: >"$T/nothing"
awk 'BEGIN{for(i=0;i<20000;i++) printf "User%d.%x@domain%d.example.org\tmailbox%d@store%d.example.net\n", i, (i*2654435761)%4294967296, i%1000, i, i%50}' >"$T/many"
{ printf 'long '; head -c 900 /dev/zero | tr '\0' v; echo; } >"$T/long"

for type in hash btree; do
	for in in odd nothing many long; do both "$T/$in" $type m; same_content $type; done
	both "$T/twice" $type m; same_content $type
	both "$T/twice" -d $type m; same_content $type
	both "$T/twice" -r $type m; same_content $type
	both "$T/odd" -o $type m; same_content $type
	both "$T/odd" -o -r $type m; same_content $type
	both "$T/odd" -f $type m; same_content $type
	both "$T/odd" -e $type m; same_content $type
	both "$T/odd" -v $type m; same_content $type
	both "$T/odd" -D ';' $type m; same_content $type
	both "$T/colons" -t : $type m; same_content $type
	both "$T/odd" -s -c 100000 $type m.db; same_content $type
	both "$T/twice" -N $type m
	eq "$(sm -u $type ours/m | tr -d '\0')" "$(makemap -u $type theirs/m)" "maps with NULs"
	both "$T/nothing" -u $type m
	both "$T/nothing" -t : -u $type m
done
# Modes are those of the file that was there; a new one gets sendmail's.
eq "$(stat -c %a ours/m.db)" 640 "mode of a new map"
chmod 604 ours/m.db
(cd ours && makemap hash m <"$T/many")
eq "$(stat -c %a ours/m.db)" 604 "mode of a map built anew"
db5.3_verify -q ours/m.db || die "db_verify of ours"
# Mistakes.
for args in "hash" "-Q hash m" "" "hash m x" "foo m" "sdbm m" "hash /nonexistent/m" "-o hash absent" "-u hash absent"; do
	a=0 b=0
	# shellcheck disable=SC2086
	(cd ours && makemap -C "$T/cf" $args <"$T/odd" >/dev/null 2>../o.err) || a=$?
	# shellcheck disable=SC2086
	(cd theirs && sm $args <"$T/odd" >/dev/null 2>../t.err) || b=$?
	eq "$a" "$b" "exit code of makemap $args"
done
echo not-a-map >ours/bad.db
makemap -u hash ours/bad >/dev/null 2>o.err && die "a broken map was read"
has "$(cat o.err)" "error opening type hash map ours/bad" "message for a broken map"
eq "$(makemap -l)" "hash
btree
cdb
implicit" "-l"
# cdb: tinycdb's own program reads it.
makemap cdb c <"$T/twice" 2>/dev/null || true
makemap -u cdb c | sort | cmp -s - <(printf 'a\t1\nb\t2\n') || die "cdb"
! command -v cdb >/dev/null || eq "$(cdb -q c.cdb b)" 2 "cdb -q"
# A killed makemap leaves the old map.
makemap hash k <"$T/twice" 2>/dev/null || true
before=$(md5sum <k.db)
(cat "$T/many"; sleep 15) | makemap hash k &
pid=$!
sleep 0.5
kill -KILL "$pid" 2>/dev/null || true
wait "$pid" 2>/dev/null || true
eq "$(md5sum <k.db)" "$before" "the map after a kill"

# postmap: its maps carry a NUL behind keys and values, or not, by how it was built.
grep -v '^$' "$T/many" | tr 'A-Z' 'a-z' >pm
postmap -c "$T" "hash:pm"
postmap -c "$T" "btree:$T/pm" && makemap -u btree pm | sort >o.s
sort pm | cmp -s - o.s || die "ours does not read postmap's btree"
postmap -c "$T" "hash:pm" && makemap -u hash pm | sort | cmp -s - o.s || die "ours does not read postmap's hash"
makemap hash our <pm
: >our
head -n 500 pm | cut -f1 | postmap -c "$T" -q - "hash:$T/our" | cmp -s - <(head -n 500 pm) || die "postmap does not read ours"
makemap -N hash our <pm
head -n 500 pm | cut -f1 | postmap -c "$T" -q - "hash:$T/our" | cmp -s - <(head -n 500 pm) || die "postmap does not read ours with NULs"

# The relay map: dump, sendmail's makemap in place, dump.
box_make
vsmtprelay add 10.11.12.13 906502527
vsmtprelay add 2001:db8::1
vsmtprelay dump >"$BOX/etc/relayers"
sm hash "$BOX/etc/relayers.db" <"$BOX/etc/relayers"
vsmtprelay dump | cmp -s - "$BOX/etc/relayers" || die "the relay map after sendmail's makemap"
vsmtprelay add 10.1.1.1
eq "$(sm -u hash "$BOX/etc/relayers" | wc -l)" 3 "entries after an update of ours"
