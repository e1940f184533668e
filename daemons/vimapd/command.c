/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Gathering commands from a stream: lines and the literals that they announce.
 * What is too long ends the connection where the rest could be mistaken for commands.
 */
#include <inttypes.h>

#include "fiber/fiber.h"
#include "imap/parse.h"
#include "vimapd.h"

#define PIECE_MS	60000

void
imap_reply_bad(struct stream *s, struct sv tag, const char *why)
{
	if (tag.len == 0)
		tag = SV_LIT("*");
	(void)stream_printf(s, SV_FMT " BAD %s.\r\n", SV_ARG(tag), why);
}

void
imap_reply_id(struct stream *s, struct sv tag)
{
	(void)stream_printf(s, "* ID (\"name\" \"vpost\")\r\n" SV_FMT " OK ID completed.\r\n", SV_ARG(tag));
}

/* The tag of a command that was not gathered whole, for its BAD. */
static struct sv
first_word(const struct sb *text)
{
	struct sv v = sb_sv(text);
	ptrdiff_t blank = sv_chr(v, ' ');

	if (blank <= 0 || blank > IMAP_TAG_MAX)
		return (SV_NULL);
	v = sv_sub(v, 0, (size_t)blank);
	for (size_t i = 0; i < v.len; i++)
		if (!sv_isalnum(v.p[i]))
			return (SV_NULL);
	return (v);
}

static enum imap_got
ended(struct stream *s, enum stream_result r)
{
	if (r == STREAM_TIMEOUT)
		(void)stream_printf(s, "* BYE Disconnected for inactivity.\r\n");
	else if (r == STREAM_TOO_LONG)
		(void)stream_printf(s, "* BYE Command line too long.\r\n");
	return (IMAP_GOT_CLOSE);
}

/* Read the literal of <n> bytes, or say why not. */
static enum imap_got
read_literal(struct stream *s, struct sb *text, uint64_t n, bool sync)
{
	enum stream_result r;

	if (n > text->max - text->len) {
		if (!sync) {
			(void)stream_printf(s, "* BYE Literal too large.\r\n");
			return (IMAP_GOT_CLOSE);
		}
		imap_reply_bad(s, first_word(text), "Literal too large");
		return (IMAP_GOT_BAD);
	}
	if (sync)
		(void)stream_printf(s, "+ OK\r\n");
	r = stream_read_full(s, (size_t)n, text);
	return (r == STREAM_OK ? IMAP_GOT : ended(s, r));
}

enum imap_got
imap_command_gather(struct stream *s, struct sb *text, int64_t deadline)
{
	enum stream_result r = stream_wait_input(s, deadline);
	enum imap_got got;
	struct sv line;
	uint64_t n;
	bool sync;

	if (r != STREAM_OK)
		return (ended(s, r));
	stream_set_timeout(s, PIECE_MS, IMAP_WRITE_MS);
	for (;;) {
		if (text->len >= text->max)
			return (ended(s, STREAM_TOO_LONG));
		r = stream_read_line(s, text->max - text->len, &line);
		if (r != STREAM_OK)
			return (ended(s, r));
		sb_add(text, line);
		if (!imap_literal_follows(line, &n, &sync))
			return (IMAP_GOT);
		if (imap_is_append(sb_sv(text)))
			return (IMAP_GOT_APPEND);
		got = read_literal(s, text, n, sync);
		if (got != IMAP_GOT)
			return (got);
	}
}
