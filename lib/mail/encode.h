/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Content encodings (RFC 2045 section 6) in pieces of any size, and xtext
 * (RFC 3461 section 4).  Decoders are lenient: what is not base64 is skipped, what is not
 * quoted-printable stays as it is.
 */
#ifndef VPOST_MAIL_ENCODE_H
#define VPOST_MAIL_ENCODE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/sb.h"
#include "base/sv.h"
#include "mail/mime.h"

struct mail_decoder {
	enum mime_encoding encoding;
	uint32_t	 bits;		/* base64: not yet complete bytes */
	unsigned	 nbits;
	unsigned	 held;		/* quoted-printable: bytes of <hold> */
	char		 hold[80];	/* "=", "=A", blanks before a possible line end */
	bool		 bad;		/* something had to be skipped or kept undecoded */
};

/* 7bit, 8bit, binary and unknown encodings pass the bytes through. */
void	 mail_decode_init(struct mail_decoder *d, enum mime_encoding encoding);
void	 mail_decode(struct mail_decoder *d, struct sv in, struct sb *out);
void	 mail_decode_finish(struct mail_decoder *d, struct sb *out);
/* "base64" ... to the constant; MIME_ENC_OTHER if unknown, MIME_7BIT if empty. */
enum mime_encoding mail_encoding_from_text(struct sv v);

/* Base64 in lines of 76 with CRLF, the last one too. */
void	 mail_base64_lines(struct sb *out, struct sv in);
/* Quoted-printable for text; line ends of <in> (LF or CRLF) become CRLF. */
void	 mail_qp_encode(struct sb *out, struct sv in);

/* RFC 3461: "+" and two upper-case hex digits for what is not 33..126 or is "+" or "=". */
void	 mail_xtext_encode(struct sb *out, struct sv in);
bool	 mail_xtext_decode(struct sb *out, struct sv in);	/* false: malformed; <out> is as before */

#endif
