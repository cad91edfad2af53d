// SPDX-License-Identifier: Apache-2.0
/* The store: everything the server keeps. Ingest makes a batch durable (intake log, fsync) and
 * visible; scans read what was acknowledged, from memory and from sealed parts alike.
 * All functions may be called from any thread. Formats: docs/format/intake.md, docs/format/part.md.
 * The ClickHouse engine is meant to implement this same interface. */
#ifndef SONDE_STORE_STORE_H
#define SONDE_STORE_STORE_H

#include "codec/batch.h"
#include "codec/histogram.h"

typedef struct store store;

/* What the store keeps of a record: nothing, the batch as it came, or others made of it. */
enum { STORE_ROUTED_MAX = 8 };
typedef struct {
    const batch *batches[STORE_ROUTED_MAX]; /* `received` itself, or the router's */
    uint32_t count;
    void *own; /* the router's */
} store_routed;

/* Called by senders and while the log is replayed, by any thread; the same record gives the same
 * rows. `release` follows each `route` that was STATUS_OK. */
typedef struct {
    status (*route)(void *user, uint16_t origin, const batch *received, store_routed *ret,
                    error *err);
    void (*release)(void *user, store_routed *r);
    void *user;
} store_router;

typedef struct {
    const char *dir;
    const store_router *router; /* while the log is replayed, and of senders without one; NULL:
                                 * every batch is kept as it came */
    int64_t retention_ns;  /* rows older than now - retention are refused; 0: keep everything */
    size_t intake_limit;   /* bytes of intake log at which ingest answers BUSY; 0: 1 GiB */
    size_t memory_limit;   /* bytes of unsealed rows at which a seal is forced; 0: 64 MiB */
    int64_t seal_after_ns; /* age of the oldest unsealed row that forces a seal; 0: 60 s */
    size_t query_memory;   /* bytes one scan may use; 0: 512 MiB */
} store_options;

/* Replays the intake log from the store's cursor, streaming. Refuses a directory in use. */
MUST_USE status store_open(store **ret, const store_options *options, error *err);
/* Seals nothing: what is in memory is in the intake log. NULL is fine. */
void store_close(store *s);

/* ---- ingest ---- */

typedef struct {
    uint32_t accepted;
    uint32_t rejected; /* rows refused one by one (older than the retention, …) */
    char reason[256];  /* why, when rejected > 0 */
} ingest_result;

/* Blocks until the rows are durable (group commit) and visible to the next scan.
 * `encoded`: the OTLP protobuf request that b was decoded from, or empty: then b is encoded here.
 * STATUS_BUSY: the intake log is at its limit, try later. STATUS_FULL: the disk is full; nothing of
 * the batch was kept. STATUS_IO: not durable, the sender must resend. */
MUST_USE status store_ingest(store *s, const batch *b, str encoded, ingest_result *ret, error *err);

typedef struct {
    uint16_t origin; /* 0: as for store_ingest, batches are kept as they are */
    bool inner;      /* rows that the log holds already, in other records: its limit is a quarter
                      * more for them, so that what reads the log can go on when it is full */
    const store_router *router; /* of its configuration; NULL: the store's */
} store_sender;

/* As store_ingest, for a sender that the router knows. */
MUST_USE status store_ingest_from(store *s, const store_sender *from, const batch *b, str encoded,
                                  ingest_result *ret, error *err);

/* Whether ingest is possible now (disk, log limit), for readiness; the reason otherwise. */
MUST_USE status store_ready(store *s, error *err);

/* ---- the intake log's other readers ---- */

/* Each has a name and a place in the log, kept in DATA/cursors/NAME: what it has not passed is not
 * deleted, and counts towards the log's limit. One thread at a time but for log_reader_cancel. A
 * place that moved survives the process at once and the power cut a little later: after one, the
 * last records may be read again. */
typedef struct log_reader log_reader;

typedef struct {
    uint64_t sequence; /* rises from record to record */
    signal_kind signal;
    uint16_t origin;
    int64_t received_ns;
    str payload; /* an OTLP request as protobuf; valid until the next call */
} log_record;

/* A new name begins with the next record that comes. passing: keeps no place and holds nothing;
 * begins with the next record, too. The store must outlive it. */
MUST_USE status log_reader_open(log_reader **ret, store *s, const char *name, bool passing,
                                error *err);
