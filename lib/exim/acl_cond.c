/* SPDX-License-Identifier: BSD-2-Clause */
/* The conditions of ACLs but verify, dnslists, ratelimit and seen. */
#include "exim/acl_int.h"

/*
 * The answer of a list match as the outcome of a condition.  The matches clear *<err>, which callers leave as it is: ERR_INIT
 * would write a kilobyte for each.
 */
static enum acl_rc
matched(struct acl_state *st, const struct acl_item *it, enum exim_result res, bool yes, const struct err *err)
{
	switch (res) {
	case EXIM_OK:
		return (yes ? RC_OK : RC_FAIL);
	case EXIM_FORCED:
		/* A forced failure makes the condition be ignored: true, also when it is negated. */
		return (it->negated ? RC_FAIL : RC_OK);
	case EXIM_DEFER:
		/* A list that does not exist is for who keeps the configuration, in a line of its own. */
		if (strncmp(err->text, "unknown named ", 14) == 0) {
			acl_log(st, EXIM_LOG_MAIN | EXIM_LOG_PANIC, "%s", err->text);
			return (RC_DEFER);
		}
		return (acl_defer(st, "%s", err->text));
	default:
		return (acl_wrong(st, "%s", err->text));
	}
}

static struct sv
domain_of(struct sv address)
{
	ptrdiff_t at = sv_rchr(address, '@');

	return (at < 0 ? SV_LIT("") : sv_sub(address, (size_t)at + 1, address.len));
}

static enum acl_rc
cond_domains(struct acl_state *st, const struct acl_item *it)
{
	struct exim_env *env = st->env;
	struct err *err = acl_err(st);
	struct sv data = SV_NULL;
	enum exim_result res;
	bool yes = false;

	if (env->addr == NULL)
		return (RC_FAIL);
	res = exim_match_domain(it->list, env, env->addr->domain, &yes, &data, err);
	if (res == EXIM_OK)
		env->addr->domain_data = data;
	return (matched(st, it, res, yes, err));
}

/* As the client wrote it, for "+caseful": $local_part may be in lower case. */
static struct sv
written_local(const struct acl_state *st)
{
	struct sv local = st->env->addr->local_part;

	return (st->run->rcpt_local.p != NULL && sv_caseeq(st->run->rcpt_local, local) ? st->run->rcpt_local : local);
}

static enum acl_rc
cond_local_parts(struct acl_state *st, const struct acl_item *it)
{
	struct exim_env *env = st->env;
	struct err *err = acl_err(st);
	struct sv data = SV_NULL;
	enum exim_result res;
	bool yes = false;

	if (env->addr == NULL)
		return (RC_FAIL);
	/* Without case, control = caseful_local_part or not; "+caseful" in the list changes that. */
	res = exim_match_local(it->list, env, written_local(st), false, &yes, &data, err);
	if (res == EXIM_OK)
		env->addr->local_part_data = data;
	return (matched(st, it, res, yes, err));
}

static enum acl_rc
cond_recipients(struct acl_state *st, const struct acl_item *it)
{
	struct exim_env *env = st->env;
	struct err *err = acl_err(st);
	struct sv data = SV_NULL, addr;
	enum exim_result res;
	bool yes = false;

	if (env->addr == NULL)
		return (RC_FAIL);
	addr = sv_cstr(arena_fmt(env->arena, SV_FMT "@" SV_FMT, SV_ARG(written_local(st)), SV_ARG(env->addr->domain)));
	addr.tainted = env->addr->local_part.tainted;
	res = exim_match_address(it->list, env, addr, false, &yes, &data, err);
	if (res == EXIM_OK && yes)
		env->addr->recipient_data = data;
	return (matched(st, it, res, yes, err));
}

static enum acl_rc
cond_senders(struct acl_state *st, const struct acl_item *it)
{
	struct exim_env *env = st->env;
	struct err *err = acl_err(st);
	struct sv data = SV_NULL, sender = env->msg == NULL ? SV_LIT("") : env->msg->sender;
	enum exim_result res;
	bool yes = false;

	if (sender.p == NULL)
		sender = SV_LIT("");
	res = exim_match_address(it->list, env, sender, false, &yes, &data, err);
	if (res == EXIM_OK && yes && env->msg != NULL)
		env->msg->sender_data = data;
	return (matched(st, it, res, yes, err));
}

