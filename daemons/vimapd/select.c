/* SPDX-License-Identifier: BSD-2-Clause */
/* SELECT, EXAMINE, CLOSE, UNSELECT, STATUS, and what all commands need of the selected mailbox. */
#include <stdlib.h>
#include <string.h>

#include "imap/write.h"
#include "session.h"

#define R_CHANGE	(STORE_R_SEEN | STORE_R_WRITE | STORE_R_DELMSG | STORE_R_EXPUNGE | STORE_R_INSERT)

bool
store_name(struct session *ss, struct sv name, char buf[STORE_NAME_MAX + 1])
{
	struct err err = ERR_INIT;

	if (name.p == NULL) {
		reply_no(ss, "[CANNOT] The mailbox name is not in modified UTF-7.");
		return (false);
	}
	if (store_name_from_client(name, srole.sep, session_user(ss), buf, &err) == -1) {
		reply_err(ss, &err, false);
		return (false);
	}
	return (true);
}

/* Messages that came while the mailbox was selected have been told as recent here: to no later session. */
static void
claim_more(struct session *ss)
{
	struct selected *sel = &ss->sel;
	struct err err = ERR_INIT;
	uint32_t first;

	if (!sel->readonly && sel->view.uidnext > sel->claimed)
		(void)store_client_claim_recent(srole.client, sel->view.mbox, &first, &err);
}

void
selected_close(struct session *ss)
{
	struct selected *sel = &ss->sel;

	if (!sel->on)
		return;
	claim_more(ss);
	store_view_close(srole.reader, &sel->view);
	store_keywords_free(&sel->kw);
	memset(sel, 0, sizeof(*sel));
}

void
tell_flags(struct session *ss)
{
	struct selected *sel = &ss->sel;
	struct sb all = SB_INIT(64 * 1024), perm = SB_INIT(64 * 1024);

	sb_adds(&all, "\\Answered \\Flagged \\Deleted \\Seen \\Draft");
	for (unsigned i = 0; i < sel->kw.n; i++)
		sb_addf(&all, " %s", sel->kw.name[i]);
	if (!sel->readonly) {
		if ((sel->rights & STORE_R_WRITE) != 0)
			sb_adds(&perm, " \\Answered \\Flagged");
		if ((sel->rights & STORE_R_DELMSG) != 0)
			sb_adds(&perm, " \\Deleted");
		if ((sel->rights & STORE_R_SEEN) != 0)
			sb_adds(&perm, " \\Seen");
		if ((sel->rights & STORE_R_WRITE) != 0) {
			sb_adds(&perm, " \\Draft");
			for (unsigned i = 0; i < sel->kw.n; i++)
				sb_addf(&perm, " %s", sel->kw.name[i]);
			sb_adds(&perm, " \\*");
		}
	}
	(void)stream_printf(ss->s, "* FLAGS (%s)\r\n* OK [PERMANENTFLAGS (%s)] %s\r\n", sb_cstr(&all),
	    perm.len > 0 ? sb_cstr(&perm) + 1 : "", sel->readonly ? "Read-only mailbox." : "Flags permitted.");
	sb_free(&all);
	sb_free(&perm);
}

/* Open the view of <st>'s mailbox; answered when it fails. */
static bool
open_view(struct session *ss, const struct store_status *st, unsigned rights, bool examine)
{
	struct selected *sel = &ss->sel;
	struct err err = ERR_INIT;
	uint32_t first;

	if (store_view_open(srole.reader, st->id, &sel->view, &err) != STORE_GET_OK) {
		reply_err(ss, &err, false);
		return (false);
	}
	sel->on = true;
	sel->rights = rights;
	sel->readonly = examine || (rights & R_CHANGE) == 0;
	sel->first_recent = st->first_recent;
	if (!selected_keywords(ss)) {
		sel->readonly = true;
		selected_close(ss);
		reply_no(ss, "[UNAVAILABLE] The mailbox cannot be read now.");
		return (false);
	}
	/* Not worth refusing the mailbox for: then these messages stay recent for the next session. */
	if (!sel->readonly && sel->view.uidnext > st->first_recent &&
	    store_client_claim_recent(srole.client, st->id, &first, &err) == 0)
		sel->first_recent = first;
	sel->claimed = sel->view.uidnext;
	sel->exists = sel->view.messages;
	sel->recent = sel->view.messages - store_view_below(&sel->view, sel->first_recent);
	return (true);
}

