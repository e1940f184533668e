/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The requests of auth/proto.h.  Each gets a fiber of its own, so that one that waits (for
 * a thread, for the relay map, for the time that a wrong password costs) holds nobody up.
 * The daemons of the box may ask anything; the box's owner, if that is another
 * user, may only change the relay map.
 */
#include <sys/stat.h>

#include <stdlib.h>
#include <unistd.h>

#include "auth/proto.h"
#include "auth/sasl.h"
#include "base/arena.h"
#include "base/hash.h"
#include "base/vec.h"
#include "fiber/fiber.h"
#include "log/log.h"
#include "vauthd.h"

#define USER_MAX	(2 * AUTH_NAME_MAX)
#define EXCHANGES_MAX	5000		/* of one client process */
#define RELAY_OPS_MAX	10000

/* What a request for a login carries, and what comes out. */
struct request {
	struct vauthd	*a;
	struct ipc_peer	*peer;
	uint32_t	 serial;
	uint16_t	 type;
	char		 service[16];
	struct net_addr	 addr;
	char		 addr_text[NET_ADDR_TEXT_MAX];
	struct sb	 user, password, banner;
	struct accounts	*acc;
	unsigned	 generation;	/* of remembered logins, when <acc> was taken */
	int64_t		 began;
	enum auth_result result;
	bool		 unsure;	/* a "no" may be none */
	struct auth_user who;
};

/* A SASL exchange: it belongs to its client's connection. */
struct exchange {
	struct request	 rq;
	uint64_t	 id;
	struct sb	 mech, in, out;
	bool		 has_in;
	struct sasl_exchange *sasl;
	enum sasl_step	 step;
	struct err	 err;
	bool		 busy;		/* a step is under way */
	bool		 gone;		/* the client gave up meanwhile */
};

struct client {
	struct vauthd	*a;
	struct hash	*exchanges;	/* by id */
	bool		 full;		/* may ask everything */
};

/* ---- answers ---- */

static void
reply(struct request *rq, const struct sb *challenge, const struct err *why)
{
	struct sb m = SB_INIT(128 * 1024);

	ipc_begin(&m, AUTH_M_ANSWER);
	ipc_put_u64(&m, AUTH_F_RESULT, rq->result);
	if (challenge != NULL && challenge->len > 0)
		ipc_put_bytes(&m, AUTH_F_DATA, sb_sv(challenge));
	if (rq->result == AUTH_OK) {
		ipc_put_str(&m, AUTH_F_NAME, rq->who.name);
		ipc_put_str(&m, AUTH_F_HOME, rq->who.home);
		ipc_put_u64(&m, AUTH_F_SYSTEM, rq->who.system ? 1 : 0);
		ipc_put_u64(&m, AUTH_F_UID, rq->who.uid);
		ipc_put_u64(&m, AUTH_F_GID, rq->who.gid);
	} else if (why != NULL) {
		ipc_put_str(&m, AUTH_F_STATUS, why->status);
		ipc_put_str(&m, AUTH_F_TEXT, why->text);
	}
	(void)ipc_reply(rq->peer, rq->serial, &m, -1);
	sb_free(&m);
}

static void
explain(enum auth_result r, struct err *err)
{
	if (err->cls != ERR_NONE)
		return;
	if (r == AUTH_FAIL)
		(void)err_set(err, ERR_PERM, "5.7.8", "wrong user name or password");
	else if (r == AUTH_BANNED)
		(void)err_set(err, ERR_PERM, "5.7.0", "too many wrong passwords from your address: try again later");
	else if (r == AUTH_TEMP)
		(void)err_set(err, ERR_TEMP, "4.7.0", "passwords cannot be checked just now: try again later");
}

/* A user's name in a log: no control characters, and no password typed there by mistake at full length. */
static const char *
shown(struct sv user, char buf[64])
{
	size_t n = 0;

	for (size_t i = 0; i < user.len && n < 40; i++)
		buf[n++] = user.p[i] > ' ' && user.p[i] < 0x7f ? user.p[i] : '?';
	buf[n] = '\0';
	return (buf);
}

