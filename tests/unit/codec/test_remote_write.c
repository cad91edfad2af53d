// SPDX-License-Identifier: Apache-2.0
/* Remote write 1.0 and 2.0, both ways. The golden requests were written by Prometheus's own Go
 * packages (prompb and prompb/io/prometheus/write/v2 of release 3.0). */
#include "tests/support.h"

#include "codec/native_convert.h"
#include "codec/prometheus_scope.h"
#include "codec/protobuf.h"
#include "codec/remote_write.h"

#include <math.h>

static error err;

/* http_requests_total with a sample, a stale marker and, on its own, an exemplar; a native
 * histogram; metadata behind them. */
static const char golden1[] =
    "0a710a1f0a085f5f6e616d655f5f1213687474705f72657175657374735f746f74616c0a0b0a04636f6465120332"
    "30300a0f0a08696e7374616e63651203683a310a0c0a036a6f6212056170692f781210090000000000002940108080"
    "b3c19c33121009020000000000f07f1098f5b3c19c330a98010a1f0a085f5f6e616d655f5f1213687474705f726571"
    "75657374735f746f74616c0a0b0a04636f646512033230300a0f0a08696e7374616e63651203683a310a0c0a036a6f"
    "6212056170692f781a490a2c0a0874726163655f696412203031303230333034303530363037303830393061306230"
    "63"
    "30643065306631300a090a047573657212017511000000000000084018fb80b3c19c330a590a0f0a085f5f6e616d65"
    "5f5f12036c61740a0c0a036a6f6212056170692f782238080c196666666666663240200229fca9f1d24d62503f3002"
    "4204080110014a01025a0210025a0408061002620402040306788080b3c19c331a2208011213687474705f72657175"
    "657374735f746f74616c220952657175657374732e";

/* The same counter with metadata, start and exemplar; a float histogram, and one with bounds. */
static const char golden2[] =
    "220022085f5f6e616d655f5f2213687474705f72657175657374735f746f74616c2204636f64652203323030220869"
    "6e7374616e63652203683a3122036a6f6222056170692f78220952657175657374732e22017322036c617422087472"
    "6163655f69642220303130323033303430353036303730383039306130623063306430653066"
    "31302a410a0801020304050607081210090000000000002940108080b3c19c3322140a020c0d110000000000000840"
    "18fb80b3c19c332a0608011809200a3098f8b2c19c332a88010a04010b07081a451100000000000010401900000000"
    "0000184029000000000000e03f39000000000000f03f5a04080210026a10000000000000f03f000000000000004070"
    "03788080b3c19c331a35080619000000000000224020695a0210015a0408021001620204047898f5b3c19c33820110"
    "000000000000e03f00000000000000402a020803";

#define T0_MS INT64_C(1760000000000)

typedef struct {
    uint8_t bytes[1024];
    size_t len;
} request;

static request from_hex(const char *hex)
{
    request r = { .len = strlen(hex) / 2 };
    assert_true(r.len <= sizeof(r.bytes));
    assert_true(str_from_hex(str_c(hex), r.bytes, r.len));
    return r;
}

static str view(const request *r)
{
    return str_n(r->bytes, r->len);
}

