# shellcheck shell=bash
# A box that root started: who the processes are, what `vpost check` and `vpost start` say when the user of the daemons is
# missing or does not own the box, and mail all the way, also after root used the tools.
NEED_ROOT=1 NEED_NET=1
. "$(dirname "$0")/../lib/box.sh"

chmod 755 "$T"
box_make
conf "user = nosuchuser"
vpost check "$BOX" >"$T/out" && die "check is content without a user"
has "$(cat "$T/out")" "useradd -r -M -s /usr/sbin/nologin nosuchuser"
vpost run "$BOX" >"$T/out" 2>&1 && die "it runs without a user"
has "$(cat "$T/out")" 'there is no user "nosuchuser"'

conf "user = daemon"
chown -R root "$BOX"
vpost check "$BOX" >"$T/out" && die "check is content with root's files"
has "$(cat "$T/out")" "chown -R daemon $BOX"
chown -R daemon: "$BOX"
box_users joe
vpost check "$BOX" >"$T/out" || { cat "$T/out"; die "vpost check"; }

# Root's tools leave maps that the daemons can write.
vsmtprelay add 10.11.12.13
echo "bad@spam.test" >>"$BOX/etc/spammers"
vnewspammers
for f in relayers.db spammers.db vusers vusers.db aliases.db; do eq "$(stat -c %U "$BOX/etc/$f")" daemon "owner of $f"; done

box_start
for d in vstored vqueued vsmtpd vpop3d vimapd; do eq "$(stat -c %U "/proc/$(daemon_pid $d)")" daemon "uid of $d"; done
# Those that must see secrets or become users keep root in one process; what talks to others does not.
for d in vauthd vlocald; do eq "$(stat -c %U "/proc/$(daemon_pid $d)")" root "uid of $d"; done
eq "$(ps -o user= -p "$(pgrep -d, -P "$(daemon_pid vauthd)")" | sort -u | tr -d "\n ")" daemon "uid of vauthd's server"
mt send "$SMTP" someone@out.test joe@local.test --file "$TOP/tests/data/1-plain.eml" || die "send"
in_box() { [ "$(mt pop "$POP3" joe pw-joe count)" = "$1" ]; }
wait_for 10 in_box 1
has "$(vsmtprelay dump)" "127.0.0.1 " "the login's entry beside root's"
has "$(vsmtprelay dump)" "10.11.12.13 "
[ -z "$(find "$BOX/var/mail" "$BOX/var/spool" ! -user daemon | head -n 3)" ] || die "files of somebody else in the store or the spool"

# A box's configuration includes nothing that only root may read, nor is it a link to that, nor are its keys.
echo 'root:topsecret' >"$T/private"; chmod 600 "$T/private"
for d in vsmtpd vqueued; do
	sed -i "1i .include $T/private" "$BOX/etc/exim.conf"
	$d -n -b "$BOX" >"$T/out" 2>&1 && die "$d reads what only root may"
	has "$(cat "$T/out")" "Permission denied" "$d and an included file of root's"
	hasnot "$(cat "$T/out")" "topsecret" "$d and an included file of root's"
	vpost check "$BOX" >"$T/out" 2>&1 && die "vpost check is content with what the daemons cannot read"
	has "$(cat "$T/out")" "Permission denied" "vpost check and an included file of root's"
	sed -i 1d "$BOX/etc/exim.conf"
	mv "$BOX/etc/vpost.conf" "$T/vpost.conf"
	setpriv --reuid daemon --regid daemon --clear-groups ln -s "$T/private" "$BOX/etc/vpost.conf"
	$d -n -b "$BOX" >"$T/out" 2>&1 && die "$d reads by a link what only root may"
	hasnot "$(cat "$T/out")" "topsecret" "$d and a link to a file of root's"
	rm "$BOX/etc/vpost.conf"; mv "$T/vpost.conf" "$BOX/etc/vpost.conf"
done
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=other.test -keyout "$T/key" -out "$T/crt" 2>/dev/null
chmod 600 "$T/key"
sed -i "1i tls_certificate = $T/crt\ntls_privatekey = $T/key" "$BOX/etc/exim.conf"
vsmtpd -n -b "$BOX" >"$T/out" 2>&1 || true
has "$(cat "$T/out")" "$T/key" "vsmtpd and a key of root's"
sed -i 1,2d "$BOX/etc/exim.conf"
vsmtpd -n -b "$BOX" >"$T/out" 2>&1 || die "vsmtpd -n: $(cat "$T/out")"

