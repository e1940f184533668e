/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Commands: one table of verbs, one function for each shape of arguments.
 * FETCH and SEARCH have files of their own.
 */
#include <string.h>

#include "imap/lex_int.h"
#include "imap/write.h"

/* ---- arguments ---- */

/* Modified UTF-7 to UTF-8; p NULL where it is not valid. */
static struct sv
decode_name(struct imap_lex *l, struct sv raw)
{
	struct sb out = SB_INIT(IMAP_LINE_MAX);
	struct sv v = SV_NULL;

	if (imap_utf7_decode(&out, raw)) {
		v = arena_sv(l->a, sb_sv(&out));
		v.tainted = raw.tainted;
	}
	sb_free(&out);
	return (v);
}

static bool
mailbox(struct imap_lex *l, struct sv *out)
{
	struct sv raw;

	if (!lex_astring(l, &raw))
		return (false);
	*out = decode_name(l, raw);
	/* INBOX is INBOX in any case (RFC 3501 5.1). */
	if (sv_caseeqs(*out, "INBOX"))
		*out = SV_LIT("INBOX");
	return (true);
}

static bool
p_none(struct imap_lex *l, struct imap_command *c)
{
	return (true);
}

static bool
p_mailbox(struct imap_lex *l, struct imap_command *c)
{
	return (lex_space(l) && mailbox(l, &c->mailbox));
}

static bool
p_two_mailboxes(struct imap_lex *l, struct imap_command *c)
{
	return (p_mailbox(l, c) && lex_space(l) && mailbox(l, &c->mailbox2));
}

static bool
p_login(struct imap_lex *l, struct imap_command *c)
{
	return (lex_space(l) && lex_astring(l, &c->user) && lex_space(l) && lex_astring(l, &c->password));
}

static bool
p_authenticate(struct imap_lex *l, struct imap_command *c)
{
	struct sv mech;
	size_t start;
	char *p;

	if (!lex_space(l) || !lex_atom(l, &mech))
		return (false);
	p = arena_alloc(l->a, mech.len + 1);
	for (size_t i = 0; i < mech.len; i++)
		p[i] = sv_upper(mech.p[i]);
	c->mech = sv_taint(sv_from(p, mech.len));
	if (lex_at_end(l))
		return (true);
	if (!lex_space(l))
		return (false);
	for (start = l->i; l->i < l->v.len && (sv_isalnum(lex_peek(l)) || lex_peek(l) == '+' || lex_peek(l) == '/' ||
	     lex_peek(l) == '='); l->i++)
		;
	c->initial = sv_sub(l->v, start, l->i);
	return (c->initial.len > 0 || lex_bad(l, "Malformed initial response"));
}

static bool
p_list(struct imap_lex *l, struct imap_command *c)
{
	struct sv raw;

	if (!lex_space(l) || !lex_astring(l, &raw))
		return (false);
	c->mailbox = decode_name(l, raw);
	if (!lex_space(l) || !lex_list_mailbox(l, &raw))
		return (false);
	c->mailbox2 = decode_name(l, raw);
	return (true);
}

static const struct {
	const char	*name;
	unsigned	 bit;
} status_items[] = {
	{ "MESSAGES", IMAP_STATUS_MESSAGES },
	{ "RECENT", IMAP_STATUS_RECENT },
	{ "UIDNEXT", IMAP_STATUS_UIDNEXT },
	{ "UIDVALIDITY", IMAP_STATUS_UIDVALIDITY },
	{ "UNSEEN", IMAP_STATUS_UNSEEN },
};

static bool
status_item(struct imap_lex *l, struct imap_command *c)
{
	struct sv name;

	if (!lex_atom(l, &name))
		return (false);
	for (size_t i = 0; i < sizeof(status_items) / sizeof(status_items[0]); i++)
		if (sv_caseeqs(name, status_items[i].name)) {
			c->status |= status_items[i].bit;
			return (true);
		}
	return (lex_bad(l, "Unknown STATUS item"));
}

