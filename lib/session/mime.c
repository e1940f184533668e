/* SPDX-License-Identifier: BSD-2-Clause */
/* acl_smtp_mime: the ACL that is asked of each MIME part (chapter 45.6 of Exim's manual). */
#include <string.h>

#include "mail/mime.h"
#include "session/session_int.h"

#define ANOMALY_DEPTH	3

static struct sv
lower(struct session *s, struct sv v)
{
	char *p = arena_cstr(s->txn->arena, v);

	for (char *q = p; *q != '\0'; q++)
		*q = sv_lower(*q);
	return (sv_taint(sv_from(p, v.len)));
}

static bool
cover_letter(const struct mime_part *p)
{
	/* The first part of each multipart on the way up, and not behind an attachment. */
	for (; p->parent != NULL; p = p->parent)
		if (p->parent->kind == MIME_MULTIPART && p->parent->child != p)
			return (false);
	return (true);
}

static void
set_part(struct session *s, struct sv content, const struct mime_part *p, int64_t number)
{
	struct exim_acl_state *st = &s->st;
	struct arena *a = s->txn->arena;

	st->mime_part_count = number;
	st->mime_content_type = sv_taint(sv_cstr(arena_fmt(a, SV_FMT "/" SV_FMT, SV_ARG(lower(s, p->type)),
	    SV_ARG(lower(s, p->subtype)))));
	st->mime_boundary = mime_param(&p->params, "boundary");
	st->mime_charset = lower(s, mime_param(&p->params, "charset"));
	st->mime_filename = mime_filename(a, p);
	st->mime_content_disposition = lower(s, p->disposition);
	st->mime_content_description = p->description;
	st->mime_content_id = p->id;
	st->mime_content_transfer_encoding = lower(s, p->encoding_text);
	st->mime_part = sv_taint(sv_sub(content, p->header_start, p->body_end));
	st->mime_body = sv_taint(sv_sub(content, p->body_start, p->body_end));
	st->mime_is_multipart = p->kind == MIME_MULTIPART;
	st->mime_is_rfc822 = p->kind == MIME_MESSAGE;
	st->mime_is_coverletter = cover_letter(p);
	st->mime_content_size = (int64_t)(p->body_end - p->body_start) / 1024;
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
	st->mime_part_count = st->mime_content_size = st->mime_anomaly_level = 0;
}

enum acl_answer
session_acl_mime(struct session *s, struct sv content)
{
	const struct mime_part *root, *p;
	enum acl_answer a = ACL_GO;
	int64_t number = 0;

	if (!session_acl_set(s, EXIM_WHERE_MIME) || mail_headers_get(&s->txn->headers, "MIME-Version").p == NULL)
		return (ACL_GO);
	root = mime_parse(s->txn->arena, content);
	for (p = root; p != NULL && a == ACL_GO; p = mime_next(root, p)) {
		set_part(s, content, p, number++);
		a = session_acl(s, EXIM_WHERE_MIME, SV_NULL, NULL, NULL);
	}
	clear_part(&s->st);
	return (a);
}
