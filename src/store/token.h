// SPDX-License-Identifier: Apache-2.0
/* Tokens of rows for the text filter of blocks (docs/format/part.md, "tokens"), and the Bloom
 * filter over them. Pure functions. */
#ifndef SONDE_STORE_TOKEN_H
#define SONDE_STORE_TOKEN_H

#include "store/row.h"

enum { TOKEN_MIN = 3, TOKEN_PROBES = 3, TOKEN_BITS = 10 };

static inline bool token_char(char c)
{
    return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || (c & 128);
}

uint64_t token_hash(str token);

typedef void token_sink(void *user, uint64_t hash);
/* Calls `sink` with each token. escapes: a backslash ends a token and hides what follows it. */
void tokens_of_text(str text, bool escapes, token_sink *sink, void *user);
/* Of a row's name or body and attribute values. False when the body holds \u, whose tokens cannot
 * be told. */
bool tokens_of_row(signal_kind signal, const row *r, token_sink *sink, void *user, buf *scratch,
                   arena *a);

/* words: a power of two of 8-byte words. */
static inline bool bloom_has(const char *words, uint64_t word_count, uint64_t hash)
{
    uint64_t bits = word_count * 64;
    for (int i = 0; i < TOKEN_PROBES; i++) {
        uint64_t bit = (hash >> (i * 21)) & (bits - 1);
        if (!(words[bit / 8] >> (bit % 8) & 1))
            return false;
    }
    return true;
}

static inline void bloom_add(char *words, uint64_t word_count, uint64_t hash)
{
    uint64_t bits = word_count * 64;
    for (int i = 0; i < TOKEN_PROBES; i++) {
        uint64_t bit = (hash >> (i * 21)) & (bits - 1);
        words[bit / 8] = (char)(words[bit / 8] | 1 << (bit % 8));
    }
}

#endif
