/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Telling a client what changed in its mailbox (RFC 3501 section 7): after each command,
 * and in IDLE.  The view of the store decides what is new; expunged messages leave it only when they
 * may be told (section 7.4.1: not during FETCH, STORE, SEARCH by sequence numbers).
 */
#include <string.h>

#include "session.h"

#define CHUNK	128		/* records of one read; about 7 KB of stack */

bool
selected_keywords(struct session *ss)
{
	struct store_keywords kw;
	struct err err = ERR_INIT;

	memset(&kw, 0, sizeof(kw));
	if (store_reader_keywords(srole.reader, ss->sel.view.mbox, &kw, &err) != STORE_GET_OK) {
		log_err(&ss->log, "keywords", &err);
		return (false);
	}
	store_keywords_free(&ss->sel.kw);
	ss->sel.kw = kw;
	return (true);
}

static void
tell_expunges(struct session *ss, const struct store_changes *ch)
{
	struct sb out = SB_INIT(64 * 1024 * 1024);

	for (size_t i = 0; i < ch->expunged_seq.len; i++)
		sb_addf(&out, "* %u EXPUNGE\r\n", ch->expunged_seq.p[i]);
	if (out.len > 0)
		reply_sb(ss, &out);
	sb_free(&out);
}

static void
tell_flags_of(struct session *ss, const struct store_msg *m, struct sb *out)
{
	uint32_t seq;

	if (m->uid == 0 || (ss->silent_modseq != 0 && m->modseq == ss->silent_modseq) ||
	    (seq = store_view_seq(&ss->sel.view, m->uid)) == 0)
		return;
	sb_addf(out, "* %u FETCH (", seq);
	if (ss->uid_updates)
		sb_addf(out, "UID %u ", m->uid);
	sb_adds(out, "FLAGS (");
	put_flags(out, ss, m);
	sb_adds(out, "))\r\n");
}

static void
tell_changed(struct session *ss, const struct store_changes *ch)
{
	struct store_msg msgs[CHUNK];
	struct sb out = SB_INIT(16 * 1024 * 1024);
	struct err err = ERR_INIT;

	for (size_t i = 0; i < ch->changed.len; i += CHUNK) {
		size_t n = ch->changed.len - i < CHUNK ? ch->changed.len - i : CHUNK;

		if (store_reader_msgs_at(srole.reader, ss->sel.view.mbox, ch->changed.p + i, n, msgs, &err) !=
		    STORE_GET_OK)
			break;
		for (size_t k = 0; k < n; k++)
			tell_flags_of(ss, &msgs[k], &out);
		reply_sb(ss, &out);
		sb_clear(&out);
	}
	sb_free(&out);
}

/* EXISTS when messages came; RECENT when that number is another than the client knows. */
static void
tell_counts(struct session *ss, bool exists)
{
	struct selected *sel = &ss->sel;
	uint32_t recent = sel->view.messages - store_view_below(&sel->view, sel->first_recent);

	if (exists)
		(void)stream_printf(ss->s, "* %u EXISTS\r\n", sel->view.messages);
	if (recent != sel->recent)
		(void)stream_printf(ss->s, "* %u RECENT\r\n", recent);
	sel->exists = sel->view.messages;
	sel->recent = recent;
}

/*
 * Messages that were told here are recent to no later session.  Not in IDLE: there it would cost a
 * transaction for each message that comes; selected_close() makes up for it.
 */
static void
claim_recent(struct session *ss)
{
	struct err err = ERR_INIT;
	uint32_t first;

	if (ss->sel.readonly || ss->idle || ss->sel.view.uidnext <= ss->sel.claimed)
		return;
	ss->sel.claimed = ss->sel.view.uidnext;
	(void)store_client_claim_recent(srole.client, ss->sel.view.mbox, &first, &err);
}

bool
session_sync(struct session *ss, bool expunges)
{
	struct store_changes ch;
	struct err err = ERR_INIT;
	enum store_get got;

	if (!ss->sel.on || ss->closing)
		return (!ss->closing);
	memset(&ch, 0, sizeof(ch));
	ss->dirty = false;
	got = store_view_sync(srole.reader, &ss->sel.view, expunges, &ch, &err);
	if (got != STORE_GET_OK) {
		if (got == STORE_GET_FAIL)
			log_err(&ss->log, "mailbox", &err);
		reply_bye(ss, got == STORE_GET_NONE ? "The selected mailbox was deleted." :
		    "The mailbox cannot be read now.");
		store_changes_free(&ch);
		return (false);
	}
	if (ch.keywords && selected_keywords(ss))
		tell_flags(ss);
	tell_expunges(ss, &ch);
	tell_changed(ss, &ch);
	tell_counts(ss, ch.added > 0);
	if (ch.added > 0)
		claim_recent(ss);
	store_changes_free(&ch);
	return (true);
}
