/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * DNS for fibers, over libunbound: validating, cached per process.  A question parks
 * the fiber until the answer or the deadline.  dns_init belongs behind fork and
 * fiber_init; each process has its own context.
 */
#ifndef VPOST_DNS_DNS_H
#define VPOST_DNS_DNS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/sv.h"
#include "net/addr.h"

/* Types, as in the protocol. */
enum dns_type {
	DNS_A = 1, DNS_NS = 2, DNS_CNAME = 5, DNS_SOA = 6, DNS_PTR = 12, DNS_MX = 15, DNS_TXT = 16,
	DNS_AAAA = 28, DNS_SRV = 33, DNS_TLSA = 52, DNS_SPF = 99, DNS_ANY = 255, DNS_CAA = 257
};

enum dns_result {
	DNS_FOUND,
	DNS_NODATA,		/* the name exists, not this type */
	DNS_NXDOMAIN,
	DNS_TEMPFAIL,		/* no answer: timeout, SERVFAIL, no server */
	DNS_BOGUS		/* DNSSEC validation failed: treat as TEMPFAIL, tell the admin */
};

struct dns_conf {
	const char	*servers;	/* forwarders "ADDR[@PORT]", colon or blank between (IPv6 in []); NULL or "": resolv.conf */
	/*
	 * Answers given before any server is asked, NULL or "": none.  Lines "NAME [TTL] [IN] TYPE DATA" in
	 * master file syntax (one line each), ';' and '#' comments, $ORIGIN; without it all names are absolute.
	 * "zone NAME", an SOA, or the first name outside of any zone so far begins a zone: names below it that
	 * are not listed are NXDOMAIN.  "fail NAME": that name and all below are TEMPFAIL.  When <servers> is
	 * empty, or with a line "only", nobody is asked for any other name: TEMPFAIL at once.
	 */
	const char	*zone_file;
	const char	*trust_anchor;	/* file; NULL: the system's root.key if there, else no validation */
	bool		 no_validation;	/* answers are taken as they come, none is secure */
	bool		 small_packets;	/* what does not fit into 512 bytes, as before EDNS, is asked for by TCP */
};

int	 dns_init(const struct dns_conf *conf, struct err *err);
void	 dns_fini(void);
/* The domains of resolv.conf for names that are not whole, the host's own first; *<n> of them, 0 where zone data is all there is. */
const char *const *dns_search(size_t *n);
/*
 * How questions are asked and answers judged, beyond the protocol.  The functions may be NULL; they are called in the asking
 * fiber, may park, and must ask nothing themselves.
 */
struct dns_rules {
	int64_t	 timeout_ms;	/* of a question without a deadline; 0: 30 s */
	int	 aliases;	/* so many are followed where the answer leaves that to us; 0: 7; -1: none */
	void	*arg;
	/* False: the name is none that is asked for, which is NXDOMAIN. */
	bool	(*asked)(void *arg, const char *name, int type);
	/* True: TEMPFAIL of this name is NXDOMAIN.  Not called for TLSA. */
	bool	(*again_is_never)(void *arg, const char *name);
	/* True: an answer of who has authority for <name> is as good as a validated one. */
	bool	(*trusted)(void *arg, const char *name);
};
/* From now on, in this process; NULL: none. */
void	 dns_set_rules(const struct dns_rules *r);
/* Call <fn> after each lookup that took <ms> milliseconds or more, with the type's name; 0: none. */
void	 dns_watch_slow(int64_t ms, void (*fn)(void *arg, const char *type, const char *name, int64_t ms), void *arg);
/* Number of questions under way at once (default 1,000); more wait. */
void	 dns_set_limit(size_t n);

struct dns_answer {
	enum dns_result	 result;
	bool		 secure;	/* validated by DNSSEC */
	uint32_t	 ttl;
	size_t		 n;
	struct sv	*rdata;		/* wire format, uncompressed; tainted */
	const char	*canon;		/* the name behind the CNAMEs, without the last dot; the question's when there were none */
	const char	*why;		/* one line for TEMPFAIL and BOGUS */
};

/*
 * Ask for <name> (LDH or UTF-8: IDNs are turned into A-labels; a name that cannot be one is NXDOMAIN).
 * Everything in *<out> lives in <a>.  <deadline> of fiber_now(); FIBER_FOREVER means 30 s.
 */
enum dns_result	 dns_lookup(const char *name, int type, int64_t deadline, struct arena *a, struct dns_answer *out);

struct dns_mx {
	const char	*host;		/* no last dot; "" for the null MX of RFC 7505 */
	unsigned	 pref;
};
/* Sorted by preference, in random order among equals.  NODATA and NXDOMAIN: *<n> is 0 (no fallback to A here). */
enum dns_result	 dns_mx(const char *name, int64_t deadline, struct arena *a, struct dns_mx **mx, size_t *n, bool *secure);

#define DNS_V4	1
#define DNS_V6	2
/*
 * Addresses of <name>: AAAA and A (by <families>), IPv6 first.  FOUND if either family has some; <secure> may be NULL.
 * *<canon> (may be NULL): the name behind the CNAMEs that has them.
 */
enum dns_result	 dns_addrs(const char *name, unsigned families, int64_t deadline, struct arena *a,
		     struct net_addr **addrs, size_t *n, bool *secure, const char **canon);
/* Names of an address (PTR), at most 10. */
enum dns_result	 dns_ptr(const struct net_addr *addr, int64_t deadline, struct arena *a, const char ***names, size_t *n);
/* The same, only those that lead back to <addr>: NXDOMAIN when none does. */
enum dns_result	 dns_ptr_verified(const struct net_addr *addr, int64_t deadline, struct arena *a, const char ***names,
		     size_t *n);
/* TXT records, the strings of each joined. */
enum dns_result	 dns_txt(const char *name, int64_t deadline, struct arena *a, struct sv **txt, size_t *n);

/* Text of one rdata, as Exim's dnsdb shows it (MX "10 host", TXT joined, SRV "1 2 25 host", TLSA "3 1 1 hex"). */
const char	*dns_rdata_text(int type, struct sv rdata, struct arena *a);
/* A name in wire format at <off> of <rdata> as text without the last dot; NULL if malformed; *<end> (may be NULL) behind it. */
const char	*dns_rdata_name(struct sv rdata, size_t off, size_t *end, struct arena *a);
/* "mx" -> DNS_MX; 0 if unknown.  Case does not matter; "TYPE257" works. */
int		 dns_type_parse(struct sv v);
/* The other way, in capitals, into <buf>. */
const char	*dns_type_name(int type, char buf[24]);
const char	*dns_result_text(enum dns_result r);

#endif
