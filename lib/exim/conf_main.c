/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The end of the main section: paths and numbers that are expanded once, at load, and what its values must be beside
 * their types.  Called by conf.c as soon as the section has been read; the mistakes are Exim's, in its words.
 */
#include <string.h>

#include "exim/conf_int.h"
#include "exim/expand_int.h"
#include "exim/extract.h"
#include "exim/logsel.h"

#define LOCALHOST_MAX	16
#define SYSLOG_NAME_MAX	32
#define DH_BITS_MIN	1024
#define RETRY_INTERVAL_MAX 86400
#define IDS_MAX		256	/* of a list of users or groups */

/* Exim does not say of these that they are mistakes of the configuration. */
#define NAKED(ld, v, ...) do {								\
	if ((ld)->rep->errors == 0)							\
		(ld)->rep->naked = true;						\
	(void)exim_report_bare((ld)->rep, (v)->file, (v)->line, __VA_ARGS__);		\
} while (0)

/* <text> expanded with the globals there are by now; false: told. */
static bool
expanded(struct loader *ld, const struct exim_value *v, const char *name, struct sv *out)
{
	struct exim_world world;
	struct exim_env env = { .arena = ld->a, .world = &world, .g = &ld->c->g, .names = ld->names };
	struct exim_str *str = NULL;
	struct err err = ERR_INIT;

	exim_world_posix(&world);
	if (exim_str_compile(ld->a, v->text, NULL, 0, &str, &err) == 0 &&
	    exim_expand(str, &env, out, &err) == EXIM_OK)
		return (true);
	NAKED(ld, v, "failed to expand %s \"" SV_FMT "\": " SV_FMT, name, SV_ARG(v->text),
	    SV_ARG(env.message.len > 0 ? env.message : sv_cstr(err.text)));
	return (false);
}

void
conf_main_path(struct loader *ld, enum exim_main_opt opt)
{
	struct exim_value *v = &ld->main[opt];
	struct sv out;

	if (!v->set || (sv_chr(v->text, '$') < 0 && sv_chr(v->text, '\\') < 0))
		return;
	if (expanded(ld, v, exim_opt_tables[0].opts[opt].name, &out))
		v->text = out;
}

/* Lists of users and groups with a "$" in them. */
static void
ids(struct loader *ld, enum exim_main_opt opt)
{
	struct exim_value *v = &ld->main[opt], before = *v;
	struct exim_world world;
	struct exim_env env = { .arena = ld->a, .world = &world, .g = &ld->c->g, .names = ld->names };
	struct err err = ERR_INIT;
	const char *name = exim_opt_tables[0].opts[opt].name;

	if (!v->set || v->str == NULL || sv_chr(v->text, '$') < 0)
		return;
	exim_world_posix(&world);
	if (exim_expand(v->str, &env, &v->text, &err) != EXIM_OK)
		(void)exim_report_error(ld->rep, v->file, v->line, "failed to expand %s: " SV_FMT, name,
		    SV_ARG(env.message.len > 0 ? env.message : sv_cstr(err.text)));
	else
		(void)exim_opt_reread_ids(&(struct exim_opt_ctx){ .arena = ld->a, .rep = ld->rep },
		    &exim_opt_tables[0].opts[opt], v);
	v->text = before.text;
}

static void
log_selector(struct loader *ld)
{
	const struct exim_value *v = &ld->main[EXIM_MAIN_log_selector];
	struct err err = ERR_INIT;

	if (exim_logsel_parse(v->text, &ld->c->log_selector, &err) == -1)
		(void)exim_report_bare(ld->rep, v->file, v->line, "%s", err.text);
}

