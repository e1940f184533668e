/* SPDX-License-Identifier: BSD-2-Clause */
/* event_action (chapter 61 of Exim's manual): what happens is told to an expansion. */
#ifndef VPOST_DELIVER_EVENT_H
#define VPOST_DELIVER_EVENT_H

#include "exim/conf.h"
#include "exim/env.h"

/*
 * Expand <action>, where there is one, with $event_name <name>, $event_data <data> and $event_defer_errno <number>; <env> is at what
 * happened already.  <who> is the transport's name (NULL: the configuration's own option), for the log.  The answer lives in env->arena;
 * p NULL: there is none.  That it cannot be expanded is told by env->acl_run's log, and is no answer.
 */
struct sv deliver_event(const struct exim_str *action, struct exim_env *env, const char *who, const char *name, struct sv data,
	     int64_t number);
/* The same for a message's way through transport <t>. */
struct sv deliver_event_of(const struct exim_transport *t, struct exim_env *env, const char *name, struct sv data, int64_t number);

/* Exim's number for what ended a connection or deferred a message. */
struct deliver_error;
int64_t	 deliver_event_number(const struct deliver_error *e);
/* Do the system's words, or the event's, say it all?  Then they stand in logs without a colon. */
bool	 deliver_is_bare(const struct deliver_error *e);
const char *deliver_words(const struct deliver_error *e);
/* Did it come about in talking to the host?  Then lines about the address name that, too. */
bool	 deliver_at_host(const struct deliver_error *e);
/* The system's words for a <number> of its own, which stand in front of the rest; "" for Exim's. */
const char *deliver_sys_words(int64_t number);
/* The number of a recipient that a host of <mx> deferred with SMTP code <code>, as Exim makes it. */
int64_t	 deliver_event_rcpt(int code, bool mx);

#endif
