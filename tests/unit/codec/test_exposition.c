// SPDX-License-Identifier: Apache-2.0
/* Pages that scrapers read: text, OpenMetrics, what they refuse, and the points that come of them.
 */
#include "tests/support.h"

#include "base/file.h"
#include "codec/exposition.h"
#include "codec/histogram.h"
#include "codec/prom_text.h"
#include "codec/prometheus_scope.h"
#include "codec/protobuf.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>

static error err;

static status read_page(exposition_page *p, exposition_format f, const char *text)
{
    return exposition_read(p, f, str_c(text), NULL, &err);
}

static void good(exposition_page *p, exposition_format f, const char *text)
{
    if (read_page(p, f, text) != STATUS_OK)
        fail_msg("refused: %s\n%s", err.message, text);
}

/* The message must have `part`. */
static void refused(exposition_format f, const char *text, const char *part)
{
    exposition_page p;
    if (read_page(&p, f, text) == STATUS_OK)
        fail_msg("taken: %s", text);
    if (!strstr(err.message, part))
        fail_msg("\"%s\" does not say \"%s\"", err.message, part);
    exposition_done(&p);
}

static void text_samples_have_names_labels_values_and_times(void **state)
{
    exposition_page p;
    (void)state;
    good(&p, EXPOSITION_TEXT,
         "# HELP a_total What\\nit is.\n# TYPE a_total counter\n"
         "a_total{b=\"x\\\"y\\\\\\n\",a = \"1\", } 12.5e1 1700000000123\n"
         "  plain\t-Inf\n# a comment\n\n{\"with.dot\",\"k.l\"=\"v\"} 0.1");
    assert_int_equal(p.sample_count, 3);
    const exposition_sample *s = p.samples;
    assert_true(str_is(s[0].name, "a_total"));
    assert_int_equal(s[0].label_count, 2);
    assert_true(str_is(s[0].labels[0].name, "a"));
    assert_true(str_is(s[0].labels[1].value, "x\"y\\\n"));
    assert_true(s[0].value == 125 && s[0].has_time && s[0].time_ms == 1700000000123);
    assert_int_equal(s[0].part, PART_TOTAL);
    assert_true(str_is(p.families[s[0].family].help, "What\nit is."));
    assert_true(str_is(s[1].name, "plain") && isinf(s[1].value) && s[1].value < 0);
    assert_false(s[1].has_time);
    assert_true(str_is(s[2].name, "with.dot") && s[2].value == 0.1);
    assert_true(str_is(exposition_label(&s[2], STR("k.l")), "v"));
    exposition_done(&p);
}

static void errors_say_line_and_reason(void **state)
{
    (void)state;
    refused(EXPOSITION_TEXT, "a 1\nb x\n", "line 2: the value \"x\" is no number");
    refused(EXPOSITION_TEXT, "a{b=c} 1\n", "line 1: the value of label \"b\" must be in quotes");
    refused(EXPOSITION_TEXT, "a{b=\"c} 1\n", "closing quote is missing");
    refused(EXPOSITION_TEXT, "a{b=\"c\"", "closing brace is missing");
    refused(EXPOSITION_TEXT, "a{b=\"1\",b=\"2\"} 1\n", "\"b\" is there twice");
    refused(EXPOSITION_TEXT, "a{b=\"\xff\"} 1\n", "not valid UTF-8");
    refused(EXPOSITION_TEXT, "a 1 2 3\n", "should end where \"3");
    refused(EXPOSITION_TEXT, "a 1 1.5\n", "whole number of milliseconds");
    refused(EXPOSITION_TEXT, "a 1 9223372036855\n", "between the years 1677 and 2262");
    refused(EXPOSITION_TEXT, "a 1 -9223372036855\n", "between the years 1677 and 2262");
    refused(EXPOSITION_OPENMETRICS, "a 1 4294967296e3\n# EOF\n", "between the years");
    refused(EXPOSITION_TEXT, "a 0x10\n", "no number");
    refused(EXPOSITION_TEXT, "a 1e999\n", "no number");
    refused(EXPOSITION_TEXT, "a\n", "value is missing");
    refused(EXPOSITION_TEXT, "1a 1\n", "name was expected");
    refused(EXPOSITION_TEXT, "a{+=\"c\"} 1\n", "a label name was expected, and \"+=\"c\"} 1");
    refused(EXPOSITION_TEXT, "# TYPE a info\n", "\"info\" is no type; counter, gauge");
    refused(EXPOSITION_TEXT, "{\"a\",\"b\"} 1\n", "two names");
    refused(EXPOSITION_OPENMETRICS, "a 1\n", "# EOF is missing");
    refused(EXPOSITION_OPENMETRICS, "a 1\n# EOF\na", "behind # EOF");
    refused(EXPOSITION_OPENMETRICS, "# TYPE a histogram\na_bucket{le=\"1\"} 2\n# EOF\n",
            "le=\"+Inf\"");
}

