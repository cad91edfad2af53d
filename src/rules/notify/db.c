// SPDX-License-Identifier: Apache-2.0
/* SQLite underneath the alertmanager; see db.h. Each statement is a row and is prepared once. */
#include "rules/notify/db.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { VERSION = 1 };

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS alerts (fingerprint INTEGER PRIMARY KEY, labels TEXT NOT NULL,"
    " annotations TEXT NOT NULL, generator TEXT NOT NULL, starts_ms INTEGER NOT NULL,"
    " ends_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL, timeout INTEGER NOT NULL);"
    "CREATE TABLE IF NOT EXISTS silences (id TEXT PRIMARY KEY, matchers TEXT NOT NULL,"
    " starts_ms INTEGER NOT NULL, ends_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL,"
    " created_by TEXT NOT NULL, comment TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS log (slot TEXT PRIMARY KEY, time_ms INTEGER NOT NULL,"
    " expires_ms INTEGER NOT NULL, firing BLOB NOT NULL, resolved BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS pending (id INTEGER PRIMARY KEY AUTOINCREMENT, slot TEXT NOT NULL"
    " UNIQUE, key TEXT NOT NULL, created_ms INTEGER NOT NULL, log_expires_ms INTEGER NOT NULL,"
    " firing BLOB NOT NULL, resolved BLOB NOT NULL, content BLOB NOT NULL);";

typedef enum {
    PUT_ALERT,
    DELETE_ALERT,
    PUT_SILENCE,
    DELETE_SILENCE,
    PUT_LOG,
    DELETE_LOG,
    ADD_PENDING,
    DELETE_PENDING,
    READ_CONTENT,
    READ_ALERTS,
    READ_SILENCES,
    READ_LOG,
    READ_PENDING,
    BEGIN,
    COMMIT,
    ROLLBACK,
    STATEMENTS
} statement;

static const char *const texts[STATEMENTS] = {
    [PUT_ALERT] = "INSERT OR REPLACE INTO alerts VALUES (?,?,?,?,?,?,?,?)",
    [DELETE_ALERT] = "DELETE FROM alerts WHERE fingerprint = ?",
    [PUT_SILENCE] = "INSERT OR REPLACE INTO silences VALUES (?,?,?,?,?,?,?)",
    [DELETE_SILENCE] = "DELETE FROM silences WHERE id = ?",
    [PUT_LOG] = "INSERT OR REPLACE INTO log VALUES (?,?,?,?,?)",
    [DELETE_LOG] = "DELETE FROM log WHERE slot = ?",
    [ADD_PENDING] = "INSERT OR REPLACE INTO pending (slot, key, created_ms, log_expires_ms, firing,"
                    " resolved, content) VALUES (?,?,?,?,?,?,?)",
    [DELETE_PENDING] = "DELETE FROM pending WHERE id = ?",
    [READ_CONTENT] = "SELECT content FROM pending WHERE id = ?",
    [READ_ALERTS] = "SELECT fingerprint, labels, annotations, generator, starts_ms, ends_ms,"
                    " updated_ms, timeout FROM alerts",
    [READ_SILENCES] = "SELECT id, matchers, starts_ms, ends_ms, updated_ms, created_by, comment"
                      " FROM silences",
    [READ_LOG] = "SELECT slot, time_ms, expires_ms, firing, resolved FROM log",
    [READ_PENDING] = "SELECT id, slot, key, created_ms, log_expires_ms, firing, resolved"
                     " FROM pending ORDER BY id",
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
};

struct db {
    sqlite3 *sqlite;
    sqlite3_stmt *statements[STATEMENTS];
    char path[4096];
    int wal; /* the log of changes, opened beside SQLite's own descriptor for db_sync */
};

static status wrong(const db *d, error *err)
{
    int code = d->sqlite ? sqlite3_errcode(d->sqlite) & 0xff : SQLITE_NOMEM;
    status st = code == SQLITE_FULL      ? STATUS_FULL
                : code == SQLITE_NOMEM   ? STATUS_NO_MEMORY
                : code == SQLITE_CORRUPT ? STATUS_CORRUPT
                : code == SQLITE_NOTADB  ? STATUS_CORRUPT
                : code == SQLITE_BUSY    ? STATUS_BUSY
                                         : STATUS_IO;
    return fail(err, st, "%s: %s%s", d->path,
                d->sqlite ? sqlite3_errmsg(d->sqlite) : "no memory for a database",
                code == SQLITE_BUSY ? "; is another server running on this data?" : "");
}

/* ---- opening ---- */

static status run_text(db *d, const char *text, error *err)
{
    return sqlite3_exec(d->sqlite, text, NULL, NULL, NULL) == SQLITE_OK ? STATUS_OK : wrong(d, err);
}

static status check_version(db *d, error *err)
{
    sqlite3_stmt *s = NULL;
    int version = -1;
    if (sqlite3_prepare_v2(d->sqlite, "PRAGMA user_version", -1, &s, NULL) == SQLITE_OK &&
        sqlite3_step(s) == SQLITE_ROW)
        version = sqlite3_column_int(s, 0);
    sqlite3_finalize(s);
    if (version < 0)
        return wrong(d, err);
    if (version > VERSION)
        return fail(err, STATUS_UNSUPPORTED,
                    "%s is of format %d, this build knows %d: it was written by a newer sonde",
                    d->path, version, VERSION);
    return STATUS_OK;
}

/* SQLite creates this file with the first change and removes it at the close; its locks are on the
 * main file, so that a second descriptor does not take them away. */
static status open_wal(db *d, error *err)
{
    char path[sizeof(d->path) + 8];
    snprintf(path, sizeof(path), "%s-wal", d->path);
    d->wal = open(path, O_RDONLY | O_CLOEXEC);
    return d->wal < 0 ? fail_errno(err, errno, "%s", path) : STATUS_OK;
}

/* With synchronous=NORMAL SQLite itself syncs only what keeps the file whole: a commit waits for
 * no disk, and db_sync makes many of them durable at once. */
static status prepare(db *d, error *err)
{
    /* The lock is kept from the first read to the close: the file has one owner. */
    status st = run_text(d,
                         "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL;"
                         "PRAGMA synchronous=NORMAL; PRAGMA journal_size_limit=4194304;",
                         err);
    if (st == STATUS_OK)
        st = check_version(d, err);
    if (st == STATUS_OK)
        st = run_text(d, schema, err);
    if (st == STATUS_OK)
        st = run_text(d, "PRAGMA user_version=1", err);
    for (int i = 0; i < STATEMENTS && st == STATUS_OK; i++)
        if (sqlite3_prepare_v3(d->sqlite, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &d->statements[i], NULL) != SQLITE_OK)
            st = wrong(d, err);
    return st == STATUS_OK ? open_wal(d, err) : st;
}

status db_open(db **ret, const char *dir, error *err)
{
    db *d = calloc(1, sizeof(*d));
    if (!d)
        return fail(err, STATUS_NO_MEMORY, "no memory for a database");
    d->wal = -1;
    status st = file_make_dirs(dir, 0750, err);
    if (st == STATUS_OK &&
        snprintf(d->path, sizeof(d->path), "%s/alertmanager.db", dir) >= (int)sizeof(d->path))
        st = fail(err, STATUS_INVALID, "the path of the data is too long");
    if (st == STATUS_OK &&
        sqlite3_open_v2(d->path, &d->sqlite,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK)
        st = wrong(d, err);
    if (st == STATUS_OK) {
        (void)sqlite3_busy_timeout(d->sqlite, 2000);
        st = prepare(d, err);
    }
    if (st != STATUS_OK) {
        db_close(d);
        return st;
    }
    *ret = d;
    return STATUS_OK;
}

void db_close(db *d)
{
    if (!d)
        return;
    for (int i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(d->statements[i]);
    sqlite3_close(d->sqlite);
    if (d->wal >= 0)
        close(d->wal);
    free(d);
}

/* ---- one statement ---- */

static void bind_text(sqlite3_stmt *s, int at, str v)
{
    sqlite3_bind_text64(s, at, v.len ? v.ptr : "", v.len, SQLITE_STATIC, SQLITE_UTF8);
}

static void bind_blob(sqlite3_stmt *s, int at, str v)
{
    sqlite3_bind_blob64(s, at, v.len ? v.ptr : "", v.len, SQLITE_STATIC);
}

static status finish(db *d, statement which, error *err)
{
    sqlite3_stmt *s = d->statements[which];
    int code = sqlite3_step(s);
    status st = code == SQLITE_DONE || code == SQLITE_ROW ? STATUS_OK : wrong(d, err);
    sqlite3_reset(s);
    sqlite3_clear_bindings(s);
    return st;
}

status db_begin(db *d, error *err)
{
    return finish(d, BEGIN, err);
}

status db_commit(db *d, error *err)
{
    status st = finish(d, COMMIT, err);
    if (st != STATUS_OK)
        db_rollback(d);
    return st;
}

void db_rollback(db *d)
{
    if (!sqlite3_get_autocommit(d->sqlite))
        (void)finish(d, ROLLBACK, NULL);
}

status db_sync(const db *d, error *err)
{
    return fdatasync(d->wal) == 0 ? STATUS_OK : fail_errno(err, errno, "%s-wal", d->path);
}

status db_put_alert(db *d, const db_alert *a, error *err)
{
    sqlite3_stmt *s = d->statements[PUT_ALERT];
    sqlite3_bind_int64(s, 1, (sqlite3_int64)a->fingerprint);
    bind_text(s, 2, a->labels);
    bind_text(s, 3, a->annotations);
    bind_text(s, 4, a->generator);
    sqlite3_bind_int64(s, 5, a->starts_ms);
    sqlite3_bind_int64(s, 6, a->ends_ms);
    sqlite3_bind_int64(s, 7, a->updated_ms);
    sqlite3_bind_int(s, 8, a->timeout);
    return finish(d, PUT_ALERT, err);
}

status db_delete_alert(db *d, uint64_t fingerprint, error *err)
{
    sqlite3_bind_int64(d->statements[DELETE_ALERT], 1, (sqlite3_int64)fingerprint);
    return finish(d, DELETE_ALERT, err);
}

status db_put_silence(db *d, const db_silence *v, error *err)
{
    sqlite3_stmt *s = d->statements[PUT_SILENCE];
    bind_text(s, 1, v->id);
    bind_text(s, 2, v->matchers);
    sqlite3_bind_int64(s, 3, v->starts_ms);
    sqlite3_bind_int64(s, 4, v->ends_ms);
    sqlite3_bind_int64(s, 5, v->updated_ms);
    bind_text(s, 6, v->created_by);
    bind_text(s, 7, v->comment);
    return finish(d, PUT_SILENCE, err);
}

status db_delete_silence(db *d, str id, error *err)
{
    bind_text(d->statements[DELETE_SILENCE], 1, id);
    return finish(d, DELETE_SILENCE, err);
}

status db_put_log(db *d, const db_log *v, error *err)
{
    sqlite3_stmt *s = d->statements[PUT_LOG];
    bind_text(s, 1, v->slot);
    sqlite3_bind_int64(s, 2, v->time_ms);
    sqlite3_bind_int64(s, 3, v->expires_ms);
    bind_blob(s, 4, v->firing);
    bind_blob(s, 5, v->resolved);
    return finish(d, PUT_LOG, err);
}

status db_delete_log(db *d, str slot, error *err)
{
    bind_text(d->statements[DELETE_LOG], 1, slot);
    return finish(d, DELETE_LOG, err);
}

status db_add_pending(db *d, const db_pending *p, int64_t *ret_id, error *err)
{
    sqlite3_stmt *s = d->statements[ADD_PENDING];
    bind_text(s, 1, p->slot);
    bind_text(s, 2, p->key);
    sqlite3_bind_int64(s, 3, p->created_ms);
    sqlite3_bind_int64(s, 4, p->log_expires_ms);
    bind_blob(s, 5, p->firing);
    bind_blob(s, 6, p->resolved);
    bind_blob(s, 7, p->content);
    status st = finish(d, ADD_PENDING, err);
    *ret_id = sqlite3_last_insert_rowid(d->sqlite);
    return st;
}

status db_delete_pending(db *d, int64_t id, error *err)
{
    sqlite3_bind_int64(d->statements[DELETE_PENDING], 1, id);
    return finish(d, DELETE_PENDING, err);
}

static str column(sqlite3_stmt *s, int at)
{
    const void *bytes = sqlite3_column_blob(s, at);
    int n = sqlite3_column_bytes(s, at);
    return bytes ? str_n(bytes, (size_t)n) : STR_EMPTY;
}

status db_read_content(db *d, int64_t id, buf *out, error *err)
{
    sqlite3_stmt *s = d->statements[READ_CONTENT];
    status st = STATUS_OK;
    sqlite3_bind_int64(s, 1, id);
    int code = sqlite3_step(s);
    if (code == SQLITE_ROW)
        buf_str(out, column(s, 0));
    else
        st = code == SQLITE_DONE
                 ? fail(err, STATUS_NOT_FOUND, "no notification %lld", (long long)id)
                 : wrong(d, err);
    sqlite3_reset(s);
    return st == STATUS_OK ? buf_check(out, err, "a notification") : st;
}

/* ---- everything ---- */

static status give_alert(const db_visitor *v, sqlite3_stmt *s, error *err)
{
    return v->alert(v->user,
                    &(db_alert){ .fingerprint = (uint64_t)sqlite3_column_int64(s, 0),
                                 .labels = column(s, 1),
                                 .annotations = column(s, 2),
                                 .generator = column(s, 3),
                                 .starts_ms = sqlite3_column_int64(s, 4),
                                 .ends_ms = sqlite3_column_int64(s, 5),
                                 .updated_ms = sqlite3_column_int64(s, 6),
                                 .timeout = sqlite3_column_int(s, 7) != 0 },
                    err);
}

static status give_silence(const db_visitor *v, sqlite3_stmt *s, error *err)
{
    return v->silence(v->user,
                      &(db_silence){ .id = column(s, 0),
                                     .matchers = column(s, 1),
                                     .starts_ms = sqlite3_column_int64(s, 2),
                                     .ends_ms = sqlite3_column_int64(s, 3),
                                     .updated_ms = sqlite3_column_int64(s, 4),
                                     .created_by = column(s, 5),
                                     .comment = column(s, 6) },
                      err);
}

static status give_log(const db_visitor *v, sqlite3_stmt *s, error *err)
{
    return v->log(v->user,
                  &(db_log){ .slot = column(s, 0),
                             .time_ms = sqlite3_column_int64(s, 1),
                             .expires_ms = sqlite3_column_int64(s, 2),
                             .firing = column(s, 3),
                             .resolved = column(s, 4) },
                  err);
}

static status give_pending(const db_visitor *v, sqlite3_stmt *s, error *err)
{
    return v->pending(v->user,
                      &(db_pending){ .id = sqlite3_column_int64(s, 0),
                                     .slot = column(s, 1),
                                     .key = column(s, 2),
                                     .created_ms = sqlite3_column_int64(s, 3),
                                     .log_expires_ms = sqlite3_column_int64(s, 4),
                                     .firing = column(s, 5),
                                     .resolved = column(s, 6) },
                      err);
}

status db_read_all(db *d, const db_visitor *v, error *err)
{
    static const struct {
        statement which;
        status (*give)(const db_visitor *v, sqlite3_stmt *s, error *err);
    } tables[] = { { READ_ALERTS, give_alert },
                   { READ_SILENCES, give_silence },
                   { READ_LOG, give_log },
                   { READ_PENDING, give_pending } };
    status st = STATUS_OK;
    for (size_t t = 0; t < ARRAY_LEN(tables) && st == STATUS_OK; t++) {
        sqlite3_stmt *s = d->statements[tables[t].which];
        int code = SQLITE_DONE;
        while (st == STATUS_OK && (code = sqlite3_step(s)) == SQLITE_ROW)
            st = tables[t].give(v, s, err);
        if (st == STATUS_OK && code != SQLITE_DONE)
            st = wrong(d, err);
        sqlite3_reset(s);
    }
    return st;
}
