/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * -bf and -bF: a filter or forward file is tried on the message of standard input, and what it
 * would do is written in Exim's words (filter manual 1.3; Exim's manual 5.2).  Nothing is done.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "deliver.h"
#include "exim/extract.h"
#include "filter/exim_filter.h"
#include "mail/address.h"
#include "mail/date.h"
#include "mail/header.h"
#include "os/file.h"
#include "os/user.h"
#include "route/redirect.h"
#include "testing.h"

#define ADDR_FLAGS	(MAIL_ADDR_UTF8 | MAIL_ADDR_BARE | MAIL_ADDR_LITERAL | MAIL_ADDR_8BIT)
#define INCLUDE_DEPTH	10

struct trial {
	struct testing	*t;
	struct sb	 text;		/* the message, lines ending in LF */
	struct mail_headers headers;
	struct exim_address addr;
	struct sv	 rcpt;
	VEC(const char *) generated;	/* of a forward file */
	unsigned	 depth;
};

/* ---- the message ---- */

/* Standard input, up to a line with a single dot unless -i. */
static void
read_message(struct trial *r)
{
	bool dots = r->t->o->dots;
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	sb_init(&r->text, MESSAGE_MAX);
	while ((n = getline(&line, &cap, stdin)) > 0) {
		struct sv v = sv_from(line, (size_t)n);

		if (v.p[v.len - 1] == '\n')
			v.len--;
		if (v.len > 0 && v.p[v.len - 1] == '\r')
			v.len--;
		/* Other dots in front stay: this is no SMTP. */
		if (dots && line[n - 1] == '\n' && v.len == 1 && v.p[0] == '.')
			break;
		sb_add(&r->text, v);
		if (line[n - 1] == '\n')
			sb_addc(&r->text, '\n');
	}
	free(line);
}

static struct sv
qualified(struct testing *t, struct sv text, struct sv domain)
{
	struct sb sb = SB_INIT(2 * MAIL_ADDRESS_MAX);
	struct mail_address m;
	struct sv out;

	if (mail_address_parse(text, ADDR_FLAGS | MAIL_ADDR_EMPTY, t->facts, &m, NULL) == -1)
		return (text);
	mail_address_put(&sb, &m);
	if (m.local.len > 0 && m.domain.len == 0)
		sb_addf(&sb, "@" SV_FMT, SV_ARG(domain));
	out = arena_sv(t->facts, sb_sv(&sb));
	sb_free(&sb);
	return (out);
}

/* The sender: -f, else that of a line "From ADDRESS date" on top, else the caller. */
static struct sv
sender(struct trial *r)
{
	struct testing *t = r->t;
	struct sv v = sb_sv(&r->text), word;

	if (t->o->sender != NULL) {
		v = sv_cstr(t->o->sender);
		return (v.len == 0 || sv_eqs(v, "<>") ? SV_LIT("") : qualified(t, v, t->g.qualify_domain));
	}
	if (sv_starts(v, "From ")) {
		v = sv_sub(v, 5, v.len);
		if (sv_word(&v, &word))
			return (sv_eqs(word, "<>") ? SV_LIT("") : qualified(t, word, t->g.qualify_domain));
	}
	return (qualified(t, sv_cstr(t->login), t->g.qualify_domain));
}

/* An identification as one of that second would look like. */
static const char *
message_id(struct testing *t, int64_t now)
{
	static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	char id[] = "000000-000000-00";
	uint64_t v[3] = { (uint64_t)now, (uint64_t)getpid(), (uint64_t)now % 3000 };

	for (size_t k = 0, at = 0; k < 3; k++, at += 7)
		for (size_t i = k == 2 ? 2 : 6; i > 0; i--, v[k] /= 62)
			id[at + i - 1] = digits[v[k] % 62];
	return (arena_str(t->facts, id));
}

static struct sv
shown(struct sv address)
{
	return (address.len == 0 ? SV_LIT("<>") : address);
}

/* A message without From: gets one, as those that are submitted do. */
static struct sv
from_field(struct trial *r)
{
	struct testing *t = r->t;
	struct os_user u;
	bool caller = t->o->sender == NULL && !sv_starts(sb_sv(&r->text), "From ");

	if (caller && os_user_by_uid(getuid(), &u, NULL) == 1 && u.gecos[0] != '\0') {
		u.gecos[strcspn(u.gecos, ",:")] = '\0';
		return (sv_cstr(arena_fmt(t->facts, "%s <" SV_FMT ">", u.gecos, SV_ARG(t->msg.sender))));
	}
	return (t->msg.sender);
}

