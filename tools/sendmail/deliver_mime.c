/* SPDX-License-Identifier: BSD-2-Clause */
/* acl_not_smtp_mime, for messages that come without SMTP: asked of each part, before acl_not_smtp. */
#include <sys/stat.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "deliver.h"
#include "session/mime.h"

struct ask {
	struct deliver	*d;
	struct exim_acl_run *run;
	struct exim_acl_result *res;
	enum exim_acl_verdict verdict;
};

static int
ask_part(void *arg)
{
	struct ask *a = arg;

	memset(a->res, 0, sizeof(*a->res));
	a->verdict = exim_acl_check(&a->d->t->env, a->run, a->res);
	return (a->verdict != EXIM_ACL_ACCEPT);
}

/* Header and body as expansions see them. */
static struct sv
content_of(const struct dmsg *m)
{
	struct stat st;
	char *p;

	if (m->content == NULL || fstat(fileno(m->content), &st) == -1 || st.st_size <= 0)
		return (SV_LIT(""));
	p = arena_alloc(m->arena, (size_t)st.st_size);
	if (pread(fileno(m->content), p, (size_t)st.st_size, 0) != st.st_size)
		return (SV_LIT(""));
	return (sv_taint(sv_from(p, (size_t)st.st_size)));
}

enum exim_acl_verdict
dmime_ask(struct deliver *d, const struct dmsg *m, struct exim_acl_run *run, struct exim_acl_result *res)
{
	struct ask a = { d, run, res, EXIM_ACL_ACCEPT };

	if (exim_main_text(d->conf, EXIM_MAIN_acl_not_smtp_mime).len == 0 || d->t->env.acl == NULL)
		return (EXIM_ACL_ACCEPT);
	run->where = EXIM_WHERE_NOTSMTP_MIME;
	(void)session_mime_each(d->t->env.acl, m->arena, &m->headers, content_of(m), ask_part, &a);
	return (a.verdict);
}
