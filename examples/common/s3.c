// SPDX-License-Identifier: Apache-2.0
/* AWS Signature Version 4 for presigned URLs; see s3.h. */
#include "examples/common/s3.h"

#include "examples/common/config.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    uint8_t bytes[32];
} digest;

s3_account s3_account_from_environment(const char *default_bucket)
{
    return (s3_account){
        .endpoint = config_text("S3_ENDPOINT", "http://127.0.0.1:9000"),
        .bucket = config_text("S3_BUCKET", default_bucket),
        .region = config_text("AWS_REGION", "us-east-1"),
        .access_key = config_text("AWS_ACCESS_KEY_ID", "example"),
        .secret_key = config_text("AWS_SECRET_ACCESS_KEY", "example-secret"),
    };
}

static digest hmac(const void *key, size_t key_size, const char *text)
{
    digest d;
    unsigned n = sizeof(d);
    HMAC(EVP_sha256(), key, (int)key_size, (const unsigned char *)text, strlen(text), d.bytes, &n);
    return d;
}

static void to_hex(const uint8_t *bytes, size_t n, char *ret)
{
    for (size_t i = 0; i < n; i++)
        snprintf(ret + 2 * i, 3, "%02x", bytes[i]);
}

/* Signing key: HMAC chain over date, region, service (Signature Version 4, task 3). */
static digest signing_key(const s3_account *account, const char *date)
{
    char first[256];
    snprintf(first, sizeof(first), "AWS4%s", account->secret_key);
    digest d = hmac(first, strlen(first), date);
    d = hmac(&d, sizeof(d), account->region);
    d = hmac(&d, sizeof(d), "s3");
    return hmac(&d, sizeof(d), "aws4_request");
}

/* The signature over a canonical request (tasks 1 to 3); 64 digits. */
static bool sign(const s3_account *account, const char *method, const char *host, const char *path,
                 const char *query, const char *timestamp, char ret[65])
{
    char canonical[2048], to_sign[512], hashed[65], date[9];
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    int length =
        snprintf(canonical, sizeof(canonical), "%s\n%s\n%s\nhost:%s\n\nhost\nUNSIGNED-PAYLOAD",
                 method, path, query, host);
    if (length < 0 || (size_t)length >= sizeof(canonical))
        return false;
    EVP_Digest(canonical, (size_t)length, hash, &n, EVP_sha256(), NULL);
    to_hex(hash, n, hashed);
    snprintf(date, sizeof(date), "%.8s", timestamp);
    snprintf(to_sign, sizeof(to_sign), "AWS4-HMAC-SHA256\n%s\n%s/%s/s3/aws4_request\n%s", timestamp,
             date, account->region, hashed);
    digest key = signing_key(account, date);
    digest signature = hmac(&key, sizeof(key), to_sign);
    to_hex(signature.bytes, sizeof(signature), ret);
    return true;
}

bool s3_presign(const s3_account *account, const char *method, const char *key, int seconds,
                time_t now, char *ret, size_t size)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./";
    char timestamp[20], path[512], query[512], signature[65];
    struct tm t;
    const char *host = strstr(account->endpoint, "://");
    if (!host || key[strspn(key, plain)] || !gmtime_r(&now, &t))
        return false;
    strftime(timestamp, sizeof(timestamp), "%Y%m%dT%H%M%SZ", &t);
    int path_length = snprintf(path, sizeof(path), "/%s/%s", account->bucket, key);
    /* The parameters stand in the order that the canonical query string needs. */
    int query_length =
        snprintf(query, sizeof(query),
                 "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=%s%%2F%.8s%%2F%s%%2Fs3%%2F"
                 "aws4_request&X-Amz-Date=%s&X-Amz-Expires=%d&X-Amz-SignedHeaders=host",
                 account->access_key, timestamp, account->region, timestamp, seconds);
    if (path_length >= (int)sizeof(path) || query_length >= (int)sizeof(query) ||
        !sign(account, method, host + 3, path, query, timestamp, signature))
        return false;
    int n = snprintf(ret, size, "%s%s?%s&X-Amz-Signature=%s", account->endpoint, path, query,
                     signature);
    return n > 0 && (size_t)n < size;
}

/* The value of a query parameter, cut to the size. */
static void parameter(const char *query, const char *name, char *ret, size_t size)
{
    size_t length = strlen(name);
    *ret = 0;
    for (const char *at = query; at; at = strchr(at, '&')) {
        at += *at == '&';
        if (strncmp(at, name, length) == 0 && at[length] == '=') {
            snprintf(ret, size, "%.*s", (int)strcspn(at + length + 1, "&"), at + length + 1);
            return;
        }
    }
}

/* YYYYMMDDTHHMMSSZ as a time; -1 when it is none. */
static time_t parse_timestamp(const char *text)
{
    struct tm t = { 0 };
    char zone;
    if (sscanf(text, "%4d%2d%2dT%2d%2d%2d%c", &t.tm_year, &t.tm_mon, &t.tm_mday, &t.tm_hour,
               &t.tm_min, &t.tm_sec, &zone) != 7 ||
        zone != 'Z')
        return -1;
    t.tm_year -= 1900;
    t.tm_mon -= 1;
    return timegm(&t);
}

bool s3_check(const s3_account *account, const char *method, const char *host, const char *target,
              time_t now, const char **ret_why)
{
    char path[512], query[1024], timestamp[20], expires[12], given[66], wanted[65];
    const char *mark = strchr(target, '?');
    *ret_why = "the URL is not presigned";
    if (!mark)
        return false;
    snprintf(path, sizeof(path), "%.*s", (int)(mark - target), target);
    snprintf(query, sizeof(query), "%s", mark + 1);
    parameter(query, "X-Amz-Date", timestamp, sizeof(timestamp));
    parameter(query, "X-Amz-Expires", expires, sizeof(expires));
    parameter(query, "X-Amz-Signature", given, sizeof(given));
    char *signature = strstr(query, "&X-Amz-Signature=");
    time_t signed_at = parse_timestamp(timestamp);
    if (!signature || signed_at < 0)
        return false;
    *signature = 0;
    *ret_why = "the URL has expired";
    if (signed_at + strtol(expires, NULL, 10) < now)
        return false;
    *ret_why = "the signature does not match";
    return sign(account, method, host, path, query, timestamp, wanted) && strlen(given) == 64 &&
           CRYPTO_memcmp(given, wanted, 64) == 0;
}