static bool
p_status(struct imap_lex *l, struct imap_command *c)
{
	if (!p_mailbox(l, c) || !lex_space(l))
		return (false);
	if (!lex_take(l, '('))
		return (lex_bad(l, "Missing '('"));
	do {
		if (!status_item(l, c))
			return (false);
	} while (lex_take(l, ' '));
	return (lex_take(l, ')') || lex_bad(l, "Missing ')'"));
}

/* Everything but the message itself. */
static bool
p_append(struct imap_lex *l, struct imap_command *c)
{
	struct sv date;

	if (!p_mailbox(l, c) || !lex_space(l))
		return (false);
	if (lex_peek(l) == '(' && (!lex_flags(l, &c->flags) || !lex_space(l)))
		return (false);
	if (lex_peek(l) == '"') {
		if (!lex_string(l, &date))
			return (false);
		if (!mail_internaldate_parse(date, &c->date))
			return (lex_bad(l, "Malformed date"));
		c->has_date = true;
		if (!lex_space(l))
			return (false);
	}
	return (lex_literal_head(l, &c->literal, &c->literal_sync));
}

static bool
p_set_mailbox(struct imap_lex *l, struct imap_command *c)
{
	return (lex_space(l) && lex_set(l, &c->set) && p_mailbox(l, c));
}

static bool
p_expunge(struct imap_lex *l, struct imap_command *c)
{
	c->all = !c->uid;
	return (c->all || (lex_space(l) && lex_set(l, &c->set)));
}

static bool
p_store(struct imap_lex *l, struct imap_command *c)
{
	if (!lex_space(l) || !lex_set(l, &c->set) || !lex_space(l))
		return (false);
	if (lex_take(l, '+'))
		c->store = IMAP_STORE_ADD;
	else if (lex_take(l, '-'))
		c->store = IMAP_STORE_REMOVE;
	c->silent = lex_word(l, "FLAGS.SILENT");
	if (!c->silent && !lex_word(l, "FLAGS"))
		return (lex_bad(l, "Unknown STORE item"));
	return (lex_space(l) && lex_flags(l, &c->flags));
}

static bool
id_list(struct imap_lex *l, struct sv *v, size_t max, size_t *n)
{
	if (!lex_take(l, '('))
		return (lex_bad(l, "Missing '('"));
	while (!lex_take(l, ')')) {
		if (*n + 2 > max)
			return (lex_bad(l, "Too many fields"));
		if ((*n > 0 && !lex_space(l)) || !lex_string(l, &v[*n]) || !lex_space(l) || !lex_nstring(l, &v[*n + 1]))
			return (false);
		*n += 2;
	}
	return (true);
}

static bool
p_id(struct imap_lex *l, struct imap_command *c)
{
	struct sv v[60];		/* RFC 2971 3.3: at most 30 fields */

	if (!lex_space(l))
		return (false);
	if (lex_word(l, "NIL"))
		return (true);
	if (!id_list(l, v, 60, &c->nid))
		return (false);
	c->id = c->nid == 0 ? NULL : arena_dup(l->a, v, c->nid * sizeof(*v));
	return (true);
}

/* ---- verbs ---- */

#define p_CAPABILITY	p_none
#define p_NOOP		p_none
#define p_LOGOUT	p_none
#define p_ID		p_id
#define p_STARTTLS	p_none
#define p_AUTHENTICATE	p_authenticate
#define p_LOGIN		p_login
#define p_SELECT	p_mailbox
#define p_EXAMINE	p_mailbox
#define p_CREATE	p_mailbox
#define p_DELETE	p_mailbox
#define p_RENAME	p_two_mailboxes
#define p_SUBSCRIBE	p_mailbox
#define p_UNSUBSCRIBE	p_mailbox
#define p_LIST		p_list
#define p_LSUB		p_list
#define p_STATUS	p_status
#define p_APPEND	p_append
#define p_NAMESPACE	p_none
#define p_IDLE		p_none
#define p_CHECK		p_none
#define p_CLOSE		p_none
#define p_UNSELECT	p_none
#define p_EXPUNGE	p_expunge
#define p_SEARCH	imap_parse_search
#define p_FETCH		imap_parse_fetch
#define p_STORE		p_store
#define p_COPY		p_set_mailbox
#define p_MOVE		p_set_mailbox

