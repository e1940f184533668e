/* SPDX-License-Identifier: BSD-2-Clause */
/* The string builder with a hard limit; see sb.h. */
#include "base/sb.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

void
sb_init(struct sb *sb, size_t max)
{
	memset(sb, 0, sizeof(*sb));
	sb->max = max;
}

void
sb_free(struct sb *sb)
{
	free(sb->p);
	sb_init(sb, sb->max);
}

void
sb_wipe(struct sb *sb)
{
	if (sb->p != NULL)
		explicit_bzero(sb->p, sb->cap);
	sb_free(sb);
}

void
sb_clear(struct sb *sb)
{
	sb->len = 0;
	sb->overflow = false;
	sb->tainted = false;
	if (sb->p != NULL)
		sb->p[0] = '\0';
}

void
sb_cut(struct sb *sb, size_t len)
{
	assert(len <= sb->len);
	sb->len = len;
	if (sb->p != NULL)
		sb->p[len] = '\0';
}

void
sb_drop(struct sb *sb, size_t n)
{
	assert(n <= sb->len);
	if (n == 0)
		return;
	memmove(sb->p, sb->p + n, sb->len - n);
	sb_cut(sb, sb->len - n);
}

char *
sb_room(struct sb *sb, size_t n)
{
	size_t cap;

	if (n > sb->max - sb->len || sb->overflow) {
		sb->overflow = true;
		return (NULL);
	}
	if (sb->len + n + 1 > sb->cap) {
		cap = sb->cap == 0 ? 64 : sb->cap * 2;
		if (cap < sb->len + n + 1)
			cap = sb->len + n + 1;
		if (cap > sb->max + 1)
			cap = sb->max + 1;
		sb->p = xrealloc(sb->p, cap);
		sb->cap = cap;
	}
	return (sb->p + sb->len);
}

void
sb_took(struct sb *sb, size_t n)
{
	assert(sb->len + n < sb->cap);
	sb->len += n;
	sb->p[sb->len] = '\0';
}

void
sb_addn(struct sb *sb, const void *p, size_t len)
{
	char *q;

	if (len == 0)
		return;
	q = sb_room(sb, len);
	if (q == NULL)
		return;
	memcpy(q, p, len);
	sb_took(sb, len);
}

void
sb_add(struct sb *sb, struct sv v)
{
	sb_addn(sb, v.p, v.len);
	if (v.tainted)
		sb->tainted = true;
}

void
sb_adds(struct sb *sb, const char *s)
{
	sb_addn(sb, s, strlen(s));
}

void
sb_addc(struct sb *sb, char c)
{
	sb_addn(sb, &c, 1);
}

void
sb_addv(struct sb *sb, const char *fmt, va_list ap)
{
	char small[256];
	va_list again;
	char *q;
	int n;

	va_copy(again, ap);
	n = vsnprintf(small, sizeof(small), fmt, ap);
	assert(n >= 0);
	if ((size_t)n < sizeof(small)) {
		sb_addn(sb, small, (size_t)n);
	} else if ((q = sb_room(sb, (size_t)n)) != NULL) {
		(void)vsnprintf(q, (size_t)n + 1, fmt, again);
		sb_took(sb, (size_t)n);
	}
	va_end(again);
}

void
sb_addf(struct sb *sb, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	sb_addv(sb, fmt, ap);
	va_end(ap);
}

struct sv
sb_sv(const struct sb *sb)
{
	return ((struct sv){ sb->p == NULL ? "" : sb->p, sb->len, sb->tainted });
}

const char *
sb_cstr(const struct sb *sb)
{
	return (sb->p == NULL ? "" : sb->p);
}

char *
sb_steal(struct sb *sb, size_t *len)
{
	char *p = sb->p == NULL ? xstrdup("") : sb->p;

	if (len != NULL)
		*len = sb->len;
	sb_init(sb, sb->max);
	return (p);
}
