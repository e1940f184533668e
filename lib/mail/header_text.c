/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Field bodies as text and back: folding (RFC 5322 2.2.3) and encoded words
 * (RFC 2047).  Reading is lenient, since mailers break every rule of RFC 2047;
 * what we write keeps them all.
 */
#include <string.h>

#include "base/codec.h"
#include "mail/charset.h"
#include "mail/encode.h"
#include "mail/header.h"

#define LINE_GOAL	78	/* RFC 5322 2.1.1 */
#define WORD_MAX	75	/* RFC 2047 section 2 */
#define WORD_READ_MAX	4096	/* encoded text of one word, read: mailers do write long ones */
#define UNKNOWN_MAX	64	/* unknown charsets of one body, before all are taken as unknown: each costs an iconv_open */

void
mail_header_unfold(struct sb *out, struct sv body)
{
	size_t from = 0;

	body = sv_trim(body);
	for (size_t i = 0; i < body.len; i++) {
		if (body.p[i] != '\n' && body.p[i] != '\r')
			continue;
		sb_add(out, sv_sub(body, from, i));
		from = i + 1;
	}
	sb_add(out, sv_sub(body, from, body.len));
}

/* ---- decoding ---- */

struct word {
	struct sv	 charset;
	char		 encoding;	/* 'q' or 'b' */
	struct sv	 text;
	size_t		 length;	/* of the whole word */
};

/* An encoded word at the start of <v>. */
static bool
word_at(struct sv v, struct word *w)
{
	ptrdiff_t q, end;
	size_t i;

	if (!sv_starts(v, "=?"))
		return (false);
	q = sv_chr(sv_sub(v, 2, v.len), '?');
	if (q <= 0)
		return (false);
	w->charset = sv_sub(v, 2, 2 + (size_t)q);
	for (i = 0; i < w->charset.len; i++)
		if (w->charset.p[i] <= ' ' || w->charset.p[i] > 126)
			return (false);
	i = 2 + (size_t)q + 1;
	if (i + 2 > v.len || v.p[i + 1] != '?')
		return (false);
	w->encoding = sv_lower(v.p[i]);
	if (w->encoding != 'q' && w->encoding != 'b')
		return (false);
	i += 2;
	end = sv_find(sv_sub(v, i, i + WORD_READ_MAX), SV_LIT("?="));
	if (end == -1)
		return (false);
	w->text = sv_sub(v, i, i + (size_t)end);
	w->length = i + (size_t)end + 2;
	/* RFC 2231 section 5: a language behind "*". */
	q = sv_chr(w->charset, '*');
	if (q != -1)
		w->charset = sv_sub(w->charset, 0, (size_t)q);
	return (true);
}

static int
hex_digit(char c)
{
	if (sv_isdigit(c))
		return (c - '0');
	c = sv_lower(c);
	return (c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1);
}

static void
word_bytes(struct sb *out, const struct word *w)
{
	struct mail_decoder d;
	struct sv t = w->text;

	if (w->encoding == 'b') {
		mail_decode_init(&d, MIME_BASE64);
		mail_decode(&d, t, out);
		mail_decode_finish(&d, out);
		return;
	}
	for (size_t i = 0; i < t.len; i++) {
		if (t.p[i] == '=' && i + 2 < t.len && hex_digit(t.p[i + 1]) != -1 && hex_digit(t.p[i + 2]) != -1) {
			sb_addc(out, (char)(hex_digit(t.p[i + 1]) << 4 | hex_digit(t.p[i + 2])));
			i += 2;
		} else if (t.p[i] == '_') {
			sb_addc(out, ' ');
		} else if (t.p[i] != '\r' && t.p[i] != '\n') {
			sb_addc(out, t.p[i]);
		}
	}
}

/* Number of white-space bytes at the start of <v>. */
static size_t
blanks(struct sv v)
{
	size_t n = 0;

	while (n < v.len && sv_isspace(v.p[n]))
		n++;
	return (n);
}

