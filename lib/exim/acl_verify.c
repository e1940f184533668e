/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The verify condition.  What the headers and the session tell is answered here;
 * addresses are verified by struct exim_acl_ops.
 */
#include <stdio.h>

#include "base/hash.h"
#include "base/sb.h"
#include "exim/acl_int.h"
#include "exim/field.h"
#include "exim/option.h"
#include "mail/address.h"
#include "mail/header.h"

/* Seconds that answers about quotas are kept (44.49). */
#define QUOTA_POSITIVE	(5 * 60)
#define QUOTA_NEGATIVE	(60 * 60)

static struct sv
piece(struct sv *v)
{
	struct sv p = SV_LIT("");

	if (!sv_next(v, '/', &p))
		p = SV_LIT("");
	return (sv_trim(p));
}

/* ---- without help ---- */

static enum acl_rc
fail(struct acl_state *st, const char *user, const char *log)
{
	if (user != NULL)
		st->user_msg = sv_cstr(user);
	st->log_msg = sv_cstr(log);
	return (RC_FAIL);
}

/* As Exim, a name that is found here only is not shown in logs. */
static void
find_name(struct acl_state *st)
{
	struct exim_session *s = st->env->session;
	bool untried = s->host_lookup == EXIM_HOST_UNTRIED;

	exim_host_name(st->env);
	if (untried && s->host_lookup == EXIM_HOST_FOUND)
		s->host_unshown = true;
}

static enum acl_rc
verify_reverse(struct acl_state *st, struct sv opts)
{
	struct exim_session *s = st->env->session;
	bool defer_ok = false;
	struct sv o;

	while (sv_next(&opts, '/', &o))
		defer_ok = defer_ok || sv_eqs(sv_trim(o), "defer_ok");
	if (s == NULL || s->addr.family == 0)
		return (RC_OK);
	exim_host_name(st->env);
	s->host_unshown = false;
	switch (s->host_lookup) {
	case EXIM_HOST_FOUND:
		return (RC_OK);
	case EXIM_HOST_DEFERRED:
		if (defer_ok)
			return (RC_OK);
		return (acl_defer(st, "host lookup deferred for reverse lookup check"));
	default:
		st->log_msg = acl_fmt(st, "host lookup failed for reverse lookup check (%s)", s->host_lookup_msg.len > 0 ?
		    arena_cstr(st->env->arena, s->host_lookup_msg) :
		    arena_fmt(st->env->arena, "failed to find host name for " SV_FMT, SV_ARG(s->host_address)));
		return (RC_FAIL);
	}
}

/* HELO's name is the client's verified name, an alias, its literal, or resolves to its address. */
static enum acl_rc
verify_helo(struct acl_state *st)
{
	struct exim_session *s = st->env->session;
	const struct exim_world *w = st->env->world;
	struct net_addr lit, *addrs;
	size_t n = 0;

	if (s == NULL || s->addr.family == 0 || s->helo_verified)
		return (RC_OK);
	if (s->helo.len == 0)
		return (fail(st, NULL, "no HELO/EHLO was received"));
	if (s->helo.p[0] == '[') {
		struct sv h = s->helo;

		h = sv_sub(h, sv_casestarts(h, "[IPv6:") ? 6 : 1, h.len - (sv_ends(h, "]") ? 1 : 0));
		s->helo_verified = net_addr_parse(h, &lit) && net_addr_eq(&lit, &s->addr);
	} else {
		find_name(st);
		s->helo_verified = s->host_name.len > 0 && sv_caseeq(s->host_name, s->helo);
		for (size_t i = 0; i < s->nhost_aliases && !s->helo_verified; i++)
			s->helo_verified = sv_caseeqs(s->helo, s->host_aliases[i]);
	}
	if (!s->helo_verified && s->helo.p[0] != '[' && !net_addr_parse(s->helo, &lit) && w->addrs != NULL &&
	    w->addrs(w->arg, arena_cstr(st->env->arena, s->helo), st->env->arena, &addrs, &n) == EXIM_FOUND)
		for (size_t i = 0; i < n && !s->helo_verified; i++)
			s->helo_verified = net_addr_eq(&addrs[i], &s->addr);
	return (s->helo_verified ? RC_OK : RC_FAIL);
}

