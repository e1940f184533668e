/* SPDX-License-Identifier: BSD-2-Clause */
/* mail and vacation (filter manual 3.14). */
#include <string.h>

#include "exim/option.h"
#include "mail/header.h"
#include "exim_int.h"

/* May a field go on or a new one begin behind the newline before <p>? */
static bool
continues(const char *p, bool fields)
{
	size_t n = 0;

	if (*p == ' ' || (*p >= '\t' && *p <= '\r'))
		return (true);
	if (!fields)
		return (false);
	while (p[n] > ' ' && p[n] < 127 && p[n] != ':')
		n++;
	return (n > 0 && p[n] == ':');
}

/* Texts of header lines may hold newlines only where the line goes on; names of files none. */
static bool
check(struct xf_run *w, const struct xf_cmd *c, enum xf_mail i, const char *s)
{
	for (const char *p = s; *p != '\0'; p++) {
		if (i > XF_MAIL_TEXT && (*p == 127 || (*p > 0 && *p < ' ' && *p != '\t'))) {
			xf_fail(w, "non-printing character in \"%s\" in %s command", xf_printing(w, sv_cstr(s)), xf_op_names[c->op]);
			return (false);
		}
		if (i < XF_MAIL_TEXT && *p == '\n' && !continues(p + 1, i == XF_MAIL_EXTRA_HEADERS)) {
			xf_fail(w, "\\n not followed by space%s in \"%.1024s\" in %s command",
			    i == XF_MAIL_EXTRA_HEADERS ? " or valid header name" : "", xf_printing(w, sv_cstr(s)),
			    xf_op_names[c->op]);
			return (false);
		}
	}
	return (true);
}

static void
tell(struct xf_run *w, const struct xf_cmd *c, const char *const v[XF_NMAIL])
{
	int width = 7 + (w->r->verbose != NULL ? (int)w->indent : 0);

	xf_indent(w);
	fprintf(w->r->test, "%sail to: %s%s%s\n", c->seen ? "Seen m" : "M", v[XF_MAIL_TO] == NULL ? "<default>" : v[XF_MAIL_TO],
	    c->op == XF_VACATION ? " (vacation)" : "", c->noerror ? " (noerror)" : "");
	for (size_t i = XF_MAIL_TO + 1; i < XF_NMAIL; i++)
		if (v[i] != NULL)
			fprintf(w->r->test, "%*s: %s%s\n", width, xf_mail_names[i], xf_printing(w, sv_cstr(v[i])),
			    i == XF_MAIL_FILE && c->mail->expand ? " (expanded)" : "");
	if (c->mail->return_message)
		fprintf(w->r->test, "Return original message\n");
}

static void
create(struct xf_run *w, const struct xf_cmd *c, const char *const v[XF_NMAIL])
{
	struct filter_mail m = {
		.vacation = c->op == XF_VACATION, .to = sv_cstr(v[XF_MAIL_TO]), .cc = sv_cstr(v[XF_MAIL_CC]),
		.bcc = sv_cstr(v[XF_MAIL_BCC]), .from = sv_cstr(v[XF_MAIL_FROM]), .reply_to = sv_cstr(v[XF_MAIL_REPLY_TO]),
		.subject = sv_cstr(v[XF_MAIL_SUBJECT]), .extra_headers = sv_cstr(v[XF_MAIL_EXTRA_HEADERS]),
		.text = sv_cstr(v[XF_MAIL_TEXT]), .file = sv_cstr(v[XF_MAIL_FILE]), .expand = c->mail->expand,
		.return_message = c->mail->return_message, .log = sv_cstr(v[XF_MAIL_LOG]), .once = sv_cstr(v[XF_MAIL_ONCE]),
	};
	struct filter_action a = { .kind = FILTER_MAIL, .mail = &m };

	if (m.to.p == NULL)
		(void)exim_var_get(w->env, SV_LIT("reply_address"), &m.to);
	while (m.to.len > 0 && sv_isspace(m.to.p[0]))
		m.to = sv_sub(m.to, 1, m.to.len);
	if (v[XF_MAIL_ONCE_REPEAT] != NULL) {
		m.once_repeat_set = true;
		if (!exim_parse_time(sv_cstr(v[XF_MAIL_ONCE_REPEAT]), &m.once_repeat)) {
			xf_fail(w, "Bad time value for \"once_repeat\" in mail or vacation command: %s", v[XF_MAIL_ONCE_REPEAT]);
			return;
		}
	}
	(void)xf_act(w, &a, c);
}

void
xf_mail(struct xf_run *w, const struct xf_cmd *c)
{
	struct filter_pos pos = { w->f->file, c->line };
	const char *where = arena_fmt(w->env->arena, "%s command", xf_op_names[c->op]), *v[XF_NMAIL] = { NULL };

	for (size_t i = 0; i < XF_NMAIL; i++)
		if (c->mail->v[i] != NULL && (v[i] = xf_expand(w, c->mail->v[i], where)) == NULL)
			return;
	/* Nothing answers a bounce. */
	if (w->env->msg->return_path.len == 0) {
		if (w->r->test != NULL)
			fprintf(w->r->test, "%s command ignored because return_path is empty\n", xf_op_names[c->op]);
		filter_trace(w->r->ops, &pos, "%s ignored: the message has no return path", xf_op_names[c->op]);
		return;
	}
	for (size_t i = 0; i < XF_NMAIL; i++)
		if (v[i] != NULL && !check(w, c, (enum xf_mail)i, v[i]))
			return;
	if (c->seen)
		w->delivered = true;
	if (w->r->test != NULL)
		tell(w, c, v);
	else
		create(w, c, v);
}
