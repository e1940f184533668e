/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Content encodings.  The decoders keep their state in struct mail_decoder, so
 * that a body can pass through them in pieces of any size (SEARCH, scanning).
 */
#include <string.h>

#include "base/codec.h"
#include "mail/encode.h"

static const struct {
	const char	*name;
	enum mime_encoding encoding;
} encodings[] = {
	{ "7bit", MIME_7BIT },
	{ "8bit", MIME_8BIT },
	{ "binary", MIME_BINARY },
	{ "quoted-printable", MIME_QP },
	{ "base64", MIME_BASE64 },
};

enum mime_encoding
mail_encoding_from_text(struct sv v)
{
	v = sv_trim(v);
	if (v.len == 0)
		return (MIME_7BIT);
	for (size_t i = 0; i < sizeof(encodings) / sizeof(encodings[0]); i++)
		if (sv_caseeqs(v, encodings[i].name))
			return (encodings[i].encoding);
	return (MIME_ENC_OTHER);
}

void
mail_decode_init(struct mail_decoder *d, enum mime_encoding encoding)
{
	memset(d, 0, sizeof(*d));
	d->encoding = encoding;
}

/* ---- base64 ---- */

static int
base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (c - 'A');
	if (c >= 'a' && c <= 'z')
		return (c - 'a' + 26);
	if (sv_isdigit(c))
		return (c - '0' + 52);
	return (c == '+' ? 62 : c == '/' ? 63 : -1);
}

static void
decode_base64(struct mail_decoder *d, struct sv in, struct sb *out)
{
	char *p = sb_room(out, in.len / 4 * 3 + 6), *start = p;

	if (p == NULL)
		return;
	for (size_t i = 0; i < in.len; i++) {
		int v = base64_value(in.p[i]);

		if (v == -1) {
			/* Padding ends a run; concatenated base64 texts start anew behind it. */
			if (in.p[i] == '=')
				d->nbits = d->bits = 0;
			else if (!sv_isspace(in.p[i]))
				d->bad = true;
			continue;
		}
		d->bits = d->bits << 6 | (uint32_t)v;
		d->nbits += 6;
		if (d->nbits >= 8) {
			d->nbits -= 8;
			*p++ = (char)(d->bits >> d->nbits);
			d->bits &= (1U << d->nbits) - 1;
		}
	}
	sb_took(out, (size_t)(p - start));
}

/* ---- quoted-printable ---- */

static int
hex_value(char c)
{
	if (sv_isdigit(c))
		return (c - '0');
	c = sv_lower(c);
	return (c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1);
}

static void
qp_release(struct mail_decoder *d, struct sb *out)
{
	sb_addn(out, d->hold, d->held);
	d->held = 0;
}

static void
qp_hold(struct mail_decoder *d, char c, struct sb *out)
{
	/* Runs of blanks longer than any legal line: those in front were no line end's. */
	if (d->held == sizeof(d->hold))
		qp_release(d, out);
	d->hold[d->held++] = c;
}

/* What is held starts with '=': take one more byte.  Returns false if <c> was not used. */
static bool
qp_escape(struct mail_decoder *d, char c, struct sb *out)
{
	char first = d->held > 1 ? d->hold[1] : '\0';

	if (c == '\n' && (d->held == 1 || !sv_isalnum(first))) {
		d->held = 0;		/* soft line break, blanks before the line end accepted */
		return (true);
	}
	if (d->held == 1 && (hex_value(c) != -1 || c == ' ' || c == '\t' || c == '\r')) {
		qp_hold(d, c, out);
		return (true);
	}
	if (d->held == 2 && hex_value(first) != -1 && hex_value(c) != -1) {
		d->held = 0;
		sb_addc(out, (char)(hex_value(first) << 4 | hex_value(c)));
		return (true);
	}
	if (d->held > 1 && !sv_isalnum(first) && d->held < sizeof(d->hold) && (c == ' ' || c == '\t' || c == '\r')) {
		qp_hold(d, c, out);
		return (true);
	}
	d->bad = true;
	qp_release(d, out);
	return (false);
}

