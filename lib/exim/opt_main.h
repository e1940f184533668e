/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Options of the main section.
 * X(name, type of enum exim_opt_type, default as written or NULL, EXIM_OPTF_*), sorted by name.
 */
#ifndef VPOST_EXIM_OPT_MAIN_H
#define VPOST_EXIM_OPT_MAIN_H

#define EXIM_MAIN_OPTIONS(X)	\
	X(accept_8bitmime, BOOL, "true", 0)	\
	X(acl_not_smtp, ESTRING, NULL, 0)	\
	X(acl_not_smtp_mime, ESTRING, NULL, 0)	\
	X(acl_not_smtp_start, ESTRING, NULL, 0)	\
	X(acl_smtp_atrn, ESTRING, NULL, EXIM_OPTF_KNOWN)	\
	X(acl_smtp_auth, ESTRING, NULL, 0)	\
	X(acl_smtp_connect, ESTRING, NULL, 0)	\
	X(acl_smtp_data, ESTRING, NULL, 0)	\
	X(acl_smtp_data_prdr, ESTRING, "accept", 0)	\
	X(acl_smtp_dkim, ESTRING, NULL, 0)	\
	X(acl_smtp_etrn, ESTRING, NULL, 0)	\
	X(acl_smtp_expn, ESTRING, NULL, 0)	\
	X(acl_smtp_helo, ESTRING, NULL, 0)	\
	X(acl_smtp_mail, ESTRING, NULL, 0)	\
	X(acl_smtp_mailauth, ESTRING, NULL, 0)	\
	X(acl_smtp_mime, ESTRING, NULL, 0)	\
	X(acl_smtp_notquit, ESTRING, NULL, 0)	\
	X(acl_smtp_predata, ESTRING, NULL, 0)	\
	X(acl_smtp_quit, ESTRING, NULL, 0)	\
	X(acl_smtp_rcpt, ESTRING, NULL, 0)	\
	X(acl_smtp_starttls, ESTRING, NULL, 0)	\
	X(acl_smtp_vrfy, ESTRING, NULL, 0)	\
	X(acl_smtp_wellknown, ESTRING, NULL, 0)	\
	X(add_environment, SLIST, NULL, 0)	\
	X(admin_groups, GIDLIST, NULL, 0)	\
	X(allow_domain_literals, BOOL, "false", 0)	\
	X(allow_mx_to_ip, BOOL, "false", 0)	\
	X(allow_utf8_domains, BOOL, "false", 0)	\
	X(auth_advertise_hosts, HOSTS, "*", 0)	\
	X(auto_thaw, TIME, "0s", 0)	\
	X(av_scanner, STRING, "sophie:/var/run/sophie", 0)	\
	X(bi_command, STRING, NULL, 0)	\
	X(bmi_config_file, STRING, NULL, EXIM_OPTF_KNOWN)	\
	X(bounce_message_file, ESTRING, NULL, 0)	\
	X(bounce_message_text, STRING, NULL, 0)	\
	X(bounce_return_body, BOOL, "true", 0)	\
	X(bounce_return_linesize_limit, MKINT, "998", 0)	\
	X(bounce_return_message, BOOL, "true", 0)	\
	X(bounce_return_size_limit, MKINT, "100K", 0)	\
	X(bounce_sender_authentication, STRING, NULL, 0)	\
	X(callout_domain_negative_expire, TIME, "3h", 0)	\
	X(callout_domain_positive_expire, TIME, "1w", 0)	\
	X(callout_negative_expire, TIME, "2h", 0)	\
	X(callout_positive_expire, TIME, "1d", 0)	\
	X(callout_random_local_part, ESTRING, "$primary_hostname-$tod_epoch-testing", 0)	\
	X(check_log_inodes, INT, "100", 0)	\
	X(check_log_space, KINT, "10M", 0)	\
	X(check_rfc2047_length, BOOL, "true", 0)	\
	X(check_spool_inodes, INT, "100", 0)	\
	X(check_spool_space, KINT, "10M", 0)	\
	X(chunking_advertise_hosts, HOSTS, "*", 0)	\
	X(commandline_checks_require_admin, BOOL, "false", 0)	\
	X(daemon_smtp_ports, STRING, "smtp", 0)	\
	X(daemon_startup_retries, INT, "9", 0)	\
	X(daemon_startup_sleep, TIME, "30s", 0)	\
	X(dcc_direct_add_header, BOOL, "false", EXIM_OPTF_KNOWN)	\
	X(dccifd_address, STRING, NULL, EXIM_OPTF_KNOWN)	\
	X(dccifd_options, STRING, NULL, EXIM_OPTF_KNOWN)	\
	X(debug_store, BOOL, "false", EXIM_OPTF_KNOWN)	\
	X(delay_warning, TIMELIST, "1d", 0)	\
	X(delay_warning_condition, ESTRING,	\
	    "${if or {{ !eq{$h_list-id:$h_list-post:$h_list-subscribe:}{} }{ match{$h_precedence:}{(?i)bulk|"	\
	    "list|junk} }{ match{$h_auto-submitted:}{(?i)auto-generated|auto-replied} }} {no}{yes}}", 0)	\
	X(deliver_drop_privilege, BOOL, "false", 0)	\
	X(deliver_queue_load_max, FIXED, NULL, 0)	\
	X(delivery_date_remove, BOOL, "true", 0)	\
	X(disable_fsync, BOOL, "false", EXIM_OPTF_KNOWN)	\
	X(disable_ipv6, BOOL, "false", 0)	\
	X(dkim_verify_hashes, SLIST, "sha256:sha512", EXIM_OPTF_KNOWN)	\
	X(dkim_verify_keytypes, SLIST, "ed25519:rsa", EXIM_OPTF_KNOWN)	\
	X(dkim_verify_min_keysizes, SLIST, "rsa=1024 ed25519=250", EXIM_OPTF_KNOWN)	\
	X(dkim_verify_minimal, BOOL, "false", EXIM_OPTF_KNOWN)	\
	X(dkim_verify_signers, DOMAINS, "$dkim_signers", 0)	\
	X(dmarc_forensic_sender, ESTRING, NULL, EXIM_OPTF_KNOWN)	\
	X(dmarc_history_file, STRING, NULL, EXIM_OPTF_KNOWN)	\
	X(dmarc_tld_file, STRING, NULL, EXIM_OPTF_KNOWN)	\
	X(dns_again_means_nonexist, DOMAINS, NULL, 0)	\
	X(dns_check_names_pattern, STRING, "(?i)^(?>(?(1)\\.|())[^\\W](?>[a-z0-9/_-]*[^\\W])?)+(\\.?)$", 0)	\
	X(dns_cname_loops, INT, "1", 0)	\
	X(dns_csa_search_limit, INT, "5", 0)	\
	X(dns_csa_use_reverse, BOOL, "true", 0)	\
	X(dns_dnssec_ok, INT, "-1", 0)	\
	X(dns_ipv4_lookup, DOMAINS, NULL, 0)	\
	X(dns_retrans, TIME, "0s", 0)	\
	X(dns_retry, INT, "0", 0)	\
	X(dns_trust_aa, DOMAINS, NULL, 0)	\
	X(dns_use_edns0, INT, "-1", 0)	\
	X(drop_cr, BOOL, "false", 0)	\
	X(dsn_advertise_hosts, HOSTS, NULL, 0)	\
	X(dsn_from, ESTRING, "Mail Delivery System <Mailer-Daemon@$qualify_domain>", 0)	\
	X(envelope_to_remove, BOOL, "true", 0)	\
	X(errors_copy, ESLIST, NULL, 0)	\
	X(errors_reply_to, STRING, NULL, 0)	\
	X(event_action, ESTRING, NULL, 0)	\
	X(exim_group, GID, NULL, 0)	\
	X(exim_path, STRING, "/usr/sbin/exim4", 0)	\
	X(exim_user, UID, NULL, 0)	\
	X(exim_version, STRING, NULL, 0)	\
	X(extra_local_interfaces, SLIST, NULL, 0)	\
	X(extract_addresses_remove_arguments, BOOL, "true", EXIM_OPTF_KNOWN)	\
	X(finduser_retries, INT, "0", 0)	\
	X(freeze_tell, SLIST, NULL, 0)	\
	X(gecos_name, ESTRING, NULL, 0)	\
	X(gecos_pattern, STRING, NULL, 0)	\
	X(gnutls_allow_auto_pkcs11, BOOL, "false", EXIM_OPTF_KNOWN)	\
	X(gnutls_compat_mode, BOOL, "false", 0)	\
	X(header_line_maxsize, INT, "0", 0)	\
	X(header_maxsize, INT, "1M", 0)	\
	X(headers_charset, STRING, "UTF-8", 0)	\
	X(helo_accept_junk_hosts, HOSTS, NULL, 0)	\
	X(helo_allow_chars, STRING, NULL, 0)	\
	X(helo_lookup_domains, DOMAINS, "@ : @[]", 0)	\
	X(helo_try_verify_hosts, HOSTS, NULL, 0)	\
	X(helo_verify_hosts, HOSTS, NULL, 0)	\
	X(hold_domains, DOMAINS, NULL, 0)	\
	X(host_lookup, HOSTS, NULL, 0)	\
	X(host_lookup_order, SLIST, "bydns:byaddr", 0)	\
	X(host_reject_connection, HOSTS, NULL, 0)	\
	X(hosts_connection_nolog, HOSTS, NULL, 0)	\
	X(hosts_proxy, HOSTS, NULL, 0)	\
	X(hosts_require_alpn, HOSTS, NULL, 0)	\
	X(hosts_require_helo, HOSTS, "*", 0)	\
	X(hosts_treat_as_local, DOMAINS, NULL, EXIM_OPTF_KNOWN)	\
	X(hosts_xclient, HOSTS, NULL, 0)	\
	X(ibase_servers, SLIST, NULL, EXIM_OPTF_KNOWN|EXIM_OPTF_HIDDEN)	\
	X(ignore_bounce_errors_after, TIME, "10w", 0)	\
	X(ignore_fromline_hosts, HOSTS, NULL, 0)	\
	X(ignore_fromline_local, BOOL, "false", 0)	\
	X(keep_environment, SLIST, NULL, 0)	\
	X(keep_malformed, TIME, "4d", 0)	\
	X(ldap_ca_cert_dir, STRING, NULL, 0)	\
	X(ldap_ca_cert_file, STRING, NULL, 0)	\
	X(ldap_cert_file, STRING, NULL, 0)	\
	X(ldap_cert_key, STRING, NULL, 0)	\
	X(ldap_cipher_suite, STRING, NULL, 0)	\
	X(ldap_default_servers, SLIST, NULL, EXIM_OPTF_HIDDEN)	\
	X(ldap_require_cert, STRING, NULL, 0)	\
	X(ldap_start_tls, BOOL, "false", 0)	\
	X(ldap_version, INT, "-1", 0)	\
	X(limits_advertise_hosts, HOSTS, NULL, 0)	\
	X(local_from_check, BOOL, "true", 0)	\
	X(local_from_prefix, STRING, NULL, 0)	\
	X(local_from_suffix, STRING, NULL, 0)	\
	X(local_interfaces, SLIST, "<; ::0 ; 0.0.0.0", 0)	\
	X(local_scan_path, STRING, NULL, EXIM_OPTF_KNOWN)	\
	X(local_scan_timeout, TIME, "5m", EXIM_OPTF_KNOWN)	\
	X(local_sender_retain, BOOL, "false", 0)	\
	X(localhost_number, ESTRING, NULL, 0)	\
	X(log_file_path, ESLIST, "/var/log/exim4/%slog", 0)	\
	X(log_ports, SLIST, NULL, EXIM_OPTF_KNOWN)	\
	X(log_selector, STRING, NULL, 0)	\
	X(log_timezone, BOOL, "false", 0)	\
	X(lookup_open_max, INT, "25", EXIM_OPTF_KNOWN)	\
	X(max_username_length, INT, "0", 0)	\
	X(message_body_newlines, BOOL, "false", 0)	\
	X(message_body_visible, MKINT, "500", 0)	\
	X(message_id_header_domain, ESTRING, NULL, 0)	\
	X(message_id_header_text, ESTRING, NULL, 0)	\
	X(message_logs, BOOL, "true", 0)	\
	X(message_size_limit, ESTRING, "50M", 0)	\
	X(move_frozen_messages, BOOL, "false", EXIM_OPTF_KNOWN)	\
	X(mua_wrapper, BOOL, "false", EXIM_OPTF_KNOWN)	\
	X(mysql_servers, SLIST, NULL, EXIM_OPTF_HIDDEN)	\
	X(never_users, UIDLIST, NULL, 0)	\
	X(notifier_socket, STRING, "$spool_directory/exim_daemon_notify", EXIM_OPTF_KNOWN)	\
	X(openssl_options, SLIST, NULL, 0)	\
	X(oracle_servers, SLIST, NULL, EXIM_OPTF_KNOWN|EXIM_OPTF_HIDDEN)	\
	X(panic_coredump, BOOL, "false", EXIM_OPTF_KNOWN)	\
	X(percent_hack_domains, DOMAINS, NULL, 0)	\
	X(perl_at_start, BOOL, "false", 0)	\
	X(perl_startup, STRING, NULL, 0)	\
	X(perl_taintmode, BOOL, "false", 0)	\
	X(pgsql_servers, SLIST, NULL, EXIM_OPTF_HIDDEN)	\
	X(pid_file_path, ESTRING, "/run/exim4/exim.pid", 0)	\
	X(pipelining_advertise_hosts, HOSTS, "*", 0)	\
	X(pipelining_connect_advertise_hosts, HOSTS, "*", 0)	\
	X(prdr_enable, BOOL, "false", 0)	\
	X(preserve_message_logs, BOOL, "false", 0)	\
	X(primary_hostname, STRING, NULL, 0)	\
	X(print_topbitchars, BOOL, "false", 0)	\
	X(process_log_path, STRING, NULL, 0)	\
	X(prod_requires_admin, BOOL, "true", 0)	\
	X(proxy_protocol_timeout, TIME, "3s", 0)	\
	X(qualify_domain, STRING, NULL, 0)	\
	X(qualify_recipient, STRING, NULL, 0)	\
	X(queue_domains, DOMAINS, NULL, 0)	\
	X(queue_fast_ramp, BOOL, "false", EXIM_OPTF_KNOWN)	\
	X(queue_list_requires_admin, BOOL, "true", 0)	\
	X(queue_only, BOOL, "false", 0)	\
	X(queue_only_file, SLIST, NULL, 0)	\
	X(queue_only_load, FIXED, NULL, 0)	\
	X(queue_only_load_latch, BOOL, "true", 0)	\
	X(queue_only_override, BOOL, "true", 0)	\
	X(queue_run_in_order, BOOL, "false", 0)	\
	X(queue_run_max, EINT, "5", 0)	\
	X(queue_smtp_domains, DOMAINS, NULL, 0)	\
	X(receive_timeout, TIME, "0s", 0)	\
	X(received_header_text, ESTRING,	\
	    "\"Received: ${if def:sender_rcvhost {from $sender_rcvhost\\n\\t}{${if def:sender_ident {from ${"	\
	    "quote_local_part:$sender_ident} }}${if def:sender_helo_name {(helo=$sender_helo_name)\\n\\t}}}}"	\
	    "by $primary_hostname ${if def:received_protocol {with $received_protocol }}${if def:tls_in_ver "	\
	    "       { ($tls_in_ver)}}${if def:tls_in_cipher_std { tls $tls_in_cipher_std\\n\\t}}(Exim $versi"	\
	    "on_number)\\n\\t${if def:sender_address {(envelope-from <$sender_address>)\\n\\t}}id $message_e"	\
	    "xim_id${if def:received_for {\\n\\tfor $received_for}}\"", 0)	\
	X(received_headers_max, INT, "30", 0)	\
	X(recipient_unqualified_hosts, HOSTS, NULL, 0)	\
	X(recipients_max, EINT, "50000", 0)	\
	X(recipients_max_reject, BOOL, "false", 0)	\
	X(redis_servers, SLIST, NULL, EXIM_OPTF_HIDDEN)	\
	X(remote_max_parallel, INT, "4", 0)	\
	X(remote_sort_domains, DOMAINS, NULL, 0)	\
	X(retry_data_expire, TIME, "1w", 0)	\
	X(retry_interval_max, TIME, "1d", 0)	\
	X(return_path_remove, BOOL, "true", 0)	\
	X(rfc1413_hosts, HOSTS, "@[]", 0)	\
	X(rfc1413_query_timeout, TIME, "0s", 0)	\
	X(sender_unqualified_hosts, HOSTS, NULL, 0)	\
	X(slow_lookup_log, INT, "0", 0)	\
	X(smtp_accept_keepalive, BOOL, "true", 0)	\
	X(smtp_accept_max, INT, "20", 0)	\
	X(smtp_accept_max_nonmail, INT, "10", 0)	\
	X(smtp_accept_max_nonmail_hosts, HOSTS, "*", 0)	\
	X(smtp_accept_max_per_connection, EINT, "1000", 0)	\
	X(smtp_accept_max_per_host, ESTRING, NULL, 0)	\
	X(smtp_accept_queue, INT, "0", 0)	\
	X(smtp_accept_queue_per_connection, INT, "10", 0)	\
	X(smtp_accept_reserve, INT, "0", 0)	\
	X(smtp_active_hostname, ESTRING, NULL, 0)	\
	X(smtp_backlog_monitor, INT, "0", 0)	\
	X(smtp_banner, ESTRING, "$smtp_active_hostname ESMTP Exim $version_number $tod_full", 0)	\
	X(smtp_check_spool_space, BOOL, "true", 0)	\
	X(smtp_connect_backlog, INT, "20", 0)	\
	X(smtp_enforce_sync, BOOL, "true", 0)	\
	X(smtp_etrn_command, ESTRING, NULL, 0)	\
	X(smtp_etrn_serialize, BOOL, "true", 0)	\
	X(smtp_load_reserve, FIXED, NULL, 0)	\
	X(smtp_max_synprot_errors, INT, "3", 0)	\
	X(smtp_max_unknown_commands, INT, "3", 0)	\
	X(smtp_ratelimit_hosts, HOSTS, NULL, 0)	\
	X(smtp_ratelimit_mail, STRING, NULL, 0)	\
	X(smtp_ratelimit_rcpt, STRING, NULL, 0)	\
	X(smtp_receive_timeout, ETIME, "5m", 0)	\
	X(smtp_reserve_hosts, HOSTS, NULL, 0)	\
	X(smtp_return_error_details, BOOL, "false", 0)	\
	X(smtputf8_advertise_hosts, HOSTS, "*", 0)	\
	X(spamd_address, STRING, "127.0.0.1 783", 0)	\
	X(spf_guess, STRING, "v=spf1 a/24 mx/24 ptr ?all", 0)	\
	X(spf_smtp_comment_template, ESTRING, "Please%_see%_http://www.open-spf.org/Why", 0)	\
	X(split_spool_directory, BOOL, "false", 0)	\
	X(spool_directory, ESTRING, "/var/spool/exim4", 0)	\
	X(spool_wireformat, BOOL, "false", EXIM_OPTF_KNOWN)	\
	X(sqlite_dbfile, STRING, NULL, 0)	\
	X(sqlite_lock_timeout, INT, "5", 0)	\
	X(strict_acl_vars, BOOL, "false", 0)	\
	X(strip_excess_angle_brackets, BOOL, "false", 0)	\
	X(strip_trailing_dot, BOOL, "false", 0)	\
	X(syslog_duplication, BOOL, "true", 0)	\
	X(syslog_facility, STRING, NULL, 0)	\
	X(syslog_pid, BOOL, "true", 0)	\
	X(syslog_processname, STRING, "exim", 0)	\
	X(syslog_timestamp, BOOL, "true", 0)	\
	X(system_filter, ESTRING, NULL, 0)	\
	X(system_filter_directory_transport, ESTRING, NULL, 0)	\
	X(system_filter_file_transport, ESTRING, NULL, 0)	\
	X(system_filter_group, GID, NULL, 0)	\
	X(system_filter_pipe_transport, ESTRING, NULL, 0)	\
	X(system_filter_reply_transport, ESTRING, NULL, 0)	\
	X(system_filter_user, UID, NULL, 0)	\
	X(tcp_nodelay, BOOL, "true", 0)	\
	X(tcp_wrappers_daemon_name, STRING, NULL, 0)	\
	X(timeout_frozen_after, TIME, "0s", 0)	\
	X(timezone, STRING, NULL, 0)	\
	X(tls_advertise_hosts, HOSTS, "*", 0)	\
	X(tls_alpn, ESLIST, "smtp:esmtp", 0)	\
	X(tls_certificate, ESLIST, NULL, 0)	\
	X(tls_crl, ESTRING, NULL, 0)	\
	X(tls_dh_max_bits, INT, "2236", 0)	\
	X(tls_dhparam, ESTRING, NULL, 0)	\
	X(tls_early_banner_hosts, HOSTS, NULL, EXIM_OPTF_KNOWN)	\
	X(tls_eccurve, ESTRING, "auto", 0)	\
	X(tls_ocsp_file, ESTRING, NULL, 0)	\
	X(tls_on_connect_ports, SLIST, NULL, 0)	\
	X(tls_privatekey, ESLIST, NULL, 0)	\
	X(tls_remember_esmtp, BOOL, "false", 0)	\
	X(tls_require_ciphers, ESTRING, NULL, 0)	\
	X(tls_resumption_hosts, HOSTS, NULL, 0)	\
	X(tls_try_verify_hosts, HOSTS, NULL, 0)	\
	X(tls_verify_certificates, ESTRING, "system", 0)	\
	X(tls_verify_hosts, HOSTS, NULL, 0)	\
	X(trusted_groups, GIDLIST, NULL, 0)	\
	X(trusted_users, UIDLIST, NULL, 0)	\
	X(unknown_login, ESTRING, NULL, 0)	\
	X(unknown_username, ESTRING, NULL, 0)	\
	X(untrusted_set_sender, ADDRESSES, NULL, 0)	\
	X(uucp_from_pattern, STRING,	\
	    "^From\\s+(\\S+)\\s+(?:[a-zA-Z]{3},?\\s+)?(?:[a-zA-Z]{3}\\s+\\d?\\d|\\d?\\d\\s+[a-zA-Z]{3}\\s+"	\
	    "\\d\\d(?:\\d\\d)?)\\s+\\d\\d?:\\d\\d?", 0)	\
	X(uucp_from_sender, ESTRING, "$1", 0)	\
	X(warn_message_file, ESTRING, NULL, 0)	\
	X(wellknown_advertise_hosts, HOSTS, NULL, 0)	\
	X(write_rejectlog, BOOL, "true", 0)

#endif
