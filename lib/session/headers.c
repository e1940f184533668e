/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The header of a message on its way in: our Received field, the fixes of submission
 * (RFC 6409 section 8), what ACLs added and removed.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "mail/date.h"
#include "session/session_int.h"

#define HEADER_MAX	(1024 * 1024)

/* Text of a field as the configuration writes it, LF line ends, to CR LF; with its last line end. */
static void
put_field(struct sb *out, struct sv text)
{
	size_t run = 0;

	while (text.len > 0 && text.p[text.len - 1] == '\n')
		text.len--;
	for (size_t i = 0; i < text.len; i++) {
		char c = text.p[i];

		if (c != '\r' && c != '\0' && c != '\n')
			continue;
		sb_addn(out, text.p + run, i - run);
		run = i + 1;
		if (c != '\n')
			continue;
		sb_addn(out, "\r\n", 2);
		/* A line within a field goes on with a blank, whatever was written. */
		if (run < text.len && text.p[run] != ' ' && text.p[run] != '\t')
			sb_addc(out, '\t');
	}
	sb_addn(out, text.p + run, text.len - run);
	sb_addn(out, "\r\n", 2);
}

static void
drop(struct txn *t, const char *name)
{
	for (size_t i = 0; i < t->headers.n; i++)
		if (sv_caseeqs(t->headers.v[i].name, name))
			t->gone[i] = true;
}

/* ---- fixes of submission ---- */

static bool
present(const struct txn *t, const char *name)
{
	for (size_t i = 0; i < t->headers.n; i++)
		if (!t->gone[i] && sv_caseeqs(t->headers.v[i].name, name))
			return (true);
	return (false);
}

static void
fix_add(struct session *s, const char *name, struct sv body)
{
	struct txn *t = s->txn;
	struct exim_header_add h;

	h.text = sv_cstr(arena_fmt(t->arena, "%s: " SV_FMT "\n", name, SV_ARG(body)));
	vec_push(&t->fixes, h);
}

/* The address that the caller has proved: authenticated_id, with its domain. */
static struct sv
proved_address(struct session *s)
{
	struct exim_acl_effects *fx = &s->txn->fx;
	struct sv id = s->kind == SESSION_LOCAL ? sv_cstr(s->conn->user) : s->x.authenticated_id;
	struct sv domain = fx->submission_domain.p != NULL && s->kind != SESSION_LOCAL ? fx->submission_domain :
	    s->conf->g.qualify_domain;

	if (id.len == 0)
		return (SV_NULL);
	if (domain.len == 0 || sv_chr(id, '@') >= 0)
		return (id);
	return (sv_cstr(arena_fmt(s->txn->arena, SV_FMT "@" SV_FMT, SV_ARG(id), SV_ARG(domain))));
}

/* "Name <address>", or the address alone. */
static void
fix_add_mailbox(struct session *s, const char *field, struct sv name, struct sv addr)
{
	struct sb sb = SB_INIT(4096);

	if (name.len > 0) {
		mail_phrase_encode(&sb, name, 6);
		sb_addf(&sb, " <" SV_FMT ">", SV_ARG(addr));
	} else
		sb_add(&sb, addr);
	fix_add(s, field, sb_sv(&sb));
	sb_free(&sb);
}

static struct sv
caller_name(const struct session *s)
{
	return (s->kind == SESSION_LOCAL && s->conn->fullname != NULL ? sv_cstr(s->conn->fullname) : s->txn->fx.submission_name);
}

static void
fix_from(struct session *s)
{
	struct sv addr = s->txn->msg.sender.len > 0 ? s->txn->msg.sender : proved_address(s);

	/* Whom a report comes from its own fields say. */
	if (s->kind == SESSION_LOCAL && s->conn->exim_style && s->txn->msg.sender.len == 0)
		return;
	if (addr.len > 0)
		fix_add_mailbox(s, "From", caller_name(s), addr);
}

/* What From says, perhaps by fix_from. */
static struct sv
from_field(const struct txn *t)
{
	for (size_t i = 0; i < t->fixes.len; i++)
		if (sv_starts(t->fixes.p[i].text, "From: "))
			return (sv_sub(t->fixes.p[i].text, 6, t->fixes.p[i].text.len));
	return (mail_headers_get(&t->headers, "From"));
}

