/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vpost explain USER: what would become of a message for a user: which routers take it, which of the
 * user's files and which of its lines decide, and what would be done.  Nothing is done: no mail goes anywhere, no file is
 * written, no program is started, and no name server is asked.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exim/conf.h"
#include "filter/forward.h"
#include "filter/procmail.h"
#include "mail/address.h"
#include "mail/header.h"
#include "mbox/content.h"
#include "os/priv.h"
#include "route/route.h"
#include "vpost_int.h"

#define ADDR_FLAGS	(MAIL_ADDR_UTF8 | MAIL_ADDR_BARE | MAIL_ADDR_LITERAL | MAIL_ADDR_8BIT)

struct dry {
	const struct box *box;
	struct exim_conf *conf;
	struct arena	*arena;
	struct exim_world world;
	struct exim_globals g;
	struct exim_session session;
	struct exim_message msg;
	struct exim_address addr;
	struct mail_headers headers;
	struct exim_env	 env;
	struct route_ops ops;
	struct sv	 text;
};

/* ---- what routing tells ---- */

static void
told(void *arg, const char *text)
{
	(void)arg;
	printf("  %s\n", text);
}

static void
filter_told(void *arg, const struct filter_pos *pos, const char *text)
{
	(void)arg;
	if (pos != NULL && pos->file != NULL)
		printf("    %s:%u: %s\n", pos->file, pos->line, text);
	else
		printf("    %s\n", text);
}

static void
filter_tried(void *arg, struct route_filter *f)
{
	struct filter_ops ops = { .trace = filter_told, .dry = true };

	(void)arg;
	filter_route_traced(f, &ops);
	for (size_t i = 0; i < f->n; i++)
		printf("    asks for: " SV_FMT "\n", SV_ARG(f->v[i].text));
}

/* Mail for other hosts is not looked up: one address stands for all. */
static enum route_dns
no_mx(void *arg, const char *domain, struct arena *a, struct route_mx **mx, size_t *n, bool *secure)
{
	(void)arg;
	(void)domain;
	(void)a;
	*mx = NULL;
	*n = 0;
	*secure = false;
	return (ROUTE_DNS_NODATA);
}

static enum route_dns
some_address(void *arg, const char *host, unsigned families, struct arena *a, struct net_addr **addrs, size_t *n, bool *secure,
    const char **canon)
{
	struct net_addr one;

	(void)arg;
	(void)canon;
	(void)host;
	(void)families;
	(void)net_addr_parse(SV_LIT("198.51.100.1"), &one);
	*addrs = arena_dup(a, &one, sizeof(one));
	*n = 1;
	*secure = false;
	return (ROUTE_DNS_FOUND);
}

static bool
not_local(void *arg, const struct net_addr *a)
{
	(void)arg;
	(void)a;
	return (false);
}

/* Whoever asks may be root: no program is started for an answer, nor anybody spoken to. */
static enum exim_result
no_run(void *arg, const struct exim_run *r, struct arena *a, struct sv *out, int *rc, struct err *err)
{
	(void)arg;
	(void)r;
	(void)a;
	(void)out;
	(void)rc;
	(void)err_set(err, ERR_TEMP, NULL, "vpost explain starts no program");
	return (EXIM_DEFER);
}

static enum exim_result
no_socket(void *arg, const struct exim_socket *s, struct arena *a, struct sv *out, struct err *err)
{
	(void)arg;
	(void)s;
	(void)a;
	(void)out;
	(void)err_set(err, ERR_TEMP, NULL, "vpost explain opens no socket");
	return (EXIM_DEFER);
}

/* ---- procmail ---- */

/* The output of a filter that is not run is what it was given. */
static enum filter_answer
not_run(void *arg, const struct filter_run *r, struct arena *a, struct filter_ran *out, struct err *err)
{
	struct filter_ops dry;

	(void)arg;
	printf("    ");
	(void)fflush(stdout);
	filter_dry_ops(stdout, &dry);
	(void)dry.run(dry.arg, r, a, out, err);
	if (r->want_output)
		out->output = r->input;
	return (FILTER_OK);
}

