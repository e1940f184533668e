/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sendmail: the command that programs hand mail to, with the command line of Exim's;
 * mailq, newaliases, exim and a few others are names of it (names.c).
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/proc.h"
#include "sendmail_int.h"

/* ---- modes ---- */

/* Our sibling <name>, with the caller's arguments for none. */
static int
run_sibling(const char *name)
{
	char path[PATH_MAX];
	char *slash;

	if (!os_self_path(path, sizeof(path)) || (slash = strrchr(path, '/')) == NULL)
		return (EX_SOFTWARE);
	(void)snprintf(slash + 1, sizeof(path) - (size_t)(slash + 1 - path), "%s", name);
	(void)execl(path, name, (char *)NULL);
	(void)fprintf(stderr, "sendmail: %s: %s\n", path, strerror(errno));
	return (EX_SOFTWARE);
}

static int
send_message(const struct box *b, const struct options *o, struct err *err)
{
	struct message m = { .box = b };
	int rc = message_read(&m, o, err);

	if (rc == EX_OK)
		rc = submit(&m, o, err);
	message_free(&m);
	return (rc);
}

/* ---- -bS ---- */

struct batch_sending {
	const struct box *box;
	const struct options *o;
};

static int
send_of_batch(void *arg, const struct batch_message *in, struct err *err)
{
	const struct batch_sending *to = arg;
	struct message m = { .box = to->box };
	int rc = message_of_batch(&m, to->o, in, err);

	if (rc == EX_OK)
		rc = submit(&m, to->o, err);
	message_free(&m);
	return (rc == EX_OK ? 0 : -1);
}

static int
act(const struct box *b, struct options *o, struct err *err)
{
	int rc = EX_OK;
	size_t given;

	switch (o->mode) {
	case MODE_SMTP:
		return (smtp_pipe(b, err));
	case MODE_BATCH:
		return (batch_run(&(struct batch_ops){ .arg = &(struct batch_sending){ b, o }, .take = send_of_batch }));
	case MODE_LIST:
	case MODE_COUNT:
		return (queue_list(b, o, err));
	case MODE_QUEUE:
	case MODE_IDS:
		given = o->args.len;
		if (o->all_ids)
			rc = names_all_ids(b, o, err);
		if (rc == EX_OK && (!o->all_ids || o->args.len > 0))
			rc = queue_command(b, o, err);
		while (o->args.len > given)
			free((void *)(uintptr_t)o->args.p[--o->args.len]);
		return (rc);
	case MODE_ALIASES:
		return (run_sibling("vnewaliases"));
	default:
		break;
	}
	return (send_message(b, o, err));
}

static bool
only_looks(enum mode m)
{
	return (m == MODE_VERSION || m == MODE_EXPAND || m == MODE_PRINT || m == MODE_ROUTE || m == MODE_VERIFY ||
	    m == MODE_RETRY || m == MODE_REWRITE || m == MODE_HOST_CHECK || m == MODE_FILTER);
}

/* -C names a configuration of its own: this process receives, delivers and keeps the queue by that. */
static bool
by_itself(const struct options *o)
{
	return (o->conf != NULL && (o->mode == MODE_MESSAGE || o->mode == MODE_SMTP || o->mode == MODE_BATCH ||
	    o->mode == MODE_LIST || o->mode == MODE_COUNT || o->mode == MODE_QUEUE || o->mode == MODE_IDS));
}

/* The box that is meant; else the whole host is one. */
static struct box *
find_box(struct err *err)
{
	struct box *b = NULL;
	char *root = NULL;

	if (box_find(NULL, &root, err) == 0) {
		(void)box_open(&b, root, NULL, NULL, err);
		free(root);
		return (b);
	}
	if (access("/etc/vpost.conf", F_OK) == 0)
		(void)box_open(&b, "/", NULL, NULL, err);
	return (b);
}

static int
run(struct options *o, const char *name)
{
	struct err err = ERR_INIT;
	struct box *b;
	int rc;

	if (o->mode == MODE_INFO)
		return (info_print(o->info));
	b = find_box(&err);
	if (only_looks(o->mode) || by_itself(o) || (o->mode == MODE_ALIASES && o->conf != NULL)) {
		rc = testing_run(b, o);
	} else if (b == NULL) {
		(void)fprintf(stderr, "%s: %s\n", name, err.text);
		rc = EX_CONFIG;
	} else {
		rc = act(b, o, &err);
		if (rc != EX_OK && err.text[0] != '\0')
			(void)fprintf(stderr, "%s: %s\n", name, err.text);
	}
	if (b != NULL)
		box_free(&b);
	return (rc);
}

int
main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/') != NULL ? strrchr(argv[0], '/') + 1 : argv[0];
	struct options o = { .mode = MODE_MESSAGE, .dots = true, .syslog_socket = secure_getenv("VPOST_SYSLOG_SOCKET") };
	int rc = names_parse(&o, name, argc, argv);

	if (rc == 0)
		rc = run(&o, name);
	vec_free(&o.args);
	vec_free(&o.defines);
	return (rc);
}
