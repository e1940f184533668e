/* SPDX-License-Identifier: BSD-2-Clause */
/* Callouts against hosts made of tables: the dialogue, its outcome, and what the next one takes from the hints. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "exim/callout.h"
#include "exim/conf.h"

/* ---- a world with hints and a clock ---- */

static struct hash *hints;
static int64_t clock_s;

static int64_t
w_now(void *arg, int64_t *usec)
{
	return (clock_s);
}

static enum exim_found
w_get(void *arg, const char *db, struct sv key, struct arena *a, struct sv *out)
{
	char *v = hash_get(hints, key);

	assert_string_equal(db, "callout");
	if (v != NULL)
		*out = sv_cstr(arena_str(a, v));
	return (v == NULL ? EXIM_NOTFOUND : EXIM_FOUND);
}

static int
w_put(void *arg, const char *db, struct sv key, struct sv value, int64_t ttl)
{
	assert_true(ttl > 0);
	free(hash_set(hints, key, xstrndup(value.p, value.len)));
	return (0);
}

/* ---- hosts: the answer to a command is the first whose prefix fits ---- */

struct rule {
	const char *host, *prefix, *answer;	/* "-" as prefix: to the connection; answer "": the line is lost */
};

static const struct rule *rules;
static char said[4096];
static const char *names[4];
static size_t at;

static const char *
answer_to(const char *what)
{
	for (const struct rule *r = rules; r->host != NULL; r++)
		if (strcmp(r->host, names[at]) == 0 && strncmp(what, r->prefix, strlen(r->prefix)) == 0)
			return (r->answer);
	return ("250 ok");
}

static const char *
p_name(void *arg, size_t host)
{
	return (names[host]);
}

static bool
p_open(void *arg, size_t host, struct exim_callout_reply *r)
{
	const char *a;

	at = host;
	a = answer_to("-");
	if (strcmp(a, "250 ok") == 0)
		return (true);
	r->code = atoi(a);
	r->text = sv_cstr(a[0] == '\0' ? "Connection refused" : a);
	return (false);
}

static void
p_command(void *arg, const char *line, struct exim_callout_reply *r)
{
	const char *a = answer_to(line);
	size_t n = strlen(said);

	(void)snprintf(said + n, sizeof(said) - n, "%s%s", n == 0 ? "" : "|", line);
	r->code = atoi(a);
	r->text = sv_cstr(a[0] == '\0' ? "remote host closed connection" : a);
}

static void
p_close(void *arg)
{
}

/* ---- one question ---- */

struct box {
	struct exim_conf *conf;
	struct exim_world world;
	struct exim_message msg;
	struct exim_acl_state acl;
	struct exim_env	 env;
	struct exim_verify v;
	struct exim_verify_result out;
};

static int
setup(void **state)
{
	struct exim_conf_source src = { .path = "exim.conf",
	    .text = SV_LIT("primary_hostname = here.test\n" "callout_random_local_part = random\n") };
	struct box *b = calloc(1, sizeof(*b));
	struct err err = ERR_INIT;

	assert_int_equal(exim_conf_load(&b->conf, &src, NULL, &err), 0);
	b->world.now = w_now;
	b->world.hint_get = w_get;
	b->world.hint_put = w_put;
	b->env.arena = arena_new(0);
	b->env.world = &b->world;
	b->env.msg = &b->msg;
	b->env.acl = &b->acl;
	b->msg.sender = SV_LIT("joe@there.test");
	exim_conf_env(b->conf, &b->env);
	b->v = (struct exim_verify){ .what = EXIM_VERIFY_RECIPIENT, .callout = true, .callout_mailfrom = SV_NULL,
	    .callout_postmaster_mailfrom = SV_NULL };
	hints = hash_new();
	names[0] = "one [192.0.2.1]";
	names[1] = "two [192.0.2.2]";
	*state = b;
	return (0);
}

static int
teardown(void **state)
{
	struct box *b = *state;

	hash_free(&hints, free);
	exim_conf_unref(&b->conf);
	arena_free(&b->env.arena);
	free(b);
	return (0);
}

