/* SPDX-License-Identifier: BSD-2-Clause */
/* The client of vauthd; see client.h and proto.h. */
#include "auth/client.h"

#include <stdio.h>
#include <stdlib.h>

#include "auth/proto.h"
#include "auth/sasl.h"
#include "base/arena.h"
#include "fiber/fiber.h"
#include "ipc/ipc.h"

#define CALL_MS		60000
#define RESTART_MS	5000	/* so long vauthd may be away, being started anew */
#define RETRY_MS	150

struct auth_client {
	struct ipc_client *ipc;
	uint64_t	 serial;	/* of exchanges */
};

struct auth_exchange {
	struct auth_client *client;
	uint64_t	 id;
};

struct auth_client *
auth_client_new(const char *path)
{
	struct auth_client *c = xcalloc(1, sizeof(*c));

	c->ipc = ipc_client_new(path);
	return (c);
}

void
auth_client_free(struct auth_client **cp)
{
	struct auth_client *c = *cp;

	if (c == NULL)
		return;
	*cp = NULL;
	ipc_client_free(&c->ipc);
	free(c);
}

const char *
auth_mechanisms(const struct auth_conn *c, bool plaintext_auth, bool cram_md5)
{
	if (!c->tls && !plaintext_auth && !net_addr_is_loopback(&c->peer))
		return ("");
	return (cram_md5 ? AUTH_SASL_ALL : AUTH_SASL_PLAIN);
}

static void
put_conn(struct sb *m, const struct auth_conn *conn)
{
	char text[NET_ADDR_TEXT_MAX];

	ipc_put_str(m, AUTH_F_SERVICE, conn->service);
	ipc_put_str(m, AUTH_F_PEER, net_addr_text(&conn->peer, text));
	if (conn->local.family != 0)
		ipc_put_str(m, AUTH_F_LOCAL, net_addr_text(&conn->local, text));
	ipc_put_u64(m, AUTH_F_TLS, conn->tls ? 1 : 0);
}

static enum auth_result
temp(struct err *err, const char *what)
{
	(void)err_set(err, ERR_TEMP, "4.7.0", "%s", what);
	return (AUTH_TEMP);
}

static enum auth_result
take_answer(const struct ipc_msg *m, struct sb *challenge, struct auth_user *who, struct err *err)
{
	uint64_t result = ipc_get_u64(m, AUTH_F_RESULT, AUTH_TEMP);
	struct sv status = ipc_get_bytes(m, AUTH_F_STATUS), text = ipc_get_bytes(m, AUTH_F_TEXT);
	struct sv data = ipc_get_bytes(m, AUTH_F_DATA);
	char st[12] = "";

	if (m->type != AUTH_M_ANSWER || result > AUTH_TEMP)
		return (temp(err, "the password daemon gave no sensible answer"));
	if (challenge != NULL && data.len > 0)
		sb_add(challenge, data);
	if (result == AUTH_CONTINUE)
		return (AUTH_CONTINUE);
	if (result == AUTH_OK) {
		memset(who, 0, sizeof(*who));
		if (!sv_cpy(who->name, sizeof(who->name), ipc_get_bytes(m, AUTH_F_NAME)) || who->name[0] == '\0' ||
		    !sv_cpy(who->home, sizeof(who->home), ipc_get_bytes(m, AUTH_F_HOME)))
			return (temp(err, "the account's name or home directory is too long"));
		who->system = ipc_get_u64(m, AUTH_F_SYSTEM, 0) != 0;
		who->uid = (uid_t)ipc_get_u64(m, AUTH_F_UID, 0);
		who->gid = (gid_t)ipc_get_u64(m, AUTH_F_GID, 0);
		return (AUTH_OK);
	}
	(void)sv_cpy(st, sizeof(st), status);
	(void)err_set(err, result == AUTH_TEMP ? ERR_TEMP : ERR_PERM, st[0] == '\0' ? NULL : st, SV_FMT, SV_ARG(text));
	return ((enum auth_result)result);
}

/* A question that may be asked again is, while vauthd is being started anew. */
static int
ask(struct auth_client *c, const struct sb *req, bool again, struct ipc_msg *reply, struct err *err)
{
	int64_t give_up = FIBER_NOW_PLUS(RESTART_MS), deadline = FIBER_NOW_PLUS(CALL_MS);

	while (ipc_call(c->ipc, req, -1, reply, NULL, deadline, err) == -1) {
		if (!again || fiber_now() >= give_up || fiber_sleep(RETRY_MS) == FIBER_CANCELLED)
			return (-1);
		err_clear(err);
	}
	return (0);
}

