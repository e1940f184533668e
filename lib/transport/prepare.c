/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What all local transports have in common: for whom, as whom, where, how large, which header
 * (chapters 23 to 25 of Exim's manual).
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "mail/address.h"
#include "mail/header.h"
#include "os/user.h"
#include "transport/transport_int.h"

#define HEADER_MAX	(8 * 1024 * 1024)

int
prep_fail(struct prep *p, enum transport_status st, int64_t sys, const char *fmt, ...)
{
	char text[2048];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return (transport_fail(p->r, p->a, st, sys, "%s", text));
}

int
prep_str(struct prep *p, const struct exim_value *v, const char *opt, bool forced_ok, struct sv *out)
{
	struct err err = ERR_INIT;
	enum exim_result r;

	*out = v->text;
	if (v->str == NULL)
		return (0);
	r = exim_expand(v->str, p->env, out, &err);
	if (r == EXIM_OK)
		return (0);
	*out = SV_NULL;
	if (r == EXIM_FORCED && forced_ok)
		return (0);
	p->r->panic = true;
	return (prep_fail(p, TRANSPORT_DEFER, TRANSPORT_E_UNKNOWN, "Expansion of \"" SV_FMT "\" (%s for %s transport) failed: %s",
	    SV_ARG(exim_str_text(v->str)), opt, p->name, r == EXIM_FORCED && err.text[0] == '\0' ? "forced failure" : err.text));
}

/* ---- as whom ---- */

static int
number_of(struct prep *p, const struct exim_value *v, const char *opt, bool group, int64_t *id, const char **name)
{
	struct err err = ERR_INIT;
	struct os_user u;
	struct sv text;
	gid_t gid;
	int64_t n;

	if (v->str == NULL) {
		*id = v->num;
		return (0);
	}
	if (prep_str(p, v, opt, false, &text) == -1)
		return (-1);
	text = sv_trim(text);
	if (exim_parse_int(text, &n)) {
		*id = n;
		return (0);
	}
	*name = arena_cstr(p->a, text);
	if (group ? os_group_by_name(*name, &gid, &err) == 1 : os_user_by_name(*name, &u, &err) == 1) {
		*id = group ? gid : u.uid;
		return (0);
	}
	/* Its own line in the panic log. */
	p->r->panic = TRANSPORT_PANIC_LINE;
	return (prep_fail(p, TRANSPORT_DEFER, group ? TRANSPORT_E_GID : TRANSPORT_E_UID,
	    "Failed to find %s \"%s\" from expanded string \"" SV_FMT "\" for the %s transport", group ? "group" : "user", *name,
	    SV_ARG(exim_str_text(v->str)), p->name));
}

/* The list that <uid> is on, or NULL. */
static const char *
never(struct prep *p, int64_t uid)
{
	const struct exim_value *v = &p->env->conf->main[EXIM_MAIN_never_users];

	/* Root is on a list, named or not. */
	for (size_t i = 0; i < v->n; i++)
		if (v->nums[i] == uid)
			return ("never_users");
	return (uid == 0 ? "fixed_never_users" : NULL);
}

/* The group that goes with a user of the transport. */
static void
users_group(struct transport_job *j, const char *name)
{
	struct err err = ERR_INIT;
	struct os_user u;

	if ((name != NULL ? os_user_by_name(name, &u, &err) : os_user_by_uid((uid_t)j->uid, &u, &err)) == 1)
		j->gid = u.gid;
}

static int
pick_ids(struct prep *p)
{
	const struct transport_delivery *d = p->d;
	const struct route_delivery *rd = d->rd[0];
	const struct exim_value *g = d->t->d.generic, *user = &g[EXIM_TRANSPORT_user], *group = &g[EXIM_TRANSPORT_group];
	struct transport_job *j = p->j;
	const char *name = NULL, *gname = NULL, *list;
	struct err err = ERR_INIT;
	struct os_user u;

	j->gid = -1;
	if (user->set) {
		if (number_of(p, user, "user", false, &j->uid, &name) == -1)
			return (-1);
		users_group(j, name);
		j->initgroups = g[EXIM_TRANSPORT_initgroups].num;
	} else if (rd->user_set) {
		j->uid = rd->uid;
		j->initgroups = rd->initgroups;
		if (rd->group_set)
			j->gid = rd->gid;
	} else {
		j->uid = d->uid;
		j->gid = d->gid;
	}
	if (rd->group_set && !user->set)
		j->gid = rd->gid;
	if (group->set && number_of(p, group, "group", true, &j->gid, &gname) == -1)
		return (-1);
	if (j->uid < 0)
		return (prep_fail(p, TRANSPORT_DEFER, TRANSPORT_E_UID, "User not set for %s transport", p->name));
	if (j->gid < 0)
		return (prep_fail(p, TRANSPORT_DEFER, TRANSPORT_E_GID, "User set without group for %s transport", p->name));
	if ((list = never(p, j->uid)) != NULL) {
		p->r->panic = TRANSPORT_PANIC_FAILS;
		return (prep_fail(p, TRANSPORT_DEFER, TRANSPORT_E_UID, "User %lld set for %s transport is on the %s list",
		    (long long)j->uid, p->name, list));
	}
	/* Nobody's rights but the Exim user's are there to deliver with. */
	if (exim_main_bool(p->env->conf, EXIM_MAIN_deliver_drop_privilege) && j->uid != p->env->conf->g.exim_uid)
		return (prep_fail(p, TRANSPORT_DEFER, TRANSPORT_E_UID, "unable to set gid=%lld or uid=%lld (euid=%lld): "
		    "deliver_drop_privilege is set", (long long)j->gid, (long long)j->uid, (long long)p->env->conf->g.exim_uid));
	if (j->initgroups && os_user_by_uid((uid_t)j->uid, &u, &err) == 1)
		j->user = sv_cstr(arena_str(p->a, u.name));
	return (0);
}

static int
pick_places(struct prep *p)
{
	const struct exim_value *g = p->d->t->d.generic;
	const struct route_delivery *rd = p->d->rd[0];
	struct sv home, cwd;

	if (prep_str(p, &g[EXIM_TRANSPORT_home_directory], "home_directory", false, &home) == -1)
		return (-1);
	if (home.p == NULL)
		home = sv_cstr(rd->home);
	else if (home.len == 0 || home.p[0] != '/')
		return (prep_fail(p, TRANSPORT_DEFER, TRANSPORT_E_NOTABS, "home directory path \"" SV_FMT "\" is not absolute for %s "
		    "transport", SV_ARG(home), p->name));
	p->j->home = home;
	p->env->addr->home = home;
	if (prep_str(p, &g[EXIM_TRANSPORT_current_directory], "current_directory", false, &cwd) == -1)
		return (-1);
	if (cwd.p == NULL)
		cwd = sv_cstr(rd->current_dir);
	if (cwd.p != NULL && (cwd.len == 0 || cwd.p[0] != '/'))
		return (prep_fail(p, TRANSPORT_DEFER, TRANSPORT_E_NOTABS,
		    "current directory path \"" SV_FMT "\" is not absolute for %s "
		    "transport", SV_ARG(cwd), p->name));
	p->j->cwd = cwd.p != NULL ? cwd : home;
	return (0);
}

/* ---- the message ---- */

static int
return_path(struct prep *p)
{
	const struct exim_value *v = &p->d->t->d.generic[EXIM_TRANSPORT_return_path];
	struct err err = ERR_INIT;
	enum exim_result r;
	struct sv path;

	p->j->sender = p->env->msg->return_path = p->d->return_path;
	if (v->str == NULL)
		return (0);
	r = exim_expand(v->str, p->env, &path, &err);
	if (r != EXIM_OK && r != EXIM_FORCED) {
		p->r->panic = TRANSPORT_PANIC_LINE;
		return (prep_fail(p, TRANSPORT_DEFER, TRANSPORT_E_EXPAND,
		    "Failed to expand return path \"" SV_FMT "\" in %s transport: %s",
		    SV_ARG(exim_str_text(v->str)), p->name, err.text));
	}
	if (r == EXIM_OK)
		p->j->sender = p->env->msg->return_path = path;
	return (0);
}

static int
size_limit(struct prep *p)
{
	const struct exim_value *v = &p->d->t->d.generic[EXIM_TRANSPORT_message_size_limit];
	struct err err = ERR_INIT;
	int64_t limit = 0;

	if (v->str == NULL)
		return (0);
	if (exim_expand_int(v->str, p->env, &limit, &err) != EXIM_OK) {
		p->r->panic = TRANSPORT_PANIC_STAYS;
		return (prep_fail(p, TRANSPORT_DEFER, TRANSPORT_E_UNKNOWN, "%s message_size_limit in %s transport: %s",
		    sv_starts(sv_cstr(err.text), "invalid integer") ? "invalid" : "failed to expand", p->name, err.text));
	}
	if (limit > 0 && p->d->size > (uint64_t)limit)
		return (prep_fail(p, TRANSPORT_FAIL, 0, "message is too big (transport limit = %lld)", (long long)limit));
	return (0);
}

static int
message(struct prep *p)
{
	const struct exim_value *g = p->d->t->d.generic;
	struct sb out = SB_INIT(HEADER_MAX);
	struct err err = ERR_INIT;
	int rc = 0;

	p->j->off = (int64_t)p->d->body_off;
	p->j->len = (int64_t)p->d->body_len;
	p->j->message_size = (int64_t)p->d->size;
	if (g[EXIM_TRANSPORT_body_only].num == 0) {
		if (transport_header(p->d, &out, &err) == -1)
			rc = prep_fail(p, TRANSPORT_DEFER, TRANSPORT_E_EXPAND, "%s transport: %s", p->name, err.text);
		else
			p->j->header = arena_sv(p->a, sb_sv(&out));
	}
	if (g[EXIM_TRANSPORT_headers_only].num != 0)
		p->j->len = 0;
	sb_free(&out);
	return (rc);
}

static int
filter(struct prep *p)
{
	const struct exim_value *v = &p->d->t->d.generic[EXIM_TRANSPORT_transport_filter];

	if (v->str == NULL)
		return (0);
	p->j->filter_timeout = p->d->t->d.generic[EXIM_TRANSPORT_transport_filter_timeout].num;
	return (transport_argv(p->d, exim_str_text(v->str), true, SV_NULL, false, "transport filter", &p->j->filter, p->r));
}

static struct sv
without_affixes(struct prep *p, const struct route_delivery *rd)
{
	struct sb one = SB_INIT(4096);
	struct sv r;

	mail_local_put(&one, rd->local_part);
	sb_addc(&one, '@');
	sb_add(&one, rd->domain);
	r = arena_sv(p->a, sb_sv(&one));
	sb_free(&one);
	return (r);
}

static void
recipients(struct prep *p)
{
	struct transport_list *l = &p->j->rcpts;
	bool affixes = p->d->t->d.generic[EXIM_TRANSPORT_rcpt_include_affixes].num != 0;

	l->v = arena_alloc(p->a, p->d->n * sizeof(*l->v));
	for (size_t i = 0; i < p->d->n; i++) {
		const struct route_delivery *rd = p->d->rd[i];
		struct sv addr = rd->addr->address;

		if (!affixes && (rd->prefix.len > 0 || rd->suffix.len > 0))
			addr = without_affixes(p, rd);
		l->v[l->n++] = addr;
	}
}

int
transport_prepare(const struct transport_delivery *d, struct transport_job *j, struct transport_result *r)
{
	struct prep p = { .d = d, .j = j, .r = r, .env = d->env, .a = d->arena, .name = d->t->d.name };

	memset(j, 0, sizeof(*j));
	memset(r, 0, sizeof(*r));
	exim_env_at(p.env, "transport", &d->t->d);
	j->transport = sv_cstr(d->t->d.name);
	j->id = d->id;
	j->now = d->now;
	j->hostname = sv_cstr(d->hostname);
	j->local_part = d->n == 1 ? d->rd[0]->local_part : SV_NULL;
	recipients(&p);
	if (d->n > 1) {
		d->env->addr->local_part = SV_LIT("");
		for (size_t i = 1; i < d->n; i++)
			if (!sv_caseeq(d->rd[i]->domain, d->rd[0]->domain))
				d->env->addr->domain = SV_LIT("");
	}
	if (return_path(&p) == -1 || size_limit(&p) == -1 || pick_ids(&p) == -1 || pick_places(&p) == -1 ||
	    (!d->quota_only && (message(&p) == -1 || filter(&p) == -1)))
		return (-1);
	if (d->quota_only) {
		j->quota_only = 1;
		j->message_size = (int64_t)d->size;
	}
	switch (d->t->drv) {
	case EXIM_TRANSPORT_DRV_APPENDFILE:
		j->kind = TRANSPORT_APPENDFILE;
		return (prep_appendfile(&p));
	case EXIM_TRANSPORT_DRV_PIPE:
		j->kind = TRANSPORT_PIPE;
		return (prep_pipe(&p));
	case EXIM_TRANSPORT_DRV_AUTOREPLY:
		j->kind = TRANSPORT_AUTOREPLY;
		return (prep_reply(&p));
	case EXIM_TRANSPORT_DRV_LMTP:
		j->kind = TRANSPORT_LMTP;
		return (prep_lmtp(&p));
	case EXIM_TRANSPORT_DRV_PROCMAIL:
		j->kind = TRANSPORT_PROCMAIL;
		return (prep_procmail(&p));
	default:
		return (prep_fail(&p, TRANSPORT_DEFER, TRANSPORT_E_TRANSPORT, "%s transport: driver %s is not one of local deliveries",
		    p.name, d->t->d.driver));
	}
}

struct sv
prep_template(struct arena *a, struct sv text, int64_t mark, char letter)
{
	struct sb out = SB_INIT(8192);
	char digits[32];
	size_t n = (size_t)snprintf(digits, sizeof(digits), "%lld", (long long)mark);
	struct sv r;

	for (size_t i = 0; i < text.len; i++) {
		if (text.len - i >= n && memcmp(text.p + i, digits, n) == 0) {
			sb_addc(&out, '%');
			sb_addc(&out, letter);
			i += n - 1;
		} else {
			if (text.p[i] == '%')
				sb_addc(&out, '%');
			sb_addc(&out, text.p[i]);
		}
	}
	r = arena_sv(a, sb_sv(&out));
	r.tainted = text.tainted;
	sb_free(&out);
	return (r);
}

/* ---- batches (chapter 25) ---- */

static bool
mentions(struct sv text, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i + n < text.len; i++) {
		size_t k = i + 1;

		if (text.p[i] != '$')
			continue;
		if (k < text.len && text.p[k] == '{')
			k++;
		if (k + n <= text.len && memcmp(text.p + k, name, n) == 0 &&
		    (k + n == text.len || (!sv_isalnum(text.p[k + n]) && text.p[k + n] != '_')))
			return (true);
	}
	return (false);
}

