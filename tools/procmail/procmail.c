/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * procmail: sort one message by rc files.  Command line, input and identities; the language itself
 * is lib/filter.
 */
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/sb.h"
#include "base/vec.h"
#include "filter/procmail.h"
#include "os/file.h"
#include "os/priv.h"
#include "os/user.h"

#define MESSAGE_MAX	((size_t)1 << 31)

static const char usage_text[] =
    "Usage: procmail [-vptoY] [-f fromwhom] [parameter=value | rcfile] ...\n"
    "   Or: procmail [-toY] [-f fromwhom] [-a argument] ... -d recipient ...\n"
    "   Or: procmail [-ptY] [-f fromwhom] -m [parameter=value] ... rcfile [arg] ...\n"
    "   Or: procmail [-toY] [-a argument] ... -z\n";

static volatile sig_atomic_t got_signal;

struct options {
	struct procmail	 p;
	VEC(const char *) args;
	const char	**recipients;	/* -d */
	bool		 no_recipient;	/* -d without one: that was said */
};

static void
on_signal(int sig)
{
	got_signal = sig;
}

static void
complain(const char *text, const char *quoted)
{
	if (quoted != NULL)
		(void)fprintf(stderr, "procmail: %s \"%s\"\n", text, quoted);
	else
		(void)fprintf(stderr, "procmail: %s\n", text);
}

/* --- options ---------------------------------------------------------------------- */

static int
version(void)
{
	struct os_user u;
	const char *name = os_user_by_uid(getuid(), &u, NULL) == 1 ? u.name : "?";

	(void)fprintf(stderr, "procmail v%s language, of vpost\n"
	    "\nLocking strategies:\tdotlocking, fcntl()\n"
	    "Default rcfile:\t\t$HOME/.procmailrc\n"
	    "\tprocmail lets your primary group write to it\n"
	    "Your system mailbox:\t/var/mail/%s (procmail makes it)\n"
	    "\nSee procmail(1) and procmailrc(5).\n", PROCMAIL_VERSION_TEXT, name);
	return (EX_OK);
}

/* The value of an option: the rest of its word, else the next one. */
static const char *
value(char *rest, char ***argv, const char *missing)
{
	if (*rest != '\0')
		return (rest);
	if ((*argv)[1] == NULL) {
		complain(missing, NULL);
		return (NULL);
	}
	return (*++*argv);
}

/* One word of options; -1: go on, else the exit status. */
static int
option_word(struct options *o, char *w, char ***argv, bool *last)
{
	const char *v;

	for (w++; *w != '\0'; w++) {
		switch (*w) {
		case 'v':
			return (version());
		case 'h':
		case '?':
			(void)fputs(usage_text, stderr);
			return (EX_USAGE);
		case 'z':
			complain("LMTP support not enabled in this binary", NULL);
			return (EX_USAGE);
		case 'p':
			o->p.preserve = true;
			break;
		case 'm':
			o->p.filter = true;
			break;
		case 'o':
			/* Nobody's "From " line is doubted. */
			break;
		case 'Y':
		case 'y':
			o->p.berkeley = true;
			break;
		case 't':
			o->p.tempfail = true;
			break;
		case 'f':
		case 'r':
			if ((v = value(w + 1, argv, "Missing name")) != NULL)
				o->p.from = v;
			return (-1);
		case 'a':
			if ((v = value(w + 1, argv, "Missing argument")) != NULL)
				vec_push(&o->args, v);
			return (-1);
		case 'd':
			*last = true;
			if ((v = value(w + 1, argv, "Missing recipient")) == NULL) {
				++*argv;
				o->no_recipient = true;
				return (-1);
			}
			o->p.deliver = true;
			**argv = (char *)(uintptr_t)v;
			return (-1);
		case '-':
			if (w[1] == '\0') {
				*last = true;
				++*argv;
				return (-1);
			}
			/* FALLTHROUGH */
		default:
			complain("Unrecognised options:", w);
			(void)fputs(usage_text, stderr);
			(void)fputs("Processing continued\n", stderr);
			return (-1);
		}
	}
	return (-1);
}

