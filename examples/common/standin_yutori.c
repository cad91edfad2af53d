// SPDX-License-Identifier: Apache-2.0
/* Yutori's research tasks as the stand-in has them.
 *
 *   POST /v1/research/tasks {"query"}   200 {"task_id", "status":"queued"}
 *   GET /v1/research/tasks/ID           200 {"task_id", "status", "result"}: "running" until its
 *                                       time, then "succeeded" or "failed" with an "error" */
#include "examples/common/standin.h"

#include <string.h>

static standin_tasks tasks = { .id_prefix = "task_" };

static void create(standin_request *r)
{
    char id[32];
    json_t *body = standin_body(r);
    if (!json_string_value(json_object_get(body, "query"))) {
        standin_answer(r, 422, json_pack("{ss}", "detail", "query is required, a text"));
    } else {
        standin_task_start(&tasks, r, id);
        standin_answer(r, 200, json_pack("{ssss}", "task_id", (char *)id, "status", "queued"));
    }
    json_decref(body);
}

void standin_yutori(standin_request *r)
{
    static const char *const statuses[] = {
        [TASK_RUNNING] = "running", [TASK_SUCCEEDED] = "succeeded", [TASK_FAILED] = "failed"
    };
    const char *asked = *r->rest == '/' ? r->rest + 1 : "";
    if (strcmp(r->method, "POST") == 0 && !*r->rest) {
        create(r);
        return;
    }
    standin_task_state state = standin_task_look(&tasks, r, asked);
    if (state == TASK_UNKNOWN)
        standin_answer(r, 404, json_pack("{ss}", "detail", "task not found"));
    else
        standin_answer(r, 200,
                       json_pack("{ss ss ss? ss*}", "task_id", asked, "status", statuses[state],
                                 "result", state == TASK_SUCCEEDED ? "Three sources agree." : NULL,
                                 "error",
                                 state == TASK_FAILED ? "the research agent gave up" : NULL));
}
