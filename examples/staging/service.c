// SPDX-License-Identifier: Apache-2.0
/* The common side of both programs; see service.h. */
#include "examples/staging/service.h"

#include "examples/common/config.h"
#include "examples/common/health.h"
#include "examples/staging/images.h"
#include "examples/staging/runtime.h"

#include <stdio.h>
#include <stdlib.h>

enum { CHECK_MS = 2500 };

static void start_telemetry(const char *name, const char *admin_addr)
{
    char full[64];
    const char *const resource[] = { "service", name, NULL };
    snprintf(full, sizeof(full), "real-staging-%s", name);
    /* The names from before the conventions were stable too: http.method, http.status_code,
     * db.system. */
    setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "http/dup,database/dup", 0);
    sonde_start(
        &(sonde_options){ .service = full,
                          .version = "1.0.0",
                          .resource = resource,
                          .log_format = "staging",
                          .admin_addr = admin_addr,
                          .http = { .route_label = "endpoint" },
                          .health = { .shape = SONDE_HEALTH_FLAT, .health_has_checks = true } });
}

static bool open_all(service *s)
{
    s->database = database_open(config_text("DATABASE_URL", NULL),
                                config_text("SQLITE_PATH", "staging.sqlite"));
    if (!s->database || !images_migrate(s->database))
        return false;
    s->queue = queue_open(config_text("REDIS_URL", NULL), s->database, IMAGES_QUEUE);
    return s->queue != NULL;
}

bool service_start(service *s, const char *name, const char *admin_addr)
{
    *s = (service){ 0 };
    start_telemetry(name, admin_addr);
    if (!open_all(s)) {
        service_stop(s);
        return false;
    }
    sonde_health_check_new("database", check_database, s->database, CHECK_MS);
    sonde_health_check_new("redis", check_queue, s->queue, CHECK_MS);
    runtime_metrics(s->database);
    return true;
}

void service_stop(service *s)
{
    sonde_stop();
    queue_close(s->queue);
    database_close(s->database);
}

void service_note_trace(void)
{
    char id[33];
    if (sonde_trace_id(id))
        sonde_span_set(sonde_kv("trace.id", (const char *)id));
}