/* What a message that was submitted here gets: Message-Id, From, Sender of somebody who is not trusted, Date. */
static void
add_fields(struct trial *r)
{
	struct testing *t = r->t;
	struct deliver d = { .t = t, .conf = t->conf, .caller_uid = (int64_t)getuid(), .caller_gid = (int64_t)getgid() };
	struct dmsg m = { .arena = t->facts, .login = sv_cstr(t->login), .sender = t->msg.sender, .local = true };
	struct sv from = mail_headers_get(&r->headers, "From");
	struct exim_header_add *v;
	char date[MAIL_DATE_MAX];

	for (size_t i = 0; i < r->headers.n; i++)
		if (sv_casestarts(r->headers.v[i].name, "Resent-"))
			return;
	(void)snprintf(m.id, sizeof(m.id), SV_FMT, SV_ARG(t->msg.id));
	dfield_add(&m, "From", from.p == NULL ? from_field(r) : sv_trim(from));
	if (mail_headers_get(&r->headers, "Message-ID").p == NULL)
		dfield_add(&m, "Message-Id", dsender_message_id(&d, &m));
	if (from.p == NULL && t->msg.sender.len > 0)
		vec_push(&m.fields, m.fields.p[0]);
	dsender_fields(&d, &m, false);
	if (mail_headers_get(&r->headers, "Date").p == NULL)
		dfield_add(&m, "Date", sv_cstr(mail_date_format_local(date, t->msg.received_time)));
	v = arena_alloc(t->facts, m.fields.len * sizeof(*v));
	/* The first only told of the sender. */
	for (size_t i = 1; i < m.fields.len; i++)
		v[i - 1].text = m.fields.p[i].text;
	t->msg.added = v;
	t->msg.nadded = m.fields.len - 1;
	vec_free(&m.fields);
}

/* A message of a local sender has whole addresses in its header. */
static void
qualify_header(struct trial *r)
{
	static const struct { const char *name; bool recipient; } t[] = { { "From", false }, { "Sender", false }, { "Reply-To", false },
	    { "To", true }, { "Cc", true }, { "Bcc", true } };
	struct mail_header *v;

	if (r->headers.n == 0)
		return;
	v = arena_dup(r->t->facts, r->headers.v, r->headers.n * sizeof(*v));

	for (size_t i = 0; i < r->headers.n; i++) {
		struct sv name = v[i].name;

		if (sv_casestarts(name, "Resent-"))
			name = sv_sub(name, 7, name.len);
		for (size_t k = 0; k < sizeof(t) / sizeof(t[0]); k++)
			if (sv_caseeqs(name, t[k].name)) {
				v[i].body = sv_taint(qualified_body(r->t->facts, v[i].body,
				    t[k].recipient ? r->t->g.qualify_recipient : r->t->g.qualify_domain));
			}
	}
	r->headers.v = v;
}

static int64_t
longest_line(struct sv text)
{
	int64_t max = 0;
	struct sv line;

	while (sv_next(&text, '\n', &line))
		if ((int64_t)line.len > max)
			max = (int64_t)line.len;
	return (max);
}

static void
load_message(struct trial *r)
{
	struct testing *t = r->t;
	struct exim_message *m = &t->msg;
	struct sv body, path;

	read_message(r);
	mail_headers_parse(&r->headers, t->facts, sv_taint(sb_sv(&r->text)),
	    MAIL_HEADERS_STOP | (sv_starts(sb_sv(&r->text), "From ") ? MAIL_HEADERS_MBOX : 0));
	qualify_header(r);
	body = sv_taint(sv_sub(sb_sv(&r->text), r->headers.body_start, r->text.len));
	m->received_time = t->world.now(t->world.arg, NULL);
	m->id = sv_cstr(message_id(t, m->received_time));
	m->has_sender = true;
	m->sender = sv_taint(sender(r));
	add_fields(r);
	path = SV_NULL;
	for (ptrdiff_t i = -1; (i = mail_headers_find(&r->headers, "Return-path", (size_t)(i + 1))) >= 0;)
		path = r->headers.v[i].body;
	m->return_path = m->sender;
	if (path.p != NULL)
		m->return_path = qualified(t, sv_trim(path), t->g.qualify_domain);
	m->headers = &r->headers;
	m->body = body;
	m->body_whole = true;
	m->body_size = (int64_t)body.len;
	m->size = (int64_t)r->text.len;
	m->received_count = 1 + (int64_t)mail_headers_count(&r->headers, "Received");
	for (size_t i = 0; i < body.len; i++) {
		m->body_linecount += body.p[i] == '\n';
		m->body_zerocount += body.p[i] == '\0';
	}
	for (size_t i = 0; i < r->headers.body_start; i++)
		m->linecount += r->text.p[i] == '\n';
	m->max_linelength = longest_line(sv_sub(sb_sv(&r->text), 0, r->headers.body_start));
	t->session.authenticated_id = SV_LIT("");
	if (m->received_protocol.len == 0)
		m->received_protocol = SV_LIT("local");
	m->first_delivery = true;
	t->env.message_loaded = true;
	if (r->headers.n == 0)
		printf("Warning: no message headers read\n");
	if (t->o->sender == NULL && sv_starts(sb_sv(&r->text), "From "))
		printf("Sender taken from \"From \" line\n");
	if (path.p != NULL)
		printf("Return-path taken from \"Return-path:\" header line\n");
	if (path.p == NULL)
		printf("Return-path copied from sender\n");
	else
		printf("Return-path = " SV_FMT "\n", SV_ARG(shown(m->return_path)));
	printf("Sender      = " SV_FMT "\n", SV_ARG(shown(m->sender)));
}

