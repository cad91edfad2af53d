// SPDX-License-Identifier: Apache-2.0
/* One connection of `sonde gen`: posts OTLP requests, keeps the connection, and sends again what
 * the server could not take now. One gen_sender per thread. */
#ifndef SONDE_CMD_GEN_SEND_H
#define SONDE_CMD_GEN_SEND_H

#include "codec/batch.h"

#include "base/buf.h"

typedef struct {
    uint64_t accepted; /* items the server took */
    uint64_t refused;  /* items it will never take: partial success, 4xx */
    uint64_t failed;   /* items given up on: no answer, or "later" until the time was over */
    uint64_t retries;  /* requests sent once more */
    uint64_t bytes;    /* of request bodies, each counted once */
    char reason[256];  /* of the first refusal or failure; empty: none */
} gen_result;

typedef struct gen_sender gen_sender;

MUST_USE status gen_sender_open(gen_sender **ret, const char *endpoint, signal_kind signal,
                                error *err);
void gen_sender_close(gen_sender *s);

/* Sends one request of `items` items and adds to *result what became of them. Answers 429 and 503
 * are obeyed: after their Retry-After, or a growing pause, it is sent again, as is what got no
 * answer; until `give_up_mono_ns`, and not for long with a server that never answered. */
void gen_send(gen_sender *s, str body, uint32_t items, int64_t give_up_mono_ns, gen_result *result);

#endif
