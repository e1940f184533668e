/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Routing: one recipient address goes through the routers of the configuration and
 * comes out as deliveries (a transport, hosts, a user) or failures; aliases make several of
 * it.  The same for verification (verify = recipient, VRFY, EXPN) and for -bt.  It sees the
 * world through struct exim_env and struct route_ops, and may park where those do.
 *
 * Nothing is kept between calls but what the caller holds.  All results live in the arena of
 * the request.
 */
#ifndef VPOST_ROUTE_ROUTE_H
#define VPOST_ROUTE_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/sb.h"
#include "base/sv.h"
#include "exim/conf.h"
#include "exim/env.h"
#include "net/addr.h"

#define ROUTE_DEPTH_MAX		100	/* parents of an address */
#define ROUTE_ADDRS_MAX		50000	/* addresses that one recipient may become */
#define ROUTE_DATA_MAX		(4 * 1024 * 1024)	/* bytes of redirect data, :include: files each */
#define ROUTE_HOSTS_MAX		100	/* hosts of one delivery */

enum route_mode {
	ROUTE_DELIVER,
	ROUTE_VERIFY_RECIPIENT,
	ROUTE_VERIFY_SENDER,
	ROUTE_EXPN,
	ROUTE_TEST			/* -bt: as deliver, but address_test counts */
};

struct route_host {
	const char	*name;		/* behind aliases */
	const char	*asked;		/* what was asked for, where that is another name: certificates are looked at for it; else NULL */
	struct net_addr	 addr;		/* port 0: the transport's */
	int		 mx;		/* preference; -1: not by MX */
	bool		 dnssec;	/* name and address were validated */
	bool		 mx_dnssec;
	bool		 unknown;	/* could not be found; <why> */
	const char	*why;
};

/* The outside beyond struct exim_world.  NULL members: DNS defers. */
struct route_mx {
	const char	*host;		/* "" for the null MX */
	unsigned	 pref;
};
struct route_srv {
	const char	*host;
	unsigned	 pref, weight, port;
};
enum route_dns { ROUTE_DNS_FOUND, ROUTE_DNS_NODATA, ROUTE_DNS_NXDOMAIN, ROUTE_DNS_TEMPFAIL, ROUTE_DNS_BOGUS };
struct route_filter;
struct route_ops {
	void		*arg;
	/* Sorted by preference. */
	enum route_dns	(*mx)(void *arg, const char *domain, struct arena *a, struct route_mx **mx, size_t *n, bool *secure);
	/* <families>: DNS_V4 | DNS_V6 of dns/dns.h; *<canon>: the name behind aliases, untouched where there were none. */
	enum route_dns	(*addrs)(void *arg, const char *host, unsigned families, struct arena *a, struct net_addr **addrs, size_t *n,
			    bool *secure, const char **canon);
	enum route_dns	(*srv)(void *arg, const char *name, struct arena *a, struct route_srv **srv, size_t *n, bool *secure);
	/* Domains for names that are not whole; NULL: none. */
	const char *const *(*search)(void *arg, size_t *n);
	/* Is <a> one of our own addresses (local_interfaces, extra_local_interfaces, hosts_treat_as_local aside)? */
	bool		(*is_local)(void *arg, const struct net_addr *a);
	/* The texts of debug_print; NULL: not wanted, and not expanded. */
	void		(*debug)(void *arg, struct sv text);
	/* Tell what -bt -d or a trace wants to know; NULL: nothing. */
	void		(*trace)(void *arg, const char *text);
	/* What an administrator or user should know: a file that was passed over.  NULL: goes to trace. */
	void		(*note)(void *arg, const char *text);
	/* The same for what belongs into the panic log; NULL: as note. */
	void		(*panic)(void *arg, const char *text);
	/* A message to somebody: syntax_errors_to.  NULL: nobody is told. */
	void		(*mail)(void *arg, struct sv to, struct sv subject, struct sv body);
	/* Run a filter (lib/filter's filter_route does); NULL: addresses with one are deferred. */
	void		(*filter)(void *arg, struct route_filter *f);
	uint32_t	(*random)(void *arg);
};
/*
 * The main options dns_* of <c>: what dns_init has to know of them, and how questions are asked and answers judged from now on
 * in this process.  <c> stays; expansions in the lists see <w>, but no DNS.
 */
struct dns_conf;
void	 route_dns_conf(const struct exim_conf *c, struct dns_conf *out);
void	 route_dns_rules(const struct exim_conf *c, const struct exim_world *w);
/* Ops over lib/dns; <ops->is_local> looks at the host's interfaces.  Needs dns_init. */
void	 route_ops_dns(struct route_ops *ops);

struct filter_mail;			/* filter/action.h */

