/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests to vstored and its announcements, for session processes. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/hash.h"
#include "fiber/fiber.h"
#include "store/client.h"
#include "store/proto.h"
#include "store/record.h"

#define CALL_MS		30000
#define RESTART_MS	3000		/* so long a store that is started anew is waited for */
#define RETRY_MS	50
#define WATCH_BATCH	4096		/* mailboxes in one frame */

struct watch {
	uint64_t	 mbox;
	unsigned	 n;
};

struct store_client {
	struct ipc_client *ipc;
	struct hash	*watches;	/* mailbox -> struct watch */
	void		(*fn)(void *arg, uint64_t mbox);
	void		*arg;
};

/* ---- sets ---- */

bool
store_set_put(struct sb *m, uint8_t tag, const struct store_range *set, size_t n)
{
	struct sb b = SB_INIT(STORE_RANGES_MAX * 8);
	bool ok;

	rec_ranges_put(&b, set, n);
	ok = !b.overflow && rec_ranges_count(sb_sv(&b)) >= 0;
	if (ok)
		ipc_put_bytes(m, tag, sb_sv(&b));
	sb_free(&b);
	return (ok && !m->overflow);
}

bool
store_set_get(struct sv v, store_ranges *out)
{
	ptrdiff_t n = rec_ranges_count(v);

	if (n < 0 || n > STORE_RANGES_MAX)
		return (false);
	vec_reserve(out, out->len + (size_t)n);
	for (ptrdiff_t i = 0; i < n; i++)
		rec_ranges_at(v, (size_t)i, &out->p[out->len++]);
	return (true);
}

/* ---- announcements ---- */

static struct sv
watch_key(const uint64_t *mbox)
{
	return (sv_from((const char *)mbox, sizeof(*mbox)));
}

static void
on_notice(void *arg, const struct ipc_msg *m)
{
	struct store_client *c = arg;
	struct ipc_field f;
	size_t pos = 0;

	if (m->type != STORE_IPC_CHANGED || c->fn == NULL)
		return;
	while (ipc_next(m, &pos, &f))
		if (f.tag == STORE_T_MBOX && f.kind == IPC_U64)
			c->fn(c->arg, f.u64);
}

static void
send_watch(struct store_client *c, uint16_t type, uint64_t mbox)
{
	struct sb m = SB_INIT(64);

	ipc_begin(&m, type);
	ipc_put_u64(&m, STORE_T_MBOX, mbox);
	(void)ipc_notify(c->ipc, &m);
	sb_free(&m);
}

/* vstored is back and knows nothing: set all watches again.  It answers each with an announcement. */
static void
on_connect(void *arg, struct ipc_client *ipc)
{
	struct store_client *c = arg;
	struct sb m = SB_INIT(IPC_FRAME_MAX);
	size_t pos = 0, n = 0;
	struct sv key;
	void *v;

	ipc_begin(&m, STORE_IPC_WATCH);
	while (hash_next(c->watches, &pos, &key, &v)) {
		ipc_put_u64(&m, STORE_T_MBOX, ((const struct watch *)v)->mbox);
		if (++n % WATCH_BATCH == 0) {
			(void)ipc_notify(ipc, &m);
			ipc_begin(&m, STORE_IPC_WATCH);
		}
	}
	if (n % WATCH_BATCH != 0)
		(void)ipc_notify(ipc, &m);
	sb_free(&m);
}

void
store_client_on_change(struct store_client *c, void (*fn)(void *arg, uint64_t mbox), void *arg)
{
	c->fn = fn;
	c->arg = arg;
}

void
store_client_watch(struct store_client *c, uint64_t mbox)
{
	struct watch *x = hash_get(c->watches, watch_key(&mbox));

	if (x != NULL) {
		x->n++;
		return;
	}
	x = xcalloc(1, sizeof(*x));
	*x = (struct watch){ mbox, 1 };
	(void)hash_set(c->watches, watch_key(&mbox), x);
	/* Not connected: on_connect will do it. */
	send_watch(c, STORE_IPC_WATCH, mbox);
}

