#!/bin/sh
# Every #include "module/..." in lib/ obeys mk/layers.mk; daemons and tools include only lib/ and their own folder.
awk '
FNR == 1 { n = split(FILENAME, part, "/") }
FILENAME == "mk/layers.mk" {
	if ($1 ~ /^DEPS_/) { m = substr($1, 6); for (i = 3; i <= NF; i++) ok[m, $i] = 1; ok[m, m] = 1; known[m] = 1 }
	next
}
/^#include "/ {
	split($2, q, "\""); inc = q[2]
	if (inc !~ /\//) {
		if (inc !~ /_int\.h$/ && part[1] == "lib") { printf "%s:%d: private header %s must end in _int.h, public ones are included by path\n", FILENAME, FNR, inc; bad = 1 }
		next
	}
	split(inc, d, "/")
	if (part[1] == "lib" && !((part[2], d[1]) in ok)) { printf "%s:%d: lib/%s may not use %s (mk/layers.mk)\n", FILENAME, FNR, part[2], inc; bad = 1 }
	if (part[1] != "lib" && !(d[1] in known)) { printf "%s:%d: %s is no module of lib/\n", FILENAME, FNR, inc; bad = 1 }
	if (inc ~ /_int\.h$/ && part[2] != d[1]) { printf "%s:%d: %s is private to lib/%s\n", FILENAME, FNR, inc, d[1]; bad = 1 }
}
END { exit bad }' mk/layers.mk $(find lib daemons tools -name '*.[ch]')
