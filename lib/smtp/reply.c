/* SPDX-License-Identifier: BSD-2-Clause */
/* SMTP replies: reading them as a client, writing them as a server. */
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "smtp/reply.h"

#define REPLY_LINE_OUT	510	/* RFC 5321 section 4.5.3.1.5, without CR LF */

void
smtp_reply_init(struct smtp_reply *r)
{
	memset(r, 0, sizeof(*r));
	sb_init(&r->text, SMTP_REPLY_TEXT_MAX);
}

void
smtp_reply_reset(struct smtp_reply *r)
{
	if (r->text.max == 0)
		sb_init(&r->text, SMTP_REPLY_TEXT_MAX);
	sb_clear(&r->text);
	r->code = r->lines = 0;
	r->status[0] = '\0';
}

void
smtp_reply_free(struct smtp_reply *r)
{
	sb_free(&r->text);
}

/* For logs and error texts: nothing that could break a line. */
static void
add_printable(struct sb *out, struct sv v)
{
	for (size_t i = 0; i < v.len; i++) {
		unsigned char c = (unsigned char)v.p[i];

		sb_addc(out, c == '\t' ? ' ' : c < ' ' || c == 127 ? '?' : (char)c);
	}
}

static enum smtp_reply_state
bad(struct sv line, const char *why, struct err *err)
{
	struct sb shown = SB_INIT(200);

	add_printable(&shown, sv_sub(line, 0, 150));
	(void)err_set(err, ERR_TEMP, "4.5.0", "%s: \"%s\"", why, sb_cstr(&shown));
	sb_free(&shown);
	return (SMTP_REPLY_BAD);
}

enum smtp_reply_state
smtp_reply_line(struct smtp_reply *r, struct sv line, struct err *err)
{
	struct sv text, rest;
	unsigned code;

	while (line.len > 0 && (line.p[line.len - 1] == '\n' || line.p[line.len - 1] == '\r'))
		line.len--;
	if (r->text.max == 0)
		smtp_reply_reset(r);
	if (line.len < 3 || line.p[0] < '2' || line.p[0] > '5' || !sv_isdigit(line.p[1]) || !sv_isdigit(line.p[2]) ||
	    (line.len > 3 && line.p[3] != ' ' && line.p[3] != '-'))
		return (bad(line, "the answer is not SMTP", err));
	code = (unsigned)(line.p[0] - '0') * 100 + (unsigned)(line.p[1] - '0') * 10 + (unsigned)(line.p[2] - '0');
	if (r->lines > 0 && code != r->code)
		return (bad(line, "the code changes within an answer", err));
	if (r->lines >= SMTP_REPLY_LINES_MAX)
		return (bad(line, "the answer has too many lines", err));
	text = sv_sub(line, 4, line.len);
	if (r->lines == 0)
		(void)smtp_status_split(text, line.p[0], r->status, &rest);
	else
		sb_addc(&r->text, '\n');
	add_printable(&r->text, text);
	r->code = code;
	r->lines++;
	return (line.len > 3 && line.p[3] == '-' ? SMTP_REPLY_MORE : SMTP_REPLY_DONE);
}

int
smtp_reply_err(const struct smtp_reply *r, struct err *err)
{
	bool temp = r->code / 100 == 4;
	struct sb flat = SB_INIT(ERR_TEXT_MAX);
	struct sv text = sb_sv(&r->text);

	/* RFC 5321 section 4.5.3.1.10: 552 to RCPT meant too many recipients once; that is the caller's to know. */
	for (size_t i = 0; i < text.len; i++)
		sb_addc(&flat, text.p[i] == '\n' ? ' ' : text.p[i]);
	(void)err_set(err, temp ? ERR_TEMP : ERR_PERM, r->status[0] != '\0' && (r->status[0] == '4') == temp ? r->status :
	    NULL, "%u %s", r->code, sb_cstr(&flat));
	sb_free(&flat);
	return (-1);
}

/* ---- EHLO ---- */

static void
take_auth(struct smtp_ehlo *e, struct sv args)
{
	size_t len = strlen(e->auth);
	struct sv word;

	while (sv_word(&args, &word)) {
		if (len + word.len + 2 > sizeof(e->auth))
			break;
		if (len > 0)
			e->auth[len++] = ' ';
		for (size_t i = 0; i < word.len; i++)
			e->auth[len++] = sv_upper(word.p[i]);
		e->auth[len] = '\0';
	}
}

static void
take_keyword(struct smtp_ehlo *e, struct sv line)
{
	static const struct { const char *name; unsigned ext; } words[] = {
		{ "PIPELINING", SMTP_EXT_PIPELINING }, { "SIZE", SMTP_EXT_SIZE }, { "8BITMIME", SMTP_EXT_8BITMIME },
		{ "CHUNKING", SMTP_EXT_CHUNKING }, { "STARTTLS", SMTP_EXT_STARTTLS }, { "SMTPUTF8", SMTP_EXT_SMTPUTF8 },
		{ "DSN", SMTP_EXT_DSN }, { "AUTH", SMTP_EXT_AUTH }, { "ENHANCEDSTATUSCODES", SMTP_EXT_STATUSCODES },
		{ "BINARYMIME", SMTP_EXT_BINARYMIME }, { "ETRN", SMTP_EXT_ETRN }, { "VRFY", SMTP_EXT_VRFY },
		{ "REQUIRETLS", SMTP_EXT_REQUIRETLS }, { "PRDR", SMTP_EXT_PRDR }, { "IGNOREQUOTA", SMTP_EXT_IGNOREQUOTA },
		{ "PIPECONNECT", SMTP_EXT_PIPECONNECT },
	};
	struct sv word;
	int64_t n;

	if (line.len > 2 && (line.p[0] == 'X' || line.p[0] == '*') && line.p[1] == line.p[0] && line.p[2] == line.p[0])
		e->ext |= SMTP_EXT_GARBLED;
	/* "AUTH=LOGIN" is an old form that some still send. */
	if (sv_casestarts(line, "AUTH=")) {
		e->ext |= SMTP_EXT_AUTH;
		take_auth(e, sv_sub(line, 5, line.len));
		return;
	}
	if (!sv_word(&line, &word))
		return;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (sv_caseeqs(word, words[i].name)) {
			e->ext |= words[i].ext;
			if (words[i].ext == SMTP_EXT_SIZE && num_parse(sv_trim(line), 0, INT64_MAX, &n))
				e->size = n;
			if (words[i].ext == SMTP_EXT_AUTH)
				take_auth(e, line);
		}
}

