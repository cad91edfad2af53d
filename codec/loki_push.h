// SPDX-License-Identifier: Apache-2.0
/* Loki's push request, both ways: logproto.PushRequest (protobuf; whoever calls takes snappy off or
 * puts it on) and its JSON. All functions are reentrant.
 *
 * In: a stream's labels are resource attributes by their own names ("__" ones left out);
 * service.name is set from the first of Loki's own list (service_name, service, app, …, job) that
 * is there; structured metadata are log attributes; level, trace id and span id are recognised in
 * both. Out: what the Collector's Loki exporter sends: few labels, anything else in the line. */
#ifndef SONDE_CODEC_LOKI_PUSH_H
#define SONDE_CODEC_LOKI_PUSH_H

#include "base/buf.h"
#include "codec/batch.h"

/* ---- in ---- */

typedef struct {
    uint32_t max_rows;       /* entries of one request; 1,048,576 */
    uint32_t max_attributes; /* labels of a stream, metadata of an entry; 1,024 */
} loki_push_limits;

/* Append to b (signal logs, usually fresh). Texts are views into `bytes` where they can be. Entries
 * without a time have time_ns 0. limits NULL: the defaults. STATUS_INVALID, STATUS_LIMIT or
 * STATUS_NO_MEMORY: b then holds a part; clear it. */
MUST_USE status loki_push_decode(batch *b, str bytes, const loki_push_limits *limits, error *err);
/* {"streams":[{"stream":{…},"values":[["ns","line",{…}]]}]}, and the older form with "labels" and
 * "entries". */
MUST_USE status loki_push_decode_json(batch *b, str bytes, const loki_push_limits *limits,
                                      error *err);

/* `{a="b", c="d"}` with Go's escapes, appended to *ret; texts in `a` or views. */
MUST_USE status loki_labels_parse(str text, uint32_t max, arena *a, attrs *ret, error *err);

/* ---- out ---- */

typedef struct {
    bool exporter, job, instance, level; /* which of the default labels are made */
} loki_default_labels;

typedef struct {
    int64_t time_ns;
    str line;
    uint32_t row; /* of the batch; keeps entries of one time in order */
} loki_entry;

typedef struct {
    str tenant;          /* X-Scope-OrgID; empty: none */
    str labels;          /* {exporter="OTLP", job="shop/api"} */
    loki_entry *entries; /* by time */
    uint32_t count, capacity;
} loki_stream;

typedef struct {
    loki_stream *items; /* those of one tenant stand together */
    uint32_t count, capacity;
} loki_streams;

/* Groups b's rows into streams. Everything lives in `a`. Rows whose loki.format hint is none of
 * json, logfmt, raw are left out and counted in *ret_refused. now_ns: for rows without a time. */
MUST_USE status loki_streams_build(const batch *b, const loki_default_labels *defaults,
                                   int64_t now_ns, arena *a, loki_streams *ret,
                                   uint32_t *ret_refused, error *err);
/* Appends the PushRequest of `count` streams. */
MUST_USE status loki_push_encode(const loki_stream *streams, uint32_t count, buf *out, error *err);

/* One record as a line: for loki_streams_build. */
typedef struct {
    const batch *rows;
    uint32_t row;
    attrs attributes, resource; /* without what became a label */
} loki_record;
void loki_line_json(const loki_record *r, buf *out);
void loki_line_logfmt(const loki_record *r, arena *a, buf *out);
void loki_line_raw(const loki_record *r, buf *out);

#endif
