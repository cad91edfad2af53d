/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs of <sonde/metric.h> in C: macros that take a metric with label values or a bound handle
 * without, and choose the function by type. Include <sonde/metric.h>, not this. */
#ifndef SONDE_METRIC_VERBS_H
#define SONDE_METRIC_VERBS_H

/* (value, "a", "b", NULL) → value; and → an array that is never empty: { NULL, "a", "b", NULL }. */
#define SONDE_METRIC_FIRST_(first, ...) (first)
#define SONDE_METRIC_TEXTS_(first, ...) ((const char *const[]){ NULL, __VA_ARGS__ })
#define SONDE_METRIC_VALUE_(...)        SONDE_METRIC_FIRST_(__VA_ARGS__, 0)
#define SONDE_METRIC_LABEL_VALUES_(...) (SONDE_METRIC_TEXTS_(__VA_ARGS__, NULL) + 1)
#define SONDE_METRIC_LABEL_COUNT_(...) \
    (sizeof(SONDE_METRIC_TEXTS_(__VA_ARGS__, NULL)) / sizeof(char *) - 2)
/* As SONDE_METRIC_LABEL_COUNT_; does not compile when a bound handle is given labels once more. */
#define SONDE_METRIC_BOUND_COUNT_(is_bound, ...) \
    (SONDE_METRIC_LABEL_COUNT_(__VA_ARGS__) + \
     0 * sizeof(char[(is_bound) && SONDE_METRIC_LABEL_COUNT_(__VA_ARGS__) > 0 ? -1 : 1]))

#define sonde_counter_add(c, ...) \
    _Generic(SONDE_METRIC_VALUE_(__VA_ARGS__), float \
             : _Generic((c), sonde_bound_counter * \
                        : sonde_bound_counter_add_f64_, default \
                        : sonde_counter_add_f64), \
               double \
             : _Generic((c), sonde_bound_counter * \
                        : sonde_bound_counter_add_f64_, default \
                        : sonde_counter_add_f64), \
               default \
             : _Generic((c), sonde_bound_counter * \
                        : sonde_bound_counter_add_i64_, default \
                        : sonde_counter_add_i64))( \
        (c), SONDE_METRIC_VALUE_(__VA_ARGS__), SONDE_METRIC_LABEL_VALUES_(__VA_ARGS__), \
        SONDE_METRIC_BOUND_COUNT_(_Generic((c), sonde_bound_counter * : 1, default : 0), \
                                  __VA_ARGS__))

#define sonde_gauge_set(g, ...) \
    _Generic((g), sonde_bound_gauge * \
             : sonde_bound_gauge_set_f64_, default \
             : sonde_gauge_set_f64)( \
        (g), SONDE_METRIC_VALUE_(__VA_ARGS__), SONDE_METRIC_LABEL_VALUES_(__VA_ARGS__), \
        SONDE_METRIC_BOUND_COUNT_(_Generic((g), sonde_bound_gauge * : 1, default : 0), \
                                  __VA_ARGS__))

#define sonde_gauge_add(g, ...) \
    _Generic((g), sonde_bound_gauge * \
             : sonde_bound_gauge_add_f64_, default \
             : sonde_gauge_add_f64)( \
        (g), SONDE_METRIC_VALUE_(__VA_ARGS__), SONDE_METRIC_LABEL_VALUES_(__VA_ARGS__), \
        SONDE_METRIC_BOUND_COUNT_(_Generic((g), sonde_bound_gauge * : 1, default : 0), \
                                  __VA_ARGS__))

#define sonde_histogram_record(h, ...) \
    _Generic((h), sonde_bound_histogram * \
             : sonde_bound_histogram_record_f64_, default \
             : sonde_histogram_record_f64)( \
        (h), SONDE_METRIC_VALUE_(__VA_ARGS__), SONDE_METRIC_LABEL_VALUES_(__VA_ARGS__), \
        SONDE_METRIC_BOUND_COUNT_(_Generic((h), sonde_bound_histogram * : 1, default : 0), \
                                  __VA_ARGS__))

