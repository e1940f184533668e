/* SPDX-License-Identifier: BSD-2-Clause */
/* Exim filters: what is told when they are tried, what is collected when they run, and a child's answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/sb.h"
#include "exim/expand.h"
#include "filter/exim_filter.h"
#include "filter/forward.h"
#include "mail/header.h"

static const char message[] =
    "From: \"Alice\" <alice@example.test>\nTo: bob@local.test, Carol <carol@x.test>\nSubject: Test this\nX-Num: 42\n\n"
    "some money\n";

struct fix {
	struct arena	*a;
	struct exim_world world;
	struct exim_globals g;
	struct exim_message msg;
	struct exim_address addr;
	struct mail_headers h;
	struct exim_env	 env;
};

static void
fix_open(struct fix *f)
{
	memset(f, 0, sizeof(*f));
	f->a = arena_new(0);
	mail_headers_parse(&f->h, f->a, sv_cstr(message), MAIL_HEADERS_STOP);
	f->g.qualify_recipient = f->g.qualify_domain = SV_LIT("local.test");
	f->g.message_body_visible = 500;
	f->g.headers_charset = SV_LIT("UTF-8");
	f->msg.id = SV_LIT("1abcde-000000-00");
	f->msg.headers = &f->h;
	f->msg.has_sender = true;
	f->msg.sender = f->msg.return_path = SV_LIT("alice@example.test");
	f->msg.body = sv_cstr(message + f->h.body_start);
	f->msg.body_whole = true;
	f->addr.local_part = SV_LIT("bob");
	f->addr.domain = SV_LIT("local.test");
	f->env = (struct exim_env){ .arena = f->a, .world = &f->world, .g = &f->g, .msg = &f->msg, .addr = &f->addr,
	    .message_loaded = true };
}

/* What a trial of <text> writes, its last line cut off if it is the usual one. */
static char *
tried(const char *text, unsigned flags)
{
	struct fix f;
	struct filter_ops ops;
	char *out = NULL, *copy = malloc(strlen(text) + 1);
	size_t n = 0;
	FILE *to = open_memstream(&out, &n);
	const char *why = "";
	struct exim_filter *x;

	fix_open(&f);
	memset(&ops, 0, sizeof(ops));
	memcpy(copy, text, strlen(text));
	x = exim_filter_parse(f.a, sv_from(copy, strlen(text)), "f", flags, &why);
	free(copy);
	if (x == NULL)
		fprintf(to, "Filter error: %s\n", why);
	else {
		struct exim_filter_run r = { .env = &f.env, .ops = &ops, .flags = flags, .test = to };

		(void)exim_filter_run(x, &r);
	}
	(void)fclose(to);
	arena_free(&f.a);
	return (out);
}

#define DONE	"Filtering set up at least one significant delivery or other action.\nNo other deliveries will occur.\n"
#define MORE	"Filtering did not set up a significant delivery.\nNormal delivery will occur.\n"

