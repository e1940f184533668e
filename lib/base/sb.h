/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A string that is built: it grows on the heap up to a hard limit.  What would
 * pass the limit is not added and sets <overflow>, which stays set: build, then
 * ask once.  The content is always followed by a NUL that does not count.
 */
#ifndef VPOST_BASE_SB_H
#define VPOST_BASE_SB_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/sv.h"

struct sb {
	char	*p;		/* NULL until something was added */
	size_t	 len;
	size_t	 cap;
	size_t	 max;
	bool	 overflow;
	unsigned char tainted;	/* something tainted was added: as in struct sv */
};

#define SB_INIT(limit)	{ .p = NULL, .len = 0, .cap = 0, .max = (limit), .overflow = false, .tainted = false }

void	 sb_init(struct sb *sb, size_t max);
void	 sb_free(struct sb *sb);		/* may be used again */
void	 sb_wipe(struct sb *sb);		/* the same for secrets: they are overwritten */
void	 sb_clear(struct sb *sb);		/* keeps the memory */
void	 sb_cut(struct sb *sb, size_t len);	/* shorten to <len> */
void	 sb_drop(struct sb *sb, size_t n);	/* remove the first <n> bytes */
void	 sb_add(struct sb *sb, struct sv v);
void	 sb_adds(struct sb *sb, const char *s);
void	 sb_addc(struct sb *sb, char c);
void	 sb_addn(struct sb *sb, const void *p, size_t len);
void	 sb_addf(struct sb *sb, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void	 sb_addv(struct sb *sb, const char *fmt, va_list ap);
/* Room for <n> more bytes at sb->p + sb->len, or NULL (overflow is set); add what was used to sb->len by sb_took. */
char	*sb_room(struct sb *sb, size_t n);
void	 sb_took(struct sb *sb, size_t n);
/* The content; valid until the next change. */
struct sv sb_sv(const struct sb *sb);
/* The content as a C string, never NULL; valid until the next change. */
const char *sb_cstr(const struct sb *sb);
/* Hand the memory to the caller, who frees it; the builder is empty afterwards. Never NULL. */
char	*sb_steal(struct sb *sb, size_t *len);

#endif
