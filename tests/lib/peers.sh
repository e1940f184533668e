#!/bin/bash
# peers.sh - fetch the programs of other mail systems that the tests hold ours against, into $VPOST_PEERROOT
# (default /opt/peers): their packages exclude each other, so they are unpacked with dpkg -x and only the
# libraries they need are installed.  Does nothing for a peer that is there.  Starts no daemon.
set -eu
root=${VPOST_PEERROOT:-/opt/peers}
export DEBIAN_FRONTEND=noninteractive
mkdir -p "$root/deb" 2>/dev/null || { echo "peers: cannot write $root (run as root, or set VPOST_PEERROOT)" >&2; exit 1; }
updated=
unpack() { # NAME PROBE PACKAGE...
	local name=$1 probe=$2 p
	shift 2
	[ ! -e "$root/$name/$probe" ] || return 0
	[ -n "$updated" ] || { apt-get -o Acquire::Retries=3 update -qq; updated=1; }
	mkdir -p "$root/$name"
	for p in "$@"; do
		(cd "$root/deb" && { ls "$p"_*.deb >/dev/null 2>&1 || apt-get -o Acquire::Retries=3 download -qq "$p"; })
		dpkg -x "$root"/deb/"$p"_*.deb "$root/$name"
		dpkg -f "$root"/deb/"$p"_*.deb Depends | tr ',' '\n' | sed 's/|.*//; s/(.*//; s/:any//; s/ //g' |
			grep -E '^lib' | xargs -r apt-get -o Acquire::Retries=3 install -y -qq --no-install-recommends >/dev/null
	done
}
unpack sendmail usr/libexec/sendmail/makemap sendmail-bin
unpack exim usr/sbin/exim4 exim4-base exim4-daemon-heavy
unpack postfix usr/sbin/postmap postfix
unpack fail2ban usr/bin/fail2ban-regex fail2ban
unpack redis usr/bin/redis-server redis-tools redis-server
unpack slapd usr/sbin/slapd slapd
getent passwd Debian-exim >/dev/null || useradd -r -M -U -d /nonexistent -s /usr/sbin/nologin Debian-exim
