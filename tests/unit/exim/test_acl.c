/* SPDX-License-Identifier: BSD-2-Clause */
/* ACLs: verbs, messages, conditions, modifiers, with a world made of tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "exim/acl.h"
#include "exim/conf.h"
#include "mail/header.h"

/* ---- a world ---- */

static char logged[4096];
static int64_t now_sec, delayed;
static struct hash *hints;

static int64_t
w_now(void *arg, int64_t *usec)
{
	if (usec != NULL)
		*usec = 0;
	return (now_sec);
}

static int
w_dns(void *arg, const char *name, int type, struct arena *a, struct exim_dns *out)
{
	static const struct { const char *name; int type; const char *data; size_t len; } z[] = {
		{ "4.3.2.1.bl.test", 1, "\177\0\0\2", 4 }, { "4.3.2.1.bl.test", 16, "\012listed: ok", 11 },
		{ "4.3.2.1.bits.test", 1, "\177\0\0\7", 4 }, { "4.3.2.1.dead.test", 1, "\177\377\377\376", 4 },
		{ "4.3.2.1.wild.test", 1, "\300\0\2\1", 4 }, { "evil.test.dom.test", 1, "\177\0\0\2", 4 },
		{ "4.3.2.1.all.test", 1, "\177\0\0\2", 4 }, { "4.3.2.1.one.test", 1, "\177\0\0\2", 4 },
	};

	assert_true(strlen(name) <= 253);
	memset(out, 0, sizeof(*out));
	out->result = strstr(name, "timeout") != NULL ? EXIM_DNS_TEMPFAIL : EXIM_DNS_NXDOMAIN;
	for (size_t i = 0; i < sizeof(z) / sizeof(z[0]); i++)
		if (strcmp(name, z[i].name) == 0 && type == z[i].type) {
			struct sv *rd = arena_alloc(a, sizeof(*rd));

			*rd = sv_taint(sv_from(z[i].data, z[i].len));
			out->result = EXIM_DNS_FOUND;
			out->n = 1;
			out->rdata = rd;
		}
	return (0);
}

static enum exim_found
w_hint_get(void *arg, const char *db, struct sv key, struct arena *a, struct sv *out)
{
	char k[512];
	char *v;

	(void)snprintf(k, sizeof(k), "%s:" SV_FMT, db, SV_ARG(key));
	v = hash_get(hints, sv_cstr(k));
	*out = v == NULL ? SV_NULL : sv_cstr(arena_str(a, v));
	return (v == NULL ? EXIM_NOTFOUND : EXIM_FOUND);
}

static int
w_hint_put(void *arg, const char *db, struct sv key, struct sv value, int64_t ttl)
{
	char k[512];

	(void)snprintf(k, sizeof(k), "%s:" SV_FMT, db, SV_ARG(key));
	free(hash_set(hints, sv_cstr(k), xstrndup(value.p, value.len)));
	return (0);
}

static const char *deepest;		/* where the stack was when something was logged last */

static void
o_log(void *arg, unsigned logs, struct sv line)
{
	size_t n = strlen(logged);

	if (deepest == NULL || (const char *)__builtin_frame_address(0) < deepest)
		deepest = __builtin_frame_address(0);

	(void)snprintf(logged + n, sizeof(logged) - n, "%s%s%s%s" SV_FMT "\n", logs & EXIM_LOG_MAIN ? "m" : "",
	    logs & EXIM_LOG_REJECT ? "r" : "", logs & EXIM_LOG_PANIC ? "p" : "", logs & EXIM_LOG_HOST ? "h " : " ", SV_ARG(line));
}

static void
o_delay(void *arg, struct exim_env *env, int64_t seconds)
{
	delayed += seconds;
}

static enum exim_result
o_verify(void *arg, struct exim_env *env, const struct exim_verify *v, struct exim_verify_result *out)
{
	if (sv_starts(v->address, "bad")) {
		out->failure = SV_LIT("route");
		out->user_msg = SV_LIT("Unrouteable address");
		return (EXIM_FAIL);
	}
	if (sv_starts(v->address, "later")) {
		out->log_msg = SV_LIT("no DNS");
		return (EXIM_DEFER);
	}
	out->address_data = SV_LIT("data");
	return (EXIM_OK);
}

static enum exim_result
o_scan(void *arg, struct exim_env *env, enum exim_scan what, struct sv param, bool *yes, struct sv *msg)
{
	*yes = what == EXIM_SCAN_MALWARE;
	if (*yes)
		env->acl->malware_name = SV_LIT("Eicar");
	return (EXIM_OK);
}

static const struct exim_acl_ops ops = { .verify = o_verify, .scan = o_scan, .delay = o_delay, .log = o_log };

/* ---- a session ---- */

struct box {
	struct exim_conf *conf;
	struct arena	*arena;
	struct exim_world world;
	struct exim_session session;
	struct exim_message msg;
	struct exim_address addr;
	struct exim_acl_state acl;
	struct exim_env	 env;
	struct exim_acl_effects fx;
	struct exim_acl_run run;
	struct exim_acl_result res;
};

static void
told(void *arg, const struct err *e, bool warning)
{
	if (!warning)
		print_message("%s\n", e->text);
}

