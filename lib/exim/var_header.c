/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Header fields in expansions: $h_, $bh_, $rh_, $lh_, $message_headers (manual
 * 11.5), and encoded words (RFC 2047).  Line ends are LF for the language, whatever
 * the message has.
 */
#include "exim/var_int.h"

#include "base/codec.h"
#include "mail/charset.h"
#include "mail/header.h"

#define HEADER_MAX	65536		/* of one $h_: the manual's limit */
#define WORD_MAX	75		/* RFC 2047 section 2 */

/* --- walking the fields --- */

struct walk {
	const struct exim_message *m;
	size_t		 i, added;
	bool		 front;		/* our own field was told */
};

/* "Name: body\n" as we wrote it; false when it is none. */
static bool
split_field(struct sv t, struct sv *name, struct sv *body, struct sv *whole)
{
	ptrdiff_t colon = sv_chr(t, ':');

	if (colon <= 0)
		return (false);
	*whole = t;
	*name = sv_trim(sv_sub(t, 0, (size_t)colon));
	*body = sv_sub(t, (size_t)colon + 1, t.len);
	while (body->len > 0 && (body->p[body->len - 1] == '\n' || body->p[body->len - 1] == '\r'))
		body->len--;
	return (true);
}

/* The next field: its name, the text behind the colon without the last line end, and all of it. */
static bool
next_field(struct walk *w, struct sv *name, struct sv *body, struct sv *whole)
{
	const struct mail_headers *h = w->m->headers;

	if (!w->front) {
		w->front = true;
		if (split_field(w->m->received, name, body, whole))
			return (true);
	}
	while (h != NULL && w->i < h->n) {
		const struct mail_header *f = &h->v[w->i++];

		if (f->name.len == 0 || (w->m->headers_gone != NULL && w->m->headers_gone[w->i - 1]))
			continue;
		*name = f->name;
		*body = sv_taint(f->body);
		/* A field that was rewritten stands elsewhere, with its line end behind it. */
		*whole = f->name.p == h->block.p + f->offset ? sv_taint(sv_from(h->block.p + f->offset, f->length)) :
		    sv_taint(sv_from(f->name.p, (size_t)(f->body.p + f->body.len - f->name.p) + 1));
		return (true);
	}
	while (w->added < w->m->nadded)
		if (split_field(w->m->added[w->added++].text, name, body, whole))
			return (true);
	return (false);
}

/* Exim does not find a field whose name stands apart from its colon. */
static bool
is_named(struct sv n, struct sv name)
{
	return (sv_caseeq(n, name) && n.p[n.len] == ':');
}

bool
x_header_exists(struct exim_env *env, struct sv name)
{
	struct sv n, body, whole;
	struct walk w = { .m = env->msg };

	if (env->msg == NULL)
		return (false);
	while (next_field(&w, &n, &body, &whole))
		if (is_named(n, name))
			return (true);
	return (false);
}

static bool
is_address_field(struct sv name)
{
	static const char *const t[] = { "bcc", "cc", "from", "reply-to", "sender", "to", "resent-bcc", "resent-cc",
	    "resent-from", "resent-reply-to", "resent-sender", "resent-to" };

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		if (sv_caseeqs(name, t[i]))
			return (true);
	return (false);
}

/* Add without the CR of line ends; NUL becomes "?". */
static void
add_lf(struct xb *b, struct sv v)
{
	if (sv_chr(v, '\r') < 0 && sv_chr(v, '\0') < 0) {
		xb_add(b, v);
		return;
	}
	b->tainted |= v.tainted;
	for (size_t i = 0; i < v.len; i++)
		if (v.p[i] == '\0')
			xb_addc(b, '?');
		else if (v.p[i] != '\r' || i + 1 == v.len || v.p[i + 1] != '\n')
			xb_addc(b, v.p[i]);
}