static void limits_hold(void **state)
{
    exposition_page p;
    exposition_options two = { .sample_limit = 2 }, little = { .memory = 100000 };
    (void)state;
    assert_int_equal(exposition_read(&p, EXPOSITION_TEXT, STR("a 1\nb 1\nc 1\n"), &two, &err),
                     STATUS_LIMIT);
    assert_non_null(strstr(err.message, "more than 2 samples"));
    exposition_done(&p);
    buf page;
    buf_init(&page, 0);
    for (int i = 0; i < 4000; i++)
        buf_fmt(&page, "a{b=\"%d\"} 1\n", i);
    assert_int_equal(exposition_read(&p, EXPOSITION_TEXT, buf_view(&page), &little, &err),
                     STATUS_LIMIT);
    exposition_done(&p);
    buf_done(&page);
}

static void numbers_are_written_as_prometheus_3_writes_them(void **state)
{
    static const struct {
        const char *text, *canonical;
    } rows[] = { { "1", "1.0" },
                 { "0.5", "0.5" },
                 { "1e6", "1e+06" },
                 { "0", "0.0" },
                 { "-0.25", "-0.25" },
                 { "123456", "123456.0" },
                 { "1234567", "1.234567e+06" },
                 { "0.0001", "0.0001" },
                 { "0.00001", "1e-05" },
                 { "1e+23", "1e+23" },
                 { "0.50", "0.5" },
                 { "+Inf", "+Inf" },
                 { "Inf", "+Inf" },
                 { "10.0", "10.0" },
                 { "0.00012", "0.00012" },
                 { "00.5", "0.5" } };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        exposition_page p;
        char page[200];
        snprintf(page, sizeof(page), "# TYPE a histogram\na_bucket{le=\"%s\"} 1\n", rows[i].text);
        good(&p, EXPOSITION_TEXT, page);
        str le = exposition_label(&p.samples[0], STR("le"));
        if (!str_is(le, rows[i].canonical))
            fail_msg("%s became %.*s", rows[i].text, STR_ARG(le));
        exposition_done(&p);
    }
}

static void number_texts_are_the_nearest_doubles(void **state)
{
    static const char *const texts[] = { "0.1",
                                         "123456789012345678",
                                         "9007199254740993",
                                         "1e22",
                                         "1e23",
                                         "5e-324",
                                         "1.7976931348623157e308",
                                         "-0",
                                         "+.5",
                                         "5.",
                                         "123.456e-20",
                                         "0.30000000000000004",
                                         "000000000000000000000000001" };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        double v;
        assert_true(exposition_parse_number(str_c(texts[i]), &v));
        if (v != strtod(texts[i], NULL) || signbit(v) != signbit(strtod(texts[i], NULL)))
            fail_msg("%s became %.17g", texts[i], v);
    }
    static const char *const none[] = { "",  "-",    ".",     "1e",  "1e+", "0x1", "1_0",
                                        "e", "-nan", "1.1.1", "1,5", "--1", "in" };
    for (size_t i = 0; i < ARRAY_LEN(none); i++) {
        double v;
        if (exposition_parse_number(str_c(none[i]), &v))
            fail_msg("\"%s\" is no number", none[i]);
    }
}