static void
setup(struct box *b, const char *acls)
{
	struct exim_report rep = EXIM_REPORT_INIT;
	char *text;
	struct exim_conf_source src = { .path = "t", .hostname = "host.test" };

	memset(b, 0, sizeof(*b));
	rep.fn = told;
	if (asprintf(&text, "domainlist local = local.test : *.sub.test\nhostlist relay = 10.0.0.0/8\nacl_smtp_vrfy = accept\n"
	    "acl_smtp_mail = ${if eq{$sender_address}{}{a}{b}}\nbegin acl\n%s", acls) == -1)
		abort();
	src.text = sv_cstr(text);
	if (exim_conf_load(&b->conf, &src, &rep, NULL) == -1)
		fail_msg("%s", acls);
	free(text);
	logged[0] = '\0';
	delayed = 0;
	now_sec = 1000000;
	b->arena = arena_new(0);
	b->world.now = w_now;
	b->world.dns = w_dns;
	b->world.hint_get = w_hint_get;
	b->world.hint_put = w_hint_put;
	b->world.acl = exim_acl_expand;
	exim_conf_env(b->conf, &b->env);
	b->env.arena = b->arena;
	b->env.world = &b->world;
	b->env.session = &b->session;
	b->env.msg = &b->msg;
	b->env.addr = &b->addr;
	b->env.acl = &b->acl;
	b->env.acl_c = exim_vars_new();
	b->env.acl_m = exim_vars_new();
	(void)net_addr_parse(sv_cstr("1.2.3.4"), &b->session.addr);
	b->session.host_address = sv_taint(SV_LIT("1.2.3.4"));
	b->session.host_lookup = EXIM_HOST_FAILED;
	b->msg.sender = sv_taint(SV_LIT("joe@evil.test"));
	b->msg.has_sender = true;
	b->addr.local_part = sv_taint(SV_LIT("bob"));
	b->addr.domain = sv_taint(SV_LIT("local.test"));
	exim_acl_effects_init(&b->fx, b->arena);
	b->run.where = EXIM_WHERE_RCPT;
	b->run.ops = &ops;
	b->run.fx = &b->fx;
	hints = hash_new();
}

static void
teardown(struct box *b)
{
	exim_acl_effects_free(&b->fx);
	exim_acl_run_fini(&b->run);
	exim_vars_free(&b->env.acl_c);
	exim_vars_free(&b->env.acl_m);
	exim_conf_unref(&b->conf);
	arena_free(&b->arena);
	hash_free(&hints, free);
}

static enum exim_acl_verdict
go(struct box *b, const char *name)
{
	const struct exim_acl *acl = exim_conf_acl(b->conf, sv_cstr(name));

	assert_non_null(acl);
	return (exim_acl_run(acl, &b->env, &b->run, &b->res));
}

/* ---- tests ---- */

/* An ACL, the verdict, the answer and the line of the log; "*" in front: a part of it. */
struct statement {
	const char	*acl;
	enum exim_acl_verdict v;
	const char	*user, *log;
};

