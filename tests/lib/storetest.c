/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Real vstored and vlocald under the eyes of a client and a reader: requests, announcements,
 * locks, deliveries, and a vstored that is killed meanwhile.  Makes a box in a temporary directory.
 *
 *	storetest SBIN
 */
#include <sys/stat.h>
#include <sys/wait.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>

#include "fiber/fiber.h"
#include "ipc/ipc.h"
#include "store/client.h"
#include "store/deliver.h"
#include "store/reader.h"

static char root[64] = "/tmp/vpost-storetest-XXXXXX";
static const char *sbin;
static unsigned checks, failures, changes;
static uint64_t changed_box, barrier_done;
static struct fiber *main_fiber;

#define CHECK(x)	check((x), #x, __LINE__)

static void
check(bool ok, const char *what, int line)
{
	checks++;
	if (ok)
		return;
	failures++;
	fprintf(stderr, "line %d: %s\n", line, what);
}

static void
ok(int rc, const struct err *err, int line)
{
	checks++;
	if (rc == 0)
		return;
	failures++;
	fprintf(stderr, "line %d: %s %s\n", line, err->status, err->text);
}
#define OK(call)	do { err_clear(&err); ok((call), &err, __LINE__); } while (0)

static pid_t
start(const char *name)
{
	char path[512];
	pid_t pid;

	snprintf(path, sizeof(path), "%s/%s", sbin, name);
	if ((pid = fork()) == 0) {
		execl(path, name, "-b", root, (char *)NULL);
		perror(path);
		_exit(127);
	}
	return (pid);
}

/* The daemon with its workers. */
static void
stop(pid_t pid, int sig)
{
	(void)kill(pid, sig);
	while (waitpid(pid, NULL, WNOHANG) == 0)
		(void)fiber_sleep(20);
}

static void
spool_file(const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/var/spool/intake/%s", root, name);
	if ((f = fopen(path, "w")) == NULL)
		exit(1);
	fputs(text, f);
	fclose(f);
}

static void
on_change(void *arg, uint64_t mbox)
{
	(void)arg;
	changes++;
	changed_box = mbox;
	fiber_wake(main_fiber);
}

static void
wait_changes(unsigned from)
{
	int64_t until = FIBER_NOW_PLUS(3000);

	while (changes == from && fiber_now() < until)
		(void)fiber_park(until);
}

static void
on_notice(void *arg, const struct ipc_msg *m)
{
	uint64_t instance;

	(void)arg;
	(void)store_barrier_read(m, &barrier_done, &instance);
}

static void
on_connect(void *arg, struct ipc_client *c)
{
	(void)arg;
	store_barrier_subscribe(c);
}

#define MSG "From: a@b.example\r\nSubject: s\r\n\r\nbody\r\n"

static struct store_answer
deliver(struct ipc_client *c, const char *user, const char *id)
{
	struct store_delivery d = { .origin = 5, .message = sv_cstr(id), .rcpt = sv_cstr(user), .to = STORE_TO_USER,
	    .user = sv_cstr(user), .prefix = SV_LIT("X: y\r\n"), .path = SV_LIT("var/spool/intake/seg"),
	    .len = sizeof(MSG) - 1, .date = 1 };
	struct sb frame = SB_INIT(IPC_FRAME_MAX);
	struct store_answer a = { .result = STORE_TEMP };
	struct err err = ERR_INIT;

	/* As the queue does: whatever is not answered is sent again. */
	for (int i = 0; i < 100; i++) {
		store_deliver_begin(&frame);
		(void)store_deliver_add(&frame, &d);
		if (store_deliver_call(c, &frame, 1, &a, FIBER_NOW_PLUS(5000), &err) == 0)
			break;
		(void)fiber_sleep(50);
	}
	sb_free(&frame);
	return (a);
}

