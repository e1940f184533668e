# shellcheck shell=bash disable=SC2016
# What few rules of procmail use: chains of flags, other rc files, weights at their limits, quotes, MATCH over lines, TRAP and EXITCODE,
# links in folders, and odd words of formail, lockfile and mailstat.  RARE_BIN names another folder of such programs to be judged.
. "$(dirname "$0")/../lib/box.sh"

B=${RARE_BIN:-$BUILD/bin}
printf 'From jo@out.test Mon Mar  2 10:11:12 1998\nFrom: Jo <jo@out.test>\nSubject: more than one\nX-Two: b\n\nfirst line\nsecond\n\nthird\n' >"$T/m"
# rules STATUS LOG FILES: the rules on standard input leave these, in a home of their own; LOG without the abstract.
N=0
rules() {
	local rc=0 h=$T/r$((++N))
	mkdir -p "$h/d1" "$h/d2"; chmod 700 "$h"; cd "$h" || exit 1
	cat >rc
	[ ! -e "$T/inc" ] || mv "$T/inc" inc
	"$B/procmail" -m HOME="$h" LOGNAME=ann SHELL=/bin/sh PATH=/usr/bin:/bin ORGMAIL="$h/org" DEFAULT="$h/org" LOGABSTRACT=no LOGFILE="$h/log" \
	    ./rc <"$T/m" 2>err || rc=$?
	eq "$rc" "$1" "case $N: status ($(cat log))"
	eq "$(cat log)" "$2" "case $N: log"
	eq "$(find . -type f ! -name rc ! -name log ! -name err ! -name inc -printf '%P %n\n' | sed 's,msg\.[-_A-Za-z0-9]* ,msg ,' | sort | paste -sd,)" "$3" "case $N: files"
}

# 1 A and a, E and e after each other and after programs that failed.
rules 0 "" "A1 1,E2 1,a1 1,e2 1,rest 1" < <(printf ':0 c\n* ^Subject\n| sh -c "cat >/dev/null; exit 1"\n:0 e c\ne1\n:0 Wc\n| sh -c "cat >/dev/null; exit 3"\n:0 ec\ne2\n:0 ac\na1\n:0 A c\nA1\n:0 E c\nE1\n:0 c\n* ^nothing\nx\n:0 E c\nE2\n:0 Ec\nE3\n:0 e\ne3\n:0\nrest\n')
# 2 The same in blocks: what a block found is forgotten behind it.
rules 0 236 "x 1" < <(printf ':0\n* ^Subject\n{\n:0\n* ^nothing\n{ LOG=1 }\n:0 E\n* ^X-Two\n{\n:0 A\n{ LOG=2 }\n:0 a\n{ LOG=3 }\n}\n:0 E\n{ LOG=4 }\n:0 A\n{ LOG=5 }\n}\n:0 A\n{ LOG=6 }\n:0 E\n{ LOG=7 }\n:0\nx\n')
# 3 SWITCHRC leaves the file it stands in, and with no name that one only.
printf 'LOG="in $_ "\nSWITCHRC=\n:0\nno\n' >"$T/inc"
rules 0 "in inc back ./rc in inc " "org 1" < <(printf 'INCLUDERC=inc\nLOG="back $_ "\n:0\n{\nSWITCHRC=inc\n}\n:0\nno\n')
# 4 Weights: limits, decay, growth, sizes, programs.
rules 0 "2147483647 2147483647 -2147483647 1 31 1 246 40 53 2147483647 35 2 " "x 1" < <(printf ':0\n* 2147483647^0\n* 1^0 ^Subject\n* -99999999999^0\n{ LOG="$= " }\nLOG="$= "\n:0\n* -2147483647^0\n* 9^0\n{ }\nLOG="$= "\n:0\n* .5^0\n{ LOG="$= " }\n:0\n* 1^2 e\n{ LOG="$= " }\n:0\n* 1^.9 e\n{ LOG="$= " }\n:0\n* 100^1 > 50\n{ LOG="$= " }\n:0\n* 100^1 < 50\n{ LOG="$= " }\n:0\n* 100^3 ! > 100\n{ LOG="$= " }\n:0\n* 100^1 > 0\n{ LOG="$= " }\n:0\n* 5^2 ! ? sh -c "exit 3"\n{ LOG="$= " }\n:0\n* 5^2 ? sh -c "exit 3"\n{ LOG="$= " }\n:0\nx\n')
# 5 Quotes.
rules 0 $'[its][a\'b][a"b\\c$d`e][a b][abcd][$x"y][xy][x]["q r"][a bx][$\n]' "x 1" < <(printf '%s\n' "A='it''s' B=\"a'b\" C=\"a\\\"b\\\\c\\\$d\\\`e\" D=a\\ b" "E=\"a\"'b'c\$NOT\"d\" F=\\\$x\\\"y" 'LOG="[$A][$B][$C][$D][$E][$F]"' 'G=x N=${G}y O=${G:-"q"} Q="${NO:-"q r"}" R=$D$G' \
    'LOG="[$N][$O][$Q][$R]"' 'K="$' '"' 'LOG="[$K]"' ':0' x)
