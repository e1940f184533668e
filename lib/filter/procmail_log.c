/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a run says: messages and the abstract of a delivery in procmail's form, to LOGFILE, else to the
 * descriptor or interface it was given.  A line goes out in one write.
 */
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "filter/procmail_int.h"
#include "os/fd.h"
#include "os/file.h"

#define LINE_MAX_BYTES	1000		/* buffered for one write; more goes out at once */
#define SUBJECT_MAX	78
#define FOLDER_MAX	60		/* of a folder's name in the abstract */

void
pm_log_flush(struct pm *pm)
{
	struct sv text = sb_sv(&pm->logline);

	if (text.len == 0)
		return;
	if (pm->log_fd >= 0)
		(void)os_write_full(pm->log_fd, text.p, text.len);
	else
		filter_log(pm->ops, &pm->pos, text);
	sb_clear(&pm->logline);
}

void
pm_log_text(struct pm *pm, struct sv text)
{
	if (pm->muted)
		return;
	if (text.len == 0) {
		pm_log_flush(pm);
		return;
	}
	sb_add(&pm->logline, text);
	if (text.p[text.len - 1] == '\n' || pm->logline.len >= LINE_MAX_BYTES)
		pm_log_flush(pm);
}

void
pm_log(struct pm *pm, const char *fmt, ...)
{
	struct sb sb = SB_INIT(SIZE_MAX / 4);
	va_list ap;

	va_start(ap, fmt);
	sb_addv(&sb, fmt, ap);
	va_end(ap);
	pm_log_text(pm, sb_sv(&sb));
	sb_free(&sb);
}

void
pm_nlog(struct pm *pm, const char *text)
{
	char stamp[32];
	time_t now;

	pm_log(pm, "procmail: ");
	if (pm->verbose != 0 && (now = time(NULL)) != (time_t)pm->log_time) {
		pm->log_time = (int64_t)now;
		pm_log(pm, "[%ld] %sprocmail: ", (long)getpid(), ctime_r(&now, stamp));
	}
	pm_log_text(pm, sv_cstr(text));
}

void
pm_nlogq(struct pm *pm, const char *text, const char *quoted)
{
	pm_nlog(pm, text);
	pm_log(pm, " \"%s\"\n", quoted);
}

void
pm_yell(struct pm *pm, const char *text, const char *quoted)
{
	if (pm->verbose != 0)
		pm_nlogq(pm, text, quoted);
}

void
pm_skipped(struct pm *pm, const char *what)
{
	if (*what != '\0')
		pm_nlogq(pm, "Skipped", what);
}

void
pm_extraneous(struct pm *pm, const char *what)
{
	pm_nlog(pm, "Extraneous ");
	pm_log(pm, "%s ignored\n", what);
}

void
pm_overflow(struct pm *pm)
{
	pm_nlog(pm, "Exceeded LINEBUF\n");
	pm_set_overflow(pm);
}

void
pm_trace(struct pm *pm, const char *fmt, ...)
{
	struct sb sb = SB_INIT(4096);
	va_list ap;

	if (!filter_tracing(pm->ops))
		return;
	va_start(ap, fmt);
	sb_addv(&sb, fmt, ap);
	va_end(ap);
	filter_trace(pm->ops, &pm->pos, "%s", sb_cstr(&sb));
	sb_free(&sb);
}

void
pm_log_open(struct pm *pm, const char *path)
{
	int fd;

	pm_log_flush(pm);
	if (*path == '\0')
		path = "/dev/null";
	if (pm->ops->dry)
		return;
	pm_yell(pm, "Opening", path);
	pm_settle(pm);
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0667);
	if (fd == -1) {
		pm_nlogq(pm, "Error while writing to", path);
		return;
	}
	(void)os_nonblock(fd, false);
	if (pm->log_opened)
		(void)close(pm->log_fd);
	pm->log_fd = fd;
	pm->log_opened = true;
}

/* --- the abstract ------------------------------------------------------------ */

static void
detab(char *s)
{
	for (; (s = strpbrk(s, "\t\n\v\f\r")) != NULL;)
		*s = ' ';
}

static void
log_from(struct pm *pm, struct sv head)
{
	ptrdiff_t nl;

	if (!sv_starts(head, "From "))
		return;
	nl = sv_chr(head, '\n');
	pm_log_text(pm, nl < 0 ? head : sv_sub(head, 0, (size_t)nl));
	pm_log(pm, "\n");
}

/* The first Subject: field's first line, as it stands in the header. */
static void
log_subject(struct pm *pm, struct sv head)
{
	struct sv line;
	char text[SUBJECT_MAX + 1];

	while (sv_next(&head, '\n', &line)) {
		size_t n = line.len > SUBJECT_MAX ? SUBJECT_MAX : line.len;

		if (!sv_casestarts(line, "Subject:"))
			continue;
		memcpy(text, line.p, n);
		text[n] = '\0';
		detab(text);
		pm_log(pm, " %s\n", text);
		return;
	}
}

bool
pm_log_tells(const struct pm *pm)
{
	return (pm->logabstract > 0 || (pm->logabstract < 0 && (pm->log_opened || pm->verbose != 0)));
}

void
pm_log_abstract(struct pm *pm, const char *folder)
{
	struct sv head = sv_from(pm->mail.p, pm->mail.body);
	char name[FOLDER_MAX + 1];
	size_t n = strlen(folder);
	int col;

	if (!pm_log_tells(pm))
		return;
	if (pm->mail.read) {
		log_from(pm, head);
		if (!pm->signal_end)
			log_subject(pm, head);
	}
	if (n > FOLDER_MAX)
		n = FOLDER_MAX;
	memcpy(name, folder, n);
	name[n] = '\0';
	detab(name);
	pm_log(pm, "  Folder: %s", name);
	col = (int)(strlen(name) + strlen("  Folder: "));
	col -= col % 8;
	do
		pm_log(pm, "\t");
	while ((col += 8) < 72);
	pm_log(pm, "%7zu\n", pm->last_dump);
}

/* --- comsat(8) ---------------------------------------------------------------- */

static void
comsat_to(struct pm *pm, const char *spec, struct sv text)
{
	const char *at = strchr(spec, '@');
	char *service = at == NULL ? xstrdup("") : xstrndup(spec, (size_t)(at - spec));
	const char *host = at == NULL || at[1] == '\0' ? "localhost" : at + 1;
	struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_DGRAM }, *res = NULL;
	int fd;

	if (getaddrinfo(host, *service == '\0' ? "biff" : service, &hints, &res) == 0 && res != NULL &&
	    (fd = socket(res->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0)) >= 0) {
		(void)sendto(fd, text.p, text.len, MSG_DONTWAIT | MSG_NOSIGNAL, res->ai_addr, res->ai_addrlen);
		(void)close(fd);
		pm_yell(pm, "Notified comsat:", text.p);
	}
	if (res != NULL)
		freeaddrinfo(res);
	free(service);
}

void
pm_comsat(struct pm *pm, const char *folder)
{
	struct sb sb = SB_INIT(65536);

	if (!pm->comsat || pm->ops->dry || (folder == NULL && (folder = pm->comsat_folder) == NULL))
		return;
	sb_addf(&sb, "%s@", pm_gets(pm, "LOGNAME"));
	if (pm->last_tell >= 0)
		sb_addf(&sb, "%lld", (long long)pm->last_tell);
	sb_addf(&sb, ":%s", folder);
	comsat_to(pm, pm_gets(pm, "COMSAT"), sv_from(sb_cstr(&sb), sb.len));
	sb_free(&sb);
}
