/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vpost check: every mistake of a box's whole configuration, each with file:line and
 * what to do, before a daemon meets it.
 */
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "auth/publish.h"
#include "auth/vusers.h"
#include "base/sb.h"
#include "exim/conf.h"
#include "io/tls.h"
#include "log/log.h"
#include "map/map.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/priv.h"
#include "os/spawn.h"
#include "vpost_int.h"

#define FILE_MAX	(64 * 1024 * 1024)
#define CERT_DAYS	14

struct tally {
	unsigned	 mistakes;
	unsigned	 warnings;
};

static void
mistake(void *arg, const struct err *e)
{
	struct tally *t = arg;

	t->mistakes++;
	printf("error    %s\n", e->text);
}

static void
warning(struct tally *t, const char *text)
{
	t->warnings++;
	printf("warning  %s\n", text);
}

static void
tell_warning(void *arg, const char *text)
{
	warning(arg, text);
}

static void
exim_report(void *arg, const struct err *e, bool is_warning)
{
	if (is_warning)
		warning(arg, e->text);
	else
		mistake(arg, e);
}

/* A setting of tls_require_ciphers that was written for GnuTLS. */
struct cipher_setting {
	struct tally	*t;
	const struct exim_value *v;
};

static void
odd_word(void *arg, struct sv word, bool known)
{
	const struct cipher_setting *c = arg;
	struct err err = ERR_INIT;

	if (known) {
		err_conf(&err, c->v->file, c->v->line, "tls_require_ciphers: \"" SV_FMT "\" is never offered here and is passed over: leave it out",
		    SV_ARG(word));
		warning(c->t, err.text);
	} else {
		err_conf(&err, c->v->file, c->v->line, "tls_require_ciphers: \"" SV_FMT "\" is no word of GnuTLS's priorities, and there will be no "
		    "TLS: correct it, or name ciphers as \"openssl ciphers\" does", SV_ARG(word));
		mistake(c->t, &err);
	}
}

static void
check_ciphers(const struct exim_value *v, struct tally *t)
{
	struct cipher_setting c = { t, v };

	if (v->set && v->file != NULL && sv_chr(v->text, '$') < 0)
		tls_priorities_check(v->text, odd_word, &c);
}

static void
check_exim(const struct box *b, struct tally *t)
{
	struct exim_report rep = EXIM_REPORT_INIT;
	struct exim_conf_source src;
	struct err err = ERR_INIT;
	struct exim_conf *c = NULL;

	box_exim_source(b, &src);
	rep.fn = exim_report;
	rep.arg = t;
	rep.traps = true;
	if (exim_conf_load(&c, &src, &rep, &err) == -1 && rep.errors == 0)
		mistake(t, &err);
	if (c != NULL) {
		check_ciphers(&c->main[EXIM_MAIN_tls_require_ciphers], t);
		for (size_t i = 0; i < c->ntransports; i++)
			if (c->transports[i]->drv == EXIM_TRANSPORT_DRV_SMTP)
				check_ciphers(&c->transports[i]->d.own[EXIM_SMTP_tls_require_ciphers], t);
	}
	exim_conf_unref(&c);
}

static void
print_mistake(void *arg, const struct err *e, bool is_warning)
{
	if (!is_warning)
		(void)fprintf(stderr, "%s\n", e->text);
}

bool
config_good(const struct box *b)
{
	struct exim_report rep = EXIM_REPORT_INIT;
	struct exim_conf_source src;
	struct err err = ERR_INIT;
	struct exim_conf *c = NULL;
	int rc = box_act(b, &err);

	if (rc == 0) {
		box_exim_source(b, &src);
		rep.fn = print_mistake;
		rc = exim_conf_load(&c, &src, &rep, &err);
		os_act_back();
	}
	if (rc == -1 && rep.errors == 0)
		print_mistake(NULL, &err, false);
	exim_conf_unref(&c);
	return (rc == 0);
}

