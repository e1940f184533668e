# shellcheck shell=bash
# Every setting in the shipped exim.conf, alone and all together, is read without a mistake by us, and by Exim where there is one.
. "$(dirname "$0")/../lib/box.sh"
EXIM=${VPOST_PEERROOT:-/opt/peers}/exim/usr/sbin/exim4

box_make
good() { # FILE WHAT
	sendmail -C "$1" -bV >"$T/out" 2>&1 || { cat "$T/out"; die "$2: sendmail -bV"; }
	hasnot "$(cat "$T/out")" "error" "$2"
	[ ! -x "$EXIM" ] || "$EXIM" -C "$1" -bV >"$T/out" 2>&1 || { cat "$T/out"; die "$2: exim -bV"; }
}
chmod 755 "$T"
settings=$(sed -n 's/^#\([A-Z][A-Z_0-9]*\) = .*/\1/p' "$TOP/etc/exim.conf")
[ "$(echo "$settings" | wc -l)" -ge 10 ] || die "settings: $settings"
for s in $settings; do
	case $s in FILTER_RETURN_PORT) continue ;; CONTENT_FILTER) s="CONTENT_FILTER|FILTER_RETURN_PORT" ;; esac
	sed -E "s/^#($s) = /\1 = /" "$TOP/etc/exim.conf" >"$T/one.conf"
	chmod 644 "$T/one.conf"
	good "$T/one.conf" "$s"
done
sed -E 's/^#([A-Z][A-Z_0-9]*) = /\1 = /' "$TOP/etc/exim.conf" >"$T/all.conf"
chmod 644 "$T/all.conf"
good "$T/all.conf" "all settings"
sed -E 's/^(DNS_LIST_[12]) = /#&/' "$TOP/etc/exim.conf" >"$T/none.conf"
chmod 644 "$T/none.conf"
good "$T/none.conf" "without DNS lists"

# The box's own check looks deeper; it finds nothing to tell of the file with everything on.
sed "s|^BOX = /var.*|BOX = $BOX|" "$T/all.conf" >"$BOX/etc/exim.conf"
for m in access recipients relayers spammers; do printf 'x@y.test 1\n' | makemap hash "$BOX/etc/$m.db"; done
out=$(vpost check "$BOX" 2>&1) || die "vpost check: $out"
hasnot "$(echo "$out" | grep -v "is not there")" "exim.conf" "vpost check"

# What is typed wrong in a setting is told with its line and what to write: in exim.conf where it would come up with the first
# client only, in vpost.conf where a word means nothing.
while IFS='|' read -r line want; do
	sed "s|^#*${line%% *} = .*|$line|" "$TOP/etc/exim.conf" >"$BOX/etc/exim.conf"
	has "$(vpost check "$BOX" 2>&1)" "$want" "$line"
done <<'X'
GREYLIST = 5 minutes|seen: "5 minutes" is no time: write it like 5m
ACCOUNT_RATE = many / 1h|ratelimit: "many" is no number: write how many
message_size_limit = 25Q|message_size_limit: "25Q" is no number
SMARTHOST = relay.test:587|write "relay.test::587"
X
cp "$TOP/etc/exim.conf" "$BOX/etc/exim.conf"
cp "$BOX/etc/vpost.conf" "$T/vpost.conf"
n=$(($(wc -l <"$T/vpost.conf") + 1))
while IFS='|' read -r line want; do
	{ cat "$T/vpost.conf"; echo "$line"; } >"$BOX/etc/vpost.conf"
	has "$(vpost check "$BOX" 2>&1)" "etc/vpost.conf:$n: $want" "$line"
done <<'X'
services = store:auth:imp|services: there is no "imp"
log_level = loud|log_level: "loud" should be debug, info, warn or error
log_level = info vsmtp=debug|log_level: there is no daemon "vsmtp"
log_syslog = loc|log_syslog: "loc" is no facility
max_sessions = many|max_sessions must be a whole number
smtp_listn = 127.0.0.1:25|unknown setting "smtp_listn"
X
has "$(vpost check -q 2>&1)" "vpost check: invalid option" "a wrong option"
has "$(makemap hash "$T/none/x" </dev/null 2>&1)" "none/x.db.lock: No such file or directory" "makemap into a folder that is not there"