void log_reader_close(log_reader *r); /* NULL is fine */
/* Waits at most wait_ns. STATUS_NOT_FOUND: nothing came; STATUS_CANCELED. */
MUST_USE status log_reader_next(log_reader *r, int64_t wait_ns, log_record *ret, error *err);
/* All records up to that one are done with. */
MUST_USE status log_reader_commit(log_reader *r, uint64_t sequence, error *err);
/* The same, with bytes that must agree with the place, also after a power cut. */
MUST_USE status log_reader_save(log_reader *r, uint64_t sequence, str state, error *err);
str log_reader_state(const log_reader *r);         /* as saved when it was opened */
uint64_t log_reader_position(const log_reader *r); /* all records up to it are done with */
/* Reads again what was not committed. */
void log_reader_rewind(log_reader *r);
void log_reader_cancel(log_reader *r); /* any thread; a waiting or later log_reader_next returns */
typedef struct {
    uint64_t records, bytes; /* durable and not committed, about */
} log_behind;
log_behind log_reader_behind(log_reader *r); /* any thread */

/* Forgets the places of names that are not listed, so that they hold nothing any more; `forgotten`
 * (may be NULL) is told each and how many records it had not passed. */
MUST_USE status log_readers_keep(store *s, const char *const *names, uint32_t count,
                                 void (*forgotten)(void *user, const char *name, uint64_t records),
                                 void *user, error *err);

/* ---- what queries say ---- */

typedef enum { MATCH_EQ, MATCH_NE, MATCH_RE, MATCH_NRE } match_op;

/* One condition. RE and NRE are anchored at both ends (RE2 syntax as far as PCRE2 agrees).
 * Absent is the empty string. Names by signal:
 *   metrics: label names as Prometheus has them, "__name__" included.
 *   logs: "level", "message", "service", "service_name", "trace_id", "span_id", "request_id", any
 *     other name: resource attribute, else log attribute, else a field of a JSON body; a name with
 *     '_' also finds the attribute written with '.'.
 *   traces: "service", "name", "kind", "status", "trace_id", "span_id", "parent_span_id", any
 * other: span attribute, else resource attribute. */
typedef struct {
    str name;
    match_op op;
    str value;
} matcher;

/* Line filters of logs, applied to the message (body as text). */
typedef enum { LINE_CONTAINS, LINE_NOT_CONTAINS, LINE_MATCHES, LINE_NOT_MATCHES } line_op;
typedef struct {
    line_op op;
    str text; /* a substring, or an unanchored regular expression */
} line_filter;

/* Cooperative cancellation and limits of one query; one per query, shared by its scans. */
typedef struct {
    int64_t deadline_mono_ns;    /* 0: none */
    const _Atomic int *canceled; /* set to 1 by the network when the client goes; NULL: never */
} query_control;

/* ---- series (metrics) ---- */

typedef struct {
    str name;
    str value;
} label;

/* Of two samples of one series with the same time, the one that came in last counts. */
typedef struct {
    const label *labels; /* sorted by name, "__name__" included */
    uint32_t label_count;
    uint64_t hash;          /* of the labels; equal labels have equal hashes within one process */
    const int64_t *time_ms; /* rising, without doubles */
    const double *value;    /* a stale marker is STALE_NAN_BITS */
    const histogram *const *histograms; /* NULL: all are floats; else a sample whose pointer is not
                                         * NULL is that histogram, and its `value` is its sum */
    uint32_t sample_count;
} series;

#define STALE_NAN_BITS UINT64_C(0x7FF0000000000002)

typedef struct {
    series *items; /* sorted by labels */
    uint32_t count;
} series_set;

typedef struct {
    const matcher *matchers;
    uint32_t matcher_count;
    int64_t from_ms, to_ms; /* both inclusive */
    bool labels_only;       /* no samples are read */
    uint32_t series_limit;  /* 0: no limit but memory */
    uint64_t sample_limit;  /* 0: 50 million; of samples within the range, about */
    const query_control *control;
} series_query;

/* What a selector found; its samples are not read yet. Holds the parts that they are in until
 * series_found_done. */
typedef struct series_found series_found;

typedef struct {
    const label *labels;
    uint32_t label_count;
    uint64_t hash;
    uint64_t samples; /* at most so many, within the range about */
} series_head;

/* Heads are sorted by labels. All of it, the labels' texts too, is valid until `a` ends or is
 * cleared, however early series_found_done is called; the limit of `a` is the query's. Samples are
 * those of this moment. STATUS_LIMIT says what would have been read and the limit. */
MUST_USE status store_find(store *s, const series_query *q, arena *a, series_found **ret,
                           error *err);
const series_head *series_found_heads(const series_found *f, uint32_t *ret_count);
void series_found_done(series_found *f); /* NULL is fine */

/* Memory of one reading thread, used again for each series. */
typedef struct series_reader series_reader;
MUST_USE status series_reader_new(series_reader **ret, series_found *f, error *err);
void series_reader_free(series_reader *r); /* NULL is fine */
/* The samples of heads[index]; valid until the reader's next call. Any number of readers, each with
 * its thread, may read one series_found; ascending indexes are the fast way. */
