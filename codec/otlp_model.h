// SPDX-License-Identifier: Apache-2.0
/* What the four OTLP coders (protobuf and JSON, in and out) share: one table per message, the sink
 * that turns decoded rows into columns, and the source that turns columns into rows.
 * A coder walks a message's table and moves each field between the wire and a plain structure; it
 * knows kinds of fields, never names of messages. Used by codec/otlp_*.c only. */
#ifndef SONDE_CODEC_OTLP_MODEL_H
#define SONDE_CODEC_OTLP_MODEL_H

#include "codec/otlp.h"

/* ---- tables ---- */

typedef enum {
    OTLP_NONE,       /* no field of this number, or one that the batch does not carry */
    OTLP_STRING,     /* str */
    OTLP_TRACE_ID,   /* trace_id; bytes of length 16 or 0 */
    OTLP_SPAN_ID,    /* span_id; bytes of length 8 or 0 */
    OTLP_TIME,       /* int64_t; fixed64 */
    OTLP_FIXED64,    /* uint64_t */
    OTLP_FIXED32,    /* uint32_t */
    OTLP_UINT32,     /* uint32_t; varint */
    OTLP_SINT32,     /* int32_t; zigzag varint */
    OTLP_ENUM,       /* uint8_t; a number that the table has no name for becomes 0 */
    OTLP_BOOL,       /* bool */
    OTLP_DOUBLE,     /* double */
    OTLP_OPTIONAL,   /* double, present when the bool at `aux` is */
    OTLP_AS_DOUBLE,  /* double, present when the byte at `aux` is 0 */
    OTLP_AS_INT,     /* int64_t as sfixed64, present when the byte at `aux` is 1 */
    OTLP_ATTRIBUTES, /* attrs */
    OTLP_VALUE,      /* value */
    OTLP_FIXED64S,   /* uint64_t *, packed; uint32_t count at `aux` */
    OTLP_VARINTS,    /* uint64_t *, packed; uint32_t count at `aux` */
    OTLP_DOUBLES,    /* double *, packed; uint32_t count at `aux` */
    OTLP_NATIVE,     /* const histogram *, present when it is not NULL; in protobuf only */
    OTLP_MESSAGE,    /* a structure in place */
    OTLP_MESSAGES,   /* pointer to structures; uint32_t count at `aux` */
    OTLP_CHILD       /* messages that are kept in tables or columns of the batch */
} otlp_kind;

/* What a message stands for in the batch; the tree is request, resource, scope, (metric, data,)
 * row. */
typedef enum {
    LEVEL_REQUEST,
    LEVEL_RESOURCE,
    LEVEL_SCOPE,
    LEVEL_METRIC,
    LEVEL_DATA, /* the gauge, sum, … in a metric */
    LEVEL_ROW,
    LEVEL_PART /* a part of one of these */
} otlp_level;

typedef struct otlp_message otlp_message;

typedef struct {
    uint8_t kind; /* otlp_kind */
    uint16_t offset;
    uint16_t aux;
    const char *name;            /* as in the .proto files */
    const char *json;            /* lowerCamelCase */
    const otlp_message *message; /* OTLP_MESSAGE, OTLP_MESSAGES, OTLP_CHILD */
    const char *const *values;   /* OTLP_ENUM: names by number, ended by NULL */
} otlp_field;

#define OTLP_FIELD_MAX 16
/* A field of sonde's own in histogram points, which stands at OTLP_FIELD_MAX in their tables: a
 * native histogram as docs/format/histogram.md has it. */
#define OTLP_NATIVE_NUMBER 536870001u

struct otlp_message {
    otlp_level level;
    uint16_t size;                         /* of the structure that it is read into */
    uint8_t type;                          /* LEVEL_DATA: metric_type */
    otlp_field fields[OTLP_FIELD_MAX + 1]; /* by field number */
};

static inline const otlp_field *otlp_field_of(const otlp_message *m, uint32_t number)
{
    if (number < OTLP_FIELD_MAX)
        return &m->fields[number];
    bool own = m->fields[OTLP_FIELD_MAX].kind == OTLP_NATIVE;
    return &m->fields[number == (own ? OTLP_NATIVE_NUMBER : OTLP_FIELD_MAX) ? OTLP_FIELD_MAX : 0];
}

extern const otlp_message otlp_requests[SIGNAL_COUNT];

/* ---- rows as structures ---- */

