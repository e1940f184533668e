/* SPDX-License-Identifier: BSD-2-Clause */
/* Expanded strings: text, items, operators, conditions, variables, mistakes, limits, taint. */
#include "expand_env.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

struct row {
	const char	*text, *want;
};

static void
check_rows(const struct row *rows, size_t n)
{
	/* With caches, without, and with warm caches. */
	for (int pass = 0; pass < 2; pass++) {
		struct test_env t;

		test_env_init(&t, pass == 0);
		for (int again = 0; again < 2; again++)
			for (size_t i = 0; i < n; i++) {
				const char *got = test_expand(&t, rows[i].text);

				if (strcmp(got, rows[i].want) != 0)
					fail_msg("%s\n  got:  %s\n  want: %s", rows[i].text, got, rows[i].want);
			}
		test_env_fini(&t);
	}
}
#define ROWS(r)	check_rows(r, sizeof(r) / sizeof((r)[0]))

static void
test_text(void **state)
{
	static const struct row rows[] = {
		{ "", "" }, { "plain text", "plain text" }, { "a\\tb\\n", "a\tb\n" }, { "\\x41\\102\\\\\\$", "AB\\$" },
		{ "\\Na$b\\c\\Nd", "a$b\\cd" }, { "\\Nopen$", "open$" }, { "a}b{c", "a}b{c" }, { "cut\\0here", "cut" },
		{ "end\\", "!\\ at end of string" }, { "$", "!$ not followed by letter, digit, or {" },
		{ "$primary_hostname.x", "mail.example.test.x" }, { "${primary_hostname}x", "mail.example.testx" },
		{ "$nosuch", "!unknown variable name \"nosuch\"" }, { "a${nosuch}", "!unknown variable in \"${nosuch}\"" },
		{ "${", "!letter or digit expected after ${" }, { "${1x}", "!} expected after number" },
		{ "${nosuch:x}", "!unknown expansion operator \"nosuch\"" }, { "${lc:x", "!missing } at end of string" },
		{ "${foo{x}}", "!\"${foo\" is not a known operator (or a } is missing in a variable reference)" },
		{ "$acl_m_x|$acl_m_y|$acl_c0", "value of x||" },
		{ "$acl_mx", "!unknown variable name \"acl_mx\" (6th character of a user-defined ACL variable must be a digit or "
		    "underscore)" },
		{ "$acl_x", "!unknown variable name \"acl_x\" (user-defined ACL variables must start acl_c or acl_m)" },
	};

	ROWS(rows);
}

static void
test_variables(void **state)
{
	static const struct row rows[] = {
		{ "$local_part@$domain", "Local@dom.test" }, { "$sender_address_local_part|$sender_address_domain",
		    "joe|sender.test" }, { "$message_size", "12345" }, { "$message_age", "60" },
		{ "$tod_epoch $tod_epoch_l", "1795226400 1795226400250000" }, { "$tod_full", "Sat, 21 Nov 2026 02:00:00 +0000" },
		{ "$tod_log|$tod_logfile|$tod_zone|$tod_zulu", "2026-11-21 02:00:00|20261121|+0000|20261121020000Z" },
		{ "$tod_bsdinbox", "Sat Nov 21 02:00:00 2026" }, { "$recipients|$recipients_count|$recipients_list",
		    "b@y.test, c@y.test|2|b@y.test:c@y.test" }, { "$message_body", "first second " },
		{ "$message_body_end", "first second " }, { "$exim_uid", "99" }, { "$interface_port", "-1" },
		{ "$tls_in_cipher|$tls_bits|$prdr_requested|$authentication_failed", "|0|no|0" },
		{ "$sender_host_name|$host_lookup_failed", "client.test|0" },
		{ "$sender_fullhost", "client.test (helo.test) [192.0.2.1]" },
		{ "$sender_rcvhost", "client.test ([192.0.2.1] helo=helo.test)" }, { "$reply_address", "\"A, B\" <a@x.test>" },
		{ "$0$1${2}${99999999}", "" }, { "$regex1$auth1$acl_arg1$r_any", "" }, { "$n0", "!unknown variable name \"n0\"" },
		{ "$h_subject:", "Caf\303\251 x\n folded" }, { "$h_to:|$bh_to:", "b@y.test,\nc@y.test|b@y.test,\nc@y.test" },
		{ "$rh_x-sp:", "   v  \n" }, { "$h_x-sp:.", "v." }, { "$lh_x-l:", " a::b" }, { "$h_nosuch:x", "x" },
		{ "$header_x-l tail", "a:b tail" }, { "${if def:h_x-empty:{y}{n}}|${if def:h_nosuch:{y}{n}}", "y|n" },
		{ "${if def:message_id}|${if def:message_size}", "|true" }, { "$spf_guess", "v=spf1 a/24 mx/24 ptr ?all" },
		{ "${if def:nosuch{}}", "!unknown variable \"nosuch\" after \"def:\"" }, { "$bmi_deliver$dcc_header$arc_state", "" },
	};

	ROWS(rows);
}

