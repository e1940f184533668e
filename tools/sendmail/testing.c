/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The frame of the modes that only look: which configuration, how its mistakes are told (in Exim's
 * words, which scripts look for), what of the command line an expansion sees, and one fiber in
 * which the mode runs, since DNS parks.
 */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/num.h"
#include "dns/dns.h"
#include "exim/logsel.h"
#include "exim/perl.h"
#include "fiber/fiber.h"
#include "mail/address.h"
#include "os/priv.h"
#include "os/user.h"
#include "spool/hostid.h"
#include "testing.h"

extern char **environ;

static bool with_pid;		/* log_selector has +pid */

void
testing_log(const char *fmt, ...)
{
	char when[32];
	time_t now = time(NULL);
	struct tm tm;
	va_list ap;

	(void)localtime_r(&now, &tm);
	(void)strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
	(void)fflush(stdout);
	(void)fprintf(stderr, "%s ", when);
	testing_mark(stderr);
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
}

void
testing_mark(FILE *out)
{
	if (with_pid)
		(void)fprintf(out, "[%ld] ", (long)getpid());
}

void
testing_arguments(const struct testing *t, struct sb *out)
{
	char *const *argv = t->o->argv;
	int n = 0;

	while (argv[n] != NULL)
		n++;
	sb_addf(out, "cwd=" SV_FMT " %d args:", SV_ARG(t->g.initial_cwd), n);
	for (int i = 0; i < n; i++) {
		const char *quote = argv[i][0] == '\0' || strpbrk(argv[i], " \t") != NULL ? "\"" : "";

		sb_addf(out, " %s", quote);
		for (const unsigned char *p = (const unsigned char *)argv[i]; *p != '\0'; p++)
			sb_addf(out, *p == '\n' ? "\\n" : *p < ' ' || *p >= 127 ? "\\%03o" : "%c", *p);
		sb_adds(out, quote);
	}
}

/* ---- the configuration ---- */

static void
warned(void *arg, const struct err *e, bool warning)
{
	if (warning && *(const bool *)arg)
		(void)fprintf(stderr, "warning: %s\n", e->text);
}

/* The first file of -C's list that can be read, else the first of all. */
static const char *
choose(struct arena *a, const char *list)
{
	struct sv rest = sv_cstr(list), item;
	const char *first = NULL;

	while (sv_next(&rest, ':', &item)) {
		const char *path = arena_cstr(a, sv_trim(item));

		if (access(path, R_OK) == 0)
			return (path);
		if (first == NULL)
			first = path;
	}
	return (first != NULL ? first : list);
}

/* The macros that the daemons of a box define too. */
static void
box_defines(struct testing *t, struct exim_conf_source *src)
{
	size_t n = t->o->defines.len, k = 0;
	const char **v = arena_alloc(t->facts, (n + BOX_EXIM_DEFINES) * sizeof(*v));
	struct exim_conf_source of_box = { .ndefines = 0 };

	if (t->box != NULL) {
		box_exim_source(t->box, &of_box);
		src->hostname = of_box.hostname;
	}
	while (k < of_box.ndefines) {
		v[k] = of_box.defines[k];
		k++;
	}
	for (size_t i = 0; i < n; i++)
		v[k++] = t->o->defines.p[i];
	src->defines = v;
	src->ndefines = k;
}

/* -d -be: which macros were replaced, in the configuration and in the strings. */
static void
tell_macro(struct sv name, struct sv value)
{
	(void)printf("macro '" SV_FMT "' -> '" SV_FMT "'\n", SV_ARG(name), SV_ARG(value));
}

static const char purging[] = "Warning: purging the environment.\n Suggested action: use keep_environment.";

