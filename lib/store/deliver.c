/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The frames of deliveries and their answers: pure codecs, and the calls of the
 * queue's side.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/codec.h"
#include "fiber/fiber.h"
#include "store/deliver.h"
#include "store/proto.h"
#include "store/record.h"

/*
 * An item: u8 to, u8 dflags, u8 flags, u8 0, u32 action, u64 origin, off, len, date, then the strings
 * message, rcpt, user, mailbox, prefix, path, sender, each u16 length and bytes.
 */
#define ITEM_HEAD	40
#define ITEM_STRINGS	7
#define ITEM_MAX	(32 * 1024)

void
store_deliver_begin(struct sb *frame)
{
	ipc_begin(frame, STORE_IPC_DELIVER);
}

bool
store_deliver_add(struct sb *frame, const struct store_delivery *d)
{
	const struct sv s[ITEM_STRINGS] = { d->message, d->rcpt, d->user, d->mailbox, d->prefix, d->path, d->sender };
	uint8_t head[6 + ITEM_HEAD] = { STORE_T_ITEM, IPC_BYTES }, *p = head + 6, len[2];
	size_t n = ITEM_HEAD;

	for (size_t i = 0; i < ITEM_STRINGS; i++)
		n += 2 + s[i].len;
	if (n > ITEM_MAX || d->message.len > REC_MESSAGE_MAX || d->prefix.len > STORE_PREFIX_MAX ||
	    frame->len + 6 + n > IPC_FRAME_MAX)
		return (false);
	put_le32(head + 2, (uint32_t)n);
	p[0] = (uint8_t)d->to;
	p[1] = (uint8_t)d->dflags;
	p[2] = (uint8_t)d->flags;
	put_le32(p + 4, d->action);
	put_le64(p + 8, d->origin);
	put_le64(p + 16, d->off);
	put_le64(p + 24, d->len);
	put_le64(p + 32, (uint64_t)d->date);
	sb_addn(frame, head, sizeof(head));
	for (size_t i = 0; i < ITEM_STRINGS; i++) {
		put_le16(len, (uint16_t)s[i].len);
		sb_addn(frame, len, 2);
		sb_add(frame, s[i]);
	}
	return (true);
}

void
store_deliver_add_raw(struct sb *frame, struct sv item)
{
	ipc_put_bytes(frame, STORE_T_ITEM, item);
}

bool
store_deliver_decode(struct sv item, struct store_delivery *d)
{
	const uint8_t *p = (const uint8_t *)item.p;
	struct sv *const s[ITEM_STRINGS] = { &d->message, &d->rcpt, &d->user, &d->mailbox, &d->prefix, &d->path,
	    &d->sender };
	size_t pos = ITEM_HEAD;

	if (item.len < ITEM_HEAD || item.len > ITEM_MAX || (p[0] != STORE_TO_MAILBOX && p[0] != STORE_TO_USER))
		return (false);
	*d = (struct store_delivery){ .to = (enum store_action)p[0], .dflags = p[1], .flags = p[2] & STORE_SYSFLAGS,
	    .action = get_le32(p + 4), .origin = get_le64(p + 8), .off = get_le64(p + 16), .len = get_le64(p + 24),
	    .date = (int64_t)get_le64(p + 32) };
	for (size_t i = 0; i < ITEM_STRINGS; i++) {
		size_t n;

		if (item.len - pos < 2)
			return (false);
		n = get_le16(p + pos);
		pos += 2;
		if (item.len - pos < n)
			return (false);
		*s[i] = sv_from((const char *)p + pos, n);
		pos += n;
	}
	return (pos == item.len && d->off <= INT64_MAX && d->len <= STORE_MSG_MAX &&
	    d->message.len <= REC_MESSAGE_MAX &&
	    d->prefix.len <= STORE_PREFIX_MAX);
}

int
store_deliver_next_raw(const struct ipc_msg *m, size_t *pos, struct sv *item, enum store_action *to)
{
	struct ipc_field f;

	if (*pos >= m->body.len)
		return (0);
	if (!ipc_next(m, pos, &f) || f.tag != STORE_T_ITEM || f.kind != IPC_BYTES || f.bytes.len < ITEM_HEAD)
		return (-1);
	*item = f.bytes;
	*to = (enum store_action)(uint8_t)f.bytes.p[0];
	return (*to == STORE_TO_MAILBOX || *to == STORE_TO_USER ? 1 : -1);
}

int
store_deliver_next(const struct ipc_msg *m, size_t *pos, struct store_delivery *d)
{
	enum store_action to;
	struct sv item;
	int rc = store_deliver_next_raw(m, pos, &item, &to);

	return (rc == 1 && !store_deliver_decode(item, d) ? -1 : rc);
}

/* ---- answers: u8 result, u64 commit, u8 length of status, status, text ---- */

void
store_answers_begin(struct sb *frame)
{
	ipc_begin(frame, STORE_IPC_DELIVER);
}

