#!/bin/sh
# Names poisoned in banned.h must not be called in lib/, daemons/, tools/.  lib/ neither logs nor exits.
names=$(sed -n 's/^#pragma GCC poison //p' tests/lint/banned.h | tr ' ' '\n' | paste -sd '|' -)
bad=0
grep -nE "(^|[^A-Za-z0-9_>.\"])($names)[[:space:]]*\(" $(find lib daemons tools -name '*.[ch]') | grep -vE ':[[:space:]]*(/?\*|//)' && bad=1
# exit() is for daemons and tools; _exit() after fork is all that a library may do.
grep -nE '(^|[^A-Za-z0-9_])(exit|err|errx|warn|warnx|syslog)[[:space:]]*\(' $(find lib -name '*.c' ! -path 'lib/daemon/*') | grep -vE ':[[:space:]]*(/?\*|//)|->err|"' && bad=1
# No numbers but by base/num.h.
grep -nE '(^|[^A-Za-z0-9_])(strtol|strtoul|strtoll|strtoull|sscanf)[[:space:]]*\(' $(find lib daemons tools -name '*.c') | grep -vE ':[[:space:]]*(/?\*|//)' && bad=1
# Open points do not stand in the code.
grep -nE '\bTODO|FIXME|\bXXX\b|HACK' $(find lib daemons tools tests -name '*.[ch]') | grep -v '"XXX"' && bad=1
exit $bad
