/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ACL interpreter: statements in order, the seven verbs, messages.  One statement
 * costs what its conditions cost; nothing is parsed here but the text of ACLs that come
 * from expansions.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/sb.h"
#include "exim/acl_int.h"
#include "exim/expand_int.h"
#include "exim/logsel.h"

#define WRAP_AT		75		/* longer answers to the peer are folded */
#define WRAP_MIN	35
#define WARNING_MAX	4000		/* bytes of a text in the log */

/* ---- helpers of all parts ---- */

struct sv
acl_fmt(struct acl_state *st, const char *fmt, ...)
{
	char buf[2048];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	if (n < 0)
		n = 0;
	if ((size_t)n >= sizeof(buf))
		n = (int)sizeof(buf) - 1;
	return (arena_sv(st->env->arena, sv_from(buf, (size_t)n)));
}

static enum acl_rc
fail_text(struct acl_state *st, enum acl_rc rc, const char *fmt, va_list ap) __attribute__((format(printf, 3, 0)));

static enum acl_rc
fail_text(struct acl_state *st, enum acl_rc rc, const char *fmt, va_list ap)
{
	char buf[2048];

	(void)vsnprintf(buf, sizeof(buf), fmt, ap);
	st->log_msg = arena_sv(st->env->arena, sv_cstr(buf));
	return (rc);
}

enum acl_rc
acl_wrong(struct acl_state *st, const char *fmt, ...)
{
	enum acl_rc rc;
	va_list ap;

	va_start(ap, fmt);
	rc = fail_text(st, RC_ERROR, fmt, ap);
	va_end(ap);
	return (rc);
}

enum acl_rc
acl_defer(struct acl_state *st, const char *fmt, ...)
{
	enum acl_rc rc;
	va_list ap;

	va_start(ap, fmt);
	rc = fail_text(st, RC_DEFER, fmt, ap);
	va_end(ap);
	return (rc);
}

void
acl_log(struct acl_state *st, unsigned logs, const char *fmt, ...)
{
	char buf[4096];
	va_list ap;

	if (st->run->ops == NULL || st->run->ops->log == NULL || (logs & ~EXIM_LOG_HOST) == 0)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	st->run->ops->log(st->run->arg, logs, sv_cstr(buf));
}

struct sv
acl_keep(struct acl_state *st, struct sv v)
{
	struct arena *a = st->run->fx != NULL && st->run->fx->arena != NULL ? st->run->fx->arena : st->env->arena;

	return (v.p == NULL ? v : arena_sv(a, v));
}

void
exim_acl_effects_init(struct exim_acl_effects *fx, struct arena *a)
{
	memset(fx, 0, sizeof(*fx));
	fx->arena = a;
	fx->submission_domain = SV_NULL;
}

void
exim_acl_effects_free(struct exim_acl_effects *fx)
{
	vec_free(&fx->headers);
	vec_free(&fx->remove);
}

void
exim_acl_run_reset(struct exim_acl_run *run)
{
	if (run->warned != NULL)
		hash_free(&run->warned, NULL);
	if (run->counted != NULL)
		hash_free(&run->counted, free);
}

void
exim_acl_run_fini(struct exim_acl_run *run)
{
	exim_acl_run_reset(run);
	if (run->counted_conn != NULL)
		hash_free(&run->counted_conn, free);
}

/* ---- conditions of one statement ---- */

/* Which outcomes a verb's message and log_message are for, by enum acl_rc. */
#define B(rc)	(1u << (rc))
static const unsigned message_for[VERB_COUNT] = {
	[VERB_ACCEPT] = B(RC_OK) | B(RC_FAIL) | B(RC_DROP),
	[VERB_DEFER] = B(RC_OK),
	[VERB_DENY] = B(RC_OK),
	[VERB_DISCARD] = B(RC_OK) | B(RC_FAIL) | B(RC_DROP),
	[VERB_DROP] = B(RC_OK),
	[VERB_REQUIRE] = B(RC_FAIL) | B(RC_DROP),
	[VERB_WARN] = B(RC_OK),
};

