/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The path of a MAIL or RCPT command as a server takes it that has to get on with others: the angle brackets may be
 * missing, dots may stand anywhere in a local part, comments may stand between the pieces; domains are letters, digits
 * and hyphens.  What is wrong is told in Exim's words.
 */
#include <string.h>

#include "mail/address_int.h"

struct path {
	struct addr_reader r;
	struct sb	 local;		/* as written */
	struct sb	 plain;		/* without quotes and backslashes */
	struct sb	 domain;
	bool		 quoted;
	bool		 angle;		/* behind "<" */
	unsigned	 flags;
};

static bool
special(char c)
{
	return ((unsigned char)c <= ' ' || c == 127 || strchr("()<>@,;:\\\".[]", c) != NULL);
}

/* One character that a backslash may stand in front of. */
static int
take(struct path *p)
{
	struct addr_reader *r = &p->r;
	char c;

	if (addr_peek(r) == '\\' && r->i + 1 < r->v.len) {
		sb_addc(&p->local, '\\');
		p->quoted = true;
		r->i++;
	}
	c = addr_peek(r);
	if ((unsigned char)c < ' ' || c == 127)
		return (addr_bad(r, "control character in local part"));
	sb_addc(&p->local, c);
	sb_addc(&p->plain, c);
	r->i++;
	return (0);
}

static int
quoted(struct path *p)
{
	struct addr_reader *r = &p->r;

	p->quoted = true;
	sb_addc(&p->local, '"');
	r->i++;
	while (!addr_at_end(r) && addr_peek(r) != '"') {
		if (take(p) == -1)
			return (-1);
	}
	if (addr_at_end(r))
		return (addr_bad(r, "unmatched doublequote in local part"));
	sb_addc(&p->local, '"');
	r->i++;
	return (0);
}

static int
local_part(struct path *p)
{
	struct addr_reader *r = &p->r;

	for (;;) {
		size_t before = r->i;

		addr_skip(r);
		before = r->i;
		if (addr_peek(r) == '"') {
			if (quoted(p) == -1)
				return (-1);
		} else
			while (!addr_at_end(r) && (addr_peek(r) == '\\' || !special(addr_peek(r))))
				if (take(p) == -1)
					return (-1);
		if (r->i == before && addr_peek(r) != '.' && p->local.len == 0)
			return (addr_bad(r, p->angle ? "missing or malformed local part" :
			    "missing or malformed local part (expected word or \"<\")"));
		addr_skip(r);
		if (addr_peek(r) != '.')
			return (0);
		while (addr_peek(r) == '.') {
			sb_addc(&p->local, '.');
			sb_addc(&p->plain, '.');
			r->i++;
		}
	}
}

static int
literal(struct path *p)
{
	struct addr_reader *r = &p->r;

	if ((p->flags & MAIL_ADDR_LITERAL) == 0)
		return (addr_bad(r, "domain literals not allowed"));
	do {
		if (addr_at_end(r) || (unsigned char)addr_peek(r) <= ' ' || strchr("\"<>", addr_peek(r)) != NULL)
			return (addr_bad(r, "malformed domain literal"));
		sb_addc(&p->domain, addr_peek(r));
	} while (r->v.p[r->i++] != ']');
	addr_skip(r);
	return (0);
}

static bool
domain_char(const struct path *p, char c, bool first)
{
	if ((unsigned char)c >= 0x80)
		return ((p->flags & (MAIL_ADDR_UTF8 | MAIL_ADDR_8BIT)) != 0);
	return (sv_isalnum(c) || (c == '-' && !first));
}

static int
domain(struct path *p)
{
	struct addr_reader *r = &p->r;

	sb_clear(&p->domain);
	addr_skip(r);
	if (addr_peek(r) == '[')
		return (literal(p));
	for (;;) {
		size_t start = r->i;

		while (!addr_at_end(r) && domain_char(p, addr_peek(r), r->i == start))
			r->i++;
		if (r->i == start) {
			if ((p->flags & MAIL_ADDR_STRIP_DOT) == 0 || p->domain.len == 0)
				return (addr_bad(r, "domain missing or malformed"));
			p->domain.len--;
			return (0);
		}
		if (r->i - start > 63)
			return (addr_bad(r, "\"" SV_FMT "\" is too long for a domain label (63 byte limit)",
			    SV_ARG(sv_sub(r->v, start, start + 80))));
		sb_add(&p->domain, sv_sub(r->v, start, r->i));
		addr_skip(r);
		if (addr_peek(r) != '.')
			return (0);
		sb_addc(&p->domain, '.');
		r->i++;
		addr_skip(r);
	}
}

