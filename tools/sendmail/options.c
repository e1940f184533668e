/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command line, as Exim reads it (chapter 5 of its manual): options up to the first
 * operand, values attached or in the next argument.  What sendmail has and we need not is read over.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "sendmail_int.h"
#include "spool/client.h"

int
usage(const char *why, const char *what)
{
	(void)fprintf(stderr, "sendmail: %s%s; see sendmail(8)\n", why, what);
	return (EX_USAGE);
}

/* Where a configuration is named, callers are Exim's, and know its words. */
static int
unknown(const struct options *o, const char *why, const char *option)
{
	if (o->conf == NULL)
		return (usage(why, option));
	(void)fprintf(stderr, "exim abandoned: unknown, malformed, or incomplete option -%s%s\n", why[strlen(why) - 1] == '-' ? "" :
	    strrchr(why, '-') + 1, option);
	return (1);
}

int
usage_ip(const struct options *o, const char *option, const char *what)
{
	if (o->conf == NULL)
		return (usage(option, what));
	(void)fprintf(stderr, "exim abandoned: \"%s\" is not an IP address\n", what);
	return (1);
}

bool
options_define(const struct options *o, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < o->defines.len; i++)
		if (strncmp(o->defines.p[i], name, n) == 0 && (o->defines.p[i][n] == '=' || o->defines.p[i][n] == '\0'))
			return (true);
	return (false);
}

/* -DNAME or -DNAME=VALUE. */
static int
define(struct options *o, const char *text)
{
	char *name;
	bool twice;

	text += strspn(text, " \t");
	if (text[0] < 'A' || text[0] > 'Z') {
		(void)fprintf(stderr, "exim: macro name set by -D must start with an upper case letter\n");
		return (1);
	}
	name = xstrdup(text);
	name[strcspn(name, "= \t")] = '\0';
	twice = options_define(o, name);
	free(name);
	if (twice) {
		(void)fprintf(stderr, "exim: duplicated -D in command line\n");
		return (1);
	}
	vec_push(&o->defines, text);
	return (0);
}

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

/* A value is missing, in the words that callers of Exim know. */
static int
missing(const struct options *o, const char *option)
{
	const char *what = strncmp(option, "oM", 2) == 0 ? "data" :
	    strcmp(option, "bf") == 0 || strcmp(option, "bF") == 0 ? "file name" :
	    strcmp(option, "oA") == 0 || strchr("ORSX", option[0]) != NULL ? "string" : NULL;

	if (o->conf == NULL)
		return (usage("a value is missing behind -", option));
	if (what == NULL)
		return (unknown(o, "unknown option -", option));
	(void)fprintf(stderr, "exim: %s expected after -%s\n", what, option);
	return (1);
}

static int
need(const struct options *o, struct walk *w, const char **to, const char *option)
{
	*to = value(w, "");
	return (*to == NULL ? missing(o, option) : 0);
}

/* ---- -b ---- */

