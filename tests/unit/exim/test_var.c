/* SPDX-License-Identifier: BSD-2-Clause */
/* Every variable that shows a fact of the session, message, address, ACL or configuration shows the right one. */
#include "expand_env.h"

static struct exim_globals g;
static struct exim_session ses;
static struct exim_message msg;
static struct exim_address addr;
static struct exim_acl_state acl;

static void
fill_globals(void)
{
	g.bounce_return_size_limit = 119;
	g.compile_date = SV_LIT("<compile_date>");
	g.config_dir = SV_LIT("<config_dir>");
	g.config_file = SV_LIT("<config_file>");
	g.exim_gid = 165;
	g.exim_path = SV_LIT("<exim_path>");
	g.exim_uid = 167;
	g.exim_version = SV_LIT("<exim_version>");
	g.initial_cwd = SV_LIT("<initial_cwd>");
	g.primary_hostname = SV_LIT("<primary_hostname>");
	g.qualify_domain = SV_LIT("<qualify_domain>");
	g.qualify_recipient = SV_LIT("<qualify_recipient>");
	g.spf_guess = SV_LIT("<spf_guess>");
	g.spool_directory = SV_LIT("<spool_directory>");
}

static void
fill_session(void)
{
	ses.authenticated_fail_id = SV_LIT("<authenticated_fail_id>");
	ses.authenticated_id = SV_LIT("<authenticated_id>");
	ses.authenticated_sender = SV_LIT("<authenticated_sender>");
	ses.authentication_failed = true;
	ses.connection_id = SV_LIT("<connection_id>");
	ses.csa_status = SV_LIT("<csa_status>");
	ses.interface_address = SV_LIT("<interface_address>");
	ses.interface_port = 178;
	ses.prdr_requested = true;
	ses.proxy_external_address = SV_LIT("<proxy_external_address>");
	ses.proxy_external_port = 232;
	ses.proxy_local_address = SV_LIT("<proxy_local_address>");
	ses.proxy_local_port = 234;
	ses.proxy = true;
	ses.rcpt_count = 242;
	ses.rcpt_defer_count = 243;
	ses.rcpt_fail_count = 244;
	ses.helo = SV_LIT("<sender_helo_name>");
	ses.helo_verified = true;
	ses.host_address = SV_LIT("<sender_host_address>");
	ses.auth_mechanism = SV_LIT("<sender_host_authenticated>");
	ses.host_dnssec = ses.dnssec_known = true;
	ses.host_lookup = EXIM_HOST_FOUND;
	ses.addr.family = 4;
	ses.host_port = 264;
	ses.ident = SV_LIT("<sender_ident>");
	ses.smtp_command = SV_LIT("<smtp_command>");
	ses.smtp_argument = SV_LIT("<smtp_command_argument>");
	ses.smtp_history = SV_LIT("<smtp_command_history>");
	ses.count_at_start = 275;
	ses.notquit_reason = SV_LIT("<smtp_notquit_reason>");
	ses.tls_in.bits = 301;
	ses.tls_in.verified = true;
	ses.tls_in.cipher = SV_LIT("<tls_cipher>");
	ses.tls_in.cipher_std = SV_LIT("<tls_in_cipher_std>");
	ses.tls_in.ocsp = 305;
	ses.tls_in.peerdn = SV_LIT("<tls_in_peerdn>");
	ses.tls_in.resumption = 307;
	ses.tls_in.sni = SV_LIT("<tls_in_sni>");
	ses.tls_in.ver = SV_LIT("<tls_in_ver>");
}

