/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vpost explain: the envelope sender of a delivered message, which is what etc/spammers lists: from the first
 * line of an mbox, or from Return-Path.  "From:" is shown beside it, since people confuse the two.  With a user's name:
 * what would become of the message, see dryrun.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mail/address.h"
#include "mail/header.h"
#include "vpost_int.h"

#define HEAD_MAX	(1024 * 1024)

/* The first part of <f>, the header and more. */
static bool
read_head(FILE *f, struct sb *out)
{
	char buf[8192];
	size_t n;

	while (out->len < HEAD_MAX && (n = fread(buf, 1, sizeof(buf), f)) > 0)
		sb_addn(out, buf, n);
	return (ferror(f) == 0 && out->len > 0);
}

/* The address of "From user@host Mon ..." or of Return-Path; false if the message has neither. */
static bool
envelope_sender(struct sv msg, const struct mail_headers *h, struct arena *a, struct sv *out)
{
	struct err err = ERR_INIT;
	struct mail_address m;
	struct sv line = msg, word = mail_headers_get(h, "Return-Path");
	struct sb sb = SB_INIT(MAIL_ADDRESS_MAX);

	if (word.p == NULL) {
		if (!sv_starts(msg, "From "))
			return (false);
		line = sv_sub(msg, 5, msg.len);
		if (!sv_word(&line, &word))
			return (false);
		/* Bounces have a name without a host there. */
		if (sv_eqs(word, "MAILER-DAEMON") || sv_eqs(word, "<>"))
			word = SV_LIT("<>");
	}
	if (mail_path_parse(sv_trim(word), MAIL_ADDR_EMPTY | MAIL_ADDR_BARE | MAIL_ADDR_BARE_PATH | MAIL_ADDR_LITERAL |
	    MAIL_ADDR_UTF8, a, &m, NULL, &err) == -1)
		return (false);
	mail_address_put(&sb, &m);
	*out = arena_sv(a, sb_sv(&sb));
	sb_free(&sb);
	return (true);
}

/* Text of a stranger on a terminal. */
static void
show(const char *what, struct sv v)
{
	printf("%-16s ", what);
	for (size_t i = 0; i < v.len; i++)
		(void)putchar((unsigned char)v.p[i] < ' ' || v.p[i] == 127 ? '?' : v.p[i]);
	(void)putchar('\n');
}

static int
explain(struct sv msg)
{
	struct arena *a = arena_new(0);
	struct mail_headers h;
	struct sv sender, from;
	ptrdiff_t at;
	int rc = 0;

	mail_headers_parse(&h, a, msg, MAIL_HEADERS_MBOX);
	from = mail_headers_get(&h, "From");
	if (!envelope_sender(msg, &h, a, &sender)) {
		(void)fprintf(stderr, "vpost explain: no \"From \" line and no Return-Path field: save the message as it was delivered\n");
		rc = 1;
	} else if (sender.len == 0) {
		show("envelope sender:", SV_LIT("<> (a report about a message; nothing to list)"));
	} else {
		show("envelope sender:", sender);
		show("in etc/spammers:", sender);
		if ((at = sv_rchr(sender, '@')) != -1)
			show("or the host:", sv_sub(sender, (size_t)at + 1, sender.len));
	}
	if (rc == 0 && from.p != NULL)
		show("not \"From:\":", mail_header_text(a, from));
	arena_free(&a);
	return (rc);
}

/* A name that is no file is a user: what would become of the message. */
static bool
is_user(const char *name)
{
	return (strcmp(name, "-") != 0 && strchr(name, '/') == NULL && access(name, F_OK) == -1);
}

int
cmd_explain(int argc, char **argv)
{
	struct sb head = SB_INIT(HEAD_MAX + 8192);
	const char *sender = NULL, *what;
	FILE *f = stdin;
	int rc, c;

	while ((c = getopt(argc, argv, "b:f:")) != -1)
		if (c == 'f')
			sender = optarg;
		else if (c != 'b' || setenv("VPOST_BOX", optarg, 1) == -1)
			goto usage;
	if (argc - optind > 1)
		goto usage;
	what = argc - optind == 1 ? argv[optind] : "-";
	if (!is_user(what) && strcmp(what, "-") != 0 && (f = fopen(what, "re")) == NULL) {
		(void)fprintf(stderr, "vpost explain: %s: %s\n", what, strerror(errno));
		sb_free(&head);
		return (1);
	}
	if (!read_head(f, &head)) {
		(void)fprintf(stderr, "vpost explain: there is no message %s%s\n",
		    f == stdin ? "on standard input" : "in ", f == stdin ? "" : what);
		rc = 1;
	} else if (is_user(what)) {
		rc = explain_user(what, sender, sb_sv(&head));
	} else {
		rc = explain(sb_sv(&head));
	}
	if (f != stdin)
		(void)fclose(f);
	sb_free(&head);
	return (rc);
usage:
	(void)fprintf(stderr, "usage: vpost explain [-b BOX] [-f SENDER] USER < MESSAGE\n       vpost explain [MESSAGE]\n");
	return (2);
}
