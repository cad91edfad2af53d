// SPDX-License-Identifier: Apache-2.0
/* Many GET requests at once on one thread, on libcurl's multi interface: for who asks hundreds of
 * servers every few seconds. Connections are kept. One thread per fetcher, but for fetch_wake. */
#ifndef SONDE_NET_FETCH_H
#define SONDE_NET_FETCH_H

#include "net/client.h"

typedef struct fetcher fetcher;

/* connections: that are kept open for the next requests. */
MUST_USE status fetcher_new(fetcher **ret, unsigned connections, error *err);
/* Transfers that run are given up without an answer. NULL is fine. */
void fetcher_free(fetcher *f);

typedef struct {
    const http_client_options *options; /* outlive the transfer */
    const char *url;
    const char *const *headers;  /* "Name: value", ended by NULL; copied */
    const char *name, *password; /* basic authentication; NULL: none; copied */
    bool gzip;                   /* the answer may be compressed */
    int64_t timeout_ns;
    size_t answer_limit; /* bytes of the answer, decompressed */
    void *user;
} fetch_request;

typedef struct {
    void *user;
    status code; /* STATUS_OK: there was an answer; STATUS_LIMIT: larger than the limit */
    error error;
    int http;
    char content_type[160];
    buf body; /* the receiver's to free */
} fetch_answer;

MUST_USE status fetch_start(fetcher *f, const fetch_request *r, error *err);
/* Transfers that run. */
unsigned fetch_running(const fetcher *f);
/* Works on the transfers and waits until one of them can go on, but not longer than that. */
void fetch_wait(fetcher *f, int64_t timeout_ns);
/* The next one that ended; false: none. */
bool fetch_next(fetcher *f, fetch_answer *ret);
/* Ends a fetch_wait; any thread. */
void fetch_wake(fetcher *f);

#endif
