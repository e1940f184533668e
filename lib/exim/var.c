/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Expansion variables (manual 11.9) as one table: most are a field of one of the
 * environment's structures.  Those that are computed stand in var_fn.c.
 */
#include "exim/expand_int.h"

#include <stddef.h>
#include <stdlib.h>

#include "exim/var_int.h"

enum base { B_NONE, B_ENV, B_G, B_SES, B_MSG, B_ADDR, B_ACL };
enum kind {
	K_SV,
	K_INT,			/* int64_t */
	K_UID,			/* int64_t, shown as an unsigned number of 32 bits */
	K_PORT,			/* int64_t, shown as -1 when it is 0 */
	K_01,			/* bool as 0 or 1 */
	K_YN,			/* bool as yes or no */
	K_CERT,			/* void *, visible to ${certextract and the hash operators only */
	K_FN,
	K_FILTER,		/* int64_t, exists while an Exim filter runs */
	K_NONE			/* known, always empty: of parts that are not built */
};

struct xvar_row {
	const char	*name;
	enum kind	 kind;
	enum base	 base;
	size_t		 off;
	const char	*dflt;	/* when the structure is not there, or the text is empty */
	enum exim_result (*fn)(struct xev *e, struct sv *out);
};

#define ENV(f)	B_ENV, offsetof(struct exim_env, f)
#define GLO(f)	B_G, offsetof(struct exim_globals, f)
#define SES(f)	B_SES, offsetof(struct exim_session, f)
#define MSG(f)	B_MSG, offsetof(struct exim_message, f)
#define ADR(f)	B_ADDR, offsetof(struct exim_address, f)
#define ACL(f)	B_ACL, offsetof(struct exim_acl_state, f)
#define FN(f)	K_FN, B_NONE, 0, NULL, f

