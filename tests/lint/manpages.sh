#!/bin/sh
# A page beside each daemon and tool, clean under mandoc; every page names itself right.
command -v mandoc >/dev/null || { echo "mandoc is missing"; exit 1; }
bad=0
for d in daemons/*/ tools/*/; do
	[ -d "$d" ] || continue
	ls "$d"*.[1-9] >/dev/null 2>&1 || { echo "$d: no man page"; bad=1; }
done
for p in daemons/*/*.[1-9] tools/*/*.[1-9] man/*.[1-9]; do
	[ -e "$p" ] || continue
	mandoc -T lint -W warning "$p" || bad=1
done
exit $bad