void
smtp_ehlo_parse(struct smtp_ehlo *e, const struct smtp_reply *r)
{
	struct sv text = sb_sv(&r->text), line, word;
	bool first = true;

	memset(e, 0, sizeof(*e));
	while (sv_next(&text, '\n', &line)) {
		if (!first) {
			take_keyword(e, line);
		} else if (sv_word(&line, &word)) {
			(void)snprintf(e->name, sizeof(e->name), SV_FMT, SV_ARG(word));
		}
		first = false;
	}
}

/* ---- enhanced status ---- */

static size_t
digits(struct sv v, size_t from)
{
	size_t n = 0;

	while (from + n < v.len && n < 3 && sv_isdigit(v.p[from + n]))
		n++;
	return (n);
}

bool
smtp_status_split(struct sv text, char class, char status[SMTP_STATUS_MAX], struct sv *rest)
{
	size_t a, b, end;

	if (text.len < 5 || (text.p[0] != '2' && text.p[0] != '4' && text.p[0] != '5') || text.p[1] != '.' ||
	    (class != 0 && text.p[0] != class))
		return (false);
	a = digits(text, 2);
	if (a == 0 || 2 + a >= text.len || text.p[2 + a] != '.')
		return (false);
	b = digits(text, 3 + a);
	end = 3 + a + b;
	if (b == 0 || (end < text.len && text.p[end] != ' ' && text.p[end] != '\t' && text.p[end] != '\n'))
		return (false);
	(void)snprintf(status, SMTP_STATUS_MAX, "%.*s", (int)end, text.p);
	*rest = sv_sub(text, end < text.len && text.p[end] != '\n' ? end + 1 : end, text.len);
	return (true);
}

/* ---- writing ---- */

/* How much of <line> fits into <max> bytes: up to a blank if there is one in the last half, never half a character. */
static size_t
cut_at(struct sv line, size_t max)
{
	size_t n = max;

	if (line.len <= max)
		return (line.len);
	while (n > max / 2 && line.p[n] != ' ')
		n--;
	if (n == max / 2) {
		n = max;
		while (n > max - 4 && ((unsigned char)line.p[n] & 0xc0) == 0x80)
			n--;
	}
	return (n);
}

static void
put_line(struct sb *out, unsigned code, const char *status, struct sv line, bool last)
{
	size_t from = out->len;

	sb_addf(out, "%03u%c", code, last ? ' ' : '-');
	if (status != NULL && status[0] != '\0')
		sb_addf(out, "%s ", status);
	for (size_t i = 0; i < line.len; i++) {
		unsigned char c = (unsigned char)line.p[i];

		if (c != '\r')
			sb_addc(out, c != '\t' && (c < ' ' || c == 127) ? '?' : (char)c);
	}
	/* "250 2.0.0 " without text: no blank at the end. */
	while (line.len == 0 && out->len > from + 4 && out->p[out->len - 1] == ' ')
		sb_cut(out, out->len - 1);
	sb_addn(out, "\r\n", 2);
}

void
smtp_reply_put(struct sb *out, unsigned code, const char *status, struct sv text)
{
	size_t room = REPLY_LINE_OUT - 4 - (status == NULL || status[0] == '\0' ? 0 : strlen(status) + 1);
	struct sv line;

	while (text.len > 0 && text.p[text.len - 1] == '\n')
		text.len--;
	do {
		ptrdiff_t lf = sv_chr(text, '\n');
		size_t end = lf < 0 ? text.len : (size_t)lf, n;

		line = sv_sub(text, 0, end);
		n = cut_at(line, room);
		if (n < line.len) {
			line.len = n;
			text = sv_sub(text, text.p[n] == ' ' ? n + 1 : n, text.len);
		} else {
			text = sv_sub(text, lf < 0 ? end : end + 1, text.len);
		}
		put_line(out, code, status, line, text.len == 0);
	} while (text.len > 0);
}

void
smtp_reply_override(struct sv *text, unsigned *code, char status[SMTP_STATUS_MAX])
{
	struct sv v = *text, rest;
	char own[SMTP_STATUS_MAX];

	if (digits(v, 0) == 3 && v.len > 3 && v.p[3] == ' ') {
		unsigned c = (unsigned)(v.p[0] - '0') * 100 + (unsigned)(v.p[1] - '0') * 10 + (unsigned)(v.p[2] - '0');

		/* Exim keeps to the class that the verb decided. */
		if (c / 100 != *code / 100)
			return;
		*code = c;
		v = sv_sub(v, 4, v.len);
	}
	if (smtp_status_split(v, (char)('0' + *code / 100), own, &rest)) {
		memcpy(status, own, SMTP_STATUS_MAX);
		v = rest;
	}
	*text = v;
}