static int
option_bp(struct options *o, const char *rest)
{
	o->mode = MODE_LIST;
	o->seen |= SEEN_LIST;
	for (; *rest != '\0'; rest++) {
		if (*rest == 'r' || *rest == 'i')
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

/* Modes that have a value of their own. */
static int
option_b_valued(struct options *o, struct walk *w, const char *rest)
{
	const struct { const char *text; enum mode mode; const char **to; } t[] = {
		{ "em", MODE_EXPAND, &o->message }, { "h", MODE_HOST_CHECK, &o->peer }, { "hc", MODE_HOST_CHECK, &o->peer },
		{ "f", MODE_FILTER, &o->filter }, { "F", MODE_FILTER, &o->system_filter },
		{ "fd", o->mode, &o->filter_domain }, { "fl", o->mode, &o->filter_local },
		{ "fp", o->mode, &o->filter_prefix }, { "fs", o->mode, &o->filter_suffix }
	};
	char name[8];

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		if (strcmp(rest, t[i].text) != 0)
			continue;
		o->mode = t[i].mode;
		o->seen |= t[i].mode == MODE_HOST_CHECK ? SEEN_HOST : strcmp(rest, "f") == 0 || strcmp(rest, "F") == 0 ?
		    SEEN_FILTER : 0;
		o->callouts = o->callouts || strcmp(rest, "hc") == 0;
		(void)snprintf(name, sizeof(name), "b%s", rest);
		return (need(o, w, t[i].to, name));
	}
	return (unknown(o, "unknown or unsupported mode -b", rest));
}

static int
option_b(struct options *o, struct walk *w, const char *rest)
{
	static const struct { const char *text; enum mode mode; unsigned seen; } modes[] = {
		{ "m", MODE_MESSAGE, 0 }, { "s", MODE_SMTP, SEEN_SMTP }, { "S", MODE_BATCH, SEEN_SMTP }, { "V", MODE_VERSION, 0 },
		{ "pc", MODE_COUNT, SEEN_LIST }, { "i", MODE_ALIASES, SEEN_BI }, { "e", MODE_EXPAND, SEEN_EXPAND },
		{ "P", MODE_PRINT, SEEN_PRINT }, { "t", MODE_ROUTE, SEEN_ROUTE }, { "v", MODE_VERIFY, SEEN_VERIFY },
		{ "vs", MODE_VERIFY, SEEN_VERIFY }, { "rt", MODE_RETRY, SEEN_RETRY }, { "rw", MODE_REWRITE, SEEN_REWRITE }
	};

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(rest, modes[i].text) == 0) {
			o->mode = modes[i].mode;
			o->seen |= modes[i].seen;
			o->as_sender = strcmp(rest, "vs") == 0;
			return (0);
		}
	}
	if (strncmp(rest, "I:", 2) == 0) {
		o->mode = MODE_INFO;
		o->info = rest + 2;
		return (0);
	}
	if (strcmp(rest, "nq") == 0) {
		o->no_qualify = true;
		return (0);
	}
	if (rest[0] == 'p')
		return (option_bp(o, rest + 1));
	if (strcmp(rest, "d") == 0 || strcmp(rest, "df") == 0 || strncmp(rest, "w", 1) == 0)
		return (usage("the daemons are started by `vpost start`", ""));
	return (option_b_valued(o, w, rest));
}

/* ---- -o, -q, -M ---- */

