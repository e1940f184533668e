# shellcheck shell=bash
# Exim itself reads the shipped exim.conf and answers its questions as we do.
. "$(dirname "$0")/../lib/box.sh"
EXIM=${VPOST_PEERROOT:-/opt/peers}/exim/usr/sbin/exim4
[ -x "$EXIM" ] || skip "no Exim under ${VPOST_PEERROOT:-/opt/peers} (tests/lib/peers.sh unpacks it)"

"$EXIM" -C "$TOP/etc/exim.conf" -bV >"$T/out" 2>&1 || { cat "$T/out"; die "exim -bV"; }
has "$(cat "$T/out")" "Configuration file is $TOP/etc/exim.conf"
sendmail -C "$TOP/etc/exim.conf" -bV >"$T/ours" 2>&1 || { cat "$T/ours"; die "sendmail -bV"; }
has "$(cat "$T/ours")" "onfiguration file is $TOP/etc/exim.conf"
