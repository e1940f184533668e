# shellcheck shell=bash
# ${perl: subroutines of perl_startup in ACLs of a running box and by -be; what they ask back, log, refuse, and die of.
. "$(dirname "$0")/../lib/box.sh"
need perl

cat >"$T/perl.conf" <<'X'
perl_startup = sub join_all { return '<' . join('|', @_) . '>' } \
 sub none { return undef } sub dies { die "oh no\n" } sub count { return ++$main::n } \
 sub ask { return Exim::expand_string($_[0]) } sub bye { exit 0 } sub wide { return "a\x{263a}" } sub say { print "x"; return 'said' }
X
be() { sendmail -C "$T/perl.conf" -be "$@"; }
eq "$(be '${perl{join_all}{a}{b c}{}}')" "<a|b c|>"
eq "$(be '${perl{join_all}}')" "<>"
eq "$(be '${perl{none}}')" 'Failed: Perl subroutine "none" returned undef to force failure'
has "$(be '${perl{dies}}')" "Failed: oh no"
has "$(be '${perl{nothing}}')" "Undefined subroutine &main::nothing called"
eq "$(be '${perl{count}}${perl{count}}')" 12
eq "$(be '${perl{ask}{$primary_hostname}}')" "$(be '$primary_hostname')"
has "$(be '${perl{ask}{\${nothing}}}')" "syntax error in Exim::expand_string argument"
has "$(be '${perl{bye}}')" "ended or took too long"
eq "$(be '${perl{wide}}')" "$(printf 'a\342\230\272')"
eq "$(be '${perl{say}}')" said "what is printed"
echo 'perl_startup = sub broken {' >"$T/perl.conf"
has "$(be '${perl{broken}}')" "Failed: error in perl_startup code:"
echo >"$T/perl.conf"
has "$(be '${perl{broken}}')" "A setting of perl_startup is needed"

box_make
cat >"$BOX/etc/exim.conf" <<'X'
primary_hostname = here.test
perl_startup = sub check { Exim::log_write("asked for $_[0]"); \
 my $h = Exim::expand_string('$sender_host_address'); return $_[0] =~ /^ok/ && $h eq '127.0.0.1' ? 'yes' : 'no' }
acl_smtp_rcpt = check
begin acl
check:
  accept condition = ${perl{check}{$local_part}}
  deny   message = perl says no
X
box_start
out=$(python3 - "$SMTP" <<'X'
import socket, sys
s = socket.create_connection(('127.0.0.1', int(sys.argv[1])), 30)
f = s.makefile('rwb', 0)
f.readline()
for c in ['HELO a', 'MAIL FROM:<>'] + ['RCPT TO:<%s%d@b.test>' % (p, i) for i in range(5) for p in ('ok', 'no')] + ['QUIT']:
    f.write(c.encode() + b'\r\n')
    print(f.readline().decode().strip())
X
)
eq "$(echo "$out" | grep -c 'perl says no')" 5 "refused"
eq "$(echo "$out" | grep -c '^250 2.1.5\|^250 Accepted')" 5 "accepted"
wait_for 20 grep -qF -- "asked for ok4" "$BOX/var/log/mainlog"

# Taint mode; -ps begins Perl at once and shows what it prints, keep_environment is no expanded string.
cat >"$T/perl.conf" <<'X'
perl_taintmode = yes
perl_startup = print "begun\n"; sub flag { return ${^TAINT} } sub env { return join(',', sort grep { /KEEP/ } keys %ENV) }
keep_environment = PATH : ^KEEP\d$
X
export KEEP1=a KEEPX=b
eq "$(be '${perl{flag}} ${perl{env}}')" "1 KEEP1"
eq "$(sendmail -C "$T/perl.conf" -ps -be 'x' | tr '\n' ' ')" "begun x "
eq "$(sendmail -C "$T/perl.conf" -pd -be 'x')" x
eq "$(printf 'set acl_m_a = b\n$acl_m_a\n' | be | tr '\n' ' ')" "> variable m_a set > b >  "
eq "$(be '${lookup testdb{x}}${lookup testdb{fail}{y}{n}}')" xn
