/* SPDX-License-Identifier: BSD-2-Clause */
/* Lookup types, lookup_*.c, for the table in lookup.c. */
#ifndef VPOST_EXIM_LOOKUP_INT_H
#define VPOST_EXIM_LOOKUP_INT_H

#include "exim/expand_int.h"

struct xlookup {
	const struct xlookup_spec *spec;
	const char	*type;
	struct sv	 file;
	const char	*path;		/* <file> as a C string */
	struct sv	 key;
};

/* EXIM_OK and *<found>, *<out> in the arena; EXIM_FAIL: cannot be opened; EXIM_DEFER. */
typedef enum exim_result (*xlookup_fn)(struct xev *e, const struct xlookup *l, bool *found, struct sv *out);
#define X_LOOKUP(name)	enum exim_result name(struct xev *e, const struct xlookup *l, bool *found, struct sv *out)

X_LOOKUP(xl_lsearch); X_LOOKUP(xl_wildlsearch); X_LOOKUP(xl_iplsearch);
X_LOOKUP(xl_dbm); X_LOOKUP(xl_cdb); X_LOOKUP(xl_dsearch); X_LOOKUP(xl_json); X_LOOKUP(xl_psl);
X_LOOKUP(xl_passwd); X_LOOKUP(xl_dnsdb); X_LOOKUP(xl_world); X_LOOKUP(xl_servers); X_LOOKUP(xl_ldap);
X_LOOKUP(xl_spf); X_LOOKUP(xl_testdb); X_LOOKUP(xl_nis);

/* The value of option <name>= in "a=b,c=d"; p NULL if it is not there. */
struct sv x_lookup_option(struct sv opts, const char *name);

/* Ask the world for a lookup of <type> in <file> (or servers). */
enum exim_result x_world_ask(struct xev *e, const struct xlookup *l, struct sv file, struct sv query, struct sv opts, bool *found,
	     struct sv *out);
/* struct exim_world's lookup by blocking calls. */
enum exim_found x_lookup_blocking(void *arg, const char *type, struct sv file, struct sv query, struct sv opts, struct arena *a,
	     struct sv *out, struct err *err);
/* The main options ldap_... as lines NAME=VALUE, for x_ldap. */
struct sv x_ldap_settings(struct exim_env *env);

/* Hints in the memory of this process. */
enum exim_found x_hint_get(void *arg, const char *db, struct sv key, struct arena *a, struct sv *out);
int	 x_hint_put(void *arg, const char *db, struct sv key, struct sv value, int64_t ttl);
int	 x_hint_del(void *arg, const char *db, struct sv key);

/* What to say where a type cannot be looked up. */
const char *x_lookup_missing(const char *type);
/*
 * <key>, whole as it is stored, in <path>, which has the form of hints that SQLite keeps.  EXIM_TEMPFAIL: it has not, or is locked
 * or busy for longer than a moment.  It blocks so long.
 */
enum exim_found x_sqlite_dbm(const char *path, struct sv key, struct arena *a, struct sv *out);
/* <query> on database <file>, which blocks: for worlds. */
enum exim_found x_sqlite(struct sv file, struct sv query, struct sv seconds, struct arena *a, struct sv *out, struct err *err);

#endif
