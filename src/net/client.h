// SPDX-License-Identifier: Apache-2.0
/* Outgoing HTTP requests, on libcurl: connections are kept and used again. One thread at a time per
 * client; the caller's thread waits. */
#ifndef SONDE_NET_CLIENT_H
#define SONDE_NET_CLIENT_H

#include "base/arena.h"
#include "base/buf.h"

/* Terminated texts that outlive the client; NULL: not given. */
typedef struct {
    const char *ca_file, *cert_file, *key_file;
    const char *ca_pem, *cert_pem, *key_pem;
    const char *server_name; /* that the certificate must have, instead of the URL's */
    const char *min_version; /* "1.2", "1.3" */
    bool skip_verify;
} tls_client;

typedef struct {
    tls_client tls;
    const char *proxy;
    const char *user_agent; /* NULL: "sonde/VERSION" */
    bool follow_redirects;
} http_client_options;

typedef struct http_client http_client;

MUST_USE status http_client_new(http_client **ret, const http_client_options *options, error *err);
void http_client_free(http_client *k); /* NULL is fine */

typedef struct {
    const char *method; /* "POST" */
    const char *url;
    const char *const *headers; /* "Name: value", ended by NULL; NULL: none */
    str body;
    int64_t timeout_ns;          /* of the whole request; 0: 30 s */
    size_t answer_limit;         /* bytes of the answer's body; 0: 4 MiB; more is STATUS_LIMIT */
    const _Atomic int *canceled; /* NULL: never */
} http_request;

typedef struct {
    int code;
    char content_type[128];
    int64_t retry_after_ns; /* 0: not said */
    buf body;               /* decoded (gzip, deflate, zstd); http_answer_done frees it */
} http_answer;

/* STATUS_OK when there was an answer, whatever its code. STATUS_IO: no connection, time limit, TLS;
 * the message says host and reason. STATUS_CANCELED. *ret must be done in any case. */
MUST_USE status http_client_send(http_client *k, const http_request *r, http_answer *ret,
                                 error *err);
void http_answer_done(http_answer *a);
/* 2xx: OK. 429, 502, 503, 504 and 408: STATUS_BUSY. Any other: STATUS_INVALID. The message has code
 * and the beginning of the body. */
status http_answer_check(const http_answer *a, const char *url, error *err);

#endif
