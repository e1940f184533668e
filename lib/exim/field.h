/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The addresses of a header field one by one, as Exim cuts and reads them where it verifies: header_syntax and
 * header_sender.  lib/mail reads fields for everything else.
 */
#ifndef VPOST_EXIM_FIELD_H
#define VPOST_EXIM_FIELD_H

#include "exim/extract.h"

struct exim_field {
	struct sv	 rest;		/* what is still to be read: the body at first */
	bool		 group;		/* behind "Name:", and no ";" has come */
};

enum exim_field_got { EXIM_FIELD_END, EXIM_FIELD_ADDRESS, EXIM_FIELD_EMPTY, EXIM_FIELD_WRONG };

/*
 * The next one: *<piece> is its text up to the comma or the end.  ADDRESS: *<x> is filled, from <a>; EMPTY: there is
 * nothing, or an empty group; WRONG: *<err> tells why, x->address is what was read, x->stop as of exim_extract().  <flags>: EXIM_EXTRACT_...
 */
enum exim_field_got exim_field_next(struct exim_field *f, unsigned flags, struct arena *a, struct sv *piece,
	     struct exim_extracted *x, struct err *err);

#endif
