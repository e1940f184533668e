# shellcheck shell=bash
# What a process of its own for each command has: functions of shared objects (${dlfunc), DBM files that SQLite keeps, lookups that are
# kept or not (cache=), directories searched by a path; and the spool file of another program, of whom nothing is lost.
. "$(dirname "$0")/../lib/box.sh"
need python3
D=$T/d
mkdir -p "$D/dir/sub/deeper" "$D/spool/input"
touch "$D/dir/sub/file"
cat >"$D/exim.conf" <<X
keep_environment =
exim_user = 1
primary_hostname = host.test
spool_directory = $D/spool
log_file_path = $D/%slog
queue_only
acl_smtp_mail = mail
acl_smtp_rcpt = accept
begin acl
mail:
  deny sender_domains = asks.test
       message = id=\$authenticated_id sender=\$authenticated_sender
  accept
X
be() { sendmail -C "$D/exim.conf" -be "$@" 2>&1; }

# A function gets its arguments, and what it returns decides.
if command -v gcc >/dev/null; then
	gcc -shared -fPIC -x c - -o "$D/fn.so" <<'X'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static char room[100];
static int calls;
int joined(unsigned char **yield, int argc, unsigned char *argv[])
{
	snprintf(room, sizeof(room), "%d:%s:%d", argc, argc > 0 ? (char *)argv[argc - 1] : "", ++calls);
	puts("not for the client");
	*yield = (unsigned char *)room;
	return (0);
}
int silent(unsigned char **yield, int argc, unsigned char *argv[]) { (void)yield; (void)argc; (void)argv; return (0); }
int returns(unsigned char **yield, int argc, unsigned char *argv[])
{
	*yield = argc > 1 ? argv[1] : NULL;
	return (atoi((char *)argv[0]));
}
int starts(unsigned char **yield, int argc, unsigned char *argv[])
{
	(void)argc;
	(void)argv;
	*yield = (unsigned char *)"started";
	return (system("sleep 30 >/dev/null 2>&1 &"));
}
int huge(unsigned char **yield, int argc, unsigned char *argv[])
{
	(void)argv;
	*yield = calloc(1, 1048577 + argc);
	memset(*yield, 'x', 1048576 + argc);
	return (0);
}
int dies(unsigned char **yield, int argc, unsigned char *argv[]) { (void)yield; (void)argc; (void)argv; abort(); }
X
	F="dlfunc{$D/fn.so}"
	eq "$(be "\${$F{joined}{a}{b c}}" "\${$F{joined}}")" $'2:b c:1\n0::1' "arguments, and a process for each call"
	eq "$(be "[\${$F{silent}}]")" "[]" "no text is an empty one"
	eq "$(be "\${$F{returns}{2}{so}}" "\${$F{returns}{2}}")" $'Failed: so\nFailed: (no message)' "failure"
	eq "$(be "\${$F{returns}{4}{forced}}")" "Failed: forced" "forced failure"
	has "$(be "\${$F{returns}{3}{broken}}")" "Failed: broken" "error"
	has "$(cat "$D/mainlog" "$D/paniclog" 2>/dev/null || be "\${$F{returns}{3}{broken}}")" "failed (3): broken" "an error is told in the log"
	has "$(be "\${$F{dies}}")" "it died" "a crash is the function's own"
	eq "$(timeout 20 sendmail -C "$D/exim.conf" -be "\${$F{starts}}")" started "a program that goes on keeps nobody waiting"
	eq "$(be "\${length_3:\${$F{huge}}}" "\${$F{huge}{a}}")" $'xxx\nFailed: dlfunc{'"$D/fn.so}{huge}: its text is too long" "a text of a megabyte, and a byte more"
	has "$(be "\${$F{nothing}}")" "dlsym \"nothing\" in \"$D/fn.so\" failed: " "no such function"
fi
has "$(be "\${dlfunc{$D/none.so}{f}}")" "Failed: dlopen \"$D/none.so\" failed: $D/none.so: cannot open shared object file" "no such object"

# DBM of both forms, with the NUL of a C string or without.
python3 - "$D" <<'X'
import sqlite3, sys
for name, table, kind, rows in (
    ('new', 'tblblob', 'BLOB', [(b'k\0', b'with\0'), (b'k', b'without'), (b'a\0b', b'parts')]),
    ('old', 'tbl', 'TEXT', [('k+00', b'with'), ('k', b'without'), ('a+00b', b'parts'), ('+2B+3D', b'xtext')])):
    with sqlite3.connect(sys.argv[1] + '/' + name) as c:
        c.execute(f'create table {table} (ky {kind} primary key, dat blob)')
        c.executemany(f'insert into {table} values (?, ?)', rows)
