/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Options of authenticators: those of all, then by driver.
 * X(name, type of enum exim_opt_type, default as written or NULL, EXIM_OPTF_*), sorted by name.
 */
#ifndef VPOST_EXIM_OPT_AUTH_H
#define VPOST_EXIM_OPT_AUTH_H

#define EXIM_AUTH_OPTIONS(X)	\
	X(client_condition, ESTRING, NULL, 0)	\
	X(client_set_id, ESTRING, NULL, 0)	\
	X(driver, STRING, NULL, 0)	\
	X(public_name, STRING, NULL, 0)	\
	X(server_advertise_condition, ESTRING, NULL, 0)	\
	X(server_condition, ESTRING, NULL, 0)	\
	X(server_debug_print, ESTRING, NULL, 0)	\
	X(server_mail_auth_condition, ESTRING, NULL, 0)	\
	X(server_set_id, ESTRING, NULL, 0)

#define EXIM_CRAM_MD5_OPTIONS(X)	\
	X(client_name, ESTRING, NULL, 0)	\
	X(client_secret, ESTRING, NULL, EXIM_OPTF_HIDDEN)	\
	X(server_secret, ESTRING, NULL, EXIM_OPTF_HIDDEN)

#define EXIM_CYRUS_SASL_OPTIONS(X)	\
	X(server_hostname, ESTRING, NULL, 0)	\
	X(server_mech, STRING, NULL, 0)	\
	X(server_realm, ESTRING, NULL, 0)	\
	X(server_service, STRING, "smtp", 0)

#define EXIM_DOVECOT_OPTIONS(X)	\
	X(server_socket, STRING, NULL, 0)	\
	X(server_tls, BOOL, "false", EXIM_OPTF_UNLISTED)

#define EXIM_EXTERNAL_OPTIONS(X)	\
	X(client_send, ESTRING, NULL, 0)	\
	X(server_param2, ESTRING, NULL, 0)	\
	X(server_param3, ESTRING, NULL, 0)

#define EXIM_GSASL_OPTIONS(X)	\
	X(client_authz, ESTRING, NULL, 0)	\
	X(client_channelbinding, BOOL, "false", 0)	\
	X(client_password, ESTRING, NULL, EXIM_OPTF_HIDDEN)	\
	X(client_spassword, ESTRING, NULL, 0)	\
	X(client_username, ESTRING, NULL, 0)	\
	X(server_channelbinding, BOOL, "false", 0)	\
	X(server_hostname, ESTRING, NULL, 0)	\
	X(server_key, ESTRING, NULL, 0)	\
	X(server_mech, STRING, NULL, 0)	\
	X(server_password, ESTRING, NULL, EXIM_OPTF_HIDDEN)	\
	X(server_realm, ESTRING, NULL, 0)	\
	X(server_scram_iter, ESTRING, "4096", 0)	\
	X(server_scram_salt, ESTRING, NULL, 0)	\
	X(server_service, STRING, "smtp", 0)	\
	X(server_skey, ESTRING, NULL, 0)

#define EXIM_HEIMDAL_GSSAPI_OPTIONS(X)	\
	X(server_hostname, ESTRING, NULL, EXIM_OPTF_KNOWN)	\
	X(server_keytab, ESTRING, NULL, EXIM_OPTF_KNOWN)	\
	X(server_service, ESTRING, "smtp", EXIM_OPTF_KNOWN)

#define EXIM_PLAINTEXT_OPTIONS(X)	\
	X(client_ignore_invalid_base64, BOOL, "false", 0)	\
	X(client_send, ESTRING, NULL, 0)	\
	X(server_prompts, ESLIST, NULL, 0)

#define EXIM_SPA_OPTIONS(X)	\
	X(client_domain, ESTRING, NULL, 0)	\
	X(client_password, ESTRING, NULL, EXIM_OPTF_HIDDEN)	\
	X(client_username, ESTRING, NULL, 0)	\
	X(server_password, ESTRING, NULL, EXIM_OPTF_HIDDEN)

#define EXIM_AUTHTLS_OPTIONS(X)	\
	X(server_param, ESTRING, NULL, 0)	\
	X(server_param1, ESTRING, NULL, 0)	\
	X(server_param2, ESTRING, NULL, 0)	\
	X(server_param3, ESTRING, NULL, 0)

/* Our own: passwords are checked by vauthd. */
#define EXIM_VAUTH_OPTIONS(X)	\
	X(server_mech, STRING, NULL, EXIM_OPTF_VPOST)	\
	X(server_socket, STRING, NULL, EXIM_OPTF_VPOST)

#endif