static void
syslog_values(struct loader *ld)
{
	static const char *const facilities[] = {
		"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
		"local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"
	};
	const struct exim_value *v = &ld->main[EXIM_MAIN_syslog_facility], *name = &ld->main[EXIM_MAIN_syslog_processname];
	bool known = !v->set;

	for (size_t i = 0; i < sizeof(facilities) / sizeof(facilities[0]); i++)
		known = known || sv_caseeqs(sv_casestarts(v->text, "log_") ? sv_sub(v->text, 4, v->text.len) : v->text, facilities[i]);
	if (!known)
		(void)exim_report_bare(ld->rep, v->file, v->line, "failed to interpret syslog_facility \"" SV_FMT "\"",
		    SV_ARG(v->text));
	if (name->text.len > SYSLOG_NAME_MAX)
		NAKED(ld, name, "syslog_processname is longer than %d chars: aborting", SYSLOG_NAME_MAX);
}

/* Decimal digits, perhaps with a fraction; *<rest> is what stands behind them. */
static bool
decimal(struct sv v, struct sv *rest)
{
	size_t i = 0;

	while (i < v.len && sv_isdigit(v.p[i]))
		i++;
	if (i == 0)
		return (false);
	if (i < v.len && v.p[i] == '.')
		for (i++; i < v.len && sv_isdigit(v.p[i]); i++)
			;
	*rest = sv_sub(v, i, v.len);
	return (true);
}

static bool
seconds(struct sv v)
{
	struct sv rest;
	int64_t n;

	return (exim_parse_time(v, &n) || (decimal(v, &rest) && rest.len == 1 && strchr("smhdw", rest.p[0]) != NULL));
}

/* "COUNT,DELAY,FACTOR,MOST" */
static void
ratelimit(struct loader *ld, enum exim_main_opt opt)
{
	const struct exim_value *v = &ld->main[opt];
	struct sv rest = v->text, piece[4], one, behind;
	int64_t n;
	size_t k = 0;

	if (!v->set)
		return;
	for (; k <= 4 && sv_next(&rest, ',', &one); k++)
		if (k < 4)
			piece[k] = sv_trim(one);
	if (k != 4 || !exim_parse_int(piece[0], &n) || !seconds(piece[1]) || !decimal(piece[2], &behind) || behind.len > 0 ||
	    !seconds(piece[3]))
		NAKED(ld, v, "malformed ratelimit data: " SV_FMT, SV_ARG(v->text));
}

static void
reply_address(struct loader *ld)
{
	const struct exim_value *v = &ld->main[EXIM_MAIN_errors_reply_to];
	struct exim_extracted x;
	struct err err = ERR_INIT;

	if (!v->set)
		return;
	if (exim_extract(v->text, 0, ld->a, &x, &err) == -1)
		(void)exim_report_bare(ld->rep, v->file, v->line, "error in errors_reply_to (" SV_FMT "): %s",
		    SV_ARG(v->text), err.text);
	else if (x.domain == 0)
		(void)exim_report_bare(ld->rep, v->file, v->line, "errors_reply_to (" SV_FMT ") does not contain a domain",
		    SV_ARG(v->text));
}

/* The number that makes message identifiers of several hosts differ. */
static void
host_number(struct loader *ld)
{
	const struct exim_value *v = &ld->main[EXIM_MAIN_localhost_number];
	struct sv number;
	int64_t n;

	if (!v->set || v->text.len == 0 || !expanded(ld, v, "localhost_number", &number))
		return;
	number = sv_trim(number);
	if (!exim_parse_int(number, &n) || strchr("kmgKMG", number.p[number.len - 1]) != NULL)
		(void)exim_report_bare(ld->rep, v->file, v->line, "localhost_number value is not a number: " SV_FMT, SV_ARG(number));
	else if (n > LOCALHOST_MAX)
		(void)exim_report_bare(ld->rep, v->file, v->line,
		    "localhost_number is greater than the maximum allowed value (%d)", LOCALHOST_MAX);
	else
		ld->c->g.localhost_number = n;
}

static void
pattern(struct loader *ld, enum exim_main_opt opt)
{
	const struct exim_value *v = &ld->main[opt];
	char why[256];
	struct xregex *re;

	if (!v->set || v->text.len == 0)
		return;
	if ((re = x_regex_new(v->text, 0, why)) == NULL)
		NAKED(ld, v, "regular expression error: %s while compiling " SV_FMT, why, SV_ARG(v->text));
	x_regex_free(re);
}