/* Is the client one of the addresses of <host>? */
static bool
is_client(struct acl_state *st, struct sv host)
{
	const struct exim_world *w = st->env->world;
	struct net_addr *addrs = NULL;
	size_t n = 0;

	if (w->addrs == NULL || w->addrs(w->arg, arena_cstr(st->env->arena, host), st->env->arena, &addrs, &n) != EXIM_FOUND)
		return (false);
	for (size_t i = 0; i < n; i++)
		if (net_addr_eq(&addrs[i], &st->env->session->addr))
			return (true);
	return (false);
}

/* Client SMTP authorization (44.52): dnsdb finds the record; only a definite no is one. */
static enum acl_rc
verify_csa(struct acl_state *st, struct sv domain)
{
	struct exim_session *s = st->env->session;
	struct err err = ERR_INIT;
	struct sv v, code;
	const char *status = "unknown", *why = "client SMTP authorization unknown";
	enum exim_result res;

	if (s == NULL || s->addr.family == 0)
		return (RC_OK);
	if (domain.len == 0)
		domain = s->helo.len > 0 ? s->helo : s->host_address;
	/* An address in brackets is looked up as an address. */
	if (domain.len > 2 && domain.p[0] == '[' && sv_ends(domain, "]"))
		domain = sv_sub(domain, sv_casestarts(domain, "[IPv6:") ? 6 : 1, domain.len - 1);
	/* The name is data of the query, not text of the expansion. */
	st->env->value = domain;
	res = exim_expand_text(SV_LIT("${lookup dnsdb{csa=$value}}"), st->env, &v, &err);
	st->env->value = SV_NULL;
	if (res == EXIM_DEFER) {
		status = "defer";
		why = "client SMTP authorization deferred (SRV lookup failed)";
	} else if (res == EXIM_OK && sv_word(&v, &code)) {
		v = sv_trim(v);
		if (code.p[0] == 'Y' && is_client(st, v)) {
			status = "ok";
		} else if (code.p[0] != '?') {
			status = "fail";
			why = code.p[0] == 'Y' ? "client SMTP authorization failed (client address mismatch)" : code.p[0] == 'N' ?
			    "client SMTP authorization failed (host name not authorized)" :
			    "client SMTP authorization failed (explicit authorization required)";
		}
	}
	s->csa_status = sv_cstr(status);
	if (strcmp(status, "ok") != 0)
		st->log_msg = st->user_msg = sv_cstr(why);
	return (strcmp(status, "fail") == 0 ? RC_FAIL : RC_OK);
}

/* With "Resent-" in front, too; the first two name senders, as the hosts that may leave out a domain go. */
static const char *const address_headers[] = { "From", "Sender", "Reply-To", "To", "Cc", "Bcc" };

#define SENDER_HEADERS	2
#define FAILING_MAX	1024		/* bytes shown of an address that cannot be read */

/* Which of them <name> is; -1: none. */
static int
address_header(struct sv name)
{
	if (sv_casestarts(name, "Resent-") && !sv_caseeqs(name, "Resent-Reply-To"))
		name = sv_sub(name, 7, name.len);
	for (int k = 0; k < (int)(sizeof(address_headers) / sizeof(address_headers[0])); k++)
		if (sv_caseeqs(name, address_headers[k]))
			return (k);
	return (-1);
}

/* As Exim tells it: line ends and what is not ASCII as escapes. */
static enum acl_rc
header_mistake(struct acl_state *st, struct sv field, struct sv address, const char *why)
{
	struct sb out = SB_INIT(2 * FAILING_MAX + 2048);
	const char *text;

	address = sv_trim(address);
	text = arena_fmt(st->env->arena, "%s: failing address in \"" SV_FMT ":\" header %s: " SV_FMT, why, SV_ARG(field),
	    address.len > FAILING_MAX ? "begins" : "is", SV_ARG(sv_sub(address, 0, FAILING_MAX)));
	for (; *text != '\0'; text++)
		if (*text == '\n')
			sb_adds(&out, "\\n");
		else if (*text == '\r')
			continue;
		else if ((unsigned char)*text >= 127 || ((unsigned char)*text < 32 && *text != '\t'))
			sb_addf(&out, "\\%03o", (unsigned char)*text);
		else
			sb_addc(&out, *text);
	st->log_msg = arena_sv(st->env->arena, sb_sv(&out));
	sb_free(&out);
	return (RC_FAIL);
}

