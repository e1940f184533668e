#!/bin/sh
# Install what the build, the demo and the tests need: apt on Debian, pkg on FreeBSD.
# Does nothing when all of it is there.  Root, or sudo, which may ask for a password on a terminal.
set -eu
here=$(cd "$(dirname "$0")" && pwd)

words() { sed 's/#.*//' "$1" | tr '\n' ' '; }
# How to be root: "", "sudo", or nothing at all; then the command to give to an administrator is told.
become=
by_hand() { echo "deps: not root, and sudo does not work here; as root: $*" >&2; exit 1; }
get_root() {
	[ "$(id -u)" != 0 ] || return 0
	command -v sudo >/dev/null 2>&1 || by_hand "$@"
	become="sudo -n"
	if ! sudo -n true 2>/dev/null; then
		[ -t 0 ] || by_hand "$@"
		become=sudo
	fi
}

case $(uname -s) in
Linux)
	command -v dpkg-query >/dev/null 2>&1 || { echo "deps: no dpkg here; install what mk/apt.txt names" >&2; exit 0; }
	missing=
	for p in $(words "$here/apt.txt"); do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing="$missing $p"
	done
	[ -n "$missing" ] || exit 0
	echo "deps: installing$missing"
	get_root "apt-get update && apt-get install -y --no-install-recommends$missing"
	$become apt-get -o Acquire::Retries=3 update -qq
	# shellcheck disable=SC2086
	$become env DEBIAN_FRONTEND=noninteractive apt-get -o Acquire::Retries=3 install -y -qq --no-install-recommends $missing >/dev/null
	;;
FreeBSD)
	# shellcheck disable=SC2046
	get_root pkg install $(words "$here/pkg.txt")
	# shellcheck disable=SC2046
	$become pkg install -qy $(words "$here/pkg.txt")
	;;
*)
	echo "deps: unknown system; install what mk/apt.txt names" >&2
	;;
esac
