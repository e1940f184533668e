/* SPDX-License-Identifier: BSD-2-Clause */
/* The queue, printed as Exim's -bp prints it, and commands about it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/hash.h"
#include "mail/header.h"
#include "os/file.h"
#include "sendmail_int.h"
#include "spool/client.h"

#define CALL_MS		60000

struct entry {
	char		 id[SPOOL_ID_SIZE];
	int64_t		 received;
	char		*text;
};

struct listing {
	const struct options *o;
	VEC(struct entry) v;
	size_t		 count;
	uint64_t	 bytes;
};

/* Exim's string_format_size(). */
static void
put_size(struct sb *out, uint64_t size)
{
	if (size == 0)
		sb_adds(out, "     ");
	else if (size < 1024)
		sb_addf(out, "%5d", (int)size);
	else if (size < 10 * 1024)
		sb_addf(out, "%4.1fK", (double)size / 1024.0);
	else if (size < 1024 * 1024)
		sb_addf(out, "%4dK", (int)((size + 512) / 1024));
	else if (size < 10 * 1024 * 1024)
		sb_addf(out, "%4.1fM", (double)size / (1024.0 * 1024.0));
	else
		sb_addf(out, "%4dM", (int)((size + 512 * 1024) / (1024 * 1024)));
}

static void
put_age(struct sb *out, int64_t received)
{
	int64_t m = ((int64_t)time(NULL) - received) / 60;

	if (m <= 90) {
		sb_addf(out, "%2dm ", m < 0 ? 0 : (int)m);
		return;
	}
	m = (m + 30) / 60;
	if (m > 72)
		sb_addf(out, "%2dd ", (int)((m + 12) / 24));
	else
		sb_addf(out, "%2dh ", (int)m);
}

/* With ids on the command line, only those (or addresses that hold the text, as exiqgrep's users try). */
static bool
wanted(const struct options *o, const struct spool_listed *l)
{
	for (size_t i = 0; i < o->args.len; i++)
		if (sv_eqs(l->id, o->args.p[i]))
			return (true);
	return (o->args.len == 0);
}

static void
put_exim(struct sb *out, const struct options *o, const struct spool_listed *l)
{
	put_age(out, l->received);
	put_size(out, l->size);
	sb_addf(out, " " SV_FMT " <" SV_FMT ">%s\n", SV_ARG(l->id), SV_ARG(l->sender), l->frozen ? " *** frozen ***" : "");
	for (size_t i = 0; i < l->nrcpts; i++)
		if (!l->rcpts[i].done || !o->undelivered)
			sb_addf(out, "        %s " SV_FMT "\n", l->rcpts[i].done ? "D" : " ", SV_ARG(l->rcpts[i].addr));
	sb_addc(out, '\n');
}

/* As Postfix lists its queue: id with a mark, size, arrival, sender; the reason; recipients that wait. */
static void
put_postfix(struct sb *out, const struct spool_listed *l)
{
	time_t t = (time_t)l->received;
	char when[32], id[SPOOL_ID_SIZE + 2];
	struct tm tm;

	(void)localtime_r(&t, &tm);
	(void)strftime(when, sizeof(when), "%a %b %e %H:%M:%S", &tm);
	(void)snprintf(id, sizeof(id), SV_FMT "%s", SV_ARG(l->id), l->frozen ? "!" : l->active ? "*" : "");
	sb_addf(out, "%-24s %8llu %s  " SV_FMT "\n", id, (unsigned long long)l->size, when,
	    SV_ARG(l->sender.len > 0 ? l->sender : SV_LIT("MAILER-DAEMON")));
	if (l->reason.len > 0)
		sb_addf(out, "%*s(" SV_FMT ")\n", 10, "", SV_ARG(l->reason));
	for (size_t i = 0; i < l->nrcpts; i++)
		if (!l->rcpts[i].done)
			sb_addf(out, "%*s" SV_FMT "\n", 52, "", SV_ARG(l->rcpts[i].addr));
	sb_addc(out, '\n');
}

static void
add_entry(void *arg, const struct spool_listed *l)
{
	struct listing *ls = arg;
	struct sb out = SB_INIT(64 * 1024 * 1024);
	struct entry e = { .received = l->received };

	if (!wanted(ls->o, l))
		return;
	ls->count++;
	ls->bytes += l->size;
	if (ls->o->mode == MODE_COUNT)
		return;
	if (ls->o->postfix)
		put_postfix(&out, l);
	else
		put_exim(&out, ls->o, l);
	(void)snprintf(e.id, sizeof(e.id), SV_FMT, SV_ARG(l->id));
	e.text = sb_steal(&out, NULL);
	vec_push(&ls->v, e);
}

static int
older_first(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->received != y->received)
		return (x->received < y->received ? -1 : 1);
	return (strcmp(x->id, y->id));
}

