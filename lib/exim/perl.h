/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Perl for ${perl (chapter 12 of Exim's manual): interpreters are programs of their own that live as long as this
 * process, so that neither their crashes nor their library are ours.  At most eight at once; each call has one for itself.
 */
#ifndef VPOST_EXIM_PERL_H
#define VPOST_EXIM_PERL_H

#include "exim/env.h"

/*
 * For struct exim_world's perl.  Runs env->conf's perl_startup when an interpreter begins.  *<out> is the result, or with
 * other answers than EXIM_OK the text of what went wrong, perhaps of several lines.
 */
enum exim_result x_perl(struct exim_env *env, struct sv sub, const struct sv *args, size_t n, struct sv *out);
/*
 * Begin an interpreter now, before anything asks for it (perl_at_start).  What its code prints goes to our standard output.
 * Nothing happens where there is no perl_startup.  *<why> tells what went wrong.
 */
enum exim_result x_perl_start(struct exim_env *env, struct sv *why);

#endif