static const struct statement one_statement[] = {
	/* What was taken from a variable stays when an ACL that is called sets it anew. */
	{ "accept set acl_m0 = before-it-was-set-anew\n  message = ${acl{swap}{$acl_m0}}", EXIM_ACL_ACCEPT,
	    "<before-it-was-set-anew>", "*before" },
	{ "accept set acl_m0 = before-it-was-set-anew\n  message = $acl_m0${acl{swap}{x}}$acl_m0", EXIM_ACL_ACCEPT,
	    "before-it-was-set-anew<x>behind", "*before" },
	{ "accept", EXIM_ACL_ACCEPT, "", "" },
	{ "", EXIM_ACL_DENY, "", "" },
	{ "deny", EXIM_ACL_DENY, "", "" },
	{ "deny message = no $local_part", EXIM_ACL_DENY, "no bob", "no bob" },
	{ "deny message = a\n log_message = b", EXIM_ACL_DENY, "a", "b" },
	{ "drop message = x", EXIM_ACL_DROP, "x", "x" },
	{ "defer message = x", EXIM_ACL_DEFER, "x", "x" },
	{ "discard", EXIM_ACL_DISCARD, "", "" },
	{ "warn\n accept", EXIM_ACL_ACCEPT, "", "" },
	{ "deny domains = other.test\n accept", EXIM_ACL_ACCEPT, "", "" },
	{ "deny !domains = +local\n accept domains = +local\n  message = fine", EXIM_ACL_ACCEPT, "fine", "fine" },
	{ "require message = m\n  domains = other.test\n accept", EXIM_ACL_DENY, "m", "m" },
	{ "require domains = other.test\n  message = m\n accept", EXIM_ACL_DENY, "", "" },
	{ "accept domains = +local\n  endpass\n  message = late\n  local_parts = alice\n deny", EXIM_ACL_DENY, "late", "late" },
	{ "accept domains = other\n  endpass\n  local_parts = alice\n deny message = end", EXIM_ACL_DENY, "end", "end" },
	{ "deny message = ${if eq{a}{b}{x}}\n", EXIM_ACL_DENY, "", "" },
	{ "accept condition = yes", EXIM_ACL_ACCEPT, "", "" },
	{ "accept condition = ${if eq{a}{b}}\n deny message = c", EXIM_ACL_DENY, "c", "c" },
	{ "accept condition = 00", EXIM_ACL_DENY, "", "" },
	{ "accept condition = perhaps", EXIM_ACL_DEFER, "", "invalid \"condition\" value \"perhaps\"" },
	{ "accept !condition = ${if eq{a}{b}{x}fail}", EXIM_ACL_ACCEPT, "", "" },
	{ "accept senders = :", EXIM_ACL_DENY, "", "" },
	{ "accept senders = *@evil.test", EXIM_ACL_ACCEPT, "", "" },
	{ "accept sender_domains = evil.test", EXIM_ACL_ACCEPT, "", "" },
	{ "accept recipients = bob@local.test", EXIM_ACL_ACCEPT, "", "" },
	{ "accept local_parts = ^b", EXIM_ACL_ACCEPT, "", "" },
	{ "accept hosts = +relay : 1.2.3.0/24", EXIM_ACL_ACCEPT, "", "" },
	{ "accept hosts = +relay", EXIM_ACL_DENY, "", "" },
	{ "accept authenticated = *", EXIM_ACL_DENY, "", "" },
	{ "accept !encrypted = *", EXIM_ACL_ACCEPT, "", "" },
	{ "accept acl = sub yes", EXIM_ACL_ACCEPT, "", "" },
	{ "accept acl = sub no\n deny message = got $acl_verify_message", EXIM_ACL_DENY, "got ", "got " },
	{ "require acl = sub no", EXIM_ACL_DENY, "sub says no", "sub says no" },
	{ "require acl = drops", EXIM_ACL_DROP, "", "" },
	{ "deny !acl = drops\n  message = x", EXIM_ACL_DENY, "x", "x" },
	{ "accept acl = discards", EXIM_ACL_DISCARD, "", "" },
	{ "deny acl = discards", EXIM_ACL_ERROR, "", "*nested ACL returned \"discard\"" },
	{ "accept acl = loop", EXIM_ACL_ERROR, "", "*nested too deep" },
	{ "accept acl = $local_part", EXIM_ACL_ERROR, "", "internal configuration error" },
	{ "accept acl = drops2", EXIM_ACL_DENY, "last words", "last words" },
	{ "accept condition = ${acl{sub}{yes}{x}}\n deny message = [$acl_m_r]", EXIM_ACL_DENY, "[]", "[]" },
	{ "deny message = ${acl{retm}}", EXIM_ACL_DENY, "returned", "returned" },
	{ "accept verify = sender", EXIM_ACL_ACCEPT, "", "" },
	{ "accept verify = sender=bad@x\n deny message = f: $sender_verify_failure", EXIM_ACL_DENY, "f: route", "f: route" },
	{ "require verify = sender=bad@x/callout=10s,defer_ok/no_details", EXIM_ACL_DENY, "Unrouteable address",
	    "Unrouteable address" },
	{ "require message = own: $acl_verify_message\n  verify = sender=bad@x", EXIM_ACL_DENY, "own: Unrouteable address",
	    "Unrouteable address" },
	{ "require log_message = L\n  verify = sender=bad@x", EXIM_ACL_DENY, "Unrouteable address", "L: Unrouteable address" },
	{ "require verify = sender=later@x", EXIM_ACL_DEFER, "", "no DNS" },
	{ "require verify = sender=later@x/defer_ok\n accept", EXIM_ACL_ACCEPT, "", "" },
	{ "warn verify = sender=later@x\n accept", EXIM_ACL_ACCEPT, "", "" },
	{ "accept verify = recipient\n  message = $address_data", EXIM_ACL_ACCEPT, "data", "data" },
	{ "accept verify = recipient/nonsense", EXIM_ACL_ERROR, "", "*unknown option" },
	{ "accept verify = header_syntax", EXIM_ACL_ERROR, "", "*cannot verify" },
	{ "accept verify = everything", EXIM_ACL_ERROR, "", "*expected" },
	{ "accept verify = certificate", EXIM_ACL_DENY, "no verified certificate", "no verified certificate" },
	{ "accept dnslists = bl.test\n  message = $dnslist_domain $dnslist_value $dnslist_text $dnslist_matched", EXIM_ACL_ACCEPT,
	    "bl.test 127.0.0.2 listed: ok 1.2.3.4", "*bl.test" },
	{ "accept dnslists = no.test : bl.test", EXIM_ACL_ACCEPT, "", "" },
	{ "accept dnslists = dead.test", EXIM_ACL_DENY, "", "" },
	{ "accept dnslists = wild.test", EXIM_ACL_DENY, "", "" },
	{ "accept dnslists = bl.test=127.0.0.3", EXIM_ACL_DENY, "", "" },
	{ "accept dnslists = bl.test=127.0.0.3,127.0.0.2", EXIM_ACL_ACCEPT, "", "" },
	{ "accept dnslists = bl.test!=127.0.0.3", EXIM_ACL_ACCEPT, "", "" },
	{ "accept dnslists = bits.test&0.0.0.4", EXIM_ACL_ACCEPT, "", "" },
	{ "accept dnslists = bits.test&0.0.0.8", EXIM_ACL_DENY, "", "" },
	{ "accept dnslists = bits.test!&0.0.0.8", EXIM_ACL_ACCEPT, "", "" },
	{ "accept dnslists = bl.test==127.0.0.2", EXIM_ACL_ACCEPT, "", "" },
	{ "accept dnslists = dom.test/$sender_address_domain", EXIM_ACL_ACCEPT, "", "" },
	/* A key that is cut would be another name, of whoever chose it. */
	{ "accept dnslists = bl.test/${sg{xxxxxxxxxxxxxxxx}{x}{xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.}}", EXIM_ACL_DENY, "", "" },
	{ "accept dnslists = bl.test/<;9.9.9.9;1.2.3.4", EXIM_ACL_ACCEPT, "", "" },
	{ "accept dnslists = one.test,all.test=127.0.0.2\n  message = $dnslist_domain", EXIM_ACL_ACCEPT, "one.test", "one.test" },
	{ "accept dnslists = timeout.test", EXIM_ACL_DENY, "", "" },
	{ "accept dnslists = +include_unknown : timeout.test", EXIM_ACL_ACCEPT, "", "" },
	{ "accept dnslists = +defer_unknown : timeout.test", EXIM_ACL_DEFER, "", "" },
	{ "accept malware = *\n  message = $malware_name", EXIM_ACL_ERROR, "", "cannot test malware condition in RCPT ACL" },
	{ "accept set acl_m1 = x$local_part\n  condition = ${if eq{$acl_m1}{xbob}}", EXIM_ACL_ACCEPT, "", "" },
	{ "accept message = 250 2.1.5 welcome", EXIM_ACL_ACCEPT, "welcome", "*welcome" },
	{ "accept control = nonsense", EXIM_ACL_ERROR, "", "syntax error in \"control=nonsense\"" },
	{ "accept control = allow_auth_unadvertised", EXIM_ACL_ERROR, "", "cannot use \"control=allow_auth_unadvertised\" in RCPT ACL" },
	{ "accept delay = soon", EXIM_ACL_ERROR, "", "*not a time value" },
	{ "accept ratelimit = x / 1h", EXIM_ACL_ERROR, "", "*\"x\" is not a positive number" },
};

