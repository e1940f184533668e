# shellcheck shell=bash
# A box that root started: who the processes are, what `vpost check` and `vpost start` say when the user of the daemons is
# missing or does not own the box, and mail all the way, also after root used the tools.
NEED_ROOT=1 NEED_NET=1
. "$(dirname "$0")/../lib/box.sh"

chmod 755 "$T"
box_make
conf "user = nosuchuser"
vpost check "$BOX" >"$T/out" && die "check is content without a user"
has "$(cat "$T/out")" "useradd -r -M -s /usr/sbin/nologin nosuchuser"
vpost run "$BOX" >"$T/out" 2>&1 && die "it runs without a user"
has "$(cat "$T/out")" 'there is no user "nosuchuser"'

conf "user = daemon"
chown -R root "$BOX"
vpost check "$BOX" >"$T/out" && die "check is content with root's files"
has "$(cat "$T/out")" "chown -R daemon $BOX"
chown -R daemon: "$BOX"
box_users joe
vpost check "$BOX" >"$T/out" || { cat "$T/out"; die "vpost check"; }

# Root's tools leave maps that the daemons can write.
vsmtprelay add 10.11.12.13
echo "bad@spam.test" >>"$BOX/etc/spammers"
vnewspammers
for f in relayers.db spammers.db vusers vusers.db aliases.db; do eq "$(stat -c %U "$BOX/etc/$f")" daemon "owner of $f"; done

box_start
for d in vstored vqueued vsmtpd vpop3d vimapd; do eq "$(stat -c %U "/proc/$(daemon_pid $d)")" daemon "uid of $d"; done
# Those that must see secrets or become users keep root in one process; what talks to others does not.
for d in vauthd vlocald; do eq "$(stat -c %U "/proc/$(daemon_pid $d)")" root "uid of $d"; done
eq "$(ps -o user= -p "$(pgrep -d, -P "$(daemon_pid vauthd)")" | sort -u | tr -d "\n ")" daemon "uid of vauthd's server"
mt send "$SMTP" someone@out.test joe@local.test --file "$TOP/tests/data/1-plain.eml" || die "send"
in_box() { [ "$(mt pop "$POP3" joe pw-joe count)" = "$1" ]; }
wait_for 10 in_box 1
has "$(vsmtprelay dump)" "127.0.0.1 " "the login's entry beside root's"
has "$(vsmtprelay dump)" "10.11.12.13 "
[ -z "$(find "$BOX/var/mail" "$BOX/var/spool" ! -user daemon | head -n 3)" ] || die "files of somebody else in the store or the spool"
