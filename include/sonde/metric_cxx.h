/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs of <sonde/metric.h> in C++11 and later: overloads instead of macros, so that the same
 * lines mean the same in both languages. Include <sonde/metric.h>, not this.
 * Options: sonde_counter_new(name, help, SONDE_LABELS("a"), options), whose name, help and labels
 * are ignored. */
#ifndef SONDE_METRIC_CXX_H
#define SONDE_METRIC_CXX_H

#include <type_traits>

namespace sonde_detail
{
/* Lives until the end of the full expression, which is as long as a _new looks at it. */
struct label_names {
    const char *names[SONDE_METRIC_LABELS_MAX + 1];
    operator sonde_labels() const
    {
        sonde_labels l = { names };
        return l;
    }
};

template <class... Names> label_names labels_of(Names... names)
{
    static_assert(sizeof...(names) <= SONDE_METRIC_LABELS_MAX, "too many labels for one metric");
    return label_names{ { names..., nullptr } };
}

struct bound_values {
    double values[SONDE_METRIC_BOUNDS_MAX];
    size_t count;
    operator sonde_bounds() const
    {
        sonde_bounds b = { values, count };
        return b;
    }
};

template <class... Values> bound_values bounds_of(Values... values)
{
    static_assert(sizeof...(values) <= SONDE_METRIC_BOUNDS_MAX, "too many bounds");
    return bound_values{ { static_cast<double>(values)... }, sizeof...(values) };
}

inline sonde_metric_options options_of(const char *name, const char *help, sonde_labels labels,
                                       sonde_metric_options options)
{
    options.name = name;
    options.help = help;
    options.labels = labels;
    return options;
}

class timer
{
  public:
    explicit timer(sonde_bound_histogram *h) : timer_(sonde_timer_start(h)), again_(true)
    {
    }
    ~timer()
    {
        sonde_timer_stop(&timer_);
    }
    timer(const timer &) = delete;
    timer &operator=(const timer &) = delete;
    bool once()
    {
        bool now = again_;
        again_ = false;
        return now;
    }

  private:
    sonde_timer timer_;
    bool again_;
};
} // namespace sonde_detail

#define SONDE_LABELS(...) (::sonde_detail::labels_of(__VA_ARGS__))
#define SONDE_BOUNDS(...) (::sonde_detail::bounds_of(__VA_ARGS__))

inline sonde_counter *sonde_counter_new(const char *name, const char *help, sonde_labels labels,
                                        sonde_metric_options options = sonde_metric_options())
{
    options = sonde_detail::options_of(name, help, labels, options);
    return sonde_counter_create(&options);
}

inline sonde_counter *sonde_updown_counter_new(
    const char *name, const char *help, sonde_labels labels,
    sonde_metric_options options = sonde_metric_options())
{
    options = sonde_detail::options_of(name, help, labels, options);
    return sonde_updown_counter_create(&options);
}

inline sonde_gauge *sonde_gauge_new(const char *name, const char *help, sonde_labels labels,
                                    sonde_metric_options options = sonde_metric_options())
{
    options = sonde_detail::options_of(name, help, labels, options);
    return sonde_gauge_create(&options);
}

inline sonde_histogram *sonde_histogram_new(const char *name, const char *help, sonde_labels labels,
                                            sonde_metric_options options = sonde_metric_options())
{
    options = sonde_detail::options_of(name, help, labels, options);
    return sonde_histogram_create(&options);
}

inline sonde_gauge *sonde_gauge_callback(const char *name, const char *help, sonde_gauge_read *read,
                                         void *user, sonde_labels labels,
                                         sonde_metric_options options = sonde_metric_options())
{
    options = sonde_detail::options_of(name, help, labels, options);
    return sonde_gauge_callback_create(&options, read, user);
}

template <class N, class... Labels>
typename std::enable_if<std::is_integral<N>::value>::type sonde_counter_add(sonde_counter *c, N n,
                                                                            Labels... labels)
{
    const char *const texts[] = { labels..., nullptr };
    sonde_counter_add_i64(c, static_cast<int64_t>(n), texts, sizeof...(labels));
}

template <class N, class... Labels>
typename std::enable_if<std::is_floating_point<N>::value>::type sonde_counter_add(sonde_counter *c,
                                                                                  N n,
                                                                                  Labels... labels)
{
    const char *const texts[] = { labels..., nullptr };
    sonde_counter_add_f64(c, static_cast<double>(n), texts, sizeof...(labels));
}

template <class N>
typename std::enable_if<std::is_integral<N>::value>::type sonde_counter_add(sonde_bound_counter *c,
                                                                            N n)
{
    sonde_bound_counter_add_i64(c, static_cast<int64_t>(n));
}

template <class N>
typename std::enable_if<std::is_floating_point<N>::value>::type sonde_counter_add(
    sonde_bound_counter *c, N n)
{
    sonde_bound_counter_add_f64(c, static_cast<double>(n));
}

template <class... Labels> void sonde_gauge_set(sonde_gauge *g, double v, Labels... labels)
{
    const char *const texts[] = { labels..., nullptr };
    sonde_gauge_set_f64(g, v, texts, sizeof...(labels));
}

template <class... Labels> void sonde_gauge_add(sonde_gauge *g, double v, Labels... labels)
{
    const char *const texts[] = { labels..., nullptr };
    sonde_gauge_add_f64(g, v, texts, sizeof...(labels));
}

inline void sonde_gauge_set(sonde_bound_gauge *g, double v)
{
    sonde_bound_gauge_set_f64(g, v);
}

inline void sonde_gauge_add(sonde_bound_gauge *g, double v)
{
    sonde_bound_gauge_add_f64(g, v);
}

template <class... Labels>
void sonde_histogram_record(sonde_histogram *h, double v, Labels... labels)
{
    const char *const texts[] = { labels..., nullptr };
    sonde_histogram_record_f64(h, v, texts, sizeof...(labels));
}

inline void sonde_histogram_record(sonde_bound_histogram *h, double v)
{
    sonde_bound_histogram_record_f64(h, v);
}

template <class... Labels>
sonde_bound_counter *sonde_counter_bind(sonde_counter *c, Labels... labels)
{
    const char *const texts[] = { labels..., nullptr };
    return sonde_counter_bind_labels(c, texts, sizeof...(labels));
}

template <class... Labels> sonde_bound_gauge *sonde_gauge_bind(sonde_gauge *g, Labels... labels)
{
    const char *const texts[] = { labels..., nullptr };
    return sonde_gauge_bind_labels(g, texts, sizeof...(labels));
}

template <class... Labels>
sonde_bound_histogram *sonde_histogram_bind(sonde_histogram *h, Labels... labels)
{
    const char *const texts[] = { labels..., nullptr };
    return sonde_histogram_bind_labels(h, texts, sizeof...(labels));
}

namespace sonde_detail
{
inline sonde_bound_histogram *timed(sonde_bound_histogram *h)
{
    return h;
}

template <class... Labels> sonde_bound_histogram *timed(sonde_histogram *h, Labels... labels)
{
    return sonde_histogram_bind(h, labels...);
}
} // namespace sonde_detail

#define SONDE_TIMER(...)        SONDE_TIMER_AS_(__COUNTER__, __VA_ARGS__)
#define SONDE_TIMER_AS_(n, ...) SONDE_TIMER_NAMED_(n, __VA_ARGS__)
#define SONDE_TIMER_NAMED_(n, ...) \
    for (::sonde_detail::timer sonde_timer_##n(::sonde_detail::timed(__VA_ARGS__)); \
         sonde_timer_##n.once();)

#endif
