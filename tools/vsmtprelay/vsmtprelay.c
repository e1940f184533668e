/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vsmtprelay: list, add, delete and expire the addresses of a box that may relay.
 * Changes go through vauthd when it runs, so that they and logins come one after the
 * other, else straight to the map under its lock.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "auth/client.h"
#include "auth/proto.h"
#include "auth/relay.h"
#include "base/num.h"
#include "base/vec.h"
#include "box/box.h"
#include "ipc/ipc.h"
#include "map/map.h"
#include "os/fd.h"

#define VERSION		"1.1.0"
#define ASK_MS		10000
#define MINUTES_MAX	(INT64_C(100) * 366 * 24 * 60)

static const char usage_text[] =
    "vsmtprelay " VERSION " usage (optional items in []):\n"
    "    %% vsmtprelay command [arg] [...]\n"
    "where \"command [arg] [...]\" can be one of the following:\n"
    "\n"
    "    \"add ip [ticks]\"   insert address with current timestamp (or ticks)\n"
    "    \"delete ip [...]\"  remove specified address(es)\n"
    "    \"expire [n]\"       expire all old (or older than n minutes) entries\n"
    "    \"list [n]\"         list all old (or older than n minutes) entries\n"
    "    \"dump\"             list every entry, including the future timestamped\n"
    "\n"
    "IP addresses are expressed as ASCII \"dotted quads\", e.g. \"10.11.12.13\".\n"
    "All timestamps are stored as ASCII strings representing a count of\n"
    "seconds since 00:00:00 UTC, January 1, 1970.\n";

struct relay_tool {
	char		*root;
	char		 db[4096];
	char		 sock[4096];
};

typedef VEC(struct relay_op) op_list;

static int
usage(FILE *to, int rc)
{
	fprintf(to, usage_text);
	return (rc);
}

static int
complain(const char *what, const char *why)
{
	fprintf(stderr, "vsmtprelay: %s%s%s\n", what, *what == '\0' ? "" : ": ", why);
	return (EX_DATAERR);
}

/* ---- changes ---- */

/*
 * False when vauthd does not run or did not answer: what was asked may be done again.  *<perhaps>: it may have
 * been done already.
 */
static bool
ask_daemon(const struct relay_tool *t, op_list *ops, int *rc, bool *perhaps)
{
	int probe = os_unix_connect(t->sock);
	struct sb m = SB_INIT(IPC_FRAME_MAX);
	struct ipc_msg reply;
	struct ipc_field f;
	struct err err = ERR_INIT;
	size_t pos = 0, i = 0;

	*perhaps = probe != -1;
	if (probe == -1)
		return (false);
	(void)close(probe);
	ipc_begin(&m, AUTH_M_RELAY);
	for (size_t j = 0; j < ops->len; j++) {
		ipc_put_u64(&m, AUTH_F_OP, ops->p[j].kind);
		if (ops->p[j].key[0] != '\0')
			ipc_put_str(&m, AUTH_F_ADDR, ops->p[j].key);
		ipc_put_u64(&m, AUTH_F_TICKS, (uint64_t)ops->p[j].ticks);
	}
	if (m.overflow || ipc_call_once(t->sock, &m, -1, &reply, ASK_MS, &err) == -1) {
		sb_free(&m);
		return (false);
	}
	sb_free(&m);
	*rc = EX_OK;
	if (ipc_get_u64(&reply, AUTH_F_RESULT, AUTH_TEMP) != AUTH_OK) {
		struct sv text = ipc_get_bytes(&reply, AUTH_F_TEXT);

		fprintf(stderr, "vsmtprelay: " SV_FMT "\n", SV_ARG(text));
		*rc = EX_TEMPFAIL;
	}
	while (ipc_next(&reply, &pos, &f)) {
		if (f.tag != AUTH_F_FOUND)
			continue;
		while (i < ops->len && ops->p[i].kind != RELAY_DELETE)
			i++;
		if (i < ops->len)
			ops->p[i++].found = f.u64 != 0;
	}
	ipc_msg_free(&reply);
	return (true);
}

