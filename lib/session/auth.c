/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * AUTH (RFC 4954): vauthd checks, or an authenticator of the configuration.  Mechanisms
 * that show a password are offered over TLS and from loopback only, unless the box says otherwise.
 */
#include <stdlib.h>
#include <string.h>

#include "auth/client.h"
#include "base/codec.h"
#include "session/session_int.h"

#define AUTH_LINE_MAX	(12288 + 2)	/* RFC 4954 section 4.0 */

static void
fill_conn(const struct session *s, struct auth_conn *c)
{
	c->service = "smtp";
	c->peer = s->x.addr;
	c->local = s->x.interface;
	c->tls = stream_is_tls(s->io);
}

static void
add_word(struct sb *out, const char *word)
{
	if (out->len > 0)
		sb_addc(out, ' ');
	sb_adds(out, word);
}

/* Authenticators of the configuration whose server_advertise_condition holds. */
static void
offer_configured(struct session *s, struct sb *out)
{
	struct err err = ERR_INIT;

	for (size_t i = 0; i < s->conf->nauths; i++) {
		const struct exim_auth *a = s->conf->auths[i];
		const struct exim_value *cond = &a->d.generic[EXIM_AUTH_server_advertise_condition];
		bool yes = true;

		if (!a->server || a->public_name == NULL || a->drv == EXIM_AUTH_DRV_TLS)
			continue;
		if (cond->str != NULL && exim_expand_bool(cond->str, &s->env, false, &yes, &err) != EXIM_OK)
			yes = false;
		if (yes)
			add_word(out, a->public_name);
	}
}

const char *
session_auth_offer(struct session *s)
{
	struct sb out = SB_INIT(1000);
	struct auth_conn c;
	size_t n;

	free(s->auth_list);
	s->auth_list = NULL;
	if (s->kind != SESSION_LOCAL && !s->authenticated && session_client_in(s, EXIM_MAIN_auth_advertise_hosts)) {
		offer_configured(s, &out);
		if (s->conf->nauths == 0 && s->sv->auth != NULL) {
			fill_conn(s, &c);
			sb_adds(&out, auth_mechanisms(&c, s->sv->plaintext_auth, s->sv->cram_md5));
		}
	}
	s->auth_list = sb_steal(&out, &n);
	return (s->auth_list);
}

static bool
offered(const struct session *s, struct sv mech)
{
	struct sv list = sv_cstr(s->auth_list), word;

	while (sv_word(&list, &word))
		if (sv_caseeq(word, mech))
			return (true);
	return (false);
}

/* ---- the exchange ---- */

enum session_auth_result
session_auth_ask(struct session *s, struct sv challenge, struct sb *out)
{
	struct sb b64 = SB_INIT(2 * AUTH_DATA_MAX);
	enum session_auth_result r;

	base64_encode(&b64, challenge);
	r = session_auth_ask_raw(s, sb_sv(&b64), out);
	sb_free(&b64);
	return (r);
}

enum session_auth_result
session_auth_ask_raw(struct session *s, struct sv text, struct sb *out)
{
	enum stream_result r;
	struct sv line;

	session_reply(s, 334, NULL, text);
	r = stream_read_line(s->io, AUTH_LINE_MAX, &line);
	if (r == STREAM_TOO_LONG)
		return (SAUTH_BAD64);
	if (r != STREAM_OK) {
		s->end = r == STREAM_TIMEOUT ? END_TIMEOUT : END_LOST;
		return (SAUTH_LOST);
	}
	line = sv_trim(line);
	if (sv_eqs(line, "*"))
		return (SAUTH_CANCEL);
	sb_clear(out);
	return (base64_decode(out, line) ? SAUTH_OK : SAUTH_BAD64);
}

static enum session_auth_result
from_auth(enum auth_result r)
{
	return (r == AUTH_OK ? SAUTH_OK : r == AUTH_TEMP ? SAUTH_TEMP : SAUTH_FAIL);
}

