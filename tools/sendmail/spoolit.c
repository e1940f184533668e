/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Past vsmtpd: to vqueued, and where that is down too, a file in its queue directory,
 * which it finds at its next start.  The message is on disk before we say so.
 */
#include <sys/mman.h>
#include <sys/stat.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "log/log.h"
#include "mail/date.h"
#include "mail/header.h"
#include "mail/msgid.h"
#include "mail/received.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/priv.h"
#include "os/proc.h"
#include "os/user.h"
#include "sendmail_int.h"
#include "spool/client.h"
#include "spool/queuefile.h"

/* Received, and what a submission must have: Date and Message-ID. */
static void
add_fields(struct message *m, const char *id, const struct mail_headers *h)
{
	struct sb out = SB_INIT(MESSAGE_MAX * 2);
	char date[MAIL_DATE_MAX], host[256];

	os_hostname(host, sizeof(host));
	if (m->box->hostname[0] != '\0')
		(void)snprintf(host, sizeof(host), "%s", m->box->hostname);
	(void)mail_date_format_local(date, (int64_t)time(NULL));
	sb_addf(&out, "Received: from %s by %s with local (vpost)\r\n\t(envelope-from <%s>)\r\n\tid %s", m->login, host,
	    m->sender, id);
	if (m->rcpts.len == 1)
		sb_addf(&out, "\r\n\tfor %s", m->rcpts.p[0]);
	sb_addf(&out, ";\r\n\t%s\r\n", date);
	if (mail_headers_get(h, "Date").p == NULL)
		sb_addf(&out, "Date: %s\r\n", date);
	if (mail_headers_get(h, "Message-ID").p == NULL)
		sb_addf(&out, "Message-ID: <E%s@%s>\r\n", id, host);
	sb_add(&out, sb_sv(&m->text));
	sb_free(&m->text);
	m->text = out;
}

/* -N: "never", or any of "success,failure,delay". */
static unsigned
notify_bits(const char *text)
{
	static const struct { const char *name; unsigned bit; } t[] = { { "never", SPOOL_NOTIFY_NEVER },
		{ "success", SPOOL_NOTIFY_SUCCESS }, { "failure", SPOOL_NOTIFY_FAILURE }, { "delay", SPOOL_NOTIFY_DELAY } };
	struct sv rest = text == NULL ? SV_LIT("") : sv_cstr(text), word;
	unsigned bits = 0;

	while (sv_next(&rest, ',', &word))
		for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
			if (sv_caseeqs(sv_trim(word), t[i].name))
				bits |= t[i].bit;
	return (bits);
}

static void
fill_envelope(struct spool_envelope *e, struct message *m, const struct options *o)
{
	struct mail_headers h;
	struct sv id;

	spool_envelope_init(e);
	mail_headers_parse(&h, m->arena, sb_sv(&m->text), MAIL_HEADERS_STOP);
	add_fields(m, e->id, &h);
	mail_headers_parse(&h, m->arena, sb_sv(&m->text), MAIL_HEADERS_STOP);
	e->flags = SPOOL_LOCAL | SPOOL_SUBMISSION | (m->eightbit ? SPOOL_8BITMIME : 0) | (m->utf8 ? SPOOL_SMTPUTF8 : 0);
	e->sender = sv_cstr(m->sender);
	e->nrcpts = m->rcpts.len;
	e->rcpts = arena_zalloc(m->arena, (m->rcpts.len + 1) * sizeof(*e->rcpts));
	for (size_t i = 0; i < m->rcpts.len; i++) {
		e->rcpts[i].addr = sv_cstr(m->rcpts.p[i]);
		e->rcpts[i].notify = notify_bits(o->notify);
	}
	if (o->envid != NULL)
		e->envid = sv_cstr(o->envid);
	if (o->ret != NULL)
		e->ret = sv_caseeqs(sv_cstr(o->ret), "HDRS") ? SPOOL_RET_HDRS : SPOOL_RET_FULL;
	e->protocol = o->mode == MODE_BATCH ? SV_LIT("local-bsmtp") : SV_LIT("local");
	/* -oMr of somebody trusted, as who may write to the queue is. */
	if (o->protocol != NULL && (getuid() == 0 || access(box_path(m->box, BOX_QUEUE), W_OK) == 0))
		e->protocol = sv_cstr(o->protocol);
	if (m->helo != NULL)
		e->helo = sv_cstr(m->helo);
	e->ident = sv_cstr(m->login);
	e->auth_id = sv_cstr(m->login);
	id = mail_msgid_first(mail_headers_get(&h, "Message-ID"));
	if (id.len > 2)
		e->message_id = sv_sub(id, 1, id.len - 1);
	e->subject = sv_sub(mail_headers_get(&h, "Subject"), 0, 1024);
	e->size = m->text.len;
	e->header_size = h.body_start;
	e->received_count = (uint32_t)mail_received_count(&h);
	for (size_t i = h.body_start; i < m->text.len; i++) {
		e->body_lines += m->text.p[i] == '\n';
		e->body_zeros += m->text.p[i] == '\0';
	}
}

