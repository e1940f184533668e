#!/bin/sh
# Each letter that a tool or a daemon gives to getopt stands in its page, and so does each command of vpost.
bad=0
missing() { # PAGE-TEXT LETTERS WHAT
	for o in $(printf '%s' "$2" | tr -d ':+' | fold -w 1); do
		printf '%s\n' "$1" | grep -Eq -- "(^|[^A-Za-z0-9-])-[A-Za-z]*$o" || { echo "$3: option -$o does not stand in the page"; bad=1; }
	done
}
for f in $(grep -l 'getopt(' tools/*/*.c); do
	dir=${f%/*}
	page=$(mandoc -T ascii "$dir"/*.[1-9] | col -b)
	for letters in $(sed -n 's/.*getopt([^"]*"\([^"]*\)".*/\1/p' "$f"); do
		# postqueue and its kin take what Postfix's programs take; the page has what does something.
		case $f in */names.c | */mailstat.c) continue ;; esac
		missing "$page" "$letters" "$f"
	done
done
letters=$(sed -n 's/.*getopt([^"]*"\([^"]*\)".*/\1/p' lib/daemon/daemon.c)
for p in daemons/*/*.8; do
	page=$(mandoc -T ascii "$p" | col -b)
	missing "$page" "$letters" "$p"
done
page=$(mandoc -T ascii tools/vpost/vpost.8 | col -b)
for c in $(sed -n 's/^	{ "\([a-z]*\)", cmd_.*/\1/p' tools/vpost/vpost.c); do
	printf '%s\n' "$page" | grep -Eq "^     $c" || printf '%s\n' "$page" | grep -Eq "^     [a-z, ]*, $c" || { echo "tools/vpost/vpost.c: command $c does not stand in vpost(8)"; bad=1; }
done
exit $bad
