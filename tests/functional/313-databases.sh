# shellcheck shell=bash
# Lookups in databases: sqlite, redis, PostgreSQL; what the configuration names and what comes back, servers that are not
# there, kept connections, and that what a sender writes does not get out of its quotes.
. "$(dirname "$0")/../lib/box.sh"
need python3

box_make
REDIS=$((BASE + 41)) PG=$((BASE + 42)) DEAD=$((BASE + 43)) MY=$((BASE + 44)) LDAP=$((BASE + 45)) LDAPS=$((BASE + 46))
D=$BOX/db
mkdir "$D"
LT=
at_end() { kill "$R" "$P" "$M" "$L" $LT 2>/dev/null || true; }
python3 "$TOP/tests/lib/dbstub.py" redis "$REDIS" "$D/redis.log" & R=$!
python3 "$TOP/tests/lib/dbstub.py" pgsql "$PG" "$D/pg.log" & P=$!
python3 "$TOP/tests/lib/dbstub.py" mysql "$MY" "$D/my.log" & M=$!
python3 "$TOP/tests/lib/dbstub.py" ldap "$LDAP" "$D/ldap.log" & L=$!
python3 - "$D/u.sqlite" <<'X'
import sqlite3, sys
c = sqlite3.connect(sys.argv[1])
c.execute("create table u(name text, home text, n int)")
c.executemany("insert into u values(?,?,?)", [("alice", "/home/a", 1), ("o'hara", "/home/o", 2), ("two", "a b", 3), ("two", None, 4)])
c.commit()
X
cat >"$D/exim.conf" <<X
keep_environment =
sqlite_dbfile = $D/u.sqlite
redis_servers = <; 127.0.0.1:$REDIS/7/geheim
mysql_servers = <; 127.0.0.1:$MY/db/user/pass
ldap_default_servers = <; 127.0.0.1:$LDAP
pgsql_servers = <; 127.0.0.1:$DEAD/db/user/pass ; 127.0.0.1:$PG/db/user/pass
X
wait_port "$REDIS"
wait_port "$PG"
wait_port "$MY"
wait_port "$LDAP"
be() { sendmail -C "$D/exim.conf" -be "$@"; }

