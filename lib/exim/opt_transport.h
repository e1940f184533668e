/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Options of transports: those of all, then by driver.
 * X(name, type of enum exim_opt_type, default as written or NULL, EXIM_OPTF_*), sorted by name.
 */
#ifndef VPOST_EXIM_OPT_TRANSPORT_H
#define VPOST_EXIM_OPT_TRANSPORT_H

#define EXIM_TRANSPORT_OPTIONS(X)	\
	X(body_only, BOOL, "false", 0)	\
	X(current_directory, ESTRING, NULL, 0)	\
	X(debug_print, ESTRING, NULL, 0)	\
	X(delivery_date_add, BOOL, "false", 0)	\
	X(disable_logging, BOOL, "false", 0)	\
	X(driver, STRING, NULL, 0)	\
	X(envelope_to_add, BOOL, "false", 0)	\
	X(event_action, ESTRING, NULL, 0)	\
	X(group, EGID, NULL, 0)	\
	X(headers_add, MULTI, NULL, 0)	\
	X(headers_only, BOOL, "false", 0)	\
	X(headers_remove, MULTI, NULL, 0)	\
	X(headers_rewrite, REWRITE, NULL, 0)	\
	X(home_directory, ESTRING, NULL, 0)	\
	X(initgroups, BOOL, "false", 0)	\
	X(max_parallel, EINT, NULL, 0)	\
	X(message_size_limit, ESTRING, NULL, 0)	\
	X(rcpt_include_affixes, BOOL, "false", 0)	\
	X(retry_use_local_part, BOOL, "false", 0)	\
	X(return_path, ESTRING, NULL, 0)	\
	X(return_path_add, BOOL, "false", 0)	\
	X(shadow_condition, ESTRING, NULL, 0)	\
	X(shadow_transport, STRING, NULL, 0)	\
	X(transport_filter, ESTRING, NULL, 0)	\
	X(transport_filter_timeout, TIME, "5m", 0)	\
	X(user, EUID, NULL, 0)

#define EXIM_APPENDFILE_OPTIONS(X)	\
	X(allow_fifo, BOOL, "false", 0)	\
	X(allow_symlink, BOOL, "false", 0)	\
	X(batch_id, ESTRING, NULL, 0)	\
	X(batch_max, INT, "1", 0)	\
	X(check_group, BOOL, "false", 0)	\
	X(check_owner, BOOL, "true", 0)	\
	X(check_string, STRING, "From ", 0)	\
	X(create_directory, BOOL, "true", 0)	\
	X(create_file, STRING, "anywhere", 0)	\
	X(directory, ESTRING, NULL, 0)	\
	X(directory_file, ESTRING, "q${base62:$tod_epoch}-$inode", 0)	\
	X(directory_mode, OCTAL, "0700", 0)	\
	X(escape_string, STRING, ">From ", 0)	\
	X(file, ESTRING, NULL, 0)	\
	X(file_format, STRING, NULL, 0)	\
	X(file_must_exist, BOOL, "false", 0)	\
	X(lock_fcntl_timeout, TIME, "0s", 0)	\
	X(lock_flock_timeout, TIME, "0s", 0)	\
	X(lock_interval, TIME, "3s", 0)	\
	X(lock_retries, INT, "10", 0)	\
	X(lockfile_mode, OCTAL, "0600", 0)	\
	X(lockfile_timeout, TIME, "30m", 0)	\
	X(mailbox_filecount, ESTRING, NULL, 0)	\
	X(mailbox_size, ESTRING, NULL, 0)	\
	X(maildir_format, BOOL, "false", 0)	\
	X(maildir_quota_directory_regex, STRING, "^(?:cur|new|\\..*)$", 0)	\
	X(maildir_retries, INT, "10", 0)	\
	X(maildir_tag, ESTRING, NULL, 0)	\
	X(maildir_use_size_file, EBOOL, "false", 0)	\
	X(maildirfolder_create_regex, STRING, NULL, 0)	\
	X(mailstore_format, BOOL, "false", 0)	\
	X(mailstore_prefix, ESTRING, NULL, 0)	\
	X(mailstore_suffix, ESTRING, NULL, 0)	\
	X(mbx_format, BOOL, "false", 0)	\
	X(message_prefix, ESTRING,	\
	    "\"From ${if def:return_path{$return_path}{MAILER-DAEMON}} ${tod_bsdinbox}\\n\"", 0)	\
	X(message_suffix, ESTRING, "\"\\n\"", 0)	\
	X(mode, OCTAL, "0600", 0)	\
	X(mode_fail_narrower, BOOL, "true", 0)	\
	X(notify_comsat, BOOL, "false", 0)	\
	X(quota, ESTRING, NULL, 0)	\
	X(quota_directory, ESTRING, NULL, 0)	\
	X(quota_filecount, ESTRING, NULL, 0)	\
	X(quota_is_inclusive, BOOL, "true", 0)	\
	X(quota_size_regex, STRING, NULL, 0)	\
	X(quota_warn_message, ESTRING, NULL, 0)	\
	X(quota_warn_threshold, ESTRING, NULL, 0)	\
	X(use_bsmtp, BOOL, "false", 0)	\
	X(use_crlf, BOOL, "false", 0)	\
	X(use_fcntl_lock, BOOL_SET, NULL, 0)	\
	X(use_flock_lock, BOOL_SET, NULL, 0)	\
	X(use_lockfile, BOOL_SET, NULL, 0)	\
	X(use_mbx_lock, BOOL_SET, NULL, 0)