static const struct {
	const char	*filter;
	unsigned	 flags;
	const char	*out;
} trials[] = {
	{ "", 0, MORE },
	{ "# only this", 0, MORE },
	{ "save a/b", 0, "Save message to: a/b\n" DONE },
	{ "unseen save a 640 finish save b", 0, "Unseen save message to: a 0640\nFinish\n" MORE },
	{ "deliver joe", 0, "Deliver message to: joe@local.test\n" DONE },
	{ "deliver \"J <joe@x.test>\" errors_to bob@local.test", 0,
	    "Deliver message to: joe@x.test errors_to bob@local.test\n" DONE },
	{ "deliver a@b errors_to c@d", 0, "Filter error: errors_to must point to the caller's address\n" },
	{ "deliver a@b errors_to c@d", EXIM_FILTER_SYSTEM, "Deliver message to: a@b errors_to c@d\n" DONE },
	{ "noerror pipe \"/bin/x $sender_address\"", 0, "Pipe message to: /bin/x $sender_address (noerror)\n" DONE },
	{ "if $h_x-num: above 40 and $h_x-num: is not 41 then testprint \"$h_subject:\" endif", 0, "Testprint: Test this\n" MORE },
	{ "if $h_subject: contains TEST and not ($h_subject: CONTAINS TEST) then testprint a else testprint b endif", 0,
	    "Testprint: a\n" MORE },
	{ "if a is b or a is a and b is b then testprint yes endif", 0, "Testprint: yes\n" MORE },
	{ "if $h_from: matches \"<(.*)@\" then testprint $1 endif testprint $1", 0, "Testprint: alice\nTestprint: alice\n" MORE },
	{ "if a matches \"(\" then finish endif", 0,
	    "Filter error: error while compiling regular expression \"(\": missing closing parenthesis at offset 1\n" },
	{ "if foranyaddress $h_to: ($thisaddress begins carol) then testprint $thisaddress endif testprint <$thisaddress>", 0,
	    "Testprint: carol@x.test\nTestprint: <>\n" MORE },
	{ "if personal then testprint yes endif", 0, "Testprint: yes\n" MORE },
	{ "if personal alias alice@example.test then testprint yes else testprint no endif", 0, "Testprint: no\n" MORE },
	{ "if error_message or manually_thawed or not first_delivery or delivered then testprint a endif", 0, MORE },
	{ "add 3 to n1 add -$n1 to n2 add --$n2 to n3 testprint \"$n1 $n2 $n3\"", 0,
	    "Add 3 to n1\nAdd -3 to n2\nAdd -3 to n3\nTestprint: 3 -3 -3\n" MORE },
	{ "add 1 to n", 0, "Add 1 to n0\n" MORE },
	{ "add 1 to n10", 0, "Filter error: unknown variable \"n10\" in \"add\" command\n" },
	{ "if 99999999999999999999 is above -2 and 4km is below 1 and 1k is above 1023 then testprint yes endif", 0,
	    "Testprint: yes\n" MORE },
	{ "if 5z is above 1 then finish endif", 0, "Filter error: malformed numerical string \"5z\"\n" },
	{ "save x unseen\n", 0, "Filter error: \"seen\" or \"unseen\" near line 2 is not followed by a command\n" },
	{ "if a is a then unseen endif", 0,
	    "Filter error: \"seen\", \"unseen\", or \"noerror\" near line 1 is not followed by a command\n" },
	{ "log x", 0, "Filter error: unknown filtering command \"log\" near line 1 of filter file\n" },
	{ "add 2147483647 to n1 add 1 to n1 testprint $n1", 0, "Add 2147483647 to n1\nAdd 1 to n1\nTestprint: -2147483648\n" MORE },
	{ "noerror", 0, "Filter error: \"noerror\" near line 1 is not followed by a command\n" },
	{ "mail to a@b other\n", 0, "Filter error: unknown filtering command \"other\" near line 3 of filter file\n" },
	{ "deliver a@b @c\n", 0, "Filter error: unknown filtering command \"@c\" near line 3 of filter file\n" },
	{ "headers x y", 0, "Filter error: header addition and removal is available only in system filters: near line 1 of filter file\n" },
	{ "headers x y", EXIM_FILTER_ALL,
	    "Filter error: \"add\", \"remove\", or \"charset\" expected after \"headers\" near line 1 of filter file\n" },
	{ "if foranyaddress \"two words, a@b c@d, <>, g: e@f;, x@y\" ($thisaddress contains y) then testprint $thisaddress endif", 0,
	    "Testprint: x@y\n" MORE },
	{ "if foranyaddress \"two words, a@b c@d\" ($thisaddress contains @) then finish endif testprint no", 0, "Testprint: no\n" MORE },
	{ "testprint <$recipients>", 0, "Testprint: <>\n" MORE },
	{ "add x to n1", 0, "Filter error: malformed number \"x\" in \"add\" command\n" },
	{ "logwrite x logfile /l 600 logwrite \"y\\n\"", 0, "Logwrite \"x\\n\"\nLogfile /l\nLogwrite \"y\\n\"\n" MORE },
	{ "mail subject \"a\\n b\" text \"x\\ny\" expand file f return message once_repeat 1d", 0,
	    "Mail to: <default>\nsubject: a\\n b\n   text: x\\ny\n   file: f (expanded)\nonce_repeat: 1d\nReturn original message\n" MORE },
	{ "mail subject \"a\\nb\"", 0, "Filter error: \\n not followed by space in \"a\\nb\" in mail command\n" },
	{ "seen vacation to a@b", 0, "Seen mail to: a@b (vacation)\nsubject: On vacation\n   file: .vacation.msg (expanded)\n"
	    "    log: .vacation.log\n   once: .vacation\nonce_repeat: 7d\n" DONE },
	{ "seen finish", 0, "Seen finish\n" DONE },
	{ "fail", 0, "Filter error: filtering command \"fail\" is disabled: near line 1 of filter file\n" },
	{ "fail text \"no\" save x", EXIM_FILTER_FAIL, "Fail text \"no\"\nFiltering ended by \"fail\".\n" },
	{ "freeze \"why\"", EXIM_FILTER_ALL, "Freeze text \"why\"\nFiltering ended by \"freeze\".\n" },
	{ "defer", EXIM_FILTER_ALL, "Defer text \"\"\nFiltering ended by \"defer\".\n" },
	{ "headers add \"X-A: 1\\nX-B: 2\" headers remove X-A:Subject testprint \"$h_x-a:$h_x-b:$h_subject:\"", EXIM_FILTER_ALL,
	    "Headers add \"X-A: 1\\nX-B: 2\"\nHeaders remove \"X-A:Subject\"\nTestprint: 2\n" MORE },
	{ "headers add x", 0,
	    "Filter error: header addition and removal is available only in system filters: near line 1 of filter file\n" },
	{ "testprint \"a\\tb\\x41\\102\\\n   c\"", 0, "Testprint: a\tbABc\n" MORE },
	{ "testprint ${if", 0, "Filter error: failed to expand \"${if\" in testprint command: condition name expected, but found \"\"\n" },
	{ "save \"x\ny", 0, "Filter error: quote missing at end of string in line 1\n" },
	{ "bogus", 0, "Filter error: unknown filtering command \"bogus\" near line 1 of filter file\n" },
	{ "\n\nsave\n", 0, "Filter error: \"save\" requires an argument near line 4 of filter file\n" },
	{ "if a is a then save x", 0, "Filter error: \"endif\" missing at end of filter file\n" },
	{ "if (a is a then save x endif", 0, "Filter error: missing \")\" at end of condition near line 1 of filter file\n" },
	{ "seen unseen save x", 0, "Filter error: \"seen\" or \"unseen\" repeated near line 1\n" },
	{ "seen if a is a then finish endif", 0,
	    "Filter error: \"seen\", \"unseen\", or \"noerror\" found before an \"if\" command near line 1\n" },
	{ "add 1 of n1", 0, "Filter error: \"to\" expected in \"add\" command near line 1 of filter file\n" },
};

