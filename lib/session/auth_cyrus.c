/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The authenticator cyrus_sasl (chapter 36 of Exim's manual), and our own vauth.  In a box vauthd speaks the mechanism and
 * knows the passwords.  Elsewhere (sendmail -C FILE) libsasl2 does it here, as the application "exim", with server_service,
 * server_hostname and server_realm; it is loaded when it is first needed, and its calls wait for each other on a thread.
 */
#include <sasl/sasl.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "fiber/fiber.h"
#include "os/library.h"
#include "session/auth_int.h"

#define ANSWER_MAX	16384
#define STEPS_MAX	20

static struct {
	__typeof__(&sasl_server_init) init;
	__typeof__(&sasl_server_new) fresh;
	__typeof__(&sasl_server_start) start;
	__typeof__(&sasl_server_step) step;
	__typeof__(&sasl_getprop) getprop;
	__typeof__(&sasl_dispose) dispose;
	__typeof__(&sasl_errdetail) errdetail;
	__typeof__(&sasl_errstring) errstring;
} lib;

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

static int
load(struct err *err)
{
	static const char *const names[] = { "libsasl2.so.2", "libsasl2.so.3", "libsasl2.so", NULL };
	static const struct os_symbol symbols[] = {
		{ "sasl_server_init", (void **)&lib.init }, { "sasl_server_new", (void **)&lib.fresh },
		{ "sasl_server_start", (void **)&lib.start }, { "sasl_server_step", (void **)&lib.step },
		{ "sasl_getprop", (void **)&lib.getprop }, { "sasl_dispose", (void **)&lib.dispose },
		{ "sasl_errdetail", (void **)&lib.errdetail }, { "sasl_errstring", (void **)&lib.errstring },
	};
	static bool there;

	if (there)
		return (0);
	if (os_library_load(names, symbols, sizeof(symbols) / sizeof(symbols[0]), err) == -1)
		return (-1);
	if (lib.init(NULL, "exim") != SASL_OK)
		return (err_set(err, ERR_TEMP, "4.7.0", "libsasl2 cannot be set up"));
	there = true;
	return (0);
}

/* One call of the library; the texts are the command's. */
struct job {
	const char	*service, *host, *realm, *mech;
	sasl_conn_t	*conn;
	bool		 begin, initial;
	struct sv	 in;
	struct sb	*out;
	struct sb	*user;
	struct err	*err;
	int		 rc;
};

static void
job_run(void *arg)
{
	struct job *j = arg;
	const char *out = NULL;
	const void *user = NULL;
	unsigned len = 0;

	(void)pthread_mutex_lock(&one_at_a_time);
	j->rc = SASL_FAIL;
	if (load(j->err) == -1)
		goto out;
	if (j->begin) {
		j->rc = lib.fresh(j->service, j->host, j->realm, NULL, NULL, NULL, 0, &j->conn);
		if (j->rc == SASL_OK)
			j->rc = lib.start(j->conn, j->mech, j->initial ? j->in.p : NULL,
			    j->initial ? (unsigned)j->in.len : 0, &out, &len);
	} else
		j->rc = lib.step(j->conn, j->in.p, (unsigned)j->in.len, &out, &len);
	sb_clear(j->out);
	if (out != NULL)
		sb_addn(j->out, out, len);
	if (j->conn != NULL && lib.getprop(j->conn, SASL_USERNAME, &user) == SASL_OK && user != NULL)
		sb_adds(j->user, user);
	if (j->rc != SASL_OK && j->rc != SASL_CONTINUE && j->conn != NULL)
		(void)err_set(j->err, ERR_TEMP, "4.7.0", "Cyrus SASL: %s", lib.errdetail(j->conn));
out:
	(void)pthread_mutex_unlock(&one_at_a_time);
}

static void
job_end(void *arg)
{
	struct job *j = arg;

	(void)pthread_mutex_lock(&one_at_a_time);
	lib.dispose(&j->conn);
	(void)pthread_mutex_unlock(&one_at_a_time);
}

/* What cannot work whatever the client sends is for later; all else is the client's fault. */
static enum session_auth_result
verdict(int rc)
{
	switch (rc) {
	case SASL_OK:
		return (SAUTH_OK);
	case SASL_FAIL:
	case SASL_BADAUTH:
	case SASL_BADPROT:
	case SASL_NOUSER:
	case SASL_NOVERIFY:
	case SASL_NOAUTHZ:
	case SASL_TOOWEAK:
	case SASL_ENCRYPT:
	case SASL_EXPIRED:
	case SASL_DISABLED:
		return (SAUTH_FAIL);
	default:
		return (SAUTH_TEMP);
	}
}

static const char *
text_or(struct auth_try *t, enum exim_cyrus_sasl_opt opt, const char *dflt)
{
	struct sv v;

	return (auth_expand(t, &t->a->d.own[opt], &v) == SAUTH_OK && v.len > 0 ? arena_cstr(t->s->cmd, v) : dflt);
}

static enum session_auth_result
by_library(struct auth_try *t, struct sv mech, struct sv *user)
{
	struct sb out = SB_INIT(ANSWER_MAX), in = SB_INIT(ANSWER_MAX), name = SB_INIT(1024);
	struct job j = { .begin = true, .out = &out, .user = &name, .err = t->err };
	enum session_auth_result r = SAUTH_OK;

	j.service = text_or(t, EXIM_CYRUS_SASL_server_service, "smtp");
	j.host = text_or(t, EXIM_CYRUS_SASL_server_hostname, arena_cstr(t->s->cmd, t->s->conf->g.primary_hostname));
	j.realm = text_or(t, EXIM_CYRUS_SASL_server_realm, NULL);
	j.mech = arena_cstr(t->s->cmd, mech);
	j.initial = t->initial.p != NULL;
	j.in = t->initial;
	fiber_offload(job_run, &j);
	j.begin = false;
	for (unsigned i = 0; j.rc == SASL_CONTINUE && i < STEPS_MAX; i++) {
		if ((r = session_auth_ask(t->s, sb_sv(&out), &in)) != SAUTH_OK)
			break;
		j.in = in.len > 0 ? sb_sv(&in) : SV_LIT("");
		sb_clear(&name);
		fiber_offload(job_run, &j);
	}
	if (r == SAUTH_OK && (r = verdict(j.rc)) != SAUTH_OK && j.conn != NULL)
		session_logf(t->s, SESSION_LOG_MAIN | SESSION_LOG_REJECT,
		    "%s authenticator (%s): Cyrus SASL %s failure: %s", t->a->d.name,
		    j.mech, r == SAUTH_FAIL ? "permanent" : "temporary", lib.errstring(j.rc, NULL, NULL));
	*user = arena_sv(t->s->cmd, sb_sv(&name));
	if (j.conn != NULL)
		fiber_offload(job_end, &j);
	sb_free(&out);
	sb_wipe(&in);
	sb_free(&name);
	return (r);
}

enum session_auth_result
auth_run_cyrus(struct auth_try *t)
{
	bool own = t->a->drv == EXIM_AUTH_DRV_VAUTH;
	struct sv mech = auth_mechanism(t->a, &t->a->d.own[own ? (int)EXIM_VAUTH_server_mech : (int)EXIM_CYRUS_SASL_server_mech]);
	struct sv user = SV_NULL;
	enum session_auth_result r;

	if (t->s->sv->auth != NULL) {
		r = session_vauth(t->s, mech, t->initial.p != NULL ? &t->initial : NULL, &user, t->err);
	} else if (own) {
		(void)err_set(t->err, ERR_TEMP, "4.7.0", "there is no vauthd here");
		return (SAUTH_TEMP);
	} else
		r = by_library(t, mech, &user);
	if (user.len > 0)
		auth_part(t, user);
	return (r == SAUTH_OK ? auth_judge(t, SAUTH_OK) : r);
}