/* Expand a message modifier with $acl_verify_message = <before>; p NULL when it gives nothing. */
static struct sv
expand_message(struct acl_state *st, const struct acl_item *it, struct sv before)
{
	struct err err = ERR_INIT;
	struct sv out;
	enum exim_result res;

	/* Addresses, header fields and other hosts' words are in it. */
	st->env->acl->verify_message = sv_taint(before);
	if (it->fixed.p != NULL)
		return (it->fixed.len == 0 ? SV_NULL : it->fixed);
	res = exim_expand(it->str, st->env, &out, &err);
	if (res == EXIM_FORCED)
		return (SV_NULL);
	if (res != EXIM_OK) {
		acl_log(st, EXIM_LOG_MAIN | EXIM_LOG_PANIC, "failed to expand ACL message \"" SV_FMT "\": %s", SV_ARG(it->text),
		    err.text);
		return (SV_NULL);
	}
	return (out.len == 0 ? SV_NULL : out);
}

static void
messages(struct acl_state *st, enum acl_verb verb, enum acl_rc rc, const struct acl_item *user, const struct acl_item *logm)
{
	struct sv old_user = st->user_msg, old_log = st->log_msg.p != NULL ? st->log_msg : old_user, text;

	if (verb == VERB_WARN || (rc == RC_OK && (verb == VERB_ACCEPT || verb == VERB_DISCARD)))
		st->user_msg = st->log_msg = SV_NULL;
	if (user != NULL) {
		text = expand_message(st, user, old_user);
		if (text.p != NULL)
			st->user_msg = text;
	}
	if (logm != NULL) {
		text = expand_message(st, logm, old_log);
		if (text.p != NULL && st->log_msg.p != NULL)
			st->log_msg = acl_fmt(st, SV_FMT ": " SV_FMT, SV_ARG(text), SV_ARG(st->log_msg));
		else if (text.p != NULL)
			st->log_msg = text;
	}
	if (st->log_msg.p == NULL)
		st->log_msg = st->user_msg;
}

struct err *
acl_err(struct acl_state *st)
{
	if (st->err == NULL)
		st->err = arena_alloc(st->env->arena, sizeof(*st->err));
	return (st->err);
}

/* One condition or modifier that acts. */
static enum acl_rc
one(struct acl_state *st, const struct acl_item *it, enum acl_verb verb)
{
	const struct acl_cond_def *def = &acl_conds[it->id];
	struct err *err = acl_err(st);
	struct sv arg = it->fixed;
	enum acl_rc rc;

	if ((def->where & 1u << st->run->where) == 0 && st->run->where != EXIM_WHERE_UNKNOWN)
		return (acl_wrong(st, "cannot %s %s condition in %s ACL", def->modifier ? "use" : "test", def->name,
		    exim_acl_where_name(st->run->where)));
	if ((def->how == ARG_EXPAND || def->how == ARG_SET) && arg.p == NULL) {
		enum exim_result res;

		err_clear(err);
		st->env->lookup_error = SV_NULL;
		st->env->searched = false;
		res = exim_expand(it->str, st->env, &arg, err);
		if (res == EXIM_FORCED)
			return (RC_OK);
		if (res == EXIM_DEFER && st->env->lookup_error.len > 0) {
			st->log_msg = acl_keep(st, st->env->lookup_error);
			return (RC_DEFER);
		}
		if (res != EXIM_OK) {
			st->log_msg = acl_fmt(st, "failed to expand ACL string \"" SV_FMT "\": %s", SV_ARG(it->text), err->text);
			return (res == EXIM_DEFER ? RC_DEFER : RC_ERROR);
		}
	}
	if (def->modifier)
		return (acl_modifier(st, it, arg));
	st->env->lookup_error = SV_NULL;
	rc = acl_condition(st, it, verb, arg);
	/* What kept a lookup from being done goes before all that was said of it. */
	if (rc == RC_DEFER && st->env->lookup_error.len > 0)
		st->log_msg = acl_keep(st, st->env->lookup_error);
	if (!it->negated)
		return (rc);
	if (rc == RC_OK)
		return (RC_FAIL);
	return (rc == RC_FAIL || rc == RC_DROP ? RC_OK : rc);
}

