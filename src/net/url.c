// SPDX-License-Identifier: Apache-2.0
/* Percent-encoding and query strings; see url.h. */
#include "net/url.h"

str url_decode(arena *a, str s, bool plus_is_space)
{
    if (str_find_char(s, '%') == SIZE_MAX && !(plus_is_space && str_find_char(s, '+') != SIZE_MAX))
        return s;
    char *out = arena_alloc_aligned(a, s.len, 1);
    size_t n = 0;
    if (!out)
        return (str){ NULL, 0 };
    for (size_t i = 0; i < s.len; i++) {
        uint8_t byte;
        if (s.ptr[i] == '%' && str_from_hex(str_slice(s, i + 1, i + 3), &byte, 1)) {
            out[n++] = (char)byte;
            i += 2;
        } else {
            out[n++] = plus_is_space && s.ptr[i] == '+' ? ' ' : s.ptr[i];
        }
    }
    return (str){ out, n };
}

bool url_next_param(str *rest, str *ret_name, str *ret_value)
{
    while (rest->len) {
        str pair = str_cut(*rest, '&', rest);
        if (!pair.len)
            continue;
        *ret_name = str_cut(pair, '=', ret_value);
        return true;
    }
    return false;
}