static void
load_recipient(struct trial *r)
{
	struct testing *t = r->t;
	const struct options *o = t->o;
	struct exim_address *a = &r->addr;
	const char *home = getenv("HOME");
	struct os_user u;

	if (home == NULL && os_user_by_uid(getuid(), &u, NULL) == 1)
		home = arena_str(t->facts, u.dir);
	a->local_part = sv_cstr(o->filter_local != NULL ? o->filter_local : t->login);
	a->domain = o->filter_domain != NULL ? sv_cstr(o->filter_domain) : t->g.qualify_recipient;
	a->local_part_prefix = sv_cstr(o->filter_prefix);
	a->local_part_suffix = sv_cstr(o->filter_suffix);
	a->original_local_part = a->local_part;
	a->original_domain = a->domain;
	a->local_user_uid = UINT32_MAX;
	a->home = sv_cstr(home);
	t->env.addr = a;
	r->rcpt = sv_cstr(arena_fmt(t->facts, SV_FMT SV_FMT SV_FMT "@" SV_FMT, SV_ARG(a->local_part_prefix), SV_ARG(a->local_part),
	    SV_ARG(a->local_part_suffix), SV_ARG(a->domain)));
	printf("Recipient   = " SV_FMT "\n", SV_ARG(r->rcpt));
	if (o->filter_prefix != NULL)
		printf("Prefix    = %s\n", o->filter_prefix);
	if (o->filter_suffix != NULL)
		printf("Suffix    = %s\n", o->filter_suffix);
	t->msg.nrecipients = 1;
}

/* ---- a forward file ---- */

static int list_items(struct trial *r, struct sv data);

static const char *
forwarded(struct trial *r, const struct redirect_item *it)
{
	struct testing *t = r->t;
	struct sv v = it->text, out;

	if (it->kind == REDIRECT_PIPE)
		return (arena_fmt(t->facts, "|" SV_FMT, SV_ARG(v)));
	if (it->kind != REDIRECT_ADDRESS)
		return (arena_cstr(t->facts, v));
	v = qualified(t, v, it->verbatim ? r->addr.domain : t->g.qualify_recipient);
	if (exim_rewrite_address(&t->conf->rewrites, &t->env, EXIM_RW_T, v, &out, NULL, NULL) == EXIM_OK)
		v = out;
	return (arena_cstr(t->facts, v));
}

static int
mistake(const char *why, struct sv in)
{
	printf("exim: error in forward file: %s%s" SV_FMT "%s\n", why, in.p != NULL ? " in \"" : "", SV_ARG(in),
	    in.p != NULL ? "\"" : "");
	return (1);
}

static int
include_file(struct trial *r, const struct redirect_item *it)
{
	struct sb text = SB_INIT(ROUTE_DATA_MAX);
	struct err err = ERR_INIT;
	int rc;

	if (it->text.len == 0 || it->text.p[0] != '/')
		return (mistake("included file is not an absolute path", it->raw));
	if (r->depth >= INCLUDE_DEPTH)
		return (mistake(":include: files nested too deeply", it->raw));
	if (os_read_file(arena_cstr(r->t->facts, it->text), ROUTE_DATA_MAX, &text, &err) == -1) {
		/* What is not there brings no addresses. */
		sb_free(&text);
		return (0);
	}
	r->depth++;
	rc = list_items(r, arena_sv(r->t->facts, sb_sv(&text)));
	r->depth--;
	sb_free(&text);
	return (rc);
}

