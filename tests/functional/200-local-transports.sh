# shellcheck shell=bash
# Local deliveries as users: mbox, Maildir with quota, pipes, vacation replies, LMTP; and what hostile mailboxes and programs
# may not do.
. "$(dirname "$0")/../lib/box.sh"
need python3

box_make
box_users joe eve
M=$T/mail
mkdir "$M"
conf "local_memory = 512M"
conf "local_cpu = 5s"
LIMIT=200
conf "local_processes = $LIMIT"
conf "local_file = 2M"
cat >"$BOX/etc/exim.conf" <<X
primary_hostname = mail.local.test
domainlist local_domains = test.local : local.test
acl_smtp_rcpt = acl_rcpt
log_selector = +smtp_confirmation
begin acl
acl_rcpt:
  accept
begin routers
box:
  driver = redirect
  domains = local.test
  local_parts = list
  data = |$T/script.sh pipe, $M/named, $M/folder/
  pipe_transport = address_pipe
  file_transport = address_file
  directory_transport = address_dir
vac:
  driver = accept
  local_parts = away
  transport = vacation
  unseen
store:
  driver = accept
  domains = local.test
  local_parts = joe : eve : away
  transport = store
  address_data = \${if eq{\$local_part}{away}{eve}{\$local_part}}
lmtp:
  driver = accept
  domains = lmtp.test
  transport = lmtp
one:
  driver = accept
  domains = test.local
  local_parts = mbox : md : script : fail : later : slow : flood : bomb : link : hard : full : locked : filt : shadow : user : big
  transport = \${local_part_data}_t
begin transports
store:
  driver = store
  account = \$address_data
mbox_t:
  driver = appendfile
  file = $M/mbox
  return_path_add
  envelope_to_add
  delivery_date_add
md_t:
  driver = appendfile
  directory = $M/md
  maildir_format
  maildir_tag = ,S=\$message_size
  quota = 3K
  maildir_use_size_file
  quota_warn_threshold = 50%
  quota_warn_message = "To: joe@local.test\nSubject: nearly full\n\nx\n"
script_t:
  driver = pipe
  command = $T/script.sh "two words" \$local_part_data
  environment = EXTRA=yes
fail_t:
  driver = pipe
  command = /bin/sh -c "echo complaint; exit 1"
  return_fail_output
  log_fail_output
later_t:
  driver = pipe
  command = /bin/sh -c "exit 75"
slow_t:
  driver = pipe
  command = /bin/sleep 60
  timeout = 2s
flood_t:
  driver = pipe
  command = /usr/bin/yes
bomb_t:
  driver = pipe
  command = $T/bomb.sh
  timeout = 5s
link_t:
  driver = appendfile
  file = $M/link
hard_t:
  driver = appendfile
  file = $M/hard
full_t:
  driver = appendfile
  file = $M/full
big_t:
  driver = appendfile
  file = $M/big
locked_t:
  driver = appendfile
  file = $M/locked
  lock_retries = 1
  lock_interval = 1s
filt_t:
  driver = appendfile
  file = $M/filtered
  transport_filter = /bin/sed s/secret/hidden/
shadow_t:
  driver = appendfile
  file = $M/first
  shadow_transport = copy
copy:
  driver = appendfile
  file = $M/copy
  user_t_dummy = no
lmtp:
  driver = lmtp
  socket = $T/lmtp.sock
  batch_max = 10
vacation:
  driver = autoreply
  to = \$sender_address
  from = away@local.test
  subject = Re: \$h_subject:
  text = I am away.\n
  once = $M/once
  log = $M/vacation.log
address_pipe:
  driver = pipe
address_file:
  driver = appendfile
address_dir:
  driver = appendfile
begin retry
*  *  F,1h,2s
X
sed -i '/user_t_dummy/d; s/ : user : / : /' "$BOX/etc/exim.conf"
cat >"$T/script.sh" <<X
#!/bin/sh
{ echo "args: \$*"; echo "extra: \$EXTRA sender: \$SENDER local: \$LOCAL_PART"; cat; } >>$M/script.out
X
cat >"$T/bomb.sh" <<X
#!/bin/sh
grep 'Max processes' /proc/self/limits >$M/bomb.limit
i=0
while [ \$i -lt 900 ]; do
	/bin/sleep 77 &
	i=\$((i + 1))
	echo \$i >$M/bomb.count
