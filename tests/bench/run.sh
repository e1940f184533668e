#!/bin/bash
# run.sh - our figures beside a peer's, in one run, in turn, RUNS times (default 3), medians and ratios at the end.
# Needs root (cgroups give exact CPU), the peers' scripts in $VPOST_PEERS, and nothing else running.  PARTS picks
# from: local ten large relay idle.  Ours runs as shipped; only its addresses, users and ports are a test's.
set -eu
TOP=$(cd "$(dirname "$0")/../.." && pwd)
BUILD=$(realpath "${BUILD:-$TOP/build}")
[ -n "${VPOST_PEERS-}" ] || { echo "bench: VPOST_PEERS must name the folder of the peers' scripts" >&2; exit 2; }
[ "$(id -u)" = 0 ] || { echo "bench: must be root" >&2; exit 2; }
P=$VPOST_PEERS W=${BENCH_DIR:-/var/tmp/vpost-bench} RUNS=${RUNS:-3} PARTS=${PARTS:-local ten large relay idle}
. "$P/lib.sh"
PATH=$BUILD/bin:$BUILD/sbin:$PATH
[ -x /opt/peers/bin/mailbench ] || "$P/install.sh"
mkdir -p "$W"
OUT=$W/raw; : >"$OUT"
PORTS=27000
BOX=$W/box

ours_make() {
	rm -rf "$BOX"
	vpost init "$BOX" --ports $PORTS --hostname mail.local.test >/dev/null
	echo local.test >"$BOX/etc/domains"
	# u<N> and m0..m9 are accounts; <digits>u goes to one of the ten by its last digit.
	for u in $(seq 0 100 | sed 's/^/u/') $(seq 0 9 | sed 's/^/m/'); do echo pw | vpost adduser -b "$BOX" "$u" >/dev/null; done
	python3 -c 'for i in range(20000): print("%du: m%d" % (i, i % 10))' >>"$BOX/etc/aliases"
	vnewaliases -d "$BOX" >/dev/null
	# Relaying: the world is a sink on this machine, where the shipped router would not send to.
	printf 'relay.test MX 10 sink.relay.test\nsink.relay.test A 127.0.0.1\n' >"$BOX/etc/bench.zone"
	printf 'dns_zone_file = etc/bench.zone\nremote_port = %s\nuser = nobody\n' $((PORTS + 9)) >>"$BOX/etc/vpost.conf"
	sed -i 's/ignore_target_hosts = .*/ignore_target_hosts = <; 0.0.0.0\n  self = send/' "$BOX/etc/exim.conf"
	chown -R nobody "$BOX"
}

ours_start() {
	cg_exec "$BOX" setpriv --reuid nobody --regid nogroup --clear-groups "$BUILD/bin/vpost" run "$BOX" >"$W/ours.log" 2>&1 &
	wait_port $((PORTS + 25)); wait_port $((PORTS + 143)); wait_port $((PORTS + 110))
	cat >"$BOX/peer.env" <<X
PEER=vpost DIR=$BOX SMTP_PORT=$((PORTS + 25)) SINK_PORT=$((PORTS + 9)) IMAP_PORT=$((PORTS + 143)) POP_PORT=$((PORTS + 110)) PASS=pw MAILROOT=$BOX/var/mail CG=$(cg_of "$BOX")
COUNT='python3 $TOP/tests/bench/imapcount.py count $((PORTS + 143))'
RESET='python3 $TOP/tests/bench/imapcount.py empty $((PORTS + 143))'
X
}
ours_stop() { cg_stop "$(cg_of "$BOX")"; }

loads() { # DIR
	local part
	for part in $PARTS; do
		case $part in
		local) "$P/smtp_load.sh" "$1" -s 20 -l 4096 -m 5000 ;;
		ten) "$P/smtp_load.sh" "$1" -s 20 -l 4096 -m 5000 -N ;;
		large) "$P/smtp_load.sh" "$1" -s 20 -l 102400 -m 500 ;;
		relay) "$P/smtp_load.sh" "$1" -R -s 20 -l 4096 -m 2000 ;;
		esac
	done | tee -a "$OUT"
}

ours_make
for r in $(seq "$RUNS"); do
	echo "run $r: vpost"
	ours_start
	"$P/smtp_load.sh" "$BOX" -s 20 -m 200 >/dev/null	# warm-up
	loads "$BOX"
	ours_stop
	echo "run $r: postfix"
	"$P/postfix.sh" start "$W/postfix" 27500
	"$P/smtp_load.sh" "$W/postfix" -s 20 -m 200 >/dev/null
	loads "$W/postfix"
	"$P/postfix.sh" stop "$W/postfix"
done
case " $PARTS " in *" idle "*)
	for k in imap smtp; do
		ours_start
		LABEL=vpost "$P/idle_load.sh" "$BOX" $k 1000 8 | tee -a "$W/idle"
		awk '{print "memory.current", $1/1024/1024, "MB"}' "$(cg_of "$BOX")/memory.current" 2>/dev/null || true
		ours_stop
	done ;;
esac
python3 "$TOP/tests/bench/ratios.py" "$OUT"
"$TOP/tests/bench/exim.sh" || true
PARTS="" "$TOP/tests/bench/dotfiles.sh" || true
