# shellcheck shell=bash
# Homes that mean harm: FIFOs, devices and other processes' files as mailbox, log or rules; floods of recipients and
# includes; lines without an end.  Mail of others goes on meanwhile, no daemon dies, and no message is lost without a word.
. "$(dirname "$0")/../lib/box.sh"
need python3 mkfifo

box_make
conf "local_file = 20M"
conf "local_memory = 512M"
H=$BOX/home
HOMES=
# home NAME: the next case
home() { U=$1; HOMES="$HOMES $1"; mkdir -p "$H/$1"; chmod 755 "$H/$1"; }
forward() { cat >"$H/$U/.forward"; chmod 644 "$H/$U/.forward"; }
rules() { cat >"$H/$U/.procmailrc"; chmod 644 "$H/$U/.procmailrc"; }
mkdir -p "$H/ann"; chmod 755 "$H" "$H/ann"
echo keep >"$H/ann/private"; chmod 600 "$H/ann/private"

# Mailboxes that are none.
n=0
for f in "$H/f1/fifo" /dev/zero /dev/full /dev/stdout /proc/self/mem /proc/self/fd/3 /proc/1/mem "$H/f8/sock" "$H/f9/dir" "$H/f10/loop"; do
	n=$((n + 1)); home "f$n"; echo "$f" | forward
done
mkfifo "$H/f1/fifo"
python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$H/f8/sock" 2>/dev/null || true
mkdir "$H/f9/dir"
ln -s loop "$H/f10/loop"
home md; ln -s /dev "$H/md/md"; printf '%s/md/md/\n' "$H" | forward
home hard; ln "$H/ann/private" "$H/hard/box"; echo "$H/hard/box" | forward
# Rules: what they read, log, lock and write.
home ri; mkfifo "$H/ri/fifo"; printf 'INCLUDERC=$HOME/fifo\n:0\n! ri.INBOX\n' | rules
home rl; mkfifo "$H/rl/fifo"; printf 'LOGFILE=$HOME/fifo\nVERBOSE=on\n:0\n! rl.INBOX\n' | rules
home rm; mkfifo "$H/rm/fifo"; printf ':0\n$HOME/fifo\n' | rules
home rd; printf 'DEFAULT=/dev/full\nORGMAIL=/dev/full\n:0\n/dev/full\n' | rules
home rr; printf 'MAILDIR=/\n:0\nno/such/place\n:0\nproc/self/mem\n:0\n/proc/self/fd/\n' | rules
home rk; printf 'LOCKTIMEOUT=1\nLOCKFILE=/proc/lock\n:0:/dev/null.lock\n! rk.INBOX\n' | rules
home rp; mkfifo "$H/rp/.procmailrc"
home rz; ln -s /dev/zero "$H/rz/.procmailrc"
home rt; printf 'TRAP="kill -STOP $$; sleep 1000"\nTIMEOUT=2\n:0\n! rt.INBOX\n' | rules
home rv; printf 'VERBOSE=on\nLOGFILE=$HOME/log\nA=`head -c 3000000 /dev/zero | tr "\\\\0" x`\n:0\n! rv.INBOX\n' | rules
home rs; printf ':0 w\n| kill -STOP $PPID; sleep 5; false\n:0\n! rs.INBOX\n' | rules
home re; printf 'PATH=/nowhere\nLD_PRELOAD=/nowhere.so\nIFS=x\nSHELL=/nonexistent\n:0 w\n| true\n:0\n! re.INBOX\n' | rules
home rx; python3 -c 'print(":0\n* ^" + "x" * 2000000 + "\n! rx.INBOX\n:0\n! rx.INBOX")' | rules
# Floods.
home a1; python3 -c 'print(", ".join("u%d@out.test" % i for i in range(100000)))' >"$H/a1/list"; printf 'LINEBUF=9000000\nTO=`cat $HOME/list`\n:0\n! $TO\n' | rules
home a2; python3 -c 'print("\n".join("nobody%d" % i for i in range(10000)))' | forward
home a3; python3 - "$H/a3" <<'X'
import sys
for i in range(1000):
    open('%s/i%d' % (sys.argv[1], i), 'w').write(':include:%s/i%d\n' % (sys.argv[1], i + 1))
