// SPDX-License-Identifier: Apache-2.0
/* JSON Web Tokens with HS256 (RFC 7519, RFC 7515). */
#ifndef EXAMPLES_COMMON_JWT_H
#define EXAMPLES_COMMON_JWT_H

#include <stdbool.h>
#include <stddef.h>

/* Checks signature (in constant time), algorithm and expiry; writes the subject. On failure
 * *ret_why says which of "malformed", "algorithm", "signature", "expired", "subject" it was. */
bool jwt_validate(const char *token, const char *secret, char *ret_subject, size_t size,
                  const char **ret_why);

#endif
