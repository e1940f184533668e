/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * -be: each argument, or each line of standard input, is expanded and shown.  -bem FILE: the same
 * with a message loaded, as if the caller had just submitted it.
 */
#include <string.h>
#include <unistd.h>

#include "mail/address.h"
#include "mail/header.h"
#include "os/file.h"
#include "testing.h"

#define FILE_MAX	((size_t)64 * 1024 * 1024)
#define RCPTS_SHOWN	1000

/* ---- the message ---- */

struct loaded {
	struct sb	 text;		/* CRLF or LF, as the file has it */
	struct mail_headers headers;
	struct sv	*rcpts;
};

/* As if it came on standard input: empty lines do not count there. */
static void
count_body(struct exim_message *m, struct sv body)
{
	for (size_t i = 0; i < body.len; i++) {
		m->body_linecount += body.p[i] == '\n' && i > 0 && body.p[i - 1] != '\n';
		m->body_zerocount += body.p[i] == '\0';
	}
	m->body_linecount += body.len > 0 && body.p[body.len - 1] != '\n';
}

static void
longest_line(struct exim_message *m, struct sv text)
{
	struct sv line;

	while (sv_next(&text, '\n', &line))
		if ((int64_t)line.len > m->max_linelength)
			m->max_linelength = (int64_t)line.len;
}

/* -t: To, Cc and Bcc of the header. */
static void
recipients(struct testing *t, struct loaded *l)
{
	static const char *const names[] = { "To", "Cc", "Bcc" };
	size_t n = 0;

	l->rcpts = arena_alloc(t->facts, RCPTS_SHOWN * sizeof(*l->rcpts));
	for (size_t k = 0; k < 3; k++)
		for (size_t i = 0; i < l->headers.n; i++) {
			struct mail_addrlist list;

			if (!sv_caseeqs(l->headers.v[i].name, names[k]))
				continue;
			mail_addrlist_read(l->headers.v[i].body, t->facts, &list);
			for (size_t a = 0; a < list.n && n < RCPTS_SHOWN; a++)
				if (list.v[a].item == MAIL_ITEM_ADDRESS)
					l->rcpts[n++] = sv_cstr(arena_fmt(t->facts, SV_FMT "@" SV_FMT,
					    SV_ARG(list.v[a].local), SV_ARG(list.v[a].domain.len > 0 ? list.v[a].domain :
					    t->g.qualify_recipient)));
		}
	t->msg.recipients = l->rcpts;
	t->msg.nrecipients = n;
	t->msg.recipients_shown = true;
}

static int
load_message(struct testing *t, struct loaded *l)
{
	struct exim_message *m = &t->msg;
	struct err err = ERR_INIT;
	struct sv text, body;

	sb_init(&l->text, FILE_MAX);
	if (os_read_file(t->o->message, FILE_MAX, &l->text, &err) == -1) {
		(void)fprintf(stderr, "sendmail: %s\n", err.text);
		return (1);
	}
	text = sb_sv(&l->text);
	mail_headers_parse(&l->headers, t->facts, text, MAIL_HEADERS_STOP | MAIL_HEADERS_MBOX);
	body = sv_sub(text, l->headers.body_start, text.len);
	m->headers = &l->headers;
	m->body = body;
	m->body_whole = true;
	m->body_size = (int64_t)body.len;
	m->size = (int64_t)text.len;
	m->received_time = (int64_t)t->world.now(t->world.arg, NULL);
	/* Its own Received line is there already. */
	m->received_count = 1 + (int64_t)mail_headers_count(&l->headers, "Received");
	count_body(m, body);
	m->linecount = 1 + m->body_linecount;
	for (size_t i = 0; i < l->headers.fields_end; i++)
		m->linecount += text.p[i] == '\n';
	longest_line(m, text);
	if (t->o->from_header)
		recipients(t, l);
	t->env.message_loaded = true;
	return (0);
}

/* ---- the strings ---- */

/* "set acl_m_x = text" keeps an ACL variable for the lines behind it; with ",t" it counts as a peer's word. */
static bool
set_variable(struct testing *t, struct sv line)
{
	bool tainted = sv_starts(line, "set,t ");
	struct sv rest = sv_trim(sv_sub(line, tainted ? 6 : 4, line.len)), name;
	ptrdiff_t eq = sv_chr(rest, '=');
	struct sv value;

	if ((!tainted && !sv_starts(line, "set ")) || eq < 0 || (!sv_starts(rest, "acl_m") && !sv_starts(rest, "acl_c")))
		return (false);
	name = sv_trim(sv_sub(rest, 4, (size_t)eq));
	if (name.len < 2 || (!sv_isdigit(name.p[1]) && name.p[1] != '_'))
		return (false);
	for (size_t i = 1; i < name.len; i++)
		if (!sv_isalnum(name.p[i]) && name.p[i] != '_')
			return (false);
	value = sv_trim(sv_sub(rest, (size_t)eq + 1, rest.len));
	value.tainted = tainted;
	exim_vars_set(name.p[0] == 'm' ? t->env.acl_m : t->env.acl_c, name, value);
	printf("variable " SV_FMT " set\n", SV_ARG(name));
	return (true);
}

/* Macros of the configuration count here too, and new ones may be defined: a line with a capital in front is a definition. */
static int
expand_line(struct testing *t, struct sv line)
{
	struct exim_report rep = EXIM_REPORT_INIT;
	struct err err = ERR_INIT;
	struct sv text = line;
	int macro = t->admin ? exim_lexer_text(t->conf->lexer, line, t->arena, &text, &rep) : 0;

	if (macro != 0) {
		if (macro == 1)
			printf("Defined macro '" SV_FMT "'\n", SV_ARG(text));
		else
			testing_log("Exim configuration error%s%s:\n  %s", *rep.place != '\0' ? " " : "", rep.place, rep.words);
		testing_reset(t);
		return (0);
	}
	if (set_variable(t, text)) {
		testing_reset(t);
		return (0);
	}
	if (exim_be_line(&t->env, text, stdout, &err) == -1) {
		testing_log("%s", err.text);
		return (1);
	}
	testing_reset(t);
	return (0);
}

static int
from_stdin(struct testing *t)
{
	struct sb line = SB_INIT(EXIM_EXPAND_MAX);
	int rc = 0;

	while (rc == 0 && testing_ask(t, &line))
		rc = expand_line(t, sb_sv(&line));
	sb_free(&line);
	return (rc);
}

int
test_expand(struct testing *t)
{
	struct loaded l;
	int rc = 0;

	memset(&l, 0, sizeof(l));
	/* No message is on its way that has not told its size. */
	t->msg.size = 0;
	t->acl.mime_part_count = -1;
	t->env.keeps_lookups = true;
	if (t->o->message_id != NULL)
		rc = deliver_load(t, t->o->message_id);
	else if (t->o->message != NULL)
		rc = load_message(t, &l);
	if (rc == 0 && t->o->args.len == 0)
		rc = from_stdin(t);
	for (size_t i = 0; rc == 0 && i < t->o->args.len; i++)
		rc = expand_line(t, sv_cstr(t->o->args.p[i]));
	sb_free(&l.text);
	return (rc);
}