static const struct verb {
	const char	*name;
	unsigned	 states;
	bool		 uid;
	bool		(*parse)(struct imap_lex *, struct imap_command *);
} verbs[] = {
	[IMAP_NO_VERB] = { "", 0, false, NULL },
#define X(verb, name, states, uid)	[IMAP_##verb] = { name, states, uid, p_##verb },
	IMAP_COMMANDS(X)
#undef X
};

const char *
imap_verb_name(enum imap_verb v)
{
	return (verbs[v].name);
}

unsigned
imap_verb_states(enum imap_verb v)
{
	return (verbs[v].states);
}

static bool
verb(struct imap_lex *l, struct imap_command *c)
{
	struct sv name;

	if (!lex_atom(l, &name))
		return (lex_bad(l, "Missing command"));
	if (sv_caseeqs(name, "UID")) {
		c->uid = true;
		if (!lex_space(l) || !lex_atom(l, &name))
			return (false);
	}
	for (size_t i = 1; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (sv_caseeqs(name, verbs[i].name) && (!c->uid || verbs[i].uid)) {
			c->verb = (enum imap_verb)i;
			return (true);
		}
	return (lex_bad(l, "Unknown command"));
}

bool
imap_command_parse(struct arena *a, struct sv text, struct imap_command *out, const char **why)
{
	struct imap_lex l = { .a = a, .v = text };
	bool ok;

	memset(out, 0, sizeof(*out));
	l.v.tainted = true;
	ok = lex_tag(&l, &out->tag) && lex_space(&l) && verb(&l, out) && verbs[out->verb].parse(&l, out);
	if (ok && !lex_at_end(&l))
		ok = lex_bad(&l, "Unexpected argument");
	*why = l.why;
	return (ok);
}

/* ---- gathering ---- */

bool
imap_literal_follows(struct sv line, uint64_t *n, bool *sync)
{
	struct imap_lex l = { .v = line };
	ptrdiff_t open;

	if (!sv_ends(line, "}\r\n") && !sv_ends(line, "}\n"))
		return (false);
	open = sv_rchr(line, '{');
	if (open == -1)
		return (false);
	l.i = (size_t)open;
	return (lex_literal_head(&l, n, sync) && l.i == line.len);
}

bool
imap_is_append(struct sv text)
{
	struct arena *a = arena_new(1024);
	struct imap_lex l = { .a = a, .v = text };
	struct imap_command c;
	bool yes;

	memset(&c, 0, sizeof(c));
	yes = lex_tag(&l, &c.tag) && lex_space(&l) && lex_word(&l, "APPEND") && p_append(&l, &c) && l.i == text.len;
	arena_free(&a);
	return (yes);
}

/* ---- patterns ---- */

/* Backtracks to the last wildcard only, so its cost is bounded by pattern times name. */
bool
imap_pattern_match(struct sv pattern, struct sv name, char sep)
{
	size_t p = 0, n = 0, star_p = SIZE_MAX, star_n = 0, pct_p = SIZE_MAX, pct_n = 0;

	for (;;) {
		if (p < pattern.len && pattern.p[p] == '*') {
			star_p = p++;
			star_n = n;
			pct_p = SIZE_MAX;
			continue;
		}
		if (p < pattern.len && pattern.p[p] == '%') {
			pct_p = p++;
			pct_n = n;
			continue;
		}
		if (n < name.len && p < pattern.len && pattern.p[p] == name.p[n]) {
			p++;
			n++;
			continue;
		}
		if (n == name.len && p == pattern.len)
			return (true);
		/* Let '%' take one more character, else '*'. */
		if (pct_p != SIZE_MAX && pct_n < name.len && name.p[pct_n] != sep) {
			n = ++pct_n;
			p = pct_p + 1;
		} else if (star_p != SIZE_MAX && star_n < name.len) {
			n = ++star_n;
			p = star_p + 1;
			pct_p = SIZE_MAX;
		} else {
			return (false);
		}
	}
}
