/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Segments of the intake journal that vqueued could not read in part and kept aside
 * (var/spool/intake/NAME.damaged): told by status and check until somebody has looked at them.
 */
#include <dirent.h>

#include "base/sb.h"
#include "base/sv.h"
#include "vpost_int.h"

void
damaged_segments(const struct box *b, void (*tell)(void *arg, const char *text), void *arg)
{
	DIR *d = opendir(box_path(b, BOX_INTAKE));
	struct dirent *de;

	if (d == NULL)
		return;
	while ((de = readdir(d)) != NULL) {
		struct sb text = SB_INIT(4096);

		if (!sv_ends(sv_cstr(de->d_name), ".seg.damaged"))
			continue;
		sb_addf(&text, "%s/%s: part of this segment of the journal cannot be read, so messages are lost; vpost.log says which "
		    "bytes; remove the file when you have looked at it", BOX_INTAKE, de->d_name);
		tell(arg, sb_cstr(&text));
		sb_free(&text);
	}
	(void)closedir(d);
}