static void
fill_message(void)
{
	msg.body_linecount = 116;
	msg.body_zerocount = 117;
	msg.caller_gid = 120;
	msg.caller_uid = 121;
	msg.headers_added = SV_LIT("<headers_added>");
	msg.max_linelength = 191;
	msg.body_size = 192;
	msg.id = SV_LIT("<message_exim_id>");
	msg.linecount = 194;
	msg.size = 195;
	msg.smtputf8 = true;
	msg.n[0] = 213;
	msg.n[1] = 214;
	msg.n[2] = 215;
	msg.n[3] = 216;
	msg.n[4] = 217;
	msg.n[5] = 218;
	msg.n[6] = 219;
	msg.n[7] = 220;
	msg.n[8] = 221;
	msg.n[9] = 222;
	msg.originator_gid = 225;
	msg.originator_uid = 226;
	msg.queue_name = SV_LIT("<queue_name>");
	msg.received_count = 245;
	msg.received_for = SV_LIT("<received_for>");
	msg.received_protocol = SV_LIT("<received_protocol>");
	msg.received_time = 248;
	msg.return_path = SV_LIT("<return_path>");
	msg.sender = SV_LIT("<sender_address>");
	msg.sender_address_data = SV_LIT("<sender_address_data>");
	msg.sender_data = SV_LIT("<sender_data>");
	msg.sn[0] = 277;
	msg.sn[1] = 278;
	msg.sn[2] = 279;
	msg.sn[3] = 280;
	msg.sn[4] = 281;
	msg.sn[5] = 282;
	msg.sn[6] = 283;
	msg.sn[7] = 284;
	msg.sn[8] = 285;
	msg.sn[9] = 286;
}

static void
fill_address(void)
{
	addr.address_data = SV_LIT("<address_data>");
	addr.address_file = SV_LIT("<address_file>");
	addr.address_pipe = SV_LIT("<address_pipe>");
	addr.bounce_recipient = SV_LIT("<bounce_recipient>");
	addr.domain = SV_LIT("<domain>");
	addr.domain_data = SV_LIT("<domain_data>");
	addr.home = SV_LIT("<home>");
	addr.host = SV_LIT("<host>");
	addr.host_address = SV_LIT("<host_address>");
	addr.host_port = 174;
	addr.inode = 176;
	addr.local_part = SV_LIT("<local_part>");
	addr.local_part_data = SV_LIT("<local_part_data>");
	addr.local_part_prefix = SV_LIT("<local_part_prefix>");
	addr.local_part_prefix_v = SV_LIT("<local_part_prefix_v>");
	addr.local_part_suffix = SV_LIT("<local_part_suffix>");
	addr.local_part_suffix_v = SV_LIT("<local_part_suffix_v>");
	addr.local_user_gid = 187;
	addr.local_user_uid = 188;
	addr.mailstore_basename = SV_LIT("<mailstore_basename>");
	addr.original_domain = SV_LIT("<original_domain>");
	addr.original_local_part = SV_LIT("<original_local_part>");
	addr.parent_domain = SV_LIT("<parent_domain>");
	addr.parent_local_part = SV_LIT("<parent_local_part>");
	addr.recipient_data = SV_LIT("<recipient_data>");
	addr.router_name = SV_LIT("<router_name>");
	addr.self_hostname = SV_LIT("<self_hostname>");
	addr.sending_ip_address = SV_LIT("<sending_ip_address>");
	addr.sending_port = 271;
	addr.thisaddress = SV_LIT("<thisaddress>");
	addr.tls_out.bits = 310;
	addr.tls_out.verified = true;
	addr.tls_out.cipher = SV_LIT("<tls_out_cipher>");
	addr.tls_out.cipher_std = SV_LIT("<tls_out_cipher_std>");
	addr.tls_out.dane = true;
	addr.tls_out.ocsp = 315;
	addr.tls_out.peerdn = SV_LIT("<tls_out_peerdn>");
	addr.tls_out.resumption = 317;
	addr.tls_out.sni = SV_LIT("<tls_out_sni>");
	addr.tls_out.tlsa_usage = 319;
	addr.tls_out.ver = SV_LIT("<tls_out_ver>");
	addr.transport_name = SV_LIT("<transport_name>");
	addr.warn_delay = SV_LIT("<warn_message_delay>");
	addr.warn_recipients = SV_LIT("<warn_message_recipient>");
}