static void
told(const struct options *o, const struct exim_report *rep, const struct err *err)
{
	const char *place = rep->errors == 0 ? "" : rep->place, *text = rep->errors == 0 ? err->text : rep->words;
	const char *blank = place[0] == '\0' ? "" : " ";
	/* Who would have logged by it says so there. */
	bool logs = o->conf != NULL && (o->mode == MODE_MESSAGE || o->mode == MODE_SMTP || o->mode == MODE_BATCH ||
	    o->mode == MODE_QUEUE);

	if (rep->naked) {
		if (o->mode == MODE_PRINT)
			(void)fprintf(stderr, "LOG: MAIN PANIC DIE\n  %s\n", text);
		else if (o->mode == MODE_HOST_CHECK)
			(void)fprintf(stderr, "LOG: %s\n", text);
		else
			testing_log("%s", text);
		if (logs)
			dlog_config_error(o->conf, text, true);
		return;
	}
	if (rep->purges && *environ != NULL && o->mode == MODE_VERSION && o->conf != NULL)
		testing_log("%s", purging);
	if (o->mode == MODE_HOST_CHECK)
		(void)fprintf(stderr, "LOG: Exim configuration error%s%s:\n  %s\n", blank, place, text);
	else if (o->mode == MODE_PRINT && (o->args.len == 0 || strcmp(o->args.p[0], "config") != 0))
		(void)fprintf(stderr, "LOG: PANIC%s\n  Exim configuration error%s%s:\n  %s\n", rep->mild ? "" : " DIE",
		    blank, place, text);
	else
		testing_log("Exim configuration error%s%s:\n  %s", blank, place, text);
	if (logs) {
		char line[4096];

		(void)snprintf(line, sizeof(line), "Exim configuration error%s%s:\n  %s", blank, place, text);
		dlog_config_error(o->conf, line, false);
	}
}

bool
testing_of_box(const struct testing *t)
{
	return (t->box != NULL && t->o->conf == NULL);
}

static int
load(struct testing *t)
{
	/* What a configuration is warned about is told where it is asked for, not at each use. */
	bool tell = t->o->mode == MODE_VERSION && (t->o->verbose || t->o->conf == NULL);
	struct exim_conf_source src = { .text = SV_NULL };
	struct exim_report rep = EXIM_REPORT_INIT;
	struct err err = ERR_INIT;
	int rc;

	src.path = t->o->conf != NULL ? choose(t->facts, t->o->conf) : t->box != NULL ?
	    box_path(t->box, BOX_EXIM_CONF) : NULL;
	if (src.path == NULL) {
		(void)fprintf(stderr, "sendmail: there is no box, and no -C names a configuration\n");
		return (EX_CONFIG);
	}
	t->path = src.path;
	box_defines(t, &src);
	/* Who looks at the queue needs no routers, and their mistakes are no reason to hide it. */
	src.main_only = t->o->conf != NULL && (t->o->mode == MODE_LIST || t->o->mode == MODE_COUNT || t->o->mode == MODE_ALIASES ||
	    (t->o->mode == MODE_IDS && t->o->m_what[0] == 'v'));
	rep.exact = t->o->conf != NULL;
	rep.fn = warned;
	rep.traps = tell;
	rep.replaced = t->o->debug && t->o->mode == MODE_EXPAND ? tell_macro : NULL;
	rep.arg = &tell;
	/* As the daemons read it: what a box's file includes or runs is its user's. */
	if (testing_of_box(t) && box_act(t->box, &err) == -1) {
		(void)fprintf(stderr, "sendmail: %s\n", err.text);
		return (EX_CONFIG);
	}
	rc = exim_conf_load(&t->conf, &src, &rep, &err);
	os_act_back();
	if (rc == 0)
		return (EX_OK);
	told(t->o, &rep, &err);
	return (1);
}

/* ---- what expansions see ---- */

static struct sv
or_null(const char *s)
{
	return (s == NULL ? SV_NULL : sv_cstr(s));
}

/* "10.9.8.7.1234": an address, and a port behind a full stop. */
static bool
host_and_port(struct testing *t, const char *text, struct net_addr *addr, struct sv *out, int64_t *port)
{
	struct sv v = sv_cstr(text), host = v;
	char buf[NET_ADDR_TEXT_MAX];
	ptrdiff_t dot;

	if (!net_addr_parse(host, addr)) {
		dot = sv_rchr(v, '.');
		if (dot < 0 || !num_parse(sv_sub(v, (size_t)dot + 1, v.len), 0, 65535, port))
			return (false);
		host = sv_sub(v, 0, (size_t)dot);
		if (!net_addr_parse(host, addr))
			return (false);
	}
	*out = sv_cstr(arena_str(t->facts, net_addr_text(addr, buf)));
	return (true);
}

