/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What reports say to people, in the words of Exim, and when a sender is warned of a delay: shared by the reports of
 * vqueued and those of one process that delivers by itself.
 */
#include "deliver/dsn.h"

#include <stdio.h>

#define CREATED	"This message was created automatically by mail delivery software.\n"

void
dsn_words_subject(struct sb *out, const struct dsn_words *w)
{
	switch (w->action) {
	case DSN_FAILED:
		sb_addf(out, "Mail delivery failed%s", sv_eq(w->to, w->sender) ? ": returning message to sender" : "");
		break;
	case DSN_DELAYED:
		sb_addf(out, "Warning: message " SV_FMT " delayed %s", SV_ARG(w->id), w->delay);
		break;
	default:
		sb_adds(out, "Delivery Status Notification");
		break;
	}
}

static void
failed(struct sb *out, const struct dsn_words *w)
{
	sb_adds(out, CREATED);
	sb_add(out, w->notice);
	if (sv_eq(w->to, w->sender))
		sb_adds(out, "\nA message that you sent could not be delivered to one or more of its\n"
		    "recipients. This is a permanent error. The following address(es) failed:\n");
	else
		sb_addf(out, "\nA message sent by\n\n  <" SV_FMT ">\n\ncould not be delivered to one or more of its recipients. "
		    "The following\naddress(es) failed:\n", SV_ARG(w->sender));
}

static void
delayed(struct sb *out, const struct dsn_words *w)
{
	sb_addf(out, CREATED "A message that you sent has not yet been delivered to one or more of its\n"
	    "recipients after more than %s on the queue on " SV_FMT ".\n\nThe message identifier is:     " SV_FMT "\n",
	    w->delay, SV_ARG(w->hostname), SV_ARG(w->id));
	if (w->subject.p != NULL)
		sb_addf(out, "The subject of the message is: " SV_FMT "\n", SV_ARG(sv_trim(w->subject)));
	if (w->date.p != NULL)
		sb_addf(out, "The date of the message is:    " SV_FMT "\n", SV_ARG(sv_trim(w->date)));
	sb_addf(out, "\nThe address%s to which the message has not yet been delivered %s:\n",
	    w->many ? "es" : "", w->many ? "are" : "is");
}

void
dsn_words_opening(struct sb *out, const struct dsn_words *w)
{
	switch (w->action) {
	case DSN_FAILED:
		failed(out, w);
		break;
	case DSN_DELAYED:
		delayed(out, w);
		break;
	default:
		sb_adds(out, CREATED " ----- The following addresses had successful delivery notifications -----\n");
		break;
	}
}

void
dsn_words_closing(struct sb *out, const struct dsn_words *w)
{
	if (w->action == DSN_DELAYED)
		sb_adds(out, "No action is required on your part. Delivery attempts will continue for\n"
		    "some time, and this warning may be repeated at intervals if the message\n"
		    "remains undelivered. Eventually the mail delivery software will give up,\n"
		    "and when that happens, the message will be returned to you.\n");
}

/* ---- delay_warning ---- */

unsigned
dsn_warnings_due(const int64_t *times, size_t n, int64_t age, int64_t *passed)
{
	unsigned due = 0;
	int64_t step, more;

	*passed = 0;
	for (size_t i = 0; i < n && times[i] > 0 && age >= times[i]; i++) {
		*passed = times[i];
		due++;
	}
	if (due == 0 || due < n)
		return (due);
	step = n == 1 ? times[0] : times[n - 1] - times[n - 2];
	more = step <= 0 ? 0 : (age - times[n - 1]) / step;
	*passed += more * step;
	return (due + (unsigned)more);
}

void
dsn_delay_text(char buf[DSN_DELAY_MAX], int64_t age, int64_t passed)
{
	if (age < 120 * 60)
		(void)snprintf(buf, DSN_DELAY_MAX, "%lld minutes", (long long)(passed / 60));
	else
		(void)snprintf(buf, DSN_DELAY_MAX, "%lld hours", (long long)(passed / 3600));
}
