/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages that cannot be taken from their submitter: by -oe he is told in a message, on standard error, or (-oee) in a
 * message with a better exit code.  Where he waits for a reply (-bS) that is all.  Nobody is told of a message that has no sender; the log says so.
 */
#include <stdio.h>
#include <string.h>

#include "deliver.h"
#include "mail/msgid.h"

#define COPY_MAX	((size_t)64 * 1024 * 1024)

static const struct {
	const char *subject, *words, *log;
} kinds[] = {
	[DERROR_ADDRESS] = { "malformed recipient address",
	    "A message that you sent contained a recipient address that was incorrectly\nconstructed:\n\n", NULL },
	[DERROR_FIELDS] = { "malformed recipient address",
	    "A message that you sent contained one or more recipient addresses that were\nincorrectly constructed:\n\n", NULL },
	[DERROR_NOBODY] = { "no recipient addresses",
	    "A message that you sent contained no recipient addresses, and therefore no\ndelivery could be attempted.\n",
	    "no recipient addresses" },
	[DERROR_TOO_MANY] = { "too many recipients",
	    "A message that you sent contained more recipients than allowed on this\nsystem. It was not delivered to any recipients.\n", NULL },
	[DERROR_TOO_BIG] = { "message too big",
	    "A message that you sent was longer than the maximum size allowed on this\nsystem. It was not delivered to any recipients.\n", NULL },
	[DERROR_LONG_HEADER] = { "overlong header section", "A message that you sent contained a header section that was excessively\n"
	    "long and could not be handled by the mail transmission software. The\nmessage has not been delivered to any recipients.\n",
	    "excessively long message header section read" },
	[DERROR_LONG_FIELD] = { "overlong header line", "A message that you sent contained a header line that was excessively\n"
	    "long and could not be handled by the mail transmission software. The\nmessage has not been delivered to any recipients.\n",
	    "excessively long message header line read" },
	[DERROR_ACL] = { "rejected by local scanning code",
	    "A message that you sent was rejected by the local scanning code that\nchecks incoming messages on this system."
	    " The following error was given:\n\n", NULL },
};

/* The end of the words, by kind. */
static void
put_detail(const struct dmsg *m, enum derror kind, struct sv detail, bool others, struct sb *out)
{
	switch (kind) {
	case DERROR_ADDRESS:
		sb_addf(out, "  " SV_FMT "\n\nThe message has not been delivered to any recipients.\n", SV_ARG(detail));
		break;
	case DERROR_FIELDS:
		sb_addf(out, SV_FMT "\n", SV_ARG(detail));
		sb_addf(out, "%s been ignored. %s", m->nbad > 1 ? "These addresses have" : "This address has", others ?
		    "The other addresses in the message were\n"
		    "syntactically valid and have been passed on for an attempt at delivery.\n" :
		    "There were no other addresses in your\nmessage, and so no attempt at delivery was possible.\n");
		break;
	case DERROR_ACL:
		sb_addf(out, "  " SV_FMT "\n", SV_ARG(detail));
		break;
	default:
		break;
	}
}

static void
put_copy(struct deliver *d, const struct dmsg *m, enum derror kind, struct sb *out)
{
	int64_t limit = 0;
	struct err err = ERR_INIT;

	if (kind == DERROR_ACL || !exim_main_bool(d->conf, EXIM_MAIN_bounce_return_message))
		return;
	if (kind == DERROR_TOO_BIG) {
		(void)exim_expand_int(d->conf->main[EXIM_MAIN_message_size_limit].str, &d->t->env, &limit, &err);
		sb_addf(out, "\n------ This is a copy of your message, including all the headers.\n"
		    "------ No more than %lld characters of the body are included.\n\n", (long long)limit);
	} else
		sb_adds(out, "\n------ This is a copy of your message, including all the headers. ------\n\n");
	/* What was read before the addresses were looked at comes as it was. */
	if (kind == DERROR_ADDRESS || kind == DERROR_TOO_MANY)
		sb_addc(out, '\n');
	for (size_t i = 0; i < m->fields.len; i++)
		if (m->fields.p[i].type != '*' && m->fields.p[i].type != 'P')
			sb_add(out, m->fields.p[i].text);
	if (kind == DERROR_LONG_HEADER || kind == DERROR_LONG_FIELD)
		return;
	sb_addc(out, '\n');
	sb_add(out, m->body);
}

