// SPDX-License-Identifier: Apache-2.0
/* MetricFamily messages, each behind its length (github.com/prometheus/client_model). Counters,
 * gauges and so on become the samples that the text formats would have; a native histogram
 * (schemas -4 to 8) one sample with OpenTelemetry's buckets, whose index is one less. */
#include "codec/exposition_internal.h"

#include "codec/native_convert.h"
#include "codec/native_histogram.h"

#include <math.h>

enum { NATIVE_EXEMPLARS = 256 };

typedef struct {
    exposition_page *p;
    const exposition_options *options;
    error *err;
    uint32_t family;
    const uint8_t *base; /* of the page: positions in messages */
} reader;

/* One Metric, with positions of what is read once its type is known. */
typedef struct {
    prom_label *labels;
    uint32_t label_count;
    uint64_t hash;
    bool has_time;
    int64_t time_ms;
    str value; /* of the field that the type names */
} metric;

static status bad(reader *r, const pb_reader *at, const char *what)
{
    return fail(r->err, STATUS_INVALID, "byte %zu of the protobuf page: %s",
                (size_t)(at->at - r->base), what);
}

static status no_memory(reader *r)
{
    return exposition_no_memory(r->p, r->err);
}

static status problem_of(reader *r, const pb_reader *m)
{
    return m->problem ? bad(r, m, m->problem) : STATUS_OK;
}

static bool is_field(pb_field f, uint32_t number, pb_wire wire)
{
    return f.number == number && f.wire == wire;
}

/* google.protobuf.Timestamp. */
static int64_t read_time(pb_reader *outer)
{
    pb_reader m;
    uint64_t seconds = 0, nanos = 0;
    if (!pb_message(outer, &m))
        return 0;
    for (pb_field f; pb_next(&m, &f);)
        if (is_field(f, 1, PB_VARINT))
            (void)pb_varint(&m, &seconds);
        else if (is_field(f, 2, PB_VARINT))
            (void)pb_varint(&m, &nanos);
        else
            (void)pb_skip(&m, f);
    int64_t s = (int64_t)seconds;
    return s > 0 && s < INT64_MAX / NS_PER_S ? s * NS_PER_S + (int64_t)(nanos % 1000000000u) : 0;
}

/* ---- labels and exemplars ---- */

static status read_pair(reader *r, pb_reader *outer, prom_label *ret)
{
    pb_reader m;
    *ret = (prom_label){ STR_EMPTY, STR_EMPTY };
    if (!pb_message(outer, &m))
        return problem_of(r, outer);
    for (pb_field f; pb_next(&m, &f);)
        if (is_field(f, 1, PB_LEN))
            (void)pb_bytes(&m, &ret->name);
        else if (is_field(f, 2, PB_LEN))
            (void)pb_bytes(&m, &ret->value);
        else
            (void)pb_skip(&m, f);
    if (m.problem)
        return problem_of(r, &m);
    if (ret->name.len == 0 || str_is(ret->name, "__name__"))
        return bad(r, &m, "a label has an empty name, or __name__");
    if (utf8_valid_prefix(ret->name) != ret->name.len ||
        utf8_valid_prefix(ret->value) != ret->value.len)
        return bad(r, &m, "a label is not valid UTF-8");
    return STATUS_OK;
}

static status read_exemplar(reader *r, pb_reader *outer, exemplar *e)
{
    pb_reader m;
    uint32_t capacity = 0;
    *e = (exemplar){ 0 };
    if (!pb_message(outer, &m))
        return problem_of(r, outer);
    for (pb_field f; pb_next(&m, &f);) {
        prom_label l;
        if (is_field(f, 1, PB_LEN)) {
            status st = read_pair(r, &m, &l);
            if (st != STATUS_OK)
                return st;
            bool taken = (str_is(l.name, "trace_id") && l.value.len == 32 &&
                          str_from_hex(l.value, e->trace.bytes, sizeof(e->trace.bytes))) ||
                         (str_is(l.name, "span_id") && l.value.len == 16 &&
                          str_from_hex(l.value, e->span.bytes, sizeof(e->span.bytes)));
            if (!taken && !attrs_append(&r->p->arena, &e->filtered_attributes, &capacity, l.name,
                                        VALUE_S(l.value)))
                return no_memory(r);
        } else if (is_field(f, 2, PB_FIXED64)) {
            (void)pb_double(&m, &e->f64);
        } else if (is_field(f, 3, PB_LEN)) {
            e->time_ns = read_time(&m);
        } else {
            (void)pb_skip(&m, f);
        }
    }
    return problem_of(r, &m);
}

