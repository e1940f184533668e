/* SPDX-License-Identifier: BSD-2-Clause */
/* Character sets to and from UTF-8 by iconv, without transliteration. */
#ifndef VPOST_MAIL_CHARSET_H
#define VPOST_MAIL_CHARSET_H

#include <stdbool.h>

#include "base/sb.h"
#include "base/sv.h"

bool	 mail_charset_known(struct sv charset);
/*
 * Append <in> as UTF-8; bytes that do not fit become U+FFFD.  False if <charset> is
 * unknown: then nothing is added.
 */
bool	 mail_charset_to_utf8(struct sb *out, struct sv charset, struct sv in);
/* Append UTF-8 text in <charset>; false if it is unknown or cannot hold the text: then nothing is added. */
bool	 mail_charset_from_utf8(struct sb *out, struct sv charset, struct sv in);
/* Append <in> with each byte that is not valid UTF-8 replaced by U+FFFD. */
void	 mail_utf8_clean(struct sb *out, struct sv in);
/* Append UTF-8 text folded for searching: lower case (simple case folding), as i;unicode-casemap wants it roughly. */
void	 mail_utf8_fold(struct sb *out, struct sv in);

#endif
