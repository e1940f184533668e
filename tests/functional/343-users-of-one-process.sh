# shellcheck shell=bash
# As root: unknown_login, what a caller is called whom the system does not know, in the log, as the sender, and in the spool;
# system_filter_user, system_filter_group; the log of a configuration that cannot be loaded.
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

# system_filter_user, system_filter_group: as whom the system filter saves.
rm -rf "$T/spool"
mkdir "$T/spool" "$T/out.d"
chmod 777 "$T/out.d"
printf '# Exim filter\nsave %s/out.d/saved\n' "$T" >"$T/filter"
chmod 644 "$T/filter"
other=$((uid + 1))
printf '%s\n' "primary_hostname = mail.local.test" "spool_directory = $T/spool" "log_file_path = $T/spool/log/%slog" "keep_environment =" \
    "exim_user = nobody" "exim_group = nogroup" "host_lookup =" "system_filter = $T/filter" "system_filter_user = $uid" \
    "system_filter_group = $other" "system_filter_file_transport = f" "begin routers" "r:" " driver = accept" " transport = f" \
    "begin transports" "f:" " driver = appendfile" >"$T/c.conf"
echo hello | "$BUILD/bin/sendmail" -C "$T/c.conf" -odi x@y.test >"$T/out" 2>&1 || true
[ -f "$T/out.d/saved" ] || die "nothing saved: $(cat "$T/out" "$T/spool/log/"*)"
eq "$(stat -c '%u:%g' "$T/out.d/saved")" "$uid:$other" "owner of what the system filter saved"

# The spool is the mail system's: what its user puts in root's way there is not followed, and what root writes is his.
rm -rf "$T/spool" "$T/box"
mkdir "$T/spool" "$T/precious"
chmod 700 "$T/precious"
ln -s "$T/precious" "$T/spool/input"; ln -s "$T/precious" "$T/spool/log"; ln -s "$T/precious" "$T/spool/msglog"; ln -s "$T/precious" "$T/spool/db"
chown -hR "$uid:$uid" "$T/spool"
printf '%s\n' "primary_hostname = mail.local.test" "spool_directory = $T/spool" "log_file_path = $T/spool/log/%slog" "keep_environment =" \
    "exim_user = $uid" "exim_group = $uid" "host_lookup =" "begin routers" "r:" " driver = accept" " transport = t" "begin transports" "t:" \
    " driver = appendfile" " file = $T/out.d/box" " user = $uid" " group = $uid" "begin retry" "* * F,1h,5m" >"$T/c.conf"
echo hello | "$BUILD/bin/sendmail" -C "$T/c.conf" -odi x@y.test >"$T/out" 2>&1 && die "a message in a spool that leads elsewhere"
eq "$(ls -A "$T/precious")" "" "what root made behind links"
rm "$T/spool"/*
echo hello | "$BUILD/bin/sendmail" -C "$T/c.conf" -odi x@y.test >"$T/out" 2>&1 || die "as root: $(cat "$T/out")"
[ -s "$T/out.d/box" ] || die "not delivered: $(cat "$T/spool/log/"*)"
echo later | "$BUILD/bin/sendmail" -C "$T/c.conf" -odq x@y.test
eq "$(find "$T/spool" ! -user "$uid")" "" "what is not the mail system's in its spool"
rm -rf "$T/spool"
echo hello | "$BUILD/bin/sendmail" -C "$T/c.conf" -odq x@y.test || die "a spool that is missing"
eq "$(find "$T/spool" ! -user "$uid")" "" "owners in a spool that root made"

# -M... of a caller who is no admin: nothing is done to others' messages, his own may be removed.
rm -rf "$T/spool"
mkdir "$T/spool"
chmod 777 "$T/spool"
printf '%s\n' "primary_hostname = mail.local.test" "spool_directory = $T/spool" "log_file_path = $T/spool/log/%slog" "keep_environment =" "unknown_login = guest" "exim_user = 1" \
    "exim_group = 1" "begin routers" "r:" " driver = accept" " transport = t" "begin transports" "t:" " driver = appendfile" " file = /nonexistent" >"$T/c.conf"
mine() { setpriv --reuid $uid --regid $uid --clear-groups "$BUILD/bin/sendmail" -C "$T/c.conf" "$@" 2>&1 </dev/null || echo "exit $?"; }
mine -odq -f x@y.test a@b.test
id=$(find "$T/spool/input" -name '*-H' -printf '%f\n' | sed 's/-H$//')
[ -n "$id" ] || die "no message: $(cat "$T/spool/log/mainlog")"
eq "$(mine -M "$id")" "exim: Permission denied
exit 1" "-M"
eq "$(mine -Mg "$id")" "exim: permission denied
exit 1" "-Mg"
for what in f t vh vb vc vl mad; do
	eq "$(mine -M$what "$id" | grep .)" "Permission denied
exit 1" "-M$what"
done
eq "$(mine -Mes "$id" z@y.test)" "Permission denied
exit 1" "-Mes"
eq "$(mine -Mrm "$id")" "Message $id has been removed" "-Mrm of one's own"

# What is wrong with a configuration is logged with the rights of exim_user, too: no link leads root astray.
rm -rf "$T/spool"
mkdir -p "$T/spool/log" "$T/rootsown"
chmod 700 "$T/rootsown"
chown -R "$uid" "$T/spool"
config() { printf '%s\n' "spool_directory = $T/spool" "log_file_path = $T/spool/log/%slog" "exim_user = $1" "exim_group = $uid" "no_such_option = 1" >"$T/c.conf"; }
config "$uid"
echo hello | "$BUILD/bin/sendmail" -C "$T/c.conf" -odi x@y.test >"$T/out" 2>&1 || true
eq "$(stat -c %u "$T/spool/log/paniclog")" "$uid" "whose log it is"
grep -q 'option "no_such_option" unknown' "$T/spool/log/paniclog" || die "what it says: $(cat "$T/spool/log/paniclog")"
rm -rf "$T/spool/log"
ln -s "$T/rootsown" "$T/spool/log"
echo hello | "$BUILD/bin/sendmail" -C "$T/c.conf" -odi x@y.test >"$T/out" 2>&1 || true
config no-such-user-here
echo hello | "$BUILD/bin/sendmail" -C "$T/c.conf" -odi x@y.test >"$T/out" 2>&1 || true
eq "$(ls "$T/rootsown")" "" "what root wrote for somebody else"