#define EXIM_AUTOREPLY_OPTIONS(X)	\
	X(bcc, ESTRING, NULL, 0)	\
	X(cc, ESTRING, NULL, 0)	\
	X(file, ESTRING, NULL, 0)	\
	X(file_expand, BOOL, "false", 0)	\
	X(file_optional, BOOL, "false", 0)	\
	X(from, ESTRING, NULL, 0)	\
	X(headers, ESTRING, NULL, 0)	\
	X(log, ESTRING, NULL, 0)	\
	X(mode, OCTAL, "0600", 0)	\
	X(never_mail, ADDRESSES, NULL, 0)	\
	X(once, ESTRING, NULL, 0)	\
	X(once_file_size, INT, "0", 0)	\
	X(once_repeat, ETIME, NULL, 0)	\
	X(reply_to, ESTRING, NULL, 0)	\
	X(return_message, BOOL, "false", 0)	\
	X(subject, ESTRING, NULL, 0)	\
	X(text, ESTRING, NULL, 0)	\
	X(to, ESTRING, NULL, 0)

#define EXIM_LMTP_OPTIONS(X)	\
	X(batch_id, ESTRING, NULL, 0)	\
	X(batch_max, INT, "1", 0)	\
	X(command, ESTRING, NULL, 0)	\
	X(ignore_quota, BOOL, "false", 0)	\
	X(socket, ESTRING, NULL, 0)	\
	X(timeout, TIME, "5m", 0)

