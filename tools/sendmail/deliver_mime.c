/* SPDX-License-Identifier: BSD-2-Clause */
/* acl_not_smtp_mime, for messages that come without SMTP: asked of each part, before acl_not_smtp. */
#include <sys/stat.h>

#include <stdio.h>
#include <string.h>

#include "deliver.h"
#include "os/file.h"
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
static int
content_of(struct dmsg *m, struct sv *out, struct err *err)
{
	struct stat st;
	char *p;

	if (denv_content(m, err) == -1)
		return (-1);
	if (fstat(fileno(m->content), &st) == -1)
		return (err_sys(err, "look at the message"));
	p = arena_alloc(m->arena, (size_t)st.st_size + 1);
	if (os_pread_full(fileno(m->content), p, (size_t)st.st_size, 0) != st.st_size)
		return (err_sys(err, "read the message"));
	*out = sv_taint(sv_from(p, (size_t)st.st_size));
	return (0);
}

enum exim_acl_verdict
dmime_ask(struct deliver *d, struct dmsg *m, struct exim_acl_run *run, struct exim_acl_result *res)
{
	struct ask a = { d, run, res, EXIM_ACL_ACCEPT };
	struct err err = ERR_INIT;
	struct sv content;

	if (exim_main_text(d->conf, EXIM_MAIN_acl_not_smtp_mime).len == 0 || d->t->env.acl == NULL)
		return (EXIM_ACL_ACCEPT);
	run->where = EXIM_WHERE_NOTSMTP_MIME;
	/* What cannot be looked at is not taken. */
	if (content_of(m, &content, &err) == -1) {
		res->log_msg = sv_cstr(arena_str(m->arena, err.text));
		return (EXIM_ACL_DEFER);
	}
	(void)session_mime_each(d->t->env.acl, m->arena, &m->headers, content, ask_part, &a);
	return (a.verdict);
}
