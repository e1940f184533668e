#!/bin/bash
# fuzz-cover.sh - how many lines of each parser the seeds of its fuzz targets reach; fails below 80 in a hundred.
# BUILD is one that COV=1 made; called by `make fuzz-cover` from the top of the tree.
set -eu
cd "$(dirname "$0")/../.."
# A parser, and its files.
parsers() {
	cat <<'X'
SMTP command	lib/smtp/command.c
SMTP DATA, BDAT	lib/smtp/data.c
SMTP reply	lib/smtp/reply.c
IMAP command	lib/imap/lex.c lib/imap/parse*.c
POP3 command	lib/pop3/command.c
address	lib/mail/address*.c lib/mail/addrlist.c
header	lib/mail/header*.c lib/mail/edit.c lib/mail/msgid.c lib/mail/received.c
date	lib/mail/date.c
character sets	lib/mail/charset.c
MIME	lib/mail/mime*.c lib/mail/encode.c
exim.conf	lib/exim/lexer.c lib/exim/macro.c lib/exim/conf.c lib/exim/conf_[cd]*.c lib/exim/opt*.c lib/exim/assign.c lib/exim/report.c
ACLs	lib/exim/acl*.c
rewriting	lib/exim/rewrite.c
retry rules	lib/exim/retry.c
callouts	lib/exim/callout.c
expansion	lib/exim/expand.c lib/exim/expand_[a-v]*.c lib/exim/op.c lib/exim/op_*.c lib/exim/cond*.c lib/exim/var*.c
lookups	lib/exim/lookup.c lib/exim/lookup_file.c lib/exim/lookup_dnsdb.c
lists	lib/exim/match*.c
IPC frame	lib/ipc/msg.c
journal record	lib/spool/record.c lib/spool/envelope.c
store record	lib/store/record.c lib/store/boxfile.c lib/store/name.c
makemap input	lib/map/input.c
map files	lib/map/bdb.c lib/map/cdb.c lib/map/lsearch.c
vusers	lib/auth/vusers.c lib/auth/password.c
redirect data	lib/route/redirect.c
DNS answer	lib/dns/packet.c
X
}
find "$BUILD/obj" -name '*.gcda' -delete
bad=0
for t in tests/fuzz/*.c; do
	t=$(basename "$t" .c)
	"$BUILD/tests/replay/$t" "tests/fuzz/corpus/$t" >/dev/null 2>&1 || { echo "$t fails on its seeds"; bad=1; }
done
# FILE LINES REACHED
lines=$(mktemp)
trap 'rm -f "$lines"' EXIT
find "$BUILD/obj/lib" -name '*.gcno' | sort | while read -r f; do
	gcov -n -o "$(dirname "$f")" "$f" 2>/dev/null || true
done | awk '/^File /{gsub(/\047/, ""); f = $2} /^Lines executed:/{if (f ~ /^lib\/.*\.c$/) { split($2, a, ":"); sub("%", "", a[2]);
	print f, $4, int($4 * a[2] / 100 + .5)}; f = ""}' >"$lines"
while IFS=$'\t' read -r name files; do
	# shellcheck disable=SC2086
	printf '%s\n' $files | awk -v name="$name" 'NR == FNR { n[$1] = $2; got[$1] = $3; next }
		{ f++; all += n[$1]; hit += got[$1] }
		END { p = all ? 100 * hit / all : 0; printf "%5.1f%% of %5d lines  %s\n", p, all, name; exit(p < 80) }' "$lines" - || bad=1
done < <(parsers)
[ "$bad" = 0 ] || { echo "seeds of a parser reach less than 80 in a hundred of its lines, or a target fails"; exit 1; }