static void
messages(struct store_client *c, struct store_reader *r, uint64_t inbox)
{
	const struct sv ann = SV_LIT("ann");
	struct store_range all = { 1, UINT32_MAX }, one = { 1, 1 };
	struct sv kw[] = { SV_LIT("$Label") };
	struct store_flags f = { .sys = STORE_SEEN, .keywords = kw, .nkeywords = 1 };
	struct store_appended a;
	struct store_copied cp;
	struct store_status st;
	struct store_view v;
	struct store_changes ch;
	store_ranges failed = VEC_INIT;
	struct err err = ERR_INIT;
	char path[256];
	uint64_t modseq, id;
	uint32_t n, recent;
	unsigned before;
	int fd;

	snprintf(path, sizeof(path), "%s/var/spool/intake/seg", root);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	store_client_watch(c, inbox);
	(void)fiber_sleep(50);
	before = changes;
	OK(store_client_append(c, ann, SV_LIT("user.ann"), fd, 0, sizeof(MSG) - 1, &f, 77, &a, &err));
	CHECK(a.mbox == inbox && a.uid == 1 && a.uidvalidity > 0);
	wait_changes(before);
	CHECK(changed_box == inbox);
	CHECK(store_view_open(r, inbox, &v, &err) == STORE_GET_OK);
	CHECK(v.messages == 1);
	OK(store_client_append(c, ann, SV_LIT("user.ann"), fd, 0, sizeof(MSG) - 1, &f, 77, &a, &err));
	(void)close(fd);
	CHECK(store_view_sync(r, &v, true, &ch, &err) == STORE_GET_OK && ch.added == 1);
	store_changes_free(&ch);
	OK(store_client_claim_recent(c, inbox, &recent, &err));
	CHECK(recent == 1);
	OK(store_client_claim_recent(c, inbox, &recent, &err));
	CHECK(recent == 3);
	f.sys = STORE_DELETED;
	OK(store_client_flags(c, ann, inbox, &one, 1, STORE_FLAGS_ADD, &f, UINT64_MAX, NULL, &modseq, &err));
	CHECK(modseq > 0);
	OK(store_client_flags(c, ann, inbox, &all, 1, STORE_FLAGS_ADD, &f, modseq - 1, &failed, &modseq, &err));
	CHECK(failed.len == 1 && failed.p[0].first == 1);
	vec_free(&failed);
	CHECK(store_client_flags(c, SV_LIT("eve"), inbox, &one, 1, STORE_FLAGS_ADD, &f, UINT64_MAX, NULL, &modseq,
	    &err) == -1);
	OK(store_client_create(c, ann, SV_LIT("user.ann.X"), &id, &err));
	OK(store_client_copy(c, ann, inbox, &all, 1, SV_LIT("user.ann.X"), false, &cp, &err));
	CHECK(cp.to.len == 1 && cp.to.p[0].last == 2);
	store_copied_free(&cp);
	CHECK(store_client_copy(c, ann, inbox, &all, 1, SV_LIT("user.ann.None"), false, &cp, &err) == -1);
	CHECK(strcmp(err.status, STORE_E_NONE) == 0);
	store_copied_free(&cp);
	OK(store_client_expunge(c, ann, inbox, &all, 1, true, &n, &err));
	CHECK(n == 2);
	CHECK(store_view_sync(r, &v, true, &ch, &err) == STORE_GET_OK && ch.expunged_seq.len == 2);
	store_changes_free(&ch);
	store_view_close(r, &v);
	OK(store_client_rename(c, ann, SV_LIT("user.ann.X"), SV_LIT("user.ann.Y"), &err));
	OK(store_client_subscribe(c, ann, SV_LIT("user.ann.Y"), true, &err));
	CHECK(store_reader_status(r, SV_LIT("user.ann.Y"), ann, false, &st, NULL, &err) == STORE_GET_OK &&
	    st.messages == 2);
	OK(store_client_delete(c, ann, SV_LIT("user.ann.Y"), &err));
	CHECK(store_reader_status(r, SV_LIT("user.ann.Y"), ann, false, &st, NULL, &err) == STORE_GET_NONE);
}

static void
locks(struct store_client *c, struct store_client *other, uint64_t inbox)
{
	struct err err = ERR_INIT;

	OK(store_client_lock(c, inbox, &err));
	CHECK(store_client_lock(other, inbox, &err) == -1);
	store_client_unlock(c, inbox);
	(void)fiber_sleep(50);
	OK(store_client_lock(other, inbox, &err));
	store_client_unlock(other, inbox);
}

