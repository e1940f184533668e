#!/bin/bash
# dotfiles.sh - what users' files cost.  Parts of PARTS: "child": the rules below in one process as a user's child runs them, with
# the count of instructions where valgrind is installed; "box": the ten-mailbox load of run.sh, in turn without files and with a
# .procmailrc of 20 recipes in each home that starts no program: the difference in CPU and in throughput; and "programs": the same
# rules as a process of procmail, of ours, and `exim4 -bf` on a filter like them, where those are installed.
# Needs root and the peers' scripts in $VPOST_PEERS, as run.sh, which sources them too.
set -eu
TOP=$(cd "$(dirname "$0")/../.." && pwd)
BUILD=$(realpath "${BUILD:-$TOP/build}")
[ -n "${VPOST_PEERS-}" ] || { echo "bench: VPOST_PEERS must name the folder of the peers' scripts" >&2; exit 2; }
[ "$(id -u)" = 0 ] || { echo "bench: must be root" >&2; exit 2; }
P=$VPOST_PEERS W=${BENCH_DIR:-/var/tmp/vpost-bench-dotfiles} RUNS=${RUNS:-3} PARTS=${PARTS:-child box programs} MESSAGES=${MESSAGES:-5000}
. "$P/lib.sh"
PATH=$BUILD/bin:$BUILD/sbin:$PATH
rm -rf "$W"
mkdir -p "$W"
PORTS=28000
BOX=$W/box

# Twenty recipes; none matches what the load sends, so each is tried.
rules() {
	local i
	echo 'MAILDIR=$HOME/Mail'
	for i in $(seq 12); do printf ':0\n* ^(List-Id|X-Mailing-List):.*<list%d\\.example\\.org>\n! %s.Lists\n\n' "$i" "$1"; done
	printf ':0\n* ^TO_staff@example\\.org\n! %s.Staff\n\n' "$1"
	printf ':0\n* ^From:.*(boss|chief)@example\\.org\n* !^Precedence: (bulk|list|junk)\n! %s.Boss\n\n' "$1"
	printf ':0\n* ^X-Spam-Flag: YES\n! %s.Spam\n\n' "$1"
	printf ':0\n* ^Subject:.*\\<(viagra|lottery|prize)\\>\n! %s.Spam\n\n' "$1"
	printf ':0\n* ^FROM_DAEMON\n! %s.Robots\n\n' "$1"
	printf ':0\n* > 5000000\n* ^Content-Type: multipart\n! %s.Large\n\n' "$1"
	printf ':0\n* -1^0\n* 2^1 ^Subject:.*urgent\n* 1^0 ^X-Priority: 1\n! %s.Urgent\n\n' "$1"
	printf ':0\n* ^Subject:.*\\[project\\]\n* ^Cc:.*project@\n! %s.Project\n' "$1"
}

# The same as an Exim filter.
exim_rules() {
	local i
	echo '# Exim filter'
	for i in $(seq 20); do printf 'if $h_list-id: contains "list%d.example.org" or $h_subject: matches "\\\\\\\\bword%d\\\\\\\\b" then save Mail/l%d endif\n' "$i" "$i" "$i"; done
}

box_make() {
	local u
	rm -rf "$BOX"
	vpost init "$BOX" --ports $PORTS --hostname mail.local.test >/dev/null
	echo local.test >"$BOX/etc/domains"
	for u in u1 $(seq 0 9 | sed 's/^/m/'); do echo pw | vpost adduser -b "$BOX" "$u" >/dev/null; done
	python3 -c 'for i in range(20000): print("%du: m%d" % (i, i % 10))' >>"$BOX/etc/aliases"
	vnewaliases -d "$BOX" >/dev/null
	echo 'user = nobody' >>"$BOX/etc/vpost.conf"
	for u in $(seq 0 9 | sed 's/^/m/'); do
		mkdir -p "$BOX/home/$u"
		rules "$u" >"$BOX/home/$u/rules"
	done
	chown -R nobody "$BOX"
	chmod -R go-w "$BOX/home"
}

files() { # on|off
	local u
	for u in $(seq 0 9 | sed 's/^/m/'); do
		rm -f "$BOX/home/$u/.procmailrc"
		[ "$1" = off ] || cp -p "$BOX/home/$u/rules" "$BOX/home/$u/.procmailrc"
	done
}

box_start() {
	cg_exec "$BOX" setpriv --reuid nobody --regid nogroup --clear-groups "$BUILD/bin/vpost" run "$BOX" >"$W/ours.log" 2>&1 &
	wait_port $((PORTS + 25)); wait_port $((PORTS + 143)); wait_port $((PORTS + 110))
	cat >"$BOX/peer.env" <<E
PEER=vpost DIR=$BOX SMTP_PORT=$((PORTS + 25)) SINK_PORT=$((PORTS + 9)) IMAP_PORT=$((PORTS + 143)) POP_PORT=$((PORTS + 110)) PASS=pw MAILROOT=$BOX/var/mail CG=$(cg_of "$BOX")
COUNT='expr \$(python3 $TOP/tests/bench/imapcount.py count $((PORTS + 143))) - \$(cat $W/before)'
RESET='python3 $TOP/tests/bench/imapcount.py count $((PORTS + 143)) >$W/before'
E
}

# CPU microseconds of a daemon so far, its children's with it, also those that have ended.
cpu_of() { # NAME
	local p n=0
	for p in $(cg_pids "$(cg_of "$BOX")"); do
		[ "$(cat "/proc/$p/comm")" != "$1" ] || n=$((n + $(sed 's/.*) //' "/proc/$p/stat" | awk '{ print $12 + $13 + $14 + $15 }')))
	done
	echo $((n * 1000000 / $(getconf CLK_TCK)))
}

