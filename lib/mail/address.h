/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Addresses: SMTP paths (RFC 5321 section 4.1.2) and address lists of header
 * fields (RFC 5322 section 3.4, with the obsolete forms of section 4.4).  Error
 * texts are those of Exim, so that its users recognise them.
 */
#ifndef VPOST_MAIL_ADDRESS_H
#define VPOST_MAIL_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/sb.h"
#include "base/sv.h"

#define MAIL_LOCAL_MAX		64	/* RFC 5321 4.5.3.1.1: in strict mode; Exim accepts longer ones */
#define MAIL_DOMAIN_MAX		255	/* RFC 5321 4.5.3.1.2 */
#define MAIL_PATH_MAX		256	/* RFC 5321 4.5.3.1.3, with the angle brackets: in strict mode */
#define MAIL_ADDRESS_MAX	1024	/* local part, @, domain: in any mode */
#define MAIL_ADDRLIST_MAX	10000	/* addresses of one list */

#define MAIL_ADDR_STRICT	0x01	/* the RFC's lengths and syntax, no obsolete forms but routes in paths */
#define MAIL_ADDR_UTF8		0x02	/* UTF-8 in local part, domain and names (RFC 6531, 6532) */
#define MAIL_ADDR_BARE		0x04	/* a local part alone (no domain) is accepted */
#define MAIL_ADDR_EMPTY		0x08	/* "<>" is accepted: both parts empty */
#define MAIL_ADDR_LITERAL	0x10	/* domain literals "[192.0.2.1]", "[IPv6:...]" are accepted */
#define MAIL_ADDR_BARE_PATH	0x20	/* mail_path_parse: the angle brackets may be missing */
#define MAIL_ADDR_8BIT		0x40	/* any byte above 127, as old mailers write them */
#define MAIL_ADDR_STRIP_ANGLES	0x80	/* mail_path_lenient: "<<a@b>>" is "<a@b>" */
#define MAIL_ADDR_STRIP_DOT	0x100	/* mail_path_lenient: the root dot behind a domain is dropped */

enum mail_item {
	MAIL_ITEM_ADDRESS,
	MAIL_ITEM_GROUP,	/* start of a group: <name> */
	MAIL_ITEM_GROUP_END
};

struct mail_address {
	enum mail_item	 item;
	struct sv	 local;		/* quotes as needed only: canonical RFC 5321 form */
	struct sv	 local_plain;	/* without quotes and backslashes: for looking things up, IMAP */
	struct sv	 domain;	/* as written, without comments and blanks; literals with brackets; empty if none */
	struct sv	 route;		/* "@a,@b" of a source route, empty if none */
	struct sv	 name;		/* display name without quotes and comments, not RFC 2047 decoded; p NULL if none */
	struct sv	 comment;	/* text of the last comment, as old mailers write names; p NULL if none */
	struct sv	 raw;		/* the part of the input that this item was read from */
};

/*
 * A path at the start of <text>: "<local@domain>", "<@a,@b:local@domain>" (the route is told
 * and ignored, RFC 5321 appendix C), "<>".  *<rest> (may be NULL: nothing may follow) gets what stands
 * behind it.  Slices point into <text>, or into <a> where the canonical form differs.
 * -1 and PERM 5.1.3 (5.1.7 is the caller's to set for senders) otherwise.
 */
int	 mail_path_parse(struct sv text, unsigned flags, struct arena *a, struct mail_address *out, struct sv *rest,
	     struct err *err);

/*
 * The whole of <text> as the path of a MAIL or RCPT command, as Exim reads it: the angle brackets may be missing, dots may
 * stand anywhere in the local part, comments between the pieces; MAIL_ADDR_EMPTY, _LITERAL, _UTF8, _8BIT and _STRIP_*
 * count.  A local part that is empty but for its quotes has <local> "\"\"".
 */
int	 mail_path_lenient(struct sv text, unsigned flags, struct arena *a, struct mail_address *out, struct err *err);

/*
 * One address as headers, aliases and command lines write it: "local@domain", "Name <local@domain>",
 * "(comment) local@domain".  Exactly one; groups are refused.
 */
int	 mail_address_parse(struct sv text, unsigned flags, struct arena *a, struct mail_address *out, struct err *err);

struct mail_addrlist {
	struct mail_address *v;		/* in <a>; groups as MAIL_ITEM_GROUP ... MAIL_ITEM_GROUP_END */
	size_t		 n;
	size_t		 bad;		/* pieces skipped by mail_addrlist_read */
};

/* All of <text>, a list by commas; empty pieces are accepted (RFC 5322 4.4).  -1 at the first mistake. */
int	 mail_addrlist_parse(struct sv text, unsigned flags, struct arena *a, struct mail_addrlist *out,
	     struct err *err);
/* Lenient: takes what can be read (UTF-8, 8-bit, bare and literal forms), skips the rest up to the next comma. */
void	 mail_addrlist_read(struct sv text, struct arena *a, struct mail_addrlist *out);

/* "local@domain", or "local" without a domain; nothing for the empty path. */
void	 mail_address_put(struct sb *out, const struct mail_address *m);
/* The local part <plain> with quotes if it needs them (RFC 5321 4.1.2). */
void	 mail_local_put(struct sb *out, struct sv plain);
/* True for RFC 5321 Domain (LDH labels of 1 to 63 bytes, no dot at the end); with <utf8> also U-labels. */
bool	 mail_domain_ok(struct sv domain, bool utf8);
/* True for "[1.2.3.4]" and "[IPv6:...]" of RFC 5321 4.1.3. */
bool	 mail_domain_literal_ok(struct sv domain);

#endif
