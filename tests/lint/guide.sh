#!/bin/sh
# The index of man pages, man/vpost-guide.7, names each page of the tree once, and no other.
bad=0
index=man/vpost-guide.7
named=$(sed -n 's/^\.It Xr \([^ ]*\) \([1-9]\).*/\1.\2/p; s/^\.Xr \([^ ]*\) \([1-9]\).*/\1.\2/p' "$index")
tree=$(for p in daemons/*/*.[1-9] tools/*/*.[1-9] man/*.[1-9]; do
	[ "$p" = "$index" ] || basename "$p"
done)
for p in $tree; do
	n=$(printf '%s\n' "$named" | grep -cxF "$p")
	[ "$n" = 1 ] || { echo "$index: names $p $n times, not once"; bad=1; }
done
for p in $named; do
	printf '%s\n' "$tree" | grep -qxF "$p" || { echo "$index: names $p, which is no page of the tree"; bad=1; }
done
# No page sends its reader to one of ours that is not there.
for p in daemons/*/*.[1-9] tools/*/*.[1-9] man/*.[1-9]; do
	for x in $(sed -n 's/^\.\(It \)\{0,1\}Xr \(v[^ ]*\|aliases\|exim-filter\|forward\|procmailrc\|formail\|relayers\|spammers\) \([1-9]\).*/\2.\3/p' "$p"); do
		[ "$x" = vpost-guide.7 ] || printf '%s\n' "$tree" | grep -qxF "$x" || { echo "$p: no page $x"; bad=1; }
	done
done
exit $bad
