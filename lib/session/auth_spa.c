/* SPDX-License-Identifier: BSD-2-Clause */
/* The authenticator spa (chapter 40 of Exim's manual): NTLM, with passwords in clear. */
#include "exim/ntlm.h"
#include "session/auth_int.h"

#define ANSWER_MAX	16384

enum session_auth_result
auth_run_spa(struct auth_try *t)
{
	struct sb answer = SB_INIT(ANSWER_MAX), out = SB_INIT(ANSWER_MAX);
	unsigned char challenge[NTLM_CHALLENGE];
	struct ntlm_answer x;
	enum session_auth_result r;
	struct sv password;

	/* This invitation is no base64, as its clients know it. */
	if (t->initial.p == NULL)
		r = session_auth_ask_raw(t->s, SV_LIT("NTLM supported"), &answer);
	else
		r = auth_first(t, SV_LIT(""), &answer);
	if (r != SAUTH_OK)
		goto out;
	auth_random(challenge, sizeof(challenge));
	ntlm_challenge(&out, challenge, t->s->conf->g.primary_hostname);
	if ((r = session_auth_ask(t->s, sb_sv(&out), &answer)) != SAUTH_OK)
		goto out;
	r = SAUTH_FAIL;
	if (!ntlm_read_last(sb_sv(&answer), t->s->cmd, &x))
		goto out;
	auth_part(t, x.user);
	if ((r = auth_expand(t, &t->a->d.own[EXIM_SPA_server_password], &password)) != SAUTH_OK)
		goto out;
	r = password.len > 0 && ntlm_proves(&x, challenge, password) ? auth_judge(t, SAUTH_OK) : SAUTH_FAIL;
out:
	sb_wipe(&answer);
	sb_free(&out);
	/* What is no message of the protocol has failed like a wrong password. */
	return (r == SAUTH_BAD64 || r == SAUTH_CANCEL ? SAUTH_FAIL : r);
}