static bool
value_mentions(const struct exim_value *v, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (v[i].text.p != NULL && mentions(v[i].text, name))
			return (true);
		if (v[i].str != NULL && mentions(exim_str_text(v[i].str), name))
			return (true);
	}
	return (false);
}

static bool
options_mention(const struct exim_transport *t, const char *name)
{
	return (value_mentions(t->d.generic, t->d.generic_table->n, name) || value_mentions(t->d.own, t->d.table->n, name));
}

static const struct exim_value *
batch_id(const struct exim_transport *t)
{
	switch (t->drv) {
	case EXIM_TRANSPORT_DRV_APPENDFILE:
		return (&t->d.own[EXIM_APPENDFILE_batch_id]);
	case EXIM_TRANSPORT_DRV_PIPE:
		return (&t->d.own[EXIM_PIPE_batch_id]);
	default:
		return (&t->d.own[EXIM_LMTP_batch_id]);
	}
}

int64_t
transport_batch_max(const struct exim_transport *t)
{
	switch (t->drv) {
	case EXIM_TRANSPORT_DRV_APPENDFILE:
		return (t->d.own[EXIM_APPENDFILE_batch_max].num);
	case EXIM_TRANSPORT_DRV_PIPE:
		return (t->d.own[EXIM_PIPE_batch_max].num);
	case EXIM_TRANSPORT_DRV_LMTP:
		return (t->d.own[EXIM_LMTP_batch_max].num);
	default:
		return (1);
	}
}

