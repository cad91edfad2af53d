// SPDX-License-Identifier: Apache-2.0
/* What a service of the stand-in program sees: a request, and how to answer it. Everything runs on
 * one thread; standin.c sends answers later when the service is set to be slow. */
#ifndef EXAMPLES_COMMON_STANDIN_H
#define EXAMPLES_COMMON_STANDIN_H

#include <jansson.h>
#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

enum { STANDIN_MAX_BODY_BYTES = 1 << 20 };

typedef struct standin_service standin_service;

typedef struct {
    standin_service *service;
    struct MHD_Connection *connection;
    char method[12];
    char path[512];
    char target[2048]; /* path and query as they were sent */
    const char *rest;  /* of the path, after the service's prefix */
    char *bytes;       /* the body; whoever keeps it sets this to NULL */
    size_t size;
    long delay_ms; /* until the answer is sent; 0 where a task takes the time instead */
    unsigned status;
    struct MHD_Response *response;
} standin_request;

typedef void standin_handler(standin_request *r);

standin_handler standin_s3, standin_replicate, standin_anthropic, standin_yutori, standin_freepik;

/* Whether what is asked is one of those that shall fail; asked once per outcome. */
bool standin_fails(const standin_request *r);
/* Takes the reference. */
void standin_answer(standin_request *r, unsigned status, json_t *body);
/* Copies the bytes. */
void standin_answer_bytes(standin_request *r, unsigned status, const char *type, const char *bytes,
                          size_t size);
/* The body as JSON; NULL when it is no object. */
json_t *standin_body(const standin_request *r);

/* Tasks that are asked about until they are done; a service has one list, the last 4,096 count. */
enum { STANDIN_MAX_TASKS = 4096 };
typedef struct {
    const char *id_prefix;
    unsigned count;
    struct {
        struct timespec done_at;
        bool fails;
    } tasks[STANDIN_MAX_TASKS];
} standin_tasks;

typedef enum { TASK_UNKNOWN, TASK_RUNNING, TASK_SUCCEEDED, TASK_FAILED } standin_task_state;

/* Starts one that takes half to one and a half times the service's delay; the answer to the request
 * itself comes at once. */
void standin_task_start(standin_tasks *list, standin_request *r, char ret_id[32]);
standin_task_state standin_task_look(const standin_tasks *list, standin_request *r, const char *id);

#endif
