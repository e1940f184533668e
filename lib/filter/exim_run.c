/* SPDX-License-Identifier: BSD-2-Clause */
/* The commands of an Exim filter obeyed: actions go to the table, or, when a filter is tested, lines to the tester. */
#include <stdarg.h>
#include <string.h>

#include "base/sb.h"
#include "exim/conf.h"
#include "exim/extract.h"
#include "os/time.h"
#include "exim_int.h"

#define ERROR_MAX	65536
#define STEPS_OF_CLOCK	16		/* most steps are cheaper than a look at it */
#define REASON_MAX	1024		/* of fail, freeze, defer: more is cut */

static void obey(struct xf_run *w, const struct xf_cmd *c);

void
xf_fail(struct xf_run *w, const char *fmt, ...)
{
	struct sb sb = SB_INIT(ERROR_MAX);
	va_list ap;

	if (w->ended)
		return;
	va_start(ap, fmt);
	sb_addv(&sb, fmt, ap);
	va_end(ap);
	w->ended = true;
	w->end = EXIM_FILTER_ERROR;
	w->error = arena_cstr(w->env->arena, sb_sv(&sb));
	sb_free(&sb);
}

void
xf_clock(struct xf_run *w)
{
	const struct exim_world *world = w->env->world;
	int64_t now, left = w->env->cpu_until;

	if (left == 0)
		return;
	now = os_thread_us();
	left -= now;
	if (left <= 0)
		xf_fail(w, "the filter takes too much processor time near line %u", w->line);
	else if (world->yield != NULL && now - w->turn >= EXIM_FILTER_TURN_US) {
		world->yield(world->arg);
		w->turn = os_thread_us();
		w->env->cpu_until = w->turn + left;
	}
}

bool
xf_step(struct xf_run *w)
{
	if (++w->steps > EXIM_FILTER_STEPS)
		xf_fail(w, "the filter did not end after %d steps", EXIM_FILTER_STEPS);
	else if (w->steps % STEPS_OF_CLOCK == 0)
		xf_clock(w);
	return (!w->ended);
}

void
xf_indent(const struct xf_run *w)
{
	if (w->r->verbose != NULL)
		fprintf(w->r->verbose, "%*s", (int)w->indent, "");
}

const char *
xf_printing(const struct xf_run *w, struct sv v)
{
	static const char from[] = "\b\f\n\r\v", to[] = "bfnrv";
	bool top = w->env->g != NULL && w->env->g->print_topbitchars;
	struct sb sb = SB_INIT(8 * ERROR_MAX);
	const char *p, *s;

	for (size_t i = 0; i < v.len; i++) {
		unsigned char c = (unsigned char)v.p[i];

		if ((c >= ' ' && c < 127) || c == '\t' || (top && c >= 128))
			sb_addc(&sb, (char)c);
		else if (c != '\0' && (p = strchr(from, c)) != NULL)
			sb_addf(&sb, "\\%c", to[p - from]);
		else
			sb_addf(&sb, "\\%03o", c);
	}
	s = arena_cstr(w->env->arena, sb_sv(&sb));
	sb_free(&sb);
	return (s);
}

struct sv
xf_text(const struct exim_str *s)
{
	return (s == NULL ? SV_NULL : exim_str_text(s));
}

/* Exim's words for the mistake are in env->message where they may have several lines. */
static const char *
words(struct xf_run *w, const struct err *err)
{
	struct sv m = w->env->message;

	return (m.len > 0 ? arena_cstr(w->env->arena, m) : err->text);
}

const char *
xf_expand(struct xf_run *w, const struct exim_str *s, const char *where)
{
	struct err err = ERR_INIT;
	char *out = NULL;
	const char *s2;

	w->env->message = SV_NULL;
	if (exim_expand_cstr(s, w->env, &out, &err) == EXIM_OK)
		return (out);
	s2 = words(w, &err);
	xf_fail(w, "failed to expand \"" SV_FMT "\" in %s: %s", SV_ARG(xf_text(s)), where, s2);
	return (NULL);
}