static const char *const whole_page =
    "# HELP h Of something.\n# TYPE h histogram\n# UNIT h s\n"
    "h_bucket{job=\"j\",instance=\"i\",a=\"1\",le=\"0.5\"} 2\n"
    "h_bucket{job=\"j\",instance=\"i\",a=\"1\",le=\"+Inf\"} 5 # "
    "{trace_id=\"0102030405060708090a0b0c"
    "0d0e0f10\",x=\"y\"} 0.7 12.5\n"
    "h_count{job=\"j\",instance=\"i\",a=\"1\"} 5\nh_sum{job=\"j\",instance=\"i\",a=\"1\"} 2.5\n"
    "h_created{job=\"j\",instance=\"i\",a=\"1\"} 1000\n"
    "# TYPE q summary\nq{quantile=\"0.5\"} 3\nq{quantile=\"1\"} NaN\nq_sum 9\nq_count 4\n"
    "# TYPE c counter\nc_total{a=\"1\"} 7\n# TYPE i info\ni_info{v=\"1\"} 1\n# EOF\n";

/* Where 0 would say that nobody knows the time. */
static void a_time_of_zero_is_a_time(void **state)
{
    exposition_page p;
    exposition_options lenient = { .lenient = true };
    batch b;
    (void)state;
    assert_int_equal(
        exposition_read(&p, EXPOSITION_TEXT, STR("a 1 0\nb 1\nc 1 -1\n"), &lenient, &err),
        STATUS_OK);
    batch_init(&b, SIGNAL_METRICS, MiB(1));
    assert_true(exposition_append(&p, p.samples, p.sample_count, 77, &b));
    assert_int_equal(b.points.count, 3);
    assert_in_range(b.points.time_ns[0], 1, NS_PER_MS - 1);
    assert_int_equal(b.points.time_ns[1], 77);
    assert_int_equal(b.points.time_ns[2], -NS_PER_MS);
    batch_done(&b);
    exposition_done(&p);
}

static void whole_histograms_and_summaries_become_points(void **state)
{
    exposition_page p;
    exposition_options lenient = { .lenient = true };
    batch b;
    (void)state;
    assert_int_equal(exposition_read(&p, EXPOSITION_OPENMETRICS, str_c(whole_page), &lenient, &err),
                     STATUS_OK);
    batch_init(&b, SIGNAL_METRICS, MiB(1));
    assert_true(exposition_append(&p, p.samples, p.sample_count, 77, &b));
    assert_int_equal(b.points.count, 5); /* h, h_created, q, c_total, i_info */
    const batch_metric *m = &b.metrics[b.points.metric[0]];
    assert_true(str_is(m->name, "h") && m->type == METRIC_HISTOGRAM);
    assert_true(str_is(m->description, "Of something."));
    assert_true(str_is(b.scopes[m->scope].name, PROMETHEUS_SCOPE));
    const attrs *resource = &b.resources[b.scopes[m->scope].resource].attributes;
    assert_true(str_is(attrs_get_str(resource, STR("service.name")), "j"));
    assert_true(str_is(attrs_get_str(resource, STR("service.instance.id")), "i"));
    assert_int_equal(b.points.attributes[0].count, 1);
    const histogram_value *h = b.points.value[0].histogram;
    assert_int_equal(h->bound_count, 1);
    assert_true(h->bounds[0] == 0.5 && h->buckets[0] == 2 && h->buckets[1] == 3);
    assert_true(h->count == 5 && h->sum == 2.5);
    assert_int_equal(b.points.start_ns[0], 1000 * NS_PER_S);
    assert_int_equal(b.points.time_ns[0], 77);
    assert_int_equal(b.points.exemplars[0].count, 1);
    const exemplar *e = &b.points.exemplars[0].items[0];
    assert_true(e->f64 == 0.7 && e->time_ns == 12500 * NS_PER_MS && e->trace.bytes[15] == 16);
    assert_int_equal(e->filtered_attributes.count, 1);
    const summary_value *q = b.points.value[2].summary;
    assert_int_equal(q->quantile_count, 2);
    assert_true(q->count == 4 && q->sum == 9 && isnan(q->quantiles[1].value));
    m = &b.metrics[b.points.metric[3]];
    assert_true(str_is(m->name, "c_total") && m->type == METRIC_SUM && m->monotonic);
    m = &b.metrics[b.points.metric[4]];
    assert_true(str_is(m->name, "i_info") && m->type == METRIC_GAUGE);
    batch_done(&b);
    exposition_done(&p);
}

