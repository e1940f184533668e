/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a user's rules asked for when they ended: folders of the store, and copies to other people.  The child
 * is the user's, so only his own mailboxes and new messages in the queue come of it.
 *
 * A copy has an id made of the message, the recipient and the address it goes to.  It is in queue/ with that id before it
 * may be sent, and the id is on disk as settled before its file can be gone: whenever the rules run again for the
 * same message, after a crash or a deferral, that copy is passed over.
 */
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "mail/address.h"
#include "mail/date.h"
#include "os/file.h"
#include "os/shared.h"
#include "store/store.h"
#include "transport/transport.h"
#include "vqueued_int.h"

#define ADDR_FLAGS	(MAIL_ADDR_UTF8 | MAIL_ADDR_BARE | MAIL_ADDR_LITERAL | MAIL_ADDR_8BIT)
#define RCPTS_MAX	1000		/* of one action */
#define HEAD_MAX	((int64_t)256 * 1024)	/* of a text in a file: its header is looked for so far */

struct wish {
	char		 what;		/* 'K' inbox, 'S' folder, 'F' addresses */
	char		 how;		/* '-' as it came, 'H' another header, 'T' another text, 't' another that lies in a file */
	struct sv	 to, content;
	int64_t		 off, len;	/* 't': there */
};

/* See lib/transport/exec_procmail.c. */
static bool
read_wish(struct sv v, struct wish *w)
{
	ptrdiff_t colon = sv_chr(v, ':');
	int64_t n;

	if (v.len < 4 || colon < 3 || !num_parse(sv_sub(v, 2, (size_t)colon), 0, 65535, &n) || (size_t)n + (size_t)colon + 1 > v.len)
		return (false);
	w->what = v.p[0];
	w->how = v.p[1];
	w->to = sv_sub(v, (size_t)colon + 1, (size_t)colon + 1 + (size_t)n);
	w->content = sv_sub(v, (size_t)colon + 1 + (size_t)n, v.len);
	if (w->how == 't') {
		struct sv rest = w->content, off;

		return (strchr("KSF", w->what) != NULL && sv_next(&rest, ' ', &off) && num_parse(off, 0, INT64_MAX / 2, &w->off) &&
		    num_parse(rest, 0, INT64_MAX / 2, &w->len));
	}
	return (strchr("KSF", w->what) != NULL && strchr("-HT", w->how) != NULL);
}

static struct sv
crlf(struct arena *a, struct sv text)
{
	struct sb out = SB_INIT(text.len * 2 + 2);
	struct sv r;

	for (size_t i = 0; i < text.len; i++) {
		if (text.p[i] == '\n' && (i == 0 || text.p[i - 1] != '\r'))
			sb_addc(&out, '\r');
		sb_addc(&out, text.p[i]);
	}
	r = arena_sv(a, sb_sv(&out));
	sb_free(&out);
	return (r);
}

/* ---- into the store ---- */

/* What stands in front of the content, and which part of it: unchanged messages keep their own header where it is. */
static void
content(const struct handing *h, const struct wish *w, struct dlv *d)
{
	struct arena *a = d->m->arena;
	size_t own = h->original.len;

	if (w->how == '-' && h->header.len >= own && sv_eq(sv_sub(h->header, h->header.len - own, h->header.len), h->original)) {
		d->prefix = arena_sv(a, sv_sub(h->header, 0, h->header.len - own));
		d->off = h->body_off - own;
		d->len = h->body_len + own;
		return;
	}
	d->prefix = w->how == 'H' ? crlf(a, w->content) : arena_sv(a, h->header);
	d->off = h->body_off;
	d->len = h->body_len;
}

