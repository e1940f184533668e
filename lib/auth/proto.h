/* SPDX-License-Identifier: BSD-2-Clause */
/* What is said on vauthd's socket: requests, their fields, and the one kind of answer. */
#ifndef VPOST_AUTH_PROTO_H
#define VPOST_AUTH_PROTO_H

enum auth_msg {
	AUTH_M_LOGIN = 1,	/* SERVICE PEER LOCAL TLS USER PASSWORD */
	AUTH_M_APOP,		/* ... USER BANNER PASSWORD (the digest) */
	AUTH_M_START,		/* SERVICE PEER LOCAL TLS MECH EXCHANGE [DATA] */
	AUTH_M_STEP,		/* EXCHANGE DATA */
	AUTH_M_ABORT,		/* EXCHANGE; notice, no answer */
	AUTH_M_LOOKUP,		/* USER */
	AUTH_M_RELAY,		/* any number of OP, each followed by ADDR and TICKS as it needs; answer FOUND for each delete */
	AUTH_M_ANSWER
};

enum auth_field {
	AUTH_F_SERVICE = 1, AUTH_F_PEER, AUTH_F_LOCAL, AUTH_F_TLS, AUTH_F_USER, AUTH_F_PASSWORD, AUTH_F_BANNER, AUTH_F_MECH,
	AUTH_F_EXCHANGE,	/* number of the exchange, chosen by the client, unique within its connection */
	AUTH_F_DATA,
	AUTH_F_RESULT,		/* enum auth_result */
	AUTH_F_STATUS, AUTH_F_TEXT,
	AUTH_F_NAME, AUTH_F_HOME, AUTH_F_SYSTEM, AUTH_F_UID, AUTH_F_GID,
	AUTH_F_OP,		/* enum relay_kind */
	AUTH_F_ADDR, AUTH_F_TICKS, AUTH_F_FOUND
};

#endif
