// SPDX-License-Identifier: Apache-2.0
/* The ways of rows through a configuration: one for each sink, with the stages of its own pipelines
 * only, whatever connectors and processors that wait lie between. */
#include "support.h"

#include "pipeline/pipelines_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define HEAD \
    "receivers:\n" \
    "  otlp: {protocols: {http: {endpoint: '127.0.0.1:1'}}}\n" \
    "  otlp/2: {protocols: {http: {endpoint: '127.0.0.1:2'}}}\n" \
    "processors:\n" \
    "  batch: {timeout: 7s, send_batch_size: 70}\n" \
    "  batch/2: {timeout: 9s, send_batch_size: 90}\n" \
    "  resource/a: {attributes: [{key: a, value: 1, action: upsert}]}\n" \
    "  resource/b: {attributes: [{key: b, value: 1, action: upsert}]}\n" \
    "  resource/c: {attributes: [{key: c, value: 1, action: upsert}]}\n" \
    "  tail_sampling: {decision_wait: 1s, policies: [{name: all, type: always_sample}]}\n" \
    "connectors: {forward: {}, forward/2: {}, count: {}}\n" \
    "exporters: {sonde: {}, debug: {}, debug/2: {}}\n" \
    "service:\n" \
    "  pipelines:\n"

static char told[4096];

static void tell(void *user, bool warning, const char *text)
{
    (void)user;
    if (!warning)
        snprintf(told, sizeof(told), "%s", text);
}

typedef struct {
    char *dir;
    collector *collector;
    pipelines *p;
} graph;

static graph try_build(const char *text, status *ret, error *err)
{
    graph g = { .dir = strdup("/tmp/sonde-graph-XXXXXX"), .p = calloc(1, sizeof(pipelines)) };
    assert_non_null(mkdtemp(g.dir));
    assert_int_equal(collector_new(&g.collector, &(collector_options){ .data = g.dir }, err),
                     STATUS_OK);
    g.p->owner = g.collector;
    if (config_parse(&g.p->file, "c.yaml", str_c(text), NULL, tell, NULL, err) != STATUS_OK)
        fail_msg("%s", told);
    *ret = graph_build(g.p, err);
    return g;
}

static graph build(const char *text)
{
    error err = { 0 };
    status st;
    graph g = try_build(text, &st, &err);
    if (st != STATUS_OK)
        fail_msg("%s", err.message);
    return g;
}

static void done(graph *g)
{
    graph_free(g->p);
    collector_free(g->collector);
    rmdir(g->dir);
    free(g->dir);
}

static const char *origin_name(const graph *g, uint16_t number)
{
    assert_in_range(number, 1, g->collector->origin_count);
    return g->collector->origins[number - 1];
}

/* A line for each: "otlp+otlp/2 traces: resource/a*, count -> debug"; '*': another one counts it.
 */
static void assert_paths(const char *pipelines_text, const char *want)
{
    char text[8000];
    buf got;
    buf_init(&got, KiB(64));
    snprintf(text, sizeof(text), "%s%s", HEAD, pipelines_text);
    graph g = build(text);
    for (uint32_t i = 0; i < g.p->path_count; i++) {
        const path *p = &g.p->paths[i];
        for (uint32_t k = 0; k < p->origin_count; k++)
            buf_fmt(&got, "%s%s", k ? "+" : "", origin_name(&g, p->origins[k]));
        buf_fmt(&got, " %s:", signal_name(p->signal));
        for (uint32_t k = 0; k < p->stage_count; k++)
            buf_fmt(&got, " %s%s", p->stages[k]->id, k < p->shared ? "*" : "");
        if (p->has_batching)
            buf_fmt(&got, " [%lld]", (long long)p->batching.send_batch_size);
        buf_fmt(&got, " -> %s\n", p->sink->id);
    }
    buf_char(&got, 0);
    assert_string_equal(got.ptr, want);
    buf_done(&got);
    done(&g);
}

static void a_pipeline_gives_a_path_to_each_exporter(void **state)
{
    (void)state;
    assert_paths(
        "    logs: {receivers: [otlp, otlp/2], processors: [resource/a, batch, resource/b], "
        "exporters: [sonde, debug]}\n",
        "otlp+otlp/2 logs: resource/a resource/b [70] -> sonde\n"
        "otlp+otlp/2 logs: resource/a* resource/b* [70] -> debug\n");
}

static void pipelines_of_one_receiver_are_paths_of_their_own(void **state)
{
    (void)state;
    assert_paths("    logs: {receivers: [otlp], processors: [resource/a], exporters: [debug]}\n"
                 "    logs/2: {receivers: [otlp], processors: [resource/b], exporters: [debug]}\n"
                 "    traces: {receivers: [otlp/2], exporters: [debug]}\n",
                 "otlp logs: resource/a -> debug\n"
                 "otlp logs: resource/b -> debug\n"
                 "otlp/2 traces: -> debug\n");
}

