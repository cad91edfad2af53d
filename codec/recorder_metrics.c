// SPDX-License-Identifier: Apache-2.0
/* Follows the links of metric and series rows and adds up cells. Rows are linked from new to old,
 * so their offsets are gathered first and read in reverse. The number of rows is bounded by what
 * the file could hold, which also ends a circle in a damaged one. */
#include "codec/recorder_metrics.h"

#include "codec/exp_histogram.h"
#include "codec/recorder_metric_exp.h"
#include "codec/recorder_metric_format.h"

#include "base/clock.h"

typedef struct {
    recorder_reader *r;
    batch *b;
    uint32_t scope;
    int64_t time_ns;
    uint64_t rows_left; /* more would not fit into the file */
    bool full;          /* b has no room left */
} reading;

typedef struct {
    uint64_t *items;
    uint32_t count;
    uint32_t capacity;
} offsets;

typedef struct {
    recorder_metric_row row;
    uint32_t index; /* in b; BATCH_FULL until the first point is there */
    str name, unit, help;
    str labels[RECORDER_METRIC_LABELS_MAX];
    bool secret[RECORDER_METRIC_LABELS_MAX]; /* by the label's name */
    double *bounds;
} metric_head;

#define ROW_BYTES_MIN 64u /* rows lie on multiples of it */

/* ---- pieces ---- */

static bool read_at(const reading *x, uint64_t offset, void *ret, size_t n)
{
    return recorder_read(x->r, offset, ret, n, NULL) == STATUS_OK;
}

static void *take(reading *x, size_t bytes)
{
    void *p = arena_alloc(&x->b->arena, MAX(bytes, 1));
    x->full = x->full || !p;
    return p;
}

static bool remember(reading *x, offsets *list, uint64_t offset)
{
    if (list->count == list->capacity) {
        uint32_t capacity = MAX(16, list->capacity * 2);
        uint64_t *grown =
            arena_grow(&x->b->arena, list->items, list->capacity * sizeof(list->items[0]),
                       capacity * sizeof(list->items[0]));
        if (!grown) {
            x->full = true;
            return false;
        }
        list->items = grown;
        list->capacity = capacity;
    }
    list->items[list->count++] = offset;
    return true;
}

/* A view, or a copy in which each byte that is not UTF-8 is U+FFFD; texts come from a program that
 * may have cut one in the middle of a character. */
static str valid_text(reading *x, str s)
{
    static const char replacement[] = { '\xef', '\xbf', '\xbd' };
    size_t good = utf8_valid_prefix(s);
    if (good == s.len)
        return s;
    char *copy = take(x, 3 * s.len);
    if (!copy)
        return STR_EMPTY;
    size_t n = 0;
    while (s.len > 0) {
        good = utf8_valid_prefix(s);
        memcpy(copy + n, s.ptr, good);
        n += good;
        if (good < s.len) {
            memcpy(copy + n, replacement, sizeof(replacement));
            n += sizeof(replacement);
            good++;
        }
        s = str_slice(s, good, s.len);
    }
    return str_n(copy, n);
}

/* Takes the next [u16 length, bytes] off `rest`; false when it does not fit. */
static bool next_text(reading *x, str *rest, str *ret)
{
    uint16_t n;
    if (rest->len < 2)
        return false;
    memcpy(&n, rest->ptr, 2);
    if (rest->len - 2 < n)
        return false;
    *ret = valid_text(x, str_slice(*rest, 2, 2 + (size_t)n));
    *rest = str_slice(*rest, 2 + (size_t)n, rest->len);
    return true;
}

/* ---- points ---- */

static uint32_t add_point(reading *x, metric_head *m, int64_t start_ns)
{
    static const metric_type types[] = { METRIC_NONE,  METRIC_SUM,       METRIC_SUM,
                                         METRIC_GAUGE, METRIC_HISTOGRAM, METRIC_EXP_HISTOGRAM };
    if (m->index == BATCH_FULL) {
        m->index = batch_add_metric(x->b, x->scope);
        if (m->index == BATCH_FULL)
            return BATCH_FULL;
        batch_metric *to = &x->b->metrics[m->index];
        to->type = types[m->row.kind];
        to->temporality =
            m->row.kind == RECORDER_GAUGE ? TEMPORALITY_UNSPECIFIED : TEMPORALITY_CUMULATIVE;
        to->monotonic = m->row.kind == RECORDER_COUNTER;
        to->name = m->name;
        to->unit = m->unit;
        to->description = m->help;
    }
    uint32_t point = batch_add_point(x->b, m->index);
    if (point == BATCH_FULL)
        return BATCH_FULL;
    x->b->points.time_ns[point] = x->time_ns;
    if (m->row.kind != RECORDER_GAUGE)
        x->b->points.start_ns[point] = start_ns;
    return point;
}

