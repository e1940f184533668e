#!/bin/bash
# The scripts of the suite exim-testsuite that ask a configuration (-be -bt -bv -brt -brw -bf -bh -bP), and some that deliver.  Of the 29 that only
# expand strings (-be) none may fail, nor be skipped where redis-server, slapd, mdb_load and a C compiler are there.  Another one that fails must
# stand in exim-testsuite.known, with its reason; tests/compat/DIFFERENCES tells what we mean to keep so.
# Of 443 that are run where the suite has its data files, 407 pass and 22 answer as Exim 4.96 does.
# EXIM_TESTSUITE_AUX names a folder with aux-fixed, mail, log and the like where VPOST_SUITES has the suite without them.
# ONLYNUMBER="0002 0056" runs these alone, BINARY=program another program, VERBOSE=1 shows what differs.
set -eu
SUITE=${VPOST_SUITES:-}/exim-testsuite
if [ -z "${VPOST_SUITES:-}" ] || [ ! -d "$SUITE/scripts" ]; then echo "VPOST_SUITES does not name the folder with exim-testsuite"; exit 77;  fi
command -v python3 >/dev/null || { echo "python3 is not installed"; exit 77; }
[ "$(id -u)" = 0 ] || { echo "needs root for a name space of its own"; exit 77; }
HERE=$(cd "$(dirname "$0")" && pwd)
BUILD=$(realpath "${BUILD:-$HERE/../../build}")
if [ -z "${IN_SUITE-}" ]; then
	unshare --net --mount --uts --pid --fork true 2>/dev/null || { echo "no name spaces here"; exit 78; }
	export IN_SUITE=1
	exec unshare --net --mount --uts --pid --fork --kill-child --mount-proc -- bash "$HERE/$(basename "$0")" "$@"
fi
umask 022
mount --make-rprivate /
T=$(mktemp -d "${TMPDIR:-/tmp}/vpost-suite.XXXXXX")
trap 'umount -l "$T" 2>/dev/null; rm -rf "$T"' EXIT
mount -t tmpfs -o mode=755 tmpfs "$T"
W=$T/w
mkdir -p "$W/eximdir" "$T/etc"
hostname mail.local.test
ip link set lo up
ip addr add 192.0.2.1/32 dev lo
ip addr add 2001:db8::1/128 dev lo nodad 2>/dev/null || true
over() { cat >"$T/etc/$1"; chmod 644 "$T/etc/$1"; mount --bind "$T/etc/$1" "/etc/$1"; }
{
	echo "caller:x:65010:65010:CALLER_NAME:/:/bin/sh"
	grep -v '^root:' /etc/passwd
	echo "root:x:0:0:root:/root:/bin/sh"
	for u in exim:65001 userx:65002 usery:65003 userz:65004; do echo "${u%:*}:x:${u#*:}:65001:$u:/nonexistent:/bin/sh"; done
} | over passwd
{ cat /etc/group; echo "exim:x:65001:caller"; echo "caller:x:65010:"; } | over group
printf '127.0.0.1 localhost\n::1 localhost\n192.0.2.1 mail.local.test\n' | over hosts
printf 'nameserver 127.0.0.1\nsearch test.ex\noptions timeout:3 attempts:1 edns0 trust-ad\n' | over resolv.conf
PROGRAM=${BINARY:-$BUILD/bin/sendmail}
if [ -n "${BINARY-}" ]; then
	# Another Exim keeps root's rights with its own configuration file alone.
	mkdir "$T/up" "$T/work"
	mount -t overlay overlay -o "lowerdir=/etc,upperdir=$T/up,workdir=$T/work" /etc
	for f in passwd group hosts resolv.conf; do cp "$T/etc/$f" "/etc/$f"; done
	mkdir -p /etc/exim4
fi
ln -s "$PROGRAM" "$W/eximdir/exim"
python3 "$HERE/fakezones.py" "$SUITE/dnszones-src" V4NET=224 V6NET=ff00 HOSTIPV4=192.0.2.1 \
    HOSTIPV6=2001:db8:0:0:0:0:0:1 HOSTNAME=mail.local.test PORT_D=1225 PORT_S=1224 PORT_N=1223 >"$T/dns.log" 2>&1 &
for _ in $(seq 300); do grep -qs ready "$T/dns.log" && break; sleep 0.1; done
grep -q ready "$T/dns.log" || { cat "$T/dns.log"; echo "no name server"; exit 1; }
if [ -n "${VERBOSE-}" ]; then set -- -v; else set --; fi
# shellcheck disable=SC2086
python3 "$HERE/exim_testsuite.py" "$SUITE" "$PROGRAM" "$W" "$@" ${ONLYNUMBER-} | tee "$T/result"
[ -z "${ONLYNUMBER-}${BINARY-}" ] || exit 0
bad=0
while read -r state number reason; do
	if [ "$state" = fail ] && ! grep -q "^$number " "$HERE/exim-testsuite.known"; then
		echo "new: $number $reason"
		bad=1
	fi
done <"$T/result"
exit $bad