void
store_client_unwatch(struct store_client *c, uint64_t mbox)
{
	struct watch *x = hash_get(c->watches, watch_key(&mbox));

	if (x == NULL || --x->n > 0)
		return;
	free(hash_del(c->watches, watch_key(&mbox)));
	send_watch(c, STORE_IPC_UNWATCH, mbox);
}

/* ---- the client ---- */

struct store_client *
store_client_new(const char *path)
{
	struct store_client *c = xcalloc(1, sizeof(*c));

	c->ipc = ipc_client_new(path);
	c->watches = hash_new();
	ipc_client_on_notice(c->ipc, on_notice, c);
	ipc_client_on_connect(c->ipc, on_connect, c);
	return (c);
}

void
store_client_free(struct store_client **cp)
{
	struct store_client *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	ipc_client_free(&c->ipc);
	hash_free(&c->watches, free);
	free(c);
}

int
store_client_connect(struct store_client *c, struct err *err)
{
	return (ipc_client_connect(c->ipc, err));
}

/* What was not asked can be asked again, while vstored is being started anew. */
static int
ask(struct store_client *c, const struct sb *m, int fd, struct ipc_msg *reply, struct err *err)
{
	int64_t give_up = FIBER_NOW_PLUS(RESTART_MS), deadline = FIBER_NOW_PLUS(CALL_MS);
	struct err why = ERR_INIT;

	while (ipc_call(c->ipc, m, fd, reply, NULL, deadline, &why) == -1) {
		if (strcmp(why.status, IPC_E_AWAY) != 0)
			return (err_set(err, why.cls, why.status, "%s", why.text));
		if (fiber_now() >= give_up || fiber_sleep(RETRY_MS) == FIBER_CANCELLED)
			return (err_set(err, ERR_TEMP, IPC_E_AWAY, "the mail store does not answer now; try again in a moment"));
		err_clear(&why);
	}
	return (0);
}

/* Send <m> (which is freed) and wait; *<reply> is the caller's to free where 0 is returned. */
static int
call(struct store_client *c, struct sb *m, int fd, struct ipc_msg *reply, struct err *err)
{
	int rc;

	if (m->overflow)
		rc = err_set(err, ERR_PERM, STORE_E_LIMIT, "the request is too large");
	else
		rc = ask(c, m, fd, reply, err);
	sb_free(m);
	return (rc);
}

/* The same where the reply says nothing but that it was done. */
static int
call_void(struct store_client *c, struct sb *m, struct err *err)
{
	struct ipc_msg reply;

	if (call(c, m, -1, &reply, err) == -1)
		return (-1);
	ipc_msg_free(&reply);
	return (0);
}

static void
begin(struct sb *m, enum store_ipc type, struct sv user, const struct sv *name)
{
	ipc_begin(m, (uint16_t)type);
	ipc_put_bytes(m, STORE_T_USER, user);
	if (name != NULL)
		ipc_put_bytes(m, STORE_T_NAME, *name);
}

static int
call_mbox(struct store_client *c, struct sb *m, uint64_t *mbox, struct err *err)
{
	struct ipc_msg reply;

	if (call(c, m, -1, &reply, err) == -1)
		return (-1);
	*mbox = ipc_get_u64(&reply, STORE_T_MBOX, 0);
	ipc_msg_free(&reply);
	return (0);
}

/* ---- mailboxes ---- */

int
store_client_create(struct store_client *c, struct sv user, struct sv name, uint64_t *mbox, struct err *err)
{
	struct sb m = SB_INIT(8192);

	begin(&m, STORE_IPC_CREATE, user, &name);
	return (call_mbox(c, &m, mbox, err));
}

int
store_client_ensure_inbox(struct store_client *c, struct sv user, uint64_t *mbox, struct err *err)
{
	struct sb m = SB_INIT(8192);

	begin(&m, STORE_IPC_INBOX, user, NULL);
	return (call_mbox(c, &m, mbox, err));
}

