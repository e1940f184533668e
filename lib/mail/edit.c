/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A changed copy of a header block.  The changes are lists in the caller's arena;
 * the block itself is not touched, so that an abandoned edit leaves nothing behind.
 */
#include <assert.h>

#include "mail/header.h"

struct text {
	struct text	*next;
	struct sv	 v;
};

struct mail_edit {
	struct arena	*arena;
	const struct mail_headers *h;
	struct sv	*change;	/* per field; p NULL and len 1: as it is, len 0: removed; NULL: no field changed */
	struct text	*prepended;	/* the latest first: their order in the block */
	struct text	*appended, **appended_end;
};

struct mail_edit *
mail_edit_new(struct arena *a, const struct mail_headers *h)
{
	struct mail_edit *e = arena_zalloc(a, sizeof(*e));

	e->arena = a;
	e->h = h;
	e->appended_end = &e->appended;
	return (e);
}

static struct sv *
field_change(struct mail_edit *e, size_t i)
{
	assert(i < e->h->n);
	if (e->change == NULL) {
		e->change = arena_zalloc(e->arena, e->h->n * sizeof(*e->change));
		for (size_t k = 0; k < e->h->n; k++)
			e->change[k].len = 1;
	}
	return (&e->change[i]);
}

void
mail_edit_remove(struct mail_edit *e, size_t i)
{
	*field_change(e, i) = SV_NULL;
}

size_t
mail_edit_remove_name(struct mail_edit *e, const char *name)
{
	size_t n = 0;

	for (ptrdiff_t i = mail_headers_find(e->h, name, 0); i != -1;
	     i = mail_headers_find(e->h, name, (size_t)i + 1)) {
		mail_edit_remove(e, (size_t)i);
		n++;
	}
	return (n);
}

void
mail_edit_replace(struct mail_edit *e, size_t i, struct sv text)
{
	*field_change(e, i) = text.p == NULL ? SV_NULL : text;
}

void
mail_edit_prepend(struct mail_edit *e, struct sv text)
{
	struct text *t = arena_zalloc(e->arena, sizeof(*t));

	t->v = text;
	t->next = e->prepended;
	e->prepended = t;
}

void
mail_edit_append(struct mail_edit *e, struct sv text)
{
	struct text *t = arena_zalloc(e->arena, sizeof(*t));

	t->v = text;
	*e->appended_end = t;
	e->appended_end = &t->next;
}

void
mail_edit_write(const struct mail_edit *e, struct sb *out)
{
	const struct mail_headers *h = e->h;
	size_t end = 0;

	for (const struct text *t = e->prepended; t != NULL; t = t->next)
		sb_add(out, t->v);
	for (size_t i = 0; i < h->n; i++) {
		const struct mail_header *f = &h->v[i];

		end = f->offset + f->length;
		if (e->change == NULL || (e->change[i].p == NULL && e->change[i].len == 1))
			sb_add(out, sv_sub(h->block, f->offset, end));
		else
			sb_add(out, e->change[i]);
	}
	/* What was not indexed (too many fields) goes along unchanged. */
	if (h->truncated)
		sb_add(out, sv_sub(h->block, end, h->fields_end));
	/* A last field without its line end would swallow the next one. */
	if (e->appended != NULL && out->len > 0 && out->p[out->len - 1] != '\n')
		sb_adds(out, "\r\n");
	for (const struct text *t = e->appended; t != NULL; t = t->next)
		sb_add(out, t->v);
}
