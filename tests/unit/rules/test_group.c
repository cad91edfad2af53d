// SPDX-License-Identifier: Apache-2.0
/* A group over a store of its own, at times that the test chooses: alerts and their states, what is
 * written, what is told, restoring and catching up. */
#include "support.h"

#include "rules/group_internal.h"

#include <math.h>

enum { MINUTE = 60000 };
#define T0 INT64_C(1700000000000)

typedef struct {
    char dir[64];
    store *store;
    alert told[64];
    char names[64][64];
    uint32_t told_count;
    bool refuses;
    alert_sink sink;
    rules_options options;
} world;

static status take(void *user, const alert *alerts, uint32_t count, error *err)
{
    world *w = user;
    if (w->refuses)
        return fail(err, STATUS_BUSY, "not now");
    for (uint32_t i = 0; i < count && w->told_count < 64; i++) {
        labels l = { alerts[i].labels, alerts[i].label_count };
        buf b = { .ptr = w->names[w->told_count], .cap = 63, .limit = 63 };
        labels_print(&b, l);
        w->told[w->told_count++] = alerts[i];
    }
    return STATUS_OK;
}

static int open_world(void **state)
{
    error err;
    world *w = calloc(1, sizeof(*w));
    test_make_dir(w->dir);
    assert_ok(store_open(&w->store, &(store_options){ .dir = w->dir }, &err));
    w->sink = (alert_sink){ take, w };
    w->options = (rules_options){ .store = w->store, .grace_period_ms = -1 };
    w->options.sinks[0] = &w->sink;
    *state = w;
    return 0;
}

static int close_world(void **state)
{
    world *w = *state;
    store_close(w->store);
    test_remove_dir(w->dir);
    free(w);
    return 0;
}

/* value NAN: a stale marker. */
static void put(world *w, const char *name, const char *job, int64_t time_ms, double value)
{
    error err;
    label items[] = { { LABEL_NAME, str_c(name) }, { STR("job"), str_c(job) } };
    rule_sample s = { .labels = { items, 2 }, .value = value, .stale = value != value };
    assert_ok(rule_write(w->store, &(rule_samples){ &s, 1, 1 }, time_ms, &err));
}

static rule_group *make(world *w, const char *fields, bool restored)
{
    error err;
    rule_file f;
    rule_group *g;
    char text[2000];
    snprintf(text, sizeof(text), "groups:\n  - name: g\n    interval: 1m\n%s", fields);
    assert_ok(rule_file_parse(&f, "r.yaml", str_c(text), 0, NULL, NULL, &err));
    assert_ok(rule_group_new(&g, &w->options, "r.yaml", &f.groups[0], restored, &err));
    rule_file_done(&f);
    return g;
}

/* Samples of a series as "time:value …", in minutes since T0; stale ones as "x". */
static const char *samples_of(world *w, const char *name, char *to, size_t size)
{
    error err;
    arena a;
    series_set set;
    buf b = { .ptr = to, .cap = size - 1, .limit = size - 1 };
    matcher m = { LABEL_NAME, MATCH_EQ, str_c(name) };
    arena_init(&a, MiB(16));
    assert_ok(store_series(w->store,
                           &(series_query){ .matchers = &m,
                                            .matcher_count = 1,
                                            .from_ms = T0 - 100 * MINUTE,
                                            .to_ms = T0 + 1000 * MINUTE },
                           &a, &set, &err));
    for (uint32_t i = 0; i < set.count; i++) {
        labels rest;
        assert_true(labels_drop_metric(
            &a, (labels){ set.items[i].labels, set.items[i].label_count }, &rest));
        labels_print(&b, rest);
        for (uint32_t j = 0; j < set.items[i].sample_count; j++) {
            double v = set.items[i].value[j];
            buf_fmt(&b, " %lld:", (long long)(set.items[i].time_ms[j] - T0) / MINUTE);
            if (v != v)
                buf_char(&b, 'x');
            else
                buf_f64(&b, v);
        }
        buf_char(&b, '\n');
    }
    to[b.len] = '\0';
    arena_done(&a);
    return to;
}

static rule_view view_rule(rule_group *g, uint32_t index, arena *a)
{
    error err;
    group_view v;
    arena_init(a, MiB(16));
    assert_ok(rule_group_view(g, true, a, &v, &err));
    return v.rules[index];
}

