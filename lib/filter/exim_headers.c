/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * headers add, remove, charset (filter manual 3.20, Exim's manual 47.6): what a system filter changes is seen by
 * its next commands, so the message of the environment gets new lists.
 */
#include <string.h>

#include "exim/match.h"
#include "mail/header.h"
#include "exim_int.h"

#define ADDED_MAX	1000

/* Length of the field at the start of <v>: to a newline that no blank follows. */
static size_t
field_length(struct sv v)
{
	size_t i = 0;

	while (i < v.len && !(v.p[i] == '\n' && (i + 1 == v.len || (v.p[i + 1] != ' ' && v.p[i + 1] != '\t'))))
		i++;
	return (i < v.len ? i + 1 : i);
}

static void
add_fields(struct xf_run *w, struct sv text)
{
	struct exim_message *m = w->env->msg;
	struct arena *a = w->env->arena;

	while (text.len > 0 && m->nadded < ADDED_MAX) {
		size_t n = field_length(text);
		struct exim_header_add *v = arena_alloc(a, (m->nadded + 1) * sizeof(*v));

		if (m->nadded > 0)
			memcpy(v, m->added, m->nadded * sizeof(*v));
		v[m->nadded].text = text.p[n - 1] == '\n' ? arena_sv(a, sv_sub(text, 0, n)) :
		    sv_cstr(arena_fmt(a, SV_FMT "\n", SV_ARG(text)));
		m->added = v;
		m->nadded++;
		text = sv_sub(text, n, text.len);
	}
}

static void
remove_received(struct xf_run *w, struct sv name)
{
	struct exim_message *m = w->env->msg;
	size_t n = m->headers == NULL ? 0 : m->headers->n;
	bool *gone = arena_zalloc(w->env->arena, n + 1);

	for (size_t i = 0; i < n; i++)
		gone[i] = (m->headers_gone != NULL && m->headers_gone[i]) || sv_caseeq(m->headers->v[i].name, name);
	m->headers_gone = gone;
}

static void
remove_added(struct xf_run *w, struct sv name)
{
	struct exim_message *m = w->env->msg;
	struct exim_header_add *v = arena_alloc(w->env->arena, (m->nadded + 1) * sizeof(*v));
	size_t n = 0;

	for (size_t i = 0; i < m->nadded; i++) {
		ptrdiff_t colon = sv_chr(m->added[i].text, ':');

		if (colon < 0 || !sv_caseeq(sv_trim(sv_sub(m->added[i].text, 0, (size_t)colon)), name))
			v[n++] = m->added[i];
	}
	m->added = v;
	m->nadded = n;
}

void
xf_headers(struct xf_run *w, const struct xf_cmd *c)
{
	static const char *const words[] = { "add", "remove", "charset" };
	static const enum filter_kind kinds[] = { FILTER_HEADER_ADD, FILTER_HEADER_REMOVE, FILTER_HEADER_CHARSET };
	struct filter_action a = { .kind = kinds[c->headers] };
	struct err err = ERR_INIT;
	char *text = NULL;
	struct sv list, name;
	int sep = 0;

	/* A forced failure means "nothing to add" (Exim's manual 47.6), but not where filters are tested. */
	if (c->headers == XF_HEADERS_ADD && w->r->test == NULL && exim_expand_cstr(c->arg[0], w->env, &text, &err) == EXIM_FORCED)
		return;
	if (text == NULL && (text = (char *)(uintptr_t)xf_expand(w, c->arg[0], "headers command")) == NULL)
		return;
	if (w->r->test != NULL)
		fprintf(w->r->test, "Headers %s \"%s\"\n", words[c->headers], xf_printing(w, sv_cstr(text)));
	list = sv_cstr(text);
	switch (c->headers) {
	case XF_HEADERS_ADD:
		while (list.len > 0 && sv_isspace(list.p[0]))
			list = sv_sub(list, 1, list.len);
		if (list.len == 0)
			return;
		a.text = list;
		add_fields(w, list);
		break;
	case XF_HEADERS_REMOVE:
		a.text = list;
		while (exim_list_next(&list, &sep, w->env->arena, &name)) {
			remove_received(w, name);
			remove_added(w, name);
		}
		break;
	case XF_HEADERS_CHARSET:
		a.text = list;
		if (w->env->g != NULL)
			w->env->g->headers_charset = arena_sv(w->env->arena, list);
		break;
	}
	if (w->r->test == NULL)
		(void)xf_act(w, &a, c);
}
