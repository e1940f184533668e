/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the files of the address parser: a cursor over the text and the grammar's smallest pieces. */
#ifndef VPOST_MAIL_ADDRESS_INT_H
#define VPOST_MAIL_ADDRESS_INT_H

#include "mail/address.h"

struct addr_reader {
	struct sv	 v;		/* the whole text */
	size_t		 i;		/* where we are */
	unsigned	 flags;
	bool		 cfws;		/* comments and folding white space may stand between the pieces */
	bool		 lax;		/* mail_addrlist_read: any atom is a domain label */
	struct arena	*a;
	bool		 unclosed;	/* a comment reached to the end of the text */
	struct sv	 comment;	/* text of the last comment; p NULL: none */
	struct err	*err;
};

static inline char
addr_peek(const struct addr_reader *r)
{
	return (r->i < r->v.len ? r->v.p[r->i] : '\0');
}

static inline bool
addr_at_end(const struct addr_reader *r)
{
	return (r->i >= r->v.len);
}

/* Text that must be UTF-8 or ASCII by the flags; -1 with *r->err otherwise. */
int	 addr_check_bytes(struct addr_reader *r);
/* Blanks, and comments with r->cfws. */
void	 addr_skip(struct addr_reader *r);
bool	 addr_is_atext(const struct addr_reader *r, char c);
/* An atom or quoted string appended to <out> without quotes; false if there is none, or with *r->err set. */
bool	 addr_word(struct addr_reader *r, struct sb *out, bool *quoted);
/* local-part, domain, route and addr-spec into the fields of <m>; -1 with *r->err. */
int	 addr_local(struct addr_reader *r, struct mail_address *m);
int	 addr_domain(struct addr_reader *r, struct mail_address *m);
int	 addr_route(struct addr_reader *r, struct mail_address *m);
int	 addr_spec(struct addr_reader *r, struct mail_address *m);
/* "malformed address: REST may not follow START", as Exim says it. */
int	 addr_trailing(struct addr_reader *r, size_t start);
/* "<...>", the cursor at the '<'; <skip> passes over what may stand within the brackets (address.c). */
int	 addr_angle(struct addr_reader *r, struct mail_address *m, size_t start, void (*skip)(struct addr_reader *r));
int	 addr_bad(struct addr_reader *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
