// SPDX-License-Identifier: Apache-2.0
/* The observed side of the database; the engines stand in database_postgres.c and
 * database_sqlite.c. */
#include "examples/common/database_engine.h"

#include <sonde/sonde.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct database {
    const database_engine *engine;
    void *connection;
    pthread_mutex_t lock;
};

database *database_open(const char *url, const char *path)
{
    char error[512] = "";
    database *d = calloc(1, sizeof(*d));
    if (!d)
        return NULL;
    d->engine = url && *url ? &database_postgres : &database_sqlite;
    d->connection = d->engine->open(url && *url ? url : path, error, sizeof(error));
    if (!d->connection) {
        fprintf(stderr, "cannot open the %s database: %s\n", d->engine->system, error);
        free(d);
        return NULL;
    }
    pthread_mutex_init(&d->lock, NULL);
    return d;
}

void database_close(database *d)
{
    if (!d)
        return;
    d->engine->close(d->connection);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

const char *database_system(const database *d)
{
    return d->engine->system;
}

bool database_run(database *d, statement_name name, const char *sql, int count,
                  const char *const *parameters, row_handler *row, void *user, long *ret_changed)
{
    char error[512] = "", code[16] = "";
    sonde_db_call call = sonde_db_begin(&(sonde_db_query){ .system = d->engine->system,
                                                           .text = sql,
                                                           .operation = name.operation,
                                                           .collection = name.table,
                                                           .span_name = name.span });
    pthread_mutex_lock(&d->lock);
    bool good = d->engine->run(d->connection, sql, count, parameters, row, user, ret_changed, error,
                               sizeof(error), code);
    pthread_mutex_unlock(&d->lock);
    sonde_db_end(&call,
                 &(sonde_db_result){ .failed = !good, .status_code = code, .message = error });
    if (!good)
        sonde_error("Database statement failed", sonde_kv("db_operation", name.operation),
                    sonde_kv("db_table", name.table), sonde_kv("error", error));
    return good;
}

bool database_migrate(database *d, const char *table, const char *const *statements, size_t count)
{
    statement_name name = { "Database Migration", "CREATE", table };
    /* CREATE TABLE IF NOT EXISTS of two sessions at once can fail in PostgreSQL. */
    bool locks = d->engine == &database_postgres;
    bool good =
        !locks || database_run(d, name, "SELECT pg_advisory_lock(4319)", 0, NULL, NULL, NULL, NULL);
    for (size_t i = 0; i < count && good; i++)
        good = database_run(d, name, statements[i], 0, NULL, NULL, NULL, NULL);
    if (locks)
        database_run(d, name, "SELECT pg_advisory_unlock(4319)", 0, NULL, NULL, NULL, NULL);
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
    char error[256], code[16];
    pthread_mutex_lock(&d->lock);
    bool good = d->engine->run(d->connection, sql, 1, &parameter, row, user, NULL, error,
                               sizeof(error), code);
    pthread_mutex_unlock(&d->lock);
    return good;
}

long database_count(database *d, const char *sql, const char *parameter)
{
    long n = -1;
    database_poll(d, sql, parameter, keep_number, &n);
    return n;
}

database_pool database_pool_state(database *d)
{
    (void)d;
    return (database_pool){ .max = 1, .idle = 1 };
}

bool database_ping(database *d, char *detail, size_t size)
{
    char code[16] = "";
    pthread_mutex_lock(&d->lock);
    bool good =
        d->engine->run(d->connection, "SELECT 1", 0, NULL, NULL, NULL, NULL, detail, size, code);
    pthread_mutex_unlock(&d->lock);
    return good;
}
