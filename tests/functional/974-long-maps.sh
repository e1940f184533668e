# shellcheck shell=bash
# long
# Logins, relays and map tools side by side for ten minutes (S3-20).
export MAPS_SECONDS=600
exec bash "$(dirname "$0")/050-maps-side-by-side.sh"
