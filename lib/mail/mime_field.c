/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The header fields that describe a part: Content-Type and its relatives, with
 * the parameters of RFC 2231.  Reading is lenient where mailers err often: unquoted
 * values with blanks, missing semicolons, unterminated quotes.
 */
#include <string.h>

#include "base/num.h"
#include "mail/charset.h"
#include "mail/encode.h"
#include "mail/mime_int.h"

/* A joined or decoded parameter value is at most this long. */
#define VALUE_MAX	(64 * 1024)

struct sv
mime_flat(struct arena *a, struct sv body)
{
	struct sb out = SB_INIT(MAIL_HEADER_TEXT_MAX);
	struct sv v;

	body = sv_sub(sv_trim(body), 0, MAIL_HEADER_TEXT_MAX);
	if (sv_chr(body, '\n') == -1 && sv_chr(body, '\r') == -1)
		return (body);
	mail_header_unfold(&out, body);
	v = arena_sv(a, sb_sv(&out));
	v.tainted = body.tainted;
	sb_free(&out);
	return (v);
}

void
mime_skip(struct sv *v)
{
	unsigned depth = 0;
	size_t i = 0;

	for (; i < v->len; i++) {
		char c = v->p[i];

		if (depth > 0 && c == '\\' && i + 1 < v->len)
			i++;
		else if (c == '(')
			depth++;
		else if (c == ')' && depth > 0)
			depth--;
		else if (depth == 0 && !sv_isspace(c))
			break;
	}
	*v = sv_sub(*v, i, v->len);
}

static bool
is_token_char(char c)
{
	return (c > ' ' && c < 127 && strchr("()<>@,;:\\\"/[]?=", c) == NULL);
}

bool
mime_token(struct sv *v, struct sv *tok)
{
	size_t i = 0;

	mime_skip(v);
	while (i < v->len && is_token_char(v->p[i]))
		i++;
	*tok = sv_sub(*v, 0, i);
	*v = sv_sub(*v, i, v->len);
	return (i > 0);
}

/* ---- parameters as they are written ---- */

struct raw_param {
	struct sv	 name;		/* lower case, without marks */
	struct sv	 value;
	int		 section;	/* -1: no continuation */
	bool		 extended;	/* '*' at the end: percent-encoded */
	bool		 used;
};

/* The quoted string at the start of *<v>, which moves behind it. */
static struct sv
quoted_value(struct arena *a, struct sv *v)
{
	size_t n = 0, i, end;
	char *out;

	for (end = 1; end < v->len && v->p[end] != '"'; end++)
		end += v->p[end] == '\\';
	out = arena_alloc(a, end + 1);
	for (i = 1; i < v->len && v->p[i] != '"'; i++) {
		if (v->p[i] == '\\' && i + 1 < v->len)
			i++;
		out[n++] = v->p[i];
	}
	*v = sv_sub(*v, i + 1, v->len);
	return ((struct sv){ out, n, v->tainted });
}

/* Does <v>, behind a blank, look like the next parameter ("token=")? */
static bool
looks_like_param(struct sv v)
{
	struct sv tok;

	if (!mime_token(&v, &tok))
		return (false);
	mime_skip(&v);
	return (v.len > 0 && v.p[0] == '=');
}

/* An unquoted value: up to ';', a comment, or a blank that a further parameter follows. */
static struct sv
plain_value(struct sv *v)
{
	ptrdiff_t semi = sv_chr(*v, ';');
	struct sv value = semi == -1 ? *v : sv_sub(*v, 0, (size_t)semi), rest;
	size_t i;

	for (i = 0; i < value.len && !sv_isspace(value.p[i]); i++)
		;
	if (i < value.len) {
		rest = sv_trim(sv_sub(value, i, value.len));
		if (rest.len > 0 && (rest.p[0] == '(' || looks_like_param(rest)))
			value = sv_sub(value, 0, i);
	}
	*v = sv_sub(*v, value.len, v->len);
	return (sv_trim(value));
}