static enum exim_result
ask(struct box *b, const char *address, const struct rule *r)
{
	const struct exim_callout_peer peer = { .nhosts = 2, .name = p_name, .address = p_name, .open = p_open,
	    .command = p_command, .close = p_close };

	said[0] = '\0';
	rules = r;
	memset(&b->out, 0, sizeof(b->out));
	return (exim_callout(&b->env, &b->v, sv_taint(sv_cstr(address)), &peer, &b->out));
}

#define ONE	"one [192.0.2.1]"
#define TWO	"two [192.0.2.2]"
static const struct rule good[] = { { NULL, NULL, NULL } };
static const struct rule silent[] = { { ONE, "-", "" }, { TWO, "-", "" }, { NULL, NULL, NULL } };

static void
test_answers(void **state)
{
	static const struct rule no[] = { { ONE, "RCPT TO:<no@", "550 5.1.1 unknown" }, { NULL, NULL, NULL } };
	struct box *b = *state;

	assert_int_equal(ask(b, "a@d.test", no), EXIM_OK);
	assert_string_equal(said, "MAIL FROM:<>|RCPT TO:<a@d.test>");
	assert_string_equal(b->acl.callout_address.p, ONE);
	assert_int_equal(ask(b, "no@d.test", no), EXIM_FAIL);
	assert_string_equal(b->out.failure.p, "recipient");
	assert_string_equal(b->out.user_msg.p, "Callout verification failed:\n550 5.1.1 unknown");
	assert_string_equal(b->out.log_msg.p, ONE " : SMTP error from remote mail server after RCPT TO:<no@d.test>: "
	    "550 5.1.1 unknown");
	/* Both are known now. */
	assert_int_equal(ask(b, "a@d.test", no), EXIM_OK);
	assert_int_equal(ask(b, "no@d.test", no), EXIM_FAIL);
	assert_string_equal(b->out.user_msg.p, "Previous (cached) callout verification failure");
	assert_string_equal(said, "");
	b->v.callout_no_cache = true;
	assert_int_equal(ask(b, "a@d.test", no), EXIM_OK);
	assert_string_equal(said, "MAIL FROM:<>|RCPT TO:<a@d.test>");
	/* A sender's address is told more. */
	b->v.what = EXIM_VERIFY_SENDER;
	assert_int_equal(ask(b, "no@d.test", no), EXIM_FAIL);
	assert_string_equal(b->out.user_msg.p, "Called:   " ONE "\nSent:     RCPT TO:<no@d.test>\nResponse: 550 5.1.1 unknown");
}

static void
test_hosts(void **state)
{
	static const struct rule later[] = { { ONE, "RCPT", "450 later" }, { NULL, NULL, NULL } };
	static const struct rule refuse[] = { { ONE, "-", "554 not here" }, { TWO, "-", "554 not here" }, { NULL, NULL, NULL } };
	static const struct rule lost[] = { { ONE, "MAIL", "" }, { TWO, "RCPT", "451 no" }, { NULL, NULL, NULL } };
	struct box *b = *state;

	assert_int_equal(ask(b, "a@d.test", later), EXIM_OK);
	assert_string_equal(said, "MAIL FROM:<>|RCPT TO:<a@d.test>|MAIL FROM:<>|RCPT TO:<a@d.test>");
	assert_int_equal(ask(b, "b@d.test", lost), EXIM_DEFER);
	assert_string_equal(b->out.user_msg.p, "Could not complete recipient verify callout");
	assert_string_equal(b->out.log_msg.p, "Could not complete recipient verify callout: " TWO
	    " : SMTP error from remote mail server after RCPT TO:<b@d.test>: 451 no");
	assert_int_equal(ask(b, "b@d.test", silent), EXIM_DEFER);
	/* Nothing of a deferral is kept; a host that refuses all is remembered for its domain. */
	assert_int_equal(ask(b, "b@d.test", good), EXIM_OK);
	assert_int_equal(ask(b, "b@e.test", refuse), EXIM_FAIL);
	assert_string_equal(b->out.failure.p, "mail");
	assert_int_equal(ask(b, "c@E.test", good), EXIM_FAIL);
	assert_string_equal(b->out.user_msg.p, "(result of an earlier callout reused).");
	assert_string_equal(said, "");
}

