/* SPDX-License-Identifier: BSD-2-Clause */
/* Compiled lists and their items, match*.c. */
#ifndef VPOST_EXIM_MATCH_INT_H
#define VPOST_EXIM_MATCH_INT_H

#include "exim/expand_int.h"

#define MATCH_DEPTH	20		/* named lists in named lists */

enum mtype {
	M_EMPTY,
	M_ANY,			/* "*" */
	M_LITERAL,
	M_SUFFIX,		/* "*text" */
	M_REGEX,
	M_NAMED,		/* +name */
	M_FILE,
	M_LOOKUP,
	M_PRIMARY,		/* @ */
	M_IFACE,		/* @[] */
	M_MX,			/* @mx_any, @mx_primary, @mx_secondary */
	M_FLAG,			/* +caseful, +include_unknown ... */
	M_PREFIX,		/* hosts: address or network */
	M_NET,			/* hosts: net[N]-lookup */
	M_NAME,			/* hosts: a plain name, looked up */
	M_ADDRESS,		/* local part pattern and domain item */
	M_SPLIT,		/* @@lookup */
	M_ERROR			/* <arg>: what is wrong */
};

enum mflag { MF_CASEFUL, MF_INCLUDE_UNKNOWN, MF_IGNORE_UNKNOWN, MF_INCLUDE_DEFER, MF_IGNORE_DEFER };
#define MATCH_PUT_OFF	(-2)	/* with a host's name in question the mistake is told and put off, not died of */

enum mmx { MX_ANY, MX_PRIMARY, MX_SECONDARY };

struct mitem {
	enum mtype	 type;
	bool		 negate;
	struct sv	 text;		/* as written, without "!": the value of a match */
	struct sv	 arg;		/* suffix, file, query, name, error text */
	int		 num;		/* flag, kind of MX, bits of a mask (-1 none), M_ERROR of a host list: MATCH_PUT_OFF */
	struct xregex_ref re[2];	/* with case, without */
	struct xlookup_spec lookup;
	struct net_prefix prefix;
	struct sv	 local;		/* M_ADDRESS: pattern of the local part; p NULL: any */
	struct mitem	*domain;	/* M_ADDRESS */
	struct exim_list *ignore;	/* M_MX: /ignore= */
};

struct exim_list {
	enum exim_list_kind kind;
	struct sv	 text;
	const char	*file;
	unsigned	 line;
	const struct exim_str *str;	/* its text expands: items are made when it is known */
	struct mitem	*v;
	size_t		 n;
};

enum mresult {
	MR_YES,
	MR_NO,
	MR_DEFER,
	MR_UNKNOWN,		/* a name or address could not be found */
	MR_END,			/* so the list as a whole does not match */
	MR_FAIL
};

struct mscan {
	struct xev	*e;
	enum exim_list_kind kind;
	struct sv	 subject;	/* lower case where that applies */
	struct sv	 original;	/* in its own case, for +caseful */
	bool		 caseless;
	bool		 nums;		/* set $0, $1 */
	size_t		 hit;		/* the place in the outermost list of the item that matched */
	const struct exim_host *host;
	struct sv	 value;
	struct sv	 refused;	/* that of the item with "!" that ended the list */
	unsigned	 depth;
	bool		 include_unknown, ignore_unknown, include_defer, ignore_defer;
	struct sv	 unknown;	/* behind MR_UNKNOWN: what could not be found */
	bool		 varies;	/* some list so far was expanded: another time it may be another */
};

void	 m_item_compile(struct arena *a, enum exim_list_kind kind, struct sv text, struct mitem *it);
/* Any item but +name, file and flag. */
enum mresult m_item(struct mscan *s, const struct mitem *it);
/* The items that compare a string, whatever the list: literal, suffix, regex, lookup, @... */
enum mresult m_string(struct mscan *s, const struct mitem *it, struct sv subject);
enum mresult m_lookup(struct mscan *s, const struct xlookup_spec *spec, struct sv file, struct sv key, bool partial);
enum mresult m_mx(struct mscan *s, const struct mitem *it, struct sv domain);
enum mresult m_host(struct mscan *s, const struct mitem *it);
enum mresult m_address(struct mscan *s, const struct mitem *it);
bool	 m_is_local_address(struct xev *e, const struct net_addr *a);
/* All items of <l>. */
enum mresult m_list(struct mscan *s, const struct exim_list *l);
/* A line for the main log, of the ACL that runs or else of the world. */
void	 m_log(struct mscan *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Where Exim would die: told to the admin, EXIM_FAIL to callers. */
enum mresult m_die(struct mscan *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
