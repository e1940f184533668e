/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mainlog lines as Exim writes them (chapter 53 of its manual): =>, ->, **, ==, <= and
 * Completed, so that Exim's log tools read them.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "deliver/event.h"
#include "os/time.h"
#include "vqueued_int.h"

#define LINE_MAX_LOG	8192

void
vlog(struct vq *vq, const char *fmt, ...)
{
	char line[LINE_MAX_LOG];
	va_list ap;

	(void)vq;
	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	eximlog_write(EXIMLOG_MAIN, "%s", line);
}

static const struct route_addr *
top_of(const struct route_addr *a)
{
	while (a->parent != NULL)
		a = a->parent;
	return (a);
}

/* "3s" as Exim writes times of log lines; with millisec "3.021s". */
static void
add_time(struct sb *out, const struct vq *vq, const char *name, int64_t ms)
{
	int64_t s = ms / 1000;

	sb_addf(out, " %s=", name);
	if (ms < 0)
		ms = s = 0;
	if (EXIM_LOGSEL_ON(vq->conf->log_selector, millisec) && s < 60)
		sb_addf(out, "%lld.%03llds", (long long)s, (long long)(ms % 1000));
	else if (s < 60)
		sb_addf(out, "%llds", (long long)s);
	else if (s < 3600)
		sb_addf(out, "%lldm%llds", (long long)(s / 60), (long long)(s % 60));
	else
		sb_addf(out, "%lldh%lldm%llds", (long long)(s / 3600), (long long)(s / 60 % 60), (long long)(s % 60));
}

/* The address of a line: the local part for the store, else all; then the original where it differs. */
static void
add_address(struct sb *out, const struct dlv *d)
{
	const struct route_delivery *rd = d->rd;
	const struct route_addr *top = top_of(rd->addr);
	bool local = rd->transport != NULL && rd->transport->local;
	bool parents = EXIM_LOGSEL_ON(d->m->vq->conf->log_selector, all_parents);

	if (rd->kind == ROUTE_DISCARD) {
		sb_add(out, rd->text.len > 0 ? rd->text : SV_LIT(":blackhole:"));
	} else if (rd->kind == ROUTE_REPLY) {
		sb_addf(out, ">" SV_FMT, SV_ARG(rd->text));
	} else if (rd->kind == ROUTE_PIPE || rd->kind == ROUTE_FILE || rd->kind == ROUTE_DIRECTORY) {
		sb_adds(out, rd->kind == ROUTE_PIPE && !sv_starts(rd->text, "|") ? "|" : "");
		sb_add(out, rd->text);
	} else if (local && rd->transport->drv == EXIM_TRANSPORT_DRV_PROCMAIL && d->as.len > 0) {
		sb_add(out, d->as);		/* where the user's rules put it */
	} else if (local) {
		sb_add(out, rd->prefix);
		sb_add(out, rd->local_part);
		sb_add(out, rd->suffix);
	} else {
		sb_add(out, d->as.len > 0 ? d->as : rd->addr->address);
	}
	if (parents)
		for (const struct route_addr *a = rd->addr->parent; a != NULL && a != top; a = a->parent)
			sb_addf(out, " (" SV_FMT ")", SV_ARG(a->address));
	if (local || rd->kind == ROUTE_DISCARD || parents || rd->addr != top || d->as.len > 0)
		sb_addf(out, " <" SV_FMT ">", SV_ARG(top->address));
}

static void
add_queue(struct sb *out, struct sv name)
{
	if (name.len > 0)
		sb_addf(out, " Q=" SV_FMT, SV_ARG(name));
}

/* A deferral tells nothing of envelopes. */
static void
add_where(struct sb *out, const struct dlv *d, bool deferred)
{
	const struct vq *vq = d->m->vq;
	uint64_t sel = vq->conf->log_selector;

	if (EXIM_LOGSEL_ON(sel, sender_on_delivery) && !deferred)
		sb_addf(out, " F=<" SV_FMT ">", SV_ARG(d->m->env.sender));
	add_queue(out, d->m->env.queue);
	if (EXIM_LOGSEL_ON(sel, return_path_on_delivery) && !deferred)
		sb_addf(out, " P=<" SV_FMT ">", SV_ARG(d->sender.p != NULL ? d->sender :
		    d->rd->errors_to_set ? d->rd->errors_to : d->m->env.sender));
	if (d->rd->router != NULL)
		sb_addf(out, " R=%s", d->rd->router->d.name);
	if (d->rd->transport != NULL)
		sb_addf(out, " T=%s", d->rd->transport->d.name);
}

