// SPDX-License-Identifier: Apache-2.0
/* Jobs, and the table that keeps them: a job survives a restart of the backend. A store is shared
 * by all threads. */
#ifndef EXAMPLES_SIXSEVEN_STORE_H
#define EXAMPLES_SIXSEVEN_STORE_H

#include "examples/common/database.h"

#include <jansson.h>

enum {
    JOB_ID_BYTES = 37, /* a UUID */
    MAX_COMMAND_BYTES = 4000,
    MAX_SESSION_BYTES = 128,
    MAX_LISTED = 500,
};

/* "pending", "running", then "succeeded", "failed" or "cancelled". */
typedef struct {
    char id[JOB_ID_BYTES];
    char type[16]; /* "research", "creative" */
    char status[16];
    char session_id[MAX_SESSION_BYTES + 1];
    char task_id[64]; /* of the provider; "": none yet */
    char error[256];
    char context[1024]; /* trace and request id, as sonde_extract_json reads them */
    char created_at[32], updated_at[32];
    int progress;  /* percent */
    char *command; /* these four: to be freed by job_done; NULL: none */
    char *image;
    char *options; /* JSON object that goes into the request to the provider */
    char *result;
} job;

void job_done(job *j);
/* What the API shows of it. */
json_t *job_json(const job *j);
/* A random UUID. */
void job_new_id(char ret[JOB_ID_BYTES]);

bool store_migrate(database *d);
/* Sets created_at. False when the database did not take it. */
bool store_create(database *d, job *j);
/* Writes status, progress, task id, result and error. */
bool store_save(database *d, job *j);
/* False when the database did not answer. *ret is all zero when there is no such job; to be
 * released by job_done. */
bool store_find(database *d, const char *id, job *ret);
/* The newest first; of one status, or all (NULL). Adds to the array `ret`. */
bool store_list(database *d, const char *status, long limit, json_t *ret);
/* Marks a job that nobody works on; false when the database did not answer. */
bool store_cancel(database *d, const char *id);

/* Takes the job over. */
typedef void job_taker(void *user, job *j);
/* Every job that has not ended, the oldest first. */
bool store_unfinished(database *d, job_taker *take, void *user);

#endif
