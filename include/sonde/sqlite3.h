/* SPDX-License-Identifier: Apache-2.0 */
/* SQLite, observed: the same functions with sonde_ in front. Each execution of a statement is a
 * client span, from its first step to SQLITE_DONE, an error, reset or finalize, and a sample of
 * db.client.operation.duration (db.h).
 *
 *     sqlite3_stmt *statement;
 *     sonde_sqlite3_prepare_v2(db, "SELECT id FROM users WHERE name = ?", -1, &statement, NULL);
 *     while (sonde_sqlite3_step(statement) == SQLITE_ROW) { … }
 *     sonde_sqlite3_finalize(statement);
 *
 * Arguments, results and ownership are SQLite's. A statement that is stepped by sonde_sqlite3_step
 * is also reset and finalized by these functions. Include this where <sqlite3.h> is to be had. */
#ifndef SONDE_SQLITE3_H
#define SONDE_SQLITE3_H

#include <sonde/db.h>

#include <sqlite3.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

static inline sonde_db_call sonde_sqlite3_begin_(sqlite3 *db, const char *text)
{
    sonde_db_query q;
    const char *path = db ? sqlite3_db_filename(db, "main") : NULL;
    const char *slash = path ? strrchr(path, '/') : NULL;
    memset(&q, 0, sizeof(q));
    q.system = "sqlite";
    q.name_space = slash ? slash + 1 : path;
    q.text = text;
    return sonde_db_begin(&q);
}

static inline void sonde_sqlite3_end_(sonde_db_call *call, sqlite3 *db, int code)
{
    char text[16];
    sonde_db_result end;
    memset(&end, 0, sizeof(end));
    if (code != SQLITE_OK && code != SQLITE_DONE && code != SQLITE_ROW) {
        snprintf(text, sizeof(text), "%d", db ? sqlite3_extended_errcode(db) : code);
        end.failed = true;
        end.status_code = text;
        end.message = db ? sqlite3_errmsg(db) : sqlite3_errstr(code);
    }
    sonde_db_end(call, &end);
}

static inline int sonde_sqlite3_exec(sqlite3 *db, const char *sql,
                                     int (*callback)(void *, int, char **, char **), void *user,
                                     char **error)
{
    sonde_db_call call = sonde_sqlite3_begin_(db, sql);
    int code = sqlite3_exec(db, sql, callback, user, error);
    sonde_sqlite3_end_(&call, db, code);
    return code;
}

/* A span only when it fails: what is run is seen by its steps. */
static inline int sonde_sqlite3_prepare_v2(sqlite3 *db, const char *sql, int bytes,
                                           sqlite3_stmt **statement, const char **tail)
{
    int code = sqlite3_prepare_v2(db, sql, bytes, statement, tail);
    if (code != SQLITE_OK && bytes < 0) {
        sonde_db_call call = sonde_sqlite3_begin_(db, sql);
        sonde_sqlite3_end_(&call, db, code);
    }
    return code;
}

static inline int sonde_sqlite3_step(sqlite3_stmt *statement)
{
    sonde_db_call call;
    sqlite3 *db = sqlite3_db_handle(statement);
    if (!sonde_db_take_(statement, &call))
        call = sonde_sqlite3_begin_(db, sqlite3_sql(statement));
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        sonde_db_keep_(statement, &call);
    else
        sonde_sqlite3_end_(&call, db, code);
    return code;
}

static inline int sonde_sqlite3_reset(sqlite3_stmt *statement)
{
    sonde_db_call call;
    if (sonde_db_take_(statement, &call))
        sonde_db_end(&call, NULL);
    return sqlite3_reset(statement);
}

static inline int sonde_sqlite3_finalize(sqlite3_stmt *statement)
{
    sonde_db_call call;
    if (statement && sonde_db_take_(statement, &call))
        sonde_db_end(&call, NULL);
    return sqlite3_finalize(statement);
}

#ifdef __cplusplus
}
#endif
#endif
