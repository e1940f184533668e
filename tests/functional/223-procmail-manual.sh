# shellcheck shell=bash
# Every use that procmailex(5) gives an example of, each in a home of its own with rules in our words.  Programs that the
# examples call and that need not be here (lpr, mimencode, rcvstore) are stand-ins in ~/bin.
. "$(dirname "$0")/../lib/box.sh"
need gzip

P=$BUILD/bin/procmail
HN=0
home() {
	H=$T/h$((++HN)); mkdir -p "$H/bin"; chmod 700 "$H"; cd "$H" || exit 1
	ln -s "$BUILD/bin/formail" bin/formail
	prog sendmail '{ echo "to: $*"; cat; } >>"$HOME/sent"'
}
prog() { printf '#!/bin/sh\n%s\n' "$2" >"bin/$1"; chmod 755 "bin/$1"; }
# mail SUBJECT [HEADER...]: the message "m", with "text of SUBJECT" or what TEXT says
mail() {
	local s=$1 h; shift
	{ echo "From ${FROM:-jo@out.test} Mon Mar  2 10:11:12 1998"; echo "From: Jo <${FROM:-jo@out.test}>"; echo "Message-ID: <$s@out.test>"; echo "Subject: $s"
	for h in "$@"; do echo "$h"; done; echo; printf '%b\n' "${TEXT:-text of $s}"; } >m
}
# The rules are a complete .procmailrc: what no recipe takes goes to DEFAULT.
run() {
	rc=0
	"$P" HOME="$H" LOGNAME=ann SHELL=/bin/sh PATH="$H/bin:/usr/bin:/bin" SENDMAIL="$H/bin/sendmail" ORGMAIL="$H/org" DEFAULT="$H/default" \
	    LOGFILE="$H/log" ./rc <m 2>err || rc=$?
	eq "$rc" 0 "status ($(tail -n 3 log))"
}
rules() { cat >rc; }
# Programs whose end nobody waits for may still be at it.
holds() {
	local i
	for i in $(seq 300); do ! grep -q -- "$2" "$1" 2>/dev/null || return 0; sleep 0.1; done
	die "case $HN: $1 has no '$2': $(cat log 2>/dev/null)"
}
lacks() { ! grep -q -- "$2" "$1" 2>/dev/null || die "case $HN: $1 has '$2'"; }

# 1 A list into a folder with a lock of its name.
home; printf ':0:\n* ^TOdivers\nreef\n' | rules
mail a "To: divers@lists.test"; run; holds reef "text of a"; [ ! -e reef.lock ] || die "a lock is left"
mail b "To: others@lists.test"; run; holds default "text of b"; lacks reef "text of b"

# 2 3 4 Forward what one person says of one thing, and keep a copy: by a block, by A, by two recipes.
for way in block also twice; do
	home
	case $way in
	block) printf ':0\n* ^From.*peter\n* ^Subject:.*parsers\n{\n  :0 c\n  ! will@else.test\n\n  :0\n  kept\n}\n' ;;
	also) printf ':0 c\n* ^From.*peter\n* ^Subject:.*parsers\n! will@else.test\n\n  :0 A\n  kept\n' ;;
	twice) printf ':0 c\n* ^From.*peter\n* ^Subject:.*parsers\n! will@else.test\n\n:0\n* ^From.*peter\n* ^Subject:.*parsers\nkept\n' ;;
	esac | rules
	FROM=peter@out.test mail "more parsers"; run; holds sent "to: -oi will@else.test"; holds sent "text of more"; holds kept "text of more"; [ ! -e default ] || die "$way: twice"
	rm -f sent; mail "parsers of others"; run; holds default "text of parsers of others"; [ ! -e sent ] || die "$way: forwarded"
done

# 5 A safety net of the last messages.
home; mkdir net; printf ':0 c\nnet\n\n:0 ic\n| cd net && rm -f dummy `ls -t msg.* | sed -e 1,4d`\n' | rules
for i in 1 2 3 4 5 6 7; do mail "n$i"; run; sleep 0.2; done
wait_for 20 sh -c 'n=$(find net -type f | wc -l); [ "$n" -ge 3 ] && [ "$n" -le 6 ]'
eq "$(grep -c '^text of n' default)" 7 "messages"

# 6 A "From " line made anew.
home; printf ':0 fhw\n| formail -I "From " -a "From "\n' | rules
mail a; sed -i 1d m; sed -i '1i Return-Path: <bounce@out.test>' m; run; eq "$(head -1 default | cut -d' ' -f1,2)" "From bounce@out.test" "the line"
eq "$(grep -c '^From ' default)" 1 "lines"

