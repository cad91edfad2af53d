// SPDX-License-Identifier: Apache-2.0
/* The observed side of the database; connections come from database_pool.c, what is particular to
 * an engine stands in database_postgres.c and database_sqlite.c. */
#include "examples/common/database_pool.h"

#include "examples/common/config.h"
#include "examples/common/startup.h"
#include "examples/common/text.h"

#include <sonde/sonde.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_CONNECTIONS = 4, MOST_CONNECTIONS = 32, PING_MS = 1500 };

struct database {
    const database_engine *engine;
    connection_pool *pool;
};

/* The parameters with '?' for what is no UTF-8, in one block to be freed; NULL: they are good as
 * they are. PostgreSQL refuses such a text each time, and what SQLite keeps has no place in JSON.
 */
static char **mended(const database_statement *s)
{
    bool good = true;
    size_t bytes = 0;
    for (int i = 0; i < s->count; i++) {
        good &= !s->parameters[i] || text_is_utf8(s->parameters[i]);
        bytes += sizeof(char *) + (s->parameters[i] ? strlen(s->parameters[i]) + 1 : 0);
    }
    char **all = good ? NULL : malloc(bytes);
    char *at = all ? (char *)(all + s->count) : NULL;
    for (int i = 0; all && i < s->count; i++) {
        all[i] = s->parameters[i] ? at : NULL;
        if (!s->parameters[i])
            continue;
        size_t size = strlen(s->parameters[i]) + 1;
        memcpy(at, s->parameters[i], size);
        text_make_utf8(at);
        at += size;
    }
    return all;
}

/* One statement within the limit, on a connection of the pool. */
static bool run(database *d, const database_statement *s, int limit_ms, database_error *e)
{
    int64_t deadline = config_now_ms() + limit_ms;
    void *connection = pool_take(d->pool, deadline, e);
    if (!connection)
        return false;
    database_statement sent = *s;
    char **texts = mended(s);
    if (texts)
        sent.parameters = (const char *const *)texts;
    bool good = d->engine->run(connection, &sent, deadline, e);
    pool_give(d->pool, connection, true);
    free(texts);
    return good;
}

static bool answers(void *user, char *why, size_t size)
{
    database_error e = { 0 };
    bool good = run(user, &(database_statement){ .sql = "SELECT 1" }, PING_MS, &e);
    if (!good)
        snprintf(why, size, "%s", e.text);
    return good;
}

database *database_open(const char *url, const char *path)
{
    database *d = calloc(1, sizeof(*d));
    if (!d)
        return NULL;
    bool remote = url && *url;
    d->engine = remote ? &database_postgres : &database_sqlite;
    long max = config_number("DATABASE_POOL", DEFAULT_CONNECTIONS, 1, MOST_CONNECTIONS);
    d->pool = pool_new(d->engine, remote ? url : path,
                       d->engine->connections ? d->engine->connections : (int)max);
    if (d->pool && startup_wait(d->engine->system, answers, d))
        return d;
    database_close(d);
    return NULL;
}

void database_close(database *d)
{
    if (!d)
        return;
    pool_free(d->pool);
    free(d);
}

const char *database_system(const database *d)
{
    return d->engine->system;
}

/* The span of a statement, with how it ended. */
static sonde_db_call begin(const database *d, statement_name name, const char *sql)
{
    return sonde_db_begin(&(sonde_db_query){ .system = d->engine->system,
                                             .text = sql,
                                             .operation = name.operation,
                                             .collection = name.table,
                                             .span_name = name.span });
}

static void end(sonde_db_call *call, statement_name name, bool good, const database_error *e)
{
    sonde_db_end(call, &(sonde_db_result){ .failed = !good,
                                           .status_code = *e->code ? e->code : NULL,
                                           .error_type = e->type,
                                           .message = e->text });
    if (!good)
        sonde_error("Database statement failed", sonde_kv("db_operation", name.operation),
                    sonde_kv("db_table", name.table), sonde_kv("error", (const char *)e->text));
}

bool database_run(database *d, statement_name name, const char *sql, int count,
                  const char *const *parameters, row_handler *row, void *user, long *ret_changed)
{
    database_error e = { 0 };
    sonde_db_call call = begin(d, name, sql);
    bool good = run(d, &(database_statement){ sql, count, parameters, row, user, ret_changed },
                    DATABASE_CALL_MS, &e);
    end(&call, name, good, &e);
    return good;
}

/* One statement of a migration, which may take its time. */
static bool migrate(database *d, void *connection, statement_name name, const char *sql)
{
    database_error e = { 0 };
    sonde_db_call call = begin(d, name, sql);
    bool good = d->engine->run(connection, &(database_statement){ .sql = sql },
                               config_now_ms() + DATABASE_MIGRATION_MS, &e);
    end(&call, name, good, &e);
    return good;
}

bool database_migrate(database *d, const char *table, const char *const *statements, size_t count)
{
    statement_name name = { "Database Migration", "CREATE", table };
    database_error e = { 0 };
    void *connection = pool_take(d->pool, config_now_ms() + DATABASE_CALL_MS, &e);
    if (!connection) {
        sonde_error("Database migration failed", sonde_kv("db_table", table),
                    sonde_kv("error", (const char *)e.text));
        return false;
    }
    /* CREATE TABLE IF NOT EXISTS of two sessions at once can fail in PostgreSQL, so they take
     * turns. The lock and the longer limit end with the connection. */
    bool locks = d->engine == &database_postgres;
    bool good = !locks || (migrate(d, connection, name, "SET statement_timeout = 30000") &&
                           migrate(d, connection, name, "SELECT pg_advisory_lock(4319)"));
    for (size_t i = 0; i < count && good; i++)
        good = migrate(d, connection, name, statements[i]);
    pool_give(d->pool, connection, !locks);
    return good;
}

static void keep_number(void *user, int columns, const char *const *values)
{
    if (columns > 0 && values[0])
        *(long *)user = strtol(values[0], NULL, 10);
}

bool database_poll(database *d, const char *sql, const char *parameter, row_handler *row,
                   void *user)
{
    database_error e = { 0 };
    return run(d, &(database_statement){ sql, 1, &parameter, row, user, NULL }, DATABASE_CALL_MS,
               &e);
}

long database_count(database *d, const char *sql, const char *parameter)
{
    long n = -1;
    return database_poll(d, sql, parameter, keep_number, &n) ? n : -1;
}

database_pool database_pool_state(database *d)
{
    return pool_state(d->pool);
}

bool database_ping(database *d, char *detail, size_t size)
{
    return answers(d, detail, size);
}
