#!/bin/sh
# Install what the build, the demo and the tests need: apt on Debian, pkg on FreeBSD.
# Does nothing when all of it is there.  Root, or sudo where that works without a question.
set -eu
here=$(cd "$(dirname "$0")" && pwd)

words() { sed 's/#.*//' "$1" | tr '\n' ' '; }
as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"
	elif command -v sudo >/dev/null 2>&1; then sudo -n "$@"
	else echo "deps: not root and no sudo; as root: $*" >&2; exit 1
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
	as_root apt-get -o Acquire::Retries=3 update -qq
	# shellcheck disable=SC2086
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -o Acquire::Retries=3 install -y -qq --no-install-recommends $missing >/dev/null
	;;
FreeBSD)
	# shellcheck disable=SC2046
	as_root pkg install -qy $(words "$here/pkg.txt")
	;;
*)
	echo "deps: unknown system; install what mk/apt.txt names" >&2
	;;
esac