static void
tell_selected(struct session *ss, uint32_t first_unseen)
{
	const struct store_view *v = &ss->sel.view;
	uint32_t unseen = first_unseen == 0 ? 0 : store_view_seq(v, first_unseen);

	tell_flags(ss);
	(void)stream_printf(ss->s, "* %u EXISTS\r\n* %u RECENT\r\n", v->messages, ss->sel.recent);
	if (unseen > 0)
		(void)stream_printf(ss->s, "* OK [UNSEEN %u] First unseen.\r\n", unseen);
	(void)stream_printf(ss->s, "* OK [UIDVALIDITY %u] UIDs valid\r\n* OK [UIDNEXT %u] Predicted next UID\r\n",
	    v->uidvalidity, v->uidnext);
}

void
cmd_select(struct session *ss, const struct imap_command *c)
{
	bool examine = c->verb == IMAP_EXAMINE;
	char name[STORE_NAME_MAX + 1];
	struct store_status st;
	struct err err = ERR_INIT;
	unsigned rights = 0;

	/* RFC 3501 6.3.1: a failed SELECT leaves nothing selected. */
	selected_close(ss);
	if (!store_name(ss, c->mailbox, name))
		return;
	if (store_reader_status(srole.reader, sv_cstr(name), session_user(ss), true, &st, &rights, &err) !=
	    STORE_GET_OK) {
		reply_err(ss, &err, false);
		return;
	}
	if ((rights & STORE_R_READ) == 0) {
		reply_no(ss, (rights & STORE_R_LOOKUP) != 0 ? "[NOPERM] You may not read this mailbox." :
		    "[NONEXISTENT] There is no such mailbox.");
		return;
	}
	if (!open_view(ss, &st, rights, examine))
		return;
	tell_selected(ss, st.first_unseen);
	reply_okf(ss, "[%s] %s completed.", ss->sel.readonly ? "READ-ONLY" : "READ-WRITE",
	    examine ? "Examine" : "Select");
}

void
cmd_close(struct session *ss, const struct imap_command *c)
{
	struct selected *sel = &ss->sel;
	struct store_range all = { 1, UINT32_MAX };
	struct err err = ERR_INIT;

	if (c->verb == IMAP_CLOSE && !sel->readonly && (sel->rights & STORE_R_EXPUNGE) != 0 &&
	    store_client_expunge(srole.client, session_user(ss), sel->view.mbox, &all, 1, true, NULL, &err) == -1)
		log_err(&ss->log, "CLOSE", &err);
	selected_close(ss);
	reply_ok(ss, c->verb == IMAP_CLOSE ? "Close completed." : "Unselect completed.");
}

static const struct {
	unsigned	 bit;
	const char	*name;
} status_names[] = {
	{ IMAP_STATUS_MESSAGES, "MESSAGES" },
	{ IMAP_STATUS_RECENT, "RECENT" },
	{ IMAP_STATUS_UIDNEXT, "UIDNEXT" },
	{ IMAP_STATUS_UIDVALIDITY, "UIDVALIDITY" },
	{ IMAP_STATUS_UNSEEN, "UNSEEN" },
};

static uint32_t
status_value(const struct store_status *st, unsigned bit)
{
	switch (bit) {
	case IMAP_STATUS_MESSAGES:
		return (st->messages);
	case IMAP_STATUS_RECENT:
		return (st->recent);
	case IMAP_STATUS_UIDNEXT:
		return (st->uidnext);
	case IMAP_STATUS_UIDVALIDITY:
		return (st->uidvalidity);
	default:
		return (st->unseen);
	}
}

