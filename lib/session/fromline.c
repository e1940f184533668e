/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lines "From ..." above the header fields, as mailbox files have them and careless clients send them.  They begin the
 * body, unless ignore_fromline_hosts or ignore_fromline_local says that this client is known for them; the sender that such
 * a line names then counts (uucp_from_pattern, uucp_from_sender), as it does for Exim.  And whom a user who is not trusted may
 * name there, or by MAIL (untrusted_set_sender).
 */
#include "exim/expand.h"
#include "mail/address.h"
#include "session/session_int.h"

#define LINES_MAX	10
#define LINE_MAX_LEN	1000

static bool
ignored_here(struct session *s)
{
	if (s->kind == SESSION_LOCAL)
		return (exim_main_bool(s->conf, EXIM_MAIN_ignore_fromline_local));
	return (session_client_in(s, EXIM_MAIN_ignore_fromline_hosts));
}

/* May this client, a user of this machine, say that a message comes from <addr>? */
static bool
may_say(struct session *s, struct sv addr)
{
	const struct exim_list *list = s->conf->main[EXIM_MAIN_untrusted_set_sender].list;
	struct err err = ERR_INIT;
	bool yes = false;

	if (s->kind != SESSION_LOCAL || s->conn->trusted || (s->conn->handed && addr.len == 0))
		return (true);
	if (sv_chr(addr, '@') < 0)
		addr = sv_cstr(arena_fmt(s->cmd, SV_FMT "@" SV_FMT, SV_ARG(addr), SV_ARG(s->conf->g.qualify_domain)));
	return (list != NULL && exim_match_address(list, &s->env, sv_taint(addr), false, &yes, NULL, &err) == EXIM_OK && yes);
}

void
session_own_sender(struct session *s)
{
	if (!may_say(s, s->txn->msg.sender))
		s->txn->msg.sender = sv_cstr(arena_fmt(s->txn->arena, "%s@" SV_FMT, s->conn->user, SV_ARG(s->conf->g.qualify_domain)));
}

static void
take_sender(struct session *s, const struct exim_nums *nums)
{
	const struct exim_str *to = s->conf->main[EXIM_MAIN_uucp_from_sender].str;
	const struct exim_nums *had = s->env.nums;
	struct mail_address x;
	struct err err = ERR_INIT;
	struct sb one = SB_INIT(MAIL_ADDRESS_MAX + 16);
	struct sv addr;

	if (to == NULL)
		return;
	s->env.nums = nums;
	if (exim_expand(to, &s->env, &addr, &err) != EXIM_OK)
		session_logf(s, SESSION_LOG_MAIN | SESSION_LOG_PANIC, "expansion of \"" SV_FMT "\" failed after matching \"From \" "
		    "line: %s", SV_ARG(exim_main_text(s->conf, EXIM_MAIN_uucp_from_sender)), err.text);
	else if (mail_address_parse(addr, MAIL_ADDR_BARE, s->cmd, &x, &err) == 0) {
		mail_address_put(&one, &x);
		if (x.domain.len == 0)
			sb_addf(&one, "@" SV_FMT, SV_ARG(s->conf->g.qualify_domain));
		if (may_say(s, sb_sv(&one)))
			s->txn->msg.sender = arena_sv(s->txn->arena, sv_taint(sb_sv(&one)));
	}
	s->env.nums = had;
	sb_free(&one);
}

size_t
session_from_lines(struct session *s, struct sv content)
{
	struct sv pattern = exim_main_text(s->conf, EXIM_MAIN_uucp_from_pattern), rest = content, line;
	struct exim_nums nums;
	char why[256];
	size_t len = 0;

	if (!sv_starts(content, "From ") && !sv_starts(content, ">From "))
		return (0);
	if (pattern.len == 0 || !ignored_here(s))
		return (0);
	for (int i = 0; i < LINES_MAX && sv_next(&rest, '\n', &line); i++) {
		if (line.len > LINE_MAX_LEN || exim_regex_match(&s->env, sv_taint(line), pattern, false, &nums, why) != 1)
			break;
		take_sender(s, &nums);
		len = content.len - rest.len;
	}
	return (len);
}
