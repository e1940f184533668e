/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who sent it: the most trustworthy address of the header, cut down to its bare form, and the list of field
 * names by which the beginning of a message is known while splitting.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "filter/formail_int.h"

/* By rising trust for envelope replies; then the weights for -t and for -t -a Resent-. */
static const struct {
	const char	*name;
	int		 trust, resent;
} senders[] = {
	{ "Reply-To:", 8, 7 }, { "From:", 7, 6 }, { "Sender:", 6, 5 }, { "Resent-Reply-To:", 0, 10 }, { "Resent-From:", 0, 9 },
	{ "Resent-Sender:", 0, 8 }, { "Path:", 1, 0 }, { "Return-Receipt-To:", 2, 1 }, { "Errors-To:", 3, 2 },
	{ "Return-Path:", 5, 4 }, { "From ", 4, 3 },
};
#define SENDERS		(sizeof(senders) / sizeof(senders[0]))
#define RETURN_PATH	(SENDERS - 2)
#define POSTMARK	(SENDERS - 1)

/* --- addresses ----------------------------------------------------------------- */

/* Behind a comment that begins at <i>. */
static size_t
skip_comment(struct sv s, size_t i)
{
	int depth = 0;

	for (; i < s.len; i++) {
		if (s.p[i] == '\\')
			i++;
		else if (s.p[i] == '(')
			depth++;
		else if (s.p[i] == ')' && --depth == 0)
			return (i + 1);
	}
	return (s.len);
}

/* A quoted text or domain literal up to <delim>, which is copied too. */
static size_t
copy_quoted(struct sv s, size_t i, char delim, struct sb *out)
{
	while (i < s.len) {
		char c = s.p[i++];

		sb_addc(out, c);
		if (c == delim)
			break;
		if (c == '\\' && i < s.len)
			sb_addc(out, s.p[i++]);
	}
	return (i);
}

/* The state of one word of addresses. */
struct word {
	bool		 machine;	/* inside < > */
	bool		 wrap;		/* , or ; stood inside them */
	int		 group;		/* 1 may begin, 2 is open, 0 never */
	int		 gap;		/* 1 blanks, 2 text, 3 text and then blanks */
};

enum step { GO_ON, STOP };

/* A byte with a meaning; *<i> moves behind it. */
static enum step
special(struct sv s, size_t *i, struct word *w, struct sb *out)
{
	char c = s.p[*i];

	switch (c) {
	case ';':
	case ',':
		if (w->group != 2 && !w->machine)
			return (STOP);
		if (w->group != 2)
			w->wrap = true;
		break;
	case ':':
		w->group = w->group == 1 ? 2 : w->group;
		break;
	default:
		w->group = w->group == 1 ? 0 : w->group;
	}
	w->gap = 0;
	sb_addc(out, c);
	++*i;
	/* ";" closes a group: nothing behind it counts. */
	if (c == ';' && w->group == 2)
		*i = s.len;
	return (GO_ON);
}

static enum step
ordinary(struct sv s, size_t *i, struct word *w, struct sb *out)
{
	if (!w->machine && w->gap == 3 && out->len > 0)
		return (STOP);
	if (s.p[*i] == '\\') {
		sb_addc(out, '\\');
		if (++*i == s.len)
			return (STOP);
	}
	sb_addc(out, s.p[(*i)++]);
	w->gap = 2;
	return (GO_ON);
}

/* One word from <i> on, without comments and blanks, into <out>; where it ends. */
static size_t
reduce(struct sv s, size_t i, struct sb *out)
{
	struct word w = { .group = 1 };
	enum step st = GO_ON;

	sb_clear(out);
	if (i < s.len && s.p[i] == '<') {
		w.machine = true;
		i++;
	}
	while (st == GO_ON && i < s.len && s.p[i] != '>') {
		switch (s.p[i]) {
		case '<':
			if (!w.machine)
				return (i);
			sb_clear(out);
			w.gap = 0;
			i++;
			break;
		case '(':
			i = skip_comment(s, i);
			w.gap |= 1;
			break;
		case ' ':
		case '\t':
		case '\n':
			w.gap |= 1;
			i++;
			break;
		case ';':
		case ',':
		case ':':
		case '@':
		case '.':
			st = special(s, &i, &w, out);
			break;
		case '[':
			i = copy_quoted(s, i, ']', out);
			w.gap = 2;
			break;
		case '"':
			sb_addc(out, '"');
			i = copy_quoted(s, i + 1, '"', out);
			w.gap = 2;
			break;
		default:
			st = ordinary(s, &i, &w, out);
		}
	}
	if (w.wrap) {
		struct sb t = SB_INIT(FORMAIL_FIELD_MAX);

		sb_addf(&t, "<%s>", sb_cstr(out));
		sb_clear(out);
		sb_add(out, sb_sv(&t));
		sb_free(&t);
	}
	return (i);
}