static void connectors_lead_on_and_back(void **state)
{
    (void)state;
    assert_paths(
        "    logs: {receivers: [otlp], processors: [resource/a], "
        "exporters: [forward, count, debug]}\n"
        "    logs/in: {receivers: [forward], processors: [resource/b, batch], "
        "exporters: [forward/2, sonde]}\n"
        "    logs/deep: {receivers: [forward/2], processors: [resource/c, batch/2], "
        "exporters: [debug/2]}\n"
        "    metrics: {receivers: [count], processors: [resource/c], exporters: [debug]}\n",
        "otlp logs: resource/a resource/b resource/c [90] -> debug/2\n"
        "otlp logs: resource/a* resource/b* [70] -> sonde\n"
        "otlp logs: resource/a* count resource/c -> debug\n"
        "otlp logs: resource/a* -> debug\n");
}

static void a_connector_into_two_pipelines_makes_two_ways(void **state)
{
    (void)state;
    assert_paths(
        "    logs: {receivers: [otlp], exporters: [forward]}\n"
        "    logs/b: {receivers: [forward, otlp/2], processors: [resource/b], exporters: "
        "[debug]}\n"
        "    logs/c: {receivers: [forward], processors: [resource/c], exporters: [debug]}\n",
        "otlp logs: resource/b -> debug\n"
        "otlp logs: resource/c -> debug\n"
        "otlp/2 logs: resource/b -> debug\n");
}

static void a_processor_that_waits_ends_a_path_and_begins_another(void **state)
{
    (void)state;
    assert_paths(
        "    traces: {receivers: [otlp], processors: [resource/a, tail_sampling, resource/b, "
        "batch], exporters: [sonde, debug]}\n",
        "otlp traces: resource/a -> tail_sampling@traces\n"
        "tail_sampling@traces traces: resource/b [70] -> sonde\n"
        "tail_sampling@traces traces: resource/b* [70] -> debug\n");
}

/* What stands behind the one that waits must not take the place of what stands before the others.
 */
static void a_way_past_a_processor_that_waits_keeps_its_stages(void **state)
{
    (void)state;
    assert_paths("    traces: {receivers: [otlp], processors: [resource/a], exporters: [forward, "
                 "debug]}\n"
                 "    traces/slow: {receivers: [forward], processors: [tail_sampling, resource/b, "
                 "resource/c], exporters: [debug/2]}\n",
                 "otlp traces: resource/a -> tail_sampling@traces/slow\n"
                 "tail_sampling@traces/slow traces: resource/b resource/c -> debug/2\n"
                 "otlp traces: resource/a -> debug\n");
}

static void too_many_ways_into_the_store_are_refused_at_start(void **state)
{
    (void)state;
    for (int ways = STORE_ROUTED_MAX; ways <= STORE_ROUTED_MAX + 1; ways++) {
        error err = { 0 };
        buf text;
        buf_init(&text, KiB(16));
        buf_lit(&text, "receivers: { otlp: { protocols: { grpc: } } }\n"
                       "exporters: { sonde: }\nservice:\n  pipelines:\n");
        for (int i = 0; i < ways; i++)
            buf_fmt(&text, "    logs/%d: { receivers: [otlp], exporters: [sonde] }\n", i);
        buf_char(&text, 0);
        status st;
        graph g = try_build(text.ptr, &st, &err);
        assert_int_equal(st, ways > STORE_ROUTED_MAX ? STATUS_LIMIT : STATUS_OK);
        if (st != STATUS_OK)
            assert_string_equal(err.message,
                                "logs of otlp go 9 ways into the store, at most 8 are possible");
        done(&g);
        buf_done(&text);
    }
}

static void senders_keep_their_numbers(void **state)
{
    (void)state;
    error err;
    char path[200];
    char dir[] = "/tmp/sonde-origins-XXXXXX";
    assert_non_null(mkdtemp(dir));
    collector_options o = { .data = dir };
    collector *c;
    assert_int_equal(collector_new(&c, &o, &err), STATUS_OK);
    assert_int_equal(origin_number(c, "otlp"), 1);
    assert_int_equal(origin_number(c, "zipkin"), 2);
    assert_int_equal(origins_save(c, &err), STATUS_OK);
    collector_free(c);
    assert_int_equal(collector_new(&c, &o, &err), STATUS_OK);
    assert_int_equal(origin_number(c, "loki"), 3);
    assert_int_equal(origin_number(c, "zipkin"), 2);
    assert_int_equal(origin_number(c, "otlp"), 1);
    collector_free(c);
    for (int i = 0; i < 3; i++) {
        static const char *const names[] = { "pipeline/origins", "pipeline", "" };
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        assert_int_equal(remove(path), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pipeline_gives_a_path_to_each_exporter),
        cmocka_unit_test(pipelines_of_one_receiver_are_paths_of_their_own),
        cmocka_unit_test(connectors_lead_on_and_back),
        cmocka_unit_test(a_connector_into_two_pipelines_makes_two_ways),
        cmocka_unit_test(a_processor_that_waits_ends_a_path_and_begins_another),
        cmocka_unit_test(a_way_past_a_processor_that_waits_keeps_its_stages),
        cmocka_unit_test(too_many_ways_into_the_store_are_refused_at_start),
        cmocka_unit_test(senders_keep_their_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