static bool
opens_relay(const struct request *rq)
{
	return (rq->a->box->pop_before_smtp && rq->addr.family != 0 &&
	    (strcmp(rq->service, "pop3") == 0 || strcmp(rq->service, "imap") == 0));
}

/* The check is done: keep the books, wait where that is due, answer. */
static void
conclude(struct request *rq, const struct sb *challenge, struct err *why)
{
	struct err err = ERR_INIT;
	char name[64];

	if (rq->result == AUTH_OK) {
		guard_right(rq->a->guard, &rq->addr);
		/* A map that cannot be written must not keep people from their mail. */
		if (opens_relay(rq) && relays_login(rq->a->relays, &rq->addr, &err) == -1)
			log_err(NULL, "login not recorded for relaying", &err);
		log_debug(NULL, "service=%s user=%s peer=%s login", rq->service, rq->who.name, rq->addr_text);
	} else if (rq->result == AUTH_FAIL && rq->unsure) {
		/* No guess, so it does not count as one. */
		rq->result = AUTH_TEMP;
		err_clear(why);
		log_warn(NULL, "service=%s user=%s peer=%s not let in: accounts cannot be told for sure just now", rq->service,
		    shown(sb_sv(&rq->user), name), rq->addr_text);
	} else if (rq->result == AUTH_FAIL) {
		int64_t delay = guard_wrong(rq->a->guard, &rq->addr);

		log_info(NULL, "service=%s user=%s peer=%s wrong name or password", rq->service,
		    shown(sb_sv(&rq->user), name), rq->addr_text);
		/* From the question on, so that the time of the check does not show. */
		if (rq->began + delay > fiber_now())
			(void)fiber_sleep(rq->began + delay - fiber_now());
		if (guard_banned(rq->a->guard, &rq->addr)) {
			rq->result = AUTH_BANNED;
			err_clear(why);
		}
	}
	explain(rq->result, why);
	reply(rq, challenge, why);
}

/* ---- requests ---- */

static void
request_free(struct request *rq)
{
	if (rq->password.p != NULL)
		explicit_bzero(rq->password.p, rq->password.cap);
	sb_free(&rq->user);
	sb_free(&rq->password);
	sb_free(&rq->banner);
	accounts_unref(&rq->acc);
	ipc_peer_unref(&rq->peer);
}

/* False if the fields are not what a client of ours sends. */
static bool
request_init(struct request *rq, struct vauthd *a, struct ipc_peer *p, const struct ipc_msg *m)
{
	struct sv service = ipc_get_bytes(m, AUTH_F_SERVICE), peer = ipc_get_bytes(m, AUTH_F_PEER);

	rq->a = a;
	rq->serial = m->serial;
	rq->type = m->type;
	rq->began = fiber_now();
	sb_init(&rq->user, USER_MAX);
	sb_init(&rq->password, PASSWORD_MAX);
	sb_init(&rq->banner, 1024);
	sb_add(&rq->user, ipc_get_bytes(m, AUTH_F_USER));
	sb_add(&rq->password, ipc_get_bytes(m, AUTH_F_PASSWORD));
	sb_add(&rq->banner, ipc_get_bytes(m, AUTH_F_BANNER));
	rq->peer = ipc_peer_ref(p);
	if (service.len >= sizeof(rq->service) || service.len == 0 || rq->user.overflow || rq->password.overflow ||
	    rq->banner.overflow)
		return (false);
	memcpy(rq->service, service.p, service.len);
	if (net_addr_parse(peer, &rq->addr))
		(void)net_addr_text(&rq->addr, rq->addr_text);
	accounts_refresh(a);
	rq->acc = accounts_ref(a);
	rq->generation = logins_generation(a->logins);
	return (true);
}

