/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * DATA as a state machine over pieces of any length.  Lines are looked through by
 * memchr; single bytes count only at line ends and for the counters.
 */
#include <string.h>

#include "base/sb.h"
#include "smtp/data.h"

struct feed {
	struct smtp_data *d;
	void		(*sink)(void *arg, struct sv piece);
	void		*arg;
};

void
smtp_data_init(struct smtp_data *d, unsigned flags)
{
	memset(d, 0, sizeof(*d));
	d->flags = flags;
	d->state = SMTP_DATA_LINE_START;
	d->in_header = true;
}

bool
smtp_data_done(const struct smtp_data *d)
{
	return (d->state == SMTP_DATA_DONE);
}

static void
put(struct feed *f, const char *p, size_t n)
{
	if (n == 0)
		return;
	f->d->size += n;
	f->sink(f->arg, sv_taint(sv_from(p, n)));
}

/* <bare>: by an LF alone.  A line that is one dot and has a bare LF on either side is what smugglers send. */
static void
line_ended(struct smtp_data *d, bool bare)
{
	if (d->line == 1 && d->first == '.' && (bare || d->after_bare))
		d->fake_ends++;
	d->after_bare = bare;
	if (d->line == 0)
		d->in_header = false;
	if (d->line > d->longest)
		d->longest = d->line;
	d->line = 0;
	d->lines++;
}

/* NULs and bytes above 127 of a run without line ends. */
static void
count_run(struct smtp_data *d, const char *p, size_t n)
{
	uint64_t high = 0, w;
	size_t i = 0;

	if (d->line == 0 && n > 0)
		d->first = p[0];
	d->line += n;
	for (; i + sizeof(w) <= n; i += sizeof(w)) {
		memcpy(&w, p + i, sizeof(w));
		high |= w;
	}
	for (; i < n; i++)
		high |= (unsigned char)p[i] & 0x80;
	if ((high & UINT64_C(0x8080808080808080)) != 0)
		d->high++;
	for (const char *q = p; (q = memchr(q, '\0', n - (size_t)(q - p))) != NULL; q++)
		d->nuls++;
}

/* A run of a line's bytes without CR and LF, then bare CRs within: all but line ends. */
static void
put_text(struct feed *f, const char *p, size_t n)
{
	struct smtp_data *d = f->d;
	const char *cr;

	count_run(d, p, n);
	while (n > 0 && (cr = memchr(p, '\r', n)) != NULL) {
		size_t k = (size_t)(cr - p);

		d->bare_cr++;
		put(f, p, k);
		put(f, (d->flags & SMTP_DATA_FIX_CR) != 0 ? " " : "\r", 1);
		p += k + 1;
		n -= k + 1;
	}
	put(f, p, n);
}

/* A CR was held back from the piece before, and what follows is no LF. */
static void
lone_cr(struct feed *f)
{
	f->d->bare_cr++;
	f->d->line++;
	put(f, (f->d->flags & SMTP_DATA_FIX_CR) != 0 ? " " : "\r", 1);
}

/* The LF of a line that has no CR before it. */
static void
bare_lf(struct feed *f)
{
	struct smtp_data *d = f->d;

	if ((d->flags & SMTP_DATA_LF_LINES) == 0) {
		d->bare_lf++;
		if (d->in_header)
			d->header_bare_lf++;
		else
			d->body_bare_lf++;
	}
	line_ended(d, (d->flags & SMTP_DATA_LF_LINES) == 0);
	if ((d->flags & (SMTP_DATA_FIX_LF | SMTP_DATA_LF_LINES)) != 0)
		put(f, "\r\n", 2);
	else
		put(f, "\n", 1);
	/* Only a true line end makes a dot behind it special. */
	d->state = (d->flags & SMTP_DATA_LF_LINES) != 0 ? SMTP_DATA_LINE_START : SMTP_DATA_LINE;
}

