/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Questions over libunbound's event interface.  Its callback only copies the reply and
 * wakes; a question whose fiber went away (deadline, cancel) is left to libunbound, which
 * ends it in its own time.
 */
#include <assert.h>
#include <idn2.h>
#include <resolv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <unbound.h>
#include <unbound-event.h>

#include "base/num.h"
#include "base/sb.h"
#include "base/vec.h"
#include "dns/dns_int.h"
#include "fiber/fiber.h"
#include "os/time.h"

#define CHAIN_MAX	8
#define DEFAULT_MS	30000
#define RCODE_NXDOMAIN	3
#define PACKET_MAX	65535

static struct ub_ctx *ctx;
static size_t limit = 1000, running;
static struct fiber_waiters slots;
static struct dns_rules rules;
static char *search[MAXDNSRCH];
static size_t nsearch;

static const char *const anchors[] = { "/usr/share/dns/root.key", "/var/lib/unbound/root.key",
	"/usr/local/etc/unbound/root.key", "/var/unbound/root.key" };

struct query {
	struct fiber	*fiber;		/* NULL: nobody waits any more */
	bool		 done;
	int		 rcode;
	int		 sec;		/* 0 insecure, 1 bogus, 2 secure */
	struct sb	 packet;
	char		*why;
};

/* ---- the context ---- */

static int
fail(struct err *err, const char *what, int rc)
{
	return (err_set(err, ERR_CONFIG, "4.4.3", "resolver: %s: %s", what, ub_strerror(rc)));
}

static int
set_servers(const char *servers, struct err *err)
{
	struct sv list = sv_cstr(servers), one, word;
	struct net_addr a;
	char text[NET_ADDR_TEXT_MAX], fwd[NET_ADDR_TEXT_MAX + 16];
	int rc;

	while (sv_word(&list, &word)) {
		while (word.len > 0) {
			int64_t port = 53;
			struct sv addr;
			ptrdiff_t at, end = word.p[0] == '[' ? sv_chr(word, ']') : -1;
			size_t stop = end == -1 ? 0 : (size_t)end;

			/* Colons inside of brackets belong to the address. */
			at = sv_chr(sv_sub(word, stop, word.len), ':');
			one = at == -1 ? word : sv_sub(word, 0, stop + (size_t)at);
			word = at == -1 ? SV_NULL : sv_sub(word, stop + (size_t)at + 1, word.len);
			if (one.len == 0)
				continue;
			at = sv_chr(one, '@');
			addr = at == -1 ? one : sv_sub(one, 0, (size_t)at);
			if (!net_addr_parse(addr, &a) ||
			    (at != -1 && !num_parse(sv_sub(one, (size_t)at + 1, one.len), 1, 65535, &port)))
				return (err_set(err, ERR_CONFIG, NULL, "dns_servers: \"" SV_FMT "\" is no ADDRESS[@PORT]",
				    SV_ARG(one)));
			(void)snprintf(fwd, sizeof(fwd), "%s@%d", net_addr_text(&a, text), (int)port);
			if ((rc = ub_ctx_set_fwd(ctx, fwd)) != 0)
				return (fail(err, fwd, rc));
			if (net_addr_is_loopback(&a))
				(void)ub_ctx_set_option(ctx, "do-not-query-localhost:", "no");
		}
	}
	return (0);
}

static int
set_anchor(const char *file, struct err *err)
{
	int rc;

	for (size_t i = 0; file == NULL && i < sizeof(anchors) / sizeof(anchors[0]); i++)
		if (access(anchors[i], R_OK) == 0)
			file = anchors[i];
	if (file == NULL)
		return (0);
	if ((rc = ub_ctx_add_ta_file(ctx, file)) != 0)
		return (fail(err, file, rc));
	return (0);
}

static void
ignore(void *arg, int rcode, void *packet, int len, int sec, char *why, int limited)
{
	(void)arg;
	(void)rcode;
	(void)packet;
	(void)len;
	(void)sec;
	(void)why;
	(void)limited;
}

/* Read when the process starts: a sandbox may hide the file later. */
static void
read_search(void)
{
	struct __res_state st;

	memset(&st, 0, sizeof(st));
	if (res_ninit(&st) == -1)
		return;
	for (size_t i = 0; i < MAXDNSRCH && st.dnsrch[i] != NULL; i++)
		if (st.dnsrch[i][0] != '\0' && strcmp(st.dnsrch[i], ".") != 0)
			search[nsearch++] = xstrdup(st.dnsrch[i]);
	res_nclose(&st);
}

