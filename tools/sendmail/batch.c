/* SPDX-License-Identifier: BSD-2-Clause */
/* -bS: SMTP commands on standard input without a dialogue (section 48.11 of Exim's manual).  The first that cannot be obeyed ends it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exim/extract.h"
#include "sendmail_int.h"

struct batch {
	const struct batch_ops *ops;
	struct batch_message m;
	char		*helo;
	bool		 mail;
	int64_t		 line, began, done;
};

/* Its address, as Exim reads it; -1: why not. */
static int
path_of(struct batch *b, struct sv line, size_t skip, struct sv *out, struct err *err)
{
	struct exim_extracted x;

	if (exim_extract(sv_trim(sv_sub(line, skip, line.len)), EXIM_EXTRACT_NULL | EXIM_EXTRACT_LITERALS, b->m.arena, &x, err) == -1)
		return (-1);
	*out = x.address;
	return (0);
}

/* How many lines it were; <whole>: the final dot came; <newline>: the last line had its end. */
static int64_t
read_data(struct sb *out, bool *whole, bool *newline)
{
	char *line = NULL;
	size_t cap = 0;
	int64_t lines = 0;
	ssize_t n;

	*whole = false;
	*newline = true;
	while (!*whole && (n = getline(&line, &cap, stdin)) > 0) {
		struct sv v = sv_from(line, (size_t)n);

		lines++;
		*newline = line[n - 1] == '\n';
		while (v.len > 0 && (v.p[v.len - 1] == '\n' || v.p[v.len - 1] == '\r'))
			v.len--;
		*whole = v.len == 1 && v.p[0] == '.';
		if (*whole)
			break;
		if (v.len > 1 && v.p[0] == '.')
			v = sv_sub(v, 1, v.len);
		sb_add(out, v);
		sb_addc(out, '\n');
	}
	free(line);
	return (lines);
}

/* The batch ends: what was wrong is told where the caller looks, and to people.  <command>: p NULL if it was none. */
static int
fail(struct batch *b, struct sv command, const char *reply)
{
	printf("%s\nTransaction started in line %lld\nError detected in line %lld\n" SV_FMT "%s", reply, (long long)b->began,
	    (long long)b->line, SV_ARG(command), command.p == NULL ? "" : "\n");
	(void)fprintf(stderr, "An error was detected while processing a file of BSMTP input.\nThe error message was:\n\n  %s\n\n"
	    "The SMTP transaction started in line %lld.\nThe error was detected in line %lld.\n%s" SV_FMT
	    "%s%lld previous message%s successfully processed.\nThe rest of the batch was abandoned.\n", reply, (long long)b->began,
	    (long long)b->line, command.p == NULL ? "" : "The SMTP command at fault was:\n\n   ", SV_ARG(command),
	    command.p == NULL ? "" : "\n\n", (long long)b->done, b->done == 1 ? " was" : "s were");
	(void)fflush(stdout);
	return (b->done > 0 ? 1 : 2);
}

static void
reset(struct batch *b)
{
	arena_reset(b->m.arena);
	vec_clear(&b->m.rcpts);
	b->m.sender = SV_NULL;
	b->mail = false;
}

/* What is said of a message that was not taken: the service's own reply, where it gave one. */
static const char *
reply_of(struct batch *b, const struct err *err)
{
	const char *code = err->cls != ERR_PERM ? "451" : strcmp(err->status, "5.3.4") == 0 ? "552" : "550", *text = err->text;

	if (sv_isdigit(text[0]) && sv_isdigit(text[1]) && sv_isdigit(text[2]) && text[3] == ' ')
		return (arena_str(b->m.arena, text));
	return (arena_fmt(b->m.arena, "%s %s", code, text));
}