static double f64_of(uint64_t bits)
{
    double v;
    memcpy(&v, &bits, sizeof(v));
    return v;
}

static uint64_t bits_of(double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof(bits));
    return bits;
}

/* The sum of all cells, in the shape of one; for a gauge its only cell. */
static bool sum_cells(const reading *x, const metric_head *m, const recorder_series_row *row,
                      uint64_t *sum, uint32_t words)
{
    uint32_t f64_word = m->row.kind == RECORDER_HISTOGRAM ? 0 : 1;
    uint64_t cell[2 + RECORDER_METRIC_BOUNDS_MAX];
    memset(sum, 0, words * sizeof(sum[0]));
    for (uint32_t shard = 0; shard < RECORDER_METRIC_SHARDS; shard++) {
        uint64_t at = (uint64_t)row->cells[shard] * RECORDER_CELL_UNIT;
        if (at == 0)
            continue;
        if (!read_at(x, at, cell, words * sizeof(cell[0])))
            return false;
        if (m->row.kind == RECORDER_GAUGE) {
            memcpy(sum, cell, words * sizeof(sum[0]));
            return true;
        }
        for (uint32_t i = 0; i < words; i++)
            sum[i] = i == f64_word ? bits_of(f64_of(sum[i]) + f64_of(cell[i])) : sum[i] + cell[i];
    }
    return true;
}

static bool set_histogram(reading *x, const metric_head *m, const uint64_t *sum, point_value *ret)
{
    uint32_t buckets = (uint32_t)m->row.bound_count + 1;
    histogram_value *h = ARENA_NEW(&x->b->arena, histogram_value);
    uint64_t *counts = ARENA_ARRAY(&x->b->arena, uint64_t, buckets);
    if (!h || !counts) {
        x->full = true;
        return false;
    }
    memcpy(counts, sum + 1, buckets * sizeof(counts[0]));
    for (uint32_t i = 0; i < buckets; i++)
        h->count += counts[i];
    h->sum = f64_of(sum[0]);
    h->has_sum = true;
    h->bucket_count = buckets;
    h->buckets = counts;
    h->bound_count = m->row.bound_count;
    h->bounds = m->bounds;
    ret->histogram = h;
    return true;
}

static bool set_value(reading *x, const metric_head *m, const uint64_t *sum, point_value *ret)
{
    switch (m->row.kind) {
    case RECORDER_HISTOGRAM:
        return set_histogram(x, m, sum, ret);
    case RECORDER_GAUGE:
        ret->f64 = f64_of(sum[0]);
        return true;
    default:
        ret->is_int = !(m->row.flags & RECORDER_METRIC_FLOATING);
        if (ret->is_int)
            ret->i64 = (int64_t)sum[0];
        else
            ret->f64 = (double)(int64_t)sum[0] + f64_of(sum[1]);
        return true;
    }
}

static bool read_labels(reading *x, const metric_head *m, uint64_t offset,
                        const recorder_series_row *row, attrs *ret)
{
    uint32_t capacity = 0;
    arena *a = &x->b->arena;
    if (row->flags & RECORDER_SERIES_OVERFLOW) {
        x->full = !attrs_append(a, ret, &capacity, STR("otel.metric.overflow"), VALUE_B(true));
        return !x->full;
    }
    char *text = take(x, row->text_bytes);
    if (!text || !read_at(x, offset + sizeof(*row), text, row->text_bytes))
        return false;
    str rest = str_n(text, row->text_bytes);
    capacity = m->row.label_count;
    ret->items = arena_alloc(a, MAX(capacity, 1) * sizeof(ret->items[0]));
    x->full = x->full || !ret->items;
    for (uint32_t i = 0; !x->full && i < m->row.label_count; i++) {
        str s;
        if (!next_text(x, &rest, &s))
            return false;
        if (m->secret[i] && s.len)
            s = STR(REDACTED);
        if (redact_text(recorder_redact_rules(x->r), a, s, &s) && !s.ptr) {
            x->full = true;
            return false;
        }
        if (s.len > 0 && !attrs_append(a, ret, &capacity, m->labels[i], VALUE_S(s))) {
            x->full = true;
            return false;
        }
    }
    return !x->full;
}