static alert_state state_of(rule_group *g)
{
    arena a;
    alert_state s = view_rule(g, 0, &a).state;
    arena_done(&a);
    return s;
}

#define ALERT_RULE \
    "    rules:\n      - alert: A\n        expr: x > 0\n        for: 2m\n" \
    "        labels: {sev: page}\n        annotations: {s: 'is {{ $value }}'}\n"

static void an_alert_is_pending_then_fires_then_resolves(void **state)
{
    char text[2000];
    world *w = *state;
    rule_group *g = make(w, ALERT_RULE, true);
    assert_int_equal(state_of(g), ALERT_UNKNOWN);
    put(w, "x", "api", T0, 5);
    static const alert_state wanted[] = { ALERT_PENDING, ALERT_PENDING, ALERT_FIRING };
    for (int i = 0; i < 3; i++) {
        rule_group_eval(g, T0 + i * MINUTE, NULL);
        assert_int_equal(state_of(g), wanted[i]);
        assert_int_equal(w->told_count, i == 2);
    }
    assert_string_equal(w->names[0], "{alertname=\"A\", job=\"api\", sev=\"page\"}");
    assert_int_equal(w->told[0].starts_ms, T0 + 2 * MINUTE);
    assert_int_equal(w->told[0].ends_ms, T0 + 6 * MINUTE);
    put(w, "x", "api", T0 + 3 * MINUTE, NAN);
    rule_group_eval(g, T0 + 3 * MINUTE, NULL);
    assert_int_equal(state_of(g), ALERT_INACTIVE);
    assert_int_equal(w->told_count, 2);
    assert_int_equal(w->told[1].ends_ms, T0 + 3 * MINUTE);
    assert_string_equal(samples_of(w, "ALERTS", text, sizeof(text)),
                        "{alertname=\"A\", alertstate=\"firing\", job=\"api\", sev=\"page\"} 2:1 "
                        "3:x\n{alertname=\"A\", alertstate=\"pending\", job=\"api\", "
                        "sev=\"page\"} 0:1 1:1 2:x\n");
    assert_string_equal(samples_of(w, "ALERTS_FOR_STATE", text, sizeof(text)),
                        "{alertname=\"A\", job=\"api\", sev=\"page\"} 0:1700000000 1:1700000000 "
                        "2:1700000000 3:x\n");
    rule_group_free(g);
}

static void a_resolved_alert_is_told_for_a_quarter_of_an_hour(void **state)
{
    world *w = *state;
    rule_group *g = make(w, "    rules:\n      - {alert: A, expr: x > 0}\n", true);
    put(w, "x", "api", T0, 5);
    put(w, "x", "api", T0 + MINUTE, NAN);
    for (int i = 0; i < 25; i++)
        rule_group_eval(g, T0 + i * MINUTE + i, NULL); /* later than the delay each time */
    assert_int_equal(w->told_count, 1 + 15); /* fired at 0, resolved at 1, told up to 15 later */
    assert_int_equal(g->rules[0].active_count, 0);
    rule_group_free(g);
}

static void what_the_sink_refused_is_given_again(void **state)
{
    world *w = *state;
    rule_group *g = make(w, "    rules:\n      - {alert: A, expr: x > 0}\n", true);
    put(w, "x", "api", T0, 5);
    w->refuses = true;
    rule_group_eval(g, T0, NULL);
    w->refuses = false;
    assert_int_equal(w->told_count, 0);
    rule_group_eval(g, T0 + 1000, NULL);
    assert_int_equal(w->told_count, 1);
    rule_group_eval(g, T0 + 2000, NULL); /* the delay has not passed */
    assert_int_equal(w->told_count, 1);
    rule_group_free(g);
}

static void a_clock_that_is_set_back_keeps_alerts_firing_and_told(void **state)
{
    world *w = *state;
    rule_group *g = make(w, "    rules:\n      - {alert: A, expr: x > 0, for: 1m}\n", true);
    put(w, "x", "api", T0 - 60 * MINUTE, 5);
    put(w, "x", "api", T0, 5);
    for (int i = 0; i < 2; i++)
        rule_group_eval(g, T0 + i * MINUTE, NULL);
    assert_int_equal(w->told_count, 1);
    rule_group_eval(g, T0 - 59 * MINUTE, NULL);
    assert_int_equal(w->told_count, 2);
    assert_int_equal(g->rules[0].active[0]->state, ALERT_FIRING);
    rule_group_eval(g, T0 - 50 * MINUTE, NULL); /* without a sample: resolved */
    assert_int_equal(w->told_count, 3);
    rule_group_free(g);
}