/* vstored is killed between and during deliveries; each id is there once at the end. */
static void
kills(struct ipc_client *local, struct store_client *c, struct store_reader *r, pid_t *store)
{
	struct store_status st;
	struct err err = ERR_INIT;
	uint64_t last = 0, box;
	unsigned before = changes, n = 0;
	char id[32];

	OK(store_client_ensure_inbox(c, SV_LIT("bob"), &box, &err));
	store_client_watch(c, box);
	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < 25; i++, n++) {
			struct store_answer a;

			snprintf(id, sizeof(id), "m-%u", n);
			a = deliver(local, "bob", id);
			CHECK(a.result == STORE_INDEXED || a.result == STORE_DUPLICATE);
			if (a.commit > last)
				last = a.commit;
			if (i == 12) {
				stop(*store, SIGKILL);
				/* Readers do not need it. */
				CHECK(store_reader_status(r, SV_LIT("user.bob"), SV_NULL, false, &st, NULL,
				    &err) == STORE_GET_OK);
				CHECK(st.messages == n + 1);
				(void)fiber_sleep(100);
				*store = start("vstored");
			}
		}
		/* All of them again. */
		for (unsigned i = 0; i < n; i++) {
			snprintf(id, sizeof(id), "m-%u", i);
			CHECK(deliver(local, "bob", id).result == STORE_DUPLICATE);
		}
	}
	CHECK(store_reader_status(r, SV_LIT("user.bob"), SV_NULL, false, &st, NULL, &err) == STORE_GET_OK);
	CHECK(st.messages == n);
	CHECK(changes > before);
	for (int i = 0; i < 100 && barrier_done < last; i++)
		(void)fiber_sleep(50);
	CHECK(barrier_done >= last);
	OK(store_forget(local, 5, NULL, 0, &err));
	CHECK(deliver(local, "bob", "m-0").result == STORE_INDEXED);
	/* The watch was set again by itself. */
	before = changes;
	CHECK(deliver(local, "bob", "after").result == STORE_INDEXED);
	wait_changes(before);
	CHECK(changes > before);
}

static void
run(void *arg)
{
	char path[256], mail[256];
	struct store_client *c, *other;
	struct store_reader *r = NULL;
	struct ipc_client *local;
	struct err err = ERR_INIT;
	uint64_t inbox;
	pid_t store, vlocal;

	(void)arg;
	main_fiber = fiber_self();
	store = start("vstored");
	vlocal = start("vlocald");
	snprintf(path, sizeof(path), "%s/var/run/store.sock", root);
	c = store_client_new(path);
	other = store_client_new(path);
	store_client_on_change(c, on_change, NULL);
	snprintf(path, sizeof(path), "%s/var/run/local.sock", root);
	local = ipc_client_new(path);
	ipc_client_on_notice(local, on_notice, NULL);
	ipc_client_on_connect(local, on_connect, NULL);
	for (int i = 0; i < 200 && store_client_connect(c, &err) == -1; i++)
		(void)fiber_sleep(50);
	OK(store_client_ensure_inbox(c, SV_LIT("ann"), &inbox, &err));
	snprintf(mail, sizeof(mail), "%s/var/mail", root);
	OK(store_reader_open(&r, mail, (uint64_t)64 << 30, &err));
	if (r != NULL) {
		messages(c, r, inbox);
		locks(c, other, inbox);
		kills(local, c, r, &store);
	}
	store_reader_close(&r);
	stop(vlocal, SIGTERM);
	stop(store, SIGTERM);
	snprintf(path, sizeof(path), "%s/var/mail/cache.clean", root);
	CHECK(access(path, F_OK) == 0);
	store_client_free(&c);
	store_client_free(&other);
	ipc_client_free(&local);
	fiber_stop();
}

int
main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	char cmd[256];
	FILE *f;

	if (argc != 2 || mkdtemp(root) == NULL)
		return (64);
	sbin = argv[1];
	snprintf(cmd, sizeof(cmd), "cd %s && mkdir -p etc var/mail var/spool/intake var/run var/log", root);
	if (system(cmd) != 0)
		return (1);
	snprintf(cmd, sizeof(cmd), "%s/etc/vpost.conf", root);
	if ((f = fopen(cmd, "w")) == NULL)
		return (1);
	fprintf(f, "spool_reserve_min = 0\nspool_reserve_percent = 0\n%s", getuid() == 0 ? "user = root\n" : "");
	fclose(f);
	spool_file("seg", MSG);
	if (fiber_init(&err) == -1)
		return (1);
	(void)fiber_spawn("test", run, NULL);
	fiber_run();
	printf("%u checks, %u failed\n", checks, failures);
	if (failures == 0) {
		snprintf(cmd, sizeof(cmd), "rm -rf %s", root);
		(void)!system(cmd);
	} else
		fprintf(stderr, "see %s\n", root);
	return (failures != 0);
}