static void
test_senders(void **state)
{
	static const struct rule no_bounce[] = { { ONE, "MAIL FROM:<>", "550 no bounces" }, { NULL, NULL, NULL } };
	struct box *b = *state;

	assert_int_equal(ask(b, "a@d.test", no_bounce), EXIM_FAIL);
	assert_string_equal(b->out.failure.p, "mail");
	assert_string_equal(b->out.log_msg.p, ONE " : response to \"MAIL FROM:<>\" was: 550 no bounces");
	assert_int_equal(ask(b, "b@d.test", good), EXIM_FAIL);
	/* That was the empty sender's fate only; the answer for another sender is kept by itself. */
	b->v.callout_use_sender = true;
	assert_int_equal(ask(b, "b@d.test", no_bounce), EXIM_OK);
	assert_string_equal(said, "MAIL FROM:<joe@there.test>|RCPT TO:<b@d.test>");
	b->v.callout_use_sender = false;
	b->v.callout_use_postmaster = true;
	assert_int_equal(ask(b, "b@d.test", no_bounce), EXIM_OK);
	assert_string_equal(said, "MAIL FROM:<postmaster@here.test>|RCPT TO:<b@d.test>");
	b->v.what = EXIM_VERIFY_HEADER_SENDER;
	b->v.callout_mailfrom = SV_LIT("x@y.test");
	assert_int_equal(ask(b, "b@d.test", no_bounce), EXIM_OK);
	assert_string_equal(said, "MAIL FROM:<x@y.test>|RCPT TO:<b@d.test>");
}

static void
test_random(void **state)
{
	static const struct rule strict[] = { { ONE, "RCPT TO:<random@", "550 no" }, { NULL, NULL, NULL } };
	struct box *b = *state;

	b->v.callout_random = true;
	assert_int_equal(ask(b, "a@d.test", strict), EXIM_OK);
	assert_string_equal(said, "MAIL FROM:<>|RCPT TO:<random@d.test>|RSET|MAIL FROM:<>|RCPT TO:<a@d.test>");
	assert_null(b->out.failure.p);
	/* Asked once per domain. */
	assert_int_equal(ask(b, "b@d.test", strict), EXIM_OK);
	assert_string_equal(said, "MAIL FROM:<>|RCPT TO:<b@d.test>");
	assert_int_equal(ask(b, "a@any.test", good), EXIM_OK);
	assert_string_equal(said, "MAIL FROM:<>|RCPT TO:<random@any.test>");
	assert_string_equal(b->out.failure.p, "random");
	assert_int_equal(ask(b, "b@any.test", good), EXIM_OK);
	assert_string_equal(said, "");
	assert_string_equal(b->out.failure.p, "random");
}

static void
test_postmaster(void **state)
{
	static const struct rule none[] = { { ONE, "RCPT TO:<postmaster@", "550 who" }, { NULL, NULL, NULL } };
	struct box *b = *state;

	b->v.callout_postmaster = true;
	assert_int_equal(ask(b, "a@d.test", good), EXIM_OK);
	assert_string_equal(said, "MAIL FROM:<>|RCPT TO:<a@d.test>|RSET|MAIL FROM:<>|RCPT TO:<postmaster@d.test>");
	assert_int_equal(ask(b, "b@d.test", good), EXIM_OK);
	assert_string_equal(said, "MAIL FROM:<>|RCPT TO:<b@d.test>");
	assert_int_equal(ask(b, "a@e.test", none), EXIM_FAIL);
	assert_string_equal(b->out.failure.p, "postmaster");
	assert_int_equal(ask(b, "b@e.test", good), EXIM_FAIL);
	assert_string_equal(said, "");
	/* Without a domain it is good enough for some. */
	b->v.callout_fullpostmaster = true;
	b->v.callout_postmaster_mailfrom = SV_LIT("pm@here.test");
	assert_int_equal(ask(b, "a@f.test", none), EXIM_OK);
	assert_string_equal(said, "MAIL FROM:<>|RCPT TO:<a@f.test>|RSET|MAIL FROM:<pm@here.test>|RCPT TO:<postmaster@f.test>|"
	    "RCPT TO:<postmaster>");
}

