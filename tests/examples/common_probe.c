// SPDX-License-Identifier: Apache-2.0
/* The examples' database and queue, driven by lines on stdin; each is answered by one JSON line
 * with the milliseconds it took. The words of a line are divided by tabs.
 *
 *   run SQL | text PARAMETER | migrate SQL | ping | pool | many THREADS SQL
 *   push JOB | pop MS | done | return | length | queue_ping | pushes THREADS JOB
 *   serve PORT | send METHOD URL        a body goes with POST and PUT
 *
 * DATABASE_URL or SQLITE_PATH, REDIS_URL; the queue's name is "probe". `length` asks by
 * a second handle of the queue. */
#include "examples/common/config.h"
#include "examples/common/health.h"
#include "examples/common/queue.h"
#include "examples/common/web_client.h"
#include "examples/common/web_server.h"

#include <jansson.h>
#include <pthread.h>
#include <sonde/sonde.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_THREADS = 64 };

static database *db;
static queue *jobs, *other; /* two handles of one queue */
static web_server *server;
static web_client *client;
static const statement_name name = { "Probe", "SELECT", "probe" };

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void keep_row(void *user, int columns, const char *const *values)
{
    if (columns > 0)
        json_array_append_new(user, values[0] ? json_string(values[0]) : json_null());
}

static json_t *do_run(const char *sql, const char *unused)
{
    (void)unused;
    json_t *rows = json_array();
    bool good = database_run(db, name, sql, 0, NULL, keep_row, rows, NULL);
    return json_pack("{sbso}", "good", good, "rows", rows);
}

static json_t *do_text(const char *text, const char *unused)
{
    (void)unused;
    json_t *rows = json_array();
    bool good = database_run(db, name, "SELECT CAST($1 AS TEXT), CAST($2 AS TEXT)", 2,
                             (const char *[]){ text, NULL }, keep_row, rows, NULL);
    return json_pack("{sbso}", "good", good, "rows", rows);
}

static json_t *do_migrate(const char *sql, const char *unused)
{
    (void)unused;
    return json_pack("{sb}", "good", database_migrate(db, "probe", &sql, 1));
}

static json_t *do_check(bool (*check)(void *, char *, size_t), void *user)
{
    char detail[256] = "";
    bool good = check(user, detail, sizeof(detail));
    return json_pack("{sbss}", "good", good, "detail", (char *)detail);
}

static json_t *do_ping(const char *unused, const char *unused2)
{
    (void)unused, (void)unused2;
    return do_check(check_database, db);
}

static json_t *do_queue_ping(const char *unused, const char *unused2)
{
    (void)unused, (void)unused2;
    return do_check(check_queue, jobs);
}

static json_t *do_pool(const char *unused, const char *unused2)
{
    (void)unused, (void)unused2;
    database_pool p = database_pool_state(db);
    return json_pack("{sisisisi}", "max", p.max, "idle", p.idle, "used", p.used, "waiting",
                     p.waiting);
}

typedef struct {
    const char *text;
    bool pushes, good;
    double ms;
} one_call;

static void *run_one(void *user)
{
    one_call *c = user;
    double begun = now_ms();
    c->good = c->pushes ? queue_push(jobs, c->text)
                        : database_run(db, name, c->text, 0, NULL, NULL, NULL, NULL);
    c->ms = now_ms() - begun;
    return NULL;
}

static json_t *run_many(const char *count, const char *text, bool pushes)
{
    one_call calls[MAX_THREADS];
    pthread_t threads[MAX_THREADS];
    long n = strtol(count, NULL, 10), good = 0;
    double longest = 0;
    for (long i = 0; i < n && i < MAX_THREADS; i++) {
        calls[i] = (one_call){ .text = text, .pushes = pushes };
        pthread_create(&threads[i], NULL, run_one, &calls[i]);
    }
    for (long i = 0; i < n && i < MAX_THREADS; i++) {
        pthread_join(threads[i], NULL);
        good += calls[i].good;
        longest = calls[i].ms > longest ? calls[i].ms : longest;
    }
    return json_pack("{sisf}", "good", (int)good, "longest", longest);
}

static json_t *do_many(const char *count, const char *sql)
{
    return run_many(count, sql, false);
}

static json_t *do_pushes(const char *count, const char *job)
{
    return run_many(count, job, true);
}

static json_t *do_push(const char *job, const char *unused)
{
    (void)unused;
    return json_pack("{sb}", "good", queue_push(jobs, job));
}

