// SPDX-License-Identifier: Apache-2.0
/* Freepik's image creation as the stand-in has it; each image is one white pixel.
 *
 *   POST /v1/ai/text-to-image {"prompt"}     200 {"data":[{"base64"}]}
 *       with "async":true                    200 {"data":{"task_id", "status":"CREATED"}}
 *       with "empty":true                    200 {"data":[]}
 *   GET /v1/ai/text-to-image/ID              200 {"data":{"task_id", "status", "generated":[…]}}:
 *                                            "IN_PROGRESS", then "COMPLETED" or "FAILED"
 *   400, 404, 500 {"message"} */
#include "examples/common/standin.h"

#include <string.h>

static const char pixel[] =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8//8/AwAI/AL+"
    "XJ/P2gAAAABJRU5ErkJggg==";
static standin_tasks tasks = { .id_prefix = "img_" };

static void create(standin_request *r, const json_t *body)
{
    char id[32];
    if (json_is_true(json_object_get(body, "async"))) {
        standin_task_start(&tasks, r, id);
        standin_answer(r, 200,
                       json_pack("{s{ss ss s[]}}", "data", "task_id", (char *)id, "status",
                                 "CREATED", "generated"));
    } else if (standin_fails(r)) {
        standin_answer(r, 500, json_pack("{ss}", "message", "Internal Server Error"));
    } else if (json_is_true(json_object_get(body, "empty"))) {
        standin_answer(r, 200, json_pack("{s[]}", "data"));
    } else {
        standin_answer(r, 200, json_pack("{s[{ss sb}]}", "data", "base64", pixel, "has_nsfw", 0));
    }
}

static void look(standin_request *r, const char *id)
{
    static const char *const statuses[] = {
        [TASK_RUNNING] = "IN_PROGRESS", [TASK_SUCCEEDED] = "COMPLETED", [TASK_FAILED] = "FAILED"
    };
    standin_task_state state = standin_task_look(&tasks, r, id);
    if (state == TASK_UNKNOWN) {
        standin_answer(r, 404, json_pack("{ss}", "message", "Task not found"));
        return;
    }
    json_t *generated = json_array();
    if (state == TASK_SUCCEEDED)
        json_array_append_new(generated, json_sprintf("data:image/png;base64,%s", pixel));
    standin_answer(r, 200,
                   json_pack("{s{ss ss so}}", "data", "task_id", id, "status", statuses[state],
                             "generated", generated));
}

void standin_freepik(standin_request *r)
{
    json_t *body = standin_body(r);
    if (strcmp(r->method, "POST") != 0)
        look(r, *r->rest == '/' ? r->rest + 1 : "");
    else if (!json_string_value(json_object_get(body, "prompt")))
        standin_answer(r, 400, json_pack("{ss}", "message", "prompt is required, a text"));
    else
        create(r, body);
    json_decref(body);
}