/* Split "name*3*" into its parts. */
static void
split_name(struct raw_param *p)
{
	ptrdiff_t star;
	int64_t section;

	p->section = -1;
	p->extended = false;
	if (sv_ends(p->name, "*")) {
		p->extended = true;
		p->name.len--;
	}
	star = sv_chr(p->name, '*');
	if (star != -1 && num_parse(sv_sub(p->name, (size_t)star + 1, p->name.len), 0, MIME_PARAMS_MAX, &section)) {
		p->section = (int)section;
		p->name.len = (size_t)star;
	}
}

/* The next parameter of *<v>; false at the end. */
static bool
next_param(struct arena *a, struct sv *v, struct raw_param *p)
{
	for (;;) {
		mime_skip(v);
		while (v->len > 0 && (v->p[0] == ';' || sv_isspace(v->p[0]))) {
			*v = sv_sub(*v, 1, v->len);
			mime_skip(v);
		}
		if (v->len == 0)
			return (false);
		if (mime_token(v, &p->name)) {
			mime_skip(v);
			if (v->len > 0 && v->p[0] == '=')
				break;
		}
		/* Not a parameter: go on behind the next semicolon. */
		ptrdiff_t semi = sv_chr(*v, ';');

		if (semi == -1)
			return (false);
		*v = sv_sub(*v, (size_t)semi + 1, v->len);
	}
	*v = sv_sub(*v, 1, v->len);
	mime_skip(v);
	p->used = false;
	p->name = arena_lower(a, p->name);
	p->value = v->len > 0 && v->p[0] == '"' ? quoted_value(a, v) : plain_value(v);
	split_name(p);
	return (true);
}

/* ---- RFC 2231 ---- */

static int
hex_value(char c)
{
	if (sv_isdigit(c))
		return (c - '0');
	c = sv_lower(c);
	return (c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1);
}

static void
percent_decode(struct sb *out, struct sv v)
{
	for (size_t i = 0; i < v.len; i++) {
		if (v.p[i] == '%' && i + 2 < v.len && hex_value(v.p[i + 1]) != -1 && hex_value(v.p[i + 2]) != -1) {
			sb_addc(out, (char)(hex_value(v.p[i + 1]) << 4 | hex_value(v.p[i + 2])));
			i += 2;
		} else {
			sb_addc(out, v.p[i]);
		}
	}
}

/* Cut "charset'language'" off *<v>. */
static struct sv
cut_charset(struct sv *v)
{
	ptrdiff_t first = sv_chr(*v, '\''), second;
	struct sv charset;

	if (first == -1)
		return (SV_NULL);
	second = sv_chr(sv_sub(*v, (size_t)first + 1, v->len), '\'');
	if (second == -1)
		return (SV_NULL);
	charset = sv_sub(*v, 0, (size_t)first);
	*v = sv_sub(*v, (size_t)first + (size_t)second + 2, v->len);
	return (charset);
}

static void
percent_encode(struct sb *out, struct sv v)
{
	for (size_t i = 0; i < v.len; i++) {
		if (is_token_char(v.p[i]) && strchr("*'%", v.p[i]) == NULL)
			sb_addc(out, v.p[i]);
		else
			sb_addf(out, "%%%02X", (unsigned)(unsigned char)v.p[i]);
	}
}

/* Pieces of one parameter in their order, as bytes and as IMAP tells them. */
struct joined {
	struct sb	 bytes;
	struct sb	 raw;
	struct sv	 charset;
	bool		 extended;
};

static void
join_piece(struct joined *j, struct raw_param *p, bool first)
{
	struct sv v = p->value;

	if (p->extended) {
		if (first)
			j->charset = cut_charset(&v);
		sb_add(&j->raw, p->value);
		percent_decode(&j->bytes, v);
	} else {
		sb_add(&j->bytes, v);
		if (j->extended)
			percent_encode(&j->raw, v);
		else
			sb_add(&j->raw, v);
	}
	p->used = true;
}