static void
test_items(void **state)
{
	static const struct row rows[] = {
		{ "${if eq{a}{a}{y}{n}}${if eq{a}{b}{y}{n}}", "yn" }, { "${if eq{a}{a}}|${if eq{a}{b}}", "true|" },
		{ "${if eq{a}{b}{y}fail}", "!!\"if\" failed and \"fail\" requested" },
		{ "${extract{2}{:}{a:b:c}}|${extract{-1}{:}{a:b:c}}|${extract{9}{:}{a}{y}{n}}", "b|c|n" },
		{ "${extract{0}{:}{a:b}}|${extract{2}{:,}{a,b:c}}", "a:b|b" },
		{ "${extract{B}{a=1 b=\"x \\\\\"y\" c}}|${extract{c}{c=}}", "x \"y|" },
		{ "${extract{${lc:2}}{:}{a:b}{<$value>}}|${extract{${lc:K}}{k=v}{<$value>}{n}}", "<b>|<v>" },
		{ "${extract{}{a}}", "!first argument of \"extract\" must not be empty" },
		{ "${extract json{k}{\\{\"k\":\"v\",\"l\":[1,2]\\}}}|${extract jsons{k}{\\{\"k\":\"v\"\\}}}", "\"v\"|v" },
		{ "${extract json{2}{[1,[2,3],4]}}|${extract json{9}{[1]}{y}{n}}", "[2,3]|n" },
		{ "${listextract{2}{a:b:c}}|${listextract{-1}{<, a,b}}|${listextract{5}{a}{y}{n}}", "b|b|n" },
		{ "${map{a:b}{<$item>}}|${map{<, a,b}{$item,}}|${map{}{x}}", "<a>:<b>|a,,,b,,|" },
		{ "${filter{a:bb:c}{match{$item}{..}}}|${reduce{1:2:3}{0}{${eval:$value+$item}}}", "bb|6" },
		{ "${reduce{<\\x7f 1\\x7f2\\x7f3}{0}{${eval:$value+$item}}}", "6" },
		{ "${sort{c:a:b}{lt}{$item}}|${sort{3:11:2}{>}{$item}}", "a:b:c|11:3:2" },
		{ "${sg{abcabc}{b}{-}}|${sg{abc}{(.)}{\\$1\\$1}}|${sg{abc}{b*}{-}}", "a-ca-c|aabbcc|-a--c-" },
		{ "${sg{a}{(}{b}}", "!regular expression error in \"(\": missing closing parenthesis at offset 1" },
		{ "${tr{abcdea}{ac}{13}}|${tr{abc}{abc}{x}}|${tr{a}{a}{}}", "1b3de1|xxx|a" },
		{ "${substr{1}{2}{abcd}}|${substr{-5}{2}{12}}|${substr{-3}{2}{12}}|${substr{-1}{abc}}", "bc||1|ab" },
		{ "${md5:abc}|${sha1:abc}", "900150983cd24fb0d6963f7d28e17f72|A9993E364706816ABA3E25717850C26C9CD0D89D" },
		{ "${length{2}{abc}}|${hash{3}{monty}}|${hash{4}{62}{monty python}}", "ab|jmg|fbWx" },
		{ "${nhash{8}{64}{supercalifragilisticexpialidocious}}", "6/33" },
		/* A product that is 2 to the 64th. */
		{ "${nhash_17179869184_1073741824:abc}", "0/32236" },
		{ "${nhash{0}{x}}", "!nhash cannot divide by zero" },
		{ "${hmac{md5}{somesecret}{mail}}", "33ae1e44fde81a65d8097b3c052b3d9e" },
		{ "${hmac{sha9}{k}{t}}", "!hmac algorithm \"sha9\" is not recognised" },
		{ "${prvscheck{${prvs{u@x.test}{key}}}{key}}|$prvscheck_result", "u@x.test|1" },
		{ "${prvscheck{${prvs{u@x.test}{key}{3}}}{other}{[$prvscheck_result$prvscheck_keynum]}}", "[3]" },
		{ "${prvscheck{plain@x}{key}{y}}|${prvs{x}{k}}", "!prvs first argument must be a qualified email address" },
		{ "${if inbound_srs{${local_part:${srs_encode{k}{u@r.test}{f.test}}}}{k}{$srs_recipient}{n}}", "u@r.test" },
		{ "${if inbound_srs{SRS0=aaaa=aa=r.test=u}{k}{y}{n}}", "n" },
		{ "${imapfolder{A/B\\xc3\\xa4}}|${imapfolder{a.b}}", "!imapfolder: illegal character '.'" },
		{ "${imapfolder{A/B\\xc3\\xa4}}", "A.B&AOQ-" }, { "${listquote{:}{a:b}}|${listquote{:}{}}", "a::b| " },
		{ "${env{HOME}}|${env{NO}{y}{n}}", "/root|n" }, { "${readfile{/t/text}{,}}", "one,two," },
		{ "${readfile{/none}}", "!failed to open /none: No such file or directory" },
		{ "${readsocket{/s}{req}{3s}{;}}|${readsocket{/no}{r}{1s}{}{F}}", "req;3;|F" },
		{ "${readsocket{/s}{q}{3s:shutdown=no}{ }}", "q 3 open " },
		{ "${readsocket{/no}{r}}", "!failed to connect to socket /no: No such file or directory" },
		{ "${run{/bin/false}{y}{n $runrc}}|$runrc", "n 1|1" }, { "${run{/bin/kill}}", "!command killed by signal 9" },
		{ "${run{/bin/slow}}", "!command timed out" }, { "${run,preexpand{/bin/x a ${lc:B C}}}", "[a][b][c]" },
		{ "${acl{yes}{msg}}|${if acl{{no}{why}}{y}{n $value}}", "msg|n why" },
		{ "${acl{later}}", "!!DEFER from acl \"later\"" }, { "${acl{nosuch}}", "!ERROR from acl \"nosuch\"" },
		{ "${authresults{host}}", "Authentication-Results: host" },
		{ "${perl{f}}", "!A setting of perl_startup is needed when using the Perl interpreter" },
		{ "${certextract{subject}{$tls_in_peercert}{y}{n}}", "n" },
		{ "${certextract{subject}{x}}", "!second argument of \"certextract\" must be a certificate variable" },
		{ "${sg{a}}", "!Not enough arguments for 'sg' (min is 3)" },
		{ "${sg{a}{b}{c}{d}}", "!Too many arguments for 'sg' (max is 3)" },
		{ "${if match{x1y2}{(\\\\d)\\\\D(\\\\d)}{$2$1$0}}$1", "211y2" },
		{ "${lookup{root}lsearch{/t/aliases}{[$value]}{n}}|$value", "[alice]|" },
		{ "${run{/bin/x a 'b c' \"d e\" $domain}}", "[a][b c][d e][dom.test]" },
		{ "${run{/bin/x ${lc:A B}}}", "!Expansion of \"${lc:A\" from command \"/bin/x ${lc:A B}\" in ${run} expansion "
		    "failed: missing } at end of string" },
	};

	ROWS(rows);
}

