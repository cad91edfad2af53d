// SPDX-License-Identifier: Apache-2.0
/* SQLite: one file that several processes share (write-ahead log, 2 s busy wait). */
#include "examples/common/database_engine.h"

#include <sqlite3.h>
#include <stdio.h>

enum { MAX_COLUMNS = 16 };

static void *sqlite_open(const char *where, int64_t deadline_ms, database_error *e)
{
    (void)deadline_ms;
    sqlite3 *db = NULL;
    if (sqlite3_open_v2(where, &db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX,
                        NULL) != SQLITE_OK) {
        snprintf(e->text, sizeof(e->text), "%.255s: %s", where, sqlite3_errmsg(db));
        snprintf(e->code, sizeof(e->code), "%d", sqlite3_extended_errcode(db));
        sqlite3_close(db);
        return NULL;
    }
    sqlite3_busy_timeout(db, DATABASE_STATEMENT_MS);
    sqlite3_exec(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL", NULL, NULL, NULL);
    return db;
}

static void sqlite_close(void *connection)
{
    sqlite3_close(connection);
}

static void bind_all(sqlite3_stmt *statement, int count, const char *const *parameters)
{
    for (int i = 0; i < count; i++) {
        char name[8];
        snprintf(name, sizeof(name), "$%d", i + 1);
        sqlite3_bind_text(statement, sqlite3_bind_parameter_index(statement, name), parameters[i],
                          -1, SQLITE_TRANSIENT);
    }
}

static bool sqlite_run(void *connection, const database_statement *s, int64_t deadline_ms,
                       database_error *e)
{
    (void)deadline_ms; /* a local file; the busy wait has its limit */
    sqlite3_stmt *statement = NULL;
    int result = sqlite3_prepare_v2(connection, s->sql, -1, &statement, NULL);
    if (result == SQLITE_OK) {
        bind_all(statement, s->count, s->parameters);
        while ((result = sqlite3_step(statement)) == SQLITE_ROW) {
            const char *values[MAX_COLUMNS];
            int columns = sqlite3_column_count(statement);
            columns = columns < MAX_COLUMNS ? columns : MAX_COLUMNS;
            for (int i = 0; i < columns; i++)
                values[i] = (const char *)sqlite3_column_text(statement, i);
            if (s->row)
                s->row(s->user, columns, values);
        }
    }
    bool good = result == SQLITE_DONE;
    if (!good) {
        snprintf(e->text, sizeof(e->text), "%s", sqlite3_errmsg(connection));
        snprintf(e->code, sizeof(e->code), "%d", sqlite3_extended_errcode(connection));
    }
    if (s->ret_changed)
        *s->ret_changed = sqlite3_changes(connection);
    sqlite3_finalize(statement);
    return good;
}

static bool sqlite_usable(void *connection)
{
    (void)connection;
    return true;
}

const database_engine database_sqlite = { "sqlite",     1,          sqlite_open,
                                          sqlite_close, sqlite_run, sqlite_usable };
