/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands of an Exim filter (its manual 3.9 to 3.20) to a tree; the first mistake ends it, in Exim's words. */
#include <string.h>

#include "exim_int.h"

#define COMMANDS_MAX	20000

const char *const xf_mail_names[XF_NMAIL] = {
#define X(id, name) name,
	XF_MAIL_OPTIONS(X)
#undef X
};

const char *const xf_op_names[XF_NONE] = {
	[XF_ADD] = "add", [XF_DEFER] = "defer", [XF_DELIVER] = "deliver", [XF_ELIF] = "elif", [XF_ELSE] = "else",
	[XF_ENDIF] = "endif", [XF_FAIL] = "fail", [XF_FINISH] = "finish", [XF_FREEZE] = "freeze", [XF_HEADERS] = "headers",
	[XF_IF] = "if", [XF_LOGFILE] = "logfile", [XF_LOGWRITE] = "logwrite", [XF_MAIL_CMD] = "mail", [XF_NOERROR] = "noerror",
	[XF_PIPE] = "pipe", [XF_SAVE] = "save", [XF_SEEN] = "seen", [XF_TESTPRINT] = "testprint", [XF_UNSEEN] = "unseen",
	[XF_VACATION] = "vacation",
};

struct xf_list {
	struct xf_cmd	**tail;
	enum xf_op	 end;		/* elif, else, endif; XF_NONE: the end of the file */
};

static bool commands(struct xf_parse *p, struct xf_list *l, bool conditional);

struct exim_str *
xf_compile(struct xf_parse *p, const char *text)
{
	struct exim_str *s = NULL;

	/* A mistake in it counts when it is expanded. */
	(void)exim_str_compile(p->a, sv_cstr(text), p->file, p->x.line, &s, NULL);
	return (s);
}

static struct xf_cmd *
fresh(struct xf_parse *p, enum xf_op op, unsigned line, bool seen, struct xf_list *l)
{
	struct xf_cmd *c = arena_zalloc(p->a, sizeof(*c));

	c->op = op;
	c->line = line;
	c->seen = p->seen_set ? p->seen_value : seen;
	c->noerror = p->noerror;
	c->mode = -1;
	*l->tail = c;
	l->tail = &c->next;
	return (c);
}

/* --- commands with one argument ------------------------------------------------------- */

static void
add_target(struct xf_parse *p, struct xf_cmd *c)
{
	struct xf_lex *x = &p->x;

	xf_item(x, false);
	if (strcmp(x->word, "to") != 0) {
		xf_error(x, "\"to\" expected in \"add\" command near line %u of filter file", x->line);
		return;
	}
	xf_item(x, false);
	if (x->word[0] == '\0')
		xf_error(x, "value missing after \"to\" near line %u of filter file", x->line);
	else
		c->arg[1] = xf_compile(p, x->word);
}

static void
headers_what(struct xf_parse *p, struct xf_cmd *c)
{
	static const char *const words[] = { "add", "remove", "charset" };
	struct xf_lex *x = &p->x;
	size_t i;

	for (i = 0; i < 3 && strcmp(x->word, words[i]) != 0; i++)
		;
	if (i != XF_HEADERS_CHARSET && (p->flags & EXIM_FILTER_SYSTEM) == 0) {
		xf_error(x, "header addition and removal is available only in system filters: near line %u of filter file", x->line);
		return;
	}
	if (i == 3) {
		xf_error(x, "\"add\", \"remove\", or \"charset\" expected after \"headers\" near line %u of filter file", x->line);
		return;
	}
	c->headers = (enum xf_headers)i;
	xf_item(x, false);
	if (x->word[0] == '\0')
		xf_error(x, "value missing after \"add\", \"remove\", or \"charset\" near line %u of filter file", x->line);
	else
		c->arg[0] = xf_compile(p, x->word);
}

static void
errors_to(struct xf_parse *p, struct xf_cmd *c)
{
	struct xf_mark before = XF_MARK(&p->x);

	xf_word(&p->x, false);
	if (strcmp(p->x.word, "errors_to") != 0) {
		XF_AGAIN(&p->x, before);
		return;
	}
	xf_word(&p->x, false);
	c->arg[1] = xf_compile(p, p->x.word);
}

static bool
argument(struct xf_parse *p, enum xf_op op, unsigned line, struct xf_list *l)
{
	struct xf_lex *x = &p->x;
	struct xf_cmd *c;
	size_t n;

	if ((op == XF_ADD || op == XF_HEADERS) && (p->seen_set || p->noerror)) {
		xf_error(x, "\"seen\", \"unseen\", or \"noerror\" found before an \"%s\" command near line %u",
		    xf_op_names[op], x->line);
		return (false);
	}
	xf_item(x, false);
	if (x->word[0] == '\0')
		xf_error(x, "\"%s\" requires an argument near line %u of filter file", xf_op_names[op], x->line);
	if (x->error != NULL)
		return (false);
	c = fresh(p, op, line, op != XF_LOGWRITE && op != XF_LOGFILE && op != XF_ADD && op != XF_HEADERS, l);
	if (op == XF_HEADERS) {
		headers_what(p, c);
		return (x->error == NULL);
	}
	n = strlen(x->word);
	if (op == XF_LOGWRITE && x->word[n - 1] != '\n') {
		x->word[n] = '\n';
		x->word[n + 1] = '\0';
	}
	c->arg[0] = xf_compile(p, x->word);
	if (op == XF_ADD)
		add_target(p, c);
	else if (op == XF_DELIVER)
		errors_to(p, c);
	else if ((op == XF_SAVE || op == XF_LOGFILE) && sv_isdigit(*x->p)) {
		const char *digits = x->word;
		int64_t mode;

		xf_word(x, false);
		c->mode = xf_integer(&digits, 8, &mode) ? (int)(uint32_t)mode : 0;
	}
	return (x->error == NULL);
}