static void torn_histograms_stay_series(void **state)
{
    static const char *const torn[] = {
        "h_bucket{le=\"1\"} 2\nh_count 2\nh_sum 1\n",                          /* no +Inf */
        "h_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 3\nh_count 4\nh_sum 1\n", /* not the same */
        "h_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\nh_count 1\nh_sum 1\n", /* falls */
        "h_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 3\nh_count 3\n",          /* no sum */
        "h_bucket{le=\"1\"} 1.5\nh_bucket{le=\"+Inf\"} 3\nh_count 3\nh_sum 1\n",
        "h_bucket{le=\"+Inf\"} 3\nh_count{a=\"b\"} 3\nh_sum{a=\"b\"} 1\n",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(torn); i++) {
        exposition_page p;
        batch b;
        char page[300];
        snprintf(page, sizeof(page), "# TYPE h histogram\n%s", torn[i]);
        good(&p, EXPOSITION_TEXT, page);
        batch_init(&b, SIGNAL_METRICS, MiB(1));
        assert_true(exposition_append(&p, p.samples, p.sample_count, 1, &b));
        assert_int_equal(b.points.count, p.sample_count);
        for (uint32_t m = 0; m < b.metric_count; m++)
            assert_true(b.metrics[m].type == METRIC_SUM || b.metrics[m].type == METRIC_GAUGE);
        batch_done(&b);
        exposition_done(&p);
    }
}

static void stale_histograms_keep_their_bounds(void **state)
{
    exposition_page p;
    batch b;
    (void)state;
    good(&p, EXPOSITION_TEXT,
         "# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 3\nh_sum 1\nh_count 3\n");
    for (uint32_t i = 0; i < p.sample_count; i++)
        p.samples[i].stale = true;
    batch_init(&b, SIGNAL_METRICS, MiB(1));
    assert_true(exposition_append(&p, p.samples, p.sample_count, 1, &b));
    assert_int_equal(b.points.count, 1);
    assert_int_equal(b.points.flags[0], POINT_FLAG_NO_RECORDED_VALUE);
    assert_int_equal(b.points.value[0].histogram->bound_count, 1);
    batch_done(&b);
    exposition_done(&p);
}

/* ---- protobuf ---- */

static void native_page(buf *out, int schema)
{
    buf f;
    buf_init(&f, 0);
    pb_put_bytes(&f, 1, STR("n"));
    pb_put_varint(&f, 3, 4);
    pb_mark m = pb_begin(&f, 4, 100), h, span;
    pb_mark l = pb_begin(&f, 1, 6);
    pb_put_bytes(&f, 1, STR("a"));
    pb_put_bytes(&f, 2, STR("b"));
    pb_end(&f, l);
    h = pb_begin(&f, 7, 90);
    pb_put_varint(&f, 1, 10);
    pb_put_double(&f, 2, 33.5);
    for (int i = 0; i < 2; i++) { /* classic: le 1 and +Inf */
        span = pb_begin(&f, 3, 12);
        pb_put_varint(&f, 1, i ? 10 : 4);
        pb_put_double(&f, 2, i ? INFINITY : 1);
        pb_end(&f, span);
    }
    pb_put_sint(&f, 5, schema);
    pb_put_double(&f, 6, 0.001);
    pb_put_varint(&f, 7, 1);
    span = pb_begin(&f, 12, 4);
    pb_put_sint(&f, 1, -2);
    pb_put_varint(&f, 2, 2);
    pb_end(&f, span);
    span = pb_begin(&f, 12, 4);
    pb_put_sint(&f, 1, 3);
    pb_put_varint(&f, 2, 1);
    pb_end(&f, span);
    pb_put_sint(&f, 13, 4);  /* 4 */
    pb_put_sint(&f, 13, -1); /* 3 */
    pb_put_sint(&f, 13, -1); /* 2 */
    pb_end(&f, h);
    pb_end(&f, m);
    uint8_t length[10];
    buf_add(out, length, (size_t)(pb_write_varint(length, f.len) - length));
    buf_str(out, buf_view(&f));
    buf_done(&f);
}