enum route_kind {
	ROUTE_TO_TRANSPORT,		/* <transport> with or without hosts */
	ROUTE_PIPE,			/* redirect: "|command"; <transport> is pipe_transport */
	ROUTE_FILE,			/* redirect: /file */
	ROUTE_DIRECTORY,		/* redirect: /dir/ */
	ROUTE_DISCARD,			/* :blackhole: */
	ROUTE_FILTER,			/* redirect: the data is a filter, and it was not run (verification only) */
	ROUTE_REPLY			/* a filter's mail or vacation; <transport> is reply_transport, <item> what it says */
};

/*
 * A filter as redirect data.  What runs it stands above this module: route_ops.filter.  It answers with what the filter wants,
 * all texts in <arena>.
 */
struct route_filter_item {
	enum route_kind	 kind;		/* ROUTE_TO_TRANSPORT: a qualified address; ROUTE_PIPE, _FILE, _DIRECTORY, _REPLY, _DISCARD */
	struct sv	 text;		/* address, command, path, recipient of the reply */
	bool		 ignore_error;	/* noerror: nobody is told of its failure */
	bool		 errors_to_set;
	struct sv	 errors_to;
	bool		 mode_set;
	unsigned	 mode;		/* of the file */
	const struct exim_nums *nums;	/* pipe: each word is expanded, with these; may be NULL */
	struct sv	 thisaddress;
	unsigned	 forbid;	/* EXIM_NO_..., for expansions that come later */
	const struct filter_mail *mail;	/* reply */
};

#define ROUTE_FILTER_DEFER	0x01	/* the command is allowed */
#define ROUTE_FILTER_FAIL	0x02
#define ROUTE_FILTER_FREEZE	0x04
#define ROUTE_FILTER_REWRITE	0x08
#define ROUTE_FILTER_NO_LOGWRITE 0x10
#define ROUTE_FILTER_HOME	0x20	/* relative names of save are below <home> */

enum route_filter_end {
	ROUTE_FILTER_DONE,		/* the address is taken care of by the items, or discarded */
	ROUTE_FILTER_MORE,		/* the items come in addition; the address goes on */
	ROUTE_FILTER_REFUSED, ROUTE_FILTER_DEFERRED, ROUTE_FILTER_FROZEN,	/* by its own word; <why> */
	ROUTE_FILTER_BROKEN		/* <why>; <syntax>: it could not be read */
};

struct route_filter {
	struct sv	 text;
	const char	*file;		/* NULL: none */
	bool		 sieve;
	bool		 verify;	/* nothing is delivered by it: logwrite does nothing */
	unsigned	 flags;		/* ROUTE_FILTER_... */
	unsigned	 forbid;	/* EXIM_NO_... */
	struct exim_env	*env;		/* address and message set */
	struct arena	*arena;
	const char	*home;		/* may be NULL */
	bool		 user_set, group_set;	/* whom it should run as */
	int64_t		 uid, gid;
	const char	*user;
	enum route_filter_end end;
	const char	*note;		/* what should be known of it; NULL: nothing */
	bool		 syntax;
	struct sv	 why;
	const struct route_filter_item *v;
	size_t		 n;
};

/* One address on its way: what child addresses come from. */
struct route_addr {
	struct sv	 address;	/* as it is delivered to: local_part@domain with affixes */
	struct sv	 unique;	/* for duplicates: address, or address and pipe or file */
	const struct route_addr *parent; /* NULL: the recipient itself */
	const struct exim_router *router; /* of the parent that made it; NULL for the recipient */
	bool		 unseen;	/* the copy that an unseen router took: no generation of its own */
	struct sv	 short_domain, full_domain;	/* the former is to become the latter in the header; p NULL: nothing is */
};

struct route_delivery {
	const struct route_addr *addr;
	enum route_kind	 kind;
	const struct exim_router *router;
	const struct exim_transport *transport;
	struct sv	 local_part;	/* without affixes, case as the router is told to keep it */
	struct sv	 domain;
	struct sv	 prefix, suffix;
	struct sv	 prefix_v, suffix_v;
	struct sv	 original_local, original_domain;	/* the recipient's, as its first router kept them */
	struct sv	 local_part_data, domain_data;	/* untainted values of the router's matches */
	struct sv	 address_data;
	struct sv	 text;		/* pipe's command, file or directory name, filter's text */
	struct sv	 self_hostname;
	const struct route_host *hosts;
	size_t		 nhosts;
	const struct route_host *fallback;
	size_t		 nfallback;
	bool		 randomize;	/* hosts of equal preference are already in random order */
	bool		 errors_to_set;
	struct sv	 errors_to;	/* new return path, if set; "" is <> */
	const struct sv	*headers_add;	/* "Name: body\n" each, expanded */
	size_t		 nheaders_add;
	const struct sv	*headers_remove;	/* names */
	size_t		 nheaders_remove;
	bool		 user_set, group_set;
	int64_t		 uid, gid;
	bool		 initgroups;
	const char	*user;		/* name of check_local_user or user; may be NULL */
	const char	*home;		/* may be NULL */
	const char	*current_dir;
	struct hash	*vars;		/* $r_...: to struct sv *; may be NULL */
	bool		 dnssec_request, dnssec_require;
	bool		 one_time;
	bool		 unseen_copy;
	bool		 unseen_here;	/* made by the unseen router itself, not by what came of it */
	bool		 hide_child;	/* its name stays out of reports */
	bool		 forbidden;	/* a pipe or file that the router does not allow; <trouble> */
	bool		 ignore_error;	/* its failure is logged, and nobody is told */
	const struct route_filter_item *item;	/* of a filter; NULL: not from one */
	const char	*trouble;	/* -bt: why <transport> is missing */
	unsigned	 seq;		/* order among deliveries and failures as they came up */
};