enum session_auth_result
session_vauth(struct session *s, struct sv mech, const struct sv *initial, struct sv *id, struct err *err)
{
	struct sb challenge = SB_INIT(AUTH_DATA_MAX), answer = SB_INIT(AUTH_DATA_MAX);
	enum session_auth_result r = SAUTH_OK;
	struct auth_exchange *x = NULL;
	enum auth_result a;
	struct auth_user who;
	struct auth_conn c;

	memset(&who, 0, sizeof(who));
	fill_conn(s, &c);
	a = auth_start(s->sv->auth, &c, mech, initial, &x, &challenge, &who, err);
	while (a == AUTH_CONTINUE) {
		if ((r = session_auth_ask(s, sb_sv(&challenge), &answer)) != SAUTH_OK)
			goto out;
		sb_clear(&challenge);
		a = auth_step(&x, sb_sv(&answer), &challenge, &who, err);
	}
	/* Data that goes with the success is sent as a last challenge. */
	if (a == AUTH_OK && challenge.len > 0 && (r = session_auth_ask(s, sb_sv(&challenge), &answer)) != SAUTH_OK)
		goto out;
	r = from_auth(a);
	if (a == AUTH_BANNED)
		s->end = END_DROP;
	if (who.name[0] != '\0')
		*id = sv_cstr(arena_str(s->arena, who.name));
out:
	auth_abort(&x);
	sb_free(&challenge);
	sb_wipe(&answer);
	return (r);
}

/* ---- the command ---- */

static void
take_success(struct session *s, const struct exim_auth *own, const char *name, struct sv id)
{
	char *low = arena_str(s->arena, name);

	for (char *p = low; *p != '\0'; p++)
		*p = sv_lower(*p);
	s->authenticated = true;
	s->x.auth_mechanism = sv_cstr(low);
	s->x.authenticated_id = arena_sv(s->arena, id);
	s->x.authenticated_fail_id = SV_NULL;
	s->x.authentication_failed = false;
	s->auth_by = own;
	s->x.auth_public = own != NULL ? sv_cstr(own->public_name) : arena_sv(s->arena, s->c.mechanism);
}

/* <mistake>: for the log alone, the exchange broke in another way; NULL: by <r>.  <tell>: the client hears <err> too. */
static void
failed(struct session *s, const char *name, struct sv id, enum session_auth_result r, const struct err *err, bool tell,
    const char *mistake)
{
	struct sb host = SB_INIT(2000), tail = SB_INIT(400);
	bool temp = r == SAUTH_TEMP;

	session_caller(s, &host);
	if (id.len > 0)
		sb_addf(&tail, " (set_id=" SV_FMT ")", SV_ARG(id));
	if (temp && err->text[0] != '\0')
		sb_addf(&tail, ": %s", err->text);
	session_logf(s, SESSION_LOG_MAIN | SESSION_LOG_REJECT, "%s authenticator failed for %s: %s%s", name,
	    sb_cstr(&host), mistake != NULL ?
	    mistake : temp ? "435 Unable to authenticate at present" : "535 Incorrect authentication data", tail.len > 0 ?
	    sb_cstr(&tail) : "");
	if (mistake != NULL)
		goto out;
	s->x.authenticated_fail_id = arena_sv(s->arena, id);
	if (temp && s->conn->exim_style)
		session_replyf(s, 435, NULL, "Unable to authenticate at present%s%s", tell ? ": " : "", tell ? err->text : "");
	else if (temp)
		session_replyf(s, 454, "4.7.0", "Unable to authenticate at present%s%s", tell ? ": " : "", tell ? err->text : "");
	else if (s->conn->exim_style || err->text[0] == '\0')
		session_reply(s, 535, "5.7.8", SV_LIT("Incorrect authentication data"));
	else
		session_replyf(s, 535, err->status[0] == '5' ? err->status : "5.7.8", "%s", err->text);
out:
	sb_free(&host);
	sb_free(&tail);
}

