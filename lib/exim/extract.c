/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading one address; see extract.h. */
#include <string.h>

#include "base/sb.h"
#include "exim/extract.h"

#define PART_MAX	4096

struct reader {
	struct sv	 v;
	size_t		 i;
	struct sb	 out;		/* local part, then @domain */
	struct err	*err;
	unsigned	 flags;
	bool		 angle;		/* behind "<" */
};

#define MISSING_LOCAL	"missing or malformed local part"
#define MISSING		MISSING_LOCAL " (expected word or \"<\")"

static char
peek(const struct reader *r)
{
	return (r->i < r->v.len ? r->v.p[r->i] : '\0');
}

static int
bad(struct reader *r, const char *text)
{
	return (err_set(r->err, ERR_PERM, "5.1.3", "%s", text));
}

/* Blanks and comments; one that does not close goes to the end. */
static void
skip(struct reader *r)
{
	unsigned depth = 0;

	for (; r->i < r->v.len; r->i++) {
		char c = r->v.p[r->i];

		if (depth == 0 && c != '(' && !sv_isspace(c))
			return;
		if (c == '\\' && depth > 0)
			r->i++;
		else if (c == '(')
			depth++;
		else if (c == ')' && depth > 0)
			depth--;
	}
	if (r->i > r->v.len)
		r->i = r->v.len;
}

static bool
special(char c)
{
	return ((unsigned char)c <= 32 || c == 127 || strchr("()<>@,;:\\\".[]", c) != NULL);
}

/* An atom or quoted string, as it is written; how much came. */
static int
word(struct reader *r, size_t *got)
{
	size_t before = r->out.len;

	if (peek(r) == '"') {
		do {
			if (peek(r) == '\\' && r->i + 1 < r->v.len)
				sb_addc(&r->out, r->v.p[r->i++]);
			sb_addc(&r->out, r->v.p[r->i++]);
		} while (r->i < r->v.len && peek(r) != '"');
		if (r->i == r->v.len)
			return (bad(r, "unmatched doublequote in local part"));
		sb_addc(&r->out, r->v.p[r->i++]);
	} else
		while (r->i < r->v.len && (peek(r) == '\\' || !special(peek(r)))) {
			if (peek(r) == '\\' && r->i + 1 < r->v.len)
				sb_addc(&r->out, r->v.p[r->i++]);
			sb_addc(&r->out, r->v.p[r->i++]);
		}
	*got = r->out.len - before;
	return (0);
}

/* Words with dots between; dots may stand first, last and together. */
static int
local_part(struct reader *r)
{
	size_t got, begin = r->out.len;
	bool dot;

	do {
		skip(r);
		if (word(r, &got) == -1)
			return (-1);
		skip(r);
		dot = peek(r) == '.';
		if (got == 0 && !dot && r->out.len == begin)
			return (bad(r, r->angle ? MISSING_LOCAL : MISSING));
		while (peek(r) == '.')
			sb_addc(&r->out, r->v.p[r->i++]);
	} while (dot);
	return (0);
}

static int
literal(struct reader *r)
{
	size_t start = r->i;

	while (r->i < r->v.len && peek(r) != ']' && !sv_isspace(peek(r)))
		r->i++;
	if (peek(r) != ']')
		return (bad(r, "malformed domain literal"));
	if ((r->flags & EXIM_EXTRACT_LITERALS) == 0)
		return (bad(r, "domain literals not allowed"));
	r->i++;
	sb_add(&r->out, sv_sub(r->v, start, r->i));
	skip(r);
	return (0);
}

/* Where a host name may go on; IDNs in UTF-8 too, unless they are not wanted. */
static bool
domain_char(const struct reader *r)
{
	char c = peek(r);

	return (sv_isalnum(c) || ((unsigned char)c >= 128 && (r->flags & EXIM_EXTRACT_ASCII) == 0));
}

static int
domain(struct reader *r)
{
	skip(r);
	if (peek(r) == '[')
		return (literal(r));
	for (;;) {
		if (!domain_char(r))
			return (bad(r, "domain missing or malformed"));
		while (domain_char(r) || peek(r) == '-')
			sb_addc(&r->out, r->v.p[r->i++]);
		skip(r);
		if (peek(r) != '.')
			return (0);
		sb_addc(&r->out, '.');
		r->i++;
		skip(r);
	}
}

