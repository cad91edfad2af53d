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
    sonde_histogram *duration;
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
    d->duration =
        sonde_histogram_new("db_client_operation_duration_seconds", "Time of database statements.",
                            SONDE_LABELS("db_system_name", "db_operation_name"),
                            .bounds = SONDE_BOUNDS(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10));
    return d;
}

void database_close(database *d)
{
    if (!d)
        return;
    d->engine->close(d->connection);
    sonde_histogram_free(d->duration);
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
    bool good = false;
    SONDE_SPAN_KIND(SONDE_CLIENT, "database", sonde_kv("db.system.name", d->engine->system),
                    sonde_kv("db.operation.name", name.operation),
                    sonde_kv("db.collection.name", name.table), sonde_kv("db.query.text", sql))
    {
        sonde_span_rename(name.span);
        SONDE_TIMER (d->duration, d->engine->system, name.operation) {
            pthread_mutex_lock(&d->lock);
            good = d->engine->run(d->connection, sql, count, parameters, row, user, ret_changed,
                                  error, sizeof(error), code);
            pthread_mutex_unlock(&d->lock);
        }
        if (!good) {
            sonde_span_set(sonde_kv("db.response.status_code", code), sonde_kv("error.type", code));
            sonde_span_fail(error);
            sonde_error("Database statement failed", sonde_kv("db_operation", name.operation),
                        sonde_kv("db_table", name.table), sonde_kv("error", error));
        }
    }
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

bool database_ping(database *d, char *detail, size_t size)
{
    char code[16] = "";
    pthread_mutex_lock(&d->lock);
    bool good =
        d->engine->run(d->connection, "SELECT 1", 0, NULL, NULL, NULL, NULL, detail, size, code);
    pthread_mutex_unlock(&d->lock);
    return good;
}