static bool
same_texts(const struct sv *a, size_t n, const struct sv *b, size_t m)
{
	if (n != m)
		return (false);
	for (size_t i = 0; i < n; i++)
		if (!sv_eq(a[i], b[i]))
			return (false);
	return (true);
}

bool
transport_same_batch(const struct exim_transport *t, struct exim_env *env_a, const struct route_delivery *a,
    struct exim_env *env_b, const struct route_delivery *b)
{
	const struct exim_value *id = batch_id(t);
	struct err err = ERR_INIT;
	struct sv x, y;

	if (a->transport != b->transport || transport_batch_max(t) <= 1 || a->kind != b->kind || !sv_eq(a->text, b->text) ||
	    a->errors_to_set != b->errors_to_set || !sv_eq(a->errors_to, b->errors_to) || a->user_set != b->user_set ||
	    a->uid != b->uid || a->gid != b->gid || (a->nhosts > 0) != (b->nhosts > 0) ||
	    (a->nhosts > 0 && strcmp(a->hosts[0].name, b->hosts[0].name) != 0) ||
	    !same_texts(a->headers_add, a->nheaders_add, b->headers_add, b->nheaders_add) ||
	    !same_texts(a->headers_remove, a->nheaders_remove, b->headers_remove, b->nheaders_remove))
		return (false);
	if (options_mention(t, "local_part") || options_mention(t, "local_part_data") ||
	    (!sv_caseeq(a->domain, b->domain) && (options_mention(t, "domain") || options_mention(t, "domain_data"))))
		return (false);
	if (id->str == NULL)
		return (true);
	return (exim_expand(id->str, env_a, &x, &err) == EXIM_OK && exim_expand(id->str, env_b, &y, &err) == EXIM_OK && sv_eq(x, y));
}