/* The line of etc/vpost.conf that sets <name>; 0 where it is elsewhere. */
static unsigned
line_of(const struct box *b, const char *name)
{
	struct sb text = SB_INIT(FILE_MAX);
	struct sv rest, line, word;
	unsigned no = 0, found = 0;

	if (os_read_file(box_path(b, "etc/vpost.conf"), FILE_MAX, &text, NULL) == 0) {
		rest = sb_sv(&text);
		while (found == 0 && sv_next(&rest, '\n', &line)) {
			no++;
			line = sv_trim(line);
			if (sv_next(&line, '=', &word) && sv_eqs(sv_trim(word), name))
				found = no;
		}
	}
	sb_free(&text);
	return (found);
}

static bool
is_daemon(struct sv name)
{
	for (size_t i = 0; services[i].name != NULL; i++)
		if (sv_eqs(name, services[i].daemon))
			return (true);
	return (false);
}

/* Settings whose words mean something. */
static void
check_settings(const struct box *b, struct tally *t)
{
	const char *path = box_path(b, "etc/vpost.conf");
	struct sv rest = sv_cstr(b->services), piece;
	struct err err = ERR_INIT;
	enum log_level level;
	ptrdiff_t eq;
	int facility;

	while (sv_next(&rest, ':', &piece)) {
		size_t i = 0;

		piece = sv_trim(piece);
		while (services[i].name != NULL && !sv_eqs(piece, services[i].name))
			i++;
		if (piece.len == 0 || services[i].name != NULL)
			continue;
		err_conf(&err, path, line_of(b, "services"), "services: there is no \"" SV_FMT "\": write some of "
		    "smtp:queue:local:store:pop3:imap:auth", SV_ARG(piece));
		mistake(t, &err);
	}
	if (!log_level_of(b->log_level, "", &level)) {
		err_conf(&err, path, line_of(b, "log_level"),
		    "log_level: \"%s\" should be debug, info, warn or error, then DAEMON=LEVEL", b->log_level);
		mistake(t, &err);
	}
	for (rest = sv_cstr(b->log_level); sv_word(&rest, &piece);) {
		if ((eq = sv_chr(piece, '=')) < 0 || is_daemon(sv_sub(piece, 0, (size_t)eq)))
			continue;
		err_conf(&err, path, line_of(b, "log_level"), "log_level: there is no daemon \"" SV_FMT "\"",
		    SV_ARG(sv_sub(piece, 0, (size_t)eq)));
		mistake(t, &err);
	}
	if (b->log_syslog[0] != '\0' && !log_syslog_facility(b->log_syslog, &facility)) {
		err_conf(&err, path, line_of(b, "log_syslog"),
		    "log_syslog: \"%s\" is no facility: mail, daemon, user, local0 to local7 ...", b->log_syslog);
		mistake(t, &err);
	}
}

static void
check_vusers(const struct box *b, struct tally *t)
{
	const char *path = box_path(b, BOX_VUSERS);
	struct err err = ERR_INIT;
	struct vusers *v = NULL;
	struct stat st;
	char text[PATH_MAX + 200];

	if (stat(path, &st) == -1) {
		if (errno != ENOENT) {
			err_sys(&err, "%s", path);
			mistake(t, &err);
		}
		return;
	}
	if ((st.st_mode & 077) != 0) {
		(void)snprintf(text, sizeof(text), "%s holds passwords and others can read it: chmod 600 %s", path, path);
		warning(t, text);
	}
	if (vusers_read(&v, path, mistake, t, &err) == -1)
		mistake(t, &err);
	vusers_free(&v);
	if (!vusers_published(path)) {
		(void)snprintf(text, sizeof(text), "%s.db is older than %s; a running vauthd makes it anew within seconds", path, path);
		warning(t, text);
	}
}

/* Configurations that came from elsewhere have their domains elsewhere. */
static bool
domains_asked(const struct box *b)
{
	struct sb text = SB_INIT(FILE_MAX);
	bool asked = true;

	if (os_read_file(box_path(b, BOX_EXIM_CONF), FILE_MAX, &text, NULL) == 0)
		asked = sv_find(sb_sv(&text), SV_LIT("ETC/domains")) >= 0 || sv_find(sb_sv(&text), SV_LIT(BOX_DOMAINS)) >= 0;
	sb_free(&text);
	return (asked);
}

