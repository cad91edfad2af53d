// SPDX-License-Identifier: Apache-2.0
/* For tests of metrics: a recorder in a temporary directory made current, and its values read back
 * through the reader that everything else uses. */
#ifndef SONDE_TESTS_METRIC_SUPPORT_H
#define SONDE_TESTS_METRIC_SUPPORT_H

#include "tests/support.h"

#include "codec/recorder_metrics.h"
#include "lib/metric.h"
#include "lib/state.h"

static error err;
static char test_dir[64];
static recorder *test_recorder;

static inline void start_recorder(size_t bytes)
{
    attr resource = { STR("service.name"), VALUE_S(STR("test")) };
    recorder_options options = { .service = STR("test"),
                                 .dir = str_c(test_dir),
                                 .bytes = bytes,
                                 .resource = &resource,
                                 .resource_count = 1 };
    assert_ok(recorder_open(&test_recorder, &options, &err));
    assert_ok(state_enable(test_recorder, &options, SONDE_INFO, (state_sampler){ 0 }, &err));
    metric_attach();
}

static inline void stop_recorder(void)
{
    assert_ptr_equal(state_disable(), test_recorder);
    metric_detach();
    recorder_close(test_recorder, true);
    test_recorder = NULL;
}

static inline int with_recorder(void **state)
{
    (void)state;
    test_make_dir(test_dir);
    start_recorder(0);
    return 0;
}

static inline int without_recorder(void **state)
{
    (void)state;
    if (test_recorder)
        stop_recorder();
    test_remove_dir(test_dir);
    return 0;
}

static inline void read_metrics_of(recorder_reader *r, batch *b)
{
    batch_init(b, SIGNAL_METRICS, MiB(64));
    assert_ok(recorder_metrics_read(r, b, &err));
}

static inline void read_metrics(batch *b)
{
    recorder_reader *r;
    metric_collect();
    assert_ok(recorder_open_reader(test_recorder, &r, NULL, &err));
    read_metrics_of(r, b);
    recorder_reader_close(r);
}

/* "key=value,key=value" of a point, in the order of the labels. */
static inline bool point_is(const batch *b, uint32_t point, const char *name, const char *labels)
{
    if (!str_is(b->metrics[b->points.metric[point]].name, name))
        return false;
    buf text;
    buf_init(&text, 0);
    const attrs *a = &b->points.attributes[point];
    for (uint32_t i = 0; i < a->count; i++) {
        const value *v = &a->items[i].value;
        buf_fmt(&text, "%s%.*s=", i > 0 ? "," : "", STR_ARG(a->items[i].key));
        if (v->type == VALUE_STR)
            buf_str(&text, v->s);
        else
            buf_str(&text, v->b ? STR("true") : STR("false"));
    }
    bool same = str_is(buf_view(&text), labels);
    buf_done(&text);
    return same;
}

static inline uint32_t find_point(const batch *b, const char *name, const char *labels)
{
    for (uint32_t i = 0; i < b->points.count; i++)
        if (point_is(b, i, name, labels))
            return i;
    return UINT32_MAX;
}

static inline double number_in(const batch *b, const char *name, const char *labels)
{
    uint32_t i = find_point(b, name, labels);
    if (i == UINT32_MAX)
        fail_msg("there is no %s{%s}", name, labels);
    const point_value *v = &b->points.value[i];
    return v->is_int ? (double)v->i64 : v->f64;
}

static inline double read_number(const char *name, const char *labels)
{
    batch b;
    read_metrics(&b);
    double v = number_in(&b, name, labels);
    batch_done(&b);
    return v;
}

static inline bool is_exported(const char *name, const char *labels)
{
    batch b;
    read_metrics(&b);
    bool found = find_point(&b, name, labels) != UINT32_MAX;
    batch_done(&b);
    return found;
}

#define assert_number(name, labels, expected) \
    do { \
        double got_ = read_number(name, labels), want_ = (expected); \
        if (got_ != want_) \
            fail_msg("%s{%s} is %g, expected %g", name, labels, got_, want_); \
    } while (0)

#endif
