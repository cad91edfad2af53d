// SPDX-License-Identifier: Apache-2.0
/* What Redis and the table give queue.c. Each function returns false with one line of text when the
 * queue did not answer. push, length, ping and keep may be called by any thread, the others by the
 * one that pops. */
#ifndef EXAMPLES_COMMON_QUEUE_ENGINE_H
#define EXAMPLES_COMMON_QUEUE_ENGINE_H

#include "examples/common/queue.h"

#include <stdint.h>

enum { QUEUE_LIMIT_MS = 2000, QUEUE_TEXT = 256 };

typedef struct {
    char name[64];
    database *database;
    const char *url;
} queue_options;

/* Whose a popped job is. A handle takes a new one after a pop that failed: whatever that pop may
 * have taken is put back in time, as if its consumer had died. So a consumer has one job at most.
 */
typedef struct {
    char id[32];
} queue_consumer;

typedef struct {
    const char *system; /* NULL: the database's */
    /* NULL after a message on stderr: the URL is wrong, or no memory. Does not connect. */
    void *(*open)(const queue_options *options);
    void (*close)(void *state);
    bool (*prepare)(void *state, char why[QUEUE_TEXT]); /* once, at the start */
    bool (*push)(void *state, const char *job, char why[QUEUE_TEXT]);
    /* *ret stays NULL when nothing came */
    bool (*pop)(void *state, const queue_consumer *c, int timeout_ms, char **ret,
                char why[QUEUE_TEXT]);
    bool (*done)(void *state, const queue_consumer *c, char why[QUEUE_TEXT]);
    bool (*put_back)(void *state, const queue_consumer *c, char why[QUEUE_TEXT]);
    /* Says that this consumer lives, and, with a lease, puts back the jobs of consumers that have
     * not said so for as long. */
    bool (*keep)(void *state, const queue_consumer *c, int64_t lease_ms, long *ret_back,
                 char why[QUEUE_TEXT]);
    /* The consumer will not pop again and has no job; may be NULL. */
    void (*leave)(void *state, const queue_consumer *c);
    bool (*length)(void *state, long *ret, char why[QUEUE_TEXT]);
    bool (*ping)(void *state, char why[QUEUE_TEXT]);
} queue_engine;

extern const queue_engine queue_redis, queue_table;

#endif
