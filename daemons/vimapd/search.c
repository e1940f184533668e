/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SEARCH (RFC 3501 6.4.4).  The keys are compiled once: texts to folded UTF-8, flags to
 * bits, cheap keys in front of dear ones; then each message is asked, and its header or
 * body is read only when a key gets that far.  The body is gone through once for all keys, that of a larger message on a
 * thread: other sessions of the process go on meanwhile.
 */
#include <sys/mman.h>

#include <stdlib.h>
#include <string.h>

#include "mail/address.h"
#include "mail/charset.h"
#include "mail/encode.h"
#include "mail/mime.h"
#include "section.h"

#define CHUNK		64
#define TEXT_MAX	(32 * 1024 * 1024)	/* decoded text of one part that is looked at */
#define YIELD_COST	4096
#define COST_BYTES	64			/* of text looked at, for one of cost */
#define HERE_MAX	32768			/* bytes of a message whose body is gone through without a thread */
#define KEYS_MAX	1000
#define BODY_KEYS_MAX	50

enum cost { COST_RECORD = 1, COST_HEADER = 64, COST_BODY = 1024 };

struct node {
	enum imap_key	 key;
	struct node	*kids, *next;
	size_t		 body;		/* which of the search's bodies */
	enum cost	 cost;
	const struct imap_set *set;
	uint64_t	 mask;		/* flag or keyword bits */
	int64_t		 number;
	char		*field;
	struct sv	 needle;	/* folded */
};

struct search {
	struct session	*ss;
	struct node	*root;
	uint32_t	 max_uid;
	size_t		 nkeys, nbodies;
	struct sv	 body[BODY_KEYS_MAX];	/* the texts of BODY and TEXT */
	/* The message at hand. */
	struct arena	*a;
	struct source	 src;
	const struct store_msg *m;
	uint32_t	 seq;
	bool		 have_header;
	struct sb	 header_mem;
	struct mail_headers header;
	bool		 have_bodies;
	bool		 in_body[BODY_KEYS_MAX];
	bool		 unavailable;
	uint64_t	 spent;
};

/* ---- compiling ---- */

/* The text in UTF-8, folded; false: it is not valid in its charset. */
static bool
compile_text(struct session *ss, struct sv charset, struct sv text, struct sv *needle)
{
	struct sb utf8 = SB_INIT(4 * IMAP_LINE_MAX), folded = SB_INIT(32 * IMAP_LINE_MAX);
	bool ok = mail_charset_to_utf8(&utf8, charset.p == NULL ? SV_LIT("UTF-8") : charset, text);

	if (ok) {
		mail_utf8_fold(&folded, sb_sv(&utf8));
		*needle = arena_sv(ss->arena, sb_sv(&folded));
	}
	sb_free(&utf8);
	sb_free(&folded);
	return (ok);
}

static uint64_t
keyword_mask(const struct session *ss, struct sv name)
{
	for (unsigned i = 0; i < ss->sel.kw.n && i < 64; i++)
		if (sv_caseeqs(name, ss->sel.kw.name[i]))
			return ((uint64_t)1 << i);
	return (0);
}

static enum cost
cost_of(enum imap_key key)
{
	switch (key) {
	case IMAP_K_HEADER:
	case IMAP_K_SENTBEFORE:
	case IMAP_K_SENTON:
	case IMAP_K_SENTSINCE:
		return (COST_HEADER);
	case IMAP_K_BODY:
	case IMAP_K_TEXT:
		return (COST_BODY);
	default:
		return (COST_RECORD);
	}
}

static bool
compile_key(struct search *s, const struct imap_search *key, struct sv charset, struct node *n)
{
	n->key = key->key;
	n->cost = cost_of(key->key);
	n->set = &key->set;
	n->number = key->number;
	if (key->key == IMAP_K_FLAG)
		n->mask = store_flag_bit(key->text);
	else if (key->key == IMAP_K_KEYWORD)
		n->mask = keyword_mask(s->ss, key->text);
	else if (key->text.p != NULL && !compile_text(s->ss, charset, key->text, &n->needle))
		return (false);
	if (key->field.p != NULL)
		n->field = arena_cstr(s->ss->arena, key->field);
	if (n->cost == COST_BODY) {
		n->body = s->nbodies++;
		s->body[n->body] = n->needle;
	}
	return (true);
}

