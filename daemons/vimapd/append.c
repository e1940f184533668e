/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * APPEND.  The message goes from the client to a file without a name in var/run, with
 * CRLF line ends, and its descriptor to vstored, which makes it durable.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/fd.h"
#include "os/file.h"
#include "session.h"

#define BUFFER	32768

static int
temp_file(struct err *err)
{
	char path[1024];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/imap.XXXXXX", box_path(srole.box, BOX_RUN));
	fd = mkstemp(path);
	if (fd == -1)
		return (err_sys(err, "make a temporary file in var/run"));
	(void)unlink(path);
	(void)os_cloexec(fd, true);
	return (fd);
}

/* Where the message goes, a buffer at a time. */
struct sink {
	int		 fd;
	uint64_t	 written;
	bool		 failed, nul;
	char		 last;		/* byte before this one */
	size_t		 n;
	char		*buf;
};

static void
sink_flush(struct sink *k)
{
	if (k->n > 0 && !k->failed && os_write_full(k->fd, k->buf, k->n) != (ssize_t)k->n)
		k->failed = true;
	k->written += k->n;
	k->n = 0;
}

static void
sink_add(struct sink *k, struct sv v)
{
	for (size_t i = 0; i < v.len; i++) {
		if (k->n + 2 > BUFFER)
			sink_flush(k);
		if (v.p[i] == '\n' && k->last != '\r')
			k->buf[k->n++] = '\r';
		k->buf[k->n++] = k->last = v.p[i];
		k->nul = k->nul || v.p[i] == '\0';
	}
}

/* Read <n> bytes into the sink, or only past them where it is NULL. */
static bool
take_message(struct session *ss, uint64_t n, struct sink *k)
{
	struct sv piece;

	while (n > 0) {
		if (stream_read(ss->s, n > BUFFER ? BUFFER : (size_t)n, &piece) != STREAM_OK) {
			ss->closing = true;
			return (false);
		}
		if (k != NULL)
			sink_add(k, piece);
		n -= piece.len;
	}
	return (true);
}

/* The line end behind the message; more would be MULTIAPPEND, which is not offered. */
static bool
take_end(struct session *ss)
{
	struct sv line;

	if (stream_read_line(ss->s, 1024, &line) != STREAM_OK) {
		reply_bye(ss, "Malformed APPEND.");
		return (false);
	}
	if (sv_trim(line).len > 0) {
		/* Its literals would be read as commands. */
		reply_bye(ss, "Unexpected argument behind the message.");
		return (false);
	}
	return (true);
}

/* Is the mailbox there, before the client sends the message? */
static bool
check_target(struct session *ss, const struct imap_command *c, char name[STORE_NAME_MAX + 1],
    struct store_flags *flags)
{
	struct store_status st;
	struct err err = ERR_INIT;
	unsigned rights = 0;

	if (c->literal > APPEND_MAX) {
		reply_no(ss, "[LIMIT] The message is too large.");
		return (false);
	}
	if (!store_name(ss, c->mailbox, name) || !take_flags(ss, &c->flags, flags))
		return (false);
	if (store_reader_status(srole.reader, sv_cstr(name), session_user(ss), false, &st, &rights, &err) !=
	    STORE_GET_OK) {
		reply_err(ss, &err, true);
		return (false);
	}
	if ((rights & STORE_R_INSERT) == 0) {
		reply_no(ss, "[NOPERM] You may not put messages into this mailbox.");
		return (false);
	}
	return (true);
}

static void
store_message(struct session *ss, const struct imap_command *c, const char *name, const struct store_flags *flags,
    const struct sink *k)
{
	struct store_appended out;
	struct err err = ERR_INIT;

	if (k->nul) {
		reply_no(ss, "[CANNOT] The message has NUL bytes.");
		return;
	}
	if (k->failed) {
		reply_no(ss, "[UNAVAILABLE] The message could not be written down.");
		log_error(&ss->log, "APPEND: cannot write the temporary file");
		return;
	}
	if (store_client_append(srole.client, session_user(ss), sv_cstr(name), k->fd, 0, k->written, flags,
	    c->has_date ? c->date.utc : 0, &out, &err) == -1) {
		reply_err(ss, &err, true);
		return;
	}
	/* The new message may be one of the selected mailbox. */
	if (session_sync(ss, true))
		reply_okf(ss, "[APPENDUID %u %u] Append completed.", out.uidvalidity, out.uid);
}

void
cmd_append(struct session *ss, struct sv text)
{
	char name[STORE_NAME_MAX + 1];
	struct sink k = { .fd = -1 };
	struct store_flags flags;
	struct imap_command c;
	struct err err = ERR_INIT;
	const char *why;

	if (!imap_command_parse(ss->arena, text, &c, &why))
		return;
	session_command(ss, &c);
	if (!check_target(ss, &c, name, &flags)) {
		/* A message that is on its way all the same has to be read past. */
		if (!c.literal_sync && take_message(ss, c.literal, NULL))
			(void)take_end(ss);
		return;
	}
	if (c.literal == 0) {
		if (c.literal_sync)
			(void)stream_printf(ss->s, "+ OK\r\n");
		if (take_end(ss))
			reply_no(ss, "[CANNOT] The message is empty.");
		return;
	}
	k.fd = temp_file(&err);
	if (k.fd == -1) {
		reply_err(ss, &err, false);
		ss->closing = !c.literal_sync;
		return;
	}
	k.buf = xmalloc(BUFFER);
	if (c.literal_sync)
		(void)stream_printf(ss->s, "+ OK\r\n");
	if (take_message(ss, c.literal, &k) && take_end(ss)) {
		sink_flush(&k);
		store_message(ss, &c, name, &flags, &k);
	}
	free(k.buf);
	(void)close(k.fd);
}