static void
check_statement(const struct statement *t)
{
	enum exim_acl_verdict v;
	char text[2048];
	struct box b;
	bool logged_it;

	(void)snprintf(text, sizeof(text), "a:\n %s\nsub:\n accept condition = ${if eq{$acl_arg1}{yes}}\n"
	    " deny message = sub says $acl_arg1\ndrops:\n drop\ndiscards:\n discard\n"
	    "drops2:\n drop message = last words\nloop:\n accept acl = loop\nretm:\n accept message = returned\n"
	    "swap:\n accept set acl_m0 = behind\n  message = <$acl_arg1>\n", t->acl);
	setup(&b, text);
	v = go(&b, "a");
	if (t->log[0] == '*')
		logged_it = strstr(arena_cstr(b.arena, b.res.log_msg), t->log + 1) != NULL;
	else
		logged_it = sv_eqs(b.res.log_msg, t->log);
	if (v != t->v || !logged_it || !sv_eqs(b.res.user_msg, t->user))
		fail_msg("%s -> %d, user \"" SV_FMT "\", log \"" SV_FMT "\"\n", t->acl, v, SV_ARG(b.res.user_msg),
		    SV_ARG(b.res.log_msg));
	teardown(&b);
}

static void
statements(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(one_statement) / sizeof(one_statement[0]); i++)
		check_statement(&one_statement[i]);
}

static void
codes(void **state)
{
	struct box b;

	(void)state;
	setup(&b, "a:\n deny message = 571 5.7.1 go away\nb:\n deny message = 450 4.7.1 wrong digit\nc:\n defer message = 452 full\n"
	    "d:\n deny message = 5555 no code\n");
	assert_int_equal(go(&b, "a"), EXIM_ACL_DENY);
	assert_int_equal(b.res.code, 571);
	assert_true(sv_eqs(b.res.status, "5.7.1"));
	assert_true(sv_eqs(b.res.user_msg, "go away"));
	assert_int_equal(go(&b, "b"), EXIM_ACL_DENY);
	assert_int_equal(b.res.code, 0);
	assert_true(sv_eqs(b.res.user_msg, "wrong digit"));
	assert_non_null(strstr(logged, "incorrect digit"));
	assert_int_equal(go(&b, "c"), EXIM_ACL_DEFER);
	assert_int_equal(b.res.code, 452);
	assert_int_equal(go(&b, "d"), EXIM_ACL_DENY);
	assert_int_equal(b.res.code, 0);
	teardown(&b);
}

static void
effects(void **state)
{
	struct box b;

	(void)state;
	setup(&b, "a:\n warn add_header = X-One: 1\n warn add_header = :at_start:X-Two: 2\\n  folded\\nno header\n"
	    " warn add_header = X-One: 1\n warn remove_header = X-A : X-B\n warn message = X-Old: style\n"
	    " warn control = submission/sender_retain/domain=d.test/name=A / B\n warn control = freeze/no_tell\n"
	    " warn control = fakereject/not now\n warn control = queue_only\n warn queue = slow\n"
	    " warn log_message = seen $local_part\n warn log_message = seen $local_part\n"
	    " warn logwrite = plain text\n warn logwrite = :panic,reject: both\n warn delay = 5s\n"
	    " warn log_reject_target =\n deny message = end\n");
	assert_int_equal(go(&b, "a"), EXIM_ACL_DENY);
	assert_int_equal(b.fx.headers.len, 4);
	assert_true(sv_eqs(b.fx.headers.p[0].text, "X-One: 1\n"));
	assert_true(sv_eqs(b.fx.headers.p[1].text, "X-Two: 2\n  folded\n"));
	assert_int_equal(b.fx.headers.p[1].place, EXIM_HDR_AT_START);
	assert_true(sv_eqs(b.fx.headers.p[2].text, "X-ACL-Warn: no header\n"));
	assert_true(sv_eqs(b.fx.headers.p[3].text, "X-Old: style\n"));
	assert_true(sv_starts(b.msg.headers_added, "X-One: 1\nX-Two: 2\n  folded\n"));
	assert_int_equal(b.fx.remove.len, 2);
	assert_true(sv_eqs(b.fx.remove.p[1], "X-B"));
	assert_true(b.fx.ctl[EXIM_CTL_SUBMISSION] && b.fx.sender_retain);
	assert_true(sv_eqs(b.fx.submission_domain, "d.test"));
	assert_true(sv_eqs(b.fx.submission_name, "A / B"));
	assert_true(b.fx.ctl[EXIM_CTL_FREEZE] && b.fx.freeze_no_tell && b.fx.ctl[EXIM_CTL_QUEUE_ONLY]);
	assert_int_equal(b.fx.fake_code, 550);
	assert_true(sv_eqs(b.fx.fake_msg, "not now"));
	assert_true(sv_eqs(b.fx.queue_name, "slow"));
	assert_int_equal(delayed, 5);
	assert_int_equal(b.res.log_targets, 0);
	assert_string_equal(logged, "mh Warning: seen bob\nm plain text\nrp both\n");
	teardown(&b);
}