/* "@a,@b:" is passed over. */
static int
route(struct reader *r)
{
	size_t len = r->out.len;
	int rc = 0;

	r->flags &= ~(unsigned)EXIM_EXTRACT_LITERALS;
	while (rc == 0 && peek(r) == '@') {
		r->i++;
		rc = domain(r);
		skip(r);
		while (rc == 0 && (peek(r) == ',' || sv_isspace(peek(r)))) {
			r->i++;
			skip(r);
		}
	}
	sb_cut(&r->out, len);
	if (rc == 0 && peek(r) != ':')
		return (bad(r, "colon expected after route list"));
	r->i++;
	return (rc);
}

/* Behind "<". */
static int
angle(struct reader *r, struct exim_extracted *x)
{
	unsigned flags = r->flags;

	r->angle = true;
	skip(r);
	x->start = r->i;
	if (peek(r) == '@' && route(r) == -1)
		return (-1);
	r->flags = flags;
	skip(r);
	if (peek(r) == '>') {
		if ((r->flags & EXIM_EXTRACT_NULL) == 0)
			return (bad(r, "missing or malformed local part"));
		x->end = r->i++;
		return (0);
	}
	if (local_part(r) == -1)
		return (-1);
	if (peek(r) != '@' && peek(r) != '>')
		return (err_set(r->err, ERR_PERM, "5.1.3", "\"@\" or \".\" expected after \"" SV_FMT "\"", SV_ARG(sb_sv(&r->out))));
	if (peek(r) == '@') {
		sb_addc(&r->out, '@');
		x->domain = r->out.len;
		r->i++;
		if (domain(r) == -1)
			return (-1);
	}
	x->end = r->i;
	if (peek(r) != '>')
		return (bad(r, "'>' missing at end of address"));
	r->i++;
	return (0);
}

/* Words of a name in front of "<"; an address alone is the first word already. */
static int
item(struct reader *r, struct exim_extracted *x)
{
	unsigned flags = r->flags;
	size_t got;

	skip(r);
	x->start = r->i;
	if (r->i == r->v.len)
		return (bad(r, "empty address"));
	if (peek(r) != '<') {
		bool routed = peek(r) == '@', twice = r->i + 1 < r->v.len && r->v.p[r->i + 1] == '@';

		if (routed && route(r) == -1) {
			/* "@a.test" has no local part; of what looks more like a route that is wrong. */
			if (!twice && r->i > x->start + 1 && sv_chr(r->v, ',') < 0 && sv_chr(r->v, ':') < 0)
				return (bad(r, "no local part"));
			return (-1);
		}
		r->flags = flags;
		skip(r);
		if (routed && (r->i == r->v.len || (special(peek(r)) && strchr("\".\\", peek(r)) == NULL)))
			return (bad(r, "missing or malformed local part"));
		if (local_part(r) == -1)
			return (-1);
		if (peek(r) == '@') {
			sb_addc(&r->out, '@');
			x->domain = r->out.len;
			r->i++;
			if (domain(r) == -1)
				return (-1);
			x->end = r->i;
			return (0);
		}
		x->end = r->i;
		if (routed)
			return (bad(r, "domain missing in source-routed address"));
		if (r->i == r->v.len || peek(r) == ';')
			return (0);
		while (peek(r) != '<') {
			if (word(r, &got) == -1)
				return (-1);
			skip(r);
			while (peek(r) == '.') {
				r->i++;
				skip(r);
			}
			if (got == 0 && peek(r) != '<')
				return (bad(r, MISSING));
		}
		sb_clear(&r->out);
	}
	r->i++;
	return (angle(r, x));
}

int
exim_extract(struct sv text, unsigned flags, struct arena *a, struct exim_extracted *out, struct err *err)
{
	struct reader r = { .v = text, .err = err, .flags = flags };
	int rc;

	memset(out, 0, sizeof(*out));
	sb_init(&r.out, PART_MAX);
	rc = item(&r, out);
	if (rc == 0)
		skip(&r);
	if (rc == 0 && r.i < text.len) {
		out->stop = r.i;
		rc = err_set(err, ERR_PERM, "5.1.3", "malformed address: %.*s may not follow %.*s", 32,
		    arena_cstr(a, sv_sub(text, r.i, text.len)), 256, arena_cstr(a, sv_sub(text, 0, r.i)));
	}
	if (rc == 0 && (r.out.overflow || r.out.len > EXIM_ADDRESS_MAX))
		rc = err_set(err, ERR_PERM, "5.1.3", "address is ridiculously long: %.64s...", sb_cstr(&r.out));
	if (rc == 0) {
		while (out->end > out->start && sv_isspace(text.p[out->end - 1]))
			out->end--;
		out->address = arena_sv(a, sb_sv(&r.out));
		out->address.tainted = text.tainted;
	}
	sb_free(&r.out);
	return (rc);
}
