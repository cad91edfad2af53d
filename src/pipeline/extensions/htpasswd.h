// SPDX-License-Identifier: Apache-2.0
/* Users and password hashes as Apache's htpasswd writes them: bcrypt ($2y$) and what else crypt(3)
 * knows, {SHA}, {SSHA}, and plain text. Read-only after parsing; any thread. */
#ifndef SONDE_PIPELINE_HTPASSWD_H
#define SONDE_PIPELINE_HTPASSWD_H

#include "base/buf.h"

typedef struct htpasswd htpasswd;

/* Lines "user:hash"; empty ones and those that begin with # are passed over. */
MUST_USE status htpasswd_parse(str text, htpasswd **ret, error *err);
void htpasswd_free(htpasswd *h); /* NULL is fine */
/* Takes as long for an unknown user as for a known one. */
bool htpasswd_verify(const htpasswd *h, str user, str password);

#endif
