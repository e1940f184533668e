/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pieces of an address: words, local part, domain, route.  SMTP paths and
 * header lists are built of them; they differ in whether comments may stand between.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/codec.h"
#include "base/num.h"
#include "mail/address_int.h"

#define LABEL_MAX	63
#define COMMENT_MAX	1024

int
addr_bad(struct addr_reader *r, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return (err_set(r->err, ERR_PERM, "5.1.3", "%s", text));
}

int
addr_trailing(struct addr_reader *r, size_t start)
{
	struct sv rest = sv_sub(r->v, r->i, r->i + 32), seen = sv_trim(sv_sub(r->v, start, r->i));

	return (addr_bad(r, "malformed address: " SV_FMT " may not follow " SV_FMT, SV_ARG(rest),
	    SV_ARG(sv_sub(seen, 0, 256))));
}

int
addr_check_bytes(struct addr_reader *r)
{
	bool high = false;

	for (size_t i = 0; i < r->v.len; i++) {
		if (r->v.p[i] == '\0')
			return (addr_bad(r, "NUL in address"));
		high = high || (unsigned char)r->v.p[i] >= 0x80;
	}
	if (!high || (r->flags & MAIL_ADDR_8BIT) != 0)
		return (0);
	if ((r->flags & MAIL_ADDR_UTF8) == 0)
		return (addr_bad(r, "character above 127 in address"));
	if (!utf8_valid(r->v))
		return (addr_bad(r, "malformed UTF-8 in address"));
	return (0);
}

/* ---- blanks, comments, words ---- */

/* The comment that starts at the cursor; an unclosed one reaches to the end. */
static void
skip_comment(struct addr_reader *r)
{
	char text[COMMENT_MAX];
	unsigned depth = 0;
	size_t n = 0;

	for (; r->i < r->v.len; r->i++) {
		char c = r->v.p[r->i];

		if (c == '\\' && r->i + 1 < r->v.len)
			c = r->v.p[++r->i];
		else if (c == '(' && depth++ == 0)
			continue;
		else if (c == ')' && --depth == 0)
			break;
		if (n < sizeof(text) && c != '\r' && c != '\n')
			text[n++] = c;
	}
	if (r->i < r->v.len)
		r->i++;
	else
		r->unclosed = true;
	r->comment = arena_sv(r->a, sv_trim(sv_from(text, n)));
	r->comment.tainted = r->v.tainted;
}

void
addr_skip(struct addr_reader *r)
{
	while (!addr_at_end(r)) {
		if (sv_isspace(addr_peek(r)))
			r->i++;
		else if (r->cfws && addr_peek(r) == '(')
			skip_comment(r);
		else
			break;
	}
}

bool
addr_is_atext(const struct addr_reader *r, char c)
{
	if ((unsigned char)c >= 0x80)
		return ((r->flags & (MAIL_ADDR_UTF8 | MAIL_ADDR_8BIT)) != 0);
	return (sv_isalnum(c) || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL));
}

static bool
quoted_string(struct addr_reader *r, struct sb *out)
{
	size_t start = r->i++;

	while (!addr_at_end(r) && addr_peek(r) != '"') {
		char c = addr_peek(r);

		if (c == '\\' && r->i + 1 < r->v.len) {
			c = r->v.p[++r->i];
		} else if (c == '\r' || c == '\n') {
			/* Folding: the blank behind it counts, the line end does not (RFC 5322 3.2.4). */
			bool fold = r->cfws && r->i + 1 < r->v.len &&
			    (sv_isspace(r->v.p[r->i + 1]));

			r->i++;
			if (fold)
				continue;
			(void)addr_bad(r, "line end in quoted string");
			return (false);
		}
		if (!r->cfws && (c < ' ' || c == 127) && (unsigned char)c < 0x80) {
			(void)addr_bad(r, "control character in quoted string");
			return (false);
		}
		sb_addc(out, c);
		r->i++;
	}
	if (addr_at_end(r)) {
		r->i = start;
		(void)addr_bad(r, "unmatched doublequote in local part");
		return (false);
	}
	r->i++;
	return (true);
}

bool
addr_word(struct addr_reader *r, struct sb *out, bool *quoted)
{
	size_t start = r->i;

	*quoted = addr_peek(r) == '"';
	if (*quoted)
		return (quoted_string(r, out));
	while (!addr_at_end(r) && addr_is_atext(r, addr_peek(r)))
		r->i++;
	sb_add(out, sv_sub(r->v, start, r->i));
	return (r->i > start);
}