static void
check_job(void *arg)
{
	struct request *rq = arg;

	if (rq->type == AUTH_M_APOP)
		rq->result = accounts_apop(rq->a, rq->acc, sb_sv(&rq->user), sb_sv(&rq->banner), sb_sv(&rq->password), &rq->who);
	else
		rq->result = accounts_check(rq->a, rq->acc, rq->generation, rq->service, rq->addr_text, sb_sv(&rq->user),
		    sb_sv(&rq->password), &rq->who);
	if (rq->result == AUTH_FAIL)
		rq->unsure = accounts_unsure(rq->a, rq->acc, sb_sv(&rq->user));
}

static void
login_fiber(void *arg)
{
	struct request *rq = arg;
	struct err err = ERR_INIT;

	if (guard_banned(rq->a->guard, &rq->addr)) {
		rq->result = AUTH_BANNED;
		explain(rq->result, &err);
		reply(rq, NULL, &err);
	} else {
		/* What is remembered needs no thread. */
		if (rq->type == AUTH_M_LOGIN && logins_get(rq->a->logins, rq->service, sb_sv(&rq->user), sb_sv(&rq->password),
		    &rq->who))
			rq->result = AUTH_OK;
		else
			fiber_offload(check_job, rq);
		conclude(rq, NULL, &err);
	}
	request_free(rq);
	free(rq);
}

static void
refuse(struct ipc_peer *p, uint32_t serial, const char *text)
{
	struct request rq = { .peer = p, .serial = serial, .result = AUTH_TEMP };
	struct err err = ERR_INIT;

	(void)err_set(&err, ERR_TEMP, "4.7.0", "%s", text);
	reply(&rq, NULL, &err);
}

static void
on_login(struct vauthd *a, struct ipc_peer *p, const struct ipc_msg *m)
{
	struct request *rq = xcalloc(1, sizeof(*rq));

	if (!request_init(rq, a, p, m)) {
		request_free(rq);
		free(rq);
		ipc_peer_close(p);
	} else if (fiber_spawn("login", login_fiber, rq) == NULL) {
		refuse(p, m->serial, "too many logins at once");
		request_free(rq);
		free(rq);
	}
}

static void
on_lookup(struct vauthd *a, struct ipc_peer *p, const struct ipc_msg *m)
{
	struct request rq = { .peer = p, .serial = m->serial };
	struct accounts *acc;
	struct err err = ERR_INIT;

	accounts_refresh(a);
	acc = accounts_ref(a);
	rq.result = accounts_lookup(a, acc, ipc_get_bytes(m, AUTH_F_USER), &rq.who);
	if (rq.result == AUTH_FAIL && accounts_unsure(a, acc, ipc_get_bytes(m, AUTH_F_USER)))
		rq.result = AUTH_TEMP;
	if (rq.result == AUTH_FAIL)
		(void)err_set(&err, ERR_PERM, "5.1.1", "no such user");
	explain(rq.result, &err);
	reply(&rq, NULL, &err);
	accounts_unref(&acc);
}

/* ---- SASL ---- */

static void
backend_secret(void *arg, struct sv user, struct sb *scram, struct sb *plain)
{
	struct exchange *x = arg;
	const struct vuser *u = accounts_find(x->rq.a, x->rq.acc, user);
	struct sv text = SV_NULL;
	enum vusers_scheme s = u == NULL ? VUSERS_NONE : vusers_scheme(u->password, &text);
	struct err err = ERR_INIT;

	if (plain != NULL && s == VUSERS_PLAIN)
		sb_add(plain, text);
	if (scram == NULL)
		return;
	if (s == VUSERS_SCRAM && sv_starts(text, "SCRAM-SHA-256$"))
		sb_add(scram, text);
	else if (s == VUSERS_PLAIN)
		(void)vusers_scram_key(text, SV_LIT("vpost-clear-text"), 4096, scram, &err);
	if (scram->len == 0)
		accounts_fake_key(x->rq.acc, user, scram);
}

static enum sasl_check
backend_check(void *arg, struct sv user, struct sv password)
{
	struct exchange *x = arg;
	struct auth_user who;

	switch (accounts_check(x->rq.a, x->rq.acc, x->rq.generation, x->rq.service, x->rq.addr_text, user, password, &who)) {
	case AUTH_OK:
		return (SASL_CHECK_OK);
	case AUTH_TEMP:
		return (SASL_CHECK_TEMP);
	default:
		return (SASL_CHECK_WRONG);
	}
}

