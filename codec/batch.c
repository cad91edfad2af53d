// SPDX-License-Identifier: Apache-2.0
/* Batches: growth of the columns, and deep copies of values; see batch.h.
 * Columns and tables double in the arena; the outgrown copies stay there until the batch is
 * cleared, so a batch built without batch_reserve takes up to twice its size. */
#include "codec/batch.h"

#include <assert.h>

enum { FIRST_ROWS = 64, FIRST_TABLE = 4, FIRST_ATTRS = 8 };

/* One column: where the rows structure holds its pointer, and the size of an element. */
typedef struct {
    uint16_t offset;
    uint16_t size;
} column;

#define COLUMN(rows, member) \
    { \
        offsetof(rows, member), sizeof(*((rows *)0)->member) \
    }

static const column log_columns[] = {
    COLUMN(log_rows, scope),      COLUMN(log_rows, time_ns),       COLUMN(log_rows, observed_ns),
    COLUMN(log_rows, severity),   COLUMN(log_rows, severity_text), COLUMN(log_rows, body),
    COLUMN(log_rows, attributes), COLUMN(log_rows, trace),         COLUMN(log_rows, span),
    COLUMN(log_rows, flags),      COLUMN(log_rows, event_name),    COLUMN(log_rows, context),
};

static const column span_columns[] = {
    COLUMN(span_rows, scope),  COLUMN(span_rows, trace),       COLUMN(span_rows, span),
    COLUMN(span_rows, parent), COLUMN(span_rows, trace_state), COLUMN(span_rows, flags),
    COLUMN(span_rows, name),   COLUMN(span_rows, kind),        COLUMN(span_rows, start_ns),
    COLUMN(span_rows, end_ns), COLUMN(span_rows, attributes),  COLUMN(span_rows, events),
    COLUMN(span_rows, links),  COLUMN(span_rows, status),      COLUMN(span_rows, status_message),
};

static const column point_columns[] = {
    COLUMN(point_rows, metric),    COLUMN(point_rows, start_ns),   COLUMN(point_rows, time_ns),
    COLUMN(point_rows, flags),     COLUMN(point_rows, attributes), COLUMN(point_rows, value),
    COLUMN(point_rows, exemplars),
};

static const struct {
    const char *name;
    const column *columns;
    size_t count;
} signals[SIGNAL_COUNT] = {
    [SIGNAL_LOGS] = { "logs", log_columns, ARRAY_LEN(log_columns) },
    [SIGNAL_METRICS] = { "metrics", point_columns, ARRAY_LEN(point_columns) },
    [SIGNAL_TRACES] = { "traces", span_columns, ARRAY_LEN(span_columns) },
};

/* The three rows structures start alike. */
static_assert(offsetof(span_rows, count) == offsetof(log_rows, count) &&
                  offsetof(point_rows, count) == offsetof(log_rows, count) &&
                  offsetof(span_rows, capacity) == offsetof(log_rows, capacity) &&
                  offsetof(point_rows, capacity) == offsetof(log_rows, capacity),
              "count and capacity are at the same place in all rows");

const char *signal_name(signal_kind s)
{
    assert((unsigned)s < SIGNAL_COUNT);
    return signals[s].name;
}

const value *attrs_get(const attrs *a, str key)
{
    for (uint32_t i = 0; i < a->count; i++)
        if (str_eq(a->items[i].key, key))
            return &a->items[i].value;
    return NULL;
}

str attrs_get_str(const attrs *a, str key)
{
    const value *v = attrs_get(a, key);
    return v && v->type == VALUE_STR ? v->s : STR_EMPTY;
}

void batch_init(batch *b, signal_kind signal, size_t limit)
{
    *b = (batch){ .signal = signal };
    arena_init(&b->arena, limit);
}

void batch_done(batch *b)
{
    arena_done(&b->arena);
    batch_clear(b);
}

void batch_clear(batch *b)
{
    arena memory = b->arena;
    arena_clear(&memory);
    *b = (batch){ .signal = b->signal, .arena = memory };
}

uint32_t batch_row_count(const batch *b)
{
    return b->logs.count;
}

/* Grows an array of `count` elements to `capacity`; what is new is zeroed. */
static void *grown(arena *a, const void *old, uint32_t count, uint32_t capacity, size_t size)
{
    size_t total;
    if (mul_overflows(&total, capacity, size))
        return NULL;
    char *p = arena_grow(a, old, count * size, total);
    if (p)
        memset(p + count * size, 0, total - count * size);
    return p;
}

/* Room for one more element in a table that is no column; false at the limit. */
static bool table_room(arena *a, void **table, uint32_t count, uint32_t *capacity, size_t size)
{
    if (count < *capacity)
        return true;
    if (count >= BATCH_FULL / 2)
        return false;
    uint32_t wanted = MAX(count * 2, FIRST_TABLE);
    void *p = grown(a, *table, count, wanted, size);
    if (!p)
        return false;
    *table = p;
    *capacity = wanted;
    return true;
}

uint32_t batch_add_resource(batch *b)
{
    void *table = b->resources;
    if (!table_room(&b->arena, &table, b->resource_count, &b->resource_capacity,
                    sizeof(*b->resources)))
        return BATCH_FULL;
    b->resources = table;
    return b->resource_count++;
}

