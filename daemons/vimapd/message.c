/* SPDX-License-Identifier: BSD-2-Clause */
/* EXPUNGE, STORE, COPY, MOVE: changes of messages, which vstored makes. */
#include <string.h>

#include "session.h"

static bool
may(struct session *ss, unsigned right)
{
	if (ss->sel.readonly) {
		reply_no(ss, "[READ-ONLY] The mailbox is selected read-only.");
		return (false);
	}
	if ((ss->sel.rights & right) == 0) {
		reply_no(ss, "[NOPERM] You have no right to do this.");
		return (false);
	}
	return (true);
}

void
cmd_expunge(struct session *ss, const struct imap_command *c)
{
	store_ranges set = VEC_INIT;
	struct err err = ERR_INIT;
	struct store_range all = { 1, UINT32_MAX };

	if (!may(ss, STORE_R_EXPUNGE))
		return;
	if (c->all)
		vec_push(&set, all);
	else
		resolve_set(ss, &c->set, true, &set);
	if (set.len > 0 && store_client_expunge(srole.client, session_user(ss), ss->sel.view.mbox, set.p, set.len, true,
	    NULL, &err) == -1)
		reply_err(ss, &err, false);
	else if (session_sync(ss, true))
		reply_ok(ss, "Expunge completed.");
	vec_free(&set);
}

/* Some messages of the set were expunged by others: what was asked could not be done to all (RFC 2180 4.2). */
static bool
any_gone(struct session *ss, const store_ranges *set)
{
	struct store_view *v = &ss->sel.view;
	struct store_status st;
	struct err err = ERR_INIT;
	struct store_msg msgs[64];
	bool gone = false;

	/* As many as the view has: none can be gone, which is the usual case. */
	if (store_reader_status_id(srole.reader, v->mbox, false, &st, &err) != STORE_GET_OK || st.messages >= v->messages)
		return (false);
	for (size_t i = 0; i < set->len && !gone; i++) {
		uint32_t from = store_view_below(v, set->p[i].first);

		while (from < v->messages && v->uids[from] <= set->p[i].last && !gone) {
			size_t n = 0;

			while (n < 64 && from + n < v->messages && v->uids[from + n] <= set->p[i].last)
				n++;
			if (store_reader_msgs_at(srole.reader, v->mbox, v->uids + from, n, msgs, &err) != STORE_GET_OK)
				return (false);
			for (size_t k = 0; k < n; k++)
				gone = gone || msgs[k].uid == 0;
			from += (uint32_t)n;
		}
	}
	return (gone);
}

void
cmd_store(struct session *ss, const struct imap_command *c)
{
	static const enum store_flag_op ops[] = {
		[IMAP_STORE_SET] = STORE_FLAGS_SET, [IMAP_STORE_ADD] = STORE_FLAGS_ADD,
		[IMAP_STORE_REMOVE] = STORE_FLAGS_REMOVE
	};
	store_ranges set = VEC_INIT;
	struct store_flags flags;
	struct err err = ERR_INIT;
	uint64_t modseq = 0;
	bool gone;

	if (!may(ss, STORE_R_SEEN | STORE_R_WRITE | STORE_R_DELMSG) || !check_set(ss, c) ||
	    !take_flags(ss, &c->flags, &flags))
		return;
	resolve_set(ss, &c->set, c->uid, &set);
	gone = !c->uid && any_gone(ss, &set);
	if (set.len > 0 && store_client_flags(srole.client, session_user(ss), ss->sel.view.mbox, set.p, set.len,
	    ops[c->store], &flags, UINT64_MAX, NULL, &modseq, &err) == -1) {
		reply_err(ss, &err, false);
		vec_free(&set);
		return;
	}
	if (c->silent)
		ss->silent_modseq = modseq;
	ss->uid_updates = c->uid;
	if (session_sync(ss, c->uid)) {
		if (gone)
			reply_no(ss, "[EXPUNGEISSUED] Some of the messages were expunged meanwhile.");
		else
			reply_ok(ss, "Store completed.");
	}
	ss->silent_modseq = 0;
	ss->uid_updates = false;
	vec_free(&set);
}

void
cmd_copy(struct session *ss, const struct imap_command *c)
{
	bool move = c->verb == IMAP_MOVE;
	char name[STORE_NAME_MAX + 1];
	store_ranges set = VEC_INIT;
	struct store_copied copied;
	struct err err = ERR_INIT;
	struct sb code = SB_INIT(1024 * 1024);

	if ((move && !may(ss, STORE_R_EXPUNGE)) || !check_set(ss, c) || !store_name(ss, c->mailbox, name))
		return;
	memset(&copied, 0, sizeof(copied));
	resolve_set(ss, &c->set, c->uid, &set);
	if (set.len > 0 && store_client_copy(srole.client, session_user(ss), ss->sel.view.mbox, set.p, set.len,
	    sv_cstr(name), move, &copied, &err) == -1) {
		reply_err(ss, &err, true);
		goto out;
	}
	if (copied.from.len > 0) {
		sb_addf(&code, "[COPYUID %u ", copied.uidvalidity);
		put_ranges(&code, copied.from.p, copied.from.len);
		sb_addc(&code, ' ');
		put_ranges(&code, copied.to.p, copied.to.len);
		sb_adds(&code, "] ");
	}
	if (!move) {
		if (session_sync(ss, true))
			reply_okf(ss, "%sCopy completed.", sb_cstr(&code));
		goto out;
	}
	/* RFC 6851 4.3: COPYUID comes before the EXPUNGEs. */
	if (code.len > 0)
		(void)stream_printf(ss->s, "* OK %sMoved.\r\n", sb_cstr(&code));
	if (session_sync(ss, true))
		reply_ok(ss, "Move completed.");
out:
	store_copied_free(&copied);
	vec_free(&set);
	sb_free(&code);
}
