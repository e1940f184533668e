#!/bin/bash
# fuzz.sh TARGET SECONDS - build tests/fuzz/TARGET.c with libFuzzer and run it; "all" runs each target in turn.
# Needs clang and its runtime (Debian: clang libclang-rt-14-dev).  Findings stay in $BUILD/fuzz/TARGET/.
set -eu
target=${1:?usage: make fuzz T=name SECS=n (or T=all)} secs=$2
cd "$(dirname "$0")/../.."
if [ "$target" = all ]; then
	for t in tests/fuzz/*.c; do "$0" "$(basename "$t" .c)" "$secs"; done
	exit 0
fi
module=${target%%_*}
out=$BUILD/fuzz/$target
mkdir -p "$out/corpus"
# The sources of the module and of what it may use, from the layer table, the highest first.
read -r files incs libs < <(make -s --no-print-directory -f - <<X
include GNUmakefile
.PHONY: fuzz-closure
.DEFAULT_GOAL := fuzz-closure
fuzz-closure:
	@echo '\$(strip \$(foreach m,\$(call closure,$module),\$(call lib_src,\$m)))' | tr ' ' ':' | tr '\n' ' '; \\
	echo '\$(strip -Ilib \$(foreach o,\$(OPTIONAL_exim),\$(INC_\$o)))' | tr ' ' ':' | tr '\n' ' '; echo '\$(call syslibs,$module)'
X
)
# shellcheck disable=SC2086
"$CLANG" $CFLAGS -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -Wno-everything \
	-o "$out/run" ${incs//:/ } "tests/fuzz/$target.c" ${files//:/ } $libs
dict=tests/fuzz/dict/$target.dict
cd "$out"
exec ./run -max_total_time="$secs" -timeout=10 -rss_limit_mb=2048 -max_len="${MAXLEN:-65536}" -print_final_stats=1 \
	$([ -e "$OLDPWD/$dict" ] && echo "-dict=$OLDPWD/$dict") corpus "$OLDPWD/tests/fuzz/corpus/$target" 2>&1 | tail -n 25