#define EXIM_PIPE_OPTIONS(X)	\
	X(allow_commands, ESLIST, NULL, 0)	\
	X(batch_id, ESTRING, NULL, 0)	\
	X(batch_max, INT, "1", 0)	\
	X(check_string, STRING, NULL, 0)	\
	X(command, ESTRING, NULL, 0)	\
	X(environment, ESLIST, NULL, 0)	\
	X(escape_string, STRING, NULL, 0)	\
	X(force_command, BOOL, "false", 0)	\
	X(freeze_exec_fail, BOOL, "false", 0)	\
	X(freeze_signal, BOOL, "false", 0)	\
	X(ignore_status, BOOL, "false", 0)	\
	X(log_defer_output, BOOL, "false", 0)	\
	X(log_fail_output, BOOL, "false", 0)	\
	X(log_output, BOOL, "false", 0)	\
	X(max_output, MKINT, "20K", 0)	\
	X(message_prefix, ESTRING,	\
	    "\"From ${if def:return_path{$return_path}{MAILER-DAEMON}} ${tod_bsdinbox}\\n\"", 0)	\
	X(message_suffix, ESTRING, "\"\\n\"", 0)	\
	X(path, ESTRING, "/bin:/usr/bin", 0)	\
	X(permit_coredump, BOOL, "false", 0)	\
	X(pipe_as_creator, BOOL, "false", EXIM_OPTF_KNOWN)	\
	X(restrict_to_path, BOOL, "false", 0)	\
	X(return_fail_output, BOOL, "false", 0)	\
	X(return_output, BOOL, "false", 0)	\
	X(temp_errors, SLIST, "75:73", 0)	\
	X(timeout, TIME, "1h", 0)	\
	X(timeout_defer, BOOL, "false", 0)	\
	X(umask, OCTAL, "022", 0)	\
	X(use_bsmtp, BOOL, "false", 0)	\
	X(use_classresources, BOOL, "false", EXIM_OPTF_UNLISTED)	\
	X(use_crlf, BOOL, "false", 0)	\
	X(use_shell, BOOL, "false", 0)

#define EXIM_QUEUEFILE_OPTIONS(X)	\
	X(directory, ESTRING, NULL, EXIM_OPTF_KNOWN)