static void
trial(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(trials) / sizeof(trials[0]); i++) {
		char *out = tried(trials[i].filter, trials[i].flags);

		if (strcmp(out, trials[i].out) != 0)
			print_message("%s\n", trials[i].filter);
		assert_string_equal(out, trials[i].out);
		free(out);
	}
}

/* "if(" and "elif(" need no blank; "then" and what follows do. */
static void
brackets(void **state)
{
	char *out = tried("if(a is b) then testprint 1 elif((a is a)) then testprint 2 else testprint 3 endif", 0);

	(void)state;
	assert_string_equal(out, "Testprint: 2\n" MORE);
	free(out);
}

/* --- collected ------------------------------------------------------------------------ */

static void
collect(struct fix *f, const char *text, struct route_filter *rf)
{
	fix_open(f);
	*rf = (struct route_filter){ .text = sv_cstr(text), .file = "/home/bob/.forward", .env = &f->env, .arena = f->a,
	    .flags = ROUTE_FILTER_HOME | ROUTE_FILTER_FAIL, .home = "/home/bob" };
	filter_route(NULL, rf);
}

static void
actions(void **state)
{
	struct route_filter rf;
	struct fix f;

	(void)state;
	collect(&f, "if $h_from: matches \"(a)lice\" then unseen deliver joe endif save mail/x 640 save dir/ pipe \"/bin/p $1\" "
	    "noerror mail text hi once_repeat 1h", &rf);
	assert_int_equal(rf.end, ROUTE_FILTER_DONE);
	assert_int_equal(rf.n, 5);
	assert_int_equal(rf.v[0].kind, ROUTE_TO_TRANSPORT);
	assert_true(sv_eqs(rf.v[0].text, "joe@local.test"));
	assert_int_equal(rf.v[1].kind, ROUTE_FILE);
	assert_true(sv_eqs(rf.v[1].text, "/home/bob/mail/x"));
	assert_true(rf.v[1].mode_set && rf.v[1].mode == 0640);
	assert_int_equal(rf.v[2].kind, ROUTE_DIRECTORY);
	assert_int_equal(rf.v[3].kind, ROUTE_PIPE);
	assert_true(sv_eqs(rf.v[3].text, "/bin/p $1"));
	assert_true(rf.v[3].nums != NULL && rf.v[3].nums->n == 2 && sv_eqs(rf.v[3].nums->v[1], "A"));
	assert_int_equal(rf.v[4].kind, ROUTE_REPLY);
	assert_true(rf.v[4].ignore_error && rf.v[4].mail->once_repeat == 3600);
	assert_true(sv_eqs(rf.v[4].text, "\"Alice\" <alice@example.test>"));
	arena_free(&f.a);
	collect(&f, "fail \"551 go away\"", &rf);
	assert_int_equal(rf.end, ROUTE_FILTER_REFUSED);
	assert_true(sv_eqs(rf.why, "551 go away"));
	arena_free(&f.a);
	collect(&f, "if then", &rf);
	assert_int_equal(rf.end, ROUTE_FILTER_BROKEN);
	assert_true(rf.syntax);
	arena_free(&f.a);
	/* Not the user: nothing reaches outside. */
	collect(&f, "logfile /tmp/l logwrite x", &rf);
	assert_int_equal(rf.end, ROUTE_FILTER_BROKEN);
	assert_false(rf.syntax);
	arena_free(&f.a);
}

