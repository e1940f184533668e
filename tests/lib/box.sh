# shellcheck shell=bash
# Sourced by functional tests: a box of its own in a temporary folder, on free loopback ports, stopped and
# removed at the end.  Variables afterwards: BOX, BASE, SMTP SUBMISSION SMTPS POP3 POP3S IMAP IMAPS (ports).
#
# Set before sourcing: NEED_NET=1 runs the test in a network namespace of its own, with 192.0.2.1, 192.0.2.2 and 2001:db8::1
# as further addresses (clients that are not loopback), NEED_IPV6=1 that the last is there; NEED_ROOT=1 keeps root.  Otherwise a
# test started by root goes on as nobody.
set -eu
if [ -n "${NEED_NET-}" ] && [ -z "${IN_NET-}" ]; then
	[ "$(id -u)" = 0 ] || { echo "a network namespace needs root"; exit 77; }
	unshare -n true 2>/dev/null || { echo "no network namespaces here"; exit 78; }
	export IN_NET=1
	exec unshare -n bash "$0" "$@"
fi
if [ -n "${IN_NET-}" ] && [ "$(id -u)" = 0 ]; then
	ip link set lo up
	for a in 192.0.2.1/32 192.0.2.2/32 2001:db8::1/128; do
		ip addr add $a dev lo 2>/dev/null || [ -z "${NEED_IPV6-}" ] || { echo "no IPv6 here"; exit 78; }
	done
fi
if [ -n "${NEED_ROOT-}" ]; then
	[ "$(id -u)" = 0 ] || { echo "needs root"; exit 77; }
elif [ "$(id -u)" = 0 ]; then
	export HOME=/tmp USER=nobody LOGNAME=nobody
	exec setpriv --reuid 65534 --regid 65534 --clear-groups bash "$0" "$@"
fi
TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BUILD=$(realpath "${BUILD:-$TOP/build}")
PATH=$BUILD/bin:$BUILD/sbin:$PATH
T=$(mktemp -d "${TMPDIR:-/tmp}/vpost-test.XXXXXX")
# A sanitizer's reports go to files of their own: what programs say is compared, and it warns of fibers each time.
REPORTS=$T.reports
if [ -n "${VPOST_SAN-}" ]; then
	mkdir -m 1777 "$REPORTS"
	export ASAN_OPTIONS="${ASAN_OPTIONS-}:log_path=$REPORTS/r" LSAN_OPTIONS=suppressions=$TOP/tests/lib/lsan.supp:print_suppressions=0
fi
PIDS=
USED=	# bases of this test's boxes, started or not
mt() { python3 "$TOP/tests/lib/mailtool.py" "$@"; }

die() { echo "FAILED: $*" >&2; exit 1; }
skip() { echo "$*"; exit 77; }
need() { local c; for c in "$@"; do command -v "$c" >/dev/null || skip "$c is not installed"; done; }
# eq GOT WANT WHAT
eq() { [ "$1" = "$2" ] || die "${3:-value}: got '$1', want '$2'"; }
has() { case $1 in *"$2"*) ;; *) die "${3:-text} lacks '$2': $1" ;; esac; }
hasnot() { case $1 in *"$2"*) die "${3:-text} has '$2': $1" ;; esac; }

port_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
# Below the ports that the system gives to clients; any number, so that tests side by side hardly meet.
free_base() {
	local b i p ok
	for i in $(seq 50); do
		b=$((10000 + (RANDOM * 32768 + RANDOM) % 21000)) ok=1
		case " $USED " in *" $b "*) continue ;; esac
		for p in 25 110 143 465 587 993 995; do port_free $((b + p)) || ok=; done
		[ -z "$ok" ] || { echo $b; return; }
	done
	die "no free ports"
}

# box_make [NAME]: init a box and set the variables.
box_make() {
	BOX=$T/${1:-box}
	BASE=$(free_base)
	USED="$USED $BASE"
	vpost init "$BOX" --ports "$BASE" --hostname "${HOSTNAME_OF_BOX:-mail.local.test}" >"$T/init.log" 2>&1 || { cat "$T/init.log"; die "vpost init"; }
	SMTP=$((BASE + 25)) SUBMISSION=$((BASE + 587)) SMTPS=$((BASE + 465))
	POP3=$((BASE + 110)) POP3S=$((BASE + 995)) IMAP=$((BASE + 143)) IMAPS=$((BASE + 993))
	echo local.test >"$BOX/etc/domains"
	export VPOST_BOX=$BOX
}