uint32_t batch_add_scope(batch *b, uint32_t resource)
{
    assert(resource < b->resource_count);
    void *table = b->scopes;
    if (!table_room(&b->arena, &table, b->scope_count, &b->scope_capacity, sizeof(*b->scopes)))
        return BATCH_FULL;
    b->scopes = table;
    b->scopes[b->scope_count].resource = resource;
    return b->scope_count++;
}

uint32_t batch_add_metric(batch *b, uint32_t scope)
{
    assert(b->signal == SIGNAL_METRICS && scope < b->scope_count);
    void *table = b->metrics;
    if (!table_room(&b->arena, &table, b->metric_count, &b->metric_capacity, sizeof(*b->metrics)))
        return BATCH_FULL;
    b->metrics = table;
    b->metrics[b->metric_count].scope = scope;
    return b->metric_count++;
}

/* All columns to the same capacity; at the limit the batch stays as it was. */
static bool rows_grow(batch *b, uint32_t capacity)
{
    void *fresh[ARRAY_LEN(span_columns)];
    const column *columns = signals[b->signal].columns;
    size_t count = signals[b->signal].count;
    char *rows = (char *)&b->logs;
    for (size_t i = 0; i < count; i++) {
        void *old;
        memcpy(&old, rows + columns[i].offset, sizeof(old));
        fresh[i] = grown(&b->arena, old, b->logs.count, capacity, columns[i].size);
        if (!fresh[i])
            return false;
    }
    for (size_t i = 0; i < count; i++)
        memcpy(rows + columns[i].offset, &fresh[i], sizeof(fresh[i]));
    b->logs.capacity = capacity;
    return true;
}

bool batch_reserve(batch *b, uint32_t rows)
{
    uint32_t count = b->logs.count, capacity = b->logs.capacity;
    if (rows <= capacity - count)
        return true;
    if (rows > BATCH_FULL / 2 - count)
        return false;
    /* A first reservation is exact; later ones double, so that many small ones stay linear. */
    return rows_grow(b, capacity ? MAX(count + rows, MIN(capacity * 2, BATCH_FULL / 2)) : rows);
}

static uint32_t add_row(batch *b)
{
    if (UNLIKELY(b->logs.count == b->logs.capacity) &&
        !batch_reserve(b, b->logs.capacity ? 1 : FIRST_ROWS))
        return BATCH_FULL;
    return b->logs.count++;
}

uint32_t batch_add_log(batch *b, uint32_t scope)
{
    assert(b->signal == SIGNAL_LOGS && scope < b->scope_count);
    uint32_t row = add_row(b);
    if (row != BATCH_FULL)
        b->logs.scope[row] = scope;
    return row;
}

uint32_t batch_add_span(batch *b, uint32_t scope)
{
    assert(b->signal == SIGNAL_TRACES && scope < b->scope_count);
    uint32_t row = add_row(b);
    if (row != BATCH_FULL)
        b->spans.scope[row] = scope;
    return row;
}

uint32_t batch_add_point(batch *b, uint32_t metric)
{
    assert(b->signal == SIGNAL_METRICS && metric < b->metric_count);
    uint32_t row = add_row(b);
    if (row != BATCH_FULL)
        b->points.metric[row] = metric;
    return row;
}

bool attrs_append(arena *a, attrs *list, uint32_t *capacity, str key, value v)
{
    if (list->count >= *capacity) {
        if (list->count >= UINT32_MAX / 2)
            return false;
        uint32_t wanted = MAX(list->count * 2, FIRST_ATTRS);
        attr *items = grown(a, list->items, list->count, wanted, sizeof(*items));
        if (!items)
            return false;
        list->items = items;
        *capacity = wanted;
    }
    list->items[list->count++] = (attr){ key, v };
    return true;
}

static bool text_copy(arena *a, str *dst, str src)
{
    str copy = src.len ? arena_str(a, src) : STR_EMPTY;
    if (!copy.ptr)
        return false;
    *dst = copy;
    return true;
}

bool value_copy(arena *a, value *dst, const value *src)
{
    value copy = *src;
    switch (src->type) {
    case VALUE_STR:
    case VALUE_BYTES:
        if (!text_copy(a, &copy.s, src->s))
            return false;
        break;
    case VALUE_ARRAY:
        copy.array.items = ARENA_ARRAY(a, value, src->array.count);
        if (!copy.array.items)
            return false;
        for (uint32_t i = 0; i < src->array.count; i++)
            if (!value_copy(a, &copy.array.items[i], &src->array.items[i]))
                return false;
        break;
    case VALUE_MAP:
        if (!attrs_copy(a, &copy.map, &src->map))
            return false;
        break;
    case VALUE_EMPTY:
    case VALUE_BOOL:
    case VALUE_I64:
    case VALUE_F64:
        break;
    }
    *dst = copy;
    return true;
}

bool attrs_copy(arena *a, attrs *dst, const attrs *src)
{
    attrs copy = { .count = src->count, .dropped = src->dropped };
    if (src->count) {
        copy.items = ARENA_ARRAY(a, attr, src->count);
        if (!copy.items)
            return false;
    }
    for (uint32_t i = 0; i < src->count; i++)
        if (!text_copy(a, &copy.items[i].key, src->items[i].key) ||
            !value_copy(a, &copy.items[i].value, &src->items[i].value))
            return false;
    *dst = copy;
    return true;
}