/* The keys within, by their cost; those of the same in order. */
static struct node *
compile(struct search *s, const struct imap_search *key, struct sv charset)
{
	struct { enum cost cost; struct node *first, **end; } by[] = {
		{ COST_RECORD, NULL, NULL }, { COST_HEADER, NULL, NULL }, { COST_BODY, NULL, NULL },
	};
	struct node *n = arena_zalloc(s->ss->arena, sizeof(*n)), *kid, **end = &n->kids;

	if (!compile_key(s, key, charset, n))
		return (NULL);
	for (size_t i = 0; i < sizeof(by) / sizeof(by[0]); i++)
		by[i].end = &by[i].first;
	for (const struct imap_search *c = key->a; c != NULL; c = c->next) {
		size_t i = 0;

		kid = compile(s, c, charset);
		if (kid == NULL)
			return (NULL);
		while (by[i].cost != kid->cost)
			i++;
		*by[i].end = kid;
		by[i].end = &kid->next;
		if (kid->cost > n->cost)
			n->cost = kid->cost;
	}
	for (size_t i = 0; i < sizeof(by) / sizeof(by[0]); i++)
		if (by[i].first != NULL) {
			*end = by[i].first;
			end = by[i].end;
		}
	return (n);
}

/* Are the keys as many as may be?  The parser limits how deep they are. */
static bool
few_enough(struct search *s, const struct imap_search *key)
{
	for (; key != NULL; key = key->next) {
		s->nkeys++;
		s->nbodies += cost_of(key->key) == COST_BODY;
		if (s->nkeys > KEYS_MAX || s->nbodies > BODY_KEYS_MAX || !few_enough(s, key->a))
			return (false);
	}
	return (true);
}

/* ---- texts ---- */

static bool
contains(struct sv text, struct sv needle)
{
	struct sb folded = SB_INIT(TEXT_MAX * 4);
	bool found;

	if (needle.len == 0)
		return (true);
	mail_utf8_fold(&folded, sv_sub(text, 0, TEXT_MAX));
	found = memmem(sb_cstr(&folded), folded.len, needle.p, needle.len) != NULL;
	sb_free(&folded);
	return (found);
}

static void
field_text(struct sb *out, const struct mail_header *f, bool with_name)
{
	if (with_name && f->name.len > 0) {
		sb_add(out, f->name);
		sb_adds(out, ": ");
	}
	mail_header_decode(out, f->body);
}

static bool
field_contains(const struct mail_header *f, bool with_name, struct sv needle)
{
	struct sb text = SB_INIT(4 * MAIL_HEADER_TEXT_MAX);
	bool found;

	field_text(&text, f, with_name);
	found = contains(sb_sv(&text), needle);
	sb_free(&text);
	return (found);
}

static bool
header_contains(const struct mail_headers *h, struct sv needle)
{
	for (size_t i = 0; i < h->n; i++)
		if (field_contains(&h->v[i], true, needle))
			return (true);
	return (false);
}

/* Which of the search's texts are in this piece?  False when all have been found. */
static bool
look_at(struct search *s, struct sv text)
{
	struct sb folded = SB_INIT(TEXT_MAX * 4);
	bool more = false;

	mail_utf8_fold(&folded, sv_sub(text, 0, TEXT_MAX));
	for (size_t i = 0; i < s->nbodies; i++) {
		if (!s->in_body[i])
			s->in_body[i] = memmem(sb_cstr(&folded), folded.len, s->body[i].p, s->body[i].len) != NULL;
		more = more || !s->in_body[i];
	}
	sb_free(&folded);
	return (more);
}