const char *const *
dns_search(size_t *n)
{
	*n = nsearch;
	return ((const char *const *)search);
}

static int
configure(const struct dns_conf *conf, struct err *err)
{
	bool servers = conf->servers != NULL && conf->servers[0] != '\0';
	bool zones = conf->zone_file != NULL && conf->zone_file[0] != '\0';
	/* Zone data without servers is all there is: nobody else is asked, so that tests do not wait. */
	bool only = zones && !servers;
	int rc;

	(void)ub_ctx_debugout(ctx, NULL);
	/* Fibers are the only users: no threads, small caches, no sockets kept for nothing. */
	(void)ub_ctx_set_option(ctx, "msg-cache-size:", "4m");
	(void)ub_ctx_set_option(ctx, "rrset-cache-size:", "8m");
	(void)ub_ctx_set_option(ctx, "outgoing-range:", "64");
	(void)ub_ctx_set_option(ctx, "num-queries-per-thread:", "64");
	(void)ub_ctx_set_option(ctx, "outgoing-num-tcp:", "4");
	(void)ub_ctx_set_option(ctx, "key-cache-size:", "1m");
	(void)ub_ctx_set_option(ctx, "neg-cache-size:", "512k");
	if (conf->small_packets)
		(void)ub_ctx_set_option(ctx, "edns-buffer-size:", "512");
	/* The server gave its order for a reason. */
	(void)ub_ctx_set_option(ctx, "rrset-roundrobin:", "no");
	/* What our servers say of private networks counts; the library would answer NXDOMAIN by itself. */
	(void)ub_ctx_set_option(ctx, "unblock-lan-zones:", "yes");
	if (zones && dns_zone_load(ctx, conf->zone_file, &only, err) == -1)
		return (-1);
	if (only) {
		rc = ub_ctx_zone_add(ctx, ".", "refuse");
		return (rc == 0 ? 0 : fail(err, "zone .", rc));
	}
	if (servers ? set_servers(conf->servers, err) == -1 : (rc = ub_ctx_resolvconf(ctx, NULL)) != 0)
		return (servers ? -1 : fail(err, "/etc/resolv.conf", rc));
	if (!conf->no_validation && set_anchor(conf->trust_anchor, err) == -1)
		return (-1);
	read_search();
	/* The same for "test", which a zone file may say more of. */
	if (zones)
		return (0);
	rc = ub_ctx_zone_add(ctx, "test.", "transparent");
	return (rc == 0 ? 0 : fail(err, "zone test.", rc));
}

int
dns_init(const struct dns_conf *conf, struct err *err)
{
	int rc;

	assert(ctx == NULL && fiber_base() != NULL);
	ctx = ub_ctx_create_event(fiber_base());
	if (ctx == NULL)
		return (err_set(err, ERR_TEMP, NULL, "resolver: out of memory"));
	if (configure(conf, err) == -1) {
		dns_fini();
		return (-1);
	}
	/* The first question reads the files that were named: now, before a sandbox hides them. */
	rc = ub_resolve_event(ctx, "localhost.", DNS_A, 1, NULL, ignore, NULL);
	if (rc != 0) {
		(void)fail(err, "start", rc);
		dns_fini();
		return (-1);
	}
	return (0);
}

void
dns_fini(void)
{
	if (ctx != NULL)
		ub_ctx_delete(ctx);
	ctx = NULL;
	while (nsearch > 0)
		free(search[--nsearch]);
}

void
dns_set_rules(const struct dns_rules *r)
{
	rules = r == NULL ? (struct dns_rules){ .arg = NULL } : *r;
}

void
dns_set_limit(size_t n)
{
	limit = n;
}

/* ---- one question ---- */

static void
query_free(struct query *q)
{
	sb_free(&q->packet);
	free(q->why);
	free(q);
	running--;
	fiber_waiters_wake_one(&slots);
}

static void
answered(void *arg, int rcode, void *packet, int len, int sec, char *why, int limited)
{
	struct query *q = arg;

	(void)limited;
	q->done = true;
	if (q->fiber == NULL) {
		query_free(q);
		return;
	}
	q->rcode = rcode;
	q->sec = sec;
	if (packet != NULL && len > 3) {
		sb_addn(&q->packet, packet, (size_t)len);
		/* For local zones <rcode> is always 0, and the packet holds the true one. */
		if (rcode == 0)
			q->rcode = q->packet.p[3] & 15;
	}
	q->why = why == NULL ? NULL : xstrdup(why);
	fiber_wake(q->fiber);
}