/* The address in <s>: what stands in < >, else the first word; false: nothing there. */
static bool
address(struct sv s, struct sb *out)
{
	struct sb word = SB_INIT(FORMAIL_FIELD_MAX);
	bool found = false;
	size_t i = 0, to;

	while (i < s.len && strchr(" \t\n", s.p[i]) != NULL)
		i++;
	while (i < s.len && strchr(",;>", s.p[i]) == NULL) {
		if (s.p[i] == '<') {
			(void)reduce(s, i, out);
			found = true;
			break;
		}
		to = reduce(s, i, &word);
		if (!found) {
			sb_clear(out);
			sb_add(out, sb_sv(&word));
			found = true;
		}
		if (to == i)
			break;
		i = to;
	}
	sb_free(&word);
	return (found);
}

/* --- postmarks ------------------------------------------------------------------- */

/* "remote from HOST" and "forwarded by HOST" of a postmark's lines, in order, as HOST! */
static void
bangs(const char *s, struct sb *out)
{
	static const char remote[] = " remote from ", forwarded[] = " forwarded by ";

	const char *a = s, *b = s;

	for (;;) {
		/* Each is looked for anew only when its last place was passed. */
		if (a != NULL && a <= s)
			a = strstr(s, remote);
		if (b != NULL && b <= s)
			b = strstr(s, forwarded);
		if (a == NULL && b == NULL)
			return;
		if (a == NULL || (b != NULL && b < a))
			s = b + strlen(forwarded);
		else
			s = a + strlen(remote);
		sb_addn(out, s, strcspn(s, "\n"));
		sb_addc(out, '!');
		s += strcspn(s, "\n");
	}
}

/* The address of a postmark with its ">From " lines, as "<ADDRESS". */
static void
postmark(const char *s, struct sb *out, int *weight)
{
	const char *at, *last, *blank;
	size_t n;

	if (strchr(s, '\n') != NULL)
		*weight -= 2;
	if (*s == '\n' && (blank = strchr(s, ' ')) != NULL)
		s = blank + 1;
	for (last = s; (at = strchr(last, '\n')) != NULL && (at = strchr(at, ' ')) != NULL;)
		last = at + 1;
	blank = strchr(last, ' ');
	if (blank == NULL) {
		sb_adds(out, last);
		return;
	}
	n = (size_t)(blank - last);
	sb_addc(out, '<');
	if (memchr(last, '@', n) == NULL)
		bangs(s, out);
	sb_addn(out, last, n);
}

/* --- weights ---------------------------------------------------------------------- */

/* Addresses that look less complete weigh less. */
static int
shape(const char *a)
{
	if (strpbrk(a, "@!/") == NULL)
		return (-((int)SENDERS + 1) * 4);
	if (strstr(a, ".UUCP") != NULL)
		return (-((int)SENDERS + 1) * 3);
	if (strchr(a, '@') != NULL && strchr(a, '.') == NULL)
		return (-((int)SENDERS + 1) * 2);
	return (strchr(a, '!') != NULL ? -((int)SENDERS + 1) : 0);
}

static void
consider(struct formail_run *r, size_t kind, struct sv value)
{
	const struct formail *f = r->f;
	int weight = (int)kind;
	struct sb text = SB_INIT(FORMAIL_FIELD_MAX), found = SB_INIT(FORMAIL_FIELD_MAX);
	char *copy = xstrndup(value.p, value.len);

	if (f->reply && (f->trust || f->resent))
		weight = f->trust && !f->resent ? senders[kind].trust : senders[kind].resent;
	if (kind == POSTMARK)
		postmark(copy, &text, &weight);
	else
		sb_adds(&text, copy);
	free(copy);
	if (address(sb_sv(&text), &found)) {
		const char *a = sb_cstr(&found);
		bool empty = *a == '\0';

		if (empty && kind == RETURN_PATH) {
			/* A bounce: nothing overrides it. */
			a = "<>";
			weight = (int)SENDERS + 1;
		} else if (!empty)
			weight += shape(a);
		if ((!empty && (r->sender == NULL || weight > r->sender_weight)) || (empty && kind == RETURN_PATH)) {
			free(r->sender);
			r->sender = xstrdup(a);
			r->sender_weight = weight;
		}
	}
	sb_free(&text);
	sb_free(&found);
}