/* Whole lines in order, CR LF each and no other CR, none that begins with a dot but the first: their length, or 0. */
static size_t
clean_lines(struct smtp_data *d, const char *p, size_t n)
{
	bool dots = (d->flags & SMTP_DATA_NO_DOTS) == 0;
	size_t at = 0, k;
	const char *lf;

	while (at < n && (at == 0 || !dots || p[at] != '.') && (lf = memchr(p + at, '\n', n - at)) != NULL) {
		k = (size_t)(lf - p);
		if (k == at || p[k - 1] != '\r' || memchr(p + at, '\r', k - 1 - at) != NULL)
			break;
		count_run(d, p + at, k - 1 - at);
		line_ended(d, false);
		at = k + 1;
	}
	return (at);
}

/* In the middle of a line: take up to its LF, or all.  Returns the number of bytes taken. */
static size_t
feed_line(struct feed *f, const char *p, size_t n)
{
	struct smtp_data *d = f->d;
	size_t k = clean_lines(d, p, n);
	const char *lf;

	if (k > 0) {
		put(f, p, k);
		d->state = SMTP_DATA_LINE_START;
		return (k);
	}
	lf = memchr(p, '\n', n);
	k = lf == NULL ? n : (size_t)(lf - p);
	if (lf == NULL) {
		/* A CR at the very end may belong to an LF that is yet to come. */
		if (p[n - 1] == '\r') {
			put_text(f, p, n - 1);
			d->state = SMTP_DATA_CR;
		} else {
			put_text(f, p, n);
			d->state = SMTP_DATA_LINE;
		}
		return (n);
	}
	if (k > 0 && p[k - 1] == '\r') {
		put_text(f, p, k - 1);
		put(f, "\r\n", 2);
		line_ended(d, false);
		d->state = SMTP_DATA_LINE_START;
	} else {
		put_text(f, p, k);
		bare_lf(f);
	}
	return (k + 1);
}

/* The first byte of a line, where dots count. */
static size_t
feed_start(struct feed *f, const char *p, size_t n)
{
	if (*p == '.' && (f->d->flags & SMTP_DATA_NO_DOTS) == 0) {
		f->d->state = SMTP_DATA_DOT;
		return (1);
	}
	return (feed_line(f, p, n));
}

/* Behind a dot that began a line: it is dropped, unless CR LF follows. */
static size_t
feed_dot(struct feed *f, const char *p, size_t n)
{
	struct smtp_data *d = f->d;

	if (*p == '\r') {
		d->state = SMTP_DATA_DOT_CR;
		return (1);
	}
	if (*p == '\n' && (d->flags & SMTP_DATA_LF_LINES) != 0) {
		d->state = SMTP_DATA_DONE;
		return (1);
	}
	if (*p == '\n')
		d->fake_ends++;
	return (feed_line(f, p, n));
}

static size_t
feed_one(struct feed *f, const char *p, size_t n)
{
	struct smtp_data *d = f->d;

	switch (d->state) {
	case SMTP_DATA_LINE_START:
		return (feed_start(f, p, n));
	case SMTP_DATA_DOT:
		return (feed_dot(f, p, n));
	case SMTP_DATA_DOT_CR:
		if (*p == '\n') {
			d->state = SMTP_DATA_DONE;
			return (1);
		}
		lone_cr(f);
		d->state = SMTP_DATA_LINE;
		return (0);
	case SMTP_DATA_CR:
		if (*p == '\n') {
			put(f, "\r\n", 2);
			line_ended(d, false);
			d->state = SMTP_DATA_LINE_START;
			return (1);
		}
		lone_cr(f);
		d->state = SMTP_DATA_LINE;
		return (0);
	default:
		return (feed_line(f, p, n));
	}
}

/* ---- as Exim, byte by byte ---- */

static void
exim_byte(struct feed *f, const char *p)
{
	struct smtp_data *d = f->d;

	if (d->line == 0)
		d->first = *p;
	if (*p == '\0')
		d->nuls++;
	d->line++;
	put(f, p, 1);
	d->state = SMTP_DATA_LINE;
}

static void
exim_line_end(struct feed *f)
{
	line_ended(f->d, false);
	put(f, "\r\n", 2);
	f->d->state = SMTP_DATA_LINE_START;
}

