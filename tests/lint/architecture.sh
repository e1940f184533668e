#!/bin/sh
# ARCHITECTURE.md names every folder of lib/, every daemon and tool, and no path that is gone.
bad=0
for d in lib/*/ daemons/*/ tools/*/; do
	d=${d%/}
	grep -qE "(^|[^a-z/])$d([^a-z]|$)" ARCHITECTURE.md || { echo "ARCHITECTURE.md does not name $d"; bad=1; }
done
for p in $(grep -oE '\b(lib|daemons|tools|tests|mk|man|skel|etc)/[A-Za-z0-9_./-]+' ARCHITECTURE.md | sed 's/[.,;:]*$//' | sort -u); do
	case $p in etc/*) continue ;; esac	# places in a box
	[ -e "$p" ] || { echo "ARCHITECTURE.md names $p, which is gone"; bad=1; }
done
exit $bad
