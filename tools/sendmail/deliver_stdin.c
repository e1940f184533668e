/* SPDX-License-Identifier: BSD-2-Clause */
/* A message from standard input: its text, its recipients from the arguments or its fields, and what the caller says of it. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "deliver.h"
#include "exim/extract.h"
#include "mail/address.h"
#include "mail/outside.h"
#include "session/session.h"

static int64_t
main_number(struct deliver *d, enum exim_main_opt o)
{
	const struct exim_value *v = &d->conf->main[o];
	struct err err = ERR_INIT;
	int64_t n = v->num;

	if (v->str != NULL && exim_expand_int(v->str, &d->t->env, &n, &err) != EXIM_OK)
		n = 0;
	return (n);
}

static volatile sig_atomic_t time_is_over;

static void
on_alarm(int sig)
{
	(void)sig;
	time_is_over = 1;
}

/* NULL: <text> is the whole message; else why there is none. */
static const char *
read_input(const struct deliver *d, const struct options *o, struct sb *text)
{
	const struct sigaction ring = { .sa_handler = on_alarm };
	int64_t most = exim_main_int(d->conf, EXIM_MAIN_receive_timeout);
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	if (most > 0) {
		(void)sigaction(SIGALRM, &ring, NULL);
		(void)alarm(most > UINT32_MAX ? UINT32_MAX : (unsigned)most);
	}
	while (time_is_over == 0 && (n = getline(&line, &cap, stdin)) > 0) {
		struct sv v = sv_from(line, (size_t)n);
		bool ended = v.p[v.len - 1] == '\n';

		if (ended)
			v.len--;
		if (v.len > 0 && v.p[v.len - 1] == '\r')
			v.len--;
		/* At the end of a text without a line end it is part of that. */
		if (ended && o->dots && v.len == 1 && v.p[0] == '.')
			break;
		sb_add(text, v);
		sb_addc(text, '\n');
	}
	free(line);
	if (most > 0)
		(void)alarm(0);
	if (time_is_over != 0)
		return ("timed out while reading");
	/* Half a message is none. */
	if (ferror(stdin))
		return (arena_fmt(d->t->facts, "Input read error (%s)", strerror(errno)));
	return (text->overflow ? arena_fmt(d->t->facts, "it has more than %zu bytes", text->max) : NULL);
}

static void
add_rcpt(struct dmsg *m, struct sv addr)
{
	struct drcpt r = { .addr = addr, .parent = -1 };

	vec_push(&m->rcpts, r);
}

struct sv
daddress_text(struct arena *a, const struct mail_address *x)
{
	struct sb one = SB_INIT(4096);
	struct sv r;

	mail_address_put(&one, x);
	r = arena_sv(a, sb_sv(&one));
	sb_free(&one);
	return (r);
}

/* To, Cc, Bcc; of a message that is sent again its Resent- fields. */
static bool
names_recipients(const struct dfield *f, bool resent)
{
	struct sv name = dfield_name(f->text);

	if (!resent)
		return (strchr("TCB", f->type) != NULL);
	return (sv_caseeqs(name, "resent-to") || sv_caseeqs(name, "resent-cc") || sv_caseeqs(name, "resent-bcc"));
}

/* The next of a list by commas; quotes, comments and angle brackets hold theirs. */
static bool
next_address(struct sv *rest, struct sv *item)
{
	struct mail_outside at = { false, 0 };
	bool angle = false;
	size_t i;

	for (;;) {
		for (i = 0; i < rest->len; i++) {
			char c = rest->p[i];

			if (c == '\\' && i + 1 < rest->len)
				i++;
			else if (!mail_outside(&at, c))
				continue;
			else if (c == '<' || c == '>')
				angle = c == '<';
			else if (!angle && c == ',')
				break;
		}
		if (rest->len == 0)
			return (false);
		*item = sv_trim(sv_sub(*rest, 0, i));
		*rest = sv_sub(*rest, i < rest->len ? i + 1 : i, rest->len);
		if (item->len > 0)
			return (true);
	}
}

/* Those of <list> that are no addresses, each with what stands behind it. */
static void
note_bad(struct dmsg *m, struct sv list)
{
	struct sv rest = list, item;

	while (next_address(&rest, &item)) {
		struct sv from = sv_trim(sv_from(item.p, (size_t)(list.p + list.len - item.p)));
		ptrdiff_t colon = sv_chr(item, ':');
		struct exim_extracted x;
		struct err err = ERR_INIT;

		/* The name of a group stands in front of its first member. */
		if (exim_extract(item, EXIM_EXTRACT_LITERALS, m->arena, &x, &err) == 0 || (colon >= 0 && sv_chr(item, '@') < 0) ||
		    (colon >= 0 && exim_extract(sv_sub(item, (size_t)colon + 1, item.len), EXIM_EXTRACT_LITERALS,
		    m->arena, &x, &err) == 0) || strcmp(err.text, "empty address") == 0)
			continue;
		m->bad = sv_cstr(arena_fmt(m->arena, SV_FMT "  " SV_FMT ": %s\n", SV_ARG(m->bad), SV_ARG(from), err.text));
		m->nbad++;
	}
}