# 7 8 Headers of all that is not the postmaster's, packed, one writer at a time.
home; printf ':0 hwc:\n* !^FROM_MAILER\n| gzip >>headers.gz\n' | rules
mail a; run; FROM=postmaster@out.test mail b; run; mail c; run
eq "$(gzip -dc headers.gz | grep -c '^Subject: [ac]')" 2 "headers"; eq "$(gzip -dc headers.gz | grep -c '^Subject: b\|^text')" 0 "others"; [ ! -e headers.gz.lock ] || die "lock"

# 9 The short ones go home.
home; printf ':0\n* < 1000\n! me@home.test\n' | rules
mail short; run; holds sent "me@home.test"; rm sent; TEXT=$(seq 1000) mail long; run; holds default "^1000"; [ ! -e sent ] || die "the long one went"

# 10 A digest in pieces.
home; printf ':0:\n* ^Subject:.*waves.*Digest\n| formail +1 -ds >>waves\n' | rules
TEXT='Contents\n\nFrom: one@x\nDate: Mon, 2 Mar 1998 10:00:00 +0000\nSubject: first\n\nbody one\n\nFrom: two@x\nDate: Mon, 2 Mar 1998 11:00:00 +0000\nSubject: second\n\nbody two'
export TEXT; mail "waves Digest 5"; unset TEXT; run; holds waves "body two"; eq "$(grep -c '^From [a-z]' waves)" 2 "pieces"; eq "$(grep -c '^Subject: waves' waves || true)" 0 "the cover"

# 11 What mailers write.
home; printf ':0:\n* ^FROM_MAILER\nmailers\n' | rules
FROM=MAILER-DAEMON@out.test mail back; run; holds mailers "text of back"; mail a; run; holds default "text of a"

# 12 An answer to each, to no list and to no answer.
home; printf ':0 h c\n* !^FROM_DAEMON\n* !^X-Loop: ann@box\\.test\n| (formail -r -I"Precedence: junk" \\\n    -A"X-Loop: ann@box.test" ; \\\n   echo "Got it.") | $SENDMAIL -t\n' | rules
mail a; run; holds sent "Got it."; holds sent "^To: jo@out.test"; holds sent "^Precedence: junk"; holds sent "^X-Loop: ann@box.test"; holds sent "^Subject: Re: a"; rm sent
mail b "Precedence: bulk"; run; mail c "X-Loop: ann@box.test"; run; sleep 0.3; [ ! -e sent ] || die "answered"; eq "$(grep -c '^text of' default)" 3 "kept"

# 13 An answer while away, once to each, comments between the conditions.
home; echo "-- Ann" >.signature
cat >rc <<'X'
SHELL=/bin/sh    # the words below are for it

:0 Whc: away.lock
 # to us?
* $^To:.*\<$\LOGNAME\>
 # no programs
* !^FROM_DAEMON
* !^X-Loop: ann@box\.test
| formail -rD 8192 away.cache

  :0 ehc         # a new name
  | (formail -rI"Precedence: junk" \
       -A"X-Loop: ann@box.test" ; \
     echo "Away until Monday."; cat $HOME/.signature \
    ) | $SENDMAIL -oi -t
X
mail a "To: ann@box.test"; run; holds sent "Away until Monday"; holds sent "-- Ann"; run; run; sleep 0.3
eq "$(grep -c 'Away until' sent)" 1 "answers"; mail b "To: joann@box.test"; FROM=x@y.test mail b "To: joann@box.test"; run; sleep 0.3; eq "$(grep -c 'Away until' sent)" 1 "answers to others' mail"
eq "$(grep -c '^text of' default)" 4 "kept"

# 14 15 16 By subject or address: files of their own, numbers, several folders at once.
home; mkdir tex; printf ':0\n* (^TO|^Subject:.*)TeX[^t]\ntex\n' | rules; mail "on TeX "; run; eq "$(find tex -name 'msg.*' | wc -l)" 1 "files"; mail "on text"; run; holds default "text of on text"
home; printf ':0\n* (^TO|^Subject:.*)TeX[^t]\ntex/.\n' | rules; mail "on TeX "; run; run; eq "$(ls tex | tr '\n' ' ')" "1 2 " "numbers"
home; mkdir words; printf ':0\n* (^TO|^Subject:.*)TeX[^t]\ntex/. words set/\n' | rules; mail "on TeX "; run; eq "$(stat -c %h tex/1)" 3 "links"; eq "$(find set/new words -type f | wc -l)" 2 "others"