/* same_domain_copy_routing: what an address of a message came to, for others of its domain. */
struct route_copy {
	struct sv	 domain;
	struct route_delivery delivery;
	struct route_copy *next;
};

/* Why an address goes nowhere (now). */
enum route_fate { ROUTE_FAIL, ROUTE_DEFER, ROUTE_FREEZE };
struct route_failure {
	const struct route_addr *addr;
	enum route_fate	 fate;
	const struct exim_router *router;	/* NULL: none took it */
	struct err	 err;		/* class PERM or TEMP, enhanced status; text for the log */
	const char	*raw;		/* the text with its line ends, for -bt; NULL: it has none */
	struct sv	 user_msg;	/* for the sender: cannot_route_message, :fail: text; empty: err.text */
	bool		 own_words;	/* <user_msg> is the router's own, nobody wrote it for senders */
	int		 code;		/* of ":fail: 551 text"; 0: none */
	bool		 hide_child;
	int		 number;	/* what Exim's logs show in brackets; 0: nothing special */
	bool		 ignore_error;
	unsigned	 seq;
	enum exim_retry_error retry_error;	/* EXIM_RE_LOOKUP, _TIMEOUT_DNS ... */
	bool		 errors_to_set;
	struct sv	 errors_to;
};

struct route_request {
	const struct exim_conf *conf;
	struct exim_env	*env;		/* session, message; <addr> is set and restored by routing */
	struct arena	*arena;		/* of results */
	const struct route_ops *ops;
	enum route_mode	 mode;
	bool		 within;	/* an address that a delivery needs is verified */
	struct sv	 address;	/* local_part@domain, checked by mail/address.h, rewritten */
	struct sv	 sender;	/* of the message */
	struct sv	 id;		/* of the message that a session is at; empty: verification tells whom it is about */
	struct sv	 errors_to;	/* DELIVER: what an earlier attempt found for it, of a list with one_time; empty: nothing */
	bool		 success_on_redirect;	/* verification: a redirection is enough */
	bool		 headers;	/* verification: header fields and return path are wanted as for a delivery */
	bool		 everything;	/* verification: all addresses that it becomes (-v) */
	struct route_copy **copies;	/* DELIVER: the message's, in <arena>, empty for its first recipient; may be NULL */
	/* DELIVER: has this address or delivery been done before (restart after deferral)?  NULL: none was. */
	bool		(*done)(void *arg, struct sv unique);
	void		*done_arg;
};

struct route_result {
	enum exim_result verdict;	/* OK: something was accepted and nothing failed; FAIL; DEFER (some failed so) */
	struct route_delivery *delivery;
	size_t		 ndeliveries;
	struct route_failure *failure;
	size_t		 nfailures;
	struct route_addr *generated;	/* every address that came up, in order: for -bt, EXPN, logs */
	size_t		 ngenerated;
	struct sv	 address_data;	/* of the last accepting router: $address_data after verify */
	struct sv	 local_part_data, domain_data;
	bool		 redirected;	/* a redirect router took the recipient */
	struct hash	**vars;		/* heap, for route_result_free */
	size_t		 nvars;
};

/* $r_... variables live on the heap: free a result that may hold some. */
void	 route_result_free(struct route_result *res);

/* percent_hack_domains: *<local> "user%domain" of *<domain> is "user" of "domain".  EXIM_DEFER: the list cannot be asked now. */
enum exim_result route_percent_hack(const struct exim_conf *c, struct exim_env *env, struct sv *local, struct sv *domain,
	     struct err *err);

/*
 * Route.  Always fills *<res>.  For verification only the recipient itself counts where it was redirected to several
 * addresses, as Exim does; with one child that child is verified too.
 */
void	 route_address(const struct route_request *rq, struct route_result *res);

/*
 * Exim's text of a result, for sendmail -bt and -bv; returns the exit code (0, 1 deferred, 2 failed).  With <why>,
 * reasons are told.  <seen> has the addresses that were shown before, so that another one of them is told as a
 * duplicate; it grows by those of this result.
 */
int	 route_print(const struct route_request *rq, const struct route_result *res, bool why, struct hash *seen,
	    struct sb *out);

#endif