/* ---- samples ---- */

static exposition_sample *add(reader *r, const metric *m, str name, sample_part part, double value)
{
    exposition_sample *s = exposition_new_sample(r->p, r->options, r->err);
    if (!s)
        return NULL;
    s->name = name;
    s->hash = hash_mix(str_hash(name), m->hash);
    s->labels = m->labels;
    s->label_count = m->label_count;
    s->family = r->family;
    s->part = part;
    s->has_time = m->has_time;
    s->time_ms = m->time_ms;
    s->value = value;
    return s;
}

/* The same with one more label, whose value is a number. */
static exposition_sample *add_with(reader *r, const metric *m, str name, sample_part part,
                                   const char *label, double number, double value)
{
    exposition_sample *s = add(r, m, name, part, value);
    prom_label *labels =
        s ? arena_alloc(&r->p->arena, (m->label_count + 1) * sizeof(prom_label)) : NULL;
    if (!labels)
        return NULL;
    buf text;
    buf_init(&text, 64);
    exposition_number(&text, number);
    uint32_t n = 0;
    prom_label added = { str_c(label), arena_str(&r->p->arena, buf_view(&text)) };
    buf_done(&text);
    if (!added.value.ptr)
        return NULL;
    for (uint32_t i = 0; i < m->label_count; i++)
        if (!str_eq(m->labels[i].name, added.name))
            labels[n++] = m->labels[i];
    labels[n++] = added;
    str twice;
    (void)exposition_sort_labels(labels, n, &twice);
    s->labels = labels;
    s->label_count = n;
    s->hash = hash_mix(s->hash, str_hash(added.value));
    return s;
}

static str name_with(reader *r, const char *suffix)
{
    return arena_fmt(&r->p->arena, "%.*s%s", STR_ARG(r->p->families[r->family].name), suffix);
}

static status limit_of(reader *r)
{
    return r->err && r->err->code == STATUS_LIMIT ? STATUS_LIMIT : no_memory(r);
}

/* Counter, gauge and untyped: value 1, and of counters exemplar 2 and start 3. */
static status number_metric(reader *r, const metric *m, sample_part part)
{
    pb_reader in = pb_read(m->value);
    exposition_sample *s = add(r, m, r->p->families[r->family].name, part, 0);
    if (!s)
        return limit_of(r);
    for (pb_field f; pb_next(&in, &f);) {
        if (is_field(f, 1, PB_FIXED64)) {
            (void)pb_double(&in, &s->value);
        } else if (is_field(f, 2, PB_LEN) && part == PART_TOTAL) {
            s->exemplars = ARENA_NEW(&r->p->arena, exemplar);
            if (!s->exemplars)
                return no_memory(r);
            s->exemplar_count = 1;
            status st = read_exemplar(r, &in, s->exemplars);
            if (st != STATUS_OK)
                return st;
        } else if (is_field(f, 3, PB_LEN)) {
            s->created_ns = read_time(&in);
        } else {
            (void)pb_skip(&in, f);
        }
    }
    return problem_of(r, &in);
}

static status read_quantile(reader *r, const metric *m, pb_reader *outer)
{
    pb_reader in;
    double quantile = 0, value = 0;
    if (!pb_message(outer, &in))
        return problem_of(r, outer);
    for (pb_field f; pb_next(&in, &f);)
        if (is_field(f, 1, PB_FIXED64))
            (void)pb_double(&in, &quantile);
        else if (is_field(f, 2, PB_FIXED64))
            (void)pb_double(&in, &value);
        else
            (void)pb_skip(&in, f);
    if (in.problem)
        return problem_of(r, &in);
    return add_with(r, m, r->p->families[r->family].name, PART_QUANTILE, "quantile", quantile,
                    value)
               ? STATUS_OK
               : limit_of(r);
}

static status add_totals(reader *r, const metric *m, double count, double sum, int64_t created)
{
    uint32_t first = r->p->sample_count;
    str count_name = name_with(r, "_count"), sum_name = name_with(r, "_sum");
    if (!count_name.ptr || !sum_name.ptr || !add(r, m, count_name, PART_COUNT, count) ||
        !add(r, m, sum_name, PART_SUM, sum))
        return limit_of(r);
    r->p->samples[first].created_ns = r->p->samples[first + 1].created_ns = created;
    return STATUS_OK;
}

