/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the headers of MySQL or MariaDB were not there. */
#include "exim/lookup_sql.h"

const struct x_sql_driver *
x_sql_mysql(struct err *err)
{
	(void)err_set(err, ERR_TEMP, "4.3.5", "mysql lookups are not built in: install libmariadb-dev and compile again");
	return (NULL);
}