/* --- the others ------------------------------------------------------------------------ */

static bool
refusal(struct xf_parse *p, enum xf_op op, unsigned line, struct xf_list *l)
{
	unsigned need = op == XF_DEFER ? EXIM_FILTER_DEFER : op == XF_FAIL ? EXIM_FILTER_FAIL : EXIM_FILTER_FREEZE;
	struct xf_lex *x = &p->x;
	struct xf_mark before;
	struct xf_cmd *c;

	if ((p->flags & need) == 0) {
		xf_error(x, "filtering command \"%s\" is disabled: near line %u of filter file", xf_op_names[op], x->line);
		return (false);
	}
	c = fresh(p, op, line, false, l);
	before = XF_MARK(x);
	xf_item(x, false);
	if (*before.p == '"') {
		c->arg[0] = xf_compile(p, x->word);
	} else if (strcmp(x->word, "text") == 0) {
		xf_item(x, false);
		c->arg[0] = xf_compile(p, x->word);
	} else
		XF_AGAIN(x, before);
	return (x->error == NULL);
}

/* One option of mail; false when the next word is none. */
static bool
mail_option(struct xf_parse *p, struct xf_cmd *c)
{
	struct xf_lex *x = &p->x;
	struct xf_mark before = XF_MARK(x);
	size_t i;

	xf_word(x, false);
	if (x->error != NULL)
		return (false);
	if (strcmp(x->word, "return") == 0) {
		c->mail->return_message = true;
		xf_word(x, false);
		if (strcmp(x->word, "message") != 0)
			xf_error(x, "\"return\" not followed by \"message\"  near line %u of filter file", x->line);
		return (x->error == NULL);
	}
	if (strcmp(x->word, "expand") == 0) {
		c->mail->expand = true;
		xf_word(x, false);
		if (strcmp(x->word, "file") != 0) {
			xf_error(x, "\"expand\" not followed by \"file\"  near line %u of filter file", x->line);
			return (false);
		}
	}
	for (i = 0; i < XF_NMAIL && strcmp(x->word, xf_mail_names[i]) != 0; i++)
		;
	if (i == XF_NMAIL) {
		XF_AGAIN(x, before);
		return (false);
	}
	xf_item(x, false);
	if (x->error != NULL)
		return (false);
	c->mail->v[i] = xf_compile(p, x->word);
	return (true);
}

static void
vacation_defaults(struct xf_parse *p, struct xf_cmd *c)
{
	static const struct { enum xf_mail i; const char *text; } def[] = {
		{ XF_MAIL_FILE, ".vacation.msg" }, { XF_MAIL_LOG, ".vacation.log" }, { XF_MAIL_ONCE, ".vacation" },
		{ XF_MAIL_ONCE_REPEAT, "7d" }, { XF_MAIL_SUBJECT, "On vacation" },
	};

	for (size_t i = 0; i < sizeof(def) / sizeof(def[0]); i++) {
		if (c->mail->v[def[i].i] != NULL)
			continue;
		c->mail->v[def[i].i] = xf_compile(p, def[i].text);
		if (def[i].i == XF_MAIL_FILE)
			c->mail->expand = true;
	}
}

static bool
mail(struct xf_parse *p, enum xf_op op, unsigned line, struct xf_list *l)
{
	struct xf_cmd *c = fresh(p, op, line, false, l);

	c->mail = arena_zalloc(p->a, sizeof(*c->mail));
	while (mail_option(p, c))
		;
	if (op == XF_VACATION)
		vacation_defaults(p, c);
	return (p->x.error == NULL);
}

/* One "condition then commands"; *<end> is what ended them. */
static bool
branch(struct xf_parse *p, struct xf_cmd *c, enum xf_op *end)
{
	struct xf_list l = { .tail = &c->then };

	c->cond = xf_condition(p);
	if (c->cond == NULL || !commands(p, &l, true))
		return (false);
	*end = l.end;
	return (true);
}