# 17 18 19 A folder by month: there already, made by a recipe, made by back quotes.
home; mkdir "$(date +%y-%m)"; printf ':0:\n* meeting\n`date +%%y-%%m`/meeting\n' | rules; mail "a meeting"; run; holds "$(date +%y-%m)/meeting" "text of a meeting"
home; printf 'M=`date +%%y-%%m`\n\n:0 Wic\n* ? test ! -d $M\n| mkdir $M\n\n:0:\n* meeting\n${M}/meeting\n' | rules; mail "a meeting"; run; run; eq "$(grep -c '^text of' "$(date +%y-%m)/meeting")" 2 "messages"
home; printf 'M=`date +%%y-%%m`\nD=`test -d $M || mkdir $M`\n\n:0:\n* meeting\n${M}/meeting\n' | rules; mail "a meeting"; run; run; eq "$(grep -c '^text of' "$(date +%y-%m)/meeting")" 2 "messages"

# 20 21 No message twice: thrown away, or put aside.
home; printf ':0 Wh: id.lock\n| formail -D 8192 id.cache\n' | rules; mail a; run; run; mail b; run; eq "$(grep -c '^text of' default)" 2 "messages"
home; printf ':0 Whc: id.lock\n| formail -D 8192 id.cache\n\n:0 a:\ntwice\n' | rules; mail a; run; run; eq "$(grep -c '^text of' default) $(grep -c '^text of' twice)" "1 1" "messages"

# 22 By a program of MH, with a lock in its folder.
home; mkdir spamfold; prog rcvstore 'ls spamfold/.lock >lock-seen; cat >>"${1#+}/stored"'
printf ':0 w:spamfold/$LOCKEXT\n* B ?? spam\n| rcvstore +spamfold\n' | rules; TEXT='this is spam' mail a; run; holds spamfold/stored "this is spam"; holds lock-seen "spamfold/.lock"; [ ! -e spamfold/.lock ] || die "lock"

# 23 A lock elsewhere, MAILDIR relative to home.
home; mkdir Mail locks; printf 'MAILDIR=Mail\n\n:0:%s/locks/!ann!Mail!box\n* ^Subject:.*whatever\nbox\n' "$H" | rules; mail "whatever it is"; run; holds Mail/box "text of whatever"; eq "$(ls locks)" "" "locks"

# 24 Fields as variables, three ways.
home; printf 'SUBJECT=`formail -xSubject:`    # plain\nFROM=`formail -rt -xTo:`\n\n:0 h\nKEYWORDS=| formail -xKeywords:\n\nLOG="[$SUBJECT][$FROM][$KEYWORDS]\n"\n' | rules; mail "my subject" "Keywords: one, two"; run; holds log '^\[ my subject\]\[ jo@out.test\]\[ one, two\]'

# 25 26 27 A file removed at the end; the status by TRAP; by EXITCODE.
home; mkdir tmp; printf 'TMPF=$HOME/tmp/p.$$\nTRAP="/bin/rm -f $TMPF"\n\n:0 cw\n| cat >$TMPF; ls tmp >seen\n' | rules; mail a; run; holds seen '^p\.'; eq "$(ls tmp)" "" "files"
home; mail a; printf 'EXITCODE=""\nTRAP="exit 1;"\n' | rules; rc=0; "$P" HOME="$H" DEFAULT="$H/default" SHELL=/bin/sh ./rc <m 2>err || rc=$?; eq "$rc" 1 "status by TRAP"
printf 'EXITCODE=1\n' | rules; rc=0; "$P" HOME="$H" DEFAULT="$H/default" ./rc <m 2>err || rc=$?; eq "$rc" 1 "status by EXITCODE"; eq "$(grep -c '^text of' default)" 2 "kept"

# 28 29 30 31 What looks like PostScript is printed; four ways of saying so.
for way in body from block both; do
	home; prog lpr 'cat >>"$HOME/printed"'
	case $way in
	body) printf ':0 Bb\n* ^^%%!\n| lpr\n' ;;
	from) printf ':0 b\n* ^From[ :].*printer\n* B ?? ^^%%!\n| lpr\n' ;;
	block) printf ':0\n* ^From[ :].*printer\n{\n  :0 B b\n  * ^^%%!\n  | lpr\n}\n' ;;
	both) printf ':0 HB b\n* ^^(.+$)*From[ :].*printer\n* ^^(.+$)*^%%!\n| lpr\n' ;;
	esac | rules
	FROM=printer@out.test TEXT='%!PS\nshowpage' mail p; run; holds printed "showpage"; lacks printed Subject
	FROM=printer@out.test TEXT='no\n%!PS' mail q; run; holds default "^no"
	TEXT='%!PS\nof others' mail r; run; [ "$way" = body ] || holds default "of others"
done