static void
test_operators(void **state)
{
	static const struct row rows[] = {
		{ "${lc:AbC\xc4}|${uc:abC}|${strlen:abc}", "abc\xc4|ABC|3" }, { "${length_2:abc}|${l_9:abc}|${s_1:abc}", "ab|abc|bc" },
		{ "${substr_-2_1:abc}|${substr_1_1:abc}", "b|b" }, { "${substr_x:a}", "!non-digit after underscore in \"substr_x\"" },
		{ "${l:a}", "!missing values after l" }, { "${hash_3:monty}|${h_3:monty}|${nhash_7:ab}", "jmg|jmg|6" },
		{ "${eval:1+2*3}|${eval:(1+2)*3}|${eval:0xc&5}|${eval:~255&0x1234}|${eval:-(~255&0x1234)}", "7|9|4|4608|-4608" },
		{ "${eval:1<<3}|${eval:17%5}|${eval:2K}|${eval10:010}|${eval: 7 / 2 }", "8|2|2048|10|3" },
		{ "${eval:1/0}", "!error in expression evaluation: divide by zero (after processing \"1/0\")" },
		{ "${eval:9223372036854775807+1}",
		    "!error in expression evaluation: overflow in sum (after processing \"9223372036854775807+1\")" },
		{ "${eval:}", "!error in expression evaluation: expecting number or opening parenthesis (after processing \"\")" },
		{ "${address:X <a@b.c> (d)}|${domain:a@b.c}|${local_part:\"x y\"@b.c}|${address:bad bad@x}", "a@b.c|b.c|\"x y\"|" },
		{ "${addresses:>& Chief <ceo@up.stairs>, sec@base.ment (dogsbody)}", "ceo@up.stairs&sec@base.ment" },
		{ "${addresses:g: a@b, \"c:d\"@e;, bad bad}", "a@b:\"c::d\"@e" },
		{ "${base62:12345}|${base62d:00003D7}|${base32:31}|${base32d:7}", "0003D7|12345|7|31" },
		{ "${base64:abc}|${base64d:YWJj}|${hex2b64:616263}|${str2b64:a}", "YWJj|abc|YWJj|YQ==" },
		{ "${base64d:Y}", "!string \"Y\" is not well-formed for \"base64d\" operator" },
		{ "${md5:abc}", "900150983cd24fb0d6963f7d28e17f72" }, { "${sha1:abc}", "A9993E364706816ABA3E25717850C26C9CD0D89D" },
		{ "${sha256:abc}", "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD" },
		{ "${sha3_224:abc}", "E642824C3F8CF24AD09234EE7D3C766FC9A3A5168D0C94AD73B46FDF" },
		{ "${sha2_1:a}", "!unrecognised sha2 variant" }, { "${escape:a\\n\\001\\200}", "a\\n\\001\\200" },
		{ "${escape8bit:\\\\\\200}|${hexquote:a b}", "\\134\\200|a\\x20b" },
		{ "${expand:\\${lc:A\\}}", "a" }, { "${expand:\\$foo}",
		    "!internal expansion of \"$foo\" failed: unknown variable name \"foo\"" },
		{ "${quote:ab\"*\"cd}|${quote:}|${quote:a.b}", "\"ab\\\"*\\\"cd\"|\"\"|a.b" },
		{ "${quote_local_part:a b}|${quote_local_part:a+b}", "\"a b\"|a+b" },
		{ "${quote_local_part:a\\nb\\r}", "\"a\\nb\\r\"" },
		{ "${quote_mysql:a'b}|${quote_pgsql:a'b}|${quote_lsearch:a'b}", "a\\'b|a''b|a'b" },
		{ "${quote_ldap:two * two}|${quote_ldap_dn: a<b }", "two%20%5C2A%20two|%5C%20a%5C%3Cb%5C%20" },
		{ "${quote_nosuch:x}", "!unknown lookup type \"nosuch\"" }, { "${rxquote:a.b}", "a\\.b" },
		{ "${rfc2047:caf\\xc3\\xa9}|${rfc2047:plain}", "=?UTF-8?Q?caf=C3=A9?=|plain" },
		{ "${rfc2047d:=?iso-8859-1?q?caf=e9?= =?utf-8?b?eA==?=}", "caf\303\251x" },
		{ "${utf8clean:a\\xffb\\xc3}|${from_utf8:\\xc3\\xa9\\xe2\\x82\\xac}", "a?b?|\351_" },
		{ "${utf8_domain_to_alabel:b\\xc3\\xbccher.test}|${utf8_domain_from_alabel:xn--bcher-kva.test}",
		    "xn--bcher-kva.test|b\303\274cher.test" },
		{ "${utf8_localpart_to_alabel:b\\xc3\\xbccher}|${utf8_localpart_from_alabel:xn--bcher-kva}",
		    "xn--bcher-kva|b\303\274cher" },
		{ "${mask:10.111.131.206/28}|${mask_n:2001:db8::1/32}", "10.111.131.192/28|2001:db8::/32" },
		{ "${mask:3ffe:ffff:836f:0a00:000a:0800:200a:c031/99}", "3ffe.ffff.836f.0a00.000a.0800.2000.0000/99" },
		{ "${mask:1.2.3.4}", "!missing mask value in \"1.2.3.4\"" },
		{ "${reverse_ip:192.0.2.4}|${ipv6norm:2001:DB8:0:0:1::}|${ipv6denorm:::1}",
		    "4.2.0.192|2001:db8:0:0:1::|0000:0000:0000:0000:0000:0000:0000:0001" },
		{ "${time_interval:694861}|${time_eval:1d2h}|${randint:5}", "1w1d1h1m1s|93600|2" },
		{ "${stat:/t/dir/entry}", "mode=0640 smode=-rw-r----- inode=0 device=0 links=0 uid=0 gid=0 size=0 atime=0 mtime=0 "
		    "ctime=0" },
		{ "${listcount:a:b::c:}|${listcount:<;a;b}", "2|2" }, { "${listnamed:none}", "!\"none\" is not a named list" },
		{ "${xtextd:a+20b}", "a b" }, { "${addresses:a:b:c}|${reverse_ip:192.0.2.1/24}", "|1.2.0.192" },
		{ "${imapfolder{/a//b/}}|${utf8_domain_from_alabel:\\xff}|${base62d:a\\tb}",
		    "!argument for base62d operator is \"a b\", which is not a base 62 number" },
		{ "${imapfolder{/a//b/}}|${utf8_domain_from_alabel:\\xff}", "a.b|\377" },
	};

	ROWS(rows);
}