X
for f in new old; do
	eq "$(be "\${lookup{k}dbm{$D/$f}}|\${lookup{k}dbmnz{$D/$f}}|\${lookup{a:b}dbmjz{$D/$f}}|\${lookup{x}dbm{$D/$f}{y}{n}}")" "with|without|parts|n" "dbm of SQLite, $f"
done
eq "$(be "\${lookup{+=}dbmnz{$D/old}}")" xtext "dbm of SQLite, other bytes"
head -c 200 /dev/zero >"$D/neither"
has "$(be "\${lookup{k}dbm{$D/neither}}")" "Failed: failed to open $D/neither as a db" "no DBM at all"

# Several components where the key may be a path; never upwards, never relative.
eq "$(be "\${lookup{sub/file}dsearch,key=path{$D/dir}}|\${lookup{sub/deeper}dsearch,key=path,filter=dir,ret=full{$D/dir}}|\${lookup{sub/no}dsearch,key=path{$D/dir}{y}{n}}")" \
    "sub/file|$D/dir/sub/deeper|n" "dsearch by path"
for key in sub/../sub ../dir /sub; do
	has "$(be "\${lookup{$key}dsearch,key=path{$D/dir}}")" "gave DEFER: key for dsearch lookup contains a slash" "dsearch upwards"
done
has "$(be "\${lookup{sub}dsearch{dir}}")" "dirname 'dir' for dsearch is not absolute" "a relative directory"

# One process keeps what it found, unless cache= says not to read or not to write that.
kept() { be "\${lookup{f}dsearch$1{$D/dir}{y}{n}}" "\${run{/bin/touch $D/dir/f}}\${lookup{f}dsearch$2{$D/dir}{y}{n}}" \
    "\${run{/bin/rm $D/dir/f}}\${lookup{f}dsearch{$D/dir}{y}{n}}" | tr -d '\n'; rm -f "$D/dir/f"; }
eq "$(kept "" "")" nnn "kept"
eq "$(kept "" ,cache=no_rd)" nyy "no_rd writes"
eq "$(kept "" ,cache=no)" nyn "no does neither"
eq "$(kept ,cache=no_wr "")" nyy "no_wr reads only"

# A message of another program: what it says of TLS is known, what nobody knows here is still there when the file is written anew.
id=1i2t1o-0000cD-CV
printf '%s-D\nbody\n' $id >"$D/spool/input/$id-D"
{
	printf '%s-H\nroot 0 0\n<a@b.test>\n1566979804 0\n' $id
	printf -- '-ident root\n-received_protocol local\n-body_linecount 1\n-allow_unqualified_sender\n-local\n-new_thing with a value\n'
	printf -- '-tls_cipher TLS1.3:X:256\n--tls_sni se\\040en\n-tls_peerdn O=\\303\\244\\\\,CN=x\\\nXX\n1\nc@d.test\n\n'
	printf '017F From: <a@b.test>\n013  Subject: any\n'
} >"$D/spool/input/$id-H"
ask() { sendmail -C "$D/exim.conf" -Mset $id -be "$@" 2>&1; }
eq "$(ask '$tls_in_cipher|$tls_in_sni|$tls_in_peerdn|$h_subject:')" 'TLS1.3:X:256|se en|O=ä\,CN=x\|any' "what the spool says of TLS"
sendmail -C "$D/exim.conf" -Mf $id >/dev/null 2>&1
H=$(cat "$D/spool/input/$id-H")
for x in '-new_thing with a value' '-tls_cipher TLS1.3:X:256' '--tls_sni se\040en' $'\n-local\n' '-frozen'; do has "$H" "$x" "written anew"; done
eq "$(grep -c '^-local$' "$D/spool/input/$id-H")" 1 "each of them once"

# -bs of somebody who is not trusted: he is who he is; longest lines are those that came.
printf 'HELO x\r\nMAIL FROM:<u@asks.test>\r\nMAIL FROM:<u@other.test>\r\nRCPT TO:<v@other.test>\r\nDATA\r\nSubject: s\r\n\r\n0123456789abcdef\r\n.\r\nQUIT\r\n' |
    sendmail -C "$D/exim.conf" -bs >"$D/said"
has "$(cat "$D/said")" "550 id=$(id -un) sender="$'\r' "who he is in an ACL"
new=$(basename "$(find "$D/spool/input" -name '*-H' ! -name "$id*")")
has "$(cat "$D/spool/input/$new")" $'\n-max_received_linelength 16\n-auth_id '"$(id -un)"$'\n-allow_unqualified_recipient\n' "what is written"
hasnot() { case $1 in *"$2"*) die "$3 has '$2'" ;; esac; }
hasnot "$(cat "$D/spool/input/$new")" auth_sender "the spool file"
echo ok
