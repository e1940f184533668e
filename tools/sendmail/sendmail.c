/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sendmail: the command that programs hand mail to, with the command line of Exim's;
 * mailq, newaliases and exim are names of it.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exim/conf.h"
#include "os/proc.h"
#include "sendmail_int.h"
#include "spool/client.h"

static int
usage(const char *why, const char *what)
{
	(void)fprintf(stderr, "sendmail: %s%s; see sendmail(8)\n", why, what);
	return (EX_USAGE);
}

/* ---- options ---- */

struct walk {
	char	**argv;
	int	 argc, i;
};

/* The value behind the option's letters, or the next argument; NULL if there is none. */
static const char *
value(struct walk *w, const char *rest)
{
	if (*rest != '\0')
		return (rest);
	return (w->i + 1 < w->argc ? w->argv[++w->i] : NULL);
}

static int
option_b(struct options *o, const char *rest)
{
	static const struct { const char *text; enum mode mode; } modes[] = {
		{ "m", MODE_MESSAGE }, { "s", MODE_SMTP }, { "V", MODE_VERSION }, { "pc", MODE_COUNT }, { "i", MODE_ALIASES }
	};

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(rest, modes[i].text) == 0) {
			o->mode = modes[i].mode;
			return (0);
		}
	}
	if (rest[0] != 'p')
		return (strcmp(rest, "d") == 0 ? usage("the daemons are started by `vpost start`", "") :
		    usage("unknown or unsupported mode -b", rest));
	o->mode = MODE_LIST;
	for (rest++; *rest != '\0'; rest++) {
		if (*rest == 'r')
			o->unsorted = true;
		else if (*rest == 'a')
			o->all = true;
		else if (*rest == 'u')
			o->undelivered = true;
		else
			return (usage("unknown mode -bp", rest));
	}
	return (0);
}

/* -oX: most change nothing here; those with a value of their own take the next argument as Exim's do. */
static int
option_o(struct options *o, struct walk *w, const char *rest)
{
	if (strcmp(rest, "i") == 0 || strcmp(rest, "itrue") == 0)
		o->dots = false;
	else if (rest[0] == 'M' && strcmp(rest, "Mr") != 0 && value(w, "") == NULL)
		return (usage("a value is missing behind -o", rest));
	else if (strcmp(rest, "Mr") == 0 || strcmp(rest, "P") == 0 || strcmp(rest, "X") == 0)
		(void)value(w, "");
	return (0);
}

static int
option_q(struct options *o, const char *rest)
{
	o->mode = MODE_QUEUE;
	for (; *rest != '\0'; rest++) {
		if (*rest == 'f')
			o->force++;
		else if (*rest != 'i' && *rest != 'l' && *rest != 'q')
			return (usage("queue runs by time are vqueued's business: -q", rest));
	}
	return (0);
}

static int
option_m_ids(struct options *o, const char *rest)
{
	static const struct { const char *text; unsigned what; unsigned force; char show; } t[] = {
		{ "", SPOOL_IPC_FLUSH, 2, 0 }, { "C", SPOOL_IPC_FLUSH, 2, 0 }, { "f", SPOOL_IPC_FREEZE, 0, 0 },
		{ "t", SPOOL_IPC_THAW, 0, 0 }, { "rm", SPOOL_IPC_REMOVE, 0, 0 }, { "g", SPOOL_IPC_GIVEUP, 0, 0 },
		{ "mad", SPOOL_IPC_MARK, 0, 0 }, { "md", SPOOL_IPC_MARK, 0, 0 }, { "vh", SPOOL_IPC_SHOW, 0, 'h' },
		{ "vb", SPOOL_IPC_SHOW, 0, 'b' }, { "vc", SPOOL_IPC_SHOW, 0, 'c' }
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		if (strcmp(rest, t[i].text) == 0) {
			o->mode = MODE_IDS;
			o->what = t[i].what;
			o->force = t[i].force;
			o->show = t[i].show;
			return (0);
		}
	}
	return (usage("unknown option -M", rest));
}

/* Where the value of an option with one goes. */
static const char **
valued(struct options *o, char letter)
{
	static const char *ignored;

	switch (letter) {
	case 'f':
	case 'r':
		return (&o->sender);
	case 'F':
		return (&o->fullname);
	case 'C':
		return (&o->conf);
	case 'N':
		return (&o->notify);
	case 'V':
		return (&o->envid);
	case 'R':
		return (&o->domain);
	case 'h':		/* hop count, log file, tag, body type, sendmail's options */
	case 'X':
	case 'L':
	case 'B':
	case 'O':
	case 'p':
	case 'S':
		return (&ignored);
	default:
		return (NULL);
	}
}

static int
option(struct options *o, struct walk *w, const char *text)
{
	const char *rest = text + 1, **to = valued(o, text[0]);

	if (to != NULL) {
		*to = value(w, rest);
		return (*to == NULL ? usage("a value is missing behind -", text) : 0);
	}
	switch (text[0]) {
	case 'b':
		return (option_b(o, rest));
	case 'o':
		return (option_o(o, w, rest));
	case 'q':
		return (option_q(o, rest));
	case 'M':
		return (option_m_ids(o, rest));
	case 'D':
		vec_push(&o->defines, rest);
		return (0);
	case 't':
		o->from_header = true;
		if (strcmp(rest, "i") == 0)
			o->dots = false;
		return (0);
	case 'i':
		o->dots = false;
		return (0);
	case 'v':
		o->verbose = true;
		return (0);
	case 'd':		/* debugging, and old flags without meaning */
	case 'e':
	case 'm':
	case 'n':
	case 'x':
	case 'U':
	case 'G':
	case 'E':
		return (0);
	default:
		return (usage("unknown option -", text));
	}
}