/* All points, one a line: name{labels} type time start flags value. */
static void describe(const batch *b, buf *out)
{
    buf_clear(out);
    for (uint32_t i = 0; i < b->points.count; i++) {
        const batch_metric *m = &b->metrics[b->points.metric[i]];
        const batch_scope *s = &b->scopes[m->scope];
        assert_true(str_is(s->name, PROMETHEUS_SCOPE));
        const attrs *r = &b->resources[s->resource].attributes;
        const attrs *lists[] = { r, &b->points.attributes[i] };
        buf_fmt(out, "%.*s{", STR_ARG(m->name));
        for (size_t k = 0; k < 2; k++)
            for (uint32_t n = 0; n < lists[k]->count; n++)
                buf_fmt(out, "%.*s=%.*s,", STR_ARG(lists[k]->items[n].key),
                        STR_ARG(lists[k]->items[n].value.s));
        buf_fmt(out, "} %d%s @%lld", m->type, m->monotonic ? "+" : "",
                (long long)(b->points.time_ns[i] / NS_PER_MS - T0_MS));
        if (b->points.start_ns[i])
            buf_fmt(out, " from %lld", (long long)(b->points.start_ns[i] / NS_PER_MS - T0_MS));
        const point_value *v = &b->points.value[i];
        if (b->points.flags[i])
            buf_lit(out, " stale");
        else if (m->type == METRIC_EXP_HISTOGRAM)
            buf_fmt(out, " n=%d sum=%g scale=%d zero=%d/%g +%d[%d] -%d[%d]", (int)v->exp->count,
                    v->exp->sum, v->exp->scale, (int)v->exp->zero_count, v->exp->zero_threshold,
                    v->exp->positive.offset, (int)v->exp->positive.count, v->exp->negative.offset,
                    (int)v->exp->negative.count);
        else if (m->type == METRIC_HISTOGRAM)
            buf_fmt(out, " n=%d sum=%g buckets=%d", (int)v->histogram->count, v->histogram->sum,
                    (int)v->histogram->bucket_count);
        else
            buf_fmt(out, " %g", v->f64);
        for (uint32_t n = 0; n < b->points.exemplars[i].count; n++)
            buf_fmt(out, " #%g", b->points.exemplars[i].items[n].f64);
        buf_char(out, '\n');
    }
    buf_char(out, 0);
}

