/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * spf and spf_guess (chapter 58 of Exim's manual): the verdict on the sender's domain, once per message, and the
 * variables that tell of it in the words that administrators know.
 */
#include "exim/spf.h"
#include "session/scan_int.h"

/* FRONT domain MIDDLE client END; for a neutral answer client and domain change places. */
static const struct { const char *front, *middle, *end; } comments[EXIM_SPF_COUNT] = {
	[EXIM_SPF_NONE] = { "domain of ", " does not provide an SPF record", NULL },
	[EXIM_SPF_NEUTRAL] = { "", " is neither permitted nor denied by domain of ", "" },
	[EXIM_SPF_PASS] = { "domain of ", " designates ", " as permitted sender" },
	[EXIM_SPF_FAIL] = { "domain of ", " does not designate ", " as permitted sender" },
	[EXIM_SPF_SOFTFAIL] = { "transitioning domain of ", " does not designate ", " as permitted sender" },
	[EXIM_SPF_TEMPERROR] = { "encountered temporary error during SPF processing of ", "", NULL },
	[EXIM_SPF_PERMERROR] = { "domain of ", " has an SPF record that is malformed or asks too much", NULL },
};

static struct sv
comment(struct session *s, enum exim_spf r, struct sv domain)
{
	struct sv one = r == EXIM_SPF_NEUTRAL ? s->x.host_address : domain;
	struct sv two = r == EXIM_SPF_NEUTRAL ? domain : s->x.host_address;

	if (net_addr_is_loopback(&s->x.addr))
		return (sv_cstr(arena_fmt(s->cmd, SV_FMT ": localhost is always allowed.", SV_ARG(s->conf->g.primary_hostname))));
	if (comments[r].end == NULL)
		two = SV_LIT("");
	return (sv_taint(sv_cstr(arena_fmt(s->cmd, SV_FMT ": %s" SV_FMT "%s" SV_FMT "%s", SV_ARG(s->conf->g.primary_hostname),
	    comments[r].front, SV_ARG(one), comments[r].middle, SV_ARG(two), comments[r].end == NULL ? "" : comments[r].end))));
}

static void
set_variables(struct session *s, enum exim_spf r, struct sv domain, struct sv sender, struct sv why)
{
	struct exim_acl_state *st = &s->st;
	struct sv template = SV_LIT("");
	char client[NET_ADDR_TEXT_MAX];

	st->spf_result = sv_cstr(exim_spf_name(r));
	st->spf_header_comment = comment(s, r, domain);
	st->spf_received = sv_taint(sv_cstr(arena_fmt(s->cmd, "Received-SPF: %s (" SV_FMT ") client-ip=%s; envelope-from=" SV_FMT
	    "; helo=" SV_FMT ";", exim_spf_name(r), SV_ARG(st->spf_header_comment), net_addr_text(&s->x.addr, client), SV_ARG(sender),
	    SV_ARG(s->x.helo))));
	st->spf_smtp_comment = SV_NULL;
	if (r != EXIM_SPF_FAIL && r != EXIM_SPF_SOFTFAIL && r != EXIM_SPF_NEUTRAL)
		return;
	if (why.len > 0) {
		st->spf_smtp_comment = why;
		return;
	}
	/* "%_" stands for a blank in the template. */
	if (session_expand(s, EXIM_MAIN_spf_smtp_comment_template, &template)) {
		struct sb sb = SB_INIT(2000);

		for (size_t i = 0; i < template.len; i++)
			if (template.p[i] == '%' && i + 1 < template.len && template.p[i + 1] == '_') {
				sb_addc(&sb, ' ');
				i++;
			} else
				sb_addc(&sb, template.p[i]);
		sb_adds(&sb, " : Reason: mechanism");
		st->spf_smtp_comment = arena_sv(s->cmd, sb_sv(&sb));
		sb_free(&sb);
	}
}

/* The list's words, some with a "!", and the older names of results. */
static bool
listed(struct session *s, struct sv list, enum exim_spf r)
{
	static const struct { const char *old; enum exim_spf r; } olds[] = {
		{ "err_temp", EXIM_SPF_TEMPERROR }, { "err_perm", EXIM_SPF_PERMERROR }, { "invalid", EXIM_SPF_PERMERROR },
	};
	struct sv item;
	int sep = 0;

	while (exim_list_next(&list, &sep, s->cmd, &item)) {
		bool negated = item.len > 0 && item.p[0] == '!', same;

		if (negated)
			item = sv_trim(sv_sub(item, 1, item.len));
		same = sv_caseeqs(item, exim_spf_name(r));
		for (size_t i = 0; i < sizeof(olds) / sizeof(olds[0]); i++)
			same = same || (olds[i].r == r && sv_caseeqs(item, olds[i].old));
		if (same != negated)
			return (true);
	}
	return (false);
}

enum exim_result
scan_spf(struct session *s, struct exim_env *env, struct sv arg, bool guess, bool *yes)
{
	struct exim_spf_query q = { .client = s->x.addr, .sender = session_msg(s)->sender, .helo = s->x.helo, .record = SV_NULL };
	struct sv domain, sender, why;
	struct txn *t = s->txn;
	enum exim_spf r;

	*yes = false;
	if (s->x.addr.family == 0)
		return (EXIM_OK);
	if (t != NULL && t->spf_known) {
		r = t->spf;
	} else {
		r = exim_spf_check(env, &q, &domain, &sender, &why);
		/* What this host hands to itself is no forgery; asked all the same, for what is told of it. */
		if (net_addr_is_loopback(&s->x.addr))
			r = EXIM_SPF_PASS;
		set_variables(s, r, domain, sender, why);
		s->st.spf_guessed = false;
		if (t != NULL) {
			t->spf_known = true;
			t->spf = r;
		}
	}
	/* A guess stands in for a record that is not there. */
	if (guess && r == EXIM_SPF_NONE) {
		q.record = s->conf->main[EXIM_MAIN_spf_guess].text;
		r = exim_spf_check(env, &q, &domain, &sender, &why);
		set_variables(s, r, domain, sender, why);
		s->st.spf_guessed = true;
	}
	*yes = listed(s, arg, r);
	return (EXIM_OK);
}