done
/bin/sleep 77
X
chmod +x "$T/script.sh" "$T/bomb.sh"
cat >"$T/lmtpd.py" <<'X'
import socketserver, sys
class H(socketserver.StreamRequestHandler):
    def handle(self):
        w = lambda s: self.wfile.write(s.encode() + b'\r\n')
        w('220 lmtp ready'); rc = []
        while True:
            l = self.rfile.readline()
            if not l: return
            c = l.strip().upper()
            if c.startswith(b'LHLO'): w('250-lmtp'); w('250 8BITMIME')
            elif c.startswith(b'MAIL'): w('250 ok')
            elif c.startswith(b'RCPT'):
                if b'NOBODY' in c: w('550 5.1.1 no such user')
                else: rc.append(c); w('250 ok')
            elif c == b'DATA':
                w('354 go'); out = b''
                while True:
                    l = self.rfile.readline()
                    if l == b'.\r\n': break
                    out += l
                open(sys.argv[2], 'ab').write(b'\n'.join(rc) + b'\n' + out)
                for r in rc: w('452 4.2.2 full' if b'FULL' in r else '250 2.0.0 stored')
            elif c == b'QUIT': w('221 bye'); return
            else: w('500 what')
socketserver.ThreadingUnixStreamServer(sys.argv[1], H).serve_forever()
X
python3 "$T/lmtpd.py" "$T/lmtp.sock" "$M/lmtp.out" &
PIDS="$PIDS $!"
echo "somebody's" >"$T/target"; chmod 600 "$T/target"
ln -s "$T/target" "$M/link"
echo x >"$M/other"; ln "$M/other" "$M/hard"; chmod 600 "$M/hard"
: >"$M/locked"; chmod 600 "$M/locked"; touch "$M/locked.lock"
box_start
LOG=$BOX/var/log/mainlog
logged() { grep -q -- "$1" "$LOG"; }
send() { mt send "$SMTP" "${FROM-eve@local.test}" "$@" ; }

# mbox: the separators, the escape, the added fields.
send mbox@test.local --subject first --body "$(printf 'line\nFrom here\n.dot')"
wait_for 15 logged '=> mbox <mbox@test.local> R=one T=mbox_t'
head -c 20 "$M/mbox" | grep -q '^From eve@local.test' || die "no separator"
grep -q '^>From here' "$M/mbox" || die "not escaped"
grep -q '^Envelope-to: mbox@test.local' "$M/mbox" || die "no Envelope-to"
eq "$(stat -c %a "$M/mbox")" 600 mode
[ ! -e "$M/mbox.lock" ] || die "a lock is left"
if grep -q "$(printf '\r')" "$M/mbox"; then die "CR in the mailbox"; fi

# Maildir: name, size file, warning, quota.
send md@test.local --subject m1 --body "$(head -c 1400 /dev/zero | tr '\0' x | fold -w 60)"
wait_for 15 logged '=> md <md@test.local>'
eq "$(find "$M/md/new" -name '*,S=*' | wc -l)" 1 "messages of the Maildir"
eq "$(head -n1 "$M/md/maildirsize")" 3072S,0C "maildirsize"
wait_for 15 sh -c "[ \"$(mt imap "$IMAP" joe pw-joe count)\" ] && mailq >/dev/null"
wait_for 20 sh -c "test \$(python3 '$TOP/tests/lib/mailtool.py' imap $IMAP joe pw-joe count) = 1"
send md@test.local --subject m2 --body "$(head -c 2400 /dev/zero | tr '\0' x | fold -w 60)"
wait_for 15 logged '== md@test.local R=one T=md_t.*mailbox is full\|== md <md@test.local>.*mailbox is full'
eq "$(find "$M/md/new" "$M/md/tmp" -type f | wc -l)" 1 "messages after the quota"

