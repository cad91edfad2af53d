// SPDX-License-Identifier: Apache-2.0
/* Generations in the database. Each change is one statement, so that two programs never both make
 * it: what a generation was charged and refunded stands in its own row. Thread-safe. Where a
 * generation is returned, it is written only when the result is FOUND, and may hold the texts of
 * the key. */
#ifndef EXAMPLES_FRAMECAST_GENERATIONS_H
#define EXAMPLES_FRAMECAST_GENERATIONS_H

#include "examples/common/database.h"
#include "examples/framecast/framecast.h"

#include <stdint.h>

typedef struct {
    char id[32];
    char user_id[FRAMECAST_MAX_NAME], team_id[FRAMECAST_MAX_NAME]; /* team "": his own */
    char prompt[FRAMECAST_MAX_PROMPT];
    char status[16]; /* queued, processing, completed, failed, canceled */
    char failure_type[32];
    char output_key[80];
    char webhook_token[64]; /* by which a pod reports on it; known to that pod alone */
    char trace[1280];       /* the context that it was made in, as JSON */
    long credits_charged, credits_refunded;
    int64_t created_ms, started_ms, finished_ms; /* since 1970; 0: not yet */
} generation;

typedef enum { FOUND, NOT_FOUND, DATABASE_AWAY } found;

/* Creates what is missing; false after a message on stderr. */
bool generations_migrate(database *d);

bool generation_is_known_status(const char *status);
bool generation_is_terminal(const generation *g);
/* "team" or "user" */
const char *generation_owner_type(const generation *g);

/* Stores a new one. NOT_FOUND: its owner has not that many credits left below `credit_limit`. */
found generation_create(database *d, const generation *g, long credit_limit);
found generation_find(database *d, const char *id, generation *ret);

/* queued → processing; NOT_FOUND when it is not queued any more. */
found generation_claim(database *d, const char *id, generation *ret);

/* By id, or by its webhook token. */
typedef struct {
    const char *id, *webhook_token; /* one of them */
} generation_key;
typedef struct {
    const char *status;       /* completed, failed, canceled */
    const char *failure_type; /* NULL when completed; then nothing is refunded */
    const char *output_key;   /* may be NULL */
} generation_ending;
/* queued or processing → the ending; NOT_FOUND when it had ended before. */
found generation_end(database *d, const generation_key *key, const generation_ending *ending,
                     generation *ret);

/* Notes that its event is in the queue. Until then nobody but its creator knows of it. */
void generation_sent(database *d, const char *id);

/* Says that somebody works on it; NOT_FOUND when it is not being processed any more. */
found generation_beat(database *d, const generation_key *key);

/* How many have this status; -1 when the database does not answer. */
long generation_count(database *d, const char *status);

/* Those that have not ended, at most `limit`; how many, -1 when the database does not answer. */
typedef struct {
    char id[32];
    bool processing;
    long heartbeat; /* 0: not even sent */
} generation_pulse;
long generation_pulses(database *d, generation_pulse *ret, long limit);

#endif