static remote_write_result decode(batch *b, str bytes, remote_write_version v,
                                  remote_write_types *types)
{
    remote_write_result r;
    batch_init(b, SIGNAL_METRICS, MiB(64));
    if (remote_write_decode(b, bytes, v, NULL, types, &r, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return r;
}

static void version_1_as_prometheus_writes_it(void **state)
{
    (void)state;
    request r = from_hex(golden1);
    remote_write_types *types;
    batch b;
    buf text;
    buf_init(&text, 0);
    assert_int_equal(remote_write_types_new(&types, &err), STATUS_OK);
    remote_write_result result = decode(&b, view(&r), REMOTE_WRITE_1, types);
    assert_int_equal(result.samples, 2);
    assert_int_equal(result.histograms, 1);
    assert_int_equal(result.exemplars, 1);
    assert_int_equal(result.rejected, 0);
    describe(&b, &text);
    assert_string_equal(
        text.ptr, "http_requests_total{service.name=api/x,service.instance.id=h:1,code=200,} 2+ @0"
                  " 12.5 #3\n"
                  "http_requests_total{service.name=api/x,service.instance.id=h:1,code=200,} 2+"
                  " @15000 stale\n"
                  "lat{service.name=api/x,} 4 @0 n=12 sum=18.4 scale=1 zero=2/0.001 +-1[7]"
                  " --2[1]\n");
    assert_true(str_is(b.metrics[0].description, "Requests."));
    const exemplar *e = &b.points.exemplars[0].items[0];
    assert_int_equal(e->trace.bytes[15], 0x10);
    assert_int_equal(e->filtered_attributes.count, 1);
    const uint64_t expected[] = { 1, 3, 0, 0, 0, 1, 4 };
    assert_memory_equal(b.points.value[2].exp->positive.counts, expected, sizeof(expected));
    batch_done(&b);
    /* What was said once holds for the next requests. */
    request again = r;
    again.len -= 36; /* without the metadata */
    (void)decode(&b, view(&again), REMOTE_WRITE_1, types);
    assert_int_equal(b.metrics[0].type, METRIC_SUM);
    batch_done(&b);
    (void)decode(&b, view(&again), REMOTE_WRITE_1, NULL);
    assert_int_equal(b.metrics[0].type, METRIC_GAUGE);
    batch_done(&b);
    remote_write_types_free(types);
    buf_done(&text);
}

static void version_2_as_prometheus_writes_it(void **state)
{
    (void)state;
    request r = from_hex(golden2);
    batch b;
    buf text;
    buf_init(&text, 0);
    remote_write_result result = decode(&b, view(&r), REMOTE_WRITE_2, NULL);
    assert_int_equal(result.samples, 1);
    assert_int_equal(result.histograms, 2);
    assert_int_equal(result.exemplars, 1);
    describe(&b, &text);
    assert_string_equal(
        text.ptr, "http_requests_total{service.name=api/x,service.instance.id=h:1,code=200,} 2+ @0"
                  " from -1000 12.5 #3\n"
                  "lat{service.name=api/x,} 4 @0 n=4 sum=6 scale=0 zero=1/0.5 +0[2] -0[0]\n"
                  "lat{service.name=api/x,} 3 @15000 n=6 sum=9 buckets=3\n");
    assert_true(str_is(b.metrics[0].description, "Requests."));
    assert_true(str_is(b.metrics[0].unit, "s"));
    const histogram_value *h = b.points.value[2].histogram;
    assert_int_equal(h->buckets[0], 2);
    assert_int_equal(h->buckets[1], 0);
    assert_int_equal(h->buckets[2], 4);
    batch_done(&b);
    buf_done(&text);
}

/* ---- out ---- */

typedef struct {
    buf bodies[64];
    unsigned count;
} sent;

static status take(void *user, str body, uint32_t samples, error *e)
{
    sent *s = user;
    (void)e;
    assert_true(s->count < 64 && samples > 0);
    buf_init(&s->bodies[s->count], 0);
    buf_str(&s->bodies[s->count++], body);
    return STATUS_OK;
}

static remote_write_counts encode(const batch *b, const remote_write_options *o, sent *s)
{
    remote_write_counts counts;
    s->count = 0;
    if (remote_write_encode(b, o, take, s, &counts, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return counts;
}

static void sent_done(sent *s)
{
    while (s->count)
        buf_done(&s->bodies[--s->count]);
}

static const histogram *native_at(const batch *b, uint32_t i)
{
    const point_value *v = &b->points.value[i];
    metric_type type = b->metrics[b->points.metric[i]].type;
    return type == METRIC_EXP_HISTOGRAM ? v->exp->native
           : type == METRIC_HISTOGRAM   ? v->histogram->native
                                        : NULL;
}

static void same_natives(const batch *a, const batch *b)
{
    for (uint32_t i = 0; i < a->points.count; i++) {
        const histogram *x = native_at(a, i), *y = native_at(b, i);
        assert_int_equal(x != NULL, y != NULL);
        if (!x)
            continue;
        buf one, other;
        buf_init(&one, 0);
        buf_init(&other, 0);
        histogram_encode(&one, x);
        histogram_encode(&other, y);
        assert_int_equal(one.len, other.len);
        assert_memory_equal(one.ptr, other.ptr, one.len);
        buf_done(&one);
        buf_done(&other);
    }
}

/* Decoded, encoded as either version, decoded again: the same points. */
static void what_came_goes_out_the_same(void **state)
{
    (void)state;
    const char *golden[] = { golden1, golden2 };
    for (int in = 0; in < 2; in++)
        for (int out = 0; out < 2; out++) {
            request r = from_hex(golden[in]);
            batch b, again;
            buf first, second;
            sent s;
            remote_write_types *types;
            assert_int_equal(remote_write_types_new(&types, &err), STATUS_OK);
            buf_init(&first, 0);
            buf_init(&second, 0);
            (void)decode(&b, view(&r), (remote_write_version)in, types);
            if (out == 0)
                for (uint32_t i = 0; i < b.points.count; i++)
                    b.points.start_ns[i] = 0; /* version 1.0 has none */
            describe(&b, &first);
            remote_write_options o = { .version = (remote_write_version)out, .metadata = true };
            remote_write_counts counts = encode(&b, &o, &s);
            assert_int_equal(s.count, 1);
            assert_int_equal(counts.points, b.points.count);
            (void)decode(&again, buf_view(&s.bodies[0]), o.version, types);
            describe(&again, &second);
            assert_string_equal(first.ptr, second.ptr);
            same_natives(&b, &again);
            assert_true(str_is(again.metrics[0].description, "Requests."));
            remote_write_types_free(types);
            batch_done(&again);
            batch_done(&b);
            buf_done(&first);
            buf_done(&second);
            sent_done(&s);
        }
}

static uint32_t add_metric(batch *b, uint32_t scope, const char *name, metric_type type)
{
    uint32_t m = batch_add_metric(b, scope);
    b->metrics[m].name = str_c(name);
    b->metrics[m].type = type;
    b->metrics[m].temporality = TEMPORALITY_CUMULATIVE;
    return m;
}

static void set_attrs(batch *b, attrs *a, const char *key, const char *text)
{
    uint32_t capacity = 0;
    assert_true(attrs_append(&b->arena, a, &capacity, str_c(key), VALUE_S(str_c(text))));
}

/* A batch as OpenTelemetry has it: service "shop", host, and a scope. */
static uint32_t otel(batch *b)
{
    batch_init(b, SIGNAL_METRICS, MiB(1));
    uint32_t r = batch_add_resource(b);
    attr *list = ARENA_ARRAY(&b->arena, attr, 2);
    list[0] = (attr){ STR("service.name"), VALUE_S(STR("shop")) };
    list[1] = (attr){ STR("host.name"), VALUE_S(STR("h")) };
    b->resources[r].attributes = (attrs){ list, 2, 0 };
    return batch_add_scope(b, r);
}

static uint32_t add_number(batch *b, uint32_t metric, int64_t ms, double v)
{
    uint32_t p = batch_add_point(b, metric);
    b->points.time_ns[p] = (T0_MS + ms) * NS_PER_MS;
    b->points.value[p].f64 = v;
    return p;
}

static void expect(const batch *b, const remote_write_options *o, const char *text)
{
    sent s;
    batch again;
    buf seen;
    buf_init(&seen, 0);
    (void)encode(b, o, &s);
    assert_int_equal(s.count, 1);
    (void)decode(&again, buf_view(&s.bodies[0]), o->version, NULL);
    describe(&again, &seen);
    assert_string_equal(seen.ptr, text);
    batch_done(&again);
    sent_done(&s);
    buf_done(&seen);
}

static void opentelemetry_names_go_out_as_prometheus_has_them(void **state)
{
    (void)state;
    batch b;
    uint32_t scope = otel(&b);
    uint32_t m = add_metric(&b, scope, "http.requests", METRIC_SUM);
    b.metrics[m].monotonic = true;
    uint32_t p = add_number(&b, m, 0, 7);
    set_attrs(&b, &b.points.attributes[p], "http.route", "/x");
    m = add_metric(&b, scope, "latency", METRIC_HISTOGRAM);
    b.metrics[m].unit = STR("s");
    p = add_number(&b, m, 0, 0);
    uint64_t buckets[] = { 1, 2 };
    double bounds[] = { 0.5 };
    exemplar x = { .f64 = 0.7 };
    histogram_value h = { .count = 3,
                          .sum = 2,
                          .has_sum = true,
                          .bucket_count = 2,
                          .bound_count = 1,
                          .buckets = buckets,
                          .bounds = bounds };
    b.points.value[p].histogram = &h;
    b.points.exemplars[p] = (exemplars){ &x, 1 };
    prom_label region = { STR("region"), STR("eu") };
    remote_write_options o = { .version = REMOTE_WRITE_2, .target_info = true };
    o.series.more = (prom_labels){ &region, 1 };
    o.series.prefix = STR("my");
    expect(&b, &o,
           "my_http_requests_total{service.name=shop,http_route=/x,region=eu,} 2+ @0 7\n"
           "my_latency_seconds_bucket{service.name=shop,le=0.5,region=eu,} 2+ @0 1\n"
           "my_latency_seconds_bucket{service.name=shop,le=+Inf,region=eu,} 2+ @0 3 #0.7\n"
           "my_latency_seconds_count{service.name=shop,region=eu,} 2+ @0 3\n"
           "my_latency_seconds_sum{service.name=shop,region=eu,} 2+ @0 2\n"
           "target_info{service.name=shop,host_name=h,region=eu,} 1 @0 1\n");
    o = (remote_write_options){ .version = REMOTE_WRITE_1 };
    o.series.without_suffixes = o.series.resource_labels = true;
    b.points.count = 1;
    expect(&b, &o,
           "http_requests{service.name=shop,host_name=h,http_route=/x,service_name=shop,} 1 @0"
           " 7\n");
    batch_done(&b);
}

static void samples_of_a_series_go_together_and_by_time(void **state)
{
    (void)state;
    batch b;
    uint32_t m = add_metric(&b, otel(&b), "g", METRIC_GAUGE);
    uint32_t other = add_metric(&b, 0, "other", METRIC_GAUGE);
    add_number(&b, m, 3000, 3);
    add_number(&b, other, 0, 0);
    add_number(&b, m, 1000, 1);
    add_number(&b, m, 3000, 33);
    uint32_t p = add_number(&b, m, 4000, 0);
    b.points.flags[p] = POINT_FLAG_NO_RECORDED_VALUE;
    expect(&b, &(remote_write_options){ 0 },
           "g{service.name=shop,} 1 @1000 1\n"
           "g{service.name=shop,} 1 @3000 33\n"
           "g{service.name=shop,} 1 @4000 stale\n"
           "other{service.name=shop,} 1 @0 0\n");
    batch_done(&b);
}

static void deltas_and_what_has_no_name_stay_and_are_counted(void **state)
{
    (void)state;
    batch b;
    sent s;
    uint32_t scope = otel(&b);
    uint32_t m = add_metric(&b, scope, "d", METRIC_SUM);
    b.metrics[m].temporality = TEMPORALITY_DELTA;
    add_number(&b, m, 0, 1);
    add_number(&b, add_metric(&b, scope, "..", METRIC_GAUGE), 0, 1);
    remote_write_counts c = encode(&b, &(remote_write_options){ .target_info = true }, &s);
    assert_int_equal(c.deltas, 1);
    assert_int_equal(c.refused, 1);
    assert_int_equal(c.points, 0);
    assert_int_equal(s.count, 0);
    batch_done(&b);
}

static void large_batches_become_several_requests(void **state)
{
    (void)state;
    for (int v = 0; v < 2; v++) {
        batch b;
        sent s;
        uint32_t m = add_metric(&b, otel(&b), "g", METRIC_GAUGE), seen = 0;
        for (int i = 0; i < 100; i++) {
            uint32_t p = add_number(&b, m, 0, i);
            set_attrs(&b, &b.points.attributes[p], "n", arena_fmt(&b.arena, "%d", i).ptr);
        }
        remote_write_options o = { .version = (remote_write_version)v, .max_bytes = 500 };
        remote_write_counts c = encode(&b, &o, &s);
        assert_int_equal(c.samples, 100);
        assert_true(s.count > 3);
        for (unsigned i = 0; i < s.count; i++) {
            batch part;
            assert_true(s.bodies[i].len < 600);
            seen += decode(&part, buf_view(&s.bodies[i]), o.version, NULL).samples;
            batch_done(&part);
        }
        assert_int_equal(seen, 100);
        sent_done(&s);
        batch_done(&b);
    }
}

static void a_fine_scale_is_made_one_that_prometheus_has(void **state)
{
    (void)state;
    batch b;
    uint32_t m = add_metric(&b, otel(&b), "e", METRIC_EXP_HISTOGRAM);
    uint32_t p = add_number(&b, m, 0, 0);
    uint64_t counts[] = { 1, 2, 3, 4 };
    exp_histogram_value e = {
        .count = 10, .sum = 1, .has_sum = true, .scale = 9, .positive = { -3, 4, counts }
    };
    b.points.value[p].exp = &e;
    expect(&b, &(remote_write_options){ .version = REMOTE_WRITE_2 },
           "e{service.name=shop,} 4 @0 n=10 sum=1 scale=8 zero=0/1e-128 +-2[3] -0[0]\n");
    e.scale = -5;
    sent s;
    assert_int_equal(encode(&b, &(remote_write_options){ 0 }, &s).refused, 1);
    batch_done(&b);
}

/* ---- what is wrong ---- */

static void put_label(buf *out, const char *name, const char *text)
{
    pb_mark m = pb_begin(out, 1, 10);
    pb_put_bytes(out, 1, str_c(name));
    pb_put_bytes(out, 2, str_c(text));
    pb_end(out, m);
}

static void put_series(buf *out, const char *const *labels, int64_t ms)
{
    pb_mark s = pb_begin(out, 1, 50);
    for (; *labels; labels += 2)
        put_label(out, labels[0], labels[1]);
    pb_mark m = pb_begin(out, 2, 20);
    pb_put_double(out, 1, 1);
    pb_put_varint(out, 2, (uint64_t)ms);
    pb_end(out, m);
    pb_end(out, s);
}

static void one_bad_series_does_not_cost_the_others(void **state)
{
    (void)state;
    static const struct {
        const char *labels[9];
        int64_t ms;
        const char *reason;
    } bad[] = {
        { { "a", "b", NULL }, T0_MS, "no metric name" },
        { { "__name__", "m", "", "b", NULL }, T0_MS, "no name" },
        { { "__name__", "m", "a", "b", "a", "c", NULL }, T0_MS, "twice" },
        { { "__name__", "m", "\xff", "b", NULL }, T0_MS, "not UTF-8" },
        { { "__name__", "m", "a", "\xff", NULL }, T0_MS, "not UTF-8" },
        { { "__name__", "m", NULL }, -1, "1970" },
        { { "__name__", "m", NULL }, INT64_MAX, "2262" },
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        buf out;
        batch b;
        const char *good[] = { "z", "1", "__name__", "good", "empty", "", NULL };
        buf_init(&out, 0);
        put_series(&out, good, T0_MS);
        put_series(&out, bad[i].labels, bad[i].ms);
        put_series(&out, good, T0_MS + 1);
        remote_write_result r = decode(&b, buf_view(&out), REMOTE_WRITE_1, NULL);
        assert_int_equal(r.samples, 2);
        assert_int_equal(r.rejected, 1);
        assert_int_equal(b.points.count, 2);
        assert_int_equal(b.points.attributes[1].count, 1);
        assert_non_null(strstr(r.message, bad[i].reason));
        assert_non_null(strstr(r.message, "series 1"));
        batch_done(&b);
        buf_done(&out);
    }
}

static void put_histogram(buf *out, int schema, uint64_t delta, unsigned length, unsigned count)
{
    pb_mark s = pb_begin(out, 1, 50);
    put_label(out, "__name__", "h");
    pb_mark h = pb_begin(out, 4, 50);
    pb_put_varint(out, 1, count);
    pb_put_sint(out, 4, schema);
    pb_mark span = pb_begin(out, 11, 4);
    pb_put_sint(out, 1, 1000000);
    pb_put_varint(out, 2, length);
    pb_end(out, span);
    pb_put_sint(out, 12, 1);
    pb_put_sint(out, 12, (int64_t)delta);
    pb_put_varint(out, 15, (uint64_t)T0_MS);
    pb_end(out, h);
    pb_end(out, s);
}

static void histograms_that_contradict_themselves_are_left_out(void **state)
{
    (void)state;
    static const struct {
        int schema;
        int64_t delta;
        unsigned length, count;
        const char *reason;
    } cases[] = {
        { 0, 1, 2, 3, NULL },      { 0, -2, 2, 0, "negative" },  { 0, 1, 1, 3, "more" },
        { 0, 1, 3, 3, "fewer" },   { 9, 1, 2, 3, NULL },         { 53, 1, 2, 3, "schema" },
        { -5, 1, 2, 3, "schema" }, { -53, 1, 2, 3, "no bound" }, { 0, 1, 2, 4, "add up to" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        buf out;
        batch b;
        buf_init(&out, 0);
        put_histogram(&out, cases[i].schema, (uint64_t)cases[i].delta, cases[i].length,
                      cases[i].count);
        remote_write_result r = decode(&b, buf_view(&out), REMOTE_WRITE_1, NULL);
        assert_int_equal(r.rejected, cases[i].reason != NULL);
        assert_int_equal(r.histograms, cases[i].reason == NULL);
        if (cases[i].reason && !strstr(r.message, cases[i].reason))
            fail_msg("%s", r.message);
        batch_done(&b);
        buf_done(&out);
    }
}

static void very_wide_histograms_get_a_lower_scale(void **state)
{
    (void)state;
    buf out;
    batch b;
    buf_init(&out, 0);
    pb_mark s = pb_begin(&out, 1, 50);
    put_label(&out, "__name__", "h");
    pb_mark h = pb_begin(&out, 4, 50);
    pb_put_varint(&out, 1, 3);
    pb_put_sint(&out, 4, 8);
    for (int i = 0; i < 2; i++) {
        pb_mark span = pb_begin(&out, 11, 4);
        pb_put_sint(&out, 1, i ? 20000 : -10000);
        pb_put_varint(&out, 2, 1);
        pb_end(&out, span);
        pb_put_sint(&out, 12, 1);
    }
    pb_put_varint(&out, 15, (uint64_t)T0_MS);
    pb_end(&out, h);
    pb_end(&out, s);
    (void)decode(&b, buf_view(&out), REMOTE_WRITE_1, NULL);
    const exp_histogram_value *e = b.points.value[0].exp;
    assert_int_equal(e->scale, 6);
    assert_int_equal(e->positive.offset, -10001 >> 2);
    assert_int_equal(e->positive.count, (10000 >> 2) - (-10001 >> 2) + 1);
    assert_int_equal(e->positive.counts[e->positive.count - 1], 2);
    batch_done(&b);
    buf_done(&out);
}

/* A float histogram with a hint, a sum that is no number and a count that no bucket explains; then
 * a stale marker. */
static void float_histograms_come_and_go_exactly(void **state)
{
    (void)state;
    static const double counts[] = { 0.25, 1e300, 7 };
    static const native_span spans[] = { { -3, 1 }, { 0, 2 } };
    batch b, again;
    sent out;
    for (int v = REMOTE_WRITE_1; v <= REMOTE_WRITE_2; v++) {
        histogram h = { .schema = -4,
                        .hint = HISTOGRAM_GAUGE,
                        .zero_threshold = 0.5,
                        .zero_count = 0.125,
                        .count = NAN,
                        .sum = INFINITY,
                        .positive = { spans, counts, 2, 3 },
                        .negative = { spans, counts, 2, 3 } };
        uint32_t m = add_metric(&b, otel(&b), "h", METRIC_EXP_HISTOGRAM);
        uint32_t p = add_number(&b, m, 0, 0), stale = add_number(&b, m, 1, 0);
        metric_type type;
        assert_true(native_to_point(&b.arena, &h, &type, &b.points.value[p]));
        b.points.value[stale] = b.points.value[p];
        b.points.flags[stale] = POINT_FLAG_NO_RECORDED_VALUE;
        remote_write_options o = { .version = (remote_write_version)v };
        assert_int_equal(encode(&b, &o, &out).histograms, 2);
        (void)decode(&again, buf_view(&out.bodies[0]), o.version, NULL);
        const histogram *got = native_at(&again, 0);
        assert_int_equal(got->hint, HISTOGRAM_GAUGE);
        assert_int_equal(got->positive.span_count, 1); /* they touch */
        assert_memory_equal(got->positive.counts, counts, sizeof(counts));
        assert_memory_equal(got->negative.counts, counts, sizeof(counts));
        assert_true(isnan(got->count) && isinf(got->sum) && got->zero_count == 0.125);
        assert_int_equal(again.points.flags[1], POINT_FLAG_NO_RECORDED_VALUE);
        assert_true(prom_is_stale(native_at(&again, 1)->sum));
        batch_done(&again);
        batch_done(&b);
        sent_done(&out);
    }
}

static void malformed_requests_say_where(void **state)
{
    (void)state;
    const char *golden[] = { golden1, golden2 };
    for (int v = 0; v < 2; v++) {
        request r = from_hex(golden[v]);
        for (size_t n = 1; n < r.len; n++) {
            /* A copy of its own, so that reading too far is seen. */
            char *bytes = malloc(n);
            batch b;
            remote_write_result result;
            memcpy(bytes, r.bytes, n);
            batch_init(&b, SIGNAL_METRICS, MiB(8));
            status st = remote_write_decode(&b, str_n(bytes, n), (remote_write_version)v, NULL,
                                            NULL, &result, &err);
            if (st != STATUS_OK) {
                assert_int_equal(st, STATUS_INVALID);
                assert_non_null(strstr(err.message, "at byte "));
            }
            batch_done(&b);
            free(bytes);
        }
    }
}

static void limits_are_kept(void **state)
{
    (void)state;
    buf out;
    batch b;
    remote_write_result r;
    const char *labels[] = { "__name__", "m", "a", "1", "b", "2", NULL };
    buf_init(&out, 0);
    for (int i = 0; i < 3; i++)
        put_series(&out, labels, T0_MS + i);
    batch_init(&b, SIGNAL_METRICS, MiB(1));
    assert_int_equal(remote_write_decode(&b, buf_view(&out), REMOTE_WRITE_1,
                                         &(remote_write_limits){ .max_rows = 2 }, NULL, &r, &err),
                     STATUS_LIMIT);
    assert_non_null(strstr(err.message, "more than 2 samples"));
    batch_clear(&b);
    assert_int_equal(remote_write_decode(&b, buf_view(&out), REMOTE_WRITE_1,
                                         &(remote_write_limits){ .max_labels = 2 }, NULL, &r, &err),
                     STATUS_OK);
    assert_int_equal(r.rejected, 3);
    batch_done(&b);
    batch_init(&b, SIGNAL_METRICS, KiB(1));
    assert_int_equal(remote_write_decode(&b, buf_view(&out), REMOTE_WRITE_1, NULL, NULL, &r, &err),
                     STATUS_LIMIT);
    batch_done(&b);
    buf_done(&out);
}

static void symbols_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        const char *reason; /* NULL: of the series alone */
    } cases[] = {
        { "220161", "empty" },                                    /* symbols: ["a"] */
        { "22002a0a0a0201091204100110a0", NULL },                 /* a sample cut short */
        { "22002a080a020109120210012a080a02010912021001", NULL }, /* references to nothing */
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        request r = from_hex(cases[i].hex);
        batch b;
        remote_write_result result;
        batch_init(&b, SIGNAL_METRICS, MiB(1));
        status st = remote_write_decode(&b, view(&r), REMOTE_WRITE_2, NULL, NULL, &result, &err);
        if (cases[i].reason) {
            assert_int_equal(st, STATUS_INVALID);
            assert_non_null(strstr(err.message, cases[i].reason));
        }
        if (i == 2) {
            assert_int_equal(st, STATUS_OK);
            assert_int_equal(result.rejected, 2);
            assert_non_null(strstr(result.message, "symbol"));
        }
        batch_done(&b);
    }
}

static void content_types_name_the_version(void **state)
{
    (void)state;
    remote_write_version v = REMOTE_WRITE_2;
    assert_true(remote_write_version_of(STR("application/x-protobuf"), &v));
    assert_int_equal(v, REMOTE_WRITE_1);
    assert_true(remote_write_version_of(
        STR("application/x-protobuf; proto=io.prometheus.write.v2.Request"), &v));
    assert_int_equal(v, REMOTE_WRITE_2);
    assert_true(remote_write_version_of(str_c(remote_write_content_type(REMOTE_WRITE_2)), &v));
    assert_int_equal(v, REMOTE_WRITE_2);
    assert_true(
        remote_write_version_of(STR("application/x-protobuf;proto=prometheus.WriteRequest"), &v));
    assert_int_equal(v, REMOTE_WRITE_1);
    assert_false(remote_write_version_of(STR("application/x-protobuf;proto=other"), &v));
    assert_false(remote_write_version_of(STR("application/json"), &v));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_1_as_prometheus_writes_it),
        cmocka_unit_test(version_2_as_prometheus_writes_it),
        cmocka_unit_test(what_came_goes_out_the_same),
        cmocka_unit_test(opentelemetry_names_go_out_as_prometheus_has_them),
        cmocka_unit_test(samples_of_a_series_go_together_and_by_time),
        cmocka_unit_test(deltas_and_what_has_no_name_stay_and_are_counted),
        cmocka_unit_test(large_batches_become_several_requests),
        cmocka_unit_test(a_fine_scale_is_made_one_that_prometheus_has),
        cmocka_unit_test(one_bad_series_does_not_cost_the_others),
        cmocka_unit_test(histograms_that_contradict_themselves_are_left_out),
        cmocka_unit_test(very_wide_histograms_get_a_lower_scale),
        cmocka_unit_test(float_histograms_come_and_go_exactly),
        cmocka_unit_test(malformed_requests_say_where),
        cmocka_unit_test(limits_are_kept),
        cmocka_unit_test(symbols_are_checked),
        cmocka_unit_test(content_types_name_the_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
