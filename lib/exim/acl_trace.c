/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an ACL does, told line by line as Exim's -bh tells it: which list, statement and condition is looked at, and how it
 * came out.  Only where the caller asked for it (exim_acl_run.trace).
 */
#include <stdarg.h>
#include <stdio.h>

#include "exim/acl_int.h"

#define LINE_SIZE	2048

static void
tell(struct acl_state *st, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void
tell(struct acl_state *st, const char *fmt, ...)
{
	int depth = st->env->acl_depth > 0 ? (int)st->env->acl_depth - 1 : 0;
	char buf[LINE_SIZE];
	va_list ap;
	int n;

	if (st->run->ops == NULL || st->run->ops->trace == NULL)
		return;
	n = snprintf(buf, sizeof(buf), "%*s", depth < 40 ? depth : 40, "");
	va_start(ap, fmt);
	(void)vsnprintf(buf + n, sizeof(buf) - (size_t)n, fmt, ap);
	va_end(ap);
	st->run->ops->trace(st->run->arg, sv_cstr(buf));
}

void
acl_trace_list(struct acl_state *st, const struct exim_acl *acl)
{
	tell(st, "using ACL \"" SV_FMT "\"", SV_ARG(acl->name));
}

void
acl_trace_statement(struct acl_state *st, const struct acl_stmt *s)
{
	tell(st, "processing \"%s\" (%s %u)", exim_acl_verb_name(s->verb), s->file == NULL ? "" : s->file, s->line);
}

void
acl_trace_item(struct acl_state *st, const struct acl_item *it)
{
	const struct acl_cond_def *def = &acl_conds[it->id];

	if (it->var.len > 0)
		tell(st, "check set acl_" SV_FMT " = " SV_FMT, SV_ARG(it->var), SV_ARG(it->text));
	else
		tell(st, "check %s%s = " SV_FMT, it->negated ? "!" : "", def->name, SV_ARG(it->text));
}

void
acl_trace_outcome(struct acl_state *st, const struct exim_acl *acl, const struct acl_stmt *s, enum acl_rc rc)
{
	const char *how = rc == RC_OK ? "succeeded" : rc == RC_FAIL || rc == RC_DROP ? "failed" : rc == RC_DEFER ? "deferred" :
	    rc == RC_DISCARD ? "yielded \"discard\"" : "error";

	tell(st, "%s: condition test %s in ACL \"" SV_FMT "\"", exim_acl_verb_name(s->verb), how, SV_ARG(acl->name));
}

void
acl_trace_end(struct acl_state *st, const struct exim_acl *acl, enum acl_rc rc)
{
	const char *what = rc == RC_OK ? "ACCEPT" : rc == RC_FAIL ? "DENY" : rc == RC_DROP ? "DROP" : rc == RC_DEFER ? "DEFER" :
	    rc == RC_DISCARD ? "DISCARD" : "ERROR";

	tell(st, "end of ACL \"" SV_FMT "\": %s", SV_ARG(acl->name), what);
}
