/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * FETCH (RFC 3501 6.4.5, 7.4.2).  Records are read in chunks; structures come from
 * the cache, bodies from the file without a whole copy.  What cannot be read is left
 * out and the command ends in NO [UNAVAILABLE]; the message stays.
 */
#include <string.h>

#include "imap/bodystructure.h"
#include "imap/write.h"
#include "section.h"

#define CHUNK	64
#define ITEM_MAX	(128 * 1024 * 1024)

struct fetch {
	struct session	*ss;
	const struct imap_command *c;
	bool		 want_uid;	/* UID is told although it was not asked for */
	bool		 sets_seen;
	bool		 gone, unavailable;
	store_ranges	 seen;		/* messages that become \Seen */
	struct arena	*a;		/* of one message */
	struct sb	 out;
};

static void
add_uid(store_ranges *v, uint32_t uid)
{
	struct store_range r = { uid, uid };

	if (v->len > 0 && v->p[v->len - 1].last + 1 == uid)
		v->p[v->len - 1].last = uid;
	else
		vec_push(v, r);
}

/* Everything that can fail is done before the answer begins. */
static int
prepare(struct fetch *f, struct source *src, struct section *secs, struct err *err)
{
	for (size_t i = 0; i < f->c->nfetch; i++) {
		const struct imap_fetch_item *it = &f->c->fetch[i];

		switch (it->what) {
		case IMAP_F_ENVELOPE:
		case IMAP_F_BODY:
		case IMAP_F_BODYSTRUCTURE:
			if (source_cached(src, err) == -1)
				return (-1);
			break;
		case IMAP_F_SECTION:
			if (section_find(src, it, f->a, &secs[i], err) == -1)
				return (-1);
			if (!secs[i].nil && !secs[i].in_memory && source_open(src, err) == -1)
				return (-1);
			break;
		default:
			break;
		}
	}
	return (0);
}

static void
send_section(struct fetch *f, struct source *src, const struct imap_fetch_item *it, const struct section *sec)
{
	size_t off = 0, len = sec->len;

	sb_add(&f->out, it->label);
	if (sec->nil) {
		sb_adds(&f->out, " NIL");
		return;
	}
	if (it->partial) {
		off = it->offset < sec->len ? it->offset : sec->len;
		len = sec->len - off < it->length ? sec->len - off : it->length;
	}
	sb_addf(&f->out, " {%zu}\r\n", len);
	if (sec->in_memory) {
		sb_add(&f->out, sv_sub(sb_sv(&sec->mem), off, off + len));
		return;
	}
	reply_sb(f->ss, &f->out);
	sb_clear(&f->out);
	/* A literal that was announced and cannot be sent whole ends the connection: nothing else is safe. */
	if (len > 0 && stream_send_file(f->ss->s, src->fd, (int64_t)(sec->off + off), (int64_t)len) != STREAM_OK)
		f->ss->closing = true;
}

static void
put_item(struct fetch *f, struct source *src, const struct imap_fetch_item *it, const struct section *sec)
{
	char date[MAIL_DATE_MAX];
	struct sb *out = &f->out;

	switch (it->what) {
	case IMAP_F_FLAGS:
		sb_adds(out, "FLAGS (");
		put_flags(out, f->ss, src->m);
		sb_addc(out, ')');
		break;
	case IMAP_F_INTERNALDATE:
		sb_addf(out, "INTERNALDATE \"%s\"", mail_internaldate_format(date, src->m->internaldate, 0));
		break;
	case IMAP_F_SIZE:
		sb_addf(out, "RFC822.SIZE %u", src->m->size);
		break;
	case IMAP_F_UID:
		sb_addf(out, "UID %u", src->m->uid);
		break;
	case IMAP_F_ENVELOPE:
		sb_adds(out, "ENVELOPE ");
		sb_add(out, src->cached.envelope);
		break;
	case IMAP_F_BODYSTRUCTURE:
		sb_adds(out, "BODYSTRUCTURE ");
		sb_add(out, src->cached.bodystructure);
		break;
	case IMAP_F_BODY:
		sb_adds(out, "BODY ");
		if (!imap_body_from_structure(out, src->cached.bodystructure))
			sb_adds(out, "(\"text\" \"plain\" NIL NIL NIL \"7bit\" 0 0)");
		break;
	case IMAP_F_SECTION:
		send_section(f, src, it, sec);
		break;
	}
}

static void
answer_one(struct fetch *f, struct source *src, const struct section *secs, uint32_t seq)
{
	const char *sep = "";

	sb_addf(&f->out, "* %u FETCH (", seq);
	if (f->want_uid) {
		sb_addf(&f->out, "UID %u", src->m->uid);
		sep = " ";
	}
	for (size_t i = 0; i < f->c->nfetch && !f->ss->closing; i++) {
		sb_adds(&f->out, sep);
		put_item(f, src, &f->c->fetch[i], &secs[i]);
		sep = " ";
	}
	sb_adds(&f->out, ")\r\n");
	if (!f->ss->closing)
		reply_sb(f->ss, &f->out);
	sb_clear(&f->out);
}