/* May the client leave out domains of senders or recipients? */
static bool
may_be_unqualified(struct acl_state *st, bool sender)
{
	const struct exim_session *s = st->env->session;
	const struct exim_value *v;
	struct err err = ERR_INIT;
	bool yes = false;

	if (s == NULL || s->addr.family == 0)
		return (true);
	if (st->env->conf == NULL)
		return (false);
	v = &st->env->conf->main[sender ? EXIM_MAIN_sender_unqualified_hosts : EXIM_MAIN_recipient_unqualified_hosts];
	return (v->list != NULL && exim_match_client(v->list, st->env, &yes, NULL, &err) == EXIM_OK && yes);
}

/* A field's body with the line end that it had. */
static struct sv
with_line_end(struct arena *a, struct sv body)
{
	char *p;

	body = sv_trim(body);
	p = arena_alloc(a, body.len + 2);
	if (body.len > 0)
		memcpy(p, body.p, body.len);
	p[body.len] = '\n';
	p[body.len + 1] = '\0';
	return ((struct sv){ p, body.len + 1, true });
}

/* The addresses of one field; <sender>: it names senders. */
static enum acl_rc
field_syntax(struct acl_state *st, const struct mail_header *f, bool sender)
{
	const struct exim_conf *c = st->env->conf;
	unsigned flags = EXIM_EXTRACT_LITERALS | (c != NULL && exim_main_bool(c, EXIM_MAIN_allow_utf8_domains) ? 0 :
	    EXIM_EXTRACT_ASCII);
	struct exim_field field = { .rest = with_line_end(st->env->arena, f->body) };
	struct arena *a = arena_new(0);		/* a header may hold as many addresses as it likes */
	struct exim_extracted x;
	struct err err = ERR_INIT;
	enum exim_field_got got;
	enum acl_rc rc = RC_OK;
	struct sv one;

	while (rc == RC_OK && (got = exim_field_next(&field, flags, a, &one, &x, &err)) != EXIM_FIELD_END) {
		if (got == EXIM_FIELD_WRONG && x.stop > 0)	/* the text with the line ends that an err does not keep */
			rc = header_mistake(st, f->name, one, arena_fmt(a, "malformed address: " SV_FMT " may not follow " SV_FMT,
			    SV_ARG(sv_sub(x.address, x.stop, x.stop + 32)), SV_ARG(sv_sub(x.address, 0, x.stop))));
		else if (got == EXIM_FIELD_WRONG)
			rc = header_mistake(st, f->name, one, err.text);
		else if (got == EXIM_FIELD_ADDRESS && x.domain == 0 && !may_be_unqualified(st, sender))
			rc = header_mistake(st, f->name, one, "unqualified address not permitted");
		arena_reset(a);
	}
	arena_free(&a);
	return (rc);
}

static enum acl_rc
verify_header_syntax(struct acl_state *st)
{
	const struct mail_headers *h = st->env->msg == NULL ? NULL : st->env->msg->headers;

	for (size_t i = 0; h != NULL && i < h->n; i++) {
		int k = address_header(h->v[i].name);

		if (k >= 0 && field_syntax(st, &h->v[i], k < SENDER_HEADERS) != RC_OK)
			return (RC_FAIL);
	}
	return (RC_OK);
}

