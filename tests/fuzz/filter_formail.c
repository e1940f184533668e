/* SPDX-License-Identifier: BSD-2-Clause */
/* Two bytes choose options of formail, the rest is its input. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "filter/formail.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
add(struct formail_list *l, const char *field)
{
	formail_add(l, field, strlen(field), false);
}

static void
options(struct formail *f, unsigned a, unsigned b)
{
	f->reply = a & 1;
	f->trust = a & 2;
	f->keep = (a & 4) && (f->reply || (b & 1));
	f->concatenate = a & 8;
	f->zap = a & 16;
	f->force = a & 32;
	f->split = a & 64;
	f->every = f->split && (a & 128);
	f->digest = f->split && (b & 128);
	f->babyl = f->split && (b & 64);
	if (b & 1)
		add(&f->x, "Subject:\n");
	if (b & 2)
		add(&f->i, "To: x\n");
	if (b & 4)
		add(&f->I, "X-\n");
	if (b & 8)
		add(&f->U, "X-\n");
	if (b & 16)
		add(&f->R, "From X-From:");
	if (b & 32)
		add(&f->a, "Message-ID:\n");
	if ((a & 8) && (b & 8))
		add(&f->u, "R\n");
	f->folder = a == 255 ? "box" : NULL;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct formail f = { .total = -1, .prefix = ">", .quiet = true, .bogus = true, .host = "h" };
	struct formail_list *lists[] = { &f.x, &f.X, &f.a, &f.A, &f.i, &f.I, &f.u, &f.U, &f.R };
	char *out = NULL, *in;
	size_t n = 0;

	if (size < 3 || size > 65536)
		return (0);
	options(&f, data[0], data[1]);
	in = malloc(size - 2);
	memcpy(in, data + 2, size - 2);
	f.in = fmemopen(in, size - 2, "r");
	f.out = open_memstream(&out, &n);
	(void)formail_run(&f);
	(void)fclose(f.in);
	(void)fclose(f.out);
	free(out);
	free(in);
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		formail_list_free(lists[i]);
	return (0);
}
