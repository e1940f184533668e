# shellcheck shell=bash
# A configuration that was written for Exim on a host with users of the system runs in a box that root started as it stands: aliases
# of the host, .forward files, mailboxes and maildirs of the users, panels' lookups of who owns what, programs, autoreplies.
[ "$(id -u)" = 0 ] || { echo "needs root"; exit 77; }
if [ -z "${IN_MNT-}" ]; then
	unshare -m true 2>/dev/null || { echo "no mount name spaces here"; exit 78; }
	export IN_MNT=1
	exec unshare -m bash "$0"
fi
NEED_ROOT=1 NEED_NET=1
. "$(dirname "$0")/../lib/box.sh"
need python3
[ -z "${VPOST_SAN-}" ] || skip "the leak check fails where the user changes"

chmod 755 "$T"
mkdir -p "$T/home" "$T/spool" "$T/panel/shop.test" "$T/home/owner/mail/shop.test/info"
chmod 1777 "$T/spool"
{ cat /etc/passwd; for u in ann:12001 bob:12002 owner:12003; do echo "${u%:*}:x:${u#*:}:${u#*:}:${u%:*}:$T/home/${u%:*}:/bin/sh"; done; } >"$T/passwd"
{ cat /etc/group; for u in ann:12001 bob:12002 owner:12003; do echo "${u%:*}:x:${u#*:}:"; done; } >"$T/group"
chmod 644 "$T/passwd" "$T/group"
mount --make-rprivate /
mount --bind "$T/passwd" /etc/passwd
mount --bind "$T/group" /etc/group
for u in ann bob; do mkdir -p "$T/home/$u"; chown "$u:$u" "$T/home/$u"; chmod 750 "$T/home/$u"; done
printf 'info:{MD5}x:owner:mail::%s:50:x\n' "$T/home/owner" >"$T/panel/shop.test/passwd"
printf 'sales@shop.test:info@shop.test\n' >"$T/panel/shop.test/aliases"
printf 'full:{MD5}x:owner:mail::%s:1:x\n' "$T/home/owner" >>"$T/panel/shop.test/passwd"
mkdir -p "$T/home/owner/mail/shop.test/full/new" "$T/home/owner/mail/shop.test/full/cur"
head -c 1200000 /dev/zero >"$T/home/owner/mail/shop.test/full/new/1.x.y"
chown -R owner:owner "$T/home/owner"
chmod 711 "$T/home/owner"
chmod -R 770 "$T/home/owner/mail"
printf 'postmaster: ann\nteam: ann, bob\nlist: "|/bin/sh -c \\"/usr/bin/id -un >%s/list.out; cat >/dev/null\\""\n' "$T/spool" >"$T/aliases"
chmod 644 "$T/aliases"

box_make
conf "user = daemon"
chown -R daemon: "$BOX"
cat >"$BOX/etc/exim.conf" <<E
MAILBOX_DIR = $T/spool
primary_hostname = mail.local.test
domainlist local_domains = @ : local.test
domainlist panel_domains = dsearch;$T/panel
hostlist relay_from_hosts = 127.0.0.1
acl_smtp_rcpt = acl_check_rcpt
never_users = root
trusted_users = ann
begin acl
acl_check_rcpt:
  require message = relay not permitted
          domains = +local_domains : +panel_domains
  deny    !verify = recipient
          message = unknown user
  deny    !verify = recipient/quota=no_cache
          message = that mailbox is full
  accept
begin routers
panel_alias:
  driver = redirect
  domains = +panel_domains
  data = \${lookup{\$local_part@\$domain}lsearch{$T/panel/\${lookup{\$domain}dsearch{$T/panel}}/aliases}}
panel_user:
  driver = accept
  domains = +panel_domains
  condition = \${lookup{\$local_part}lsearch{$T/panel/\${lookup{\$domain}dsearch{$T/panel}}/passwd}{true}{false}}
  transport = panel_delivery
system_aliases:
  driver = redirect
  domains = +local_domains
  allow_fail
  allow_defer
  data = \${lookup{\$local_part}lsearch{$T/aliases}}
  user = bob
  file_transport = address_file
  pipe_transport = address_pipe
userforward:
  driver = redirect
  domains = +local_domains
  check_local_user
  file = \$home/.forward
  allow_filter
  no_verify
  check_ancestor
  file_transport = address_file
  pipe_transport = address_pipe
  reply_transport = address_reply
localuser:
  driver = accept
  domains = +local_domains
  check_local_user
  transport = local_delivery
begin transports
local_delivery:
  driver = appendfile
  file = MAILBOX_DIR/\$local_part_data
  delivery_date_add
  envelope_to_add
  return_path_add