as_daemon() { setpriv --reuid daemon --regid daemon --clear-groups "$@"; }

# What it runs while it is read, or looked at, runs as the box's user for good: a shell gives itself its real uid back.
printf '#!/bin/sh\ngrep -h "^[UG]id" /proc/self/status >>%s/var/run/ids\n' "$BOX" | as_daemon tee "$BOX/etc/ids" >/dev/null
as_daemon chmod 755 "$BOX/etc/ids"
only_daemon() {
	[ -s "$BOX/var/run/ids" ] || die "$1: the program did not run"
	[ -z "$(awk -v u="$(id -u daemon)" '/^Uid/ && ($2 != u || $3 != u || $4 != u)' "$BOX/var/run/ids")" ] ||
		die "$1: a program of the configuration had root's rights: $(cat "$BOX/var/run/ids")"
	as_daemon rm -f "$BOX/var/run/ids"
}
cp -p "$BOX/etc/exim.conf" "$T/exim.conf"
sed -i "1i log_file_path = $BOX/var/log/\${run{$BOX/etc/ids}{}{}}%slog" "$BOX/etc/exim.conf"
vsmtpd -n -b "$BOX" && vqueued -n -b "$BOX" || die "-n"
only_daemon "-n"
vpost check "$BOX" >/dev/null || die "vpost check"
only_daemon "vpost check"
vpost explain joe@local.test <"$TOP/tests/data/1-plain.eml" >/dev/null || die "vpost explain"
only_daemon "vpost explain"
VPOST_BOX="$BOX" sendmail -bP spool_directory >/dev/null || die "sendmail -bP"
VPOST_BOX="$BOX" sendmail -be "\${run{$BOX/etc/ids}{}{}}" >/dev/null || die "sendmail -be"
only_daemon "sendmail"
# So do lookups, and root's files are not read, though somebody's own are: what is in them could go anywhere.
mkdir "$T/roots" "$T/joes"
echo joes >"$T/joes/file"; chown -R 65432 "$T/joes"; chmod 700 "$T/joes"
eq "$(VPOST_BOX="$BOX" sendmail -be "\${lookup sqlite,file=$T/roots/a{create table t(x)}{made}{not}}" "\${if exists{$T/joes/file}{there}{not}}" "\${readfile{$T/joes/file}{}}")" \
    $'Failed: unable to open database file\nthere\njoes' "sendmail -be, a database and files"
has "$(VPOST_BOX="$BOX" sendmail -be "\${readfile{$T/private}}")" "Permission denied" "sendmail -be and a file of root's"
has "$(VPOST_BOX="$BOX" sendmail -be "\${lookup{root}lsearch{$T/private}}")" "Permission denied" "sendmail -be and a map of root's"
cp -p "$BOX/etc/exim.conf" "$T/before.conf"
sed -i "s|^begin routers|&\nodd:\n  driver = redirect\n  data = \${lookup sqlite,file=$T/roots/b{create table t(x)}{a@x.test}{b@x.test}}\n|" "$BOX/etc/exim.conf"
VPOST_BOX="$BOX" sendmail -bt joe@local.test >"$T/out" 2>&1 || true
vpost explain joe@local.test <"$TOP/tests/data/1-plain.eml" >>"$T/out" 2>&1 || true
eq "$(grep -c "cannot be resolved\|unable to open database file" "$T/out")" 2 "sendmail -bt and vpost explain: $(cat "$T/out")"
eq "$(find "$T/roots" -type f)" "" "files that a lookup left in a directory of root's"
cp -p "$T/before.conf" "$BOX/etc/exim.conf"
# So do functions of shared objects.
cc -shared -fPIC -x c -o "$BOX/etc/ids.so" - <<C
#include <stdlib.h>
#include <unistd.h>
int
ids(unsigned char **yield, int argc, unsigned char *argv[])
{
	(void)argc, (void)argv;
	*yield = (unsigned char *)"told";
	(void)!setresuid(-1, 0, -1);
	return (system("cat /proc/\$PPID/status | grep '^[UG]id' >>$BOX/var/run/ids") == 0 ? 0 : 2);
}
C
eq "$(VPOST_BOX="$BOX" sendmail -be "\${dlfunc{$BOX/etc/ids.so}{ids}}")" told "sendmail -be and dlfunc"
only_daemon "sendmail and dlfunc"
cp -p "$T/exim.conf" "$BOX/etc/exim.conf"
sed -i "1i log_file_path = $BOX/var/log/\${if eq{\${dlfunc{$BOX/etc/ids.so}{ids}}}{}{}{}}%slog" "$BOX/etc/exim.conf"
vsmtpd -n -b "$BOX" || die "vsmtpd -n and dlfunc"
only_daemon "vsmtpd and dlfunc"
cp -p "$T/exim.conf" "$BOX/etc/exim.conf"

