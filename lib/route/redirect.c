/* SPDX-License-Identifier: BSD-2-Clause */
/* Redirection data as items; see redirect.h. */
#include <string.h>

#include "exim/extract.h"
#include "mail/outside.h"
#include "route/redirect.h"

/* A blank of <tag> stands for any number of them, none too. */
static bool
starts_tag(struct sv v, const char *tag)
{
	size_t i = 0;

	for (; *tag != '\0'; tag++) {
		if (*tag == ' ')
			while (i < v.len && (v.p[i] == ' ' || v.p[i] == '\t'))
				i++;
		else if (i == v.len || sv_lower(v.p[i++]) != *tag)
			return (false);
	}
	return (true);
}

enum redirect_data_kind
redirect_data_kind(struct sv data)
{
	while (data.len > 0 && sv_isspace(data.p[0]))
		data = sv_sub(data, 1, data.len);
	if (starts_tag(data, "# exim filter"))
		return (REDIRECT_EXIM_FILTER);
	return (starts_tag(data, "# sieve filter") ? REDIRECT_SIEVE_FILTER : REDIRECT_LIST);
}

/* Length of the item at the start of <v>: up to a comma or newline outside quotes, comments and angle brackets. */
static size_t
item_end(struct sv v)
{
	struct mail_outside at = { false, 0 };
	bool angle = false;

	for (size_t i = 0; i < v.len; i++) {
		char c = v.p[i];

		if (c == '\\' && i + 1 < v.len && v.p[i + 1] != '\n') {
			i++;
			continue;
		}
		if (c == '\n')
			return (i);
		if (!mail_outside(&at, c))
			continue;
		if (c == '<' || c == '>')
			angle = c == '<';
		else if (c == ',' && !angle)
			return (i);
	}
	return (v.len);
}

/* Is all of <v> one quoted string? */
static bool
is_quoted(struct sv v)
{
	if (v.len < 2 || v.p[0] != '"' || v.p[v.len - 1] != '"')
		return (false);
	for (size_t i = 1; i + 1 < v.len; i++) {
		if (v.p[i] == '\\')
			i++;
		else if (v.p[i] == '"')
			return (false);
	}
	return (true);
}

struct sv
redirect_unquote(struct arena *a, struct sv v)
{
	char *p = arena_alloc(a, v.len + 1);
	size_t n = 0;

	for (size_t i = 1; i + 1 < v.len; i++) {
		if (v.p[i] == '\\' && i + 2 < v.len)
			i++;
		p[n++] = v.p[i];
	}
	p[n] = '\0';
	return ((struct sv){ p, n, v.tainted });
}

/*
 * ":fail: text" and so on: true when <v> is one, with its text and, in *<used>, how much it takes; the text of a refusal is all
 * that follows.
 */
static bool
special(struct sv v, struct redirect_item *it, size_t *used)
{
	static const struct { const char *word; enum redirect_item_kind kind; bool rest; } sp[] = {
		{ ":include:", REDIRECT_INCLUDE, false }, { ":blackhole:", REDIRECT_BLACKHOLE, false },
		{ ":fail:", REDIRECT_FAIL, true }, { ":defer:", REDIRECT_DEFER, true },
		{ ":unknown:", REDIRECT_UNKNOWN, false },
	};

	for (size_t i = 0; i < sizeof(sp) / sizeof(sp[0]); i++) {
		size_t n = strlen(sp[i].word), end;

		if (!sv_casestarts(v, sp[i].word))
			continue;
		for (end = n; end < v.len && (sp[i].rest || (v.p[end] != '\n' && v.p[end] != ',')); end++)
			;
		it->kind = sp[i].kind;
		it->text = sv_trim(sv_sub(v, n, end));
		if (it->kind == REDIRECT_UNKNOWN && it->text.len > 0)
			return (false);
		*used = end;
		return (true);
	}
	return (false);
}

/* An item that is no special one. */
static void
classify(struct arena *a, struct sv v, struct redirect_item *it)
{
	struct exim_extracted x;
	struct err err = ERR_INIT;
	bool ok;

	if (v.len > 1 && v.p[0] == '\\') {
		it->verbatim = true;
		v = sv_sub(v, 1, v.len);
	}
	ok = exim_extract(v, EXIM_EXTRACT_LITERALS, a, &x, &err) == 0;
	/* In front of a whole address the backslash is a part of it. */
	if (it->verbatim && ok && x.domain > 0) {
		it->verbatim = false;
		v = sv_from(v.p - 1, v.len + 1);
		v.tainted = it->raw.tainted;
		ok = exim_extract(v, EXIM_EXTRACT_LITERALS, a, &x, &err) == 0;
	}
	if (!it->verbatim && (v.p[0] == '|' || v.p[0] == '/') && !(ok && x.domain > 0)) {
		it->kind = v.p[0] == '|' ? REDIRECT_PIPE : v.len > 1 && v.p[v.len - 1] == '/' ? REDIRECT_DIRECTORY : REDIRECT_FILE;
		it->text = v.p[0] == '|' ? sv_trim(sv_sub(v, 1, v.len)) : v;
		return;
	}
	if (!ok) {
		it->kind = REDIRECT_BAD;
		it->text = v;
		it->err_text = arena_str(a, err.text);
		return;
	}
	it->kind = REDIRECT_ADDRESS;
	it->text = x.address;
}

bool
redirect_next(struct sv *data, struct arena *a, struct redirect_item *item)
{
	size_t n;

	memset(item, 0, sizeof(*item));
	for (;;) {
		size_t i = 0;

		while (i < data->len && (sv_isspace(data->p[i]) || data->p[i] == ','))
			i++;
		*data = sv_sub(*data, i, data->len);
		if (data->len == 0)
			return (false);
		if (data->p[0] == '#') {
			ptrdiff_t nl = sv_chr(*data, '\n');

			*data = sv_sub(*data, nl < 0 ? data->len : (size_t)nl + 1, data->len);
			continue;
		}
		if (special(*data, item, &n)) {
			item->raw = sv_trim(sv_sub(*data, 0, n));
			*data = sv_sub(*data, n, data->len);
			return (true);
		}
		n = item_end(*data);
		item->raw = sv_trim(sv_sub(*data, 0, n));
		*data = sv_sub(*data, n, data->len);
		if (item->raw.len == 0)
			continue;
		if (is_quoted(item->raw)) {
			struct sv inner = redirect_unquote(a, item->raw);
			size_t used;

			if (inner.len == 0)
				continue;
			if (special(inner, item, &used))
				return (true);
			classify(a, inner, item);
		} else
			classify(a, item->raw, item);
		/* A comment alone is nothing. */
		if (item->kind == REDIRECT_BAD && strcmp(item->err_text, "empty address") == 0) {
			memset(item, 0, sizeof(*item));
			continue;
		}
		return (true);
	}
}
