/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Header blocks (RFC 5322 section 2.2): indexed once, then asked by name.  Line
 * ends may be CRLF or LF, mixed.  All functions are pure and total: any bytes give
 * an index.
 */
#ifndef VPOST_MAIL_HEADER_H
#define VPOST_MAIL_HEADER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/sb.h"
#include "base/sv.h"

/* Fields past this number are not indexed (<truncated> says so); the end of the block is found all the same. */
#define MAIL_HEADERS_MAX	10000
/* What mail_header_text gives out at most. */
#define MAIL_HEADER_TEXT_MAX	(256 * 1024)

struct mail_header {
	struct sv	 name;		/* as written; empty for a line that is no field */
	struct sv	 body;		/* behind the colon, folds inside, without the last line end */
	size_t		 offset;	/* of the field in the buffer */
	size_t		 length;	/* of the field with its continuation lines and line ends */
};

struct mail_headers {
	const struct mail_header *v;
	size_t		 n;
	struct sv	 block;		/* the fields and the empty line, as far as there is one */
	size_t		 fields_end;	/* offset behind the last field (where a new one may be put) */
	size_t		 body_start;	/* offset behind the empty line; the buffer's length if none */
	size_t		 malformed;	/* lines that are no field */
	bool		 empty_line;	/* the block ended in an empty line */
	bool		 truncated;	/* more than MAIL_HEADERS_MAX fields */
};

/*
 * How a line counts that is neither field nor continuation (no colon, blank or control
 * character in the name; blanks between name and colon are accepted, RFC 5322 4.5.3):
 * without a flag it is indexed with an empty name, and the block goes on to the empty line.
 */
#define MAIL_HEADERS_STOP	0x1	/* it ends the block, without an empty line (as Exim receives mail) */
#define MAIL_HEADERS_MBOX	0x2	/* a leading "From " or ">From " line is skipped, not malformed */

/* Index the block at the start of <msg>.  Slices point into <msg> and take over its taint; the array lives in <a>. */
void	 mail_headers_parse(struct mail_headers *h, struct arena *a, struct sv msg, unsigned flags);
/* Index of the first field of that name (ASCII case ignored) at or behind <from>, or -1. */
ptrdiff_t mail_headers_find(const struct mail_headers *h, const char *name, size_t from);
/* Body of the first such field; SV_NULL (p NULL) if none.  A present but empty field has p set. */
struct sv mail_headers_get(const struct mail_headers *h, const char *name);
size_t	 mail_headers_count(const struct mail_headers *h, const char *name);
/* True for a field name of RFC 5322 (printable ASCII without colon), at least one byte. */
bool	 mail_header_name_ok(struct sv name);

/* Unfold: line ends that blanks follow vanish, the blanks stay; leading and trailing white space goes. */
void	 mail_header_unfold(struct sb *out, struct sv body);
/*
 * Unfold and decode the encoded words (RFC 2047) to UTF-8.  What cannot be decoded stays as
 * it is; 8-bit bytes that are not UTF-8 become U+FFFD.
 */
void	 mail_header_decode(struct sb *out, struct sv body);
/* The same as a slice in <a>. */
struct sv mail_header_text(struct arena *a, struct sv body);
/*
 * Encode UTF-8 text as unstructured field body: as it is where it is ASCII that cannot be taken
 * for an encoded word, otherwise encoded words of at most 75 bytes, folded by CRLF SP.
 * <column>: how much of the line is used already (name, colon, blank).
 */
void	 mail_header_encode(struct sb *out, struct sv text, size_t column);
/* A display name before "<": atoms, quoted string or encoded words. */
void	 mail_phrase_encode(struct sb *out, struct sv text, size_t column);
/* "Name: body" CRLF, folded at blanks where a line would pass 78 bytes.  CR and LF inside <body> become blanks. */
void	 mail_header_put(struct sb *out, const char *name, struct sv body);

/*
 * A changed copy of a header block: note the changes, then write once.  Texts
 * are whole fields with their line end, and must live until mail_edit_write.
 */
struct mail_edit;
struct mail_edit *mail_edit_new(struct arena *a, const struct mail_headers *h);
void	 mail_edit_remove(struct mail_edit *e, size_t i);
/* All fields of that name; returns how many. */
size_t	 mail_edit_remove_name(struct mail_edit *e, const char *name);
void	 mail_edit_replace(struct mail_edit *e, size_t i, struct sv text);
void	 mail_edit_prepend(struct mail_edit *e, struct sv text);	/* the later one stands above the earlier */
void	 mail_edit_append(struct mail_edit *e, struct sv text);
/* All fields in their order, without the empty line. */
void	 mail_edit_write(const struct mail_edit *e, struct sb *out);

#endif
