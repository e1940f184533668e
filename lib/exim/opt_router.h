/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Options of routers: those of all, then by driver.
 * X(name, type of enum exim_opt_type, default as written or NULL, EXIM_OPTF_*), sorted by name.
 */
#ifndef VPOST_EXIM_OPT_ROUTER_H
#define VPOST_EXIM_OPT_ROUTER_H

#define EXIM_ROUTER_OPTIONS(X)	\
	X(address_data, ESTRING, NULL, 0)	\
	X(address_test, BOOL, "true", 0)	\
	X(bmi_deliver_alternate, BOOL, "false", EXIM_OPTF_KNOWN|EXIM_OPTF_UNLISTED)	\
	X(bmi_deliver_default, BOOL, "false", EXIM_OPTF_KNOWN|EXIM_OPTF_UNLISTED)	\
	X(bmi_dont_deliver, BOOL, "false", EXIM_OPTF_KNOWN|EXIM_OPTF_UNLISTED)	\
	X(bmi_rule, STRING, NULL, EXIM_OPTF_KNOWN|EXIM_OPTF_UNLISTED)	\
	X(cannot_route_message, ESTRING, NULL, 0)	\
	X(caseful_local_part, BOOL, "false", 0)	\
	X(check_local_user, BOOL, "false", 0)	\
	X(condition, COND, NULL, 0)	\
	X(debug_print, ESTRING, NULL, 0)	\
	X(disable_logging, BOOL, "false", 0)	\
	X(dnssec_request_domains, DOMAINS, "*", 0)	\
	X(dnssec_require_domains, DOMAINS, NULL, 0)	\
	X(domains, DOMAINS, NULL, 0)	\
	X(driver, STRING, NULL, 0)	\
	X(dsn_lasthop, BOOL, "false", 0)	\
	X(errors_to, ESTRING, NULL, 0)	\
	X(expn, BOOL, "true", 0)	\
	X(fail_verify, BOOL_VERIFY, NULL, 0)	\
	X(fail_verify_recipient, BOOL, "false", 0)	\
	X(fail_verify_sender, BOOL, "false", 0)	\
	X(fallback_hosts, ESLIST, NULL, 0)	\
	X(group, EGID, NULL, 0)	\
	X(headers_add, MULTI, NULL, 0)	\
	X(headers_remove, MULTI, NULL, 0)	\
	X(ignore_target_hosts, HOSTS, NULL, 0)	\
	X(initgroups, BOOL, "false", 0)	\
	X(local_part_prefix, SLIST, NULL, 0)	\
	X(local_part_prefix_optional, BOOL, "false", 0)	\
	X(local_part_suffix, SLIST, NULL, 0)	\
	X(local_part_suffix_optional, BOOL, "false", 0)	\
	X(local_parts, LOCALPARTS, NULL, 0)	\
	X(log_as_local, BOOL, "false", 0)	\
	X(more, EBOOL, "true", 0)	\
	X(pass_on_timeout, BOOL, "false", 0)	\
	X(pass_router, STRING, NULL, 0)	\
	X(redirect_router, STRING, NULL, 0)	\
	X(require_files, ESLIST, NULL, 0)	\
	X(retry_use_local_part, BOOL, "false", 0)	\
	X(router_home_directory, ESTRING, NULL, 0)	\
	X(self, STRING, "freeze", 0)	\
	X(senders, ADDRESSES, NULL, 0)	\
	X(set, SETVAR, NULL, 0)	\
	X(translate_ip_address, ESTRING, NULL, EXIM_OPTF_UNLISTED)	\
	X(transport, ESTRING, NULL, 0)	\
	X(transport_current_directory, ESTRING, NULL, 0)	\
	X(transport_home_directory, ESTRING, NULL, 0)	\
	X(unseen, EBOOL, "false", 0)	\
	X(user, EUID, NULL, 0)	\
	X(verify, BOOL_VERIFY, NULL, 0)	\
	X(verify_only, BOOL, "false", 0)	\
	X(verify_recipient, BOOL, "true", 0)	\
	X(verify_sender, BOOL, "true", 0)

#define EXIM_DNSLOOKUP_OPTIONS(X)	\
	X(check_secondary_mx, BOOL, "false", 0)	\
	X(check_srv, ESTRING, NULL, 0)	\
	X(fail_defer_domains, DOMAINS, NULL, 0)	\
	X(ipv4_only, ESTRING, NULL, 0)	\
	X(ipv4_prefer, ESTRING, NULL, 0)	\
	X(mx_domains, DOMAINS, NULL, 0)	\
	X(mx_fail_domains, DOMAINS, NULL, 0)	\
	X(qualify_single, BOOL, "true", 0)	\
	X(rewrite_headers, BOOL, "true", 0)	\
	X(same_domain_copy_routing, BOOL, "false", 0)	\
	X(search_parents, BOOL, "false", 0)	\
	X(srv_fail_domains, DOMAINS, NULL, 0)	\
	X(widen_domains, SLIST, NULL, 0)