# 32 Two accounts that send to each other.
home; printf ':0 c\n* !^X-Loop: ann@box\\.test\n| formail -A "X-Loop: ann@box.test" | \\\n   $SENDMAIL -oi ann@other.test\n' | rules
mail a; run; holds sent "text of a"; holds sent "X-Loop: ann@box.test"; sed 1d sent >m; sed -i '1i From x@y Mon Mar  2 10:11:12 1998' m; rm sent; run; sleep 0.3; [ ! -e sent ] || die "it came around"; eq "$(grep -c '^text of' default)" 2 "kept"

# 33 A file on request.
home; echo "the answer is 42" >info; printf ':0\n* !^From +ann\n* !^Subject:.*Re:\n* !^FROM_DAEMON\n* ^Subject:.*retrieve\n| (formail -r ; cat info) | $SENDMAIL -oi -t\n' | rules
mail "retrieve it"; run; holds sent "answer is 42"; rm sent; mail "Re: retrieve it"; run; holds default "text of Re:"; [ ! -e sent ] || die "answered an answer"

# 34 Files by name, none outside.
home; mkdir srv; echo "in the file" >srv/readme; echo secret >secret; echo hidden >srv/.hidden
cat >rc <<'X'
:0
* ^Subject: send file [0-9a-z]
* !^X-Loop: ann@box\.test
* !^Subject:.*Re:
* !^FROM_DAEMON
* !^Subject: send file .*[/.]\.
{
  MAILDIR=$HOME/srv # where they are

  :0 fhw            # the answer's header, the name
  * ^Subject: send file \/[^ ]*
  | formail -rA "X-Loop: ann@box.test"

  FILE="$MATCH"

  :0 ah
  | cat - ./$FILE 2>&1 | $SENDMAIL -oi -t
}
X
mail "send file readme"; run; holds sent "in the file"; holds sent "X-Loop: ann@box.test"; rm sent
for bad in 'send file a/../../secret' 'send file .hidden' 'send file x/.hidden'; do mail "$bad"; run; done; sleep 0.3; [ ! -e sent ] || die "served: $(cat sent)"

# 35 Encoded text made plain, the header told.
home; prog mimencode 'case $* in *-q*) sed -e "s/=41/A/g" ;; *) base64 -d ;; esac'
cat >rc <<'X'
:0
* ^Content-Type: *text/plain
{
  :0 fbw
  * ^Content-Transfer-Encoding: *quoted-printable
  | mimencode -u -q

     :0 Afhw
     | formail -I "Content-Transfer-Encoding: 8bit"

  :0 fbw
  * ^Content-Transfer-Encoding: *base64
  | mimencode -u -b

     :0 Afhw
     | formail -I "Content-Transfer-Encoding: 8bit"
}
X
TEXT='=41bc' mail q "Content-Type: text/plain" "Content-Transfer-Encoding: quoted-printable"; run; holds default "^Abc"; holds default "Encoding: 8bit"; lacks default quoted; rm default
TEXT='aGVsbG8K' mail b "Content-Type: text/plain" "Content-Transfer-Encoding: base64"; run; holds default "^hello"; holds default "Encoding: 8bit"; rm default
TEXT='=41bc' mail h "Content-Type: text/html" "Content-Transfer-Encoding: quoted-printable"; run; holds default "^=41bc"; holds default quoted

# 36 An expression from a file.
home; echo 'boss@|chief@' >.urgent; printf 'U=`cat $HOME/.urgent`\n\n:0:\n* $^From.*(${U})\nurgent\n' | rules
FROM=boss@out.test mail now; run; holds urgent "text of now"; mail later; run; holds default "text of later"

# 37 A filter for what is written: DEFAULT is standard output.
home; prog mimencode 'sed -e "s/\xe9/=E9/g"'
printf "DEFAULT=|     # to where it came from\n:0 Bfbw\n* [\x80-\xff]\n| mimencode -q\n\n  :0 Afhw\n  | formail -I 'MIME-Version: 1.0' \\\\\n     -I 'Content-Transfer-Encoding: quoted-printable'\n" >mimeconvert
printf 'Subject: s\n\ncaf\xe9\n' >m; "$P" HOME="$H" PATH="$H/bin:/usr/bin:/bin" SHELL=/bin/sh ./mimeconvert <m >out 2>err; holds out "^caf=E9"; holds out "^MIME-Version: 1.0"
printf 'Subject: s\n\nplain\n' >m; "$P" HOME="$H" PATH="$H/bin:/usr/bin:/bin" SHELL=/bin/sh ./mimeconvert <m >out 2>err; holds out "^plain"; lacks out MIME
exit 0
