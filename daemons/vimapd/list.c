/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * LIST, LSUB, NAMESPACE's relatives (RFC 3501 6.3.8, 6.3.9; RFC 3348 for the
 * attributes of children).  The names that the user may see are collected first and then matched, since
 * a name that does not match may have a superior that does.
 */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "fiber/fiber.h"
#include "imap/write.h"
#include "session.h"

#define NAMES_MAX	200000
#define NAMES_AT_ONCE	2000		/* looked at before others get their turn: a few milliseconds */
#define ANSWER_MAX	(64 * 1024 * 1024)

struct names {
	struct arena	*a;
	VEC(struct sv)	 v;		/* as the client calls them */
	struct sv	 user;
	bool		 full;
};

static int
compare(const void *a, const void *b)
{
	return (sv_cmp(*(const struct sv *)a, *(const struct sv *)b));
}

static bool
collect(struct names *n, struct sv name)
{
	struct sb client = SB_INIT(4 * STORE_NAME_MAX);

	if (n->v.len >= NAMES_MAX) {
		n->full = true;
		return (false);
	}
	store_name_to_client(name, srole.sep, n->user, &client);
	vec_push(&n->v, arena_sv(n->a, sb_sv(&client)));
	sb_free(&client);
	return (true);
}

static bool
collect_mailbox(void *arg, struct sv name, uint64_t mbox, unsigned rights)
{
	(void)mbox;
	(void)rights;
	return (collect(arg, name));
}

static bool
collect_subscription(void *arg, struct sv name)
{
	return (collect(arg, name));
}

/* Index of the first name that is not below <key>. */
static size_t
lower_bound(const struct names *n, struct sv key)
{
	size_t lo = 0, hi = n->v.len;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (sv_cmp(n->v.p[mid], key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return (lo);
}

static bool
has_children(const struct names *n, struct sv name)
{
	struct sv key = sv_cstr(arena_fmt(n->a, SV_FMT "%c", SV_ARG(name), srole.sep));
	size_t i = lower_bound(n, key);

	return (i < n->v.len && sv_starts(n->v.p[i], key.p));
}

static bool
exists(const struct names *n, struct sv name)
{
	size_t i = lower_bound(n, name);

	return (i < n->v.len && sv_eq(n->v.p[i], name));
}

static void
put_line(struct sb *out, const char *verb, const char *attributes, struct sv name)
{
	sb_addf(out, "* %s (%s) \"%s%c\" ", verb, attributes, srole.sep == '\\' || srole.sep == '"' ? "\\" : "",
	    srole.sep);
	imap_put_mailbox(out, name);
	sb_adds(out, "\r\n");
}

/* Superiors of <name> that are no mailboxes themselves but match: told once each, as \Noselect. */
static void
put_superiors(struct sb *out, const struct names *n, struct sv pattern, struct sv name, const char *verb,
    const char *attributes, struct hash *told)
{
	for (size_t i = 1; i < name.len; i++) {
		struct sv up = sv_sub(name, 0, i);

		if (name.p[i] != srole.sep || exists(n, up) || hash_get(told, up) != NULL ||
		    !imap_pattern_match(pattern, up, srole.sep))
			continue;
		(void)hash_set(told, up, told);
		put_line(out, verb, attributes, up);
	}
}

static void
answer(struct session *ss, struct names *n, struct sv pattern, bool lsub)
{
	struct sb out = SB_INIT(ANSWER_MAX);
	struct hash *told = hash_new();

	if (n->v.len > 0)
		qsort(n->v.p, n->v.len, sizeof(*n->v.p), compare);
	for (size_t i = 0; i < n->v.len; i++) {
		struct sv name = n->v.p[i];

		put_superiors(&out, n, pattern, name, lsub ? "LSUB" : "LIST", lsub ? "\\Noselect" :
		    "\\Noselect \\HasChildren", told);
		if (!imap_pattern_match(pattern, name, srole.sep))
			continue;
		if (lsub)
			put_line(&out, "LSUB", "", name);
		else
			put_line(&out, "LIST", has_children(n, name) ? "\\HasChildren" : "\\HasNoChildren", name);
	}
	reply_sb(ss, &out);
	hash_free(&told, NULL);
	sb_free(&out);
}

/* Reference and pattern together; "INBOX" at the start in any case. */
static struct sv
full_pattern(struct session *ss, const struct imap_command *c)
{
	char *p = arena_fmt(ss->arena, SV_FMT SV_FMT, SV_ARG(c->mailbox), SV_ARG(c->mailbox2));
	size_t len = strlen(p);

	if (len >= 5 && sv_caseeqs(sv_from(p, 5), "INBOX") && (len == 5 || strchr("*%", p[5]) != NULL ||
	    p[5] == srole.sep))
		memcpy(p, "INBOX", 5);
	return (sv_from(p, len));
}

/* Whose mailboxes can match at all: the user's own alone, or all. */
static struct sv
walk_prefix(struct session *ss, struct sv pattern, char buf[STORE_NAME_MAX + 1])
{
	struct err err = ERR_INIT;

	if (sv_starts(pattern, "INBOX") && store_name_inbox(session_user(ss), buf, &err) == 0)
		return (sv_cstr(buf));
	return (SV_LIT(""));
}

/* The names of all users are many: the sessions of this process get their turn in between. */
static int
walk(struct sv prefix, struct sv user, struct names *n, struct err *err)
{
	struct sb at = SB_INIT(STORE_NAME_MAX + 2);
	int rc;

	while ((rc = store_reader_list_part(srole.reader, prefix, &at, NAMES_AT_ONCE, user, collect_mailbox, n, err)) == 1 && !n->full)
		fiber_yield();
	sb_free(&at);
	return (rc == 1 ? 0 : rc);
}

static void
list(struct session *ss, const struct imap_command *c, bool lsub)
{
	struct names n = { .a = ss->arena, .user = session_user(ss) };
	char buf[STORE_NAME_MAX + 1];
	struct err err = ERR_INIT;
	struct sv pattern;
	int rc;

	/* No mailbox has a name that such a pattern could match. */
	if (c->mailbox.p == NULL || c->mailbox2.p == NULL) {
		reply_ok(ss, "List completed: the pattern is not in modified UTF-7.");
		return;
	}
	pattern = full_pattern(ss, c);
	if (lsub)
		rc = store_reader_subscriptions(srole.reader, session_user(ss), collect_subscription, &n, &err);
	else
		rc = walk(walk_prefix(ss, pattern, buf), session_user(ss), &n, &err);
	if (rc == -1) {
		reply_err(ss, &err, false);
	} else {
		answer(ss, &n, pattern, lsub);
		reply_ok(ss, n.full ? "List completed, but cut short: there are too many mailboxes." :
		    lsub ? "Lsub completed." : "List completed.");
	}
	vec_free(&n.v);
}

void
cmd_list(struct session *ss, const struct imap_command *c)
{
	/* An empty pattern asks for the separator (RFC 3501 6.3.8). */
	if (c->mailbox2.p != NULL && c->mailbox2.len == 0) {
		struct sb out = SB_INIT(256);

		put_line(&out, "LIST", "\\Noselect", SV_LIT(""));
		reply_sb(ss, &out);
		sb_free(&out);
		reply_ok(ss, "List completed.");
		return;
	}
	list(ss, c, false);
}

void
cmd_lsub(struct session *ss, const struct imap_command *c)
{
	list(ss, c, true);
}
