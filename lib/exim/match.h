/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lists of Exim's language (chapter 10 of its manual): domain, host, address and
 * local part lists, and plain string lists.  The text of a list is an expanded string; what
 * needs no expansion is compiled when it is loaded.  Lists that expand are compiled
 * when their text is known, through a small cache.
 */
#ifndef VPOST_EXIM_MATCH_H
#define VPOST_EXIM_MATCH_H

#include "exim/env.h"
#include "exim/expand.h"

enum exim_list_kind {
	EXIM_LIST_DOMAIN,
	EXIM_LIST_HOST,
	EXIM_LIST_ADDRESS,
	EXIM_LIST_LOCAL,
	EXIM_LIST_STRING		/* queue names, log selectors ...: items of string matching only */
};

/* Named lists: domainlist, hostlist, addresslist, localpartlist. */
struct exim_names;
struct exim_named {
	enum exim_list_kind kind;
	struct sv	 name;
	struct sv	 text;		/* as written */
	bool		 cache;		/* domainlist_cache ...: keep answers although the text expands */
	bool		 hide;
	const char	*file;
	unsigned	 line;
	struct exim_list *list;
	size_t		 number;	/* its place among all of them, which exim_names_add gives */
};
struct exim_names *exim_names_new(struct arena *a);
/*
 * Add a list; <n> is copied, its text compiled.  -1 on a second definition of that name and kind, or on a
 * mistake in the text (the list is there all the same).
 */
int	 exim_names_add(struct exim_names *ns, const struct exim_named *n, struct err *err);
const struct exim_named *exim_names_get(const struct exim_names *ns, enum exim_list_kind kind, struct sv name);
/* In order of definition; NULL behind the last. */
const struct exim_named *exim_names_at(const struct exim_names *ns, size_t i);

struct exim_list;

/* Compile the text of a list (or the text of an option that is one).  As exim_str_compile. */
int	 exim_list_compile(struct arena *a, enum exim_list_kind kind, struct sv text, const char *file, unsigned line,
	     struct exim_list **out, struct err *err);
struct sv exim_list_text(const struct exim_list *l);
/* Names of the +lists that its text refers to, for checks at load; false at the end.  Texts that expand tell none. */
bool	 exim_list_refers(const struct exim_list *l, size_t *pos, struct sv *name);

/*
 * The matches.  EXIM_OK: *<yes> is the answer; *<data> (may be NULL) gets the value behind the match for $domain_data and its
 * like: what a lookup gave, or the item (or subject, for a lookup that gave nothing better) untainted; with *<yes> false, that of
 * the item with "!" that decided; p NULL if there is none.  EXIM_DEFER: a lookup gave no answer.  EXIM_FAIL: the list is wrong.
 * EXIM_FORCED: its text said "fail", which callers take as no match.  NULL list: no match.  *<err> is cleared first.
 */
enum exim_result exim_match_domain(const struct exim_list *l, struct exim_env *env, struct sv domain, bool *yes,
	     struct sv *data, struct err *err);
/* Which item of the list matched, from 0; SIZE_MAX: none. */
enum exim_result exim_match_domain_rank(const struct exim_list *l, struct exim_env *env, struct sv domain, size_t *rank,
	     struct err *err);
/* <caseful>: of the subject's local part; patterns can say +caseful. */
enum exim_result exim_match_local(const struct exim_list *l, struct exim_env *env, struct sv local, bool caseful, bool *yes,
	     struct sv *data, struct err *err);
enum exim_result exim_match_address(const struct exim_list *l, struct exim_env *env, struct sv address, bool caseful, bool *yes,
	     struct sv *data, struct err *err);
/*
 * The pattern of a rewriting rule: case counts in local parts, and $0, $1 ... are set from the match (manual 31.5).  Address and
 * string lists.
 */
enum exim_result exim_match_rewrite(const struct exim_list *l, struct exim_env *env, struct sv subject, bool *yes,
	     struct err *err);
enum exim_result exim_match_string(const struct exim_list *l, struct exim_env *env, struct sv text, bool caseful, bool *yes,
	     struct err *err);

struct exim_host {
	struct sv	 address;	/* text; empty: a local submission, matched by an empty item */
	struct net_addr	 addr;
	struct sv	 name;		/* empty: not known yet; looked up through env->world when an item needs it */
	bool		 name_failed;	/* lookup was tried in vain */
	bool		 ip_only;	/* match_ip: single-key lookups use the address, names match nothing */
	bool		 session;	/* it is env->session's client: names are taken from and kept there */
};
enum exim_result exim_match_host(const struct exim_list *l, struct exim_env *env, const struct exim_host *h, bool *yes,
	     struct sv *data, struct err *err);
/* The session's client. */
enum exim_result exim_match_client(const struct exim_list *l, struct exim_env *env, bool *yes, struct sv *data, struct err *err);

/*
 * Plain lists (hosts = a : b, port lists ...): cut the next item off *<list>.  The separator is ":", or another
 * after "<x", found at the first call (*<sep> must be 0 then); doubled separators mean one of them; blanks around items go.
 * The item lives in <a>.  False at the end.
 */
bool	 exim_list_next(struct sv *list, int *sep, struct arena *a, struct sv *item);

/* Make sure that env->session's host name was looked up (once). */
void	 exim_host_name(struct exim_env *env);
/* Was the name found by validated answers both ways?  False where there is no name (yet). */
bool	 exim_host_secure(struct exim_env *env);

#endif