static enum acl_rc
verify_header_names(struct acl_state *st)
{
	const struct mail_headers *h = st->env->msg == NULL ? NULL : st->env->msg->headers;

	for (size_t i = 0; h != NULL && i < h->n; i++)
		for (size_t k = 0; k < h->v[i].name.len; k++)
			if (h->v[i].name.p[k] < 33 || h->v[i].name.p[k] > 126) {
				/* For the log alone. */
				st->log_msg = acl_fmt(st, "Invalid character in header \"" SV_FMT "\" found", SV_ARG(h->v[i].name));
				return (RC_FAIL);
			}
	return (RC_OK);
}

#define NAMED_KEY_MAX	(2 * MAIL_ADDRESS_MAX)

/* "local@domain", as it is compared; false when it is too long to be anybody's. */
static bool
put_key(struct sb *key, struct sv local, struct sv domain, bool caseless)
{
	sb_clear(key);
	for (size_t i = 0; i < local.len; i++)
		sb_addc(key, caseless ? sv_lower(local.p[i]) : local.p[i]);
	sb_addc(key, '@');
	for (size_t i = 0; i < domain.len; i++)
		sb_addc(key, sv_lower(domain.p[i]));
	return (!key->overflow);
}

/* Who stands in To and Cc fields; read once, since both they and the recipients may be many. */
static struct hash *
all_named(const struct mail_headers *h, bool caseless)
{
	static const char *const names[] = { "To", "Cc", "Resent-To", "Resent-Cc" };
	struct sb key = SB_INIT(NAMED_KEY_MAX);
	struct arena *a = arena_new(0);
	struct hash *named = hash_new();

	for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
		ptrdiff_t i = -1;

		while ((i = mail_headers_find(h, names[k], (size_t)(i + 1))) >= 0) {
			struct mail_addrlist list;

			mail_addrlist_read(h->v[i].body, a, &list);
			for (size_t j = 0; j < list.n; j++)
				if (list.v[j].item == MAIL_ITEM_ADDRESS && put_key(&key, list.v[j].local, list.v[j].domain, caseless))
					(void)hash_set(named, sb_sv(&key), named);
			arena_reset(a);
		}
	}
	arena_free(&a);
	sb_free(&key);
	return (named);
}

static enum acl_rc
verify_not_blind(struct acl_state *st, struct sv opts)
{
	const struct exim_message *m = st->env->msg;
	bool caseless = sv_eqs(sv_trim(opts), "case_insensitive"), blind = false;
	struct sb key = SB_INIT(NAMED_KEY_MAX);
	struct hash *named;

	if (m == NULL || m->headers == NULL)
		return (RC_OK);
	named = all_named(m->headers, caseless);
	for (size_t i = 0; i < m->nrecipients && !blind; i++) {
		struct sv r = m->recipients[i];
		ptrdiff_t at = sv_rchr(r, '@');

		blind = !put_key(&key, at < 0 ? r : sv_sub(r, 0, (size_t)at), at < 0 ? SV_LIT("") : sv_sub(r, (size_t)at + 1, r.len),
		    caseless) || hash_get(named, sb_sv(&key)) == NULL;
	}
	hash_free(&named, NULL);
	sb_free(&key);
	if (!blind)
		return (RC_OK);
	st->log_msg = SV_LIT("bcc recipient detected");
	return (RC_FAIL);
}

/* ---- addresses ---- */

static bool
callout_option(struct exim_verify *v, struct sv o)
{
	static const struct { const char *name; size_t off; } flag[] = {
		{ "defer_ok", offsetof(struct exim_verify, callout_defer_ok) },
		{ "no_cache", offsetof(struct exim_verify, callout_no_cache) },
		{ "random", offsetof(struct exim_verify, callout_random) },
		{ "use_sender", offsetof(struct exim_verify, callout_use_sender) },
		{ "use_postmaster", offsetof(struct exim_verify, callout_use_postmaster) },
		{ "postmaster", offsetof(struct exim_verify, callout_postmaster) },
		{ "fullpostmaster", offsetof(struct exim_verify, callout_fullpostmaster) },
		{ "hold", offsetof(struct exim_verify, callout_hold) },
	};
	ptrdiff_t eq = sv_chr(o, '=');
	struct sv name = eq < 0 ? o : sv_trim(sv_sub(o, 0, (size_t)eq)), val = eq < 0 ? SV_NULL :
	    sv_trim(sv_sub(o, (size_t)eq + 1, o.len));

	if (eq < 0) {
		for (size_t i = 0; i < sizeof(flag) / sizeof(flag[0]); i++)
			if (sv_eqs(name, flag[i].name)) {
				*(bool *)((char *)v + flag[i].off) = true;
				return (true);
			}
		return (exim_parse_time(o, &v->callout_timeout));
	}
	if (sv_eqs(name, "connect"))
		return (exim_parse_time(val, &v->callout_connect));
	if (sv_eqs(name, "maxwait"))
		return (exim_parse_time(val, &v->callout_maxwait));
	if (sv_eqs(name, "mailfrom"))
		v->callout_mailfrom = val;
	else if (sv_eqs(name, "postmaster_mailfrom")) {
		v->callout_postmaster = true;
		v->callout_postmaster_mailfrom = val;
	} else
		return (false);
	return (true);
}