static int
parse(struct options *o, char **argv)
{
	const char *base = strrchr(argv[0], '/');
	bool last = false;
	int rc;

	base = base == NULL ? argv[0] : base + 1;
	o->p.argv0 = argv[0];
	if (strncmp(base, "procmail", strlen("procmail")) != 0)
		o->p.deliver = true;
	for (argv++; *argv != NULL && **argv == '-' && !last; ) {
		rc = option_word(o, *argv, &argv, &last);
		if (rc != -1)
			return (rc);
		if (!last)
			argv++;
	}
	if (o->p.deliver && *argv == NULL) {
		if (!o->no_recipient)
			complain("Missing recipient", NULL);
		o->p.deliver = false;
	}
	if ((o->p.filter && o->args.len > 0) || (o->p.deliver && (o->p.preserve || o->p.filter))) {
		complain("Conflicting options", NULL);
		(void)fputs(usage_text, stderr);
		if (o->p.deliver)
			o->p.preserve = o->p.filter = false;
		else
			vec_clear(&o->args);
	}
	vec_push(&o->args, NULL);
	o->p.args = o->args.p;
	if (o->p.deliver)
		o->recipients = (const char **)(uintptr_t)argv;
	else
		o->p.words = (const char *const *)(uintptr_t)argv;
	return (-1);
}

/* --- who ---------------------------------------------------------------------------- */

/* The account; without an entry in passwd(5), what procmail(1) says. */
static void
account(struct procmail *p, struct os_user *u, uid_t uid, gid_t gid, const char *hint)
{
	struct os_user other;

	if (os_user_by_uid(uid, u, NULL) != 1) {
		memset(u, 0, sizeof(*u));
		(void)snprintf(u->name, sizeof(u->name), "#%lu", (unsigned long)uid);
		(void)snprintf(u->dir, sizeof(u->dir), "/");
		u->uid = uid;
		u->gid = gid;
		p->orgmail = "/tmp/dead.letter";
	} else if (hint != NULL && os_user_by_name(hint, &other, NULL) == 1 && other.uid == uid)
		*u = other;
	p->user = u->name;
	p->home = u->dir;
	p->shell = u->shell;
	p->uid = u->uid;
	p->gid = u->gid;
}

/* With -m and an rc file below /etc/procmailrcs, its owner is who we are. */
static bool
special_owner(const struct procmail *p, uid_t *uid)
{
	static const char dir[] = "/etc/procmailrcs/";
	const char *rc = p->words == NULL ? NULL : p->words[0];
	struct stat sb;

	if (!p->filter || rc == NULL || strncmp(rc, dir, strlen(dir)) != 0)
		return (false);
	if (p->preserve || geteuid() != 0 || strstr(rc, "/../") != NULL) {
		complain("Denying special privileges for", rc);
		return (false);
	}
	/* Such a file is suspicious, and that will be said. */
	if (lstat("/etc/procmailrcs", &sb) == -1 || !S_ISDIR(sb.st_mode) || sb.st_uid != 0 ||
	    (sb.st_mode & (S_IWGRP | S_IWOTH)) != 0 || lstat(rc, &sb) == -1 || S_ISDIR(sb.st_mode))
		return (false);
	*uid = sb.st_uid;
	return (true);
}

/* --- running -------------------------------------------------------------------------- */

static int
run_for(struct procmail *p, struct sv message)
{
	struct procmail_files *files = procmail_files_new();
	struct procmail_end end;
	struct err err = ERR_INIT;
	int status = EX_TEMPFAIL;

	if (procmail_run(files, p, message, &end, &err) == 0)
		status = end.status;
	else
		complain(err.text, NULL);
	procmail_files_free(&files);
	return (status);
}

static int
become(const struct procmail *p, struct err *err)
{
	return (os_drop_to_ids(p->user, p->uid, p->gid, err));
}

static int
deliver_to(struct options *o, const char *name, struct sv message)
{
	struct procmail p = o->p;
	struct os_user u;
	struct err err = ERR_INIT;
	int found = os_user_by_name(name, &u, &err);

	if (found != 1) {
		complain(found == 0 ? "Unknown user" : err.text, found == 0 ? name : NULL);
		return (found == 0 ? EX_NOUSER : EX_TEMPFAIL);
	}
	if (geteuid() != 0 && (u.uid != geteuid() || u.gid != getegid())) {
		complain("Insufficient privileges", NULL);
		return (EX_NOPERM);
	}
	p.user = u.name;
	p.home = u.dir;
	p.shell = u.shell;
	p.uid = u.uid;
	p.gid = u.gid;
	if (geteuid() == 0 && u.uid != 0)
		p.become = become;
	return (run_for(&p, message));
}

