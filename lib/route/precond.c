/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The preconditions of routers, in the order of section 3.12 of Exim's manual:
 * affixes, verification and test flags, domains, local_parts, check_local_user,
 * router_home_directory, senders, debug_print (which decides nothing), require_files, condition.
 */
#include <sys/stat.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "fiber/fiber.h"
#include "os/user.h"
#include "route/route_int.h"

/* ---- affixes ---- */

/* Length of the prefix of <local> that matches; 0: none. */
static size_t
prefix_len(const struct exim_router *r, struct sv local, size_t *wild)
{
	for (size_t i = 0; i < r->nprefix; i++) {
		struct sv t = r->prefix[i].text;

		*wild = 0;
		if (!r->prefix[i].wild) {
			if (local.len >= t.len && sv_caseeq(sv_sub(local, 0, t.len), t))
				return (t.len);
			continue;
		}
		/* The longest; nothing need be left. */
		for (size_t at = local.len >= t.len ? local.len - t.len + 1 : 0; at > 0; at--)
			if (sv_caseeq(sv_sub(local, at - 1, at - 1 + t.len), t)) {
				*wild = at - 1;
				return (at - 1 + t.len);
			}
	}
	return (0);
}

static size_t
suffix_len(const struct exim_router *r, struct sv local, size_t *wild)
{
	for (size_t i = 0; i < r->nsuffix; i++) {
		struct sv t = r->suffix[i].text;

		*wild = 0;
		if (!r->suffix[i].wild) {
			/* Something must be left in front of it. */
			if (local.len > t.len && sv_caseeq(sv_sub(local, local.len - t.len, local.len), t))
				return (t.len);
			continue;
		}
		for (size_t at = 0; at + t.len <= local.len; at++)
			if (sv_caseeq(sv_sub(local, at, at + t.len), t)) {
				*wild = local.len - at - t.len;
				return (local.len - at);
			}
	}
	return (0);
}

bool
route_affixes(struct visit *v)
{
	const struct exim_router *r = v->r;
	struct exim_address *ea = &v->ea;
	size_t n, wild;

	v->local = r->caseful ? v->local_plain : arena_lower(v->rt->a, v->local_plain);
	ea->local_part_prefix = ea->local_part_prefix_v = ea->local_part_suffix = ea->local_part_suffix_v = SV_NULL;
	if (r->nprefix > 0) {
		n = prefix_len(r, v->local, &wild);
		if (n == 0 && !r->prefix_optional)
			return (false);
		if (n > 0) {
			ea->local_part_prefix = sv_sub(v->local, 0, n);
			ea->local_part_prefix_v = sv_sub(v->local, 0, wild);
			v->local = sv_sub(v->local, n, v->local.len);
		}
	}
	if (r->nsuffix > 0) {
		n = suffix_len(r, v->local, &wild);
		if (n == 0 && !r->suffix_optional)
			return (false);
		if (n > 0) {
			ea->local_part_suffix = sv_sub(v->local, v->local.len - n, v->local.len);
			ea->local_part_suffix_v = sv_sub(v->local, v->local.len - wild, v->local.len);
			v->local = sv_sub(v->local, 0, v->local.len - n);
		}
	}
	ea->local_part = v->local;
	return (true);
}

/* ---- lists ---- */

/* A match as the answer of a precondition: forced failure is no match. */
static enum exim_result
decide(struct visit *v, enum exim_result res, const char *option)
{
	if (res == EXIM_OK || res == EXIM_FORCED)
		return (EXIM_OK);
	if (res == EXIM_FAIL || strncmp(v->err.text, "failed to expand", 16) == 0 || strncmp(v->err.text, "unknown named", 13) == 0)
		route_panic(v, route_why(v));
	(void)err_set(&v->err, res == EXIM_FAIL ? ERR_CONFIG : ERR_TEMP, "4.3.0", "%s check lookup or other defer", option);
	return (EXIM_DEFER);
}

