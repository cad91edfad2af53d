// SPDX-License-Identifier: Apache-2.0
/* Generations in the database; see generations.h. The statements are understood by PostgreSQL and
 * SQLite alike. */
#include "examples/framecast/generations.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COLUMNS \
    "id, user_id, team_id, prompt, status, failure_type, output_key, webhook_token, trace, " \
    "credits_charged, credits_refunded, created_ms, started_ms, finished_ms"

/* Where the texts and the numbers of a row go, in the order of COLUMNS. */
static const struct {
    size_t offset, size;
} texts[] = {
#define TEXT(member) \
    { \
        offsetof(generation, member), sizeof(((generation *)NULL)->member) \
    }
    TEXT(id),           TEXT(user_id),    TEXT(team_id),       TEXT(prompt), TEXT(status),
    TEXT(failure_type), TEXT(output_key), TEXT(webhook_token), TEXT(trace),
#undef TEXT
};
enum { TEXTS = sizeof(texts) / sizeof(texts[0]), NUMBERS = 5 };

typedef struct {
    generation *row;
    bool is_there;
} taken;

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static const char *number(int64_t n, char ret[24])
{
    snprintf(ret, 24, "%lld", (long long)n);
    return ret;
}

static void take_row(void *user, int columns, const char *const *values)
{
    taken *t = user;
    int64_t numbers[NUMBERS] = { 0 };
    if (columns != TEXTS + NUMBERS)
        return;
    for (size_t i = 0; i < TEXTS; i++)
        snprintf((char *)t->row + texts[i].offset, texts[i].size, "%s", values[i] ? values[i] : "");
    for (size_t i = 0; i < NUMBERS; i++)
        numbers[i] = values[TEXTS + i] ? strtoll(values[TEXTS + i], NULL, 10) : 0;
    t->row->credits_charged = (long)numbers[0];
    t->row->credits_refunded = (long)numbers[1];
    t->row->created_ms = numbers[2];
    t->row->started_ms = numbers[3];
    t->row->finished_ms = numbers[4];
    t->is_there = true;
}

/* Runs a statement that gives at most one row. */
static found run_one(database *d, statement_name name, const char *sql, int count,
                     const char *const *parameters, generation *ret)
{
    taken t = { .row = ret };
    if (!database_run(d, name, sql, count, parameters, take_row, &t, NULL))
        return DATABASE_AWAY;
    return t.is_there ? FOUND : NOT_FOUND;
}

bool generations_migrate(database *d)
{
    static const char *const statements[] = {
        "CREATE TABLE IF NOT EXISTS generations (id TEXT PRIMARY KEY, user_id TEXT NOT NULL, "
        "team_id TEXT, owner_id TEXT NOT NULL, prompt TEXT NOT NULL, status TEXT NOT NULL, "
        "failure_type TEXT, output_key TEXT, webhook_token TEXT NOT NULL UNIQUE, "
        "trace TEXT NOT NULL, credits_charged BIGINT NOT NULL, "
        "credits_refunded BIGINT NOT NULL DEFAULT 0, heartbeat BIGINT NOT NULL DEFAULT 0, "
        "created_ms BIGINT NOT NULL, started_ms BIGINT, finished_ms BIGINT)",
        "CREATE INDEX IF NOT EXISTS generations_status ON generations (status)",
        "CREATE INDEX IF NOT EXISTS generations_owner ON generations (owner_id)",
    };
    return database_migrate(d, "generations", statements,
                            sizeof(statements) / sizeof(statements[0]));
}

static bool is_one_of(const char *status, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(status, *list) == 0)
            return true;
    return false;
}

bool generation_is_terminal(const generation *g)
{
    return is_one_of(g->status, (const char *const[]){ "completed", "failed", "canceled", NULL });
}

bool generation_is_known_status(const char *status)
{
    return is_one_of(status, (const char *const[]){ "queued", "processing", "completed", "failed",
                                                    "canceled", NULL });
}

const char *generation_owner_type(const generation *g)
{
    return *g->team_id ? "team" : "user";
}

