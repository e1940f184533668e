/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the files of lib/login. */
#ifndef VPOST_LOGIN_LOGIN_INT_H
#define VPOST_LOGIN_LOGIN_INT_H

struct login;

/* Out of the list of those that have not logged in; once more does no harm. */
void	 login_unlink(struct login *l);

#endif