void
log_delivered(const struct dlv *d, const char *tail)
{
	const struct vq *vq = d->m->vq;
	uint64_t sel = vq->conf->log_selector;
	struct sb out = SB_INIT(LINE_MAX_LOG);

	sb_addf(&out, "%s %s ", d->m->env.id, d->also ? "->" : "=>");
	add_address(&out, d);
	add_where(&out, d, false);
	if (EXIM_LOGSEL_ON(sel, delivery_size))
		sb_addf(&out, " S=%llu", (unsigned long long)(d->len + d->prefix.len));
	if (tail != NULL)
		sb_adds(&out, tail);
	if (EXIM_LOGSEL_ON(sel, queue_time))
		add_time(&out, vq, "QT", os_wall_us() / 1000 - d->m->env.received_ms);
	if (EXIM_LOGSEL_ON(sel, deliver_time))
		add_time(&out, vq, "DT", (os_mono_us() - d->m->started_us) / 1000);
	eximlog_write(EXIMLOG_MAIN | EXIMLOG_DELIVERY, "%s", sb_cstr(&out));
	sb_free(&out);
}

void
log_not_delivered(const struct dlv *d, const char *mark, const struct err *err, const char *tail)
{
	struct sb out = SB_INIT(LINE_MAX_LOG);

	sb_addf(&out, "%s %s ", d->m->env.id, mark);
	add_address(&out, d);
	add_where(&out, d, mark[0] == '=');
	if (mark[0] == '=')
		sb_addf(&out, " defer (%lld)", (long long)d->number);
	/* The system's words, the host, our own. */
	if (mark[0] == '=' && d->words == NULL && *deliver_sys_words(d->number) != '\0')
		sb_addf(&out, ": %s", deliver_sys_words(d->number));
	if (tail != NULL)
		sb_adds(&out, tail);
	sb_addf(&out, ": %s", mark[0] == '=' && d->words != NULL ? d->words : err->text);
	eximlog_write(EXIMLOG_MAIN | EXIMLOG_DELIVERY, "%s", sb_cstr(&out));
	sb_free(&out);
}

void
log_address(const struct msg *m, const char *mark, struct sv address, uint32_t rcpt, const char *router,
    const struct err *err, const char *how)
{
	struct sb out = SB_INIT(LINE_MAX_LOG);
	struct sv top = m->env.rcpts[rcpt].addr;

	sb_addf(&out, "%s %s " SV_FMT, m->env.id, mark, SV_ARG(address));
	if (!sv_eq(top, address))
		sb_addf(&out, " <" SV_FMT ">", SV_ARG(top));
	add_queue(&out, m->env.queue);
	if (router != NULL)
		sb_addf(&out, " R=%s", router);
	if (how != NULL)
		sb_addf(&out, " %s (-1)", how);
	sb_addf(&out, ": %s", err->text);
	eximlog_write(EXIMLOG_MAIN, "%s", sb_cstr(&out));
	sb_free(&out);
}

void
log_completed(const struct msg *m)
{
	struct sb out = SB_INIT(256);

	sb_addf(&out, "%s Completed", m->env.id);
	if (EXIM_LOGSEL_ON(m->vq->conf->log_selector, queue_time_overall))
		add_time(&out, m->vq, "QT", os_wall_us() / 1000 - m->env.received_ms);
	eximlog_write(EXIMLOG_MAIN, "%s", sb_cstr(&out));
	sb_free(&out);
}

