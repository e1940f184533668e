/* SPDX-License-Identifier: BSD-2-Clause */
/* -brw: what becomes of an address at each place where it may stand. */
#include <string.h>

#include "mail/address.h"
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
	struct err err = ERR_INIT;

	if (exim_rewrite_address(&t->conf->rewrites, &t->env, places[i].where, addr, &out, &whole, &err) != EXIM_OK) {
		if (err.text[0] != '\0')
			testing_log("%s", err.text);
		out = addr;
	}
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

static int
rewrite(struct testing *t, struct sv text)
{
	struct sb sb = SB_INIT(MAIL_ADDRESS_MAX);
	struct err err = ERR_INIT;
	struct mail_address m;
	bool done = false;
	struct sv s = text, addr;
	ptrdiff_t at;

	if (t->conf->rewrites.flags & EXIM_RW_S) {
		struct sv new;

		if (exim_rewrite_smtp(&t->conf->rewrites, &t->env, text, &new, &err) == EXIM_OK && new.p != text.p) {
			printf("   SMTP: \"" SV_FMT "\"\n", SV_ARG(new));
			done = true;
			s = new;
		}
	}
	if ((t->conf->rewrites.flags & (EXIM_RW_ENVELOPE | EXIM_RW_HEADERS)) == 0)
		return (0);
	if (mail_address_parse(s, MAIL_ADDR_BARE | MAIL_ADDR_LITERAL | MAIL_ADDR_UTF8 | MAIL_ADDR_8BIT, t->arena, &m, &err) == -1) {
		if (!done)
			printf("Syntax error in " SV_FMT "\n%c%s\n", SV_ARG(s), sv_upper(err.text[0]), err.text + (err.text[0] != '\0'));
		return (0);
	}
	mail_address_put(&sb, &m);
	addr = arena_sv(t->arena, sb_sv(&sb));
	sb_free(&sb);
	at = sv_find(s, addr);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		one_place(t, i, addr, at < 0 ? SV_LIT("") : sv_sub(s, 0, (size_t)at),
		    at < 0 ? SV_LIT("") : sv_sub(s, (size_t)at + addr.len, s.len));
	return (0);
}

int
test_rewrite(struct testing *t)
{
	if (t->o->args.len == 0) {
		printf("-brw needs an address argument\n");
		return (1);
	}
	if (t->conf->rewrites.n == 0) {
		printf("No rewrite rules are defined\n");
		return (0);
	}
	return (rewrite(t, sv_cstr(t->o->args.p[0])));
}
