/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names by which others call us: mailq, newaliases, runq, rmail, rsmtp as Exim has them, and thin postqueue, postcat,
 * postsuper, whose few options become those of the queue commands.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sendmail_int.h"
#include "spool/client.h"

static int
postqueue(struct options *o, int argc, char **argv)
{
	bool asked = false;
	int c;

	o->mode = MODE_LIST;
	o->postfix = true;
	while ((c = getopt(argc, argv, "c:fi:ps:v")) != -1) {
		switch (c) {
		case 'f':
			o->mode = MODE_QUEUE;
			o->force = 1;
			asked = true;
			break;
		case 's':
			o->mode = MODE_QUEUE;
			o->domain = optarg;
			asked = true;
			break;
		case 'i':
			o->mode = MODE_IDS;
			o->what = SPOOL_IPC_FLUSH;
			o->force = 2;
			vec_push(&o->args, optarg);
			asked = true;
			break;
		case 'p':
			asked = true;
			break;
		case 'c':
		case 'v':
			break;
		default:
			return (EX_USAGE);
		}
	}
	return (asked ? 0 : usage("postqueue needs -p, -f, -s DOMAIN or -i ID", ""));
}

static int
postcat(struct options *o, int argc, char **argv)
{
	bool header = false, body = false;
	int c;

	o->mode = MODE_IDS;
	o->what = SPOOL_IPC_SHOW;
	while ((c = getopt(argc, argv, "bc:dehoqv")) != -1) {
		header = header || c == 'h' || c == 'e';
		body = body || c == 'b';
		if (c == '?')
			return (EX_USAGE);
	}
	o->show = header == body ? 'c' : header ? 'h' : 'b';
	for (int i = optind; i < argc; i++)
		vec_push(&o->args, argv[i]);
	return (0);
}

/* Ids from standard input, one a line: "postsuper -d -". */
static void
ids_from_stdin(struct options *o)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	while ((n = getline(&line, &cap, stdin)) > 0) {
		line[strcspn(line, " \t\r\n")] = '\0';
		if (line[0] != '\0')
			vec_push(&o->args, xstrdup(line));
	}
	free(line);
}

/* Behind ALL: "postsuper -d ALL deferred hold". */
static int
queue_names(struct options *o, int argc, char **argv)
{
	static const struct { const char *name; unsigned queue; } known[] = {
		{ "active", QUEUE_ACTIVE }, { "incoming", QUEUE_ACTIVE }, { "deferred", QUEUE_DEFERRED }, { "hold", QUEUE_HOLD },
		{ "maildrop", QUEUE_OTHER }, { "corrupt", QUEUE_OTHER },
	};

	for (int i = optind; i < argc; i++) {
		unsigned q = 0;

		for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++)
			if (strcmp(argv[i], known[k].name) == 0)
				q = known[k].queue;
		if (q == 0)
			return (usage("there is no queue of that name (active, deferred, hold): ", argv[i]));
		o->queues |= q;
	}
	return (0);
}

static int
postsuper(struct options *o, int argc, char **argv)
{
	static const struct { int letter; unsigned what, force; } does[] = {
		{ 'd', SPOOL_IPC_REMOVE, 0 }, { 'h', SPOOL_IPC_FREEZE, 0 }, { 'H', SPOOL_IPC_THAW, 0 }, { 'r', SPOOL_IPC_FLUSH, 2 }
	};
	int c;

	o->mode = MODE_IDS;
	while ((c = getopt(argc, argv, "c:d:h:H:r:psSv")) != -1) {
		for (size_t i = 0; i < sizeof(does) / sizeof(does[0]); i++) {
			if (does[i].letter != c)
				continue;
			if (o->what != 0 && o->what != does[i].what)
				return (usage("postsuper does one thing at a time: -", "d, -h, -H or -r"));
			o->what = does[i].what;
			o->force = does[i].force;
			if (strcmp(optarg, "ALL") == 0)
				o->all_ids = true;
			else if (strcmp(optarg, "-") == 0)
				ids_from_stdin(o);
			else
				vec_push(&o->args, optarg);
		}
		if (c == '?')
			return (EX_USAGE);
	}
	/* -p and -s repair a queue's structure; ours repairs itself. */
	if (o->what == 0)
		exit(EX_OK);
	return (queue_names(o, argc, argv));
}

int
names_parse(struct options *o, const char *name, int argc, char **argv)
{
	o->argv = argv;
	if (strcmp(name, "postqueue") == 0)
		return (postqueue(o, argc, argv));
	if (strcmp(name, "postcat") == 0)
		return (postcat(o, argc, argv));
	if (strcmp(name, "postsuper") == 0)
		return (postsuper(o, argc, argv));
	if (strcmp(name, "mailq") == 0)
		o->mode = MODE_LIST;
	else if (strcmp(name, "newaliases") == 0)
		o->mode = MODE_ALIASES;
	else if (strcmp(name, "runq") == 0)
		o->mode = MODE_QUEUE;
	else if (strcmp(name, "rsmtp") == 0)
		o->mode = MODE_BATCH;
	else if (strcmp(name, "rmail") == 0) {
		o->dots = false;
		o->rmail = true;
	}
	return (options_parse(o, argc, argv));
}

static void
add_id(void *arg, const struct spool_listed *l)
{
	struct options *o = arg;
	unsigned queue = l->frozen ? QUEUE_HOLD : l->active ? QUEUE_ACTIVE : QUEUE_DEFERRED;
	char id[SPOOL_ID_SIZE];

	if (o->queues != 0 && (o->queues & queue) == 0)
		return;
	(void)snprintf(id, sizeof(id), SV_FMT, SV_ARG(l->id));
	vec_push(&o->args, xstrdup(id));
}

int
names_all_ids(const struct box *b, struct options *o, struct err *err)
{
	if (spool_queue_list(box_path(b, BOX_SOCK_QUEUE), SPOOL_QUEUES_ALL, NULL, add_id, o, err) == -1) {
		err_prefix(err, "vqueued does not answer");
		return (EX_TEMPFAIL);
	}
	return (EX_OK);
}
