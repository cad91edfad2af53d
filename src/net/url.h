// SPDX-License-Identifier: Apache-2.0
/* Percent-encoding and query strings (RFC 3986, and the form rules of the URL standard). Pure. */
#ifndef SONDE_NET_URL_H
#define SONDE_NET_URL_H

#include "base/arena.h"

/* A decoded copy in the arena (the text itself when nothing is encoded); a '%' without two hex
 * digits stays as it is. .ptr NULL: no memory. */
str url_decode(arena *a, str s, bool plus_is_space);

/* Splits the next "name=value" off a query string; false at its end. Nothing is decoded. */
bool url_next_param(str *rest, str *ret_name, str *ret_value);

#endif