static status summary_metric(reader *r, const metric *m, sample_part part)
{
    pb_reader in = pb_read(m->value);
    uint64_t count = 0;
    double sum = 0;
    int64_t created = 0;
    status st = STATUS_OK;
    (void)part;
    for (pb_field f; st == STATUS_OK && pb_next(&in, &f);)
        if (is_field(f, 1, PB_VARINT))
            (void)pb_varint(&in, &count);
        else if (is_field(f, 2, PB_FIXED64))
            (void)pb_double(&in, &sum);
        else if (is_field(f, 3, PB_LEN))
            st = read_quantile(r, m, &in);
        else if (is_field(f, 4, PB_LEN))
            created = read_time(&in);
        else
            (void)pb_skip(&in, f);
    if (st == STATUS_OK)
        st = problem_of(r, &in);
    return st == STATUS_OK ? add_totals(r, m, (double)count, sum, created) : st;
}

/* ---- histograms ---- */

static const native_fields negative_fields = { 9, 10, 11 }, positive_fields = { 12, 13, 14 };

typedef struct {
    native_wire wire;
    double count; /* whichever kind it has */
    int64_t created;
    bool native, has_buckets;
} histogram_head;

static void read_head(pb_reader in, histogram_head *h)
{
    *h = (histogram_head){ 0 };
    native_wire *w = &h->wire;
    uint64_t n;
    for (pb_field f; pb_next(&in, &f);) {
        if (is_field(f, 1, PB_VARINT))
            (void)pb_varint(&in, &w->count);
        else if (is_field(f, 2, PB_FIXED64))
            (void)pb_double(&in, &w->sum);
        else if (is_field(f, 4, PB_FIXED64))
            (void)pb_double(&in, &w->count_float);
        else if (is_field(f, 5, PB_VARINT) && pb_varint(&in, &n))
            w->schema = (int32_t)pb_zigzag(n);
        else if (is_field(f, 6, PB_FIXED64))
            (void)pb_double(&in, &w->zero_threshold);
        else if (is_field(f, 7, PB_VARINT))
            (void)pb_varint(&in, &w->zero_count);
        else if (is_field(f, 8, PB_FIXED64))
            (void)pb_double(&in, &w->zero_count_float);
        else if (is_field(f, 15, PB_LEN))
            h->created = read_time(&in);
        else {
            h->has_buckets |= f.number == 3;
            h->native |= f.number == negative_fields.spans || f.number == positive_fields.spans;
            if (!pb_skip(&in, f))
                break;
        }
    }
    w->floats = w->count_float > 0;
    h->count = w->floats ? w->count_float : (double)w->count;
    h->native |= w->zero_threshold > 0 || w->zero_count > 0 || w->zero_count_float > 0;
}

/* One bucket as a sample; *ret_bound tells whether it was +Inf. */
static status read_bucket(reader *r, const metric *m, str name, pb_reader *outer, double *ret_bound)
{
    pb_reader in;
    uint64_t count = 0;
    double floating = 0;
    exemplar *e = NULL;
    *ret_bound = 0;
    if (!pb_message(outer, &in))
        return problem_of(r, outer);
    for (pb_field f; pb_next(&in, &f);) {
        if (is_field(f, 1, PB_VARINT)) {
            (void)pb_varint(&in, &count);
        } else if (is_field(f, 4, PB_FIXED64)) {
            (void)pb_double(&in, &floating);
        } else if (is_field(f, 2, PB_FIXED64)) {
            (void)pb_double(&in, ret_bound);
        } else if (is_field(f, 3, PB_LEN)) {
            e = ARENA_NEW(&r->p->arena, exemplar);
            if (!e)
                return no_memory(r);
            status st = read_exemplar(r, &in, e);
            if (st != STATUS_OK)
                return st;
        } else {
            (void)pb_skip(&in, f);
        }
    }
    if (in.problem)
        return problem_of(r, &in);
    exposition_sample *s = add_with(r, m, name, PART_BUCKET, "le", *ret_bound,
                                    floating > 0 ? floating : (double)count);
    if (!s)
        return limit_of(r);
    s->exemplars = e;
    s->exemplar_count = e != NULL;
    return STATUS_OK;
}

