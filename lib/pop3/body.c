/* SPDX-License-Identifier: BSD-2-Clause */
/* Dot-stuffing and the cut of TOP; see body.h. */
#include "pop3/body.h"

void
pop3_body_init(struct pop3_body *b)
{
	memset(b, 0, sizeof(*b));
}

void
pop3_body_init_top(struct pop3_body *b, uint32_t lines)
{
	memset(b, 0, sizeof(*b));
	b->limited = true;
	b->blank = true;
	b->lines = lines;
}

bool
pop3_body_done(const struct pop3_body *b)
{
	return (b->done);
}

/* How many bytes of <in> TOP still wants; sets <done> when the rest is not. */
static size_t
wanted(struct pop3_body *b, struct sv in)
{
	size_t at = 0;

	while (at < in.len) {
		const char *nl = memchr(in.p + at, '\n', in.len - at);
		size_t end = nl == NULL ? in.len : (size_t)(nl - in.p) + 1;

		for (size_t i = at; b->blank && i < end; i++)
			b->blank = in.p[i] == '\r' || in.p[i] == '\n';
		at = end;
		if (nl == NULL)
			break;
		if (b->in_body && b->lines > 0)
			b->lines--;
		else if (!b->in_body)
			b->in_body = b->blank;
		b->blank = true;
		if (b->in_body && b->lines == 0) {
			b->done = true;
			break;
		}
	}
	return (at);
}

/* How many bytes of <in> can go as they are; stops behind a line that a dot follows and before an LF without CR. */
static size_t
run(struct sv in, bool cr)
{
	size_t at = 0;

	for (;;) {
		const char *nl = memchr(in.p + at, '\n', in.len - at);
		size_t i;

		if (nl == NULL)
			return (in.len);
		i = (size_t)(nl - in.p);
		if (!(i > 0 ? in.p[i - 1] == '\r' : cr))
			return (i);
		if (i + 1 >= in.len || in.p[i + 1] == '.')
			return (i + 1);
		at = i + 1;
	}
}

bool
pop3_body_next(struct pop3_body *b, struct sv *in, struct sv *piece)
{
	size_t n;

	if (b->limited && !b->begun) {
		/* Each byte is counted once: <in> is what is left of bytes that were counted. */
		if (b->done)
			in->len = 0;
		else
			in->len = wanted(b, *in);
	}
	b->begun = in->len > 0;
	if (in->len == 0)
		return (false);
	if (!b->in_line && in->p[0] == '.' && !b->dotted) {
		b->dotted = true;
		b->cr = false;
		*piece = SV_LIT(".");
		return (true);
	}
	n = run(*in, b->cr);
	if (n == 0) {
		b->cr = true;
		b->in_line = true;
		*piece = SV_LIT("\r");
		return (true);
	}
	*piece = sv_sub(*in, 0, n);
	*in = sv_sub(*in, n, in->len);
	b->cr = piece->p[n - 1] == '\r';
	b->in_line = piece->p[n - 1] != '\n';
	b->dotted = false;
	return (true);
}

struct sv
pop3_body_end(const struct pop3_body *b)
{
	/* A lone CR at the end gets its LF. */
	return (!b->in_line ? SV_LIT(".\r\n") : b->cr ? SV_LIT("\n.\r\n") : SV_LIT("\r\n.\r\n"));
}
