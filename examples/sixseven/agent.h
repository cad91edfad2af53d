// SPDX-License-Identifier: Apache-2.0
/* What the two agents share: a job at work, and calls of the services that they use. A run belongs
 * to one thread; only its flag may be set by others. */
#ifndef EXAMPLES_SIXSEVEN_AGENT_H
#define EXAMPLES_SIXSEVEN_AGENT_H

#include "examples/common/web_client.h"
#include "examples/sixseven/store.h"

#include <pthread.h>
#include <sonde/sonde.h>

typedef struct {
    const char *yutori_url, *freepik_url;
    long poll_ms;    /* between two questions about a task */
    long request_ms; /* longest wait for an answer */
    long task_ms;    /* longest time of a task */
} agent_settings;

/* What ends waiting early: a cancelled job, or the end of the program. */
typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* by the monotonic clock */
    bool stopping;
} agent_bell;

typedef struct run run;
struct run {
    job job;
    sonde_job *observed;
    database *database;
    web_client *client;
    const agent_settings *settings;
    agent_bell *bell;
    bool cancelled; /* under the bell's lock */
    run *next;
};

typedef enum {
    RUN_SUCCEEDED,
    RUN_FAILED,      /* the service failed, refused, or took too long */
    RUN_CANCELLED,   /* as someone asked */
    RUN_BROKEN,      /* what should not happen: an answer that makes no sense */
    RUN_INTERRUPTED, /* the program ends; the next start goes on with it */
} run_end;

/* Each logs its events, and leaves result or error in the job. */
run_end research_run(run *r);
run_end creative_run(run *r);

/* The attributes of the current span that tell which command and job it is of. */
void run_describe_span(const job *j);
/* Waits; true when the run shall end. */
bool run_pause(run *r, long ms);
/* RUN_CANCELLED, RUN_INTERRUPTED; RUN_SUCCEEDED when it may go on. */
run_end run_asked_to_end(run *r);
/* Notes where the job is, in the log and in the store. */
void run_progress(run *r, int percent, const char *message);

/* ---- services ---- */

typedef struct {
    const char *name; /* "yutori" */
    const char *url;  /* of its tasks */
} provider;

/* A request to the service: the object `body` (NULL: a GET) with the job's options in it, below
 * `path`. Counts and logs it as an external call. *ret is the answer's object. */
run_end provider_call(run *r, const provider *p, const char *operation, const char *path,
                      json_t *body, json_t **ret);

/* Keeps the id of the job's task, which becomes a part of paths: false, with the job's error, when
 * it is missing, too long, or has other characters than letters, digits and "_-.:". */
bool provider_task(run *r, const provider *p, const char *id);

typedef enum { TASK_RUNS, TASK_DONE, TASK_FAILED, TASK_UNREADABLE } task_state;
/* Reads an answer about a task; `*ret_result` (DONE) is borrowed from it, an error (FAILED) goes
 * into the job. */
typedef task_state task_reader(const json_t *answer, job *j, json_t **ret_result);
/* Asks for the job's task until it has ended. *ret_polls: how often. */
run_end provider_await(run *r, const provider *p, task_reader *read, unsigned *ret_polls);

#endif
