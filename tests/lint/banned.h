/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls that have no place here; tests/lint/banned.sh reads the names from the pragma lines. */
#pragma GCC poison strcpy strcat sprintf vsprintf strncpy strncat strtok strtok_r
#pragma GCC poison atoi atol atoll atof gets alloca
#pragma GCC poison setjmp_across mktemp tmpnam system popen
