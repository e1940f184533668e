# shellcheck shell=bash
# What small things of a delivery with a configuration of its own are: a dot at the end of a text without a line end, -N that holds for ever,
# where reports of a list go, /dev/null where files are forbidden, +caseful, what a spool file says of recipients.
. "$(dirname "$0")/../lib/box.sh"
D=$T/d
mkdir -p "$D/spool" "$D/mail"
ME=$(id -un)
for n in member owner late user; do echo "$n: $n"; done >"$D/names"
cat >"$D/exim.conf" <<X
keep_environment =
primary_hostname = host.test
spool_directory = $D/spool
log_file_path = $D/%slog
exim_user = $(id -u)
acl_smtp_rcpt = rcpt
log_selector = +smtp_syntax_error +smtp_protocol_error
acl_smtp_mail = accept
begin acl
rcpt:
  accept local_parts = lower : +caseful : UPPER
  accept recipients = +caseful : Mixed@host.test
begin routers
forbids:
  driver = redirect
  local_parts = forbidden
  data = /dev/null
  file_transport = t
  forbid_file
list:
  driver = redirect
  local_parts = list
  errors_to = owner
  one_time
  data = late, member
comments:
  driver = redirect
  local_parts = comments : nobody
  data = \${if eq{\$local_part}{nobody}{(alone)}{(in front), user (behind)}}
late:
  driver = redirect
  local_parts = late
  allow_defer
  data = :defer: not now
  condition = \${if exists{$D/now}{no}{yes}}
all:
  driver = accept
  local_parts = member : owner : late : user
  transport = t
begin transports
t:
  driver = appendfile
  file = $D/mail/\${lookup{\$local_part}lsearch{$D/names}}
begin retry
* * F,1d,1m
X
exim() { sendmail -C "$D/exim.conf" "$@"; }
fresh() { rm -rf "$D/spool" "$D"/mail/* "$D"/*log; mkdir -p "$D/spool"; }

# A dot ends the text only as a line; else it belongs to it.
printf 'Subject: s\n\nlast\n.' | exim -odi user
eq "$(tail -n 2 "$D/mail/user" | tr '\n' '|')" ".||" "a dot without a line end"
fresh
printf 'Subject: s\n\nlast\n.\nbehind\n' | exim -odi user
eq "$(grep -c behind "$D/mail/user" || true)" 0 "a line of a dot"
fresh

# -N: the message is as good as lost, also for the queue runs of others.
echo text | exim -N -odq user
has "$(cat "$D"/spool/input/*-H)" $'\n-N\n' "the spool"
exim -qf
has "$(cat "$D/mainlog")" "*> user <user@host.test> R=all T=t" "the log"
eq "$(ls "$D/mail")" "" "nothing is written"
eq "$(find "$D/spool/input" -name '*-H')" "" "and it is gone"
fresh

# A list's owner has the reports, with his domain, and of a list that is taken apart once also at a later attempt.
echo text | exim -odi list
eq "$(head -n 1 "$D/mail/member" | cut -d' ' -f2)" owner@host.test "the return path"
has "$(cat "$D"/spool/input/*-H)" $'\nlate@host.test  0,0 owner@host.test 15,0#3\n' "what is noted"
touch "$D/now"
exim -qf
eq "$(head -n 1 "$D/mail/late" | cut -d' ' -f2)" owner@host.test "the return path later"
fresh

# A comment in redirection data is nothing; where there is nothing else the router has not run.
eq "$(exim -bt comments@host.test | head -n 2 | tr '\n' '|')" "user@host.test|    <-- comments@host.test|" "comments"
eq "$(exim -bt nobody@host.test)" "nobody@host.test is undeliverable: Unrouteable address" "a comment alone"

# No file is a file, and one that may not be written is not thrown away in silence.
echo text | exim -odi forbidden 2>/dev/null || true
has "$(cat "$D/mainlog")" "** /dev/null <forbidden@host.test> R=forbids T=t: delivery to file forbidden" "/dev/null"
fresh

# In lists behind +caseful an address is as the client wrote it.
printf 'HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<LOWER@host.test>\r\nRCPT TO:<UPPER@host.test>\r\nRCPT TO:<upper@host.test>\r\nRCPT TO:<Mixed@host.test>\r\nRCPT TO:<mixed@host.test>\r\nQUIT\r\n' |
    exim -bs | cut -c1-3 | tr '\n' ' ' >"$D/codes"
eq "$(cat "$D/codes")" "220 250 250 250 250 550 250 550 221 " "+caseful"
fresh

# What is wrong with HELO is told once; what a system filter must be is told first.
printf 'HELO !@#\r\nHELO x\r\nMAIL FROM:\r\nQUIT\r\n' | exim -bs >/dev/null
eq "$(sed 's/^.\{20\}//' "$D/mainlog")" "rejected HELO from $ME: syntactically invalid argument(s): !@#
SMTP protocol error in \"MAIL FROM:\" U=$ME MAIL must have an address operand" "mistakes in the log"
fresh
sed "s/^acl_smtp_mail/system_filter = relative\n&/" "$D/exim.conf" >"$D/exim2.conf"
echo text | sendmail -C "$D/exim2.conf" -odi user
has "$(cat "$D/mainlog")" 'Error in system filter: "relative" is not an absolute path' "a relative filter"