/* The message could not be read: expunged meanwhile, or really unavailable? */
static void
note_failure(struct fetch *f, const struct store_msg *m, const struct err *err)
{
	struct store_msg now;
	struct err ignored = ERR_INIT;

	if (store_reader_msgs_at(srole.reader, f->ss->sel.view.mbox, &m->uid, 1, &now, &ignored) == STORE_GET_OK &&
	    now.uid == 0) {
		f->gone = true;
		return;
	}
	f->unavailable = true;
	log_error(&f->ss->log, "uid=%u FETCH: %s", m->uid, err->text);
}

static void
fetch_one(struct fetch *f, const struct store_msg *m, uint32_t seq)
{
	struct section *secs = arena_zalloc(f->a, f->c->nfetch * sizeof(*secs));
	struct err err = ERR_INIT;
	struct source src;

	source_init(&src, f->ss->sel.view.mbox, m);
	if (prepare(f, &src, secs, &err) == -1) {
		note_failure(f, m, &err);
	} else {
		answer_one(f, &src, secs, seq);
		if (f->sets_seen && (m->flags & STORE_SEEN) == 0)
			add_uid(&f->seen, m->uid);
	}
	for (size_t i = 0; i < f->c->nfetch; i++)
		section_free(&secs[i]);
	source_free(&src);
	arena_reset(f->a);
}

/* Messages [from, to) of the view, as far as they are still there. */
static bool
fetch_span(struct fetch *f, uint32_t from, uint32_t to)
{
	const struct store_view *v = &f->ss->sel.view;
	struct store_msg msgs[CHUNK];
	struct err err = ERR_INIT;

	while (from < to && !f->ss->closing) {
		size_t n = to - from < CHUNK ? to - from : CHUNK;

		if (store_reader_msgs_at(srole.reader, v->mbox, v->uids + from, n, msgs, &err) != STORE_GET_OK) {
			reply_err(f->ss, &err, false);
			return (false);
		}
		for (size_t i = 0; i < n && !f->ss->closing; i++) {
			if (msgs[i].uid == 0)
				f->gone = true;
			else
				fetch_one(f, &msgs[i], from + (uint32_t)i + 1);
		}
		from += (uint32_t)n;
		/* A long FETCH must not hold up the other sessions of this process. */
		fiber_yield();
	}
	return (true);
}

static bool
fetch_all(struct fetch *f, const store_ranges *set)
{
	const struct store_view *v = &f->ss->sel.view;

	for (size_t i = 0; i < set->len && !f->ss->closing; i++) {
		uint32_t from = store_view_below(v, set->p[i].first);
		uint32_t to = set->p[i].last == UINT32_MAX ? v->messages : store_view_below(v, set->p[i].last + 1);

		if (!fetch_span(f, from, to))
			return (false);
	}
	return (true);
}

/* The flags change for all at once, in one durable transaction. */
static void
mark_seen(struct fetch *f)
{
	struct store_flags flags = { .sys = STORE_SEEN };
	struct err err = ERR_INIT;
	uint64_t modseq;

	if (f->seen.len > 0 && store_client_flags(srole.client, session_user(f->ss), f->ss->sel.view.mbox, f->seen.p,
	    f->seen.len, STORE_FLAGS_ADD, &flags, UINT64_MAX, NULL, &modseq, &err) == -1)
		log_err(&f->ss->log, "FETCH marks as seen", &err);
}

static void
finish(struct fetch *f)
{
	struct session *ss = f->ss;

	mark_seen(f);
	ss->uid_updates = f->c->uid;
	if (session_sync(ss, f->c->uid)) {
		if (f->unavailable)
			reply_no(ss, "[UNAVAILABLE] Some messages cannot be read now.");
		else if (f->gone && !f->c->uid)
			reply_no(ss, "[EXPUNGEISSUED] Some of the messages were expunged meanwhile.");
		else
			reply_ok(ss, "Fetch completed.");
	}
	ss->uid_updates = false;
}

void
cmd_fetch(struct session *ss, const struct imap_command *c)
{
	struct fetch f = { .ss = ss, .c = c, .want_uid = c->uid, .seen = VEC_INIT, .out = SB_INIT(ITEM_MAX) };
	store_ranges set = VEC_INIT;

	if (!check_set(ss, c))
		return;
	for (size_t i = 0; i < c->nfetch; i++) {
		f.want_uid = f.want_uid && c->fetch[i].what != IMAP_F_UID;
		f.sets_seen = f.sets_seen || (c->fetch[i].what == IMAP_F_SECTION && !c->fetch[i].peek);
	}
	f.sets_seen = f.sets_seen && !ss->sel.readonly && (ss->sel.rights & STORE_R_SEEN) != 0;
	resolve_set(ss, &c->set, c->uid, &set);
	f.a = arena_new(0);
	if (fetch_all(&f, &set) && !ss->closing)
		finish(&f);
	arena_free(&f.a);
	sb_free(&f.out);
	vec_free(&f.seen);
	vec_free(&set);
}
