# shellcheck shell=bash
# procmail -d started by root: the mailbox is made for the recipient, /etc/procmailrc is root's until it ends or says DROPPRIVS,
# the user's file is his; files that others could have written are not obeyed.  All in a mount namespace, on copies of /etc.
NEED_ROOT=1
. "$(dirname "$0")/../lib/box.sh"
need unshare setpriv
if [ -z "${IN_MOUNTS-}" ]; then
	unshare -m true 2>/dev/null || { echo "no mount namespaces here"; exit 78; }
	export IN_MOUNTS=1
	rm -rf "$T"
	exec unshare -m bash "$0" "$@"
fi

chmod 755 "$T"
cp -a /etc "$T/etc"; mkdir "$T/mail" "$T/home"
chown root:mail "$T/mail"; chmod 2775 "$T/mail"
mount --bind "$T/etc" /etc; mount --bind "$T/mail" /var/mail
at_end() { umount /var/mail /etc 2>/dev/null; }
rm -f /etc/procmailrc; rm -rf /etc/procmailrcs
for u in pma:7001 pmb:7002; do
	n=${u%:*}; i=${u#*:}
	echo "$n:x:$i:$i::$T/home/$n:/bin/sh" >>/etc/passwd; echo "$n:x:$i:" >>/etc/group
	mkdir "$T/home/$n"; chown "$i:$i" "$T/home/$n"; chmod 755 "$T/home/$n"
done
P=$BUILD/bin/procmail
H=$T/home/pma
printf 'From jo@out.test Mon Mar  2 10:11:12 1998\nFrom: jo@out.test\nSubject: s\n\nbody\n' >"$T/m"
run() { rc=0; "$P" "$@" <"$T/m" 2>"$T/err" || rc=$?; }
who() { stat -c '%U %a' "$1" 2>/dev/null || echo none; }
clean() { rm -rf "${T:?}"/mail/* "${H:?}"/* "$H"/.procmailrc /etc/procmailrc /etc/procmailrcs; }
rcfile() { cat >"$H/.procmailrc"; chown pma:pma "$H/.procmailrc"; chmod 644 "$H/.procmailrc"; }

# No rules: the mailbox is the recipient's, though only root can make files there.
run -d pma; eq "$rc" 0 "status"; eq "$(who "$T/mail/pma")" "pma 600" "the mailbox"
grep -q body "$T/mail/pma" || die "no message in the mailbox"
run -d pma pmb; eq "$rc" 0 "status of two"; eq "$(who "$T/mail/pmb")" "pmb 600" "the other mailbox"
run -d nosuch; eq "$rc" 67 "status of an unknown user"
clean

# Programs and folders of the user's rules are his.
printf ':0 c\nbox\n:0 cw\n| id -u >ran; id -G >>ran\n:0\nmd/\n' | rcfile
run -d pma; eq "$rc" 0 "status"
eq "$(who "$H/box")" "pma 600" "his folder"; eq "$(tr '\n' ' ' <"$H/ran")" "7001 7001 " "who the program was"
clean

# Whose file is obeyed.
try() { # WHAT EXPECTED(box or mail)
	run -d pma; eq "$rc" 0 "status: $1"
	if [ "$2" = box ]; then [ -s "$H/box" ] || die "$1: not obeyed"; else
		[ ! -e "$H/box" ] || die "$1: obeyed"
		grep -q 'Suspicious rcfile' "$T/err" || die "$1: nothing said: $(cat "$T/err")"
		grep -q body "$T/mail/pma" || die "$1: the mail is not in the mailbox"
	fi
	rm -f "$H/box" "$T"/mail/*
}
printf ':0\nbox\n' | rcfile
try "his own" box
chown root:root "$H/.procmailrc"; try "root's" box
chown pmb:pmb "$H/.procmailrc"; try "another user's" mail
chown pma:pma "$H/.procmailrc"; chmod 666 "$H/.procmailrc"; try "writable for all" mail
chmod 664 "$H/.procmailrc"; try "writable for his group" box
chgrp pmb "$H/.procmailrc"; try "writable for another group" mail
chgrp pma "$H/.procmailrc"; chmod 644 "$H/.procmailrc"; chmod 777 "$H"; try "in a home that all may write" mail
chmod 1777 "$H"; try "in a sticky home" box
chmod 755 "$H"; clean

# /etc/procmailrc: root's, then the user's.
printf ':0 cw\n| id -u >%s/first\nDROPPRIVS=yes\n:0 cw\n| id -u >%s/second\n' "$T" "$H" >/etc/procmailrc
printf ':0 cw\n| id -u >third\n' | rcfile
run -d pma; eq "$rc" 0 "status"
eq "$(cat "$T/first") $(cat "$H/second") $(cat "$H/third")" "0 7001 7001" "who ran the programs"
printf ':0 cw\n| id -u >%s/first\n' "$T" >/etc/procmailrc
run -d pma; eq "$(cat "$T/first") $(cat "$H/third")" "0 7001" "without DROPPRIVS"
printf 'HOST=not.this.one\n' >/etc/procmailrc
rm -f "$H/third"; run -d pma; eq "$(cat "$H/third")" 7001 "behind a HOST that does not fit"
# What a copy of the run gives up, the run itself has still.
rm -f "$T/first" "$H/third"; printf ':0 c\n{ DROPPRIVS=yes }\n:0 cw\n| id -u >%s/first\n' "$T" >/etc/procmailrc
printf ':0 cw\n| id -u >>third\n' | rcfile
run -d pma; eq "$(cat "$T/first") $(paste -sd, "$H/third")" "0 7001,7001" "behind a copy"
printf 'DROPPRIVS=yes\n:0\n%s/root-only\n:0\nbox\n' "$T/etc" >/etc/procmailrc
run -d pma; [ ! -e "$T/etc/root-only" ] || die "root's rights were still there"
clean

# /etc/procmailrcs: who owns the file is who runs it.
mkdir /etc/procmailrcs; printf ':0 w\n| id -u >%s/ran\n' "$H" >/etc/procmailrcs/x; chown pma /etc/procmailrcs/x
run -m /etc/procmailrcs/x; eq "$rc" 0 "status"; eq "$(cat "$H/ran")" 7001 "the owner of a special file"
rm -f "$H/ran"; run -m /etc/procmailrcs/../procmailrcs/x; [ ! -e "$H/ran" ] || die "a name with .. was obeyed"
grep -q 'Denying special privileges' "$T/err" || die "nothing said of .."
chmod 777 /etc/procmailrcs; run -m /etc/procmailrcs/x; [ ! -e "$H/ran" ] || die "a folder that all may write was trusted"
clean

# A mailbox that is a link, or another user's, is put aside, never written through.
echo keep >"$T/target"; ln -s "$T/target" "$T/mail/pma"
run -d pma; eq "$rc" 0 "status"; eq "$(cat "$T/target")" keep "the link's target"; eq "$(who "$T/mail/pma")" "pma 600" "the new mailbox"
rm -f "$T"/mail/*; echo x >"$T/mail/pma"; chown pmb "$T/mail/pma"
run -d pma; eq "$(who "$T/mail/pma")" "pma 600" "the mailbox that was another's"
[ -n "$(find "$T/mail" -name 'BOGUS.pma*')" ] || die "the other's file is gone"

# A user delivers to himself only.
chmod 644 "$T/m"
rc=0; setpriv --reuid 7001 --regid 7001 --clear-groups "$P" -d pmb <"$T/m" 2>"$T/err" || rc=$?
eq "$rc" 77 "status for another user"; grep -q 'Insufficient privileges' "$T/err" || die "nothing said"
exit 0