box_part() {
	local kind turn users queue
	box_make
	box_start
	# Nothing is removed between the loads: some file systems create slowly in places of files that went a minute ago.
	for kind in off on; do
		files $kind
		"$P/smtp_load.sh" "$BOX" -s 20 -l 4096 -m "$MESSAGES" -N >/dev/null
	done
	for turn in $(seq "$RUNS"); do
		for kind in $([ $((turn % 2)) = 0 ] && echo on off || echo off on); do
			files $kind
			users=$(cpu_of vlocald) queue=$(cpu_of vqueued)
			LABEL=$([ $kind = on ] && echo files || echo plain) "$P/smtp_load.sh" "$BOX" -s 20 -l 4096 -m "$MESSAGES" -N
			echo "$kind: us a message: vlocald and its children $((($(cpu_of vlocald) - users) / MESSAGES)), vqueued $((($(cpu_of vqueued) - queue) / MESSAGES))"
		done
	done | tee "$W/raw"
	cg_stop "$(cg_of "$BOX")"
	python3 - "$W/raw" <<'E'
import re, statistics, sys
rows = {'plain': [], 'files': []}
parts = {'on': [], 'off': []}
for l in open(sys.argv[1]):
    m = re.match(r'(plain|files) .*delivered/s ([\d.]+) .*cpu_s/1000 ([\d.]+)', l)
    if m and 'INCOMPLETE' not in l:
        rows[m[1]].append((float(m[2]), float(m[3])))
    m = re.match(r'(on|off): .* children (-?\d+), vqueued (-?\d+)', l)
    if m:
        parts[m[1]].append((int(m[2]), int(m[3])))
med = {k: [statistics.median(c) for c in zip(*v)] for k, v in rows.items()}
low = {k: min(c for _, c in v) for k, v in rows.items()}
print('\n20 recipes: CPU %.0f us a message more by the medians, %.0f us by the least of each; delivered/s %.0f without files, %.0f with: %+.1f %%' %
      ((med['files'][1] - med['plain'][1]) * 1000, (low['files'] - low['plain']) * 1000, med['plain'][0], med['files'][0],
       (med['files'][0] / med['plain'][0] - 1) * 100))
part = [statistics.median(x[i] for x in parts['on']) - statistics.median(x[i] for x in parts['off']) for i in (0, 1)]
print('of that: vlocald and its children %.0f us, vqueued %.0f us' % tuple(part))
E
}

# cost NAME N COMMAND...: CPU of a run of COMMAND with the message as input
cost() {
	python3 - "$@" "$W/message" <<'E'
import resource, subprocess, sys
name, n, *cmd, msg = sys.argv[1:]
def used():
    r = resource.getrusage(resource.RUSAGE_CHILDREN)
    return r.ru_utime + r.ru_stime
best = 1e9
for _ in range(5):
    a = used()
    for _ in range(int(n)):
        subprocess.run(cmd, stdin=open(msg), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, close_fds=False)
    best = min(best, (used() - a) / int(n))
print('%-28s %7.0f us of CPU a message' % (name, best * 1e6))
E
}

programs_part() {
	local x
	mkdir -p "$W/home/Mail"
	rules m0 | sed 's,^! .*,/dev/null,' >"$W/rc"
	printf 'DEFAULT=%s/mbox\n' "$W/home" | cat - "$W/rc" >"$W/rc2"
	exim_rules >"$W/filter"
	python3 - >"$W/message" <<'E'
print('From: Sender <sender@sender.test>\nTo: m0@local.test\nSubject: figures of the month\nMessage-ID: <1@sender.test>\nDate: Mon, 02 Jan 2023 10:11:12 +0000\n')
print('\n'.join('x' * 72 for _ in range(55)))
E
	echo
	for x in /usr/bin/procmail "$BUILD/bin/procmail"; do
		[ ! -x "$x" ] || cost "$x" 100 "$x" -m HOME="$W/home" DEFAULT="$W/home/mbox" "$W/rc2"
	done
	if [ -x /opt/peers/exim/usr/sbin/exim4 ]; then
		printf 'primary_hostname = mail.local.test\nbegin routers\nbegin transports\n' >"$W/exim.conf"
		LD_LIBRARY_PATH=$(find /opt/peers/exim/usr/lib /opt/peers/exim/lib -type d 2>/dev/null | paste -sd:) \
		    cost "exim4 -bf" 30 /opt/peers/exim/usr/sbin/exim4 -C "$W/exim.conf" -bf "$W/filter" -f s@sender.test
	fi
	cost "ours: exim -bf" 100 "$BUILD/bin/exim" -C "$W/exim.conf" -bf "$W/filter" -f s@sender.test
}

# Instructions of one message: the difference of two runs.
instructions() {
	local n of=()
	for n in 100 1100; do
		of+=("$(valgrind --tool=callgrind --callgrind-out-file=/dev/null "$@" $n 2>&1 | awk '/refs:/ { gsub(",", ""); print $NF }')")
	done
	echo "$(((of[1] - of[0]) / 1000)) instructions a message"
}

child_part() {
	mkdir -p "$W/child/Mail"
	rules m0 >"$W/child/.procmailrc"
	for _ in 1 2 3; do "$BUILD/tests/bench/procmail_rules" "$W/child" "$W/child/.procmailrc"; done
	! command -v valgrind >/dev/null || instructions "$BUILD/tests/bench/procmail_rules" "$W/child" "$W/child/.procmailrc"
}

for part in $PARTS; do ${part}_part; done
