// SPDX-License-Identifier: Apache-2.0
/* What both programs of framecast share: how they are observed, and their settings. */
#ifndef EXAMPLES_FRAMECAST_FRAMECAST_H
#define EXAMPLES_FRAMECAST_FRAMECAST_H

#include "examples/common/web_client.h"
#include "examples/common/web_server.h"

#include <stdbool.h>
#include <stddef.h>

#define FRAMECAST_VERSION "1.0.0"

enum {
    FRAMECAST_MAX_NAME = 129,    /* of a user or a team, with its end */
    FRAMECAST_MAX_PROMPT = 2001, /* likewise */
    FRAMECAST_MAX_URL = 1024
};

/* Starts libsonde for a service of framecast: log records, HTTP metrics, request ids and health by
 * the names of the system. ENVIRONMENT (development), READY_ALWAYS_200 (0). */
void framecast_start(const char *service);

/* A setting of the program: the environment variable's value, else the fallback. It is shown under
 * /debug/config, secrets redacted. */
const char *framecast_setting(const char *variable, const char *fallback);
long framecast_number(const char *variable, long fallback, long min, long max);

bool framecast_in_production(void);

/* Whether the bucket answers; a health check, `bucket_url` "http://s3:9000/framecast". */
bool framecast_head_bucket(void *bucket_url, char *detail, size_t size);

/* "success", "timeout" or "error": how a call of another service went, for its metric. */
const char *framecast_outcome(const web_response *answer);

#endif