/* Every path of log_file_path holds "%s". */
static void
log_path(struct loader *ld)
{
	const struct exim_value *v = &ld->main[EXIM_MAIN_log_file_path];
	struct sv rest = v->text, item;
	int sep = 0;

	while (v->set && exim_list_next(&rest, &sep, ld->a, &item))
		if (item.len > 0 && !sv_eqs(item, "syslog") && sv_find(item, SV_LIT("%s")) < 0) {
			NAKED(ld, v, "log_file_path \"" SV_FMT "\" does not contain \"%%s\"", SV_ARG(item));
			return;
		}
}

/* local_interfaces and extra_local_interfaces: "192.0.2.1", "192.0.2.1.25", "[2001:db8::1]:25". */
static void
interfaces(struct loader *ld, enum exim_main_opt opt)
{
	const struct exim_value *v = &ld->main[opt];
	struct sv rest = v->text, item;
	struct net_addr a;
	int sep = 0;

	while (v->set && exim_list_next(&rest, &sep, ld->a, &item)) {
		ptrdiff_t end = item.len > 0 && item.p[0] == '[' ? sv_chr(item, ']') : sv_rchr(item, '.');

		if (item.len > 0 && !net_addr_parse(item, &a) &&
		    (end <= 0 || !net_addr_parse(sv_sub(item, item.p[0] == '[', (size_t)end), &a)))
			exim_report_soft(ld->rep, v->file, v->line, "Malformed IP address \"" SV_FMT "\" in %s", SV_ARG(item),
			    exim_opt_tables[0].opts[opt].name);
	}
}

void
conf_main_values(struct loader *ld)
{
	struct exim_value *m = ld->main;
	const struct exim_value *most = &m[EXIM_MAIN_smtp_accept_max];

	log_selector(ld);
	if (m[EXIM_MAIN_local_from_check].num != 0 && m[EXIM_MAIN_local_sender_retain].num != 0)
		NAKED(ld, &m[EXIM_MAIN_local_sender_retain], "both local_from_check and local_sender_retain are set; this "
		    "combination is not allowed" EXIM_HINT ": write no_local_from_check beside local_sender_retain");
	if (m[EXIM_MAIN_retry_interval_max].num > RETRY_INTERVAL_MAX)
		m[EXIM_MAIN_retry_interval_max].num = RETRY_INTERVAL_MAX;
	if (m[EXIM_MAIN_remote_max_parallel].num <= 0)
		m[EXIM_MAIN_remote_max_parallel].num = 1;
	log_path(ld);
	syslog_values(ld);
	conf_main_path(ld, EXIM_MAIN_pid_file_path);
	pattern(ld, EXIM_MAIN_uucp_from_pattern);
	ratelimit(ld, EXIM_MAIN_smtp_ratelimit_mail);
	ratelimit(ld, EXIM_MAIN_smtp_ratelimit_rcpt);
	ids(ld, EXIM_MAIN_admin_groups);
	ids(ld, EXIM_MAIN_trusted_groups);
	ids(ld, EXIM_MAIN_trusted_users);
	ids(ld, EXIM_MAIN_never_users);
	reply_address(ld);
	if (most->num == 0 && (m[EXIM_MAIN_smtp_accept_queue].num > 0 || m[EXIM_MAIN_smtp_accept_max_per_host].set))
		(void)exim_report_bare(ld->rep, most->file, most->line,
		    "smtp_accept_max must be set if smtp_accept_queue or smtp_accept_max_per_host is set");
	host_number(ld);
	interfaces(ld, EXIM_MAIN_local_interfaces);
	interfaces(ld, EXIM_MAIN_extra_local_interfaces);
	if (m[EXIM_MAIN_tls_dh_max_bits].num < DH_BITS_MIN)
		(void)exim_report_bare(ld->rep, m[EXIM_MAIN_tls_dh_max_bits].file, m[EXIM_MAIN_tls_dh_max_bits].line,
		    "tls_dh_max_bits is too small, must be at least %d for interop", DH_BITS_MIN);
}
