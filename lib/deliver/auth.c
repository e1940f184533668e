/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * AUTH as a client (RFC 4954): the ways to log in that the options bring, one after the other, over a connection whose
 * EHLO told what the server knows.
 */
#include <string.h>

#include "base/codec.h"
#include "deliver/client_int.h"

#define DATA_MAX	(12 * 1024)
#define STEPS_MAX	20

static bool
offers(const struct smtp_ehlo *ehlo, const char *mechanism)
{
	struct sv list = sv_cstr(ehlo->auth), word;

	while (sv_word(&list, &word))
		if (sv_caseeqs(word, mechanism))
			return (true);
	return (false);
}

/* Fixed strings: the first goes with AUTH, each further one answers a challenge. */
static enum deliver_auth_step
next_string(const struct deliver_auth *a, unsigned step, struct sb *out)
{
	if (step >= a->nstrings)
		return (step == 0 ? DELIVER_AUTH_WAIT : DELIVER_AUTH_CANCEL);
	sb_add(out, a->strings[step]);
	return (DELIVER_AUTH_SEND);
}

static enum deliver_auth_step
next_answer(struct deliver_conn *c, const struct deliver_auth *a, unsigned step, struct sb *out, struct deliver_error *e)
{
	struct deliver_auth_talk t = { .step = step, .stream = c->s, .challenge = SV_NULL };
	struct sb raw = SB_INIT(DATA_MAX);
	struct err err = ERR_INIT;
	enum deliver_auth_step s;

	if (a->answer == NULL)
		return (next_string(a, step, out));
	if (step > 0) {
		/* An invitation may be no base64: whether that matters is the mechanism's to say. */
		t.text = sv_trim(sv_cstr(c->reply.text.len == 0 ? "" : sb_cstr(&c->reply.text)));
		if (base64_decode(&raw, t.text))
			t.challenge = raw.len > 0 ? sb_sv(&raw) : SV_LIT("");
	}
	s = a->answer(a->arg, &t, out, &err);
	if (s == DELIVER_AUTH_DEFER) {
		e->err = err;
		e->err.cls = ERR_TEMP;
		e->host = true;
	}
	sb_free(&raw);
	return (s);
}

/* 0 logged in, 1 refused or not for us, -1. */
static int
authenticate(struct deliver_conn *c, const struct deliver_auth *a, struct deliver_error *e)
{
	struct sb out = SB_INIT(DATA_MAX), b64 = SB_INIT(2 * DATA_MAX);
	enum deliver_auth_step s = next_answer(c, a, 0, &out, e);
	int rc = 1;

	c->reply.code = 0;
	if (s == DELIVER_AUTH_DEFER)
		rc = -1;
	if (s == DELIVER_AUTH_DEFER || s == DELIVER_AUTH_SKIP)
		goto done;
	base64_encode(&b64, sb_sv(&out));
	rc = deliver_command(c, "AUTH", e, "AUTH %s%s%s", a->mechanism, s == DELIVER_AUTH_SEND ? " " : "",
	    s != DELIVER_AUTH_SEND ? "" : b64.len == 0 ? "=" : sb_cstr(&b64));
	for (unsigned i = 1; rc == 0 && i < STEPS_MAX; i++) {
		rc = deliver_read_reply(c, c->o->command_ms, "AUTH", e);
		if (rc == -1 || c->reply.code != 334 || s == DELIVER_AUTH_CANCEL)
			break;
		sb_clear(&out);
		sb_clear(&b64);
		s = next_answer(c, a, i, &out, e);
		base64_encode(&b64, sb_sv(&out));
		/* More is asked than we have: "*" ends the exchange. */
		rc = deliver_command(c, "AUTH", e, "%s", s == DELIVER_AUTH_SEND ? sb_cstr(&b64) : "*");
		if (s != DELIVER_AUTH_SEND)
			s = DELIVER_AUTH_CANCEL;
	}
	if (rc == 0)
		rc = c->reply.code / 100 == 2 ? 0 : 1;
	/* RFC 5802 section 3: who lets us in without that does not know the password. */
	if (rc == 0 && a->proved != NULL && !a->proved(a->arg)) {
		rc = err_set(&e->err, ERR_TEMP, "4.7.0", "authenticator %s: the server did not prove that it knows the password", a->name);
		e->host = true;
		e->what = EXIM_RE_AUTH_FAILED;
	}
done:
	if (rc == 0) {
		const char *id = a->who == NULL ? NULL : a->who(a->arg);

		c->auth_name = a->name;
		c->auth_id = id == NULL ? SV_NULL : sv_cstr(id);
	}
	sb_wipe(&out);
	sb_wipe(&b64);
	return (rc);
}

static int
refused(struct deliver_conn *c, struct deliver_error *e)
{
	if (e->err.cls == ERR_NONE)
		(void)err_set(&e->err, ERR_TEMP, "4.7.0", c->ehlo.auth[0] == '\0' ?
		    "authentication required but server did not advertise AUTH support" :
		    "authentication required but authentication attempt(s) failed");
	e->host = true;
	e->what = EXIM_RE_AUTH_FAILED;
	return (-1);
}

int
deliver_login(struct deliver_conn *c, struct deliver_error *e)
{
	const struct deliver_opts *o = c->o;
	int rc = 1;

	for (size_t i = 0; i < o->nauths && rc == 1; i++) {
		if (!offers(&c->ehlo, o->auths[i].mechanism))
			continue;
		rc = authenticate(c, &o->auths[i], e);
		/* A temporary refusal is none of the password's: the host is left alone for now. */
		if (rc == 1 && c->reply.code / 100 == 4) {
			deliver_reply_error(c, "AUTH", e);
			e->host = true;
			return (-1);
		}
		if (rc == 1 && o->auth_require && c->reply.code != 0) {
			deliver_reply_error(c, "AUTH", e);
			e->err.cls = ERR_TEMP;	/* a wrong password is put right by the admin, not by the sender */
			e->host = true;
			e->what = EXIM_RE_AUTH_FAILED;
		}
	}
	if (rc == -1)
		return (-1);
	return (rc == 1 && o->auth_require ? refused(c, e) : 0);
}
