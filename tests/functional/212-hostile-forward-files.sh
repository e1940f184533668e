# shellcheck shell=bash
# What a user's own .forward may not do to others: files without an end, files of others, filters that never end, lines of
# the log that nobody wrote.
. "$(dirname "$0")/../lib/box.sh"
need python3

box_make
box_users joe ann
H=$BOX/home/joe
mkdir -p "$H" "$BOX/home/ann"
chmod 755 "$BOX/home" "$H" "$BOX/home/ann"
LOG=$BOX/var/log/mainlog
N=0
post() {
	N=$((N + 1))
	{ echo "From: Sender <sender@out.test>"; echo "To: $1"; echo "Subject: number $N"; echo; echo "text of $N"; } >"$T/m$N.eml"
	mt send "$SMTP" sender@out.test "$1" --file "$T/m$N.eml"
}
in_box() { wait_for 10 sh -c "[ \"\$(python3 $TOP/tests/lib/mailtool.py imap $IMAP $1 pw-$1 count $2 2>/dev/null)\" = $3 ]"; }
ANN=0
# Mail of others goes on.
others() { post ann@local.test; ANN=$((ANN + 1)); in_box ann INBOX $ANN; }
deferred() { wait_for 10 grep -q "== joe@local.test .*$1" "$LOG"; }
box_start

# Files without an end, or that would block: passed over as other bad ones, deferred as other lists that are not there.
JOE=0
rm -f "$H/.forward"; ln -s /dev/zero "$H/.forward"
post joe@local.test; JOE=$((JOE + 1)); in_box joe INBOX $JOE; others
rm "$H/.forward"; mkfifo -m 644 "$H/.forward"
post joe@local.test; JOE=$((JOE + 1)); in_box joe INBOX $JOE; others
rm "$H/.forward"; truncate -s 100G "$H/.forward"; chmod 644 "$H/.forward"
post joe@local.test; JOE=$((JOE + 1)); in_box joe INBOX $JOE; others
grep -hq "home/joe/.forward is not used: it is longer than" "$BOX"/var/log/* "$T/run.log" || die "no note of the long file"
rm "$H/.forward"
echo ":include:/dev/zero" >"$H/.forward"; chmod 644 "$H/.forward"
post joe@local.test; deferred "included file /dev/zero"; others
mkfifo "$H/fifo"; ln -s /dev/zero "$H/link"; truncate -s 100G "$H/huge"
for f in fifo link huge; do
	echo ":include:$H/$f" >"$H/.forward"
	post joe@local.test; deferred "included file $H/$f"; others
done
# Ten lines, each of which names the file again.
for _ in $(seq 10); do echo ":include:$H/.forward"; done >"$H/.forward"
post joe@local.test; deferred ":include: files"; others

# Files of others: all of the box belong to one id, so that only the home counts, wherever links lead.
printf 'secretline:%s:x y\nann@local.test\n' 'pw$hash' >"$BOX/etc/secret"; chmod 600 "$BOX/etc/secret"
ln -s "$BOX/etc/secret" "$H/sly"; mkdir -p "$BOX/home/joey"; echo ann@local.test >"$BOX/home/joey/list"
for f in "$BOX/etc/vusers" "$BOX/etc/secret" "$H/sly" "$H/../../etc/secret" "$H/../joey/list"; do
	echo ":include:$f" >"$H/.forward"
	post joe@local.test; deferred "included file $f is not used: it lies outside of the home directory"
done
rm "$H/.forward"; ln -s "$BOX/etc/secret" "$H/.forward"
post joe@local.test; JOE=$((JOE + 1)); in_box joe INBOX $JOE
grep -hq "home/joe/.forward is not used: it lies outside" "$BOX"/var/log/* "$T/run.log" || die "no note of the link"
rm "$H/.forward"
# His own lists are; what of them is no address is not told to others.
printf 'ann@local.test\n' >"$H/list"; echo ":include:$H/list" >"$H/.forward"
post joe@local.test; ANN=$((ANN + 1)); in_box ann INBOX $ANN
ln -s "$H/list" "$H/list2"; echo ":include:$H/list2" >"$H/.forward"
post joe@local.test; ANN=$((ANN + 1)); in_box ann INBOX $ANN
printf 'ann@local.test\nprivate words here\n' >"$H/list"
post joe@local.test; deferred "in line 2 of $H/list2"
! grep -rhq "secretline\|private words" "$BOX/var/log" "$T/run.log" || die "content of files in the logs"

# Lines of the log that nobody wrote.
cat >"$H/.forward" <<'X'
# Exim filter
pipe "/bin/true x\n2026-11-21 00:00:00 1abcde-000001-1x <= forged@bank.test"
X
post joe@local.test
wait_for 10 grep -q "=> |/bin/true x.n2026-11-21 00:00:00 1abcde-000001-1x <= forged@bank.test" "$LOG"
! grep -q "^2026-11-21 00:00:00 1abcde" "$LOG" || die "a line that a user wrote"

# Filters that would go on for long: deferred, and the mail of others goes on.
{
	echo "# Exim filter"
	for _ in $(seq 8000); do echo 'if "aaaaaaaaaaaaaaaaaaaab" matches "^(a|aa)+(ba|bc)" then finish endif'; done
} >"$H/.forward"
post joe@local.test; others; deferred "the filter takes too much processor time near line"
printf '# Exim filter\nif "%s" matches "^(a|aa)+(ba|bc)" then finish endif\n' aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab >"$H/.forward"
post joe@local.test; deferred "match limit exceeded"; others
