/* SPDX-License-Identifier: BSD-2-Clause */
/* log_selector (chapter 53 of Exim's manual): names, bits, defaults. */
#ifndef VPOST_EXIM_LOGSEL_H
#define VPOST_EXIM_LOGSEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/sv.h"

/* X(name, on by default) */
#define EXIM_LOGSELS(X)							\
	X(8bitmime, 0) X(acl_warn_skipped, 1) X(address_rewrite, 0) X(all_parents, 0) X(arguments, 0) X(connection_id, 0) \
	X(connection_reject, 1) X(delay_delivery, 1) X(deliver_time, 0) X(delivery_size, 0) X(dkim, 1) X(dkim_verbose, 0) \
	X(dnslist_defer, 1) X(dnssec, 0) X(etrn, 1) X(host_lookup_failed, 1) X(ident_timeout, 0) X(incoming_interface, 0) \
	X(incoming_port, 0) X(lost_incoming_connection, 1) X(millisec, 0) X(msg_id, 1) X(msg_id_created, 0)	\
	X(outgoing_interface, 1) X(outgoing_port, 0) X(pid, 0) X(pipelining, 0) X(protocol_detail, 0) X(proxy, 0) \
	X(queue_run, 1) X(queue_time, 0) X(queue_time_exclusive, 1) X(queue_time_overall, 0) X(receive_time, 0)	\
	X(received_recipients, 0) X(received_sender, 0) X(rejected_header, 1) X(rejected_headers, 1) X(retry_defer, 1) \
	X(return_path_on_delivery, 0) X(sender_on_delivery, 0) X(sender_verify_fail, 1) X(size_reject, 1)	\
	X(skip_delivery, 1) X(smtp_confirmation, 1) X(smtp_connection, 0) X(smtp_incomplete_transaction, 0)	\
	X(smtp_mailauth, 0) X(smtp_no_mail, 0) X(smtp_protocol_error, 0) X(smtp_syntax_error, 0) X(subject, 0)	\
	X(tls_certificate_verified, 1) X(tls_cipher, 1) X(tls_on_connect, 0) X(tls_peerdn, 0) X(tls_resumption, 0) \
	X(tls_sni, 0) X(unknown_in_list, 0)

enum exim_logsel {
#define X(name, dflt)	EXIM_LOGSEL_##name,
	EXIM_LOGSELS(X)
#undef X
	EXIM_LOGSEL_COUNT
};

#define EXIM_LOGSEL_BIT(s)	(UINT64_C(1) << (s))
#define EXIM_LOGSEL_ON(set, name)	(((set) & EXIM_LOGSEL_BIT(EXIM_LOGSEL_##name)) != 0)

/* The defaults changed by <text> ("+subject -tls_cipher"); -1 and the name that is unknown or what is wrong in *<err>. */
int	 exim_logsel_parse(struct sv text, uint64_t *set, struct err *err);
/* Is <name> a selector ("all" too)? */
bool	 exim_logsel_known(struct sv name);
/* The name of selector <i>, below EXIM_LOGSEL_COUNT. */
const char *exim_logsel_name(int i);

#endif