static enum exim_result
check_domains(struct visit *v, bool *yes)
{
	const struct exim_list *l = v->r->d.generic[EXIM_ROUTER_domains].list;
	struct sv data = SV_NULL;
	enum exim_result res;

	if (l == NULL)
		return (EXIM_OK);
	res = exim_match_domain(l, v->rt->env, v->domain, yes, &data, &v->err);
	if (res == EXIM_FORCED)
		*yes = false;
	v->ea.domain_data = data;
	return (decide(v, res, "domains"));
}

static enum exim_result
check_local_parts(struct visit *v, bool *yes)
{
	const struct exim_list *l = v->r->d.generic[EXIM_ROUTER_local_parts].list;
	struct sv data = SV_NULL;
	enum exim_result res;

	if (l == NULL)
		return (EXIM_OK);
	res = exim_match_local(l, v->rt->env, v->local, v->r->caseful, yes, &data, &v->err);
	if (res == EXIM_FORCED)
		*yes = false;
	v->ea.local_part_data = data;
	return (decide(v, res, "local_parts"));
}

enum exim_found
route_passwd(struct visit *v, const char *name, struct exim_passwd *pw)
{
	int64_t more = exim_main_int(v->rt->rq->conf, EXIM_MAIN_finduser_retries);
	const struct exim_world *w = v->rt->env->world;
	enum exim_found f;

	/* Where accounts come from elsewhere, "not found" may mean that nobody answered. */
	while ((f = w->passwd(w->arg, name, v->rt->a, pw)) != EXIM_FOUND && more-- > 0) {
		if (fiber_self() == NULL)
			(void)sleep(1);
		else if (fiber_sleep(1000) == FIBER_CANCELLED)
			break;
	}
	return (f);
}

static enum exim_result
check_user(struct visit *v, bool *yes)
{
	const struct exim_world *w = v->rt->env->world;
	int64_t longest = exim_main_int(v->rt->rq->conf, EXIM_MAIN_max_username_length);
	char name[256];

	if (!v->r->check_local_user)
		return (EXIM_OK);
	*yes = false;
	if (longest > 0 && (int64_t)v->local.len > longest)
		return (EXIM_OK);
	if (v->local.len == 0 || v->local.len >= sizeof(name) || memchr(v->local.p, '\0', v->local.len) != NULL ||
	    w->passwd == NULL)
		return (EXIM_OK);
	memcpy(name, v->local.p, v->local.len);
	name[v->local.len] = '\0';
	switch (route_passwd(v, name, &v->pw)) {
	case EXIM_FOUND:
		break;
	case EXIM_TEMPFAIL:
		(void)err_set(&v->err, ERR_TEMP, "4.3.0", "the account of \"%s\" could not be looked up", name);
		return (EXIM_DEFER);
	default:
		return (EXIM_OK);
	}
	*yes = v->has_pw = true;
	v->ea.home = sv_cstr(v->pw.home);
	v->ea.local_user_uid = (int64_t)v->pw.uid;
	v->ea.local_user_gid = (int64_t)v->pw.gid;
	if (v->ea.local_part_data.p == NULL)
		v->ea.local_part_data = sv_cstr(v->pw.name);
	return (EXIM_OK);
}

static enum exim_result
router_home(struct visit *v)
{
	const struct exim_str *s = v->r->d.generic[EXIM_ROUTER_router_home_directory].str;
	enum exim_result res;
	struct sv home;

	if (s == NULL)
		return (EXIM_OK);
	res = exim_expand(s, v->rt->env, &home, &v->err);
	if (res == EXIM_FORCED)
		return (EXIM_OK);
	if (res != EXIM_OK) {
		(void)route_defer(v, "failed to expand \"" SV_FMT "\" for router_home_directory: %s", SV_ARG(exim_str_text(s)),
		    route_why(v));
		return (EXIM_DEFER);
	}
	v->ea.home = home;
	return (EXIM_OK);
}

static enum exim_result
check_senders(struct visit *v, bool *yes)
{
	const struct exim_list *l = v->r->d.generic[EXIM_ROUTER_senders].list;
	struct sv sender = SV_LIT("");
	enum exim_result res;

	if (l == NULL)
		return (EXIM_OK);
	/* While a sender is verified there is none yet: the list sees the empty one. */
	if (v->rt->rq->mode != ROUTE_VERIFY_SENDER && v->rt->rq->sender.p != NULL)
		sender = v->rt->rq->sender;
	res = exim_match_address(l, v->rt->env, sender, false, yes, NULL, &v->err);
	if (res == EXIM_FORCED)
		*yes = false;
	return (decide(v, res, "senders"));
}

