/* SPDX-License-Identifier: BSD-2-Clause */
/* The modifiers of ACLs: what they order is kept in struct exim_acl_effects. */
#include "base/num.h"
#include "base/sb.h"
#include "exim/acl_int.h"

#define HEADERS_MAX	1000		/* of one message, and 256 KiB of them */
#define HEADERS_BYTES	(256 * 1024)

/* ---- headers ---- */

static bool
header_char(char c)
{
	return (c > 32 && c < 127 && c != ':');
}

/* Does <v> begin like "Name:"? */
static bool
is_header(struct sv v)
{
	size_t i = 0;

	while (i < v.len && header_char(v.p[i]))
		i++;
	if (i == 0)
		return (false);
	while (i < v.len && (v.p[i] == ' ' || v.p[i] == '\t'))
		i++;
	return (i < v.len && v.p[i] == ':');
}

static enum exim_acl_place
take_place(struct sv *v)
{
	static const struct { const char *word; enum exim_acl_place place; } p[] = {
		{ ":at_start_rfc:", EXIM_HDR_AT_START_RFC }, { ":at_start:", EXIM_HDR_AT_START },
		{ ":after_received:", EXIM_HDR_AFTER_RECEIVED }, { ":at_end:", EXIM_HDR_AT_END },
	};

	for (size_t i = 0; i < sizeof(p) / sizeof(p[0]); i++)
		if (sv_starts(*v, p[i].word)) {
			*v = sv_trim(sv_sub(*v, strlen(p[i].word), v->len));
			return (p[i].place);
		}
	return (EXIM_HDR_AT_END);
}

/* $headers_added grows by a line: all of them, without the last newline.  In room that doubles, since they may be a thousand. */
static void
show_added(struct acl_state *st, struct sv line)
{
	struct exim_acl_effects *fx = st->run->fx;
	struct sv *all = &fx->headers_added;
	size_t need = all->len + 1 + line.len + 1;
	char *p = (char *)(uintptr_t)all->p;

	if (all->len == 0 || need > fx->headers_room) {
		fx->headers_room = 2 * need;
		p = arena_alloc(fx->arena != NULL ? fx->arena : st->env->arena, fx->headers_room);
		if (all->len > 0)
			memcpy(p, all->p, all->len);
	}
	if (all->len > 0)
		p[all->len++] = '\n';
	memcpy(p + all->len, line.p, line.len);
	*all = sv_taint(sv_from(p, all->len + line.len));
	p[all->len] = '\0';
	if (st->env->msg != NULL)
		st->env->msg->headers_added = *all;
}

static void
add_one(struct acl_state *st, struct sv line)
{
	struct exim_acl_effects *fx = st->run->fx;
	struct exim_acl_header h;
	struct sb sb = SB_INIT(EXIM_LINE_MAX);

	h.place = take_place(&line);
	if (!is_header(line))
		sb_adds(&sb, "X-ACL-Warn: ");
	sb_add(&sb, line);
	sb_addc(&sb, '\n');
	for (size_t i = 0; i < fx->headers.len; i++)
		if (sv_eq(fx->headers.p[i].text, sb_sv(&sb))) {
			sb_free(&sb);
			return;
		}
	if (fx->headers.len < HEADERS_MAX && fx->headers_added.len + sb.len < HEADERS_BYTES) {
		h.text = acl_keep(st, sb_sv(&sb));
		h.text.tainted = line.tainted;
		vec_push(&fx->headers, h);
		show_added(st, sv_sub(h.text, 0, h.text.len - 1));
	}
	sb_free(&sb);
}

void
acl_add_header(struct acl_state *st, struct sv text)
{
	size_t start = 0;

	if (st->run->fx == NULL)
		return;
	while (text.len > 0 && text.p[0] == '\n')
		text = sv_sub(text, 1, text.len);
	while (text.len > 0 && text.p[text.len - 1] == '\n')
		text.len--;
	for (size_t i = 0; i <= text.len && text.len > 0; i++) {
		bool end = i == text.len || (text.p[i] == '\n' && text.p[i + 1] != ' ' && text.p[i + 1] != '\t');

		if (!end)
			continue;
		if (i > start)
			add_one(st, sv_sub(text, start, i));
		start = i + 1;
	}
}

