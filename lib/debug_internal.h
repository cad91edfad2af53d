// SPDX-License-Identifier: Apache-2.0
/* What the files behind the debug pages share. */
#ifndef SONDE_LIB_DEBUG_INTERNAL_H
#define SONDE_LIB_DEBUG_INTERNAL_H

#include "codec/batch.h"
#include "codec/json.h"
#include "lib/debug.h"
#include "sonde/debug.h"

#include <pthread.h>

/* ---- sonde_json: debug_json.c ---- */

#define DEBUG_ANSWER_MAX MiB(1)
#define DEBUG_JSON_DEPTH 32

/* Writes members into `out`, whose limit is the answer's; the outermost level is the caller's. */
struct sonde_json {
    json_writer w;
    uint32_t depth;    /* levels that the callback opened */
    uint32_t too_deep; /* levels that were refused */
    bool in_array[DEBUG_JSON_DEPTH + 1];
};

/* `in_array`: what the outermost level is. */
void debug_json_init(sonde_json *json, buf *out, bool in_array);
/* Closes what is open. */
void debug_json_finish(sonde_json *json);
/* A text, its secrets replaced. */
void debug_json_text(json_writer *w, str text);
/* An attribute of a record; secrets by its key are replaced too. */
void debug_json_value(json_writer *w, str key, const value *v);

/* ---- what programs registered: debug_registry.c ---- */

typedef enum { PROVIDE_STATUS, PROVIDE_QUEUE, PROVIDE_POOL, PROVIDE_COUNT } provider_kind;

#define DEBUG_NAME_SIZE 64
#define DEBUG_KIND_MAX  64

struct sonde_debug_provider {
    provider_kind kind;
    char name[DEBUG_NAME_SIZE];
    union {
        sonde_debug_status_fn *status;
        sonde_debug_queue_fn *queue;
        sonde_debug_pool_fn *pool;
    } fn;
    void *user;
    bool running; /* under the registry's lock, as all that follows */
    bool freed;   /* inside of its own callback: the run frees it */
};

/* What one provider said: members of an object, without braces. */
typedef struct {
    char name[DEBUG_NAME_SIZE];
    str members;      /* points into `memory` */
    const char *late; /* why there are none; NULL: there are */
    buf memory;
} provider_answer;

/* Runs all providers of a kind, side by side, with their time limit. Fills at most DEBUG_KIND_MAX
 * answers, in the order of registration, each to be freed by buf_done(&answer.memory). */
size_t debug_ask_providers(provider_kind kind, provider_answer *answers);
/* Appends the members, or "error" with the reason. */
void debug_put_members(json_writer *w, const provider_answer *a);
/* {"LIST":[{"name":…, members}]}, the page of queues and of connections. */
int debug_provider_list(page *p, provider_kind kind, const char *list);
sonde_debug_provider *debug_provider_new(const sonde_debug_provider *like, const char *name);

/* In the child of a fork. */
void debug_registry_forked(void);
void debug_workflow_forked(void);
void debug_artifacts_forked(void);
void debug_config_forked(void);
void debug_logs_forked(void);

/* The format of log lines, as SONDE_LOG_FORMAT has it. */
void debug_logs_configure(str spec);

/* "debug", "info", "warn", "error", "fatal". */
bool debug_parse_level(str text, uint8_t *ret);

/* Sets the page's type and starts its one object. */
json_writer debug_begin_json(page *p);
int debug_end_json(page *p, json_writer *w);

#endif
