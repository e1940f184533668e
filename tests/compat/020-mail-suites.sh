# shellcheck shell=bash
# Other people's messages, addresses and dates: trees, structures and texts as they expect them.
[ -n "${VPOST_SUITES-}" ] || { echo "VPOST_SUITES is not set"; exit 77; }
exec python3 "$(dirname "$0")/mail_suites.py" "$BUILD/tests/lib/mailprobe"