static void
test_conditions(void **state)
{
	static const struct row rows[] = {
		{ "${if >{10M}{1G}{y}{n}}${if <={1}{1}{y}{n}}${if =={}{0}{y}{n}}", "nyy" },
		{ "${if >{ x 1}{1}}", "!integer expected but \"x 1\" found" },
		{ "${randint:-3x}", "!non-negative integer expected but \"-3x\" found" },
		{ "${if >{x}{1}}", "!integer expected but \"x\" found" }, { "${if ={1x}{1}}", "!invalid integer \"1x\"" },
		{ "${if eqi{A}{a}}${if lt{a}{b}}${if gei{B}{a}}${if !eq{a}{b}}", "truetruetruetrue" },
		{ "${if and{{eq{a}{a}}{eq{b}{b}}}}|${if or{{eq{a}{b}}{eq{b}{c}}}}|${if and{}}|${if or{}}", "true||true|" },
		{ "${if or{{eq{a}{a}}{eq{${readfile{/none}}}{}}}{y}{n}}", "y" },
		{ "${if and{eq{a}{a}}}", "!each subcondition inside an \"and{...}\" condition must be in its own {}" },
		{ "${if bool{yes}}|${if bool{0}}|${if bool{}}|${if bool{-3}}|${if bool_lax{x}}", "true|||true|true" },
		{ "${if bool{x}}", "!unrecognised boolean value \"x\"" },
		{ "${if exists{/t/text}}|${if exists{/t/none}}", "true|" },
		{ "${if isip{1.2.3.4}}|${if isip6{::1}}|${if isip4{::1}}|${if isip{1.2.3}}", "true|true||" },
		{ "${if inlist{b}{a:b}{$value}{n}}|${if inlisti{B}{a:b}{$value}{n}}|${if inlist{B}{a:b}}", "b|b|" },
		{ "${if forany{a:b}{eq{$item}{b}}}|${if forall{a:b}{eq{$item}{b}}}|${if forany{}{eq{}{}}}", "true||" },
		{ "${if forany_jsons{[\"a\",\"b\"]}{eq{$item}{b}}}|${if forall_json{[1,2]}{>{$item}{0}}}", "true|true" },
		{ "${if match{abc}{^b}}|${if match{abc}{\\Nb(.)$\\N}{$1}}", "|c" },
		{ "${if match_domain{a.b}{*.b : c}{$value}}|${if match_domain{a.b}{!a.b : *}{y}{n}}", "*.b|n" },
		{ "${if match_domain{a.b}{!*.b : c}{}{$0 $value}}|${if match_domain{a.b}{! *.b}{}{$value}}", "a.b *.b|*.b" },
		{ "${if match_address{}{@@cdb;/dev/null : partial(foo.)lsearch;/nosuch}{y}{n}}", "n" },
		{ "${if match_address{*@b}{@@cdb;/dev/null}{y}{n}}", "n" },
		{ "${if match_ip{10.0.0.1}{10.0.0.1/33}{y}{n}}${if match_ip{::2}{<; ::1/200}{y}{n}}", "yn" },
		{ "${if match_local_part{x}{! +caseful : *}{y}{n}}", "?unable to complete match against \"! +caseful : *\": NULL" },
		{ "${if match_address{A@b}{a@b}{$value}}|${if match_local_part{x}{y:x}{$value}}", "a@b|x" },
		{ "${if match_ip{10.1.2.3}{10.0.0.0/8}}|${if match_ip{x}{*}}", "!\"x\" is not an IP address" },
		{ "${if crypteq{abc}{\\{md5\\}900150983cd24fb0d6963f7d28e17f72}}|${if crypteq{secret}{abNANd1rDfiNc}}", "true|true" },
		{ "${if crypteq{x}{\\{no\\}y}}", "!unknown encryption mechanism in \"{no}y\"" },
		{ "${if pam{u:p}}|${if saslauthd{{u}{p}}}|${if pam{u:x}}", "true|true|" },
		{ "${if first_delivery{y}{n}}${if queue_running{y}{n}}", "nn" },
		{ "${if lti{a}{ab}}|${if gti{a}{ab}}|${if lt{a}{ab}}", "|true|true" },
		{ "${if and{{eq{a}{b}}{bool{x}}}}", "!unrecognised boolean value \"x\" inside \"and{...}\" condition" },
		{ "${if nosuch{x}}", "!unknown condition \"nosuch\"" }, { "${if}", "!condition name expected, but found \"}\"" },
		{ "${if eq{a}}", "!missing 2nd string in {} after \"eq\"" },
		{ "${if forany{a}{eq}}", "!missing { after \"eq\" inside \"forany\" condition" },
	};

	ROWS(rows);
}

