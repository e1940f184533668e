# shellcheck shell=bash
# What vpost-move(7) says of a move from Exim: the box's exim.conf is one line that includes the configuration there is, the old queue is
# delivered by sendmail -C, a changed file counts after a reload and a mistake in it does not, and on the way back what waits goes out
# while no mail is taken in.
. "$(dirname "$0")/../lib/box.sh"

box_make
mkdir "$T/mail" "$T/spool"
cat >"$T/exim.conf" <<E
primary_hostname = mail.local.test
qualify_domain = local.test
domainlist local_domains = @ : local.test
spool_directory = $T/spool
log_file_path = $T/spool/%slog
acl_smtp_rcpt = check
begin acl
check:
  accept domains = +local_domains
  deny message = relay not permitted
begin routers
away:
  driver = manualroute
  domains = away.test
  route_list = * 127.0.0.1::$((BASE + 26))
  self = send
  transport = out
here:
  driver = accept
  domains = +local_domains
  transport = file
begin transports
out:
  driver = smtp
file:
  driver = appendfile
  file = $T/mail/\${lookup{\$local_part}dsearch,filter=file{$T/mail}}
  user = $(id -un)
begin retry
* * F,2h,1m
E
touch "$T/mail/joe"
sendmail -C "$T/exim.conf" -bV -v >"$T/out" 2>&1 || { cat "$T/out"; die "-bV"; }
printf 'Subject: waited\n\nx\n' | sendmail -C "$T/exim.conf" -odq joe@local.test

echo ".include $T/exim.conf" >"$BOX/etc/exim.conf"
: >"$BOX/etc/domains"
conf "services = smtp:queue:local:store:auth"
out=$(vpost check "$BOX") || { echo "$out"; die "vpost check"; }
hasnot "$out" "etc/domains" "a check of a configuration with domains of its own"
vpost run "$BOX" >>"$T/run.log" 2>&1 &
RUN=$! PIDS="$PIDS $RUN"
wait_port "$SMTP"
has "$(vpost status "$BOX")" "vimapd    off" "vpost status"
mt send "$SMTP" --source 127.0.0.2 a@x.test joe@local.test --subject new
wait_for 10 grep -q "Subject: new" "$T/mail/joe"
eq "$(grep -c "Subject: waited" "$T/mail/joe")" 0 "what waits in the old queue"
sendmail -C "$T/exim.conf" -qff
grep -q "Subject: waited" "$T/mail/joe" || die "the old queue"
eq "$(sendmail -C "$T/exim.conf" -bpc)" 0 "messages in the old queue"

# Whoever wrote the file goes on to write it.
sed -i 's/relay not permitted/no relay here/' "$T/exim.conf"
vpost reload "$BOX"
wait_for 10 sh -c "python3 '$TOP/tests/lib/mailtool.py' rcpt $SMTP --source 127.0.0.2 a@x.test b@y.test | grep -q 'no relay here'"
sed -i 's/no relay here/nor there/; s/driver = accept/driver = acept/' "$T/exim.conf"
out=$(vpost reload "$BOX" 2>&1) && die "a reload with a mistake"
has "$out" "$T/exim.conf:$(grep -n ^here: "$T/exim.conf" | cut -d: -f1): " "the mistake"
kill -HUP "$RUN"
sleep 0.5
has "$(mt rcpt "$SMTP" --source 127.0.0.2 a@x.test b@y.test)" "no relay here" "after a mistake"
sed -i 's/driver = acept/driver = accept/' "$T/exim.conf"

# Back: nothing is taken in, what waits stays in the queue until it is gone.
printf 'Subject: out\n\nx\n' | sendmail x@away.test
wait_for 10 sh -c '[ "$(sendmail -bpc)" = 1 ]'
box_stop
conf "services = queue:local:store:auth"
vpost run "$BOX" >>"$T/run.log" 2>&1 &
RUN=$! PIDS="$PIDS $RUN"
wait_for 15 sh -c '[ "$(sendmail -bpc 2>/dev/null)" = 1 ]'
port_free "$SMTP" || die "mail is still taken in"
sendmail -Mrm "$(mailq | awk '/^ *[0-9]+[mhd]/ { print $3 }')"
wait_for 10 sh -c '[ "$(sendmail -bpc)" = 0 ]'