static const char *
expand_arg(struct xf_run *w, const struct xf_cmd *c, size_t i)
{
	const char *where = arena_fmt(w->env->arena, "%s command", xf_op_names[c->op]);

	return (xf_expand(w, c->arg[i], where));
}

bool
xf_act(struct xf_run *w, struct filter_action *a, const struct xf_cmd *c)
{
	struct err err = ERR_INIT;

	a->pos = (struct filter_pos){ w->f->file, c->line };
	if (!c->seen)
		a->flags |= FILTER_A_UNSEEN;
	if (c->noerror)
		a->flags |= FILTER_A_NOERROR;
	if (filter_act(w->r->ops, a, &err) == FILTER_OK)
		return (true);
	xf_fail(w, "%s", err.text);
	return (false);
}

static const char *
noerror(const struct xf_cmd *c)
{
	return (c->noerror ? " (noerror)" : "");
}

/* --- commands -------------------------------------------------------------------------- */

static bool
add_number(struct xf_run *w, const char *s, int64_t *out)
{
	const char *end = s;

	if ((xf_integer(&end, 0, out) || end == s) && *end == '\0')
		return (true);
	xf_fail(w, "malformed number \"%s\" in \"add\" command", s);
	return (false);
}

static void
add(struct xf_run *w, const struct xf_cmd *c)
{
	const char *value = expand_arg(w, c, 0), *to;
	int64_t n, i, *var;

	if (value == NULL || (to = expand_arg(w, c, 1)) == NULL)
		return;
	while (value[0] == '-' && value[1] == '-')
		value += 2;
	if (!add_number(w, value, &n))
		return;
	/* "n" alone is n0. */
	if (to[0] != 'n' || (to[1] != '\0' && to[2] != '\0')) {
		xf_fail(w, "unknown variable \"%s\" in \"add\" command", to);
		return;
	}
	if (!add_number(w, to + 1, &i))
		return;
	/* In 32 bits, as Exim's int is. */
	n = (int32_t)(uint32_t)(uint64_t)n;
	var = &w->env->msg->n[i];
	*var = (int32_t)((uint32_t)*var + (uint32_t)n);
	if (w->r->test != NULL)
		fprintf(w->r->test, "Add %lld to n%lld\n", (long long)n, (long long)i);
}

/* An address as deliver takes it: qualified, rewritten; p NULL after an error. */
static struct sv
address(struct xf_run *w, const char *text)
{
	struct exim_env *env = w->env;
	struct err err = ERR_INIT;
	struct exim_extracted x;
	struct sv addr, out;

	if (env->conf != NULL && exim_main_bool(env->conf, EXIM_MAIN_strip_trailing_dot) && strchr(text, '@') != NULL &&
	    sv_ends(sv_cstr(text), "."))
		text = arena_fmt(env->arena, "%.*s", (int)strlen(text) - 1, text);
	if (exim_extract(sv_taint(sv_cstr(text)), EXIM_EXTRACT_LITERALS, env->arena, &x, &err) == -1) {
		xf_fail(w, "malformed address \"%s\" in filter file: %s", text, err.text);
		return (SV_NULL);
	}
	addr = x.address;
	if (x.domain == 0 && env->g != NULL)
		addr = sv_cstr(arena_fmt(env->arena, SV_FMT "@" SV_FMT, SV_ARG(addr), SV_ARG(env->g->qualify_recipient)));
	addr = sv_taint(addr);
	if ((w->r->flags & EXIM_FILTER_REWRITE) != 0 && env->conf != NULL &&
	    exim_rewrite_address(&env->conf->rewrites, env, EXIM_RW_T, addr, &out, NULL, NULL) == EXIM_OK)
		addr = out;
	return (addr);
}

