/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libsasl2 as server; see sasl.h.  Its plugins find our exchange by a thread-local
 * pointer that is set around each call, since the auxprop interface passes no context of
 * ours.  Two traps: the look-up of the authorization id must say OK even when there is
 * nothing to add, and the user realm stays NULL, else names grow an "@realm".
 */
#include "auth/sasl.h"

#include <pthread.h>
#include <sasl/sasl.h>
#include <sasl/saslplug.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

/* libsasl2 keeps callbacks of all kinds as one type; by way of the type that casts to any. */
#define PROC(fn)	((int (*)(void))(void (*)(void))(fn))
#define OUT_MAX		(64 * 1024)

struct sasl_exchange {
	sasl_conn_t	*conn;
	sasl_callback_t	 callbacks[4];
	void		*arg;
	char		*user;		/* the name last looked up */
	enum sasl_check	 checked;	/* what the backend said of a password */
};

static const struct sasl_backend *backend;
static _Thread_local struct sasl_exchange *current;

/* libsasl2 shares reference counts between connections. */
static void *
mutex_new(void)
{
	pthread_mutex_t *m = xmalloc(sizeof(*m));

	(void)pthread_mutex_init(m, NULL);
	return (m);
}

static int mutex_lock(void *m) { return (pthread_mutex_lock(m) == 0 ? SASL_OK : SASL_FAIL); }
static int mutex_unlock(void *m) { return (pthread_mutex_unlock(m) == 0 ? SASL_OK : SASL_FAIL); }

static void
mutex_free(void *m)
{
	(void)pthread_mutex_destroy(m);
	free(m);
}

static void
remember_user(struct sasl_exchange *x, const char *user, size_t len)
{
	free(x->user);
	x->user = xstrndup(user, len);
}

static bool
asked_for(const struct propval *want, const char *name)
{
	for (; want->name != NULL; want++)
		if (strcmp(want->name, name) == 0)
			return (true);
	return (false);
}

static int
lookup(void *glob, sasl_server_params_t *sp, unsigned flags, const char *user, unsigned ulen)
{
	const struct propval *want = sp->utils->prop_get(sp->propctx);
	struct sb scram = SB_INIT(4096), plain = SB_INIT(4096);
	bool keys;

	if ((flags & SASL_AUXPROP_AUTHZID) != 0 || want == NULL || current == NULL)
		return (SASL_OK);
	remember_user(current, user, ulen);
	/* SCRAM asks for both; from the clear password libsasl2 would derive the keys slowly, with every step. */
	keys = asked_for(want, "*authPassword") || asked_for(want, "authPassword");
	backend->secret(current->arg, sv_from(user, ulen), keys ? &scram : NULL, keys ? NULL : &plain);
	if (scram.len > 0)
		(void)sp->utils->prop_set(sp->propctx, asked_for(want, "*authPassword") ? "*authPassword" : "authPassword",
		    sb_cstr(&scram), (int)scram.len);
	if (plain.len > 0 && asked_for(want, SASL_AUX_PASSWORD))
		(void)sp->utils->prop_set(sp->propctx, SASL_AUX_PASSWORD, sb_cstr(&plain), (int)plain.len);
	sb_free(&scram);
	sb_free(&plain);
	return (SASL_OK);
}

static sasl_auxprop_plug_t plugin = { .name = (char *)(uintptr_t)"vpost", .auxprop_lookup = lookup };

static int
plugin_init(const sasl_utils_t *utils, int max_version, int *version, sasl_auxprop_plug_t **plug, const char *name)
{
	if (max_version < SASL_AUXPROP_PLUG_VERSION)
		return (SASL_BADVERS);
	*version = SASL_AUXPROP_PLUG_VERSION;
	*plug = &plugin;
	return (SASL_OK);
}

static int
get_option(void *context, const char *plug, const char *option, const char **result, unsigned *len)
{
	static const struct { const char *name, *value; } options[] = {
		{ "auxprop_plugin", "vpost" },
		{ "mech_list", AUTH_SASL_ALL },
		/* Only our callback checks; libsasl2 asks it first and then finds no other way. */
		{ "pwcheck_method", "vpost" },
		{ "log_level", "0" },
	};

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (strcmp(option, options[i].name) == 0) {
			*result = options[i].value;
			if (len != NULL)
				*len = (unsigned)strlen(options[i].value);
			return (SASL_OK);
		}
	return (SASL_FAIL);
}

static int
log_nothing(void *context, int level, const char *message)
{
	return (SASL_OK);
}

static int
check_password(sasl_conn_t *conn, void *context, const char *user, const char *pass, unsigned passlen, struct propctx *ctx)
{
	struct sasl_exchange *x = context;

	remember_user(x, user, strlen(user));
	x->checked = backend->check(x->arg, sv_cstr(user), sv_from(pass, passlen));
	return (x->checked == SASL_CHECK_OK ? SASL_OK : x->checked == SASL_CHECK_TEMP ? SASL_TRYAGAIN : SASL_BADAUTH);
}

static const sasl_callback_t global_callbacks[] = {
	{ SASL_CB_GETOPT, PROC(get_option), NULL },
	{ SASL_CB_LOG, PROC(log_nothing), NULL },
	{ SASL_CB_LIST_END, NULL, NULL },
};

