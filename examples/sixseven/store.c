// SPDX-License-Identifier: Apache-2.0
/* The table of jobs; see store.h. */
#include "examples/sixseven/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define COLUMNS \
    "id, session_id, type, command, image, options, status, progress, task_id, result, error, " \
    "context, created_at, updated_at"
enum { COLUMN_COUNT = 14 };

void job_done(job *j)
{
    free(j->command);
    free(j->image);
    free(j->options);
    free(j->result);
    *j = (job){ .progress = 0 };
}

json_t *job_json(const job *j)
{
    json_t *result = j->result ? json_loads(j->result, JSON_DECODE_ANY, NULL) : NULL;
    return json_pack("{ss ss ss ss ss sb si so? ss? ss ss}", "job_id", j->id, "session_id",
                     j->session_id, "type", j->type, "status", j->status, "command",
                     j->command ? j->command : "", "has_image", j->image != NULL, "progress",
                     j->progress, "result", result, "error", *j->error ? j->error : NULL,
                     "created_at", j->created_at, "updated_at", j->updated_at);
}

void job_new_id(char ret[JOB_ID_BYTES])
{
    unsigned char b[16];
    if (getrandom(b, sizeof(b), 0) != sizeof(b))
        abort();
    b[6] = (unsigned char)(0x40 | (b[6] & 0x0f));
    b[8] = (unsigned char)(0x80 | (b[8] & 0x3f));
    size_t n = 0;
    for (size_t i = 0; i < sizeof(b); i++)
        n += (size_t)snprintf(ret + n, JOB_ID_BYTES - n, "%s%02x",
                              i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", b[i]);
}

static void now(char ret[32])
{
    struct timespec t;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &t);
    gmtime_r(&t.tv_sec, &tm);
    size_t n = strftime(ret, 32, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(ret + n, 32 - n, ".%06ldZ", t.tv_nsec / 1000);
}

bool store_migrate(database *d)
{
    static const char *const statements[] = {
        "CREATE TABLE IF NOT EXISTS jobs (id TEXT PRIMARY KEY, session_id TEXT NOT NULL, "
        "type TEXT NOT NULL, command TEXT NOT NULL, image TEXT, options TEXT, "
        "status TEXT NOT NULL, progress TEXT NOT NULL, task_id TEXT NOT NULL, result TEXT, "
        "error TEXT NOT NULL, context TEXT NOT NULL, created_at TEXT NOT NULL, "
        "updated_at TEXT NOT NULL)",
        "CREATE INDEX IF NOT EXISTS jobs_by_status ON jobs (status, created_at)",
    };
    return database_migrate(d, "jobs", statements, sizeof(statements) / sizeof(statements[0]));
}

bool store_create(database *d, job *j)
{
    now(j->created_at);
    snprintf(j->updated_at, sizeof(j->updated_at), "%s", j->created_at);
    const char *const values[] = { j->id,      j->session_id, j->type,      j->command, j->image,
                                   j->options, j->status,     "0",          j->task_id, j->result,
                                   j->error,   j->context,    j->created_at };
    return database_run(d, (statement_name){ "INSERT jobs", "INSERT", "jobs" },
                        "INSERT INTO jobs (" COLUMNS ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, "
                        "$9, $10, $11, $12, $13, $13)",
                        sizeof(values) / sizeof(values[0]), values, NULL, NULL, NULL);
}

bool store_save(database *d, job *j)
{
    char progress[16];
    now(j->updated_at);
    snprintf(progress, sizeof(progress), "%d", j->progress);
    const char *const values[] = { j->status, progress, j->task_id,   j->result,
                                   j->error,  j->id,    j->updated_at };
    return database_run(d, (statement_name){ "UPDATE jobs", "UPDATE", "jobs" },
                        "UPDATE jobs SET status = $1, progress = $2, task_id = $3, result = $4, "
                        "error = $5, updated_at = $7 WHERE id = $6",
                        sizeof(values) / sizeof(values[0]), values, NULL, NULL, NULL);
}

bool store_cancel(database *d, const char *id)
{
    char at[32];
    now(at);
    const char *const values[] = { id, at };
    return database_run(d, (statement_name){ "UPDATE jobs", "UPDATE", "jobs" },
                        "UPDATE jobs SET status = 'cancelled', updated_at = $2 WHERE id = $1 "
                        "AND status IN ('pending', 'running')",
                        2, values, NULL, NULL, NULL);
}

/* ---- rows ---- */

static void copy(char *ret, size_t size, const char *text)
{
    snprintf(ret, size, "%s", text ? text : "");
}

static char *duplicate(const char *text)
{
    return text ? strdup(text) : NULL;
}

static void read_row(job *j, const char *const *v)
{
    copy(j->id, sizeof(j->id), v[0]);
    copy(j->session_id, sizeof(j->session_id), v[1]);
    copy(j->type, sizeof(j->type), v[2]);
    j->command = duplicate(v[3]);
    j->image = duplicate(v[4]);
    j->options = duplicate(v[5]);
    copy(j->status, sizeof(j->status), v[6]);
    j->progress = v[7] ? (int)strtol(v[7], NULL, 10) : 0;
    copy(j->task_id, sizeof(j->task_id), v[8]);
    j->result = duplicate(v[9]);
    copy(j->error, sizeof(j->error), v[10]);
    copy(j->context, sizeof(j->context), v[11]);
    copy(j->created_at, sizeof(j->created_at), v[12]);
    copy(j->updated_at, sizeof(j->updated_at), v[13]);
}

static void take_one(void *user, int columns, const char *const *values)
{
    job *j = user;
    if (columns == COLUMN_COUNT && !*j->id)
        read_row(j, values);
}

bool store_find(database *d, const char *id, job *ret)
{
    *ret = (job){ .progress = 0 };
    return database_run(d, (statement_name){ "SELECT jobs", "SELECT", "jobs" },
                        "SELECT " COLUMNS " FROM jobs WHERE id = $1", 1, &id, take_one, ret, NULL);
}

static void add_to_list(void *user, int columns, const char *const *values)
{
    job j = { .progress = 0 };
    if (columns != COLUMN_COUNT)
        return;
    read_row(&j, values);
    json_array_append_new(user, job_json(&j));
    job_done(&j);
}

bool store_list(database *d, const char *status, long limit, json_t *ret)
{
    char count[16];
    snprintf(count, sizeof(count), "%ld", limit);
    const char *const values[] = { count, status };
    statement_name name = { "SELECT jobs", "SELECT", "jobs" };
    if (!status)
        return database_run(d, name,
                            "SELECT " COLUMNS " FROM jobs ORDER BY created_at DESC "
                            "LIMIT CAST($1 AS INTEGER)",
                            1, values, add_to_list, ret, NULL);
    return database_run(d, name,
                        "SELECT " COLUMNS " FROM jobs WHERE status = $2 ORDER BY created_at DESC "
                        "LIMIT CAST($1 AS INTEGER)",
                        2, values, add_to_list, ret, NULL);
}

typedef struct {
    job_taker *take;
    void *user;
} unfinished;

static void hand_over(void *user, int columns, const char *const *values)
{
    unfinished *u = user;
    job j = { .progress = 0 };
    if (columns != COLUMN_COUNT)
        return;
    read_row(&j, values);
    u->take(u->user, &j);
}

bool store_unfinished(database *d, job_taker *take, void *user)
{
    unfinished u = { take, user };
    return database_run(d, (statement_name){ "SELECT jobs", "SELECT", "jobs" },
                        "SELECT " COLUMNS " FROM jobs WHERE status IN ('pending', 'running') "
                        "ORDER BY created_at",
                        0, NULL, hand_over, &u, NULL);
}