static enum acl_rc
cond_sender_domains(struct acl_state *st, const struct acl_item *it)
{
	struct exim_env *env = st->env;
	struct err *err = acl_err(st);
	enum exim_result res;
	bool yes = false;

	res = exim_match_domain(it->list, env, env->msg == NULL ? SV_LIT("") : domain_of(env->msg->sender), &yes, NULL, err);
	return (matched(st, it, res, yes, err));
}

static enum acl_rc
cond_hosts(struct acl_state *st, const struct acl_item *it)
{
	struct exim_env *env = st->env;
	struct err *err = acl_err(st);
	struct sv data = SV_NULL;
	enum exim_result res;
	bool yes = false;

	res = exim_match_client(it->list, env, &yes, &data, err);
	if (res == EXIM_OK)
		env->acl->host_data = yes ? data : SV_NULL;
	return (matched(st, it, res, yes, err));
}

/* What "TLS1.3:TLS_AES_256_GCM_SHA384:256" names: the cipher alone. */
static struct sv
cipher_name(const struct exim_session *s)
{
	struct sv v = s == NULL ? SV_NULL : s->tls_in.cipher;
	ptrdiff_t at = sv_chr(v, ':'), end;

	if (at < 0)
		return (v);
	v = sv_sub(v, (size_t)at + 1, v.len);
	end = sv_chr(v, ':');
	return (end < 0 ? v : sv_sub(v, 0, (size_t)end));
}

/* authenticated and encrypted: false when there is nothing to test. */
static enum acl_rc
cond_string(struct acl_state *st, const struct acl_item *it, struct sv subject)
{
	struct err *err = acl_err(st);
	enum exim_result res;
	bool yes = false;

	if (subject.p == NULL || subject.len == 0)
		return (RC_FAIL);
	res = exim_match_string(it->list, st->env, subject, false, &yes, err);
	return (matched(st, it, res, yes, err));
}

static enum acl_rc
cond_condition(struct acl_state *st, const struct acl_item *it, struct sv arg)
{
	struct sv v = sv_trim(arg);
	bool digits = v.len > 0, zero = true;

	for (size_t i = 0; i < v.len; i++) {
		if (!sv_isdigit(v.p[i]) && !(i == 0 && v.p[i] == '-' && v.len > 1))
			digits = false;
		else if (v.p[i] != '0' && v.p[i] != '-')
			zero = false;
	}
	if (v.len == 0)
		return (RC_FAIL);
	if (digits)
		return (zero ? RC_FAIL : RC_OK);
	if (sv_caseeqs(v, "no") || sv_caseeqs(v, "false"))
		return (RC_FAIL);
	if (sv_caseeqs(v, "yes") || sv_caseeqs(v, "true"))
		return (RC_OK);
	return (acl_defer(st, "invalid \"condition\" value \"" SV_FMT "\"", SV_ARG(arg)));
}

/* One word of "acl = name argument ...", expanded; false and *<rc> when that cannot be. */
static bool
expand_word(struct acl_state *st, const struct acl_item *it, size_t i, struct sv *out, enum acl_rc *rc)
{
	struct err *err = acl_err(st);
	enum exim_result res;

	if (it->word[i] == NULL) {
		*rc = acl_wrong(st, "the argument of \"acl\" cannot be read");
		return (false);
	}
	if (exim_str_literal(it->word[i], out))
		return (true);
	err_clear(err);
	res = exim_expand(it->word[i], st->env, out, err);
	if (res == EXIM_OK)
		return (true);
	if (res == EXIM_FORCED)
		*rc = it->negated ? RC_FAIL : RC_OK;
	else {
		st->log_msg = acl_fmt(st, "failed to expand ACL string \"" SV_FMT "\": %s",
		    SV_ARG(exim_str_text(it->word[i])), err->text);
		*rc = res == EXIM_DEFER ? RC_DEFER : RC_ERROR;
	}
	return (false);
}