static void native_histograms_have_opentelemetry_buckets(void **state)
{
    exposition_page p;
    exposition_options native = { .native = true };
    buf page;
    (void)state;
    buf_init(&page, 0);
    native_page(&page, 3);
    assert_int_equal(exposition_read(&p, EXPOSITION_PROTOBUF, buf_view(&page), &native, &err),
                     STATUS_OK);
    assert_int_equal(p.sample_count, 1);
    const exp_histogram_value *v = p.samples[0].native;
    assert_true(v->count == 10 && v->sum == 33.5 && v->zero_count == 1 && v->scale == 3);
    assert_int_equal(v->positive.offset, -3);
    assert_int_equal(v->positive.count, 6);
    static const uint64_t counts[] = { 4, 3, 0, 0, 0, 2 };
    assert_memory_equal(v->positive.counts, counts, sizeof(counts));
    exposition_done(&p);
    /* Not asked for: the classic buckets. */
    assert_int_equal(exposition_read(&p, EXPOSITION_PROTOBUF, buf_view(&page), NULL, &err),
                     STATUS_OK);
    assert_int_equal(p.sample_count, 4);
    assert_true(str_is(exposition_label(&p.samples[0], STR("le")), "1.0"));
    exposition_done(&p);
    for (size_t cut = 1; cut < page.len; cut++) {
        assert_int_not_equal(
            exposition_read(&p, EXPOSITION_PROTOBUF, str_n(page.ptr, cut), &native, &err),
            STATUS_OK);
        exposition_done(&p);
    }
    buf_done(&page);
}

static void contradicting_native_histograms_are_refused(void **state)
{
    exposition_options native = { .native = true };
    static const struct {
        char length; /* of the first span, which has two buckets */
        const char *says;
    } wrong[] = { { 1, "more bucket counts than buckets" },
                  { 3, "fewer bucket counts than buckets" } };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        exposition_page p;
        buf page;
        buf_init(&page, 0);
        native_page(&page, 3);
        char *length = memmem(page.ptr, page.len, "\x08\x03\x10\x02", 4);
        assert_non_null(length);
        length[3] = wrong[i].length;
        assert_int_equal(exposition_read(&p, EXPOSITION_PROTOBUF, buf_view(&page), &native, &err),
                         STATUS_INVALID);
        assert_non_null(strstr(err.message, wrong[i].says));
        exposition_done(&p);
        buf_done(&page);
    }
}

/* What the library writes is read as the same points. */
static void own_pages_are_read_back(void **state)
{
    static const prom_choice choices[] = { { .format = PROM_TEXT_0_0_4 },
                                           { .format = PROM_OPENMETRICS_1_0_0 },
                                           { .format = PROM_PROTOBUF } };
    static const exposition_format formats[] = { EXPOSITION_TEXT, EXPOSITION_OPENMETRICS,
                                                 EXPOSITION_PROTOBUF };
    exposition_page p;
    exposition_options lenient = { .lenient = true };
    batch from;
    (void)state;
    assert_int_equal(exposition_read(&p, EXPOSITION_OPENMETRICS, str_c(whole_page), &lenient, &err),
                     STATUS_OK);
    for (uint32_t i = 0; i < p.sample_count; i++) /* it would belong to two families */
        if (p.samples[i].part == PART_CREATED)
            memmove(&p.samples[i], &p.samples[i + 1],
                    (--p.sample_count - i) * sizeof(p.samples[0]));
    batch_init(&from, SIGNAL_METRICS, MiB(1));
    assert_true(exposition_append(&p, p.samples, p.sample_count, 77, &from));
    for (size_t i = 0; i < ARRAY_LEN(choices); i++) {
        exposition_page again;
        buf page;
        buf_init(&page, 0);
        assert_int_equal(prom_write(&from, &choices[i], NULL, &page, NULL, &err), STATUS_OK);
        if (exposition_read(&again, formats[i], buf_view(&page), NULL, &err) != STATUS_OK)
            fail_msg("%s\n%.*s", err.message, STR_ARG(buf_view(&page)));
        bool bucket = false;
        for (uint32_t n = 0; n < again.sample_count; n++)
            bucket |= str_starts(again.samples[n].name, STR("h_")) &&
                      again.samples[n].part == PART_BUCKET && again.samples[n].value == 2;
        assert_true(bucket);
        exposition_done(&again);
        buf_done(&page);
    }
    batch_done(&from);
    exposition_done(&p);
}