/* ---- local part ---- */

static bool
is_dot_atom(struct sv v)
{
	struct addr_reader any = { .flags = MAIL_ADDR_8BIT };

	if (v.len == 0 || v.p[0] == '.' || v.p[v.len - 1] == '.')
		return (false);
	for (size_t i = 0; i < v.len; i++) {
		if (v.p[i] == '.' ? v.p[i - 1] == '.' : !addr_is_atext(&any, v.p[i]))
			return (false);
	}
	return (true);
}

void
mail_local_put(struct sb *out, struct sv plain)
{
	if (is_dot_atom(plain)) {
		sb_add(out, plain);
		return;
	}
	sb_addc(out, '"');
	for (size_t i = 0; i < plain.len; i++) {
		if (plain.p[i] == '"' || plain.p[i] == '\\')
			sb_addc(out, '\\');
		sb_addc(out, plain.p[i]);
	}
	sb_addc(out, '"');
	out->tainted = out->tainted || plain.tainted;
}

static void
keep_local(struct addr_reader *r, struct mail_address *m, struct sv plain, bool any_quoted)
{
	struct sb canonical = SB_INIT(MAIL_ADDRESS_MAX * 3);

	m->local_plain = arena_sv(r->a, plain);
	m->local_plain.tainted = r->v.tainted;
	m->local = m->local_plain;
	if (!any_quoted && is_dot_atom(plain))
		return;
	mail_local_put(&canonical, plain);
	m->local = arena_sv(r->a, sb_sv(&canonical));
	m->local.tainted = r->v.tainted;
	sb_free(&canonical);
}

static int
local_words(struct addr_reader *r, struct sb *plain, bool *any_quoted)
{
	const bool obs = r->cfws && (r->flags & MAIL_ADDR_STRICT) == 0;
	size_t back;
	bool quoted;

	for (;;) {
		err_clear(r->err);
		if (!addr_word(r, plain, &quoted)) {
			if (r->err != NULL && r->err->cls != ERR_NONE)
				return (-1);
			return (addr_bad(r, "missing or malformed local part (expected word or \"<\")"));
		}
		/* RFC 5321 4.1.2: a quoted string is the whole local part; mixed words are obsolete. */
		if ((*any_quoted || (quoted && plain->len > 0 && addr_peek(r) == '.')) &&
		    (r->flags & MAIL_ADDR_STRICT) != 0)
			return (addr_bad(r, "missing or malformed local part (expected word or \"<\")"));
		*any_quoted = *any_quoted || quoted;
		back = r->i;
		if (obs)
			addr_skip(r);
		if (addr_peek(r) != '.') {
			r->i = back;
			return (0);
		}
		r->i++;
		sb_addc(plain, '.');
		if (obs)
			addr_skip(r);
	}
}

int
addr_local(struct addr_reader *r, struct mail_address *m)
{
	struct sb plain = SB_INIT(MAIL_ADDRESS_MAX);
	bool any_quoted = false;
	int rc = local_words(r, &plain, &any_quoted);

	if (rc == 0 && plain.overflow)
		rc = addr_bad(r, "local part is too long (limit %d bytes)", MAIL_ADDRESS_MAX);
	if (rc == 0)
		keep_local(r, m, sb_sv(&plain), any_quoted);
	if (rc == 0 && (r->flags & MAIL_ADDR_STRICT) != 0 && m->local.len > MAIL_LOCAL_MAX)
		rc = addr_bad(r, "local part is too long (limit %d bytes, RFC 5321)", MAIL_LOCAL_MAX);
	sb_free(&plain);
	return (rc);
}

/* ---- domain ---- */

