/* SPDX-License-Identifier: BSD-2-Clause */
/* The parts of routing. */
#ifndef VPOST_ROUTE_ROUTE_INT_H
#define VPOST_ROUTE_ROUTE_INT_H

#include "base/hash.h"
#include "base/vec.h"
#include "exim/acl.h"
#include "exim/expand.h"
#include "exim/match.h"
#include "route/redirect.h"
#include "route/route.h"

/* What a router does with an address. */
#define ROUTE_NUMBER_REDIRECT	(-17)
#define ROUTE_NUMBER_TRANSPORT	(-30)
#define ROUTE_NUMBER_HOST	(-32)
#define ROUTE_NUMBER_DNS	(-36)

enum route_yield { Y_ACCEPT, Y_DECLINE, Y_PASS, Y_FAIL, Y_DEFER, Y_FREEZE, Y_REROUTED, Y_DISCARD };

/* An address that is still to be routed. */
struct pending {
	const struct route_delivery *ready;	/* a pipe or file that needs no routing any more; NULL: an address */
	struct route_addr *addr;
	const struct exim_router *start;	/* NULL: the first */
	struct sv	 address_data;
	struct sv	 self_hostname;
	const struct route_host *left;		/* of a router that passed or declined: a local transport is told of them */
	size_t		 nleft;
	struct hash	*vars;			/* $r_...; shared, copied when set */
	bool		 errors_to_set, hide_child;
	struct sv	 errors_to;
	const struct sv	*headers_add, *headers_remove;
	size_t		 nheaders_add, nheaders_remove;
	struct sv	 parent_local, parent_domain;	/* as the redirecting router saw them */
	struct sv	 original_local, original_domain;
	bool		 one_time;
	bool		 ignore_error;
};

struct routing {
	const struct route_request *rq;
	struct route_result *res;
	struct arena	*a;
	struct exim_env	*env;
	VEC(struct pending) todo;
	VEC(struct route_delivery) deliveries;
	VEC(struct route_failure) failures;
	VEC(struct route_addr *) generated;
	VEC(struct hash *) vars;
	struct hash	*seen;			/* unique texts of addresses that came up */
	unsigned	 depth;			/* of errors_to verification */
	bool		 accepted;
	bool		 in_turn;		/* -bt, -bv -v: everything is shown, in its order, duplicates too */
	unsigned	 seq;
	unsigned	 replies;		/* so many were asked for by filters */
};

/* One address at one router. */
struct visit {
	struct routing	*rt;
	struct pending	*p;
	const struct exim_router *r;
	struct exim_address ea;			/* what env->addr points to */
	struct sv	 domain;		/* lower case */
	struct sv	 local_full;		/* with affixes, as written */
	struct sv	 local_plain;		/* the same without quotes */
	struct sv	 local;			/* without affixes, in the router's case */
	bool		 has_pw;
	struct exim_passwd pw;
	/* what an accepting or failing router leaves */
	struct err	 err;
	struct sv	 user_msg;
	int		 code;
	int		 number;		/* see route_failure */
	const char	*raw;			/* the error's text with its line ends; NULL: it has none */
	struct sv	 message;		/* why it declined, if it knows */
	struct sv	 user_message;		/* the same for the client; p NULL: not another */
	enum exim_retry_error retry_error;
	struct sv	 reroute_domain;
	struct sv	 data_before;	/* address_data as the router found it */
	const char	*skipped;	/* which of its options passed the address by; NULL: none did */
	bool		 reroute_header;	/* the header shall say it too */
	bool		 unseen;	/* what was set up comes in addition: the address goes on */
};

/* precond.c: EXIM_OK *<yes>; EXIM_DEFER with v->err. */
enum exim_result route_precond(struct visit *v, bool *yes);
bool	 route_affixes(struct visit *v);