/* ---- files ---- */

/* As whom files must be reachable: "user" or "user,group". */
struct as_whom {
	bool		 set;
	uid_t		 uid;
	gid_t		 gid;
};

static bool
may(const struct stat *st, const struct as_whom *who, mode_t bit)
{
	if (who->uid == 0)
		return (true);
	return ((st->st_mode & (st->st_uid == who->uid ? bit << 6 : st->st_gid == who->gid ? bit << 3 : bit)) != 0);
}

/* May <who> search every directory on the way to <path>? */
static bool
reachable(struct visit *v, const char *path, const struct as_whom *who)
{
	struct stat st;

	for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		const char *dir = slash == path ? "/" : arena_fmt(v->rt->env->arena, "%.*s", (int)(slash - path), path);

		if (exim_stat(v->rt->env, dir, &st) == -1 || !may(&st, who, 01))
			return (false);
	}
	return (true);
}

static enum exim_result
not_found(struct visit *v, const char *what, struct sv name)
{
	(void)err_set(&v->err, ERR_TEMP, "4.3.0", "%s \"" SV_FMT "\" for require_files not found", what, SV_ARG(name));
	return (EXIM_DEFER);
}

/* Either may be a number; without a group it is the user's, if he has a name. */
static enum exim_result
take_user(struct visit *v, struct sv item, struct as_whom *who)
{
	const struct exim_world *w = v->rt->env->world;
	ptrdiff_t comma = sv_chr(item, ',');
	struct sv name = comma < 0 ? item : sv_trim(sv_sub(item, 0, (size_t)comma));
	struct sv group = comma < 0 ? SV_NULL : sv_trim(sv_sub(item, (size_t)comma + 1, item.len));
	struct exim_passwd pw;
	struct err err = ERR_INIT;
	int64_t n;

	if (num_parse(name, 0, UINT32_MAX - 1, &n)) {
		if (comma < 0) {
			(void)err_set(&v->err, ERR_TEMP, "4.3.0",
			    "group missing after numerical uid " SV_FMT " for require_files", SV_ARG(name));
			return (EXIM_DEFER);
		}
		*who = (struct as_whom){ true, (uid_t)n, (gid_t)-1 };
	} else if (w->passwd != NULL && route_passwd(v, arena_cstr(v->rt->a, name), &pw) == EXIM_FOUND)
		*who = (struct as_whom){ true, pw.uid, pw.gid };
	else
		return (not_found(v, "user", name));
	if (comma < 0)
		return (EXIM_OK);
	if (num_parse(group, 0, UINT32_MAX - 1, &n))
		who->gid = (gid_t)n;
	else if (os_group_by_name(arena_cstr(v->rt->a, group), &who->gid, &err) != 1)
		return (not_found(v, "group", group));
	return (EXIM_OK);
}

/* One expanded item of require_files. */
static enum exim_result
check_file(struct visit *v, struct sv item, const struct as_whom *who, bool *yes)
{
	bool negate = false, eacces_ok = false;
	struct stat st;
	int rc;

	while (item.len > 0 && (item.p[0] == '!' || item.p[0] == '+' || sv_isspace(item.p[0]))) {
		negate = negate || item.p[0] == '!';
		eacces_ok = eacces_ok || item.p[0] == '+';
		item = sv_sub(item, 1, item.len);
	}
	if (item.p[0] != '/') {
		(void)err_set(&v->err, ERR_CONFIG, "4.3.5", "require_files: \"" SV_FMT "\" is not absolute", SV_ARG(item));
		return (EXIM_DEFER);
	}
	rc = exim_stat(v->rt->env, arena_cstr(v->rt->env->arena, item), &st);
	/* Whoever is named must be able to read it, if it is there. */
	if (rc == 0 && who->set && !(reachable(v, arena_cstr(v->rt->env->arena, item), who) && may(&st, who, 04))) {
		rc = -1;
		errno = EACCES;
	}
	if (rc == -1 && errno != ENOENT && errno != ENOTDIR && !(errno == EACCES && eacces_ok)) {
		(void)err_set(&v->err, ERR_TEMP, "4.3.0", "require_files: error for " SV_FMT ": %s", SV_ARG(item), strerror(errno));
		return (EXIM_DEFER);
	}
	*yes = (rc == 0) != negate;
	return (EXIM_OK);
}