static enum dns_result
temp(struct dns_answer *out, struct arena *a, const char *name, const char *why)
{
	out->result = DNS_TEMPFAIL;
	out->why = arena_fmt(a, "DNS lookup of %s: %s", name, why);
	return (out->result);
}

/* Ask and wait; NULL and *<out> when there is no answer in time. */
static struct query *
ask(const char *name, int type, int64_t deadline, struct arena *a, struct dns_answer *out)
{
	struct query *q;
	enum fiber_wait w = FIBER_READY;
	int rc;

	while (running >= limit && w == FIBER_READY)
		w = fiber_waiters_wait(&slots, deadline);
	if (w != FIBER_READY) {
		(void)temp(out, a, name, w == FIBER_TIMEOUT ? "too many lookups under way" : "cancelled");
		return (NULL);
	}
	q = xcalloc(1, sizeof(*q));
	sb_init(&q->packet, PACKET_MAX);
	q->fiber = fiber_self();
	running++;
	rc = ub_resolve_event(ctx, name, type, 1, q, answered, NULL);
	if (rc != 0) {
		query_free(q);
		(void)temp(out, a, name, ub_strerror(rc));
		return (NULL);
	}
	while (!q->done && w == FIBER_READY)
		w = fiber_park(deadline);
	if (q->done)
		return (q);
	q->fiber = NULL;
	(void)temp(out, a, name, w == FIBER_TIMEOUT ? "no answer in time" : "cancelled");
	return (NULL);
}