open('%s/i1000' % sys.argv[1], 'w').write('ann\n')
X
chmod 644 "$H"/a3/i*; echo ":include:$H/a3/i0" | forward
home a4; python3 -c 'print("x" * 3900000 + "@out.test")' | forward
home a5; python3 -c 'print("# Exim filter\n" + "if not (" * 20000 + "a is b" + ")" * 20000 + " then save x endif")' | forward
home a6; python3 -c 'print("# Exim filter\n" + "unseen deliver a6.F@local.test\nunseen mail to ann text x\n" * 5000)' | forward
home a7; python3 -c 'print("# Exim filter\n" + "if $message_body matches \"^(.*)*(.*)*z$\" then save x endif\n" * 200)' | forward
home a8; printf '# Exim filter\nadd 1 to n1\ntestprint "${sg{$message_body}{.}{$message_body}}"\nsave "${sg{$message_body}{.}{$message_body}}"\n' | forward
home a9; printf '"|/bin/sh -c '\''while :; do echo flood; done'\''"\n' | forward

# shellcheck disable=SC2086 # names
box_users ann $HOMES
box_start
python3 -c 'print("From: ann@local.test\nTo: x@local.test\nSubject: case\n\n" + "y" * 3000000 + "\nthe end")' >"$T/m"
VQ=$(daemon_pid vqueued)
LD=$(daemon_pid vlocald)
python3 - "$SMTP" "$T/m" "$HOMES" "$T/ids" <<'X' || die "a message was not taken"
import smtplib, sys
s = smtplib.SMTP('127.0.0.1', int(sys.argv[1]))
s.ehlo()
m = open(sys.argv[2]).read().replace('\n', '\r\n')
ids = open(sys.argv[4], 'w')
for u in sys.argv[3].split():
    s.mail('ann@local.test')
    s.rcpt(u + '@local.test')
    ids.write(s.data(m)[1].decode().split("id=")[1].split()[0] + ' ' + u + '\n')
s.quit()
X
begin=$SECONDS
printf 'From: s@out.test\nSubject: for ann\n\nx\n' >"$T/m2"
mt send "$SMTP" s@out.test ann@local.test --file "$T/m2"
for_ann() { mt imap "$IMAP" ann pw-ann search SUBJECT '"for ann"' 2>/dev/null | grep -q '[0-9]'; }
wait_for 40 grep -q '=> ann <ann@local.test>' "$BOX/var/log/mainlog"
echo "ann's mail took $((SECONDS - begin)) s"

# Each message: delivered, deferred with its reason, or returned.
missing() {
	local id
	LEFT=
	for id in $(cut -d' ' -f1 "$T/ids"); do
		grep -qE "^[^ ]+ [^ ]+ $id (Completed|==|\\*\\*|=>)" "$BOX/var/log/mainlog" || LEFT="$LEFT $(grep "^$id " "$T/ids" | cut -d' ' -f2)"
	done
	[ -n "$LEFT" ]
}
for i in $(seq 60); do missing || break; sleep 1; done
! missing || die "without a word:$LEFT"
eq "$(daemon_pid vqueued)" "$VQ" "vqueued"
eq "$(daemon_pid vlocald)" "$LD" "vlocald"
eq "$(cat "$H/ann/private")" keep "another's file by a hard link"
! grep -hE 'was ended by signal|SIGSEGV|Assertion' "$T/run.log" || die "a process died"
find "$BOX/home" -size +30M | grep . && die "a file grew past its limit"
vpost status >/dev/null || die "status"
exit 0
