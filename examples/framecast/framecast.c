// SPDX-License-Identifier: Apache-2.0
/* How the programs of framecast are observed, and their settings; see framecast.h. */
#include "examples/framecast/framecast.h"

#include "examples/common/config.h"

#include <sonde/sonde.h>
#include <stdio.h>
#include <string.h>

enum { HEAD_BUCKET_MS = 900 };

static void read_ready(sonde_gauge *gauge, void *user)
{
    (void)user;
    sonde_gauge_set(gauge, sonde_health_ready() ? 1 : 0);
}

void framecast_start(const char *service)
{
    sonde_start(&(sonde_options){
        .service = service,
        .version = FRAMECAST_VERSION,
        .environment = config_text("ENVIRONMENT", "development"),
        .log_format = "framecast",
        .http = { .requests_metric = "api_requests_total",
                  .duration_metric = "api_request_duration_seconds",
                  .route_label = "endpoint",
                  .request_id_prefix = "req_",
                  .user_header = "X-User-Id",
                  .team_header = "X-Team-Id",
                  .reproduce_headers = "accept,authorization,content-type,x-user-id,x-team-id" },
        .health = { .shape = SONDE_HEALTH_WORDS,
                    .ready_always_200 = config_number("READY_ALWAYS_200", 0, 0, 1) == 1 } });
    sonde_gauge_callback("framecast_ready", "1 when all checks of /ready pass.", read_ready, NULL,
                         SONDE_LABELS());
}

const char *framecast_setting(const char *variable, const char *fallback)
{
    const char *value = config_text(variable, fallback);
    sonde_debug_config(variable, value ? value : "");
    return value;
}

long framecast_number(const char *variable, long fallback, long min, long max)
{
    char text[24];
    long n = config_number(variable, fallback, min, max);
    snprintf(text, sizeof(text), "%ld", n);
    sonde_debug_config(variable, text);
    return n;
}

bool framecast_in_production(void)
{
    return strcmp(config_text("ENVIRONMENT", "development"), "production") == 0;
}

bool framecast_head_bucket(void *bucket_url, char *detail, size_t size)
{
    web_client *client = web_client_new();
    if (!client)
        return false;
    web_response answer =
        web_send_quietly(client, "HEAD", bucket_url, NULL, NULL, 0, HEAD_BUCKET_MS);
    if (!answer.status)
        snprintf(detail, size, "%s", answer.error);
    else if (answer.status != 200)
        snprintf(detail, size, "the bucket answered with status %ld", answer.status);
    bool good = answer.status == 200;
    web_response_done(&answer);
    web_client_free(client);
    return good;
}

const char *framecast_outcome(const web_response *answer)
{
    if (answer->status)
        return answer->status < 400 ? "success" : "error";
    return strstr(answer->error, "timed out") ? "timeout" : "error";
}