/* The value of a series; false when it has none, or the batch is full. */
static bool read_value(reading *x, const metric_head *m, const recorder_series_row *row,
                       point_value *ret)
{
    uint64_t sum[2 + RECORDER_METRIC_BOUNDS_MAX];
    if (m->row.kind == RECORDER_EXPONENTIAL) {
        status st = recorder_exp_read(x->r, &x->b->arena, row, m->row.bound_count, &ret->exp);
        x->full = x->full || st == STATUS_LIMIT;
        return st == STATUS_OK;
    }
    uint32_t words = (uint32_t)(recorder_cell_bytes(m->row.kind, m->row.bound_count) / 8);
    if (!sum_cells(x, m, row, sum, words) || (m->row.kind == RECORDER_GAUGE && sum[1] == 0))
        return false;
    return set_value(x, m, sum, ret);
}

static void read_series(reading *x, metric_head *m, uint64_t offset)
{
    recorder_series_row row;
    attrs labels = { 0 };
    point_value v = { 0 };
    exemplars examples;
    if (!read_at(x, offset, &row, sizeof(row)) || (row.flags & RECORDER_SERIES_EXPIRED) ||
        !read_labels(x, m, offset, &row, &labels) || !read_value(x, m, &row, &v))
        return;
    uint32_t most = recorder_exemplar_count(m->row.kind, m->row.bound_count);
    if (!recorder_exemplars_read(x->r, &x->b->arena, &row, most, &examples)) {
        x->full = true;
        return;
    }
    uint32_t point = add_point(x, m, row.start_ns);
    if (point == BATCH_FULL) {
        x->full = true;
        return;
    }
    x->b->points.attributes[point] = labels;
    x->b->points.value[point] = v;
    x->b->points.exemplars[point] = examples;
}

/* ---- rows ---- */

static bool gather_series(reading *x, uint64_t offset, offsets *ret)
{
    recorder_series_row row;
    /* Without the cells: those are read with the values. */
    while (offset != 0 && x->rows_left > 0 &&
           read_at(x, offset, &row, offsetof(recorder_series_row, cells)) &&
           row.magic == RECORDER_SERIES_MAGIC &&
           row.text_bytes <= RECORDER_METRIC_LABELS_MAX * (2 + RECORDER_METRIC_VALUE_MAX)) {
        x->rows_left--;
        if (!remember(x, ret, offset))
            return false;
        offset = row.next;
    }
    return true;
}

static bool has_good_size(const recorder_metric_row *row)
{
    if (row->kind == RECORDER_EXPONENTIAL)
        return row->bound_count >= EXP_SIZE_MIN && row->bound_count <= EXP_SIZE_MAX;
    return row->bound_count <= RECORDER_METRIC_BOUNDS_MAX;
}

static bool read_head(reading *x, uint64_t offset, metric_head *m)
{
    static const uint32_t most = 8 + RECORDER_METRIC_UNIT_MAX + RECORDER_METRIC_HELP_MAX +
                                 (RECORDER_METRIC_LABELS_MAX + 1) * (2 + RECORDER_METRIC_NAME_MAX);
    m->index = BATCH_FULL;
    if (m->row.kind < RECORDER_COUNTER || m->row.kind > RECORDER_EXPONENTIAL ||
        m->row.label_count > RECORDER_METRIC_LABELS_MAX || !has_good_size(&m->row) ||
        m->row.text_bytes > most)
        return false;
    size_t bounds = recorder_bounds_bytes(m->row.kind, m->row.bound_count);
    m->bounds = take(x, bounds);
    char *text = take(x, m->row.text_bytes);
    if (!m->bounds || !text || !read_at(x, offset + sizeof(m->row), m->bounds, bounds) ||
        !read_at(x, offset + sizeof(m->row) + bounds, text, m->row.text_bytes))
        return false;
    for (uint32_t i = 1; i < bounds / sizeof(double); i++)
        if (!(m->bounds[i] > m->bounds[i - 1]))
            return false;
    str rest = str_n(text, m->row.text_bytes);
    bool ok = next_text(x, &rest, &m->name) && next_text(x, &rest, &m->unit) &&
              next_text(x, &rest, &m->help);
    for (uint32_t i = 0; ok && i < m->row.label_count; i++) {
        ok = next_text(x, &rest, &m->labels[i]);
        m->secret[i] = ok && redact_key(&recorder_redact_rules(x->r)->keys, m->labels[i]);
    }
    return ok && m->name.len > 0;
}