int
queue_list(const struct box *b, const struct options *o, struct err *err)
{
	struct listing ls = { .o = o };

	if (spool_queue_list(box_path(b, BOX_SOCK_QUEUE), o->postfix ? SPOOL_QUEUES_ALL : o->queue, o->domain,
	    add_entry, &ls, err) == -1) {
		err_prefix(err, "vqueued does not answer");
		return (EX_TEMPFAIL);
	}
	if (o->mode == MODE_COUNT)
		printf("%zu\n", ls.count);
	if (!o->unsorted && ls.v.len > 0)
		qsort(ls.v.p, ls.v.len, sizeof(*ls.v.p), older_first);
	if (o->postfix)
		puts(ls.count == 0 ? "Mail queue is empty" :
		    "-Queue ID-               --Size-- ----Arrival Time---- -Sender/Recipient-------");
	for (size_t i = 0; i < ls.v.len; i++) {
		(void)fputs(ls.v.p[i].text, stdout);
		free(ls.v.p[i].text);
	}
	if (o->postfix && ls.count > 0)
		printf("-- %llu Kbytes in %zu Request%s.\n", (unsigned long long)(ls.bytes / 1024), ls.count,
		    ls.count == 1 ? "" : "s");
	vec_free(&ls.v);
	return (EX_OK);
}

/* -Mvh, -Mvb, -Mvc: header, body, or both, as they lie in the spool. */
static int
show(const struct box *b, const char *id, char part, struct err *err)
{
	struct sb req = SB_INIT(1024), text = SB_INIT(MESSAGE_MAX);
	struct arena *a = arena_new(0);
	struct mail_headers h;
	int fd = -1, rc = -1;
	struct ipc_msg reply;
	uint64_t off, len;
	struct sv out;
	char *room;

	ipc_begin(&req, SPOOL_IPC_SHOW);
	ipc_put_str(&req, SPOOL_T_ID, id);
	if (ipc_call_once_fd(box_path(b, BOX_SOCK_QUEUE), &req, -1, &reply, &fd, CALL_MS, err) == -1)
		goto out;
	off = ipc_get_u64(&reply, SPOOL_T_OFFSET, 0);
	len = ipc_get_u64(&reply, SPOOL_T_LENGTH, 0);
	ipc_msg_free(&reply);
	if (fd == -1 || (room = sb_room(&text, len)) == NULL || os_pread_full(fd, room, len, (off_t)off) != (ssize_t)len) {
		(void)err_set(err, ERR_TEMP, NULL, "%s: the content cannot be read", id);
		goto out;
	}
	sb_took(&text, len);
	mail_headers_parse(&h, a, sb_sv(&text), MAIL_HEADERS_STOP);
	out = part == 'h' ? sv_sub(sb_sv(&text), 0, h.fields_end) :
	    part == 'b' ? sv_sub(sb_sv(&text), h.body_start, text.len) : sb_sv(&text);
	rc = os_write_full(STDOUT_FILENO, out.p, out.len) == -1 ? err_sys(err, "standard output") : 0;
out:
	if (fd != -1)
		(void)close(fd);
	sb_free(&req);
	sb_free(&text);
	arena_free(&a);
	return (rc);
}

/* -Mmad ID: all recipients; -Mmd ID ADDRESS...: those. */
static int
mark(const struct box *b, const struct options *o, unsigned *count, struct err *err)
{
	struct sb req = SB_INIT(IPC_FRAME_MAX);
	struct ipc_msg reply;
	int rc;

	ipc_begin(&req, SPOOL_IPC_MARK);
	ipc_put_str(&req, SPOOL_T_ID, o->args.p[0]);
	for (size_t i = 1; i < o->args.len; i++)
		ipc_put_str(&req, SPOOL_T_ADDR, o->args.p[i]);
	rc = ipc_call_once(box_path(b, BOX_SOCK_QUEUE), &req, -1, &reply, CALL_MS, err);
	sb_free(&req);
	if (rc == 0) {
		*count = (unsigned)ipc_get_u64(&reply, SPOOL_T_COUNT, 0);
		ipc_msg_free(&reply);
	}
	return (rc);
}

/* -Mvl: a box has one log for all messages; the lines of <id>, as far as the last rotation but one. */
static int
show_log(const struct box *b, const char *id, struct err *err)
{
	static const char *const names[] = { "mainlog.1", "mainlog" };
	int rc = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *path = arena_fmt(b->arena, "%s/%s", box_path(b, BOX_LOG), names[i]);
		FILE *f = fopen(path, "re");
		char *line = NULL;
		size_t cap = 0;

		while (f != NULL && getline(&line, &cap, f) > 0)
			if (strstr(line, id) != NULL)
				(void)fputs(line, stdout);
		if (f == NULL && i + 1 == sizeof(names) / sizeof(names[0]))
			rc = err_sys(err, "%s", path);
		free(line);
		if (f != NULL)
			(void)fclose(f);
	}
	return (rc);
}