static enum acl_rc
conditions(struct acl_state *st, const struct acl_stmt *s, bool *endpass)
{
	const struct acl_item *user = NULL, *logm = NULL;
	enum acl_rc rc = RC_OK;

	for (size_t i = 0; i < s->n && rc == RC_OK; i++) {
		const struct acl_item *it = &s->item[i];

		if (it->id == COND_message)
			user = it;
		else if (it->id == COND_log_message)
			logm = it;
		else if (it->id == COND_endpass)
			*endpass = true;
		else {
			if (st->run->trace)
				acl_trace_item(st, it);
			rc = one(st, it, s->verb);
		}
	}
	/* With endpass a message is for the refusal. */
	if (*endpass && rc == RC_OK)
		user = NULL;
	if ((message_for[s->verb] & B(rc)) != 0)
		messages(st, s->verb, rc, user, logm);
	st->env->acl->verify_message = SV_NULL;
	return (rc);
}

/* ---- warn ---- */

static void
log_warning(struct acl_state *st)
{
	struct sv line = st->log_msg;

	if (line.p != NULL && line.p != st->user_msg.p) {
		struct sb sb = SB_INIT(2 * WARNING_MAX);
		struct sv all = sv_sub(line, 0, WARNING_MAX), one;

		while (sv_next(&all, '\n', &one))
			sb_addf(&sb, SV_FMT "%s", SV_ARG(one), all.p != NULL && all.len > 0 ? "\\n" : "");
		if (st->run->warned == NULL)
			st->run->warned = hash_new();
		/* What is said of a sender is of use only with the reason. */
		if (sv_caseeqs(line, "sender verify failed") && st->sender_why.len > 0) {
			sb_addf(&sb, ": " SV_FMT, SV_ARG(sv_sub(st->sender_why, 0, WARNING_MAX / 2)));
			line = acl_keep(st, sb_sv(&sb));
		}
		if (hash_set(st->run->warned, line, st->run) == NULL)
			acl_log(st, EXIM_LOG_MAIN | EXIM_LOG_HOST, "Warning: %s", sb_cstr(&sb));
		sb_free(&sb);
	}
	/* A message of warn is a header of old. */
	if (st->user_msg.p != NULL && (W_MESSAGE & 1u << st->run->where) != 0)
		acl_add_header(st, st->user_msg);
	else if (st->user_msg.p != NULL)
		acl_log(st, EXIM_LOG_MAIN | EXIM_LOG_PANIC, "ACL \"warn\" with \"message\" setting found in a non-message (%s) ACL: "
		    "cannot specify header lines here: message ignored", exim_acl_where_name(st->run->where));
}

/* ---- statements ---- */

/* What becomes of a statement: true, and *<rc>, when the ACL ends. */
static bool
outcome(struct acl_state *st, const struct acl_stmt *s, bool endpass, enum acl_rc *rc)
{
	switch (s->verb) {
	case VERB_ACCEPT:
		return (*rc == RC_OK || *rc == RC_DISCARD || endpass);
	case VERB_DISCARD:
		if (*rc == RC_OK)
			*rc = RC_DISCARD;
		return (*rc == RC_DISCARD || endpass);
	case VERB_DEFER:
		if (*rc != RC_OK)
			return (false);
		st->temp_details = true;
		*rc = RC_DEFER;
		return (true);
	case VERB_DENY:
		if (*rc != RC_OK)
			return (false);
		*rc = RC_FAIL;
		return (true);
	case VERB_DROP:
		if (*rc != RC_OK)
			return (false);
		*rc = RC_DROP;
		return (true);
	case VERB_REQUIRE:
		return (*rc != RC_OK);
	case VERB_WARN:
		if (*rc == RC_OK)
			log_warning(st);
		else if (*rc == RC_DEFER && st->run->log_warn_skipped)
			acl_log(st, EXIM_LOG_MAIN | EXIM_LOG_HOST, "Warning: ACL \"warn\" statement skipped: condition test deferred%s"
			    SV_FMT, st->log_msg.len == 0 ? "" : ": ", SV_ARG(st->log_msg));
		st->user_msg = st->log_msg = SV_NULL;
		return (false);
	default:
		return (false);
	}
}

