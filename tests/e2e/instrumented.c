// SPDX-License-Identifier: Apache-2.0
/* Programs that use the instrumented libraries, for test_instrumentation.py:
 *
 *   instrumented web                a server and a client in one process
 *   instrumented serve PORT         a service of which a part fails, until its input ends
 *   instrumented sqlite FILE
 *   instrumented postgresql URL
 *   instrumented redis HOST PORT
 */
#include <sonde/curl.h>
#include <sonde/hiredis.h>
#include <sonde/libpq.h>
#include <sonde/microhttpd.h>
#include <sonde/sonde.h>
#include <sonde/sqlite3.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- a service ---- */

typedef struct {
    char body[65536];
    size_t size;
} upload;

static enum MHD_Result answer(struct MHD_Connection *c, unsigned status, char *text)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
    enum MHD_Result result = sonde_MHD_queue_response(c, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result route(struct MHD_Connection *c, const char *url, const upload *up)
{
    if (strncmp(url, "/orders/", 8) == 0) {
        sonde_http_route("/orders/{id}");
        sonde_info("order_found");
        return answer(c, 200, strdup("{}"));
    }
    if (strcmp(url, "/fails") == 0) {
        sonde_http_route("/fails");
        bool broken = strstr(up->body, "\"broken\": true") != NULL;
        return answer(c, broken ? 500 : 201,
                      broken ? sonde_error_envelope(
                                   &(sonde_error){ .code = "INTERNAL", .message = "it broke" })
                             : strdup("{}"));
    }
    const char *strict = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "strict");
    if (strcmp(url, "/it's here [1]") == 0 && strict && strcmp(strict, "a b&c='d'") == 0)
        return answer(c, 503, strdup("no"));
    return answer(c, 404, sonde_error_envelope(&(sonde_error){ .code = "NOT_FOUND" }));
}

static enum MHD_Result handle(void *user, struct MHD_Connection *c, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *size, void **state)
{
    (void)user, (void)method, (void)version;
    upload *up = *state;
    if (!up) {
        *state = calloc(1, sizeof(upload));
        return *state ? MHD_YES : MHD_NO;
    }
    if (*size) {
        size_t n =
            *size < sizeof(up->body) - 1 - up->size ? *size : sizeof(up->body) - 1 - up->size;
        memcpy(up->body + up->size, data, n);
        up->size += n;
        *size = 0;
        return MHD_YES;
    }
    return route(c, url, up);
}

static void completed(void *user, struct MHD_Connection *c, void **state,
                      enum MHD_RequestTerminationCode why)
{
    (void)user, (void)c, (void)why;
    free(*state);
    *state = NULL;
}

static sonde_MHD_handler observed = { .handler = handle, .completed = completed };

static struct MHD_Daemon *serve(uint16_t port)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    return MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL, port, NULL, NULL,
                            sonde_MHD_handle, &observed, MHD_OPTION_SOCK_ADDR, &address,
                            MHD_OPTION_NOTIFY_COMPLETED, sonde_MHD_completed, &observed,
                            MHD_OPTION_END);
}

static int run_service(const char *port)
{
    char byte;
    struct MHD_Daemon *daemon = serve((uint16_t)strtol(port, NULL, 10));
    if (!daemon)
        return 1;
    puts("ready");
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    MHD_stop_daemon(daemon);
    return 0;
}

/* ---- a client beside it ---- */

static size_t ignore(char *data, size_t one, size_t size, void *user)
{
    (void)data, (void)user;
    return one * size;
}

static size_t keep_id(char *line, size_t one, size_t size, void *user)
{
    (void)one;
    if (size > 14 && strncasecmp(line, "X-Request-ID: ", 14) == 0)
        snprintf(user, 64, "%.*s", (int)(size - 16), line + 14);
    return size;
}

static void fetch(CURL *curl, uint16_t port, const char *path, struct curl_slist *headers)
{
    char url[256];
    snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", port, path);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    if (headers)
        sonde_curl_easy_perform(curl, headers);
    else
        sonde_curl_easy_perform(curl);
}

static void fetch_with_multi(CURL *curl)
{
    CURLM *multi = curl_multi_init();
    sonde_curl_call call = sonde_curl_begin(curl, NULL);
    CURLcode code = CURLE_OK;
    int running = 1, left;
    curl_multi_add_handle(multi, curl);
    while (running) {
        curl_multi_perform(multi, &running);
        curl_multi_poll(multi, NULL, 0, 1000, NULL);
    }
    for (CURLMsg *m; (m = curl_multi_info_read(multi, &left));)
        code = m->data.result;
    sonde_curl_end(&call, code);
    curl_multi_remove_handle(multi, curl);
    curl_multi_cleanup(multi);
}

static int run_web(void)
{
    char id[64] = "";
    struct MHD_Daemon *daemon = serve(0);
    if (!daemon)
        return 1;
    uint16_t port = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
    CURL *curl = curl_easy_init();
    struct curl_slist *headers = curl_slist_append(NULL, "X-Request-ID: req-7");
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, ignore);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, keep_id);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, (void *)id);
    SONDE_SPAN ("client")
        fetch(curl, port, "/orders/7?token=s3cret", headers);
    printf("%s\n", id);
    fetch(curl, port, "/fails", headers);
    fetch(curl, port, "/nowhere", NULL);
    fetch_with_multi(curl);
    MHD_stop_daemon(daemon);
    SONDE_SPAN ("after")
        fetch(curl, port, "/orders/8", NULL);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return 0;
}