static bool
look_at_header(struct search *s, const struct mail_headers *h)
{
	struct sb text = SB_INIT(4 * MAIL_HEADER_TEXT_MAX);
	bool more = true;

	for (size_t i = 0; i < h->n && more; i++) {
		sb_clear(&text);
		field_text(&text, &h->v[i], true);
		more = look_at(s, sb_sv(&text));
	}
	sb_free(&text);
	return (more);
}

static bool
look_at_leaf(struct search *s, const struct mime_part *p, struct sv msg)
{
	struct sv body = sv_sub(msg, p->body_start, p->body_end), charset = mime_param(&p->params, "charset");
	struct sb bytes = SB_INIT(TEXT_MAX), text = SB_INIT(4 * TEXT_MAX);
	struct mail_decoder d;
	bool more;

	/* Other types are not text, whatever bytes they hold. */
	if (!sv_caseeqs(p->type, "text") && !sv_caseeqs(p->type, "message"))
		return (true);
	mail_decode_init(&d, p->encoding);
	mail_decode(&d, sv_sub(body, 0, TEXT_MAX), &bytes);
	mail_decode_finish(&d, &bytes);
	if (charset.len > 0 && mail_charset_to_utf8(&text, charset, sb_sv(&bytes)))
		more = look_at(s, sb_sv(&text));
	else
		more = look_at(s, sb_sv(&bytes));
	sb_free(&bytes);
	sb_free(&text);
	return (more);
}

struct look {
	struct search	*s;
	struct sv	 msg;
};

/* Everything below the message's own header: the texts of parts, headers of messages within.  May run on a thread. */
static void
look_through(void *arg)
{
	struct look *l = arg;
	const struct mime_part *root = mime_parse(l->s->a, l->msg);

	for (const struct mime_part *p = root; p != NULL; p = mime_next(root, p)) {
		if (p != root && !look_at_header(l->s, &p->headers))
			return;
		if (p->kind == MIME_LEAF && !look_at_leaf(l->s, p, l->msg))
			return;
	}
}

/* ---- the message at hand ---- */

static bool
failed(struct search *s, const struct err *err)
{
	struct store_msg now;
	struct err ignored = ERR_INIT;

	/* One that was expunged meanwhile is no failure. */
	if (store_reader_msgs_at(srole.reader, s->src.mbox, &s->m->uid, 1, &now, &ignored) != STORE_GET_OK ||
	    now.uid != 0) {
		s->unavailable = true;
		log_error(&s->ss->log, "uid=%u SEARCH: %s", s->m->uid, err->text);
	}
	return (false);
}

static bool
load_header(struct search *s)
{
	struct err err = ERR_INIT;

	if (s->have_header)
		return (true);
	s->spent += COST_HEADER;
	if (source_cached(&s->src, &err) == -1 ||
	    source_read(&s->src, 0, s->src.cached.header_len, &s->header_mem, &err) == -1)
		return (failed(s, &err));
	mail_headers_parse(&s->header, s->a, sb_sv(&s->header_mem), 0);
	s->have_header = true;
	return (true);
}

/* Addresses as they are meant, without the comments and folds inside. */
static bool
addresses_contain(struct search *s, struct sv body, struct sv needle)
{
	struct sb text = SB_INIT(4 * MAIL_HEADER_TEXT_MAX);
	struct mail_addrlist list;
	bool found;

	mail_addrlist_read(sv_sub(body, 0, MAIL_HEADER_TEXT_MAX), s->a, &list);
	for (size_t i = 0; i < list.n; i++) {
		if (list.v[i].name.p != NULL)
			mail_header_decode(&text, list.v[i].name);
		sb_adds(&text, " <");
		if (list.v[i].item == MAIL_ITEM_ADDRESS)
			mail_address_put(&text, &list.v[i]);
		sb_adds(&text, ">, ");
	}
	found = contains(sb_sv(&text), needle);
	sb_free(&text);
	return (found);
}

