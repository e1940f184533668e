# shellcheck shell=bash
# The system counts the processes of a user, and all accounts of this box are one: an account that holds as many as it may takes none from
# the programs of others.
. "$(dirname "$0")/../lib/box.sh"

box_make
conf "local_processes = 250"
box_users many ann rules
for u in many ann rules; do mkdir -p "$BOX/home/$u"; done
# shellcheck disable=SC2016
echo '"|/bin/sh -c '\''i=0; while [ $i -lt 130 ]; do sleep 60 & i=$((i+1)); done; echo held >>$HOME/held; wait'\''"' >"$BOX/home/many/.forward"
echo '"|/bin/sh -c '\''(cat; echo end) >>$HOME/piped; (true)'\''"' >"$BOX/home/ann/.forward"
# shellcheck disable=SC2016
printf ':0 w\n| (cat; echo end) >>$HOME/piped && (true)\n' >"$BOX/home/rules/.procmailrc"
chmod 755 "$BOX/home" "$BOX"/home/*
chmod 644 "$BOX"/home/*/.forward "$BOX/home/rules/.procmailrc"
box_start

# Where others of the uid took what was left, it is deferred as it should, and tried again.
held() { sendmail -qff; [ "$(wc -l <"$BOX/home/many/held")" = "$1" ]; }
# One after the other: two that grow at the same time may meet the first one's limit (which leaves room for what else runs).
for n in 1 2; do
	echo x | sendmail -f a@b.test many@local.test
	wait_for 60 held $n
done
for u in ann rules; do echo x | sendmail -f a@b.test "$u@local.test"; done
wait_for 30 grep -q end "$BOX/home/ann/piped"
wait_for 30 grep -q end "$BOX/home/rules/piped"
hasnot "$(cat "$BOX/var/log/mainlog")" ' ** ' "the log"