void
store_answers_add(struct sb *frame, const struct store_answer *a)
{
	uint8_t b[10 + sizeof(a->status) + sizeof(a->text)];
	size_t n = 10, ns = 0, nt = 0;

	b[0] = (uint8_t)a->result;
	put_le64(b + 1, a->commit);
	if (a->result == STORE_TEMP || a->result == STORE_PERM) {
		ns = strnlen(a->status, sizeof(a->status) - 1);
		nt = strnlen(a->text, sizeof(a->text) - 1);
	}
	b[9] = (uint8_t)ns;
	memcpy(b + n, a->status, ns);
	memcpy(b + n + ns, a->text, nt);
	ipc_put_bytes(frame, STORE_T_ANSWER, sv_from((char *)b, n + ns + nt));
}

static bool
read_answer(struct sv v, struct store_answer *a)
{
	const uint8_t *p = (const uint8_t *)v.p;
	size_t ns, nt;

	if (v.len < 10 || p[0] > STORE_PERM)
		return (false);
	ns = p[9];
	if (ns > v.len - 10 || ns >= sizeof(a->status) || (nt = v.len - 10 - ns) >= sizeof(a->text))
		return (false);
	a->result = (enum store_result)p[0];
	a->commit = get_le64(p + 1);
	memcpy(a->status, p + 10, ns);
	a->status[ns] = '\0';
	memcpy(a->text, p + 10 + ns, nt);
	a->text[nt] = '\0';
	return (true);
}

bool
store_answers_read(const struct ipc_msg *m, struct store_answer *a, size_t n)
{
	struct ipc_field f;
	size_t pos = 0, i = 0;

	while (ipc_next(m, &pos, &f))
		if (f.tag != STORE_T_ANSWER || f.kind != IPC_BYTES || i == n || !read_answer(f.bytes, &a[i++]))
			return (false);
	return (i == n);
}

/* ---- the queue side ---- */

int
store_deliver_call(struct ipc_client *c, const struct sb *frame, size_t n, struct store_answer *answers,
    int64_t deadline, struct err *err)
{
	struct ipc_msg reply;
	int rc;

	if (ipc_call(c, frame, -1, &reply, NULL, deadline, err) == -1)
		return (-1);
	rc = reply.type == STORE_IPC_DELIVER && store_answers_read(&reply, answers, n) ? 0 :
	    err_set(err, ERR_TEMP, "4.3.0", "malformed answer to a batch of deliveries");
	ipc_msg_free(&reply);
	return (rc);
}

void
store_barrier_put(struct sb *frame, uint64_t commit, uint64_t instance)
{
	ipc_begin(frame, STORE_IPC_BARRIER);
	ipc_put_u64(frame, STORE_T_COMMIT, commit);
	ipc_put_u64(frame, STORE_T_INSTANCE, instance);
}

bool
store_barrier_read(const struct ipc_msg *m, uint64_t *commit, uint64_t *instance)
{
	if (m->type != STORE_IPC_BARRIER)
		return (false);
	*commit = ipc_get_u64(m, STORE_T_COMMIT, 0);
	*instance = ipc_get_u64(m, STORE_T_INSTANCE, 0);
	return (true);
}

void
store_barrier_subscribe(struct ipc_client *c)
{
	struct sb m = SB_INIT(64);

	ipc_begin(&m, STORE_IPC_HELLO);
	(void)ipc_notify(c, &m);
	sb_free(&m);
}

#define FORGET_MS	30000

static int
forget(struct ipc_client *c, struct sb *m, struct err *err)
{
	struct ipc_msg reply;
	int rc;

	if (m->overflow)
		rc = err_set(err, ERR_TEMP, "4.3.0", "too many names in one request to the store");
	else if ((rc = ipc_call(c, m, -1, &reply, NULL, FIBER_NOW_PLUS(FORGET_MS), err)) == 0)
		ipc_msg_free(&reply);
	sb_free(m);
	return (rc);
}

int
store_forget(struct ipc_client *c, uint64_t origin, const struct sv *keep, size_t nkeep, struct err *err)
{
	struct sb m = SB_INIT(IPC_FRAME_MAX);

	ipc_begin(&m, STORE_IPC_FORGET);
	ipc_put_u64(&m, STORE_T_ORIGIN, origin);
	for (size_t i = 0; i < nkeep; i++)
		ipc_put_bytes(&m, STORE_T_MESSAGE, keep[i]);
	if (m.overflow) {
		sb_free(&m);
		return (0);
	}
	return (forget(c, &m, err));
}

int
store_forget_message(struct ipc_client *c, uint64_t origin, struct sv message, struct err *err)
{
	struct sb m = SB_INIT(1024);

	ipc_begin(&m, STORE_IPC_FORGET);
	ipc_put_u64(&m, STORE_T_ORIGIN, origin);
	ipc_put_bytes(&m, STORE_T_ID, message);
	return (forget(c, &m, err));
}

int
store_forget_others(struct ipc_client *c, const uint64_t *origins, size_t n, struct err *err)
{
	struct sb m = SB_INIT(IPC_FRAME_MAX);

	ipc_begin(&m, STORE_IPC_FORGET);
	ipc_put_u64(&m, STORE_T_OTHERS, 1);
	for (size_t i = 0; i < n; i++)
		ipc_put_u64(&m, STORE_T_ORIGIN, origins[i]);
	return (forget(c, &m, err));
}