/* What would be done is told by the trace. */
static enum filter_answer
would(void *arg, const struct filter_action *a, struct err *err)
{
	(void)arg;
	(void)a;
	(void)err;
	return (FILTER_OK);
}

static void
logged(void *arg, const struct filter_pos *pos, struct sv text)
{
	(void)arg;
	(void)pos;
	printf("    procmail says: " SV_FMT "\n", SV_ARG(sv_trim(text)));
}

static struct sv
lf_text(struct dry *d, struct sv sender)
{
	struct sb out = SB_INIT(d->text.len + 1024);
	char line[512];
	struct sv v;

	if (!sv_starts(d->text, "From "))
		sb_adds(&out, mbox_from_line(sender, d->msg.received_time, line, sizeof(line)));
	for (size_t i = 0; i < d->text.len; i++)
		if (d->text.p[i] != '\r')
			sb_addc(&out, d->text.p[i]);
	v = arena_sv(d->arena, sb_sv(&out));
	sb_free(&out);
	return (v);
}

static void
try_procmail(struct dry *d, const struct route_delivery *rd)
{
	const struct exim_value *o = rd->transport->d.own;
	struct filter_ops ops = { .act = would, .run = not_run, .trace = filter_told, .log = logged, .dry = true };
	struct procmail p = { .out_fd = -1, .err_fd = -1, .ops = &ops, .argv0 = "procmail", .tempfail = true, .uid = geteuid(),
	    .gid = getegid(), .shell = "/bin/sh", .home = rd->home };
	struct procmail_files *files = procmail_files_new();
	struct procmail_end end = { .status = 0 };
	struct err err = ERR_INIT;
	const char *words[2] = { NULL, NULL };
	char *account = NULL, *file = NULL;

	d->addr = (struct exim_address){ .local_part = rd->local_part, .domain = rd->domain, .local_part_data = rd->local_part_data,
	    .domain_data = rd->domain_data, .home = sv_cstr(rd->home) };
	d->env.addr = &d->addr;
	if (exim_expand_cstr(o[EXIM_PROCMAIL_account].str, &d->env, &account, &err) != EXIM_OK ||
	    exim_expand_cstr(o[EXIM_PROCMAIL_rcfile].str, &d->env, &file, &err) != EXIM_OK) {
		printf("    %s\n", err.text);
	} else {
		/* As the delivery would see the file's owner. */
		if (rd->user_set) {
			p.uid = (uid_t)rd->uid;
			p.gid = (gid_t)rd->gid;
		}
		words[0] = file;
		p.user = p.invoker = account;
		p.words = words;
		p.orgmail = arena_fmt(d->arena, "%s.INBOX", account);
		if (procmail_run(files, &p, lf_text(d, d->msg.sender), &end, &err) == -1)
			printf("    %s\n", err.text);
	}
	procmail_files_free(&files);
}

/* ---- what comes out ---- */

static void
show_delivery(struct dry *d, const struct route_delivery *rd)
{
	static const char *const kinds[] = { [ROUTE_TO_TRANSPORT] = "delivered by", [ROUTE_PIPE] = "piped by",
	    [ROUTE_FILE] = "written to a file by", [ROUTE_DIRECTORY] = "written to a folder by", [ROUTE_DISCARD] = "discarded",
	    [ROUTE_FILTER] = "filtered", [ROUTE_REPLY] = "answered by" };

	printf("=> " SV_FMT ": router %s, %s%s%s", SV_ARG(rd->addr->address), rd->router->d.name, kinds[rd->kind],
	    rd->transport != NULL ? " transport " : "", rd->transport != NULL ? rd->transport->d.name : "");
	if (rd->text.len > 0)
		printf(": " SV_FMT, SV_ARG(rd->text));
	(void)putchar('\n');
	if (rd->transport != NULL && rd->transport->drv == EXIM_TRANSPORT_DRV_PROCMAIL)
		try_procmail(d, rd);
}

