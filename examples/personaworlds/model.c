// SPDX-License-Identifier: Apache-2.0
/* One message to the model; see model.h. */
#include "examples/personaworlds/model.h"

#include "examples/common/config.h"

#include <jansson.h>
#include <sonde/sonde.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *question(const char *persona, const char *bio, const char *topic)
{
    json_t *body = json_pack("{ss si ss s[{ss so}]}", "model", "claude-3-5-haiku-latest",
                             "max_tokens", 256, "system", bio, "messages", "role", "user",
                             "content", json_sprintf("As %s, write about %s.", persona, topic));
    char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    return text;
}

static model_result read_answer(const web_response *response, char ret[MODEL_TEXT_BYTES])
{
    json_t *body = response->bytes ? json_loads(response->bytes, 0, NULL) : NULL;
    const json_t *first = json_array_get(json_object_get(body, "content"), 0);
    const char *said = json_string_value(json_object_get(first, "text"));
    model_result result = MODEL_UNAVAILABLE;
    if (response->status == 200 && said) {
        snprintf(ret, MODEL_TEXT_BYTES, "%s", said);
        result = MODEL_SAID;
    } else if (!response->status) {
        snprintf(ret, MODEL_TEXT_BYTES, "the model did not answer: %s", response->error);
    } else {
        snprintf(ret, MODEL_TEXT_BYTES, "the model answered %ld", response->status);
        if (response->status >= 400 && response->status < 500 && response->status != 429)
            result = MODEL_REFUSED;
    }
    json_decref(body);
    return result;
}

model_result model_say(web_client *client, const char *persona, const char *bio, const char *topic,
                       char ret[MODEL_TEXT_BYTES])
{
    char url[512];
    model_result result = MODEL_UNAVAILABLE;
    snprintf(url, sizeof(url), "%s/v1/messages",
             config_text("ANTHROPIC_URL", "http://127.0.0.1:9000"));
    char *body = question(persona, bio, topic);
    SONDE_SPAN ("ask model", sonde_kv("gen_ai.provider.name", "anthropic")) {
        web_response response =
            web_send(client, "POST", url, "application/json", body, body ? strlen(body) : 0,
                     config_number("MODEL_TIMEOUT_MS", 2000, 10, 60000));
        result = read_answer(&response, ret);
        if (result != MODEL_SAID)
            sonde_span_fail(ret);
        web_response_done(&response);
    }
    free(body);
    return result;
}