/* The mistake is told when the string is compiled, with its place, and Exim's text when it is expanded. */
/* What the tables above have not: each comparison, both ways and with equals; JSON lists; services that nobody configured. */
static void
test_more(void **state)
{
	static const struct row rows[] = {
		{ "${if <{1}{2}}${if <{2}{1}}${if <{1}{1}}", "true" }, { "${if <={1}{2}}|${if <={2}{1}}|${if <={1}{1}}", "true||true" },
		{ "${if >{1}{2}}|${if >{2}{1}}", "|true" }, { "${if >={1}{2}}|${if >={2}{1}}|${if >={1}{1}}", "|true|true" },
		{ "${if =={1K}{1024}}|${if ={1}{2}}", "true|" },
		{ "${if lt{a}{b}}|${if lt{b}{a}}|${if lt{a}{a}}|${if lt{B}{a}}", "true|||true" },
		{ "${if le{a}{b}}|${if le{b}{a}}|${if le{a}{a}}", "true||true" }, { "${if gt{a}{b}}|${if gt{b}{a}}|${if gt{a}{a}}", "|true|" },
		{ "${if ge{a}{b}}|${if ge{b}{a}}|${if ge{a}{a}}", "|true|true" }, { "${if lei{A}{a}}|${if lei{b}{A}}", "true|" },
		{ "${if gei{A}{a}}|${if gei{A}{b}}", "true|" }, { "${if lti{a}{B}}|${if gti{a}{B}}", "true|" },
		{ "${if forall_json{[1,2]}{>{$item}{0}}{y}{n}}|${if forall_json{[1,0]}{>{$item}{0}}{y}{n}}", "y|n" },
		{ "${if forany_json{[1,\"a\"]}{eq{$item}{\"a\"}}{y}{n}}|${if forany_json{[]}{def:item}{y}{n}}", "y|n" },
		{ "${if forall_jsons{[\"a\",\"a\"]}{eq{$item}{a}}{y}{n}}|${if forall_jsons{[\"a\",\"b\"]}{eq{$item}{a}}{y}{n}}", "y|n" },
		{ "${if forany_jsons{[\"a\",\"b\"]}{eq{$item}{b}}{y}{n}}", "y" },
		{ "${if forany_jsons{[1]}{eq{$item}{1}}}", "!missing '\"' wrapping string result for extract jsons" },
		{ "${if ldapauth{user=\"a\" pass=\"b\" ldap:///dc=x}{y}{n}}", "n" },
		{ "${if pwcheck{u:p}{y}{n}}", "!support for \"pwcheck\" not compiled" },
		{ "${if radius{u:p}{y}{n}}", "!support for \"radius\" not compiled" },
		{ "${nh_8:abc}|${nhash_8:abc}", "4|4" }, { "${headerwrap_20_60:aaa bbb ccc ddd eee fff}", "aaa bbb ccc ddd eee \n\tfff" },
		{ "${extract json{b}{{\"a\":1,\"b\":[2]}}}", "!missing '}' wrapping object for extract json" },
	};

	ROWS(rows);
}

static void
test_mistakes(void **state)
{
	struct err err = ERR_INIT;
	struct exim_str *s;
	struct test_env t;
	unsigned line;
	struct sv v;

	test_env_init(&t, true);
	assert_int_equal(exim_str_compile(t.conf, SV_LIT("x ${if eq{a}{b}{$nosuch}} y"), "exim.conf", 12, &s, &err), -1);
	assert_string_equal(err.text, "exim.conf:12: unknown variable name \"nosuch\"");
	assert_int_equal(err.cls, ERR_CONFIG);
	assert_string_equal(exim_str_file(s, &line), "exim.conf");
	assert_int_equal(line, 12);
	err_clear(&err);
	assert_int_equal(exim_expand(s, &t.env, &v, &err), EXIM_FAIL);
	assert_string_equal(err.text, "unknown variable name \"nosuch\"");
	assert_false(exim_str_literal(s, NULL));
	assert_int_equal(exim_str_compile(t.conf, SV_LIT("plain"), "f", 1, &s, &err), 0);
	assert_true(exim_str_literal(s, &v));
	assert_true(sv_eqs(v, "plain"));
	assert_int_equal(exim_expand(NULL, &t.env, &v, &err), EXIM_OK);
	assert_int_equal(v.len, 0);
	test_env_fini(&t);
}

