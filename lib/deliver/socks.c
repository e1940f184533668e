/* SPDX-License-Identifier: BSD-2-Clause */
/* SOCKS 5 as a client: see socks.h. */
#include "deliver/socks.h"

#include <errno.h>
#include <string.h>

#include "base/num.h"
#include "exim/env.h"
#include "exim/match.h"
#include "fiber/fiber.h"
#include "io/stream.h"
#include "net/sock.h"

#define PROXIES_MAX	16
#define PORT		1080
#define SECONDS		5

/* ---- the option ---- */

struct entry {
	struct deliver_proxy p;
	int64_t		 priority, weight;
};

static int
setting(struct entry *e, struct sv word, struct arena *a, struct err *err)
{
	ptrdiff_t eq = sv_chr(word, '=');
	struct sv key = eq < 0 ? word : sv_sub(word, 0, (size_t)eq), v = eq < 0 ? SV_NULL : sv_sub(word, (size_t)eq + 1, word.len);
	int64_t n;
	bool ok = true;

	if (sv_eqs(key, "auth")) {
		e->p.login = sv_eqs(v, "name");
		ok = e->p.login || sv_eqs(v, "none");
	} else if (sv_eqs(key, "name")) {
		e->p.name = arena_sv(a, v);
		ok = v.len < 256;
	} else if (sv_eqs(key, "pass")) {
		e->p.pass = arena_sv(a, v);
		ok = v.len < 256;
	} else if (sv_eqs(key, "port")) {
		if ((ok = num_parse(v, 1, 65535, &n)))
			e->p.addr.port = (uint16_t)n;
	} else if (sv_eqs(key, "tmo")) {
		if ((ok = num_parse(v, 1, 3600, &n)))
			e->p.connect_ms = n * 1000;
	} else if (sv_eqs(key, "pri")) {
		ok = num_parse(v, 0, 1000000, &e->priority);
	} else if (sv_eqs(key, "weight")) {
		ok = num_parse(v, 0, 1000000, &e->weight);
	} else
		ok = false;
	/* What it says may be a password. */
	return (ok ? 0 : err_set(err, ERR_CONFIG, "4.3.5", "socks_proxy: option \"" SV_FMT "\" is not understood", SV_ARG(key)));
}

static int
one_proxy(struct entry *e, struct sv item, struct arena *a, struct err *err)
{
	struct sv word;
	int sep = ' ';
	bool first = true;

	*e = (struct entry){ .p = { .connect_ms = SECONDS * 1000 }, .priority = 1, .weight = 1 };
	while (exim_list_next(&item, &sep, a, &word)) {
		if (word.len == 0)
			continue;
		if (first && !net_addr_parse(word, &e->p.addr))
			return (err_set(err, ERR_CONFIG, "4.3.5", "socks_proxy: \"" SV_FMT "\" is no address", SV_ARG(word)));
		if (first)
			e->p.addr.port = PORT;
		else if (setting(e, word, a, err) == -1)
			return (-1);
		first = false;
	}
	return (first ? 1 : 0);
}

/* The next to try: of the highest priority, one by weight. */
static size_t
draw(const struct exim_world *w, const struct entry *v, size_t n)
{
	int64_t best = -1, sum = 0, at;

	for (size_t i = 0; i < n; i++)
		if (v[i].priority > best)
			best = v[i].priority;
	for (size_t i = 0; i < n; i++)
		if (v[i].priority == best)
			sum += v[i].weight + 1;
	at = w->random == NULL ? 0 : (int64_t)(w->random(w->arg) % (uint64_t)sum);
	for (size_t i = 0; i < n; i++)
		if (v[i].priority == best && (at -= v[i].weight + 1) < 0)
			return (i);
	return (0);
}

int
deliver_socks_list(struct exim_env *env, struct sv text, struct arena *a, const struct deliver_proxy **out, size_t *n, struct err *err)
{
	struct entry all[PROXIES_MAX];
	struct deliver_proxy *v = arena_zalloc(a, PROXIES_MAX * sizeof(*v));
	size_t have = 0;
	struct sv item;
	int sep = 0, rc;

	*out = v;
	*n = 0;
	while (have < PROXIES_MAX && exim_list_next(&text, &sep, a, &item)) {
		if ((rc = one_proxy(&all[have], item, a, err)) == -1)
			return (-1);
		have += rc == 0;
	}
	while (have > 0) {
		size_t i = draw(env->world, all, have);

		v[(*n)++] = all[i].p;
		all[i] = all[--have];
	}
	return (0);
}

/* ---- the protocol ---- */

static int
refused(struct err *err, unsigned code)
{
	static const char *const texts[] = { "?", "general failure", "not allowed by its rules", "network unreachable",
	    "host unreachable",
	    "connection refused", "time to live expired", "command not supported", "address type not supported" };

	return (err_set(err, ERR_TEMP, "4.4.1", "the proxy says: %s",
	    code < sizeof(texts) / sizeof(texts[0]) ? texts[code] : "unknown error"));
}