static void
deliver(struct xf_run *w, const struct xf_cmd *c)
{
	struct filter_action a = { .kind = FILTER_FORWARD };
	const char *to = expand_arg(w, c, 0), *errors = NULL;
	const struct exim_address *me = w->env->addr;

	if (to == NULL || (c->arg[1] != NULL && (errors = expand_arg(w, c, 1)) == NULL))
		return;
	if (c->seen)
		w->delivered = true;
	a.to = address(w, to);
	if (errors != NULL) {
		a.flags = FILTER_A_RETURN_PATH;
		a.return_path = address(w, errors);
	}
	if (w->ended)
		return;
	if (errors != NULL && (w->r->flags & EXIM_FILTER_SYSTEM) == 0 && !sv_caseeqs(a.return_path,
	    arena_fmt(w->env->arena, SV_FMT "@" SV_FMT, SV_ARG(me->local_part), SV_ARG(me->domain)))) {
		xf_fail(w, "errors_to must point to the caller's address");
		return;
	}
	if (w->r->test == NULL) {
		(void)xf_act(w, &a, c);
		return;
	}
	xf_indent(w);
	fprintf(w->r->test, "%seliver message to: " SV_FMT "%s%s" SV_FMT "\n", c->seen ? "D" : "Unseen d", SV_ARG(a.to),
	    noerror(c), errors != NULL ? " errors_to " : "", SV_ARG(a.return_path));
}

static void
save(struct xf_run *w, const struct xf_cmd *c)
{
	struct filter_action a = { .kind = FILTER_FILE, .mode = 0 };
	const char *to = expand_arg(w, c, 0);

	if (to == NULL)
		return;
	if (c->seen)
		w->delivered = true;
	if (w->r->test != NULL) {
		xf_indent(w);
		fprintf(w->r->test, "%save message to: %s", c->seen ? "S" : "Unseen s", to);
		if (c->mode >= 0)
			fprintf(w->r->test, " %04o", (unsigned)c->mode);
		fprintf(w->r->test, "%s\n", noerror(c));
		return;
	}
	if (to[0] != '/' && (w->r->flags & EXIM_FILTER_NO_HOME) == 0 && w->r->home != NULL && w->r->home[0] != '\0')
		to = arena_fmt(w->env->arena, "%s/%s", w->r->home, to);
	a.to = sv_cstr(to);
	if (a.to.len > 0 && to[a.to.len - 1] == '/')
		a.kind = FILTER_MAILDIR;
	else if (strcmp(to, "/dev/null") == 0)
		a.kind = FILTER_DISCARD;
	if (c->mode >= 0) {
		a.flags = FILTER_A_MODE;
		a.mode = (mode_t)c->mode & 07777;
	}
	(void)xf_act(w, &a, c);
}

static void
pipe_to(struct xf_run *w, const struct xf_cmd *c)
{
	struct filter_action a = { .kind = FILTER_PIPE, .flags = FILTER_A_EXPAND, .to = xf_text(c->arg[0]) };

	if (c->seen)
		w->delivered = true;
	if (w->r->test != NULL) {
		xf_indent(w);
		fprintf(w->r->test, "%sipe message to: " SV_FMT "%s\n", c->seen ? "P" : "Unseen p", SV_ARG(a.to), noerror(c));
		return;
	}
	if (a.to.p[0] == '|')
		a.to = sv_sub(a.to, 1, a.to.len);
	a.nums = w->env->nums;
	a.thisaddress = w->env->addr->thisaddress;
	(void)xf_act(w, &a, c);
}

static void
logfile(struct xf_run *w, const struct xf_cmd *c)
{
	const char *name = expand_arg(w, c, 0);

	if (name == NULL)
		return;
	if (c->seen)
		w->delivered = true;
	w->logfile = name;
	w->logmode = c->mode < 0 ? 0600 : c->mode & 07777;
	if (w->r->test != NULL) {
		xf_indent(w);
		fprintf(w->r->test, "%sogfile %s\n", c->seen ? "Seen l" : "L", name);
	}
}