static const struct sasl_backend backend = { backend_secret, backend_check };

static void
exchange_free(struct exchange *x)
{
	sasl_exchange_free(&x->sasl);
	request_free(&x->rq);
	sb_free(&x->mech);
	if (x->in.p != NULL)
		explicit_bzero(x->in.p, x->in.cap);
	sb_free(&x->in);
	sb_free(&x->out);
	free(x);
}

static struct sv
exchange_key(const uint64_t *id)
{
	return (sv_from((const char *)id, sizeof(*id)));
}

static void
step_job(void *arg)
{
	struct exchange *x = arg;
	const struct box *b = x->rq.a->box;
	struct sv in = sb_sv(&x->in);

	if (x->sasl != NULL)
		x->step = sasl_exchange_step(x->sasl, in, &x->out, &x->err);
	else
		x->step = sasl_exchange_start(&x->sasl, x->rq.service, b->hostname[0] == '\0' ? "localhost" : b->hostname,
		    b->cram_md5 ? AUTH_SASL_ALL : AUTH_SASL_PLAIN, sb_sv(&x->mech), x->has_in ? &in : NULL, x, &x->out, &x->err);
	if (x->sasl == NULL)
		return;
	sb_clear(&x->rq.user);
	sb_add(&x->rq.user, sasl_exchange_user(x->sasl));
	/* Who it was, in the account's own spelling. */
	if (x->step == SASL_STEP_OK)
		x->rq.result = accounts_lookup(x->rq.a, x->rq.acc, sb_sv(&x->rq.user), &x->rq.who);
	else if (x->step == SASL_STEP_WRONG)
		x->rq.unsure = accounts_unsure(x->rq.a, x->rq.acc, sb_sv(&x->rq.user));
}

/* One step; the exchange is in its client's table, and busy, so that nobody else frees it. */
static void
step_fiber(void *arg)
{
	struct exchange *x = arg;
	struct client *c;

	sb_clear(&x->out);
	err_clear(&x->err);
	if (guard_banned(x->rq.a->guard, &x->rq.addr)) {
		x->rq.result = AUTH_BANNED;
		explain(AUTH_BANNED, &x->err);
		reply(&x->rq, NULL, &x->err);
	} else {
		fiber_offload(step_job, x);
		if (x->step == SASL_STEP_CONTINUE && !x->gone) {
			x->rq.result = AUTH_CONTINUE;
			reply(&x->rq, &x->out, NULL);
			x->busy = false;
			return;
		}
		if (x->step != SASL_STEP_OK)
			x->rq.result = x->step == SASL_STEP_TEMP ? AUTH_TEMP : AUTH_FAIL;
		if (x->step == SASL_STEP_BAD || x->gone)
			reply(&x->rq, NULL, &x->err);		/* no guess: no delay */
		else
			conclude(&x->rq, &x->out, &x->err);
	}
	c = x->gone ? NULL : ipc_peer_data(x->rq.peer);
	if (c != NULL)
		(void)hash_del(c->exchanges, exchange_key(&x->id));
	exchange_free(x);
}

static void
run_step(struct client *c, struct exchange *x)
{
	x->busy = true;
	if (fiber_spawn("sasl", step_fiber, x) == NULL) {
		refuse(x->rq.peer, x->rq.serial, "too many logins at once");
		(void)hash_del(c->exchanges, exchange_key(&x->id));
		exchange_free(x);
	}
}