static void
exim_lf(struct feed *f)
{
	struct smtp_data *d = f->d;

	if (d->lines == 0 && d->in_header)
		d->lf_mode = true;
	if (d->lf_mode) {
		exim_line_end(f);
		return;
	}
	d->bare_lf++;
	if (!d->in_header) {
		d->body_bare_lf++;
		line_ended(d, true);
		put(f, "\r\n", 2);
	} else {
		/* The field goes on, whatever follows. */
		d->header_bare_lf++;
		line_ended(d, true);
		d->in_header = true;
		d->line = 1;
		put(f, "\r\n ", 3);
	}
	d->state = SMTP_DATA_LINE;
}

static void
exim_cr(struct feed *f)
{
	f->d->bare_cr++;
	if (f->d->in_header) {
		put(f, " ", 1);
	} else {
		line_ended(f->d, true);
		put(f, "\r\n", 2);
	}
	f->d->state = SMTP_DATA_LINE;
}

/* One byte; false when it must be looked at again. */
static bool
exim_feed(struct feed *f, const char *p)
{
	struct smtp_data *d = f->d;

	switch (d->state) {
	case SMTP_DATA_CR:
	case SMTP_DATA_DOT_CR:
		if (*p == '\n' && d->state == SMTP_DATA_DOT_CR) {
			d->state = SMTP_DATA_DONE;
		} else if (*p == '\n') {
			exim_line_end(f);
		} else {
			exim_cr(f);
			return (false);
		}
		return (true);
	case SMTP_DATA_DOT:
		if (*p == '\r')
			d->state = SMTP_DATA_DOT_CR;
		else if (*p == '\n' && d->lf_mode)
			d->state = SMTP_DATA_DONE;
		else if (*p == '\n')
			exim_lf(f);
		else
			exim_byte(f, p);
		return (true);
	default:
		if (d->state == SMTP_DATA_LINE_START && *p == '.')
			d->state = SMTP_DATA_DOT;
		else if (*p == '\r')
			d->state = SMTP_DATA_CR;
		else if (*p == '\n')
			exim_lf(f);
		else
			exim_byte(f, p);
		return (true);
	}
}

size_t
smtp_data_feed(struct smtp_data *d, struct sv in, void (*sink)(void *arg, struct sv piece), void *arg)
{
	struct feed f = { d, sink, arg };
	size_t at = 0;

	if ((d->flags & SMTP_DATA_AS_EXIM) != 0 && (d->flags & SMTP_DATA_NO_DOTS) == 0) {
		while (at < in.len && d->state != SMTP_DATA_DONE)
			if (exim_feed(&f, in.p + at))
				at++;
		return (at);
	}
	while (at < in.len && d->state != SMTP_DATA_DONE)
		at += feed_one(&f, in.p + at, in.len - at);
	return (at);
}

void
smtp_data_finish(struct smtp_data *d, void (*sink)(void *arg, struct sv piece), void *arg)
{
	struct feed f = { d, sink, arg };

	if (d->state == SMTP_DATA_CR)
		lone_cr(&f);
	if (d->line > d->longest)
		d->longest = d->line;
	d->state = SMTP_DATA_DONE;
}

/* ---- sending ---- */

void
smtp_data_stuff(struct sb *out, struct sv in, enum smtp_data_state *state)
{
	size_t i = 0;

	while (i < in.len) {
		size_t k = i;

		if (*state == SMTP_DATA_CR) {
			/* Whatever followed the CR, the line is over now. */
			sb_addn(out, "\r\n", 2);
			*state = SMTP_DATA_LINE_START;
			if (in.p[i] == '\n') {
				i++;
				continue;
			}
		}
		if (*state == SMTP_DATA_LINE_START && in.p[i] == '.')
			sb_addc(out, '.');
		while (k < in.len && in.p[k] != '\r' && in.p[k] != '\n')
			k++;
		sb_addn(out, in.p + i, k - i);
		i = k;
		if (k == in.len) {
			*state = SMTP_DATA_LINE;
		} else if (in.p[k] == '\r') {
			*state = SMTP_DATA_CR;
			i++;
		} else {
			sb_addn(out, "\r\n", 2);
			*state = SMTP_DATA_LINE_START;
			i++;
		}
	}
}

void
smtp_data_stuff_end(struct sb *out, enum smtp_data_state *state)
{
	if (*state != SMTP_DATA_LINE_START)
		sb_addn(out, "\r\n", 2);
	sb_addn(out, ".\r\n", 3);
	*state = SMTP_DATA_LINE_START;
}
