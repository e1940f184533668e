/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What hosts answer to callouts: the first byte says what is asked, the first line whom; each further line is an answer, its
 * digits the code ("0" or none: the line is lost).  Twice, so that what is kept of the first time is read.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "../lib/fuzz/world.h"
#include "exim/callout.h"
#include "exim/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct host {
	struct exim_env	*env;
	struct sv	 rest;		/* answers to come */
	bool		 open;
};

static const char *
p_name(void *arg, size_t host)
{
	assert(host < 3);
	return ("host.test [192.0.2.1]");
}

static void
answer(struct host *h, struct exim_callout_reply *r)
{
	struct sv line = SV_LIT("");

	(void)sv_next(&h->rest, '\n', &line);
	r->code = 0;
	for (size_t i = 0; i < line.len && i < 3 && sv_isdigit(line.p[i]); i++)
		r->code = r->code * 10 + line.p[i] - '0';
	r->text = sv_taint(arena_sv(h->env->arena, line));
}

static bool
p_open(void *arg, size_t host, struct exim_callout_reply *r)
{
	struct host *h = arg;

	assert(!h->open && host < 3);
	h->open = true;
	answer(h, r);
	r->what = r->code % 2 == 0 ? NULL : "EHLO name";
	return (r->code / 100 == 2);
}

static void
p_command(void *arg, const char *line, struct exim_callout_reply *r)
{
	struct host *h = arg;

	/* One line, and no more than one. */
	assert(h->open && strpbrk(line, "\r\n") == NULL && strlen(line) < 1024);
	assert(strncmp(line, "MAIL FROM:<", 11) == 0 || strncmp(line, "RCPT TO:<", 9) == 0 || strcmp(line, "RSET") == 0);
	answer(h, r);
}

static void
p_close(void *arg)
{
	struct host *h = arg;

	assert(h->open);
	h->open = false;
}

static struct exim_conf *
conf_of(void)
{
	static struct exim_conf *c;
	struct exim_conf_source src = { .path = "fuzz", .hostname = "h.test",
	    .text = SV_LIT("callout_random_local_part = rnd-$tod_epoch\n") };
	struct exim_report rep = EXIM_REPORT_INIT;

	if (c == NULL)
		assert(exim_conf_load(&c, &src, &rep, NULL) == 0);
	return (c);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct exim_callout_peer peer = { .nhosts = 3, .name = p_name, .address = p_name, .open = p_open,
	    .command = p_command, .close = p_close };
	struct exim_verify v = { .callout = true, .callout_mailfrom = SV_NULL, .callout_postmaster_mailfrom = SV_NULL };
	struct exim_world world = w_all;
	struct exim_acl_state st;
	struct exim_env env;
	struct hash *hints;
	struct sv in, address;

	if (size < 2 || size > 8192)
		return (0);
	in = sv_from((const char *)data + 1, size - 1);
	if (!sv_next(&in, '\n', &address) || sv_chr(address, '@') < 0)
		return (0);
	v.callout_random = (data[0] & 1) != 0;
	v.callout_postmaster = (data[0] & 2) != 0;
	v.callout_fullpostmaster = (data[0] & 4) != 0;
	v.callout_use_sender = (data[0] & 8) != 0;
	v.callout_no_cache = (data[0] & 16) != 0;
	v.what = (data[0] & 32) != 0 ? EXIM_VERIFY_SENDER : EXIM_VERIFY_RECIPIENT;
	if ((data[0] & 64) != 0)
		v.callout_mailfrom = v.callout_postmaster_mailfrom = SV_LIT("checker@h.test");
	world.arg = hints = hash_new();
	memset(&env, 0, sizeof(env));
	memset(&st, 0, sizeof(st));
	exim_conf_env(conf_of(), &env);
	env.arena = arena_new(0);
	env.world = &world;
	w_fill(&env, env.arena);
	env.acl = &st;
	for (int again = 0; again < 2; again++) {
		struct host h = { .env = &env, .rest = in };
		struct exim_callout_peer p = peer;
		struct exim_verify_result out;
		enum exim_result res;

		memset(&out, 0, sizeof(out));
		p.arg = &h;
		res = exim_callout(&env, &v, sv_taint(address), &p, &out);
		assert(!h.open && out.asked);
		assert(res == EXIM_OK || res == EXIM_FAIL || res == EXIM_DEFER);
		assert(res != EXIM_FAIL || out.failure.len > 0);
		assert(res != EXIM_DEFER || (out.user_msg.len > 0 && out.log_msg.len > 0));
	}
	arena_free(&env.arena);
	hash_free(&hints, free);
	return (0);
}