static void
remove_header(struct acl_state *st, struct sv arg)
{
	struct exim_acl_effects *fx = st->run->fx;
	struct sv item;
	int sep = 0;

	while (fx != NULL && exim_list_next(&arg, &sep, st->env->arena, &item))
		if (item.len > 0 && fx->remove.len < HEADERS_MAX)
			vec_push(&fx->remove, acl_keep(st, item));
}

/* ---- logs ---- */

static bool
log_names(struct sv list, char sep, unsigned *logs)
{
	struct sv w;

	*logs = 0;
	while (sv_next(&list, sep, &w)) {
		w = sv_trim(w);
		if (sv_eqs(w, "main"))
			*logs |= EXIM_LOG_MAIN;
		else if (sv_eqs(w, "reject"))
			*logs |= EXIM_LOG_REJECT;
		else if (sv_eqs(w, "panic"))
			*logs |= EXIM_LOG_PANIC;
		else if (w.len > 0)
			return (false);
	}
	return (true);
}

static enum acl_rc
logwrite(struct acl_state *st, struct sv arg)
{
	struct sb sb = SB_INIT(EXIM_LINE_MAX);
	unsigned logs = EXIM_LOG_MAIN;

	if (arg.len > 0 && arg.p[0] == ':') {
		struct sv rest = sv_sub(arg, 1, arg.len);
		ptrdiff_t end = sv_chr(rest, ':');

		if (end < 0 || !log_names(sv_sub(rest, 0, (size_t)end), ',', &logs)) {
			acl_log(st, EXIM_LOG_MAIN | EXIM_LOG_PANIC, "unknown log name in \"" SV_FMT "\" in \"logwrite\" in %s ACL",
			    SV_ARG(arg), exim_acl_where_name(st->run->where));
			return (RC_OK);
		}
		arg = sv_sub(rest, (size_t)end + 1, rest.len);
	}
	while (arg.len > 0 && sv_isspace(arg.p[0]))
		arg = sv_sub(arg, 1, arg.len);
	for (size_t i = 0; i < arg.len; i++) {
		static const char from[] = "\n\r\b\v\f", to[] = "nrbvf";
		unsigned char c = (unsigned char)arg.p[i];
		const char *at = c == '\0' ? NULL : strchr(from, c);

		if (at != NULL)
			sb_addf(&sb, "\\%c", to[at - from]);
		else if (c == '\t' || (c >= ' ' && c < 127) || (c > 127 && st->env->g != NULL && st->env->g->print_topbitchars))
			sb_addc(&sb, (char)c);
		else
			sb_addf(&sb, "\\%03o", c);
	}
	acl_log(st, logs == 0 ? EXIM_LOG_MAIN : logs, SV_FMT, SV_ARG(sb_sv(&sb)));
	sb_free(&sb);
	return (RC_OK);
}

/* ---- others ---- */

static enum acl_rc
delay(struct acl_state *st, struct sv arg)
{
	const struct exim_acl_ops *ops = st->run->ops;
	int64_t secs;

	if (!exim_parse_time(arg, &secs))
		return (acl_wrong(st, "syntax error in argument for \"delay\" modifier: \"" SV_FMT "\" is not a time value",
		    SV_ARG(arg)));
	if (ops != NULL && ops->delay != NULL && !st->run->host_checking && secs > 0)
		ops->delay(st->run->arg, st->env, secs);
	return (RC_OK);
}

static enum acl_rc
set(struct acl_state *st, const struct acl_item *it, struct sv arg)
{
	struct exim_vars *v = it->var.p[0] == 'c' ? st->env->acl_c : st->env->acl_m;

	if (v != NULL)
		exim_vars_set(v, it->var, arg);
	return (RC_OK);
}