/* Sender: tells who it was when From says somebody else. */
static void
fix_sender(struct session *s)
{
	struct txn *t = s->txn;
	struct sv from = from_field(t), proved = proved_address(s);
	struct mail_addrlist list;
	struct sb sb = SB_INIT(MAIL_ADDRESS_MAX);
	bool same = false;

	drop(t, "Sender");
	if (from.p == NULL || proved.len == 0)
		return;
	mail_addrlist_read(from, t->arena, &list);
	for (size_t i = 0; i < list.n && !same; i++) {
		sb_clear(&sb);
		mail_address_put(&sb, &list.v[i]);
		same = list.n == 1 && sv_caseeq(sb_sv(&sb), proved);
	}
	sb_free(&sb);
	if (!same)
		fix_add_mailbox(s, "Sender", s->kind == SESSION_LOCAL ? caller_name(s) : SV_NULL, proved);
}

static void
fix_id(struct session *s)
{
	struct txn *t = s->txn;
	struct sv domain = SV_NULL;

	if (present(t, "Message-ID"))
		return;
	if (!session_expand(s, EXIM_MAIN_message_id_header_domain, &domain) || domain.len == 0)
		domain = s->conf->g.primary_hostname;
	fix_add(s, "Message-Id", sv_cstr(arena_fmt(t->arena, "<E%s@" SV_FMT ">", t->id, SV_ARG(domain))));
}

static void
fix_date(struct session *s)
{
	char date[MAIL_DATE_MAX];

	if (!present(s->txn, "Date"))
		fix_add(s, "Date", sv_cstr(mail_date_format_local(date, (int64_t)time(NULL))));
}

/* Fields that deliveries write; a received one would lie. */
static void
drop_delivery_fields(struct session *s)
{
	if (exim_main_bool(s->conf, EXIM_MAIN_return_path_remove))
		drop(s->txn, "Return-path");
	if (exim_main_bool(s->conf, EXIM_MAIN_envelope_to_remove))
		drop(s->txn, "Envelope-to");
	if (exim_main_bool(s->conf, EXIM_MAIN_delivery_date_remove))
		drop(s->txn, "Delivery-date");
}

void
session_fixups(struct session *s)
{
	struct txn *t = s->txn;
	struct exim_acl_effects *fx = &t->fx;
	bool submission = fx->ctl[EXIM_CTL_SUBMISSION];
	bool local = s->kind == SESSION_LOCAL && !fx->ctl[EXIM_CTL_SUPPRESS_LOCAL_FIXUPS];

	drop_delivery_fields(s);
	for (size_t i = 0; i < fx->headers.len; i++) {
		struct exim_header_add h = { fx->headers.p[i].text };

		vec_push(&t->seen, h);
	}
	if (submission || local) {
		/* In Exim's order. */
		fix_id(s);
		if (!present(t, "From"))
			fix_from(s);
		if (submission && !fx->sender_retain && s->x.authenticated_id.len > 0 && t->msg.sender.len > 0)
			t->msg.sender = proved_address(s);
		if (!fx->sender_retain && !s->conn->trusted && exim_main_bool(s->conf, EXIM_MAIN_local_from_check))
			fix_sender(s);
		fix_date(s);
		t->hide_bcc = true;
	}
	if (s->conf->rewrites.flags != 0) {
		(void)session_sender_rewritten(s);
		session_rewrite_fields(s);
	}
	for (size_t i = 0; i < t->fixes.len; i++)
		vec_push(&t->seen, t->fixes.p[i]);
	/* They are part of the message now, and no longer of what the ACL under way adds. */
	fx->headers_added = t->msg.headers_added = SV_NULL;
	t->msg.added = t->seen.p;
	t->msg.nadded = t->seen.len;
}

/* ---- writing ---- */

/* remove_header: a name, a pattern with '*', or a regular expression. */
static bool
removes(struct session *s, struct sv pattern, struct sv name)
{
	struct err err = ERR_INIT;
	struct exim_list *l;
	bool yes = false;

	if (sv_chr(pattern, '*') < 0 && (pattern.len == 0 || pattern.p[0] != '^'))
		return (sv_caseeq(pattern, name));
	if (pattern.p[pattern.len - 1] == '*' && sv_chr(pattern, '*') == (ptrdiff_t)pattern.len - 1)
		return (name.len >= pattern.len - 1 && sv_caseeq(sv_sub(name, 0, pattern.len - 1),
		    sv_sub(pattern, 0, pattern.len - 1)));
	if (exim_list_compile(s->cmd, EXIM_LIST_STRING, pattern, NULL, 0, &l, &err) == -1)
		return (false);
	return (exim_match_string(l, &s->env, name, false, &yes, &err) == EXIM_OK && yes);
}

