/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * -bt, -bv, -bvs: addresses go through the routers, and what came out is shown.  An argument may hold several addresses
 * with commas between, a line of standard input holds one.
 */
#include "exim/extract.h"
#include "testing.h"

#define OUT_MAX		((size_t)16 * 1024 * 1024)

/* One code for all: failed outright is 2, deferred 1. */
static int
worse(int rc, int one)
{
	return (one == 2 || (one == 1 && rc == 0) ? one : rc);
}

static enum route_mode
mode(const struct testing *t)
{
	return (t->o->mode == MODE_ROUTE ? ROUTE_TEST : t->o->as_sender ? ROUTE_VERIFY_SENDER : ROUTE_VERIFY_RECIPIENT);
}

/* The address qualified and rewritten as the envelope's would be. */
static struct sv
envelope_address(struct testing *t, const struct exim_extracted *x)
{
	struct sv addr = x->address, new;

	if (x->domain == 0)
		addr = sv_cstr(arena_fmt(t->arena, SV_FMT "@" SV_FMT, SV_ARG(addr),
		    SV_ARG(t->o->as_sender ? t->g.qualify_domain : t->g.qualify_recipient)));
	addr.tainted = true;
	if (exim_rewrite_address(&t->conf->rewrites, &t->env, t->o->as_sender ? EXIM_RW_F : EXIM_RW_T, addr, &new, NULL,
	    NULL) != EXIM_OK)
		return (addr);
	if (!sv_eq(new, addr))
		printf("Address rewritten as: " SV_FMT "\n", SV_ARG(new));
	new.tainted = true;
	return (new);
}

static int
one_address(struct testing *t, struct sv text, struct hash *seen)
{
	struct route_request rq = { .conf = t->conf, .env = &t->env, .arena = t->arena, .ops = &t->ops, .mode = mode(t) };
	struct sb out = SB_INIT(OUT_MAX);
	struct err err = ERR_INIT;
	struct exim_extracted x;
	struct route_result res;
	int rc;

	if (exim_extract(text, EXIM_EXTRACT_LITERALS |
	    (exim_main_bool(t->conf, EXIM_MAIN_allow_utf8_domains) ? 0 : EXIM_EXTRACT_ASCII), t->arena, &x, &err) == -1) {
		printf("syntax error: %s\n", err.text);
		return (2);
	}
	rq.address = envelope_address(t, &x);
	rq.sender = t->msg.sender;
	rq.everything = t->o->mode == MODE_ROUTE || t->o->verbose || t->o->debug;
	route_address(&rq, &res);
	rc = route_print(&rq, &res, t->admin, seen, &out);
	(void)fwrite(out.p, 1, out.len, stdout);
	sb_free(&out);
	route_result_free(&res);
	return (rc);
}

/* Where the address at <at> of a list ends: at a comma outside of quotes, comments and brackets. */
static size_t
address_end(struct sv list, size_t at)
{
	bool quoted = false;
	unsigned comment = 0, angle = 0;

	for (; at < list.len; at++) {
		char c = list.p[at];

		if (c == '\\')
			at++;
		else if (quoted || c == '"')
			quoted = quoted != (c == '"');
		else if (c == '(' || (c == ')' && comment > 0))
			comment += c == '(' ? 1 : UINT32_MAX;
		else if (comment == 0 && (c == '<' || (c == '>' && angle > 0)))
			angle += c == '<' ? 1 : UINT32_MAX;
		else if (c == ',' && comment == 0 && angle == 0)
			break;
	}
	return (at < list.len ? at : list.len);
}

/* All addresses of <list>; those behind the first comma that is none of an address' are the next. */
static int
addresses(struct testing *t, struct sv list, struct hash *seen)
{
	int rc = 0;

	for (size_t at = 0; at < list.len;) {
		size_t end = address_end(list, at);

		rc = worse(rc, one_address(t, sv_sub(list, at, end), seen));
		for (at = end; at < list.len && (list.p[at] == ',' || sv_isspace(list.p[at])); at++)
			;
		testing_reset(t);
	}
	return (rc);
}

int
test_address(struct testing *t)
{
	struct sb line = SB_INIT(1024 * 1024);
	struct hash *seen = hash_new();
	int rc = 0;

	/* While a sender is verified, no message has one. */
	if (mode(t) == ROUTE_VERIFY_SENDER)
		t->msg.sender = SV_LIT("");
	t->msg.return_path = t->msg.sender;
	for (size_t i = 0; i < t->o->args.len; i++)
		rc = worse(rc, addresses(t, sv_cstr(t->o->args.p[i]), seen));
	while (t->o->args.len == 0 && testing_ask(t, &line)) {
		rc = worse(rc, one_address(t, sb_sv(&line), seen));
		testing_reset(t);
	}
	hash_free(&seen, NULL);
	sb_free(&line);
	return (rc);
}
