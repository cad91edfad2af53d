// SPDX-License-Identifier: Apache-2.0
/* One SQL interface over PostgreSQL (DATABASE_URL) and SQLite (one file), observed: each statement
 * is a client span with OpenTelemetry's database attributes and one sample of
 * db_client_operation_duration_seconds. A `database` is a pool of connections for many threads
 * (DATABASE_POOL, 4; SQLite has one); a connection that was lost is opened again by the next
 * statement, within 2 s. */
#ifndef EXAMPLES_COMMON_DATABASE_H
#define EXAMPLES_COMMON_DATABASE_H

#include <stdbool.h>
#include <stddef.h>

typedef struct database database;

/* `url` "postgresql://…", or NULL or empty: the SQLite file at `path`. NULL after a message on
 * stderr. */
database *database_open(const char *url, const char *path);
void database_close(database *d);

/* What a statement is, for its span: "Database Query", "SELECT", "users". */
typedef struct {
    const char *span;
    const char *operation;
    const char *table;
} statement_name;

/* Called for each row; texts live until it returns. NULL is SQL's NULL. */
typedef void row_handler(void *user, int columns, const char *const *values);

/* Runs one statement with parameters $1, $2, … as texts. False when it failed: the current span
 * then carries the error and it was logged. `row` may be NULL. *ret_changed (may be NULL): rows
 * changed. */
bool database_run(database *d, statement_name name, const char *sql, int count,
                  const char *const *parameters, row_handler *row, void *user, long *ret_changed);

/* Runs statements that create what is missing, one after the other; programs that do so at the same
 * time wait for each other. */
bool database_migrate(database *d, const char *table, const char *const *statements, size_t count);

/* A statement with one parameter that is no step of anybody's work, such as a poll: no span, no
 * sample. */
bool database_poll(database *d, const char *sql, const char *parameter, row_handler *row,
                   void *user);
/* The one number that a statement with one parameter gives, as a poll; -1 when it fails. */
long database_count(database *d, const char *sql, const char *parameter);

/* Connections now, for metrics and /debug/connections. */
typedef struct {
    int max, idle, used, waiting;
} database_pool;
database_pool database_pool_state(database *d);

/* "postgresql" or "sqlite" */
const char *database_system(const database *d);
/* Whether it answers now; for health checks. */
bool database_ping(database *d, char *detail, size_t size);

#endif