enum acl_rc
acl_run_list(const struct exim_acl *acl, struct acl_state *st)
{
	struct exim_env *env = st->env;
	const enum exim_acl_where where = st->run->where;
	const struct exim_place outside = env->at;
	enum acl_rc rc;

	if (env->acl_depth >= ACL_DEPTH_MAX)
		return (acl_wrong(st, "ACL nested too deep: possible loop"));
	env->acl_depth++;
	if (st->run->trace)
		acl_trace_list(st, acl);
	for (size_t i = 0; i < acl->n; i++) {
		const struct acl_stmt *s = &acl->stmt[i];
		bool endpass = false;

		st->user_msg = st->log_msg = SV_NULL;
		st->temp_details = false;
		if (st->run->trace)
			acl_trace_statement(st, s);
		env->at = (struct exim_place){ "ACL", exim_acl_verb_name(s->verb), s->file, s->line };
		rc = conditions(st, s, &endpass);
		if (st->run->trace)
			acl_trace_outcome(st, acl, s, rc);
		if (rc == RC_ERROR)
			goto out;
		if (rc == RC_DEFER && s->verb != VERB_WARN) {
			const struct exim_value *m = env->conf == NULL ? NULL : env->conf->main;

			/* An ACL within this one may have said so already, with a text of its own. */
			if (st->callout_defer || (m != NULL && m[EXIM_MAIN_smtp_return_error_details].num != 0))
				st->temp_details = true;
			goto out;
		}
		/* The last statement's messages stay for the refusal at the end of the list. */
		if (outcome(st, s, endpass, &rc)) {
			/* There is nothing to refuse at a QUIT. */
			if ((where == EXIM_WHERE_QUIT || where == EXIM_WHERE_NOTQUIT) && rc != RC_OK && env->acl_depth == 1)
				rc = acl_wrong(st, "QUIT or not-QUIT toplevel ACL may not fail ('%s' verb used incorrectly)",
				    exim_acl_verb_name(s->verb));
			goto out;
		}
	}
	rc = RC_FAIL;
out:
	if (st->run->trace)
		acl_trace_end(st, acl, rc);
	env->at = outside;
	env->acl_depth--;
	return (rc);
}

/* ---- finding an ACL ---- */

static const struct exim_acl *
from_file(struct acl_state *st, struct sv path)
{
	struct exim_report rep = EXIM_REPORT_INIT;
	struct exim_env *env = st->env;
	const struct exim_acl *acl;
	struct sv text;

	if (env->world->readfile == NULL ||
	    env->world->readfile(env->world->arg, arena_cstr(env->arena, path), EXIM_FILE_MAX, env->arena, &text, NULL) == -1) {
		(void)acl_wrong(st, "failed to open ACL file \"" SV_FMT "\": %s", SV_ARG(path), strerror(errno));
		return (NULL);
	}
	acl = exim_acl_compile_text(env->arena, path, text, &rep);
	if (rep.errors > 0) {
		(void)acl_wrong(st, "%s", rep.first.text);
		return (NULL);
	}
	return (acl);
}

/* "inline ACL:1: error in ACL: TEXT": an ACL of one expanded string has no lines worth telling. */
static const char *
without_place(const char *text)
{
	static const char place[] = "error in ACL: ";
	const char *at = strstr(text, place);

	return (at == NULL ? text : at + sizeof(place) - 1);
}

/* The statements themselves; NULL and the mistake in <st>. */
static const struct exim_acl *
from_text(struct acl_state *st, struct sv what)
{
	struct exim_report rep = EXIM_REPORT_INIT;
	const struct exim_acl *acl = exim_acl_compile_text(st->env->arena, SV_LIT("inline ACL"), what, &rep);

	if (rep.errors == 0)
		return (acl);
	(void)acl_wrong(st, "%s", without_place(rep.first.text));
	return (NULL);
}

