#!/bin/sh
# tests/EXIM_NAMES tells of every name of the configuration language which test shows what it does.
command -v python3 >/dev/null || exit 0
exec python3 tests/lint/names.py
