#!/bin/sh
# The lists of vpost-exim.conf(5) say what the option tables say.
command -v python3 >/dev/null || exit 0
exec python3 tests/lint/options.py
