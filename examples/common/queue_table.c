// SPDX-License-Identifier: Apache-2.0
/* A queue as the table queue_jobs, polled since SQL has no blocking pop. A job that is worked on
 * stays in the table, claimed by its consumer. */
#include "examples/common/queue_engine.h"

#include "examples/common/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POLL_MS = 25, MAX_SQL = 640 };

/* What the two databases say differently. */
typedef struct {
    const char *system, *key, *now, *lock;
} dialect;
static const dialect dialects[] = {
    { "postgresql", "BIGSERIAL PRIMARY KEY", "CAST(extract(epoch FROM now()) * 1000 AS BIGINT)",
      "FOR UPDATE SKIP LOCKED" },
    { "sqlite", "INTEGER PRIMARY KEY", "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
      "" },
};

typedef struct {
    database *database; /* first: queue_system reads it */
    const dialect *dialect;
    char name[64];
} table;

static void *open_table(const queue_options *options)
{
    table *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    *t = (table){ .database = options->database, .dialect = &dialects[0] };
    while (strcmp(t->dialect->system, database_system(t->database)) != 0)
        t->dialect++;
    memcpy(t->name, options->name, sizeof(t->name));
    return t;
}

static bool away(char why[QUEUE_TEXT])
{
    snprintf(why, QUEUE_TEXT, "the database did not take the statement");
    return false;
}

static bool prepare(void *state, char why[QUEUE_TEXT])
{
    table *t = state;
    char sql[MAX_SQL];
    snprintf(sql, sizeof(sql),
             "CREATE TABLE IF NOT EXISTS queue_jobs (id %s, name TEXT NOT NULL, job TEXT NOT NULL, "
             "claimed_by TEXT, claimed_at BIGINT)",
             t->dialect->key);
    return database_migrate(t->database, "queue_jobs", (const char *[]){ sql }, 1) || away(why);
}

static bool push(void *state, const char *job, char why[QUEUE_TEXT])
{
    table *t = state;
    return database_run(t->database, (statement_name){ "Queue Insert", "INSERT", "queue_jobs" },
                        "INSERT INTO queue_jobs (name, job) VALUES ($1, $2)", 2,
                        (const char *[]){ t->name, job }, NULL, NULL, NULL) ||
           away(why);
}

static bool length(void *state, long *ret, char why[QUEUE_TEXT])
{
    table *t = state;
    *ret = database_count(t->database,
                          "SELECT count(*) FROM queue_jobs WHERE name = $1 AND claimed_at IS NULL",
                          t->name);
    return *ret >= 0 || away(why);
}

static void keep_text(void *user, int columns, const char *const *values)
{
    char **text = user;
    if (columns > 0 && values[0] && !*text)
        *text = strdup(values[0]);
}

static bool pop(void *state, const queue_consumer *c, int timeout_ms, char **ret,
                char why[QUEUE_TEXT])
{
    table *t = state;
    char sql[MAX_SQL];
    snprintf(sql, sizeof(sql),
             "UPDATE queue_jobs SET claimed_by = '%s', claimed_at = %s WHERE id = (SELECT id FROM "
             "queue_jobs WHERE name = $1 AND claimed_at IS NULL ORDER BY id LIMIT 1 %s) "
             "RETURNING job",
             c->id, t->dialect->now, t->dialect->lock);
    /* The job brings its trace along, so taking it out of the table belongs to none yet. */
    for (int waited = 0; !*ret && waited <= timeout_ms; waited += POLL_MS) {
        long n = 0;
        if (!length(t, &n, why) ||
            (n > 0 && !database_poll(t->database, sql, t->name, keep_text, ret)))
            return away(why);
        if (!*ret && config_wait(POLL_MS))
            break;
    }
    return true;
}

static bool done(void *state, const queue_consumer *c, char why[QUEUE_TEXT])
{
    table *t = state;
    return database_poll(t->database, "DELETE FROM queue_jobs WHERE claimed_by = $1", c->id, NULL,
                         NULL) ||
           away(why);
}

static bool put_back(void *state, const queue_consumer *c, char why[QUEUE_TEXT])
{
    table *t = state;
    return database_poll(t->database,
                         "UPDATE queue_jobs SET claimed_by = NULL, claimed_at = NULL "
                         "WHERE claimed_by = $1",
                         c->id, NULL, NULL) ||
           away(why);
}

static void count_row(void *user, int columns, const char *const *values)
{
    (void)columns, (void)values;
    ++*(long *)user;
}

static bool keep(void *state, const queue_consumer *c, int64_t lease_ms, long *ret_back,
                 char why[QUEUE_TEXT])
{
    table *t = state;
    char sql[MAX_SQL];
    snprintf(sql, sizeof(sql), "UPDATE queue_jobs SET claimed_at = %s WHERE claimed_by = $1",
             t->dialect->now);
    if (!database_poll(t->database, sql, c->id, NULL, NULL))
        return away(why);
    if (!lease_ms)
        return true;
    snprintf(sql, sizeof(sql),
             "UPDATE queue_jobs SET claimed_by = NULL, claimed_at = NULL WHERE name = $1 AND "
             "claimed_at < %s - %lld RETURNING id",
             t->dialect->now, (long long)lease_ms);
    return database_poll(t->database, sql, t->name, count_row, ret_back) || away(why);
}

static bool ping(void *state, char why[QUEUE_TEXT])
{
    return database_ping(((table *)state)->database, why, QUEUE_TEXT);
}

const queue_engine queue_table = { .open = open_table,
                                   .close = free,
                                   .prepare = prepare,
                                   .push = push,
                                   .pop = pop,
                                   .done = done,
                                   .put_back = put_back,
                                   .keep = keep,
                                   .length = length,
                                   .ping = ping };
