/* SPDX-License-Identifier: BSD-2-Clause */
/* The header as a transport sends it (chapter 24 of Exim's manual). */
#include <string.h>

#include "mail/address.h"
#include "mail/date.h"
#include "mail/header.h"
#include "transport/transport_int.h"

#define HEADER_MAX	(8 * 1024 * 1024)
#define ENVELOPE_TO_MAX	100

struct sv
transport_crlf(struct arena *a, struct sv text)
{
	struct sb out = SB_INIT(HEADER_MAX);
	struct sv line, r;

	while (sv_next(&text, '\n', &line)) {
		if (line.len > 0 && line.p[line.len - 1] == '\r')
			line.len--;
		if (line.len == 0)
			continue;
		sb_add(&out, line);
		sb_adds(&out, "\r\n");
	}
	r = arena_sv(a, sb_sv(&out));
	sb_free(&out);
	return (r);
}

int
transport_multi(struct exim_env *env, const struct exim_value *v, char sep, struct sv *out, struct err *err)
{
	struct sb all = SB_INIT(HEADER_MAX);
	int rc = 0;

	for (size_t i = 0; i < v->n && rc == 0; i++) {
		struct sv one;
		enum exim_result r = exim_expand(v->strs[i], env, &one, err);

		if (r == EXIM_FORCED || (r == EXIM_OK && sv_trim(one).len == 0))
			continue;
		if (r != EXIM_OK) {
			err->cls = ERR_TEMP;
			rc = -1;
			break;
		}
		if (all.len > 0)
			sb_addc(&all, sep);
		sb_add(&all, one);
	}
	if (all.overflow)
		rc = err_set(err, ERR_TEMP, "4.3.4", "the fields to be added or removed have more than %d bytes", HEADER_MAX);
	*out = arena_sv(env->arena, sb_sv(&all));
	sb_free(&all);
	return (rc);
}

/* headers_remove: a name, or with "*" at its end how names begin. */
static void
remove_name(const struct transport_delivery *d, struct mail_edit *ed, struct sv name)
{
	const struct mail_headers *h = d->env->msg->headers;
	struct arena *a = d->env->arena;
	const char *start;

	if (!sv_ends(name, "*")) {
		(void)mail_edit_remove_name(ed, arena_cstr(a, name));
		return;
	}
	start = arena_cstr(a, sv_sub(name, 0, name.len - 1));
	for (size_t i = 0; i < h->n; i++)
		if (sv_casestarts(h->v[i].name, start))
			mail_edit_remove(ed, i);
}

static void
remove_names(const struct transport_delivery *d, struct mail_edit *ed, struct sv list)
{
	struct sv name;
	int sep = 0;

	while (exim_list_next(&list, &sep, d->env->arena, &name))
		remove_name(d, ed, name);
}

static unsigned
rewrite_kind(struct sv name)
{
	static const struct {
		const char *name;
		unsigned flag;
	} kinds[] = { { "from", EXIM_RW_f }, { "to", EXIM_RW_t }, { "cc", EXIM_RW_c }, { "bcc", EXIM_RW_b },
	    { "reply-to", EXIM_RW_r }, { "sender", EXIM_RW_s } };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (sv_caseeqs(name, kinds[i].name))
			return (kinds[i].flag);
	return (0);
}

/* headers_rewrite: as the rewrite section, for what this transport sends. */
static void
rewrite(const struct transport_delivery *d, struct mail_edit *ed)
{
	const struct exim_value *v = &d->t->d.generic[EXIM_TRANSPORT_headers_rewrite];
	const struct mail_headers *h = d->env->msg->headers;
	struct exim_rewrites rw = { .rule = v->rules, .n = v->n };
	struct arena *a = d->env->arena;

	for (size_t i = 0; i < v->n; i++)
		rw.flags |= v->rules[i].flags;
	for (size_t i = 0; v->n > 0 && i < h->n; i++) {
		unsigned kind = rewrite_kind(h->v[i].name);
		struct err err = ERR_INIT;
		struct sv out;
		bool changed = false;

		if (kind == 0 || (rw.flags & kind) == 0 ||
		    exim_rewrite_header(&rw, d->env, kind, h->v[i].body, &out, &changed, &err) != EXIM_OK || !changed)
			continue;
		mail_edit_replace(ed, i, sv_cstr(arena_fmt(a, SV_FMT ": " SV_FMT "\r\n", SV_ARG(h->v[i].name), SV_ARG(sv_trim(out)))));
	}
}

/* Addresses at <from> in <body>, at <to>; false if there are none. */
static bool
rename_domain(struct arena *a, struct sv body, struct sv from, struct sv to, struct sv *out)
{
	struct sb sb = SB_INIT(HEADER_MAX);
	const char *done = body.p;
	struct mail_addrlist list;

	mail_addrlist_read(body, a, &list);
	for (size_t i = 0; i < list.n; i++) {
		const struct mail_address *m = &list.v[i];
		ptrdiff_t at = sv_rchr(m->raw, '@');
		struct sv behind = at < 0 ? SV_LIT("") : sv_sub(m->raw, (size_t)at + 1, m->raw.len);

		if (m->item != MAIL_ITEM_ADDRESS || !sv_caseeq(m->domain, from) || behind.len < from.len ||
		    !sv_caseeq(sv_sub(behind, 0, from.len), from))
			continue;
		sb_addn(&sb, done, (size_t)(behind.p - done));
		sb_add(&sb, to);
		done = behind.p + from.len;
	}
	if (done != body.p) {
		sb_addn(&sb, done, (size_t)(body.p + body.len - done));
		*out = arena_sv(a, sb_sv(&sb));
	}
	sb_free(&sb);
	return (done != body.p);
}