/* Sorted by name. */
static const struct xvar_row vars[] = {
	{ "acl_narg",			FN(xv_acl_narg) },
	{ "acl_verify_message",		K_SV, ACL(verify_message), NULL, NULL },
	{ "address_data",		K_SV, ADR(address_data), NULL, NULL },
	{ "address_file",		K_SV, ADR(address_file), NULL, NULL },
	{ "address_pipe",		K_SV, ADR(address_pipe), NULL, NULL },
	{ "arc_domains",		K_SV, ACL(arc_domains), NULL, NULL },
	{ "arc_oldest_pass",		K_INT, ACL(arc_oldest_pass), "0", NULL },
	{ "arc_state",			K_SV, ACL(arc_state), NULL, NULL },
	{ "arc_state_reason",		K_SV, ACL(arc_state_reason), NULL, NULL },
	{ "atrn_host",			K_SV, ACL(atrn_host), NULL, NULL },
	{ "atrn_mode",			K_SV, ACL(atrn_mode), NULL, NULL },
	{ "authenticated_fail_id",	K_SV, SES(authenticated_fail_id), NULL, NULL },
	{ "authenticated_id",		K_SV, SES(authenticated_id), NULL, NULL },
	{ "authenticated_sender",	K_SV, SES(authenticated_sender), NULL, NULL },
	{ "authentication_failed",	K_01, SES(authentication_failed), "0", NULL },
	{ "av_failed",			K_01, ACL(av_failed), "0", NULL },
	{ "bmi_alt_location",		K_NONE, B_NONE, 0, NULL, NULL },
	{ "bmi_base64_tracker_verdict", K_NONE, B_NONE, 0, NULL, NULL },
	{ "bmi_base64_verdict",		K_NONE, B_NONE, 0, NULL, NULL },
	{ "bmi_deliver",		K_NONE, B_NONE, 0, NULL, NULL },
	{ "body_linecount",		K_INT, MSG(body_linecount), "0", NULL },
	{ "body_zerocount",		K_INT, MSG(body_zerocount), "0", NULL },
	{ "bounce_recipient",		K_SV, ADR(bounce_recipient), NULL, NULL },
	{ "bounce_return_size_limit",	K_INT, GLO(bounce_return_size_limit), "102400", NULL },
	{ "caller_gid",			K_INT, MSG(caller_gid), "0", NULL },
	{ "caller_uid",			K_INT, MSG(caller_uid), "0", NULL },
	{ "callout_address",		K_SV, ACL(callout_address), NULL, NULL },
	{ "compile_date",		K_SV, GLO(compile_date), __DATE__ " " __TIME__, NULL },
	{ "compile_number",		K_NONE, B_NONE, 0, "2", NULL },
	{ "config_dir",			K_SV, GLO(config_dir), NULL, NULL },
	{ "config_file",		K_SV, GLO(config_file), NULL, NULL },
	{ "connection_id",		K_SV, SES(connection_id), NULL, NULL },
	{ "csa_status",			K_SV, SES(csa_status), NULL, NULL },
	{ "dcc_header",			K_NONE, B_NONE, 0, NULL, NULL },
	{ "dcc_result",			K_NONE, B_NONE, 0, NULL, NULL },
	{ "dkim_algo",			K_SV, ACL(dkim_algo), NULL, NULL },
	{ "dkim_bodylength",		K_SV, ACL(dkim_bodylength), "9999999999999", NULL },
	{ "dkim_canon_body",		K_SV, ACL(dkim_canon_body), NULL, NULL },
	{ "dkim_canon_headers",		K_SV, ACL(dkim_canon_headers), NULL, NULL },
	{ "dkim_copiedheaders",		K_SV, ACL(dkim_copiedheaders), NULL, NULL },
	{ "dkim_created",		K_SV, ACL(dkim_created), "0", NULL },
	{ "dkim_cur_signer",		K_SV, ACL(dkim_cur_signer), NULL, NULL },
	{ "dkim_domain",		K_SV, ACL(dkim_domain), NULL, NULL },
	{ "dkim_expires",		K_SV, ACL(dkim_expires), "9999999999999", NULL },
	{ "dkim_headernames",		K_SV, ACL(dkim_headernames), NULL, NULL },
	{ "dkim_identity",		K_SV, ACL(dkim_identity), NULL, NULL },
	{ "dkim_key_granularity",	K_SV, ACL(dkim_key_granularity), "*", NULL },
	{ "dkim_key_length",		K_INT, ACL(dkim_key_length), "0", NULL },
	{ "dkim_key_nosubdomains",	K_SV, ACL(dkim_key_nosubdomains), "0", NULL },
	{ "dkim_key_notes",		K_SV, ACL(dkim_key_notes), NULL, NULL },
	{ "dkim_key_srvtype",		K_SV, ACL(dkim_key_srvtype), "*", NULL },
	{ "dkim_key_testing",		K_SV, ACL(dkim_key_testing), "0", NULL },
	{ "dkim_selector",		K_SV, ACL(dkim_selector), NULL, NULL },
	{ "dkim_signers",		K_SV, ACL(dkim_signers), NULL, NULL },
	{ "dkim_verify_reason",		K_SV, ACL(dkim_verify_reason), NULL, NULL },
	{ "dkim_verify_signers",	K_SV, ACL(dkim_verify_signers), NULL, NULL },
	{ "dkim_verify_status",		K_SV, ACL(dkim_verify_status), NULL, NULL },
	{ "dmarc_alignment_dkim",	K_SV, ACL(dmarc_alignment_dkim), NULL, NULL },
	{ "dmarc_alignment_spf",	K_SV, ACL(dmarc_alignment_spf), NULL, NULL },
	{ "dmarc_domain_policy",	K_SV, ACL(dmarc_domain_policy), NULL, NULL },
	{ "dmarc_status",		K_SV, ACL(dmarc_status), NULL, NULL },
	{ "dmarc_status_text",		K_SV, ACL(dmarc_status_text), NULL, NULL },
	{ "dmarc_used_domain",		K_SV, ACL(dmarc_used_domain), NULL, NULL },
	{ "dnslist_domain",		K_SV, ACL(dnslist_domain), NULL, NULL },
	{ "dnslist_matched",		K_SV, ACL(dnslist_matched), NULL, NULL },
	{ "dnslist_text",		K_SV, ACL(dnslist_text), NULL, NULL },
	{ "dnslist_value",		K_SV, ACL(dnslist_value), NULL, NULL },
	{ "domain",			K_SV, ADR(domain), NULL, NULL },
	{ "domain_data",		K_SV, ADR(domain_data), NULL, NULL },
	{ "event_data",			K_SV, ACL(event_data), NULL, NULL },
	{ "event_defer_errno",		K_INT, ACL(event_defer_errno), "0", NULL },
	{ "event_name",			K_SV, ACL(event_name), NULL, NULL },
	{ "exim_gid",			K_INT, GLO(exim_gid), "0", NULL },
	{ "exim_path",			K_SV, GLO(exim_path), NULL, NULL },
	{ "exim_uid",			K_INT, GLO(exim_uid), "0", NULL },
	{ "exim_version",		K_SV, GLO(exim_version), "4.98", NULL },
	{ "headers_added",		K_SV, MSG(headers_added), NULL, NULL },
	{ "home",			K_SV, ADR(home), NULL, NULL },
	{ "host",			K_SV, ADR(host), NULL, NULL },
	{ "host_address",		K_SV, ADR(host_address), NULL, NULL },
	{ "host_data",			K_SV, ACL(host_data), NULL, NULL },
	{ "host_lookup_deferred",	FN(xv_host_lookup_deferred) },
	{ "host_lookup_failed",		FN(xv_host_lookup_failed) },
	{ "host_port",			K_INT, ADR(host_port), "0", NULL },
	{ "initial_cwd",		K_SV, GLO(initial_cwd), NULL, NULL },
	{ "inode",			K_INT, ADR(inode), "0", NULL },
	{ "interface_address",		K_SV, SES(interface_address), NULL, NULL },
	{ "interface_port",		K_PORT, SES(interface_port), "-1", NULL },
	{ "item",			K_SV, ENV(item), NULL, NULL },
	{ "ldap_dn",			K_SV, ENV(ldap_dn), NULL, NULL },
	{ "load_average",		FN(xv_load_average) },
	{ "local_part",			K_SV, ADR(local_part), NULL, NULL },
	{ "local_part_data",		K_SV, ADR(local_part_data), NULL, NULL },
	{ "local_part_prefix",		K_SV, ADR(local_part_prefix), NULL, NULL },
	{ "local_part_prefix_v",	K_SV, ADR(local_part_prefix_v), NULL, NULL },
	{ "local_part_suffix",		K_SV, ADR(local_part_suffix), NULL, NULL },
	{ "local_part_suffix_v",	K_SV, ADR(local_part_suffix_v), NULL, NULL },
	{ "local_scan_data",		K_SV, ACL(local_scan_data), NULL, NULL },
	{ "local_user_gid",		K_UID, ADR(local_user_gid), "4294967295", NULL },
	{ "local_user_uid",		K_UID, ADR(local_user_uid), "4294967295", NULL },
	{ "localhost_number",		FN(xv_localhost_number) },
	{ "log_inodes",			FN(xv_log_inodes) },
	{ "log_space",			FN(xv_log_space) },
	{ "lookup_dnssec_authenticated", FN(xv_lookup_dnssec) },
	{ "mailstore_basename",		K_SV, ADR(mailstore_basename), NULL, NULL },
	{ "malware_name",		K_SV, ACL(malware_name), NULL, NULL },
	{ "max_received_linelength",	K_INT, MSG(max_linelength), "0", NULL },
	{ "message_age",		FN(xv_message_age) },
	{ "message_body",		FN(xv_message_body) },
	{ "message_body_end",		FN(xv_message_body_end) },
	{ "message_body_size",		K_INT, MSG(body_size), "0", NULL },
	{ "message_exim_id",		K_SV, MSG(id), NULL, NULL },
	{ "message_headers",		FN(xv_message_headers) },
	{ "message_headers_raw",	FN(xv_message_headers_raw) },
	{ "message_id",			K_SV, MSG(id), NULL, NULL },
	{ "message_linecount",		K_INT, MSG(linecount), "0", NULL },
	{ "message_size",		K_INT, MSG(size), "0", NULL },
	{ "message_smtputf8",		K_YN, MSG(smtputf8), "no", NULL },
	{ "mime_anomaly_level",		K_INT, ACL(mime_anomaly_level), "0", NULL },
	{ "mime_anomaly_text",		K_SV, ACL(mime_anomaly_text), NULL, NULL },
	{ "mime_boundary",		K_SV, ACL(mime_boundary), NULL, NULL },
	{ "mime_charset",		K_SV, ACL(mime_charset), NULL, NULL },
	{ "mime_content_description",	K_SV, ACL(mime_content_description), NULL, NULL },
	{ "mime_content_disposition",	K_SV, ACL(mime_content_disposition), NULL, NULL },
	{ "mime_content_id",		K_SV, ACL(mime_content_id), NULL, NULL },
	{ "mime_content_size",		K_INT, ACL(mime_content_size), "0", NULL },
	{ "mime_content_transfer_encoding", K_SV, ACL(mime_content_transfer_encoding), NULL, NULL },
	{ "mime_content_type",		K_SV, ACL(mime_content_type), NULL, NULL },
	{ "mime_decoded_filename",	K_SV, ACL(mime_decoded_filename), NULL, NULL },
	{ "mime_filename",		K_SV, ACL(mime_filename), NULL, NULL },
	{ "mime_is_coverletter",	K_01, ACL(mime_is_coverletter), "0", NULL },
	{ "mime_is_multipart",		K_01, ACL(mime_is_multipart), "0", NULL },
	{ "mime_is_rfc822",		K_01, ACL(mime_is_rfc822), "0", NULL },
	{ "mime_part_count",		K_INT, ACL(mime_part_count), "-1", NULL },
	{ "n0",				K_FILTER, MSG(n[0]), NULL, NULL },
	{ "n1",				K_FILTER, MSG(n[1]), NULL, NULL },
	{ "n2",				K_FILTER, MSG(n[2]), NULL, NULL },
	{ "n3",				K_FILTER, MSG(n[3]), NULL, NULL },
	{ "n4",				K_FILTER, MSG(n[4]), NULL, NULL },
	{ "n5",				K_FILTER, MSG(n[5]), NULL, NULL },
	{ "n6",				K_FILTER, MSG(n[6]), NULL, NULL },
	{ "n7",				K_FILTER, MSG(n[7]), NULL, NULL },
	{ "n8",				K_FILTER, MSG(n[8]), NULL, NULL },
	{ "n9",				K_FILTER, MSG(n[9]), NULL, NULL },
	{ "original_domain",		K_SV, ADR(original_domain), NULL, NULL },
	{ "original_local_part",	K_SV, ADR(original_local_part), NULL, NULL },
	{ "originator_gid",		K_INT, MSG(originator_gid), "0", NULL },
	{ "originator_uid",		K_INT, MSG(originator_uid), "0", NULL },
	{ "parent_domain",		K_SV, ADR(parent_domain), NULL, NULL },
	{ "parent_local_part",		K_SV, ADR(parent_local_part), NULL, NULL },
	{ "pid",			FN(xv_pid) },
	{ "prdr_requested",		K_YN, SES(prdr_requested), "no", NULL },
	{ "primary_hostname",		K_SV, GLO(primary_hostname), NULL, NULL },
	{ "proxy_external_address",	K_SV, SES(proxy_external_address), NULL, NULL },
	{ "proxy_external_port",	K_INT, SES(proxy_external_port), "0", NULL },
	{ "proxy_local_address",	K_SV, SES(proxy_local_address), NULL, NULL },
	{ "proxy_local_port",		K_INT, SES(proxy_local_port), "0", NULL },
	{ "proxy_session",		K_YN, SES(proxy), "no", NULL },
	{ "prvscheck_address",		K_SV, ENV(prvscheck_address), NULL, NULL },
	{ "prvscheck_keynum",		K_SV, ENV(prvscheck_keynum), NULL, NULL },
	{ "prvscheck_result",		K_SV, ENV(prvscheck_result), NULL, NULL },
	{ "qualify_domain",		K_SV, GLO(qualify_domain), NULL, NULL },
	{ "qualify_recipient",		K_SV, GLO(qualify_recipient), NULL, NULL },
	{ "queue_name",			K_SV, MSG(queue_name), NULL, NULL },
	{ "queue_size",			FN(xv_queue_size) },
	{ "rcpt_count",			K_INT, SES(rcpt_count), "0", NULL },
	{ "rcpt_defer_count",		K_INT, SES(rcpt_defer_count), "0", NULL },
	{ "rcpt_fail_count",		K_INT, SES(rcpt_fail_count), "0", NULL },
	{ "received_count",		K_INT, MSG(received_count), "0", NULL },
	{ "received_for",		K_SV, MSG(received_for), NULL, NULL },
	{ "received_ip_address",	K_SV, SES(interface_address), NULL, NULL },
	{ "received_port",		K_PORT, SES(interface_port), "-1", NULL },
	{ "received_protocol",		K_SV, MSG(received_protocol), NULL, NULL },
	{ "received_time",		K_INT, MSG(received_time), "0", NULL },
	{ "recipient_data",		K_SV, ADR(recipient_data), NULL, NULL },
	{ "recipient_verify_failure",	K_SV, ACL(recipient_verify_failure), NULL, NULL },
	{ "recipients",			FN(xv_recipients) },
	{ "recipients_count",		FN(xv_recipients_count) },
	{ "recipients_list",		FN(xv_recipients_list) },
	{ "regex_cachesize",		K_NONE, B_NONE, 0, "0", NULL },
	{ "regex_match_string",		K_SV, ACL(regex_match_string), NULL, NULL },
	{ "reply_address",		FN(xv_reply_address) },
	{ "return_path",		K_SV, MSG(return_path), NULL, NULL },
	{ "return_size_limit",		K_INT, GLO(bounce_return_size_limit), "102400", NULL },
	{ "router_name",		K_SV, ADR(router_name), NULL, NULL },
	{ "runrc",			K_INT, ENV(runrc), "0", NULL },
	{ "self_hostname",		K_SV, ADR(self_hostname), NULL, NULL },
	{ "sender_address",		K_SV, MSG(sender), NULL, NULL },
	{ "sender_address_data",	K_SV, MSG(sender_address_data), NULL, NULL },
	{ "sender_address_domain",	FN(xv_sender_domain) },
	{ "sender_address_local_part",	FN(xv_sender_local_part) },
	{ "sender_data",		K_SV, MSG(sender_data), NULL, NULL },
	{ "sender_fullhost",		FN(xv_sender_fullhost) },
	{ "sender_helo_dnssec",		K_NONE, B_NONE, 0, "no", NULL },
	{ "sender_helo_name",		K_SV, SES(helo), NULL, NULL },
	{ "sender_helo_verified",	K_YN, SES(helo_verified), "no", NULL },
	{ "sender_host_address",	K_SV, SES(host_address), NULL, NULL },
	{ "sender_host_authenticated",	K_SV, SES(auth_mechanism), NULL, NULL },
	{ "sender_host_dnssec",		FN(xv_host_dnssec) },
	{ "sender_host_name",		FN(xv_sender_host_name) },
	{ "sender_host_port",		K_INT, SES(host_port), "0", NULL },
	{ "sender_ident",		K_SV, SES(ident), NULL, NULL },
	{ "sender_rate",		K_SV, ACL(sender_rate), NULL, NULL },
	{ "sender_rate_limit",		K_SV, ACL(sender_rate_limit), NULL, NULL },
	{ "sender_rate_period",		K_SV, ACL(sender_rate_period), NULL, NULL },
	{ "sender_rcvhost",		FN(xv_sender_rcvhost) },
	{ "sender_verify_failure",	K_SV, ACL(sender_verify_failure), NULL, NULL },
	{ "sending_ip_address",		K_SV, ADR(sending_ip_address), NULL, NULL },
	{ "sending_port",		K_PORT, ADR(sending_port), "-1", NULL },
	{ "smtp_active_hostname",	FN(xv_active_hostname) },
	{ "smtp_command",		K_SV, SES(smtp_command), NULL, NULL },
	{ "smtp_command_argument",	K_SV, SES(smtp_argument), NULL, NULL },
	{ "smtp_command_history",	K_SV, SES(smtp_history), NULL, NULL },
	{ "smtp_count_at_connection_start", K_INT, SES(count_at_start), "0", NULL },
	{ "smtp_notquit_reason",	K_SV, SES(notquit_reason), NULL, NULL },
	{ "sn0",			K_FILTER, MSG(sn[0]), NULL, NULL },
	{ "sn1",			K_FILTER, MSG(sn[1]), NULL, NULL },
	{ "sn2",			K_FILTER, MSG(sn[2]), NULL, NULL },
	{ "sn3",			K_FILTER, MSG(sn[3]), NULL, NULL },
	{ "sn4",			K_FILTER, MSG(sn[4]), NULL, NULL },
	{ "sn5",			K_FILTER, MSG(sn[5]), NULL, NULL },
	{ "sn6",			K_FILTER, MSG(sn[6]), NULL, NULL },
	{ "sn7",			K_FILTER, MSG(sn[7]), NULL, NULL },
	{ "sn8",			K_FILTER, MSG(sn[8]), NULL, NULL },
	{ "sn9",			K_FILTER, MSG(sn[9]), NULL, NULL },
	{ "spam_action",		K_SV, ACL(spam_action), NULL, NULL },
	{ "spam_bar",			K_SV, ACL(spam_bar), NULL, NULL },
	{ "spam_report",		K_SV, ACL(spam_report), NULL, NULL },
	{ "spam_score",			K_SV, ACL(spam_score), NULL, NULL },
	{ "spam_score_int",		K_SV, ACL(spam_score_int), NULL, NULL },
	{ "spf_guess",			K_SV, GLO(spf_guess), "v=spf1 a/24 mx/24 ptr ?all", NULL },
	{ "spf_header_comment",		K_SV, ACL(spf_header_comment), NULL, NULL },
	{ "spf_received",		K_SV, ACL(spf_received), NULL, NULL },
	{ "spf_result",			K_SV, ACL(spf_result), NULL, NULL },
	{ "spf_result_guessed",		K_YN, ACL(spf_guessed), "no", NULL },
	{ "spf_smtp_comment",		K_SV, ACL(spf_smtp_comment), NULL, NULL },
	{ "spool_directory",		K_SV, GLO(spool_directory), NULL, NULL },
	{ "spool_inodes",		FN(xv_spool_inodes) },
	{ "spool_space",		FN(xv_spool_space) },
	{ "srs_recipient",		K_SV, ENV(srs_recipient), NULL, NULL },
	{ "thisaddress",		K_SV, ADR(thisaddress), NULL, NULL },
	{ "tls_bits",			K_INT, SES(tls_in.bits), "0", NULL },
	{ "tls_certificate_verified",	K_01, SES(tls_in.verified), "0", NULL },
	{ "tls_cipher",			K_SV, SES(tls_in.cipher), NULL, NULL },
	{ "tls_in_bits",		K_INT, SES(tls_in.bits), "0", NULL },
	{ "tls_in_certificate_verified", K_01, SES(tls_in.verified), "0", NULL },
	{ "tls_in_cipher",		K_SV, SES(tls_in.cipher), NULL, NULL },
	{ "tls_in_cipher_std",		K_SV, SES(tls_in.cipher_std), NULL, NULL },
	{ "tls_in_ocsp",		K_INT, SES(tls_in.ocsp), "0", NULL },
	{ "tls_in_ourcert",		K_CERT, SES(tls_in.ourcert), NULL, NULL },
	{ "tls_in_peercert",		K_CERT, SES(tls_in.peercert), NULL, NULL },
	{ "tls_in_peerdn",		K_SV, SES(tls_in.peerdn), NULL, NULL },
	{ "tls_in_resumption",		K_INT, SES(tls_in.resumption), "0", NULL },
	{ "tls_in_sni",			K_SV, SES(tls_in.sni), NULL, NULL },
	{ "tls_in_ver",			K_SV, SES(tls_in.ver), NULL, NULL },
	{ "tls_out_bits",		K_INT, ADR(tls_out.bits), "0", NULL },
	{ "tls_out_certificate_verified", K_01, ADR(tls_out.verified), "0", NULL },
	{ "tls_out_cipher",		K_SV, ADR(tls_out.cipher), NULL, NULL },
	{ "tls_out_cipher_std",		K_SV, ADR(tls_out.cipher_std), NULL, NULL },
	{ "tls_out_dane",		K_YN, ADR(tls_out.dane), "no", NULL },
	{ "tls_out_ocsp",		K_INT, ADR(tls_out.ocsp), "0", NULL },
	{ "tls_out_ourcert",		K_CERT, ADR(tls_out.ourcert), NULL, NULL },
	{ "tls_out_peercert",		K_CERT, ADR(tls_out.peercert), NULL, NULL },
	{ "tls_out_peerdn",		K_SV, ADR(tls_out.peerdn), NULL, NULL },
	{ "tls_out_resumption",		K_INT, ADR(tls_out.resumption), "0", NULL },
	{ "tls_out_sni",		K_SV, ADR(tls_out.sni), NULL, NULL },
	{ "tls_out_tlsa_usage",		K_INT, ADR(tls_out.tlsa_usage), "0", NULL },
	{ "tls_out_ver",		K_SV, ADR(tls_out.ver), NULL, NULL },
	{ "tls_peerdn",			K_SV, SES(tls_in.peerdn), NULL, NULL },
	{ "tls_sni",			K_SV, SES(tls_in.sni), NULL, NULL },
	{ "tod_bsdinbox",		FN(xv_tod_bsdinbox) },
	{ "tod_epoch",			FN(xv_tod_epoch) },
	{ "tod_epoch_l",		FN(xv_tod_epoch_l) },
	{ "tod_full",			FN(xv_tod_full) },
	{ "tod_log",			FN(xv_tod_log) },
	{ "tod_logfile",		FN(xv_tod_logfile) },
	{ "tod_zone",			FN(xv_tod_zone) },
	{ "tod_zulu",			FN(xv_tod_zulu) },
	{ "transport_name",		K_SV, ADR(transport_name), NULL, NULL },
	{ "value",			K_SV, ENV(value), NULL, NULL },
	{ "verify_mode",		K_SV, ACL(verify_mode), NULL, NULL },
	{ "version_number",		K_SV, GLO(exim_version), "4.98", NULL },
	{ "warn_message_delay",		K_SV, ADR(warn_delay), NULL, NULL },
	{ "warn_message_recipient",	K_SV, ADR(warn_recipients), NULL, NULL },
	{ "warn_message_recipients",	K_SV, ADR(warn_recipients), NULL, NULL },
	{ "warnmsg_delay",		K_SV, ADR(warn_delay), NULL, NULL },
	{ "warnmsg_recipient",		K_SV, ADR(warn_recipients), NULL, NULL },
	{ "warnmsg_recipients",		K_SV, ADR(warn_recipients), NULL, NULL },
};
#define NVARS	(sizeof(vars) / sizeof(vars[0]))

