#!/bin/sh
# Every row of BOX_SETTINGS stands in vpost.conf(5), and nothing else does.
[ -e man/vpost.conf.5 ] || { echo "man/vpost.conf.5 is missing"; exit 1; }
sed -n '/define BOX_SETTINGS/,/^$/s/^\tX(\([a-z0-9_]*\),.*/\1/p' lib/box/box.h | sort >"${TMPDIR:-/tmp}/settings.$$"
sed -n 's/^\.It Ic \([a-z0-9_]*\).*/\1/p' man/vpost.conf.5 | sort >"${TMPDIR:-/tmp}/page.$$"
diff "${TMPDIR:-/tmp}/settings.$$" "${TMPDIR:-/tmp}/page.$$" | sed -n 's/^< /vpost.conf.5 lacks /p; s/^> /vpost.conf.5 has what is gone: /p' | grep . && bad=1
rm -f "${TMPDIR:-/tmp}/settings.$$" "${TMPDIR:-/tmp}/page.$$"
exit ${bad:-0}