# sqlite: columns, rows, no rows, a mistake, the file in the lookup, quotes.
eq "$(be "\${lookup sqlite{select home from u where name='alice'}}")" /home/a "sqlite, one column"
eq "$(be "\${lookup sqlite{select name,home from u where n=1}}")" "name=alice home=/home/a " "sqlite, columns"
eq "$(be "\${lookup sqlite{select home from u where name='two' order by n}}")" $'a b\n<NULL>' "sqlite, rows and NULL"
eq "$(be "\${lookup sqlite{select home,n from u where n=3}}")" 'home="a b" n=3 ' "sqlite, a blank"
eq "$(be "\${lookup sqlite{select 1 from u where n=9}{yes}{no}}")" no "sqlite, nothing found"
eq "$(be "\${lookup sqlite,file=$D/u.sqlite{select count(*) from u}}")" 4 "sqlite, file named"
eq "$(be "\${lookup sqlite{select home from u where name='\${quote_sqlite:o'hara}'}}")" /home/o "sqlite, quotes"
eq "$(be "\${lookup sqlite{select home from u where name='\${quote_sqlite:x' or '1'='1}'}{yes}{no}}")" no "sqlite, out of the quotes"
has "$(be "\${lookup sqlite,file=/nonexistent/x{select 1}}")" "unable to open database file" "sqlite, no file"
has "$(be "\${lookup sqlite,file=rel{select 1}}")" "absolute file name expected" "sqlite, relative file"

# redis: the password and the database come first, once for all commands of the process.
eq "$(be "\${lookup redis{get alice}}" "\${lookup redis{get alice}}|\${lookup redis{get nobody}{yes}{no}}|\${lookup redis{get empty}{<\$value>}{no}}")" \
    $'home of alice\nhome of alice|no|<>' "redis, strings"
eq "$(head -n 2 "$D/redis.log" | tr '\n' '|')" "AUTH geheim|SELECT 7|" "redis, the start"
eq "$(grep -c AUTH "$D/redis.log")" 1 "redis, one connection"
eq "$(be "\${lookup redis{smembers x}}")" $'one\ntwo' "redis, a set"
eq "$(be "\${lookup redis{incr x}}")" true "redis, a number"
has "$(be "\${lookup redis{nosuch x}}")" "ERR unknown command" "redis, an error"
has "$(be "\${lookup redis{die}}")" "Failed: lookup of \"die\" gave DEFER" "redis, the connection ends"
be "\${lookup redis{set k \${quote_redis:a b\\\\c}}}" >/dev/null
has "$(cat "$D/redis.log")" 'set k a b\c' "redis, quotes make one word"

# PostgreSQL: the first server is dead, the second answers.
if [ "$(be "\${lookup pgsql{one}}")" = /home/alice ]; then
	eq "$(be "\${lookup pgsql{two}}")" $'name=alice home=/home/a \nname=bob home="" \nname="a b" home=q"q ' "pgsql, rows"
	eq "$(be "\${lookup pgsql{none}{yes}{no}}")" no "pgsql, nothing found"
	has "$(be "\${lookup pgsql{nonsense}}")" "syntax error" "pgsql, a mistake"
	has "$(cat "$D/pg.log")" "user user database db" "pgsql, user and database"
	kill "$P"
	wait "$P" 2>/dev/null || true
	has "$(be "\${lookup pgsql{one}}")" "gave DEFER" "pgsql, nobody is there"
else
	has "$(be "\${lookup pgsql{one}}")" "Failed: " "pgsql without its library"
fi
eq "$(be "\${quote_pgsql:a'b\\\\c}")" "a''b\\\\c" "pgsql, quotes"
eq "$(be "\${quote_mysql:a'b\\\\c}")" "a\\'b\\\\c" "mysql, quotes"
has "$(sendmail -C /dev/null -be "\${lookup mysql{select 1}}")" "no MySQL servers defined (mysql_servers option)" "mysql, no servers"
has "$(be "\${lookup mysql,servers=x{select 1}}")" "Failed: " "mysql, bad servers"
if [ "$(be "\${lookup mysql{one}}")" = /home/alice ]; then
	eq "$(be "\${lookup mysql{two}}")" $'name=alice home=/home/a \nname=bob home="" \nname="a b" home=q"q ' "mysql, rows"
	eq "$(be "\${lookup mysql{none}{yes}{no}}|\${lookup mysql{update}}")" "no|3" "mysql, nothing found, rows changed"
	has "$(be "\${lookup mysql{nonsense}}")" "gave DEFER: MYSQL: query failed: You have an error in your SQL syntax" "mysql, a mistake"
	eq "$(be "\${lookup mysql,servers=127.0.0.1::$MY/db/user/pass{one}}")" /home/alice "mysql, servers named"
	has "$(cat "$D/my.log")" "login user db" "mysql, user and database"
	kill "$M"
	wait "$M" 2>/dev/null || true
	has "$(be "\${lookup mysql{one}}")" "gave DEFER: MYSQL connection failed" "mysql, nobody is there"
else
	has "$(be "\${lookup mysql{one}}")" "Failed: " "mysql without its library"
fi
U="ldap:///dc=x"
if [ "$(be "\${lookup ldap{$U?cn?sub?(uid=alice)}}")" = "Alice A" ]; then
	eq "$(be "\${lookup ldap{ldap://127.0.0.1:$LDAP/dc=x?mail?sub?(uid=alice)}}")" a@x.test,b,,c@x.test "ldap, a server in the URL, values"
	eq "$(be "\${lookup ldap{$U?cn,mail?sub?(uid=alice)}}")" 'cn="Alice A" mail="a@x.test,b,,c@x.test"' "ldap, attributes"
	eq "$(be "\${lookup ldap{$U??sub?(uid=alice)}}")" 'cn="Alice A" mail="a@x.test,b,,c@x.test" n="1"' "ldap, all attributes"
	has "$(be "\${lookup ldap{$U?cn?sub?(uid=*)}}")" "more than one entry (2) was returned" "ldap, two entries"
	eq "$(be "\${lookup ldapm{$U?cn?sub?(uid=*)}}")" $'Alice A\nBob "B"' "ldapm"
	eq "$(be "\${lookup ldapm{$U?cn,mail?sub?(uid=*)}}" | tail -n 1)" 'cn="Bob \"B\"" mail="bob@x.test"' "ldapm, attributes"
	eq "$(be "\${lookup ldapdn{$U?cn?sub?(uid=bob)}}<\$ldap_dn>")" 'uid=bob\, jr,dc=x<uid=bob\, jr,dc=x>' "ldapdn, \$ldap_dn"
	eq "$(be "\${lookup ldap{$U?cn?sub?(uid=ghost)}{yes}{no}}|\${lookup ldap{ldap:///dc=gone?cn?sub?(uid=x)}{yes}{no}}")" "no|no" "ldap, nothing found"
	eq "$(be "\${lookup ldap{user=\"cn=me\" pass=secret time=30 $U?cn?base?(uid=alice)}}")" "Alice A" "ldap, a bind"
	has "$(cat "$D/ldap.log")" "bind <cn=me> <secret>" "ldap, a bind"
	has "$(be "\${lookup ldap{user=\"cn=me\" pass=wrong $U?cn?base?(uid=alice)}}")" "LDAP error 49" "ldap, a wrong password"
	eq "$(be "\${if ldapauth{user=\"cn=me\" pass=good ldap:///}{yes}{no}}\${if ldapauth{user=\"cn=me\" pass=wrong ldap:///}{yes}{no}}\
\${if ldapauth{user=\"cn=me\" pass=\"\" ldap:///}{yes}{no}}")" yesnono ldapauth
	# ldap_default_servers: the first of them is dead.  ldap_version: as the bind says it.
	sed "s/^ldap_default_servers = .*/ldap_default_servers = <; 127.0.0.1:$DEAD ; 127.0.0.1:$LDAP/" "$D/exim.conf" >"$D/two.conf"
	eq "$(sendmail -C "$D/two.conf" -be "\${lookup ldap{$U?cn?sub?(uid=alice)}}")" "Alice A" "ldap_default_servers, the second"
	: >"$D/ldap.log"
	be "\${lookup ldap{$U?cn?sub?(uid=alice)}}" >/dev/null
	{ cat "$D/exim.conf"; echo "ldap_version = 2"; } >"$D/v2.conf"
	sendmail -C "$D/v2.conf" -be "\${lookup ldap{$U?cn?sub?(uid=alice)}}" >/dev/null
	eq "$(grep version "$D/ldap.log" | sort -u | tr '\n' ' ')" "version 2 version 3 " ldap_version
	# ldap_start_tls and what goes with it.
	openssl req -x509 -newkey rsa:2048 -nodes -keyout "$D/ca.key" -out "$D/ca.crt" -subj "/CN=ca.test" -days 30 2>/dev/null
	for n in 127.0.0.1 client.test; do
		openssl req -newkey rsa:2048 -nodes -keyout "$D/$n.key" -out "$D/$n.csr" -subj "/CN=$n" 2>/dev/null
		printf 'subjectAltName=%s' "$([ $n = client.test ] && echo DNS:client.test || echo IP:127.0.0.1)" >"$D/ext"
		openssl x509 -req -in "$D/$n.csr" -CA "$D/ca.crt" -CAkey "$D/ca.key" -CAcreateserial -days 30 -extfile "$D/ext" -out "$D/$n.crt" 2>/dev/null
	done
	mkdir "$D/cas"
	cp "$D/ca.crt" "$D/cas/$(openssl x509 -hash -noout -in "$D/ca.crt").0"
	python3 "$TOP/tests/lib/dbstub.py" ldap "$LDAPS" "$D/ldaps.log" "$D/127.0.0.1.crt" "$D/127.0.0.1.key" "$D/ca.crt" & LT=$!
	wait_port "$LDAPS"
	# secure OPTION...: a look-up with StartTLS and these options.
	secure() {
		: >"$D/ldaps.log"
		printf '%s\n' "keep_environment =" "ldap_default_servers = <; 127.0.0.1:$LDAPS" "ldap_start_tls" "$@" >"$D/tls.conf"
		sendmail -C "$D/tls.conf" -be "\${lookup ldap{$U?cn?sub?(uid=alice)}}"
	}
	eq "$(secure "ldap_ca_cert_file = $D/ca.crt" "ldap_require_cert = demand")" "Alice A" "ldap_start_tls, ldap_ca_cert_file"
	has "$(cat "$D/ldaps.log")" "starttls" ldap_start_tls
	has "$(cat "$D/ldaps.log")" "client none" "no certificate of ours"
	has "$(secure "ldap_require_cert = demand")" "failed to initiate TLS processing" "ldap_require_cert = demand without a CA"
	eq "$(secure "ldap_require_cert = never")" "Alice A" "ldap_require_cert = never"
	eq "$(secure "ldap_ca_cert_dir = $D/cas" "ldap_require_cert = hard")" "Alice A" "ldap_ca_cert_dir"
	has "$(secure "ldap_ca_cert_file = $D/client.test.crt" "ldap_require_cert = hard")" "failed to initiate TLS" "another CA"
	eq "$(secure "ldap_require_cert = never" "ldap_cert_file = $D/client.test.crt" "ldap_cert_key = $D/client.test.key")" "Alice A" "our certificate"
	has "$(cat "$D/ldaps.log")" "client client.test" "ldap_cert_file, ldap_cert_key"
	# The library of the system may be built with either of two TLS libraries, each with its own words for ciphers.
	for s in "SECURE256:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+AES-256-CBC:-MAC-ALL:+SHA1:+SHA384" "ECDHE-RSA-AES256-SHA384:AES256-SHA"; do
		secure "ldap_require_cert = never" "ldap_cipher_suite = $s" >"$D/out" || true
		echo "$s: $(grep '^tls' "$D/ldaps.log") $(cat "$D/out")" >>"$D/ciphers"
	done
	grep -q ': .*tls .*AES256-SHA.* Alice A' "$D/ciphers" || die "ldap_cipher_suite: $(cat "$D/ciphers")"
	kill "$LT"
	has "$(be "\${lookup ldap{nonsense=1 $U}}")" 'unknown parameter "nonsense=" precedes LDAP URL' "ldap, a mistake"
else
	has "$(be "\${lookup ldap{$U?cn?sub?(uid=alice)}}")" "Failed: " "ldap without its library"
fi
eq "$(be "\${quote_ldap:a(b)*x y}|\${quote_ldap_dn:a,b +x}")" 'a%5C28b%5C29%5C2Ax%20y|a%5C%2Cb%20%5C+x' "ldap, quotes"
# Indexed files: with and without the NUL behind keys, joined keys; defaults and partial keys in them as in other files.
if command -v db5.3_load >/dev/null; then
	printf 'VERSION=3\nformat=print\ntype=hash\nHEADER=END\n alice\\00\n plain nul\\00\n a\\00b\n joined\n bob\n no nul\n *\\00\n star\n *.sub.test\\00\n part\nDATA=END\n' |
	    db5.3_load "$D/j.db"
	eq "$(be "\${lookup{alice}dbm{$D/j.db}}|\${lookup{bob}dbm{$D/j.db}{yes}{no}}|\${lookup{bob}dbmnz{$D/j.db}}|\${lookup{a:b}dbmjz{$D/j.db}}")" \
	    "plain nul|no|no nul|joined" "dbm, dbmnz, dbmjz"
	eq "$(be "\${lookup{x}dbm*{$D/j.db}}|\${lookup{q.sub.test}partial-dbm{$D/j.db}}")" "star|part" "dbm, defaults"
fi
printf 'alice home of a\n* star\n*.sub.test part\n' | makemap cdb "$D/m"
eq "$(be "\${lookup{alice}cdb{$D/m.cdb}}|\${lookup{x}cdb{$D/m.cdb}{yes}{no}}|\${lookup{x}cdb*{$D/m.cdb}}|\${lookup{q.sub.test}partial-cdb,ret=key{$D/m.cdb}}")" \
    "home of a|no|star|q.sub.test" cdb
has "$(be "\${lookup{x}cdb{$D/none.cdb}}" "\${lookup{x}dbm{$D/none}}")" "failed to open $D/none.cdb for cdb lookup: No such file" "cdb, no file"
has "$(be "\${lookup{x}nis{passwd.byname}}" "\${lookup{x}nis0{passwd.byname}}")" "Failed: failed to get default NIS domain" "nis"
has "$(be "\${lookup ldap{ldap://127.0.0.1:$DEAD/dc=x?cn?sub?(a=b)}}")" "gave DEFER" "ldap, nobody is there"
has "$(be "\${lookup ldap{nonsense}}")" "Failed: " "ldap, no URL"
has "$(be "\${lookup lmdb{x}{$D/none}}" "\${lookup{x}lmdb{$D/none}}")" "LMDB: Unable to open environment" "lmdb, no file"