static void read_metric(reading *x, uint64_t offset)
{
    metric_head m = { 0 };
    offsets series = { 0 };
    if (!read_at(x, offset, &m.row, sizeof(m.row)) || (m.row.flags & RECORDER_METRIC_FREED) ||
        !read_head(x, offset, &m) || !gather_series(x, m.row.series, &series))
        return;
    x->full = !batch_reserve(x->b, series.count);
    for (uint32_t i = series.count; i > 0 && !x->full; i--)
        read_series(x, &m, series.items[i - 1]);
}

static void read_all(reading *x, uint64_t root)
{
    offsets rows = { 0 };
    recorder_metric_row row;
    for (uint64_t offset = root; offset != 0 && x->rows_left > 0; offset = row.next) {
        if (!read_at(x, offset, &row, sizeof(row)) || row.magic != RECORDER_METRIC_MAGIC)
            break;
        x->rows_left--;
        if (!remember(x, &rows, offset))
            return;
    }
    for (uint32_t i = rows.count; i > 0 && !x->full; i--)
        read_metric(x, rows.items[i - 1]);
}

/* ---- what was dropped ---- */

static void add_drop(reading *x, metric_head *m, signal_kind signal, recorder_drop reason,
                     int64_t start_ns)
{
    uint64_t n = recorder_drops(x->r, signal, reason);
    /* The common one is there from the start, so that its first rise is seen as one. */
    if (n == 0 && reason != RECORDER_DROP_FULL)
        return;
    attrs labels = { 0 };
    uint32_t capacity = 0;
    arena *a = &x->b->arena;
    bool ok =
        attrs_append(a, &labels, &capacity, STR("signal"), VALUE_S(str_c(signal_name(signal)))) &&
        attrs_append(a, &labels, &capacity, STR("reason"),
                     VALUE_S(str_c(recorder_drop_label(reason))));
    uint32_t point = ok ? add_point(x, m, start_ns) : BATCH_FULL;
    if (point == BATCH_FULL) {
        x->full = true;
        return;
    }
    x->b->points.attributes[point] = labels;
    x->b->points.value[point] = (point_value){ .is_int = true, .i64 = (int64_t)n };
}

static void add_drops(reading *x, int64_t start_ns)
{
    metric_head m = {
        .row.kind = RECORDER_COUNTER,
        .index = BATCH_FULL,
        .name = STR("sonde_dropped_total"),
        .help = STR("Log records, spans and metric updates that were dropped, by reason."),
    };
    for (int signal = 0; signal < SIGNAL_COUNT; signal++)
        for (int reason = 0; reason < RECORDER_DROP_COUNT && !x->full; reason++)
            if (reason != RECORDER_DROP_SUPPRESSED)
                add_drop(x, &m, (signal_kind)signal, (recorder_drop)reason, start_ns);
}

/* What log sites left out because they were told to is no loss: a metric of its own. */
static void add_suppressed(reading *x, int64_t start_ns)
{
    uint64_t n = recorder_drops(x->r, SIGNAL_LOGS, RECORDER_DROP_SUPPRESSED);
    metric_head m = {
        .row.kind = RECORDER_COUNTER,
        .index = BATCH_FULL,
        .name = STR("sonde_suppressed_total"),
        .help = STR("Log records that sites with a limit of their own left out."),
    };
    uint32_t point = n ? add_point(x, &m, start_ns) : BATCH_FULL;
    x->full = x->full || (n && point == BATCH_FULL);
    if (point != BATCH_FULL)
        x->b->points.value[point] = (point_value){ .is_int = true, .i64 = (int64_t)n };
}

/* The resource's attributes lie in the reader; the batch outlives it. */
static bool own_resource(batch *b, uint32_t scope)
{
    batch_resource *resource = &b->resources[b->scopes[scope].resource];
    attrs lent = resource->attributes;
    return attrs_copy(&b->arena, &resource->attributes, &lent);
}

status recorder_metrics_read(recorder_reader *r, batch *b, error *err)
{
    recorder_info info = recorder_reader_info(r);
    reading x = { .r = r, .b = b };
    x.time_ns = info.alive ? clock_now_ns() : recorder_last_sign_ns(r);
    x.rows_left = info.capacity_bytes / ROW_BYTES_MIN;
    x.scope = recorder_batch_scope(r, b);
    x.full = x.scope == BATCH_FULL || !own_resource(b, x.scope);
    if (!x.full)
        read_all(&x, recorder_metric_root(r));
    if (!x.full)
        add_drops(&x, info.start_ns);
    if (!x.full)
        add_suppressed(&x, info.start_ns);
    if (x.full)
        return fail(err, STATUS_LIMIT, "the metrics of process %d do not fit: %u points were read",
                    (int)info.pid, b->points.count);
    return STATUS_OK;
}