/* -t: recipients of the fields; Bcc goes; those that the arguments name are left out. */
static void
recipients_from_fields(struct deliver *d, struct dmsg *m)
{
	VEC(struct sv) out = VEC_INIT;
	bool remove = exim_main_bool(d->conf, EXIM_MAIN_extract_addresses_remove_arguments), resent = dfields_resent(m);

	for (size_t i = 0; i < m->rcpts.len && remove; i++)
		vec_push(&out, dqualify(d, m->arena, m->rcpts.p[i].addr, true));
	if (remove)
		vec_clear(&m->rcpts);
	for (size_t i = 0; i < m->fields.len; i++) {
		struct mail_addrlist l;

		if (!names_recipients(&m->fields.p[i], resent))
			continue;
		mail_addrlist_read(dfield_body(m->fields.p[i].text), m->arena, &l);
		if (l.bad > 0)
			note_bad(m, dfield_body(m->fields.p[i].text));
		for (size_t k = 0; k < l.n; k++) {
			struct sv addr;
			bool left_out = false;

			if (l.v[k].item != MAIL_ITEM_ADDRESS)
				continue;
			addr = dqualify(d, m->arena, daddress_text(m->arena, &l.v[k]), true);
			for (size_t x = 0; x < out.len; x++)
				left_out = left_out || sv_caseeq(out.p[x], addr);
			m->left_out = m->left_out || left_out;
			if (!left_out && addr.len > 0)
				add_rcpt(m, addr);
		}
	}
	dfield_drop(m, resent ? "resent-bcc" : "bcc");
	vec_free(&out);
}

static int
arguments(struct deliver *d, struct dmsg *m, struct sv *bad)
{
	const struct options *o = d->t->o;
	struct sv sender = SV_LIT("");
	struct mail_address x;
	struct err err = ERR_INIT;

	if (o->sender != NULL && strcmp(o->sender, "<>") != 0 && *o->sender != '\0') {
		bool literals = exim_main_bool(d->conf, EXIM_MAIN_allow_domain_literals);

		if (mail_address_parse(sv_cstr(o->sender), DADDR_FLAGS, m->arena, &x, &err) == 0 && !literals && x.domain.len > 0 &&
		    x.domain.p[0] == '[')
			(void)err_set(&err, ERR_PERM, NULL, "domain literals not allowed");
		if (err.cls != ERR_NONE) {
			(void)fprintf(stderr, "exim: bad -f address \"%s\": %s\n", o->sender, err.text);
			return (1);
		}
		sender = dqualify(d, m->arena, daddress_text(m->arena, &x), false);
	}
	dsender_set(d, m, sender);
	for (size_t i = 0; i < o->args.len && bad->len == 0; i++) {
		struct sv rest = sv_cstr(o->args.p[i]), item;

		while (bad->len == 0 && next_address(&rest, &item)) {
			struct exim_extracted e;

			if (exim_extract(item, EXIM_EXTRACT_LITERALS, m->arena, &e, &err) == 0)
				add_rcpt(m, e.address);
			else
				*bad = sv_cstr(o->errors == 'p' || o->errors == 'q' ?
				    arena_fmt(m->arena, "\"" SV_FMT "\": %s", SV_ARG(item), err.text) :
				    arena_fmt(m->arena, SV_FMT "  %s", SV_ARG(item), err.text));
		}
	}
	return (0);
}

/* -oMa and its kin: whom the message came from, as trusted callers may say. */
static void
take_facts(struct deliver *d, struct dmsg *m)
{
	const struct options *o = d->t->o;
	const struct { const char *text; struct sv *to; } t[] = {
		{ o->host_address, &m->host_addr }, { o->host_name, &m->host_name }, { o->auth_mechanism, &m->host_auth },
		{ o->auth_id, &m->auth_id }, { o->auth_sender, &m->auth_sender }, { o->interface, &m->interface },
		{ o->protocol, &m->protocol }
	};
	struct net_addr a;
	char buf[NET_ADDR_TEXT_MAX];

	if (!dsender_trusted(d))
		return;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		if (t[i].text != NULL)
			*t[i].to = sv_cstr(arena_str(m->arena, t[i].text));
	if (o->message_ref != NULL)
		m->ref = sv_cstr(arena_str(m->arena, o->message_ref));
	if (o->ident != NULL)
		m->ident = sv_cstr(arena_str(m->arena, o->ident));
	/* "192.0.2.1.25": the port may stand behind it. */
	if (m->host_addr.len > 0 && !net_addr_parse(m->host_addr, &a)) {
		ptrdiff_t dot = sv_rchr(m->host_addr, '.');

		if (net_addr_parse_port(m->host_addr, 0, &a)) {
			m->host_port = a.port;
			a.port = 0;
			m->host_addr = sv_cstr(arena_str(m->arena, net_addr_text(&a, buf)));
		} else if (dot > 0)
			(void)num_parse(sv_sub(m->host_addr, (size_t)dot + 1, m->host_addr.len), 0, 65535, &m->host_port);
		if (!net_addr_parse(m->host_addr, &a))
			m->host_addr = dot > 0 ? sv_sub(m->host_addr, 0, (size_t)dot) : SV_NULL;
	}
}