static int
session_facts(struct testing *t)
{
	struct exim_session *s = &t->session;
	const struct options *o = t->o;

	s->local = o->host_address == NULL;
	if (o->host_address != NULL && !host_and_port(t, o->host_address, &s->addr, &s->host_address, &s->host_port))
		return (usage_ip(o, "not an IP address behind -oMa: ", o->host_address));
	if (o->interface != NULL &&
	    !host_and_port(t, o->interface, &s->interface, &s->interface_address, &s->interface_port))
		return (usage_ip(o, "not an IP address behind -oMi: ", o->interface));
	if (o->host_name != NULL) {
		s->host_name = sv_cstr(o->host_name);
		s->host_lookup = EXIM_HOST_FOUND;
	}
	s->auth_mechanism = or_null(o->auth_mechanism);
	s->authenticated_id = or_null(o->auth_id);
	s->authenticated_sender = or_null(o->auth_sender);
	s->ident = or_null(o->ident != NULL ? o->ident : o->host_address == NULL && o->mode != MODE_HOST_CHECK ? t->login : NULL);
	if (o->host_address == NULL && o->mode != MODE_HOST_CHECK) {
		/* A local caller is who he is. */
		if (o->auth_id == NULL)
			s->authenticated_id = sv_cstr(t->login);
		if (o->auth_sender == NULL)
			s->authenticated_sender = sv_cstr(arena_fmt(t->facts, "%s@" SV_FMT, t->login, SV_ARG(t->g.qualify_domain)));
	}
	t->msg.received_protocol = or_null(o->protocol);
	t->msg.size = -1;
	return (0);
}

/* Only the variables that keep_environment lists are left, and those of add_environment set (manual 14.23). */
static void
environment(struct testing *t)
{
	const struct exim_value *keep = &t->conf->main[EXIM_MAIN_keep_environment];
	struct sb plain = SB_INIT(1024 * 1024);
	struct sv add = exim_main_text(t->conf, EXIM_MAIN_add_environment), item, zone = exim_main_text(t->conf, EXIM_MAIN_timezone);
	VEC(char *) gone = VEC_INIT;
	struct exim_list *l = NULL;
	struct err err = ERR_INIT;
	int sep = 0;

	/* The list is not expanded: what would mean something there is quoted. */
	for (size_t i = 0; i < keep->text.len; i++) {
		if (keep->text.p[i] == '$' || keep->text.p[i] == '\\')
			sb_addc(&plain, '\\');
		sb_addc(&plain, keep->text.p[i]);
	}
	if (plain.len > 0)
		(void)exim_list_compile(t->facts, EXIM_LIST_STRING, arena_sv(t->facts, sb_sv(&plain)), keep->file,
		    keep->line, &l, &err);
	sb_free(&plain);
	for (char **e = environ; *e != NULL; e++) {
		struct sv name = sv_from(*e, strcspn(*e, "="));
		bool yes = false;

		if (l == NULL || exim_match_string(l, &t->env, name, true, &yes, &err) != EXIM_OK || !yes)
			vec_push(&gone, arena_cstr(t->facts, name));
	}
	if (gone.len > 0 && !keep->set && t->o->mode == MODE_VERSION && t->o->conf != NULL)
		testing_log("%s", purging);
	for (size_t i = 0; i < gone.len; i++)
		(void)unsetenv(gone.p[i]);
	vec_free(&gone);
	if (!t->g.timezone_utc) {
		if (zone.len > 0)
			(void)setenv("TZ", arena_cstr(t->facts, zone), 1);
		else
			(void)unsetenv("TZ");
		tzset();
	}
	while (exim_list_next(&add, &sep, t->facts, &item))
		if (sv_chr(item, '=') > 0)
			(void)putenv(arena_cstr(t->facts, item));
	testing_reset(t);
}

/* perl_at_start, -ps: before anything else; false: it cannot begin. */
static bool
perl_at_start(struct testing *t)
{
	struct sv why = SV_NULL;
	struct err err = ERR_INIT;
	enum exim_result res;

	if (t->o->perl == 'd' || (t->o->perl != 's' && !exim_main_bool(t->conf, EXIM_MAIN_perl_at_start)))
		return (true);
	if (testing_of_box(t) && box_act(t->box, &err) == -1) {
		testing_log("%s", err.text);
		return (false);
	}
	res = x_perl_start(&t->env, &why);
	os_act_back();
	if (res == EXIM_OK)
		return (true);
	testing_log(SV_FMT, SV_ARG(why));
	return (false);
}