static bool
ipv6_ok(struct sv v)
{
	unsigned groups = 0, digits = 0;
	bool gap = false;
	struct sv tail;

	if (v.len == 0)
		return (false);
	if (sv_starts(v, "::")) {
		gap = true;
		v = sv_sub(v, 2, v.len);
	}
	while (v.len > 0) {
		for (digits = 0; digits < v.len && digits < 5 && (sv_isdigit(v.p[digits]) ||
		     (sv_lower(v.p[digits]) >= 'a' && sv_lower(v.p[digits]) <= 'f')); digits++)
			;
		if (digits < v.len && v.p[digits] == '.') {
			/* An IPv4 address in the last 32 bits. */
			tail = sv_sub(v, 0, v.len);
			groups += 2;
			for (unsigned n = 0; n < 4; n++) {
				struct sv octet;
				int64_t value;

				if (!sv_next(&tail, '.', &octet) || !num_parse(octet, 0, 255, &value))
					return (false);
			}
			return (tail.len == 0 && (gap ? groups <= 6 : groups == 8));
		}
		if (digits == 0 || digits > 4)
			return (false);
		groups++;
		v = sv_sub(v, digits, v.len);
		if (v.len == 0)
			break;
		if (v.p[0] != ':')
			return (false);
		v = sv_sub(v, 1, v.len);
		if (v.len == 0)
			return (false);
		if (v.p[0] == ':') {
			if (gap)
				return (false);
			gap = true;
			v = sv_sub(v, 1, v.len);
		}
	}
	/* RFC 5321 4.1.3: "::" stands for at least two groups. */
	return (gap ? groups <= 6 : groups == 8);
}

static bool
ipv4_ok(struct sv v)
{
	struct sv octet;
	int64_t value;
	unsigned n;

	if (sv_ends(v, "."))
		return (false);
	for (n = 0; sv_next(&v, '.', &octet); n++)
		if (octet.len == 0 || octet.len > 3 || !num_parse(octet, 0, 255, &value))
			return (false);
	return (n == 4);
}

bool
mail_domain_literal_ok(struct sv d)
{
	if (d.len < 3 || d.p[0] != '[' || d.p[d.len - 1] != ']')
		return (false);
	d = sv_sub(d, 1, d.len - 1);
	if (ipv4_ok(d))
		return (true);
	if (sv_casestarts(d, "IPv6:"))
		return (ipv6_ok(sv_sub(d, 5, d.len)));
	/* General-address-literal: no other tag was ever registered. */
	return (false);
}

static bool
is_label_char(char c, bool utf8)
{
	return (sv_isalnum(c) || c == '-' || (utf8 && (unsigned char)c >= 0x80));
}

bool
mail_domain_ok(struct sv domain, bool utf8)
{
	struct sv label;

	if (domain.len == 0 || domain.len > MAIL_DOMAIN_MAX || sv_ends(domain, "."))
		return (false);
	while (sv_next(&domain, '.', &label)) {
		if (label.len == 0 || label.len > LABEL_MAX || label.p[0] == '-' || label.p[label.len - 1] == '-')
			return (false);
		for (size_t i = 0; i < label.len; i++)
			if (!is_label_char(label.p[i], utf8))
				return (false);
	}
	return (true);
}

static int
literal(struct addr_reader *r, struct sb *out)
{
	const bool strict = (r->flags & MAIL_ADDR_STRICT) != 0;
	bool escaped;

	if ((r->flags & MAIL_ADDR_LITERAL) == 0)
		return (addr_bad(r, "domain literals not allowed"));
	do {
		char c = addr_peek(r);

		escaped = c == '\\' && r->cfws && r->i + 1 < r->v.len;
		if (escaped)
			c = r->v.p[++r->i];
		else if (addr_at_end(r) || (c == '[' && out->len > 0))
			return (addr_bad(r, "domain missing or malformed"));
		r->i++;
		if (sv_isspace(c) && r->cfws)
			continue;
		/* Quotes and angles stand in no literal that is in use, and would end the path early in a command. */
		if (((unsigned char)c <= ' ' || c == '"' || c == '<' || c == '>') && !r->lax)
			return (addr_bad(r, "domain missing or malformed"));
		sb_addc(out, c);
	} while (escaped || r->v.p[r->i - 1] != ']');
	if (strict && !mail_domain_literal_ok(sb_sv(out)))
		return (addr_bad(r, "domain missing or malformed"));
	return (0);
}

static bool
is_domain_char(const struct addr_reader *r, char c)
{
	if (r->lax)
		return (addr_is_atext(r, c));
	return (is_label_char(c, (r->flags & (MAIL_ADDR_UTF8 | MAIL_ADDR_8BIT)) != 0) ||
	    (c == '_' && (r->flags & MAIL_ADDR_STRICT) == 0));
}

