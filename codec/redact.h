// SPDX-License-Identifier: Apache-2.0
/* Finds secrets inside of texts and puts [REDACTED] in their place: the value rules, which every
 * reader of a recorder applies, and error envelopes and /debug/config too; and which keys name
 * secrets. What each rule takes for a secret: docs/redaction.md.
 *
 * Rules are plain data, filled once and read-only afterwards: any thread, signal handlers too. */
#ifndef SONDE_CODEC_REDACT_H
#define SONDE_CODEC_REDACT_H

#include "base/arena.h"
#include "base/buf.h"

#define REDACTED           "[REDACTED]"
#define REDACT_PREFIX_MAX  16u   /* prefixes of the user */
#define REDACT_PATTERN_MAX 64u   /* key patterns of the user */
#define REDACT_TEXT_MAX    1024u /* bytes of the list of rules, and of that of keys */

/* kind, name in lists, what it finds */
#define REDACT_KINDS(X) \
    X(BEARER, "bearer", "the token after Bearer or Basic") \
    X(JWT, "jwt", "JSON Web Tokens: eyJ….….…") \
    X(CARD, "card", "card numbers: 13 to 19 digits that pass Luhn, of a known network") \
    X(URL, "url", "user and password in URLs") \
    X(PARAM, "param", "values of parameters, JSON members and headers whose names are secrets") \
    X(KEY, "key", "keys with a well-known prefix (sk_live_, ghp_, AKIA …) and PEM private keys")

typedef enum {
#define X(kind, name, meaning) REDACT_##kind,
    REDACT_KINDS(X)
#undef X
        REDACT_PREFIX, /* the user's prefixes */
    REDACT_KIND_COUNT
} redact_kind;

/* Key patterns: lower-case letters and digits, and '*' for any of them. */
typedef struct {
    uint16_t count;
    uint16_t used;
    struct {
        uint16_t at, len;
    } pattern[REDACT_PATTERN_MAX];
    char text[REDACT_TEXT_MAX];
} redact_keys;

typedef struct {
    uint32_t kinds; /* bits 1 << redact_kind; 0: nothing is looked for */
    uint32_t prefix_count;
    struct {
        uint16_t at, len;
    } prefix[REDACT_PREFIX_MAX];
    uint32_t prefix_used;
    char prefix_text[REDACT_TEXT_MAX];
    redact_keys keys; /* more names for REDACT_PARAM */
    /* A bit for each pair of neighbouring bytes (first + second * 256) that tells of a secret. */
    uint8_t pairs[8192];
    uint64_t told[64]; /* by a hash of the pair: which literals it may belong to */
} redact_rules;

/* `values`: "all" or empty, "none", or names of kinds and "prefix:TEXT" (3 to 64 bytes) with commas
 * between them; "all,prefix:acme_" is fine. `keys`: patterns with commas, "iban,*_pin,acme*".
 * STATUS_INVALID or STATUS_LIMIT names the first item that cannot be used; *ret then has what could
 * be, and all kinds where an item of `values` is not known. */
MUST_USE status redact_rules_init(redact_rules *ret, str values, str keys, error *err);
/* All kinds, no prefixes, no keys. */
const redact_rules *redact_rules_all(void);

/* True when something was replaced: then *ret is a new text in the arena (.ptr NULL when the arena
 * has no room), else *ret is `in`. Any bytes are fine. */
bool redact_text(const redact_rules *rules, arena *a, str in, str *ret);
/* Appends the text, its secrets replaced. */
void redact_to_buf(const redact_rules *rules, str in, buf *out);
/* The first secret at or after `from`: bytes [*ret_begin, *ret_end), never empty. */
bool redact_find(const redact_rules *rules, str in, size_t from, size_t *ret_begin,
                 size_t *ret_end);

/* Whether a key names a secret ("apiKey", "db.password", "X-Auth-Token"), by the built-in words, or
 * by the user's patterns too (`more` may be NULL). Pure. */
bool redact_key(const redact_keys *more, str key);
/* Parses patterns; see redact_rules_init. */
MUST_USE status redact_keys_init(redact_keys *ret, str patterns, error *err);

#endif
