#!/bin/sh
# Files under 1,000 lines, functions at most 100 unless tests/lint/long lists them ("FILE FUNCTION why").
command -v ctags >/dev/null || { echo "ctags is missing (package universal-ctags)"; exit 1; }
bad=0
for f in $(find lib daemons tools -name '*.[ch]'); do
	n=$(wc -l <"$f")
	[ "$n" -lt 1000 ] || grep -q "^$f -" tests/lint/long || { echo "$f: $n lines"; bad=1; }
done
ctags -x --c-kinds=f --fields=+ne --_xformat='%N %n %e %F' $(find lib daemons tools -name '*.c') |
	awk '{ n = $3 - $2 + 1; if (n > 100) print $4, $1, n }' | while read -r f name n; do
		grep -q "^$f $name " tests/lint/long || echo "$f: $name has $n lines"
	done | grep . && bad=1
exit $bad
