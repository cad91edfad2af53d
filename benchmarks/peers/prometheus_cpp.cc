// SPDX-License-Identifier: Apache-2.0
/* prometheus-cpp: the same calls as the metric part of library.c, and a scrape of 10,000 series. */
#include "benchmarks/measure.h"

#include <prometheus/counter.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <string>

static prometheus::Registry registry, large;
static prometheus::Family<prometheus::Counter> *requests;
static prometheus::Counter *bound;
static prometheus::Histogram *durations;

static void counter_add(int)
{
    for (int i = 0; i < MEASURE_BURST; i++)
        bound->Increment();
}

static void counter_add_1_label(int)
{
    for (int i = 0; i < MEASURE_BURST; i++)
        requests->Add({ { "currency", "EUR" } }).Increment();
}

static void counter_add_3_labels(int)
{
    for (int i = 0; i < MEASURE_BURST; i++)
        requests->Add({ { "route", "/users/{id}" }, { "method", "GET" }, { "status", "200" } })
            .Increment();
}

static void histogram_record(int)
{
    for (int i = 0; i < MEASURE_BURST; i++)
        durations->Observe(0.001 * i);
}

static size_t page_bytes;

static void scrape()
{
    page_bytes = prometheus::TextSerializer().Serialize(large.Collect()).size();
}

int main()
{
    requests =
        &prometheus::BuildCounter().Name("requests_total").Help("Requests.").Register(registry);
    bound = &requests->Add({ { "currency", "EUR" } });
    durations =
        &prometheus::BuildHistogram()
             .Name("duration_seconds")
             .Help("Durations.")
             .Register(registry)
             .Add({ { "route", "/users/{id}" } },
                  prometheus::Histogram::BucketBoundaries{ 0.005, 0.01, 0.025, 0.05, 0.075, 0.1,
                                                           0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10 });
    auto &many = prometheus::BuildCounter().Name("many_total").Help("Many.").Register(large);
    for (int i = 0; i < 10000; i++)
        many.Add(
                { { "route", "/r" + std::to_string(i / 100) }, { "pod", std::to_string(i % 100) } })
            .Increment(i);
    const measure measures[] = {
        { "counter add, bound", counter_add, "" },
        { "counter add, 1 label", counter_add_1_label, "" },
        { "counter add, 3 labels", counter_add_3_labels, "" },
        { "histogram record, bound", histogram_record, "" },
    };
    measure_table("prometheus-cpp", measures, sizeof(measures) / sizeof(*measures), nullptr);
    measure_slow("scrape of 10,000 series", scrape, 30, "");
    return page_bytes > 100000 ? 0 : 1;
}