static int
data(struct batch *b)
{
	struct sb text = SB_INIT(MESSAGE_MAX);
	struct err err = ERR_INIT;
	bool whole, newline, in_header;
	int rc = 0;

	b->line += read_data(&text, &whole, &newline);
	b->m.text = sb_sv(&text);
	/* Half a message is none. */
	if (!whole) {
		in_header = sv_find(sb_sv(&text), SV_LIT("\n\n")) < 0 && !sv_starts(sb_sv(&text), "\n");
		/* The line that is missing counts. */
		b->line += !in_header && newline;
		/* A field that has no end does not. */
		b->line -= in_header && !newline;
		if (b->ops->lost != NULL)
			b->ops->lost(b->ops->arg, !in_header ? "" : newline ? " (after header)" : " (header)");
		rc = fail(b, SV_NULL, "421 Lost incoming connection");
	} else if (text.overflow)
		rc = fail(b, SV_NULL, "552 Message size exceeds maximum permitted");
	else if (b->ops->take(b->ops->arg, &b->m, &err) == -1)
		rc = fail(b, SV_NULL, reply_of(b, &err));
	else
		b->done++;
	sb_free(&text);
	reset(b);
	b->began = b->line;
	return (rc);
}

static int
mail(struct batch *b, struct sv v)
{
	struct err err = ERR_INIT;

	if (b->mail)
		return (fail(b, v, "503 Sender already given"));
	if (path_of(b, v, 10, &b->m.sender, &err) == -1)
		return (fail(b, v, arena_fmt(b->m.arena, "501 %s", err.text)));
	b->mail = true;
	return (0);
}

static int
rcpt(struct batch *b, struct sv v)
{
	struct err err = ERR_INIT;
	struct sv addr = SV_NULL;

	if (!b->mail)
		return (fail(b, v, "503 No sender yet given"));
	if (path_of(b, v, 8, &addr, &err) == 0 && addr.len == 0)
		(void)err_set(&err, ERR_PERM, "5.1.3", "missing or malformed local part");
	if (addr.len == 0)
		return (fail(b, v, arena_fmt(b->m.arena, "501 %s", err.text)));
	vec_push(&b->m.rcpts, addr);
	return (0);
}

/* Commands that change nothing here. */
static bool
is_idle(struct sv v)
{
	static const char *const words[] = { "NOOP", "HELP", "VRFY", "EXPN", "ETRN" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (sv_casestarts(v, words[i]) && (v.len == 4 || sv_isspace(v.p[4])))
			return (true);
	return (false);
}

static int
one_line(struct batch *b, struct sv v, bool *quit)
{
	if (sv_casestarts(v, "HELO") || sv_casestarts(v, "EHLO")) {
		struct sv name = sv_trim(sv_sub(v, 4, v.len));

		free(b->helo);
		b->helo = xstrndup(name.p, name.len);
		b->m.helo = sv_cstr(b->helo);
		b->began = b->line;
	} else if (sv_casestarts(v, "MAIL FROM:"))
		return (mail(b, v));
	else if (sv_casestarts(v, "RCPT TO:"))
		return (rcpt(b, v));
	else if (sv_caseeqs(v, "DATA")) {
		if (b->m.rcpts.len == 0)
			return (fail(b, v, b->mail ? "503 RCPT TO:<recipient> must precede DATA" :
			    "503 MAIL FROM:<sender> command must precede DATA"));
		return (data(b));
	} else if (sv_caseeqs(v, "QUIT"))
		*quit = true;
	else if (sv_caseeqs(v, "RSET") || is_idle(v)) {
		if (sv_caseeqs(v, "RSET"))
			reset(b);
		b->began = b->line;
	} else
		return (fail(b, v, "500 Command unrecognized"));
	return (0);
}

int
batch_run(const struct batch_ops *ops)
{
	struct batch b = { .ops = ops, .m = { .arena = arena_new(0) } };
	char *line = NULL;
	size_t cap = 0;
	bool quit = false;
	ssize_t n;
	int rc = 0;

	while (rc == 0 && !quit && (n = getline(&line, &cap, stdin)) > 0) {
		b.line++;
		rc = one_line(&b, sv_trim(sv_from(line, (size_t)n)), &quit);
	}
	free(line);
	free(b.helo);
	vec_free(&b.m.rcpts);
	arena_free(&b.m.arena);
	return (rc);
}
