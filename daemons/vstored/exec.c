/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests inside a batch: fields to arguments, one call of the writer, result to the
 * reply.  Runs on the batch's thread and touches nothing but the job and the writer.
 */
#include <string.h>

#include "store/record.h"
#include "vstored.h"

static struct sv
user_of(const struct job *j)
{
	return (sv_taint(ipc_get_bytes(&j->msg, STORE_T_USER)));
}

static struct sv
name_of(const struct job *j)
{
	return (sv_taint(ipc_get_bytes(&j->msg, STORE_T_NAME)));
}

static uint64_t
mbox_of(const struct job *j)
{
	return (ipc_get_u64(&j->msg, STORE_T_MBOX, 0));
}

static int
set_of(const struct job *j, store_ranges *set, struct err *err)
{
	if (store_set_get(ipc_get_bytes(&j->msg, STORE_T_SET), set))
		return (0);
	return (err_set(err, ERR_PERM, "5.5.2", "malformed set of UIDs"));
}

/* Flags and keywords of the request; <kw> holds the keywords. */
static int
flags_of(const struct job *j, struct store_flags *f, struct sv kw[STORE_KEYWORDS_MAX], struct err *err)
{
	struct ipc_field field;
	size_t pos = 0;

	*f = (struct store_flags){ .sys = (unsigned)ipc_get_u64(&j->msg, STORE_T_FLAGS, 0) & STORE_SYSFLAGS,
	    .keywords = kw };
	while (ipc_next(&j->msg, &pos, &field)) {
		if (field.tag != STORE_T_KEYWORD || field.kind != IPC_BYTES)
			continue;
		if (f->nkeywords == STORE_KEYWORDS_MAX)
			return (err_set(err, ERR_PERM, STORE_E_LIMIT, "more than %d keywords", STORE_KEYWORDS_MAX));
		kw[f->nkeywords++] = field.bytes;
	}
	return (0);
}

static void
put_ranges(struct sb *m, uint8_t tag, const store_ranges *r)
{
	struct sb b = SB_INIT(IPC_FRAME_MAX);

	rec_ranges_put(&b, r->p, r->len);
	ipc_put_bytes(m, tag, sb_sv(&b));
	sb_free(&b);
}

/* ---- one function per request ---- */

static int
do_deliver(struct store_writer *w, struct job *j, struct err *err)
{
	struct store_delivery d;
	struct store_answer a;
	size_t pos = 0;
	int rc;

	(void)err;
	while ((rc = store_deliver_next(&j->msg, &pos, &d)) == 1) {
		store_writer_deliver(w, &d, &a);
		store_answers_add(&j->reply, &a);
	}
	/* The frame was walked before it was queued, see server.c. */
	return (rc);
}

static int
do_forget(struct store_writer *w, struct job *j, struct err *err)
{
	struct sv message = ipc_get_bytes(&j->msg, STORE_T_ID);
	bool others = ipc_get_u64(&j->msg, STORE_T_OTHERS, 0) != 0;
	VEC(struct sv) keep = VEC_INIT;
	VEC(uint64_t) origins = VEC_INIT;
	struct ipc_field f;
	size_t pos = 0;
	int rc;

	while (ipc_next(&j->msg, &pos, &f)) {
		if (f.tag == STORE_T_MESSAGE && f.kind == IPC_BYTES)
			vec_push(&keep, f.bytes);
		else if (f.tag == STORE_T_ORIGIN && f.kind == IPC_U64)
			vec_push(&origins, f.u64);
	}
	if (others)
		rc = store_writer_forget_others(w, origins.p, origins.len, err);
	else if (origins.len != 1)
		rc = err_set(err, ERR_PERM, "5.5.2", "nothing to forget");
	else if (message.p != NULL)
		rc = store_writer_forget_message(w, origins.p[0], message, err);
	else
		rc = store_writer_forget(w, origins.p[0], keep.p, keep.len, err);
	vec_free(&keep);
	vec_free(&origins);
	return (rc);
}

static int
do_create(struct store_writer *w, struct job *j, struct err *err)
{
	uint64_t id;

	if (store_writer_create(w, user_of(j), name_of(j), &id, err) == -1)
		return (-1);
	ipc_put_u64(&j->reply, STORE_T_MBOX, id);
	return (0);
}

static int
do_inbox(struct store_writer *w, struct job *j, struct err *err)
{
	uint64_t id;

	if (store_writer_ensure_inbox(w, user_of(j), &id, err) == -1)
		return (-1);
	ipc_put_u64(&j->reply, STORE_T_MBOX, id);
	return (0);
}

static int
do_delete(struct store_writer *w, struct job *j, struct err *err)
{
	return (store_writer_delete(w, user_of(j), name_of(j), err));
}

static int
do_rename(struct store_writer *w, struct job *j, struct err *err)
{
	return (store_writer_rename(w, user_of(j), name_of(j), ipc_get_bytes(&j->msg, STORE_T_TO), err));
}

static int
do_subscribe(struct store_writer *w, struct job *j, struct err *err)
{
	return (store_writer_subscribe(w, user_of(j), name_of(j), ipc_get_u64(&j->msg, STORE_T_ON, 0) != 0, err));
}

static int
do_setacl(struct store_writer *w, struct job *j, struct err *err)
{
	return (store_writer_set_acl(w, user_of(j), name_of(j), ipc_get_bytes(&j->msg, STORE_T_ID),
	    ipc_get_bytes(&j->msg, STORE_T_RIGHTS), err));
}