static void
places(void **state)
{
	struct box b;

	(void)state;
	setup(&b, "a:\n accept message = empty\nb:\n deny message = full\nq:\n deny\n");
	b.run.where = EXIM_WHERE_MAIL;
	b.msg.sender = SV_LIT("");
	assert_int_equal(exim_acl_check(&b.env, &b.run, &b.res), EXIM_ACL_ACCEPT);
	b.msg.sender = SV_LIT("x@y");
	assert_int_equal(exim_acl_check(&b.env, &b.run, &b.res), EXIM_ACL_DENY);
	b.run.where = EXIM_WHERE_VRFY;
	assert_int_equal(exim_acl_check(&b.env, &b.run, &b.res), EXIM_ACL_ACCEPT);
	assert_false(b.res.unset);
	b.run.where = EXIM_WHERE_RCPT;
	assert_int_equal(exim_acl_check(&b.env, &b.run, &b.res), EXIM_ACL_DENY);
	assert_true(b.res.unset);
	b.run.where = EXIM_WHERE_DATA;
	assert_int_equal(exim_acl_check(&b.env, &b.run, &b.res), EXIM_ACL_ACCEPT);
	b.run.where = EXIM_WHERE_QUIT;
	assert_int_equal(go(&b, "q"), EXIM_ACL_ERROR);
	b.run.where = EXIM_WHERE_RCPT;
	assert_int_equal(exim_acl_run_text(SV_LIT("accept local_parts = bob"), &b.env, &b.run, &b.res), EXIM_ACL_ACCEPT);
	assert_int_equal(exim_acl_run_text(SV_LIT("nonsense"), &b.env, &b.run, &b.res), EXIM_ACL_ERROR);
	assert_int_equal(exim_acl_run_text(sv_taint(SV_LIT("accept")), &b.env, &b.run, &b.res), EXIM_ACL_ERROR);
	teardown(&b);
}

static void
case_of_local_part(void **state)
{
	struct box b;

	(void)state;
	setup(&b, "a:\n warn set acl_m0 = $local_part\n warn control = caseful_local_part\n warn set acl_m1 = $local_part\n"
	    " warn control = caselower_local_part\n warn set acl_m2 = $local_part\n accept\n");
	b.run.rcpt_local = sv_taint(SV_LIT("BoB"));
	b.addr.local_part = b.run.rcpt_local;
	assert_int_equal(go(&b, "a"), EXIM_ACL_ACCEPT);
	assert_true(sv_eqs(exim_vars_get(b.env.acl_m, SV_LIT("m0")), "bob"));
	assert_true(sv_eqs(exim_vars_get(b.env.acl_m, SV_LIT("m1")), "BoB"));
	assert_true(sv_eqs(exim_vars_get(b.env.acl_m, SV_LIT("m2")), "bob"));
	assert_true(sv_eqs(b.addr.local_part, "BoB"));
	teardown(&b);
}

static void
rates(void **state)
{
	struct box b;
	int n;

	(void)state;
	setup(&b, "cmd:\n deny ratelimit = 3 / 1h / per_cmd / strict\n  message = $sender_rate > $sender_rate_limit / $sender_rate_period\n"
	    " accept\nmail:\n deny ratelimit = 2 / 1h\n accept\nro:\n deny ratelimit = 2 / 1h / readonly\n accept\n"
	    "uniq:\n deny ratelimit = 2 / 1h / per_cmd / unique=$local_part / k\n accept\n");
	for (n = 0; n < 10 && go(&b, "cmd") == EXIM_ACL_ACCEPT; n++)
		now_sec++;
	assert_int_equal(n, 3);
	assert_true(sv_starts(b.res.user_msg, "4.0 > 3 / 1h") || sv_starts(b.res.user_msg, "3."));
	now_sec += 7200;
	assert_int_equal(go(&b, "cmd"), EXIM_ACL_ACCEPT);
	/* One message counts once. */
	for (n = 0; n < 5; n++)
		assert_int_equal(go(&b, "mail"), EXIM_ACL_ACCEPT);
	exim_acl_run_reset(&b.run);
	now_sec++;
	assert_int_equal(go(&b, "mail"), EXIM_ACL_ACCEPT);
	exim_acl_run_reset(&b.run);
	now_sec++;
	assert_int_equal(go(&b, "mail"), EXIM_ACL_DENY);
	b.run.where = EXIM_WHERE_CONNECT;
	assert_int_equal(go(&b, "ro"), EXIM_ACL_ACCEPT);
	b.run.where = EXIM_WHERE_RCPT;
	for (n = 0; n < 5; n++)
		assert_int_equal(go(&b, "uniq"), EXIM_ACL_ACCEPT);
	b.addr.local_part = SV_LIT("al");
	(void)go(&b, "uniq");
	b.addr.local_part = SV_LIT("cy");
	now_sec++;
	assert_int_equal(go(&b, "uniq"), EXIM_ACL_DENY);
	teardown(&b);
}