/* Everything of one name: raw fields one after the other, lists by colons, else trimmed by newlines. */
static void
gather(struct exim_message *m, struct sv name, enum xheader_kind kind, struct xb *b)
{
	struct sv n, body, whole;
	struct walk w = { .m = m };
	bool first = true;

	while (b->len < HEADER_MAX && next_field(&w, &n, &body, &whole)) {
		if (!is_named(n, name))
			continue;
		/* That there is one at all came with the message, too. */
		b->tainted |= body.tainted;
		if (kind == XH_RAW) {
			add_lf(b, body);
			xb_addc(b, '\n');
			continue;
		}
		if (kind == XH_LIST) {
			struct xb one;

			xb_init(&one, b->a, body.len + 1);
			add_lf(&one, body);
			xb_item(b, xb_sv(&one), ':', &first);
			continue;
		}
		body = sv_trim(body);
		if (body.len == 0)
			continue;
		if (!first)
			xb_adds(b, is_address_field(name) ? ",\n" : "\n");
		first = false;
		add_lf(b, body);
	}
	if (b->len > HEADER_MAX)
		b->len = HEADER_MAX;
}

static struct sv
headers_charset(struct xev *e)
{
	if (e->env->g == NULL || e->env->g->headers_charset.len == 0)
		return (SV_LIT("UTF-8"));
	return (e->env->g->headers_charset);
}

struct sv
x_header_get(struct xev *e, struct sv name, enum xheader_kind kind)
{
	struct sv v;
	struct xb b;

	if (e->env->msg == NULL || (e->env->msg->headers == NULL && e->env->msg->nadded == 0))
		return (SV_LIT(""));
	xb_init(&b, e->env->arena, 128);
	gather(e->env->msg, name, kind, &b);
	v = xb_sv(&b);
	if (kind == XH_RAW || kind == XH_LIST)
		return (v);
	return (x_rfc2047_decode(e, v, e->env->g != NULL && e->env->g->check_rfc2047_length,
	    kind == XH_BASIC ? SV_NULL : headers_charset(e)));
}

X_EVAL(x_header)
{
	*out = x_header_get(e, n->u.hdr.name, n->u.hdr.kind);
	return (EXIM_OK);
}

/* Raw: as received; else each trimmed, joined by newlines. */
static struct sv
all_headers(struct xev *e, bool raw)
{
	struct sv name, body, whole;
	struct walk w = { .m = e->env->msg };
	struct xb b;

	xb_init(&b, e->env->arena, 1024);
	while (!b.over && next_field(&w, &name, &body, &whole)) {
		if (!raw && b.len > 0)
			xb_addc(&b, '\n');
		add_lf(&b, raw ? whole : sv_trim(whole));
	}
	return (xb_sv(&b));
}

XV(xv_message_headers_raw)
{
	*out = e->env->msg == NULL ? SV_LIT("") : all_headers(e, true);
	return (EXIM_OK);
}

XV(xv_message_headers)
{
	*out = SV_LIT("");
	if (e->env->msg != NULL)
		*out = x_rfc2047_decode(e, all_headers(e, false), e->env->g != NULL && e->env->g->check_rfc2047_length,
		    SV_NULL);
	return (EXIM_OK);
}

/* --- RFC 2047 --- */

struct word {
	struct sv	 charset, data;
	char		 encoding;	/* 'q' or 'b' */
	size_t		 start, end;
	size_t		 closed;	/* where the last "?=" that was looked for stands: for later words that begin before it */
};

/* The first "?=" from <from> on; false: there is none.  All calls for one text together look at each byte once. */
static bool
find_end(struct sv v, size_t from, struct word *w)
{
	if (w->closed < from) {
		ptrdiff_t at = sv_find(sv_sub(v, from, v.len), SV_LIT("?="));

		w->closed = at < 0 ? v.len : from + (size_t)at;
	}
	return (w->closed < v.len);
}