static int
do_flags(struct store_writer *w, struct job *j, struct err *err)
{
	uint64_t op = ipc_get_u64(&j->msg, STORE_T_OP, 99), modseq = 0;
	struct sv kw[STORE_KEYWORDS_MAX];
	store_ranges set = VEC_INIT, failed = VEC_INIT;
	struct store_flags f;
	int rc = -1;

	if (op > STORE_FLAGS_REMOVE)
		return (err_set(err, ERR_PERM, "5.5.2", "malformed request"));
	if (set_of(j, &set, err) == 0 && flags_of(j, &f, kw, err) == 0)
		rc = store_writer_flags(w, user_of(j), mbox_of(j), set.p, set.len, (enum store_flag_op)op, &f,
		    ipc_get_u64(&j->msg, STORE_T_SINCE, UINT64_MAX), &failed, &modseq, err);
	if (rc == 0) {
		ipc_put_u64(&j->reply, STORE_T_MODSEQ, modseq);
		put_ranges(&j->reply, STORE_T_FAILED, &failed);
	}
	vec_free(&set);
	vec_free(&failed);
	return (rc);
}

static int
do_expunge(struct store_writer *w, struct job *j, struct err *err)
{
	store_ranges set = VEC_INIT;
	uint32_t n = 0;
	int rc = -1;

	if (set_of(j, &set, err) == 0)
		rc = store_writer_expunge(w, user_of(j), mbox_of(j), set.p, set.len,
		    ipc_get_u64(&j->msg, STORE_T_ON, 1) != 0, &n, err);
	if (rc == 0)
		ipc_put_u64(&j->reply, STORE_T_COUNT, n);
	vec_free(&set);
	return (rc);
}

static int
do_append(struct store_writer *w, struct job *j, struct err *err)
{
	uint64_t off = ipc_get_u64(&j->msg, STORE_T_OFF, UINT64_MAX);
	uint64_t len = ipc_get_u64(&j->msg, STORE_T_LEN, UINT64_MAX);
	struct sv kw[STORE_KEYWORDS_MAX];
	struct store_appended a;
	struct store_flags f;

	if (j->fd == -1 || off > INT64_MAX || len > STORE_MSG_MAX)
		return (err_set(err, ERR_PERM, "5.5.2", "malformed request"));
	if (flags_of(j, &f, kw, err) == -1 || store_writer_append(w, user_of(j), name_of(j), j->fd, off, len, &f,
	    (int64_t)ipc_get_u64(&j->msg, STORE_T_DATE, 0), &a, err) == -1)
		return (-1);
	ipc_put_u64(&j->reply, STORE_T_MBOX, a.mbox);
	ipc_put_u64(&j->reply, STORE_T_UIDVALIDITY, a.uidvalidity);
	ipc_put_u64(&j->reply, STORE_T_UID, a.uid);
	return (0);
}

static int
do_copy(struct store_writer *w, struct job *j, struct err *err)
{
	struct store_copied c = { .from = VEC_INIT, .to = VEC_INIT };
	store_ranges set = VEC_INIT;
	int rc = -1;

	if (set_of(j, &set, err) == 0)
		rc = store_writer_copy(w, user_of(j), mbox_of(j), set.p, set.len, ipc_get_bytes(&j->msg, STORE_T_TO),
		    ipc_get_u64(&j->msg, STORE_T_ON, 0) != 0, &c, err);
	if (rc == 0) {
		ipc_put_u64(&j->reply, STORE_T_UIDVALIDITY, c.uidvalidity);
		put_ranges(&j->reply, STORE_T_SET, &c.from);
		put_ranges(&j->reply, STORE_T_TOSET, &c.to);
	}
	vec_free(&set);
	store_copied_free(&c);
	return (rc);
}

static int
do_recent(struct store_writer *w, struct job *j, struct err *err)
{
	uint32_t uid;

	if (store_writer_claim_recent(w, mbox_of(j), &uid, err) == -1)
		return (-1);
	ipc_put_u64(&j->reply, STORE_T_UID, uid);
	return (0);
}

static const struct {
	uint16_t	 type;
	int		(*fn)(struct store_writer *w, struct job *j, struct err *err);
} requests[] = {
	{ STORE_IPC_DELIVER, do_deliver }, { STORE_IPC_FORGET, do_forget }, { STORE_IPC_CREATE, do_create },
	{ STORE_IPC_DELETE, do_delete }, { STORE_IPC_RENAME, do_rename }, { STORE_IPC_SUBSCRIBE, do_subscribe },
	{ STORE_IPC_SETACL, do_setacl }, { STORE_IPC_INBOX, do_inbox }, { STORE_IPC_FLAGS, do_flags },
	{ STORE_IPC_EXPUNGE, do_expunge }, { STORE_IPC_APPEND, do_append }, { STORE_IPC_COPY, do_copy },
	{ STORE_IPC_RECENT, do_recent },
};

void
exec_job(struct store_writer *w, struct job *j)
{
	struct err err = ERR_INIT;
	int rc = -1;

	ipc_begin(&j->reply, j->type);
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		if (requests[i].type == j->type) {
			rc = requests[i].fn(w, j, &err);
			break;
		}
	if (rc == 0 && !j->reply.overflow)
		return;
	if (err.cls == ERR_NONE)
		(void)err_set(&err, ERR_PERM, "5.5.2", "unknown or malformed request");
	j->failed = true;
	ipc_begin(&j->reply, j->type);
	ipc_put_err(&j->reply, &err);
}
