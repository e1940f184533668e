/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Arenas: a list of chunks, the newest first; and the heap calls that end the
 * process when there is no memory.
 */
#include "base/arena.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ALIGN	16

struct chunk {
	struct chunk	*next;
	size_t		 size;		/* of data[] */
	size_t		 used;
	_Alignas(ALIGN) char data[];
};

struct arena {
	struct chunk	*head;
	size_t		 chunk;
	size_t		 used;		/* given out in all */
};

static _Noreturn void
no_memory(void)
{
	static const char text[] = "out of memory\n";

	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	abort();
}

void *
xmalloc(size_t n)
{
	void *p = malloc(n == 0 ? 1 : n);

	if (p == NULL)
		no_memory();
	return (p);
}

void *
xcalloc(size_t n, size_t size)
{
	void *p = calloc(n == 0 ? 1 : n, size == 0 ? 1 : size);

	if (p == NULL)
		no_memory();
	return (p);
}

void *
xrealloc(void *p, size_t n)
{
	p = realloc(p, n == 0 ? 1 : n);
	if (p == NULL)
		no_memory();
	return (p);
}

void *
xreallocarray(void *p, size_t n, size_t size)
{
	if (size != 0 && n > SIZE_MAX / size)
		no_memory();
	return (xrealloc(p, n * size));
}

char *
xstrdup(const char *s)
{
	return (xstrndup(s, strlen(s)));
}

char *
xstrndup(const char *s, size_t n)
{
	char *p = xmalloc(n + 1);

	if (n > 0)
		memcpy(p, s, n);
	p[n] = '\0';
	return (p);
}

struct arena *
arena_new(size_t chunk)
{
	struct arena *a = xmalloc(sizeof(*a));

	a->head = NULL;
	a->used = 0;
	a->chunk = (chunk == 0 ? 4096 : chunk) - sizeof(struct chunk);
	return (a);
}

static void
free_chunks(struct chunk *c)
{
	while (c != NULL) {
		struct chunk *next = c->next;

		free(c);
		c = next;
	}
}

void
arena_free(struct arena **ap)
{
	if (*ap == NULL)
		return;
	free_chunks((*ap)->head);
	free(*ap);
	*ap = NULL;
}

void
arena_reset(struct arena *a)
{
	a->used = 0;
	if (a->head == NULL)
		return;
	free_chunks(a->head->next);
	a->head->next = NULL;
	a->head->used = 0;
	if (a->head->size > a->chunk) {
		free(a->head);
		a->head = NULL;
	}
}

void *
arena_alloc(struct arena *a, size_t n)
{
	struct chunk *c = a->head;
	size_t size;

	if (n > SIZE_MAX / 2)
		no_memory();
	n = (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	if (c == NULL || c->size - c->used < n) {
		size = n > a->chunk ? n : a->chunk;
		c = xmalloc(sizeof(*c) + size);
		c->size = size;
		c->used = 0;
		/* A large block does not hide the room left in the present chunk. */
		if (a->head != NULL && n > a->chunk / 2) {
			c->next = a->head->next;
			a->head->next = c;
		} else {
			c->next = a->head;
			a->head = c;
		}
	}
	c->used += n;
	a->used += n;
	return (c->data + c->used - n);
}

void *
arena_zalloc(struct arena *a, size_t n)
{
	return (memset(arena_alloc(a, n), 0, n));
}

void *
arena_dup(struct arena *a, const void *p, size_t n)
{
	void *q = arena_alloc(a, n);

	if (n > 0)
		memcpy(q, p, n);
	return (q);
}

char *
arena_cstr(struct arena *a, struct sv v)
{
	char *p = arena_alloc(a, v.len + 1);

	if (v.len > 0)
		memcpy(p, v.p, v.len);
	p[v.len] = '\0';
	return (p);
}

char *
arena_str(struct arena *a, const char *s)
{
	return (s == NULL ? NULL : arena_cstr(a, sv_cstr(s)));
}

struct sv
arena_sv(struct arena *a, struct sv v)
{
	v.p = arena_cstr(a, v);
	return (v);
}

struct sv
arena_lower(struct arena *a, struct sv v)
{
	size_t i = 0;
	char *p;

	while (i < v.len && sv_lower(v.p[i]) == v.p[i])
		i++;
	if (i == v.len)
		return (v);
	p = arena_cstr(a, v);
	for (; i < v.len; i++)
		p[i] = sv_lower(p[i]);
	v.p = p;
	return (v);
}

char *
arena_fmt(struct arena *a, const char *fmt, ...)
{
	va_list ap, again;
	char *p;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	assert(n >= 0);
	p = arena_alloc(a, (size_t)n + 1);
	(void)vsnprintf(p, (size_t)n + 1, fmt, again);
	va_end(again);
	va_end(ap);
	return (p);
}

size_t
arena_used(const struct arena *a)
{
	return (a->used);
}