int
store_client_delete(struct store_client *c, struct sv user, struct sv name, struct err *err)
{
	struct sb m = SB_INIT(8192);

	begin(&m, STORE_IPC_DELETE, user, &name);
	return (call_void(c, &m, err));
}

int
store_client_rename(struct store_client *c, struct sv user, struct sv from, struct sv to, struct err *err)
{
	struct sb m = SB_INIT(8192);

	begin(&m, STORE_IPC_RENAME, user, &from);
	ipc_put_bytes(&m, STORE_T_TO, to);
	return (call_void(c, &m, err));
}

int
store_client_subscribe(struct store_client *c, struct sv user, struct sv name, bool on, struct err *err)
{
	struct sb m = SB_INIT(8192);

	begin(&m, STORE_IPC_SUBSCRIBE, user, &name);
	ipc_put_u64(&m, STORE_T_ON, on);
	return (call_void(c, &m, err));
}

int
store_client_set_acl(struct store_client *c, struct sv user, struct sv name, struct sv id, struct sv rights,
    struct err *err)
{
	struct sb m = SB_INIT(8192);

	begin(&m, STORE_IPC_SETACL, user, &name);
	ipc_put_bytes(&m, STORE_T_ID, id);
	ipc_put_bytes(&m, STORE_T_RIGHTS, rights);
	return (call_void(c, &m, err));
}

/* ---- messages ---- */

static int
put_set(struct sb *m, uint8_t tag, const struct store_range *set, size_t n, struct err *err)
{
	if (store_set_put(m, tag, set, n))
		return (0);
	sb_free(m);
	return (err_set(err, ERR_PERM, STORE_E_LIMIT, "not a UID set, or one of too many ranges"));
}

static void
put_flags(struct sb *m, const struct store_flags *flags)
{
	ipc_put_u64(m, STORE_T_FLAGS, flags->sys);
	for (size_t i = 0; i < flags->nkeywords; i++)
		ipc_put_bytes(m, STORE_T_KEYWORD, flags->keywords[i]);
}

int
store_client_flags(struct store_client *c, struct sv user, uint64_t mbox, const struct store_range *set, size_t nset,
    enum store_flag_op op, const struct store_flags *flags, uint64_t unchangedsince, store_ranges *failed,
    uint64_t *modseq, struct err *err)
{
	struct sb m = SB_INIT(IPC_FRAME_MAX);
	struct ipc_msg reply;
	bool ok = true;

	begin(&m, STORE_IPC_FLAGS, user, NULL);
	ipc_put_u64(&m, STORE_T_MBOX, mbox);
	ipc_put_u64(&m, STORE_T_OP, (uint64_t)op);
	put_flags(&m, flags);
	if (unchangedsince != UINT64_MAX)
		ipc_put_u64(&m, STORE_T_SINCE, unchangedsince);
	if (put_set(&m, STORE_T_SET, set, nset, err) == -1 || call(c, &m, -1, &reply, err) == -1)
		return (-1);
	*modseq = ipc_get_u64(&reply, STORE_T_MODSEQ, 0);
	if (failed != NULL)
		ok = store_set_get(ipc_get_bytes(&reply, STORE_T_FAILED), failed);
	ipc_msg_free(&reply);
	return (ok ? 0 : err_set(err, ERR_TEMP, NULL, "malformed answer of the store"));
}

int
store_client_expunge(struct store_client *c, struct sv user, uint64_t mbox, const struct store_range *set, size_t nset,
    bool only_deleted, uint32_t *n, struct err *err)
{
	struct sb m = SB_INIT(IPC_FRAME_MAX);
	struct ipc_msg reply;

	begin(&m, STORE_IPC_EXPUNGE, user, NULL);
	ipc_put_u64(&m, STORE_T_MBOX, mbox);
	ipc_put_u64(&m, STORE_T_ON, only_deleted);
	if (put_set(&m, STORE_T_SET, set, nset, err) == -1 || call(c, &m, -1, &reply, err) == -1)
		return (-1);
	if (n != NULL)
		*n = (uint32_t)ipc_get_u64(&reply, STORE_T_COUNT, 0);
	ipc_msg_free(&reply);
	return (0);
}