static void
qp_byte(struct mail_decoder *d, char c, struct sb *out)
{
	if (d->held > 0 && d->hold[0] == '=' && qp_escape(d, c, out))
		return;
	switch (c) {
	case '=':
		qp_release(d, out);
		qp_hold(d, c, out);
		break;
	case ' ':
	case '\t':
		qp_hold(d, c, out);
		break;
	case '\r':
		qp_hold(d, c, out);
		break;
	case '\n':
		/* RFC 2045 6.7 (3): blanks at the end of a line were added on the way. */
		if (d->held > 0 && d->hold[d->held - 1] == '\r')
			sb_addc(out, '\r');
		d->held = 0;
		sb_addc(out, c);
		break;
	default:
		qp_release(d, out);
		sb_addc(out, c);
	}
}

static bool
qp_plain(char c)
{
	return (c != '=' && c != ' ' && c != '\t' && c != '\r' && c != '\n');
}

static void
decode_qp(struct mail_decoder *d, struct sv in, struct sb *out)
{
	size_t i = 0, from;

	while (i < in.len) {
		from = i;
		while (i < in.len && d->held == 0 && qp_plain(in.p[i]))
			i++;
		if (i > from)
			sb_add(out, sv_sub(in, from, i));
		if (i < in.len)
			qp_byte(d, in.p[i++], out);
	}
}

void
mail_decode(struct mail_decoder *d, struct sv in, struct sb *out)
{
	if (in.len == 0)
		return;
	if (d->encoding == MIME_BASE64)
		decode_base64(d, in, out);
	else if (d->encoding == MIME_QP)
		decode_qp(d, in, out);
	else
		sb_add(out, in);
	out->tainted = out->tainted || in.tainted;
}

void
mail_decode_finish(struct mail_decoder *d, struct sb *out)
{
	if (d->encoding != MIME_QP || d->held == 0)
		return;
	if (d->hold[0] == '=' && d->held > 1 && sv_isalnum(d->hold[1]))
		qp_release(d, out);
	d->held = 0;		/* blanks or a soft break at the very end */
}

/* ---- encoders ---- */

void
mail_base64_lines(struct sb *out, struct sv in)
{
	for (size_t i = 0; i < in.len; i += 57) {
		base64_encode(out, sv_sub(in, i, i + 57));
		sb_adds(out, "\r\n");
	}
}

void
mail_qp_encode(struct sb *out, struct sv in)
{
	size_t column = 0, width;

	for (size_t i = 0; i < in.len; i++) {
		unsigned char c = (unsigned char)in.p[i];
		bool line_end = i + 1 == in.len || in.p[i + 1] == '\n' || in.p[i + 1] == '\r';
		bool plain = (c > 32 && c < 127 && c != '=') || ((c == ' ' || c == '\t') && !line_end);

		if (c == '\n' || (c == '\r' && i + 1 < in.len && in.p[i + 1] == '\n')) {
			i += c == '\r';
			sb_adds(out, "\r\n");
			column = 0;
			continue;
		}
		/* "." alone and "From " at the start of a line do not survive every way. */
		if (column == 0 && (c == '.' || c == 'F'))
			plain = false;
		width = plain ? 1 : 3;
		if (column + width > 75) {
			sb_adds(out, "=\r\n");
			column = 0;
		}
		if (plain)
			sb_addc(out, (char)c);
		else
			sb_addf(out, "=%02X", c);
		column += width;
	}
}

/* ---- xtext ---- */

void
mail_xtext_encode(struct sb *out, struct sv in)
{
	for (size_t i = 0; i < in.len; i++) {
		unsigned char c = (unsigned char)in.p[i];

		if (c < 33 || c > 126 || c == '+' || c == '=')
			sb_addf(out, "+%02X", c);
		else
			sb_addc(out, (char)c);
	}
}

bool
mail_xtext_decode(struct sb *out, struct sv in)
{
	size_t start = out->len;

	for (size_t i = 0; i < in.len; i++) {
		char c = in.p[i];

		if (c == '+' && i + 2 < in.len && hex_value(in.p[i + 1]) != -1 && hex_value(in.p[i + 2]) != -1) {
			c = (char)(hex_value(in.p[i + 1]) << 4 | hex_value(in.p[i + 2]));
			i += 2;
		} else if (c < 33 || c > 126 || c == '+' || c == '=') {
			sb_cut(out, start);
			return (false);
		}
		sb_addc(out, c);
	}
	out->tainted = out->tainted || in.tainted;
	return (true);
}