static bool
may_authenticate(struct session *s)
{
	if (!s->auth_offered && !s->auth_unadvertised_ok) {
		if (s->tls_offered && !s->conn->exim_style)
			session_mistake(s, 503, "5.5.1", "AUTH is offered over TLS only: use STARTTLS first");
		else
			session_mistake(s, 503, "5.5.1", "AUTH command used when not advertised");
		return (false);
	}
	if (s->authenticated) {
		session_mistake(s, 503, "5.5.1", "already authenticated");
		return (false);
	}
	if (s->txn != NULL) {
		session_mistake(s, 503, "5.5.1", "not permitted in mail transaction");
		return (false);
	}
	return (true);
}

/* What the exchange came to, told to the client and the log. */
static void
conclude(struct session *s, const struct exim_auth *own, struct sv id, enum session_auth_result r, const struct err *err, bool tell)
{
	char *low = arena_cstr(s->cmd, s->c.mechanism);
	const char *name = own != NULL ? own->d.name : low;

	for (char *p = low; own == NULL && *p != '\0'; p++)
		*p = sv_lower(*p);
	switch (r) {
	case SAUTH_OK:
		take_success(s, own, name, id);
		session_reply(s, 235, "2.7.0", SV_LIT("Authentication succeeded"));
		break;
	case SAUTH_FAIL:
	case SAUTH_TEMP:
		failed(s, name, id, r, err, tell, NULL);
		break;
	case SAUTH_CANCEL:
		/* It counts: each try costs vauthd a conversation. */
		failed(s, name, SV_NULL, r, err, false, "501 Authentication cancelled");
		session_mistake(s, 501, "5.7.0", "Authentication cancelled");
		break;
	case SAUTH_BAD64:
		failed(s, name, SV_NULL, r, err, false, "501 Invalid base64 data");
		session_mistake(s, 501, "5.5.2", "Invalid base64 data");
		break;
	case SAUTH_UNEXPECTED:
		failed(s, name, SV_NULL, r, err, false, "553 Initial data not expected");
		session_mistake(s, 553, "5.5.2", "Initial data not expected");
		break;
	case SAUTH_LOST:
		break;
	}
}

void
session_auth(struct session *s)
{
	struct sv mech = s->c.mechanism, id = SV_NULL, first = SV_NULL;
	struct sb initial = SB_INIT(AUTH_DATA_MAX);
	const struct exim_auth *own = NULL;
	struct err err = ERR_INIT;
	enum session_auth_result r;
	bool tell = false;

	/* Until it succeeds. */
	s->x.authentication_failed = true;
	if (!may_authenticate(s) || session_acl(s, EXIM_WHERE_AUTH, mech, NULL, NULL) != ACL_GO)
		return;
	own = session_exim_auth(s, mech);
	if (s->auth_list == NULL || !(offered(s, mech) || (s->auth_unadvertised_ok && own != NULL))) {
		session_mistake(s, 504, "5.5.4", SV_FMT " authentication mechanism not supported", SV_ARG(mech));
		return;
	}
	if (s->c.initial.p != NULL && !base64_decode(&initial, s->c.initial)) {
		conclude(s, own, SV_NULL, own != NULL && own->drv == EXIM_AUTH_DRV_CRAM_MD5 ? SAUTH_UNEXPECTED : SAUTH_BAD64, &err, false);
		sb_free(&initial);
		return;
	}
	if (s->c.initial.p != NULL)
		first = initial.len > 0 ? sb_sv(&initial) : SV_LIT("");
	if (own != NULL)
		r = session_exim_auth_run(s, own, first, &id, &err, &tell);
	else
		r = session_vauth(s, mech, first.p != NULL ? &first : NULL, &id, &err);
	conclude(s, own, id, r, &err, tell);
	sb_free(&initial);
}

/* The driver tls: judged when TLS has come up, and never spoken of. */
void
session_auth_tls(struct session *s)
{
	for (size_t i = 0; i < s->conf->nauths; i++) {
		const struct exim_auth *a = s->conf->auths[i];
		struct err err = ERR_INIT;
		struct sv id = SV_NULL;
		bool tell;

		if (a->drv != EXIM_AUTH_DRV_TLS)
			continue;
		s->env.msg = session_msg(s);
		if (session_exim_auth_run(s, a, SV_NULL, &id, &err, &tell) == SAUTH_OK)
			take_success(s, a, a->d.name, id);
		return;
	}
}
