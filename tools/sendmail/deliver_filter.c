/* SPDX-License-Identifier: BSD-2-Clause */
/* The system filter (chapter 45 of Exim's manual): run before a message is routed, its header changes taken over. */
#include <sys/stat.h>

#include <errno.h>
#include <string.h>

#include "deliver.h"
#include "os/file.h"

/* What it did to the header becomes the message's. */
static void
take_header(struct deliver *d, struct dmsg *m)
{
	struct exim_message *msg = &d->t->msg;
	size_t k = 0;

	for (size_t i = 0; i < m->fields.len && k < m->headers.n && msg->headers_gone != NULL; i++) {
		if (m->fields.p[i].type == '*')
			continue;
		if (msg->headers_gone[k++])
			m->fields.p[i].type = '*';
	}
	for (size_t i = 0; i < msg->nadded; i++) {
		struct dfield f = { .type = ' ', .text = arena_sv(m->arena, msg->added[i].text) };

		vec_push(&m->fields, f);
	}
	msg->headers_gone = NULL;
	msg->added = NULL;
	msg->nadded = 0;
	denv_index(m);
	denv_message(d, m);
}

static int
read_file(const char *path, struct sb *data, struct err *err)
{
	struct stat st;
	int rc;

	if (path[0] != '/')
		return (err_set(err, ERR_CONFIG, NULL, "\"%s\" is not an absolute path", path));
	if ((rc = stat(path, &st)) == -1 && errno == ENOENT)
		return (err_set(err, ERR_CONFIG, NULL, "%s does not exist", path));
	if (rc == -1)
		return (err_sys(err, "failed to open %s", path));
	if (!S_ISREG(st.st_mode))
		return (err_set(err, ERR_CONFIG, NULL, "%s is not a regular file", path));
	return (os_read_file(path, EXIM_FILTER_TEXT_MAX, data, err));
}

enum exim_filter_end
dfilter_system(struct deliver *d, struct dmsg *m, struct filter_plan *plan, const char **text)
{
	const struct exim_value *v = &d->conf->main[EXIM_MAIN_system_filter];
	struct exim_filter_run run = { .env = &d->t->env, .flags = EXIM_FILTER_ALL };
	struct sb data = SB_INIT(EXIM_FILTER_TEXT_MAX);
	struct filter_ops ops;
	struct exim_filter *f;
	struct exim_address a;
	struct err err = ERR_INIT;
	enum exim_filter_end end;
	enum exim_result res;
	const char *why = NULL;
	char *path;

	*text = "";
	if (v->str == NULL)
		return (EXIM_FILTER_NOT_DELIVERED);
	res = exim_expand_cstr(v->str, &d->t->env, &path, &err);
	if (res == EXIM_FORCED)
		return (EXIM_FILTER_NOT_DELIVERED);
	if (res != EXIM_OK)
		err_prefix(&err, "failed to expand \"" SV_FMT "\"", SV_ARG(v->text));
	if (res != EXIM_OK || read_file(path, &data, &err) == -1) {
		sb_free(&data);
		*text = arena_str(m->arena, err.text);
		return (EXIM_FILTER_ERROR);
	}
	f = exim_filter_parse(m->arena, sb_sv(&data), path, run.flags, &why);
	sb_free(&data);
	if (f == NULL) {
		*text = why;
		return (EXIM_FILTER_ERROR);
	}
	memset(&a, 0, sizeof(a));
	d->t->env.addr = &a;
	filter_plan_ops(plan, &ops);
	run.ops = &ops;
	end = exim_filter_run(f, &run);
	d->t->env.addr = NULL;
	*text = run.text == NULL ? "" : arena_str(m->arena, run.text);
	if (d->t->msg.headers_gone != NULL || d->t->msg.nadded > 0)
		take_header(d, m);
	return (end);
}