static int
compare_var(const void *key, const void *row)
{
	return (sv_cmp(*(const struct sv *)key, sv_cstr(((const struct xvar_row *)row)->name)));
}

const char *
x_var_name(size_t i)
{
	return (i < NVARS ? vars[i].name : NULL);
}

static const char *
base_of(const struct exim_env *env, enum base base)
{
	switch (base) {
	case B_ENV: return ((const char *)env);
	case B_G: return ((const char *)env->g);
	case B_SES: return ((const char *)env->session);
	case B_MSG: return ((const char *)env->msg);
	case B_ADDR: return ((const char *)env->addr);
	case B_ACL: return ((const char *)env->acl);
	default: return (NULL);
	}
}

static enum exim_result
eval_sv(struct xev *e, const struct xnode *n, struct sv *out)
{
	const struct xvar_row *row = n->u.var.row;
	const char *p = base_of(e->env, row->base);

	*out = p == NULL ? SV_NULL : *(const struct sv *)(const void *)(p + row->off);
	if (out->len == 0 && row->dflt != NULL)
		*out = sv_cstr(row->dflt);
	return (EXIM_OK);
}

X_EVAL(x_var)
{
	const struct xvar_row *row = n->u.var.row;
	const char *p = base_of(e->env, row->base);
	int64_t num;
	bool b;

	if (row->kind == K_FN)
		return (row->fn(e, out));
	if (row->kind == K_FILTER && !e->env->filter_running && n->u.var.name.p != NULL)
		return (x_fail(e, "unknown variable in \"${%s}\"", row->name));
	if (row->kind == K_FILTER && !e->env->filter_running)
		return (x_fail(e, "unknown variable name \"%s\"", row->name));
	*out = sv_cstr(row->dflt);
	if (p == NULL || row->kind == K_NONE)
		return (EXIM_OK);
	p += row->off;
	/* As text it only says that there is one, which "def:" asks for. */
	if (row->kind == K_CERT) {
		*out = *(void *const *)(const void *)p == NULL ? SV_LIT("") : SV_LIT("<cert>");
		return (EXIM_OK);
	}
	switch (row->kind) {
	case K_UID:
		*out = x_int(e, *(const int64_t *)(const void *)p & UINT32_MAX);
		break;
	case K_INT:
	case K_FILTER:
	case K_PORT:
		num = *(const int64_t *)(const void *)p;
		*out = num == 0 && row->kind == K_PORT ? SV_LIT("-1") : x_int(e, num);
		break;
	case K_01:
	case K_YN:
		b = *(const bool *)p;
		*out = row->kind == K_01 ? (b ? SV_LIT("1") : SV_LIT("0")) : (b ? SV_LIT("yes") : SV_LIT("no"));
		break;
	default:
		break;
	}
	return (EXIM_OK);
}