/* -oMX: what is known of the sending host and message without a session. */
static const char **
option_om(struct options *o, const char *rest)
{
	const struct { const char *text; const char **to; } t[] = {
		{ "a", &o->host_address }, { "aa", &o->auth_mechanism }, { "ai", &o->auth_id }, { "as", &o->auth_sender },
		{ "i", &o->interface }, { "m", &o->message_ref }, { "r", &o->protocol }, { "s", &o->host_name },
		{ "t", &o->ident }
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		if (strcmp(rest, t[i].text) == 0)
			return (t[i].to);
	return (NULL);
}

/* Most change nothing here; those with a value of their own take the next argument as Exim's do. */
static int
option_o(struct options *o, struct walk *w, const char *rest)
{
	const char *ignored, **to;
	char name[16];

	(void)snprintf(name, sizeof(name), "o%s", rest);
	if (strcmp(rest, "i") == 0 || strcmp(rest, "itrue") == 0)
		o->dots = false;
	else if (o->conf != NULL && ((rest[0] == 'd' && (rest[1] == '\0' || strchr("bfiq", rest[1]) == NULL)) ||
	    (rest[0] == 'e' && (rest[1] == '\0' || strchr("empqw", rest[1]) == NULL))))
		return (unknown(o, "unknown option -", name));
	else if (rest[0] == 'd' && rest[1] != '\0') {
		o->odmode = strcmp(rest, "dqs") == 0 ? 's' : rest[1];
	} else if (rest[0] == 'e' && rest[1] != '\0')
		o->errors = rest[1];
	else if (rest[0] == 'M') {
		to = option_om(o, rest + 1);
		if (to == &o->message_ref && need(o, w, to, name) != 0)
			return (1);
		if (to == &o->message_ref && !spool_id_valid(sv_cstr(*to))) {
			(void)fprintf(stderr, "-oMm must be a message ID\n");
			return (1);
		}
		if (to == &o->message_ref)
			return (0);
		return (to != NULL ? need(o, w, to, name) : o->conf != NULL ? missing(o, name) : usage("unknown option -", name));
	} else if (strcmp(rest, "A") == 0)
		return (need(o, w, &o->alias_file, name));
	else if (strcmp(rest, "P") == 0 || strcmp(rest, "X") == 0)
		return (need(o, w, &ignored, name));
	else if (o->conf != NULL && (rest[0] == '\0' || strchr("ABdemoPrsX", rest[0]) == NULL))
		return (unknown(o, "unknown option -", name));
	return (0);
}

static int
option_q(struct options *o, const char *rest)
{
	const char *all = rest;

	if (o->run && o->conf != NULL) {
		(void)fprintf(stderr, "exim: -q specified more than once\n");
		return (1);
	}
	if (o->run)
		return (usage("-q is there more than once", ""));
	o->run = true;
	o->seen |= SEEN_RUN;
	/* With -bp or -M it says of which queue. */
	if (o->mode == MODE_MESSAGE)
		o->mode = MODE_QUEUE;
	for (; *rest != '\0'; rest++) {
		if (*rest == 'G') {
			o->queue = rest + 1;
			return (strchr(rest, '/') == NULL ? 0 :
			    usage("no queue has that name, and queue runs by time are vqueued's business: -q", all));
		}
		if (*rest == 'f')
			o->force++;
		else if (*rest == 'i')
			o->first_only = true;
		else if (*rest == 'l')
			o->local_only = true;
		else if (*rest == 'q')
			o->two_stage = true;
		else if (o->conf != NULL && !sv_isdigit(*rest)) {
			(void)fprintf(stderr, "exim: bad time value -q%s: abandoned\n", all);
			return (1);
		} else
			return (usage("queue runs by time are vqueued's business: -q", rest));
	}
	return (0);
}

static int
option_m_ids(struct options *o, struct walk *w, const char *rest)
{
	static const struct { const char *text; unsigned what; unsigned force; char show; } t[] = {
		{ "", SPOOL_IPC_FLUSH, 2, 0 }, { "C", SPOOL_IPC_FLUSH, 2, 0 }, { "f", SPOOL_IPC_FREEZE, 0, 0 },
		{ "t", SPOOL_IPC_THAW, 0, 0 }, { "rm", SPOOL_IPC_REMOVE, 0, 0 }, { "g", SPOOL_IPC_GIVEUP, 0, 0 },
		{ "mad", SPOOL_IPC_MARK, 0, 0 }, { "md", SPOOL_IPC_MARK, 0, 0 }, { "vh", SPOOL_IPC_SHOW, 0, 'h' },
		{ "vb", SPOOL_IPC_SHOW, 0, 'b' }, { "vc", SPOOL_IPC_SHOW, 0, 'c' }, { "ar", 0, 0, 0 },
		{ "es", 0, 0, 0 }, { "c", SPOOL_IPC_FLUSH, 2, 0 },
		{ "vl", SPOOL_IPC_SHOW, 0, 'l' }
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		if (strcmp(rest, t[i].text) == 0) {
			o->mode = MODE_IDS;
			o->seen |= rest[0] == 'v' || strcmp(rest, "ar") == 0 || strcmp(rest, "es") == 0 || strcmp(rest, "md") == 0 ?
			    SEEN_ONE_ID : SEEN_MANY_IDS;
			o->m_what = t[i].text;
			o->what = t[i].what;
			o->force = t[i].force;
			o->show = t[i].show;
			return (0);
		}
	}
	if (strcmp(rest, "G") == 0) {
		o->mode = MODE_IDS;
		o->seen |= SEEN_ONE_ID;
		o->m_what = "G";
		o->what = SPOOL_IPC_MOVE;
		if (need(o, w, &o->to_queue, "MG") != 0)
			return (EX_USAGE);
		return (strchr(o->to_queue, '/') == NULL ? 0 : usage("no queue has that name: ", o->to_queue));
	}
	if (strcmp(rest, "set") == 0)
		return (need(o, w, &o->message_id, "Mset"));
	return (unknown(o, "unknown option -M", rest));
}

/* Exim's -N delivers nothing; sendmail's has the names of what the sender wants to be told. */
static int
option_n(struct options *o, struct walk *w, const char *rest)
{
	static const char *const words[] = { "never", "success", "failure", "delay" };
	const char *next = rest[0] != '\0' ? rest : w->i + 1 < w->argc ? w->argv[w->i + 1] : "";

	for (size_t i = 0; o->conf == NULL && i < sizeof(words) / sizeof(words[0]); i++) {
		if (strncasecmp(next, words[i], strlen(words[i])) == 0) {
			o->notify = value(w, rest);
			return (0);
		}
	}
	o->no_deliver = true;
	return (rest[0] == '\0' ? 0 : usage("unknown value of -N: ", rest));
}

/* -pPROTOCOL[:HOST] */
static int
option_p(struct options *o, struct walk *w, const char *rest)
{
	const char *v, *colon;

	/* -ps, -pd: Perl now, or when it is used. */
	if (strcmp(rest, "s") == 0 || strcmp(rest, "d") == 0) {
		o->perl = rest[0];
		return (0);
	}
	v = value(w, rest);
	if (v == NULL)
		return (missing(o, "p"));
	colon = strchr(v, ':');
	if (colon != NULL) {
		o->host_name = colon + 1;
		(void)snprintf(o->protocol_text, sizeof(o->protocol_text), "%.*s", (int)(colon - v), v);
		v = o->protocol_text;
	}
	if (*v != '\0')
		o->protocol = v;
	return (0);
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
	case 'V':
		return (&o->envid);
	case 'h':		/* hop count, log file, tag, sendmail's options */
	case 'X':
	case 'L':
	case 'O':
		return (&ignored);
	default:
		return (NULL);
	}
}