static void keep_firing_for_keeps_it(void **state)
{
    arena a;
    world *w = *state;
    rule_group *g =
        make(w, "    rules:\n      - {alert: A, expr: x > 0, keep_firing_for: 3m}\n", true);
    put(w, "x", "api", T0, 5);
    rule_group_eval(g, T0, NULL);
    put(w, "x", "api", T0 + MINUTE, 0);
    for (int i = 1; i < 4; i++) {
        rule_group_eval(g, T0 + i * MINUTE, NULL);
        rule_view r = view_rule(g, 0, &a);
        assert_int_equal(r.state, ALERT_FIRING);
        assert_int_equal(r.alerts[0].keep_firing_since_ms, T0 + MINUTE);
        arena_done(&a);
    }
    rule_group_eval(g, T0 + 4 * MINUTE, NULL);
    assert_int_equal(state_of(g), ALERT_INACTIVE);
    rule_group_free(g);
}

static void limits_and_equal_labels_are_errors(void **state)
{
    arena a;
    world *w = *state;
    rule_group *g = make(w,
                         "    limit: 1\n    rules:\n"
                         "      - {alert: A, expr: x > 0}\n"
                         "      - {record: b, expr: x}\n"
                         "      - {alert: C, expr: x > 0, labels: {job: same}}\n"
                         "      - {record: d, expr: x, labels: {job: same}}\n"
                         "      - {record: e, expr: 'x{job=\"api\"}'}\n",
                         true);
    static const char *const wanted[] = {
        "exceeded limit of 1 with 2 alerts", "exceeded limit of 1 with 2 series",
        "vector contains metrics with the same labelset after applying alert labels",
        "vector contains metrics with the same labelset after applying rule labels", ""
    };
    put(w, "x", "api", T0, 5);
    put(w, "x", "web", T0, 5);
    rule_group_eval(g, T0, NULL);
    for (uint32_t i = 0; i < 5; i++) {
        rule_view r = view_rule(g, i, &a);
        assert_str(r.last_error, str_c(wanted[i]));
        assert_string_equal(r.health, i < 4 ? "err" : "ok");
        arena_done(&a);
    }
    assert_int_equal(w->told_count, 0);
    rule_group_free(g);
}

static void recorded_series_that_vanish_are_ended(void **state)
{
    char text[2000];
    world *w = *state;
    rule_group *g = make(w,
                         "    labels: {team: t}\n    rules:\n"
                         "      - {record: 'y:sum', expr: sum by (job) (x), labels: {n: '1'}}\n"
                         "      - {record: z, expr: 'y:sum * 2'}\n",
                         true);
    put(w, "x", "api", T0, 5);
    put(w, "x", "web", T0, 7);
    rule_group_eval(g, T0, NULL);
    put(w, "x", "web", T0 + MINUTE, NAN);
    rule_group_eval(g, T0 + MINUTE, NULL);
    assert_string_equal(samples_of(w, "y:sum", text, sizeof(text)),
                        "{job=\"api\", n=\"1\", team=\"t\"} 0:5 1:5\n"
                        "{job=\"web\", n=\"1\", team=\"t\"} 0:7 1:x\n");
    assert_string_equal(samples_of(w, "z", text, sizeof(text)),
                        "{job=\"api\", n=\"1\", team=\"t\"} 0:10 1:10\n"
                        "{job=\"web\", n=\"1\", team=\"t\"} 0:14 1:x\n");
    rule_group_free(g);
}

static void the_query_offset_moves_samples_too(void **state)
{
    char text[2000];
    world *w = *state;
    rule_group *g =
        make(w, "    query_offset: 2m\n    rules:\n      - {record: r, expr: x}\n", true);
    put(w, "x", "api", T0, 5);
    put(w, "x", "api", T0 + MINUTE, 6);
    rule_group_eval(g, T0 + 2 * MINUTE, NULL);
    assert_string_equal(samples_of(w, "r", text, sizeof(text)), "{job=\"api\"} 0:5\n");
    rule_group_free(g);
}

