# The modules of lib/, lowest first, and for each the modules whose headers it may
# include.  The order of LAYERS is the link order (reversed); tests/lint/layers.sh checks
# every #include against this table.

LAYERS := base os log fiber net io ipc dns map hints mail smtp pop3 imap exim mbox box spool store auth route filter deliver transport session daemon login

DEPS_base    :=
DEPS_os      := base
DEPS_log     := base os
DEPS_fiber   := base os
DEPS_net     := base os fiber
DEPS_io      := base os fiber
DEPS_ipc     := base os fiber
DEPS_dns     := base os fiber net
DEPS_map     := base os
DEPS_hints   := base os
DEPS_mail    := base
DEPS_smtp    := base mail
DEPS_pop3    := base
DEPS_imap    := base mail
DEPS_exim    := base os net map mail
DEPS_mbox    := base os fiber mail
DEPS_box     := base os net exim
DEPS_spool   := base os fiber ipc mail
DEPS_store   := base os fiber ipc mail imap
DEPS_auth    := base os fiber net ipc map
DEPS_route   := base os fiber net dns map hints mail exim
DEPS_filter  := base os net map mail exim mbox route
DEPS_deliver := base os fiber net io dns mail smtp exim spool route
DEPS_transport := base os ipc map mail smtp exim mbox filter route
DEPS_session := base os fiber net io ipc dns map hints mail smtp exim spool auth route deliver transport
DEPS_daemon  := base os log fiber net io ipc dns exim box
DEPS_login   := base os log fiber net io box auth daemon

# Libraries of the system that each module needs.  (libasan has a crypt_r of its own that needs the real one.)
LIBS_os      := -lseccomp
LIBS_fiber   := -levent_core -lpthread
LIBS_io      := -lssl -lcrypto
LIBS_dns     := -lunbound -lidn2
LIBS_map     := -ldb-5.3 -lcdb
LIBS_hints   := -llmdb
LIBS_mail    := -lidn2 -lunistring
LIBS_deliver := -lcrypto -lidn2
LIBS_exim    := -lpcre2-8 -lcrypto -lidn2 -lsqlite3 -llmdb -lpthread -Wl,--push-state,--no-as-needed -lcrypt -Wl,--pop-state
LIBS_store   := -llmdb
LIBS_auth    := -lsasl2 -lpam -Wl,--push-state,--no-as-needed -lcrypt -Wl,--pop-state -lcrypto
LIBS_log     :=