static int
labels(struct addr_reader *r, struct sb *out)
{
	const bool obs = r->cfws && (r->flags & MAIL_ADDR_STRICT) == 0;
	size_t start, back;

	for (;;) {
		start = r->i;
		while (!addr_at_end(r) && is_domain_char(r, addr_peek(r)))
			r->i++;
		if (r->i == start)
			return (addr_bad(r, "domain missing or malformed"));
		if (r->i - start > LABEL_MAX && !r->lax)
			return (addr_bad(r, "\"" SV_FMT "\" is too long for a domain label (63 byte limit)",
			    SV_ARG(sv_sub(r->v, start, start + 80))));
		sb_add(out, sv_sub(r->v, start, r->i));
		back = r->i;
		if (obs)
			addr_skip(r);
		if (addr_peek(r) != '.') {
			r->i = back;
			return (0);
		}
		r->i++;
		if (obs)
			addr_skip(r);
		/* A root dot at the end is no mistake in the wild; it is dropped. */
		if (r->lax && !is_domain_char(r, addr_peek(r)))
			return (0);
		sb_addc(out, '.');
	}
}

int
addr_domain(struct addr_reader *r, struct mail_address *m)
{
	struct sb out = SB_INIT(MAIL_ADDRESS_MAX);
	struct sv domain;
	int rc;

	rc = addr_peek(r) == '[' ? literal(r, &out) : labels(r, &out);
	domain = sb_sv(&out);
	if (rc == 0 && (out.overflow || domain.len > MAIL_DOMAIN_MAX))
		rc = addr_bad(r, "domain is too long (limit %d bytes)", MAIL_DOMAIN_MAX);
	if (rc == 0 && (r->flags & MAIL_ADDR_STRICT) != 0 && domain.p[0] != '[' &&
	    !mail_domain_ok(domain, (r->flags & MAIL_ADDR_UTF8) != 0))
		rc = addr_bad(r, "domain missing or malformed");
	if (rc == 0) {
		m->domain = arena_sv(r->a, domain);
		m->domain.tainted = r->v.tainted;
	}
	sb_free(&out);
	return (rc);
}

/* "@a,@b:" up to the colon; the cursor stands at the first '@'. */
int
addr_route(struct addr_reader *r, struct mail_address *m)
{
	struct sb out = SB_INIT(MAIL_ADDRESS_MAX);
	struct mail_address hop = { .domain = SV_NULL };
	int rc = 0;

	while (rc == 0 && addr_peek(r) == '@') {
		r->i++;
		if (r->cfws)
			addr_skip(r);
		rc = addr_domain(r, &hop);
		if (rc == -1)
			break;
		if (out.len > 0)
			sb_addc(&out, ',');
		sb_addc(&out, '@');
		sb_add(&out, hop.domain);
		if (r->cfws)
			addr_skip(r);
		if (addr_peek(r) != ',')
			break;
		while (addr_peek(r) == ',' || (r->cfws && sv_isspace(addr_peek(r))))
			r->i++;
	}
	if (rc == 0 && (addr_peek(r) != ':' || out.overflow))
		rc = addr_bad(r, "malformed source route (expected \":\")");
	if (rc == 0) {
		r->i++;
		if (r->cfws)
			addr_skip(r);
		m->route = arena_sv(r->a, sb_sv(&out));
		m->route.tainted = r->v.tainted;
	}
	sb_free(&out);
	return (rc);
}

int
addr_spec(struct addr_reader *r, struct mail_address *m)
{
	const bool obs = r->cfws;
	size_t start = r->i, limit;

	if (addr_local(r, m) == -1)
		return (-1);
	if (obs)
		addr_skip(r);
	if (addr_peek(r) == '@') {
		r->i++;
		if (obs)
			addr_skip(r);
		if (addr_domain(r, m) == -1)
			return (-1);
	} else {
		if (!addr_at_end(r) && memchr(">,; \t\r\n", addr_peek(r), 7) == NULL && !sv_isspace(r->v.p[r->i - 1]))
			return (addr_bad(r, "@ or . expected after \"" SV_FMT "\"",
			    SV_ARG(sv_sub(r->v, start, r->i))));
		if ((r->flags & MAIL_ADDR_BARE) == 0)
			return (addr_bad(r, "unqualified address not allowed"));
	}
	limit = (r->flags & MAIL_ADDR_STRICT) != 0 ? MAIL_PATH_MAX - 2 : MAIL_ADDRESS_MAX;
	if (m->local.len + m->domain.len + 1 > limit)
		return (addr_bad(r, "address is too long (limit %zu bytes)", limit));
	return (0);
}
