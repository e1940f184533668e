/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the headers of PostgreSQL were not there. */
#include "exim/lookup_sql.h"

const struct x_sql_driver *
x_sql_pgsql(struct err *err)
{
	(void)err_set(err, ERR_TEMP, "4.3.5", "pgsql lookups are not built in: install libpq-dev and compile again");
	return (NULL);
}