int
deliver_socks_answer(struct sv in, struct net_addr *bound, size_t *need, struct err *err)
{
	const uint8_t *p = (const uint8_t *)in.p;
	size_t len;

	memset(bound, 0, sizeof(*bound));
	*need = in.len < 5 ? 5 - in.len : 0;
	if (in.len >= 1 && p[0] != 5)
		return (err_set(err, ERR_TEMP, "4.4.1", "the proxy does not speak SOCKS 5"));
	if (in.len >= 2 && p[1] != 0)
		return (refused(err, p[1]));
	if (*need > 0)
		return (0);
	len = p[3] == 1 ? 4 : p[3] == 4 ? 16 : p[3] == 3 ? 1U + p[4] : 0;
	if (len == 0)
		return (err_set(err, ERR_TEMP, "4.4.1", "the proxy tells an address of an unknown kind"));
	*need = in.len < 4 + len + 2 ? 4 + len + 2 - in.len : 0;
	if (*need > 0)
		return (0);
	if (p[3] != 3) {
		bound->family = p[3] == 1 ? 4 : 6;
		memcpy(bound->ip, p + 4, len);
		bound->port = (uint16_t)(p[4 + len] << 8 | p[4 + len + 1]);
	}
	return (1);
}

static int
broken(struct stream *s, enum stream_result r, struct err *err)
{
	return (err_set(err, ERR_TEMP, "4.4.1", "the proxy %s", r == STREAM_TIMEOUT ? "did not answer in time" : r == STREAM_EOF ?
	    "hung up" : stream_error(s) != NULL ? stream_error(s) : "failed"));
}

/* Write what is built, read <n> bytes. */
static int
exchange(struct stream *s, struct sb *io, size_t n, struct err *err)
{
	enum stream_result r = stream_write(s, sb_sv(io));

	sb_wipe(io);
	if (r == STREAM_OK)
		r = stream_read_full(s, n, io);
	return (r == STREAM_OK ? 0 : broken(s, r, err));
}

static int
choose_method(struct stream *s, const struct deliver_proxy *p, struct err *err)
{
	const unsigned char method = p->login ? 2 : 0;
	const unsigned char hello[3] = { 5, 1, method };
	struct sb io = SB_INIT(1024);
	int rc = -1;

	sb_addn(&io, hello, sizeof(hello));
	if (exchange(s, &io, 2, err) == -1)
		goto out;
	if (io.p[0] != 5 || (unsigned char)io.p[1] != method) {
		(void)err_set(err, ERR_TEMP, "4.4.1", "the proxy does not take our way to log in");
		goto out;
	}
	if (p->login) {
		sb_clear(&io);
		sb_addc(&io, 1);
		sb_addc(&io, (char)p->name.len);
		sb_add(&io, p->name);
		sb_addc(&io, (char)p->pass.len);
		sb_add(&io, p->pass);
		if (exchange(s, &io, 2, err) == -1)
			goto out;
		if (io.p[1] != 0) {
			(void)err_set(err, ERR_TEMP, "4.4.1", "the proxy refuses name and password");
			goto out;
		}
	}
	rc = 0;
out:
	sb_free(&io);
	return (rc);
}

static int
ask_for(struct stream *s, const struct net_addr *to, struct err *err)
{
	struct sb io = SB_INIT(SOCKS_MESSAGE_MAX), in = SB_INIT(SOCKS_MESSAGE_MAX);
	const char request[4] = { 5, 1, 0, to->family == 4 ? 1 : 4 };
	struct net_addr bound;
	enum stream_result r;
	size_t need;
	int rc;

	sb_addn(&io, request, sizeof(request));
	sb_addn(&io, to->ip, to->family == 4 ? 4 : 16);
	sb_addc(&io, (char)(to->port >> 8));
	sb_addc(&io, (char)to->port);
	r = stream_write(s, sb_sv(&io));
	sb_free(&io);
	while ((rc = deliver_socks_answer(sb_sv(&in), &bound, &need, err)) == 0) {
		if (r == STREAM_OK)
			r = stream_read_full(s, need, &in);
		if (r != STREAM_OK) {
			rc = broken(s, r, err);
			break;
		}
	}
	sb_free(&in);
	return (rc == 1 ? 0 : -1);
}

struct stream *
deliver_socks_connect(const struct deliver_proxy *p, const struct net_addr *to, const struct deliver_opts *o, int64_t deadline,
    struct net_addr *local, struct err *err)
{
	const struct net_connect_opts how = { .from = o->from, .keepalive = o->keepalive, .fastopen = o->fastopen, .dscp = o->dscp };
	int64_t own = FIBER_NOW_PLUS(p->connect_ms);
	struct stream *s;
	int fd;

	if (own > deadline)
		own = deadline;
	fd = net_connect_opts(&p->addr, &how, own, err);
	if (fd == -1)
		return (NULL);
	net_local(fd, local);
	s = stream_new(fd);
	own = own - fiber_now() < 1 ? 1 : own - fiber_now();
	stream_set_timeout(s, own, own);
	if (choose_method(s, p, err) == -1 || ask_for(s, to, err) == -1) {
		stream_close(&s);
		errno = 0;		/* the text tells more */
		return (NULL);
	}
	return (s);
}