static bool
apply_removals(struct session *s)
{
	struct txn *t = s->txn;
	bool any = false;

	for (size_t k = 0; k < t->fx.remove.len; k++)
		for (size_t i = 0; i < t->headers.n; i++)
			if (!t->gone[i] && removes(s, t->fx.remove.p[k], t->headers.v[i].name))
				t->gone[i] = true;
	for (size_t i = 0; i < t->headers.n && !any; i++)
		any = t->gone[i];
	return (any);
}

int
session_received(struct session *s, struct err *err)
{
	char date[MAIL_DATE_MAX];
	struct sb text = SB_INIT(8192);
	struct exim_message *m = &s->txn->msg;
	struct sv received;
	enum exim_result r;

	if (m->received.p != NULL)
		return (0);
	s->env.msg = m;
	r = exim_expand(exim_main_str(s->conf, EXIM_MAIN_received_header_text), &s->env, &received, err);
	if (r != EXIM_OK) {
		err_prefix(err, "received_header_text");
		return (-1);
	}
	m->received = SV_LIT("");
	if (received.len == 0)
		return (0);
	sb_add(&text, received);
	sb_addf(&text, ";\n\t%s\n", mail_date_format_local(date, m->received_time));
	m->received = arena_sv(s->txn->arena, sb_sv(&text));
	m->received.tainted = true;
	sb_free(&text);
	return (0);
}

static void
put_added(struct txn *t, enum exim_acl_place place, struct sb *out)
{
	for (size_t i = 0; i < t->fx.headers.len; i++)
		if (t->fx.headers.p[i].place == place)
			put_field(out, t->fx.headers.p[i].text);
}

static bool
is_trace(struct sv name)
{
	return (sv_caseeqs(name, "Received"));
}

/* The fields again, without the removed ones, and with what belongs behind the trace fields. */
static void
put_fields(struct txn *t, struct sb *out, const char *base)
{
	size_t trace = 0, rfc = 0;

	while (trace < t->headers.n && is_trace(t->headers.v[trace].name))
		trace++;
	for (rfc = trace; rfc < t->headers.n && sv_casestarts(t->headers.v[rfc].name, "Resent-"); rfc++)
		continue;
	for (size_t i = 0; i <= t->headers.n; i++) {
		if (i == trace)
			put_added(t, EXIM_HDR_AFTER_RECEIVED, out);
		if (i == rfc)
			put_added(t, EXIM_HDR_AT_START_RFC, out);
		if (i < t->headers.n && !t->gone[i] && t->rewritten != NULL && t->rewritten[i].p != NULL)
			put_field(out, t->rewritten[i]);
		else if (i < t->headers.n && !t->gone[i])
			sb_addn(out, base + t->headers.v[i].offset, t->headers.v[i].length);
	}
}

static bool
has_inner_adds(const struct txn *t)
{
	for (size_t i = 0; i < t->fx.headers.len; i++)
		if (t->fx.headers.p[i].place == EXIM_HDR_AFTER_RECEIVED || t->fx.headers.p[i].place == EXIM_HDR_AT_START_RFC)
			return (true);
	return (false);
}

int
session_headers(struct session *s, struct header_parts *h, struct err *err)
{
	struct txn *t = s->txn;
	struct sv content;

	memset(h, 0, sizeof(*h));
	sb_init(&h->top, HEADER_MAX);
	sb_init(&h->fields, 4 * HEADER_MAX);
	sb_init(&h->bottom, HEADER_MAX);
	put_added(t, EXIM_HDR_AT_START, &h->top);
	if (session_received(s, err) == -1 || content_view(&t->content, &content, err) == -1)
		return (-1);
	if (t->msg.received.len > 0)
		put_field(&h->top, t->msg.received);
	if (t->hide_bcc) {
		/* RFC 5322 section 3.6.3: the blind copies' addresses must not be seen. */
		drop(t, "Bcc");
		drop(t, "Resent-Bcc");
	}
	if (apply_removals(s) || has_inner_adds(t) || t->rewritten != NULL) {
		h->edited = true;
		put_fields(t, &h->fields, content.p);
	}
	for (size_t i = 0; i < t->fixes.len; i++)
		put_field(&h->bottom, t->fixes.p[i].text);
	put_added(t, EXIM_HDR_AT_END, &h->bottom);
	if (!t->headers.empty_line)
		sb_addn(&h->bottom, "\r\n", 2);
	if (h->top.overflow || h->fields.overflow || h->bottom.overflow)
		return (err_set(err, ERR_PERM, "5.3.4", "the header of this message is too large"));
	return (0);
}

void
session_headers_free(struct header_parts *h)
{
	sb_free(&h->top);
	sb_free(&h->fields);
	sb_free(&h->bottom);
}