static status classic_histogram(reader *r, const metric *m, const histogram_head *h)
{
    pb_reader in = pb_read(m->value);
    bool whole = false;
    str name = name_with(r, "_bucket");
    if (!name.ptr)
        return no_memory(r);
    for (pb_field f; pb_next(&in, &f);) {
        double bound;
        if (!is_field(f, 3, PB_LEN)) {
            (void)pb_skip(&in, f);
            continue;
        }
        status st = read_bucket(r, m, name, &in, &bound);
        if (st != STATUS_OK)
            return st;
        whole |= isinf(bound) && bound > 0;
    }
    if (in.problem)
        return problem_of(r, &in);
    if (!whole && !add_with(r, m, name, PART_BUCKET, "le", INFINITY, h->count))
        return limit_of(r);
    return add_totals(r, m, h->count, h->wire.sum, h->created);
}

static status native_buckets(reader *r, const metric *m, native_wire *w, exposition_sample *s)
{
    pb_reader in = pb_read(m->value);
    arena *a = &r->p->arena;
    histogram *h = ARENA_NEW(a, histogram);
    const char *problem = NULL;
    metric_type type;
    point_value v;
    bool ok = h != NULL;
    for (pb_field f; ok && pb_next(&in, &f);)
        if (native_is_field(&negative_fields, f.number))
            ok = native_field_read(a, &in, f, &negative_fields, &w->negative);
        else if (native_is_field(&positive_fields, f.number))
            ok = native_field_read(a, &in, f, &positive_fields, &w->positive);
        else
            ok = pb_skip(&in, f);
    if (in.problem)
        return problem_of(r, &in);
    ok = ok && native_histogram_of(a, w, h, &problem) && native_to_point(a, h, &type, &v);
    if (!ok)
        return problem ? bad(r, &in, problem) : no_memory(r);
    s->native = v.exp;
    return STATUS_OK;
}

static status native_exemplars(reader *r, const metric *m, exposition_sample *s)
{
    pb_reader in = pb_read(m->value);
    for (pb_field f; pb_next(&in, &f);) {
        if (!is_field(f, 16, PB_LEN) || s->exemplar_count == NATIVE_EXEMPLARS) {
            (void)pb_skip(&in, f);
            continue;
        }
        exemplar *more =
            arena_grow(&r->p->arena, s->exemplars, s->exemplar_count * sizeof(exemplar),
                       (s->exemplar_count + 1) * sizeof(exemplar));
        if (!more)
            return no_memory(r);
        s->exemplars = more;
        status st = read_exemplar(r, &in, &more[s->exemplar_count]);
        if (st != STATUS_OK)
            return st;
        s->exemplar_count++;
    }
    return problem_of(r, &in);
}

static status native_of_metric(reader *r, const metric *m, histogram_head *h)
{
    const exposition_family *family = &r->p->families[r->family];
    exposition_sample *s = add(r, m, family->name, PART_NATIVE, h->count);
    if (!s)
        return limit_of(r);
    s->created_ns = h->created;
    if (family->type == FAMILY_GAUGE_HISTOGRAM)
        h->wire.hint = HISTOGRAM_GAUGE;
    status st = native_buckets(r, m, &h->wire, s);
    return st == STATUS_OK ? native_exemplars(r, m, s) : st;
}

static status histogram_metric(reader *r, const metric *m, sample_part part)
{
    histogram_head h;
    pb_reader in = pb_read(m->value);
    (void)part;
    read_head(in, &h);
    bool known = h.wire.schema >= NATIVE_SCHEMA_MIN && h.wire.schema <= NATIVE_SCHEMA_MAX;
    if (!known && !h.has_buckets)
        return bad(r, &in, "a native histogram has a schema that is not from -4 to 8");
    bool native = h.native && known && (r->options->native || !h.has_buckets);
    status st = native ? native_of_metric(r, m, &h) : STATUS_OK;
    if (st == STATUS_OK && (!native || (r->options->classic && h.has_buckets)))
        st = classic_histogram(r, m, &h);
    return st;
}

/* ---- families ---- */

/* By MetricType. */
static const struct {
    family_type type;
    sample_part part;
    uint32_t field; /* of Metric */
    status (*read)(reader *r, const metric *m, sample_part part);
} kinds[] = {
    { FAMILY_COUNTER, PART_TOTAL, 3, number_metric },
    { FAMILY_GAUGE, PART_VALUE, 2, number_metric },
    { FAMILY_SUMMARY, PART_QUANTILE, 4, summary_metric },
    { FAMILY_UNKNOWN, PART_VALUE, 5, number_metric },
    { FAMILY_HISTOGRAM, PART_BUCKET, 7, histogram_metric },
    { FAMILY_GAUGE_HISTOGRAM, PART_BUCKET, 7, histogram_metric },
};

