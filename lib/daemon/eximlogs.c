/* SPDX-License-Identifier: BSD-2-Clause */
/* Where Exim's logs go and how their lines look, by exim.conf: the form that lib/log has for it. */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "daemon/eximlogs.h"
#include "dns/dns.h"
#include "exim/conf.h"
#include "exim/logsel.h"
#include "exim/option.h"
#include "log/log.h"

/* log_file_path names "syslog", a file, nothing for the usual place, or several of these. */
static void
places(const struct exim_conf *c, struct arena *a, struct eximlog_form *f)
{
	struct sv list = exim_main_text(c, EXIM_MAIN_log_file_path), item;
	int sep = 0;

	while (list.len > 0 && exim_list_next(&list, &sep, a, &item)) {
		if (sv_eqs(item, "syslog"))
			f->syslog = true;
		else
			f->files = true;
	}
	if (!f->syslog)
		f->files = true;
}

int
daemon_exim_logs(const struct exim_conf *c, const char *socket, struct err *err)
{
	struct arena *a = arena_new(0);
	struct eximlog_form f = {
		.timezone = exim_main_bool(c, EXIM_MAIN_log_timezone),
		.millisec = (c->log_selector & EXIM_LOGSEL_BIT(EXIM_LOGSEL_millisec)) != 0,
		.pid = (c->log_selector & EXIM_LOGSEL_BIT(EXIM_LOGSEL_pid)) != 0,
		.facility = arena_cstr(a, exim_main_text(c, EXIM_MAIN_syslog_facility)),
		.name = arena_cstr(a, exim_main_text(c, EXIM_MAIN_syslog_processname)),
		.syslog_pid = exim_main_bool(c, EXIM_MAIN_syslog_pid),
		.syslog_timestamp = exim_main_bool(c, EXIM_MAIN_syslog_timestamp),
		.syslog_duplication = exim_main_bool(c, EXIM_MAIN_syslog_duplication),
	};
	int rc;

	places(c, a, &f);
	rc = eximlog_set_form(&f, socket, err);
	arena_free(&a);
	return (rc);
}

static void
slow(void *arg, const char *type, const char *name, int64_t ms)
{
	eximlog_write(EXIMLOG_MAIN, "Long %s lookup for '%s': %lld msec", type, name, (long long)ms);
}

void
daemon_watch_lookups(const struct exim_conf *c)
{
	dns_watch_slow(exim_main_int(c, EXIM_MAIN_slow_lookup_log), slow, NULL);
}