static void
fill_acl(void)
{
	acl.verify_message = SV_LIT("<acl_verify_message>");
	acl.arc_domains = SV_LIT("<arc_domains>");
	acl.arc_oldest_pass = 106;
	acl.arc_state = SV_LIT("<arc_state>");
	acl.arc_state_reason = SV_LIT("<arc_state_reason>");
	acl.atrn_host = SV_LIT("<atrn_host>");
	acl.atrn_mode = SV_LIT("<atrn_mode>");
	acl.av_failed = true;
	acl.callout_address = SV_LIT("<callout_address>");
	acl.dkim_algo = SV_LIT("<dkim_algo>");
	acl.dkim_bodylength = SV_LIT("<dkim_bodylength>");
	acl.dkim_canon_body = SV_LIT("<dkim_canon_body>");
	acl.dkim_canon_headers = SV_LIT("<dkim_canon_headers>");
	acl.dkim_copiedheaders = SV_LIT("<dkim_copiedheaders>");
	acl.dkim_created = SV_LIT("<dkim_created>");
	acl.dkim_cur_signer = SV_LIT("<dkim_cur_signer>");
	acl.dkim_domain = SV_LIT("<dkim_domain>");
	acl.dkim_expires = SV_LIT("<dkim_expires>");
	acl.dkim_headernames = SV_LIT("<dkim_headernames>");
	acl.dkim_identity = SV_LIT("<dkim_identity>");
	acl.dkim_key_granularity = SV_LIT("<dkim_key_granularity>");
	acl.dkim_key_length = 140;
	acl.dkim_key_nosubdomains = SV_LIT("<dkim_key_nosubdomains>");
	acl.dkim_key_notes = SV_LIT("<dkim_key_notes>");
	acl.dkim_key_srvtype = SV_LIT("<dkim_key_srvtype>");
	acl.dkim_key_testing = SV_LIT("<dkim_key_testing>");
	acl.dkim_selector = SV_LIT("<dkim_selector>");
	acl.dkim_signers = SV_LIT("<dkim_signers>");
	acl.dkim_verify_reason = SV_LIT("<dkim_verify_reason>");
	acl.dkim_verify_signers = SV_LIT("<dkim_verify_signers>");
	acl.dkim_verify_status = SV_LIT("<dkim_verify_status>");
	acl.dmarc_alignment_dkim = SV_LIT("<dmarc_alignment_dkim>");
	acl.dmarc_alignment_spf = SV_LIT("<dmarc_alignment_spf>");
	acl.dmarc_domain_policy = SV_LIT("<dmarc_domain_policy>");
	acl.dmarc_status = SV_LIT("<dmarc_status>");
	acl.dmarc_status_text = SV_LIT("<dmarc_status_text>");
	acl.dmarc_used_domain = SV_LIT("<dmarc_used_domain>");
	acl.dnslist_domain = SV_LIT("<dnslist_domain>");
	acl.dnslist_matched = SV_LIT("<dnslist_matched>");
	acl.dnslist_text = SV_LIT("<dnslist_text>");
	acl.dnslist_value = SV_LIT("<dnslist_value>");
	acl.host_data = SV_LIT("<host_data>");
	acl.event_data = SV_LIT("<event_data>");
	acl.event_defer_errno = 163;
	acl.event_name = SV_LIT("<event_name>");
	acl.local_scan_data = SV_LIT("<local_scan_data>");
	acl.malware_name = SV_LIT("<malware_name>");
	acl.mime_anomaly_level = 197;
	acl.mime_anomaly_text = SV_LIT("<mime_anomaly_text>");
	acl.mime_boundary = SV_LIT("<mime_boundary>");
	acl.mime_charset = SV_LIT("<mime_charset>");
	acl.mime_content_description = SV_LIT("<mime_content_description>");
	acl.mime_content_disposition = SV_LIT("<mime_content_disposition>");
	acl.mime_content_id = SV_LIT("<mime_content_id>");
	acl.mime_content_size = 204;
	acl.mime_content_transfer_encoding = SV_LIT("<mime_content_transfer_encoding>");
}