static status read_metric(reader *r, pb_reader *outer, unsigned kind)
{
    pb_reader in;
    metric m = { .hash = 1 };
    uint32_t capacity = 0, count;
    bool found = false;
    if (!pb_message(outer, &in))
        return problem_of(r, outer);
    for (pb_field f; pb_next(&in, &f);) {
        uint64_t n;
        if (is_field(f, 1, PB_LEN)) {
            if (m.label_count == capacity) {
                count = capacity ? capacity * 2 : pb_count_run(&in, 1);
                m.labels = arena_grow(&r->p->arena, m.labels, capacity * sizeof(prom_label),
                                      count * sizeof(prom_label));
                capacity = count;
                if (!m.labels || count > EXPOSITION_LABELS_MAX)
                    return m.labels ? bad(r, &in, "more than 1024 labels") : no_memory(r);
            }
            prom_label *l = &m.labels[m.label_count];
            status st = read_pair(r, &in, l);
            if (st != STATUS_OK)
                return st;
            m.label_count++;
        } else if (is_field(f, kinds[kind].field, PB_LEN)) {
            found = pb_bytes(&in, &m.value);
        } else if (is_field(f, 6, PB_VARINT) && pb_varint(&in, &n)) {
            m.time_ms = (int64_t)n;
            m.has_time = n != 0;
        } else {
            (void)pb_skip(&in, f);
        }
    }
    str twice;
    if (in.problem)
        return problem_of(r, &in);
    if (!found)
        return bad(r, &in, "a metric lacks the value of its family's type");
    if (m.time_ms > EXPOSITION_TIME_MS_MAX || m.time_ms < -EXPOSITION_TIME_MS_MAX)
        return bad(r, &in, "a metric's timestamp is not between the years 1677 and 2262");
    if (!exposition_sort_labels(m.labels, m.label_count, &twice))
        return bad(r, &in, "a label is there twice");
    for (uint32_t i = 0; i < m.label_count; i++)
        m.hash = hash_mix(m.hash + str_hash(m.labels[i].name), str_hash(m.labels[i].value));
    return kinds[kind].read(r, &m, kinds[kind].part);
}

static status read_family(reader *r, str bytes)
{
    pb_reader in = pb_read(bytes);
    str name = STR_EMPTY, help = STR_EMPTY, unit = STR_EMPTY;
    uint64_t type = 0;
    for (pb_field f; pb_next(&in, &f);)
        if (is_field(f, 1, PB_LEN))
            (void)pb_bytes(&in, &name);
        else if (is_field(f, 2, PB_LEN))
            (void)pb_bytes(&in, &help);
        else if (is_field(f, 3, PB_VARINT))
            (void)pb_varint(&in, &type);
        else if (is_field(f, 5, PB_LEN))
            (void)pb_bytes(&in, &unit);
        else
            (void)pb_skip(&in, f);
    if (in.problem)
        return problem_of(r, &in);
    if (name.len == 0 || utf8_valid_prefix(name) != name.len)
        return bad(r, &in, "a metric family's name is empty or not valid UTF-8");
    if (type >= ARRAY_LEN(kinds))
        return bad(r, &in, "a metric family has a type that is not known");
    if (utf8_valid_prefix(help) != help.len || utf8_valid_prefix(unit) != unit.len)
        return bad(r, &in, "a metric family's help or unit is not valid UTF-8");
    exposition_family *family = exposition_new_family(r->p, name, r->err);
    if (!family)
        return limit_of(r);
    family->help = help;
    family->unit = unit;
    family->type = kinds[type].type;
    r->family = r->p->family_count - 1;
    in = pb_read(bytes);
    status st = STATUS_OK;
    for (pb_field f; st == STATUS_OK && pb_next(&in, &f);)
        if (is_field(f, 4, PB_LEN))
            st = read_metric(r, &in, (unsigned)type);
        else
            (void)pb_skip(&in, f);
    return st;
}

status exposition_read_protobuf(exposition_page *p, str body, const exposition_options *options,
                                error *err)
{
    error own;
    pb_reader page = pb_read(body);
    reader r = { .p = p, .options = options, .err = err ? err : &own, .base = page.base };
    while (page.at < page.end) {
        str family;
        if (!pb_bytes(&page, &family))
            return problem_of(&r, &page);
        status st = read_family(&r, family);
        if (st != STATUS_OK)
            return st;
    }
    return STATUS_OK;
}