static void the_for_state_is_restored(void **state)
{
    arena a;
    world *w = *state;
    rule_group *g = make(w, ALERT_RULE, true);
    put(w, "x", "api", T0, 5);
    rule_group_eval(g, T0, NULL);
    rule_group_eval(g, T0 + MINUTE, NULL);
    rule_group_free(g); /* a minute of two has passed; three minutes away */
    g = make(w, ALERT_RULE, false);
    put(w, "x", "api", T0 + 4 * MINUTE, 5);
    rule_group_eval(g, T0 + 4 * MINUTE, NULL);
    assert_int_equal(state_of(g), ALERT_PENDING);
    arena_init(&a, MiB(16));
    rule_group_restore(g, T0 + 4 * MINUTE, &a);
    arena_done(&a);
    rule_view r = view_rule(g, 0, &a);
    assert_int_equal(r.alerts[0].active_ms, T0 + 3 * MINUTE); /* the outage does not count */
    arena_done(&a);
    rule_group_eval(g, T0 + 5 * MINUTE, NULL);
    assert_int_equal(state_of(g), ALERT_FIRING);
    rule_group_free(g);
}

static void missed_evaluations_are_found_and_made_up(void **state)
{
    char text[2000];
    arena a;
    error err;
    uint8_t gaps[12];
    world *w = *state;
    const char *fields = "    rules:\n      - {record: r, expr: x}\n";
    rule_group *g = make(w, fields, true);
    for (int i = 0; i < 3; i++) {
        put(w, "x", "api", T0 + i * MINUTE, i);
        rule_group_eval(g, T0 + i * MINUTE, NULL);
    }
    put(w, "x", "web", T0 + 2 * MINUTE, 9);
    for (int i = 3; i < 7; i++) /* the server was away, and these came late */
        put(w, "x", "api", T0 + i * MINUTE, i);
    put(w, "x", "web", T0 + 5 * MINUTE, NAN);
    rule_group_free(g);
    g = make(w, fields, true);
    rule_group_eval(g, T0 + 6 * MINUTE, NULL);
    arena_init(&a, MiB(16));
    assert_ok(rule_group_gaps(g, T0 - 3 * MINUTE, 12, &a, gaps, &err));
    arena_done(&a);
    static const uint8_t wanted[12] = { 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1 };
    assert_memory_equal(gaps, wanted, 12);
    rule_series written = { 0 };
    for (int i = 2; i < 7; i++)
        rule_group_catch_up(g, T0 + i * MINUTE, &written);
    rule_series_done(&written);
    assert_string_equal(samples_of(w, "r", text, sizeof(text)),
                        "{job=\"api\"} 0:0 1:1 2:2 3:3 4:4 5:5 6:6\n"
                        "{job=\"web\"} 2:9 3:9 4:9 5:x\n");
    rule_group_free(g);
}

static void a_changed_group_keeps_its_alerts_and_ends_what_is_gone(void **state)
{
    char text[2000];
    world *w = *state;
    rule_group *old = make(w,
                           "    rules:\n      - {alert: A, expr: x > 0, for: 2m}\n"
                           "      - {record: gone, expr: x}\n",
                           true);
    put(w, "x", "api", T0, 5);
    rule_group_eval(old, T0, NULL);
    rule_group_eval(old, T0 + MINUTE, NULL);
    rule_group *g = make(w, "    rules:\n      - {alert: A, expr: x > 1, for: 2m}\n", true);
    assert_true(rule_group_take_over(g, old));
    rule_group_free(old);
    rule_group_eval(g, T0 + 2 * MINUTE, NULL);
    assert_int_equal(state_of(g), ALERT_FIRING);
    assert_string_equal(samples_of(w, "gone", text, sizeof(text)), "{job=\"api\"} 0:5 1:5 2:x\n");
    rule_group_free(g);
}

static uint64_t syncs(world *w)
{
    store_stats s;
    store_get_stats(w->store, &s);
    return s.fsyncs;
}