/* queue_only, queue_only_file; -od says otherwise unless queue_only_override is off. */
static void
queue_policy(struct deliver *d)
{
	struct sv list = exim_main_text(d->conf, EXIM_MAIN_queue_only_file), item;
	bool given = d->t->o->odmode != 0, only = exim_main_bool(d->conf, EXIM_MAIN_queue_only), smtp = false, file = false;
	struct arena *a = d->t->facts;
	int sep = 0;

	while (list.len > 0 && exim_list_next(&list, &sep, a, &item)) {
		bool is_smtp = sv_casestarts(item, "smtp");
		struct sv path = is_smtp ? sv_sub(item, 4, item.len) : item;

		if (path.len > 0 && path.p[0] == '/' && access(arena_cstr(a, path), F_OK) == 0) {
			file = file || !is_smtp;
			smtp = smtp || is_smtp;
		}
	}
	/* -od says nothing against the file. */
	if (file || (only && !(given && exim_main_bool(d->conf, EXIM_MAIN_queue_only_override))))
		d->odmode = 'q';
	else if (smtp)
		d->routing_only = true;
}

/* Nothing is taken where message_size_limit is no number. */
static bool
size_limit_ok(struct deliver *d)
{
	const struct exim_value *v = &d->conf->main[EXIM_MAIN_message_size_limit];
	struct err err = ERR_INIT;
	struct sv text;
	int64_t n = 0;
	bool expands;

	if (v->str == NULL)
		return (true);
	expands = exim_expand(v->str, &d->t->env, &text, &err) == EXIM_OK;
	if (expands && exim_text_int(text, &d->t->env, &n, &err) && n >= 0)
		return (true);
	if (n < 0)
		(void)err_set(&err, ERR_CONFIG, "4.3.5", "non-negative integer expected but \"" SV_FMT "\" found", SV_ARG(text));
	dlog(d, DLOG_MAIN | DLOG_PANIC, "%s message_size_limit: %s", expands ? "invalid value for" : "failed to expand", err.text);
	return (false);
}

int
dreceive_stdin(struct deliver *d)
{
	struct dmsg *m = dmsg_new();
	struct sb text = SB_INIT(MESSAGE_MAX);
	struct err err = ERR_INIT;
	struct sv bad = SV_NULL;
	const char *why;
	int rc;

	if (d->t->o->args.len == 0 && !d->t->o->from_header) {
		(void)fprintf(stderr, "Exim is a Mail Transfer Agent. It is normally called by Mail User Agents,\nnot directly from a shell "
		    "command line. Options and/or arguments control\nwhat it does when called. For a list of options, see the Exim documentation.\n");
		dmsg_free(&m);
		return (1);
	}
	if (!size_limit_ok(d)) {
		dmsg_free(&m);
		return (1);
	}
	queue_policy(d);
	if (!session_has_room(d->conf, &d->t->world, m->arena, 0, &why)) {
		dlog(d, DLOG_MAIN, "%s", why);
		(void)fprintf(stderr, "exim: insufficient disk space\n");
		dmsg_free(&m);
		return (1);
	}
	dmsg_start(m, d->caller, d->caller_uid);
	if (d->t->o->rmail)
		m->protocol = SV_LIT("local-rmail");
	take_facts(d, m);
	if ((rc = arguments(d, m, &bad)) == 0) {
		int64_t max = main_number(d, EXIM_MAIN_recipients_max);
		struct sv whole;

		if ((why = read_input(d, d->t->o, &text)) != NULL) {
			(void)fprintf(stderr, "exim: %s - message abandoned\n", why);
			if (time_is_over == 0)
				dlog(d, DLOG_MAIN, "Message abandoned: %s while receiving message from %s", why, d->caller);
			else if (dlog_on(d, EXIM_LOGSEL_lost_incoming_connection))
				dlog(d, DLOG_MAIN, "timed out while reading local message");
			sb_free(&text);
			dmsg_free(&m);
			return (1);
		}
		whole = arena_sv(m->arena, sb_sv(&text));
		dmsg_split(m, sv_sub(whole, dsender_from_line(d, m, whole), whole.len));
		if (d->t->o->from_header)
			recipients_from_fields(d, m);
		if (bad.len > 0)
			rc = derror_tell(d, m, DERROR_ADDRESS, bad, false);
		else if (max > 0 && (int64_t)m->rcpts.len > max && !d->t->o->from_header)
			rc = derror_tell(d, m, DERROR_TOO_MANY, SV_LIT("too many recipients"), false);
		else
			rc = dreceive(d, m, true, &err);
	}
	if (rc == -1 && err.text[0] == '\0')
		rc = 1;
	if (rc == -1) {
		testing_log("%s%s", err.text, strncmp(err.text, "Failed to create", 16) == 0 ? "\n" : "");
		rc = 1;
	}
	sb_free(&text);
	dmsg_free(&m);
	return (rc);
}