/* ---- databases ---- */

static int run_sqlite(const char *path)
{
    sqlite3 *db;
    sqlite3_stmt *s;
    int rows = 0;
    if (sqlite3_open(path, &db) != SQLITE_OK)
        return 1;
    SONDE_SPAN ("work") {
        sonde_sqlite3_exec(db, "CREATE TABLE users (id INTEGER UNIQUE, name TEXT)", NULL, NULL,
                           NULL);
        sonde_sqlite3_exec(db, "INSERT INTO users VALUES (1, 's3cret'), (2, 'b')", NULL, NULL,
                           NULL);
        sonde_sqlite3_exec(db, "INSERT INTO users VALUES (1, 'again')", NULL, NULL, NULL);
        sonde_sqlite3_prepare_v2(db, "SELECT id FROM users WHERE id > ?", -1, &s, NULL);
        sqlite3_bind_int(s, 1, 0);
        while (sonde_sqlite3_step(s) == SQLITE_ROW)
            rows++;
        sonde_sqlite3_reset(s);
        sonde_sqlite3_step(s);
        sonde_sqlite3_finalize(s); /* in the middle */
        sonde_sqlite3_prepare_v2(db, "SELECT nothing FROM nowhere", -1, &s, NULL);
        sonde_sqlite3_finalize(s);
    }
    sqlite3_close(db);
    return rows == 2 ? 0 : 1;
}

static int run_postgresql(const char *url)
{
    PGconn *c = PQconnectdb(url);
    const char *values[] = { "1" };
    if (PQstatus(c) != CONNECTION_OK) {
        fprintf(stderr, "%s", PQerrorMessage(c));
        return 1;
    }
    SONDE_SPAN ("work") {
        PQclear(sonde_PQexec(c, "CREATE TABLE users (id INTEGER UNIQUE, name TEXT)"));
        PQclear(sonde_PQexec(c, "INSERT INTO users VALUES (1, 's3cret'), (2, 'b')"));
        PQclear(sonde_PQexec(c, "INSERT INTO users VALUES (1, 's3cret')"));
        PQclear(sonde_PQexecParams(c, "SELECT name FROM users WHERE id >= $1", 1, NULL, values,
                                   NULL, NULL, 0));
        PQclear(sonde_PQprepare(c, "find_user", "SELECT id FROM users WHERE id = $1", 1, NULL));
        PQclear(sonde_PQexecPrepared(c, "find_user", 1, values, NULL, NULL, 0));
        /* The server ends this very session. */
        PQclear(sonde_PQexec(c, "SELECT pg_terminate_backend(pg_backend_pid())"));
        PQclear(sonde_PQexec(c, "SELECT 1"));
    }
    PQfinish(c);
    return 0;
}

static int run_redis(const char *host, const char *port)
{
    redisContext *c = redisConnect(host, (int)strtol(port, NULL, 10));
    sonde_redis_pipeline pipeline = { .appended = 0 };
    const char *words[] = { "GET", "key" };
    void *reply;
    if (!c || c->err)
        return 1;
    SONDE_SPAN ("work") {
        freeReplyObject(sonde_redisCommand(c, "set key %s", "s3cret"));
        freeReplyObject(sonde_redisCommandArgv(c, 2, words, NULL));
        freeReplyObject(sonde_redisCommand(c, "LPUSH key %s", "x"));
        for (int i = 0; i < 3; i++)
            sonde_redisAppendCommand(c, &pipeline, "INCR hits");
        for (int i = 0; i < 3; i++)
            if (sonde_redisGetReply(c, &pipeline, &reply) == REDIS_OK)
                freeReplyObject(reply);
        sonde_redisAppendCommand(c, &pipeline, "INCR key");
        sonde_redisAppendCommand(c, &pipeline, "GET hits");
        for (int i = 0; i < 2; i++)
            if (sonde_redisGetReply(c, &pipeline, &reply) == REDIS_OK)
                freeReplyObject(reply);
    }
    redisFree(c);
    return 0;
}

int main(int argc, char **argv)
{
    int result = 2;
    const char *what = argc > 1 ? argv[1] : "";
    sonde_start(&(sonde_options){ .service = "instrumented", .http.otel_metrics = true });
    if (strcmp(what, "web") == 0)
        result = run_web();
    else if (strcmp(what, "serve") == 0 && argc > 2)
        result = run_service(argv[2]);
    else if (strcmp(what, "sqlite") == 0 && argc > 2)
        result = run_sqlite(argv[2]);
    else if (strcmp(what, "postgresql") == 0 && argc > 2)
        result = run_postgresql(argv[2]);
    else if (strcmp(what, "redis") == 0 && argc > 3)
        result = run_redis(argv[2], argv[3]);
    sonde_stop();
    return result;
}
