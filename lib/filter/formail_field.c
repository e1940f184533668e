/* SPDX-License-Identifier: BSD-2-Clause */
/* Header fields of formail: names, lists, renaming, and what the options -i -I -R -u -U do to them. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "filter/formail_int.h"

#define FROM	"From "

bool
formail_is_from(const char *s)
{
	return (strncmp(s, FROM, strlen(FROM)) == 0);
}

/* Behind the first word of a name: blanks and then a colon are still part of it. */
static ptrdiff_t
name_with_blanks(const char *line, size_t len, size_t i)
{
	size_t q = i + 1;

	while (q < len && (line[q] == ' ' || line[q] == '\t'))
		q++;
	if (q < len && line[q] == ':')
		return ((ptrdiff_t)q + 1);
	if (len >= strlen(FROM) && formail_is_from(line))
		return ((ptrdiff_t)strlen(FROM));
	return (-((ptrdiff_t)i + 1));
}

ptrdiff_t
formail_name(const char *line, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (line[i] == ':')
			return (i > 0 ? (ptrdiff_t)i + 1 : 0);
		if (line[i] == ' ' || line[i] == '\t')
			return (i > 0 ? name_with_blanks(line, len, i) : 0);
		if (iscntrl((unsigned char)line[i]))
			return (-(ptrdiff_t)i);
	}
	return (-(ptrdiff_t)len);
}

void
formail_add(struct formail_list *l, const char *text, size_t len, bool header)
{
	ptrdiff_t id = formail_name(text, len);
	struct formail_field p = { .text = xmalloc(len + 1), .len = len, .kept = -1 };

	memcpy(p.text, text, len);
	p.text[len] = '\0';
	p.id = id > 0 ? (size_t)id : header ? 0 : (size_t)-id;
	vec_push(&l->v, p);
}

void
formail_list_free(struct formail_list *l)
{
	for (size_t i = 0; i < l->v.len; i++)
		free(l->v.p[i].text);
	vec_free(&l->v);
}

void
formail_drop(struct formail_list *l, size_t i)
{
	formail_set(&l->v.p[i], NULL, 0, 0);
}

void
formail_compact(struct formail_list *l)
{
	size_t n = 0;

	for (size_t i = 0; i < l->v.len; i++)
		if (l->v.p[i].text != NULL)
			l->v.p[n++] = l->v.p[i];
	l->v.len = n;
}

void
formail_set(struct formail_field *p, char *text, size_t len, size_t id)
{
	free(p->text);
	p->text = text;
	p->len = len;
	p->id = id;
}

struct formail_field *
formail_find(const struct formail_field *p, struct formail_list *l)
{
	for (size_t i = 0; i < l->v.len; i++) {
		struct formail_field *h = &l->v.p[i];

		if (p->id >= h->id && strncasecmp(p->text, h->text, h->id) == 0)
			return (h);
	}
	return (NULL);
}

/* For -u and -U a part of a name stands for each whole name once: the whole name gets an entry of its own. */
static struct formail_field *
find_whole(const struct formail_field *p, struct formail_list *l)
{
	struct formail_field *h = formail_find(p, l), whole;
	size_t i;

	if (h == NULL || p->id == h->id)
		return (h);
	i = (size_t)(h - l->v.p);
	whole = (struct formail_field){ .text = xstrndup(p->text, p->id), .len = p->id, .id = p->id, .kept = -1 };
	vec_push(&l->v, whole);
	memmove(&l->v.p[i + 1], &l->v.p[i], (l->v.len - 1 - i) * sizeof(whole));
	l->v.p[i] = whole;
	return (&l->v.p[i]);
}

ptrdiff_t
formail_find_name(const struct formail_list *l, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < l->v.len; i++)
		if (l->v.p[i].id >= n && strncasecmp(l->v.p[i].text, name, n) == 0)
			return ((ptrdiff_t)i);
	return (-1);
}

/* ">From " lines behind a postmark become a folded field, and the other way round. */
static void
refold(struct formail_field *p, bool to_from)
{
	for (size_t i = 1; i < p->len; i++) {
		if (p->text[i - 1] != '\n')
			continue;
		if (!to_from && p->text[i] == '>')
			p->text[i] = ' ';
		else if (to_from && (p->text[i] == ' ' || p->text[i] == '\t'))
			p->text[i] = '>';
	}
}

void
formail_rename(struct formail_field *p, size_t oldlen, const char *name, size_t len)
{
	bool to_from = len == strlen(FROM) && formail_is_from(name);
	char *text;

	if (formail_is_from(p->text))
		refold(p, false);
	if (to_from)
		refold(p, true);
	if (to_from || (len > 0 && name[len - 1] == ':'))
		oldlen = p->id;
	text = xmalloc(p->len - oldlen + len + 1);
	memcpy(text, name, len);
	memcpy(text + len, p->text + oldlen, p->len - oldlen);
	text[p->len - oldlen + len] = '\0';
	formail_set(p, text, p->len - oldlen + len, p->id - oldlen + len);
}

void
formail_join(struct formail_field *p)
{
	if (formail_is_from(p->text))
		return;
	for (size_t i = 0; i + 1 < p->len; i++)
		if (p->text[i] == '\n')
			p->text[i] = ' ';
}

static void
forget_kept(struct formail_list *l)
{
	for (size_t i = 0; i < l->v.len; i++)
		l->v.p[i].kept = -1;
}

/* -u and -U for field <i>: it, or one before it, may be dropped. */
static void
unique(struct formail_run *r, size_t i)
{
	struct formail *f = r->f;
	struct formail_field *u = find_whole(&r->head.v.p[i], &f->u), *last;

	if (u != NULL && u->kept < 0) {
		u->kept = (ptrdiff_t)i;
		return;
	}
	last = find_whole(&r->head.v.p[i], &f->U);
	if (last == NULL && u == NULL)
		return;
	if (last == NULL)
		formail_drop(&r->head, i);
	else {
		if (last->kept >= 0)
			formail_drop(&r->head, (size_t)last->kept);
		last->kept = (ptrdiff_t)i;
	}
}

void
formail_change(struct formail_run *r, bool reply_pass)
{
	struct formail *f = r->f;

	forget_kept(&f->u);
	forget_kept(&f->U);
	for (size_t i = 0; i < r->head.v.len; i++) {
		struct formail_field *p = &r->head.v.p[i], *o;

		if (!reply_pass && (o = formail_find(p, &f->i)) != NULL && !(f->reply && p->id + 1 >= o->len))
			formail_rename(p, 0, "Old-", 4);
		else {
			if ((o = formail_find(p, &f->I)) != NULL && !(reply_pass && p->id + 1 < o->len)) {
				formail_drop(&r->head, i);
				continue;
			}
			if ((o = formail_find(p, &f->R)) != NULL)
				formail_rename(p, o->id, o->text + o->id, o->len - o->id);
		}
		unique(r, i);
	}
	formail_compact(&r->head);
}