/* A child's answer comes over unchanged, and no piece of it is taken for the whole. */
static void
wire(void **state)
{
	struct route_filter rf, back;
	struct sb out = SB_INIT(65536);
	struct fix f;

	(void)state;
	collect(&f, "deliver joe unseen save x 600 pipe p mail subject s text t seen finish", &rf);
	filter_answer_put(&out, &rf);
	back = rf;
	assert_true(filter_answer_get(sb_sv(&out), &back));
	assert_int_equal(back.end, rf.end);
	assert_int_equal(back.n, rf.n);
	assert_true(sv_eq(back.v[3].mail->subject, SV_LIT("s")));
	for (size_t n = 0; n < out.len; n++) {
		char *cut = malloc(n + 1);

		memcpy(cut, out.p, n);
		assert_false(filter_answer_get(sv_from(cut, n), &back));
		free(cut);
	}
	sb_free(&out);
	arena_free(&f.a);
}

/* Nothing runs for ever, however it is nested. */
static void
limits(void **state)
{
	struct sb sb = SB_INIT(1024 * 1024);
	char *out;

	(void)state;
	sb_adds(&sb, "if ");
	for (int i = 0; i < 5000; i++)
		sb_adds(&sb, "(");
	out = tried(sb_cstr(&sb), 0);
	assert_non_null(strstr(out, "nested too deeply"));
	free(out);
	sb_clear(&sb);
	sb_adds(&sb, "if a is b");
	for (int i = 0; i < 50000; i++)
		sb_adds(&sb, " or a is b");
	sb_adds(&sb, " then finish endif");
	out = tried(sb_cstr(&sb), 0);
	assert_string_equal(out, MORE);
	free(out);
	sb_clear(&sb);
	for (int i = 0; i < 12; i++)
		sb_adds(&sb, i == 0 ? "if foranyaddress \"a@b,c@d,e@f,g@h\" (" : "foranyaddress \"a@b,c@d,e@f,g@h\" (");
	sb_adds(&sb, "a is b");
	for (int i = 0; i < 12; i++)
		sb_adds(&sb, ")");
	sb_adds(&sb, " then finish endif");
	out = tried(sb_cstr(&sb), 0);
	assert_non_null(strstr(out, "did not end"));
	free(out);
	sb_free(&sb);
}