static json_t *do_pop(const char *ms, const char *unused)
{
    (void)unused;
    char *job = queue_pop(jobs, (int)strtol(ms, NULL, 10));
    json_t *answer = json_pack("{ss?}", "job", job);
    free(job);
    return answer;
}

static json_t *do_done(const char *unused, const char *unused2)
{
    (void)unused, (void)unused2;
    return json_pack("{sb}", "good", queue_done(jobs));
}

static json_t *do_return(const char *unused, const char *unused2)
{
    (void)unused, (void)unused2;
    return json_pack("{sb}", "good", queue_return(jobs));
}

static json_t *do_length(const char *unused, const char *unused2)
{
    (void)unused, (void)unused2;
    return json_pack("{si}", "length", (int)queue_length(other));
}

static void answer_item(web_request *r, void *user)
{
    (void)user;
    json_t *body = web_body(r);
    web_problem problem = web_body_problem(r);
    web_answer(r, 200,
               json_pack("{ss ss sO?}", "id", web_segment(r), "problem", (char *)problem.text,
                         "body", body));
    json_decref(body);
}

static void answer_no_json(web_request *r, void *user)
{
    (void)user;
    web_answer(r, 200, json_pack("{ss}", "text", "\xff"));
}

static void forget_answer(web_request *r, void *user)
{
    (void)r, (void)user;
}

static json_t *do_serve(const char *port, const char *unused)
{
    static const web_route routes[] = { { "GET", "/items/{id}", answer_item },
                                        { "POST", "/items/{id}", answer_item },
                                        { "GET", "/no-json", answer_no_json },
                                        { "POST", "/forgets", forget_answer } };
    (void)unused;
    server = web_server_start((uint16_t)strtol(port, NULL, 10), 2, routes, 4, NULL);
    return json_pack("{sb}", "good", server != NULL);
}

static json_t *do_send(const char *method, const char *url)
{
    bool has_body = *method == 'P';
    web_response r = web_send(client, method, url, has_body ? "application/json" : NULL,
                              has_body ? "{\"a\":1}" : NULL, has_body ? 7 : 0, 3000);
    json_t *answer = json_pack("{sisIss}", "status", (int)r.status, "size", (json_int_t)r.size,
                               "error", (char *)r.error);
    web_response_done(&r);
    return answer;
}

static const struct {
    const char *word;
    json_t *(*run)(const char *first, const char *second);
} commands[] = { { "run", do_run },
                 { "migrate", do_migrate },
                 { "text", do_text },
                 { "ping", do_ping },
                 { "queue_ping", do_queue_ping },
                 { "pool", do_pool },
                 { "many", do_many },
                 { "pushes", do_pushes },
                 { "push", do_push },
                 { "pop", do_pop },
                 { "done", do_done },
                 { "length", do_length },
                 { "return", do_return },
                 { "serve", do_serve },
                 { "send", do_send } };

static void answer_line(char *line)
{
    char *first = strchr(line, '\t'), *second = NULL;
    if (first)
        *first++ = 0;
    if (first && (second = strchr(first, '\t')))
        *second++ = 0;
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(commands[i].word, line) != 0)
            continue;
        double begun = now_ms();
        json_t *answer = commands[i].run(first ? first : "", second ? second : "");
        json_object_set_new(answer, "ms", json_real(now_ms() - begun));
        char *text = json_dumps(answer, JSON_COMPACT);
        printf("%s\n", text);
        fflush(stdout);
        free(text);
        json_decref(answer);
    }
}

int main(void)
{
    char line[4096];
    config_catch_signals();
    sonde_start(&(sonde_options){ .service = "probe" });
    client = web_client_new();
    db = database_open(config_text("DATABASE_URL", NULL), config_text("SQLITE_PATH", ":memory:"));
    jobs = db ? queue_open(config_text("REDIS_URL", NULL), db, "probe") : NULL;
    other = jobs ? queue_open(config_text("REDIS_URL", NULL), db, "probe") : NULL;
    if (jobs)
        printf("{\"database\":\"%s\",\"queue\":\"%s\"}\n", database_system(db), queue_system(jobs));
    fflush(stdout);
    while (jobs && fgets(line, sizeof(line), stdin)) {
        line[strcspn(line, "\n")] = 0;
        answer_line(line);
    }
    web_server_stop(server);
    web_client_free(client);
    queue_close(other);
    queue_close(jobs);
    database_close(db);
    sonde_stop();
    return jobs ? 0 : 1;
}
