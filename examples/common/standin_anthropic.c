// SPDX-License-Identifier: Apache-2.0
/* Anthropic's messages as the stand-in has them: the text repeats what the last message of the
 * conversation says, and four bytes count as one token.
 *
 *   POST /v1/messages {"model", "max_tokens", "messages":[{"role", "content"}]}
 *       200 {"id", "content":[{"type":"text","text"}], "stop_reason", "usage":{…}}
 *       400, 500 {"type":"error", "error":{"type", "message"}} */
#include "examples/common/standin.h"

#include <stdio.h>
#include <string.h>

static void fail(standin_request *r, unsigned status, const char *type, const char *message)
{
    standin_answer(
        r, status,
        json_pack("{sss{ssss}}", "type", "error", "error", "type", type, "message", message));
}

/* The text of a message's content, which is a text or blocks of text; NULL when there is none. */
static const char *content_text(const json_t *message)
{
    const json_t *content = json_object_get(message, "content");
    if (json_is_array(content))
        content = json_object_get(json_array_get(content, 0), "text");
    return json_string_value(content);
}

static json_t *message(const char *model, const char *asked)
{
    static unsigned count;
    char id[32], text[1024];
    snprintf(id, sizeof(id), "msg_%08u", count++);
    snprintf(text, sizeof(text), "Here is what you asked for: %.960s", asked);
    return json_pack("{ss ss ss ss s[{ss ss#}] ss s{si si}}", "id", id, "type", "message", "role",
                     "assistant", "model", model, "content", "type", "text", "text", text,
                     (int)strlen(text), "stop_reason", "end_turn", "usage", "input_tokens",
                     (int)(strlen(asked) / 4 + 1), "output_tokens", (int)(strlen(text) / 4 + 1));
}

void standin_anthropic(standin_request *r)
{
    json_t *body = standin_body(r);
    const json_t *messages = json_object_get(body, "messages");
    size_t count = json_array_size(messages);
    const char *asked = count ? content_text(json_array_get(messages, count - 1)) : NULL;
    const char *model = json_string_value(json_object_get(body, "model"));
    if (strcmp(r->method, "POST") != 0)
        fail(r, 405, "invalid_request_error", "Method Not Allowed");
    else if (!asked || !model)
        fail(r, 400, "invalid_request_error", "model and messages are required");
    else if (standin_fails(r))
        fail(r, 500, "api_error", "Internal server error");
    else
        standin_answer(r, 200, message(model, asked));
    json_decref(body);
}