int
sasl_env_open(const struct sasl_backend *b, struct err *err)
{
	int rc;

	backend = b;
	sasl_set_mutex(mutex_new, mutex_lock, mutex_unlock, mutex_free);
	if ((rc = sasl_auxprop_add_plugin("vpost", plugin_init)) != SASL_OK ||
	    (rc = sasl_server_init(global_callbacks, "vpost")) != SASL_OK)
		return (err_set(err, ERR_CONFIG, NULL, "libsasl2 does not start: %s: install its modules (libsasl2-modules)",
		    sasl_errstring(rc, NULL, NULL)));
	return (0);
}

void
sasl_env_close(void)
{
	sasl_server_done();
}

static bool
allowed_mech(const char *allowed, struct sv mech)
{
	struct sv list = sv_cstr(allowed), one;

	while (sv_word(&list, &one))
		if (sv_caseeq(one, mech))
			return (true);
	return (false);
}

static enum sasl_step
result(struct sasl_exchange *x, int rc, const char *out, unsigned outlen, struct sb *sb, struct err *err)
{
	if (x->checked == SASL_CHECK_TEMP)
		rc = SASL_TRYAGAIN;
	else if (x->checked == SASL_CHECK_WRONG)
		rc = SASL_BADAUTH;	/* libsasl2 says that it knows no other way to check */
	switch (rc) {
	case SASL_OK:
	case SASL_CONTINUE:
		if (out != NULL && outlen <= OUT_MAX)
			sb_addn(sb, out, outlen);
		return (rc == SASL_OK ? SASL_STEP_OK : SASL_STEP_CONTINUE);
	case SASL_TRYAGAIN:
	case SASL_UNAVAIL:
	case SASL_NOMEM:
	case SASL_BUFOVER:
	case SASL_CONFIGERR:
	case SASL_FAIL:		/* a wrong password has codes of its own */
		(void)err_set(err, ERR_TEMP, "4.7.0", "passwords cannot be checked just now");
		return (SASL_STEP_TEMP);
	case SASL_BADPROT:
	case SASL_NOMECH:
	case SASL_TOOWEAK:
	case SASL_BADPARAM:
		(void)err_set(err, ERR_PERM, "5.5.2", "the client does not follow the SASL mechanism");
		return (SASL_STEP_BAD);
	default:
		(void)err_set(err, ERR_PERM, "5.7.8", "wrong user name or password");
		return (SASL_STEP_WRONG);
	}
}

/* Prepare the connection object; false if libsasl2 fails. */
static bool
make_conn(struct sasl_exchange *x, const char *service, const char *host)
{
	sasl_security_properties_t props = { .security_flags = SASL_SEC_NOANONYMOUS };

	x->callbacks[0] = (sasl_callback_t){ SASL_CB_SERVER_USERDB_CHECKPASS, PROC(check_password), x };
	x->callbacks[1] = (sasl_callback_t){ SASL_CB_GETOPT, PROC(get_option), NULL };
	x->callbacks[2] = (sasl_callback_t){ SASL_CB_LOG, PROC(log_nothing), NULL };
	x->callbacks[3] = (sasl_callback_t){ SASL_CB_LIST_END, NULL, NULL };
	return (sasl_server_new(service, host, NULL, NULL, NULL, x->callbacks, 0, &x->conn) == SASL_OK &&
	    sasl_setprop(x->conn, SASL_SEC_PROPS, &props) == SASL_OK);
}

enum sasl_step
sasl_exchange_start(struct sasl_exchange **xp, const char *service, const char *host, const char *allowed, struct sv mech,
    const struct sv *initial, void *arg, struct sb *out, struct err *err)
{
	struct sasl_exchange *x;
	const char *data = NULL;
	unsigned len = 0;
	char name[64];
	int rc;

	*xp = NULL;
	if (mech.len >= sizeof(name) || !allowed_mech(allowed, mech)) {
		(void)err_set(err, ERR_PERM, "5.5.4", "this authentication mechanism is not offered");
		return (SASL_STEP_BAD);
	}
	memcpy(name, mech.p, mech.len);
	name[mech.len] = '\0';
	x = *xp = xcalloc(1, sizeof(*x));
	x->arg = arg;
	if (!make_conn(x, service, host)) {
		(void)err_set(err, ERR_TEMP, "4.7.0", "libsasl2 fails: passwords cannot be checked");
		return (SASL_STEP_TEMP);
	}
	current = x;
	rc = sasl_server_start(x->conn, name, initial == NULL ? NULL : initial->len == 0 ? "" : initial->p,
	    initial == NULL ? 0 : (unsigned)initial->len, &data, &len);
	current = NULL;
	return (result(x, rc, data, len, out, err));
}

enum sasl_step
sasl_exchange_step(struct sasl_exchange *x, struct sv in, struct sb *out, struct err *err)
{
	const char *data = NULL;
	unsigned len = 0;
	int rc;

	current = x;
	rc = sasl_server_step(x->conn, in.len == 0 ? "" : in.p, (unsigned)in.len, &data, &len);
	current = NULL;
	return (result(x, rc, data, len, out, err));
}

struct sv
sasl_exchange_user(const struct sasl_exchange *x)
{
	const void *name = NULL;

	if (x->conn != NULL && sasl_getprop(x->conn, SASL_USERNAME, &name) == SASL_OK && name != NULL)
		return (sv_cstr(name));
	return (sv_cstr(x->user == NULL ? "" : x->user));
}

void
sasl_exchange_free(struct sasl_exchange **xp)
{
	struct sasl_exchange *x = *xp;

	if (x == NULL)
		return;
	*xp = NULL;
	if (x->conn != NULL)
		sasl_dispose(&x->conn);
	free(x->user);
	free(x);
}