/* Into the store as a delivery of its own; false where the header is too long for that. */
static bool
store(struct handing *h, const struct wish *w, size_t n, struct dlv **out)
{
	struct arena *a = h->d->m->arena;
	char name[STORE_NAME_MAX + 1];
	struct err err = ERR_INIT;
	struct dlv *d;
	bool inbox = w->what == 'K' || sv_caseeqs(w->to, "INBOX");

	if (w->how == 'T' || w->how == 't' || store_name_inbox(h->account, name, &err) == -1)
		return (false);
	d = arena_zalloc(a, sizeof(*d));
	*d = *h->d;
	content(h, w, d);
	if (d->prefix.len > STORE_PREFIX_MAX)
		return (false);
	d->next = NULL;
	d->followers = NULL;
	d->to = STORE_TO_MAILBOX;
	d->dflags = STORE_D_CREATE;
	d->user = arena_sv(a, h->account);
	d->mailbox = sv_cstr(inbox ? arena_str(a, name) : arena_fmt(a, "%s." SV_FMT, name, SV_ARG(w->to)));
	d->as = sv_cstr(inbox ? arena_fmt(a, SV_FMT, SV_ARG(h->account)) :
	    arena_fmt(a, SV_FMT "." SV_FMT, SV_ARG(h->account), SV_ARG(w->to)));
	if (n > 0)
		d->child = spool_child("procmail", sv_cstr(arena_fmt(a, "%zu:" SV_FMT ":" SV_FMT, n, SV_ARG(d->mailbox),
		    SV_ARG(h->d->rd->addr->unique))));
	*out = d;
	return (true);
}

/* ---- to other people ---- */

static int
recipients(struct handing *h, const struct wish *w, struct spool_qfile *q, struct err *err)
{
	struct arena *a = q->arena;
	struct mail_addrlist l;
	struct sv list = w->to;

	if (w->what != 'F')
		list = sv_cstr(arena_fmt(a, SV_FMT ".%.*s", SV_ARG(h->account), w->what == 'K' ? 5 : (int)w->to.len,
		    w->what == 'K' ? "INBOX" : w->to.p));
	/* The gate of the folder is for others. */
	if (w->what != 'F') {
		struct spool_var *v = arena_zalloc(a, sizeof(*v));

		v->name = SV_LIT("m_folder_of");
		v->value = arena_sv(a, h->account);
		q->env.vars = v;
		q->env.nvars = 1;
	}
	mail_addrlist_read(list, a, &l);
	if (l.n == 0 || l.n > RCPTS_MAX)
		return (err_set(err, ERR_PERM, "5.1.3", "no address in \"" SV_FMT "\"", SV_ARG(list)));
	q->env.rcpts = arena_zalloc(a, l.n * sizeof(*q->env.rcpts));
	for (size_t i = 0; i < l.n; i++) {
		struct sb sb = SB_INIT(2 * MAIL_ADDRESS_MAX);

		if (l.v[i].item != MAIL_ITEM_ADDRESS)
			continue;
		mail_address_put(&sb, &l.v[i]);
		if (l.v[i].domain.len == 0)
			sb_addf(&sb, "@" SV_FMT, SV_ARG(h->vq->g.qualify_recipient));
		q->env.rcpts[q->env.nrcpts].addr = arena_sv(a, sb_sv(&sb));
		q->env.rcpts[q->env.nrcpts++].orcpt = SV_LIT("");
		sb_free(&sb);
	}
	return (0);
}

/* How often was <w> asked for before? */
static size_t
same_before(const struct transport_list *actions, size_t i, const struct wish *w)
{
	size_t n = 0;
	struct wish o;

	for (size_t k = 0; k < i; k++)
		n += read_wish(actions->v[k], &o) && o.what == w->what && sv_eq(o.to, w->to);
	return (n);
}

static uint64_t
copy_id(const struct handing *h, const struct wish *w, size_t nth)
{
	struct arena *a = arena_new(0);
	uint64_t id = spool_child("copy", sv_cstr(arena_fmt(a, "%zu:%c:" SV_FMT ":" SV_FMT, nth, w->what,
	    SV_ARG(h->d->rd->addr->unique), SV_ARG(w->to))));

	arena_free(&a);
	return (id);
}

