# shellcheck shell=bash
# long
# The same with 10,000 messages and 100 kills.
export KILL_MESSAGES=10000 KILL_ROUNDS=100 KILL_WAIT=300
exec bash "$(dirname "$0")/071-kill-under-dotfiles.sh"
