# shellcheck shell=bash
# Every name of the lists made from Exim's manual (VPOST_EXIM), each in a configuration of its own: none is refused, options are printed by
# -bP, and what has no effect here is told once, with file and line.
. "$(dirname "$0")/../lib/box.sh"
need python3
if [ -z "${VPOST_EXIM-}" ] || [ ! -f "$VPOST_EXIM/language.md" ]; then skip "VPOST_EXIM does not name the folder with the lists"; fi
python3 "$TOP/tests/lib/everyname.py" "$BUILD/bin/sendmail" "$VPOST_EXIM" || die "names are refused"
