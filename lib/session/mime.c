/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * acl_smtp_mime and acl_not_smtp_mime: the ACL that is asked of each MIME part (chapter 45.6 of Exim's manual).  Who receives
 * messages without a session walks the parts by session_mime_each too.
 */
#include <string.h>

#include "mail/mime.h"
#include "session/mime.h"
#include "session/session_int.h"

#define ANOMALY_DEPTH	3
#define MESSAGES_DEEP	20	/* messages in each other */

struct walk {
	struct exim_acl_state *st;
	struct arena	*a;
	struct sv	 content;
	int		(*fn)(void *arg);
	void		*arg;
};

/* A cover letter: the whole, all alternatives and relations of one, and the first part of another multipart that is one. */
static bool
cover_letter(const struct mime_part *root, const struct mime_part *p)
{
	for (; p != root && p->parent != NULL; p = p->parent)
		if (!sv_caseeqs(p->parent->subtype, "alternative") && !sv_caseeqs(p->parent->subtype, "related") &&
		    p->parent->child != p)
			return (false);
	return (true);
}

/* Without the blanks, as Exim has it. */
static struct sv
packed(struct arena *a, struct sv v)
{
	char *p = arena_alloc(a, v.len + 1);
	size_t n = 0;

	for (size_t i = 0; i < v.len; i++)
		if (!sv_isspace(v.p[i]))
			p[n++] = v.p[i];
	return (sv_taint(sv_from(p, n)));
}

static void
set_part(const struct walk *w, const struct mime_part *root, const struct mime_part *p, int64_t number)
{
	struct exim_acl_state *st = w->st;
	struct sv content = w->content;
	struct arena *a = w->a;

	st->mime_part_count = number;
	/* What a part is by default stands in no variable. */
	st->mime_content_type = !p->type_given ? SV_NULL :
	    sv_taint(sv_cstr(arena_fmt(a, SV_FMT "/" SV_FMT, SV_ARG(arena_lower(a, p->type)),
	    SV_ARG(arena_lower(a, p->subtype)))));
	st->mime_boundary = mime_param(&p->params, "boundary");
	st->mime_charset = mime_param(&p->params, "charset");
	st->mime_filename = mime_filename(a, p);
	st->mime_content_disposition = sv_taint(arena_lower(a, p->disposition));
	st->mime_content_description = packed(a, p->description);
	st->mime_content_id = p->id;
	st->mime_content_transfer_encoding = sv_taint(arena_lower(a, p->encoding_text));
	st->mime_part = sv_taint(sv_sub(content, p->header_start, p->body_end));
	st->mime_body = sv_taint(sv_sub(content, p->body_start, p->body_end));
	st->mime_is_multipart = p->kind == MIME_MULTIPART;
	st->mime_is_rfc822 = root->parent != NULL;
	st->mime_is_coverletter = cover_letter(root, p);
	st->mime_content_size = 0;
	st->mime_decoded_filename = SV_NULL;
	st->mime_anomaly_level = p->cut ? ANOMALY_DEPTH : 0;
	st->mime_anomaly_text = p->cut ? SV_LIT("too many nested parts") : SV_NULL;
}

static void
clear_part(struct exim_acl_state *st)
{
	st->mime_content_type = st->mime_boundary = st->mime_charset = st->mime_filename = st->mime_content_disposition = SV_NULL;
	st->mime_content_description = st->mime_content_id = st->mime_content_transfer_encoding = SV_NULL;
	st->mime_anomaly_text = st->mime_decoded_filename = st->mime_part = st->mime_body = SV_NULL;
	st->mime_is_multipart = st->mime_is_rfc822 = st->mime_is_coverletter = false;
	st->mime_content_size = st->mime_anomaly_level = 0;
}

/* The next part of the same message: what is within attached messages comes later. */
static const struct mime_part *
next_part(const struct mime_part *root, const struct mime_part *p)
{
	if (p->kind == MIME_MULTIPART && p->child != NULL)
		return (p->child);
	for (; p != root; p = p->parent)
		if (p->next != NULL)
			return (p->next);
	return (NULL);
}

/* The parts of a message, then those of the messages that are attached to it. */
static int
each_part(const struct walk *w, const struct mime_part *root, unsigned depth)
{
	int rc = 0;
	int64_t number = 0;

	for (const struct mime_part *p = root; p != NULL && rc == 0; p = next_part(root, p)) {
		set_part(w, root, p, number++);
		rc = w->fn(w->arg);
	}
	for (const struct mime_part *p = root; p != NULL && rc == 0 && depth < MESSAGES_DEEP; p = next_part(root, p))
		if (p->kind == MIME_MESSAGE && p->child != NULL)
			rc = each_part(w, p->child, depth + 1);
	/* The number of parts stays for the ACL of DATA. */
	if (depth == 0)
		w->st->mime_part_count = number - 1;
	return (rc);
}

int
session_mime_each(struct exim_acl_state *st, struct arena *a, const struct mail_headers *h, struct sv content, int (*fn)(void *arg),
    void *arg)
{
	struct walk w = { st, a, content, fn, arg };
	int rc;

	st->mime_part_count = -1;
	if (fn == NULL || mail_headers_get(h, "Content-Type").p == NULL)
		return (0);
	rc = each_part(&w, mime_parse(a, content), 0);
	clear_part(st);
	return (rc);
}

static int
ask_smtp(void *arg)
{
	return ((int)session_acl(arg, EXIM_WHERE_MIME, SV_NULL, NULL, NULL));
}

static int
ask_not_smtp(void *arg)
{
	return ((int)session_acl(arg, EXIM_WHERE_NOTSMTP_MIME, SV_NULL, NULL, NULL));
}

enum acl_answer
session_acl_mime(struct session *s, enum exim_acl_where where, struct sv content)
{
	return ((enum acl_answer)session_mime_each(&s->st, s->txn->arena, &s->txn->headers, content, !session_acl_set(s, where) ? NULL :
	    where == EXIM_WHERE_MIME ? ask_smtp : ask_not_smtp, s));
}
