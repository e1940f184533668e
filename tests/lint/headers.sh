#!/bin/sh
# Each header compiles alone; each file has its SPDX line.
bad=0
for h in $(find lib daemons tools -name '*.h'); do
	${CC:-cc} -std=c17 -D_GNU_SOURCE -Ilib -I"$(dirname "$h")" -fsyntax-only -Wall -x c "$h" 2>&1 | grep -v 'pragma once' | grep . && bad=1
done
for f in $(find lib daemons tools tests -name '*.[ch]'); do
	head -n 1 "$f" | grep -q 'SPDX-License-Identifier: BSD-2-Clause' || { echo "$f:1: no SPDX line"; bad=1; }
done
exit $bad