/* callout_positive_expire (1 d), callout_negative_expire (2 h), callout_domain_positive_expire (1 w), callout_domain_negative_expire (3 h). */
static void
test_expiry(void **state)
{
	static const struct rule none[] = { { ONE, "RCPT TO:<postmaster@", "550 who" }, { ONE, "RCPT TO:<no@", "550 no" },
	    { ONE, "RCPT TO:<random@", "550 no" }, { NULL, NULL, NULL } };
	static const struct rule refuse[] = { { ONE, "-", "554 not here" }, { TWO, "-", "554 not here" }, { NULL, NULL, NULL } };
	static const struct { bool random, postmaster; const char *address; int64_t after; const char *said; } steps[] = {
		{ false, false, "a@d.test", 0, "MAIL FROM:<>|RCPT TO:<a@d.test>" },
		{ false, false, "a@d.test", 86400, "" },
		{ false, false, "a@d.test", 86401, "MAIL FROM:<>|RCPT TO:<a@d.test>" },
		{ false, false, "no@d.test", 86401, "MAIL FROM:<>|RCPT TO:<no@d.test>" },
		{ false, false, "no@d.test", 86401 + 7200, "" },
		{ false, false, "no@d.test", 86401 + 7201, "MAIL FROM:<>|RCPT TO:<no@d.test>" },
		/* A random local part that was refused is a positive record's: a week. */
		{ true, false, "a@r.test", 0, "MAIL FROM:<>|RCPT TO:<random@r.test>|RSET|MAIL FROM:<>|RCPT TO:<a@r.test>" },
		{ true, false, "b@r.test", 604800, "MAIL FROM:<>|RCPT TO:<b@r.test>" },
		{ true, false, "c@r.test", 604801, "MAIL FROM:<>|RCPT TO:<random@r.test>|RSET|MAIL FROM:<>|RCPT TO:<c@r.test>" },
		/* A postmaster that was refused makes it a negative one. */
		{ false, true, "a@p.test", 0, "MAIL FROM:<>|RCPT TO:<a@p.test>|RSET|MAIL FROM:<>|RCPT TO:<postmaster@p.test>" },
		{ false, true, "b@p.test", 10800, "" },
		{ false, true, "b@p.test", 10801, "MAIL FROM:<>|RCPT TO:<b@p.test>|RSET|MAIL FROM:<>|RCPT TO:<postmaster@p.test>" },
	};
	struct box *b = *state;

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		b->v.callout_random = steps[i].random;
		b->v.callout_postmaster = steps[i].postmaster;
		clock_s = 1000000 + steps[i].after;
		(void)ask(b, steps[i].address, none);
		assert_string_equal(said, steps[i].said);
	}
	b->v.callout_random = b->v.callout_postmaster = false;
	clock_s = 1000000;
	assert_int_equal(ask(b, "a@e.test", refuse), EXIM_FAIL);
	clock_s += 10800;
	assert_int_equal(ask(b, "b@e.test", good), EXIM_FAIL);
	clock_s++;
	assert_int_equal(ask(b, "b@e.test", good), EXIM_OK);
	/* A failure of the line does not make old knowledge younger. */
	clock_s += 604800;
	assert_int_equal(ask(b, "c@e.test", silent), EXIM_DEFER);
	b->v.callout_random = true;
	assert_int_equal(ask(b, "c@r.test", good), EXIM_OK);
}

/* The options of the configuration count as they are when the cache is read. */
static void
test_expiry_options(void **state)
{
	static const char *const lines[] = { "callout_positive_expire = 10s", "callout_negative_expire = 20s",
	    "callout_domain_positive_expire = 30s", "callout_domain_negative_expire = 40s" };
	static const struct rule no[] = { { ONE, "RCPT TO:<no@", "550 no" }, { ONE, "RCPT TO:<random@strict", "550 no" },
	    { ONE, "MAIL FROM:<>", "250 ok" }, { NULL, NULL, NULL } };
	static const struct rule empty[] = { { ONE, "MAIL FROM:<>", "550 no bounces" }, { NULL, NULL, NULL } };
	static const struct { const char *address; const struct rule *r; bool random; int64_t life; } kept[] = {
		{ "a@one.test", no, false, 10 }, { "no@one.test", no, false, 20 }, { "a@any.test", no, true, 30 },
		{ "a@empty.test", empty, false, 40 },
	};
	struct box *b = *state;
	char text[500];

	(void)snprintf(text, sizeof(text), "primary_hostname = here.test\ncallout_random_local_part = random\n%s\n%s\n%s\n%s\n",
	    lines[0], lines[1], lines[2], lines[3]);
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
		struct exim_conf_source src = { .path = "exim.conf", .text = sv_cstr(text) };
		struct err err = ERR_INIT;

		b->v.callout_random = kept[i].random;
		clock_s = 1000;
		(void)ask(b, kept[i].address, kept[i].r);
		assert_string_not_equal(said, "");
		if (i == 0) {
			exim_conf_unref(&b->conf);
			assert_int_equal(exim_conf_load(&b->conf, &src, NULL, &err), 0);
			exim_conf_env(b->conf, &b->env);
		}
		clock_s = 1000 + kept[i].life;
		(void)ask(b, kept[i].address, kept[i].r);
		assert_string_equal(said, "");
		clock_s++;
		(void)ask(b, kept[i].address, kept[i].r);
		assert_string_not_equal(said, "");
	}
}