void
log_injected(const struct vq *vq, const struct spool_envelope *e)
{
	struct sb out = SB_INIT(LINE_MAX_LOG);

	sb_addf(&out, "%s <= ", e->id);
	if (e->sender.len == 0)
		sb_adds(&out, "<>");
	else
		sb_add(&out, e->sender);
	if (e->parent.len > 0)
		sb_addf(&out, " R=" SV_FMT, SV_ARG(e->parent));
	if (e->ident.len > 0)
		sb_addf(&out, " U=" SV_FMT, SV_ARG(e->ident));
	sb_addf(&out, " P=" SV_FMT " S=%llu", SV_ARG(e->protocol), (unsigned long long)e->size);
	add_queue(&out, e->queue);
	if (e->message_id.len > 0 && EXIM_LOGSEL_ON(vq->conf->log_selector, msg_id))
		sb_addf(&out, " id=" SV_FMT, SV_ARG(e->message_id));
	eximlog_write(EXIMLOG_MAIN, "%s", sb_cstr(&out));
	sb_free(&out);
}

/* X=, CV=, DN=, A= and how the message went, by the log selector. */
static void
add_how(struct sb *out, const struct deliver_conn *c, uint64_t sel)
{
	const char *cv = deliver_verified(c), *dn = deliver_peerdn(c);
	struct sv id = deliver_auth_id(c);

	if (cv != NULL) {
		if (EXIM_LOGSEL_ON(sel, tls_cipher))
			sb_addf(out, " X=%s%s", deliver_cipher(c),
			    EXIM_LOGSEL_ON(sel, tls_resumption) && deliver_tls_resumed(c) ? "*" : "");
		if (EXIM_LOGSEL_ON(sel, tls_certificate_verified))
			sb_addf(out, " CV=%s", cv);
		if (EXIM_LOGSEL_ON(sel, tls_peerdn) && *dn != '\0')
			sb_addf(out, " DN=\"%s\"", dn);
	}
	if (deliver_auth_name(c) != NULL)
		sb_addf(out, " A=%s%s" SV_FMT, deliver_auth_name(c), id.len > 0 ? ":" : "", SV_ARG(id));
	if (EXIM_LOGSEL_ON(sel, pipelining) && deliver_piped(c))
		sb_adds(out, " L");
	if (deliver_each(c))
		sb_adds(out, " PRDR");
	if (deliver_chunked(c))
		sb_adds(out, " K");
}

const char *
log_host_tail(struct vq *vq, struct arena *a, const struct deliver_host *h, const struct deliver_conn *c,
    const char *confirmation)
{
	uint64_t sel = vq->conf->log_selector;
	struct sb out = SB_INIT(2048);
	char ip[NET_ADDR_TEXT_MAX];
	const char *r;

	sb_addf(&out, " H=%s%s [%s]", h->name, h->dnssec && EXIM_LOGSEL_ON(sel, dnssec) ? " DS" : "", net_addr_text(&h->addr, ip));
	if (EXIM_LOGSEL_ON(sel, outgoing_port))
		sb_addf(&out, ":%u", h->addr.port);
	/* Further messages over one connection are marked (section 53.7 of Exim's manual). */
	if (c != NULL && deliver_messages(c) > 1)
		sb_addc(&out, '*');
	if (c != NULL && EXIM_LOGSEL_ON(sel, incoming_interface) && EXIM_LOGSEL_ON(sel, outgoing_interface)) {
		struct net_addr bare = *deliver_local(c);

		bare.port = 0;
		sb_addf(&out, " I=[%s]", net_addr_text(&bare, ip));
		if (EXIM_LOGSEL_ON(sel, outgoing_port))
			sb_addf(&out, ":%u", deliver_local(c)->port);
	}
	if (c != NULL && EXIM_LOGSEL_ON(sel, proxy) && deliver_proxy(c) != NULL) {
		sb_addf(&out, " PRX=[%s]", net_addr_text(deliver_proxy(c), ip));
		if (EXIM_LOGSEL_ON(sel, outgoing_port))
			sb_addf(&out, ":%u", deliver_proxy(c)->port);
	}
	if (c != NULL)
		add_how(&out, c, sel);
	if (confirmation != NULL && EXIM_LOGSEL_ON(sel, smtp_confirmation)) {
		sb_adds(&out, " C=\"");
		for (const char *p = confirmation; *p != '\0'; p++) {
			if (*p == '"')
				sb_addc(&out, '\\');
			sb_addc(&out, *p);
		}
		sb_addc(&out, '"');
	}
	r = arena_str(a, sb_cstr(&out));
	sb_free(&out);
	return (r);
}