static int
route(struct dry *d, struct sv address)
{
	struct route_request rq = { .conf = d->conf, .env = &d->env, .arena = d->arena, .ops = &d->ops, .mode = ROUTE_DELIVER,
	    .address = address, .sender = d->msg.sender };
	struct route_result res;
	size_t n;

	printf(SV_FMT "\n", SV_ARG(address));
	route_address(&rq, &res);
	n = res.nfailures;
	for (size_t i = 0; i < res.ndeliveries; i++)
		show_delivery(d, &res.delivery[i]);
	for (size_t i = 0; i < n; i++)
		printf("%s " SV_FMT ": %s\n", res.failure[i].fate == ROUTE_FAIL ? "**" : "==", SV_ARG(res.failure[i].addr->address),
		    res.failure[i].err.text);
	route_result_free(&res);
	return (n > 0 ? 1 : 0);
}

/* ---- the message ---- */

static void
take_message(struct dry *d, struct sv text, const char *sender)
{
	struct exim_message *m = &d->msg;
	struct sv path, word;

	d->text = text;
	mail_headers_parse(&d->headers, d->arena, sv_taint(text), MAIL_HEADERS_STOP | MAIL_HEADERS_MBOX);
	m->id = SV_LIT("000000-0000000-00");
	m->headers = &d->headers;
	m->body = sv_taint(sv_sub(text, d->headers.body_start, text.len));
	m->body_whole = true;
	m->body_size = (int64_t)m->body.len;
	m->size = (int64_t)text.len;
	m->received_time = d->world.now(d->world.arg, NULL);
	m->received_protocol = SV_LIT("esmtp");
	m->first_delivery = true;
	m->has_sender = true;
	path = sv_trim(mail_headers_get(&d->headers, "Return-path"));
	if (sender != NULL)
		path = sv_cstr(sender);
	else if (path.p == NULL && sv_starts(text, "From ")) {
		text = sv_sub(text, 5, text.len);
		path = sv_word(&text, &word) ? word : SV_NULL;
	}
	if (path.len > 1 && path.p[0] == '<')
		path = sv_sub(path, 1, path.len - 1);
	m->sender = m->return_path = sv_taint(path);
	d->env.message_loaded = true;
}

static int
load(struct dry *d)
{
	struct exim_conf_source src;
	struct err err = ERR_INIT;
	int rc;

	/* As the daemons read it: what it includes or runs is its user's. */
	if (box_act(d->box, &err) == -1)
		return (complain(&err));
	box_exim_source(d->box, &src);
	rc = exim_conf_load(&d->conf, &src, NULL, &err);
	os_act_back();
	if (rc == -1)
		return (complain(&err));
	exim_world_posix(&d->world);
	box_world(d->box, &d->world);
	d->world.run = no_run;
	d->world.readsocket = no_socket;
	d->world.perl = NULL;
	d->world.dlfunc = NULL;
	d->g = d->conf->g;
	exim_conf_env(d->conf, &d->env);
	d->env.g = &d->g;
	d->env.arena = d->arena;
	d->env.world = &d->world;
	d->env.session = &d->session;
	d->env.msg = &d->msg;
	d->session.local = true;
	d->ops = (struct route_ops){ .mx = no_mx, .addrs = some_address, .is_local = not_local, .trace = told, .note = told,
	    .filter = filter_tried };
	return (0);
}

int
explain_user(const char *who, const char *sender, struct sv text)
{
	struct dry d = { .box = open_box(NULL) };
	struct sb sb = SB_INIT(2 * MAIL_ADDRESS_MAX);
	struct mail_address m;
	struct err err = ERR_INIT;
	int rc = 1;

	if (d.box == NULL)
		return (1);
	d.arena = arena_new(0);
	if (mail_address_parse(sv_cstr(who), ADDR_FLAGS, d.arena, &m, &err) == -1)
		rc = complain(&err);
	else if ((rc = load(&d)) == 0) {
		d.env.caches = exim_caches_new();
		take_message(&d, text, sender);
		mail_address_put(&sb, &m);
		if (m.domain.len == 0)
			sb_addf(&sb, "@" SV_FMT, SV_ARG(d.g.qualify_recipient));
		rc = route(&d, arena_sv(d.arena, sv_taint(sb_sv(&sb))));
		exim_caches_free(&d.env.caches);
	}
	sb_free(&sb);
	exim_conf_unref(&d.conf);
	arena_free(&d.arena);
	box_free((struct box **)(void *)&d.box);
	return (rc);
}