/* -f, or the caller, as the sender of what would be sent. */
static void
set_sender(struct testing *t)
{
	const char *s = t->o->sender != NULL ? t->o->sender : t->login;
	struct mail_address m;
	struct err err = ERR_INIT;

	t->msg.has_sender = true;
	if (s[0] == '\0' || strcmp(s, "<>") == 0 || mail_address_parse(sv_cstr(s), MAIL_ADDR_BARE | MAIL_ADDR_LITERAL |
	    MAIL_ADDR_UTF8 | MAIL_ADDR_8BIT, t->facts, &m, &err) == -1)
		return;
	t->msg.sender = sv_cstr(arena_fmt(t->facts, SV_FMT "@" SV_FMT, SV_ARG(m.local),
	    SV_ARG(m.domain.len > 0 ? m.domain : t->g.qualify_domain)));
}

/* Who runs us, and may he do what only those do who run the mail system? */
static void
who(struct testing *t)
{
	const struct exim_str *unknown = t->conf->main[EXIM_MAIN_unknown_login].str;
	struct os_user u;
	struct err err = ERR_INIT;
	struct sv name;

	if (os_user_by_uid(getuid(), &u, NULL) == 1)
		t->login = arena_str(t->facts, u.name);
	else if (unknown != NULL && exim_expand(unknown, &t->env, &name, &err) == EXIM_OK && name.len > 0)
		t->login = arena_cstr(t->facts, name);
	else {
		t->login = arena_fmt(t->facts, "uid%lu", (unsigned long)getuid());
		t->nobody = true;
	}
	t->admin = getuid() == 0 || (int64_t)getuid() == t->conf->g.exim_uid || caller_in_group(t->conf->g.exim_gid) ||
	    caller_in_groups(&t->conf->main[EXIM_MAIN_admin_groups]) ||
	    (t->box != NULL && t->o->conf == NULL && access(t->box->root, W_OK) == 0);
}

static int
facts(struct testing *t)
{
	char cwd[PATH_MAX];

	t->g = t->conf->g;
	exim_conf_env(t->conf, &t->env);
	t->g.pid = (int64_t)getpid();
	if (getcwd(cwd, sizeof(cwd)) != NULL)
		t->g.initial_cwd = t->conf->g.initial_cwd = sv_cstr(arena_str(t->facts, cwd));
	t->msg.originator_uid = t->msg.caller_uid = (int64_t)getuid();
	t->msg.originator_gid = t->msg.caller_gid = (int64_t)getgid();
	t->env.g = &t->g;
	t->env.arena = t->arena;
	t->env.world = &t->world;
	t->env.session = &t->session;
	t->env.msg = &t->msg;
	t->env.acl = &t->acl;
	t->acl.mime_part_count = -1;
	t->env.caches = exim_caches_new();
	t->env.acl_c = exim_vars_new();
	t->env.acl_m = exim_vars_new();
	/* A configuration of one's own hides nothing from its exim_user. */
	if (t->conf->main[EXIM_MAIN_exim_user].set && t->conf->g.exim_uid == (int64_t)getuid())
		t->admin = true;
	spool_id_host(t->g.localhost_number);
	testing_world(t);
	environment(t);
	if (!perl_at_start(t))
		return (1);
	who(t);
	if (t->o->mode != MODE_HOST_CHECK)
		set_sender(t);
	return (session_facts(t));
}

/* ---- running ---- */

void
testing_reset(struct testing *t)
{
	struct sv dn = t->env.ldap_dn;

	/* $ldap_dn alone goes on to tell of the last lookup. */
	if (dn.len > 0 && !sv_eq(dn, t->last_dn))
		t->last_dn = arena_sv(t->facts, dn);
	arena_reset(t->arena);
	exim_env_forget(&t->env);
	t->env.ldap_dn = t->last_dn;
}

bool
testing_ask(struct testing *t, struct sb *line)
{
	static char *buf;
	static size_t cap;
	bool some = false;
	ssize_t n;

	sb_clear(line);
	(void)fputs("> ", stdout);
	for (;;) {
		(void)fflush(stdout);
		if ((n = getline(&buf, &cap, stdin)) < 0)
			break;
		struct sv piece = sv_from(buf, (size_t)n);

		while (piece.len > 0 && sv_isspace(piece.p[piece.len - 1]))
			piece.len--;
		while (some && piece.len > 0 && sv_isspace(piece.p[0]))
			piece = sv_sub(piece, 1, piece.len);
		some = true;
		if (piece.len == 0 || piece.p[piece.len - 1] != '\\') {
			sb_add(line, piece);
			return (true);
		}
		sb_add(line, sv_sub(piece, 0, piece.len - 1));
	}
	if (!some)
		(void)fputc('\n', stdout);
	return (some);
}

