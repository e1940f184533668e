# shellcheck shell=bash
# long
# Fifty power cuts (S2-5).
export CRASH_ROUNDS=50 CRASH_MESSAGES=7500
exec bash "$(dirname "$0")/072-power-cuts.sh"
