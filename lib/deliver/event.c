/* SPDX-License-Identifier: BSD-2-Clause */
/* Events: expansions that are told what happens to deliveries and connections, and may forbid some of it. */
#include <errno.h>
#include <string.h>

#include "base/sb.h"
#include "deliver/client.h"
#include "deliver/event.h"
#include "exim/acl.h"
#include "exim/expand.h"

#define LINE_SIZE	4096

static void
tell(struct exim_env *env, const char *name, const char *who, const char *why)
{
	struct sb line = SB_INIT(LINE_SIZE);

	sb_addf(&line, "failed to expand event_action %s in %s: %s", name, who == NULL ? "main" : who, why);
	exim_env_log(env, EXIM_LOG_MAIN | EXIM_LOG_PANIC, sb_sv(&line));
	sb_free(&line);
}

struct sv
deliver_event(const struct exim_str *action, struct exim_env *env, const char *who, const char *name, struct sv data, int64_t number)
{
	struct exim_acl_state st, *acl = env->acl;
	struct err err = ERR_INIT;
	struct sv out;

	if (action == NULL)
		return (SV_NULL);
	memset(&st, 0, sizeof(st));
	if (acl != NULL)
		st = *acl;
	st.event_name = sv_cstr(name);
	st.event_data = data.p == NULL ? SV_LIT("") : data;
	st.event_defer_errno = number;
	env->acl = &st;
	switch (exim_expand(action, env, &out, &err)) {
	case EXIM_OK:
		break;
	default:
		tell(env, name, who, err.text);
		out = SV_NULL;
	}
	env->acl = acl;
	return (out.len == 0 ? SV_NULL : out);
}

struct sv
deliver_event_of(const struct exim_transport *t, struct exim_env *env, const char *name, struct sv data, int64_t number)
{
	const struct exim_str *action = t->d.generic[EXIM_TRANSPORT_event_action].str;
	struct sv saved, out;

	if (action == NULL)
		return (SV_NULL);
	saved = env->addr->transport_name;
	env->addr->transport_name = sv_cstr(t->d.name);
	out = deliver_event(action, env, t->d.name, name, data, number);
	env->addr->transport_name = saved;
	return (out);
}

bool
deliver_is_bare(const struct deliver_error *e)
{
	return (e->what == EXIM_RE_REFUSED || e->what == EXIM_RE_TIMEOUT_CONNECT || e->code == DELIVER_EVENT);
}

const char *
deliver_words(const struct deliver_error *e)
{
	return (deliver_is_bare(e) && e->code != DELIVER_EVENT ? strerror((int)deliver_event_number(e)) : e->err.text);
}

bool
deliver_at_host(const struct deliver_error *e)
{
	return (e->host && !deliver_is_bare(e) && e->code != DELIVER_EXPANSION && e->what != EXIM_RE_AUTH_FAILED);
}

const char *
deliver_sys_words(int64_t number)
{
	return (number > 0 && number < 1000 ? strerror((int)number) : "");
}

int64_t
deliver_event_rcpt(int code, bool mx)
{
	return ((int64_t)(code % 100) << 8 | (mx ? 'M' : 'A'));
}

int64_t
deliver_event_number(const struct deliver_error *e)
{
	switch (e->what) {
	case EXIM_RE_RCPT_4XX:
		return (-44);
	case EXIM_RE_MAIL_4XX:
		return (-45);
	case EXIM_RE_DATA_4XX:
		return (-46);
	case EXIM_RE_REFUSED:
		return (e->sys != 0 ? e->sys : ECONNREFUSED);
	case EXIM_RE_TIMEOUT:
	case EXIM_RE_TIMEOUT_CONNECT:
		return (ETIMEDOUT);
	case EXIM_RE_LOST_CONNECTION:
		return (-18);
	case EXIM_RE_TLS_REQUIRED:
		return (-38);
	case EXIM_RE_AUTH_FAILED:
		return (-42);
	default:
		return (e->code < 0 ? e->code : 0);
	}
}