found generation_create(database *d, const generation *g, long credit_limit)
{
    char credits[24], created[24], limit[24];
    const char *const values[] = { g->id,
                                   g->user_id,
                                   *g->team_id ? g->team_id : NULL,
                                   *g->team_id ? g->team_id : g->user_id,
                                   g->prompt,
                                   g->webhook_token,
                                   g->trace,
                                   number(g->credits_charged, credits),
                                   number(now_ms(), created),
                                   number(credit_limit, limit) };
    long changed = 0;
    if (!database_run(
            d, (statement_name){ "insert_generation", "INSERT", "generations" },
            "INSERT INTO generations (id, user_id, team_id, owner_id, prompt, status, "
            "webhook_token, trace, credits_charged, created_ms) SELECT CAST($1 AS TEXT), "
            "CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS TEXT), CAST($5 AS TEXT), 'queued', "
            "CAST($6 AS TEXT), CAST($7 AS TEXT), CAST($8 AS BIGINT), CAST($9 AS BIGINT) WHERE "
            "(SELECT COALESCE(SUM(credits_charged - credits_refunded), 0) FROM generations "
            "WHERE owner_id = CAST($4 AS TEXT)) + CAST($8 AS BIGINT) <= CAST($10 AS BIGINT)",
            10, values, NULL, NULL, &changed))
        return DATABASE_AWAY;
    return changed ? FOUND : NOT_FOUND;
}

found generation_find(database *d, const char *id, generation *ret)
{
    return run_one(d, (statement_name){ "find_generation", "SELECT", "generations" },
                   "SELECT " COLUMNS " FROM generations WHERE id = $1", 1, &id, ret);
}

found generation_claim(database *d, const char *id, generation *ret)
{
    char now[24];
    return run_one(d, (statement_name){ "claim_generation", "UPDATE", "generations" },
                   "UPDATE generations SET status = 'processing', started_ms = $2, "
                   "heartbeat = heartbeat + 1 WHERE id = $1 AND status = 'queued' "
                   "RETURNING " COLUMNS,
                   2, (const char *[]){ id, number(now_ms(), now) }, ret);
}

found generation_end(database *d, const generation_key *key, const generation_ending *ending,
                     generation *ret)
{
#define END(column) \
    "UPDATE generations SET status = $2, failure_type = $3, output_key = $4, finished_ms = $5, " \
    "credits_refunded = CASE WHEN CAST($3 AS TEXT) IS NULL THEN 0 ELSE credits_charged END " \
    "WHERE " column " = $1 AND status IN ('queued', 'processing') RETURNING " COLUMNS
    char now[24];
    return run_one(d, (statement_name){ "end_generation", "UPDATE", "generations" },
                   key->id ? END("id") : END("webhook_token"), 5,
                   (const char *[]){ key->id ? key->id : key->webhook_token, ending->status,
                                     ending->failure_type, ending->output_key,
                                     number(now_ms(), now) },
                   ret);
#undef END
}

void generation_sent(database *d, const char *id)
{
    database_poll(d, "UPDATE generations SET heartbeat = 1 WHERE id = $1 AND heartbeat = 0", id,
                  NULL, NULL);
}

static void note_row(void *user, int columns, const char *const *values)
{
    (void)columns, (void)values;
    *(bool *)user = true;
}

found generation_beat(database *d, const generation_key *key)
{
#define BEAT(column) \
    "UPDATE generations SET heartbeat = heartbeat + 1 WHERE " column \
    " = $1 AND status = 'processing' RETURNING id"
    bool is_there = false;
    if (!database_poll(d, key->id ? BEAT("id") : BEAT("webhook_token"),
                       key->id ? key->id : key->webhook_token, note_row, &is_there))
        return DATABASE_AWAY;
    return is_there ? FOUND : NOT_FOUND;
#undef BEAT
}

long generation_count(database *d, const char *status)
{
    return database_count(d, "SELECT count(*) FROM generations WHERE status = $1", status);
}

typedef struct {
    generation_pulse *pulses;
    long count, limit;
} pulse_list;

static void take_pulse(void *user, int columns, const char *const *values)
{
    pulse_list *list = user;
    if (columns != 3 || list->count == list->limit || !values[0] || !values[1] || !values[2])
        return;
    generation_pulse *p = &list->pulses[list->count++];
    snprintf(p->id, sizeof(p->id), "%s", values[0]);
    p->processing = strcmp(values[1], "processing") == 0;
    p->heartbeat = strtol(values[2], NULL, 10);
}

long generation_pulses(database *d, generation_pulse *ret, long limit)
{
    pulse_list list = { .pulses = ret, .limit = limit };
    bool good = database_poll(d,
                              "SELECT id, status, heartbeat FROM generations "
                              "WHERE status IN ('queued', $1) ORDER BY created_ms",
                              "processing", take_pulse, &list);
    return good ? list.count : -1;
}
