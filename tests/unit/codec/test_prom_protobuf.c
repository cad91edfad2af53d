// SPDX-License-Identifier: Apache-2.0
/* The protobuf page, read back field by field, escapings, and what an Accept header chooses. */
#include "tests/support.h"

#include "codec/prom_text.h"
#include "codec/protobuf.h"

static error err;

/* The n-th value of a field in a message; fails when there are fewer. */
static pb_reader message_at(str bytes, uint32_t number, uint32_t n)
{
    pb_reader r = pb_read(bytes), found;
    for (pb_field f; pb_next(&r, &f);) {
        if (f.number == number && f.wire == PB_LEN && n-- == 0) {
            assert_true(pb_message(&r, &found));
            return found;
        }
        if (f.number != number || f.wire != PB_LEN)
            assert_true(pb_skip(&r, f));
        else
            assert_true(pb_message(&r, &found));
    }
    fail_msg("there is no field %u", number);
    return r;
}

static str bytes_of(pb_reader r)
{
    return str_n((const char *)r.at, (size_t)(r.end - r.at));
}

static double double_in(str bytes, uint32_t number)
{
    pb_reader r = pb_read(bytes);
    double v = -1;
    for (pb_field f; pb_next(&r, &f);)
        if (f.number == number && f.wire == PB_FIXED64)
            assert_true(pb_double(&r, &v));
        else
            assert_true(pb_skip(&r, f));
    return v;
}

/* All values of a varint field. */
static uint32_t varints_in(str bytes, uint32_t number, uint64_t *ret, uint32_t max)
{
    pb_reader r = pb_read(bytes);
    uint32_t n = 0;
    for (pb_field f; pb_next(&r, &f);)
        if (f.number == number && f.wire == PB_VARINT && n < max)
            assert_true(pb_varint(&r, &ret[n++]));
        else
            assert_true(pb_skip(&r, f));
    assert_null(r.problem);
    return n;
}

static uint32_t add_metric(batch *b, const char *name, metric_type type)
{
    if (b->resource_count == 0)
        assert_int_equal(batch_add_scope(b, batch_add_resource(b)), 0);
    uint32_t m = batch_add_metric(b, 0);
    b->metrics[m].name = str_c(name);
    b->metrics[m].type = type;
    b->metrics[m].monotonic = type == METRIC_SUM;
    b->metrics[m].temporality = TEMPORALITY_CUMULATIVE;
    uint32_t p = batch_add_point(b, m);
    b->points.start_ns[p] = 5 * NS_PER_S;
    return p;
}

static str page_of(const batch *b, buf *out)
{
    buf_init(out, 0);
    assert_ok(prom_write(b, &(prom_choice){ .format = PROM_PROTOBUF }, NULL, out, NULL, &err));
    return buf_view(out);
}

/* Takes the next delimited message off the page. */
static str next_family(str *rest)
{
    pb_reader r = pb_read(*rest);
    str family;
    assert_true(pb_bytes(&r, &family));
    *rest = bytes_of(r);
    return family;
}