static int
change(const struct relay_tool *t, op_list *ops)
{
	struct relay_batch b = { .ops = ops->p, .n = ops->len };
	struct err err = ERR_INIT;
	bool perhaps;
	int rc;

	if (ask_daemon(t, ops, &rc, &perhaps))
		return (rc);
	if (relay_apply(t->db, &b, &err) == -1) {
		fprintf(stderr, "vsmtprelay: %s\n", err.text);
		return (EX_TEMPFAIL);
	}
	/* vauthd ended while it was asked: what is not there now may be its work. */
	for (size_t i = 0; perhaps && i < ops->len; i++)
		ops->p[i].found = true;
	return (EX_OK);
}

static int
cmd_add(const struct relay_tool *t, int argc, char **argv)
{
	struct relay_op op = { .kind = RELAY_ADD, .ticks = time(NULL) };
	op_list ops = VEC_INIT;
	int rc;

	if (argc < 1 || argc > 2)
		return (usage(stderr, EX_USAGE));
	if (!relay_key(sv_cstr(argv[0]), op.key))
		return (complain(argv[0], "not an IP address"));
	if (argc == 2 && !relay_ticks(sv_cstr(argv[1]), &op.ticks))
		return (complain(argv[1], "not a count of seconds since 1970"));
	vec_push(&ops, op);
	rc = change(t, &ops);
	vec_free(&ops);
	return (rc);
}

static int
cmd_delete(const struct relay_tool *t, int argc, char **argv)
{
	op_list ops = VEC_INIT;
	int rc = EX_OK;

	if (argc < 1)
		return (usage(stderr, EX_USAGE));
	/* All are looked at before anything is changed. */
	for (int i = 0; i < argc; i++) {
		struct relay_op op = { .kind = RELAY_DELETE };

		if (!relay_key(sv_cstr(argv[i]), op.key))
			rc = complain(argv[i], "not an IP address");
		else
			vec_push(&ops, op);
	}
	if (rc == EX_OK && (rc = change(t, &ops)) == EX_OK)
		for (size_t i = 0; i < ops.len; i++)
			if (!ops.p[i].found) {
				(void)complain(ops.p[i].key, "not in the database");
				rc = 1;
			}
	vec_free(&ops);
	return (rc);
}

/* The optional number of minutes: *<until> is the youngest stamp that counts as old. */
static int
parse_minutes(int argc, char **argv, int64_t *until)
{
	int64_t n;

	*until = time(NULL);
	if (argc > 1)
		return (usage(stderr, EX_USAGE));
	if (argc == 1) {
		if (!num_parse(sv_cstr(argv[0]), 0, MINUTES_MAX, &n))
			return (complain(argv[0], "not a number of minutes"));
		*until -= n * 60 + 1;
	}
	return (EX_OK);
}

static int
cmd_expire(const struct relay_tool *t, int argc, char **argv)
{
	struct relay_op op = { .kind = RELAY_EXPIRE };
	op_list ops = VEC_INIT;
	int rc = parse_minutes(argc, argv, &op.ticks);

	if (rc != EX_OK)
		return (rc);
	/* Nothing there: nothing to expire, and no map to make. */
	if (access(t->db, F_OK) == -1)
		return (EX_OK);
	vec_push(&ops, op);
	rc = change(t, &ops);
	vec_free(&ops);
	return (rc);
}

/* ---- lists ---- */

struct line {
	struct sv	 key;
	struct sv	 value;
	struct net_addr	 addr;		/* family 0: no address */
	int64_t		 ticks;		/* -1: no number */
};

/* Oldest first; of the same second, in the order of the addresses. */
static int
by_age(const void *pa, const void *pb)
{
	const struct line *a = pa, *b = pb;
	int c;

	if (a->ticks != b->ticks)
		return (a->ticks < b->ticks ? -1 : 1);
	if (a->addr.family != b->addr.family)
		return (a->addr.family < b->addr.family ? -1 : 1);
	c = memcmp(a->addr.ip, b->addr.ip, sizeof(a->addr.ip));
	return (c != 0 ? c : sv_cmp(a->key, b->key));
}