#define EXIM_SMTP_OPTIONS(X)	\
	X(address_retry_include_sender, BOOL, "true", 0)	\
	X(allow_localhost, BOOL, "false", 0)	\
	X(arc_sign, ESTRING, NULL, EXIM_OPTF_UNLISTED)	\
	X(authenticated_sender, ESTRING, NULL, 0)	\
	X(authenticated_sender_force, BOOL, "false", 0)	\
	X(command_timeout, TIME, "5m", 0)	\
	X(connect_timeout, TIME, "5m", 0)	\
	X(connection_max_messages, INT, "500", 0)	\
	X(dane_require_tls_ciphers, ESTRING, NULL, 0)	\
	X(data_timeout, TIME, "5m", 0)	\
	X(delay_after_cutoff, BOOL, "true", 0)	\
	X(dkim_canon, ESTRING, NULL, 0)	\
	X(dkim_domain, ESLIST, NULL, 0)	\
	X(dkim_hash, ESTRING, "sha256", 0)	\
	X(dkim_identity, ESTRING, NULL, 0)	\
	X(dkim_private_key, ESTRING, NULL, 0)	\
	X(dkim_selector, ESLIST, NULL, 0)	\
	X(dkim_sign_headers, ESTRING, NULL, 0)	\
	X(dkim_strict, ESTRING, NULL, 0)	\
	X(dkim_timestamps, EINT, NULL, 0)	\
	X(dns_qualify_single, BOOL, "true", 0)	\
	X(dns_search_parents, BOOL, "false", 0)	\
	X(dnssec_request_domains, DOMAINS, "*", 0)	\
	X(dnssec_require_domains, DOMAINS, NULL, 0)	\
	X(dscp, ESTRING, NULL, 0)	\
	X(fallback_hosts, ESLIST, NULL, 0)	\
	X(final_timeout, TIME, "10m", 0)	\
	X(gethostbyname, BOOL, "false", 0)	\
	X(helo_data, ESTRING, "$primary_hostname", 0)	\
	X(host_name_extract, ESLIST,	\
	    "${if and {{match{$host}{.outlook.com\\$}} {match{$item}{\\N^250-([\\w.]+)\\s\\N}}} {$1}}", 0)	\
	X(hosts, ESLIST, NULL, 0)	\
	X(hosts_avoid_esmtp, HOSTS, NULL, 0)	\
	X(hosts_avoid_pipelining, HOSTS, NULL, 0)	\
	X(hosts_avoid_tls, HOSTS, NULL, 0)	\
	X(hosts_max_try, INT, "5", 0)	\
	X(hosts_max_try_hardlimit, INT, "50", 0)	\
	X(hosts_nopass_tls, HOSTS, NULL, 0)	\
	X(hosts_noproxy_tls, HOSTS, NULL, 0)	\
	X(hosts_override, BOOL, "false", 0)	\
	X(hosts_pipe_connect, HOSTS, NULL, 0)	\
	X(hosts_randomize, EBOOL, "false", 0)	\
	X(hosts_request_ocsp, HOSTS, "*", 0)	\
	X(hosts_require_alpn, HOSTS, NULL, EXIM_OPTF_KNOWN)	\
	X(hosts_require_auth, HOSTS, NULL, 0)	\
	X(hosts_require_dane, HOSTS, NULL, 0)	\
	X(hosts_require_ocsp, HOSTS, NULL, 0)	\
	X(hosts_require_tls, HOSTS, NULL, 0)	\
	X(hosts_try_auth, HOSTS, NULL, 0)	\
	X(hosts_try_chunking, HOSTS, "*", 0)	\
	X(hosts_try_dane, HOSTS, "*", 0)	\
	X(hosts_try_fastopen, HOSTS, "*", 0)	\
	X(hosts_try_prdr, HOSTS, "*", 0)	\
	X(hosts_verify_avoid_tls, HOSTS, NULL, 0)	\
	X(interface, ESLIST, NULL, 0)	\
	X(keepalive, BOOL, "true", 0)	\
	X(lmtp_ignore_quota, BOOL, "false", 0)	\
	X(max_rcpt, EINT, "100", 0)	\
	X(message_linelength_limit, INT, "998", 0)	\
	X(multi_domain, EBOOL, "true", 0)	\
	X(port, ESTRING, "smtp", 0)	\
	X(protocol, STRING, "smtp", 0)	\
	X(retry_include_ip_address, EBOOL, "true", 0)	\
	X(serialize_hosts, HOSTS, NULL, 0)	\
	X(size_addition, INT, "1024", 0)	\
	X(socks_proxy, ESTRING, NULL, 0)	\
	X(tls_alpn, ESTRING, NULL, 0)	\
	X(tls_certificate, ESTRING, NULL, 0)	\
	X(tls_crl, ESTRING, NULL, 0)	\
	X(tls_dh_min_bits, INT, "1024", 0)	\
	X(tls_privatekey, ESTRING, NULL, 0)	\
	X(tls_require_ciphers, ESTRING, NULL, 0)	\
	X(tls_resumption_hosts, HOSTS, NULL, 0)	\
	X(tls_sni, ESTRING, NULL, 0)	\
	X(tls_tempfail_tryclear, BOOL, "true", 0)	\
	X(tls_try_verify_hosts, HOSTS, "*", 0)	\
	X(tls_verify_cert_hostnames, HOSTS, "*", 0)	\
	X(tls_verify_certificates, ESTRING, "system", 0)	\
	X(tls_verify_hosts, HOSTS, NULL, 0)	\
	X(utf8_downconvert, EINT, "-1", 0)

/* Our own: a user's .procmailrc, run without a program. */
#define EXIM_PROCMAIL_OPTIONS(X)	\
	X(account, ESTRING, "$local_part_data", EXIM_OPTF_VPOST)	\
	X(rcfile, ESTRING, "$home/.procmailrc", EXIM_OPTF_VPOST)

/* Our own: delivery into the box's store by vstored. */
#define EXIM_STORE_OPTIONS(X)	\
	X(account, ESTRING, "$local_part", EXIM_OPTF_VPOST)	\
	X(create_folder, BOOL, "true", EXIM_OPTF_VPOST)	\
	X(dotfiles, BOOL, "true", EXIM_OPTF_VPOST)	\
	X(folder, ESTRING, "INBOX", EXIM_OPTF_VPOST)

#endif
