/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Variables: all of them are the environment of the programs that are started, some mean
 * something to procmail at the moment they are assigned (procmailrc(5), "Environment").
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "filter/procmail_int.h"

/* --- the environment -------------------------------------------------------- */

static struct pm_var *
find(const struct pm *pm, const char *name)
{
	size_t n = strlen(name);

	for (struct pm_var *v = pm->env.p, *end = v + pm->env.len; v < end; v++)
		if (v->nlen == n && v->name[0] == name[0] && memcmp(v->name, name, n) == 0)
			return (v);
	return (NULL);
}

const char *
pm_get(const struct pm *pm, const char *name)
{
	const struct pm_var *v = find(pm, name);

	return (v == NULL ? NULL : v->value);
}

const char *
pm_gets(const struct pm *pm, const char *name)
{
	const char *v = pm_get(pm, name);

	return (v == NULL ? "" : v);
}

static void
yell_assign(struct pm *pm, const char *name, const char *value)
{
	struct sb sb = SB_INIT(SIZE_MAX / 4);

	if (pm->verbose == 0)
		return;
	sb_adds(&sb, name);
	if (value != NULL) {
		sb_addc(&sb, '=');
		sb_adds(&sb, value);
	}
	pm_nlogq(pm, "Assigning", sb_cstr(&sb));
	sb_free(&sb);
}

static void
free_const(const char *p)
{
	free((void *)(uintptr_t)p);
}

static void
free_var(const struct pm_var *v)
{
	if (v->own_name)
		free_const(v->name);
	if (v->own_value)
		free_const(v->value);
}

void
pm_put_quietly(struct pm *pm, const char *name, const char *value)
{
	struct pm_var *v = find(pm, name), n, old;

	if (v == NULL && value == NULL)
		return;
	/* The value may be the old one's text. */
	n = (struct pm_var){ NULL, value == NULL ? NULL : xstrdup(value), (uint32_t)strlen(name), true, true };
	if (v != NULL) {
		old = *v;
		pm->env_size -= old.nlen + strlen(old.value);
		vec_remove(&pm->env, (size_t)(v - pm->env.p));
		n.name = old.name;
		n.own_name = old.own_name;
		if (old.own_value)
			free_const(old.value);
	} else
		n.name = xstrdup(name);
	if (value == NULL || pm->env_size + n.nlen + strlen(n.value) > PM_ENV_MAX) {
		free_var(&n);
		return;
	}
	pm->env_size += n.nlen + strlen(n.value);
	vec_push(&pm->env, n);
}

void
pm_put(struct pm *pm, const char *name, const char *value)
{
	yell_assign(pm, name, value);
	pm_put_quietly(pm, name, value);
}

/* <name> is a constant, and so is <value> as far as the run is concerned. */
static void
put_constant(struct pm *pm, const char *name, const char *value)
{
	struct pm_var v = { name, value, (uint32_t)strlen(name), false, false };

	/* Where nothing was taken over from outside nothing can be there. */
	if (pm->o->environ != NULL) {
		pm_put(pm, name, value);
		return;
	}
	pm->env_size += v.nlen + strlen(value);
	vec_push(&pm->env, v);
}

void
pm_env_free(struct pm *pm)
{
	for (size_t i = 0; i < pm->env.len; i++)
		free_var(&pm->env.p[i]);
	vec_free(&pm->env);
	for (size_t i = 0; i < PM_TEXTS; i++)
		free(pm->text_own[i]);
}

const char *const *
pm_environ(struct pm *pm, struct arena *a)
{
	const char **v = arena_alloc(a, (pm->env.len + 1) * sizeof(*v));

	for (size_t i = 0; i < pm->env.len; i++)
		v[i] = arena_fmt(a, "%s=%s", pm->env.p[i].name, pm->env.p[i].value);
	v[pm->env.len] = NULL;
	return (v);
}

/* --- values ----------------------------------------------------------------- */

long
procmail_long(const char *s, char **end)
{
	const char *p = s + strspn(s, " \t\n\v\f\r");
	bool neg = *p == '-';
	long n = 0;

	if (end != NULL)
		*end = (char *)(uintptr_t)s;
	if (*p == '-' || *p == '+')
		p++;
	if (!sv_isdigit(*p))
		return (0);
	for (; sv_isdigit(*p); p++)
		n = n > (LONG_MAX - (*p - '0')) / 10 ? LONG_MAX : n * 10 + (*p - '0');
	if (end != NULL)
		*end = (char *)(uintptr_t)p;
	return (neg ? -n : n);
}

