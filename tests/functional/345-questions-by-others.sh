# shellcheck shell=bash
# What sendmail tells somebody who may not read a file, and members of the group of the mail system.
NEED_ROOT=1
. "$(dirname "$0")/../lib/box.sh"
mkdir -p "$T/q"
chmod 755 "$T" "$T/q"
conf() { cat >"$T/q/conf"; chmod 644 "$T/q/conf"; }
echo 'keep_environment =' | conf

# A file that one may not read.
echo 'a: b' >"$T/q/secret"
chmod 600 "$T/q/secret"
out=$(setpriv --reuid 65534 --regid 65534 --clear-groups "$(command -v sendmail)" -C "$T/q/conf" -be "\${lookup{a}lsearch{$T/q/secret}}" 2>/dev/null || true)
[ "$out" = "Failed: failed to open $T/q/secret for linear search: Permission denied (euid=65534 egid=65534)" ] || fail "no rights: $out"
# Who is in the group of the mail system, first or not, is of its administration.
printf 'keep_environment =\nexim_user = 65530\nexim_group = 65531\nhide log_file_path = syslog\n' | conf
as() { setpriv --reuid 65534 --regid 65534 --groups "$1" "$(command -v sendmail)" -C "$T/q/conf" -bP log_file_path 2>/dev/null || true; }
[ "$(as 65533,65531)" = 'log_file_path = syslog' ] || fail "a member of the group: $(as 65533,65531)"
[ "$(as 65533)" = 'log_file_path = <value not displayable>' ] || fail "somebody else: $(as 65533)"
