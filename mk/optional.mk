# Files that need a library's headers, in lib/MODULE/optional/: NAME.c is compiled where the headers are, else
# NAME_none.c, which says that they were not.  The libraries are loaded when first used (os/library.h), never linked.

OPTIONAL_exim	:= ldap mysql pgsql
hash_sign	:= \#
header_has	= $(shell printf '$(hash_sign)include <%s>\n' '$(1)' | $(CC) $(2) -E -x c - >/dev/null 2>&1 && echo y)
INC_ldap	:=
INC_mysql	:= $(shell pkg-config --cflags-only-I libmariadb 2>/dev/null || pkg-config --cflags-only-I mysqlclient 2>/dev/null)
INC_pgsql	:= $(shell pkg-config --cflags-only-I libpq 2>/dev/null)
HAVE_ldap	:= $(call header_has,ldap.h,$(INC_ldap))
HAVE_mysql	:= $(call header_has,mysql.h,$(INC_mysql))
HAVE_pgsql	:= $(call header_has,libpq-fe.h,$(INC_pgsql))
optional_src	= $(foreach o,$(OPTIONAL_$(1)),lib/$(1)/optional/$(o)$(if $(HAVE_$(o)),,_none).c)