static bool
is_address_field(const char *name)
{
	static const char *const names[] = { "From", "To", "Cc", "Bcc", "Sender", "Reply-To" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (sv_caseeqs(sv_cstr(name), names[i]))
			return (true);
	return (false);
}

static bool
match_header(struct search *s, const struct node *n)
{
	bool addresses = is_address_field(n->field);

	if (!load_header(s))
		return (false);
	s->spent += s->header_mem.len / COST_BYTES;
	for (ptrdiff_t i = mail_headers_find(&s->header, n->field, 0); i != -1;
	     i = mail_headers_find(&s->header, n->field, (size_t)i + 1))
		if (field_contains(&s->header.v[i], false, n->needle) ||
		    (addresses && addresses_contain(s, s->header.v[i].body, n->needle)))
			return (true);
	return (false);
}

static bool
match_sent(struct search *s, const struct node *n)
{
	struct mail_date d;
	int64_t day;

	if (!load_header(s) || !mail_date_parse(mail_headers_get(&s->header, "Date"), &d))
		return (false);
	day = mail_date_day(&d);
	return (n->key == IMAP_K_SENTBEFORE ? day < n->number : n->key == IMAP_K_SENTON ? day == n->number :
	    day >= n->number);
}

/* The body, for all keys that look at it; the first of them that is asked does it. */
static bool
load_bodies(struct search *s)
{
	struct look l = { .s = s };
	struct err err = ERR_INIT;
	void *p;

	if (s->have_bodies)
		return (true);
	s->have_bodies = true;
	for (size_t i = 0; i < s->nbodies; i++)
		s->in_body[i] = false;
	if (source_open(&s->src, &err) == -1)
		return (failed(s, &err));
	if (s->m->size == 0)
		return (true);
	p = mmap(NULL, s->m->size, PROT_READ, MAP_PRIVATE, s->src.fd, 0);
	if (p == MAP_FAILED) {
		(void)err_sys(&err, "map message %u", s->m->uid);
		return (failed(s, &err));
	}
	l.msg = sv_from(p, s->m->size);
	if (s->m->size <= HERE_MAX) {
		s->spent += COST_BODY + s->nbodies * s->m->size / COST_BYTES;
		look_through(&l);
	} else {
		s->spent = 0;
		fiber_offload(look_through, &l);
	}
	(void)munmap(p, s->m->size);
	return (true);
}

static bool
match_body(struct search *s, const struct node *n)
{
	if (n->needle.len == 0)
		return (true);
	if (n->key == IMAP_K_TEXT && load_header(s)) {
		s->spent += s->header_mem.len / COST_BYTES;
		if (header_contains(&s->header, n->needle))
			return (true);
	}
	return (load_bodies(s) && s->in_body[n->body]);
}

static int64_t
day_of(int64_t utc)
{
	struct mail_date d = { .utc = utc };

	return (mail_date_day(&d));
}

/* A long search must not hold up the other sessions of this process. */
static void
take_turn(struct search *s)
{
	s->spent += COST_RECORD;
	if (s->spent >= YIELD_COST) {
		s->spent = 0;
		fiber_yield();
	}
}

static bool match(struct search *, const struct node *);

static bool
match_compound(struct search *s, const struct node *n)
{
	bool any = false;

	for (const struct node *k = n->kids; k != NULL; k = k->next) {
		bool yes = match(s, k);

		if (n->key == IMAP_K_NOT)
			return (!yes);
		if (n->key == IMAP_K_AND && !yes)
			return (false);
		if (n->key == IMAP_K_OR && yes)
			return (true);
		any = any || yes;
	}
	return (n->key == IMAP_K_AND || any);
}

static bool
match(struct search *s, const struct node *n)
{
	const struct store_msg *m = s->m;
	bool recent = m->uid >= s->ss->sel.first_recent;

	take_turn(s);
	switch (n->key) {
	case IMAP_K_ALL:
		return (true);
	case IMAP_K_AND:
	case IMAP_K_OR:
	case IMAP_K_NOT:
		return (match_compound(s, n));
	case IMAP_K_SEQ:
		s->spent += n->set->n;
		return (imap_set_has(n->set, s->ss->sel.view.messages, s->seq));
	case IMAP_K_UID:
		s->spent += n->set->n;
		return (imap_set_has(n->set, s->max_uid, m->uid));
	case IMAP_K_FLAG:
		return ((m->flags & n->mask) != 0);
	case IMAP_K_KEYWORD:
		return ((m->keywords & n->mask) != 0);
	case IMAP_K_NEW:
		return (recent && (m->flags & STORE_SEEN) == 0);
	case IMAP_K_OLD:
		return (!recent);
	case IMAP_K_RECENT:
		return (recent);
	case IMAP_K_BEFORE:
		return (day_of(m->internaldate) < n->number);
	case IMAP_K_ON:
		return (day_of(m->internaldate) == n->number);
	case IMAP_K_SINCE:
		return (day_of(m->internaldate) >= n->number);
	case IMAP_K_SENTBEFORE:
	case IMAP_K_SENTON:
	case IMAP_K_SENTSINCE:
		return (match_sent(s, n));
	case IMAP_K_LARGER:
		return (m->size > n->number);
	case IMAP_K_SMALLER:
		return (m->size < n->number);
	case IMAP_K_HEADER:
		return (match_header(s, n));
	case IMAP_K_BODY:
	case IMAP_K_TEXT:
		return (match_body(s, n));
	}
	return (false);
}

/* ---- the walk ---- */

static bool
ask(struct search *s, const struct store_msg *m, uint32_t seq)
{
	bool yes;

	s->m = m;
	s->seq = seq;
	s->have_header = s->have_bodies = false;
	source_init(&s->src, s->ss->sel.view.mbox, m);
	yes = match(s, s->root);
	source_free(&s->src);
	sb_clear(&s->header_mem);
	arena_reset(s->a);
	return (yes);
}

static bool
walk(struct search *s, bool uid, struct sb *out)
{
	const struct store_view *v = &s->ss->sel.view;
	struct store_msg msgs[CHUNK];
	struct err err = ERR_INIT;

	for (uint32_t from = 0; from < v->messages; from += CHUNK) {
		size_t n = v->messages - from < CHUNK ? v->messages - from : CHUNK;

		if (store_reader_msgs_at(srole.reader, v->mbox, v->uids + from, n, msgs, &err) != STORE_GET_OK) {
			reply_err(s->ss, &err, false);
			return (false);
		}
		for (size_t i = 0; i < n; i++)
			if (msgs[i].uid != 0 && ask(s, &msgs[i], from + (uint32_t)i + 1))
				sb_addf(out, " %u", uid ? msgs[i].uid : from + (uint32_t)i + 1);
	}
	return (true);
}

void
cmd_search(struct session *ss, const struct imap_command *c)
{
	struct search s = { .ss = ss, .header_mem = SB_INIT(TEXT_MAX) };
	struct sb out = SB_INIT(64 * 1024 * 1024);

	if (c->charset.p != NULL && !mail_charset_known(c->charset)) {
		reply_no(ss, "[BADCHARSET (US-ASCII UTF-8)] That character set is not known here.");
		return;
	}
	if (!few_enough(&s, c->search)) {
		reply_no(ss, "[LIMIT] That search has too many keys.");
		return;
	}
	s.nbodies = 0;
	s.root = compile(&s, c->search, c->charset);
	if (s.root == NULL) {
		reply_no(ss, "[BADCHARSET (US-ASCII UTF-8)] The text is not in that character set.");
		return;
	}
	if (ss->sel.view.messages > 0)
		s.max_uid = ss->sel.view.uids[ss->sel.view.messages - 1];
	s.a = arena_new(0);
	sb_adds(&out, "* SEARCH");
	if (walk(&s, c->uid, &out)) {
		sb_adds(&out, "\r\n");
		reply_sb(ss, &out);
		ss->uid_updates = c->uid;
		if (session_sync(ss, c->uid)) {
			if (s.unavailable)
				reply_no(ss, "[UNAVAILABLE] Some messages cannot be read now.");
			else
				reply_ok(ss, "Search completed.");
		}
		ss->uid_updates = false;
	}
	arena_free(&s.a);
	sb_free(&s.header_mem);
	sb_free(&out);
}