typedef struct {
    int64_t time_ns, observed_ns;
    uint8_t severity;
    str severity_text;
    value body;
    attrs attributes;
    trace_id trace;
    span_id span;
    uint32_t flags;
    str event_name;
} otlp_log;

typedef struct {
    trace_id trace;
    span_id span, parent;
    str trace_state;
    uint32_t flags;
    str name;
    uint8_t kind;
    int64_t start_ns, end_ns;
    attrs attributes;
    span_events events;
    span_links links;
    struct otlp_span_status {
        uint8_t code;
        str message;
    } status;
} otlp_span;

typedef struct {
    uint8_t is_int; /* OTLP_NO_NUMBER, or a bool */
    union {
        double f64;
        int64_t i64;
    };
} otlp_number;

#define OTLP_NO_NUMBER 2

typedef struct {
    int64_t start_ns, time_ns;
    uint32_t flags;
    attrs attributes;
    exemplars exemplars;
    union {
        otlp_number number;
        histogram_value histogram;
        exp_histogram_value exp;
        summary_value summary;
    };
} otlp_point;

typedef struct {
    uint8_t temporality;
    bool monotonic;
} otlp_data;

typedef union {
    batch_resource resource;
    batch_scope scope;
    batch_metric metric;
    otlp_data data;
    otlp_log log;
    otlp_span span;
    otlp_point point;
} otlp_row;

/* ---- sink: rows to columns ---- */

#define OTLP_DEPTH_DEFAULT 32
#define OTLP_DEPTH_MAX     100

typedef struct {
    const otlp_field *field;
    uint32_t index; /* UINT32_MAX: the field does not repeat */
} otlp_frame;

typedef struct {
    batch *b;
    otlp_limits limits;
    otlp_partial *partial;
    bool json;
    otlp_frame open[LEVEL_PART];   /* outermost first */
    uint32_t next[LEVEL_PART + 1]; /* index of the next child, by depth */
    uint32_t open_count;
    otlp_frame inner[4]; /* added while a failure unwinds: innermost first */
    uint32_t inner_count;
    uint32_t resource, scope, metric; /* what rows now belong to */
    metric_type type;
    otlp_data data;
    uint32_t rows;
    const char *row_problem; /* why this row cannot be taken */
    status code;
    char detail[160];
} otlp_sink;

void otlp_sink_init(otlp_sink *s, batch *b, const otlp_limits *limits, otlp_partial *partial,
                    bool json);
/* A child begins; *row is prepared for its fields. False on a failure. */
bool otlp_open(otlp_sink *s, const otlp_field *child, otlp_row *row);
/* It ended; *row goes into the batch, unless it contradicts itself. False on a failure. */
bool otlp_close(otlp_sink *s, const otlp_field *child, const otlp_row *row);
/* Room for the rows that are about to come; only an optimisation. */
void otlp_expect_rows(otlp_sink *s, const otlp_field *child, uint32_t rows);

/* Records the first failure; always false. */
bool otlp_fail(otlp_sink *s, status code, const char *format, ...) PRINTF_LIKE(3, 4);
bool otlp_no_memory(otlp_sink *s);
/* Called while a failure unwinds, to say where it was; always false. */
bool otlp_within(otlp_sink *s, const otlp_field *field, uint32_t index);
/* The failure with its place. */
status otlp_sink_status(const otlp_sink *s, error *err);

/* Room for `extra` more elements of an array that grows in the arena, in place when it is the
 * newest thing there. The new elements are not initialised. NULL at the limit. */
void *otlp_extend(arena *a, void *items, uint32_t count, uint32_t extra, size_t size);

/* ---- source: columns to rows ---- */

/* Elements of one parent: order[from] … order[to - 1]. */
typedef struct {
    uint32_t *order;
    uint32_t *starts; /* by parent, and one more */
} otlp_groups;

typedef struct {
    const batch *b;
    otlp_groups scopes, metrics, rows;
} otlp_source;

MUST_USE bool otlp_source_init(otlp_source *s, const batch *b);
void otlp_source_done(otlp_source *s);
/* How many children of that kind the parent has. */
uint32_t otlp_child_count(const otlp_source *s, const otlp_field *child, uint32_t parent);
/* Loads the nth of them and returns its index, the parent of its own children. */
uint32_t otlp_load(const otlp_source *s, const otlp_field *child, uint32_t parent, uint32_t nth,
                   otlp_row *row);

static inline void *otlp_at(const void *base, uint16_t offset)
{
    return (char *)(uintptr_t)base + offset;
}

#endif