static void rules_are_written_together_as_far_as_none_reads_another(void **state)
{
    char text[2000];
    world *w = *state;
    rule_group *g = make(w,
                         "    rules:\n"
                         "      - {record: a, expr: x}\n"
                         "      - {record: b, expr: 'x * 2'}\n"
                         "      - {record: c, expr: a + b}\n"
                         "      - {alert: A, expr: x > 0}\n"
                         "      - {record: d, expr: 'count({__name__=\"ALERTS\"})'}\n"
                         "      - {record: a, expr: x * 3, labels: {k: v}}\n"
                         "      - {record: e, expr: 'count({job=\"api\"})'}\n"
                         "      - {alert: B, expr: x > 0, annotations: {t: '{{ query \"x\" }}'}}\n"
                         "      - {alert: A, expr: x > 1}\n",
                         true);
    static const uint32_t needs[] = { 0, 0, 2, 0, 4, 1, 6, 7, 4 };
    for (uint32_t i = 0; i < ARRAY_LEN(needs); i++)
        assert_int_equal(g->rules[i].needs, needs[i]);
    put(w, "x", "api", T0, 5);
    uint64_t before = syncs(w);
    rule_group_eval(g, T0, NULL);
    assert_int_equal(syncs(w) - before, 5); /* a b, c A, d a, e, B A */
    assert_string_equal(samples_of(w, "c", text, sizeof(text)), "{job=\"api\"} 0:15\n");
    assert_string_equal(samples_of(w, "d", text, sizeof(text)), "{} 0:1\n");
    assert_string_equal(samples_of(w, "e", text, sizeof(text)), "{} 0:7\n"); /* x a b c A A a */
    rule_group_free(g);
}

/* The store refuses a series without a name, and so what all rules gave is not written as one. */
static void what_is_refused_together_is_written_alone_for_its_own_error(void **state)
{
    char text[2000];
    world *w = *state;
    rule_group *g = make(w,
                         "    rules:\n"
                         "      - {record: a, expr: x}\n"
                         "      - {record: c, expr: x}\n"
                         "      - {record: b, expr: x * 2}\n"
                         "      - {alert: A, expr: x > 0}\n",
                         true);
    g->rules[1].name = STR_EMPTY;
    for (int i = 0; i < 2; i++) {
        put(w, "x", "api", T0 + i * MINUTE, 5);
        rule_group_eval(g, T0 + i * MINUTE, NULL);
    }
    for (uint32_t i = 0; i < g->rule_count; i++)
        assert_string_equal(g->rules[i].health, i == 1 ? "err" : "ok");
    assert_non_null(strstr(g->rules[1].last_error, "1 of 1 samples were refused: "));
    assert_null(g->rules[0].last_error);
    assert_int_equal(g->failures, 2);
    assert_string_equal(samples_of(w, "a", text, sizeof(text)), "{job=\"api\"} 0:5 1:5\n");
    assert_string_equal(samples_of(w, "b", text, sizeof(text)), "{job=\"api\"} 0:10 1:10\n");
    put(w, "x", "api", T0 + 2 * MINUTE, NAN); /* nothing was written, so nothing ends */
    rule_group_eval(g, T0 + 2 * MINUTE, NULL);
    assert_string_equal(g->rules[1].health, "ok");
    assert_string_equal(samples_of(w, "a", text, sizeof(text)), "{job=\"api\"} 0:5 1:5 2:x\n");
    assert_string_equal(samples_of(w, "b", text, sizeof(text)), "{job=\"api\"} 0:10 1:10 2:x\n");
    rule_group_free(g);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
    const struct CMUnitTest tests[] = {
        CASE(an_alert_is_pending_then_fires_then_resolves),
        CASE(a_resolved_alert_is_told_for_a_quarter_of_an_hour),
        CASE(a_clock_that_is_set_back_keeps_alerts_firing_and_told),
        CASE(what_the_sink_refused_is_given_again),
        CASE(keep_firing_for_keeps_it),
        CASE(limits_and_equal_labels_are_errors),
        CASE(recorded_series_that_vanish_are_ended),
        CASE(the_query_offset_moves_samples_too),
        CASE(the_for_state_is_restored),
        CASE(missed_evaluations_are_found_and_made_up),
        CASE(a_changed_group_keeps_its_alerts_and_ends_what_is_gone),
        CASE(rules_are_written_together_as_far_as_none_reads_another),
        CASE(what_is_refused_together_is_written_alone_for_its_own_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