static struct raw_param *
find_section(struct raw_param *v, size_t n, struct sv name, int section)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].section == section && sv_eq(v[i].name, name))
			return (&v[i]);
	return (NULL);
}

static struct sv
to_arena(struct arena *a, struct sb *sb, bool tainted)
{
	struct sv v = arena_sv(a, sb_sv(sb));

	v.tainted = tainted;
	sb_free(sb);
	return (v);
}

/* Build the parameter whose first piece is v[i]. */
static void
join_param(struct arena *a, struct raw_param *v, size_t n, size_t i, struct mime_param *out)
{
	struct joined j = { .bytes = SB_INIT(VALUE_MAX), .raw = SB_INIT(VALUE_MAX * 3), .charset = SV_NULL };
	struct raw_param *p = &v[i];
	struct sb text = SB_INIT(VALUE_MAX * 3);
	struct sv name = p->name;
	bool tainted = p->value.tainted;

	for (size_t k = 0; k < n; k++)
		j.extended = j.extended || (v[k].extended && sv_eq(v[k].name, name) && v[k].section >= p->section);
	/* An extended continuation without a charset in front still needs the two quotes. */
	if (j.extended && !p->extended)
		sb_adds(&j.raw, "''");
	join_piece(&j, p, true);
	for (int s = 1; p->section == 0 && s <= MIME_PARAMS_MAX; s++) {
		struct raw_param *next = find_section(v, n, name, s);

		if (next == NULL)
			break;
		join_piece(&j, next, false);
	}
	if (j.charset.len > 0 && mail_charset_to_utf8(&text, j.charset, sb_sv(&j.bytes)))
		sb_free(&j.bytes);
	else
		sb_add(&text, sb_sv(&j.bytes));
	out->name = name;
	out->raw_name = j.extended ? sv_cstr(arena_fmt(a, SV_FMT "*", SV_ARG(name))) : name;
	out->value = to_arena(a, &text, tainted);
	out->raw_value = to_arena(a, &j.raw, tainted);
	sb_free(&j.bytes);
}

/* Of "name" and "name*" (or "name*0") given both, the extended form counts (RFC 6266 4.3, the custom of mailers). */
static bool
is_superseded(const struct raw_param *v, size_t n, const struct raw_param *p)
{
	if (p->section != -1 || p->extended)
		return (false);
	for (size_t i = 0; i < n; i++)
		if (sv_eq(v[i].name, p->name) && (v[i].extended ? v[i].section <= 0 : v[i].section == 0))
			return (true);
	return (false);
}

static void
read_params(struct arena *a, struct sv v, struct mime_params *out)
{
	struct raw_param raw[MIME_PARAMS_MAX];
	struct mime_param *list;
	size_t n = 0, k = 0;

	while (n < MIME_PARAMS_MAX && next_param(a, &v, &raw[n]))
		n++;
	list = n == 0 ? NULL : arena_zalloc(a, n * sizeof(*list));
	for (size_t i = 0; i < n; i++) {
		if (raw[i].used || is_superseded(raw, n, &raw[i]))
			continue;
		if (raw[i].section == -1 && !raw[i].extended) {
			list[k].name = list[k].raw_name = raw[i].name;
			list[k].value = list[k].raw_value = raw[i].value;
			k++;
		} else if (raw[i].section <= 0) {
			join_param(a, raw, n, i, &list[k++]);
		}
	}
	out->v = list;
	out->n = k;
}

struct sv
mime_param(const struct mime_params *p, const char *name)
{
	for (size_t i = 0; i < p->n; i++)
		if (sv_eqs(p->v[i].name, name))
			return (p->v[i].value);
	return (SV_NULL);
}