enum acl_rc
acl_run_what(struct sv what, struct acl_state *st)
{
	const struct exim_acl *acl = NULL;

	what = sv_trim(what);
	if (what.tainted) {
		acl_log(st, EXIM_LOG_MAIN | EXIM_LOG_PANIC, "attempt to use tainted ACL text \"" SV_FMT "\"", SV_ARG(what));
		return (acl_wrong(st, "internal configuration error"));
	}
	if (what.len > 0 && what.p[0] == '/')
		acl = from_file(st, what);
	else {
		if (st->env->conf != NULL && sv_chr(what, ' ') < 0)
			acl = exim_conf_acl(st->env->conf, what);
		if (acl == NULL)
			acl = from_text(st, what);
	}
	return (acl == NULL ? RC_ERROR : acl_run_list(acl, st));
}

/* ---- from outside ---- */

/* Fold the text for the peer as Exim does: lines of at most 75 bytes where there are blanks, better behind a colon. */
struct sv
acl_wrap(struct arena *a, struct sv msg)
{
	char *p;
	size_t start = 0, i = 0;

	if (msg.len <= WRAP_AT)
		return (msg);
	p = arena_dup(a, msg.p, msg.len);
	while (start < msg.len) {
		size_t at = 0;

		for (i = start; i < msg.len && i - start < WRAP_AT && p[i] != '\n'; i++)
			;
		if (i >= msg.len)
			break;
		if (p[i] == '\n') {
			start = i + 1;
			continue;
		}
		for (size_t t = i; t > start + WRAP_MIN; t--) {
			if (p[t] != ' ')
				continue;
			if (p[t - 1] == ':') {
				at = t;
				break;
			}
			if (at == 0)
				at = t;
		}
		for (size_t t = i; at == 0 && t < msg.len; t++)
			if (p[t] == ' ' || p[t] == '\n')
				at = t;
		if (at == 0)
			break;
		p[at] = '\n';
		start = at + 1;
	}
	return ((struct sv){ p, msg.len, msg.tainted });
}

/* The code of an answer whose message names none. */
static const char *
default_code(enum exim_acl_where where, enum acl_rc rc)
{
	if (rc == RC_DEFER || rc == RC_ERROR)
		return ("451");
	if (rc == RC_OK || rc == RC_DISCARD)
		return (where == EXIM_WHERE_PREDATA ? "354" : "250");
	return (where == EXIM_WHERE_AUTH ? "503" : where == EXIM_WHERE_ETRN ? "458" : where == EXIM_WHERE_VRFY ? "252" : "550");
}

/* How much of <m> is a code, and *<status> the enhanced one behind it: "550 5.7.1 ". */
static size_t
code_of(struct sv m, struct sv *status)
{
	size_t i = 4, dots = 0;

	if (m.len < 4 || !sv_isdigit(m.p[0]) || !sv_isdigit(m.p[1]) || !sv_isdigit(m.p[2]) || !sv_isspace(m.p[3]))
		return (0);
	for (; i < m.len && (sv_isdigit(m.p[i]) || m.p[i] == '.'); i++)
		dots += m.p[i] == '.';
	if (dots != 2 || i == m.len || !sv_isspace(m.p[i]) || m.p[5] != '.' || i > 12)
		return (4);
	*status = sv_sub(m, 4, i);
	return (i + 1);
}

/* "550 5.7.1 text": code and status go where they belong when the first digit is the expected one. */
static void
split_code(struct acl_state *st, struct exim_acl_result *res, enum acl_rc rc)
{
	const enum exim_acl_where where = st->run->where;
	const char *usual = default_code(where, rc);
	struct sv m = res->user_msg, rest, status = SV_LIT("");
	size_t n = code_of(m, &status);

	/* An acceptance is answered by other texts than the ACL's there. */
	if (n == 0 || (rc == RC_OK && (where == EXIM_WHERE_EXPN || where == EXIM_WHERE_AUTH || where == EXIM_WHERE_VRFY ||
	    where == EXIM_WHERE_STARTTLS)))
		return;
	rest = sv_sub(m, n, m.len);
	/* Any code will do for VRFY. */
	if (m.p[0] != usual[0] && where != EXIM_WHERE_VRFY) {
		acl_log(st, EXIM_LOG_MAIN | EXIM_LOG_PANIC, "configured error code starts with incorrect digit (expected %c) in \""
		    SV_FMT "\"", usual[0], SV_ARG(m));
		/* What was thrown away is told of as it stands in the configuration. */
		if (rc != RC_DISCARD && sv_eq(res->log_msg, m))
			res->log_msg = acl_fmt(st, "%s " SV_FMT, usual, SV_ARG(rest));
	} else {
		res->code = (m.p[0] - '0') * 100 + (m.p[1] - '0') * 10 + (m.p[2] - '0');
		res->status = status;
	}
	res->user_msg = rest;
}