/* --- families of names --- */

static enum exim_result
eval_acl_var(struct xev *e, const struct xnode *n, struct sv *out)
{
	const struct exim_vars *v = n->u.var.name.p[0] == 'c' ? e->env->acl_c : e->env->acl_m;

	*out = v == NULL ? SV_NULL : exim_vars_get(v, n->u.var.name);
	/* An ACL that is called before this is used may set it anew. */
	if (out->p != NULL)
		*out = arena_sv(e->env->arena, *out);
	else if (e->env->g != NULL && e->env->g->strict_acl_vars)
		return (x_fail(e, "unknown variable name \"acl_" SV_FMT "\" (strict_acl_vars is set)", SV_ARG(n->u.var.name)));
	return (EXIM_OK);
}

static enum exim_result
eval_router_var(struct xev *e, const struct xnode *n, struct sv *out)
{
	const struct sv *v = NULL;

	if (e->env->addr != NULL && e->env->addr->router_vars != NULL)
		v = xv_router_var(e->env->addr->router_vars, n->u.var.name);
	*out = v == NULL ? SV_NULL : *v;
	if (v == NULL && e->env->g != NULL && e->env->g->strict_acl_vars)
		return (x_fail(e, "unknown variable name \"r_" SV_FMT "\"", SV_ARG(n->u.var.name)));
	return (EXIM_OK);
}

