/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A filter's answer between the child that ran it and the router: numbers as 8 bytes, texts as length
 * and bytes.  The child is the user's, so nothing it says is believed beyond its form.
 */
#include <string.h>

#include "base/codec.h"
#include "base/sb.h"
#include "filter/forward.h"

#define NO_TEXT		UINT64_MAX

struct reader {
	struct sv	 rest;
	bool		 bad;
};

static void
put_n(struct sb *out, uint64_t n)
{
	uint8_t b[8];

	put_le64(b, n);
	sb_addn(out, b, sizeof(b));
}

static uint64_t
get_n(struct reader *r)
{
	uint64_t n;

	if (r->rest.len < 8) {
		r->bad = true;
		return (0);
	}
	n = get_le64((const uint8_t *)r->rest.p);
	r->rest = sv_sub(r->rest, 8, r->rest.len);
	return (n);
}

static void
put_sv(struct sb *out, struct sv v)
{
	put_n(out, v.p == NULL ? NO_TEXT : v.len * 2 + (v.tainted ? 1 : 0));
	sb_add(out, v);
}

static struct sv
get_sv(struct reader *r)
{
	uint64_t n = get_n(r);
	struct sv v;

	if (r->bad || n == NO_TEXT)
		return (SV_NULL);
	if (n / 2 > r->rest.len) {
		r->bad = true;
		return (SV_NULL);
	}
	v = sv_sub(r->rest, 0, n / 2);
	v.tainted = (n & 1) != 0;
	r->rest = sv_sub(r->rest, n / 2, r->rest.len);
	return (v);
}

#define MAIL_TEXTS(X)	X(to) X(cc) X(bcc) X(from) X(reply_to) X(subject) X(extra_headers) X(text) X(file) X(log) X(once)

static void
put_mail(struct sb *out, const struct filter_mail *m)
{
#define X(f) put_sv(out, m->f);
	MAIL_TEXTS(X)
#undef X
	put_n(out, (m->vacation ? 1 : 0) | (m->expand ? 2 : 0) | (m->return_message ? 4 : 0) | (m->once_repeat_set ? 8 : 0) |
	    (m->never_mail ? 16 : 0));
	put_n(out, (uint64_t)m->once_repeat);
}

static void
get_mail(struct reader *r, struct filter_mail *m)
{
	uint64_t bits;

#define X(f) m->f = get_sv(r);
	MAIL_TEXTS(X)
#undef X
	bits = get_n(r);
	m->vacation = (bits & 1) != 0;
	m->expand = (bits & 2) != 0;
	m->return_message = (bits & 4) != 0;
	m->once_repeat_set = (bits & 8) != 0;
	m->never_mail = (bits & 16) != 0;
	m->once_repeat = (int64_t)(get_n(r) & INT64_MAX);
}

static void
put_item(struct sb *out, const struct route_filter_item *it)
{
	put_n(out, it->kind);
	put_sv(out, it->text);
	put_n(out, (it->ignore_error ? 1 : 0) | (it->errors_to_set ? 2 : 0) | (it->mode_set ? 4 : 0));
	put_sv(out, it->errors_to);
	put_n(out, it->mode);
	put_n(out, it->forbid);
	put_sv(out, it->thisaddress);
	put_n(out, it->nums == NULL ? 0 : it->nums->n);
	for (unsigned i = 0; it->nums != NULL && i < it->nums->n; i++)
		put_sv(out, it->nums->v[i]);
	put_n(out, it->mail != NULL);
	if (it->mail != NULL)
		put_mail(out, it->mail);
}

static bool
known_kind(uint64_t k)
{
	return (k == ROUTE_TO_TRANSPORT || k == ROUTE_PIPE || k == ROUTE_FILE || k == ROUTE_DIRECTORY || k == ROUTE_REPLY);
}

static void
get_nums(struct reader *r, struct arena *a, struct route_filter_item *it)
{
	uint64_t n = get_n(r);
	struct exim_nums *nums;

	if (n == 0 || n > EXIM_NUMS) {
		r->bad = r->bad || n != 0;
		return;
	}
	nums = arena_zalloc(a, sizeof(*nums));
	nums->n = (unsigned)n;
	for (unsigned i = 0; i < n; i++)
		nums->v[i] = get_sv(r);
	it->nums = nums;
}

static void
get_item(struct reader *r, struct arena *a, unsigned forbid, struct route_filter_item *it)
{
	uint64_t kind = get_n(r), bits;
	struct filter_mail *m;

	memset(it, 0, sizeof(*it));
	r->bad = r->bad || !known_kind(kind);
	it->kind = (enum route_kind)kind;
	it->text = get_sv(r);
	bits = get_n(r);
	it->ignore_error = (bits & 1) != 0;
	it->errors_to_set = (bits & 2) != 0;
	it->mode_set = (bits & 4) != 0;
	it->errors_to = get_sv(r);
	it->mode = (unsigned)(get_n(r) & 07777);
	it->forbid = forbid | (unsigned)get_n(r);
	it->thisaddress = get_sv(r);
	get_nums(r, a, it);
	if (get_n(r) == 1) {
		m = arena_zalloc(a, sizeof(*m));
		get_mail(r, m);
		it->mail = m;
	}
	r->bad = r->bad || (it->kind == ROUTE_REPLY) != (it->mail != NULL) || it->text.p == NULL;
}

void
filter_answer_put(struct sb *out, const struct route_filter *f)
{
	put_n(out, f->end);
	put_n(out, f->syntax);
	put_sv(out, f->why);
	put_n(out, f->n);
	for (size_t i = 0; i < f->n; i++)
		put_item(out, &f->v[i]);
}

bool
filter_answer_get(struct sv bytes, struct route_filter *f)
{
	struct reader r = { .rest = bytes };
	uint64_t end = get_n(&r), n;
	struct route_filter_item *v;

	f->syntax = get_n(&r) != 0;
	f->why = get_sv(&r);
	n = get_n(&r);
	if (r.bad || end > ROUTE_FILTER_BROKEN || n > FILTER_ACTIONS_MAX)
		return (false);
	f->end = (enum route_filter_end)end;
	v = arena_alloc(f->arena, (n + 1) * sizeof(*v));
	for (size_t i = 0; i < n && !r.bad; i++)
		get_item(&r, f->arena, f->forbid, &v[i]);
	f->v = v;
	f->n = n;
	return (!r.bad && r.rest.len == 0);
}