MUST_USE status series_read(series_reader *r, uint32_t index, series *ret, error *err);

/* Everything at once, in `a`: series without samples in the range are left out. */
MUST_USE status store_series(store *s, const series_query *q, arena *a, series_set *ret,
                             error *err);

/* Metrics as they change, for caches of results: a query over data up to some time gives the same
 * answer again as long as store_changed_since(generation of then, that time) is false. */
uint64_t store_generation(store *s);
/* Whether rows with times up to `time_ms` came or went since; true as well when it is not known any
 * more. */
bool store_changed_since(store *s, uint64_t generation, int64_t time_ms);

/* ---- exemplars (metrics) ---- */

typedef struct {
    const label *labels; /* of the series */
    uint32_t label_count;
    const label *own; /* of the exemplar: trace_id, … */
    uint32_t own_count;
    int64_t time_ms;
    double value;
} stored_exemplar;

/* Of series that match, in order of labels, then time. Of each series the newest ones are kept
 * (docs/storage.md tells how many and how long). */
MUST_USE status store_exemplars(store *s, const series_query *q, arena *a, stored_exemplar **ret,
                                uint32_t *ret_count, error *err);

typedef struct {
    str metric; /* Prometheus family name */
    str type;   /* "counter", "gauge", "histogram", "summary", "unknown" */
    str help;
    str unit;
} metric_metadata;
MUST_USE status store_metadata(store *s, arena *a, metric_metadata **ret, uint32_t *ret_count,
                               error *err);

/* ---- rows (logs and traces) ---- */

typedef struct {
    signal_kind signal;     /* SIGNAL_LOGS or SIGNAL_TRACES */
    int64_t from_ns, to_ns; /* log time, span start; from inclusive, to exclusive */
    const matcher *matchers;
    uint32_t matcher_count;
    const line_filter *lines; /* logs only */
    uint32_t line_count;
    int64_t min_duration_ns, max_duration_ns; /* traces only; 0: any */
    bool newest_first;                        /* else oldest first; rows come in this order */
    uint64_t limit;                           /* rows; 0: all */
    const query_control *control;
} row_query;

/* Called with batches of rows in order; the batch is the callee's to read until it returns.
 * false ends the scan (not an error). */
typedef bool row_sink(void *user, const batch *rows);
MUST_USE status store_rows(store *s, const row_query *q, row_sink *sink, void *user, error *err);

/* All spans of one trace, in order of start; STATUS_NOT_FOUND when there are none. `ret`:
 * initialised by the caller for SIGNAL_TRACES; its limit is the query's. */
MUST_USE status store_trace(store *s, trace_id id, batch *ret, error *err);

/* ---- names ---- */

typedef struct {
    str *items; /* sorted, no doubles */
    uint32_t count;
} str_list;

typedef struct {
    signal_kind signal;
    const matcher *matchers;
    uint32_t matcher_count;
    int64_t from_ns, to_ns;
    uint32_t limit; /* 0: 10,000 */
    const query_control *control;
} names_query;

MUST_USE status store_label_names(store *s, const names_query *q, arena *a, str_list *ret,
                                  error *err);
/* For traces, name "service" gives the services and "name" (with a matcher on service) the
 * operations. */
MUST_USE status store_label_values(store *s, const names_query *q, str name, arena *a,
                                   str_list *ret, error *err);

/* Calls `wake` (from any thread, must be quick) after each ingest of logs became visible; for live
 * tail; it must not call the store. Returns a handle for store_unwatch_logs, 0 when there are 256
 * already. */
int store_watch_logs(store *s, void (*wake)(void *user, const batch *rows), void *user);
void store_unwatch_logs(store *s, int handle);

/* ---- the store about itself ---- */

typedef struct {
    uint64_t rows[SIGNAL_COUNT]; /* logs, samples, spans now stored (memory and parts) */
    uint64_t parts[SIGNAL_COUNT];
    uint64_t part_bytes[SIGNAL_COUNT];
    uint64_t memory_bytes; /* unsealed rows */
    uint64_t series;       /* series known in memory */
    uint64_t intake_bytes;
    uint64_t intake_segments;
    uint64_t fsyncs;
    uint64_t fsync_ns;               /* time spent in them */
    uint64_t ingested[SIGNAL_COUNT]; /* rows since start */
    uint64_t rejected[SIGNAL_COUNT];
    uint64_t duplicates[SIGNAL_COUNT]; /* second copies dropped by record id */
    uint64_t merges;
    uint64_t corrupt_parts; /* set aside because a checksum failed */
} store_stats;
void store_get_stats(store *s, store_stats *ret);

/* Seals all rows in memory now and waits; for tests, `sonde serve` shutdown and backups. */
MUST_USE status store_seal(store *s, error *err);

#endif