static void each_family_stands_behind_its_length(void **state)
{
    (void)state;
    batch b;
    buf out;
    batch_init(&b, SIGNAL_METRICS, MiB(1));
    uint32_t p = add_metric(&b, "orders", METRIC_SUM), cap = 0;
    b.points.value[p] = (point_value){ .is_int = true, .i64 = 42 };
    assert_true(attrs_append(&b.arena, &b.points.attributes[p], &cap, STR("k"), VALUE_S(STR("v"))));
    exemplar e = { .is_int = true, .i64 = 7, .time_ns = 1500 * NS_PER_MS };
    memset(e.trace.bytes, 0xab, sizeof(e.trace.bytes));
    b.points.exemplars[p] = (exemplars){ &e, 1 };
    p = add_metric(&b, "depth", METRIC_GAUGE);
    b.points.value[p] = (point_value){ .f64 = 1.5 };
    str page = page_of(&b, &out);
    str depth = next_family(&page), orders = next_family(&page);
    assert_int_equal(page.len, 0);
    assert_true(str_is(bytes_of(message_at(depth, 1, 0)), "depth"));
    assert_true(str_is(bytes_of(message_at(orders, 1, 0)), "orders_total"));
    str metric = bytes_of(message_at(orders, 4, 0));
    str label = bytes_of(message_at(metric, 1, 0));
    assert_true(str_is(bytes_of(message_at(label, 2, 0)), "v"));
    str counter = bytes_of(message_at(metric, 3, 0));
    assert_true(double_in(counter, 1) == 42);
    str example = bytes_of(message_at(counter, 2, 0));
    assert_true(double_in(example, 2) == 7);
    assert_true(str_is(bytes_of(message_at(bytes_of(message_at(example, 1, 0)), 2, 0)),
                       "abababababababababababababababab"));
    uint64_t seconds;
    assert_int_equal(varints_in(bytes_of(message_at(counter, 3, 0)), 1, &seconds, 1), 1);
    assert_int_equal(seconds, 5);
    buf_done(&out);
    batch_done(&b);
}

static str native_of(batch *b, buf *out, exp_histogram_value *h)
{
    batch_init(b, SIGNAL_METRICS, MiB(1));
    uint32_t p = add_metric(b, "took", METRIC_EXP_HISTOGRAM);
    b->points.value[p].exp = h;
    str page = page_of(b, out);
    return bytes_of(message_at(bytes_of(message_at(next_family(&page), 4, 0)), 7, 0));
}

static void exponential_histograms_are_native_ones(void **state)
{
    (void)state;
    batch b;
    buf out;
    uint64_t counts[] = { 3, 1, 0, 4, 0, 0, 0, 5 }, below[] = { 2 }, got[16];
    exp_histogram_value h = { .count = 16,
                              .sum = 9,
                              .has_sum = true,
                              .scale = 2,
                              .zero_count = 1,
                              .positive = { -2, 8, counts },
                              .negative = { 3, 1, below } };
    str native = native_of(&b, &out, &h);
    assert_int_equal(varints_in(native, 5, got, 1), 1);
    assert_int_equal(pb_zigzag(got[0]), 2);
    assert_int_equal(varints_in(native, 7, got, 1), 1);
    assert_int_equal(got[0], 1);
    /* Buckets -2 to 5 are -1 to 6 here; three empty ones end a span, one does not. */
    static const int64_t deltas[] = { 3, -2, -1, 4, 1 };
    assert_int_equal(varints_in(native, 13, got, 16), ARRAY_LEN(deltas));
    for (size_t i = 0; i < ARRAY_LEN(deltas); i++)
        assert_int_equal(pb_zigzag(got[i]), deltas[i]);
    static const int64_t spans[][2] = { { -1, 4 }, { 3, 1 } };
    for (uint32_t i = 0; i < 2; i++) {
        str span = bytes_of(message_at(native, 12, i));
        assert_int_equal(varints_in(span, 1, got, 1), 1);
        assert_int_equal(pb_zigzag(got[0]), spans[i][0]);
        assert_int_equal(varints_in(span, 2, got, 1), 1);
        assert_int_equal(got[0], spans[i][1]);
    }
    assert_int_equal(varints_in(native, 10, got, 16), 1);
    assert_int_equal(pb_zigzag(got[0]), 2);
    buf_done(&out);
    batch_done(&b);
}

static void finer_scales_than_eight_are_brought_down(void **state)
{
    (void)state;
    batch b;
    buf out;
    uint64_t counts[] = { 1, 1, 1, 1, 1 }, got[8];
    exp_histogram_value h = { .count = 5, .scale = 10, .positive = { 6, 5, counts } };
    str native = native_of(&b, &out, &h);
    assert_int_equal(varints_in(native, 5, got, 1), 1);
    assert_int_equal(pb_zigzag(got[0]), 8);
    assert_int_equal(varints_in(native, 13, got, 8), 2); /* 6, 7 in one; 8, 9, 10 in the next */
    assert_int_equal(pb_zigzag(got[0]), 2);
    assert_int_equal(pb_zigzag(got[1]), 1);
    buf_done(&out);
    batch_done(&b);
    h = (exp_histogram_value){ 0 };
    native = native_of(&b, &out, &h);
    assert_int_equal(varints_in(bytes_of(message_at(native, 12, 0)), 2, got, 1), 1);
    assert_int_equal(got[0], 0); /* the empty span that makes it a native one */
    buf_done(&out);
    batch_done(&b);
}

