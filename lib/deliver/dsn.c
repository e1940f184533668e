/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes reports: header, a part for people, a part for programs, the original. */
#include "deliver/dsn.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "mail/date.h"
#include "mail/header.h"
#include "mail/msgid.h"
#include "os/file.h"

#define HEADER_MAX	(1024 * 1024)	/* of the original, that is looked into */
#define TEXTS_MAX	(1024 * 1024)

static const char *const action_names[] = { "failed", "delayed", "delivered", "relayed", "expanded" };

/* Text of others in a line: control bytes become blanks. */
static void
add_clean(struct sb *out, struct sv v)
{
	for (size_t i = 0; i < v.len; i++) {
		unsigned char c = (unsigned char)v.p[i];

		sb_addc(out, c < ' ' || c == 127 ? ' ' : (char)c);
	}
}

/* A text for people behind <what>, indented by four, one line for each of its lines. */
static void
add_indented(struct sb *out, const char *what, struct sv v)
{
	struct sv l;

	for (; sv_next(&v, '\n', &l); what = "") {
		sb_addf(out, "    %s", what);
		add_clean(out, sv_trim(l));
		sb_adds(out, "\r\n");
	}
}

/* Lines of the administrator's, which end in LF; <fields>: an empty one would end the header. */
static void
add_lines(struct sb *out, struct sv v, bool fields)
{
	struct sv l;

	while (v.len > 0 && sv_next(&v, '\n', &l)) {
		if (l.len > 0 && l.p[l.len - 1] == '\r')
			l.len--;
		if (l.len == 0 && fields)
			continue;
		sb_add(out, l);
		sb_adds(out, "\r\n");
	}
}

static void
add_date(struct sb *out, const char *name, int64_t when)
{
	char text[MAIL_DATE_MAX];

	sb_addf(out, "%s%s\r\n", name, mail_date_format_local(text, when));
}

static enum dsn_action
kind_of(const struct dsn *d)
{
	return (d->nrcpts > 0 ? d->rcpts[0].action : DSN_FAILED);
}

/* X-Failed-Recipients: what failed, but for what is not to be named. */
static void
add_failed(struct sb *out, const struct dsn *d)
{
	const char *sep = "X-Failed-Recipients: ";

	for (size_t i = 0; i < d->nrcpts && kind_of(d) == DSN_FAILED; i++) {
		const struct dsn_rcpt *r = &d->rcpts[i];

		if (r->hidden)
			continue;
		sb_adds(out, sep);
		add_clean(out, r->final.len > 0 ? r->final : r->addr);
		sep = ",\r\n  ";
	}
	if (*sep == ',')
		sb_adds(out, "\r\n");
}

static void
add_header(struct sb *out, const struct dsn *d, const struct dsn_words *w, const struct mail_headers *h, const char *boundary)
{
	add_date(out, "Date: ", d->now);
	if (d->from.len > 0) {
		sb_adds(out, "From: ");
		add_clean(out, d->from);
	} else
		sb_addf(out, "From: Mail Delivery System <Mailer-Daemon@" SV_FMT ">", SV_ARG(d->domain));
	sb_adds(out, "\r\nTo: ");
	add_clean(out, d->to);
	sb_adds(out, "\r\n");
	if (d->reply_to.len > 0) {
		sb_adds(out, "Reply-To: ");
		add_clean(out, d->reply_to);
		sb_adds(out, "\r\n");
	}
	add_failed(out, d);
	mail_references(out, h, "\r\n");
	if (d->fields.p != NULL)
		add_lines(out, d->fields, true);
	else {
		sb_adds(out, "Subject: ");
		dsn_words_subject(out, w);
		sb_adds(out, "\r\n");
	}
	sb_addf(out, "Message-Id: <E%s@" SV_FMT ">\r\n", d->id, SV_ARG(d->hostname));
	sb_addf(out, "Auto-Submitted: auto-%s\r\nMIME-Version: 1.0\r\n", kind_of(d) >= DSN_DELIVERED ? "generated" : "replied");
	if (d->utf8)
		sb_adds(out, "Content-Transfer-Encoding: 8bit\r\n");
	sb_addf(out, "Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"%s\"\r\n\r\n", boundary);
}

/* The address that did not work; below it the one it comes from, and why. */
static void
add_who(struct sb *out, const struct dsn_rcpt *r)
{
	sb_adds(out, "\r\n  ");
	if (r->hidden)
		sb_adds(out, "an undisclosed address");
	else
		add_clean(out, r->final.len > 0 ? r->final : r->addr);
	if (r->final.len > 0 && !sv_eq(r->final, r->addr)) {
		sb_adds(out, "\r\n    (generated from ");
		add_clean(out, r->addr);
		sb_addc(out, ')');
	}
	if (r->action == DSN_RELAYED)
		sb_adds(out, " (relayed to non-DSN-aware mailer)");
	sb_adds(out, "\r\n");
	if (!r->hidden)
		add_indented(out, r->action == DSN_DELAYED ? "Delay reason: " : "", r->text);
}

static void
add_people(struct sb *out, const struct dsn *d, const struct dsn_words *w)
{
	struct sb own = SB_INIT(TEXTS_MAX);

	if (d->opening.p != NULL) {
		add_lines(out, d->opening, false);
	} else {
		dsn_words_opening(&own, w);
		add_lines(out, sb_sv(&own), false);
	}
	for (size_t i = 0; i < d->nrcpts; i++)
		add_who(out, &d->rcpts[i]);
	sb_adds(out, "\r\n");
	sb_free(&own);
	if (d->closing.p != NULL) {
		add_lines(out, d->closing, false);
	} else {
		dsn_words_closing(&own, w);
		add_lines(out, sb_sv(&own), false);
	}
	sb_free(&own);
}

