// SPDX-License-Identifier: Apache-2.0
/* JSON Web Tokens; see jwt.h. */
#include "examples/common/jwt.h"

#include <jansson.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { MAX_PART = 2048 };

/* base64url without padding (RFC 4648, section 5); the length, or -1. */
static int decode_part(const char *text, size_t n, unsigned char ret[MAX_PART])
{
    char padded[MAX_PART + 4];
    size_t full = (n + 3) / 4 * 4;
    if (n == 0 || full >= sizeof(padded) || n % 4 == 1)
        return -1;
    for (size_t i = 0; i < full; i++) {
        char c = i < n ? text[i] : '=';
        padded[i] = c == '-' ? '+' : c == '_' ? '/' : c;
    }
    int length = EVP_DecodeBlock(ret, (const unsigned char *)padded, (int)full);
    return length < 0 ? -1 : length - (int)(full - n);
}

static json_t *decode_json(const char *text, size_t n)
{
    unsigned char bytes[MAX_PART];
    int length = decode_part(text, n, bytes);
    return length < 0 ? NULL : json_loadb((const char *)bytes, (size_t)length, 0, NULL);
}

static bool signature_fits(const char *token, const char *payload_end, const char *secret)
{
    unsigned char given[MAX_PART], wanted[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    int length = decode_part(payload_end + 1, strlen(payload_end + 1), given);
    HMAC(EVP_sha256(), secret, (int)strlen(secret), (const unsigned char *)token,
         (size_t)(payload_end - token), wanted, &n);
    return length == (int)n && CRYPTO_memcmp(given, wanted, n) == 0;
}

static const char *check_claims(const char *payload, size_t n, char *ret_subject, size_t size)
{
    const char *why = NULL;
    json_t *claims = decode_json(payload, n);
    json_t *expires = json_object_get(claims, "exp");
    const char *subject = json_string_value(json_object_get(claims, "sub"));
    if (!claims)
        why = "malformed";
    else if (!json_is_integer(expires) || json_integer_value(expires) <= (json_int_t)time(NULL))
        why = "expired";
    else if (!subject || !*subject || strlen(subject) >= size)
        why = "subject";
    else
        snprintf(ret_subject, size, "%s", subject);
    json_decref(claims);
    return why;
}

bool jwt_validate(const char *token, const char *secret, char *ret_subject, size_t size,
                  const char **ret_why)
{
    const char *first = strchr(token, '.'), *second = first ? strchr(first + 1, '.') : NULL;
    *ret_why = "malformed";
    if (!second || strchr(second + 1, '.'))
        return false;
    json_t *header = decode_json(token, (size_t)(first - token));
    const char *algorithm = json_string_value(json_object_get(header, "alg"));
    bool known = algorithm && strcmp(algorithm, "HS256") == 0;
    if (header && !known)
        *ret_why = "algorithm";
    json_decref(header);
    if (!known)
        return false;
    if (!signature_fits(token, second, secret)) {
        *ret_why = "signature";
        return false;
    }
    *ret_why = check_claims(first + 1, (size_t)(second - first - 1), ret_subject, size);
    return *ret_why == NULL;
}