/* $acl_arg1, $auth1, $regex1: the digit stands in the name. */
static enum exim_result
eval_numbered(struct xev *e, const struct xnode *n, struct sv *out)
{
	const struct sv name = n->u.var.name;
	size_t i = (size_t)(name.p[name.len - 1] - '1');

	*out = SV_NULL;
	if (name.p[1] == 'c') {
		if (e->env->acl != NULL && i < e->env->acl->nargs)
			*out = e->env->acl->args[i];
	} else if (name.p[0] == 'a') {
		if (e->env->session != NULL)
			*out = e->env->session->auth[i];
	} else if (e->env->acl != NULL)
		*out = e->env->acl->regex[i];
	return (EXIM_OK);
}

static bool
numbered(struct sv name)
{
	static const struct { const char *prefix; char last; } t[] = {
		{ "acl_arg", '9' }, { "auth", '4' }, { "regex", '9' }
	};

	for (size_t i = 0; i < 3; i++)
		if (name.len == strlen(t[i].prefix) + 1 && sv_starts(name, t[i].prefix) &&
		    name.p[name.len - 1] >= '1' && name.p[name.len - 1] <= t[i].last)
			return (true);
	return (false);
}

bool
xp_var(struct xparse *ps, struct sv name, struct xnode *n)
{
	const struct xvar_row *row;

	if (name.len > 5 && (sv_starts(name, "acl_c") || sv_starts(name, "acl_m")) && !sv_isalpha(name.p[5])) {
		n->eval = eval_acl_var;
		n->u.var.name = arena_sv(ps->a, sv_sub(name, 4, name.len));
		return (true);
	}
	if (sv_eqs(name, "acl_c") || sv_eqs(name, "acl_m")) {
		n->eval = eval_acl_var;
		n->u.var.name = arena_sv(ps->a, sv_sub(name, 4, 5));
		return (true);
	}
	if (sv_starts(name, "r_")) {
		n->eval = eval_router_var;
		n->u.var.name = arena_sv(ps->a, sv_sub(name, 2, name.len));
		return (true);
	}
	if (numbered(name)) {
		n->eval = eval_numbered;
		n->u.var.name = arena_sv(ps->a, name);
		return (true);
	}
	row = bsearch(&name, vars, NVARS, sizeof(vars[0]), compare_var);
	if (row == NULL)
		return (false);
	n->eval = row->kind == K_SV ? eval_sv : x_var;
	n->u.var.row = row;
	return (true);
}

