/* SPDX-License-Identifier: BSD-2-Clause */
/* Conditions that ask somebody else about a password, by blocking calls: struct exim_world's auth. */
#ifndef VPOST_EXIM_WORLD_AUTH_H
#define VPOST_EXIM_WORLD_AUTH_H

#include "exim/env.h"

/* pam, saslauthd, ldapauth (args: the query, then x_ldap_settings). */
enum exim_found x_auth_blocking(void *arg, const char *how, const struct sv *args, size_t n, struct arena *a, struct err *err);

#endif