/* sonde_counter_bind(c, labels…) */
#define sonde_counter_bind(...) \
    sonde_counter_bind_labels(SONDE_METRIC_VALUE_(__VA_ARGS__), \
                              SONDE_METRIC_LABEL_VALUES_(__VA_ARGS__), \
                              SONDE_METRIC_LABEL_COUNT_(__VA_ARGS__))
#define sonde_gauge_bind(...) \
    sonde_gauge_bind_labels(SONDE_METRIC_VALUE_(__VA_ARGS__), \
                            SONDE_METRIC_LABEL_VALUES_(__VA_ARGS__), \
                            SONDE_METRIC_LABEL_COUNT_(__VA_ARGS__))
#define sonde_histogram_bind(...) \
    sonde_histogram_bind_labels(SONDE_METRIC_VALUE_(__VA_ARGS__), \
                                SONDE_METRIC_LABEL_VALUES_(__VA_ARGS__), \
                                SONDE_METRIC_LABEL_COUNT_(__VA_ARGS__))

/* SONDE_TIMER(histogram or bound histogram, labels…) { … }: records how long the block took, in
 * seconds, however it is left. */
#define SONDE_TIMER(...)        SONDE_TIMER_AS_(__COUNTER__, __VA_ARGS__)
#define SONDE_TIMER_AS_(n, ...) SONDE_TIMER_NAMED_(n, __VA_ARGS__)
#define SONDE_TIMER_NAMED_(n, ...) \
    for (sonde_timer sonde_timer_##n __attribute__((cleanup(sonde_timer_stop))) = \
             sonde_timer_start(SONDE_METRIC_TIMED_(__VA_ARGS__)), \
                                     *sonde_timer_once_##n = &sonde_timer_##n; \
         sonde_timer_once_##n; sonde_timer_once_##n = NULL)
#define SONDE_METRIC_TIMED_(...) \
    _Generic(SONDE_METRIC_VALUE_(__VA_ARGS__), sonde_bound_histogram * \
             : sonde_bound_histogram_itself_, default \
             : sonde_histogram_bind_labels)( \
        SONDE_METRIC_VALUE_(__VA_ARGS__), SONDE_METRIC_LABEL_VALUES_(__VA_ARGS__), \
        SONDE_METRIC_BOUND_COUNT_( \
            _Generic(SONDE_METRIC_VALUE_(__VA_ARGS__), sonde_bound_histogram * : 1, default : 0), \
            __VA_ARGS__))

/* The bound forms in the shape of the others, so that one macro can call either. */

static inline void sonde_bound_counter_add_i64_(sonde_bound_counter *c, int64_t n,
                                                const char *const *none, size_t count)
{
    (void)none, (void)count;
    sonde_bound_counter_add_i64(c, n);
}

static inline void sonde_bound_counter_add_f64_(sonde_bound_counter *c, double n,
                                                const char *const *none, size_t count)
{
    (void)none, (void)count;
    sonde_bound_counter_add_f64(c, n);
}

static inline void sonde_bound_gauge_set_f64_(sonde_bound_gauge *g, double v,
                                              const char *const *none, size_t count)
{
    (void)none, (void)count;
    sonde_bound_gauge_set_f64(g, v);
}

static inline void sonde_bound_gauge_add_f64_(sonde_bound_gauge *g, double v,
                                              const char *const *none, size_t count)
{
    (void)none, (void)count;
    sonde_bound_gauge_add_f64(g, v);
}

static inline void sonde_bound_histogram_record_f64_(sonde_bound_histogram *h, double v,
                                                     const char *const *none, size_t count)
{
    (void)none, (void)count;
    sonde_bound_histogram_record_f64(h, v);
}

static inline sonde_bound_histogram *sonde_bound_histogram_itself_(sonde_bound_histogram *h,
                                                                   const char *const *none,
                                                                   size_t count)
{
    (void)none, (void)count;
    return h;
}

#endif