static void
fill_acl2(void)
{
	acl.mime_content_type = SV_LIT("<mime_content_type>");
	acl.mime_decoded_filename = SV_LIT("<mime_decoded_filename>");
	acl.mime_filename = SV_LIT("<mime_filename>");
	acl.mime_is_coverletter = true;
	acl.mime_is_multipart = true;
	acl.mime_is_rfc822 = true;
	acl.mime_part_count = 212;
	acl.recipient_verify_failure = SV_LIT("<recipient_verify_failure>");
	acl.regex_match_string = SV_LIT("<regex_match_string>");
	acl.sender_rate = SV_LIT("<sender_rate>");
	acl.sender_rate_limit = SV_LIT("<sender_rate_limit>");
	acl.sender_rate_period = SV_LIT("<sender_rate_period>");
	acl.sender_verify_failure = SV_LIT("<sender_verify_failure>");
	acl.spam_action = SV_LIT("<spam_action>");
	acl.spam_bar = SV_LIT("<spam_bar>");
	acl.spam_report = SV_LIT("<spam_report>");
	acl.spam_score = SV_LIT("<spam_score>");
	acl.spam_score_int = SV_LIT("<spam_score_int>");
	acl.spf_header_comment = SV_LIT("<spf_header_comment>");
	acl.spf_received = SV_LIT("<spf_received>");
	acl.spf_result = SV_LIT("<spf_result>");
	acl.spf_guessed = true;
	acl.spf_smtp_comment = SV_LIT("<spf_smtp_comment>");
	acl.verify_mode = SV_LIT("<verify_mode>");
}