static void
logwrite(struct xf_run *w, const struct xf_cmd *c)
{
	struct filter_action a = { .kind = FILTER_LOG, .flags = FILTER_A_MODE };
	const char *text = expand_arg(w, c, 0);

	if (text == NULL)
		return;
	if (c->seen)
		w->delivered = true;
	if (w->r->test != NULL) {
		xf_indent(w);
		fprintf(w->r->test, "%sogwrite \"%s\"\n", c->seen ? "Seen l" : "L", xf_printing(w, sv_cstr(text)));
		return;
	}
	if ((w->r->flags & EXIM_FILTER_NO_LOGWRITE) != 0) {
		xf_fail(w, "logwrite command forbidden");
		return;
	}
	if ((w->r->flags & EXIM_FILTER_VERIFY) != 0)
		return;
	if (w->logfile == NULL) {
		xf_fail(w, "attempt to obey \"logwrite\" command without a previous \"logfile\"");
		return;
	}
	a.to = sv_cstr(w->logfile);
	a.text = sv_cstr(text);
	a.mode = (mode_t)w->logmode;
	(void)xf_act(w, &a, c);
}

/* fail, freeze, defer: the filter ends. */
static void
refuse(struct xf_run *w, const struct xf_cmd *c)
{
	struct filter_action a = { .kind = c->op == XF_FAIL ? FILTER_FAIL : c->op == XF_DEFER ? FILTER_DEFER : FILTER_FREEZE };
	const char *text = "";

	if (c->arg[0] != NULL && (text = expand_arg(w, c, 0)) == NULL)
		return;
	if (strlen(text) > REASON_MAX)
		text = arena_fmt(w->env->arena, "%.1000s ... (truncated)", text);
	text = xf_printing(w, sv_cstr(text));
	w->r->text = text;
	w->ended = true;
	w->end = c->op == XF_FAIL ? EXIM_FILTER_END_FAIL : c->op == XF_DEFER ? EXIM_FILTER_END_DEFER : EXIM_FILTER_END_FREEZE;
	if (w->r->test != NULL) {
		xf_indent(w);
		fprintf(w->r->test, "%c%s text \"%s\"\n", sv_upper(xf_op_names[c->op][0]), xf_op_names[c->op] + 1, text);
		return;
	}
	a.text = sv_cstr(text);
	w->ended = false;
	if (xf_act(w, &a, c))
		w->ended = true;
}

static void
finish(struct xf_run *w, const struct xf_cmd *c)
{
	struct filter_action a = { .kind = c->seen ? FILTER_DISCARD : FILTER_STOP };

	if (w->r->test != NULL) {
		xf_indent(w);
		fprintf(w->r->test, "%sinish\n", c->seen ? "Seen f" : "F");
	} else if (!c->seen || !w->delivered)
		(void)xf_act(w, &a, c);
	if (c->seen)
		w->delivered = true;
	if (!w->ended) {
		w->ended = true;
		w->end = w->delivered ? EXIM_FILTER_DELIVERED : EXIM_FILTER_NOT_DELIVERED;
	}
}

static void
conditional(struct xf_run *w, const struct xf_cmd *c)
{
	struct sv before = w->env->addr->thisaddress;
	bool yes = xf_test(w, c->cond, true);

	if (!w->ended) {
		w->indent += 2;
		obey(w, yes ? c->then : c->other);
		w->indent -= 2;
	}
	w->env->addr->thisaddress = before;
}

static void
testprint(struct xf_run *w, const struct xf_cmd *c)
{
	struct filter_pos pos = { w->f->file, c->line };
	const char *text = expand_arg(w, c, 0);

	if (text == NULL)
		return;
	if (w->r->test != NULL)
		fprintf(w->r->test, "Testprint: %s\n", xf_printing(w, sv_cstr(text)));
	else
		filter_trace(w->r->ops, &pos, "testprint: %s", text);
}

