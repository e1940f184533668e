/* SPDX-License-Identifier: BSD-2-Clause */
/* Transports at the end of loading: options that exclude or need each other. */
#include "exim/conf_int.h"

#define BARE(ld, t, ...)	(void)exim_report_bare((ld)->rep, (t)->d.file, (t)->d.line, __VA_ARGS__)
#define DRIVER(ld, t, ...)	(void)exim_report_driver((ld)->rep, (t)->d.file, (t)->d.line, "transport", (t)->d.name, __VA_ARGS__)

static bool
on(const struct exim_value *v)
{
	return (v->num != 0);
}

/* What stands around a message in a mailbox file is of no use to folders and batched SMTP: -bP shows it there as unset. */
static void
no_frame(struct exim_value *o, const int *opts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!o[opts[i]].set)
			o[opts[i]].text = SV_NULL;
}

static void
set_dflt(struct exim_value *v, const char *text)
{
	if (!v->set)
		v->text = sv_cstr(text);
}

/* The text that goes out where none is set, as -bP shows it. */
static void
quota_warning(struct exim_value *o)
{
	static const char text[] = "To: $local_part@$domain\nSubject: Your mailbox\n\nThis message is automatically created by "
	    "mail delivery software (Exim).\n\nThe size of your mailbox has exceeded a warning threshold that is\n"
	    "set by the system administrator.\n";

	if (o[EXIM_APPENDFILE_quota_warn_threshold].set)
		set_dflt(&o[EXIM_APPENDFILE_quota_warn_message], text);
}

static void
appendfile_frame(struct exim_value *o)
{
	static const int around[] = { EXIM_APPENDFILE_message_prefix, EXIM_APPENDFILE_message_suffix,
	    EXIM_APPENDFILE_check_string, EXIM_APPENDFILE_escape_string };
	bool bsmtp = on(&o[EXIM_APPENDFILE_use_bsmtp]);

	if (bsmtp || on(&o[EXIM_APPENDFILE_maildir_format]) || on(&o[EXIM_APPENDFILE_mailstore_format]) ||
	    o[EXIM_APPENDFILE_directory].set)
		no_frame(o, around, sizeof(around) / sizeof(around[0]));
	if (bsmtp) {
		o[EXIM_APPENDFILE_check_string].text = SV_LIT(".");
		o[EXIM_APPENDFILE_escape_string].text = SV_LIT("..");
	}
}

/* With neither file nor directory they come with the address, and may be either. */
static void
appendfile_quota(struct loader *ld, const struct exim_transport *t, const struct exim_value *o)
{
	if (o[EXIM_APPENDFILE_file].set && o[EXIM_APPENDFILE_quota_filecount].set)
		DRIVER(ld, t, "quota_filecount must not be set without \"directory\"");
	else if (o[EXIM_APPENDFILE_file].set && o[EXIM_APPENDFILE_quota_directory].set)
		DRIVER(ld, t, "quota_directory must not be set without \"directory\"");
	if (!o[EXIM_APPENDFILE_directory].set || o[EXIM_APPENDFILE_quota].set)
		return;
	if (o[EXIM_APPENDFILE_quota_filecount].set)
		DRIVER(ld, t, "quota must be set if quota_filecount is set");
	else if (o[EXIM_APPENDFILE_quota_directory].set)
		DRIVER(ld, t, "quota must be set if quota_directory is set");
}

static void
appendfile(struct loader *ld, const struct exim_transport *t, struct exim_value *o)
{
	struct sv create = o[EXIM_APPENDFILE_create_file].text;
	bool mbx = on(&o[EXIM_APPENDFILE_mbx_format]);

	/* Locks that were not asked for or against: those that the mailbox's kind has. */
	if (mbx && !o[EXIM_APPENDFILE_use_mbx_lock].set && !o[EXIM_APPENDFILE_use_fcntl_lock].set &&
	    !o[EXIM_APPENDFILE_use_flock_lock].set && !o[EXIM_APPENDFILE_use_lockfile].set)
		o[EXIM_APPENDFILE_use_mbx_lock].num = 1;
	if (!o[EXIM_APPENDFILE_use_lockfile].set)
		o[EXIM_APPENDFILE_use_lockfile].num = !on(&o[EXIM_APPENDFILE_use_mbx_lock]);
	if (!o[EXIM_APPENDFILE_use_fcntl_lock].set)
		o[EXIM_APPENDFILE_use_fcntl_lock].num = !on(&o[EXIM_APPENDFILE_use_flock_lock]);
	if (!on(&o[EXIM_APPENDFILE_use_flock_lock]))
		o[EXIM_APPENDFILE_lock_flock_timeout].num = 0;
	appendfile_frame(o);
	quota_warning(o);
	if (o[EXIM_APPENDFILE_file].set && o[EXIM_APPENDFILE_directory].set)
		DRIVER(ld, t, "only one of \"file\" or \"directory\" can be specified");
	if (on(&o[EXIM_APPENDFILE_maildir_format]) && on(&o[EXIM_APPENDFILE_mailstore_format]))
		DRIVER(ld, t, "only one of maildir and mailstore may be specified");
	if (o[EXIM_APPENDFILE_file].set && !on(&o[EXIM_APPENDFILE_use_lockfile]) && !on(&o[EXIM_APPENDFILE_use_fcntl_lock]) &&
	    !on(&o[EXIM_APPENDFILE_use_flock_lock]) && !on(&o[EXIM_APPENDFILE_use_mbx_lock]))
		DRIVER(ld, t, "no locking configured");
	appendfile_quota(ld, t, o);
	if (!sv_eqs(create, "anywhere") && !sv_eqs(create, "belowhome") && !sv_eqs(create, "inhome") && !sv_starts(create, "/"))
		BARE(ld, t, "invalid value given for \"create_file\" for the %s transport: '" SV_FMT "'", t->d.name, SV_ARG(create));
}