long
pm_number(long other, const char *text)
{
	char *end;
	long n = procmail_long(text, &end);

	if (end != text)
		return (n);
	text += strspn(text, " \t\n\v\f\r");
	if (strncasecmp(text, "on", 2) == 0 || (*text != '\0' && strchr("yYtTeE", *text) != NULL))
		return (1);
	if (strncasecmp(text, "off", 3) == 0 || (*text != '\0' && strchr("nNfFdD", *text) != NULL))
		return (0);
	return (*text == 'a' || *text == 'A' ? 2 : other);
}

void
pm_set_overflow(struct pm *pm)
{
	pm_put(pm, "PROCMAIL_OVERFLOW", "yes");
}

void
pm_umask(struct pm *pm, mode_t mask)
{
	pm->umask = mask & 0777;
	if (!pm->umask_later)
		(void)umask(pm->umask);
}

void
pm_settle(struct pm *pm)
{
	if (pm->umask_later)
		(void)umask(pm->umask);
	pm->umask_later = false;
	/* It could be entered a moment ago. */
	if (pm->cwd_later != NULL && chdir(pm->cwd_later) == -1) {
		pm_nlogq(pm, "Couldn't chdir to", pm->cwd_later);
		(void)!chdir(pm->o->home);
		pm_maildir(pm, ".");
	}
	free(pm->cwd_later);
	pm->cwd_later = NULL;
}

void
pm_go_later(struct pm *pm, const char *dir)
{
	free(pm->cwd_later);
	pm->cwd_later = xstrdup(dir);
}

void
pm_maildir(struct pm *pm, const char *dir)
{
	pm->changed_dir = true;
	pm_put(pm, "MAILDIR", dir);
}

static void
remember_folder(struct pm *pm, const char *folder)
{
	struct sb sb = SB_INIT(SIZE_MAX / 4);

	if (folder[0] != '/') {
		sb_adds(&sb, pm_gets(pm, "MAILDIR"));
		sb_addc(&sb, '/');
	}
	sb_adds(&sb, folder);
	free(pm->comsat_folder);
	pm->comsat_folder = xstrdup(sb_cstr(&sb));
	sb_free(&sb);
}

void
pm_set_folder(struct pm *pm, const char *folder)
{
	remember_folder(pm, folder);
	pm_put(pm, "LASTFOLDER", folder);
}

/* --- names with a meaning --------------------------------------------------- */

static inline bool
same(const char *a, const char *b)
{
	return (a[0] == b[0] && strcmp(a, b) == 0);
}

static const char *const text_names[] = {
	[PM_T_SHELLMETAS] = "SHELLMETAS", [PM_T_LOCKEXT] = "LOCKEXT", [PM_T_MSGPREFIX] = "MSGPREFIX", [PM_T_TRAP] = "TRAP",
	[PM_T_SHELLFLAGS] = "SHELLFLAGS", [PM_T_SENDMAIL] = "SENDMAIL", [PM_T_SENDMAILFLAGS] = "SENDMAILFLAGS",
	[PM_T_DEFAULT] = "DEFAULT"
};

void
pm_set_text(struct pm *pm, enum pm_text t, const char *value)
{
	char *own = xstrdup(value);

	free(pm->text_own[t]);
	pm->text[t] = pm->text_own[t] = own;
}

static void
set_text(struct pm *pm, const char *name, const char *value)
{
	for (size_t i = 0; i < PM_TEXTS; i++)
		if (same(name, text_names[i])) {
			pm_set_text(pm, (enum pm_text)i, value);
			return;
		}
}

static bool
set_number(struct pm *pm, const char *name, const char *value)
{
	const struct {
		const char	*name;
		long		*v;
	} numbers[] = {
		{ "LOCKSLEEP", &pm->locksleep }, { "LOCKTIMEOUT", &pm->locktimeout }, { "SUSPEND", &pm->suspend },
		{ "NORESRETRY", &pm->noresretry }, { "TIMEOUT", &pm->timeout }, { "VERBOSE", &pm->verbose },
		{ "LOGABSTRACT", &pm->logabstract }
	};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (same(name, numbers[i].name)) {
			long n = pm_number(*numbers[i].v, value);

			/* Times in milliseconds must fit, too. */
			*numbers[i].v = n > INT32_MAX ? INT32_MAX : n < INT32_MIN ? INT32_MIN : n;
			return (true);
		}
	return (false);
}

static void
set_linebuf(struct pm *pm, const char *value)
{
	long n = pm_number(0, value);
	size_t max = pm->o->max_linebuf == 0 ? 1 << 20 : pm->o->max_linebuf;

	pm->linebuf = n < PM_LINEBUF_MIN ? PM_LINEBUF_MIN : (size_t)n > max ? max : (size_t)n;
}