/* What stands behind "quota"; as in Exim a word that is not known is passed over.  False: a wrong time. */
static bool
quota_options(struct exim_verify *v, struct sv o)
{
	struct sv c;

	v->quota = true;
	v->quota_positive = QUOTA_POSITIVE;
	v->quota_negative = QUOTA_NEGATIVE;
	if (o.len == 0 || o.p[0] != '=')
		return (true);
	o = sv_sub(o, 1, o.len);
	while (sv_next(&o, ',', &c)) {
		ptrdiff_t eq = sv_chr(c, '=');
		struct sv name = sv_trim(eq < 0 ? c : sv_sub(c, 0, (size_t)eq)), val = sv_trim(eq < 0 ? SV_LIT("") :
		    sv_sub(c, (size_t)eq + 1, c.len));

		if (sv_eqs(name, "no_cache"))
			v->quota_positive = v->quota_negative = 0;
		else if ((sv_eqs(name, "cachepos") && !exim_parse_time(val, &v->quota_positive)) ||
		    (sv_eqs(name, "cacheneg") && !exim_parse_time(val, &v->quota_negative)))
			return (false);
	}
	return (true);
}

/* One option behind a slash; false when it is unknown. */
static bool
address_option(struct exim_verify *v, struct sv o)
{
	struct sv c;

	if (sv_eqs(o, "defer_ok"))
		v->defer_ok = true;
	else if (sv_eqs(o, "no_details"))
		v->no_details = true;
	else if (sv_eqs(o, "success_on_redirect"))
		v->success_on_redirect = true;
	else if (sv_eqs(o, "callout_defer_ok"))
		v->callout = v->callout_defer_ok = true;
	else if (sv_eqs(o, "check_postmaster"))
		v->callout = v->callout_postmaster = true;
	else if (sv_starts(o, "quota"))
		return (quota_options(v, sv_trim(sv_sub(o, 5, o.len))));
	else if (sv_starts(o, "callout")) {
		v->callout = true;
		o = sv_trim(sv_sub(o, 7, o.len));
		if (o.len == 0)
			return (true);
		if (o.p[0] != '=')
			return (false);
		o = sv_sub(o, 1, o.len);
		while (sv_next(&o, ',', &c))
			if (sv_trim(c).len > 0 && !callout_option(v, sv_trim(c)))
				return (false);
	} else
		return (false);
	return (true);
}

static void
keep_result(struct acl_state *st, const struct exim_verify *v, const struct exim_verify_result *r, enum exim_result res)
{
	struct exim_acl_state *a = st->env->acl;

	if (v->what == EXIM_VERIFY_RECIPIENT) {
		a->recipient_verify_failure = acl_keep(st, r->failure);
		if (st->env->addr != NULL)
			st->env->addr->address_data = r->address_data;
	} else {
		a->sender_verify_failure = acl_keep(st, r->failure);
		st->sender_why = res == EXIM_FAIL && v->what == EXIM_VERIFY_SENDER ? r->why : SV_NULL;
		if (st->env->msg != NULL && v->what == EXIM_VERIFY_SENDER)
			st->env->msg->sender_address_data = r->address_data;
	}
	if (res == EXIM_OK)
		return;
	st->user_msg = r->user_msg.p != NULL ? r->user_msg : st->user_msg;
	st->log_msg = r->log_msg.p != NULL ? r->log_msg : r->user_msg;
	/* The rest of the statement may look at it already. */
	if (res == EXIM_FAIL && v->what != EXIM_VERIFY_HEADER_SENDER)
		a->verify_message = sv_taint(st->user_msg);
}

