// SPDX-License-Identifier: Apache-2.0
/* What an engine gives database.c: run a statement, say what went wrong. */
#ifndef EXAMPLES_COMMON_DATABASE_ENGINE_H
#define EXAMPLES_COMMON_DATABASE_ENGINE_H

#include "examples/common/database.h"

typedef struct {
    const char *system;
    void *(*open)(const char *where, char *error, size_t size);
    void (*close)(void *connection);
    /* error: empty on success; code: SQLSTATE or SQLite's result code */
    bool (*run)(void *connection, const char *sql, int count, const char *const *parameters,
                row_handler *row, void *user, long *ret_changed, char *error, size_t size,
                char code[16]);
} database_engine;

extern const database_engine database_postgres, database_sqlite;

#endif