panel_delivery:
  driver = appendfile
  maildir_format
  maildir_use_size_file
  user = \${extract{2}{:}{\${lookup{\$local_part}lsearch{$T/panel/\${lookup{\$domain}dsearch{$T/panel}}/passwd}}}}
  group = mail
  create_directory
  directory_mode = 770
  mode = 660
  directory = "\${extract{5}{:}{\${lookup{\$local_part}lsearch{$T/panel/\${lookup{\$domain}dsearch{$T/panel}}/passwd}}}}/mail/\${lookup{\$domain}dsearch{$T/panel}}/\${lookup{\$local_part}dsearch{\${extract{5}{:}{\${lookup{\$local_part}lsearch{$T/panel/\${lookup{\$domain}dsearch{$T/panel}}/passwd}}}}/mail/\${lookup{\$domain}dsearch{$T/panel}}}}"
  quota = \${extract{6}{:}{\${lookup{\$local_part}lsearch{$T/panel/\${lookup{\$domain}dsearch{$T/panel}}/passwd}}}}M
address_pipe:
  driver = pipe
  return_output
address_file:
  driver = appendfile
address_reply:
  driver = autoreply
begin retry
* * F,2h,1m
E
vpost check "$BOX" >"$T/check" 2>&1 || { cat "$T/check"; die "vpost check"; }
printf '# Exim filter\nif $h_subject: contains "save" then save $home/saved endif\n' >"$T/home/bob/.forward"
chown bob:bob "$T/home/bob/.forward"
box_start

mt send "$SMTP" sender@out.test postmaster@local.test --subject one
mt send "$SMTP" sender@out.test team@local.test --subject "save this"
mt send "$SMTP" sender@out.test list@local.test --subject three
mt send "$SMTP" sender@out.test sales@shop.test --subject four
new() { find "$T/home/owner/mail/shop.test/info/new" -type f 2>/dev/null; }
wait_for 20 test -s "$T/home/bob/saved"
wait_for 20 test -s "$T/spool/list.out"
wait_for 20 sh -c "[ \$(grep -c '^Subject' $T/spool/ann) = 2 ]"
wait_for 20 sh -c "ls $T/home/owner/mail/shop.test/info/new/* >/dev/null"
eq "$(stat -c '%U %a' "$T/spool/ann")" "ann 600" "a mailbox"
eq "$(stat -c '%U %G %a' "$(new)")" "owner mail 660" "a message of the panel's user"
eq "$(stat -c %U "$T/home/bob/saved")" bob "a file of a filter"
eq "$(cat "$T/spool/list.out")" bob "the user of a program"
has "$(cat "$T/spool/ann")" "Envelope-to: postmaster@local.test" "a mailbox"
wait_for 20 test -s "$T/home/owner/mail/shop.test/info/maildirsize"
has "$(head -n 1 "$T/home/owner/mail/shop.test/info/maildirsize")" "S" "the quota's file"
out=$(mt send "$SMTP" sender@out.test nobodyhere@local.test 2>&1 || true)
has "$out" "unknown user" "an unknown user"
out=$(mt send "$SMTP" sender@out.test x@elsewhere.test 2>&1 || true)
has "$out" "relay not permitted" "a relay"
# A mailbox that the daemons cannot see is looked at as its user.
out=$(mt send "$SMTP" sender@out.test full@shop.test 2>&1 || true)
has "$out" "that mailbox is full" "a full mailbox"
rm "$T/home/owner/mail/shop.test/full/new/1.x.y"
mt send "$SMTP" sender@out.test full@shop.test --subject room
wait_for 20 sh -c "ls $T/home/owner/mail/shop.test/full/new/* >/dev/null"

# Users of the system send: in their own name, and who is trusted in another.
as() { local u=$1; shift; setpriv --reuid "$u" --regid "$u" --clear-groups "$@"; }
printf 'Subject: five\n\nx\n' | as 12002 "$BUILD/bin/sendmail" ann@local.test
wait_for 20 grep -q "Subject: five" "$T/spool/ann"
printf 'Subject: six\n\nx\n' | as 12002 "$BUILD/bin/sendmail" -f boss@far.test ann@local.test
printf 'Subject: seven\n\nx\n' | as 12001 "$BUILD/bin/sendmail" -f boss@far.test ann@local.test
wait_for 20 grep -q "Subject: seven" "$T/spool/ann"
wait_for 20 grep -q "Subject: six" "$T/spool/ann"
eq "$(grep -c '^Return-path: <boss@far.test>' "$T/spool/ann")" 1 "senders that a trusted user named"
wait_for 20 grep -q "<= bob@mail.local.test U=bob P=local S=" "$BOX/var/log/mainlog"