static enum acl_rc
verify_address(struct acl_state *st, struct exim_verify *v)
{
	const struct exim_acl_ops *ops = st->run->ops;
	struct exim_verify_result r;
	enum exim_result res;

	memset(&r, 0, sizeof(r));
	if (ops == NULL || ops->verify == NULL)
		return (acl_defer(st, "addresses cannot be verified here"));
	if (v->callout && st->run->host_checking) {
		v->callout = false;
		v->callout_skipped = true;
	}
	res = ops->verify(st->run->arg, st->env, v, &r);
	keep_result(st, v, &r, res);
	switch (res) {
	case EXIM_OK:
	case EXIM_FORCED:
		return (RC_OK);
	case EXIM_FAIL:
		return (RC_FAIL);
	default:
		if (v->defer_ok || (v->callout && v->callout_defer_ok)) {
			st->user_msg = st->log_msg = SV_NULL;
			return (RC_OK);
		}
		st->callout_defer = v->callout || r.told;
		return (RC_DEFER);
	}
}

static const struct { const char *name; unsigned where; } words[] = {
	{ "reverse_host_lookup", W_ALL & ~W_NOTSMTP }, { "certificate", W_ALL & ~W_NOTSMTP }, { "helo", W_ALL & ~W_NOTSMTP },
	{ "csa", W_ALL & ~W_NOTSMTP }, { "header_syntax", W_SCAN | W(DKIM) }, { "not_blind", W_SCAN | W(DKIM) },
	{ "header_sender", W_SCAN | W(DKIM) }, { "sender", W_MESSAGE & ~(W(MIME) | W(DKIM)) }, { "recipient", W_RCPT },
	{ "header_names_ascii", W_SCAN | W(DKIM) },
};
enum word { V_REVERSE, V_CERTIFICATE, V_HELO, V_CSA, V_SYNTAX, V_BLIND, V_HEADER_SENDER, V_SENDER, V_RECIPIENT, V_ASCII };

static enum acl_rc
verify_what(struct acl_state *st, enum word w, struct sv value, bool has_value, struct sv opts, struct sv whole)
{
	struct exim_verify v;
	struct exim_message *m = st->env->msg;

	memset(&v, 0, sizeof(v));
	v.callout_mailfrom = v.callout_postmaster_mailfrom = SV_NULL;
	while (opts.len > 0) {
		struct sv o = piece(&opts);

		if (o.len > 0 && !address_option(&v, o))
			return (sv_starts(o, "callout") || sv_starts(o, "quota") ?
			    acl_wrong(st, "bad time value in ACL condition \"verify " SV_FMT "\"", SV_ARG(whole)) :
			    acl_wrong(st, "unknown option \"" SV_FMT "\" in ACL condition \"verify " SV_FMT "\"",
			    SV_ARG(o), SV_ARG(whole)));
	}
	if (v.quota && w != V_RECIPIENT)
		return (acl_wrong(st, "can only verify quota of recipient"));
	if (v.callout_mailfrom.p != NULL && w != V_HEADER_SENDER)
		return (acl_wrong(st, "\"mailfrom\" is allowed as a callout option only for verify=header_sender (detected in ACL condition \""
		    SV_FMT "\")", SV_ARG(whole)));
	switch (w) {
	case V_SENDER:
		v.what = EXIM_VERIFY_SENDER;
		v.explicit_address = has_value;
		v.address = has_value ? value : m == NULL ? SV_LIT("") : m->sender;
		if (v.address.len == 0)
			return (RC_OK);
		break;
	case V_HEADER_SENDER:
		v.what = EXIM_VERIFY_HEADER_SENDER;
		break;
	default:
		if (st->env->addr == NULL)
			return (RC_FAIL);
		v.what = EXIM_VERIFY_RECIPIENT;
		v.address = acl_fmt(st, SV_FMT "@" SV_FMT,
		    SV_ARG(st->run->rcpt_local.p != NULL ? st->run->rcpt_local : st->env->addr->local_part),
		    SV_ARG(st->env->addr->domain));
		v.address.tainted = true;
		break;
	}
	return (verify_address(st, &v));
}