/* A domain that routing made whole is so in the header too (rewrite_headers of dnslookup, self = reroute:rewrite:). */
static void
rename_domains(const struct transport_delivery *d, struct mail_edit *ed)
{
	const struct mail_headers *h = d->env->msg->headers;
	struct arena *a = d->env->arena;

	for (const struct route_addr *ra = d->rd[0]->addr; ra != NULL; ra = ra->parent)
		for (size_t i = 0; ra->short_domain.len > 0 && i < h->n; i++) {
			struct sv out;

			if (rewrite_kind(h->v[i].name) != 0 && rename_domain(a, h->v[i].body, ra->short_domain, ra->full_domain, &out))
				mail_edit_replace(ed, i, sv_cstr(arena_fmt(a, SV_FMT ": " SV_FMT "\r\n", SV_ARG(h->v[i].name),
				    SV_ARG(sv_trim(out)))));
		}
}

static struct sv
top_address(const struct route_delivery *rd)
{
	const struct route_addr *top = rd->addr;

	while (top->parent != NULL)
		top = top->parent;
	return (top->address);
}

static struct sv
envelope_to(const struct transport_delivery *d)
{
	struct sb out = SB_INIT(HEADER_MAX);
	struct arena *a = d->env->arena;
	struct sv r;

	sb_adds(&out, "Envelope-to: ");
	for (size_t i = 0; i < d->n && i < ENVELOPE_TO_MAX; i++) {
		struct sv top = top_address(d->rd[i]);
		bool seen = false;

		for (size_t k = 0; k < i && !seen; k++)
			seen = sv_eq(top_address(d->rd[k]), top);
		if (seen)
			continue;
		if (i > 0)
			sb_adds(&out, ",\r\n ");
		for (size_t k = 0; d->also != NULL && k < d->also[i].n && k < ENVELOPE_TO_MAX; k++)
			sb_addf(&out, SV_FMT ",\r\n ", SV_ARG(d->also[i].v[k]));
		sb_add(&out, top);
	}
	sb_adds(&out, "\r\n");
	r = arena_sv(a, sb_sv(&out));
	sb_free(&out);
	return (r);
}

static void
put_on_top(const struct transport_delivery *d, struct mail_edit *ed)
{
	const struct exim_value *g = d->t->d.generic;
	struct arena *a = d->env->arena;
	char date[MAIL_DATE_MAX];

	if (g[EXIM_TRANSPORT_delivery_date_add].num != 0)
		mail_edit_prepend(ed, sv_cstr(arena_fmt(a, "Delivery-date: %s\r\n", mail_date_format_local(date, d->now))));
	if (g[EXIM_TRANSPORT_envelope_to_add].num != 0)
		mail_edit_prepend(ed, envelope_to(d));
	if (g[EXIM_TRANSPORT_return_path_add].num != 0)
		mail_edit_prepend(ed, sv_cstr(arena_fmt(a, "Return-path: <" SV_FMT ">\r\n", SV_ARG(d->env->msg->return_path))));
}

int
transport_header(const struct transport_delivery *d, struct sb *out, struct err *err)
{
	const struct exim_value *g = d->t->d.generic;
	struct arena *a = d->env->arena;
	struct mail_edit *ed;
	struct sv remove, add;

	if (d->env->msg->headers == NULL)
		return (err_set(err, ERR_TEMP, "4.3.0", "cannot read the header of the message"));
	if (transport_multi(d->env, &g[EXIM_TRANSPORT_headers_remove], ':', &remove, err) == -1 ||
	    transport_multi(d->env, &g[EXIM_TRANSPORT_headers_add], '\n', &add, err) == -1)
		return (-1);
	ed = mail_edit_new(a, d->env->msg->headers);
	rename_domains(d, ed);
	rewrite(d, ed);
	for (size_t i = 0; i < d->rd[0]->nheaders_remove; i++)
		remove_name(d, ed, d->rd[0]->headers_remove[i]);
	remove_names(d, ed, remove);
	for (size_t i = 0; i < d->rd[0]->nheaders_add; i++)
		mail_edit_append(ed, transport_crlf(a, d->rd[0]->headers_add[i]));
	if (add.len > 0)
		mail_edit_append(ed, transport_crlf(a, add));
	put_on_top(d, ed);
	mail_edit_write(ed, out);
	sb_adds(out, "\r\n");
	return (out->overflow ? err_set(err, ERR_TEMP, "4.3.4", "the header of the message grows past %zu bytes", out->max) : 0);
}
