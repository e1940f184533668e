#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# powercut.sh - what cuts the power of a box that runs under the crash shim, and starts it again.
#   powercut.sh start|cut [SEED]      with BOX, SHIM_ROOT, SHIM_DIR, SHIM_SO, RUN_LOG, PORTS (to wait for)
# cut: everything stops between two system calls, what was not synced is lost (all of it for an even SEED, a random part
# for an odd one), and the box is started.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# All processes of the box: its session's (their environment is gone, it makes room for the titles).
pids() {
	# Processes come and go meanwhile: cat passes over those that are gone.
	{ cat /proc/[0-9]*/stat 2>/dev/null || true; } |
		awk -v s="$(cat "$SHIM_DIR.sid" 2>/dev/null || echo none)" '{ pid = $1; sub(/.*\) /, ""); if ($4 == s && $1 != "Z") print pid }'
}

start() {
	# shellcheck disable=SC2016
	setsid sh -c 'echo $$ >"$SHIM_DIR.sid"; LD_PRELOAD=$SHIM_SO exec vpost run "$BOX"' >>"$RUN_LOG" 2>&1 </dev/null &
	local i p
	for p in $PORTS; do
		for i in $(seq 600); do
			if port_open "$p"; then break; fi
			sleep 0.1
		done
		port_open "$p" || { echo "port $p never opened after a power cut" >&2; exit 1; }
	done
}

kill_all() {
	local i p left
	python3 "$here/crashrestore.py" freeze "$SHIM_DIR"
	for i in $(seq 200); do
		left=$(pids)
		[ -n "$left" ] || return 0
		for p in $left; do kill -KILL "$p" 2>/dev/null || true; done
		sleep 0.05
	done
	echo "processes of the box do not end: $left" >&2
	exit 1
}

case $1 in
start) start ;;
kill) kill_all ;;
cut)
	kill_all
	seed=${2:-0}
	mode=lost
	[ $((seed % 2)) = 0 ] || mode=random
	echo "cut $seed ($mode): $(python3 "$here/crashrestore.py" restore "$SHIM_ROOT" "$SHIM_DIR" --mode $mode --seed "$seed")" >>"$RUN_LOG"
	rm -f "$BOX"/var/run/*.sock
	start
	;;
esac