static void
seen(void **state)
{
	struct box b;

	(void)state;
	setup(&b, "grey:\n accept seen = -5m / key=${sender_host_address}_$local_part\n defer\nsince:\n deny seen = 1m / key=s\n accept\n"
	    "ro:\n deny seen = 1m / key=r / readonly\n accept\n");
	assert_int_equal(go(&b, "grey"), EXIM_ACL_DEFER);
	now_sec += 60;
	assert_int_equal(go(&b, "grey"), EXIM_ACL_DEFER);
	now_sec += 300;
	assert_int_equal(go(&b, "grey"), EXIM_ACL_ACCEPT);
	assert_int_equal(go(&b, "since"), EXIM_ACL_ACCEPT);
	now_sec += 30;
	assert_int_equal(go(&b, "since"), EXIM_ACL_DENY);
	now_sec += 61;
	assert_int_equal(go(&b, "since"), EXIM_ACL_ACCEPT);
	assert_int_equal(go(&b, "ro"), EXIM_ACL_ACCEPT);
	assert_int_equal(go(&b, "ro"), EXIM_ACL_ACCEPT);
	teardown(&b);
}

static void
headers(void **state)
{
	static const struct { const char *cond, *block; bool ok; } t[] = {
		{ "header_syntax", "From: a@b.test\nTo: x@y.test, \"q r\" <z@y.test>\n\n", true },
		{ "header_syntax", "From: a@b.test\nTo: @\n\n", false },
		{ "header_syntax", "From: a@b.test\nResent-To: <x@y.test\n\n", false },
		{ "header_syntax", "From: a@b.test\nErrors-To: <x@y.test\n\n", true },
		{ "not_blind", "To: bob@local.test\n\n", true },
		{ "not_blind", "To: al@local.test\nCc: <BOB@Local.test>\n\n", false },
		{ "not_blind/case_insensitive", "To: al@local.test\nCc: <BOB@Local.test>\n\n", true },
		{ "header_names_ascii", "To: x@y.test\nSubject: x\n\n", true },
		{ "header_names_ascii", "To: x@y.test\nSubj\303\251ct: x\n\n", false },
	};
	struct sv rcpt = SV_LIT("bob@local.test");

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct box b;
		char text[128];
		struct mail_headers h;

		(void)snprintf(text, sizeof(text), "a:\n require verify = %s\n accept\n", t[i].cond);
		setup(&b, text);
		mail_headers_parse(&h, b.arena, sv_cstr(t[i].block), 0);
		b.msg.headers = &h;
		b.msg.recipients = &rcpt;
		b.msg.nrecipients = 1;
		b.run.where = EXIM_WHERE_DATA;
		assert_int_equal(go(&b, "a"), t[i].ok ? EXIM_ACL_ACCEPT : EXIM_ACL_DENY);
		teardown(&b);
	}
}

/* Many recipients and many addresses do not multiply. */
static void
crowds(void **state)
{
	static struct sv rcpt[2000];
	struct sb head = SB_INIT(1 << 20);
	struct mail_headers h;
	struct box b;

	(void)state;
	setup(&b, "a:\n require verify = not_blind\n accept\n");
	for (int i = 0; i < 2000; i++) {
		rcpt[i] = sv_cstr(arena_fmt(b.arena, "user%d@local.test", i));
		sb_addf(&head, "%s" SV_FMT "%s", i % 10 == 0 ? "To: " : " ", SV_ARG(rcpt[i]), i % 10 == 9 ? "\n" : ",");
	}
	sb_adds(&head, "\n");
	mail_headers_parse(&h, b.arena, sb_sv(&head), 0);
	b.msg.headers = &h;
	b.msg.recipients = rcpt;
	b.msg.nrecipients = 2000;
	b.run.where = EXIM_WHERE_DATA;
	size_t before = arena_used(b.arena);
	assert_int_equal(go(&b, "a"), EXIM_ACL_ACCEPT);
	assert_true(arena_used(b.arena) - before < 65536);
	rcpt[1999] = SV_LIT("blind@local.test");
	assert_int_equal(go(&b, "a"), EXIM_ACL_DENY);
	sb_free(&head);
	teardown(&b);
}