void
formail_sender(struct formail_run *r, size_t i)
{
	const struct formail_field *p = &r->head.v.p[i];

	for (size_t k = SENDERS; k > 0; k--) {
		if (strlen(senders[k - 1].name) != p->id || strncasecmp(senders[k - 1].name, p->text, p->id) != 0)
			continue;
		if (k - 1 != POSTMARK || i == 0)
			consider(r, k - 1, sv_from(p->text + p->id, p->len - p->id - 1));
		return;
	}
}

/* --- field names -------------------------------------------------------------------- */

static const char *const known[] = {
	"Return-Path", "Received", "Reply-To", "From", "Sender", "Resent-Reply-To", "Resent-From", "Resent-Sender", "Date",
	"Resent-Date", "To", "Resent-To", "Cc", "Resent-Cc", "Bcc", "Resent-Bcc", "Message-ID", "Resent-Message-ID", "In-Reply-To",
	"References", "Keywords", "Subject", "Comments", "Encrypted", "Notice-Requested-Upon-Delivery-To", "Final-Recipient",
	"Remote-MTA", "Diagnostic-Code", "Last-Attempt-Date", "Errors-To", "Return-Receipt-To", "Precedence", "Full-Name",
	"Posted-Date", "Received-Date", "Message", "Text", "Via", "Apparently-To", "Apparently-Resent-To", "Delivered-To",
	"Mailing-List", "Autoforwarded", "Content-Identifier", "Conversion", "Conversion-With-Loss", "Delivery-Date",
	"Discarded-X400-IPMS-Extensions", "Discarded-X400-MTS-Extensions", "DL-Expansion-History", "Deferred-Delivery",
	"Expiry-Date", "Importance", "Incomplete-Copy", "Language", "Latest-Delivery-Time", "Message-Type", "Obsoletes",
	"Supersedes", "Original-Encoded-Information-Types", "Originator-Return-Address", "Priority", "Reply-By",
	"Requested-Delivery-Method", "Sensitivity", "X400-Content-Type", "X400-MTS-Identifier", "X400-Originator", "X400-Received",
	"X400-Recipients", "X400-Trace", "Alternate-Recipient", "Prevent-Nondelivery-Report", "Generate-Delivery-Report",
	"Disclose-Recipients", "Content-Return", "Auto-Submitted", "PP-Warning", "Fcc", "Resent", "Forwarded", "Replied", "Article",
	"Path", "Summary", "Organisation", "Organization", "Newsgroups", "Followup-To", "Approved", "Lines", "Expires", "Control",
	"Distribution", "Xref", "Originator", "NNTP-Posting-Host", "Submitted-by", "Posted-To", "Mail-Copies-To", "Title",
	"Article-I.D.", "Posted", "Relay-Version", "Sent-By", "Content-Type", "Encoding", "Content-MD5", "MIME-Version",
	"Content-Transfer-Encoding", "Content-ID", "Content-Description", "Content-Disposition", "Accept", "Public", "Allow",
	"Last-Modified", "URI", "Version", "Derived-From", "Content-Language", "Cost", "Server", "WWW-Link", "Acknowledge-To",
	"Transport-Options", "Default-Options", "Content-Length", "Reference", "Auto-Forwarded-From", "Auto-Forward-Count",
	"End-of-Header", "Original-From", "Original-To", "Original-Cc", "Original-Auto-Forwarded-From", "Original-Date",
	"Not-Delivered-To", "Report-Version", "Original-Received", "Status", "Mail-from", "Return-Receipt-Requested", "MR-Received",
	"App-Message-ID", "Hop-count", "From-warning", "Request-Remailing-To", "Anon-Send-To", "Latent-Time", "Cutmarks", "Post-To",
	"Anon-Post-To", "Encrypt-Key", "Read-Receipt-To", "Fake-Sender", "Envelope-To",
};

bool
formail_known(const struct formail_run *r)
{
	const struct formail_field *p = &r->head.v.p[r->head.v.len - 1];
	size_t n = p->id;

	while (n >= 2 && (p->text[n - 2] == ' ' || p->text[n - 2] == '\t'))
		n--;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strlen(known[i]) + 1 == n && strncasecmp(known[i], p->text, n - 1) == 0)
			return (true);
	return ((n > 4 && strncasecmp(p->text, "Old-", 4) == 0) || (n > 2 && strncasecmp(p->text, "X-", 2) == 0));
}