/* As the manual names them (chapter 11.9); numbers as they are shown. */
static const struct { const char *name, *want; } rows[] = {
	{ "acl_verify_message", "<acl_verify_message>" }, { "address_data", "<address_data>" },
	{ "address_file", "<address_file>" }, { "address_pipe", "<address_pipe>" },
	{ "arc_domains", "<arc_domains>" }, { "arc_oldest_pass", "106" }, { "arc_state", "<arc_state>" },
	{ "arc_state_reason", "<arc_state_reason>" }, { "atrn_host", "<atrn_host>" }, { "atrn_mode", "<atrn_mode>" },
	{ "authenticated_fail_id", "<authenticated_fail_id>" }, { "authenticated_id", "<authenticated_id>" },
	{ "authenticated_sender", "<authenticated_sender>" }, { "authentication_failed", "1" }, { "av_failed", "1" },
	{ "body_linecount", "116" }, { "body_zerocount", "117" }, { "bounce_recipient", "<bounce_recipient>" },
	{ "bounce_return_size_limit", "119" }, { "caller_gid", "120" }, { "caller_uid", "121" },
	{ "callout_address", "<callout_address>" }, { "compile_date", "<compile_date>" },
	{ "config_dir", "<config_dir>" }, { "config_file", "<config_file>" }, { "connection_id", "<connection_id>" },
	{ "csa_status", "<csa_status>" }, { "dkim_algo", "<dkim_algo>" }, { "dkim_bodylength", "<dkim_bodylength>" },
	{ "dkim_canon_body", "<dkim_canon_body>" }, { "dkim_canon_headers", "<dkim_canon_headers>" },
	{ "dkim_copiedheaders", "<dkim_copiedheaders>" }, { "dkim_created", "<dkim_created>" },
	{ "dkim_cur_signer", "<dkim_cur_signer>" }, { "dkim_domain", "<dkim_domain>" },
	{ "dkim_expires", "<dkim_expires>" }, { "dkim_headernames", "<dkim_headernames>" },
	{ "dkim_identity", "<dkim_identity>" }, { "dkim_key_granularity", "<dkim_key_granularity>" },
	{ "dkim_key_length", "140" }, { "dkim_key_nosubdomains", "<dkim_key_nosubdomains>" },
	{ "dkim_key_notes", "<dkim_key_notes>" }, { "dkim_key_srvtype", "<dkim_key_srvtype>" },
	{ "dkim_key_testing", "<dkim_key_testing>" }, { "dkim_selector", "<dkim_selector>" },
	{ "dkim_signers", "<dkim_signers>" }, { "dkim_verify_reason", "<dkim_verify_reason>" },
	{ "dkim_verify_signers", "<dkim_verify_signers>" }, { "dkim_verify_status", "<dkim_verify_status>" },
	{ "dmarc_alignment_dkim", "<dmarc_alignment_dkim>" }, { "dmarc_alignment_spf", "<dmarc_alignment_spf>" },
	{ "dmarc_domain_policy", "<dmarc_domain_policy>" }, { "dmarc_status", "<dmarc_status>" },
	{ "dmarc_status_text", "<dmarc_status_text>" }, { "dmarc_used_domain", "<dmarc_used_domain>" },
	{ "dnslist_domain", "<dnslist_domain>" }, { "dnslist_matched", "<dnslist_matched>" },
	{ "dnslist_text", "<dnslist_text>" }, { "dnslist_value", "<dnslist_value>" }, { "domain", "<domain>" },
	{ "domain_data", "<domain_data>" }, { "event_data", "<event_data>" }, { "event_defer_errno", "163" },
	{ "event_name", "<event_name>" }, { "exim_gid", "165" }, { "exim_path", "<exim_path>" },
	{ "exim_uid", "167" }, { "exim_version", "<exim_version>" }, { "headers_added", "<headers_added>" },
	{ "home", "<home>" }, { "host", "<host>" }, { "host_address", "<host_address>" },
	{ "host_data", "<host_data>" }, { "host_port", "174" }, { "initial_cwd", "<initial_cwd>" },
	{ "inode", "176" }, { "interface_address", "<interface_address>" }, { "interface_port", "178" },
	{ "local_part", "<local_part>" }, { "local_part_data", "<local_part_data>" },
	{ "local_part_prefix", "<local_part_prefix>" }, { "local_part_prefix_v", "<local_part_prefix_v>" },
	{ "local_part_suffix", "<local_part_suffix>" }, { "local_part_suffix_v", "<local_part_suffix_v>" },
	{ "local_scan_data", "<local_scan_data>" }, { "local_user_gid", "187" }, { "local_user_uid", "188" },
	{ "mailstore_basename", "<mailstore_basename>" }, { "malware_name", "<malware_name>" },
	{ "max_received_linelength", "191" }, { "message_body_size", "192" },
	{ "message_exim_id", "<message_exim_id>" }, { "message_id", "<message_exim_id>" },
	{ "message_linecount", "194" }, { "message_size", "195" }, { "message_smtputf8", "yes" },
	{ "mime_anomaly_level", "197" }, { "mime_anomaly_text", "<mime_anomaly_text>" },
	{ "mime_boundary", "<mime_boundary>" }, { "mime_charset", "<mime_charset>" },
	{ "mime_content_description", "<mime_content_description>" },
	{ "mime_content_disposition", "<mime_content_disposition>" }, { "mime_content_id", "<mime_content_id>" },
	{ "mime_content_size", "204" }, { "mime_content_transfer_encoding", "<mime_content_transfer_encoding>" },
	{ "mime_content_type", "<mime_content_type>" }, { "mime_decoded_filename", "<mime_decoded_filename>" },
	{ "mime_filename", "<mime_filename>" }, { "mime_is_coverletter", "1" }, { "mime_is_multipart", "1" },
	{ "mime_is_rfc822", "1" }, { "mime_part_count", "212" }, { "n0", "213" }, { "n1", "214" }, { "n2", "215" },
	{ "n3", "216" }, { "n4", "217" }, { "n5", "218" }, { "n6", "219" }, { "n7", "220" }, { "n8", "221" },
	{ "n9", "222" }, { "original_domain", "<original_domain>" },
	{ "original_local_part", "<original_local_part>" }, { "originator_gid", "225" }, { "originator_uid", "226" },
	{ "parent_domain", "<parent_domain>" }, { "parent_local_part", "<parent_local_part>" },
	{ "prdr_requested", "yes" }, { "primary_hostname", "<primary_hostname>" },
	{ "proxy_external_address", "<proxy_external_address>" }, { "proxy_external_port", "232" },
	{ "proxy_local_address", "<proxy_local_address>" }, { "proxy_local_port", "234" }, { "proxy_session", "yes" },
	{ "qualify_domain", "<qualify_domain>" },
	{ "qualify_recipient", "<qualify_recipient>" }, { "queue_name", "<queue_name>" }, { "rcpt_count", "242" },
	{ "rcpt_defer_count", "243" }, { "rcpt_fail_count", "244" }, { "received_count", "245" },
	{ "received_for", "<received_for>" }, { "received_ip_address", "<interface_address>" },
	{ "received_port", "178" }, { "received_protocol", "<received_protocol>" }, { "received_time", "248" },
	{ "recipient_data", "<recipient_data>" }, { "recipient_verify_failure", "<recipient_verify_failure>" },
	{ "regex_match_string", "<regex_match_string>" }, { "return_path", "<return_path>" },
	{ "return_size_limit", "119" }, { "router_name", "<router_name>" },
	{ "self_hostname", "<self_hostname>" }, { "sender_address", "<sender_address>" },
	{ "sender_address_data", "<sender_address_data>" }, { "sender_data", "<sender_data>" },
	{ "sender_helo_name", "<sender_helo_name>" }, { "sender_helo_verified", "yes" },
	{ "sender_host_address", "<sender_host_address>" },
	{ "sender_host_authenticated", "<sender_host_authenticated>" }, { "sender_host_dnssec", "yes" },
	{ "sender_host_port", "264" }, { "sender_ident", "<sender_ident>" }, { "sender_rate", "<sender_rate>" },
	{ "sender_rate_limit", "<sender_rate_limit>" }, { "sender_rate_period", "<sender_rate_period>" },
	{ "sender_verify_failure", "<sender_verify_failure>" }, { "sending_ip_address", "<sending_ip_address>" },
	{ "sending_port", "271" }, { "smtp_command", "<smtp_command>" },
	{ "smtp_command_argument", "<smtp_command_argument>" }, { "smtp_command_history", "<smtp_command_history>" },
	{ "smtp_count_at_connection_start", "275" }, { "smtp_notquit_reason", "<smtp_notquit_reason>" },
	{ "sn0", "277" }, { "sn1", "278" }, { "sn2", "279" }, { "sn3", "280" }, { "sn4", "281" }, { "sn5", "282" },
	{ "sn6", "283" }, { "sn7", "284" }, { "sn8", "285" }, { "sn9", "286" }, { "spam_action", "<spam_action>" },
	{ "spam_bar", "<spam_bar>" }, { "spam_report", "<spam_report>" }, { "spam_score", "<spam_score>" },
	{ "spam_score_int", "<spam_score_int>" }, { "spf_guess", "<spf_guess>" },
	{ "spf_header_comment", "<spf_header_comment>" }, { "spf_received", "<spf_received>" },
	{ "spf_result", "<spf_result>" }, { "spf_result_guessed", "yes" },
	{ "spf_smtp_comment", "<spf_smtp_comment>" }, { "spool_directory", "<spool_directory>" },
	{ "thisaddress", "<thisaddress>" }, { "tls_bits", "301" },
	{ "tls_certificate_verified", "1" }, { "tls_cipher", "<tls_cipher>" }, { "tls_in_bits", "301" },
	{ "tls_in_certificate_verified", "1" }, { "tls_in_cipher", "<tls_cipher>" },
	{ "tls_in_cipher_std", "<tls_in_cipher_std>" }, { "tls_in_ocsp", "305" },
	{ "tls_in_peerdn", "<tls_in_peerdn>" }, { "tls_in_resumption", "307" }, { "tls_in_sni", "<tls_in_sni>" },
	{ "tls_in_ver", "<tls_in_ver>" }, { "tls_out_bits", "310" }, { "tls_out_certificate_verified", "1" },
	{ "tls_out_cipher", "<tls_out_cipher>" }, { "tls_out_cipher_std", "<tls_out_cipher_std>" },
	{ "tls_out_dane", "yes" }, { "tls_out_ocsp", "315" }, { "tls_out_peerdn", "<tls_out_peerdn>" },
	{ "tls_out_resumption", "317" }, { "tls_out_sni", "<tls_out_sni>" }, { "tls_out_tlsa_usage", "319" },
	{ "tls_out_ver", "<tls_out_ver>" }, { "tls_peerdn", "<tls_in_peerdn>" }, { "tls_sni", "<tls_in_sni>" },
	{ "transport_name", "<transport_name>" }, { "verify_mode", "<verify_mode>" },
	{ "version_number", "<exim_version>" }, { "warn_message_delay", "<warn_message_delay>" },
	{ "warn_message_recipient", "<warn_message_recipient>" },
	{ "warn_message_recipients", "<warn_message_recipient>" }, { "warnmsg_delay", "<warn_message_delay>" },
	{ "warnmsg_recipient", "<warn_message_recipient>" }, { "warnmsg_recipients", "<warn_message_recipient>" },
};