/* Exim reads a string while it evaluates it: what stands in front of a mistake may fail first, or be skipped. */
static void
test_order(void **state)
{
	static const struct row rows[] = {
		{ "${if ={abc}", "!integer expected but \"abc\" found" }, { "${if ={1}", "!missing 2nd string in {} after \"=\"" },
		{ "${if and{{={1}{x}}{nosuch{a}}}}", "!integer expected but \"x\" found inside \"and{...}\" condition" },
		{ "${if and{{={1}{2}}{nosuch{a}}}}", "!unknown condition \"nosuch\" inside \"and{...}\" condition" },
		{ "${if or{{={1}{1}}{={1}{x}}{nosuch}}}", "!unknown condition \"nosuch\" inside \"or{...}\" condition" },
		{ "${if eq{1}{1}{${eval:x}$nosuch}}", "!error in expression evaluation: expecting number or opening parenthesis "
		    "(after processing \"\")" },
		{ "${if eq{1}{2}{${eval:x}$nosuch}}", "!unknown variable name \"nosuch\"" },
		{ "${lc:${eval:1/0}$nosuch}", "!error in expression evaluation: divide by zero (after processing \"1/0\")" },
		{ "${sg{${if eq{1}{2}{x}fail}}}", "!!\"if\" failed and \"fail\" requested" },
		{ "${lookup{x}lsearch{/t/none}{$nosuch}}", "!failed to open /t/none for linear search: No such file or directory" },
		{ "${lookup{root}lsearch{/t/aliases}{$nosuch}}", "!unknown variable name \"nosuch\"" },
		{ "${lookup{root}lsearch{/t/aliases}x}", "!curly-bracket problem in conditional yes/no parsing: 'yes' part did not "
		    "start with '{'  remaining string is 'x}'" },
		{ "${if eq{1}{2}{${extract{2}{:}{a:b}fail}}{no}}", "no" },
		{ "${if eq{1}{1}{${extract{2}{:}{a:b}fail}}{no}}", "!curly-bracket problem in conditional yes/no parsing: 'yes' part "
		    "did not start with '{'  remaining string is 'fail}}{no}}'" },
		{ "${if eq{1}{2}{${substr{a}{1}{x}}}{no}}", "!\"a\" is not a number (in \"substr\" expansion)" },
		{ "${if eq{1}{2}{${substr{$value}{1}{x}}}{no}}", "no" },
		{ "${if eq{1}{2}{${listextract{a}{x}}}{no}}", "!first argument of \"listextract\" must be numeric" },
		{ "${if eq{1}{2}{${imapfolder{a}{bc}}}{no}}", "!IMAP folder separator must be one character, found \"bc\"" },
		{ "${sort{a:b}{{lt}}{$item}}", "!condition name expected, but found \"{lt\"" },
		{ "${map{a:b}{${if eq{$item}{c}{}fail}}}", "!!\"if\" failed and \"fail\" requested inside \"map\" item" },
		{ "${if and{{eq{${if eq{1}{2}{}fail}}{}}}}", "!!\"if\" failed and \"fail\" requested inside \"and{...}\" condition" },
		{ "${substr{1}{2}{x}y}", "!missing '}' after 'substr'" }, { "${acl{x}", "!missing '}' after 'acl'" },
		{ "${prvscheck{a}}", "!Not enough arguments for 'prvscheck' (min is 1)" },
		{ "${prvscheck{a}{b}{c}{d}}", "!Too many arguments for 'prvscheck' (max is 2)" },
		{ "${prvscheck{prvs=0123abcdef=u@d}{b}{c}{d}}", "!Too many arguments for 'prvscheck' (max is 1)" },
		{ "${run,x{/bin/true}}", "!bad option 'x' for run" }, { "${run{/bin/true $nosuch}}", "!Expansion of \"$nosuch\" from "
		    "command \"/bin/true $nosuch\" in ${run} expansion failed: unknown variable name \"nosuch\"" },
		{ "${certextract{subject}{$nosuch}}", "!no variable named \"nosuch\"" },
		{ "${srs_encode{k}{@d}{f.test}}", "!no local part" },
		{ "${quote_lsearch_x:a}", "!\"x\" unrecognized after \"${quote_lsearch\"" },
		{ "${listnamed_l:nosuch}", "!\"nosuch\" is not a localpart named list" },
		{ "${eval:9223372036854775807+0}", "!error in expression evaluation: overflow in sum (after processing "
		    "\"9223372036854775807+0\")" },
		{ "${eval:(0-9223372036854775807-1)/(0-1)}", "9223372036854775807" },
		{ "${base62d:99999999999999999999}", "-8921967311668203453" }, { "${time_interval:2147483648}", "3550w5d3h14m8s" },
		{ "${reverse_ip:::ffff:1.2.3.4}", "4.3.2.1" }, { "${ipv6norm:fe80::1%eth0}", "fe80::1" },
		{ "${addresses:<, a,b}", "" }, { "${addresses:grp: a@b, c@d;, e@f}", "a@b:c@d:e@f" }, { "${addresses:@b, c@d}", "" },
		{ "${listcount:<}", "0" }, { "${if bool{-}{y}{n}}", "n" }, { "${from_utf8:\200}", "\200" },
		{ "${if match_domain{ABC}{aBc}{$0 $value}}", "abc aBc" }, { "${if match_domain{ABC}{^a(b)}{$0 $1}}", "ABC B" },
	};

	ROWS(rows);
}

static void
test_options(void **state)
{
	static const struct { const char *text; bool strict; int want; } rows[] = {
		{ "", false, 0 }, { "no", true, 0 }, { "${lc:TRUE}", true, 1 }, { " 1 ", true, 1 }, { "x", false, 1 },
		{ "x", true, -1 }, { "7", true, 1 }, { "00", true, 0 }
	};
	struct err err = ERR_INIT;
	struct exim_str *s;
	struct test_env t;
	int64_t n;
	bool b;

	test_env_init(&t, true);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		(void)exim_str_compile(t.conf, sv_cstr(rows[i].text), NULL, 0, &s, &err);
		if (rows[i].want == -1)
			assert_int_equal(exim_expand_bool(s, &t.env, rows[i].strict, &b, &err), EXIM_FAIL);
		else {
			assert_int_equal(exim_expand_bool(s, &t.env, rows[i].strict, &b, &err), EXIM_OK);
			assert_int_equal(b, rows[i].want);
		}
	}
	(void)exim_str_compile(t.conf, SV_LIT("0x1f"), NULL, 0, &s, &err);
	assert_int_equal(exim_expand_int(s, &t.env, &n, &err), EXIM_OK);
	assert_int_equal(n, 31);
	(void)exim_str_compile(t.conf, SV_LIT("2K"), NULL, 0, &s, &err);
	assert_int_equal(exim_expand_int(s, &t.env, &n, &err), EXIM_OK);
	assert_int_equal(n, 2048);
	test_env_fini(&t);
}