/* What it begins with, and where the rest lies. */
static int
new_text(const struct handing *h, const struct wish *w, struct arena *a, struct sv *text, struct spool_content *c, struct err *err)
{
	size_t n = w->len < HEAD_MAX ? (size_t)w->len : HEAD_MAX;
	char *p;

	c->fd = w->how == 'T' ? -1 : h->fd;
	c->off = w->how == 'T' ? 0 : (int64_t)h->body_off;
	c->len = w->how == 'T' ? 0 : (int64_t)h->body_len;
	if (w->how != 't') {
		*text = w->how == '-' ? h->header : crlf(a, w->content);
		return (0);
	}
	p = arena_alloc(a, n + 1);
	/* The user's process made it. */
	if (h->changed == -1 || os_sealed_size(h->changed) < w->off + w->len ||
	    os_pread_full(h->changed, p, n, (off_t)w->off) != (ssize_t)n)
		return (err_set(err, ERR_TEMP, "4.3.0", "malformed answer of the user's process"));
	*text = sv_from(p, n);
	c->fd = h->changed;
	c->off = w->off + (int64_t)n;
	c->len = w->len - (int64_t)n;
	return (0);
}

/* A new message in queue/: a copy to others, or one whose text was changed. */
static int
forward(struct handing *h, const struct wish *w, uint64_t id, struct err *err)
{
	const struct msg *m = h->d->m;
	struct spool_qfile *q = spool_qfile_new();
	struct arena *a = q->arena;
	struct sv text, host = h->vq->g.primary_hostname, end = SV_LIT("\r\n\r\n");
	struct spool_content c = { .niov = 2 };
	struct sb head = SB_INIT(8192);
	char date[MAIL_DATE_MAX];
	struct iovec iov[2];
	ptrdiff_t at;
	int rc;

	if (new_text(h, w, a, &text, &c, err) == -1) {
		spool_qfile_free(&q);
		return (-1);
	}
	spool_envelope_init(&q->env);
	q->env.queue = m->env.queue;
	q->env.flags = SPOOL_LOCAL;
	q->env.protocol = SV_LIT("local");
	q->env.ident = arena_sv(a, h->account);
	q->env.parent = sv_from(m->env.id, SPOOL_ID_LEN);
	q->env.parent_rcpts = reported_about(m, a, h->d->rcpt, id);
	q->env.sender = arena_sv(a, m->env.sender);
	q->env.message_id = arena_sv(a, m->env.message_id);
	q->env.received_count = m->env.received_count + 1;
	q->env.body_lines = m->env.body_lines;
	sb_addf(&head, "Received: from " SV_FMT " by " SV_FMT " with local\r\n\tid %s;\r\n\t%s\r\n", SV_ARG(h->account), SV_ARG(host),
	    q->env.id, mail_date_format_local(date, now_s()));
	iov[0] = (struct iovec){ head.p, head.len };
	iov[1] = (struct iovec){ (void *)(uintptr_t)text.p, text.len };
	c.iov = iov;
	at = sv_find(text, end);
	q->env.size = head.len + text.len + (uint64_t)c.len;
	q->env.header_size = at < 0 ? head.len + text.len : head.len + (size_t)at + end.len;
	rc = recipients(h, w, q, err);
	if (rc == 0)
		rc = queue_inject(h->vq, q, &c, false, err);
	if (rc == 0) {
		log_injected(h->vq, &q->env);
		record_made(h->d->m, h->d->rcpt, id, q->env.id);
	}
	sb_free(&head);
	spool_qfile_free(&q);
	return (rc);
}

/* ---- all of it ---- */

/* Rules that send to themselves come around until a message has been received too often. */
static bool
looping(const struct handing *h)
{
	int64_t max = exim_main_int(h->vq->conf, EXIM_MAIN_received_headers_max);

	return (max > 0 && (int64_t)h->d->m->env.received_count > max);
}

int
procmail_wishes(struct handing *h, const struct transport_list *actions, struct dlv **stores, struct err *err)
{
	struct dlv **last = stores, *d;
	size_t n = 0;

	*stores = NULL;
	for (size_t i = 0; i < actions->n; i++) {
		struct wish w;
		uint64_t id;

		if (!read_wish(actions->v[i], &w))
			return (err_set(err, ERR_TEMP, "4.3.0", "malformed answer of the user's process"));
		if (w.what != 'F' && store(h, &w, n, &d)) {
			*last = d;
			last = &d->next;
			n++;
			continue;
		}
		if (looping(h))
			return (err_set(err, ERR_PERM, "5.4.6", "too many \"Received\" headers - suspected mail loop"));
		id = copy_id(h, &w, same_before(actions, i, &w));
		if (!childset_has(&h->d->m->settled, id) && forward(h, &w, id, err) == -1)
			return (-1);
	}
	return (0);
}