static enum acl_rc
udpsend(struct acl_state *st, struct sv arg)
{
	const struct exim_acl_ops *ops = st->run->ops;
	struct sv host, port;
	int64_t n;
	int sep = 0;

	if (!exim_list_next(&arg, &sep, st->env->arena, &host) || host.len == 0)
		return (acl_wrong(st, "missing destination host in \"udpsend\" modifier"));
	if (!exim_list_next(&arg, &sep, st->env->arena, &port) || port.len == 0)
		return (acl_wrong(st, "missing destination port in \"udpsend\" modifier"));
	if (!num_parse(port, 1, 65535, &n))
		return (acl_wrong(st, "bad destination port in \"udpsend\" modifier"));
	if (sv_trim(arg).len == 0)
		return (acl_wrong(st, "missing datagram content in \"udpsend\" modifier"));
	if (ops != NULL && ops->udpsend != NULL)
		(void)ops->udpsend(st->run->arg, host, (int)n, sv_trim(arg));
	return (RC_OK);
}

enum acl_rc
acl_modifier(struct acl_state *st, const struct acl_item *it, struct sv arg)
{
	switch (it->id) {
	case COND_add_header:
		acl_add_header(st, arg);
		return (RC_OK);
	case COND_remove_header:
		remove_header(st, arg);
		return (RC_OK);
	case COND_control:
		return (acl_control(st, arg));
	case COND_delay:
		return (delay(st, arg));
	case COND_log_reject_target:
		if (!log_names(arg, ':', &st->run->log_targets)) {
			st->run->log_targets = EXIM_LOG_MAIN | EXIM_LOG_REJECT;
			acl_log(st, EXIM_LOG_MAIN | EXIM_LOG_PANIC,
			    "unknown log name \"" SV_FMT "\" in \"log_reject_target\" in %s ACL",
			    SV_ARG(arg), exim_acl_where_name(st->run->where));
		}
		return (RC_OK);
	case COND_logwrite:
		return (logwrite(st, arg));
	case COND_queue:
		if (arg.tainted)
			return (acl_wrong(st, "Tainted name '" SV_FMT "' for queue not permitted", SV_ARG(arg)));
		if (sv_chr(arg, '/') >= 0)
			return (acl_wrong(st, "Directory separator not permitted in queue name: '" SV_FMT "'", SV_ARG(arg)));
		if (st->run->fx != NULL)
			st->run->fx->queue_name = acl_keep(st, arg);
		if (st->env->msg != NULL && st->run->fx != NULL)
			st->env->msg->queue_name = st->run->fx->queue_name;
		return (RC_OK);
	case COND_set:
		return (set(st, it, arg));
	case COND_udpsend:
		return (udpsend(st, arg));
	default:	/* continue; bmi_optin */
		return (RC_OK);
	}
}

/* ---- control ---- */

#define W_MSG		(W(MAIL) | W(RCPT) | W(PREDATA) | W(DATA) | W(MIME) | W(NOTSMTP) | W(NOTSMTP_MIME) | W(PRDR))
#define W_SESSION	(W_MSG & ~(W(NOTSMTP) | W(NOTSMTP_MIME)))
#define W_EARLY		(W(CONNECT) | W(HELO))
#define W_NOT_LOCAL	(W_ALL & ~W_NOTSMTP)

