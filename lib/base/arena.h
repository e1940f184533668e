/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory with one lifetime (a configuration, a session, a command).  Nothing is
 * freed singly.  Out of memory ends the process: the spool survives that.
 */
#ifndef VPOST_BASE_ARENA_H
#define VPOST_BASE_ARENA_H

#include <stddef.h>

#include "base/sv.h"

struct arena;

/* <chunk> is the size of the pieces taken from the heap (0: 4 KiB); none is taken before the first use. */
struct arena	*arena_new(size_t chunk);
void		 arena_free(struct arena **ap);
/* Everything given out becomes invalid; keeps at most one chunk. */
void		 arena_reset(struct arena *a);
void		*arena_alloc(struct arena *a, size_t n);	/* aligned to 16, not cleared, never NULL */
void		*arena_zalloc(struct arena *a, size_t n);
void		*arena_dup(struct arena *a, const void *p, size_t n);
char		*arena_str(struct arena *a, const char *s);	/* NULL stays NULL */
struct sv	 arena_sv(struct arena *a, struct sv v);	/* copy, NUL behind it; keeps taint */
char		*arena_cstr(struct arena *a, struct sv v);	/* copy as C string */
/* In lower case (ASCII): <v> itself where it is, else a copy, NUL behind it; keeps taint. */
struct sv	 arena_lower(struct arena *a, struct sv v);
char		*arena_fmt(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
size_t		 arena_used(const struct arena *a);

/* Heap that ends the process when there is none left. */
void	*xmalloc(size_t n);
void	*xcalloc(size_t n, size_t size);
void	*xrealloc(void *p, size_t n);
void	*xreallocarray(void *p, size_t n, size_t size);
char	*xstrdup(const char *s);
char	*xstrndup(const char *s, size_t n);

#endif
