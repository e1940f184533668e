/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The condition personal (filter manual 3.27 to 3.29): To: names the user, From: neither him nor a robot,
 * no list's header, no bounce.
 */
#include <string.h>

#include "base/sb.h"
#include "exim/conf.h"
#include "mail/header.h"
#include "exim_int.h"

#define SELF_MAX	8

/* The user's own addresses: with and without affixes, each also as rewritten. */
struct self {
	struct sv	 to[SELF_MAX], from[SELF_MAX];
	size_t		 n;
};

static struct sv
rewritten(struct xf_run *w, struct sv address, unsigned where)
{
	struct sv out = address;

	if (w->env->conf != NULL &&
	    exim_rewrite_address(&w->env->conf->rewrites, w->env, where, address, &out, NULL, NULL) == EXIM_OK)
		return (out);
	return (address);
}

static void
add_self(struct xf_run *w, struct self *s, struct sv address)
{
	s->to[s->n] = s->from[s->n] = address;
	s->n++;
	s->to[s->n] = rewritten(w, address, EXIM_RW_t);
	s->from[s->n] = rewritten(w, address, EXIM_RW_f);
	s->n++;
}

static void
find_self(struct xf_run *w, struct self *s)
{
	const struct exim_address *a = w->env->addr;
	struct arena *ar = w->env->arena;

	s->n = 0;
	add_self(w, s, sv_cstr(arena_fmt(ar, SV_FMT "@" SV_FMT, SV_ARG(a->local_part), SV_ARG(a->domain))));
	if (a->local_part_prefix.len > 0 || a->local_part_suffix.len > 0)
		add_self(w, s, sv_cstr(arena_fmt(ar, SV_FMT SV_FMT SV_FMT "@" SV_FMT, SV_ARG(a->local_part_prefix),
		    SV_ARG(a->local_part), SV_ARG(a->local_part_suffix), SV_ARG(a->domain))));
}

/* A field of the message, removed ones left out, added ones behind; false at the end. */
static bool
next_field(const struct exim_message *m, size_t *pos, struct sv *name, struct sv *body)
{
	size_t n = m->headers == NULL ? 0 : m->headers->n;

	for (; *pos < n; (*pos)++) {
		if (m->headers_gone != NULL && m->headers_gone[*pos])
			continue;
		*name = m->headers->v[*pos].name;
		*body = m->headers->v[*pos].body;
		(*pos)++;
		return (true);
	}
	if (*pos - n < m->nadded) {
		struct sv t = m->added[*pos - n].text;
		ptrdiff_t colon = sv_chr(t, ':');

		*name = colon < 0 ? SV_NULL : sv_trim(sv_sub(t, 0, (size_t)colon));
		*body = colon < 0 ? t : sv_trim(sv_sub(t, (size_t)colon + 1, t.len));
		(*pos)++;
		return (true);
	}
	return (false);
}

static bool
contains_any(struct sv text, const struct sv *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].len > 0 && sv_casefind(text, v[i]) >= 0)
			return (true);
	return (false);
}

static bool
is_any(struct sv address, const struct sv *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].len > 0 && sv_caseeq(address, v[i]))
			return (true);
	return (false);
}

static bool
robot(struct sv address)
{
	static const char *const names[] = { "server@", "daemon@", "root@", "listserv@", "majordomo@" };
	ptrdiff_t at = sv_chr(address, '@');

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (sv_casestarts(address, names[i]))
			return (true);
	return (sv_casefind(address, SV_LIT("-request@")) >= 0 || (sv_casestarts(address, "owner-") && at > 6));
}

/* Does an address of these fields name the user (or, with <robots>, a robot)? */
static bool
addresses_name(struct xf_run *w, const char *field, const struct sv *self, size_t nself, const struct xf_cond *c, bool robots)
{
	struct sv name, body, one;
	struct xf_list_of l;
	size_t pos = 0;

	while (next_field(w->env->msg, &pos, &name, &body)) {
		if (!sv_caseeqs(name, field))
			continue;
		l = (struct xf_list_of){ .rest = body, .how = XF_PLAIN };
		while (xf_next_address(w, &l, &one))
			if (is_any(one, self, nself) || is_any(one, c->alias, c->nalias) || (robots && robot(one)))
				return (true);
	}
	return (false);
}

/* Fields that only lists and robots have. */
static bool
impersonal_field(struct sv name, struct sv body)
{
	static const char *const lists[] = { "Id", "Help", "Subscribe", "Unsubscribe", "Post", "Owner", "Archive" };
	static const struct sv bulk[] = { { "bulk", 4, false }, { "list", 4, false }, { "junk", 4, false } };

	if (sv_casestarts(name, "List-"))
		for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
			if (sv_caseeqs(sv_sub(name, 5, name.len), lists[i]))
				return (true);
	if (sv_caseeqs(name, "Auto-Submitted"))
		return (!sv_caseeqs(sv_trim(body), "no"));
	return (sv_caseeqs(name, "Precedence") && contains_any(body, bulk, 3));
}

bool
xf_personal(struct xf_run *w, const struct xf_cond *c)
{
	struct sv name, body;
	struct self self;
	size_t pos = 0;

	if ((w->r->flags & EXIM_FILTER_SYSTEM) != 0 || (w->env->msg->has_sender && w->env->msg->sender.len == 0))
		return (false);
	while (next_field(w->env->msg, &pos, &name, &body))
		if (impersonal_field(name, body))
			return (false);
	find_self(w, &self);
	return (addresses_name(w, "To", self.to, self.n, c, false) && !addresses_name(w, "From", self.from, self.n, c, true));
}
