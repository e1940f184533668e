/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The input of makemap, line by line, as sendmail's: a key, blanks (or the separator
 * of -t), a value to the end of the line.  Pure.
 */
#ifndef VPOST_MAP_INPUT_H
#define VPOST_MAP_INPUT_H

#include "base/sb.h"
#include "base/sv.h"

#define MAP_INPUT_LINE_MAX	(1024 * 1024)

struct map_input {
	struct sv	 text;		/* what is left */
	unsigned	 line;		/* of the entry given last */
	char		 comment;	/* a line that begins with it is skipped */
	char		 sep;		/* '\0': white space */
	bool		 fold;		/* key in lower case */
	bool		 allow_empty;	/* a key without a value */
	struct sb	 key_buf;
};

enum map_input_result {
	MAP_INPUT_ENTRY,
	MAP_INPUT_LEADING_SPACE,
	MAP_INPUT_NO_VALUE,		/* *<key> is set */
	MAP_INPUT_TOO_LONG,
	MAP_INPUT_NUL,			/* a NUL byte in the line */
	MAP_INPUT_END
};

void	 map_input_init(struct map_input *in, struct sv text);	/* with sendmail's defaults */
void	 map_input_free(struct map_input *in);
/* The next line that counts; *<key> and *<value> are valid until the next call. */
enum map_input_result map_input_next(struct map_input *in, struct sv *key, struct sv *value);

#endif
