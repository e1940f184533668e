# shellcheck shell=bash
# Lookups in databases: sqlite, redis, PostgreSQL; what the configuration names and what comes back, servers that are not
# there, kept connections, and that what a sender writes does not get out of its quotes.
. "$(dirname "$0")/../lib/box.sh"
need python3

box_make
REDIS=$((BASE + 41)) PG=$((BASE + 42)) DEAD=$((BASE + 43))
D=$BOX/db
mkdir "$D"
at_end() { kill "$R" "$P" 2>/dev/null || true; }
python3 "$TOP/tests/lib/dbstub.py" redis "$REDIS" "$D/redis.log" & R=$!
python3 "$TOP/tests/lib/dbstub.py" pgsql "$PG" "$D/pg.log" & P=$!
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
pgsql_servers = <; 127.0.0.1:$DEAD/db/user/pass ; 127.0.0.1:$PG/db/user/pass
X
wait_port "$REDIS"
wait_port "$PG"
be() { sendmail -C "$D/exim.conf" -be "$@"; }

# sqlite: columns, rows, no rows, a mistake, the file in the lookup, quotes.
eq "$(be "\${lookup sqlite{select home from u where name='alice'}}")" /home/a "sqlite, one column"
eq "$(be "\${lookup sqlite{select name,home from u where n=1}}")" "name=alice home=/home/a " "sqlite, columns"
eq "$(be "\${lookup sqlite{select home from u where name='two' order by n}}")" "a b" "sqlite, rows and NULL"
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
has "$(be "\${lookup mysql{select 1}}")" "no MySQL servers defined (mysql_servers option)" "mysql, no servers"
has "$(be "\${lookup mysql,servers=x{select 1}}")" "Failed: " "mysql, bad servers"
has "$(be "\${lookup ldap{ldap://127.0.0.1:$DEAD/dc=x?cn?sub?(a=b)}}")" "gave DEFER" "ldap, nobody is there"
has "$(be "\${lookup ldap{nonsense}}")" "Failed: " "ldap, no URL"
has "$(be "\${lookup lmdb{x}{$D/none}}" "\${lookup{x}lmdb{$D/none}}")" "LMDB: Unable to open environment" "lmdb, no file"
