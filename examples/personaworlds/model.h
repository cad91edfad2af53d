// SPDX-License-Identifier: Apache-2.0
/* The language model that speaks for personas, by Anthropic's messages API. ANTHROPIC_URL
 * (http://127.0.0.1:9000), MODEL_TIMEOUT_MS (2000). */
#ifndef EXAMPLES_PERSONAWORLDS_MODEL_H
#define EXAMPLES_PERSONAWORLDS_MODEL_H

#include "examples/common/web_client.h"

#include <stdbool.h>
#include <stddef.h>

enum { MODEL_TEXT_BYTES = 2048 };

typedef enum {
    MODEL_SAID,
    MODEL_REFUSED,     /* asking again would not help */
    MODEL_UNAVAILABLE, /* no answer in time, or an error of the model's own */
} model_result;

/* What the model says in the name of a persona; else `ret` says what was wrong. */
model_result model_say(web_client *client, const char *persona, const char *bio, const char *topic,
                       char ret[MODEL_TEXT_BYTES]);

#endif