static int
to_vqueued(const struct message *m, const struct spool_envelope *e, struct err *err)
{
	int fd = memfd_create("message", MFD_CLOEXEC), rc;

	if (fd == -1)
		return (err_sys(err, "memory file"));
	if (os_write_full(fd, m->text.p, m->text.len) == -1)
		rc = err_sys(err, "memory file");
	else
		rc = spool_queue_inject(box_path(m->box, BOX_SOCK_QUEUE), e, fd, 0, err);
	(void)close(fd);
	return (rc);
}

/* The file belongs to whom the queue belongs: root gives it away by becoming that user first. */
static int
to_queue_dir(const struct message *m, const struct spool_envelope *e, struct err *err)
{
	struct iovec iov = { .iov_base = m->text.p, .iov_len = m->text.len };
	struct spool_content c = { .iov = &iov, .niov = 1, .fd = -1 };
	struct spool_qfile *q;
	int rc;

	if (os_is_root() && os_user_by_name(m->box->user, &(struct os_user){ .uid = 0 }, NULL) == 1 &&
	    os_drop_to(m->box->user, err) == -1)
		return (-1);
	(void)umask(077);
	q = spool_qfile_new();
	q->env = *e;
	q->rcpts = arena_zalloc(q->arena, (e->nrcpts + 1) * sizeof(*q->rcpts));
	rc = spool_qfile_create(box_path(m->box, BOX_QUEUE), q, &c, err);
	spool_qfile_free(&q);
	if (rc == -1)
		return (-1);
	/* vqueued logs what it takes in; of this file nobody else tells. */
	if (eximlog_open(box_path(m->box, BOX_LOG), NULL) == 0) {
		eximlog_write(EXIMLOG_MAIN, "%s <= %s U=%s P=local S=%zu", e->id, m->sender[0] == '\0' ? "<>" : m->sender,
		    m->login, m->text.len);
		eximlog_flush();
	}
	return (0);
}

/* Somebody answers on vqueued's socket. */
static bool
vqueued_runs(const struct box *b)
{
	int fd = os_unix_connect(box_path(b, BOX_SOCK_QUEUE));

	if (fd != -1)
		(void)close(fd);
	return (fd != -1);
}

int
submit_to_queue(struct message *m, const struct options *o, struct err *err)
{
	struct spool_envelope e;

	fill_envelope(&e, m, o);
	/*
	 * Where vqueued runs it has the last word: past it a message would ignore what it said (no room), or be there twice
	 * (it took it, and its answer was lost).
	 */
	if (vqueued_runs(m->box)) {
		if (to_vqueued(m, &e, err) == 0)
			return (EX_OK);
		return (err->cls == ERR_PERM ? EX_DATAERR : EX_TEMPFAIL);
	}
	if (to_queue_dir(m, &e, err) == 0)
		return (EX_OK);
	err_prefix(err, "neither vsmtpd nor vqueued runs, and the queue cannot be written");
	return (EX_TEMPFAIL);
}
