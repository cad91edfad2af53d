// SPDX-License-Identifier: Apache-2.0
/* One SQL interface over PostgreSQL (DATABASE_URL) and SQLite (one file), observed: each statement
 * is a client span with OpenTelemetry's database attributes and one sample of
 * db_client_operation_duration_seconds; the pool shows itself as db_client_connection_count.
 *
 * A `database` is a pool of connections for many threads (DATABASE_POOL, 4, at most 32; SQLite has
 * one). Each call ends within 2.3 s, also when the server is stopped or the network swallows
 * everything: waiting for a connection, connecting and the statement (2 s of its own in the server)
 * share that time. A connection that was lost is replaced by the next call that needs it. No
 * statement is sent twice, so one whose answer did not come may have been carried out. */
#ifndef EXAMPLES_COMMON_DATABASE_H
#define EXAMPLES_COMMON_DATABASE_H

#include <stdbool.h>
#include <stddef.h>

typedef struct database database;

/* `url` "postgresql://…", or NULL or empty: the SQLite file at `path`. Waits for the database as
 * startup.h says; NULL after it was logged that the service cannot start. */
database *database_open(const char *url, const char *path);
void database_close(database *d);

/* What a statement is, for its span: "Database Query", "SELECT", "users". */
typedef struct {
    const char *span;
    const char *operation;
    const char *table;
} statement_name;

/* Called for each row; texts live until it returns. NULL is SQL's NULL. Must not use the database:
 * its connection is in use. */
typedef void row_handler(void *user, int columns, const char *const *values);

/* Runs one statement with parameters $1, $2, … as texts; bytes of them that are no UTF-8 become
 * '?'. False when it failed: the current span then carries the error and it was logged. `row` may
 * be NULL. *ret_changed (may be NULL): rows changed. */
bool database_run(database *d, statement_name name, const char *sql, int count,
                  const char *const *parameters, row_handler *row, void *user, long *ret_changed);

/* Runs statements that create what is missing, one after the other on one connection, each within
 * 30 s; programs that do so at the same time wait for each other. */
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
/* Whether it answers now, within 1.5 s; one line that says what is wrong otherwise. For health
 * checks. */
bool database_ping(database *d, char *detail, size_t size);

#endif