static const struct { const char *name; bool has_option; unsigned where; } controls[EXIM_CTL_COUNT] = {
	[EXIM_CTL_ALLOW_AUTH_UNADVERTISED] = { "allow_auth_unadvertised", false, W_EARLY },
	[EXIM_CTL_BMI_RUN] = { "bmi_run", false, W_ALL },
	[EXIM_CTL_CASEFUL_LOCAL_PART] = { "caseful_local_part", false, W(RCPT) },
	[EXIM_CTL_CASELOWER_LOCAL_PART] = { "caselower_local_part", false, W(RCPT) },
	[EXIM_CTL_CUTTHROUGH_DELIVERY] = { "cutthrough_delivery", true, W_ALL & ~(W(PRDR) | W_NOTSMTP) },
	[EXIM_CTL_DEBUG] = { "debug", true, W_ALL },
	[EXIM_CTL_DKIM_DISABLE_VERIFY] = { "dkim_disable_verify", false, W_ALL & ~(W(DATA) | W_NOTSMTP) },
	[EXIM_CTL_DMARC_DISABLE_VERIFY] = { "dmarc_disable_verify", false, W_ALL & ~(W(DATA) | W_NOTSMTP) },
	[EXIM_CTL_DMARC_ENABLE_FORENSIC] = { "dmarc_enable_forensic", false, W_ALL & ~(W(DATA) | W_NOTSMTP) },
	[EXIM_CTL_DSCP] = { "dscp", true, W_NOT_LOCAL & ~W(NOTQUIT) },
	[EXIM_CTL_ENFORCE_SYNC] = { "enforce_sync", false, W_NOT_LOCAL },
	[EXIM_CTL_ERROR] = { "error", false, W_ALL },
	[EXIM_CTL_FAKEDEFER] = { "fakedefer", true, W_SESSION },
	[EXIM_CTL_FAKEREJECT] = { "fakereject", true, W_SESSION },
	[EXIM_CTL_FREEZE] = { "freeze", true, W_MSG },
	[EXIM_CTL_NO_CALLOUT_FLUSH] = { "no_callout_flush", false, W_NOT_LOCAL },
	[EXIM_CTL_NO_DELAY_FLUSH] = { "no_delay_flush", false, W_NOT_LOCAL },
	[EXIM_CTL_NO_ENFORCE_SYNC] = { "no_enforce_sync", false, W_NOT_LOCAL },
	[EXIM_CTL_NO_MBOX_UNSPOOL] = { "no_mbox_unspool", false, W_MSG },
	[EXIM_CTL_NO_MULTILINE_RESPONSES] = { "no_multiline_responses", false, W_NOT_LOCAL },
	[EXIM_CTL_NO_PIPELINING] = { "no_pipelining", false, W_NOT_LOCAL },
	[EXIM_CTL_QUEUE] = { "queue", true, W_MSG },
	[EXIM_CTL_QUEUE_ONLY] = { "queue_only", true, W_MSG },
	[EXIM_CTL_SUBMISSION] = { "submission", true, W(MAIL) | W(RCPT) | W(PREDATA) },
	[EXIM_CTL_SUPPRESS_LOCAL_FIXUPS] = { "suppress_local_fixups", false,
	    W(MAIL) | W(RCPT) | W(PREDATA) | W(NOTSMTP_START) },
	[EXIM_CTL_UTF8_DOWNCONVERT] = { "utf8_downconvert", true, W_ALL & ~W(VRFY) },
	[EXIM_CTL_WELLKNOWN] = { "wellknown", true, W(WELLKNOWN) },
};

/* submission/sender_retain/domain=x/name=y */
static enum acl_rc
submission(struct acl_state *st, struct exim_acl_effects *fx, struct sv opts)
{
	struct sv o;

	while (sv_next(&opts, '/', &o)) {
		if (sv_eqs(o, "sender_retain"))
			fx->sender_retain = true;
		else if (sv_starts(o, "domain="))
			fx->submission_domain = acl_keep(st, sv_sub(o, 7, o.len));
		else if (sv_starts(o, "name=")) {
			/* A name may hold slashes: it is the last option. */
			struct sv name = sv_from(o.p + 5, (size_t)(opts.p == NULL ? o.p + o.len - (o.p + 5) :
			    opts.p + opts.len - (o.p + 5)));

			fx->submission_name = acl_keep(st, name);
			break;
		} else if (o.len > 0)
			return (RC_FAIL);
	}
	return (RC_OK);
}

