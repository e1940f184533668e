# shellcheck shell=sh
# Sourced with TOP and BUILD set: root's tests go on as nobody, who must be able to read the tree and the programs.  Where
# he cannot (a checkout below /root), the script runs in a copy.

nobody_reads() { setpriv --reuid 65534 --regid 65534 --clear-groups test -r "$1" -a -x "$1"; }

# reach SCRIPT ARGS: returns when the script can go on where it is; otherwise runs it in the copy and exits as it did.
reach() {
	[ "$(id -u)" = 0 ] && [ -z "${VPOST_REACHED-}" ] || return 0
	nobody_reads "$TOP/tests/lib" && nobody_reads "$BUILD/bin" && nobody_reads "$BUILD/bin/vpost" && return 0
	script=$1
	shift
	copy=$(mktemp -d /tmp/vpost-copy.XXXXXX) && chmod 755 "$copy" && mkdir "$copy/tree" "$copy/build" || exit 2
	echo "nobody cannot read $TOP: going on in $copy"
	tar -C "$TOP" --exclude=./build -cf - . | tar -C "$copy/tree" -xf - || exit 2
	for d in "$BUILD"/*; do
		case $d in */obj | */log | */results) ;; *) cp -aL "$d" "$copy/build/" || exit 2 ;; esac
	done
	chmod -R a+rX "$copy"
	rc=0
	(cd "$copy/tree" && VPOST_REACHED=1 BUILD=$copy/build "tests/lib/$script" "$@") || rc=$?
	if [ -d "$copy/build/log" ]; then
		rm -rf "$BUILD/log"
		cp -r "$copy/build/log" "$copy/build/results" "$BUILD/"
		echo "logs are in $BUILD/log"
	fi
	rm -rf "$copy"
	exit $rc
}
