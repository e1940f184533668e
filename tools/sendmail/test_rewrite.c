/* SPDX-License-Identifier: BSD-2-Clause */
/* -brw: what becomes of an address at each place where it may stand. */
#include <string.h>

#include "exim/extract.h"
#include "testing.h"

static const struct { const char *name; unsigned where; } places[] = {
	{ "  sender", EXIM_RW_s }, { "    from", EXIM_RW_f }, { "      to", EXIM_RW_t }, { "      cc", EXIM_RW_c },
	{ "     bcc", EXIM_RW_b }, { "reply-to", EXIM_RW_r }, { "env-from", EXIM_RW_F }, { "  env-to", EXIM_RW_T }
};

/* One place; <pre> and <post> stand around the address in <text>. */
static void
one_place(struct testing *t, size_t i, struct sv addr, struct sv pre, struct sv post)
{
	struct sv out = addr, whole = SV_NULL;

	/* As in Exim a pattern that cannot be asked now does not fit, and nothing is said of it; the log has the rest. */
	(void)exim_rewrite_address(&t->conf->rewrites, &t->env, places[i].where, addr, &out, &whole, NULL);
	printf("%s: ", places[i].name);
	if (whole.p != NULL)
		printf(SV_FMT "\n", SV_ARG(whole));
	else if (out.len == 0)
		printf("<>\n");
	else if (places[i].where & EXIM_RW_ENVELOPE)
		printf(SV_FMT "\n", SV_ARG(out));
	else
		printf(SV_FMT SV_FMT SV_FMT "\n", SV_ARG(pre), SV_ARG(out), SV_ARG(post));
}

static void
rewrite(struct testing *t, struct sv s)
{
	struct err err = ERR_INIT;
	struct exim_extracted x;
	bool done = false;
	struct sv new;

	if ((t->conf->rewrites.flags & EXIM_RW_S) != 0 &&
	    exim_rewrite_smtp(&t->conf->rewrites, &t->env, s, &new, &err) == EXIM_OK && new.p != s.p) {
		printf(new.len == 0 ? "   SMTP: \"" SV_FMT "\"\n" : "    SMTP: " SV_FMT "\n", SV_ARG(new));
		done = true;
	}
	if ((t->conf->rewrites.flags & (EXIM_RW_ENVELOPE | EXIM_RW_HEADERS)) == 0)
		return;
	if (exim_extract(s, EXIM_EXTRACT_LITERALS, t->arena, &x, &err) == -1) {
		if (!done)
			printf("Syntax error in " SV_FMT "\n%c%s\n", SV_ARG(s), sv_upper(err.text[0]),
			    err.text + (err.text[0] != '\0'));
		return;
	}
	t->msg.sender = sv_taint(x.address);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		one_place(t, i, x.address, sv_sub(s, 0, x.start), sv_sub(s, x.end, s.len));
}

int
test_rewrite(struct testing *t)
{
	const char *text;

	if (t->o->args.len == 0) {
		printf("-brw needs an address argument\n");
		return (1);
	}
	if (t->conf->rewrites.n == 0) {
		printf("No rewrite rules are defined\n");
		return (0);
	}
	text = t->o->args.p[0];
	if (strchr(text, '@') == NULL)
		text = arena_fmt(t->facts, "%s@" SV_FMT, text, SV_ARG(t->g.qualify_recipient));
	rewrite(t, sv_cstr(text));
	return (0);
}
