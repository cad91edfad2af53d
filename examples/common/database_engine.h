// SPDX-License-Identifier: Apache-2.0
/* What an engine gives the pool: open a connection, run a statement within a time, say what went
 * wrong. A connection is used by one thread at a time. */
#ifndef EXAMPLES_COMMON_DATABASE_ENGINE_H
#define EXAMPLES_COMMON_DATABASE_ENGINE_H

#include "examples/common/database.h"

#include <stdint.h>

enum {
    DATABASE_STATEMENT_MS = 2000, /* a statement at most, by the database's own limit */
    DATABASE_CALL_MS = 2300,      /* a call at most: free connection, connect and statement */
    DATABASE_MIGRATION_MS = 30000
};

/* Empty texts on success. */
typedef struct {
    char text[512];   /* one line */
    char code[16];    /* SQLSTATE or SQLite's result code; empty when the database did not answer */
    const char *type; /* then: "connection", "timeout", "pool_timeout" */
} database_error;

typedef struct {
    const char *sql;
    int count;
    const char *const *parameters;
    row_handler *row; /* may be NULL */
    void *user;
    long *ret_changed; /* may be NULL */
} database_statement;

typedef struct {
    const char *system;
    int connections; /* at most; 0: as many as DATABASE_POOL says */
    /* Deadlines are times of config_now_ms. */
    void *(*open)(const char *where, int64_t deadline_ms, database_error *e);
    void (*close)(void *connection);
    bool (*run)(void *connection, const database_statement *s, int64_t deadline_ms,
                database_error *e);
    /* False when it has been lost; does not wait. */
    bool (*usable)(void *connection);
} database_engine;

extern const database_engine database_postgres, database_sqlite;

#endif
