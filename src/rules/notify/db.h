// SPDX-License-Identifier: Apache-2.0
/* The file DATA/alertmanager.db (SQLite, WAL). A transaction that was committed survives the
 * process, and after the next db_sync the power cut; what a power cut takes away is the newest
 * transactions, each as a whole. One thread at a time, under the alertmanager's lock, but for
 * db_sync. A second server on the same file is refused. */
#ifndef SONDE_RULES_NOTIFY_DB_H
#define SONDE_RULES_NOTIFY_DB_H

#include "query/labels.h"

typedef struct db db;

MUST_USE status db_open(db **ret, const char *dir, error *err);
void db_close(db *d); /* NULL is fine */

/* Changes between begin and commit are kept whole or not at all. */
MUST_USE status db_begin(db *d, error *err);
MUST_USE status db_commit(db *d, error *err);
void db_rollback(db *d);
/* Returns when all that was committed before it began is on the disk. Any thread, at any time: it
 * may take as long as the disk does, and keeps nobody else waiting. */
MUST_USE status db_sync(const db *d, error *err);

typedef struct {
    uint64_t fingerprint;
    str labels, annotations; /* as JSON objects */
    str generator;
    int64_t starts_ms, ends_ms, updated_ms;
    bool timeout; /* ends_ms was not given: it comes from resolve_timeout */
} db_alert;

MUST_USE status db_put_alert(db *d, const db_alert *alert, error *err);
MUST_USE status db_delete_alert(db *d, uint64_t fingerprint, error *err);

typedef struct {
    str id, matchers; /* {a="b"} */
    int64_t starts_ms, ends_ms, updated_ms;
    str created_by, comment;
} db_silence;

MUST_USE status db_put_silence(db *d, const db_silence *silence, error *err);
MUST_USE status db_delete_silence(db *d, str id, error *err);

/* What was told about a group to an integration: fingerprints as bytes of uint64_t. */
typedef struct {
    str slot; /* "RECEIVER\nKIND\nINDEX\nGROUP KEY" */
    int64_t time_ms, expires_ms;
    str firing, resolved;
} db_log;

MUST_USE status db_put_log(db *d, const db_log *entry, error *err);
MUST_USE status db_delete_log(db *d, str slot, error *err);

/* A notification that was begun. */
typedef struct {
    int64_t id;
    str slot;
    str key; /* idempotency key */
    str content;
    int64_t created_ms, log_expires_ms;
    str firing, resolved;
} db_pending;

MUST_USE status db_add_pending(db *d, const db_pending *p, int64_t *ret_id, error *err);
MUST_USE status db_delete_pending(db *d, int64_t id, error *err);
MUST_USE status db_read_content(db *d, int64_t id, buf *out, error *err);

/* Everything, at the start; texts are valid during the call. `pending` comes without content. */
typedef struct {
    status (*alert)(void *user, const db_alert *alert, error *err);
    status (*silence)(void *user, const db_silence *silence, error *err);
    status (*log)(void *user, const db_log *entry, error *err);
    status (*pending)(void *user, const db_pending *p, error *err);
    void *user;
} db_visitor;

MUST_USE status db_read_all(db *d, const db_visitor *v, error *err);

#endif
