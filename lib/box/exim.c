/* SPDX-License-Identifier: BSD-2-Clause */
/* The box's exim.conf, and what it may know of the box: the same for all who read it. */
#include "box/box.h"
#include "exim/conf.h"

void
box_exim_source(const struct box *b, struct exim_conf_source *src)
{
	const char **v = arena_alloc(b->arena, BOX_EXIM_DEFINES * sizeof(*v));

	*src = (struct exim_conf_source){ .path = box_path(b, BOX_EXIM_CONF), .text = SV_NULL, .defines = v,
	    .hostname = b->hostname[0] != '\0' ? b->hostname : NULL };
	v[src->ndefines++] = arena_fmt(b->arena, "_VPOST_BOX=%s", b->root);
	if (b->system_users)
		v[src->ndefines++] = "_VPOST_SYSTEM_USERS=yes";
}
