// SPDX-License-Identifier: Apache-2.0
/* Presigned S3 URLs by AWS Signature Version 4 (query parameters, UNSIGNED-PAYLOAD), and their
 * check, which the stand-in for S3 uses. */
#ifndef EXAMPLES_COMMON_S3_H
#define EXAMPLES_COMMON_S3_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

typedef struct {
    const char *endpoint; /* "http://127.0.0.1:9000" */
    const char *bucket;
    const char *region;
    const char *access_key;
    const char *secret_key;
} s3_account;

/* S3_ENDPOINT, S3_BUCKET, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY. */
s3_account s3_account_from_environment(const char *default_bucket);

/* A URL that allows one method on one object for `seconds`. `key` of letters, digits and "-_./".
 * False when it does not fit or a key has other characters. */
bool s3_presign(const s3_account *account, const char *method, const char *key, int seconds,
                time_t now, char *ret, size_t size);

/* Whether `url_path?query` of a request with this method and Host header was presigned by the
 * account and is not expired; the reason otherwise. */
bool s3_check(const s3_account *account, const char *method, const char *host, const char *target,
              time_t now, const char **ret_why);

#endif