# Pipes: words, environment, exit statuses, times, output.
send script@test.local --subject p
wait_for 15 logged '=> script <script@test.local>'
has "$(cat "$M/script.out")" "args: two words script" "arguments"
has "$(cat "$M/script.out")" "extra: yes sender: eve@local.test local: script" "environment"
send fail@test.local --subject p
wait_for 15 logged 'fail_t: Child process of fail_t transport returned 1 from command: /bin/sh'
wait_for 15 logged 'transport output: complaint'
send later@test.local --subject p
wait_for 15 logged 'returned 75 (could mean temporary error)'
send slow@test.local --subject p
wait_for 20 logged 'slow_t: pipe delivery process timed out'
send flood@test.local --subject p
wait_for 20 logged 'flood_t: Child process of flood_t transport'

# Redirection to a pipe, a file and a folder.
send list@local.test --subject l
wait_for 15 logged "=> |$T/script.sh pipe <list@local.test>"
wait_for 15 logged "=> $M/named <list@local.test>"
wait_for 15 sh -c "ls $M/folder | grep -q ."

# A reply, once.
send away@local.test --subject hello
replies() { [ "$(mt imap "$IMAP" eve pw-eve ids SUBJECT | grep -c "$1")" = "$2" ]; }
wait_for 15 replies 'Re: hello' 1
send away@local.test --subject again
wait_for 15 grep -q "previously sent to eve@local.test" "$M/vacation.log"
sleep 1
replies 'Re: ' 1 || die "more replies: $(mt imap "$IMAP" eve pw-eve ids SUBJECT)"

# LMTP: each recipient has its own answer.
send ann@lmtp.test,nobody@lmtp.test,full@lmtp.test --subject l
wait_for 15 logged '=> ann <ann@lmtp.test> R=lmtp T=lmtp.*C="250 2.0.0 stored"'
wait_for 15 logged 'nobody.*550 5.1.1 no such user'
wait_for 5 logged 'full.*452 4.2.2 full'

# A filter and a shadow.
send filt@test.local --subject f --body "the secret word"
wait_for 15 logged '=> filt <filt@test.local>'
grep -q "the hidden word" "$M/filtered" || die "not filtered"
send shadow@test.local --subject s
wait_for 15 logged '=> shadow <shadow@test.local> .*ST=copy'
cmp "$M/first" "$M/copy" || die "the copy differs"

# Hostile mailboxes: nothing is written through links; a lock is respected; what does not fit leaves nothing behind.
send link@test.local --subject x
send hard@test.local --subject x
send locked@test.local --subject x
wait_for 15 logged 'link.*is not a regular file'
eq "$(cat "$T/target")" "somebody's" "the link's target"
wait_for 15 logged 'hard.*too many links'
eq "$(cat "$M/other")" x "the other name"
wait_for 15 logged 'locked.*failed to lock mailbox'
printf 'old\n' >"$M/big"; chmod 600 "$M/big"
{ printf 'Subject: big\n\n'; head -c 3000000 /dev/zero | tr '\0' x | fold -w 70; echo; } >"$T/big.msg"
send big@test.local --file "$T/big.msg"
wait_for 20 logged 'big.*File too large'
eq "$(cat "$M/big")" old "the mailbox after a write that failed"
# Last, for the system may take its time to forget so many processes.
send bomb@test.local --subject p
# Where others have the same uid it might be their doing: the command is tried again.
wait_for 30 logged 'bomb <bomb@test.local> R=one T=bomb_t defer'
# What runs already is allowed for, up to three times the number.
SOFT=$(sed 's/^[^0-9]*//; s/ .*//' "$M/bomb.limit")
[ "$SOFT" -ge "$LIMIT" ] && [ "$SOFT" -le $((LIMIT * 4)) ] || die "the limit of processes: $(cat "$M/bomb.limit")"
[ "$(cat "$M/bomb.count")" -lt 850 ] || die "the bomb had $(cat "$M/bomb.count") processes"
wait_for 20 sh -c '! pgrep -u "$(id -u)" -f "^/bin/sleep 77"'
box_stop
echo "local transports: all as it should"