int
store_client_append(struct store_client *c, struct sv user, struct sv name, int fd, uint64_t off, uint64_t len,
    const struct store_flags *flags, int64_t date, struct store_appended *out, struct err *err)
{
	struct sb m = SB_INIT(IPC_FRAME_MAX);
	struct ipc_msg reply;

	begin(&m, STORE_IPC_APPEND, user, &name);
	ipc_put_u64(&m, STORE_T_OFF, off);
	ipc_put_u64(&m, STORE_T_LEN, len);
	ipc_put_u64(&m, STORE_T_DATE, (uint64_t)date);
	put_flags(&m, flags);
	if (call(c, &m, fd, &reply, err) == -1)
		return (-1);
	*out = (struct store_appended){ ipc_get_u64(&reply, STORE_T_MBOX, 0),
	    (uint32_t)ipc_get_u64(&reply, STORE_T_UIDVALIDITY, 0), (uint32_t)ipc_get_u64(&reply, STORE_T_UID, 0) };
	ipc_msg_free(&reply);
	return (0);
}

int
store_client_copy(struct store_client *c, struct sv user, uint64_t mbox, const struct store_range *set, size_t nset,
    struct sv to, bool move, struct store_copied *out, struct err *err)
{
	struct sb m = SB_INIT(IPC_FRAME_MAX);
	struct ipc_msg reply;
	bool ok;

	memset(out, 0, sizeof(*out));
	begin(&m, STORE_IPC_COPY, user, NULL);
	ipc_put_u64(&m, STORE_T_MBOX, mbox);
	ipc_put_u64(&m, STORE_T_ON, move);
	ipc_put_bytes(&m, STORE_T_TO, to);
	if (put_set(&m, STORE_T_SET, set, nset, err) == -1 || call(c, &m, -1, &reply, err) == -1)
		return (-1);
	out->uidvalidity = (uint32_t)ipc_get_u64(&reply, STORE_T_UIDVALIDITY, 0);
	ok = store_set_get(ipc_get_bytes(&reply, STORE_T_SET), &out->from) &&
	    store_set_get(ipc_get_bytes(&reply, STORE_T_TOSET), &out->to);
	ipc_msg_free(&reply);
	return (ok ? 0 : err_set(err, ERR_TEMP, NULL, "malformed answer of the store"));
}

void
store_copied_free(struct store_copied *out)
{
	vec_free(&out->from);
	vec_free(&out->to);
}

int
store_client_claim_recent(struct store_client *c, uint64_t mbox, uint32_t *first_recent, struct err *err)
{
	struct sb m = SB_INIT(1024);
	struct ipc_msg reply;

	begin(&m, STORE_IPC_RECENT, SV_NULL, NULL);
	ipc_put_u64(&m, STORE_T_MBOX, mbox);
	if (call(c, &m, -1, &reply, err) == -1)
		return (-1);
	*first_recent = (uint32_t)ipc_get_u64(&reply, STORE_T_UID, 0);
	ipc_msg_free(&reply);
	return (0);
}

void
store_client_cache(struct store_client *c, uint64_t mbox, const struct store_range *set, size_t nset)
{
	struct sb m = SB_INIT(IPC_FRAME_MAX);

	ipc_begin(&m, STORE_IPC_CACHE);
	ipc_put_u64(&m, STORE_T_MBOX, mbox);
	if (store_set_put(&m, STORE_T_SET, set, nset))
		(void)ipc_notify(c->ipc, &m);
	sb_free(&m);
}

int
store_client_lock(struct store_client *c, uint64_t mbox, struct err *err)
{
	struct sb m = SB_INIT(1024);

	begin(&m, STORE_IPC_LOCK, SV_NULL, NULL);
	ipc_put_u64(&m, STORE_T_MBOX, mbox);
	return (call_void(c, &m, err));
}

void
store_client_unlock(struct store_client *c, uint64_t mbox)
{
	send_watch(c, STORE_IPC_UNLOCK, mbox);
}
