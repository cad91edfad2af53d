// SPDX-License-Identifier: Apache-2.0
/* Tokens; see token.h. */
#include "store/token.h"

#include <xxhash.h>

/* Part of the format: stored filters are probed with it. */
uint64_t token_hash(str token)
{
    return XXH3_64bits(token.ptr, token.len);
}

void tokens_of_text(str text, bool escapes, token_sink *sink, void *user)
{
    size_t i = 0;
    while (i < text.len) {
        char c = text.ptr[i];
        if (escapes && c == '\\') {
            i += 2;
            continue;
        }
        if (!token_char(c)) {
            i++;
            continue;
        }
        size_t from = i;
        while (i < text.len && token_char(text.ptr[i]))
            i++;
        if (i - from >= TOKEN_MIN)
            sink(user, token_hash(str_slice(text, from, i)));
    }
}

bool tokens_of_row(signal_kind signal, const row *r, token_sink *sink, void *user, buf *scratch,
                   arena *a)
{
    bytes_reader it = enc_attrs_begin(r->text[ROW_ATTRS], NULL);
    str key;
    enc_view v;
    while (enc_attrs_next(&it, &key, &v))
        tokens_of_text(enc_text(v, scratch, a), false, sink, user);
    if (signal != SIGNAL_LOGS) {
        tokens_of_text(r->text[ROW_MAIN], false, sink, user);
        return true;
    }
    it = bytes_read(r->text[ROW_MAIN]);
    if (r->text[ROW_MAIN].len == 0 || !enc_next_value(&it, &v))
        return true;
    str body = enc_text(v, scratch, a);
    tokens_of_text(body, true, sink, user);
    return memmem(body.ptr, body.len, "\\u", 2) == NULL;
}
