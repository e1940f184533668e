#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# CHANGES: in each part what is new in behaviour (*), new (+), fixed (-), in this order; no line twice, none above 120 columns.
awk '
length($0) > 120 { print "CHANGES:" NR ": longer than 120 columns"; bad = 1 }
$0 != "" && seen[$0]++ { print "CHANGES:" NR ": stands there twice"; bad = 1 }
/^[^ ]/ { rank = 0 }
/^ [*+-] / { r = index("*+-", substr($0, 2, 1)); if (r < rank) { print "CHANGES:" NR ": behind entries of a later kind"; bad = 1 } rank = r }
END { exit bad }' CHANGES
