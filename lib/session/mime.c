/* SPDX-License-Identifier: BSD-2-Clause */
/* acl_smtp_mime: the ACL that is asked of each MIME part (chapter 45.6 of Exim's manual). */
#include <string.h>

#include "mail/mime.h"
#include "session/session_int.h"

#define ANOMALY_DEPTH	3
#define MESSAGES_DEEP	20	/* messages in each other */

static struct sv
lower(struct session *s, struct sv v)
{
	char *p = arena_cstr(s->txn->arena, v);

	for (char *q = p; *q != '\0'; q++)
		*q = sv_lower(*q);
	return (sv_taint(sv_from(p, v.len)));
}

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
packed(struct session *s, struct sv v)
{
	char *p = arena_alloc(s->txn->arena, v.len + 1);
	size_t n = 0;

	for (size_t i = 0; i < v.len; i++)
		if (!sv_isspace(v.p[i]))
			p[n++] = v.p[i];
	return (sv_taint(sv_from(p, n)));
}

static void
set_part(struct session *s, struct sv content, const struct mime_part *root, const struct mime_part *p, int64_t number)
{
	struct exim_acl_state *st = &s->st;
	struct arena *a = s->txn->arena;

	st->mime_part_count = number;
	st->mime_content_type = sv_taint(sv_cstr(arena_fmt(a, SV_FMT "/" SV_FMT, SV_ARG(lower(s, p->type)),
	    SV_ARG(lower(s, p->subtype)))));
	st->mime_boundary = mime_param(&p->params, "boundary");
	st->mime_charset = mime_param(&p->params, "charset");
	st->mime_filename = mime_filename(a, p);
	st->mime_content_disposition = lower(s, p->disposition);
	st->mime_content_description = packed(s, p->description);
	st->mime_content_id = p->id;
	st->mime_content_transfer_encoding = lower(s, p->encoding_text);
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
static enum acl_answer
each_part(struct session *s, struct sv content, const struct mime_part *root, unsigned depth)
{
	enum acl_answer a = ACL_GO;
	int64_t number = 0;

	for (const struct mime_part *p = root; p != NULL && a == ACL_GO; p = next_part(root, p)) {
		set_part(s, content, root, p, number++);
		a = session_acl(s, EXIM_WHERE_MIME, SV_NULL, NULL, NULL);
	}
	for (const struct mime_part *p = root; p != NULL && a == ACL_GO && depth < MESSAGES_DEEP; p = next_part(root, p))
		if (p->kind == MIME_MESSAGE && p->child != NULL)
			a = each_part(s, content, p->child, depth + 1);
	/* The number of parts stays for the ACL of DATA. */
	if (depth == 0)
		s->st.mime_part_count = number - 1;
	return (a);
}

enum acl_answer
session_acl_mime(struct session *s, struct sv content)
{
	enum acl_answer a;

	s->st.mime_part_count = -1;
	if (!session_acl_set(s, EXIM_WHERE_MIME) || mail_headers_get(&s->txn->headers, "Content-Type").p == NULL)
		return (ACL_GO);
	a = each_part(s, content, mime_parse(s->txn->arena, content), 0);
	clear_part(&s->st);
	return (a);
}
