/* SPDX-License-Identifier: BSD-2-Clause */
/* The loader's parts. */
#ifndef VPOST_EXIM_CONF_INT_H
#define VPOST_EXIM_CONF_INT_H

#include "base/vec.h"
#include "exim/conf.h"
#include "exim/lexer.h"

struct loader {
	struct exim_conf *c;
	struct arena	*a;
	struct exim_lexer *lx;
	struct exim_report *rep;
	struct exim_names *names;
	struct exim_value *main;
	unsigned	 names_read;	/* bits: which names were read of options that have two */
	VEC(struct exim_router *) routers;
	VEC(struct exim_transport *) transports;
	VEC(struct exim_auth *) auths;
	VEC(struct exim_retry_rule) retry;
	VEC(struct exim_rewrite_rule) rewrite;
	unsigned	 seen;		/* sections so far, bit by index */
	struct hash	*missing;	/* files that were told of as missing */
};

/* "name:" at the start of <line>: true, and the name. */
bool	 conf_is_label(struct sv line, struct sv *name, struct sv *rest);
/* Tell of the <name> of an instance or ACL that is longer than Exim reads it. */
void	 conf_name_length(struct loader *ld, const struct exim_line *line, struct sv name);
/* Read instances of <kind> up to the next section. */
void	 conf_drivers(struct loader *ld, enum exim_opt_kind kind);
struct exim_transport *conf_transport(const struct loader *ld, struct sv name);
/* conf_main.c: the value of <opt> expanded, as paths are at load; what the main section's values must be beside their types. */
void	 conf_main_path(struct loader *ld, enum exim_main_opt opt);
void	 conf_main_values(struct loader *ld);
/* conf_transport.c: what does not fit together in a transport. */
void	 conf_check_transport(struct loader *ld, struct exim_transport *t);
/* conf_router.c: what their options name, and what does not fit together in them. */
void	 conf_check_routers(struct loader *ld);
/* "+name" items of <l> that were never defined. */
void	 conf_check_list(struct loader *ld, const struct exim_list *l, enum exim_list_kind kind, const char *file, unsigned line);
/* conf_trap.c: what is hardly meant so; all warnings. */
/* Is <type> that of a lookup in a file: "lsearch", "partial-dbm*", "dsearch,ret=full"? */
bool	 conf_file_lookup(struct sv type);
/* Warn of variables that a peer fills: in the name of a file, and in those that <text> looks into. */
void	 conf_taint_path(struct loader *ld, const char *file, unsigned line, const char *what, struct sv path);
void	 conf_taint_text(struct loader *ld, const char *file, unsigned line, const char *what, struct sv text);
void	 conf_traps(struct loader *ld);
/* Names become pointers, and what does not fit together is told. */
void	 conf_resolve(struct loader *ld);

#endif