static void every_cut_page_stays_within_its_limit(void **state)
{
    (void)state;
    batch b;
    batch_init(&b, SIGNAL_METRICS, MiB(1));
    uint32_t p = add_metric(&b, "orders", METRIC_SUM);
    b.points.value[p].f64 = 1;
    for (size_t limit = 1; limit < 50; limit++) {
        buf out;
        buf_init(&out, limit);
        assert_int_equal(
            prom_write(&b, &(prom_choice){ .format = PROM_PROTOBUF }, NULL, &out, NULL, &err),
            STATUS_LIMIT);
        assert_true(out.len <= limit);
        buf_done(&out);
    }
    batch_done(&b);
}

static void names_are_escaped_as_asked(void **state)
{
    (void)state;
    static const struct {
        prom_escaping escaping;
        const char *expected;
    } cases[] = {
        { PROM_UNDERSCORES, "http_server_duration_seconds{http_route=\"/a\"} 2\n" },
        { PROM_ALLOW_UTF8, "{\"http.server.duration_seconds\",\"http.route\"=\"/a\"} 2\n" },
        { PROM_ESCAPE_DOTS, "http_dot_server_dot_duration__seconds{http_dot_route=\"/a\"} 2\n" },
        { PROM_ESCAPE_VALUES,
          "U__http_2e_server_2e_duration__seconds{U__http_2e_route=\"/a\"} 2\n" },
    };
    batch b;
    batch_init(&b, SIGNAL_METRICS, MiB(1));
    uint32_t p = add_metric(&b, "http.server.duration", METRIC_GAUGE), cap = 0;
    b.metrics[0].unit = STR("s");
    b.points.value[p].f64 = 2;
    assert_true(attrs_append(&b.arena, &b.points.attributes[p], &cap, STR("http.route"),
                             VALUE_S(STR("/a"))));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        buf out;
        buf_init(&out, 0);
        prom_choice choice = { .format = PROM_TEXT_1_0_0, .escaping = cases[i].escaping };
        assert_ok(prom_write(&b, &choice, NULL, &out, NULL, &err));
        if (!str_ends(buf_view(&out), str_c(cases[i].expected)))
            fail_msg("%.*s does not end in %s", (int)out.len, out.ptr, cases[i].expected);
        buf_done(&out);
    }
    batch_done(&b);
}

static void the_accept_header_chooses(void **state)
{
    (void)state;
#define PROTO "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily"
    static const struct {
        const char *accept, *type;
    } cases[] = {
        { "", "text/plain; version=0.0.4; charset=utf-8" },
        { PROTO ";encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8",
          "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; "
          "encoding=delimited" },
        { PROTO ";encoding=delimited;q=0.3,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.5",
          "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8" },
        { PROTO ";encoding=text,text/plain;q=0.1", "text/plain; version=0.0.4; charset=utf-8" },
        { "application/openmetrics-text;version=1.0.0;escaping=dots;q=0.5,*/*;q=0.1",
          "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=dots" },
        { "application/openmetrics-text; version=\"1.0.0\"; escaping=values",
          "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=values" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        prom_choice c = prom_choose(str_c(cases[i].accept));
        assert_string_equal(prom_choice_type(&c), cases[i].type);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_family_stands_behind_its_length),
        cmocka_unit_test(exponential_histograms_are_native_ones),
        cmocka_unit_test(finer_scales_than_eight_are_brought_down),
        cmocka_unit_test(every_cut_page_stays_within_its_limit),
        cmocka_unit_test(names_are_escaped_as_asked),
        cmocka_unit_test(the_accept_header_chooses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