static void
one(struct xf_run *w, const struct xf_cmd *c)
{
	switch (c->op) {
	case XF_ADD:
		add(w, c);
		break;
	case XF_DELIVER:
		deliver(w, c);
		break;
	case XF_SAVE:
		save(w, c);
		break;
	case XF_PIPE:
		pipe_to(w, c);
		break;
	case XF_LOGFILE:
		logfile(w, c);
		break;
	case XF_LOGWRITE:
		logwrite(w, c);
		break;
	case XF_HEADERS:
		xf_headers(w, c);
		break;
	case XF_DEFER:
	case XF_FAIL:
	case XF_FREEZE:
		refuse(w, c);
		break;
	case XF_FINISH:
		finish(w, c);
		break;
	case XF_IF:
		conditional(w, c);
		break;
	case XF_MAIL_CMD:
	case XF_VACATION:
		xf_mail(w, c);
		break;
	case XF_TESTPRINT:
		testprint(w, c);
		break;
	default:
		break;
	}
}

static void
obey(struct xf_run *w, const struct xf_cmd *c)
{
	for (; c != NULL && xf_step(w); c = c->next) {
		w->line = c->line;
		one(w, c);
	}
}

static void
tell_end(struct xf_run *w)
{
	static const char *const texts[] = {
		[EXIM_FILTER_DELIVERED] = "Filtering set up at least one significant delivery or other action.\n"
		    "No other deliveries will occur.",
		[EXIM_FILTER_NOT_DELIVERED] = "Filtering did not set up a significant delivery.\nNormal delivery will occur.",
		[EXIM_FILTER_END_DEFER] = "Filtering ended by \"defer\".",
		[EXIM_FILTER_END_FAIL] = "Filtering ended by \"fail\".",
		[EXIM_FILTER_END_FREEZE] = "Filtering ended by \"freeze\".",
	};

	if (w->end == EXIM_FILTER_ERROR)
		fprintf(w->r->test, "Filter error: %s\n", w->error);
	else
		fprintf(w->r->test, "%s\n", texts[w->end]);
}

enum exim_filter_end
exim_filter_run(const struct exim_filter *f, struct exim_filter_run *r)
{
	struct exim_env *env = r->env;
	struct xf_run w = { .r = r, .f = f, .env = env };
	const struct exim_nums *nums = env->nums;
	struct exim_globals *g = env->g, mine;
	struct exim_address *addr = env->addr, none = { .home = SV_NULL };
	bool running = env->filter_running;
	int64_t until = env->cpu_until;
	uint32_t limit = env->match_limit;

	r->text = NULL;
	if (g != NULL) {
		mine = *g;			/* headers charset changes it */
		env->g = &mine;
	}
	if (addr == NULL)
		env->addr = &none;
	env->filter_running = true;
	if ((r->flags & EXIM_FILTER_SYSTEM) == 0) {
		w.turn = os_thread_us();
		env->cpu_until = w.turn + ((env->forbid & EXIM_NO_LOOKUP) != 0 ? 1 : 10) * (int64_t)EXIM_FILTER_CPU_US;
		env->match_limit = EXIM_FILTER_MATCH;
	}
	memset(env->msg->n, 0, sizeof(env->msg->n));
	obey(&w, f->cmds);
	if (!w.ended)
		w.end = w.delivered ? EXIM_FILTER_DELIVERED : EXIM_FILTER_NOT_DELIVERED;
	if (w.end == EXIM_FILTER_ERROR)
		r->text = w.error;
	/* $sn0 and so on: what users' filters see of the system filter's counters. */
	if ((r->flags & EXIM_FILTER_SYSTEM) != 0)
		memcpy(env->msg->sn, env->msg->n, sizeof(env->msg->sn));
	if (r->test != NULL)
		tell_end(&w);
	env->filter_running = running;
	env->cpu_until = until;
	env->match_limit = limit;
	env->addr = addr;
	env->nums = nums;
	env->g = g;
	return (w.end);
}
