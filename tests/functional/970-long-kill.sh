# shellcheck shell=bash
# long
# The daemons are killed 200 times under 100,000 messages (S2-5).
export KILL_MESSAGES=100000 KILL_ROUNDS=200 KILL_PACE=0 KILL_DELETES=5000
exec bash "$(dirname "$0")/070-kill-at-random.sh"
