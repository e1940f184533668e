/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any bytes as the header of a message that is checked by "verify", shown in expansions and rewritten: each check ends
 * in a verdict, what is shown is tainted and without NUL, and what no rule fits stays as it is.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "../lib/fuzz/world.h"
#include "exim/acl.h"
#include "exim/conf.h"
#include "exim/expand.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char text[] =
    "qualify_recipient = q.test\nsender_unqualified_hosts = 192.0.2.0/24\n"
    "begin rewrite\n"
    "keep@old.test  *\n"
    "*@old.test     $1@new.test\n"
    "*@*.sub.test   $1@$2.test  h\n"
    "bare@x.test    short  Q\n"
    "\\N^(\\w+)@whole\\.test$\\N  \"Full Name <$1@whole.example>\"  hw\n"
    "*@fail.test    \"${if eq{$local_part}{a}{x@y.test}fail}\"  q\n"
    "\\N^aa(.*)@rep\\.test$\\N   a$1@rep.test  R\n";

static const char *const verify[] = { "header_syntax", "not_blind", "not_blind/case_insensitive", "header_names_ascii" };

static const char *const shown[] = { "$h_to:", "$rh_subject:", "$bh_subject:", "$lh_cc:", "$h_from:$h_to:", "$message_headers",
	"$message_headers_raw", "$reply_address", "${addresses:$h_to:}", "${addresses:>, $h_cc:}", "${address:$h_from:}",
	"${rfc2047d:$rh_subject:}", "${rfc2047:$h_subject:}", "${map{<, $h_to:}{${domain:$item}}}", "${utf8clean:$h_subject:}",
	"${if def:h_to:{$h_to:}{$h_cc:}}", "${if match_address{${address:$h_from:}}{*@x.test : ^a : @@lsearch;/f}{$value}}",
	"${sg{$h_subject:}{\\N(\\w)\\N}{<\\$1>}}", "${extract{2}{:}{$rh_received:}}", "${quote_local_part:${local_part:$h_from:}}" };

static struct exim_conf *
conf_of(void)
{
	static struct exim_conf *c;
	struct exim_conf_source src = { .path = "fuzz", .hostname = "h.test", .text = sv_cstr(text) };
	struct exim_report rep = EXIM_REPORT_INIT;

	if (c == NULL)
		assert(exim_conf_load(&c, &src, &rep, NULL) == 0);
	return (c);
}

static void
checks(struct exim_env *env)
{
	struct exim_report rep = EXIM_REPORT_INIT;

	for (size_t i = 0; i < sizeof(verify) / sizeof(verify[0]); i++) {
		struct exim_acl_run run = { .where = EXIM_WHERE_DATA };
		const struct exim_acl *acl = exim_acl_compile_text(env->arena, SV_LIT("fuzz"),
		    sv_cstr(arena_fmt(env->arena, "require verify = %s\naccept", verify[i])), &rep);
		struct exim_acl_result res;
		enum exim_acl_verdict v;

		assert(acl != NULL && rep.errors == 0);
		v = exim_acl_run(acl, env, &run, &res);
		assert(v == EXIM_ACL_ACCEPT || v == EXIM_ACL_DENY);
		exim_acl_run_fini(&run);
	}
}

static void
show(struct exim_env *env)
{
	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
		struct err err = ERR_INIT;
		struct sv out;

		if (exim_expand_text(sv_cstr(shown[i]), env, &out, &err) == EXIM_OK && i < 12) {
			assert(sv_chr(out, '\0') < 0);
			assert(out.tainted || out.len == 0 || env->msg->headers->n == 0);
		}
		assert(env->depth == 0);
		exim_env_forget(env);
	}
}

static void
rewrite(const struct exim_conf *c, struct exim_env *env)
{
	const struct mail_headers *h = env->msg->headers;

	for (size_t i = 0; i < h->n && i < 20; i++) {
		struct err err = ERR_INIT;
		struct sv out;
		bool changed;

		if (exim_rewrite_header(&c->rewrites, env, i % 2 == 0 ? EXIM_RW_f : EXIM_RW_t, h->v[i].body, &out, &changed, &err) == EXIM_OK)
			assert(changed || (out.p == h->v[i].body.p && out.len == h->v[i].body.len));
		exim_env_forget(env);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct exim_env env;
	struct mail_headers h;
	struct exim_acl_state st;

	if (size > 65536)
		return (0);
	memset(&env, 0, sizeof(env));
	memset(&st, 0, sizeof(st));
	exim_conf_env(conf_of(), &env);
	env.arena = arena_new(0);
	env.world = &w_all;
	w_fill(&env, env.arena);
	env.acl = &st;
	mail_headers_parse(&h, env.arena, sv_taint(sv_from((const char *)data, size)), 0);
	env.msg->headers = &h;
	env.msg->added = NULL;
	env.msg->nadded = 0;
	checks(&env);
	show(&env);
	rewrite(conf_of(), &env);
	arena_free(&env.arena);
	return (0);
}