/* By the fields as they are now: what the message knows of them may be older. */
static void
put_references(const struct dmsg *m, struct sb *out)
{
	struct sb block = SB_INIT(COPY_MAX);
	struct mail_headers h;

	for (size_t i = 0; i < m->fields.len; i++)
		if (m->fields.p[i].type != '*')
			sb_add(&block, m->fields.p[i].text);
	mail_headers_parse(&h, m->arena, sb_sv(&block), 0);
	mail_references(out, &h, "\n");
	sb_free(&block);
}

int
derror_tell(struct deliver *d, struct dmsg *m, enum derror kind, struct sv detail, bool others)
{
	char how = d->t->o->errors;
	bool header = kind == DERROR_LONG_HEADER || kind == DERROR_LONG_FIELD;
	bool raw = kind == DERROR_ADDRESS || kind == DERROR_TOO_MANY || header;
	struct sv to = m->sender;
	struct sb out = SB_INIT(COPY_MAX);
	int rc;

	if (header && (m->ref.len > 0 || m->sender.len == 0)) {
		dlog(d, DLOG_MAIN, "Error while reading message with no usable sender address: %s (more than " SV_FMT " characters)",
		    kinds[kind].log, SV_ARG(detail));
		return (1);
	}
	if (m->ref.len > 0 || m->sender.len == 0) {
		dlog(d, DLOG_MAIN, "%s Error while reading message with no usable sender address%s" SV_FMT "%s: " SV_FMT, m->id,
		    m->ref.len > 0 ? " (R=" : "", SV_ARG(m->ref), m->ref.len > 0 ? ")" : "",
		    SV_ARG(kinds[kind].log != NULL ? sv_cstr(kinds[kind].log) : detail));
		return (1);
	}
	if (d->refused != NULL) {
		*d->refused = arena_sv(d->t->facts, kind == DERROR_TOO_BIG ? SV_LIT("Message size exceeds maximum permitted") :
		    kinds[kind].log != NULL ? sv_cstr(kinds[kind].log) : detail);
		d->too_big = kind == DERROR_TOO_BIG;
		return (1);
	}
	if (how == 'p' || how == 'q') {
		if (how == 'q' && kind == DERROR_ADDRESS)
			how = 'p';
		if (how == 'p' && header)
			(void)fprintf(stderr, "exim: message header%s longer than " SV_FMT " characters received: message not accepted\n",
			    kind == DERROR_LONG_FIELD ? " line" : "", SV_ARG(detail));
		else if (how == 'p' && kind == DERROR_TOO_BIG)
			(void)fprintf(stderr, "exim: message rejected: message too big (max=" SV_FMT "\n",
			    SV_ARG(sv_sub(detail, strlen("message too big (limit set to "), detail.len)));
		else if (how == 'p')
			(void)fprintf(stderr, kind == DERROR_ADDRESS ? "exim: bad recipient address " SV_FMT "\n" : kind == DERROR_ACL ?
			    "exim: message rejected by non-SMTP ACL: " SV_FMT "\n" : kind == DERROR_FIELDS ?
			    "exim: invalid address:" SV_FMT : "exim: " SV_FMT "\n",
			    SV_ARG(kind == DERROR_NOBODY ? sv_cstr(kinds[kind].log) : detail));
		return (1);
	}
	sb_addf(&out, "Auto-Submitted: auto-replied\nFrom: Mail Delivery System <Mailer-Daemon@" SV_FMT ">\nTo: " SV_FMT "\n",
	    SV_ARG(d->t->g.qualify_domain), SV_ARG(m->sender));
	if (!raw)
		put_references(m, &out);
	sb_addf(&out, "Subject: Mail failure - %s\n\n%s", kinds[kind].subject, kind == DERROR_NOBODY && m->left_out ?
	    "A message that you sent using the -t command line option contained no\naddresses that were not also on the command line, "
	    "and were therefore\nsuppressed. This left no recipient addresses, and so no delivery could\nbe attempted.\n" :
	    kinds[kind].words);
	put_detail(m, kind, detail, others, &out);
	put_copy(d, m, kind, &out);
	rc = dreceive_own(d, raw ? NULL : m, duser_name(m->arena, d->conf->g.exim_uid), d->conf->g.exim_uid, sb_sv(&out), &to, 1, true,
	    true);
	sb_free(&out);
	if (d->now)
		ddeliver_pending(d);
	return (how == 'e' && raw && rc == 0 ? 0 : 1);
}
