/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vpost status: each daemon with process, uid, age and memory; each port that a process of the box
 * listens on, with the setting that asks for it; each port asked for that nobody opened.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/vec.h"
#include "os/listening.h"
#include "os/user.h"
#include "vpost_int.h"

struct wanted {
	const char	*setting;
	const char	*addr;
	bool		 open;
};

struct status {
	struct box	*box;
	VEC(struct wanted) wanted;
	const char	*daemon;
	pid_t		 pid;
	int		 workers;
	int64_t		 rss;
	bool		 bad;
};

static const struct {
	const char	*setting;
	const char	*service;
	size_t		 offset;
} listens[] = {
	{ "smtp_listen", "smtp", offsetof(struct box, smtp_listen) },
	{ "submission_listen", "smtp", offsetof(struct box, submission_listen) },
	{ "smtps_listen", "smtp", offsetof(struct box, smtps_listen) },
	{ "pop3_listen", "pop3", offsetof(struct box, pop3_listen) },
	{ "pop3s_listen", "pop3", offsetof(struct box, pop3s_listen) },
	{ "imap_listen", "imap", offsetof(struct box, imap_listen) },
	{ "imaps_listen", "imap", offsetof(struct box, imaps_listen) },
};

static void
collect_wanted(struct status *s)
{
	for (size_t i = 0; i < sizeof(listens) / sizeof(listens[0]); i++) {
		const box_listens *l = (const box_listens *)(const void *)((const char *)s->box + listens[i].offset);

		if (!service_on(s->box, listens[i].service))
			continue;
		for (size_t k = 0; k < l->len; k++) {
			struct wanted w = { listens[i].setting, l->p[k].text, false };

			vec_push(&s->wanted, w);
		}
	}
}

static void
age_text(int64_t secs, char *buf, size_t size)
{
	if (secs < 0)
		(void)snprintf(buf, size, "?");
	else if (secs < 120)
		(void)snprintf(buf, size, "%ds", (int)secs);
	else if (secs < 7200)
		(void)snprintf(buf, size, "%dm", (int)(secs / 60));
	else if (secs < 172800)
		(void)snprintf(buf, size, "%dh", (int)(secs / 3600));
	else
		(void)snprintf(buf, size, "%dd", (int)(secs / 86400));
}

static void
count_child(void *arg, pid_t child)
{
	struct status *s = arg;
	struct os_process p;

	s->workers++;
	if (os_process_info(child, &p, NULL) == 0)
		s->rss += p.rss;
}

static void
show_daemon(struct status *s, const char *daemon)
{
	struct os_process p;
	struct os_user u;
	char age[16], uid[32];

	s->pid = running_pid(s->box, daemon);
	if (s->pid == 0 || os_process_info(s->pid, &p, NULL) == -1) {
		printf("%-9s DOWN\n", daemon);
		s->bad = true;
		return;
	}
	s->workers = 0;
	s->rss = p.rss;
	(void)os_children(s->pid, count_child, s, NULL);
	age_text(p.age, age, sizeof(age));
	if (os_user_by_uid(p.uid, &u, NULL) == 1)
		(void)snprintf(uid, sizeof(uid), "%.30s", u.name);
	else
		(void)snprintf(uid, sizeof(uid), "%u", (unsigned)p.uid);
	printf("%-9s up     pid %-7d uid %-10s since %-5s workers %d  memory %d MB\n", daemon, (int)s->pid, uid, age, s->workers,
	    (int)(s->rss / 1024 / 1024));
}

static void
show_port(void *arg, const char *addr)
{
	struct status *s = arg;
	const char *setting = NULL;

	for (size_t i = 0; i < s->wanted.len; i++)
		if (strcmp(s->wanted.p[i].addr, addr) == 0) {
			s->wanted.p[i].open = true;
			setting = s->wanted.p[i].setting;
		}
	printf("%-24s %s[%d]  %s\n", addr, s->daemon, (int)s->pid, setting != NULL ? setting : "NOT ASKED FOR by any setting");
	if (setting == NULL)
		s->bad = true;
}

static void
tell_damage(void *arg, const char *text)
{
	struct status *s = arg;

	printf("\nDAMAGED  %s\n", text);
	s->bad = true;
}

int
cmd_status(int argc, char **argv)
{
	struct status s;
	const char *dir;

	memset(&s, 0, sizeof(s));
	if (box_arg(argc, argv, "status [BOX]", &dir) == -1)
		return (2);
	if ((s.box = open_box(dir)) == NULL)
		return (1);
	collect_wanted(&s);
	printf("%s\n", s.box->root);
	for (size_t i = 0; services[i].name != NULL; i++) {
		if (service_on(s.box, services[i].name))
			show_daemon(&s, services[i].daemon);
		else
			printf("%-9s off\n", services[i].daemon);
	}
	printf("\nlistening\n");
	for (size_t i = 0; services[i].name != NULL; i++) {
		struct err err = ERR_INIT;

		s.daemon = services[i].daemon;
		s.pid = running_pid(s.box, s.daemon);
		if (s.pid != 0 && os_listening(s.pid, show_port, &s, &err) == -1)
			(void)complain(&err);
	}
	for (size_t i = 0; i < s.wanted.len; i++)
		if (!s.wanted.p[i].open) {
			printf("%-24s NOT OPEN  %s asks for it\n", s.wanted.p[i].addr, s.wanted.p[i].setting);
			s.bad = true;
		}
	damaged_segments(s.box, tell_damage, &s);
	vec_free(&s.wanted);
	box_free(&s.box);
	return (s.bad ? 1 : 0);
}
