#!/bin/bash
# exim.sh - expansions, RCPT commands and the reading of a configuration, beside Exim where it is unpacked, in CPU time.
# RUNS (default 5) turns each; the least of them counts, since others use the machine too.
set -eu
TOP=$(cd "$(dirname "$0")/../.." && pwd)
BUILD=$(realpath "${BUILD:-$TOP/build}")
EXIM=${VPOST_PEERROOT:-/opt/peers}/exim/usr/sbin/exim4 OURS=$BUILD/bin/sendmail RUNS=${RUNS:-5}
[ -x "$EXIM" ] || EXIM=
W=$(mktemp -d)
trap 'rm -rf "$W"' EXIT
chmod 755 "$W"

# CPU milliseconds of a command, children included.
cpu() {
	python3 - "$RUNS" "$@" <<'X'
import resource, subprocess, sys
def used():
    r = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (r.ru_utime + r.ru_stime) * 1000
least = None
for _ in range(int(sys.argv[1])):
    a = used()
    subprocess.run(sys.argv[3:], stdin=open(sys.argv[2]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    t = used() - a
    least = t if least is None else min(least, t)
print("%.3f" % least)
X
}
# Two figures and what they are.
show() {
	if [ -n "$2" ]; then awk -v w="$1" -v e="$2" -v o="$3" -v u="$4" 'BEGIN { printf "%-58s vpost %8.2f %s   exim %8.2f %s   %.2f\n", w, o, u, e, u, (e > 0 ? o / e : 0) }'
	else awk -v w="$1" -v o="$3" -v u="$4" 'BEGIN { printf "%-58s vpost %8.2f %s\n", w, o, u }'; fi
}
minus() { awk -v a="$1" -v b="$2" -v n="$3" 'BEGIN { printf "%.4f", (a - b) / n }'; }

# --- strings: 36,000 lines of the thirty that exim_expand has ---
printf 'primary_hostname = mail.example.test\nkeep_environment =\nexim_user = mail\nexim_group = mail\n' >"$W/be.conf"
printf 'domainlist local_domains = a.test : *.b.test : dom.test\nbegin acl\n' >>"$W/be.conf"
chmod 644 "$W/be.conf"
"$BUILD/tests/bench/exim_expand" -l >"$W/thirty"
for _ in $(seq 1200); do cat "$W/thirty"; done >"$W/lines"
e=
[ -z "$EXIM" ] || e=$(cpu "$W/lines" "$EXIM" -C "$W/be.conf" -be)
o=$(cpu "$W/lines" "$OURS" -C "$W/be.conf" -be)
show "36,000 strings by -be on standard input" "$e" "$o" ms
o=$("$BUILD/tests/bench/exim_expand" 1200 | awk 'END { printf "%.3f", $1 * 36000 / 1e6 }')
show "36,000 strings compiled once (exim: the same -be)" "$e" "$o" ms

# --- Debian's configuration ---
conf=${VPOST_EXIM:-}/configs/02-debian-exim4.conf.template
if [ ! -r "$conf" ] || [ "$(id -u)" != 0 ]; then
	echo "the rest needs root and VPOST_EXIM" >&2
	exit 0
fi
mkdir -p "$W/spool/log"
{
	printf 'MAIN_LOCAL_DOMAINS = @:localhost:example.test\nMAIN_RELAY_TO_DOMAINS = empty\nMAIN_RELAY_NETS = 127.0.0.1\n'
	printf 'DCconfig_internet = 1\nMAIN_QUALIFY_DOMAIN = mail.example.test\n'
	printf 'MAIN_HARDCODE_PRIMARY_HOSTNAME = mail.example.test\nlog_file_path = %s/spool/log/%%slog\n' "$W"
	sed "s/Debian-exim/mail/g; s/= uucp/= mail/; s,^spool_directory = .*,spool_directory = $W/spool,; /^log_file_path/d" "$conf"
} >"$W/debian.conf"
echo 'keep_environment =' >"$W/null.conf"
chmod 644 "$W"/*.conf
chown -R mail "$W/spool"
# Users of every system, verified as local ones; the host has its name, so that nobody asks DNS.
dialogue() {
	printf 'EHLO client.example.org\r\nMAIL FROM:<a@remote.test>\r\n'
	for i in $(seq "$1"); do
		set -- daemon bin mail news
		shift $((i % 4))
		printf 'RCPT TO:<%s@example.test>\r\n' "$1"
	done
	printf 'QUIT\r\n'
}
dialogue 0 >"$W/none"
dialogue 1000 >"$W/thousand"
per_rcpt() {
	minus "$(cpu "$W/thousand" "$1" -C "$W/debian.conf" -oMa 192.0.2.10 -oMs client.example.org -bs)" \
	    "$(cpu "$W/none" "$1" -C "$W/debian.conf" -oMa 192.0.2.10 -oMs client.example.org -bs)" 1
}
# Ours as the SMTP server does it; the least of the turns.
our_rcpt() {
	for _ in $(seq "$RUNS"); do "$BUILD/tests/bench/exim_rcpt" "$W/debian.conf" "$W/zone" 2000; done | sort -n | awk 'NR == 1 { print $1 }'
}
reading() { minus "$(cpu /dev/null "$1" -C "$W/debian.conf" -bP qualify_domain)" "$(cpu /dev/null "$1" -C "$W/null.conf" -bP qualify_domain)" 1; }
printf '10.2.0.192.in-addr.arpa PTR client.example.org\nclient.example.org A 192.0.2.10\n' >"$W/zone"
"$BUILD/tests/bench/exim_rcpt" "$W/debian.conf" "$W/zone" 100 >"$W/out" || cat "$W/out" >&2
e=
[ -z "$EXIM" ] || e=$(per_rcpt "$EXIM")
show "one RCPT through the ACLs of Debian's configuration" "$e" "$(our_rcpt)" us
e=
[ -z "$EXIM" ] || e=$(reading "$EXIM")
show "reading Debian's configuration" "$e" "$(reading "$OURS")" ms