static int
parse(struct options *o, int argc, char **argv)
{
	struct walk w = { argv, argc, 1 };
	bool operands = false;
	int rc;

	for (; w.i < argc; w.i++) {
		const char *a = argv[w.i];

		if (operands || a[0] != '-' || a[1] == '\0') {
			vec_push(&o->args, a);
		} else if (strcmp(a, "--") == 0) {
			operands = true;
		} else if (strcmp(a, "--version") == 0) {
			o->mode = MODE_VERSION;
		} else if ((rc = option(o, &w, a + 1)) != 0) {
			return (rc);
		}
	}
	/* sendmail's -R hdrs|full is about reports; Exim's names recipients of the queue. */
	if (o->domain != NULL && (strcasecmp(o->domain, "hdrs") == 0 || strcasecmp(o->domain, "full") == 0)) {
		o->ret = o->domain;
		o->domain = NULL;
	}
	if (o->domain != NULL && o->mode == MODE_MESSAGE)
		o->mode = MODE_QUEUE;
	return (0);
}

/* ---- modes ---- */

static void
report(void *arg, const struct err *e, bool warning)
{
	(void)arg;
	(void)fprintf(stderr, "%s%s\n", warning ? "warning: " : "", e->text);
}

/* The caller's -D names the macro. */
static bool
defined(const struct options *o, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < o->defines.len; i++)
		if (strncmp(o->defines.p[i], name, n) == 0 && (o->defines.p[i][n] == '=' || o->defines.p[i][n] == '\0'))
			return (true);
	return (false);
}

/* -bV: what would be used, and whether it can be read. */
static int
version(const struct box *b, const struct options *o)
{
	char boxdef[PATH_MAX + 8];
	VEC(const char *) defines = VEC_INIT;
	struct exim_conf_source src = { .path = o->conf, .text = SV_NULL };
	struct exim_report rep = EXIM_REPORT_INIT;
	struct err err = ERR_INIT;
	struct exim_conf *c = NULL;
	int rc;

	printf("vpost, in the manner of Exim version 4.96\n");
	if (src.path == NULL && b != NULL)
		src.path = box_path(b, BOX_EXIM_CONF);
	if (src.path == NULL) {
		printf("There is no box, and no -C names a configuration.\n");
		return (EX_CONFIG);
	}
	if (b != NULL) {
		(void)snprintf(boxdef, sizeof(boxdef), "BOX=%s", b->root);
		if (!defined(o, "BOX"))
			vec_push(&defines, boxdef);
		if (b->system_users && !defined(o, "VPOST_SYSTEM_USERS"))
			vec_push(&defines, "VPOST_SYSTEM_USERS=yes");
		src.hostname = b->hostname[0] != '\0' ? b->hostname : NULL;
	}
	for (size_t i = 0; i < o->defines.len; i++)
		vec_push(&defines, o->defines.p[i]);
	src.defines = defines.p;
	src.ndefines = defines.len;
	rep.fn = report;
	rc = exim_conf_load(&c, &src, &rep, &err);
	if (rc == -1 && rep.errors == 0)
		report(NULL, &err, false);
	if (rc == 0)
		printf("Configuration file is %s\n", src.path);
	exim_conf_unref(&c);
	vec_free(&defines);
	return (rc == 0 ? EX_OK : 1);
}

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

static int
act(const struct box *b, const struct options *o, struct err *err)
{
	switch (o->mode) {
	case MODE_SMTP:
		return (smtp_pipe(b, err));
	case MODE_LIST:
	case MODE_COUNT:
		return (queue_list(b, o, err));
	case MODE_QUEUE:
	case MODE_IDS:
		return (queue_command(b, o, err));
	case MODE_ALIASES:
		return (run_sibling("vnewaliases"));
	case MODE_VERSION:
	case MODE_MESSAGE:
		break;
	}
	return (send_message(b, o, err));
}

/* The caller's box; else that of the whole host. */
static struct box *
find_box(struct err *err)
{
	static const char *const hosts[] = { "/var/vpost", "/" };
	struct box *b = NULL;
	char *root = NULL, conf[64];

	if (box_find(NULL, &root, err) == 0) {
		(void)box_open(&b, root, NULL, NULL, err);
		free(root);
		return (b);
	}
	for (size_t i = 0; i < 2; i++) {
		(void)snprintf(conf, sizeof(conf), "%s/etc/vpost.conf", hosts[i][1] == '\0' ? "" : hosts[i]);
		if (access(conf, F_OK) == 0 && box_open(&b, hosts[i], NULL, NULL, err) == 0)
			return (b);
	}
	return (NULL);
}

int
main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/') != NULL ? strrchr(argv[0], '/') + 1 : argv[0];
	struct options o = { .mode = MODE_MESSAGE, .dots = true };
	struct err err = ERR_INIT;
	struct box *b;
	int rc;

	if (strcmp(name, "mailq") == 0)
		o.mode = MODE_LIST;
	else if (strcmp(name, "newaliases") == 0)
		o.mode = MODE_ALIASES;
	if ((rc = parse(&o, argc, argv)) != 0)
		return (rc);
	b = find_box(&err);
	if (o.mode == MODE_VERSION) {
		rc = version(b, &o);
	} else if (b == NULL) {
		(void)fprintf(stderr, "%s: %s\n", name, err.text);
		rc = EX_CONFIG;
	} else {
		rc = act(b, &o, &err);
		if (rc != EX_OK && err.text[0] != '\0')
			(void)fprintf(stderr, "%s: %s\n", name, err.text);
	}
	if (b != NULL)
		box_free(&b);
	vec_free(&o.args);
	vec_free(&o.defines);
	return (rc);
}