static void
finish(struct acl_state *st, enum acl_rc rc, struct exim_acl_result *res)
{
	static const enum exim_acl_verdict v[] = {
		[RC_OK] = EXIM_ACL_ACCEPT, [RC_FAIL] = EXIM_ACL_DENY, [RC_DROP] = EXIM_ACL_DROP, [RC_DEFER] = EXIM_ACL_DEFER,
		[RC_DISCARD] = EXIM_ACL_DISCARD, [RC_ERROR] = EXIM_ACL_ERROR,
	};
	const enum exim_acl_where where = st->run->where;
	bool quits = where == EXIM_WHERE_QUIT || where == EXIM_WHERE_NOTQUIT, silent = rc == RC_ERROR && !quits;

	if (rc == RC_DISCARD && (where == EXIM_WHERE_PREDATA || (W_MESSAGE & 1u << where) == 0)) {
		acl_log(st, EXIM_LOG_MAIN | EXIM_LOG_PANIC, "\"discard\" verb not allowed in %s ACL", exim_acl_where_name(where));
		rc = RC_ERROR;
	}
	if (rc == RC_DROP && where == EXIM_WHERE_MAILAUTH) {
		acl_log(st, EXIM_LOG_MAIN | EXIM_LOG_PANIC, "\"drop\" verb not allowed in %s ACL", exim_acl_where_name(where));
		rc = RC_ERROR;
	}
	res->verdict = v[rc];
	res->user_msg = st->user_msg.p == NULL || silent ? SV_LIT("") : st->user_msg;
	res->log_msg = st->log_msg.p == NULL ? SV_LIT("") : st->log_msg;
	res->details = st->temp_details;
	res->log_targets = st->run->log_targets;
	if (!quits)
		split_code(st, res, rc);
	if (rc != RC_DISCARD)
		res->user_msg = acl_wrap(st->env->arena, res->user_msg);
}

/* <acl> NULL: <what> is found first. */
static enum exim_acl_verdict
run(const struct exim_acl *acl, struct sv what, struct exim_env *env, struct exim_acl_run *r, struct exim_acl_result *res)
{
	struct acl_state st = { .env = env, .run = r };
	struct exim_acl_run *outer = env->acl_run;
	struct sv local = env->addr == NULL ? SV_NULL : env->addr->local_part;
	unsigned depth = env->acl_depth;
	uint64_t epoch = exim_epoch_begin(env);

	memset(res, 0, sizeof(*res));
	r->log_targets = EXIM_LOG_MAIN | EXIM_LOG_REJECT;
	r->log_warn_skipped = env->conf == NULL || EXIM_LOGSEL_ON(env->conf->log_selector, acl_warn_skipped);
	env->acl_run = r;
	if (r->where == EXIM_WHERE_RCPT && r->rcpt_local.p != NULL && env->addr != NULL)
		env->addr->local_part = arena_lower(env->arena, r->rcpt_local);
	finish(&st, acl == NULL ? acl_run_what(what, &st) : acl_run_list(acl, &st), res);
	if (env->addr != NULL)
		env->addr->local_part = local;
	env->acl_run = outer;
	env->acl_depth = depth;
	exim_epoch_end(env, epoch);
	return (res->verdict);
}

enum exim_acl_verdict
exim_acl_run(const struct exim_acl *acl, struct exim_env *env, struct exim_acl_run *r, struct exim_acl_result *res)
{
	return (run(acl, SV_NULL, env, r, res));
}

enum exim_acl_verdict
exim_acl_run_text(struct sv what, struct exim_env *env, struct exim_acl_run *r, struct exim_acl_result *res)
{
	return (run(NULL, what, env, r, res));
}

static const int where_opt[EXIM_WHERE_COUNT] = {
#define X(name, opt, log)	EXIM_MAIN_##opt,
	EXIM_ACL_WHERES(X)
#undef X
	-1
};

