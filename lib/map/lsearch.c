/* SPDX-License-Identifier: BSD-2-Clause */
/* Text maps; see lsearch.h.  Quoting in keys is Exim's: \\ \" \n \t \r \ooo \xhh inside double quotes. */
#include "map/lsearch.h"

#define ENTRY_MAX	(16 * 1024 * 1024)

void
lsearch_init(struct lsearch *l, struct sv text)
{
	l->text = text;
	l->line = 1;
	sb_init(&l->key_buf, ENTRY_MAX);
	sb_init(&l->value_buf, ENTRY_MAX);
}

void
lsearch_free(struct lsearch *l)
{
	sb_free(&l->key_buf);
	sb_free(&l->value_buf);
}

/* The next line without its end; false when there is none. */
static bool
next_line(struct lsearch *l, struct sv *line)
{
	const char *nl;

	if (l->text.len == 0)
		return (false);
	nl = memchr(l->text.p, '\n', l->text.len);
	*line = l->text;
	if (nl != NULL)
		line->len = (size_t)(nl - l->text.p);
	l->text.p += line->len + (nl != NULL ? 1 : 0);
	l->text.len -= line->len + (nl != NULL ? 1 : 0);
	l->line++;
	*line = sv_trim_right(*line);
	return (true);
}

/* Does the next line go on with the entry?  Blank and comment lines in between are eaten when they lead there. */
static bool
continued(struct lsearch *l, struct sv *line)
{
	struct sv text = l->text;
	unsigned no = l->line;

	while (l->text.len > 0) {
		char c = l->text.p[0];

		if (!next_line(l, line))
			break;
		if (line->len == 0 || line->p[0] == '#')
			continue;
		if (c == ' ' || c == '\t')
			return (true);
		break;
	}
	l->text = text;
	l->line = no;
	return (false);
}

static unsigned
digit(char c)
{
	if (sv_isdigit(c))
		return ((unsigned)(c - '0'));
	c = sv_lower(c);
	return (c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 99);
}

/* An escape behind its backslash; the number of bytes eaten. */
static size_t
escape(struct sb *out, struct sv v)
{
	unsigned n = 0;
	size_t i = 0;

	switch (v.p[0]) {
	case 'n': sb_addc(out, '\n'); return (1);
	case 'r': sb_addc(out, '\r'); return (1);
	case 't': sb_addc(out, '\t'); return (1);
	case 'x':
		for (i = 1; i < v.len && i < 3 && digit(v.p[i]) < 16; i++)
			n = n * 16 + digit(v.p[i]);
		sb_addc(out, i == 1 ? 'x' : (char)n);
		return (i);
	default:
		while (i < v.len && i < 3 && digit(v.p[i]) < 8)
			n = n * 8 + digit(v.p[i++]);
		sb_addc(out, i == 0 ? v.p[0] : (char)n);
		return (i == 0 ? 1 : i);
	}
}

/* A key in double quotes; the rest of the line behind it is returned. */
static struct sv
quoted_key(struct lsearch *l, struct sv line, struct lsearch_entry *e)
{
	size_t i = 1;

	sb_clear(&l->key_buf);
	while (i < line.len && line.p[i] != '"') {
		if (line.p[i] == '\\' && i + 1 < line.len) {
			i++;
			i += escape(&l->key_buf, sv_sub(line, i, line.len));
		} else
			sb_addc(&l->key_buf, line.p[i++]);
	}
	e->key = sb_sv(&l->key_buf);
	e->quoted = true;
	if (i >= line.len)
		e->wrong = "the quote is not closed";
	return (sv_sub(line, i + 1, line.len));
}

bool
lsearch_next(struct lsearch *l, struct lsearch_entry *e)
{
	struct sv line, rest;
	size_t i;

	memset(e, 0, sizeof(*e));
	do {
		e->line = l->line;
		if (!next_line(l, &line))
			return (false);
	} while (line.len == 0 || line.p[0] == '#');
	if (sv_isspace(line.p[0])) {
		/* Exim takes such a line for a continuation of nothing. */
		e->wrong = "the line begins with a blank but continues nothing";
		e->value = sv_trim_left(line);
		return (true);
	}
	if (line.p[0] == '"')
		rest = quoted_key(l, line, e);
	else {
		for (i = 0; i < line.len && line.p[i] != ':' && !sv_isspace(line.p[i]); i++)
			continue;
		e->key = sv_sub(line, 0, i);
		rest = sv_sub(line, i, line.len);
	}
	rest = sv_trim_left(rest);
	if (rest.len > 0 && rest.p[0] == ':') {
		e->colon = true;
		rest = sv_trim_left(sv_sub(rest, 1, rest.len));
	}
	e->value = rest;
	if (!continued(l, &line))
		return (true);
	sb_clear(&l->value_buf);
	sb_add(&l->value_buf, rest);
	do {
		sb_addc(&l->value_buf, ' ');
		sb_add(&l->value_buf, sv_trim_left(line));
	} while (continued(l, &line));
	e->value = sb_sv(&l->value_buf);
	if (l->value_buf.overflow)
		e->wrong = "the entry is longer than 16 MB";
	return (true);
}
