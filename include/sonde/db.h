/* SPDX-License-Identifier: Apache-2.0 */
/* Database calls, for any client library: two calls around a statement. For libpq, hiredis and
 * SQLite: libpq.h, hiredis.h, sqlite3.h.
 *
 *     sonde_db_call call = sonde_db_begin(&(sonde_db_query){
 *         .system = "postgresql", .name_space = "shop", .text = sql });
 *     …
 *     sonde_db_end(&call, &(sonde_db_result){ .failed = !good, .status_code = sqlstate });
 *
 * They give: a client span with OpenTelemetry's database conventions (the older names too where
 * OTEL_SEMCONV_STABILITY_OPT_IN has database/dup), and the metric db.client.operation.duration,
 * beside or instead of others by option (start.h). Operation, table and summary are found in an SQL
 * text; what is recorded of a text is its form: each literal is a '?'.
 *
 * The span is not made current: calls may overlap on one thread, and end on another. Thread-safe;
 * not for signal handlers; works after fork: a span of the parent is ignored then, the
 * metric counts where the call ends. */
#ifndef SONDE_DB_H
#define SONDE_DB_H

#include <sonde/span.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* All of it may be zero; nothing is kept but copies. */
typedef struct {
    const char *system;     /* "postgresql", "sqlite", "redis", "mysql", … */
    const char *name_space; /* the database: "shop", for Redis its number */
    const char *text;       /* the statement; at most 2,048 bytes are recorded */
    bool text_is_clean;     /* it is no SQL, or holds no values: recorded as it is */
    const char *operation;  /* NULL: the first word of an SQL text, "SELECT" */
    const char *collection; /* NULL: the first table of an SQL text */
    const char *summary;    /* NULL: operation and tables: "SELECT orders users" */
    const char *span_name;  /* NULL: the summary, else the operation, else the system */
    const char *server_address;
    int server_port;
    int batch_size; /* statements sent together; 0 and 1: one */
} sonde_db_query;

typedef struct {
    bool failed;
    const char *status_code; /* of the database: "23505", "SQLITE_BUSY"; NULL: none */
    const char *error_type;  /* NULL: the status code */
    const char *message;
    int64_t rows; /* returned; negative or 0: not recorded */
} sonde_db_result;

/* The members are not for programs. Copy it freely; end it once. */
typedef struct {
    sonde_span *span;
    int64_t start_ns;
    char system[24];
    char name_space[64];
    char operation[32];
    char collection[64];
    char address[128];
    int port;
} sonde_db_call;

sonde_db_call sonde_db_begin(const sonde_db_query *query);
/* `result` NULL: it succeeded. A second end does nothing. */
void sonde_db_end(sonde_db_call *call, const sonde_db_result *result);

/* The text with each literal replaced by '?', comments and needless space left out, cut to `size`
 * (with a terminator). Returns the length. Texts of databases whose "…" is a literal (mysql) say so
 * by `system`, which may be NULL. */
size_t sonde_db_clean_text(const char *system, const char *text, char *ret, size_t size);

/* ---- connection pools ---- */

/* db.client.connection.count{pool, state}, .max, .idle.max …, as OpenTelemetry names them. Shared
 * by all threads. */
typedef struct sonde_db_pool sonde_db_pool;
/* `name` is the pool's; `most`: connections at most, 0: no limit. NULL without memory. */
sonde_db_pool *sonde_db_pool_new(const char *name, int most);
void sonde_db_pool_free(sonde_db_pool *pool);
/* What it holds now. */
void sonde_db_pool_set(sonde_db_pool *pool, int idle, int used, int waiting);
/* Someone had to wait this long for a connection; `timed_out`: in vain. */
void sonde_db_pool_waited(sonde_db_pool *pool, double seconds, bool timed_out);

/* ---- calls that belong to a handle of another library (sqlite3.h) ---- */

/* Keeps the call until it is taken; an earlier one of the same key is ended. At most 4,096 at once;
 * one more is ended at once. */
void sonde_db_keep_(const void *key, const sonde_db_call *call);
/* False when none is kept. */
bool sonde_db_take_(const void *key, sonde_db_call *ret);
/* Whether one is kept. */
bool sonde_db_kept_(const void *key);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
