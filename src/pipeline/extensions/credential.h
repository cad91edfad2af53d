// SPDX-License-Identifier: Apache-2.0
/* Secrets of the extensions that authenticate: texts from the configuration or from a file that is
 * read again when it changes, and digests to compare in constant time. Any thread. */
#ifndef SONDE_PIPELINE_CREDENTIAL_H
#define SONDE_PIPELINE_CREDENTIAL_H

#include "base/buf.h"

enum { CREDENTIAL_BYTES = 32, CREDENTIAL_FILE_MAX = 1 << 20 };

/* SHA-256 of a secret, so that comparing tells nothing about its text or length. */
typedef struct {
    uint8_t bytes[CREDENTIAL_BYTES];
} credential;

credential credential_of(str secret);
bool credential_equal(const credential *a, const credential *b);

typedef struct credential_source credential_source;

/* Makes what is needed out of the text; called at the start and after each change of the file. On
 * failure the last good one stays. The old one is freed when nobody uses it. */
typedef struct {
    status (*parse)(str text, void **ret, error *err);
    void (*free)(void *parsed);
} credential_parser;

/* Of a file (path not empty) or of `text`, which must not be empty then. */
MUST_USE status credential_source_open(credential_source **ret, str path, str text,
                                       const credential_parser *parser, error *err);
void credential_source_close(credential_source *s); /* NULL is fine */

/* What the text was parsed into, locked for reading until credential_source_release. */
const void *credential_source_use(credential_source *s);
void credential_source_release(credential_source *s);

#endif
