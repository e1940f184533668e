/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the headers of OpenLDAP were not there. */
#include "exim/lookup_sql.h"

enum exim_found
x_ldap(const char *type, struct sv servers, struct sv query, struct sv opts, struct arena *a, struct sv *out, struct err *err)
{
	(void)err_set(err, ERR_TEMP, "4.3.5", "%s lookups are not built in: install libldap-dev and compile again", type);
	return (EXIM_TEMPFAIL);
}