# What the box's user puts in root's way is not followed: a link instead of a pid file or of a log.
box_stop
echo precious >"$T/precious"; chmod 600 "$T/precious"
as_daemon rm -f "$BOX/var/run/vsmtpd.pid" "$BOX/var/log/rejectlog"
as_daemon ln -s "$T/precious" "$BOX/var/run/vsmtpd.pid"
vpost run "$BOX" >"$T/run2.log" 2>&1 & PIDS="$PIDS $!" RUN=$!
sleep 1.5
box_stop
as_daemon rm -f "$BOX/var/run/vsmtpd.pid"
as_daemon ln -sf "$T/new" "$BOX/var/log/rejectlog"
vpost run "$BOX" >"$T/run2.log" 2>&1 & PIDS="$PIDS $!" RUN=$!
sleep 1
box_stop
as_daemon rm -f "$BOX/var/log/rejectlog"
eq "$(cat "$T/precious")" precious "the file behind the link"
eq "$(stat -c '%a %U' "$T/precious")" "600 root" "the file behind the link"
[ ! -e "$T/new" ] || die "root made a file behind a link"

# Nor is what his configuration names as its own pid file or process log written or removed by root.
sed -i "1i pid_file_path = $T/precious\nprocess_log_path = $T/precious" "$BOX/etc/exim.conf"
box_start
kill -USR1 "$(daemon_pid vsmtpd)"
sleep 0.5
box_stop
eq "$(cat "$T/precious")" precious "the file that the configuration names"
cp -p "$T/exim.conf" "$BOX/etc/exim.conf"

# Rotation: the new files are the box's user's again, and all write there.
box_start
for f in vpost.log mainlog rejectlog; do mv "$BOX/var/log/$f" "$BOX/var/log/$f.1"; done
for d in vstored vauthd vlocald vqueued vsmtpd vpop3d vimapd; do kill -USR1 "$(daemon_pid $d)"; done
new_logs() { [ -e "$BOX/var/log/mainlog" ] && [ -e "$BOX/var/log/vpost.log" ]; }
wait_for 5 new_logs
mt send "$SMTP" someone@out.test joe@local.test --file "$TOP/tests/data/1-plain.eml" || die "send"
wait_for 10 grep -q Completed "$BOX/var/log/mainlog"
eq "$(stat -c %U "$BOX/var/log/mainlog" "$BOX/var/log/vpost.log" | sort -u)" daemon "owner of the new logs"

# A number of long ago in a pid file is nobody's.
box_stop
sleep 60 & OTHER=$!
PIDS="$PIDS $OTHER"
echo $OTHER | as_daemon tee "$BOX/var/run/vpost.pid" >/dev/null
has "$(vpost run -k "$BOX")" "does not run"
kill -0 $OTHER || die "vpost stop ended somebody else's process"
# Nor does a lock make the number true.
as_daemon sh -c "exec flock -x '$BOX/var/run/vpost.pid' sleep 20" &
HOLDER=$!
sleep 0.3
has "$(vpost run -k "$BOX" || true)" "does not run"
kill -0 $OTHER || die "vpost stop ended the process that a locked file names"
pkill -P $HOLDER 2>/dev/null || true
kill $HOLDER 2>/dev/null || true

# Root runs no script of the box but as its user, whoever owns it.
printf '#!/bin/sh\nid -un >%s/var/run/who\n' "$BOX" | as_daemon tee "$BOX/etc/rc.d/200.x.sh" >/dev/null
as_daemon chmod 755 "$BOX/etc/rc.d/200.x.sh"
chmod -x "$BOX/etc/rc.d/100.vpost.sh"
vpost start "$BOX" >/dev/null || die "vpost start"
eq "$(cat "$BOX/var/run/who")" daemon "who ran the box's script"
rm -f "$BOX/var/run/who"
chown root "$BOX/etc/rc.d/200.x.sh"
vpost start "$BOX" >/dev/null || die "vpost start with a script of root's"
eq "$(cat "$BOX/var/run/who")" daemon "who ran the script that is root's"
