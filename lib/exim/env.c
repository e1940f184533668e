/* SPDX-License-Identifier: BSD-2-Clause */
/* ACL variables: acl_c... and acl_m..., kept in the order in which they were first set. */
#include "exim/env.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/sb.h"
#include "base/vec.h"
#include "exim/acl.h"
#include "exim/conf.h"

struct var {
	char		*name;
	char		*value;		/* NULL: removed */
	size_t		 len;
	unsigned char	 tainted;
};

struct exim_vars {
	struct hash	*index;		/* to struct var */
	VEC(struct var *) order;
};

struct exim_vars *
exim_vars_new(void)
{
	return (xcalloc(1, sizeof(struct exim_vars)));
}

void
exim_vars_clear(struct exim_vars *v)
{
	for (size_t i = 0; i < v->order.len; i++) {
		free(v->order.p[i]->name);
		free(v->order.p[i]->value);
		free(v->order.p[i]);
	}
	vec_clear(&v->order);
	hash_free(&v->index, NULL);
}

void
exim_vars_free(struct exim_vars **vp)
{
	if (*vp == NULL)
		return;
	exim_vars_clear(*vp);
	vec_free(&(*vp)->order);
	free(*vp);
	*vp = NULL;
}

void
exim_vars_set(struct exim_vars *v, struct sv name, struct sv value)
{
	struct var *var;
	char *old;

	if (v->index == NULL)
		v->index = hash_new();
	var = hash_get(v->index, name);
	if (var == NULL) {
		if (value.p == NULL)
			return;
		var = xcalloc(1, sizeof(*var));
		var->name = xstrndup(name.p, name.len);
		(void)hash_set(v->index, name, var);
		vec_push(&v->order, var);
	}
	/* The new value may be made from the old one. */
	old = var->value;
	var->value = value.p == NULL ? NULL : xstrndup(value.p, value.len);
	var->len = value.len;
	var->tainted = value.tainted;
	free(old);
}

struct sv
exim_vars_get(const struct exim_vars *v, struct sv name)
{
	const struct var *var = v == NULL || v->index == NULL ? NULL : hash_get(v->index, name);

	if (var == NULL || var->value == NULL)
		return (SV_NULL);
	return ((struct sv){ var->value, var->len, var->tainted });
}

void
exim_env_forget(struct exim_env *env)
{
	env->nums = NULL;
	env->value = env->item = env->message = env->lookup_error = SV_NULL;
	env->searched = false;
	env->ldap_dn = env->prvscheck_address = env->prvscheck_keynum = env->srs_recipient = SV_NULL;
}

bool
exim_vars_next(const struct exim_vars *v, size_t *pos, struct sv *name, struct sv *value)
{
	while (v != NULL && *pos < v->order.len) {
		const struct var *var = v->order.p[(*pos)++];

		if (var->value == NULL)
			continue;
		*name = sv_cstr(var->name);
		*value = (struct sv){ var->value, var->len, var->tainted };
		return (true);
	}
	return (false);
}

void
exim_env_at(struct exim_env *env, const char *kind, const struct exim_driver *d)
{
	if (env->acl_depth == 0)
		env->at = (struct exim_place){ kind, d->name, d->file, d->line };
}

void
exim_env_log(const struct exim_env *env, unsigned logs, struct sv line)
{
	const struct exim_acl_run *run = env->acl_run;

	if (run != NULL && run->ops != NULL && run->ops->log != NULL)
		run->ops->log(run->arg, logs, line);
	else
		exim_env_log_world(env, logs, line);
}

void
exim_env_log_world(const struct exim_env *env, unsigned logs, struct sv line)
{
	struct sb out = SB_INIT(16384);

	if (env->world == NULL || env->world->log == NULL)
		return;
	if (env->msg != NULL && env->msg->id.len > 0)
		sb_addf(&out, SV_FMT " ", SV_ARG(env->msg->id));
	for (size_t i = 0; i < line.len; i++)
		if (line.p[i] == '\n')
			sb_adds(&out, "\\n");
		else
			sb_addc(&out, line.p[i]);
	env->world->log(env->world->arg, logs, sb_sv(&out));
	sb_free(&out);
}