static void
set_maildir(struct pm *pm, const char *value)
{
	if (value[0] != '/')
		pm_settle(pm);
	else if (pm->now != 0 && pm_lately(pm->files, PM_LATELY_ENTERED, value, pm->now, false)) {
		pm->changed_dir = true;
		pm_go_later(pm, value);
		return;
	}
	if (chdir(value) == 0) {
		pm->changed_dir = true;
		free(pm->cwd_later);
		pm->cwd_later = NULL;
		if (pm->now != 0 && value[0] == '/')
			(void)pm_lately(pm->files, PM_LATELY_ENTERED, value, pm->now, true);
		return;
	}
	pm_settle(pm);
	pm_nlogq(pm, "Couldn't chdir to", value);
	pm_maildir(pm, ".");
}

static void
set_shift(struct pm *pm, const char *value)
{
	long n = pm_number(0, value);

	if (n <= 0)
		return;
	if ((size_t)n > pm->nargs)
		n = (long)pm->nargs;
	pm->args += n;
	pm->nargs -= (size_t)n;
}

static void
set_lockfile(struct pm *pm, const char *value)
{
	if (pm->glob_lock != NULL && strcmp(pm->glob_lock, value) == 0)
		return;
	pm_unlock(pm, &pm->glob_lock);
	if (*value != '\0' && !pm_lock(pm, value, &pm->glob_lock))
		pm_put(pm, "LOCKFILE", NULL);
}

static void
set_switch(struct pm *pm, const char *value)
{
	struct stat sb;

	if (!pm->in_rc)
		return;
	free(pm->switch_to);
	pm->switch_to = NULL;
	if (*value == '\0' || strcmp(value, "/dev/null") == 0) {
		pm->pending = PM_LEAVE;
		return;
	}
	pm_settle(pm);
	if (stat(value, &sb) == -1 || !S_ISREG(sb.st_mode) || access(value, R_OK) == -1 ||
	    ++pm->shared->switches > (pm->o->max_switches == 0 ? 1000 : pm->o->max_switches)) {
		pm_nlogq(pm, "Couldn't read", value);
		return;
	}
	pm->switch_to = xstrdup(value);
	pm->pending = PM_LEAVE;
}

static void
set_host(struct pm *pm, const char *value)
{
	if (strcmp(value, pm->host) == 0)
		return;
	pm_yell(pm, "HOST mismatched", pm->host);
	if (!pm->in_rc)
		pm->retval = EX_OK;
	pm->pending = PM_HOST;
}

static void
set_comsat(struct pm *pm, const char *value)
{
	pm->comsat = strchr(value, '@') != NULL || pm_number(-1, value) != 0;
	if (!pm->comsat)
		pm_put(pm, "COMSAT", "no");
}

static void
set_dropprivs(struct pm *pm, const char *value)
{
	if (pm_number(0, value) == 0)
		return;
	if (pm->verbose != 0)
		pm_nlog(pm, "Assuming identity of the recipient, VERBOSE=off\n");
	(void)pm_become(pm);
}

static void
set_delivered(struct pm *pm, const char *value)
{
	if (pm_number(0, value) != 0)
		pm->pretend = true;
}

static void
set_umask(struct pm *pm, const char *value)
{
	unsigned mask = 0;

	value += strspn(value, " \t");
	for (; *value >= '0' && *value <= '7' && mask < 0100000; value++)
		mask = mask * 8 + (unsigned)(*value - '0');
	pm_umask(pm, (mode_t)mask);
}

static void
set_exitcode(struct pm *pm, const char *value)
{
	(void)value;
	pm->exitcode_set = true;
}

static void
set_log(struct pm *pm, const char *value)
{
	pm_log_text(pm, sv_cstr(value));
}

static const struct {
	const char	*name;
	void		(*set)(struct pm *pm, const char *value);
} meanings[] = {
	{ "LINEBUF", set_linebuf }, { "MAILDIR", set_maildir }, { "LOGFILE", pm_log_open }, { "LOG", set_log },
	{ "EXITCODE", set_exitcode }, { "LASTFOLDER", remember_folder }, { "COMSAT", set_comsat }, { "SHIFT", set_shift },
	{ "DROPPRIVS", set_dropprivs }, { "DELIVERED", set_delivered }, { "LOCKFILE", set_lockfile }, { "UMASK", set_umask },
	{ "SWITCHRC", set_switch }, { "HOST", set_host }, { "INCLUDERC", pm_include }
};

void
pm_assign(struct pm *pm, const char *name, const char *value)
{
	pm_put(pm, name, value);
	pm_take_effect(pm, name, value);
}

