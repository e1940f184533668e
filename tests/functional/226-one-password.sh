# shellcheck shell=bash
# Accounts of the system, which have no shell here: passwd(1) changes the password of all services at once, and a file in the
# user's home, which is closed to all others, steers the next message.
NEED_ROOT=1
if [ -z "${IN_MOUNTS-}" ]; then
	unshare -mn true 2>/dev/null || { echo "no mount namespaces here"; exit 78; }
	export IN_MOUNTS=1
	exec unshare -mn bash "$0" "$@"
fi
. "$(dirname "$0")/../lib/box.sh"
need python3 chpasswd useradd curl
ip link set lo up
chmod 755 "$T"
# An /etc of our own.
cp -a /etc "$T/etc"
mount --bind "$T/etc" /etc
at_end() { umount /etc; }
printf 'auth required pam_unix.so\naccount required pam_unix.so\n' >/etc/pam.d/vpost
mkdir "$T/homes"
chmod 755 "$T/homes"
useradd -m -d "$T/homes/joe" -s /usr/sbin/nologin joe
chmod 700 "$T/homes/joe"
echo joe:first | chpasswd

box_make
conf "user = daemon"
conf "system_users = yes"
chown -R daemon: "$BOX"
box_start

login() { # SERVICE PASSWORD
	case $1 in
	imap) curl -s --max-time 60 "imap://127.0.0.1:$IMAP/" -u "joe:$2" >/dev/null ;;
	pop3) curl -s --max-time 60 "pop3://127.0.0.1:$POP3/" -u "joe:$2" >/dev/null ;;
	smtp) curl -s --crlf --max-time 60 "smtp://127.0.0.1:$SUBMISSION/x.test" -u "joe:$2" --mail-from joe@local.test --mail-rcpt joe@local.test \
		-T "$TOP/tests/data/1-plain.eml" >/dev/null ;;
	esac
}
for s in imap pop3 smtp; do login $s first || die "$s does not take the password"; done
echo joe:second | chpasswd
for s in imap pop3 smtp; do
	login $s second || die "$s does not take the new password"
	if login $s first; then die "$s still takes the old password"; fi
done

# The next message obeys what he wrote, and a program that he named runs as he.
count() { mt imap "$IMAP" joe second count "$1" 2>/dev/null; }
in_box() { [ "$(count "$1")" = "$2" ]; }
post() { mt send "$SMTP" sender@out.test joe@local.test --subject "$1"; }
as_joe() { setpriv --reuid joe --regid joe --init-groups sh -c "$1"; }
N=$(count INBOX)
post plain
wait_for 20 in_box INBOX $((N + 1))
as_joe "printf ':0\n* ^Subject: folder\n! joe.Work\n' >~joe/.procmailrc; chmod 600 ~joe/.procmailrc"
post folder
wait_for 20 in_box INBOX.Work 1
as_joe "rm ~joe/.procmailrc; cat >~joe/.forward; chmod 600 ~joe/.forward" <<E
joe.Forward, "|/bin/sh -c 'id -un >$T/homes/joe/who'"
E
post folder
wait_for 20 in_box INBOX.Forward 1
wait_for 20 test -s "$T/homes/joe/who"
eq "$(cat "$T/homes/joe/who")" joe "who ran his program"
eq "$(count INBOX)" $((N + 1)) "messages in the inbox"
# He still has no shell.
if su joe -c true 2>/dev/null; then die "joe can log in"; fi
