/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages that sendmail(1) hands over for a user of this machine, by a socket of its own.  To the configuration they come
 * without SMTP, as to Exim's -bm, -t and -bS: no ACL of SMTP is asked, the protocol is "local".  XLOCAL says what the
 * options of the command did (-oM..., -od...): what the client has of a host, only trusted callers may say.
 */
#include <stddef.h>

#include "net/addr.h"
#include "session/session_int.h"

#define VALUE_MAX	255

bool
session_acl_asked(const struct session *s, enum exim_acl_where where)
{
	bool smtp = where != EXIM_WHERE_NOTSMTP && where != EXIM_WHERE_NOTSMTP_MIME && where != EXIM_WHERE_NOTSMTP_START;

	return (s->conn->handed ? !smtp : smtp);
}

static bool
set_address(struct session *s, struct sv v)
{
	struct exim_session *x = &s->x;

	if (!net_addr_parse_port(v, 0, &x->addr))
		return (false);
	x->local = false;
	x->host_address = sv_cstr(net_addr_text(&x->addr, s->peer_text));
	x->host_port = x->addr.port;
	return (true);
}

static bool
set_interface(struct session *s, struct sv v)
{
	struct exim_session *x = &s->x;

	if (!net_addr_parse_port(v, 0, &x->interface))
		return (false);
	x->interface_address = sv_cstr(net_addr_text(&x->interface, s->local_text));
	x->interface_port = x->interface.port;
	return (true);
}

static bool
set_name(struct session *s, struct sv v)
{
	s->x.host_name = v;
	s->x.host_lookup = EXIM_HOST_FOUND;
	return (true);
}

static bool
set_mechanism(struct session *s, struct sv v)
{
	s->x.auth_mechanism = v;
	s->authenticated = v.len > 0;
	return (true);
}

static bool
set_batch(struct session *s, struct sv v)
{
	if (s->handed_protocol.len == 0)
		s->handed_protocol = SV_LIT("local-bsmtp");
	s->x.helo = s->helo_shown = v;
	return (true);
}

static bool
set_queue_only(struct session *s, struct sv v)
{
	s->queue_only = sv_eqs(v, "1");
	return (true);
}

#define PLAIN(field)	NULL, offsetof(struct session, field)

static const struct {
	const char	*key;
	bool		 trusted;	/* callers alone may say it; of others it is passed over */
	bool		(*set)(struct session *s, struct sv v);
	size_t		 at;		/* set NULL: a struct sv of the session, which takes it as it is */
} facts[] = {
	{ "ADDR", true, set_address, 0 },
	{ "INTERFACE", true, set_interface, 0 },
	{ "NAME", true, set_name, 0 },
	{ "IDENT", true, PLAIN(x.ident) },
	{ "MECHANISM", true, set_mechanism, 0 },
	{ "LOGIN", true, PLAIN(x.authenticated_id) },
	{ "SENDER", true, PLAIN(x.authenticated_sender) },
	{ "PROTO", true, PLAIN(handed_protocol) },
	{ "BATCH", false, set_batch, 0 },
	{ "QUEUE", false, set_queue_only, 0 },
};

/* Take <v> for facts[<i>]; false where it makes no sense. */
static bool
set_fact(struct session *s, size_t i, struct sv v)
{
	if (facts[i].trusted && !s->conn->trusted)
		return (true);
	if (facts[i].set != NULL)
		return (facts[i].set(s, v));
	*(struct sv *)(void *)((char *)s + facts[i].at) = v;
	return (true);
}

static bool
take(struct session *s, struct sv item)
{
	ptrdiff_t eq = sv_chr(item, '=');
	struct sb raw = SB_INIT(VALUE_MAX + 1);
	struct sv v = SV_NULL;
	bool ok = eq > 0 && smtp_xtext_decode(&raw, sv_sub(item, (size_t)eq + 1, item.len)) && raw.len <= VALUE_MAX;

	if (ok)
		v = sv_taint(arena_sv(s->arena, sb_sv(&raw)));
	sb_free(&raw);
	for (size_t i = 0; ok && i < v.len; i++)
		ok = (unsigned char)v.p[i] >= ' ' && v.p[i] != 127;
	if (!ok)
		return (false);
	for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++)
		if (sv_caseeqs(sv_sub(item, 0, (size_t)eq), facts[i].key))
			return (set_fact(s, i, v));
	return (false);
}

void
session_xlocal(struct session *s)
{
	struct sv rest = s->c.arg, item;

	while (sv_word(&rest, &item))
		if (!take(s, item)) {
			session_mistake(s, 501, "5.5.4", "XLOCAL argument is not understood");
			return;
		}
	session_protocol(s);
	session_reply(s, 250, "2.0.0", SV_LIT("OK"));
}