static void
check_domains(const struct box *b, struct tally *t)
{
	const char *path = box_path(b, BOX_DOMAINS);
	struct sb text = SB_INIT(FILE_MAX);
	struct err err = ERR_INIT;
	struct sv rest, line;
	unsigned no = 0, n = 0;

	if (os_read_file(path, FILE_MAX, &text, &err) == -1) {
		mistake(t, &err);
		goto out;
	}
	rest = sb_sv(&text);
	while (sv_next(&rest, '\n', &line)) {
		no++;
		line = sv_trim(line);
		if (line.len == 0 || line.p[0] == '#')
			continue;
		n++;
		for (size_t i = 0; i < line.len; i++) {
			char c = line.p[i];

			if (!sv_isalnum(c) && c != '.' && c != '-' && c != '_' && (unsigned char)c < 0x80) {
				err_conf(&err, path, no, "\"" SV_FMT "\" is no domain; write one domain a line", SV_ARG(line));
				mistake(t, &err);
				break;
			}
		}
	}
	if (n == 0 && domains_asked(b))
		warning(t, "etc/domains names no domain: the box takes mail for nobody");
out:
	sb_free(&text);
}

static void
check_map(const struct box *b, const char *rel, const char *remake, struct tally *t)
{
	struct map *m = map_open(box_path(b, rel), MAP_HASH, MAP_OPTIONAL | MAP_WAIT);
	struct err err = ERR_INIT;

	if (map_refresh(m, MAP_FRESH, &err) == MAP_ERROR) {
		err_prefix(&err, "%s cannot be read; make it anew by %s", rel, remake);
		mistake(t, &err);
	}
	map_close(&m);
}

static void
check_expiry(const struct tls_server *tls, struct tally *t)
{
	struct tls_cert_info c;
	char text[2048];

	for (unsigned i = 0; tls_server_cert(tls, i, &c); i++) {
		long days = (long)((c.not_after - time(NULL)) / 86400);

		if (days >= CERT_DAYS)
			continue;
		(void)snprintf(text, sizeof(text), "%s: the certificate for %.500s %s; put a new one in its place", c.file, c.names,
		    days < 0 ? "has expired" : "expires within two weeks");
		warning(t, text);
	}
}

/* The text behind a map: its tool tells each line that is wrong; and whether the map is older. */
static void
check_text(const struct box *b, const char *rel, const char *tool, struct tally *t)
{
	const char *src = box_path(b, rel);
	char path[PATH_MAX], line[2048], db[PATH_MAX + 8];
	const char *const argv[] = { path, "-n", "-d", b->root, NULL };
	struct os_spawn s = { .argv = argv, .in = -1, .out = -1 };
	struct err err = ERR_INIT;
	struct stat st, made;
	FILE *f;
	int p[2];
	pid_t pid;

	if (stat(src, &st) == -1 || find_tool(tool, path, sizeof(path), &err) == -1 || os_pipe(p, false) == -1)
		return;
	s.errfd = p[1];
	pid = os_spawn(&s, &err);
	(void)close(p[1]);
	f = fdopen(p[0], "r");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		(void)err_set(&err, ERR_CONFIG, NULL, "%s", line);
		mistake(t, &err);
	}
	if (f != NULL)
		(void)fclose(f);
	if (pid != -1)
		(void)os_wait(pid, NULL, -1);
	(void)snprintf(db, sizeof(db), "%s.db", src);
	if (stat(db, &made) == 0 && made.st_mtime < st.st_mtime) {
		(void)snprintf(line, sizeof(line), "%s is newer than its map: run %s", src, tool);
		warning(t, line);
	}
}

