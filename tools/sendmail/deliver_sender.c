/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whom a message that was handed over by a local user comes from: his name, what he may say of himself, the "From "
 * line of a mailbox, the fields From and Sender (sections 4.2, 47.2 and 47.16 of Exim's manual).
 */
#include <ctype.h>
#include <grp.h>
#include <string.h>
#include <unistd.h>

#include "deliver.h"
#include "mail/address.h"
#include "mail/header.h"
#include "os/user.h"

#define GROUPS_MAX	256

bool
caller_in_group(int64_t gid)
{
	gid_t set[GROUPS_MAX];
	int n = getgroups(GROUPS_MAX, set);

	if (gid == (int64_t)getgid())
		return (true);
	for (int k = 0; k < n; k++)
		if (gid == (int64_t)set[k])
			return (true);
	return (false);
}

bool
caller_in_groups(const struct exim_value *v)
{
	for (size_t i = 0; i < v->n; i++)
		if (caller_in_group(v->nums[i]))
			return (true);
	return (false);
}

bool
dsender_trusted(const struct deliver *d)
{
	const struct exim_value *v = &d->conf->main[EXIM_MAIN_trusted_users];

	if (d->caller_uid == 0 || d->caller_uid == d->conf->g.exim_uid)
		return (true);
	for (size_t i = 0; i < v->n; i++)
		if (v->nums[i] == d->caller_uid)
			return (true);
	return (caller_in_groups(&d->conf->main[EXIM_MAIN_trusted_groups]));
}

/* ---- the name ---- */

/* The first "&" of the field of the password file stands for the login. */
static struct sv
gecos_text(struct arena *a, const struct os_user *u)
{
	const char *amp = strchr(u->gecos, '&');
	char *text;

	if (amp == NULL)
		return (sv_cstr(arena_str(a, u->gecos)));
	text = arena_fmt(a, "%.*s%s%s", (int)(amp - u->gecos), u->gecos, u->name, amp + 1);
	text[amp - u->gecos] = (char)toupper((unsigned char)text[amp - u->gecos]);
	return (sv_cstr(text));
}

/* gecos_pattern says what of it is the name, gecos_name how it is written. */
static struct sv
gecos_name(struct deliver *d, struct arena *a, struct sv text)
{
	struct sv pattern = exim_main_text(d->conf, EXIM_MAIN_gecos_pattern), out;
	const struct exim_str *name = d->conf->main[EXIM_MAIN_gecos_name].str;
	const struct exim_nums *had = d->t->env.nums;
	struct exim_nums nums;
	struct err err = ERR_INIT;
	char why[256];

	if (!d->conf->main[EXIM_MAIN_gecos_pattern].set || name == NULL || exim_regex_match(&d->t->env, text, pattern, false, &nums, why) != 1)
		return (text);
	d->t->env.nums = &nums;
	if (exim_expand(name, &d->t->env, &out, &err) == EXIM_OK)
		text = arena_sv(a, out);
	else
		dlog(d, DLOG_MAIN | DLOG_PANIC, "failed to expand string for gecos_name option: %s", err.text);
	d->t->env.nums = had;
	return (text);
}

struct sv
dsender_name(struct deliver *d, struct arena *a)
{
	const struct exim_str *unknown = d->conf->main[EXIM_MAIN_unknown_username].str;
	struct os_user u;
	struct err err = ERR_INIT;
	struct sv out;

	if (d->t->o->fullname != NULL)
		return (sv_cstr(d->t->o->fullname));
	if (os_user_by_uid((uid_t)d->caller_uid, &u, NULL) == 1)
		return (gecos_name(d, a, gecos_text(a, &u)));
	if (unknown != NULL && exim_expand(unknown, &d->t->env, &out, &err) == EXIM_OK)
		return (arena_sv(a, out));
	return (SV_LIT(""));
}

/* ---- the envelope ---- */

/* May somebody who is not trusted give <addr>? */
static bool
may_set(struct deliver *d, struct sv addr)
{
	const struct exim_list *list = d->conf->main[EXIM_MAIN_untrusted_set_sender].list;
	struct err err = ERR_INIT;
	bool yes = false;

	if (sv_chr(addr, '@') < 0)
		addr = sv_cstr(arena_fmt(d->t->arena, SV_FMT "@" SV_FMT, SV_ARG(addr), SV_ARG(d->t->g.qualify_domain)));
	return (list != NULL && exim_match_address(list, &d->t->env, sv_taint(addr), false, &yes, NULL, &err) == EXIM_OK && yes);
}

/* <smtp>: $authenticated_sender is what MAIL says. */
static void
set_local(struct deliver *d, struct dmsg *m, bool smtp)
{
	m->local = true;
	if (m->auth_id.len == 0)
		m->auth_id = m->login;
	if (m->auth_sender.len == 0 && !smtp)
		m->auth_sender = dqualify(d, m->arena, m->login, false);
}

void
dsender_set(struct deliver *d, struct dmsg *m, struct sv addr)
{
	const struct options *o = d->t->o;
	bool trusted = dsender_trusted(d), given = o->sender != NULL && (trusted || addr.len == 0 || may_set(d, addr));

	m->sender = given ? addr : dqualify(d, m->arena, m->login, false);
	m->untrusted_sender = given && !trusted;
	m->local = !trusted || !given;
	if (m->local)
		set_local(d, m, false);
}

void
dsender_smtp(struct deliver *d, struct dmsg *m)
{
	if (dsender_trusted(d))
		return;
	if (may_set(d, m->sender))
		m->untrusted_sender = true;
	else
		m->sender = dqualify(d, m->arena, m->login, false);
	set_local(d, m, true);
}

size_t
dsender_from_line(struct deliver *d, struct dmsg *m, struct sv text)
{
	struct sv pattern = exim_main_text(d->conf, EXIM_MAIN_uucp_from_pattern), line, rest = text, addr;
	const struct exim_nums *had = d->t->env.nums;
	const struct exim_str *to = d->conf->main[EXIM_MAIN_uucp_from_sender].str;
	struct mail_address x;
	struct exim_nums nums;
	struct err err = ERR_INIT;
	char why[256];

	if (pattern.len == 0 || !sv_next(&rest, '\n', &line) ||
	    exim_regex_match(&d->t->env, sv_taint(line), pattern, false, &nums, why) != 1)
		return (0);
	if (d->t->o->sender != NULL || to == NULL)
		return (text.len - rest.len);
	d->t->env.nums = &nums;
	if (exim_expand(to, &d->t->env, &addr, &err) != EXIM_OK)
		dlog(d, DLOG_MAIN | DLOG_PANIC, "expansion of \"" SV_FMT "\" failed after matching \"From \" line: %s",
		    SV_ARG(exim_main_text(d->conf, EXIM_MAIN_uucp_from_sender)), err.text);
	else if (mail_address_parse(addr, DADDR_FLAGS, m->arena, &x, &err) == 0 &&
	    (dsender_trusted(d) || may_set(d, daddress_text(m->arena, &x)))) {
		m->sender = daddress_text(m->arena, &x);
		m->untrusted_sender = !dsender_trusted(d);
		if (!m->untrusted_sender) {
			m->from_line = true;
			m->local = false;
			m->auth_id = m->auth_sender = SV_NULL;
		}
	}
	d->t->env.nums = had;
	return (text.len - rest.len);
}

/* ---- the fields ---- */

/* "Name <address>", the name quoted as it needs; the address alone where there is no name. */
static struct sv
mailbox_text(struct arena *a, struct sv name, struct sv addr)
{
	struct sb out = SB_INIT(8192);
	struct sv r;

	if (name.len == 0)
		return (addr);
	mail_phrase_encode(&out, name, 0);
	sb_addf(&out, " <" SV_FMT ">", SV_ARG(addr));
	r = arena_sv(a, sb_sv(&out));
	sb_free(&out);
	return (r);
}

void
dsender_add_from(struct deliver *d, struct dmsg *m, bool resent)
{
	const struct options *o = d->t->o;
	bool here = m->protocol.len > 0 && sv_eqs(m->protocol, "local");
	bool named = !m->from_line && m->host_addr.len == 0 && (!dsender_trusted(d) || (here && o->sender == NULL));
	struct sv addr = m->given_sender.len > 0 ? m->given_sender : m->sender.len > 0 ? m->sender : dqualify(d, m->arena, m->login, false);

	dfield_add(m, resent ? "Resent-From" : "From",
	    mailbox_text(m->arena, named || o->fullname != NULL ? dsender_name(d, m->arena) : SV_LIT(""), addr));
}

/* Strip from <local> what local_from_prefix (<front>) or local_from_suffix allows. */
static struct sv
strip(struct sv local, struct sv list, bool front, struct arena *a)
{
	struct sv item;
	int sep = 0;

	while (list.len > 0 && exim_list_next(&list, &sep, a, &item)) {
		bool wild = item.len > 0 && (front ? item.p[0] == '*' : item.p[item.len - 1] == '*');
		struct sv fix = !wild ? item : front ? sv_sub(item, 1, item.len) : sv_sub(item, 0, item.len - 1);

		if (fix.len == 0 || local.len <= fix.len)
			continue;
		for (size_t n = wild ? local.len - fix.len - 1 : 0;; n--) {
			size_t at = front ? n : local.len - fix.len - n;

			if (sv_caseeq(sv_sub(local, at, at + fix.len), fix) && (front ? at + fix.len < local.len : at > 0))
				return (front ? sv_sub(local, at + fix.len, local.len) : sv_sub(local, 0, at));
			if (n == 0)
				break;
		}
	}
	return (local);
}

/* Does the only address of <body> name the caller? */
static bool
is_callers(struct deliver *d, struct dmsg *m, struct sv body)
{
	struct sv own = dqualify(d, m->arena, m->login, false), local;
	struct mail_addrlist l;
	struct mail_address x;

	mail_addrlist_read(body, m->arena, &l);
	if (l.n != 1 || l.v[0].item != MAIL_ITEM_ADDRESS)
		return (false);
	x = l.v[0];
	local = strip(x.local, exim_main_text(d->conf, EXIM_MAIN_local_from_prefix), true, m->arena);
	x.local = strip(local, exim_main_text(d->conf, EXIM_MAIN_local_from_suffix), false, m->arena);
	return (sv_caseeq(daddress_text(m->arena, &x), own));
}

void
dsender_fields(struct deliver *d, struct dmsg *m, bool resent)
{
	const char *from = resent ? "Resent-From" : "From";
	struct dfield *f;

	if (!m->local || dsender_trusted(d))
		return;
	/* What he says of the sender is not kept, unless he may. */
	for (size_t i = 0; i < m->fields.len && !exim_main_bool(d->conf, EXIM_MAIN_local_sender_retain); i++)
		if (m->fields.p[i].type == 'S')
			m->fields.p[i].type = '*';
	if (!exim_main_bool(d->conf, EXIM_MAIN_local_from_check) || (f = dfield_find(m, from)) == NULL ||
	    is_callers(d, m, dfield_body(f->text)))
		return;
	dfield_add(m, resent ? "Resent-Sender" : "Sender",
	    mailbox_text(m->arena, dsender_name(d, m->arena), dqualify(d, m->arena, m->login, false)));
}

struct sv
dsender_message_id(struct deliver *d, struct dmsg *m)
{
	static const char specials[] = "()<>@,;:\\\"[]";
	struct sv domain = SV_NULL, text = SV_NULL;
	const struct exim_str *str;
	struct err err = ERR_INIT;
	char *id, *p;

	if ((str = d->conf->main[EXIM_MAIN_message_id_header_domain].str) != NULL &&
	    (exim_expand(str, &d->t->env, &domain, &err) != EXIM_OK || domain.len == 0))
		domain = SV_NULL;
	if ((str = d->conf->main[EXIM_MAIN_message_id_header_text].str) != NULL &&
	    (exim_expand(str, &d->t->env, &text, &err) != EXIM_OK || text.len == 0))
		text = SV_NULL;
	if (err.text[0] != '\0')
		dlog(d, DLOG_MAIN | DLOG_PANIC, "expansion of message-id options failed: %s", err.text);
	domain = sv_cstr(arena_sv(m->arena, domain.len > 0 ? domain : d->t->g.primary_hostname).p);
	id = arena_fmt(m->arena, "E%s%s" SV_FMT, m->id, text.len > 0 ? "." : "", SV_ARG(text));
	/* What an id may not hold becomes a hyphen, in the domain a dot where it is no letter, digit or hyphen. */
	for (p = id; *p != '\0'; p++)
		if (iscntrl((unsigned char)*p) || *p == ' ' || strchr(specials, *p) != NULL ||
		    (*p == '.' && (p[1] == '\0' || p[1] == '.')))
			*p = '-';
	return (sv_cstr(arena_fmt(m->arena, "<%s@" SV_FMT ">", id, SV_ARG(domain))));
}