/* What is said of a message that a command met: by Exim's names, where nothing was to do, and by postsuper. */
static const struct words {
	unsigned	 what;
	const char	*done, *same, *postfix;
} all_words[] = {
	{ SPOOL_IPC_FREEZE, "is now frozen", "is already frozen", "Placed on hold" },
	{ SPOOL_IPC_THAW, "is no longer frozen", "is not frozen", "Released from hold" },
	{ SPOOL_IPC_REMOVE, "has been removed", NULL, "Deleted" },
	{ SPOOL_IPC_FLUSH, NULL, NULL, "Requeued" },
};

static const struct words *
words_of(unsigned what)
{
	for (size_t i = 0; i < sizeof(all_words) / sizeof(all_words[0]); i++)
		if (all_words[i].what == what)
			return (&all_words[i]);
	return (NULL);
}

/* Values of a table of ids: what a message is. */
static char is_frozen, is_free;

static void
note_state(void *arg, const struct spool_listed *l)
{
	(void)hash_set(arg, l->id, l->frozen ? &is_frozen : &is_free);
}

/* An error of the socket <path> says that nobody is there; others have their own words. */
static int
failed(const char *path, struct err *err)
{
	if (strncmp(err->text, path, strlen(path)) == 0)
		err_prefix(err, "vqueued does not answer");
	return (EX_TEMPFAIL);
}

/* -Mf, -Mt, -Mrm, one message after the other, with Exim's words for each. */
static int
each_id(const char *path, const struct options *o, const struct words *w, struct err *err)
{
	void *wanted = o->what == SPOOL_IPC_FREEZE ? &is_frozen : &is_free;
	struct hash *states = hash_new();
	int rc = EX_OK;

	if (w->same != NULL && spool_queue_list(path, SPOOL_QUEUES_ALL, NULL, note_state, states, err) == -1)
		rc = failed(path, err);
	for (size_t i = 0; i < o->args.len && rc != EX_TEMPFAIL; i++) {
		const char *id = o->args.p[i];
		unsigned count = 0;

		if (w->same != NULL && hash_get(states, sv_cstr(id)) == wanted) {
			printf("Message %s %s\n", id, w->same);
			rc = 1;
		} else if (spool_queue_command(path, (enum spool_ipc)o->what, &id, 1, NULL, NULL, o->force, &count, err) == -1) {
			rc = failed(path, err);
		} else if (count > 0) {
			printf("Message %s %s\n", id, w->done);
			(void)hash_set(states, sv_cstr(id), wanted);
		} else {
			(void)err_set(err, ERR_PERM, NULL, "no such message on the queue");
			rc = 1;
		}
	}
	hash_free(&states, NULL);
	return (rc);
}

/* A command for ids, none of which was looked at; MARK has addresses behind its id. */
static int
check_ids(const struct options *o, struct err *err)
{
	if (o->what == 0)
		return (err_set(err, ERR_PERM, NULL, "-M%s works with -C only; in a box send the message anew", o->m_what));
	if (o->args.len == 0)
		return (err_set(err, ERR_PERM, NULL, o->m_what != NULL ? "-M needs message ids" : "message ids are missing"));
	for (size_t i = 0; i < o->args.len; i++)
		if (o->what != SPOOL_IPC_MARK && !spool_id_valid(sv_cstr(o->args.p[i])))
			return (err_set(err, ERR_PERM, NULL, "\"%s\" is no message id", o->args.p[i]));
	return (0);
}

int
queue_command(const struct box *b, const struct options *o, struct err *err)
{
	const char *path = box_path(b, BOX_SOCK_QUEUE);
	const struct words *w = words_of(o->what);
	unsigned count = 0;
	int rc = 0;

	if (o->mode == MODE_QUEUE)
		return (spool_queue_command(path, SPOOL_IPC_FLUSH, NULL, 0, o->queue, o->domain, o->force, &count, err) == -1 ?
		    failed(path, err) : EX_OK);
	if (check_ids(o, err) == -1)
		return (EX_USAGE);
	if (o->what == SPOOL_IPC_SHOW) {
		for (size_t i = 0; i < o->args.len && rc == 0; i++)
			rc = o->show == 'l' ? show_log(b, o->args.p[i], err) : show(b, o->args.p[i], o->show, err);
		return (rc == 0 ? EX_OK : 1);
	}
	if (o->m_what != NULL && w != NULL && w->done != NULL)
		return (each_id(path, o, w, err));
	if (o->what == SPOOL_IPC_MARK)
		rc = mark(b, o, &count, err);
	else
		rc = spool_queue_command(path, (enum spool_ipc)o->what, o->args.p, o->args.len, o->to_queue, NULL,
		    o->force, &count, err);
	if (rc == -1)
		return (failed(path, err));
	if (count == 0) {
		(void)err_set(err, ERR_PERM, NULL, "no such message on the queue");
		return (1);
	}
	if (o->what == SPOOL_IPC_MARK)
		printf("Message %s has been modified\n", o->args.p[0]);
	else if (o->m_what == NULL && !o->postfix && w != NULL)
		(void)fprintf(stderr, "postsuper: %s: %u message%s\n", w->postfix, count, count == 1 ? "" : "s");
	return (EX_OK);
}