const char *
x_acl_hint(struct sv name)
{
	if (!sv_starts(name, "acl_"))
		return ("");
	if (name.len > 4 && (name.p[4] == 'c' || name.p[4] == 'm'))
		return (" (6th character of a user-defined ACL variable must be a digit or underscore)");
	return (" (user-defined ACL variables must start acl_c or acl_m)");
}

bool
x_seq_is_cert(const struct xseq *s)
{
	return (s->n == 1 && s->v[0].eval == x_var && s->v[0].u.var.row->kind == K_CERT);
}

void *
x_var_cert(struct xev *e, const struct xseq *s)
{
	const char *p;

	if (!x_seq_is_cert(s))
		return (NULL);
	p = base_of(e->env, s->v[0].u.var.row->base);
	return (p == NULL ? NULL : *(void *const *)(const void *)(p + s->v[0].u.var.row->off));
}

bool
exim_var_known(struct sv name)
{
	enum xheader_kind kind;
	size_t prefix;

	return (x_header_prefix(name, &kind, &prefix) || numbered(name) || sv_starts(name, "r_") ||
	    (name.len > 5 && (sv_starts(name, "acl_c") || sv_starts(name, "acl_m")) && !sv_isalpha(name.p[5])) ||
	    bsearch(&name, vars, NVARS, sizeof(vars[0]), compare_var) != NULL);
}

bool
exim_var_get(struct exim_env *env, struct sv name, struct sv *out)
{
	struct xev e = { .env = env, .err = NULL };
	struct xparse ps = { .a = env->arena };
	enum xheader_kind kind;
	struct xnode n;
	size_t prefix;

	memset(&n, 0, sizeof(n));
	if (x_header_prefix(name, &kind, &prefix)) {
		*out = x_header_get(&e, sv_sub(name, prefix, name.len), kind);
		return (true);
	}
	return (xp_var(&ps, name, &n) && n.eval(&e, &n, out) == EXIM_OK);
}