static void
on_start(struct client *c, struct ipc_peer *p, const struct ipc_msg *m)
{
	struct exchange *x;
	struct sv data = ipc_get_bytes(m, AUTH_F_DATA);

	if (hash_count(c->exchanges) >= EXCHANGES_MAX) {
		refuse(p, m->serial, "too many logins at once");
		return;
	}
	x = xcalloc(1, sizeof(*x));
	x->id = ipc_get_u64(m, AUTH_F_EXCHANGE, 0);
	sb_init(&x->mech, 64);
	sb_init(&x->in, AUTH_DATA_MAX);
	sb_init(&x->out, 128 * 1024);
	sb_add(&x->mech, ipc_get_bytes(m, AUTH_F_MECH));
	sb_add(&x->in, data);
	x->has_in = data.p != NULL;
	if (!request_init(&x->rq, c->a, p, m) || x->mech.overflow || x->in.overflow ||
	    hash_get(c->exchanges, exchange_key(&x->id)) != NULL) {
		exchange_free(x);
		ipc_peer_close(p);
		return;
	}
	(void)hash_set(c->exchanges, exchange_key(&x->id), x);
	run_step(c, x);
}

static void
on_step(struct client *c, struct ipc_peer *p, const struct ipc_msg *m)
{
	uint64_t id = ipc_get_u64(m, AUTH_F_EXCHANGE, 0);
	struct exchange *x = hash_get(c->exchanges, exchange_key(&id));

	/* After our restart the client's exchange is unknown. */
	if (x == NULL || x->busy) {
		refuse(p, m->serial, "this login was interrupted: try again");
		return;
	}
	x->rq.serial = m->serial;
	x->rq.began = fiber_now();
	sb_clear(&x->in);
	sb_add(&x->in, ipc_get_bytes(m, AUTH_F_DATA));
	run_step(c, x);
}

static void
drop(struct client *c, struct exchange *x)
{
	(void)hash_del(c->exchanges, exchange_key(&x->id));
	if (x->busy)
		x->gone = true;
	else
		exchange_free(x);
}

static void
on_abort(struct client *c, const struct ipc_msg *m)
{
	uint64_t id = ipc_get_u64(m, AUTH_F_EXCHANGE, 0);
	struct exchange *x = hash_get(c->exchanges, exchange_key(&id));

	if (x != NULL)
		drop(c, x);
}

/* ---- the relay map ---- */

struct change {
	struct vauthd	*a;
	struct ipc_peer	*peer;
	uint32_t	 serial;
	VEC(struct relay_op) ops;
};

static void
change_free(struct change *ch)
{
	ipc_peer_unref(&ch->peer);
	vec_free(&ch->ops);
	free(ch);
}

static void
change_fiber(void *arg)
{
	struct change *ch = arg;
	struct sb m = SB_INIT(IPC_FRAME_MAX);
	struct err err = ERR_INIT;
	int rc = relays_change(ch->a->relays, ch->ops.p, ch->ops.len, &err);

	ipc_begin(&m, AUTH_M_ANSWER);
	ipc_put_u64(&m, AUTH_F_RESULT, rc == 0 ? AUTH_OK : AUTH_TEMP);
	if (rc == -1) {
		ipc_put_str(&m, AUTH_F_STATUS, err.status);
		ipc_put_str(&m, AUTH_F_TEXT, err.text);
	}
	for (size_t i = 0; rc == 0 && i < ch->ops.len; i++)
		if (ch->ops.p[i].kind == RELAY_DELETE)
			ipc_put_u64(&m, AUTH_F_FOUND, ch->ops.p[i].found ? 1 : 0);
	(void)ipc_reply(ch->peer, ch->serial, &m, -1);
	sb_free(&m);
	change_free(ch);
}

/* The operations of a message; false if it is malformed. */
static bool
parse_ops(const struct ipc_msg *m, struct change *ch)
{
	struct ipc_field f;
	size_t pos = 0;

	while (ipc_next(m, &pos, &f)) {
		struct relay_op op = { .kind = RELAY_ADD }, *last = ch->ops.len == 0 ? NULL : &ch->ops.p[ch->ops.len - 1];

		if (f.tag == AUTH_F_OP && f.kind == IPC_U64) {
			if (f.u64 < RELAY_ADD || f.u64 > RELAY_EXPIRE || ch->ops.len >= RELAY_OPS_MAX)
				return (false);
			op.kind = (enum relay_kind)f.u64;
			vec_push(&ch->ops, op);
		} else if (f.tag == AUTH_F_ADDR && f.kind == IPC_BYTES) {
			if (last == NULL || !relay_key(f.bytes, last->key))
				return (false);
		} else if (f.tag == AUTH_F_TICKS && f.kind == IPC_U64) {
			if (last == NULL || f.u64 > INT64_MAX)
				return (false);
			last->ticks = (int64_t)f.u64;
		}
	}
	for (size_t i = 0; i < ch->ops.len; i++)
		if (ch->ops.p[i].kind != RELAY_EXPIRE && ch->ops.p[i].key[0] == '\0')
			return (false);
	return (ch->ops.len > 0);
}