/* Each recipient in a process of its own, so that none sees another's identity. */
static int
deliver(struct options *o, struct sv message)
{
	int status, worst = EX_OK;
	pid_t pid;

	for (const char **r = o->recipients; *r != NULL; r++) {
		if (r[1] == NULL && r == o->recipients)
			return (deliver_to(o, *r, message));
		pid = fork();
		if (pid == 0)
			_exit(deliver_to(o, *r, message));
		while (pid != -1 && waitpid(pid, &status, 0) == -1 && errno == EINTR)
			;
		if (pid == -1 || !WIFEXITED(status) || WEXITSTATUS(status) != EX_OK)
			worst = o->p.tempfail ? EX_TEMPFAIL : EX_CANTCREAT;
	}
	return (worst);
}

static int
run_self(struct options *o, struct sv message)
{
	struct os_user u, owner;
	uid_t uid = getuid();
	struct err err = ERR_INIT;

	account(&o->p, &u, uid, getgid(), getenv("LOGNAME"));
	if (special_owner(&o->p, &uid) && os_user_by_uid(uid, &owner, NULL) == 1) {
		account(&o->p, &u, uid, owner.gid, NULL);
		if (uid != 0 && os_drop_to_ids(u.name, uid, owner.gid, &err) == -1) {
			complain(err.text, NULL);
			return (EX_NOPERM);
		}
	}
	return (run_for(&o->p, message));
}

static void
catch_signals(volatile sig_atomic_t **flag)
{
	static const int caught[] = { SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM };
	struct sigaction sa = { .sa_handler = on_signal };

	for (size_t i = 0; i < sizeof(caught) / sizeof(caught[0]); i++)
		(void)sigaction(caught[i], &sa, NULL);
	/* A limit on files is a folder that cannot be written, not the end. */
	(void)signal(SIGXFSZ, SIG_IGN);
	*flag = &got_signal;
}

static bool
read_message(struct sb *text)
{
	char *room;
	ssize_t n;

	for (;;) {
		if ((room = sb_room(text, 65536)) == NULL)
			return (false);
		n = read(STDIN_FILENO, room, 65536);
		if (n == -1 && errno == EINTR && (got_signal == SIGUSR1 || got_signal == SIGUSR2 || got_signal == SIGALRM))
			continue;
		if (n <= 0)
			return (n == 0);
		sb_took(text, (size_t)n);
	}
}

static void
fill_descriptors(void)
{
	int fd;

	/* One of 0, 1, 2 that is closed must not become a mailbox. */
	while ((fd = open("/dev/null", O_RDWR)) != -1 && fd <= 2)
		;
	if (fd > 2)
		(void)close(fd);
}

int
main(int argc, char **argv)
{
	struct options o = { .p = { .out_fd = STDOUT_FILENO, .err_fd = STDERR_FILENO } };
	struct sb text = SB_INIT(MESSAGE_MAX);
	struct os_user me;
	int rc;

	fill_descriptors();
	if (argc < 1 || argv[0] == NULL)
		return (EX_USAGE);
	if ((rc = parse(&o, argv)) != -1)
		return (rc);
	catch_signals(&o.p.signalled);
	if (os_user_by_uid(getuid(), &me, NULL) != 1)
		(void)snprintf(me.name, sizeof(me.name), "%lu", (unsigned long)getuid());
	o.p.invoker = me.name;
	o.p.environ = (const char *const *)(uintptr_t)environ;
	o.p.etc_rc = true;
	if (!read_message(&text)) {
		complain(got_signal != 0 ? "Terminating prematurely" : "the message could not be read", NULL);
		return (got_signal == SIGHUP || got_signal == SIGINT ? EX_CANTCREAT : got_signal == SIGQUIT ? EX_OK : EX_TEMPFAIL);
	}
	rc = o.p.deliver ? deliver(&o, sb_sv(&text)) : run_self(&o, sb_sv(&text));
	sb_free(&text);
	vec_free(&o.args);
	return (rc < 0 ? EX_SOFTWARE : rc);
}
