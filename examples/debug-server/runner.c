// SPDX-License-Identifier: Apache-2.0
/* The runner: takes sessions from the queue and runs each in a worker of its own.
 *
 *   /metrics, /healthz, /readyz, /debug   by libsonde, on RUNNER_PORT (8001)
 *
 * RUNNER_THREADS (4), DEBUG_SERVER_URL (http://127.0.0.1:8000), DEBUG_RUNNER_TOKEN,
 * DEBUG_REPOSITORIES, DEBUG_OUTPUT_BYTES, DATABASE_URL, SQLITE_PATH, REDIS_URL;
 * observability/observability.h has the rest. */
#include "examples/common/config.h"
#include "examples/common/health.h"
#include "examples/common/queue.h"
#include "examples/common/web_server.h"
#include "examples/common/work.h"
#include "examples/debug-server/protocol.h"
#include "examples/debug-server/session_run.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

enum { HEALTH_MS = 1500 };

static void run_job(const char *text, const json_t *job, web_client *client, void *user)
{
    (void)text, (void)client;
    session_run(user, job);
}

/* Whether the server answers: without it no session can be run. */
static bool check_server(void *user, char *detail, size_t size)
{
    char url[300];
    web_client *client = web_client_new();
    snprintf(url, sizeof(url), "%s/healthz", (const char *)user);
    web_response r = web_send_quietly(client, "GET", url, NULL, NULL, 0, HEALTH_MS);
    bool good = r.status == 200;
    snprintf(detail, size, "%s", good ? "connected" : r.error[0] ? r.error : "it is not healthy");
    web_response_done(&r);
    web_client_free(client);
    return good;
}

static bool ws_url(const char *http, char *ret, size_t size)
{
    if (strncmp(http, "http://", 7) != 0) {
        fprintf(stderr, "DEBUG_SERVER_URL is '%s'; it must look like http://127.0.0.1:8000\n",
                http);
        return false;
    }
    snprintf(ret, size, "ws://%s", http + 7);
    return true;
}

/* The second thing that needs the queue: its connection is for the checks alone. */
static queue *watch(database *d, const char *server)
{
    queue *q = queue_open(config_text("REDIS_URL", NULL), d, SESSIONS_QUEUE);
    sonde_health_check_new("database", check_database, d, 2500);
    if (q)
        sonde_health_check_new("queue", check_queue, q, 2500);
    sonde_health_check_new("server", check_server, (void *)(uintptr_t)server, 2500);
    return q;
}

int main(int argc, char **argv)
{
    char name[32], url[256];
    observability_arguments(&argc, argv,
                            "usage: runner [FLAG]…   RUNNER_PORT (8001) and DEBUG_* are variables");
    if (argc > 1) {
        fprintf(stderr, "%s is no flag of the runner; --help shows all\n", argv[1]);
        return 2;
    }
    config_catch_signals();
    curl_global_init(CURL_GLOBAL_DEFAULT);
    const char *server = config_text("DEBUG_SERVER_URL", "http://127.0.0.1:8000");
    if (!ws_url(server, url, sizeof(url)))
        return 2;
    observability_start("runner");
    config_new_id("run_", name);
    database *d = database_open(config_text("DATABASE_URL", NULL),
                                config_text("SQLITE_PATH", "debug-server.sqlite"));
    queue *q = d && sessions_migrate(d) ? watch(d, server) : NULL;
    if (!q)
        return 1;
    session_place place = { .database = d,
                            .metrics = metrics_of_runner(),
                            .name = name,
                            .server_url = url,
                            .token = config_text("DEBUG_RUNNER_TOKEN", NULL),
                            .queue_system = queue_system(q),
                            .output_bytes =
                                config_number("DEBUG_OUTPUT_BYTES", OUTPUT_BYTES, 1024, 1L << 30) };
    uint16_t port = (uint16_t)config_number("RUNNER_PORT", RUNNER_PORT, 1, 65535);
    long threads = config_number("RUNNER_THREADS", 4, 1, 16);
    web_server *web = web_server_start(port, 2, NULL, 0, NULL);
    work *w = web ? work_start(&(work_options){ .database = d,
                                                .queue = SESSIONS_QUEUE,
                                                .threads = (unsigned)threads,
                                                .handler = run_job,
                                                .user = &place })
                  : NULL;
    if (!w)
        return 1;
    sonde_info("runner_started", sonde_kv("runner", (const char *)name), sonde_kv("port", port),
               sonde_kv("threads", threads), sonde_kv("queue", queue_system(q)));
    while (!config_wait(1000))
        continue;
    sonde_info("runner_stopping");
    work_stop(w);
    web_server_stop(web);
    sonde_stop();
    queue_close(q);
    database_close(d);
    return 0;
}
