/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * WELLKNOWN: a client asks for a file, as it would below /.well-known of a web server.  Which one it gets, if any, is said by the
 * ACL with "control = wellknown/FILE"; the file goes out in xtext (RFC 3461 section 4), which is pure ASCII, as lines of a reply.
 */
#include "session/session_int.h"

#define FILE_MAX	(64 * 1024)
#define LINE_LEN	480

/* A line must not end within "+XX". */
static size_t
line_len(struct sv v)
{
	size_t n = v.len < LINE_LEN ? v.len : LINE_LEN;

	if (n == v.len)
		return (n);
	for (size_t i = 1; i <= 2; i++)
		if (v.p[n - i] == '+')
			return (n - i);
	return (n);
}

static void
send_file(struct session *s, struct sv content)
{
	struct sb code = SB_INIT((size_t)FILE_MAX * 3 + 1), out = SB_INIT((size_t)FILE_MAX * 4);
	struct sv rest;

	smtp_xtext_encode(&code, content);
	for (rest = sb_sv(&code); rest.len > 0;) {
		size_t n = line_len(rest);

		if (out.len > 0)
			sb_addc(&out, '\n');
		sb_addn(&out, rest.p, n);
		rest = sv_sub(rest, n, rest.len);
	}
	session_reply(s, 250, NULL, sb_sv(&out));
	sb_free(&code);
	sb_free(&out);
}

void
session_wellknown(struct session *s)
{
	const struct exim_world *w = s->env.world;
	struct exim_acl_effects *fx = s->txn != NULL ? &s->txn->fx : &s->fx;
	struct sv name, content;

	if (s->c.arg.len == 0) {
		session_mistake(s, 501, "5.5.4", "WELLKNOWN needs an argument");
		return;
	}
	fx->ctl[EXIM_CTL_WELLKNOWN] = false;
	if (session_acl(s, EXIM_WHERE_WELLKNOWN, s->c.arg, NULL, NULL) != ACL_GO)
		return;
	name = fx->ctl_arg[EXIM_CTL_WELLKNOWN];
	if (fx->ctl[EXIM_CTL_WELLKNOWN] && name.tainted)
		session_logf(s, SESSION_LOG_MAIN | SESSION_LOG_PANIC,
		    "Tainted '" SV_FMT "' (file of control = wellknown)", SV_ARG(name));
	else if (fx->ctl[EXIM_CTL_WELLKNOWN] && name.len > 0 && w->readfile != NULL &&
	    w->readfile(w->arg, arena_cstr(s->cmd, name), FILE_MAX, s->cmd, &content, NULL) == 0) {
		send_file(s, content);
		return;
	}
	session_reply(s, 550, "5.5.4", SV_LIT("nothing of that name"));
}