/*
 * Decode the run of encoded words at the start of <v>; returns its length.  The bytes of
 * neighbours in one charset are joined first: a character may be cut between two words.
 */
static size_t
decode_run(struct sb *out, struct sv v, struct word *w)
{
	struct sb bytes = SB_INIT(MAIL_HEADER_TEXT_MAX);
	struct sv charset = w->charset;
	size_t used = 0, gap;

	for (;;) {
		word_bytes(&bytes, w);
		used += w->length;
		gap = blanks(sv_sub(v, used, v.len));
		if (!word_at(sv_sub(v, used + gap, v.len), w) || !sv_caseeq(w->charset, charset))
			break;
		used += gap;
	}
	(void)mail_charset_to_utf8(out, charset, sb_sv(&bytes));
	sb_free(&bytes);
	return (used);
}

static void
decode_unfolded(struct sb *out, struct sv v)
{
	size_t from = 0, i = 0, unknown = 0;
	bool after_word = false;
	struct word w;
	struct sv gap;

	while (i + 1 < v.len && unknown < UNKNOWN_MAX) {
		struct sv rest = sv_sub(v, i, v.len);

		if (rest.p[0] != '=' || rest.p[1] != '?') {
			i++;
			continue;
		}
		if (!word_at(rest, &w)) {
			i += 2;
			continue;
		}
		if (!mail_charset_known(w.charset)) {
			i += w.length;
			unknown++;
			continue;
		}
		/* Blanks between two encoded words do not count. */
		gap = sv_sub(v, from, i);
		if (!after_word || blanks(gap) != gap.len)
			mail_utf8_clean(out, gap);
		i += decode_run(out, rest, &w);
		from = i;
		after_word = true;
	}
	mail_utf8_clean(out, sv_sub(v, from, v.len));
}

void
mail_header_decode(struct sb *out, struct sv body)
{
	struct sb flat = SB_INIT(MAIL_HEADER_TEXT_MAX);

	mail_header_unfold(&flat, sv_sub(body, 0, MAIL_HEADER_TEXT_MAX));
	decode_unfolded(out, sb_sv(&flat));
	out->tainted = out->tainted || body.tainted;
	sb_free(&flat);
}

struct sv
mail_header_text(struct arena *a, struct sv body)
{
	struct sb out = SB_INIT(MAIL_HEADER_TEXT_MAX * 3);
	struct sv v;

	mail_header_decode(&out, body);
	v = arena_sv(a, sb_sv(&out));
	v.tainted = body.tainted;
	sb_free(&out);
	return (v);
}

/* ---- encoding ---- */

static bool
needs_encoding(struct sv v)
{
	for (size_t i = 0; i < v.len; i++)
		if ((unsigned char)v.p[i] >= 127 || (v.p[i] < ' ' && v.p[i] != '\t'))
			return (true);
	return (sv_find(v, SV_LIT("=?")) != -1);
}

/* RFC 2047 section 5 (3): these go through Q in a phrase as they are. */
static bool
q_plain(char c)
{
	return (sv_isalnum(c) || (c != '\0' && strchr("!*+-/", c) != NULL));
}

static size_t
q_length(struct sv v)
{
	size_t n = 0;

	for (size_t i = 0; i < v.len; i++)
		n += q_plain(v.p[i]) || v.p[i] == ' ' ? 1 : 3;
	return (n);
}

static void
put_q(struct sb *out, struct sv v)
{
	for (size_t i = 0; i < v.len; i++) {
		if (v.p[i] == ' ')
			sb_addc(out, '_');
		else if (q_plain(v.p[i]))
			sb_addc(out, v.p[i]);
		else
			sb_addf(out, "=%02X", (unsigned)(unsigned char)v.p[i]);
	}
}

/* The longest prefix of <v>, whole characters, that fits into <room> bytes of encoded text. */
static struct sv
fitting(struct sv v, bool q, size_t room)
{
	size_t n = q ? room : room / 4 * 3;
	struct sv part;

	do {
		part = sv_sub(v, 0, utf8_cut(v, n));
		n--;
	} while (q && part.len > 1 && q_length(part) > room);
	return (part.len == 0 ? sv_sub(v, 0, 1) : part);
}

