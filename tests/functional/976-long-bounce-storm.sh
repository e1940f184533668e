# shellcheck shell=bash
# long
# A storm of 100,000 bounces, in a network namespace of its own (S3-36).
export STORM_ROUNDS=20 NEED_NET=1
exec bash "$(dirname "$0")/160-bounce-storm.sh"