static void
print_line(const struct line *l)
{
	char when[64] = "unknown";
	time_t t = (time_t)l->ticks;
	struct tm tm;

	if (l->ticks >= 0 && gmtime_r(&t, &tm) != NULL)
		(void)strftime(when, sizeof(when), "%a %b %e %H:%M:%S %Y", &tm);
	printf("# timestamp (UTC): %s\n" SV_FMT " " SV_FMT "\n", when, SV_ARG(l->key), SV_ARG(l->value));
}

/* All entries with a stamp of <until> or before. */
static int
print(const struct relay_tool *t, int64_t until)
{
	struct map *m = map_open(t->db, MAP_HASH, MAP_OPTIONAL | MAP_WAIT);
	VEC(struct line) lines = VEC_INIT;
	struct err err = ERR_INIT;
	struct line l;
	size_t pos = 0;
	int rc = EX_OK;

	if (map_refresh(m, MAP_FRESH, &err) == MAP_ERROR) {
		fprintf(stderr, "vsmtprelay: %s\n", err.text);
		map_close(&m);
		return (EX_TEMPFAIL);
	}
	while (map_next(m, &pos, &l.key, &l.value, NULL)) {
		if (!relay_ticks(l.value, &l.ticks))
			l.ticks = -1;
		if (!net_addr_parse(l.key, &l.addr))
			memset(&l.addr, 0, sizeof(l.addr));
		if (l.ticks <= until)
			vec_push(&lines, l);
	}
	if (lines.len > 0)
		qsort(lines.p, lines.len, sizeof(*lines.p), by_age);
	for (size_t i = 0; i < lines.len; i++)
		print_line(&lines.p[i]);
	if (fflush(stdout) != 0 || ferror(stdout))
		rc = EX_IOERR;
	vec_free(&lines);
	map_close(&m);
	return (rc);
}

static int
cmd_list(const struct relay_tool *t, int argc, char **argv)
{
	int64_t until;
	int rc = parse_minutes(argc, argv, &until);

	return (rc != EX_OK ? rc : print(t, until));
}

static int
cmd_dump(const struct relay_tool *t, int argc, char **argv)
{
	return (argc != 0 ? usage(stderr, EX_USAGE) : print(t, INT64_MAX));
}

static const struct {
	const char	*name;
	int		(*fn)(const struct relay_tool *t, int argc, char **argv);
} commands[] = {
	{ "add", cmd_add }, { "delete", cmd_delete }, { "expire", cmd_expire }, { "list", cmd_list }, { "dump", cmd_dump },
};

int
main(int argc, char **argv)
{
	struct relay_tool t = { .root = NULL };
	struct err err = ERR_INIT;
	const char *dir = NULL;
	int opt, rc = EX_USAGE;

	while ((opt = getopt(argc, argv, "+d:")) != -1) {
		if (opt != 'd')
			return (usage(stderr, EX_USAGE));
		dir = optarg;
	}
	argc -= optind;
	argv += optind;
	if (argc == 0)
		return (usage(stdout, EX_OK));
	if (box_find(dir, &t.root, &err) == -1)
		return (fprintf(stderr, "vsmtprelay: %s\n", err.text), EX_NOINPUT);
	(void)snprintf(t.db, sizeof(t.db), "%s/%s", t.root, BOX_RELAYERS_DB);
	(void)snprintf(t.sock, sizeof(t.sock), "%s/%s", t.root, BOX_SOCK_AUTH);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(argv[0], commands[i].name) == 0) {
			rc = commands[i].fn(&t, argc - 1, argv + 1);
			goto out;
		}
	(void)complain(argv[0], "unknown command");
	rc = usage(stderr, EX_USAGE);
out:
	free(t.root);
	return (rc);
}