static void
put_words(struct sb *out, struct sv text, size_t column)
{
	const size_t frame = strlen("=?UTF-8?Q?") + strlen("?=");
	bool q = q_length(text) <= (text.len + 2) / 3 * 4;
	size_t room = WORD_MAX - frame;
	struct sv part;

	/* A first word that has little room left on its line starts on the next one. */
	if (column > LINE_GOAL / 2) {
		sb_adds(out, "\r\n ");
		column = 1;
	}
	room -= column;
	while (text.len > 0) {
		part = fitting(text, q, room);
		sb_adds(out, q ? "=?UTF-8?Q?" : "=?UTF-8?B?");
		if (q)
			put_q(out, part);
		else
			base64_encode(out, part);
		sb_adds(out, "?=");
		text = sv_sub(text, part.len, text.len);
		if (text.len > 0)
			sb_adds(out, "\r\n ");
		room = WORD_MAX - frame;
	}
}

void
mail_header_encode(struct sb *out, struct sv text, size_t column)
{
	struct sb clean = SB_INIT(MAIL_HEADER_TEXT_MAX);

	if (!needs_encoding(text)) {
		sb_add(out, text);
		return;
	}
	mail_utf8_clean(&clean, sv_sub(text, 0, MAIL_HEADER_TEXT_MAX / 3));
	put_words(out, sb_sv(&clean), column);
	sb_free(&clean);
}

void
mail_phrase_encode(struct sb *out, struct sv text, size_t column)
{
	bool atoms = true;

	if (needs_encoding(text)) {
		mail_header_encode(out, text, column);
		return;
	}
	for (size_t i = 0; i < text.len && atoms; i++)
		atoms = sv_isalnum(text.p[i]) || strchr("!#$%&'*+-/=?^_`{|}~ ", text.p[i]) != NULL;
	if (atoms && text.len > 0 && text.p[0] != ' ' && text.p[text.len - 1] != ' ' &&
	    sv_find(text, SV_LIT("  ")) == -1) {
		sb_add(out, text);
		return;
	}
	sb_addc(out, '"');
	for (size_t i = 0; i < text.len; i++) {
		if (text.p[i] == '"' || text.p[i] == '\\')
			sb_addc(out, '\\');
		sb_addc(out, text.p[i]);
	}
	sb_addc(out, '"');
}

/* Where to break <v> so that at most <room> bytes stand before: the index of a blank, or v.len. */
static size_t
break_at(struct sv v, size_t room)
{
	size_t best = 0;

	if (v.len <= room)
		return (v.len);
	for (size_t i = 1; i < v.len; i++) {
		if ((v.p[i] != ' ' && v.p[i] != '\t') || v.p[i - 1] == ' ' || v.p[i - 1] == '\t')
			continue;
		if (i > room && best > 0)
			break;
		best = i;
		if (i > room)
			break;
	}
	/* A line of blanks alone would be read as the end of the header. */
	return (best == 0 || sv_trim(sv_sub(v, best, v.len)).len == 0 ? v.len : best);
}

void
mail_header_put(struct sb *out, const char *name, struct sv body)
{
	struct sb flat = SB_INIT(body.len + 1);
	struct sv v;
	size_t room = LINE_GOAL, n;

	for (size_t i = 0; i < body.len; i++)
		sb_addc(&flat, body.p[i] == '\r' || body.p[i] == '\n' ? ' ' : body.p[i]);
	v = sv_trim(sb_sv(&flat));
	sb_adds(out, name);
	sb_adds(out, ": ");
	n = strlen(name) + 2;
	room = n < room ? room - n : 1;
	do {
		n = break_at(v, room);
		sb_add(out, sv_sub(v, 0, n));
		sb_adds(out, "\r\n");
		v = sv_sub(v, n, v.len);
		room = LINE_GOAL;
	} while (v.len > 0);
	out->tainted = out->tainted || body.tainted;
	sb_free(&flat);
}
