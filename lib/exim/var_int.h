/* SPDX-License-Identifier: BSD-2-Clause */
/* The computed variables, var_fn.c and var_header.c, for the table in var.c. */
#ifndef VPOST_EXIM_VAR_INT_H
#define VPOST_EXIM_VAR_INT_H

#include "exim/expand_int.h"

#define XV(name)	enum exim_result name(struct xev *e, struct sv *out)

XV(xv_acl_narg); XV(xv_host_lookup_deferred); XV(xv_host_lookup_failed); XV(xv_load_average); XV(xv_localhost_number);
XV(xv_host_dnssec); XV(xv_log_inodes); XV(xv_log_space); XV(xv_lookup_dnssec); XV(xv_message_age); XV(xv_message_body); XV(xv_message_body_end);
XV(xv_message_headers); XV(xv_message_headers_raw); XV(xv_pid); XV(xv_queue_size); XV(xv_recipients); XV(xv_recipients_count);
XV(xv_recipients_list); XV(xv_reply_address); XV(xv_sender_domain); XV(xv_sender_local_part); XV(xv_sender_fullhost);
XV(xv_sender_host_name); XV(xv_sender_rcvhost); XV(xv_active_hostname); XV(xv_spool_inodes); XV(xv_spool_space);
XV(xv_tod_bsdinbox); XV(xv_tod_epoch); XV(xv_tod_epoch_l); XV(xv_tod_full); XV(xv_tod_log); XV(xv_tod_logfile); XV(xv_tod_zone);
XV(xv_tod_zulu);

const struct sv *xv_router_var(const struct hash *h, struct sv name);

/* Decode encoded words; <charset> p NULL: no conversion.  Folds and 8-bit bytes stay. */
struct sv x_rfc2047_decode(struct xev *e, struct sv v, bool check_length, struct sv charset);

#endif