/* ---- the standard's own pages ---- */

static void conformance_pages(void **state)
{
    (void)state;
    const char *folder = SOURCE_DIR "/../shared/conformance/openmetrics";
    DIR *dir = opendir(folder);
    unsigned wrong = 0, pages = 0;
    if (!dir) {
        print_message("skipped: %s is not there\n", folder);
        skip();
    }
    for (struct dirent *d; (d = readdir(dir));) {
        char path[500];
        if (d->d_name[0] == '.')
            continue;
        buf page, verdict;
        buf_init(&page, 0);
        buf_init(&verdict, 0);
        snprintf(path, sizeof(path), "%s/%s/metrics", folder, d->d_name);
        assert_int_equal(file_read(path, &page, &err), STATUS_OK);
        snprintf(path, sizeof(path), "%s/%s/test.json", folder, d->d_name);
        assert_int_equal(file_read(path, &verdict, &err), STATUS_OK);
        bool should = str_contains(buf_view(&verdict), STR("\"shouldParse\": true"));
        exposition_page p;
        err.message[0] = 0;
        bool did =
            exposition_read(&p, EXPOSITION_OPENMETRICS, buf_view(&page), NULL, &err) == STATUS_OK;
        if (did != should) {
            print_error("%s: %s\n", d->d_name, did ? "taken" : err.message);
            wrong++;
        }
        pages++;
        exposition_done(&p);
        buf_done(&page);
        buf_done(&verdict);
    }
    closedir(dir);
    assert_true(pages > 50);
    assert_int_equal(wrong, 0);
}

static void classic_histograms_become_native_ones_where_that_is_asked(void **state)
{
    (void)state;
    const char *page = "# TYPE h histogram\nh_bucket{le=\"0.5\"} 2\nh_bucket{le=\"1\"} 2\n"
                       "h_bucket{le=\"+Inf\"} 5\nh_sum 7.5\nh_count 5\n";
    static const double counts[] = { 2, 0, 3 };
    for (int classic = 0; classic < 2; classic++) {
        exposition_options o = { .customs = true, .classic = classic };
        exposition_page p;
        error err;
        batch b;
        batch_init(&b, SIGNAL_METRICS, MiB(1));
        assert_int_equal(exposition_read(&p, EXPOSITION_TEXT, str_c(page), &o, &err), STATUS_OK);
        assert_true(exposition_append(&p, p.samples, p.sample_count, 1, &b));
        assert_int_equal(b.points.count, classic ? 6 : 1);
        const histogram *h = b.points.value[0].histogram->native;
        assert_int_equal(h->schema, NATIVE_SCHEMA_CUSTOM);
        assert_int_equal(h->custom_count, 2);
        assert_int_equal(h->positive.count, 3);
        assert_memory_equal(h->positive.counts, counts, sizeof(counts));
        assert_true(h->count == 5 && h->sum == 7.5);
        batch_done(&b);
        exposition_done(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_samples_have_names_labels_values_and_times),
        cmocka_unit_test(errors_say_line_and_reason),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(numbers_are_written_as_prometheus_3_writes_them),
        cmocka_unit_test(number_texts_are_the_nearest_doubles),
        cmocka_unit_test(a_time_of_zero_is_a_time),
        cmocka_unit_test(whole_histograms_and_summaries_become_points),
        cmocka_unit_test(torn_histograms_stay_series),
        cmocka_unit_test(stale_histograms_keep_their_bounds),
        cmocka_unit_test(native_histograms_have_opentelemetry_buckets),
        cmocka_unit_test(contradicting_native_histograms_are_refused),
        cmocka_unit_test(own_pages_are_read_back),
        cmocka_unit_test(conformance_pages),
        cmocka_unit_test(classic_histograms_become_native_ones_where_that_is_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