static enum acl_rc
apply_control(struct acl_state *st, enum exim_acl_control c, struct sv opts)
{
	struct exim_acl_effects *fx = st->run->fx;

	fx->ctl[c] = true;
	fx->ctl_arg[c] = acl_keep(st, opts);
	switch (c) {
	case EXIM_CTL_ENFORCE_SYNC:
		fx->ctl[EXIM_CTL_NO_ENFORCE_SYNC] = false;
		return (RC_OK);
	case EXIM_CTL_NO_ENFORCE_SYNC:
		fx->ctl[EXIM_CTL_ENFORCE_SYNC] = false;
		return (RC_OK);
	case EXIM_CTL_CASEFUL_LOCAL_PART:
		fx->caseful = true;
		if (st->env->addr != NULL && st->run->rcpt_local.p != NULL)
			st->env->addr->local_part = st->run->rcpt_local;
		return (RC_OK);
	case EXIM_CTL_CASELOWER_LOCAL_PART:
		fx->caseful = false;
		if (st->env->addr != NULL)
			st->env->addr->local_part = arena_lower(st->env->arena, st->env->addr->local_part);
		return (RC_OK);
	case EXIM_CTL_FAKEDEFER:
	case EXIM_CTL_FAKEREJECT:
		fx->fake_code = c == EXIM_CTL_FAKEREJECT ? 550 : 450;
		fx->fake_msg = acl_keep(st, acl_wrap(st->env->arena,
		    opts.len > 0 ? opts : SV_LIT("Your message has been rejected but is "
		    "being kept for evaluation.\nIf it was a legitimate message, it may still be delivered to the target "
		    "recipient(s).")));
		return (RC_OK);
	case EXIM_CTL_FREEZE:
		if (opts.len > 0 && !sv_eqs(opts, "no_tell"))
			return (RC_FAIL);
		fx->freeze_no_tell = opts.len > 0;
		return (RC_OK);
	case EXIM_CTL_QUEUE:
	case EXIM_CTL_QUEUE_ONLY:
		fx->queue_first_pass = sv_eqs(opts, "first_pass_route");
		return (RC_OK);
	case EXIM_CTL_SUBMISSION:
		return (submission(st, fx, opts));
	default:
		return (RC_OK);
	}
}

static enum acl_rc
control_syntax(struct acl_state *st, struct sv arg)
{
	return (acl_wrong(st, "syntax error in \"control=" SV_FMT "\"", SV_ARG(arg)));
}

enum acl_rc
acl_control(struct acl_state *st, struct sv arg)
{
	struct sv name, opts = SV_LIT("");
	size_t i = 0, c;

	arg = sv_trim(arg);
	while (i < arg.len && (sv_isalnum(arg.p[i]) || arg.p[i] == '_'))
		i++;
	name = sv_sub(arg, 0, i);
	if (i < arg.len && (arg.p[i] == '/' || arg.p[i] == '='))
		opts = sv_sub(arg, i + 1, arg.len);
	for (c = 0; c < EXIM_CTL_COUNT; c++)
		if (sv_eqs(name, controls[c].name))
			break;
	if (c == EXIM_CTL_COUNT)
		return (control_syntax(st, arg));
	if (i < arg.len && (arg.p[i] != '/' && arg.p[i] != '='))
		return (control_syntax(st, arg));
	if (opts.len > 0 && !controls[c].has_option)
		return (control_syntax(st, arg));
	if ((controls[c].where & 1u << st->run->where) == 0 && st->run->where != EXIM_WHERE_UNKNOWN)
		return (acl_wrong(st, "cannot use \"control=%s\" in %s ACL",
		    controls[c == EXIM_CTL_QUEUE_ONLY ? EXIM_CTL_QUEUE : c].name, exim_acl_where_name(st->run->where)));
	if (c == EXIM_CTL_ERROR)
		return (RC_ERROR);
	if (c == EXIM_CTL_DSCP && opts.len == 0)
		return (control_syntax(st, arg));
	if (c == EXIM_CTL_UTF8_DOWNCONVERT && opts.len > 0 && !sv_eqs(opts, "0") && !sv_eqs(opts, "1") && !sv_eqs(opts, "-1"))
		return (acl_wrong(st, "bad option value for control=utf8_downconvert"));
	if (st->run->fx != NULL && apply_control(st, (enum exim_acl_control)c, opts) != RC_OK)
		return (control_syntax(st, arg));
	if (st->run->ops != NULL && st->run->ops->control != NULL)
		st->run->ops->control(st->run->arg, st->env, (enum exim_acl_control)c, opts);
	return (RC_OK);
}