/* Each NAME.pem of tls_dir by itself, so that one that would be passed over is told too. */
static void
check_certs(const struct box *b, struct tally *t)
{
	const char *dir = box_path(b, b->tls_dir);
	struct err err = ERR_INIT;
	struct dirent *de;
	unsigned n = 0;
	DIR *d;

	if ((d = opendir(dir)) == NULL) {
		err_sys(&err, "%s", dir);
		mistake(t, &err);
		return;
	}
	while ((de = readdir(d)) != NULL) {
		char cert[PATH_MAX + 300], key[PATH_MAX + 300];
		struct tls_server *tls;

		if (!sv_ends(sv_cstr(de->d_name), ".pem"))
			continue;
		n++;
		(void)snprintf(cert, sizeof(cert), "%s/%s", dir, de->d_name);
		(void)snprintf(key, sizeof(key), "%.*s.key", (int)strlen(cert) - 4, cert);
		tls = tls_server_new_files(cert, access(key, F_OK) == 0 ? key : NULL, NULL, &err);
		if (tls == NULL)
			mistake(t, &err);
		else
			check_expiry(tls, t);
		tls_server_free(&tls);
	}
	(void)closedir(d);
	if (n == 0) {
		err_set(&err, ERR_CONFIG, NULL, "%s holds no certificate; put default.pem (chain, then key) there", dir);
		mistake(t, &err);
	}
}

static void
print_settings(const struct box *b)
{
	for (size_t i = 0; i < box_nsettings; i++) {
		const struct box_setting *s = &box_settings[i];
		const void *p = (const char *)b + s->offset;

		printf("%s = ", s->name);
		switch (s->type) {
		case BOX_STR:
		case BOX_LIST:
			printf("%s\n", *(char *const *)p);
			break;
		case BOX_BOOL:
			printf("%s\n", *(const bool *)p ? "yes" : "no");
			break;
		case BOX_TIME:
			printf("%llds\n", (long long)*(const int64_t *)p);
			break;
		case BOX_INT:
		case BOX_SIZE:
			printf("%lld\n", (long long)*(const int64_t *)p);
			break;
		case BOX_LISTEN:
			for (size_t k = 0; k < ((const box_listens *)p)->len; k++)
				printf("%s%s", k > 0 ? " " : "", ((const box_listens *)p)->p[k].text);
			printf("\n");
			break;
		}
	}
}

int
cmd_check(int argc, char **argv)
{
	struct tally t = { 0, 0 };
	struct err err = ERR_INIT;
	const char *dir = NULL;
	bool print = false;
	struct box *b = NULL;
	char *root = NULL;
	int c;

	while ((c = getopt(argc, argv, "b:p")) != -1) {
		if (c == 'b')
			dir = optarg;
		else if (c == 'p')
			print = true;
		else
			goto usage;
	}
	if (argc - optind == 1 && dir == NULL)
		dir = argv[optind];
	else if (argc != optind)
		goto usage;
	if (box_find(dir, &root, &err) == -1)
		return (complain(&err));
	if (box_open(&b, root, mistake, &t, &err) == -1) {
		if (t.mistakes == 0)
			mistake(&t, &err);
		free(root);
		printf("%u error%s in etc/vpost.conf; the rest was not looked at\n", t.mistakes, t.mistakes == 1 ? "" : "s");
		return (1);
	}
	free(root);
	if (print) {
		print_settings(b);
		box_free(&b);
		return (0);
	}
	if (owner_check(b, &err) == -1)
		mistake(&t, &err);
	/* As the daemons will: what only root may read is not there for them. */
	else if (box_act(b, &err) == -1)
		mistake(&t, &err);
	check_settings(b, &t);
	check_exim(b, &t);
	check_domains(b, &t);
	postmaster_check(b, tell_warning, &t);
	damaged_segments(b, tell_warning, &t);
	check_vusers(b, &t);
	check_text(b, BOX_ALIASES, "vnewaliases", &t);
	check_text(b, "etc/spammers", "vnewspammers", &t);
	check_map(b, BOX_SPAMMERS_DB, "vnewspammers", &t);
	check_map(b, BOX_ALIASES ".db", "vnewaliases", &t);
	check_map(b, BOX_RELAYERS_DB, "vsmtprelay, after removing it", &t);
	check_map(b, BOX_VUSERS_DB, "vpost adduser, or a start of vauthd, after removing it", &t);
	check_certs(b, &t);
	os_act_back();
	printf("%s: %u error%s, %u warning%s\n", b->root, t.mistakes, t.mistakes == 1 ? "" : "s", t.warnings,
	    t.warnings == 1 ? "" : "s");
	box_free(&b);
	return (t.mistakes > 0 ? 1 : 0);
usage:
	(void)fprintf(stderr, "usage: vpost check [-p] [BOX]\n");
	return (2);
}