/* 0, 1 after a mistake, 2 when the list is no list: that was told. */
static int
list_items(struct trial *r, struct sv data)
{
	struct redirect_item it;
	int rc = 0;

	while (rc == 0 && redirect_next(&data, r->t->facts, &it)) {
		switch (it.kind) {
		case REDIRECT_ADDRESS:
		case REDIRECT_PIPE:
		case REDIRECT_FILE:
		case REDIRECT_DIRECTORY:
			vec_push(&r->generated, forwarded(r, &it));
			break;
		case REDIRECT_INCLUDE:
			rc = include_file(r, &it);
			break;
		case REDIRECT_BLACKHOLE:
			printf("exim: forwardfile contains \":blackhole:\"\n");
			rc = 2;
			break;
		case REDIRECT_FAIL:
		case REDIRECT_DEFER:
			rc = mistake(arena_fmt(r->t->facts, "\"" SV_FMT "\" is not permitted", SV_ARG(sv_trim(it.raw))), SV_NULL);
			break;
		case REDIRECT_BAD:
			rc = mistake(it.err_text, it.raw);
			break;
		default:
			break;
		}
	}
	return (rc);
}

static int
try_forward(struct trial *r, struct sv data)
{
	int rc = list_items(r, data);

	if (rc == 1)
		return (1);
	if (r->generated.len == 0) {
		printf("exim: no addresses generated from forward file\n");
		return (0);
	}
	/* Each new address was put in front of those before. */
	printf("exim: forward file generated:\n");
	for (size_t i = r->generated.len; i > 0; i--)
		printf("  %s\n", r->generated.p[i - 1]);
	return (0);
}

/* ---- filters ---- */

static int
try_filter(struct trial *r, struct sv data, const char *path, bool system)
{
	struct testing *t = r->t;
	unsigned flags = EXIM_FILTER_REWRITE | (system ? EXIM_FILTER_ALL : 0);
	struct filter_ops ops;
	struct exim_filter_run run = { .env = &t->env, .ops = &ops, .flags = flags, .test = stdout };
	struct exim_filter *f;
	const char *why = "";

	memset(&ops, 0, sizeof(ops));
	if ((f = exim_filter_parse(t->facts, data, path, flags, &why)) == NULL) {
		printf("Filter error: %s\n", why);
		return (1);
	}
	run.verbose = t->o->verbose ? stderr : NULL;
	t->msg.recipients = system ? &r->rcpt : NULL;
	t->msg.recipients_shown = system;
	return (exim_filter_run(f, &run) == EXIM_FILTER_ERROR ? 1 : 0);
}

static int
try_file(struct trial *r, const char *path, bool system)
{
	struct sb text = SB_INIT(EXIM_FILTER_TEXT_MAX);
	enum redirect_data_kind kind = REDIRECT_EXIM_FILTER;
	struct err err = ERR_INIT;
	struct sv data;

	if (os_read_file(path, EXIM_FILTER_TEXT_MAX, &text, &err) == -1) {
		(void)fprintf(stderr, "exim: failed to open %s: %s\n", path, err.text);
		sb_free(&text);
		return (1);
	}
	data = arena_sv(r->t->facts, sb_sv(&text));
	sb_free(&text);
	if (!system)
		kind = redirect_data_kind(data);
	printf("Testing %s file \"%s\"\n\n", kind == REDIRECT_EXIM_FILTER ? "Exim filter" :
	    kind == REDIRECT_SIEVE_FILTER ? "Sieve filter" : "forward file", path);
	if (kind == REDIRECT_LIST)
		return (try_forward(r, data));
	if (kind == REDIRECT_EXIM_FILTER)
		return (try_filter(r, data, path, system));
	printf("Sieve filters are not run yet: the message would be kept in the inbox\n");
	return (0);
}

static bool
sender_ok(struct testing *t)
{
	struct sv v = sv_cstr(t->o->sender);
	struct exim_extracted x;
	struct err err = ERR_INIT;

	if (v.len == 0 || exim_extract(v, EXIM_EXTRACT_NULL | EXIM_EXTRACT_LITERALS, t->facts, &x, &err) == -1 ? v.len == 0 :
	    x.domain == 0 || x.address.p[x.address.len - 1] != '.')
		return (true);
	fprintf(stderr, "exim: bad -f address \"" SV_FMT "\": %s\n", SV_ARG(v), err.cls != ERR_NONE ? err.text :
	    "domain is malformed (trailing dot not allowed)");
	return (false);
}

int
test_filter(struct testing *t)
{
	struct trial r = { .t = t, .addr = { .home = SV_NULL } };
	int rc = 0;

	if (!sender_ok(t))
		return (1);
	load_message(&r);
	load_recipient(&r);
	if (t->o->system_filter != NULL) {
		rc = try_file(&r, t->o->system_filter, true);
		memcpy(t->msg.sn, t->msg.n, sizeof(t->msg.sn));
	}
	if (rc == 0 && t->o->filter != NULL)
		rc = try_file(&r, t->o->filter, false);
	vec_free(&r.generated);
	sb_free(&r.text);
	return (rc);
}
