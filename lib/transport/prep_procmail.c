/* SPDX-License-Identifier: BSD-2-Clause */
/* Our own transport procmail: a user's rules are run by his child, without a program. */
#include "transport/transport_int.h"

#define OWN(name)	(&p->d->t->d.own[EXIM_PROCMAIL_##name])

int
prep_procmail(struct prep *p)
{
	struct sv account, file;

	if (prep_str(p, OWN(account), "account", false, &account) == -1 || prep_str(p, OWN(rcfile), "rcfile", false, &file) == -1)
		return (-1);
	if (account.len == 0 || file.len == 0 || file.p[0] != '/')
		return (prep_fail(p, TRANSPORT_DEFER, TRANSPORT_E_NOTABS, "%s transport: account \"" SV_FMT "\" or rcfile \"" SV_FMT
		    "\" is not what it must be", p->name, SV_ARG(account), SV_ARG(file)));
	if (p->j->home.len == 0)
		return (prep_fail(p, TRANSPORT_DEFER, TRANSPORT_E_NOTABS, "%s transport: no home directory", p->name));
	p->j->local_part = account;
	p->j->path = file;
	return (0);
}