/* All of a long field is looked at, and no address of it is cut. */
static void
long_field(void **state)
{
	struct sb head = SB_INIT(1 << 20);
	struct mail_headers h;
	struct box b;

	(void)state;
	setup(&b, "a:\n require verify = header_syntax\n accept\n");
	sb_adds(&head, "From: a@b.test\nTo: ");
	for (int i = 0; i < 2000; i++)
		sb_addf(&head, "user%d@example-number-%d.test,\n ", i, i);
	sb_adds(&head, "last@b.test\n\n");
	mail_headers_parse(&h, b.arena, sb_sv(&head), 0);
	b.msg.headers = &h;
	b.run.where = EXIM_WHERE_DATA;
	assert_int_equal(go(&b, "a"), EXIM_ACL_ACCEPT);
	sb_cut(&head, head.len - strlen("last@b.test\n\n"));
	sb_adds(&head, "last@\n\n");
	mail_headers_parse(&h, b.arena, sb_sv(&head), 0);
	assert_int_equal(go(&b, "a"), EXIM_ACL_DENY);
	sb_free(&head);
	teardown(&b);
}

/* What a verification says may be somebody else's words. */
static void
verify_words(void **state)
{
	struct box b;

	(void)state;
	setup(&b, "a:\n deny !verify = sender=bad@x\n  message = ${readfile{/$acl_verify_message}}\n accept\n"
	    "b:\n require message = ${readfile{/$acl_verify_message}}\n  verify = sender=bad@x\n");
	assert_int_equal(go(&b, "a"), EXIM_ACL_DENY);
	assert_non_null(strstr(logged, "Tainted name '/Unrouteable address'"));
	logged[0] = '\0';
	assert_int_equal(go(&b, "b"), EXIM_ACL_DENY);
	assert_non_null(strstr(logged, "Tainted name '/Unrouteable address'"));
	teardown(&b);
}

/* A text that is too long for the log is cut, not left out. */
static void
long_warning(void **state)
{
	struct sb text = SB_INIT(1 << 20);
	struct box b;

	(void)state;
	sb_adds(&text, "a:\n warn log_message = begin");
	for (int i = 0; i < 20000; i++)
		sb_adds(&text, "x");
	sb_adds(&text, "\n accept\n");
	setup(&b, sb_cstr(&text));
	assert_int_equal(go(&b, "a"), EXIM_ACL_ACCEPT);
	assert_non_null(strstr(logged, "Warning: beginxxxxxxxxx"));
	sb_free(&text);
	teardown(&b);
}

/* A condition of a text that is too long does not lose its end, which would be another condition. */
static void
long_text(void **state)
{
	static const char begin[] = "accept\n  condition = yes\\\n  ";
	struct exim_report rep = EXIM_REPORT_INIT;
	struct sb text = SB_INIT(1 << 20);
	struct arena *a = arena_new(0);

	(void)state;
	sb_adds(&text, begin);
	for (int i = 0; i < 300000; i++)
		sb_addc(&text, 'x');
	(void)exim_acl_compile_text(a, SV_LIT("text"), sb_sv(&text), &rep);
	assert_int_equal(rep.errors, 1);
	assert_non_null(strstr(rep.first.text, "longer than"));
	sb_free(&text);
	arena_free(&a);
}

static unsigned turns;

static void
w_yield(void *arg)
{
	(void)arg;
	turns++;
}

/* Others have their turn while a long message is looked through. */
static void
long_message(void **state)
{
	struct sb raw = SB_INIT(1 << 21);
	struct box b;

	(void)state;
	for (int i = 0; i < 20000; i++)
		sb_adds(&raw, "a line of the message\r\n");
	setup(&b, "a:\n deny regex = viagra : ^x\n accept\n");
	b.world.yield = w_yield;
	b.msg.raw = sb_sv(&raw);
	b.run.where = EXIM_WHERE_DATA;
	assert_int_equal(go(&b, "a"), EXIM_ACL_ACCEPT);
	assert_true(turns > 5);
	sb_free(&raw);
	teardown(&b);
}

/* Fields that are added one by one do not take the square of their number. */
static void
many_headers(void **state)
{
	struct sb text = SB_INIT(1 << 20);
	struct box b;
	size_t before;

	(void)state;
	sb_adds(&text, "a:\n accept add_header = ");
	for (int i = 0; i < 900; i++)
		sb_addf(&text, "X-Field-%d: %0200d\\n", i, i);
	sb_adds(&text, "\n");
	setup(&b, sb_cstr(&text));
	b.run.where = EXIM_WHERE_DATA;
	before = arena_used(b.arena);
	assert_int_equal(go(&b, "a"), EXIM_ACL_ACCEPT);
	assert_int_equal(b.fx.headers.len, 900);
	assert_true(b.msg.headers_added.len > 900 * 200);
	assert_true(sv_starts(b.msg.headers_added, "X-Field-0: 0"));
	assert_true(sv_ends(b.msg.headers_added, "0899"));
	assert_true(arena_used(b.arena) - before < 4 * 1024 * 1024);
	sb_free(&text);
	teardown(&b);
}

