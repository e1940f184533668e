/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What exim.conf says of the listening sockets: how long a port is waited for, and, where vpost.conf leaves smtp_listen as it
 * comes, on which ports and interfaces SMTP is served.
 */
#include <sys/types.h>

#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "exim/lexer.h"
#include "vsmtpd.h"

#define SLEEP_MAX	3600
#define RETRIES_MAX	1000
#define LISTENS_MAX	64

static uint16_t
port_number(struct sv name)
{
	struct servent *s;
	char text[64];
	int64_t n;

	if (num_parse(name, 1, 65535, &n))
		return ((uint16_t)n);
	if (name.len >= sizeof(text))
		return (0);
	memcpy(text, name.p, name.len);
	text[name.len] = '\0';
	s = getservbyname(text, "tcp");
	return (s == NULL ? 0 : ntohs((uint16_t)s->s_port));
}

static bool
has_port(const box_listens *l, uint16_t port)
{
	for (size_t i = 0; i < l->len; i++)
		if (l->p[i].addr.port == port)
			return (true);
	return (false);
}

static void
add(box_listens *out, struct net_addr addr, uint16_t port)
{
	struct box_listen l = { .addr = addr };
	char text[NET_ADDR_TEXT_MAX];

	if (l.addr.port == 0)
		l.addr.port = port;
	for (size_t i = 0; i < out->len; i++)
		if (out->p[i].addr.port == l.addr.port && net_addr_eq(&out->p[i].addr, &l.addr))
			return;
	(void)net_addr_text(&addr, text);
	(void)snprintf(l.text, sizeof(l.text), addr.family == 6 ? "[%s]:%u" : "%s:%u", text, (unsigned)l.addr.port);
	if (out->len < LISTENS_MAX)
		vec_push(out, l);
}

/* Each interface of local_interfaces by <port>; without it all of IPv4. */
static void
add_port(box_listens *out, const struct exim_conf *c, struct arena *a, uint16_t port)
{
	struct sv list = c->main[EXIM_MAIN_local_interfaces].set ? exim_main_text(c, EXIM_MAIN_local_interfaces) :
	    SV_LIT("0.0.0.0"), item;
	struct net_addr one;
	int sep = 0;

	while (exim_list_next(&list, &sep, a, &item))
		if ((net_addr_parse(item, &one) || net_addr_parse_port(item, port, &one)) &&
		    (one.family == 4 || !exim_main_bool(c, EXIM_MAIN_disable_ipv6)))
			add(out, one, port);
}

void
vsmtpd_sockets(struct box *b, const void *conf, struct daemon_patience *p)
{
	const struct exim_conf *c = ((const struct vsmtpd_conf *)conf)->exim;
	struct sv list = exim_main_text(c, EXIM_MAIN_daemon_smtp_ports), item;
	box_listens out = VEC_INIT;
	struct arena *a;
	int sep = 0;

	if (c->main[EXIM_MAIN_daemon_startup_retries].set || c->main[EXIM_MAIN_daemon_startup_sleep].set) {
		p->times = exim_main_int(c, EXIM_MAIN_daemon_startup_retries);
		p->seconds = exim_main_int(c, EXIM_MAIN_daemon_startup_sleep);
		p->times = p->times > RETRIES_MAX ? RETRIES_MAX : p->times;
		p->seconds = p->seconds > SLEEP_MAX ? SLEEP_MAX : p->seconds;
	}
	/* What the box says goes first. */
	if (!c->main[EXIM_MAIN_daemon_smtp_ports].set || b->smtp_listen.len != 1 || strcmp(b->smtp_listen.p[0].text, "0.0.0.0:25") != 0)
		return;
	a = arena_new(0);
	while (exim_list_next(&list, &sep, a, &item)) {
		uint16_t port = port_number(sv_trim(item));

		if (port != 0 && !has_port(&b->submission_listen, port) && !has_port(&b->smtps_listen, port))
			add_port(&out, c, a, port);
	}
	arena_free(&a);
	vec_free(&b->smtp_listen);
	b->smtp_listen = out;
}