static unsigned turns;

static void
w_yield(void *arg)
{
	(void)arg;
	turns++;
}

static void
hostile(struct fix *f, const char *text, struct route_filter *rf)
{
	fix_open(f);
	f->world.yield = w_yield;
	*rf = (struct route_filter){ .text = sv_cstr(text), .file = "/home/bob/.forward", .env = &f->env, .arena = f->a,
	    .forbid = EXIM_NO_LOOKUP, .home = "/home/bob" };
	filter_route(NULL, rf);
}

/* A user's filter ends when its time is over, and others have their turn meanwhile. */
static void
processor_time(void **state)
{
	static const char level[] = "${reduce{1:2:3:4:5:6:7:8:9:1:2:3:4:5:6:7:8:9}{0}{";
	struct sb sb = SB_INIT(1024 * 1024);
	struct route_filter rf;
	struct fix f;

	(void)state;
	hostile(&f, "if \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\" matches \"^(a|aa)+(ba|bc)\" then finish endif", &rf);
	assert_int_equal(rf.end, ROUTE_FILTER_BROKEN);
	assert_false(rf.syntax);
	assert_true(sv_find(rf.why, SV_LIT("match limit exceeded")) >= 0);
	arena_free(&f.a);
	for (int i = 0; i < 10000; i++)
		sb_adds(&sb, "if \"aaaaaaaaaaaaaaaaaaaab\" matches \"^(a|aa)+(ba|bc)\" then finish endif\n");
	turns = 0;
	hostile(&f, sb_cstr(&sb), &rf);
	assert_int_equal(rf.end, ROUTE_FILTER_BROKEN);
	assert_true(sv_find(rf.why, SV_LIT("too much processor time near line ")) >= 0);
	assert_true(turns > 20);
	assert_int_equal(f.env.cpu_until, 0);
	assert_int_equal(f.env.match_limit, 0);
	arena_free(&f.a);
	sb_clear(&sb);
	sb_adds(&sb, "testprint \"");
	for (int i = 0; i < 8; i++)
		sb_adds(&sb, level);
	sb_adds(&sb, "$item");
	for (int i = 0; i < 8; i++)
		sb_adds(&sb, "}}");
	sb_adds(&sb, "\"");
	hostile(&f, sb_cstr(&sb), &rf);
	assert_int_equal(rf.end, ROUTE_FILTER_BROKEN);
	assert_true(sv_find(rf.why, SV_LIT("too much work")) >= 0);
	arena_free(&f.a);
	sb_free(&sb);
}

/* Too long is a mistake; a part of a filter is none. */
static void
test_length(void **state)
{
	struct arena *a = arena_new(0);
	size_t n = EXIM_FILTER_TEXT_MAX + 1;
	const char *why = NULL;
	char *text = malloc(n);

	(void)state;
	memset(text, ' ', n);
	memcpy(text, "# Exim filter\nfinish", 20);
	assert_non_null(exim_filter_parse(a, sv_from(text, n - 1), "f", 0, &why));
	assert_null(exim_filter_parse(a, sv_from(text, n), "f", 0, &why));
	assert_non_null(strstr(why, "longer than"));
	free(text);
	arena_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_length),
		cmocka_unit_test(trial), cmocka_unit_test(brackets), cmocka_unit_test(actions), cmocka_unit_test(wire),
		cmocka_unit_test(limits), cmocka_unit_test(processor_time),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
