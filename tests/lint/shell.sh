#!/bin/sh
# Shell scripts are clean under shellcheck.
command -v shellcheck >/dev/null || { echo "shellcheck is missing"; exit 1; }
shellcheck -S warning -x -P SCRIPTDIR -e SC1090,SC1091,SC2034,SC2044,SC2046,SC2154 $(find mk tests skel etc tools .ci -name '*.sh') .ci/run