static enum exim_result
check_files(struct visit *v, bool *yes)
{
	struct as_whom who = { .set = false };

	for (size_t i = 0; i < v->r->nrequire_files && *yes; i++) {
		struct sv item;
		enum exim_result res = exim_expand(v->r->require_files[i], v->rt->env, &item, &v->err);

		if (res == EXIM_FORCED)
			continue;
		if (res != EXIM_OK) {
			(void)route_defer(v, "failed to expand \"" SV_FMT "\" for require_files: %s",
			    SV_ARG(exim_str_text(v->r->require_files[i])), route_why(v));
			return (EXIM_DEFER);
		}
		item = sv_trim(item);
		if (item.len == 0)
			continue;
		/* A word without slashes names the user who must get at the files behind it. */
		res = sv_chr(item, '/') < 0 ? take_user(v, item, &who) : check_file(v, item, &who, yes);
		if (res != EXIM_OK)
			return (res);
	}
	v->rt->env->searched = false;
	return (EXIM_OK);
}

static enum exim_result
check_condition(struct visit *v, bool *yes)
{
	const struct exim_value *c = &v->r->d.generic[EXIM_ROUTER_condition];

	for (size_t i = 0; i < c->n && *yes; i++) {
		struct sv text;
		enum exim_result res = exim_expand(c->strs[i], v->rt->env, &text, &v->err);

		if (res == EXIM_FORCED) {
			*yes = false;
			return (EXIM_OK);
		}
		if (res == EXIM_DEFER) {
			(void)err_set(&v->err, ERR_TEMP, "4.3.0", "condition check lookup defer");
			return (EXIM_DEFER);
		}
		if (res != EXIM_OK) {
			/* What cannot be expanded does not hold (manual 15.2): the address goes past the router. */
			route_panic(v, arena_fmt(v->rt->a, "failed to expand condition \"" SV_FMT "\" for %s router: %s",
			    SV_ARG(c->text), v->r->d.name, route_why(v)));
			err_clear(&v->err);
			*yes = false;
			return (EXIM_OK);
		}
		text = sv_trim(text);
		*yes = text.len > 0 && !sv_eqs(text, "0") && !sv_caseeqs(text, "no") && !sv_caseeqs(text, "false");
	}
	return (EXIM_OK);
}

/* verify_..., verify_only, expn, address_test */
static bool
mode_fits(const struct visit *v)
{
	const struct exim_router *r = v->r;

	switch (v->rt->rq->mode) {
	case ROUTE_VERIFY_SENDER:
		return (r->verify_sender);
	case ROUTE_VERIFY_RECIPIENT:
		return (r->verify_recipient);
	case ROUTE_EXPN:
		return (r->expn && !r->verify_only);
	case ROUTE_TEST:
		return (r->address_test && !r->verify_only);
	default:
		return (!r->verify_only);
	}
}

enum exim_result
route_precond(struct visit *v, bool *yes)
{
	static enum exim_result (*const checks[])(struct visit *, bool *) = {
		check_domains, check_local_parts, check_user, NULL, check_senders, check_files, check_condition,
	};
	static const char *const names[] = { "domains", "local_parts", "no such local user", "", "senders", "require_files",
	    "condition" };
	const size_t home = 3, shown = 5;
	enum exim_result res;

	*yes = mode_fits(v);
	v->skipped = "not in this mode";
	v->rt->env->searched = false;
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]) && *yes; i++) {
		if (i == shown)
			route_debug_print(v);
		v->skipped = names[i];
		res = i == home ? router_home(v) : checks[i](v, yes);
		if (res != EXIM_OK)
			return (res);
	}
	return (EXIM_OK);
}