static bool
conditional(struct xf_parse *p, unsigned line, struct xf_list *l)
{
	struct xf_lex *x = &p->x;
	enum xf_op end = XF_NONE;
	struct xf_list other;
	struct xf_cmd *c;

	if (p->seen_set || p->noerror) {
		xf_error(x, "\"seen\", \"unseen\", or \"noerror\" found before an \"if\" command near line %u", x->line);
		return (false);
	}
	c = fresh(p, XF_IF, line, false, l);
	if (!branch(p, c, &end))
		return (false);
	while (end == XF_ELIF) {
		other.tail = &c->other;
		c = fresh(p, XF_IF, x->line, false, &other);
		if (!branch(p, c, &end))
			return (false);
	}
	if (end != XF_ELSE)
		return (true);
	other.tail = &c->other;
	if (!commands(p, &other, true))
		return (false);
	if (other.end != XF_ENDIF)
		xf_error(x, "\"endif\" missing near line %u of filter file", x->line);
	return (x->error == NULL);
}

/* seen, unseen, noerror: for the next command. */
static bool
prefix(struct xf_parse *p, enum xf_op op)
{
	if (op == XF_NOERROR) {
		p->noerror = true;
		return (true);
	}
	if (p->seen_set) {
		xf_error(&p->x, "\"seen\" or \"unseen\" repeated near line %u", p->x.line);
		return (false);
	}
	p->seen_set = true;
	p->seen_value = op == XF_SEEN;
	return (true);
}

static enum xf_op
command_word(struct xf_parse *p)
{
	struct xf_lex *x = &p->x;
	size_t i;

	if (strncmp(x->p, "if(", 3) == 0 || strncmp(x->p, "elif(", 5) == 0)
		xf_word(x, true);
	else
		xf_word(x, false);
	for (i = 0; i < XF_NONE && strcmp(x->word, xf_op_names[i]) != 0; i++)
		;
	if (i == XF_NONE)
		xf_error(x, "unknown filtering command \"%s\" near line %u of filter file", x->word, x->line);
	return ((enum xf_op)i);
}

static bool
command(struct xf_parse *p, struct xf_list *l, bool conditionally)
{
	unsigned line = p->x.line;
	enum xf_op op = command_word(p);
	bool ok;

	if (p->x.error != NULL)
		return (false);
	switch (op) {
	case XF_SEEN:
	case XF_UNSEEN:
	case XF_NOERROR:
		return (prefix(p, op));
	case XF_ELIF:
	case XF_ELSE:
	case XF_ENDIF:
		if (!conditionally)
			xf_error(&p->x, "unexpected \"%s\" command near line %u of filter file", xf_op_names[op], p->x.line);
		else if (p->seen_set || p->noerror)
			xf_error(&p->x, "\"seen\", \"unseen\", or \"noerror\" near line %u is not followed by a command", p->x.line);
		l->end = op;
		ok = conditionally;
		break;
	case XF_IF:
		ok = conditional(p, line, l);
		break;
	case XF_DEFER:
	case XF_FAIL:
	case XF_FREEZE:
		ok = refusal(p, op, line, l);
		break;
	case XF_FINISH:
		(void)fresh(p, op, line, false, l);
		ok = true;
		break;
	case XF_MAIL_CMD:
	case XF_VACATION:
		ok = mail(p, op, line, l);
		break;
	default:
		ok = argument(p, op, line, l);
		break;
	}
	p->seen_set = p->noerror = false;
	return (ok);
}

static bool
commands(struct xf_parse *p, struct xf_list *l, bool conditionally)
{
	size_t n = 0;

	if (++p->depth > EXIM_FILTER_DEPTH)
		xf_error(&p->x, "commands nested too deeply near line %u of filter file", p->x.line);
	l->end = XF_NONE;
	while (p->x.error == NULL && *p->x.p != '\0' && l->end == XF_NONE) {
		if (++n > COMMANDS_MAX)
			xf_error(&p->x, "too many commands near line %u of filter file", p->x.line);
		else if (command(p, l, conditionally))
			xf_skip(&p->x);
	}
	if (p->x.error == NULL && p->seen_set)
		xf_error(&p->x, "\"seen\" or \"unseen\" near line %u is not followed by a command", p->x.line);
	if (p->x.error == NULL && p->noerror)
		xf_error(&p->x, "\"noerror\" near line %u is not followed by a command", p->x.line);
	p->depth--;
	if (conditionally && l->end == XF_NONE)
		xf_error(&p->x, "\"endif\" missing at end of filter file");
	return (p->x.error == NULL);
}

struct exim_filter *
exim_filter_parse(struct arena *a, struct sv text, const char *file, unsigned flags, const char **why)
{
	struct xf_parse p = { .a = a, .flags = flags };
	struct exim_filter *f = arena_zalloc(a, sizeof(*f));
	struct xf_list l = { .tail = &f->cmds };

	if (text.len > EXIM_FILTER_TEXT_MAX) {
		*why = arena_fmt(a, "filter file is longer than %d bytes", EXIM_FILTER_TEXT_MAX);
		return (NULL);
	}
	f->file = arena_str(a, file);
	p.file = f->file;
	p.x.a = a;
	p.x.p = arena_cstr(a, text);
	p.x.line = 1;
	xf_skip(&p.x);
	if (commands(&p, &l, false))
		return (f);
	*why = p.x.error;
	return (NULL);
}

bool
exim_filter_empty(const struct exim_filter *f)
{
	return (f->cmds == NULL);
}
