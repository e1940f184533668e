/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The MIME tree of a message (RFC 2045, 2046, 2183, 2231) with exact byte
 * offsets.  Any bytes give a tree: what is broken is a leaf, an unterminated
 * multipart ends where its parent ends, limits end the descent, never the parse.
 * Sizes and lines are those of the bytes at hand.
 */
#ifndef VPOST_MAIL_MIME_H
#define VPOST_MAIL_MIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/sb.h"
#include "base/sv.h"
#include "mail/header.h"

#define MIME_DEPTH_MAX	100
#define MIME_PARTS_MAX	10000
#define MIME_PARAMS_MAX	100

struct mime_param {
	struct sv	 name;		/* lower case, without the "*" marks of RFC 2231 */
	struct sv	 value;		/* unquoted; continuations joined; RFC 2231 charset decoded to UTF-8 */
	struct sv	 raw_name;	/* as IMAP tells it: continuations joined, "*" behind it if the value is extended */
	struct sv	 raw_value;	/* charset'language'percent-encoded where extended, else as <value> */
};

struct mime_params {
	const struct mime_param *v;
	size_t		 n;
};

enum mime_kind {
	MIME_LEAF,
	MIME_MULTIPART,		/* children: its parts, none if no boundary line was found */
	MIME_MESSAGE		/* message/rfc822 or message/global: one child, the message within */
};

enum mime_encoding { MIME_7BIT, MIME_8BIT, MIME_BINARY, MIME_QP, MIME_BASE64, MIME_ENC_OTHER };

struct mime_part {
	struct mime_part *parent;	/* NULL for the message itself */
	struct mime_part *child;	/* first part within */
	struct mime_part *next;		/* next part of the same multipart */
	enum mime_kind	 kind;
	unsigned	 depth;
	size_t		 nparts;	/* children */
	/* Offsets in the message.  [header_start, body_start) is the header with its empty line. */
	size_t		 header_start;
	size_t		 body_start;
	size_t		 body_end;	/* without the line end that belongs to the next boundary line */
	uint32_t	 header_lines;
	uint32_t	 body_lines;	/* LFs in the body */
	bool		 has_nul;
	bool		 has_8bit;	/* body: bytes above 127 */
	bool		 closed;	/* multipart: its end boundary was seen */
	bool		 cut;		/* a limit stopped the descent here */
	/* The header, decoded; all in the arena or in the message; p NULL: the field is missing or unreadable. */
	struct mail_headers headers;	/* offsets count from header_start */
	struct sv	 type;		/* as written; "text" by default */
	struct sv	 subtype;	/* "plain", or "rfc822" within multipart/digest */
	struct mime_params params;	/* of Content-Type */
	bool		 type_given;	/* a readable Content-Type was there */
	enum mime_encoding encoding;
	struct sv	 encoding_text;	/* as written */
	struct sv	 disposition;	/* "attachment" ... */
	struct mime_params disposition_params;
	struct sv	 id;		/* with its angle brackets */
	struct sv	 description;	/* unfolded, not decoded */
	struct sv	 location;	/* unfolded, blanks removed (RFC 2557) */
	struct sv	 md5;
	struct sv	 language;	/* body of Content-Language, unfolded; tags by commas */
};

/* Parse the message <msg>; the tree lives in <a> and points into <msg>.  Never NULL. */
struct mime_part *mime_parse(struct arena *a, struct sv msg);

/* Value of a parameter (name in lower case); SV_NULL if none. */
struct sv mime_param(const struct mime_params *p, const char *name);
/* Content-Type and Content-Disposition bodies alone. False if not readable (then nothing is set). */
bool	 mime_type_parse(struct arena *a, struct sv body, struct sv *type, struct sv *subtype, struct mime_params *p);
bool	 mime_disposition_parse(struct arena *a, struct sv body, struct sv *disp, struct mime_params *p);
/* The file name: disposition's filename, else type's name, RFC 2047 decoded too; SV_NULL if none. */
struct sv mime_filename(struct arena *a, const struct mime_part *p);
/* In document order: first <root>, then all below it; NULL at the end. */
const struct mime_part *mime_next(const struct mime_part *root, const struct mime_part *p);
size_t	 mime_count(const struct mime_part *root);
/* Part by IMAP's numbers (RFC 3501 6.4.5): "1.2" is {1, 2}; n 0 is the root.  NULL if there is none. */
const struct mime_part *mime_find(const struct mime_part *root, const uint32_t *path, size_t n);

/*
 * The offsets alone, for a cache: kinds, offsets, lines and encoding; no header.  mime_offsets_read
 * gives a tree in <a> with these filled and everything else empty, or NULL where the record is damaged.
 */
void	 mime_offsets_put(struct sb *out, const struct mime_part *root);
struct mime_part *mime_offsets_read(struct arena *a, struct sv record);

#endif
