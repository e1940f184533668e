/* SPDX-License-Identifier: BSD-2-Clause */
/* vpost cert: what certificates the box shows, for which names, until when. */
#include <stdio.h>
#include <time.h>

#include "io/tls.h"
#include "vpost_int.h"

int
cmd_cert(int argc, char **argv)
{
	struct err err = ERR_INIT;
	struct tls_server *t;
	struct tls_cert_info c;
	const char *dir;
	struct box *b;
	char when[32];
	struct tm tm;
	int rc = 0;

	if (box_arg(argc, argv, "cert [BOX]", &dir) == -1)
		return (2);
	if ((b = open_box(dir)) == NULL)
		return (1);
	t = tls_server_new(box_path(b, b->tls_dir), &err);
	if (t == NULL)
		rc = complain(&err);
	for (unsigned i = 0; t != NULL && tls_server_cert(t, i, &c); i++) {
		long days = (long)((c.not_after - time(NULL)) / 86400);

		(void)strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", gmtime_r(&c.not_after, &tm));
		printf("file:     %s\nsubject:  %s\nnames:    %s\nserial:   %s\nexpires:  %s UTC, in %ld days%s\n\n", c.file, c.subject,
		    c.names, c.serial, when, days, days < 0 ? ": EXPIRED" : days < 14 ? ": SOON" : "");
		if (days < 14)
			rc = 1;
	}
	tls_server_free(&t);
	box_free(&b);
	return (rc);
}
