# shellcheck shell=bash
# quick
# The box is no open relay as shipped (S1-1, S1-2, S3-11, S4-57): the classic tests are all refused.
. "$(dirname "$0")/../lib/box.sh"

box_make
box_users joe
box_start
C=127.0.0.2	# a client that is not the box itself

refused() { # FROM TO [TEXT]
	local out
	out=$(mt rcpt "$SMTP" --source $C "$1" "$2" 2>&1) || true
	case $out in
	5??\ 5.*) ;;
	*) die "MAIL FROM:<$1> RCPT TO:<$2> was answered: $out" ;;
	esac
}
i=0
while IFS=' ' read -r from to; do
	case $from in ''|'#'*) continue ;; esac
	[ "$from" != '<>' ] || from=
	refused "$from" "$to"
	i=$((i + 1))
done <<'X'
spam@other.test victim@elsewhere.test
spam victim@elsewhere.test
<> victim@elsewhere.test
spam@local.test victim@elsewhere.test
joe@local.test victim@elsewhere.test
spam@localhost victim@elsewhere.test
spam@[127.0.0.1] victim@elsewhere.test
spam@mail.local.test victim@elsewhere.test
spam@other.test victim%elsewhere.test@local.test
spam@other.test victim%elsewhere.test@[127.0.0.1]
spam@other.test victim%elsewhere.test@mail.local.test
spam@other.test <"victim@elsewhere.test">
spam@other.test <"victim%elsewhere.test">
spam@other.test <"victim@elsewhere.test"@local.test>
spam@other.test victim@elsewhere.test@local.test
spam@other.test <@local.test:victim@elsewhere.test>
spam@other.test <@mail.local.test:victim@elsewhere.test>
spam@other.test elsewhere.test!victim
spam@other.test elsewhere.test!victim@local.test
spam@other.test elsewhere.test!victim@[127.0.0.1]
spam@other.test <victim@elsewhere.test,joe@local.test>
joe@local.test victim@[192.0.2.1]
X
[ $i -ge 20 ] || die "only $i tests"
# A HELO as localhost opens nothing.
out=$(mt rcpt "$SMTP" --source $C --helo localhost a@other.test victim@elsewhere.test)
has "$out" "550 5.7.1" "HELO localhost"
has "$out" "SMTP authentication" "text that tells how to go on (S3-15)"
has "$out" "check your mail" "text that tells how to go on (S3-15)"
# Unknown users are refused at once (S2-26); known ones are taken from anybody (S3-16).
has "$(mt rcpt "$SMTP" --source $C a@other.test nobody@local.test)" "550 5.1.1"
has "$(mt rcpt "$SMTP" --source $C a@other.test joe@local.test)" "250 2.1.5"
eq "$(mailq | wc -l)" 0 "queue"