/* accept.c: what all routers that take an address do. */
/* Fill <d> from the visit and the generic options; Y_ACCEPT, or Y_DEFER with v->err. */
enum route_yield route_fill(struct visit *v, struct route_delivery *d, const struct exim_value *transport);
void	 route_deliver(struct visit *v, const struct route_delivery *d);
enum route_yield route_defer(struct visit *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
enum route_yield route_fail(struct visit *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* What an expansion failed of, with its line ends. */
const char *route_why(struct visit *v);
/* <res> of an expansion as yield: FORCED declines. */
enum route_yield route_expansion(struct visit *v, enum exim_result res, const char *option);
/* The same of an option that is told by its text. */
enum route_yield route_text_expansion(struct visit *v, enum exim_result res, const struct exim_value *o);
/*
 * user or group, or an option like them: fixed, or expanded to a number or a name.  *<set> when there is one; <name> and <gid>
 * (of that user; else untouched) are NULL for groups.
 */
enum route_yield route_id_of(struct visit *v, const struct exim_value *val, const char *option, bool *set, int64_t *id,
	     const char **name, int64_t *gid);
/* A new address to route, qualified; it takes over errors_to and headers of <d>. */
void	 route_child(struct visit *v, const struct route_delivery *d, struct sv address, const struct exim_router *start);
/* To ops->note, or to the trace; what an administrator must see to ops->panic. */
void	 route_note(struct visit *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void	 route_panic(struct visit *v, const char *text);
/* debug_print, where somebody wants to see it. */
void	 route_debug_print(struct visit *v);

/* The drivers. */
enum route_yield route_accept(struct visit *v);
enum route_yield route_dnslookup(struct visit *v);
enum route_yield route_ipliteral(struct visit *v);
enum route_yield route_manualroute(struct visit *v);
enum route_yield route_queryprogram(struct visit *v);
enum route_yield route_redirect(struct visit *v);

/* hosts.c */
enum ip_wish { IP_ANY, IP_V4_FIRST, IP_V4_ONLY };
struct hostlist {
	VEC(struct route_host) v;
	int		 dead;			/* 1 + lowest preference of an MX whose host does not exist; 0: none */
	enum ip_wish	 wish;			/* for names that are looked up */
	const char	*dead_name;		/* FIND_DEAD, FIND_DEFER: the first of the MX hosts */
	bool		 literal;		/* an MX names an address where a name belongs */
};
/* FIND_DEAD: there are MX records, and none leads to an address that counts. */
enum find { FIND_OK, FIND_NONE, FIND_IGNORED, FIND_DEAD, FIND_DEFER };
/* Addresses of <name> appended to <hl> as hosts of preference <mx>, without those of ignore_target_hosts. */
enum find route_find_addrs(struct visit *v, const char *name, uint16_t port, int mx, bool dns_first, bool dns_only,
	     struct hostlist *hl);
/* MX records of <name>, then their addresses; FIND_NONE when there are none. *<null_mx> for RFC 7505. */
enum find route_find_mx(struct visit *v, const char *name, bool need_mx, uint16_t port, struct hostlist *hl, bool *null_mx);
/*
 * Of the hosts from <from> on those from the first of ours on go; true when the first is ours (the self option decides).  None is
 * left of them when all that went before ours are dead.
 */
bool	 route_drop_self(struct visit *v, struct hostlist *hl, size_t from, bool *secondary);
/* An address of this host. */
bool	 route_is_ours(struct visit *v, const struct net_addr *addr);
/* What self says; Y_ACCEPT for send. */
enum route_yield route_self(struct visit *v, const struct route_host *h);
/* The hosts of list <hosts> (names, addresses, NAME/MX), found by DNS or by the host's tables; what cannot be found defers. */
enum route_yield route_host_list(struct visit *v, struct sv hosts, bool byname, bool bydns, struct hostlist *hl);
/* "name", "name:port", "[addr]:port". */
struct sv route_host_port(struct sv item, uint16_t *port);
void	 route_hosts_seal(struct visit *v, struct hostlist *hl, struct route_delivery *d);
void	 route_shuffle(struct visit *v, struct sv *items, size_t n);
/* Are only IPv4 addresses of <host> wanted? */
bool	 route_ipv4_only(struct visit *v, const char *host);

/*
 * The account <name>, asked for again finduser_retries times, a second apart, while it is not found.
 * May park.
 */
enum exim_found	 route_passwd(struct visit *v, const char *name, struct exim_passwd *pw);

#endif