static void
test_taint(void **state)
{
	static const struct row rows[] = {
		{ "${readfile{/t/$local_part}}", "!Tainted name '/t/Local' (file name for ${readfile) not permitted" },
		{ "${run{$local_part x}}", "!Tainted name 'Local' (command for ${run) not permitted" },
		{ "${lookup{root}lsearch{/t/aliases}}", "alice" },
		{ "${run{/bin/x $local_part}}", "[Local]" },
		{ "${readfile{/t/${hex2b64:$acl_m_hex}}}", "!Tainted name '/t/YWI=' (file name for ${readfile) not permitted" },
		{ "${readfile{/t/${lc:$local_part}}}", "!Tainted name '/t/local' (file name for ${readfile) not permitted" },
		{ "${readfile{/t/${imapfolder{$local_part}}}}", "!Tainted name '/t/Local' (file name for ${readfile) not permitted" },
		/* Numbers of any origin are harmless. */
		{ "${readfile{/t/${eval:$acl_m_hex}}}", "!failed to open /t/6162: No such file or directory" },
		{ "${lookup sqlite,file=/t/db{select $local_part}}", "sqlite//t/db/select Local" },
	};
	struct err err = ERR_INIT;
	struct test_env t;
	struct sv v;

	ROWS(rows);
	test_env_init(&t, true);
	assert_int_equal(exim_expand_text(sv_taint(SV_LIT("${lc:X}")), &t.env, &v, &err), EXIM_FAIL);
	assert_int_equal(exim_expand_text(SV_LIT("${lc:X}"), &t.env, &v, &err), EXIM_OK);
	assert_true(sv_eqs(v, "x"));
	assert_true(exim_var_get(&t.env, SV_LIT("local_part"), &v));
	assert_true(v.tainted);
	assert_false(exim_var_get(&t.env, SV_LIT("nosuch"), &v));
	assert_true(exim_var_known(SV_LIT("acl_m_any")));
	assert_false(exim_var_known(SV_LIT("nosuch")));
	t.g.headers_charset = SV_LIT("ISO-8859-1");
	assert_string_equal(test_expand(&t, "${readfile{/t/${imapfolder{$local_part}}}}"),
	    "!Tainted name '/t/Local' (file name for ${readfile) not permitted");
	t.env.forbid = EXIM_NO_RUN | EXIM_NO_LOOKUP | EXIM_NO_READFILE | EXIM_NO_EXISTS;
	assert_string_equal(test_expand(&t, "${run{/bin/x}}"), "!running a command is not permitted");
	assert_string_equal(test_expand(&t, "${lookup{x}lsearch{/t/aliases}}"), "!lookup expansions are not permitted");
	assert_string_equal(test_expand(&t, "${if exists{/t}}"), "!File existence tests are not permitted");
	test_env_fini(&t);
}

static void
times(struct sb *sb, const char *s, int n)
{
	while (n-- > 0)
		sb_adds(sb, s);
}

/* What loops in loops over a long text cost, in time and memory. */
static void
test_work(void **state)
{
	struct sb sb = SB_INIT(1 << 20);
	struct test_env t;

	test_env_init(&t, true);
	sb_adds(&sb, "${map{<, ");
	times(&sb, "a@b.test,", 8000);
	sb_adds(&sb, "}{${if eq{${addresses:");
	times(&sb, "a@b.test,", 8000);
	sb_adds(&sb, "}}{x}{y}{n}}}}");
	assert_non_null(strstr(test_expand(&t, sb_cstr(&sb)), "too much work"));
	sb_clear(&sb);
	sb_adds(&sb, "${sort{");
	times(&sb, "a:", 4000);
	sb_adds(&sb, "}{lti}{");
	times(&sb, "x", 2000);
	sb_adds(&sb, "$item}}");
	assert_non_null(strstr(test_expand(&t, sb_cstr(&sb)), "too much work to sort"));
	sb_clear(&sb);
	sb_adds(&sb, "${lookup{");
	times(&sb, "a.", 30000);
	sb_adds(&sb, "}partial0-lsearch{/t/domains}{y}{n}}");
	assert_non_null(strstr(test_expand(&t, sb_cstr(&sb)), "too many components"));
	/* Each match of each turn of a loop. */
	sb_clear(&sb);
	sb_adds(&sb, "${map{");
	times(&sb, "a:", 2000);
	sb_adds(&sb, "}{${strlen:${sg{");
	times(&sb, "xx", 10000);
	sb_adds(&sb, "}{x}{}}}}}");
	assert_non_null(strstr(test_expand(&t, sb_cstr(&sb)), "too much work"));
	/* Encoded words that are never closed: each byte is looked at once. */
	sb_clear(&sb);
	sb_adds(&sb, "${strlen:${rfc2047d:");
	times(&sb, "=?utf-8?q? ", 90000);
	sb_adds(&sb, "}}");
	assert_string_equal(test_expand(&t, sb_cstr(&sb)), "990000");
	sb_free(&sb);
	test_env_fini(&t);
}

static unsigned offloaded;

static void
offload(void *arg, void (*fn)(void *job), void *job)
{
	(void)arg;
	offloaded++;
	fn(job);
}

/* What is slow by design is done where others need not wait for it. */
static void
test_offload(void **state)
{
	static const char hash[] = "\\N$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtLtip/cZ/1GM/O6IND4WQhG.\\N";
	struct exim_world w = test_world;
	struct test_env t;
	char text[512];

	test_env_init(&t, true);
	w.offload = offload;
	t.env.world = &w;
	(void)snprintf(text, sizeof(text), "${if crypteq{secret}{%s}{y}{n}}${if crypteq{other}{%s}{y}{n}}", hash, hash);
	assert_string_equal(test_expand(&t, text), "yn");
	assert_int_equal(offloaded, 2);
	assert_string_equal(test_expand(&t, "${if crypteq{x}{aaOCm2Wh0EC9M}{y}{n}}"), "n");
	assert_int_equal(offloaded, 2);
	test_env_fini(&t);
}