static enum acl_rc
expected(struct acl_state *st, struct sv arg)
{
	return (acl_wrong(st, "expected \"sender[=address]\", \"recipient\", \"helo\", \"header_syntax\", \"header_sender\", "
	    "\"header_names_ascii\" or \"reverse_host_lookup\" at start of ACL condition \"verify " SV_FMT "\"", SV_ARG(arg)));
}

enum acl_rc
acl_verify(struct acl_state *st, struct sv arg)
{
	const struct exim_session *s = st->env->session;
	struct sv v = sv_trim(arg), word, behind, value = SV_NULL;
	bool has_value = false;
	size_t i = 0, w;

	while (i < v.len && (sv_isalnum(v.p[i]) || v.p[i] == '_'))
		i++;
	word = sv_sub(v, 0, i);
	for (w = 0; w < sizeof(words) / sizeof(words[0]); w++)
		if (sv_caseeqs(word, words[w].name))
			break;
	if (w == sizeof(words) / sizeof(words[0]))
		return (expected(st, arg));
	behind = sv_trim(sv_sub(v, i, v.len));
	if (behind.len > 0 && behind.p[0] != '/' && !(behind.p[0] == '=' && w == V_SENDER))
		return (expected(st, arg));
	if (behind.len > 0 && (w == V_CERTIFICATE || w == V_HELO || w == V_SYNTAX || w == V_ASCII))
		return (acl_wrong(st, "unexpected '/' found in \"" SV_FMT "\" (this verify item has no options)", SV_ARG(arg)));
	if ((words[w].where & 1u << st->run->where) == 0 && st->run->where != EXIM_WHERE_UNKNOWN)
		return (acl_wrong(st, "cannot verify %s in ACL for %s", words[w].name, exim_acl_where_name(st->run->where)));
	v = sv_trim(sv_sub(v, i, v.len));
	if (v.len > 0 && v.p[0] == '=' && w == V_SENDER) {
		struct sb sb = SB_INIT(MAIL_ADDRESS_MAX);
		size_t k = 1;

		/* A doubled slash belongs to the address. */
		for (; k < v.len && (v.p[k] != '/' || (k + 1 < v.len && v.p[k + 1] == '/')); k++) {
			sb_addc(&sb, v.p[k]);
			k += v.p[k] == '/';
		}
		value = arena_sv(st->env->arena, sv_trim(sb_sv(&sb)));
		value.tainted = v.tainted;
		sb_free(&sb);
		has_value = true;
		v = sv_sub(v, k, v.len);
	}
	v = sv_sub(v, 1, v.len);
	if (w == V_BLIND && v.len > 0 && !sv_eqs(sv_trim(v), "case_insensitive"))
		return (acl_wrong(st, "unknown option \"" SV_FMT "\" in ACL condition \"verify " SV_FMT "\"",
		    SV_ARG(sv_trim(v)), SV_ARG(arg)));
	switch ((enum word)w) {
	case V_REVERSE:		return (verify_reverse(st, v));
	case V_CERTIFICATE:
		if (s != NULL && s->tls_in.cipher.len > 0 && s->tls_in.verified)
			return (RC_OK);
		st->user_msg = SV_LIT("no verified certificate");
		return (RC_FAIL);
	case V_HELO:		return (verify_helo(st));
	case V_SYNTAX:		return (verify_header_syntax(st));
	case V_BLIND:		return (verify_not_blind(st, v));
	case V_ASCII:		return (verify_header_names(st));
	case V_CSA:		return (verify_csa(st, v));
	default:
		return (verify_what(st, (enum word)w, value, has_value, v, arg));
	}
}
