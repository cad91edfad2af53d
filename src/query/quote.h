// SPDX-License-Identifier: Apache-2.0
/* Quoted texts of the query languages: Go's "…" and '…' with escapes, and raw `…`. */
#ifndef SONDE_QUERY_QUOTE_H
#define SONDE_QUERY_QUOTE_H

#include "base/arena.h"

/* s starts with the quote. *ret_length is the number of bytes up to and with the closing quote.
 * NULL when good, else what is wrong ("unterminated quoted string", …). */
const char *unquote(str s, arena *a, str *ret, size_t *ret_length);

#endif