enum exim_acl_verdict
exim_acl_check(struct exim_env *env, struct exim_acl_run *r, struct exim_acl_result *res)
{
	const struct exim_conf *c = env->conf;
	struct err err = ERR_INIT;
	enum exim_result xr;
	struct sv what;

	memset(res, 0, sizeof(*res));
	res->log_targets = EXIM_LOG_MAIN | EXIM_LOG_REJECT;
	if (c->where_acl[r->where] != NULL)
		return (exim_acl_run(c->where_acl[r->where], env, r, res));
	if (where_opt[r->where] < 0 || c->main[where_opt[r->where]].str == NULL)
		goto unset;
	xr = exim_expand(c->main[where_opt[r->where]].str, env, &what, &err);
	if (xr == EXIM_FORCED || (xr == EXIM_OK && what.len == 0))
		goto unset;
	if (xr != EXIM_OK) {
		res->verdict = xr == EXIM_DEFER ? EXIM_ACL_DEFER : EXIM_ACL_ERROR;
		res->log_msg = sv_cstr(arena_fmt(env->arena, "failed to expand ACL string \"" SV_FMT "\": %s",
		    SV_ARG(c->main[where_opt[r->where]].text), err.text));
		return (res->verdict);
	}
	return (exim_acl_run_text(what, env, r, res));
unset:
	res->unset = true;
	res->verdict = r->where == EXIM_WHERE_RCPT || r->where == EXIM_WHERE_VRFY || r->where == EXIM_WHERE_EXPN ||
	    r->where == EXIM_WHERE_ETRN || r->where == EXIM_WHERE_ATRN ? EXIM_ACL_DENY : EXIM_ACL_ACCEPT;
	return (res->verdict);
}

/* Outside of all ACLs there is the main log. */
static void
log_outside(void *arg, unsigned logs, struct sv line)
{
	exim_env_log_world(arg, logs, line);
}

enum exim_result
exim_acl_expand(struct exim_env *env, struct sv name, const struct sv *args, size_t n, struct sv *out, struct err *err)
{
	static const struct exim_acl_ops ops = { .log = log_outside };
	struct exim_acl_run *own = NULL;
	struct exim_acl_state *acl = env->acl;
	struct acl_state st = { .env = env, .run = env->acl_run };
	struct xev e = { .env = env, .err = err };
	const struct sv *old_args;
	size_t old_n;
	enum acl_rc rc;

	/* Outside of all ACLs; both are too large for the stack of one within another. */
	if (st.run == NULL) {
		own = arena_zalloc(env->arena, sizeof(*own));
		*own = (struct exim_acl_run){ .where = EXIM_WHERE_UNKNOWN, .ops = &ops, .arg = env };
		st.run = own;
	}
	if (acl == NULL)
		env->acl = arena_zalloc(env->arena, sizeof(*env->acl));
	old_args = env->acl->args;
	old_n = env->acl->nargs;
	env->acl->args = args;
	env->acl->nargs = n > ACL_ARGS_MAX ? ACL_ARGS_MAX : n;
	rc = acl_run_what(name, &st);
	env->acl->args = old_args;
	env->acl->nargs = old_n;
	env->acl = acl;
	if (own != NULL)
		exim_acl_run_fini(own);
	*out = st.user_msg.p == NULL ? SV_LIT("") : st.user_msg;
	switch (rc) {
	case RC_OK:
		return (EXIM_OK);
	case RC_FAIL:
	case RC_DROP:
		return (EXIM_FORCED);
	case RC_DEFER:
		return (x_defer(&e, "DEFER from acl \"" SV_FMT "\"", SV_ARG(name)));
	case RC_DISCARD:
		return (x_fail(&e, "DISCARD from acl \"" SV_FMT "\"", SV_ARG(name)));
	default:
		acl_log(&st, EXIM_LOG_MAIN | EXIM_LOG_PANIC, "error from acl \"" SV_FMT "\": " SV_FMT, SV_ARG(name),
		    SV_ARG(st.log_msg));
		return (x_fail(&e, "ERROR from acl \"" SV_FMT "\"", SV_ARG(name)));
	}
}
