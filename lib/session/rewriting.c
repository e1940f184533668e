/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rewrite section (chapter 31 of Exim's manual) in a session.  ACLs see envelope addresses as they were given; what
 * is verified is the rewritten address, and a sender that was verified stays rewritten.  Before the ACLs of the content
 * run, the whole envelope and the fields of the header are rewritten.
 */
#include <string.h>

#include "base/sb.h"
#include "session/session_int.h"

/* Fields with addresses, and the flag of the rules that are for them. */
static unsigned
field_flag(struct sv name)
{
	static const struct { const char *name; unsigned flag; } kinds[] = {
		{ "from", EXIM_RW_f }, { "to", EXIM_RW_t }, { "cc", EXIM_RW_c }, { "bcc", EXIM_RW_b }, { "reply-to", EXIM_RW_r },
		{ "sender", EXIM_RW_s },
	};

	if (sv_casestarts(name, "resent-"))
		name = sv_sub(name, 7, name.len);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (sv_caseeqs(name, kinds[i].name))
			return (kinds[i].flag);
	return (0);
}

struct sv
session_rewritten(struct session *s, struct sv addr, bool sender)
{
	unsigned where = sender ? EXIM_RW_F : EXIM_RW_T;
	struct sv out;

	if ((s->conf->rewrites.flags & where) == 0 || addr.len == 0)
		return (addr);
	s->env.msg = session_msg(s);
	/* What goes wrong is told in the log. */
	if (exim_rewrite_address(&s->conf->rewrites, &s->env, where, addr, &out, NULL, NULL) != EXIM_OK || sv_eq(out, addr))
		return (addr);
	return (sv_taint(out));
}

struct sv
session_sender_rewritten(struct session *s)
{
	struct txn *t = s->txn;
	struct sv out;

	/* Once: but who was put in his place since is another. */
	if (t->sender_done.p != NULL && sv_eq(t->sender_done, t->msg.sender))
		return (t->msg.sender);
	t->sender_given = t->msg.sender;
	out = session_rewritten(s, t->msg.sender, true);
	if (!sv_eq(out, t->msg.sender))
		t->msg.sender = arena_sv(t->arena, out);
	t->sender_done = t->msg.sender;
	return (t->msg.sender);
}

/* The body of field <i>, or of a field that was added, as rules make it; p NULL: they leave it. */
static struct sv
field_body(struct session *s, struct sv name, struct sv body)
{
	unsigned flag = field_flag(name);
	struct err err = ERR_INIT;
	bool changed = false;
	struct sv out;

	if ((s->conf->rewrites.flags & flag) == 0 ||
	    exim_rewrite_header(&s->conf->rewrites, &s->env, flag, body, &out, &changed, &err) != EXIM_OK || !changed)
		return (SV_NULL);
	return (arena_sv(s->txn->arena, sv_taint(sv_trim(out))));
}

struct sv
session_verified_sender(struct session *s)
{
	struct sv out = session_sender_rewritten(s);

	s->txn->sender_checked = true;
	return (out);
}

struct sv
session_shown_sender(const struct session *s)
{
	const struct txn *t = s->txn;

	if (t == NULL)
		return (s->nomsg.sender);
	return (t->sender_checked && t->sender_done.p != NULL && sv_eq(t->sender_done, t->msg.sender) ? t->sender_given : t->msg.sender);
}

struct sv
session_given_sender(const struct session *s)
{
	const struct txn *t = s->txn;

	return (t->sender_done.p != NULL && sv_eq(t->sender_done, t->msg.sender) ? t->sender_given : t->msg.sender);
}

void
session_rewrite_envelope(struct session *s)
{
	struct txn *t = s->txn;

	if ((s->conf->rewrites.flags & EXIM_RW_ENVELOPE) == 0)
		return;
	s->env.msg = session_msg(s);
	for (size_t i = 0; i < t->rcpts.len && !t->rcpts_rewritten; i++) {
		struct sv to = session_rewritten(s, t->rcpts.p[i].addr, false);

		vec_push(&t->rcpts_given, t->rcpts.p[i].addr);
		if (!sv_eq(to, t->rcpts.p[i].addr))
			t->rcpts.p[i].addr = t->rcpt_addrs.p[i] = arena_sv(t->arena, to);
	}
	t->rcpts_rewritten = true;
	(void)session_sender_rewritten(s);
}

void
session_rewrite_fields(struct session *s)
{
	struct txn *t = s->txn;
	struct mail_header *own = NULL;

	if ((s->conf->rewrites.flags & EXIM_RW_HEADERS) == 0)
		return;
	s->env.msg = session_msg(s);
	for (size_t i = 0; i < t->headers.n; i++) {
		struct sv body = t->gone[i] ? SV_NULL : field_body(s, t->headers.v[i].name, t->headers.v[i].body), text;

		if (body.p == NULL)
			continue;
		if (own == NULL) {
			t->rewritten = arena_zalloc(t->arena, t->headers.n * sizeof(*t->rewritten));
			t->headers.v = own = arena_dup(t->arena, t->headers.v, t->headers.n * sizeof(*own));
		}
		text = sv_taint(sv_cstr(arena_fmt(t->arena, SV_FMT ": " SV_FMT "\n", SV_ARG(own[i].name), SV_ARG(body))));
		t->rewritten[i] = text;
		/* Name and body stand in one text, as they do in the message. */
		own[i].name = sv_sub(text, 0, own[i].name.len);
		own[i].body = sv_sub(text, own[i].name.len + 1, text.len - 1);
	}
	for (size_t i = 0; i < t->fixes.len; i++) {
		struct sv text = t->fixes.p[i].text, body;
		ptrdiff_t colon = sv_chr(text, ':');

		if (colon < 0 || (body = field_body(s, sv_sub(text, 0, (size_t)colon), sv_sub(text, (size_t)colon + 1, text.len))).p == NULL)
			continue;
		text = sv_sub(text, 0, (size_t)colon);
		t->fixes.p[i].text = sv_taint(sv_cstr(arena_fmt(t->arena, SV_FMT ": " SV_FMT "\n", SV_ARG(text), SV_ARG(body))));
	}
}