/* A host that hangs up on a random local part, or on RSET, is asked about the address in a second dialogue. */
static void
test_random_hangs_up(void **state)
{
	static const struct rule lost[] = { { ONE, "RCPT TO:<random@d", "" }, { ONE, "RCPT TO:<random@", "550 no" },
	    { ONE, "RSET", "421 enough" }, { NULL, NULL, NULL } };
	struct box *b = *state;

	b->v.callout_random = true;
	assert_int_equal(ask(b, "a@d.test", lost), EXIM_OK);
	assert_string_equal(said, "MAIL FROM:<>|RCPT TO:<random@d.test>|MAIL FROM:<>|RCPT TO:<a@d.test>");
	assert_int_equal(ask(b, "a@e.test", lost), EXIM_OK);
	assert_string_equal(said, "MAIL FROM:<>|RCPT TO:<random@e.test>|RSET|MAIL FROM:<>|RCPT TO:<a@e.test>");
}

/* maxwait is for all hosts together: none is begun behind it. */
static int64_t slow;

static void
p_slow(void *arg)
{
	clock_s += slow;
}

static void
test_maxwait(void **state)
{
	static const struct rule later[] = { { ONE, "RCPT", "450 later" }, { NULL, NULL, NULL } };
	const struct exim_callout_peer peer = { .nhosts = 2, .name = p_name, .address = p_name, .open = p_open,
	    .command = p_command, .close = p_slow };
	struct box *b = *state;

	for (slow = 4; slow <= 5; slow++) {
		b->v.callout_maxwait = 5;
		said[0] = '\0';
		rules = later;
		memset(&b->out, 0, sizeof(b->out));
		assert_int_equal(exim_callout(&b->env, &b->v, slow == 4 ? SV_LIT("a@d.test") : SV_LIT("b@d.test"), &peer, &b->out),
		    slow == 4 ? EXIM_OK : EXIM_DEFER);
	}
	assert_string_equal(b->out.log_msg.p, "Could not complete recipient verify callout: " ONE
	    " : SMTP error from remote mail server after RCPT TO:<b@d.test>: 450 later");
}

static void
test_limits(void **state)
{
	char *exact = malloc(2000);
	struct box *b = *state;
	struct sv addr;

	/* Nothing an address holds can begin a command of its own. */
	b->v.callout_no_cache = true;
	assert_int_equal(ask(b, "a\r\nDATA\r\n@d.test", good), EXIM_DEFER);
	assert_string_equal(said, "MAIL FROM:<>|MAIL FROM:<>");
	memset(exact, 'x', 2000);
	memcpy(exact + 1993, "@d.test", 7);
	addr = sv_from(exact, 2000);
	said[0] = '\0';
	assert_int_equal(exim_callout(&b->env, &b->v, addr, &(struct exim_callout_peer){ .nhosts = 1, .name = p_name, .address = p_name,
	    .open = p_open, .command = p_command, .close = p_close }, &b->out), EXIM_DEFER);
	assert_string_equal(said, "MAIL FROM:<>");
	free(exact);
	assert_int_equal(exim_callout_timeout(&b->v), 30);
	b->v.callout_timeout = 5;
	assert_int_equal(exim_callout_connect(&b->v), 5);
	b->v.callout_connect = 1;
	assert_int_equal(exim_callout_connect(&b->v), 1);
}

#define T(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_answers), T(test_hosts), T(test_senders), T(test_random), T(test_postmaster), T(test_limits),
		T(test_expiry), T(test_expiry_options), T(test_random_hangs_up), T(test_maxwait),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
