/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * autoreply (chapter 27 of Exim's manual): what a reply would be, by the transport's options or a
 * filter's words; and the message itself, once it is known that it shall go.
 */
#include <string.h>
#include <time.h>

#include "exim/extract.h"
#include "mail/address.h"
#include "mail/date.h"
#include "mail/header.h"
#include "mail/msgid.h"
#include "os/file.h"
#include "transport/transport_int.h"

#define OWN(name)	(&d->t->d.own[EXIM_AUTOREPLY_##name])
#define TEXT_MAX	(16 * 1024 * 1024)
#define FILE_MAX	(900 * 1024)

/* Everything that a reply says. */
struct parts {
	struct sv	 from, reply_to, to, cc, bcc, subject, headers, text, file, log, once;
	bool		 file_expand, return_message, dropped;
	int64_t		 once_repeat;
};

/* ---- collecting ---- */

/* Control characters as escapes. */
static const char *
escaped(struct arena *a, struct sv v)
{
	struct sb out = SB_INIT(8192);
	const char *r;

	for (size_t i = 0; i < v.len; i++) {
		unsigned char c = (unsigned char)v.p[i];

		if (c == '\n' || c == '\r' || c == '\t')
			sb_addf(&out, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
		else if (c < ' ' || c >= 127)
			sb_addf(&out, "\\%03o", c);
		else
			sb_addc(&out, (char)c);
	}
	r = arena_str(a, sb_cstr(&out));
	sb_free(&out);
	return (r);
}

/* Header text: printing characters, and newlines only where a blank follows. */
static int
check_printing(struct prep *p, struct sv v, const struct exim_value *opt, bool lines)
{
	for (size_t i = 0; i < v.len; i++) {
		unsigned char c = (unsigned char)v.p[i];
		bool folded = c == '\n' && i + 1 < v.len && (v.p[i + 1] == ' ' || v.p[i + 1] == '\t');

		if (c >= 127 ? c != 127 : c >= ' ' || c == '\t' || folded || (lines && c == '\n'))
			continue;
		return (prep_fail(p, TRANSPORT_FAIL, 0, "Expansion of \"%s\" in %s transport contains non-printing character %d",
		    escaped(p->a, opt->str != NULL ? exim_str_text(opt->str) : v), p->name, c));
	}
	return (0);
}

static void
from_filter(const struct filter_mail *m, struct parts *x)
{
	*x = (struct parts){ .from = m->from, .reply_to = m->reply_to, .to = m->to, .cc = m->cc, .bcc = m->bcc,
	    .subject = m->subject, .headers = m->extra_headers, .text = m->text, .file = m->file, .log = m->log, .once = m->once,
	    .file_expand = m->expand, .return_message = m->return_message,
	    .once_repeat = m->once_repeat_set ? m->once_repeat : 0 };
}

/* What cannot be expanded is a failure here. */
static int
expand(struct prep *p, const struct exim_value *v, struct sv *out)
{
	struct err err = ERR_INIT;

	*out = v->text;
	if (v->str == NULL || exim_expand(v->str, p->env, out, &err) == EXIM_OK)
		return (0);
	*out = SV_NULL;
	return (prep_fail(p, TRANSPORT_FAIL, 0, "Expansion of \"" SV_FMT "\" failed in %s transport: %s", SV_ARG(exim_str_text(v->str)),
	    p->name, err.text[0] == '\0' ? "forced failure" : err.text));
}

static int
from_options(struct prep *p, struct parts *x)
{
	const struct transport_delivery *d = p->d;
	struct sv repeat = SV_NULL;
	const struct { const struct exim_value *v; struct sv *to; } t[] = {
		{ OWN(from), &x->from }, { OWN(reply_to), &x->reply_to }, { OWN(to), &x->to }, { OWN(cc), &x->cc },
		{ OWN(bcc), &x->bcc }, { OWN(subject), &x->subject }, { OWN(headers), &x->headers }, { OWN(text), &x->text },
		{ OWN(file), &x->file }, { OWN(log), &x->log }, { OWN(once), &x->once }, { OWN(once_repeat), &repeat },
	};
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		if (expand(p, t[i].v, t[i].to) == -1)
			return (-1);
	if (repeat.len > 0 && !exim_parse_time(sv_trim(repeat), &x->once_repeat))
		return (prep_fail(p, TRANSPORT_DEFER, TRANSPORT_E_EXPAND, "Invalid time value \"" SV_FMT "\" for \"once_repeat\" in %s "
		    "transport", SV_ARG(repeat), p->name));
	x->file_expand = OWN(file_expand)->num != 0;
	x->return_message = OWN(return_message)->num != 0;
	return (0);
}

/* never_mail: such addresses go from the list; what is left, or an empty text. */
static int
drop_never(struct prep *p, struct sv *list, bool *any)
{
	const struct transport_delivery *d = p->d;
	const struct exim_value *never = OWN(never_mail);
	struct mail_addrlist l;
	struct sb out = SB_INIT(TEXT_MAX);
	bool dropped = false;

	if (never->list == NULL || list->len == 0)
		return (0);
	mail_addrlist_read(*list, p->a, &l);
	for (size_t i = 0; i < l.n; i++) {
		struct err err = ERR_INIT;
		struct sb one = SB_INIT(4096);
		bool yes = false;

		if (l.v[i].item != MAIL_ITEM_ADDRESS)
			continue;
		mail_address_put(&one, &l.v[i]);
		if (exim_match_address(never->list, p->env, sb_sv(&one), false, &yes, NULL, &err) == EXIM_DEFER) {
			sb_free(&one);
			sb_free(&out);
			return (prep_fail(p, TRANSPORT_DEFER, TRANSPORT_E_EXPAND, "never_mail of %s transport: %s", p->name, err.text));
		}
		dropped = dropped || yes;
		if (!yes) {
			/* The blank behind a dropped one's comma stays. */
			if (out.len > 0 || i > 0)
				sb_adds(&out, out.len > 0 ? ", " : " ");
			sb_add(&out, sv_trim(l.v[i].raw));
		}
		sb_free(&one);
	}
	*any = *any || dropped;
	if (dropped)
		*list = arena_sv(p->a, sb_sv(&out));
	sb_free(&out);
	return (0);
}

static int
collect(struct prep *p, struct parts *x)
{
	const struct transport_delivery *d = p->d;
	const struct route_filter_item *item = d->rd[0]->item;
	const struct filter_mail *mail = d->mail != NULL ? d->mail : item != NULL ? item->mail : NULL;

	memset(x, 0, sizeof(*x));
	if (mail != NULL)
		from_filter(mail, x);
	else if (from_options(p, x) == -1)
		return (-1);
	if (check_printing(p, x->from, OWN(from), false) == -1 || check_printing(p, x->reply_to, OWN(reply_to), false) == -1 ||
	    check_printing(p, x->to, OWN(to), false) == -1 || check_printing(p, x->cc, OWN(cc), false) == -1 ||
	    check_printing(p, x->bcc, OWN(bcc), false) == -1 || check_printing(p, x->subject, OWN(subject), false) == -1 ||
	    check_printing(p, x->headers, OWN(headers), true) == -1)
		return (-1);
	return (drop_never(p, &x->to, &x->dropped) == -1 || drop_never(p, &x->cc, &x->dropped) == -1 ||
	    drop_never(p, &x->bcc, &x->dropped) == -1 ? -1 : 0);
}

static struct sv
log_entry(const struct transport_delivery *d, const struct parts *x)
{
	struct sb out = SB_INIT(65536);
	time_t now = (time_t)d->now;
	char stamp[64];
	struct tm tm;
	struct sv r;

	(void)localtime_r(&now, &tm);
	(void)strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S", &tm);
	sb_addf(&out, "%s\n", stamp);
	if (x->from.len > 0)
		sb_addf(&out, "  From: " SV_FMT "\n", SV_ARG(x->from));
	if (x->to.len > 0)
		sb_addf(&out, "  To: " SV_FMT "\n", SV_ARG(x->to));
	if (x->cc.len > 0)
		sb_addf(&out, "  Cc: " SV_FMT "\n", SV_ARG(x->cc));
	if (x->bcc.len > 0)
		sb_addf(&out, "  Bcc: " SV_FMT "\n", SV_ARG(x->bcc));
	if (x->subject.len > 0)
		sb_addf(&out, "  Subject: " SV_FMT "\n", SV_ARG(x->subject));
	if (x->headers.len > 0)
		sb_addf(&out, "  " SV_FMT "\n", SV_ARG(x->headers));
	r = arena_sv(d->arena, sb_sv(&out));
	sb_free(&out);
	return (r);
}

int
prep_reply(struct prep *p)
{
	const struct transport_delivery *d = p->d;
	struct transport_job *j = p->j;
	struct parts x;

	if (collect(p, &x) == -1)
		return (-1);
	/* The original's header goes with it only by return_message, and is looked at here. */
	j->phase = TRANSPORT_REPLY_ASK;
	j->reply_to_whom = x.to;
	j->file = x.file;
	j->file_optional = OWN(file_optional)->num;
	j->log = x.log;
	j->once = x.once;
	j->once_size = OWN(once_file_size)->num;
	j->once_repeat = x.once_repeat;
	j->mode = OWN(mode)->num;
	j->log_text = log_entry(d, &x);
	if (x.to.len + x.cc.len + x.bcc.len == 0)
		j->kind = TRANSPORT_AUTOREPLY;
	return (0);
}

/* ---- the message ---- */

static void
field(struct sb *out, const char *name, struct sv body)
{
	if (body.len == 0)
		return;
	sb_addf(out, "%s: ", name);
	sb_add(out, body);
	sb_addc(out, '\n');
}

/* The first of <list> that is no address. */
static void
note_bad(struct sv list, struct arena *a, struct transport_reply *reply)
{
	struct sv item;

	while (reply->bad.len == 0 && sv_next(&list, ',', &item)) {
		struct exim_extracted x;
		struct err err = ERR_INIT;

		item = sv_trim(item);
		if (item.len > 0 && exim_extract(item, EXIM_EXTRACT_LITERALS, a, &x, &err) == -1)
			reply->bad = sv_cstr(arena_fmt(a, SV_FMT " - %s", SV_ARG(item), err.text));
	}
}

static void
add_rcpts(struct sv list, struct arena *a, struct transport_reply *reply, size_t max)
{
	struct mail_addrlist l;

	if (list.len == 0)
		return;
	mail_addrlist_read(list, a, &l);
	if (l.bad > 0)
		note_bad(list, a, reply);
	for (size_t i = 0; i < l.n && reply->nrcpts < max; i++) {
		struct sb one = SB_INIT(4096);

		if (l.v[i].item == MAIL_ITEM_ADDRESS) {
			mail_address_put(&one, &l.v[i]);
			if (one.len > 0)
				reply->rcpts[reply->nrcpts++] = arena_sv(a, sb_sv(&one));
		}
		sb_free(&one);
	}
}

static void
add_file(const struct transport_delivery *d, const struct parts *x, struct sv text, struct sb *out)
{
	struct sv line;

	if (!x->file_expand) {
		sb_add(out, text);
		return;
	}
	while (text.len > 0 && sv_next(&text, '\n', &line)) {
		struct err err = ERR_INIT;
		struct sv v;

		if (exim_expand_text(line, d->env, &v, &err) == EXIM_OK)
			sb_add(out, v);
		sb_addc(out, '\n');
	}
}

/* A copy of the original, no longer than bounces are. */
static int
add_original(const struct transport_delivery *d, const struct transport_job *j, int fd, struct sb *out, struct err *err)
{
	int64_t limit = d->env->conf->main[EXIM_MAIN_bounce_return_size_limit].num;
	size_t n = (size_t)j->len;
	char *p;

	if (limit > 0 && (int64_t)n > limit)
		n = (size_t)limit;
	if (n < (size_t)j->len)
		sb_addf(out, "\n------ This is a copy of the message, including all the headers.\n"
		    "------ The body of the message is %lld characters long; only the first\n------ %lld or so are included here.\n\n",
		    (long long)j->len, (long long)limit);
	else
		sb_adds(out, "\n------ This is a copy of the message, including all the headers.\n\n");
	sb_add(out, j->header);
	if (n == 0)
		return (0);
	if ((p = sb_room(out, n)) == NULL || fd == -1 || os_pread_full(fd, p, n, (off_t)j->off) != (ssize_t)n)
		return (err_set(err, ERR_TEMP, "4.3.0", "cannot read the message that is returned"));
	sb_took(out, n);
	return (0);
}

/* LF and CRLF as CRLF. */
static struct sv
as_crlf(struct arena *a, struct sv text)
{
	struct sb out = SB_INIT(TEXT_MAX * 2);
	struct sv r;

	for (size_t i = 0; i < text.len; i++) {
		if (text.p[i] == '\r' && i + 1 < text.len && text.p[i + 1] == '\n')
			continue;
		if (text.p[i] == '\n')
			sb_addc(&out, '\r');
		sb_addc(&out, text.p[i]);
	}
	r = arena_sv(a, sb_sv(&out));
	sb_free(&out);
	return (r);
}

int
transport_reply_compose(const struct transport_delivery *d, const struct transport_job *j, const struct transport_result *r,
    int content_fd, struct transport_reply *reply, struct err *err)
{
	struct transport_result scratch = { 0 };
	struct transport_job job = { 0 };
	struct prep p = { .d = d, .j = &job, .r = &scratch, .env = d->env, .a = d->arena, .name = d->t->d.name };
	struct sb out = SB_INIT(TEXT_MAX);
	const size_t max = 1000;
	struct parts x;
	int rc = 0;

	memset(reply, 0, sizeof(*reply));
	if (collect(&p, &x) == -1)
		return (err_set(err, ERR_TEMP, "4.3.5", SV_FMT, SV_ARG(scratch.text)));
	reply->rcpts = arena_alloc(d->arena, (max + 1) * sizeof(struct sv));
	add_rcpts(x.to, d->arena, reply, max);
	add_rcpts(x.cc, d->arena, reply, max);
	add_rcpts(x.bcc, d->arena, reply, max);
	reply->dropped = x.dropped;
	field(&out, "From", x.from);
	field(&out, "Reply-To", x.reply_to);
	field(&out, "To", x.to);
	field(&out, "Cc", x.cc);
	field(&out, "Subject", x.subject);
	if (d->env->msg->headers != NULL) {
		field(&out, "In-Reply-To", mail_msgid_of(d->env->msg->headers));
		mail_references(&out, d->env->msg->headers, "\n");
	}
	sb_adds(&out, "Auto-Submitted: auto-replied\n");
	if (x.headers.len > 0) {
		sb_add(&out, sv_trim(x.headers));
		sb_addc(&out, '\n');
	}
	sb_addc(&out, '\n');
	if (x.text.len > 0) {
		sb_add(&out, x.text);
		if (!sv_ends(x.text, "\n"))
			sb_addc(&out, '\n');
	}
	if (r->file_text.len > 0)
		add_file(d, &x, r->file_text, &out);
	if (x.return_message || OWN(return_message)->num != 0)
		rc = add_original(d, j, content_fd, &out, err);
	if (rc == 0 && out.overflow)
		rc = err_set(err, ERR_PERM, "5.3.4", "the reply of %s transport is too large", d->t->d.name);
	if (rc == 0)
		reply->text = as_crlf(d->arena, sb_sv(&out));
	sb_free(&out);
	return (rc);
}

/* ---- quota_warn_message ---- */

int
transport_quota_warning(const struct transport_delivery *d, struct transport_reply *reply, struct err *err)
{
	static const char dflt[] = "To: %.*s@%.*s\nSubject: Your mailbox\n\n"
	    "This message is automatically created by mail delivery software (Exim).\n\n"
	    "The size of your mailbox has exceeded a warning threshold that is\nset by the system administrator.\n";
	const struct exim_value *v = &d->t->d.own[EXIM_APPENDFILE_quota_warn_message];
	const struct route_delivery *rd = d->rd[0];
	struct mail_headers h;
	struct sv text;

	memset(reply, 0, sizeof(*reply));
	if (v->str == NULL)
		text = sv_cstr(arena_fmt(d->arena, dflt, SV_ARG(rd->local_part), SV_ARG(rd->domain)));
	else if (exim_expand(v->str, d->env, &text, err) != EXIM_OK)
		return (-1);
	text = arena_sv(d->arena, text);
	mail_headers_parse(&h, d->arena, text, 0);
	reply->rcpts = arena_alloc(d->arena, 101 * sizeof(struct sv));
	text.tainted = false;
	add_rcpts(mail_headers_get(&h, "To"), d->arena, reply, 100);
	if (mail_headers_find(&h, "From", 0) < 0)
		text = sv_cstr(arena_fmt(d->arena, "Auto-Submitted: auto-replied\nFrom: Mail Delivery System <Mailer-Daemon@" SV_FMT ">\n"
		    SV_FMT,
		    SV_ARG(d->env->g->qualify_domain), SV_ARG(text)));
	reply->text = as_crlf(d->arena, text);
	return (0);
}