/* <w> keeps what it holds from one call to the next; all 0 at first. */
static bool
find_word(struct sv v, size_t from, bool check_length, struct word *w)
{
	for (;; from = w->start + 2) {
		ptrdiff_t at = sv_find(sv_sub(v, from, v.len), SV_LIT("=?"));
		struct sv rest;
		ptrdiff_t q;

		if (at < 0)
			return (false);
		w->start = from + (size_t)at;
		rest = sv_sub(v, w->start + 2, v.len);
		q = sv_chr(rest, '?');
		if (q < 0 || (size_t)q + 2 >= rest.len || rest.p[q + 2] != '?')
			continue;
		w->charset = sv_sub(rest, 0, (size_t)q);
		w->encoding = sv_lower(rest.p[q + 1]);
		rest = sv_sub(rest, (size_t)q + 3, rest.len);
		if (!find_end(v, (size_t)(rest.p - v.p), w))
			return (false);
		if (w->encoding != 'q' && w->encoding != 'b')
			continue;
		w->data = sv_sub(v, (size_t)(rest.p - v.p), w->closed);
		w->end = w->closed + 2;
		if (check_length && w->end - w->start > WORD_MAX)
			continue;
		return (true);
	}
}

static int
hex(char c)
{
	if (sv_isdigit(c))
		return (c - '0');
	c = sv_lower(c);
	return (c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1);
}

static bool
decode_q(struct sv v, struct sb *out)
{
	for (size_t i = 0; i < v.len; i++) {
		char c = v.p[i];

		if (c == '_')
			c = ' ';
		else if (c == '=') {
			if (i + 2 >= v.len || hex(v.p[i + 1]) < 0 || hex(v.p[i + 2]) < 0)
				return (false);
			c = (char)(hex(v.p[i + 1]) * 16 + hex(v.p[i + 2]));
			i += 2;
		} else if (c == ' ' || c == '\t' || c == '\n')
			return (false);
		sb_addc(out, c);
	}
	return (true);
}

static bool
decode_word(const struct word *w, struct sb *out)
{
	if (w->encoding == 'q' ? !decode_q(w->data, out) : !base64_decode(out, w->data))
		return (false);
	for (size_t i = 0; i < out->len; i++)
		if (out->p[i] == '\0')
			out->p[i] = '?';
	return (true);
}

/* Bytes of <charset> into the wanted one; where that cannot be, as they are. */
static void
add_converted(struct xb *b, struct sv bytes, struct sv charset, struct sv want)
{
	struct sb utf8 = SB_INIT(HEADER_MAX * 4), conv = SB_INIT(HEADER_MAX * 4);
	ptrdiff_t star = sv_chr(charset, '*');

	if (star >= 0)
		charset = sv_sub(charset, 0, (size_t)star);
	if (want.len > 0 && !sv_caseeq(charset, want) && mail_charset_to_utf8(&utf8, charset, bytes)) {
		if (sv_caseeqs(want, "utf-8"))
			bytes = sb_sv(&utf8);
		else if (mail_charset_from_utf8(&conv, want, sb_sv(&utf8)))
			bytes = sb_sv(&conv);
	}
	xb_add(b, bytes);
	sb_free(&utf8);
	sb_free(&conv);
}

static bool
only_space(struct sv v)
{
	for (size_t i = 0; i < v.len; i++)
		if (!sv_isspace(v.p[i]))
			return (false);
	return (true);
}

struct sv
x_rfc2047_decode(struct xev *e, struct sv v, bool check_length, struct sv charset)
{
	struct sb bytes = SB_INIT(HEADER_MAX * 4);
	size_t done = 0, from = 0;
	bool after_word = false;
	struct word w = { .start = 0 };
	struct xb b;

	if (sv_find(v, SV_LIT("=?")) < 0)
		return (v);
	xb_init(&b, e->env->arena, v.len + 1);
	b.tainted = v.tainted;
	while (find_word(v, from, check_length, &w)) {
		sb_clear(&bytes);
		if (!decode_word(&w, &bytes)) {
			from = w.start + 2;
			continue;
		}
		/* Blanks between two encoded words vanish. */
		if (!after_word || !only_space(sv_sub(v, done, w.start)))
			xb_add(&b, sv_sub(v, done, w.start));
		add_converted(&b, sb_sv(&bytes), w.charset, charset);
		done = from = w.end;
		after_word = true;
	}
	xb_add(&b, sv_sub(v, done, v.len));
	sb_free(&bytes);
	return (xb_sv(&b));
}
