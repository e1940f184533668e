# shellcheck shell=bash
# What the exit status of a user's rules means for the mail: EXITCODE with HOST gives it back or refuses it, with or without a
# file that took it; what the store has counts as delivered.  And rules that start a program for each mail leave nothing behind.
. "$(dirname "$0")/../lib/box.sh"
need python3

box_make
U="back refused both kept busy"
# shellcheck disable=SC2086 # words
box_users $U
for u in $U; do mkdir -p "$BOX/home/$u"; chmod 755 "$BOX/home" "$BOX/home/$u"; done
rules() { cat >"$BOX/home/$1/.procmailrc"; chmod 644 "$BOX/home/$1/.procmailrc"; }
printf ':0\n* ! ? test -e go\n{ EXITCODE=75 HOST }\n' | rules back
printf 'EXITCODE=77\nHOST\n' | rules refused
printf 'EXITCODE=77\n:0\ncopy\n' | rules both
printf 'EXITCODE=77\n:0\n! kept.INBOX\n' | rules kept
printf ':0 c\n| true\n' | rules busy
count() { mt imap "$IMAP" "$1" "pw-$1" count INBOX 2>/dev/null || echo 0; }
there() { [ "$(count "$1")" = "$2" ]; }
logged() { wait_for 15 grep -qE "$1" "$BOX/var/log/mainlog"; }
box_start

post() { mt send "$SMTP" s@out.test "$1@local.test" --subject "$1"; }
for u in $U; do post "$u"; done
logged '== back .*ended with status 75'
logged '\*\* refused .*ended with status 77'
logged '\*\* both .*ended with status 77'
wait_for 15 there kept 1
eq "$(grep -c 'Subject: both' "$BOX/home/both/copy")" 1 "the copy"
eq "$(count back)" 0 "delivered at once"
touch "$BOX/home/back/go"
wait_for 10 on_queue 1
VPOST_BOX=$BOX "$BUILD/bin/sendmail" -qff >/dev/null 2>&1 || true
wait_for 20 there back 1

for _ in 1 2 3 4 5 6; do post busy; done
wait_for 20 there busy 7
sleep 0.3
post busy; wait_for 15 there busy 8
zombies() { ps -eo stat,ppid | awk '$1 ~ /^Z/ { print $2 }' | while read -r p; do tr '\0' ' ' <"/proc/$p/cmdline" 2>/dev/null; echo; done | grep -c "for $BOX" || true; }
few() { [ "$(zombies)" -le 1 ]; }
wait_for 10 few
