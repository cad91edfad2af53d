// SPDX-License-Identifier: Apache-2.0
/* The queue; see queue.h. The table is polled, since SQL has no blocking pop. */
#include "examples/common/queue.h"

#include "examples/common/config.h"

#include <hiredis/hiredis.h>
#include <sonde/sonde.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { POLL_MS = 25 };

struct queue {
    redisContext *redis; /* NULL: the table */
    database *database;
    char host[256];
    int port, number;
    char name[64];
};

static bool redis_connect(queue *q)
{
    struct timeval limit = { .tv_sec = 5 };
    if (q->redis)
        redisFree(q->redis);
    q->redis = redisConnectWithTimeout(q->host, q->port, limit);
    if (!q->redis || q->redis->err) {
        fprintf(stderr, "cannot connect to redis at %s:%d: %s\n", q->host, q->port,
                q->redis ? q->redis->errstr : "no memory");
        return false;
    }
    redisSetTimeout(q->redis, limit);
    redisReply *reply = redisCommand(q->redis, "SELECT %d", q->number);
    bool good = reply && reply->type != REDIS_REPLY_ERROR;
    freeReplyObject(reply);
    return good;
}

/* "redis://host[:port][/number]" */
static bool parse_url(queue *q, const char *url)
{
    q->port = 6379;
    int fields = sscanf(url, "redis://%255[^:/]:%d/%d", q->host, &q->port, &q->number);
    if (fields == 1)
        sscanf(url, "redis://%*[^:/]/%d", &q->number);
    if (fields < 1)
        fprintf(stderr, "REDIS_URL is '%s'; it must look like redis://127.0.0.1:6379/0\n", url);
    return fields >= 1;
}

static bool create_table(database *d)
{
    static const char *const postgres[] = { "CREATE TABLE IF NOT EXISTS queue_jobs (id BIGSERIAL "
                                            "PRIMARY KEY, name TEXT NOT NULL, job TEXT NOT NULL)" };
    static const char *const sqlite[] = { "CREATE TABLE IF NOT EXISTS queue_jobs (id INTEGER "
                                          "PRIMARY KEY, name TEXT NOT NULL, job TEXT NOT NULL)" };
    bool is_postgres = strcmp(database_system(d), "postgresql") == 0;
    return database_migrate(d, "queue_jobs", is_postgres ? postgres : sqlite, 1);
}

queue *queue_open(const char *redis_url, database *d, const char *name)
{
    queue *q = calloc(1, sizeof(*q));
    if (!q)
        return NULL;
    snprintf(q->name, sizeof(q->name), "%s", name);
    q->database = d;
    bool good;
    if (redis_url && *redis_url)
        good = parse_url(q, redis_url) && redis_connect(q);
    else
        good = create_table(d);
    if (!good) {
        queue_close(q);
        return NULL;
    }
    return q;
}

void queue_close(queue *q)
{
    if (!q)
        return;
    if (q->redis)
        redisFree(q->redis);
    free(q);
}

const char *queue_system(const queue *q)
{
    return q->redis ? "redis" : database_system(q->database);
}

/* One command; connects again once when the connection was lost. NULL when that fails too. */
static redisReply *redis_run(queue *q, const char *const *words, int count)
{
    for (int attempt = 0; attempt < 2; attempt++) {
        redisReply *reply = redisCommandArgv(q->redis, count, (const char **)words, NULL);
        if (reply && reply->type != REDIS_REPLY_ERROR)
            return reply;
        if (reply) {
            sonde_error("Queue command failed", sonde_kv("command", words[0]),
                        sonde_kv("error", reply->str));
            freeReplyObject(reply);
            return NULL;
        }
        if (!redis_connect(q))
            break;
    }
    sonde_error("Queue is unreachable", sonde_kv("command", words[0]));
    return NULL;
}

bool queue_push(queue *q, const char *job)
{
    if (!q->redis)
        return database_run(q->database, (statement_name){ "Queue Insert", "INSERT", "queue_jobs" },
                            "INSERT INTO queue_jobs (name, job) VALUES ($1, $2)", 2,
                            (const char *[]){ q->name, job }, NULL, NULL, NULL);
    redisReply *reply = redis_run(q, (const char *[]){ "LPUSH", q->name, job }, 3);
    freeReplyObject(reply);
    return reply != NULL;
}

static void keep_text(void *user, int columns, const char *const *values)
{
    char **text = user;
    if (columns > 0 && values[0] && !*text)
        *text = strdup(values[0]);
}

static char *table_pop(queue *q, int timeout_ms)
{
    char *job = NULL;
    /* The job brings its trace along, so taking it out of the table belongs to none yet. */
    for (int waited = 0; !job && waited <= timeout_ms && !config_stopping(); waited += POLL_MS) {
        if (queue_length(q) > 0)
            database_poll(q->database,
                          "DELETE FROM queue_jobs WHERE id = (SELECT id FROM queue_jobs "
                          "WHERE name = $1 ORDER BY id LIMIT 1) RETURNING job",
                          q->name, keep_text, &job);
        if (!job && config_wait(POLL_MS))
            break;
    }
    return job;
}

char *queue_pop(queue *q, int timeout_ms)
{
    char seconds[16], *job = NULL;
    if (!q->redis)
        return table_pop(q, timeout_ms);
    snprintf(seconds, sizeof(seconds), "%d", timeout_ms < 1000 ? 1 : timeout_ms / 1000);
    redisReply *reply = redis_run(q, (const char *[]){ "BRPOP", q->name, seconds }, 3);
    if (reply && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2)
        job = strdup(reply->element[1]->str);
    freeReplyObject(reply);
    return job;
}

long queue_length(queue *q)
{
    long n = -1;
    if (q->redis) {
        redisReply *reply = redis_run(q, (const char *[]){ "LLEN", q->name }, 2);
        if (reply && reply->type == REDIS_REPLY_INTEGER)
            n = (long)reply->integer;
        freeReplyObject(reply);
        return n;
    }
    return database_count(q->database, "SELECT count(*) FROM queue_jobs WHERE name = $1", q->name);
}

bool queue_ping(queue *q, char *detail, size_t size)
{
    if (!q->redis)
        return database_ping(q->database, detail, size);
    bool good = queue_length(q) >= 0;
    snprintf(detail, size, "%s", good ? "connected" : "unreachable");
    return good;
}