static void
add_status(struct sb *out, const struct dsn *d)
{
	sb_adds(out, "Reporting-MTA: dns; ");
	sb_add(out, d->hostname);
	sb_adds(out, "\r\n");
	if (d->envid.len > 0) {
		sb_adds(out, "Original-Envelope-Id: ");
		add_clean(out, d->envid);
		sb_adds(out, "\r\n");
	}
	if (d->arrival > 0)
		add_date(out, "Arrival-Date: ", d->arrival);
	for (size_t i = 0; i < d->nrcpts; i++) {
		const struct dsn_rcpt *r = &d->rcpts[i];
		struct sv final = r->final.len > 0 && !r->hidden ? r->final : r->addr;

		sb_adds(out, "\r\n");
		if (r->orcpt.len > 0) {
			sb_adds(out, "Original-Recipient: ");
			add_clean(out, r->orcpt);
			sb_adds(out, "\r\n");
		}
		sb_addf(out, "Final-Recipient: %s; ", d->utf8 ? "utf-8" : "rfc822");
		add_clean(out, final);
		sb_addf(out, "\r\nAction: %s\r\nStatus: %s\r\n", action_names[r->action],
		    r->status[0] != '\0' ? r->status : r->action == DSN_FAILED ? "5.0.0" : r->action == DSN_DELAYED ?
		    "4.0.0" : "2.0.0");
		if (r->remote_mta.len > 0) {
			sb_adds(out, "Remote-MTA: dns; ");
			add_clean(out, r->remote_mta);
			sb_adds(out, "\r\n");
		}
		if (r->diagnostic.len > 0 && !r->hidden) {
			sb_adds(out, "Diagnostic-Code: smtp; ");
			add_clean(out, r->diagnostic);
			sb_adds(out, "\r\n");
		}
		if (r->last_attempt > 0)
			add_date(out, "Last-Attempt-Date: ", r->last_attempt);
		if (r->retry_until > 0)
			add_date(out, "Will-Retry-Until: ", r->retry_until);
	}
	sb_adds(out, "\r\n");
}

static int
add_original(struct sb *out, const struct dsn *d, struct err *err)
{
	bool full = d->full && (d->limit == 0 || d->len <= d->limit);
	uint64_t n = full ? d->len : d->header_len;
	char *room;

	/* A huge header is not worth returning whole either. */
	if (!full && d->limit > 0 && n > d->limit)
		n = d->limit;
	sb_addf(out, "Content-Type: %s\r\n%s\r\n", full ? (d->utf8 ? "message/global" : "message/rfc822") :
	    d->utf8 ? "message/global-headers" : "text/rfc822-headers",
	    d->limited ? "X-Exim-DSN-Information: Due to administrative limits only headers are returned\r\n" : "");
	room = sb_room(out, (size_t)n);
	if (room == NULL)
		return (err_set(err, ERR_PERM, "5.3.4", "the report is too large"));
	if (os_pread_full(d->fd, room, (size_t)n, (off_t)d->off) != (ssize_t)n)
		return (err_sys(err, "read the message that the report is about"));
	sb_took(out, (size_t)n);
	sb_adds(out, "\r\n");
	return (0);
}

/* The header of the original; what cannot be read shows when it is returned. */
static void
read_header(const struct dsn *d, struct arena *a, struct mail_headers *h)
{
	size_t n = d->header_len < HEADER_MAX ? (size_t)d->header_len : HEADER_MAX;
	char *p = arena_alloc(a, n + 1);
	ssize_t got = os_pread_full(d->fd, p, n, (off_t)d->off);

	mail_headers_parse(h, a, sv_taint(sv_from(p, got > 0 ? (size_t)got : 0)), 0);
}

int
dsn_build(struct sb *out, const struct dsn *d, uint64_t *header_len, struct err *err)
{
	size_t start = out->len;
	struct arena *a = arena_new(0);
	struct dsn_words w = { .action = kind_of(d), .to = d->to, .sender = d->sender, .notice = d->notice, .id = d->original_id,
	    .hostname = d->hostname, .delay = d->delay, .many = d->nrcpts > 1 };
	struct mail_headers h;
	char boundary[64];

	/* The id is nowhere else as a boundary: "=_" cannot stand in quoted-printable or base64 text. */
	(void)snprintf(boundary, sizeof(boundary), "=_%s", d->id);
	read_header(d, a, &h);
	w.subject = mail_headers_get(&h, "Subject");
	w.date = mail_headers_get(&h, "Date");
	add_header(out, d, &w, &h, boundary);
	if (header_len != NULL)
		*header_len = out->len - start;
	sb_addf(out, "--%s\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n", boundary);
	add_people(out, d, &w);
	arena_free(&a);
	sb_addf(out, "--%s\r\nContent-Type: %s\r\n\r\n", boundary,
	    d->utf8 ? "message/global-delivery-status" : "message/delivery-status");
	add_status(out, d);
	if (!d->bare) {
		sb_addf(out, "--%s\r\n", boundary);
		if (add_original(out, d, err) == -1)
			return (-1);
	}
	sb_addf(out, "--%s--\r\n", boundary);
	if (out->overflow)
		return (err_set(err, ERR_PERM, "5.3.4", "the report is too large"));
	return (0);
}