# 6 MATCH: over lines, from the middle, of itself, not by a negated condition.
rules 0 $'1[ more than one\nX-Two: b]2[first line\n]3[jo@]4[j]5[j]6[:]4' "x 1" < <(printf ':0\n* ^Subject: *\\/.*$.*\n{ LOG="1[$MATCH]" }\n:0 B\n* ()\\/.*$.*$\n{ LOG="2[$MATCH]" }\n:0\n* ^From:.*\\/[a-z]+@\n{ LOG="3[$MATCH]" }\n:0\n* MATCH ?? ()\\/.\n{ LOG="4[$MATCH]" }\n:0\n* ! ^nothing\\/.*\n{ LOG="5[$MATCH]" }\n:0\n* 1^1 ^[A-Z][^:]*\\/:\n{ LOG="6[$MATCH]$=" }\n:0\nx\n')
# 7 8 9 TRAP and EXITCODE.
rules 7 "" "t 1,x 1" < <(printf 'TRAP="echo $EXITCODE >t; exit 7"\nEXITCODE=\n:0\nx\n')
rules 5 "" "t 1,x 1" < <(printf 'TRAP="echo $EXITCODE >t; exit 7"\nEXITCODE=5\n:0\nx\n')
rules 75 "" "" < <(printf 'EXITCODE=75\nHOST\n')
# 10 A link to the folder that has the file already is that file; links elsewhere count.
rules 0 "" "d1/msg 2,d2/msg 2" < <(printf ':0\nd1 d1 d2 d1\n')
# 11 A header alone gets no mark for what the body begins with, nor the body where it begins.
rules 0 "" "b 1,h 1" < <(printf ':0 hc\nh\n:0 bw\n| cat >b\n')
eq "$(tail -n 2 h | paste -sd,)" "X-Two: b," "header"
printf 'From jo@out.test Mon Mar  2 10:11:12 1998\nSubject: s\n\nFrom the body\n' >"$T/m2"
"$B/procmail" -m SHELL=/bin/sh DEFAULT=all ./rc <"$T/m2" 2>err
eq "$(tail -n 2 h | paste -sd,):$(head -n 1 b)" "Subject: s,:From the body" "mark"
# 12 A device cannot be cut to the size it had.
rules 0 'procmail: Error while writing to "/dev/full"' "x 1" < <(printf ':0\n/dev/full\n:0\nx\n')

cd "$T" || exit 1
{ cat m; echo; cat m; echo; cat m; echo; } >box
eq "$(FILENO=-1 "$B/formail" -s sh -c 'cat >/dev/null; echo $FILENO' <box | paste -sd,)" "-1,0,1" "FILENO below zero"
eq "$(FILENO=09 "$B/formail" -s sh -c 'cat >/dev/null; echo $FILENO' <box | paste -sd,)" "09,10,11" "FILENO with zeros"
eq "$("$B/formail" -1s sh -c 'cat >/dev/null; echo $0' <box)" sh "the name of a program"
mkdir -p folders/cat; eq "$(PATH=folders:$PATH "$B/formail" -1s cat <box | head -n 1)" "$(head -n 1 m)" "a folder called as the program"
printf 'From jo@out.test Mon Mar  2 10:11:12 1998\nContent-Length: 9\n\n12345678\n' | "$B/formail" -l box >line
eq "$(tr -s '\t ' '  ' <line | tail -n 1)" " Folder: box 71" "a body whose length is known, counted"
printf 'LOG="$DEFAULT"\n' >rc; rc=0; DEFAULT=mine "$B/procmail" -pm ./rc <m 2>err || rc=$?
eq "$rc:$(head -n 1 err | cut -c1-4):$(ls mine 2>/dev/null)" "73:mine:" "DEFAULT of the environment, with -p, is a word and no folder"
rc=0; "$B/formail" -0s <box || rc=$?; eq "$rc" 74 "no messages at all"
rc=0; timeout 60 "$B/lockfile" /no/such/lock 2>/dev/null || rc=$?; eq "$rc" 69 "a lock that can never be"
rc=0; out=$("$B/mailstat" -o </dev/null) || rc=$?; eq "$rc:$out" "1:Can't find your LOGFILE=.old" "old log without a name"
