// SPDX-License-Identifier: Apache-2.0
/* Query strings (application/x-www-form-urlencoded). Pure; what is no valid escape stays as it is.
 */
#include "lib/http_handle.h"

#include <stdio.h>

static void decode(str in, char ret[QUERY_TEXT_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < in.len && n + 1 < QUERY_TEXT_MAX; i++) {
        uint8_t byte;
        if (in.ptr[i] == '%' && i + 2 < in.len &&
            str_from_hex(str_slice(in, i + 1, i + 3), &byte, 1)) {
            ret[n++] = (char)byte;
            i += 2;
        } else {
            ret[n++] = in.ptr[i] == '+' ? ' ' : in.ptr[i];
        }
    }
    ret[n] = '\0';
}

bool query_next(str *rest, char key[QUERY_TEXT_MAX], char value[QUERY_TEXT_MAX])
{
    while (rest->len) {
        str after, text, pair = str_cut(*rest, '&', &after);
        *rest = after;
        if (!pair.len)
            continue;
        str name = str_cut(pair, '=', &text);
        decode(name, key);
        decode(text, value);
        return true;
    }
    return false;
}

bool query_get(str query, const char *key, char value[QUERY_TEXT_MAX])
{
    char name[QUERY_TEXT_MAX];
    while (query_next(&query, name, value))
        if (strcmp(name, key) == 0)
            return true;
    value[0] = '\0';
    return false;
}

bool query_number(page *p, const char *key, uint64_t initial, uint64_t least, uint64_t most,
                  uint64_t *ret)
{
    char text[QUERY_TEXT_MAX];
    *ret = initial;
    if (!query_get(p->query, key, text))
        return true;
    if (str_to_u64(str_c(text), ret) && *ret >= least && *ret <= most)
        return true;
    char help[128];
    snprintf(help, sizeof(help), "%.32s must be a whole number from %llu to %llu", key,
             (unsigned long long)least, (unsigned long long)most);
    page_fail(p, 400, help, "%s=%.64s is wrong", key, text);
    return false;
}
