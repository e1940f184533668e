/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writing a message line by line: line ends, escapes, prefix and suffix.  One buffer,
 * whole blocks out; runs without a special line are copied as they are.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/sb.h"
#include "mbox/content.h"
#include "os/file.h"

#define BLOCK	(64 * 1024)

struct writer {
	int		 fd;		/* -1: to <out>, or only counted */
	struct sb	*out;
	const struct mbox_format *f;
	char		*buf;
	size_t		 n;
	uint64_t	 size;
	bool		 bol;		/* at the beginning of a line */
	bool		 cr;		/* a CR is held back */
	bool		 body;		/* behind the empty line */
	bool		 empty_line;	/* nothing of the present line was seen yet */
	char		 match[64];	/* bytes of a line's start that may become <check> */
	size_t		 nmatch;
	int		 sys;
};

static void
flush(struct writer *w)
{
	ssize_t n;

	if (w->fd != -1 && w->sys == 0 && w->n > 0) {
		n = os_write_full(w->fd, w->buf, w->n);
		if (n != (ssize_t)w->n)
			w->sys = errno == 0 ? EIO : errno;
		else
			w->size += w->n;
	} else if (w->fd == -1) {
		if (w->out != NULL)
			sb_addn(w->out, w->buf, w->n);
		w->size += w->n;
	}
	w->n = 0;
}

static void
put(struct writer *w, const char *p, size_t len)
{
	while (len > 0 && w->sys == 0) {
		size_t k = BLOCK - w->n < len ? BLOCK - w->n : len;

		memcpy(w->buf + w->n, p, k);
		w->n += k;
		p += k;
		len -= k;
		if (w->n == BLOCK)
			flush(w);
	}
}

static void
put_eol(struct writer *w)
{
	if (w->f->eol == MBOX_EOL_CRLF)
		put(w, "\r\n", 2);
	else
		put(w, "\n", 1);
}

static bool
checking(const struct writer *w)
{
	return (w->f->check.len > 0 && w->f->check.len <= sizeof(w->match) && (w->body || w->f->check_header));
}

/* What was held back as a possible <check> was none. */
static void
give_up_match(struct writer *w)
{
	size_t n = w->nmatch;

	w->nmatch = 0;
	put(w, w->match, n);
}

static void
line_end(struct writer *w)
{
	give_up_match(w);
	put_eol(w);
	if (w->empty_line)
		w->body = true;
	w->bol = true;
	w->empty_line = true;
}

/* A byte at the start of a line while <check> may still match; true: it was taken. */
static bool
match_byte(struct writer *w, char c)
{
	const struct sv *check = &w->f->check;

	if (!w->bol || !checking(w))
		return (false);
	if (c != check->p[w->nmatch]) {
		give_up_match(w);
		w->bol = false;
		return (false);
	}
	w->match[w->nmatch++] = c;
	if (w->nmatch == check->len) {
		w->nmatch = 0;
		w->bol = false;
		put(w, w->f->escape.p, w->f->escape.len);
	}
	w->empty_line = false;
	return (true);
}

/* The run of <p> up to the next byte that matters. */
static size_t
plain_run(const char *p, size_t len)
{
	const char *nl = memchr(p, '\n', len);
	size_t n = nl == NULL ? len : (size_t)(nl - p);
	const char *cr = memchr(p, '\r', n);

	return (cr == NULL ? n : (size_t)(cr - p));
}

static void
feed(struct writer *w, const char *p, size_t len)
{
	if (w->f->eol == MBOX_EOL_RAW && w->f->check.len == 0) {
		if (len > 0)
			w->bol = p[len - 1] == '\n';
		put(w, p, len);
		return;
	}
	while (len > 0) {
		size_t n;

		if (w->cr) {
			w->cr = false;
			if (*p != '\n') {
				give_up_match(w);
				put(w, "\r", 1);
				w->bol = w->empty_line = false;
			} else if (w->f->eol == MBOX_EOL_RAW) {
				give_up_match(w);
				put(w, "\r", 1);
			}
		}
		if (*p == '\n') {
			line_end(w);
			n = 1;
		} else if (*p == '\r') {
			w->cr = true;
			n = 1;
		} else if (match_byte(w, *p))
			n = 1;
		else {
			n = plain_run(p, len);
			put(w, p, n);
			w->bol = w->empty_line = false;
		}
		p += n;
		len -= n;
	}
}

static void
feed_fd(struct writer *w, const struct mbox_content *c)
{
	char buf[16384];
	uint64_t off = c->off, left = c->len;

	while (left > 0 && w->sys == 0) {
		size_t want = left < sizeof(buf) ? (size_t)left : sizeof(buf);
		ssize_t n = os_pread_full(c->fd, buf, want, (off_t)off);

		if (n != (ssize_t)want) {
			w->sys = n == -1 && errno != 0 ? errno : EIO;
			return;
		}
		feed(w, buf, want);
		off += want;
		left -= want;
	}
}

static void
write_all(struct writer *w, const struct mbox_content *c)
{
	put(w, w->f->prefix.p, w->f->prefix.len);
	w->bol = w->empty_line = true;
	w->body = false;
	feed(w, c->head.p, c->head.len);
	if (c->fd != -1)
		feed_fd(w, c);
	feed(w, c->tail.p, c->tail.len);
	if (w->cr) {
		w->cr = false;
		put(w, "\r", 1);
		w->bol = false;
	}
	if (w->nmatch > 0) {
		give_up_match(w);
		w->bol = false;
	}
	if (w->f->end_line && !w->bol)
		put_eol(w);
	put(w, w->f->suffix.p, w->f->suffix.len);
	flush(w);
}

int
mbox_write(int fd, const struct mbox_content *c, const struct mbox_format *f, uint64_t *size)
{
	char buf[BLOCK];
	struct writer w = { .fd = fd, .f = f, .buf = buf };

	write_all(&w, c);
	if (size != NULL)
		*size = w.size;
	if (w.sys == 0)
		return (0);
	errno = w.sys;
	return (-1);
}

int
mbox_write_text(struct sb *out, const struct mbox_content *c, const struct mbox_format *f)
{
	char buf[BLOCK];
	struct writer w = { .fd = -1, .out = out, .f = f, .buf = buf };

	write_all(&w, c);
	if (w.sys == 0)
		return (0);
	errno = w.sys;
	return (-1);
}

uint64_t
mbox_written_size(const struct mbox_content *c, const struct mbox_format *f)
{
	char buf[BLOCK];
	struct writer w = { .fd = -1, .f = f, .buf = buf };

	write_all(&w, c);
	return (w.size);
}

const char *
mbox_from_line(struct sv sender, int64_t when, char *buf, size_t size)
{
	static _Thread_local int64_t made = INT64_MIN;	/* many messages come in a second */
	static _Thread_local char date[64];
	size_t n = strlen("From "), nd;

	if (when != made) {
		time_t t = (time_t)when;
		struct tm tm;

		(void)localtime_r(&t, &tm);
		(void)strftime(date, sizeof(date), "%a %b %e %H:%M:%S %Y", &tm);
		made = when;
	}
	if (sender.len == 0)
		sender = SV_LIT("MAILER-DAEMON");
	nd = strlen(date);
	assert(size >= 128);
	memcpy(buf, "From ", n);
	for (size_t i = 0; i < sender.len && n + 64 < size; i++)
		buf[n++] = sv_isspace(sender.p[i]) ? '-' : sender.p[i];
	buf[n++] = ' ';
	memcpy(buf + n, date, nd);
	memcpy(buf + n + nd, "\n", 2);
	return (buf);
}