bool
mime_type_parse(struct arena *a, struct sv body, struct sv *type, struct sv *subtype, struct mime_params *p)
{
	struct sv v = mime_flat(a, body), t, s;

	if (!mime_token(&v, &t))
		return (false);
	mime_skip(&v);
	if (v.len == 0 || v.p[0] != '/')
		return (false);
	v = sv_sub(v, 1, v.len);
	if (!mime_token(&v, &s))
		return (false);
	*type = t;
	*subtype = s;
	read_params(a, v, p);
	return (true);
}

bool
mime_disposition_parse(struct arena *a, struct sv body, struct sv *disp, struct mime_params *p)
{
	struct sv v = mime_flat(a, body), t;

	if (!mime_token(&v, &t))
		return (false);
	*disp = t;
	read_params(a, v, p);
	return (true);
}

struct sv
mime_filename(struct arena *a, const struct mime_part *p)
{
	struct sv v = mime_param(&p->disposition_params, "filename");

	if (v.p == NULL)
		v = mime_param(&p->params, "name");
	return (v.p == NULL ? SV_NULL : mail_header_text(a, v));
}

/* ---- the fields of a part ---- */

static enum mime_kind
kind_of(const struct mime_part *p)
{
	if (sv_caseeqs(p->type, "multipart"))
		return (MIME_MULTIPART);
	if (sv_caseeqs(p->type, "message") && (sv_caseeqs(p->subtype, "rfc822") || sv_caseeqs(p->subtype, "global")))
		return (MIME_MESSAGE);
	return (MIME_LEAF);
}

/* Unfolded, without the blanks inside that folding of a long URI leaves. */
static struct sv
without_blanks(struct arena *a, struct sv v)
{
	char *p;
	size_t n = 0;

	v = mime_flat(a, v);
	if (sv_chr(v, ' ') == -1 && sv_chr(v, '\t') == -1)
		return (v);
	p = arena_alloc(a, v.len);
	for (size_t i = 0; i < v.len; i++)
		if (v.p[i] != ' ' && v.p[i] != '\t')
			p[n++] = v.p[i];
	return ((struct sv){ p, n, v.tainted });
}

static void
read_field(struct arena *a, struct mime_part *p, struct sv name, struct sv body)
{
	struct sv v;

	name = sv_sub(name, strlen("Content-"), name.len);
	if (sv_caseeqs(name, "Type") && !p->type_given) {
		p->type_given = mime_type_parse(a, body, &p->type, &p->subtype, &p->params);
	} else if (sv_caseeqs(name, "Transfer-Encoding") && p->encoding_text.p == NULL) {
		v = mime_flat(a, body);
		if (mime_token(&v, &p->encoding_text))
			p->encoding = mail_encoding_from_text(p->encoding_text);
		else
			p->encoding_text = SV_NULL;
	} else if (sv_caseeqs(name, "Disposition") && p->disposition.p == NULL) {
		(void)mime_disposition_parse(a, body, &p->disposition, &p->disposition_params);
	} else if (sv_caseeqs(name, "ID") && p->id.p == NULL) {
		p->id = mime_flat(a, body);
	} else if (sv_caseeqs(name, "Description") && p->description.p == NULL) {
		p->description = mime_flat(a, body);
	} else if (sv_caseeqs(name, "Location") && p->location.p == NULL) {
		p->location = without_blanks(a, body);
	} else if (sv_caseeqs(name, "MD5") && p->md5.p == NULL) {
		p->md5 = mime_flat(a, body);
	} else if (sv_caseeqs(name, "Language") && p->language.p == NULL) {
		p->language = mime_flat(a, body);
	}
}

void
mime_read_fields(struct arena *a, struct mime_part *p, bool digest)
{
	const struct mail_headers *h = &p->headers;

	for (size_t i = 0; i < h->n; i++)
		if (sv_casestarts(h->v[i].name, "Content-"))
			read_field(a, p, h->v[i].name, h->v[i].body);
	if (!p->type_given) {
		p->type = digest ? SV_LIT("message") : SV_LIT("text");
		p->subtype = digest ? SV_LIT("rfc822") : SV_LIT("plain");
	}
	p->kind = kind_of(p);
}
