# shellcheck shell=bash
# verify = recipient/quota in one process and in a box: files, maildirs by size and by count, what MAIL announces, redirections, what is
# kept of the answers, and what is wrong with its options.
. "$(dirname "$0")/../lib/box.sh"

box_make
me=$(id -un)
S=$T/spool L=$T/spool/log/mainlog
mkdir -p "$S/log"
config() {
	cat >"$T/c.conf" <<-EOF
	primary_hostname = mail.local.test
	spool_directory = $S
	exim_user = $me
	trusted_users = $me
	log_file_path = $S/log/%slog
	keep_environment =
	host_lookup =
	tls_advertise_hosts =
	smtp_enforce_sync = false
	acl_smtp_rcpt = rcpt
	begin acl
	rcpt:
	 deny !verify = $1
	      log_message = why \$recipient_verify_failure
	 accept
	begin routers
	both:
	 driver = redirect
	 data = \${if eq{\$local_part}{both}{file@x.test,dir@x.test}{\${if eq{\$local_part}{one}{file@x.test}}}}
	r:
	 driver = accept
	 local_parts = file : dir : many : none : odd
	 transport = t_\$local_part_data
	begin transports
	t_file:
	 driver = appendfile
	 file = $T/file
	 quota = 2000
	 user = $me
	t_dir:
	 driver = appendfile
	 directory = $T/dir
	 maildir_format
	 quota = 2000
	 user = $me
	t_many:
	 driver = appendfile
	 directory = $T/dir
	 maildir_format
	 quota = 2M
	 quota_filecount = 3
	 user = $me
	t_none:
	 driver = pipe
	 command = /bin/true
	 user = $me
	t_odd:
	 driver = appendfile
	 file = $T/\${if
	 quota = 1
	 user = $me
	EOF
}
# ask PARAMETER RCPT...: the codes behind MAIL, on one line.
ask() {
	local p=$1 r
	shift
	{
		printf 'EHLO x\r\nMAIL FROM:<s@y.test>%s\r\n' "$p"
		for r; do printf 'RCPT TO:<%s@x.test>\r\n' "$r"; done
		printf 'QUIT\r\n'
	} | sendmail -C "$T/c.conf" -bs -oMa 192.0.2.7 2>/dev/null | tr -d '\r' | sed -n '/^250 HELP/,$p' | sed -n 's/^\([0-9]*\) .*/\1/p' |
	    sed '1,2d;$d' | xargs
}
fill() { head -c "$2" /dev/zero | tr '\0' a >"$1"; }
fresh() { rm -rf "$S/db"; }

config recipient/quota
all="file dir many none no"
# shellcheck disable=SC2086
eq "$(ask "" $all)" "250 250 250 250 550" "there is nothing yet"
fill "$T/file" 1900
mkdir -p "$T/dir/new" "$T/dir/cur" "$T/dir/tmp"
for i in 1 2 3; do fill "$T/dir/new/$i" 600; done
# shellcheck disable=SC2086
eq "$(ask " SIZE=500" $all)" "250 250 250 250 550" "the answers are kept"
fresh
# shellcheck disable=SC2086
eq "$(ask " SIZE=500" $all)" "550 550 550 250 550" "full by size and by count"
has "$(cat "$L")" "rejected RCPT <file@x.test>: why quota: Over quota" "what the log says"
# shellcheck disable=SC2086
eq "$(ask "" $all)" "550 550 550 250 550" "that is kept, too"
has "$(cat "$L")" "why quota: Previous (cached) quota verification failure" "and said so"
fresh
# shellcheck disable=SC2086
eq "$(ask "" $all)" "250 250 550 250 550" "a message of no size fits, if files may be made"
eq "$(ask " SIZE=500" both one)" "250 550" "a redirection to one address is followed, one to several is not"

config "recipient/quota=no_cache"
fill "$T/file" 2001
eq "$(ask "" file)" 550 "nothing kept is read"
fill "$T/file" 1
eq "$(ask "" file)" 250 "nor the next time"
config "recipient/quota=cachepos=1h,cacheneg=1s,other"
fresh
fill "$T/file" 2001
eq "$(ask "" file)" 550 "full again"
fill "$T/file" 1
sleep 2.1
eq "$(ask "" file)" 250 "what was kept for a second"
fill "$T/file" 2001
sleep 1.1
eq "$(ask "" file)" 250 "what is kept for an hour"
config "recipient/quota=cachepos=1z"
eq "$(ask "" file)" 451 "a wrong time"
has "$(cat "$L")" 'bad time value in ACL condition "verify recipient/quota=cachepos=1z"' "and its line"
config sender/quota
eq "$(ask "" file)" 451 "of a sender"
has "$(cat "$L")" "can only verify quota of recipient" "and its line"
config recipient/quota
fresh
fill "$T/file" 2001
eq "$(printf 'EHLO x\r\nMAIL FROM:<s@y.test>\r\nRCPT TO:<file@x.test>\r\nQUIT\r\n' |
    sendmail -C "$T/c.conf" -bh 192.0.2.7 2>/dev/null | tr -d '\r' | grep ^550)" "550 Administrative prohibition" "with -bh"

config recipient/quota=no_cache
sed '/^spool_directory\|^exim_user\|^log_file_path/d' "$T/c.conf" >"$BOX/etc/exim.conf"
box_start
in_box() { mt rcpt "$SMTP" s@y.test "$1@x.test" 2>&1 | head -n 1; }
fill "$T/file" 2001
has "$(in_box file)" 550 "a full file in a box"
fill "$T/file" 1
has "$(in_box file)" 250 "with room"
has "$(in_box many)" 550 "a maildir by its count"
kill -STOP "$(daemon_pid vqueued)"
fill "$T/file" 2001
in_box file >"$T/answer" &
asked=$!
sleep 1
kill -CONT "$(daemon_pid vqueued)"
wait "$asked"
has "$(cat "$T/answer")" 550 "an answer that came late"
