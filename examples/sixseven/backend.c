// SPDX-License-Identifier: Apache-2.0
/* The sixseven backend: takes commands by HTTP and has agents do them. This file is its settings.
 *
 * PORT (8000), APP_ENV (development), DATABASE_URL or SQLITE_PATH, YUTORI_URL, FREEPIK_URL,
 * YUTORI_POLL_MS (2000), PROVIDER_TIMEOUT_MS (10000), TASK_LIMIT_MS (600000), JOB_THREADS (8);
 * SIGUSR1 has it write to stderr what its telemetry is doing. */
#define SONDE_LOGGER "app.main"
#include "examples/common/config.h"
#include "examples/common/health.h"
#include "examples/sixseven/api.h"
#include "examples/sixseven/observer.h"

#include <curl/curl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { HTTP_THREADS = 8 };

static volatile sig_atomic_t describe_asked;

static void ask_to_describe(int signal)
{
    (void)signal;
    describe_asked = 1;
}

/* In development spans are seen on stdout, unless they go somewhere. */
static void show_spans_in_development(const char *environment)
{
    const char *all = config_text("OTEL_EXPORTER_OTLP_ENDPOINT", NULL);
    const char *traces = config_text("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", NULL);
    if (strcmp(environment, "development") == 0 && !all && !traces)
        setenv("OTEL_TRACES_EXPORTER", "console", 0);
}

/* One name for one backend: after a restart its series go on. */
static const char *instance(uint16_t port)
{
    static char name[160];
    char host[128] = "";
    gethostname(host, sizeof(host) - 1);
    snprintf(name, sizeof(name), "%s:%u", host, port);
    return name;
}

static void start_telemetry(uint16_t port)
{
    const char *environment = config_text("APP_ENV", "development");
    const char *const resource[] = { "service.instance.id", instance(port), NULL };
    show_spans_in_development(environment);
    sonde_start(&(sonde_options){
        .service = "sixseven",
        .version = "1.0.0",
        .environment = environment,
        .resource = resource,
        .log_format = "sixseven",
        .health = { .health_has_checks = true },
        .http = { .requests_metric = "none",
                  .duration_metric = "sixseven_api_latency_seconds",
                  .route_label = "endpoint",
                  .status_label = "status_code",
                  .duration_has_status = true,
                  .no_access_log = true, /* each endpoint has an event of its own */
                  .session_header = "X-Session-ID",
                  .client_span_prefix = "http_" },
    });
}

static agent_settings read_settings(void)
{
    return (agent_settings){
        .yutori_url = config_text("YUTORI_URL", "http://127.0.0.1:9000/v1/research/tasks"),
        .freepik_url = config_text("FREEPIK_URL", "http://127.0.0.1:9000/v1/ai/text-to-image"),
        .poll_ms = config_number("YUTORI_POLL_MS", 2000, 1, 60000),
        .request_ms = config_number("PROVIDER_TIMEOUT_MS", 10000, 10, 120000),
        .task_ms = config_number("TASK_LIMIT_MS", 600000, 100, 86400000),
    };
}

static void serve_until_told(void)
{
    while (!config_wait(200))
        if (describe_asked) {
            describe_asked = 0;
            sonde_describe(STDERR_FILENO);
        }
}

int main(void)
{
    config_catch_signals();
    signal(SIGUSR1, ask_to_describe);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    uint16_t port = (uint16_t)config_number("PORT", 8000, 1, 65535);
    start_telemetry(port);
    api a = { .database = database_open(config_text("DATABASE_URL", NULL),
                                        config_text("SQLITE_PATH", "sixseven.sqlite")) };
    sonde_jobs *observer = observer_new();
    if (!a.database || !observer || !store_migrate(a.database))
        return 1;
    sonde_health_check_new("database", check_database, a.database, 2500);
    a.orchestrator = orchestrator_start(
        &(orchestrator_options){ .database = a.database,
                                 .jobs = observer,
                                 .agents = read_settings(),
                                 .threads = (unsigned)config_number("JOB_THREADS", 8, 1, 64) });
    web_server *server = a.orchestrator ? api_start(port, HTTP_THREADS, &a) : NULL;
    if (!server)
        return 1;
    sonde_info("service_started", sonde_kv("port", port),
               sonde_kv("database", database_system(a.database)));
    serve_until_told();
    sonde_info("service_stopping");
    web_server_stop(server);
    orchestrator_stop(a.orchestrator);
    sonde_jobs_free(observer);
    sonde_stop();
    database_close(a.database);
    return 0;
}