# conf NAME = VALUE: set a setting of the box.
conf() { sed -i "/^${1%% *} *=/d" "$BOX/etc/vpost.conf"; echo "$*" >>"$BOX/etc/vpost.conf"; }

# setting NAME [VALUE]: turn a setting of the shipped exim.conf on; unset_setting NAME: off.
setting() {
	sed -i "s|^#*$1 = .*|$1 = ${2:-yes}|" "$BOX/etc/exim.conf"
	grep -q "^$1 = " "$BOX/etc/exim.conf" || die "exim.conf has no setting $1"
}
unset_setting() { sed -i "s|^$1 = |#&|" "$BOX/etc/exim.conf"; }

# adduser NAME...: accounts with the password "pw-NAME".
box_users() { local u; for u in "$@"; do echo "pw-$u" | vpost adduser "$u" >/dev/null || die "vpost adduser $u"; done; }

wait_port() { local i; for i in $(seq 600); do port_free "$1" || return 0; sleep 0.1; done; die "port $1 never opened; $(tail -n 5 "$BOX"/var/log/* 2>/dev/null)"; }
# The seconds say how long a broken program may hold up the rest, and measure nothing: a busy machine has half a minute at least.
wait_for() { # SECONDS COMMAND...
	local end=$(($(date +%s) + ($1 > 30 ? $1 : 30))); shift
	until "$@" >/dev/null 2>&1; do [ "$(date +%s)" -lt "$end" ] || die "not within time: $*"; sleep 0.1; done
}

# Send to hosts of 127.0.0.0/8 too, as no shipped box does: the world of a test is on this machine.
world_is_local() { sed -i 's/ignore_target_hosts = .*/ignore_target_hosts = <; 0.0.0.0\n  self = send/' "$BOX/etc/exim.conf"; }

box_start() {
	vpost run "$BOX" >>"$T/run.log" 2>&1 &
	RUN=$!
	PIDS="$PIDS $RUN"
	wait_port "$SMTP"; wait_port "$IMAP"; wait_port "$POP3"; wait_port "$SUBMISSION"
	wait_for 60 sendmail -bpc	# the queue answers
}
box_stop() {
	kill -TERM "$RUN" 2>/dev/null || true
	wait "$RUN" 2>/dev/null || true
	PIDS=${PIDS/ $RUN/}
}
# on_queue N [OPTION...]: sendmail -bp lists N messages at least, which have had their first attempt, so that a run of the queue tries them again.
on_queue() {
	local id n=$1
	shift
	for id in $(sendmail -bp "$@" | grep -oE '[0-9A-Za-z]{6}-[0-9A-Za-z]{6}-[0-9A-Za-z]{2}'); do
		sendmail -Mvh "$id" >/dev/null 2>&1 || return 1
		n=$((n - 1))
	done
	[ "$n" -le 0 ]
}
daemon_pid() { cat "$BOX/var/run/$1.pid"; }

at_end() { :; }
cleanup() {
	local rc=$? p
	at_end || true
	for p in $PIDS; do kill -TERM "$p" 2>/dev/null || true; done
	for p in $PIDS; do
		for _ in $(seq 100); do kill -0 "$p" 2>/dev/null || break; sleep 0.1; done
		kill -KILL "$p" 2>/dev/null || true
	done
	if [ $rc -ne 0 ] && [ $rc -ne 77 ]; then
		echo "--- logs of $T"
		tail -n 15 "$T"/run.log "$T"/*/var/log/* 2>/dev/null || true
	fi
	# A sanitizer's report is what matters most.
	if [ -n "${VPOST_SAN-}" ] && grep -qrE 'ERROR: (Address|Leak)Sanitizer|runtime error' "$REPORTS" "$T"/run.log 2>/dev/null; then
		grep -hr -A 25 -E 'ERROR: (Address|Leak)Sanitizer|runtime error' "$REPORTS" "$T"/run.log 2>/dev/null | head -60
		rc=1
	fi
	rm -rf "$REPORTS"
	[ -n "${VPOST_KEEP-}" ] || rm -rf "$T"
	exit $rc
}
trap cleanup EXIT
trap 'exit 1' INT TERM