/* A nested list with $acl_arg1 and so on. */
static enum acl_rc
cond_acl(struct acl_state *st, const struct acl_item *it, enum acl_verb verb)
{
	struct exim_acl_state *a = st->env->acl;
	const struct sv *old = a->args;
	size_t old_n = a->nargs;
	struct sv args[ACL_ARGS_MAX], name = SV_LIT("");
	enum acl_rc rc;

	for (size_t i = 0; i < it->nwords; i++)
		if (!expand_word(st, it, i, i == 0 ? &name : &args[i - 1], &rc))
			return (rc);
	a->args = args;
	a->nargs = it->nwords == 0 ? 0 : it->nwords - 1;
	rc = acl_run_what(name, st);
	a->args = old;
	a->nargs = old_n;
	if (rc == RC_DISCARD && verb != VERB_ACCEPT && verb != VERB_DISCARD)
		return (acl_wrong(st, "nested ACL returned \"discard\" for \"%s\" command (only allowed with \"accept\" or "
		    "\"discard\")", exim_acl_verb_name(verb)));
	return (rc);
}

static enum acl_rc
cond_scan(struct acl_state *st, enum exim_scan what, struct sv arg, const char *name)
{
	const struct exim_acl_ops *ops = st->run->ops;
	struct sv msg = SV_NULL;
	bool yes = false;

	if (ops == NULL || ops->scan == NULL)
		return (acl_defer(st, "%s: no scanner is there", name));
	switch (ops->scan(st->run->arg, st->env, what, arg, &yes, &msg)) {
	case EXIM_OK:
		return (yes ? RC_OK : RC_FAIL);
	case EXIM_DEFER:
		return (acl_defer(st, SV_FMT, SV_ARG(msg)));
	case EXIM_FORCED:
		return (RC_OK);
	default:
		return (acl_wrong(st, SV_FMT, SV_ARG(msg)));
	}
}

/* dkim_signers and _status, dmarc_status compare a variable with a list. */
static enum acl_rc
cond_scanned_list(struct acl_state *st, const struct acl_item *it)
{
	const struct exim_acl_state *a = st->env->acl;
	struct sv subject;

	switch (it->id) {
	case COND_dkim_signers:
		subject = a->dkim_cur_signer;
		break;
	case COND_dkim_status:
		subject = a->dkim_verify_status.len > 0 && sv_chr(a->dkim_verify_status, ':') < 0 ?
		    a->dkim_verify_status : SV_LIT("none");
		break;
	default:
		subject = a->dmarc_status.len > 0 ? a->dmarc_status : SV_LIT("none");
		break;
	}
	return (cond_string(st, it, subject));
}

enum acl_rc
acl_condition(struct acl_state *st, const struct acl_item *it, enum acl_verb verb, struct sv arg)
{
	const struct exim_session *s = st->env->session;

	switch (it->id) {
	case COND_acl:		return (cond_acl(st, it, verb));
	case COND_atrn_domains:	return (cond_domains(st, it));
	case COND_authenticated: return (cond_string(st, it, s == NULL ? SV_NULL : s->auth_mechanism));
	case COND_condition:	return (cond_condition(st, it, arg));
	case COND_dcc:		return (cond_scan(st, EXIM_SCAN_DCC, arg, "dcc"));
	case COND_decode:	return (cond_scan(st, EXIM_SCAN_DECODE, arg, "decode"));
	case COND_dkim_signers:
	case COND_dkim_status:
	case COND_dmarc_status:	return (cond_scanned_list(st, it));
	case COND_dnslists:	return (acl_dnslists(st, arg));
	case COND_domains:	return (cond_domains(st, it));
	case COND_encrypted:	return (cond_string(st, it, cipher_name(s)));
	case COND_hosts:	return (cond_hosts(st, it));
	case COND_local_parts:	return (cond_local_parts(st, it));
	case COND_malware:	return (cond_scan(st, EXIM_SCAN_MALWARE, arg, "malware"));
	case COND_mime_regex:	return (acl_regex(st, arg, true));
	case COND_ratelimit:	return (acl_ratelimit(st, arg));
	case COND_recipients:	return (cond_recipients(st, it));
	case COND_regex:	return (acl_regex(st, arg, false));
	case COND_seen:		return (acl_seen(st, arg));
	case COND_sender_domains: return (cond_sender_domains(st, it));
	case COND_senders:	return (cond_senders(st, it));
	case COND_spam:		return (cond_scan(st, EXIM_SCAN_SPAM, arg, "spam"));
	case COND_spf:		return (cond_scan(st, EXIM_SCAN_SPF, arg, "spf"));
	case COND_spf_guess:	return (cond_scan(st, EXIM_SCAN_SPF_GUESS, arg, "spf_guess"));
	case COND_verify:	return (acl_verify(st, arg));
	default:		return (acl_wrong(st, "internal: %s is no condition", acl_conds[it->id].name));
	}
}