#define EXIM_IPLOOKUP_OPTIONS(X)	\
	X(hosts, STRING, NULL, EXIM_OPTF_KNOWN)	\
	X(optional, BOOL, "false", EXIM_OPTF_KNOWN)	\
	X(port, INT, "0", EXIM_OPTF_KNOWN)	\
	X(protocol, STRING, "udp", EXIM_OPTF_KNOWN)	\
	X(query, ESTRING, NULL, EXIM_OPTF_KNOWN)	\
	X(reroute, ESTRING, NULL, EXIM_OPTF_KNOWN)	\
	X(response_pattern, STRING, NULL, EXIM_OPTF_KNOWN)	\
	X(timeout, TIME, "5s", EXIM_OPTF_KNOWN)

#define EXIM_MANUALROUTE_OPTIONS(X)	\
	X(host_all_ignored, STRING, "defer", 0)	\
	X(host_find_failed, STRING, "freeze", 0)	\
	X(hosts_randomize, EBOOL, "false", 0)	\
	X(route_data, ESTRING, NULL, 0)	\
	X(route_list, SLIST, NULL, 0)	\
	X(same_domain_copy_routing, BOOL, "false", 0)

#define EXIM_QUERYPROGRAM_OPTIONS(X)	\
	X(command, ESTRING, NULL, 0)	\
	X(command_group, EGID, NULL, 0)	\
	X(command_user, EUID, NULL, 0)	\
	X(current_directory, STRING, "/", 0)	\
	X(timeout, TIME, "1h", 0)

#define EXIM_REDIRECT_OPTIONS(X)	\
	X(allow_defer, BOOL, "false", 0)	\
	X(allow_fail, BOOL, "false", 0)	\
	X(allow_filter, BOOL, "false", 0)	\
	X(allow_freeze, BOOL, "false", 0)	\
	X(check_ancestor, BOOL, "false", 0)	\
	X(check_group, BOOL_SET, NULL, 0)	\
	X(check_owner, BOOL_SET, NULL, 0)	\
	X(data, ESTRING, NULL, 0)	\
	X(directory_transport, ESTRING, NULL, 0)	\
	X(file, ESTRING, NULL, 0)	\
	X(file_transport, ESTRING, NULL, 0)	\
	X(filter_prepend_home, BOOL, "true", 0)	\
	X(forbid_blackhole, BOOL, "false", 0)	\
	X(forbid_exim_filter, BOOL, "false", 0)	\
	X(forbid_file, BOOL, "false", 0)	\
	X(forbid_filter_dlfunc, BOOL, "false", 0)	\
	X(forbid_filter_existstest, BOOL, "false", 0)	\
	X(forbid_filter_logwrite, BOOL, "false", 0)	\
	X(forbid_filter_lookup, BOOL, "false", 0)	\
	X(forbid_filter_perl, BOOL, "false", 0)	\
	X(forbid_filter_readfile, BOOL, "false", 0)	\
	X(forbid_filter_readsocket, BOOL, "false", 0)	\
	X(forbid_filter_reply, BOOL, "false", 0)	\
	X(forbid_filter_run, BOOL, "false", 0)	\
	X(forbid_include, BOOL, "false", 0)	\
	X(forbid_pipe, BOOL, "false", 0)	\
	X(forbid_sieve_filter, BOOL, "false", 0)	\
	X(forbid_smtp_code, BOOL, "false", 0)	\
	X(hide_child_in_errmsg, BOOL, "false", 0)	\
	X(ignore_eacces, BOOL, "false", 0)	\
	X(ignore_enotdir, BOOL, "false", 0)	\
	X(include_directory, STRING, NULL, 0)	\
	X(modemask, OCTAL, "022", 0)	\
	X(one_time, BOOL, "false", 0)	\
	X(owners, UIDLIST, NULL, 0)	\
	X(owngroups, GIDLIST, NULL, 0)	\
	X(pipe_transport, ESTRING, NULL, 0)	\
	X(qualify_domain, ESTRING, NULL, 0)	\
	X(qualify_preserve_domain, BOOL, "false", 0)	\
	X(repeat_use, BOOL, "true", 0)	\
	X(reply_transport, ESTRING, NULL, 0)	\
	X(rewrite, BOOL, "true", 0)	\
	X(sieve_enotify_mailto_owner, ESTRING, NULL, EXIM_OPTF_KNOWN)	\
	X(sieve_inbox, ESTRING, "inbox", EXIM_OPTF_KNOWN|EXIM_OPTF_UNLISTED)	\
	X(sieve_subaddress, ESTRING, NULL, 0)	\
	X(sieve_useraddress, ESTRING, NULL, 0)	\
	X(sieve_vacation_directory, ESTRING, NULL, 0)	\
	X(skip_bad_file, BOOL, "false", EXIM_OPTF_VPOST)	\
	X(skip_syntax_errors, BOOL, "false", 0)	\
	X(syntax_errors_text, ESTRING, NULL, 0)	\
	X(syntax_errors_to, STRING, NULL, 0)

#endif