static void
on_relay(struct vauthd *a, struct ipc_peer *p, const struct ipc_msg *m)
{
	struct change *ch = xcalloc(1, sizeof(*ch));

	ch->a = a;
	ch->peer = ipc_peer_ref(p);
	ch->serial = m->serial;
	if (!parse_ops(m, ch)) {
		ipc_peer_close(p);
		change_free(ch);
	} else if (fiber_spawn("relay", change_fiber, ch) == NULL) {
		refuse(p, m->serial, "too many requests at once");
		change_free(ch);
	}
}

/* ---- connections ---- */

static void
on_message(void *arg, struct ipc_peer *p, const struct ipc_msg *m, int fd)
{
	struct client *c = ipc_peer_data(p);

	if (fd != -1)
		(void)close(fd);
	if (!c->full && m->type != AUTH_M_RELAY) {
		ipc_peer_close(p);
		return;
	}
	switch (m->type) {
	case AUTH_M_LOGIN:
	case AUTH_M_APOP:
		on_login(c->a, p, m);
		break;
	case AUTH_M_START:
		on_start(c, p, m);
		break;
	case AUTH_M_STEP:
		on_step(c, p, m);
		break;
	case AUTH_M_ABORT:
		on_abort(c, m);
		break;
	case AUTH_M_LOOKUP:
		on_lookup(c->a, p, m);
		break;
	case AUTH_M_RELAY:
		on_relay(c->a, p, m);
		break;
	default:
		ipc_peer_close(p);
	}
}

static void
on_connected(void *arg, struct ipc_peer *p)
{
	struct client *c = xcalloc(1, sizeof(*c));
	uid_t uid = ipc_peer_uid(p);
	struct stat st;

	c->a = arg;
	c->exchanges = hash_new();
	c->full = uid == geteuid() || uid == 0;
	ipc_peer_set_data(p, c);
	if (!c->full && (stat(box_path(c->a->box, BOX_ETC), &st) == -1 || st.st_uid != uid))
		ipc_peer_close(p);
}

static void
on_closed(void *arg, struct ipc_peer *p)
{
	struct client *c = ipc_peer_data(p);
	size_t pos = 0;
	struct sv key;
	void *value;

	if (c == NULL)
		return;
	ipc_peer_set_data(p, NULL);
	while (hash_next(c->exchanges, &pos, &key, &value))
		drop(c, value);
	hash_free(&c->exchanges, NULL);
	free(c);
}

/* A changed etc/vusers is published even when nobody logs in. */
static void
watch(void *arg)
{
	struct vauthd *a = arg;

	do
		accounts_refresh(a);
	while (fiber_sleep(1000) != FIBER_CANCELLED);
}

int
server_start(struct vauthd *a, struct err *err)
{
	static struct ipc_handler h = { .message = on_message, .connected = on_connected, .closed = on_closed };
	int fd;

	if (sasl_env_open(&backend, err) == -1)
		return (-1);
	accounts_refresh(a);
	if (fiber_spawn("watch", watch, a) == NULL)
		return (err_set(err, ERR_TEMP, NULL, "no fibers"));
	/* Who connects is looked at: the owner of the box, for vsmtprelay, may be another user than we are. */
	fd = ipc_listen(box_path(a->box, BOX_SOCK_AUTH), 0666, err);
	if (fd == -1)
		return (-1);
	h.arg = a;
	return (ipc_server_new(fd, &h, true, err) == NULL ? -1 : 0);
}