void
pm_take_effect(struct pm *pm, const char *name, const char *value)
{
	if (value == NULL)
		value = "";
	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
		if (same(name, meanings[i].name)) {
			meanings[i].set(pm, value);
			return;
		}
	if (!set_number(pm, name, value))
		set_text(pm, name, value);
}

/* --- what a run begins with -------------------------------------------------- */

static void
keep_environ(struct pm *pm)
{
	static const char *const evil[] = { "LD_", "_RLD", "LIBPATH=", "ELF_LD_", "AOUT_LD_" };

	for (const char *const *e = pm->o->environ; e != NULL && *e != NULL; e++) {
		const char *eq = strchr(*e, '=');
		bool bad = eq == NULL || (!pm->o->preserve && strncmp(*e, "TZ=", 3) != 0);
		char *name;

		for (size_t i = 0; i < sizeof(evil) / sizeof(evil[0]); i++)
			bad |= strncmp(*e, evil[i], strlen(evil[i])) == 0;
		if (bad)
			continue;
		name = xstrndup(*e, (size_t)(eq - *e));
		if (pm_get(pm, name) == NULL)
			pm_put(pm, name, eq + 1);
		free(name);
	}
}

static void
initial_texts(struct pm *pm)
{
	static const char *const values[] = {
		[PM_T_SHELLMETAS] = PM_SHELLMETAS, [PM_T_LOCKEXT] = ".lock", [PM_T_MSGPREFIX] = "msg.", [PM_T_TRAP] = "",
		[PM_T_SHELLFLAGS] = "-c", [PM_T_SENDMAIL] = "/usr/sbin/sendmail", [PM_T_SENDMAILFLAGS] = "-oi", [PM_T_DEFAULT] = ""
	};

	memcpy(pm->text, values, sizeof(pm->text));
	pm->locksleep = 8;
	pm->locktimeout = 1024;
	pm->timeout = PM_TIMEOUT;
	pm->suspend = 16;
	pm->noresretry = 4;
	pm->logabstract = -1;
	pm->linebuf = PM_LINEBUF;
}

/* What only counts where nothing is taken over. */
static void
shown_defaults(struct pm *pm)
{
	static const char *const gone[] = { "LASTFOLDER", "EXITCODE", "IFS", "ENV", "PWD" };
	static const char path[] = "/bin:/usr/local/bin:/usr/bin:/bin";
	size_t n = strlen(pm->o->home);
	char *p;

	for (size_t i = 0; i < PM_T_DEFAULT; i++)
		if (*pm->text[i] != '\0')
			put_constant(pm, text_names[i], pm->text[i]);
	put_constant(pm, "PROCMAIL_VERSION", PROCMAIL_VERSION_TEXT);
	put_constant(pm, "HOST", pm->host);
	for (size_t i = 0; pm->o->environ != NULL && i < sizeof(gone) / sizeof(gone[0]); i++)
		pm_put(pm, gone[i], NULL);
	p = xmalloc(n + sizeof(path));
	memcpy(p, pm->o->home, n);
	memcpy(p + n, path, sizeof(path));
	if (pm->o->environ != NULL) {
		pm_put(pm, "PATH", p);
		free(p);
		return;
	}
	put_constant(pm, "PATH", p);
	pm->env.p[pm->env.len - 1].own_value = true;
}

void
pm_defaults(struct pm *pm)
{
	const struct procmail *o = pm->o;
	bool kept = o->preserve && o->filter;	/* what the caller's environment says */
	char path[1200];

	initial_texts(pm);
	vec_reserve(&pm->env, 32);
	keep_environ(pm);
	put_constant(pm, "LINEBUF", "2048");
	put_constant(pm, "LOGNAME", o->user);
	put_constant(pm, "SHELL", o->shell == NULL || *o->shell == '\0' ? "/bin/sh" : o->shell);
	put_constant(pm, "HOME", o->home);
	if (o->orgmail != NULL)
		put_constant(pm, "ORGMAIL", o->orgmail);
	else {
		(void)snprintf(path, sizeof(path), "/var/mail/%s", o->user);
		pm_put(pm, "ORGMAIL", path);
	}
	if (!kept)
		shown_defaults(pm);
	if (o->orgmail != NULL)
		pm->text[PM_T_DEFAULT] = o->orgmail;
	else
		pm_set_text(pm, PM_T_DEFAULT, path);
	if (!kept && o->orgmail != NULL)
		put_constant(pm, "DEFAULT", o->orgmail);
	else if (!kept)
		pm_put(pm, "DEFAULT", path);
	if (o->filter) {
		pm_put(pm, "ORGMAIL", NULL);
		pm_set_text(pm, PM_T_DEFAULT, "");
	}
}