void
cmd_status(struct session *ss, const struct imap_command *c)
{
	char name[STORE_NAME_MAX + 1];
	struct sb out = SB_INIT(64 * 1024);
	struct store_status st;
	struct err err = ERR_INIT;
	unsigned rights = 0;
	const char *sep = "";

	if (!store_name(ss, c->mailbox, name))
		return;
	if (store_reader_status(srole.reader, sv_cstr(name), session_user(ss), false, &st, &rights, &err) !=
	    STORE_GET_OK) {
		reply_err(ss, &err, false);
		return;
	}
	if ((rights & STORE_R_READ) == 0) {
		reply_no(ss, (rights & STORE_R_LOOKUP) != 0 ? "[NOPERM] You may not read this mailbox." :
		    "[NONEXISTENT] There is no such mailbox.");
		return;
	}
	sb_adds(&out, "* STATUS ");
	imap_put_mailbox(&out, c->mailbox);
	sb_adds(&out, " (");
	for (size_t i = 0; i < sizeof(status_names) / sizeof(status_names[0]); i++)
		if ((c->status & status_names[i].bit) != 0) {
			sb_addf(&out, "%s%s %u", sep, status_names[i].name, status_value(&st, status_names[i].bit));
			sep = " ";
		}
	sb_adds(&out, ")\r\n");
	reply_sb(ss, &out);
	sb_free(&out);
	reply_ok(ss, "Status completed.");
}

/* ---- sets of the selected mailbox ---- */

bool
check_set(struct session *ss, const struct imap_command *c)
{
	uint32_t max = ss->sel.view.messages, first, last;

	if (c->uid)
		return (true);
	for (size_t i = 0; i < c->set.n; i++)
		if (!imap_range_resolve(&c->set.v[i], max, &first, &last) || last > max) {
			reply_bad(ss, "There is no message of such a number");
			return (false);
		}
	return (true);
}

static int
compare_ranges(const void *a, const void *b)
{
	const struct store_range *x = a, *y = b;

	return (x->first < y->first ? -1 : x->first > y->first);
}

/* Ascending, apart from each other. */
static void
merge_ranges(store_ranges *v)
{
	size_t n = 0;

	if (v->len > 0)
		qsort(v->p, v->len, sizeof(*v->p), compare_ranges);
	for (size_t i = 0; i < v->len; i++) {
		if (n > 0 && v->p[i].first <= v->p[n - 1].last) {
			if (v->p[i].last > v->p[n - 1].last)
				v->p[n - 1].last = v->p[i].last;
		} else {
			v->p[n++] = v->p[i];
		}
	}
	v->len = n;
}

void
resolve_set(struct session *ss, const struct imap_set *set, bool uid, store_ranges *out)
{
	const struct store_view *v = &ss->sel.view;
	uint32_t max, first, last;

	if (v->messages == 0)
		return;
	max = uid ? v->uids[v->messages - 1] : v->messages;
	for (size_t i = 0; i < set->n; i++) {
		struct store_range r;

		if (!imap_range_resolve(&set->v[i], max, &first, &last))
			continue;
		if (uid) {
			/* In the terms of sequence numbers, so that only UIDs of the view come out. */
			first = store_view_below(v, first) + 1;
			last = last == UINT32_MAX ? v->messages : store_view_below(v, last + 1);
		}
		if (first > last || first > v->messages)
			continue;
		if (last > v->messages)
			last = v->messages;
		r.first = v->uids[first - 1];
		r.last = v->uids[last - 1];
		vec_push(out, r);
	}
	merge_ranges(out);
}

bool
take_flags(struct session *ss, const struct imap_flags *f, struct store_flags *out)
{
	struct sv *kw = f->n == 0 ? NULL : arena_alloc(ss->arena, f->n * sizeof(*kw));

	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < f->n; i++) {
		unsigned bit = store_flag_bit(f->v[i]);

		if (bit != 0) {
			out->sys |= bit;
		} else if (sv_starts(f->v[i], "\\")) {
			/* Nobody can set \Recent (RFC 3501 2.3.2); clients that copy flags send it all the same. */
			if (sv_caseeqs(f->v[i], "\\Recent"))
				continue;
			reply_bad(ss, "There is no such system flag");
			return (false);
		} else if (!store_keyword_valid(f->v[i])) {
			reply_no(ss, "[CANNOT] That keyword is too long or has characters that none may have.");
			return (false);
		} else {
			kw[out->nkeywords++] = f->v[i];
		}
	}
	out->keywords = kw;
	return (true);
}