static void
test_facts(void **state)
{
	struct test_env t;

	test_env_init(&t, true);
	fill_globals();
	fill_session();
	fill_message();
	fill_address();
	fill_acl();
	fill_acl2();
	t.env.g = &g;
	t.env.session = &ses;
	t.env.msg = &msg;
	t.env.addr = &addr;
	t.env.acl = &acl;
	t.env.filter_running = true;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[64], def[160];

		(void)snprintf(text, sizeof(text), "$%s", rows[i].name);
		(void)snprintf(def, sizeof(def), "${if def:%s{${%s}}{unset}}", rows[i].name, rows[i].name);
		if (strcmp(test_expand(&t, text), rows[i].want) != 0 || strcmp(test_expand(&t, def), rows[i].want) != 0)
			fail_msg("$%s: %s, want %s", rows[i].name, test_expand(&t, text), rows[i].want);
	}
	test_env_fini(&t);
}

/* Outside of everything: unset, or what stands for nothing. */
static void
test_nothing(void **state)
{
	static const struct { const char *name, *want; } empty[] = {
		{ "sender_address", "" }, { "message_size", "0" }, { "interface_port", "-1" }, { "received_port", "-1" },
		{ "sending_port", "-1" }, { "mime_part_count", "-1" }, { "message_smtputf8", "no" }, { "proxy_session", "no" },
		{ "authentication_failed", "0" }, { "tls_in_bits", "0" }, { "dkim_bodylength", "9999999999999" },
		{ "dkim_created", "0" },
		{ "local_user_uid", "4294967295" }, { "bounce_return_size_limit", "102400" }, { "recipients_count", "0" },
		{ "acl_narg", "0" }, { "compile_number", "2" }, { "ldap_dn", "" }, { "runrc", "0" },
		{ "acl_arg1", "" }, { "acl_arg9", "" },
		{ "auth1", "" }, { "regex1", "" }, { "local_part_prefix", "" }, { "value", "" }, { "item", "" },
		{ "message_headers", "" },
	};
	struct test_env t;

	test_env_init(&t, true);
	t.env.g = NULL;
	t.env.session = NULL;
	t.env.msg = NULL;
	t.env.addr = NULL;
	t.env.acl = NULL;
	for (size_t i = 0; i < sizeof(empty) / sizeof(empty[0]); i++) {
		char text[64];

		(void)snprintf(text, sizeof(text), "$%s", empty[i].name);
		if (strcmp(test_expand(&t, text), empty[i].want) != 0)
			fail_msg("$%s: %s, want %s", empty[i].name, test_expand(&t, text), empty[i].want);
	}
	test_env_fini(&t);
}

static void
test_acl_args(void **state)
{
	struct sv args[9];
	struct test_env t;

	test_env_init(&t, true);
	memset(&acl, 0, sizeof(acl));
	t.env.acl = &acl;
	acl.nargs = 9;
	acl.args = args;
	for (size_t i = 0; i < 9; i++)
		args[i] = sv_from("123456789" + i, 1);
	assert_string_equal(test_expand(&t, "$acl_narg: $acl_arg1$acl_arg2$acl_arg3$acl_arg4$acl_arg5"), "9: 12345");
	assert_string_equal(test_expand(&t, "$acl_arg6$acl_arg7$acl_arg8$acl_arg9"), "6789");
	test_env_fini(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_facts), cmocka_unit_test(test_nothing), cmocka_unit_test(test_acl_args),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
