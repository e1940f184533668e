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
