# shellcheck shell=bash
# What sendmail answers when it only asks a configuration: -bf, -be -d, -bP macros.
. "$(dirname "$0")/../lib/box.sh"
mkdir -p "$T/q"
chmod 755 "$T" "$T/q"
conf() { cat >"$T/q/conf"; chmod 644 "$T/q/conf"; }
fail() { die "$@"; }
ask() { sendmail -C "$T/q/conf" "$@"; }

conf <<'C'
keep_environment =
primary_hostname = host.example.test
qualify_domain = example.test
never_users =
C
# A tried message has the fields that a submitted one gets, and dots stand as they came.
cat >"$T/q/filter" <<'F'
# Exim filter
testprint "all: $message_headers"
testprint "id: $h_message-id:"
testprint "body: $message_body"
F
printf 'From: a@example.test\nSubject: s\n\none\n.two\n..three\n.\nfour\n' | ask -bf "$T/q/filter" >"$T/out"
grep -qE '^Testprint: all: From: a@example.test\\nSubject: s\\nMessage-Id: <E[^>]+@host.example.test>\\n(Sender: .*\\n)?Date: [A-Z]' "$T/out" ||
	fail "fields of a tried message: $(cat "$T/out")"
grep -qE '^Testprint: id: <E.*@host.example.test>$' "$T/out" || fail "its id: $(cat "$T/out")"
grep -qF 'Testprint: body: one .two ..three' "$T/out" || fail "dots: $(cat "$T/out")"
grep -qF 'four' "$T/out" && fail "a single dot ends the message: $(cat "$T/out")"
printf 'Date: then\nMessage-Id: <mine@x>\nFrom: a@example.test\n\nx\n' | ask -bf "$T/q/filter" | grep -E 'all:' >"$T/out"
grep -qF 'all: Date: then\nMessage-Id: <mine@x>\nFrom: a@example.test' "$T/out" || fail "fields that are there: $(cat "$T/out")"

# Macros: in Exim's order, and shown where they are replaced.
printf 'ONE = 1\nkeep_environment =\nhostlist h = ONE : ONE2\n' | conf
ask -bP macros >"$T/out"
line() { grep -nx "$1" "$T/out" | cut -d: -f1; }
last=0
for m in _DKIM_SIGN_HEADERS=.* _EXP_VAR_TLS_OUT_SNI=y _EXP_OP_UC=y _EXP_OP_UTF8_DOMAIN_TO_ALABEL=y _EXP_ITEM_IF=y _HAVE_TLS1_3=y _LOG_SUBJECT=y \
    _OPT_AUTHENTICATOR_PLAINTEXT_SERVER_PROMPTS=y _DRIVER_AUTHENTICATOR_PLAINTEXT=y _OPT_TRANSPORT_SMTP_HOSTS_TRY_DANE=y \
    _OPT_TRANSPORT_SMTP_HOSTS_REQUIRE_DANE=y _DRIVER_ROUTER_REDIRECT=y _OPT_MAIN_PRIMARY_HOSTNAME=y _ACL_COND_HOSTS=y _HAVE_LOOKUP_LSEARCH=y \
    _HAVE_TLS=y _HAVE_IPV6=y ONE=1; do
	n=$(line "$m")
	[ -n "$n" ] && [ "$n" -gt "$last" ] || fail "-bP macros: $m stands in line ${n:-none}, behind $last"
	last=$n
done
ask -d -be 'ONE and ${listnamed_h:h}' 2>/dev/null >"$T/out"
printf "macro 'ONE' -> '1'\n%.0s" 1 2 3 >"$T/want"
echo '1 and 1 : 12' >>"$T/want"
diff "$T/want" "$T/out" || fail "-d -be tells of macros"

# What one process was told of a client the next one knows: below db/ of the spool.
printf '%s\n' 'keep_environment =' 'primary_hostname = host.example.test' "spool_directory = $T/q/spool" 'acl_smtp_rcpt = r' 'begin acl' \
    'r:' ' accept seen = -0s' | conf
mkdir -p "$T/q/spool"
dialogue() { printf 'HELO x\nMAIL FROM:<a@b.test>\nRCPT TO:<c@d.test>\nQUIT\n' | ask -bh "$1" 2>/dev/null | sed -n 's/^\(5..\|250 Acc\).*/\1/p'; }
[ "$(dialogue 192.0.2.1)" = 550 ] || fail "the first time: $(dialogue 192.0.2.1)"
[ "$(dialogue 192.0.2.1)" = '250 Acc' ] || fail "the second time is not the first"
[ "$(dialogue 192.0.2.2)" = 550 ] || fail "another host"
ask -be '${address:b. c <x@y.test> (z)}|${address:a 4. b <q@r.test>}' | grep -qxF 'x@y.test|q@r.test' || fail "words that end in a dot"
printf 'keep_environment =\nONE\n' | conf
[ "$(ask '-D ONE = message_size_limit = 7M ' -bP message_size_limit)" = 'message_size_limit = 7M' ] || fail "blanks in -D"

# Names of old, each of which may be set beside the new one.
printf 'keep_environment =\nreturn_size_limit = 1K\nbounce_return_size_limit = 2K\ndaemon_smtp_port = 26\n' | conf
[ "$(ask -bP bounce_return_size_limit daemon_smtp_ports | paste -sd, -)" = 'bounce_return_size_limit = 2K,daemon_smtp_ports = 26' ] ||
	fail "names of old: $(ask -bP bounce_return_size_limit daemon_smtp_ports 2>&1)"
printf 'keep_environment =\nheaders_charset = ISO-8859-1//IGNORE\n' | conf
printf 'Subject: =?utf-8?q?a_=C3=A9_=E2=82=AC_b?=\n\n' >"$T/q/message"
ask -bem "$T/q/message" '$h_subject:' | LC_ALL=C grep -qx "$(printf 'a \351  b')" || fail "a character that does not fit"

# -brw and -brt end at a file of a pattern that cannot be read; a database that is away only does not fit.
printf '%s\n' 'keep_environment =' 'primary_hostname = host.example.test' 'begin rewrite' '*@a.test x@y.test sq' \
    '*@mysql;x no@where.test' '*@lsearch;/nonexistent no@where.test f' 'begin retry' 'b.test * F,1h,1m' \
    'lsearch;/nonexistent quota F,2h,2m' '*@mysql;x * F,3h,3m' '* * F,4h,4m' | conf
rc=0
ask -brw u@a.test >"$T/out" 2>"$T/err" || rc=$?
[ "$rc $(cat "$T/out")" = '1   sender: x@y.test' ] || fail "-brw: $rc $(cat "$T/out")"
grep -qE '^[-0-9: ]+ failed to open /nonexistent for linear search: No such file or directory$' "$T/err" || fail "-brw: $(cat "$T/err")"
[ "$(wc -l <"$T/err")" = 1 ] || fail "-brw says more: $(cat "$T/err")"
[ "$(ask -brt b.test)" = 'Retry rule: b.test  *  F,1h,1m; ' ] || fail "-brt before it"
[ "$(ask -brt u@c.test)" = 'Retry rule: *  *  F,4h,4m; ' ] || fail "-brt past it: $(ask -brt u@c.test)"
rc=0
ask -brt u@c.test quota >"$T/out" 2>"$T/err" || rc=$?
[ "$rc$(cat "$T/out")" = 1 ] || fail "-brt: $rc $(cat "$T/out")"
grep -qE '^[-0-9: ]+ failed to open /nonexistent for linear search' "$T/err" || fail "-brt: $(cat "$T/err")"