/* The name as it is asked for: A-labels, no last dot; false if it cannot be a name. */
static bool
canonical(const char *name, char out[DNS_NAME_MAX])
{
	size_t len = strlen(name), label = 0;
	char *ace = NULL;
	bool ascii = true;

	for (const char *p = name; *p != '\0'; p++)
		ascii = ascii && (unsigned char)*p < 0x80;
	if (!ascii) {
		if (idn2_lookup_u8((const uint8_t *)name, (uint8_t **)&ace, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
			return (false);
		name = ace;
		len = strlen(name);
	}
	if (len > 0 && name[len - 1] == '.')
		len--;
	if (len == 0 || len > 253) {
		idn2_free(ace);
		return (false);
	}
	memcpy(out, name, len);
	out[len] = '\0';
	idn2_free(ace);
	for (size_t i = 0; i < len; i++) {
		char c = out[i];

		label = c == '.' ? 0 : label + 1;
		if (label > 63 || (c == '.' && (i == 0 || out[i - 1] == '.')))
			return (false);
		/* The slash is RFC 2317's, the underscore that of service names. */
		if (!sv_isalnum(c) && strchr("-_./*", c) == NULL)
			return (false);
	}
	return (true);
}

/* The AA bit: of our own zones, since a resolver's answers are made anew. */
static bool
authoritative(const struct query *q)
{
	return (q->packet.len > 2 && (q->packet.p[2] & 4) != 0);
}

/* Judge the reply; false: go on with *<next>. */
static bool
judge(struct query *q, const char *name, int type, struct arena *a, struct dns_answer *out, const char **next)
{
	int rc;

	*next = NULL;
	if (q->sec != 2 && !(authoritative(q) && rules.trusted != NULL && rules.trusted(rules.arg, name)))
		out->secure = false;
	if (q->sec == 1) {
		out->result = DNS_BOGUS;
		out->why = arena_fmt(a, "DNS lookup of %s: DNSSEC validation failed: %s", name,
		    q->why == NULL ? "no reason given" : q->why);
		return (true);
	}
	if (q->rcode != 0 && q->rcode != RCODE_NXDOMAIN) {
		(void)temp(out, a, name, q->rcode == 2 ? "the servers failed or did not answer" : "the servers refused");
		return (true);
	}
	rc = dns_packet_parse(sb_sv(&q->packet), name, type, a, out, next);
	if (rc == -1) {
		(void)temp(out, a, name, "malformed answer");
		return (true);
	}
	if (rc == 1) {
		out->result = DNS_FOUND;
		return (true);
	}
	/* Behind a CNAME, the packet says NXDOMAIN or nothing of the target: only our own zones leave it unanswered. */
	out->result = q->rcode == RCODE_NXDOMAIN ? DNS_NXDOMAIN : DNS_NODATA;
	return (*next == NULL || q->rcode == RCODE_NXDOMAIN);
}

static struct {
	int64_t	 ms;			/* 0: nobody wants to know */
	void	(*fn)(void *arg, const char *type, const char *name, int64_t ms);
	void	*arg;
} slow;

void
dns_watch_slow(int64_t ms, void (*fn)(void *arg, const char *type, const char *name, int64_t ms), void *arg)
{
	slow.ms = ms;
	slow.fn = fn;
	slow.arg = arg;
}

static void
tell_slow(const char *name, int type, int64_t began)
{
	int64_t took = os_mono_ms() - began;
	char word[24];

	if (took >= slow.ms)
		slow.fn(slow.arg, dns_type_name(type, word), name, took);
}

/* By the names behind aliases. */
static enum dns_result
lookup(const char *name, int type, int64_t deadline, struct arena *a, struct dns_answer *out)
{
	int chain = rules.aliases > 0 ? rules.aliases + 1 : rules.aliases == 0 ? CHAIN_MAX : 1;
	char asked[DNS_NAME_MAX];
	const char *next = NULL;
	bool end = false;

	assert(ctx != NULL);
	memset(out, 0, sizeof(*out));
	out->ttl = 86400;
	out->secure = true;
	if (deadline == FIBER_FOREVER)
		deadline = FIBER_NOW_PLUS(rules.timeout_ms > 0 ? rules.timeout_ms : DEFAULT_MS);
	if (!canonical(name, asked) || (rules.asked != NULL && !rules.asked(rules.arg, asked, type))) {
		out->result = DNS_NXDOMAIN;
		out->canon = arena_str(a, name);
		out->secure = false;
		return (out->result);
	}
	out->canon = next = arena_str(a, asked);
	for (int i = 0; i < chain && !end; i++) {
		const char *this = next;
		struct query *q = ask(this, type, deadline, a, out);

		if (q == NULL)
			return (out->result);
		end = judge(q, this, type, a, out, &next);
		query_free(q);
	}
	if (!end)
		return (temp(out, a, asked, "a chain of aliases is too long"));
	return (out->result);
}

enum dns_result
dns_lookup(const char *name, int type, int64_t deadline, struct arena *a, struct dns_answer *out)
{
	int64_t began = slow.ms > 0 ? os_mono_ms() : 0;
	enum dns_result r = lookup(name, type, deadline, a, out);

	if (slow.ms > 0)
		tell_slow(name, type, began);
	if (r == DNS_TEMPFAIL && type != DNS_TLSA && rules.again_is_never != NULL && rules.again_is_never(rules.arg, name)) {
		out->result = DNS_NXDOMAIN;
		out->why = NULL;
		out->canon = arena_str(a, name);
	}
	return (out->result);
}

/* ---- what mail asks ---- */

static int
by_preference(const void *x, const void *y)
{
	const struct dns_mx *m = x, *n = y;

	return (m->pref < n->pref ? -1 : m->pref > n->pref);
}

enum dns_result
dns_mx(const char *name, int64_t deadline, struct arena *a, struct dns_mx **mx, size_t *n, bool *secure)
{
	struct dns_answer ans;
	enum dns_result r = dns_lookup(name, DNS_MX, deadline, a, &ans);

	*n = 0;
	*mx = NULL;
	if (secure != NULL)
		*secure = ans.secure;
	if (r != DNS_FOUND)
		return (r);
	*mx = arena_alloc(a, ans.n * sizeof(**mx));
	for (size_t i = 0; i < ans.n; i++) {
		const char *host = dns_rdata_name(ans.rdata[i], 2, NULL, a);

		if (host == NULL || ans.rdata[i].len < 3)
			continue;
		(*mx)[*n].host = host;
		(*mx)[(*n)++].pref = (unsigned)(uint8_t)ans.rdata[i].p[0] << 8 | (uint8_t)ans.rdata[i].p[1];
	}
	/* Shuffle, then sort: equals must keep their random order, so the sort must be stable: insertion. */
	for (size_t i = *n; i > 1; i--) {
		size_t k = (size_t)arc4random_uniform((uint32_t)i);
		struct dns_mx t = (*mx)[i - 1];

		(*mx)[i - 1] = (*mx)[k];
		(*mx)[k] = t;
	}
	for (size_t i = 1; i < *n; i++) {
		for (size_t k = i; k > 0 && by_preference(&(*mx)[k - 1], &(*mx)[k]) > 0; k--) {
			struct dns_mx t = (*mx)[k];

			(*mx)[k] = (*mx)[k - 1];
			(*mx)[k - 1] = t;
		}
	}
	return (*n == 0 ? DNS_NODATA : DNS_FOUND);
}

enum dns_result
dns_addrs(const char *name, unsigned families, int64_t deadline, struct arena *a, struct net_addr **addrs, size_t *n,
    bool *secure, const char **canon)
{
	static const struct { unsigned family; int type; size_t len; } kinds[] = {
		{ DNS_V6, DNS_AAAA, 16 }, { DNS_V4, DNS_A, 4 }
	};
	enum dns_result worst = DNS_NXDOMAIN, r;
	VEC(struct net_addr) list = VEC_INIT;
	bool sec = true, nodata = false;

	for (size_t i = 0; i < 2; i++) {
		struct dns_answer ans;

		if ((families & kinds[i].family) == 0)
			continue;
		r = dns_lookup(name, kinds[i].type, deadline, a, &ans);
		sec = sec && ans.secure;
		nodata = nodata || r == DNS_NODATA;
		if (r == DNS_TEMPFAIL || r == DNS_BOGUS)
			worst = r;
		if (r == DNS_FOUND && canon != NULL)
			*canon = ans.canon;
		for (size_t k = 0; r == DNS_FOUND && k < ans.n; k++) {
			struct net_addr addr = { .family = kinds[i].family == DNS_V4 ? 4 : 6 };

			if (ans.rdata[k].len != kinds[i].len)
				continue;
			memcpy(addr.ip, ans.rdata[k].p, kinds[i].len);
			vec_push(&list, addr);
		}
	}
	*n = list.len;
	*addrs = arena_dup(a, list.len == 0 ? (void *)"" : (void *)list.p, list.len == 0 ? 1 : list.len * sizeof(*list.p));
	if (secure != NULL)
		*secure = sec;
	vec_free(&list);
	if (*n > 0)
		return (DNS_FOUND);
	return (worst == DNS_NXDOMAIN && nodata ? DNS_NODATA : worst);
}

#define PTR_MAX	10

enum dns_result
dns_ptr(const struct net_addr *addr, int64_t deadline, struct arena *a, const char ***names, size_t *n)
{
	char rev[DNS_NAME_MAX];
	struct dns_answer ans;
	enum dns_result r;

	*n = 0;
	*names = arena_alloc(a, PTR_MAX * sizeof(**names));
	net_addr_reverse(addr, NULL, rev, sizeof(rev));
	r = dns_lookup(rev, DNS_PTR, deadline, a, &ans);
	for (size_t i = 0; r == DNS_FOUND && i < ans.n && *n < PTR_MAX; i++) {
		const char *name = dns_rdata_name(ans.rdata[i], 0, NULL, a);

		if (name != NULL && name[0] != '\0')
			(*names)[(*n)++] = name;
	}
	return (r == DNS_FOUND && *n == 0 ? DNS_NODATA : r);
}

enum dns_result
dns_ptr_verified(const struct net_addr *addr, int64_t deadline, struct arena *a, const char ***names, size_t *n)
{
	const char **all;
	size_t count;
	enum dns_result r = dns_ptr(addr, deadline, a, &all, &count), one, worst = DNS_NXDOMAIN;

	*n = 0;
	*names = all;
	if (r != DNS_FOUND)
		return (r);
	for (size_t i = 0; i < count; i++) {
		struct net_addr *back;
		size_t nback, k;

		one = dns_addrs(all[i], addr->family == 4 ? DNS_V4 : DNS_V6, deadline, a, &back, &nback, NULL, NULL);
		for (k = 0; k < nback && !net_addr_eq(&back[k], addr); k++)
			continue;
		if (one == DNS_FOUND && k < nback)
			(*names)[(*n)++] = all[i];
		else if (one == DNS_TEMPFAIL || one == DNS_BOGUS)
			worst = one;
	}
	return (*n > 0 ? DNS_FOUND : worst);
}

enum dns_result
dns_txt(const char *name, int64_t deadline, struct arena *a, struct sv **txt, size_t *n)
{
	struct dns_answer ans;
	enum dns_result r = dns_lookup(name, DNS_TXT, deadline, a, &ans);

	*n = 0;
	*txt = NULL;
	if (r != DNS_FOUND)
		return (r);
	*txt = arena_alloc(a, ans.n * sizeof(**txt));
	for (size_t i = 0; i < ans.n; i++) {
		struct sb one = SB_INIT(PACKET_MAX);

		for (size_t pos = 0; pos < ans.rdata[i].len; pos += (size_t)(uint8_t)ans.rdata[i].p[pos] + 1)
			sb_add(&one, sv_sub(ans.rdata[i], pos + 1, pos + 1 + (uint8_t)ans.rdata[i].p[pos]));
		(*txt)[(*n)++] = sv_taint(arena_sv(a, sb_sv(&one)));
		sb_free(&one);
	}
	return (r);
}