struct job {
	struct testing	*t;
	int		 rc;
};

static void
work(void *arg)
{
	struct job *j = arg;

	switch (j->t->o->mode) {
	case MODE_EXPAND:
		j->rc = test_expand(j->t);
		break;
	case MODE_ROUTE:
	case MODE_VERIFY:
		j->rc = test_address(j->t);
		break;
	case MODE_FILTER:
		j->rc = test_filter(j->t);
		break;
	case MODE_REWRITE:
		j->rc = test_rewrite(j->t);
		break;
	case MODE_HOST_CHECK:
		j->rc = test_smtp(j->t);
		break;
	case MODE_RETRY:
		j->rc = test_retry(j->t);
		break;
	default:
		j->rc = deliver_main(j->t);
		break;
	}
	(void)fflush(stdout);
	dns_fini();
}

static int
in_fiber(struct testing *t)
{
	struct job j = { t, EX_SOFTWARE };
	struct err err = ERR_INIT;

	if (fiber_init(&err) == -1) {
		(void)fprintf(stderr, "sendmail: %s\n", err.text);
		return (EX_SOFTWARE);
	}
	if (fiber_spawn("test", work, &j) != NULL)
		fiber_run();
	fiber_fini();
	return (j.rc);
}

/* -bi: what bi_command names, with the argument of -oA. */
static int
run_bi_command(struct testing *t)
{
	const char *path = arena_cstr(t->facts, exim_main_text(t->conf, EXIM_MAIN_bi_command));

	if (path[0] == '\0')
		return (EX_OK);
	(void)execl(path, path, t->o->alias_file, (char *)NULL);
	(void)fprintf(stderr, "exim: exec '%s' failed: %s\n", path, strerror(errno));
	return (1);
}

static void
version(struct testing *t)
{
	struct sb args = SB_INIT(256 * 1024);

	if (EXIM_LOGSEL_ON(t->conf->log_selector, arguments)) {
		testing_arguments(t, &args);
		testing_log("%s", sb_cstr(&args));
	}
	sb_free(&args);
	printf("Configuration file is %s\n", t->path);
}

/* The modes that look at how the configuration works. */
static bool
checks(enum mode m)
{
	return (m == MODE_EXPAND || m == MODE_ROUTE || m == MODE_VERIFY || m == MODE_FILTER || m == MODE_REWRITE || m == MODE_RETRY ||
	    m == MODE_HOST_CHECK);
}

int
testing_run(const struct box *b, const struct options *o)
{
	struct testing t;
	int rc;

	memset(&t, 0, sizeof(t));
	t.o = o;
	t.box = b;
	t.arena = arena_new(0);
	t.facts = arena_new(0);
	if (o->mode == MODE_VERSION)
		version_print(stdout);
	if ((rc = load(&t)) == EX_OK && (rc = facts(&t)) == EX_OK) {
		/* From here on: what was said of the configuration itself came before its log_selector. */
		with_pid = EXIM_LOGSEL_ON(t.conf->log_selector, pid);
		if (o->mode == MODE_VERSION)
			version(&t);
		else if (o->mode == MODE_PRINT)
			rc = print_conf(&t);
		else if (o->mode == MODE_ALIASES)
			rc = run_bi_command(&t);
		else if (!t.admin && checks(o->mode) && exim_main_bool(t.conf, EXIM_MAIN_commandline_checks_require_admin)) {
			(void)fprintf(stderr, "exim: those command-line flags are set to require admin\n");
			rc = 1;
		} else
			rc = in_fiber(&t);
	}
	(void)fflush(stdout);
	exim_vars_free(&t.env.acl_c);
	exim_vars_free(&t.env.acl_m);
	exim_caches_free(&t.env.caches);
	exim_conf_unref(&t.conf);
	arena_free(&t.arena);
	arena_free(&t.facts);
	return (rc);
}