static void
pipe_checks(struct loader *ld, const struct exim_transport *t, struct exim_value *o)
{
	static const int around[] = { EXIM_PIPE_message_prefix, EXIM_PIPE_message_suffix };
	struct sv errors = o[EXIM_PIPE_temp_errors].text;

	if (on(&o[EXIM_PIPE_use_bsmtp])) {
		no_frame(o, around, sizeof(around) / sizeof(around[0]));
		o[EXIM_PIPE_check_string].text = SV_LIT(".");
		o[EXIM_PIPE_escape_string].text = SV_LIT("..");
	}
	if (on(&o[EXIM_PIPE_return_output]) && on(&o[EXIM_PIPE_return_fail_output]))
		BARE(ld, t, "both return_output and return_fail_output set for %s transport", t->d.name);
	if (on(&o[EXIM_PIPE_log_output]) && on(&o[EXIM_PIPE_log_fail_output]))
		BARE(ld, t, "both log_output and log_fail_output set for the %s transport", t->d.name);
	for (size_t i = 0; i < errors.len; i++)
		if (!sv_isdigit(errors.p[i]) && errors.p[i] != ':' && !sv_isspace(errors.p[i]) && !sv_eqs(errors, "*")) {
			BARE(ld, t, "temp_errors must be a list of numbers or an asterisk for the %s transport", t->d.name);
			break;
		}
	if (!on(&o[EXIM_PIPE_use_shell]))
		return;
	if (o[EXIM_PIPE_allow_commands].set)
		BARE(ld, t, "both allow_commands and use_shell set for %s transport", t->d.name);
	if (on(&o[EXIM_PIPE_restrict_to_path]))
		BARE(ld, t, "both restrict_to_path and use_shell set for %s transport", t->d.name);
}

static void
generic(struct loader *ld, const struct exim_transport *t)
{
	const struct exim_value *g = t->d.generic, *shadow = &g[EXIM_TRANSPORT_shadow_transport];

	if (ld->rep->exact && t->local && g[EXIM_TRANSPORT_user].set && g[EXIM_TRANSPORT_user].num >= 0 &&
	    !g[EXIM_TRANSPORT_group].set && g[EXIM_TRANSPORT_group].num < 0)
		BARE(ld, t, "user set without group for the %s transport", t->d.name);
	if (on(&g[EXIM_TRANSPORT_body_only]) && on(&g[EXIM_TRANSPORT_headers_only]))
		BARE(ld, t, "%s transport: body_only and headers_only are mutually exclusive", t->d.name);
	if (!shadow->set)
		return;
	if (!t->local)
		BARE(ld, t, "shadow transport not allowed on non-local transport %s", t->d.name);
	else if (conf_transport(ld, shadow->text) == NULL)
		exim_report_soft(ld->rep, shadow->file, shadow->line, "transport %s: shadow transport \"" SV_FMT "\" not found",
		    t->d.name, SV_ARG(shadow->text));
}

void
conf_check_transport(struct loader *ld, struct exim_transport *t)
{
	struct exim_value *o = (struct exim_value *)(uintptr_t)t->d.own, *g = (struct exim_value *)(uintptr_t)t->d.generic;

	t->local = t->drv != EXIM_TRANSPORT_DRV_SMTP;
	t->retry_local_part = g[EXIM_TRANSPORT_retry_use_local_part].set ? on(&g[EXIM_TRANSPORT_retry_use_local_part]) : t->local;
	g[EXIM_TRANSPORT_retry_use_local_part].num = t->retry_local_part;
	generic(ld, t);
	switch (t->drv) {
	case EXIM_TRANSPORT_DRV_APPENDFILE:
		appendfile(ld, t, o);
		break;
	case EXIM_TRANSPORT_DRV_PIPE:
		pipe_checks(ld, t, o);
		break;
	case EXIM_TRANSPORT_DRV_SMTP:
		if (sv_caseeqs(o[EXIM_SMTP_protocol].text, "lmtp"))
			set_dflt(&o[EXIM_SMTP_port], "lmtp");
		else if (sv_caseeqs(o[EXIM_SMTP_protocol].text, "smtps"))
			set_dflt(&o[EXIM_SMTP_port], "smtps");
		if (o[EXIM_SMTP_command_timeout].num == 0 || o[EXIM_SMTP_data_timeout].num == 0 || o[EXIM_SMTP_final_timeout].num == 0)
			BARE(ld, t, "command, data, or final timeout value is zero for %s transport", t->d.name);
		break;
	case EXIM_TRANSPORT_DRV_LMTP:
		if (o[EXIM_LMTP_command].set == o[EXIM_LMTP_socket].set)
			BARE(ld, t, "one (and only one) of command or socket must be set for the %s transport", t->d.name);
		break;
	default:
		break;
	}
}