/* Send, wait, free <req>. */
static enum auth_result
call(struct auth_client *c, struct sb *req, bool again, struct sb *challenge, struct auth_user *who, struct err *err)
{
	struct ipc_msg reply;
	struct err why = ERR_INIT;
	enum auth_result r;

	if (req->overflow)
		r = temp(err, "the name, password or answer is too long");
	else if (ask(c, req, again, &reply, &why) == -1) {
		r = temp(err, "the password daemon does not answer");
		err_prefix(err, "%s", why.text);
	} else {
		r = take_answer(&reply, challenge, who, err);
		ipc_msg_free(&reply);
	}
	if (req->p != NULL)
		explicit_bzero(req->p, req->len);
	sb_free(req);
	return (r);
}

/* What no mailbox or password can be is not worth asking, nor is it fit for a log. */
static bool
sane(struct sv user, struct sv password)
{
	return (user.len > 0 && user.len <= 2 * AUTH_NAME_MAX && password.len <= 1024 &&
	    memchr(user.p, '\0', user.len) == NULL);
}

static enum auth_result
login(struct auth_client *c, uint16_t type, const struct auth_conn *conn, struct sv user, struct sv password,
    const struct sv *banner, struct auth_user *who, struct err *err)
{
	struct sb req = SB_INIT(16 * 1024);

	if (!sane(user, password)) {
		user = SV_LIT("?");
		password = SV_NULL;
	}
	ipc_begin(&req, type);
	put_conn(&req, conn);
	ipc_put_bytes(&req, AUTH_F_USER, user);
	ipc_put_bytes(&req, AUTH_F_PASSWORD, password);
	if (banner != NULL)
		ipc_put_bytes(&req, AUTH_F_BANNER, *banner);
	return (call(c, &req, true, NULL, who, err));
}

enum auth_result
auth_login(struct auth_client *c, const struct auth_conn *conn, struct sv user, struct sv password, struct auth_user *who,
    struct err *err)
{
	return (login(c, AUTH_M_LOGIN, conn, user, password, NULL, who, err));
}

enum auth_result
auth_apop(struct auth_client *c, const struct auth_conn *conn, struct sv user, struct sv banner, struct sv digest,
    struct auth_user *who, struct err *err)
{
	return (login(c, AUTH_M_APOP, conn, user, digest, &banner, who, err));
}

static void
finish(struct auth_exchange **xp)
{
	free(*xp);
	*xp = NULL;
}

enum auth_result
auth_start(struct auth_client *c, const struct auth_conn *conn, struct sv mech, const struct sv *initial,
    struct auth_exchange **xp, struct sb *challenge, struct auth_user *who, struct err *err)
{
	struct sb req = SB_INIT(AUTH_DATA_MAX + 1024);
	struct auth_exchange *x = xcalloc(1, sizeof(*x));
	enum auth_result r;

	x->client = c;
	x->id = ++c->serial;
	*xp = x;
	ipc_begin(&req, AUTH_M_START);
	put_conn(&req, conn);
	ipc_put_bytes(&req, AUTH_F_MECH, mech);
	ipc_put_u64(&req, AUTH_F_EXCHANGE, x->id);
	if (initial != NULL)
		ipc_put_bytes(&req, AUTH_F_DATA, *initial);
	r = call(c, &req, true, challenge, who, err);
	if (r != AUTH_CONTINUE)
		finish(xp);
	return (r);
}

enum auth_result
auth_step(struct auth_exchange **xp, struct sv response, struct sb *challenge, struct auth_user *who, struct err *err)
{
	struct sb req = SB_INIT(AUTH_DATA_MAX + 1024);
	struct auth_exchange *x = *xp;
	enum auth_result r;

	ipc_begin(&req, AUTH_M_STEP);
	ipc_put_u64(&req, AUTH_F_EXCHANGE, x->id);
	ipc_put_bytes(&req, AUTH_F_DATA, response);
	r = call(x->client, &req, false, challenge, who, err);
	if (r != AUTH_CONTINUE)
		finish(xp);
	return (r);
}

void
auth_abort(struct auth_exchange **xp)
{
	struct auth_exchange *x = *xp;
	struct sb m = SB_INIT(256);

	if (x == NULL)
		return;
	ipc_begin(&m, AUTH_M_ABORT);
	ipc_put_u64(&m, AUTH_F_EXCHANGE, x->id);
	(void)ipc_notify(x->client->ipc, &m);
	sb_free(&m);
	finish(xp);
}

enum auth_result
auth_lookup(struct auth_client *c, struct sv user, struct auth_user *who, struct err *err)
{
	struct sb req = SB_INIT(4096);

	if (!sane(user, SV_NULL)) {
		(void)err_set(err, ERR_PERM, "5.1.1", "no such user");
		return (AUTH_FAIL);
	}
	ipc_begin(&req, AUTH_M_LOOKUP);
	ipc_put_bytes(&req, AUTH_F_USER, user);
	return (call(c, &req, true, NULL, who, err));
}
