# shellcheck shell=bash
# Configurations good and bad (tests/data/conf): what -bV says of their mistakes and -bP of their values.
. "$(dirname "$0")/../lib/box.sh"
mkdir -p "$T/conf/spool/log"
chmod 755 "$T" "$T/conf"
python3 "$(dirname "$0")/../lib/confcases.py" "$(command -v sendmail)" "$T/conf" "$(dirname "$0")"/../data/conf/*.cases