/* Nothing is unbounded: nesting, results, regexes. */
static void
test_limits(void **state)
{
	struct sb sb = SB_INIT(1 << 20);
	struct test_env t;
	const char *got;

	test_env_init(&t, true);
	for (int i = 0; i < 500; i++)
		sb_adds(&sb, "${lc:");
	got = test_expand(&t, sb_cstr(&sb));
	assert_non_null(strstr(got, "nested more than"));
	sb_clear(&sb);
	sb_adds(&sb, "${if ");
	for (int i = 0; i < 500; i++)
		sb_adds(&sb, "and{{");
	got = test_expand(&t, sb_cstr(&sb));
	assert_non_null(strstr(got, "nested more than"));
	/* What is read twice, with and without a mistake in it. */
	sb_clear(&sb);
	for (int i = 0; i < 45; i++)
		sb_adds(&sb, "${extract{");
	(void)test_expand(&t, sb_cstr(&sb));
	sb_clear(&sb);
	for (int i = 0; i < 45; i++)
		sb_adds(&sb, "${run{");
	sb_adds(&sb, "x");
	for (int i = 0; i < 45; i++)
		sb_adds(&sb, "}}");
	got = test_expand(&t, sb_cstr(&sb));
	assert_non_null(strstr(got, "too much work to read"));
	/* 26 doublings of 16 bytes pass the limit. */
	got = test_expand(&t, "${reduce{1:2:3:4:5:6:7:8:9:10:11:12:13:14:15:16:17:18:19:20:21:22:23:24:25:26}"
	    "{0123456789abcdef}{$value$value}}");
	assert_non_null(strstr(got, "longer than"));
	/* Catastrophic backtracking ends by PCRE2's limit. */
	got = test_expand(&t, "${if match{aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab}"
	    "{\\N^(a|aa|a*)*$\\N}{y}{n}}");
	assert_non_null(strstr(got, "limit"));
	assert_string_equal(test_expand(&t, "${expand:${expand:${expand:x}}}"), "x");
	sb_free(&sb);
	test_env_fini(&t);
}

/* A certificate made here: names, times, alternative names, fingerprints. */
static void
test_certificates(void **state)
{
	static const struct row rows[] = {
		{ "${certextract{subject}{$tls_in_peercert}}", "O=Org,CN=host.test" },
		{ "${certextract{subject,CN}{$tls_in_peercert}{<$value>}{none}}", "<host.test>" },
		{ "${certextract{subject,OU}{$tls_in_peercert}{$value}{none}}", "none" },
		{ "${certextract{issuer}{$tls_in_peercert}}|${certextract{version}{$tls_in_peercert}}", "O=Org,CN=host.test|3" },
		{ "${certextract{serial_number}{$tls_in_peercert}}", "0102" },
		{ "${certextract{notbefore,int}{$tls_in_peercert}}", "1795226400" },
		{ "${certextract{notafter}{$tls_in_peercert}}", "Nov 22 02:00:00 2026 +0000" },
		{ "${certextract{subj_altname}{$tls_in_peercert}}", "DNS=a.test\nMAIL=m@a.test" },
		{ "${certextract{subj_altname,dns,>:}{$tls_in_peercert}}", "a.test" },
		{ "${certextract{nosuch}{$tls_in_peercert}}", "!bad field selector \"nosuch\" for certextract" },
		{ "${strlen:${sha1:$tls_in_peercert}}|${strlen:${md5:$tls_in_peercert}}", "40|32" },
		{ "$tls_in_peercert", "<cert>" },
	};
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	X509 *c = X509_new();
	X509_EXTENSION *ext;
	struct test_env t;
	X509_NAME *name;

	assert_non_null(key);
	(void)X509_set_version(c, 2);
	(void)ASN1_INTEGER_set(X509_get_serialNumber(c), 258);
	(void)ASN1_TIME_set(X509_getm_notBefore(c), TEST_NOW);
	(void)ASN1_TIME_set(X509_getm_notAfter(c), TEST_NOW + 86400);
	name = X509_get_subject_name(c);
	(void)X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"host.test", -1, -1, 0);
	(void)X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, (const unsigned char *)"Org", -1, -1, 0);
	(void)X509_set_issuer_name(c, name);
	(void)X509_set_pubkey(c, key);
	ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:a.test,email:m@a.test");
	assert_non_null(ext);
	(void)X509_add_ext(c, ext, -1);
	X509_EXTENSION_free(ext);
	assert_true(X509_sign(c, key, EVP_sha256()) > 0);
	test_env_init(&t, true);
	t.session.tls_in.peercert = c;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(test_expand(&t, rows[i].text), rows[i].want);
	test_env_fini(&t);
	X509_free(c);
	EVP_PKEY_free(key);
}

static void
test_be(void **state)
{
	static const char in[] = "$primary_hostname\n${lc:A\\\n   B}\n$nosuch\n";
	struct err err = ERR_INIT;
	struct test_env t;
	char buf[512] = "";
	FILE *i, *o;

	test_env_init(&t, true);
	i = fmemopen((void *)(uintptr_t)in, sizeof(in) - 1, "r");
	o = fmemopen(buf, sizeof(buf), "w");
	assert_int_equal(exim_be(&t.env, i, o, false, &err), 0);
	(void)fclose(i);
	(void)fclose(o);
	assert_string_equal(buf, "mail.example.test\nab\nFailed: unknown variable name \"nosuch\"\n");
	test_env_fini(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text), cmocka_unit_test(test_variables), cmocka_unit_test(test_items),
		cmocka_unit_test(test_operators), cmocka_unit_test(test_conditions), cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_order), cmocka_unit_test(test_more),
		cmocka_unit_test(test_options), cmocka_unit_test(test_taint), cmocka_unit_test(test_limits), cmocka_unit_test(test_work), cmocka_unit_test(test_offload),
		cmocka_unit_test(test_certificates), cmocka_unit_test(test_be),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