/* "@a,@b:": passed over (RFC 5321 appendix C). */
static int
route(struct path *p, struct mail_address *m)
{
	struct addr_reader *r = &p->r;
	size_t start = r->i, comma = 0;

	while (addr_peek(r) == '@') {
		r->i++;
		if (domain(p) == -1)
			return (-1);
		if (addr_peek(r) != ',')
			break;
		while (addr_peek(r) == ',') {
			comma++;
			r->i++;
			addr_skip(r);
		}
	}
	if (addr_peek(r) != ':')
		return (addr_bad(r, comma > 0 ? "colon expected after route list" : "no local part"));
	m->route = arena_sv(r->a, sv_sub(r->v, start, r->i));
	r->i++;
	sb_clear(&p->domain);
	return (0);
}

static int
spec(struct path *p, char end)
{
	struct addr_reader *r = &p->r;

	if (local_part(p) == -1)
		return (-1);
	if (addr_peek(r) == '@') {
		r->i++;
		return (domain(p));
	}
	if (end != '\0' && addr_peek(r) != end)
		return (addr_bad(r, "\"@\" or \".\" expected after \"" SV_FMT "\"", SV_ARG(sb_sv(&p->local))));
	return (0);
}

/* Behind "<", of which there are <n>. */
static int
bracketed(struct path *p, struct mail_address *m, size_t n, size_t start)
{
	struct addr_reader *r = &p->r;

	addr_skip(r);
	if (addr_peek(r) == '>' && (p->flags & MAIL_ADDR_EMPTY) != 0) {
		r->i++;
		return (0);
	}
	if (addr_peek(r) == '@' && route(p, m) == -1)
		return (-1);
	if (spec(p, '>') == -1)
		return (-1);
	addr_skip(r);
	if (addr_at_end(r))
		return (addr_bad(r, "'>' missing at end of address"));
	if (addr_peek(r) != '>')
		return (addr_trailing(r, start));
	for (; n > 0 && addr_peek(r) == '>'; n--)
		r->i++;
	return (n == 0 ? 0 : addr_bad(r, "'>' missing at end of address"));
}

/* Quotes that are needed stay, others go; dots are kept wherever they stand. */
static void
finish(struct path *p, struct mail_address *m, size_t start)
{
	struct addr_reader *r = &p->r;
	struct sb canonical = SB_INIT(MAIL_ADDRESS_MAX * 3);

	m->local_plain = arena_sv(r->a, sb_sv(&p->plain));
	m->domain = arena_sv(r->a, sb_sv(&p->domain));
	m->local = m->local_plain;
	if (p->quoted) {
		mail_local_put(&canonical, sb_sv(&p->plain));
		m->local = arena_sv(r->a, sb_sv(&canonical));
	}
	m->local.tainted = m->local_plain.tainted = m->domain.tainted = r->v.tainted;
	m->raw = sv_trim(sv_sub(r->v, start, r->i));
	sb_free(&canonical);
}

int
mail_path_lenient(struct sv text, unsigned flags, struct arena *a, struct mail_address *out, struct err *err)
{
	struct path p = { .r = { .v = text, .flags = flags, .cfws = true, .a = a, .err = err }, .flags = flags };
	size_t start, n = 0;
	int rc;

	sb_init(&p.local, MAIL_ADDRESS_MAX);
	sb_init(&p.plain, MAIL_ADDRESS_MAX);
	sb_init(&p.domain, MAIL_ADDRESS_MAX);
	err_clear(err);
	memset(out, 0, sizeof(*out));
	if ((rc = addr_check_bytes(&p.r)) == -1)
		goto out;
	addr_skip(&p.r);
	start = p.r.i;
	if (addr_at_end(&p.r)) {
		rc = addr_bad(&p.r, "empty address");
		goto out;
	}
	while (addr_peek(&p.r) == '<' && (n == 0 || (flags & MAIL_ADDR_STRIP_ANGLES) != 0)) {
		p.r.i++;
		n++;
	}
	p.angle = n > 0;
	rc = n > 0 ? bracketed(&p, out, n, start) : addr_peek(&p.r) == '@' && route(&p, out) == -1 ? -1 : spec(&p, '\0');
	addr_skip(&p.r);
	if (rc == 0 && !addr_at_end(&p.r))
		rc = addr_trailing(&p.r, start);
	if (rc == 0 && (p.local.overflow || p.domain.overflow || p.domain.len > MAIL_DOMAIN_MAX ||
	    p.local.len + p.domain.len + 1 > MAIL_ADDRESS_MAX))
		rc = addr_bad(&p.r, "address is too long (limit %d bytes)", MAIL_ADDRESS_MAX);
	if (rc == 0 && p.local.len + p.domain.len + 1 > MAIL_PATH_MAX)
		rc = addr_bad(&p.r, "address is ridiculously long: %.64s...", arena_fmt(a, SV_FMT "@" SV_FMT, SV_ARG(sb_sv(&p.local)),
		    SV_ARG(sb_sv(&p.domain))));
	if (rc == 0)
		finish(&p, out, start);
out:
	sb_free(&p.local);
	sb_free(&p.plain);
	sb_free(&p.domain);
	return (rc);
}