/* regex sees lines of the message or part, mime_regex the decoded part. */
static void
regexes(void **state)
{
	static const struct { enum exim_acl_where where; const char *cond; int verdict; const char *user; } t[] = {
		{ EXIM_WHERE_DATA, "regex = [Vv]iagra : no(.)e", EXIM_ACL_DENY, "no(.)e n" },
		{ EXIM_WHERE_DATA, "regex = ^Subject::\\N \\d+$\\N", EXIM_ACL_DENY, "^Subject: \\d+$ " },
		{ EXIM_WHERE_DATA, "regex = 12.none", EXIM_ACL_ACCEPT, "" },
		{ EXIM_WHERE_DATA, "regex = ( : ^none\\$", EXIM_ACL_DENY, "^none$ " },
		{ EXIM_WHERE_MIME, "regex = ^Content-X", EXIM_ACL_DENY, "^Content-X " },
		{ EXIM_WHERE_MIME, "regex = attack", EXIM_ACL_ACCEPT, "" },
		{ EXIM_WHERE_MIME, "mime_regex = att(a)ck", EXIM_ACL_DENY, "att(a)ck a" },
		{ EXIM_WHERE_RCPT, "regex = x", EXIM_ACL_ERROR, "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char *raw = malloc(24);
		char text[256];
		struct box b;

		(void)snprintf(text, sizeof(text), "a:\n deny %s\n  message = $regex_match_string $regex1\n accept\n", t[i].cond);
		setup(&b, text);
		memcpy(raw, "Subject: 12\r\n\r\nnone\r\n", 21);
		b.msg.raw = sv_taint(sv_from(raw, 21));
		b.acl.mime_part = SV_LIT("Content-X: y\n\nYXR0YWNr\n");
		b.acl.mime_body = SV_LIT("YXR0YWNr\n");
		b.acl.mime_content_transfer_encoding = SV_LIT("base64");
		b.run.where = t[i].where;
		if ((int)go(&b, "a") != t[i].verdict)
			print_message("%s: " SV_FMT "\n", t[i].cond, SV_ARG(b.res.log_msg));
		assert_int_equal(b.res.verdict, t[i].verdict);
		if (!sv_eq(sv_trim(b.res.user_msg), sv_trim(sv_cstr(t[i].user))))
			print_message("%s: " SV_FMT "\n", t[i].cond, SV_ARG(b.res.user_msg));
		assert_true(sv_eq(sv_trim(b.res.user_msg), sv_trim(sv_cstr(t[i].user))));
		if (strstr(t[i].cond, "( :") != NULL)
			assert_non_null(strstr(logged, "error in regex '('"));
		teardown(&b);
		free(raw);
	}
}

static void
wrapping(void **state)
{
	struct box b;

	(void)state;
	setup(&b, "a:\n deny message = This is a rather long message for the peer: it goes on behind the colon until it must be folded\n");
	assert_int_equal(go(&b, "a"), EXIM_ACL_DENY);
	assert_true(sv_eqs(b.res.user_msg, "This is a rather long message for the peer:\nit goes on behind the colon until it must be "
	    "folded"));
	teardown(&b);
}

/* As many ACLs in each other as there may be leave the larger part of a fiber's stack to what they ask for. */
#if defined(__SANITIZE_ADDRESS__)
#define STACK_MOST	PTRDIFF_MAX		/* its frames are larger, and no measure */
#else
#define STACK_MOST	(96 * 1024)
#endif

static void
stack(void **state)
{
	static const char *const ways[] = {
		"acl = %s", "domains = ${acl{%s}}", "hosts = ${acl{%s}}", "senders = ${acl{%s}}", "local_parts = ${acl{%s}}",
		"sender_domains = ${acl{%s}}", "recipients = ${acl{%s}}", "condition = ${acl{%s}}", "set acl_m0 = ${acl{%s}}",
		"condition = ${if match{${acl{%s}}}{x}}", "condition = ${if eq{${acl{%s}}}{x}}", "verify = sender=${acl{%s}}",
		"domains = ${sg{${map{a}{${if eq{${acl{%s}}}{x}{y}}}}}{a}{b}}", "message = ${acl{%s}}",
		"set acl_m0 = ${extract{1}{:}{${acl{%s}}}}", "ratelimit = 1 / 1h / strict / ${acl{%s}}", "dnslists = x.test/${acl{%s}}",
		"condition = ${sort{a:b}{<}{${acl{%s}}}}", "set acl_m0 = ${reduce{a}{}{${acl{%s}}}}", "set acl_m0 = ${lc:${acl{%s}}}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		struct sb text = SB_INIT(16384);
		const char *top = __builtin_frame_address(0);
		struct box b;

		for (int n = 1; n < 20; n++) {
			char next[16];

			(void)snprintf(next, sizeof(next), "a%d", n + 1);
			sb_addf(&text, "a%d:\n accept ", n);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
			sb_addf(&text, ways[i], next);
#pragma GCC diagnostic pop
			sb_adds(&text, "\n");
		}
		sb_adds(&text, "a20:\n accept logwrite = reached\n");
		setup(&b, sb_cstr(&text));
		deepest = NULL;
		(void)go(&b, "a1");
		/* Expansions have a limit of their own, which some of these meet first. */
		if (strstr(logged, "reached") == NULL && strstr(logged, "nested more than") == NULL)
			fail_msg("%s: %s", ways[i], logged);
		if (top - deepest > STACK_MOST)
			fail_msg("%s: %zd bytes of stack", ways[i], top - deepest);
		teardown(&b);
		sb_free(&text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stack), cmocka_unit_test(statements), cmocka_unit_test(codes), cmocka_unit_test(effects), cmocka_unit_test(places),
		cmocka_unit_test(case_of_local_part), cmocka_unit_test(rates), cmocka_unit_test(seen), cmocka_unit_test(headers),
		cmocka_unit_test(wrapping), cmocka_unit_test(regexes), cmocka_unit_test(crowds), cmocka_unit_test(long_field),
		cmocka_unit_test(verify_words), cmocka_unit_test(long_message), cmocka_unit_test(long_warning), cmocka_unit_test(long_text),
		cmocka_unit_test(many_headers),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
