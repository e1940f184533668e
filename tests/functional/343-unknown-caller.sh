# shellcheck shell=bash
# unknown_login: what a caller is called whom the system does not know, in the log, as the sender, and in the spool.
export NEED_ROOT=1
. "$(dirname "$0")/../lib/box.sh"
need setpriv

uid=54321
while getent passwd $uid >/dev/null; do uid=$((uid + 1)); done
chmod 755 "$T"
# send OPTION...: a message of that caller; the first line of the main log.
send() {
	rm -rf "$T/spool" "$T/box"
	mkdir "$T/spool"
	chmod 777 "$T/spool"
	printf '%s\n' "primary_hostname = mail.local.test" "spool_directory = $T/spool" "log_file_path = $T/spool/log/%slog" "keep_environment =" \
	    "exim_user = $uid" "exim_group = $uid" "host_lookup =" "never_users =" "$@" "begin routers" "r:" " driver = accept" " transport = t" "begin transports" "t:" \
	    " driver = appendfile" " file = $T/spool/box" " user = $uid" " group = $uid" >"$T/c.conf"
	echo hello | setpriv --reuid $uid --regid $uid --clear-groups "$BUILD/bin/sendmail" -C "$T/c.conf" -odi x@y.test >"$T/out" 2>&1 || true
	head -n 1 "$T/spool/log/mainlog" 2>/dev/null || cat "$T/out"
}
out=$(send "unknown_login = guest-\${if eq{\$caller_uid}{$uid}{known}}" "unknown_username = A Guest")
has "$out" " <= guest-known@mail.local.test U=guest-known P=local" "unknown_login"
grep -q '^From: A Guest <guest-known@mail.local.test>' "$T/spool/box" || die "the sender: $(cat "$T/spool/box")"
out=$(send)
hasnot "$out" "guest" "without it"
