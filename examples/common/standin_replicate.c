// SPDX-License-Identifier: Apache-2.0
/* Replicate's predictions as the stand-in has them.
 *
 *   POST /v1/predictions      201 {"id", "status":"starting"}
 *   GET /v1/predictions/ID    200, status "processing" until its time, then "succeeded" or
 *                             "failed" with an "error" */
#include "examples/common/standin.h"

#include <string.h>

static standin_tasks predictions = { .id_prefix = "" };

void standin_replicate(standin_request *r)
{
    static const char *const statuses[] = {
        [TASK_RUNNING] = "processing", [TASK_SUCCEEDED] = "succeeded", [TASK_FAILED] = "failed"
    };
    char id[32];
    const char *asked = *r->rest == '/' ? r->rest + 1 : "";
    if (strcmp(r->method, "POST") == 0 && !*r->rest) {
        standin_task_start(&predictions, r, id);
        standin_answer(r, 201, json_pack("{ssss}", "id", (char *)id, "status", "starting"));
        return;
    }
    standin_task_state state = standin_task_look(&predictions, r, asked);
    if (state == TASK_UNKNOWN)
        standin_answer(r, 404, json_pack("{sssi}", "detail", "Not found.", "status", 404));
    else
        standin_answer(r, 200,
                       json_pack("{ssssss*}", "id", asked, "status", statuses[state], "error",
                                 state == TASK_FAILED ? "CUDA out of memory" : NULL));
}