/* -R and -S: messages of whom; "r" a regex, "f" and "ff" as behind -q. */
static int
option_select(struct options *o, struct walk *w, const char *text)
{
	const char **to = text[0] == 'R' ? &o->domain : &o->of_sender, *rest = text + 1, *flags = rest;
	size_t n = strspn(rest, "rf");

	o->seen |= SEEN_RUN;
	if (rest[n] == '\0') {
		o->select_flags = flags;
		rest = "";
	}
	*to = value(w, rest);
	if (*to == NULL)
		return (missing(o, text));
	for (size_t i = 0; rest[0] == '\0' && flags[i] != '\0'; i++)
		o->force += flags[i] == 'f';
	if (text[0] == 'S')
		o->mode = MODE_QUEUE;
	return (0);
}

static int
option(struct options *o, struct walk *w, const char *text)
{
	const char *rest = text + 1, **to = valued(o, text[0]);

	if (text[0] == 'R' || text[0] == 'S')
		return (option_select(o, w, text));
	if (text[0] == 'f' || text[0] == 'r')
		o->seen |= SEEN_SENDER;
	if (to != NULL) {
		*to = value(w, rest);
		return (*to == NULL ? missing(o, text) : 0);
	}
	switch (text[0]) {
	case 'b':
		return (option_b(o, w, rest));
	case 'o':
		return (option_o(o, w, rest));
	case 'q':
		return (option_q(o, rest));
	case 'M':
		return (option_m_ids(o, w, rest));
	case 'D':
		return (*rest == '\0' && w->i + 1 < w->argc ? define(o, value(w, rest)) : define(o, rest));
	case 'N':
		return (option_n(o, w, rest));
	case 'n':
		o->names_off = true;
		return (0);
	case 'p':
		return (option_p(o, w, rest));
	case 't':
		if (strcmp(rest, "ls-on-connect") == 0) {
			o->tls_on_connect = true;
			return (0);
		}
		o->from_header = true;
		o->seen |= SEEN_T;
		if (strcmp(rest, "i") == 0)
			o->dots = false;
		return (0);
	case 'i':
		o->dots = false;
		return (0);
	case 'v':
		o->verbose = true;
		return (0);
	case 'd':
		o->debug = true;
		return (0);
	case 'e':
		o->errors = rest[0];
		return (0);
	case 'G':
		o->no_fixups = true;
		return (0);
	case 'x':
		return (o->conf != NULL && *rest != '\0' ? unknown(o, "unknown option -", text) : 0);
	case 'm':		/* old flags without meaning */
	case 'U':
	case 'E':
	case 'A':
	case 'B':
		return (0);
	default:
		return (unknown(o, "unknown option -", text));
	}
}

int
options_parse(struct options *o, int argc, char **argv)
{
	struct walk w = { argv, argc, 1 };
	bool operands = false;
	int rc;

	for (; w.i < argc; w.i++) {
		const char *a = argv[w.i];

		if (operands || a[0] != '-' || a[1] == '\0') {
			/* Nothing behind the first operand is an option. */
			operands = true;
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
	return (options_check(o));
}
