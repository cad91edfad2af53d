// SPDX-License-Identifier: Apache-2.0
/* tail_sampling: what the policies say (tests/pipeline/tail_sampling.test), waiting, late spans,
 * limits, output that is refused for a while, and what is known again after a restart. */
#include "unit/pipeline/processor_rows.h"

#include "base/file.h"
#include "base/random.h"
#include "pipeline/processors/tail_sampling.h"

/* ---- a processor whose output is caught ---- */

static struct {
    buf names; /* "a b c ": spans that were emitted, in order */
    unsigned refuse;
} output;

static status caught(component *c, const batch *b, error *err)
{
    (void)c;
    if (output.refuse) {
        output.refuse--;
        return fail(err, STATUS_BUSY, "the log is full");
    }
    for (uint32_t i = 0; i < b->spans.count; i++)
        buf_fmt(&output.names, "%.*s ", STR_ARG(b->spans.name[i]));
    return STATUS_OK;
}

static void tail_start(rig *r, const char *yaml)
{
    buf_clear(&output.names);
    output.refuse = 0;
    if (!rig_open(r, COMPONENT_PROCESSOR, "tail_sampling", SIGNAL_TRACES, str_c(yaml)))
        fail_msg("%s", r->said);
    tail_sampling_set_emit(r->component.self, caught);
}

static status take(rig *r, uint64_t sequence, const char *rows)
{
    error err;
    batch b;
    batch_init(&b, SIGNAL_TRACES, 0);
    value list = rows_json(&b.arena, str_c(rows));
    for (uint32_t i = 0; i < list.array.count; i++)
        rows_add(&b, &list.array.items[i]);
    status st = r->component.type->take(r->component.self, sequence, &b, &err);
    batch_done(&b);
    return st;
}

static status tick(rig *r, int64_t seconds)
{
    error err;
    return r->component.type->tick(r->component.self, seconds * NS_PER_S, &err);
}

static uint64_t needs(rig *r)
{
    return r->component.type->needs(r->component.self);
}

#define assert_emitted(expected) \
    do { \
        assert_str(buf_view(&output.names), STR(expected)); \
        buf_clear(&output.names); \
    } while (0)

static void print_drop(void *user, const count_line *line)
{
    buf *out = user;
    buf_fmt(out, "%s%llu %s", out->len ? ", " : "", (unsigned long long)line->value, line->detail);
}

static void assert_drops(rig *r, const char *expected)
{
    buf text;
    buf_init(&text, 0);
    counts_each(r->component.counts, COUNT_DROPPED, print_drop, &text);
    assert_str(buf_view(&text), str_c(expected));
    buf_done(&text);
}

#define ERRORS \
    "  policies: [{name: errors, type: status_code, status_code: {status_codes: [ERROR]}}]\n"

/* ---- policies ---- */

static unsigned run_trace(rig *r, str line, unsigned number, uint64_t trace, int64_t second)
{
    bool wanted = line.ptr[0] == 'y';
    batch b;
    error err;
    batch_init(&b, SIGNAL_TRACES, 0);
    value list = rows_json(&b.arena, str_slice(line, wanted ? 4 : 3, line.len));
    for (uint32_t i = 0; i < list.array.count; i++) {
        rows_add(&b, &list.array.items[i]);
        memcpy(b.spans.trace[i].bytes, &trace, sizeof(trace));
    }
    buf_clear(&output.names);
    uint64_t before = tail_sampling_counts(r->component.self).sampled;
    assert_int_equal(tick(r, second), STATUS_OK);
    assert_ok(r->component.type->take(r->component.self, number, &b, &err));
    assert_ok(r->component.type->tick(r->component.self, second * NS_PER_S, &err));
    bool got = tail_sampling_counts(r->component.self).sampled != before;
    assert_int_equal(tail_sampling_counts(r->component.self).traces, 0);
    assert_int_equal(needs(r) == UINT64_MAX, true);
    batch_done(&b);
    if (got != wanted)
        fprintf(stderr, "tail_sampling.test:%u: %.*s\n", number, STR_ARG(line));
    return got != wanted;
}

static void policies_say_what_the_script_says(void **state)
{
    (void)state;
    error err;
    buf text;
    rig r;
    bool open = false;
    unsigned number = 0, wrong = 0, traces = 0;
    int64_t second = 1000;
    buf_init(&text, MiB(1));
    assert_ok(file_read(SOURCE_DIR "/tests/pipeline/tail_sampling.test", &text, &err));
    for (str rest = buf_view(&text); rest.len;) {
        str line = str_cut(rest, '\n', &rest);
        number++;
        if (str_starts(line, STR("policies "))) {
            char yaml[2000];
            if (open)
                rig_close(&r);
            snprintf(yaml, sizeof(yaml), "  decision_wait: 0s\n  %.*s",
                     STR_ARG(str_slice(line, 0, 8)));
            snprintf(yaml + strlen(yaml), sizeof(yaml) - strlen(yaml), ":%.*s",
                     STR_ARG(str_slice(line, 8, line.len)));
            tail_start(&r, yaml);
            open = true;
        } else if (str_is(line, "second")) {
            second++;
        } else if (line.len && line.ptr[0] != '#') {
            wrong += run_trace(&r, line, number, ++traces, second);
        }
    }
    rig_close(&r);
    buf_done(&text);
    assert_true(traces > 60);
    assert_int_equal(wrong, 0);
}

/* Of 2000 ids, about the part that was asked for, and those of a smaller part are of a larger. */
static void probabilistic_is_a_part_and_nested(void **state)
{
    (void)state;
    static const unsigned percents[] = { 10, 30, 60 };
    uint8_t chosen[3][2000] = { { 0 } };
    for (unsigned k = 0; k < 3; k++) {
        rig r;
        char yaml[200], row[80];
        snprintf(yaml, sizeof(yaml),
                 "  decision_wait: 0s\n  policies: [{name: p, type: probabilistic, probabilistic: "
                 "{sampling_percentage: %u}}]\n",
                 percents[k]);
        tail_start(&r, yaml);
        assert_int_equal(tick(&r, 1), STATUS_OK);
        unsigned count = 0;
        for (unsigned i = 0; i < 2000; i++) {
            uint64_t before = tail_sampling_counts(r.component.self).sampled;
            uint64_t random = random_mix(i + 1);
            snprintf(row, sizeof(row), "[{\"trace\":\"%016llx%016llx\",\"name\":\"a\"}]",
                     (unsigned long long)random, (unsigned long long)random_mix(random));
            assert_int_equal(take(&r, i + 1, row), STATUS_OK);
            assert_int_equal(tick(&r, 1), STATUS_OK);
            chosen[k][i] = tail_sampling_counts(r.component.self).sampled != before;
            count += chosen[k][i];
            assert_true(!k || !chosen[k - 1][i] || chosen[k][i]);
        }
        assert_in_range(count, percents[k] * 20 - 80, percents[k] * 20 + 80);
        rig_close(&r);
    }
}

/* ---- time ---- */

static void traces_wait_and_late_spans_follow(void **state)
{
    (void)state;
    rig r;
    tail_start(&r, "  decision_wait: 10s\n" ERRORS);
    assert_int_equal(tick(&r, 100), STATUS_OK);
    assert_int_equal(take(&r, 1, "[{\"trace\":1,\"name\":\"a1\"},{\"trace\":2,\"name\":\"b1\"}]"),
                     STATUS_OK);
    assert_int_equal(tick(&r, 105), STATUS_OK);
    assert_int_equal(take(&r, 2,
                          "[{\"trace\":1,\"name\":\"a2\",\"status\":2},"
                          "{\"trace\":3,\"name\":\"c1\",\"status\":2}]"),
                     STATUS_OK);
    assert_int_equal(tick(&r, 109), STATUS_OK);
    assert_emitted("");
    assert_int_equal(needs(&r), 1);
    assert_int_equal(tick(&r, 110), STATUS_OK);
    assert_emitted("a1 a2 ");
    assert_int_equal(needs(&r), 2);
    assert_drops(&r, "1 not sampled");
    /* What comes now has its decision: it passes at once, or not. */
    assert_int_equal(take(&r, 3,
                          "[{\"trace\":1,\"name\":\"a3\"},{\"trace\":2,\"name\":\"b2\","
                          "\"status\":2}]"),
                     STATUS_OK);
    assert_emitted("a3 ");
    assert_drops(&r, "1 not sampled, 1 late, not sampled");
    assert_int_equal(tick(&r, 115), STATUS_OK);
    assert_emitted("c1 ");
    assert_true(needs(&r) == UINT64_MAX);
    assert_int_equal(tail_sampling_counts(r.component.self).bytes, 0);
    rig_close(&r);
}

static void a_root_shortens_the_wait(void **state)
{
    (void)state;
    rig r;
    tail_start(&r, "  decision_wait: 30s\n  decision_wait_after_root_received: 2s\n" ERRORS);
    assert_int_equal(tick(&r, 100), STATUS_OK);
    assert_int_equal(take(&r, 1,
                          "[{\"trace\":1,\"name\":\"a1\",\"parent\":5,\"status\":2},"
                          "{\"trace\":2,\"name\":\"b1\",\"parent\":5,\"status\":2}]"),
                     STATUS_OK);
    assert_int_equal(tick(&r, 103), STATUS_OK);
    assert_int_equal(take(&r, 2, "[{\"trace\":2,\"name\":\"b2\"}]"), STATUS_OK);
    assert_int_equal(tick(&r, 104), STATUS_OK);
    assert_emitted("");
    assert_int_equal(tick(&r, 105), STATUS_OK);
    assert_emitted("b1 b2 ");
    assert_int_equal(tick(&r, 130), STATUS_OK);
    assert_emitted("a1 ");
    rig_close(&r);
}

static void beyond_num_traces_the_oldest_is_decided(void **state)
{
    (void)state;
    rig r;
    tail_start(&r, "  decision_wait: 30s\n  num_traces: 2\n" ERRORS);
    assert_int_equal(tick(&r, 100), STATUS_OK);
    assert_int_equal(take(&r, 1,
                          "[{\"trace\":1,\"name\":\"a\",\"status\":2},{\"trace\":2,"
                          "\"name\":\"b\"},{\"trace\":3,\"name\":\"c\",\"status\":2}]"),
                     STATUS_OK);
    assert_emitted("");
    assert_int_equal(take(&r, 2, "[{\"trace\":4,\"name\":\"d\"}]"), STATUS_OK);
    assert_emitted("a ");
    assert_int_equal(tail_sampling_counts(r.component.self).early, 1);
    rig_close(&r);
}

static void refused_output_is_tried_again(void **state)
{
    (void)state;
    rig r;
    tail_start(&r, "  decision_wait: 1s\n" ERRORS);
    assert_int_equal(tick(&r, 100), STATUS_OK);
    assert_int_equal(take(&r, 1, "[{\"trace\":1,\"name\":\"a\",\"status\":2}]"), STATUS_OK);
    output.refuse = 2;
    assert_int_equal(tick(&r, 101), STATUS_BUSY);
    assert_int_equal(needs(&r), 1);
    assert_int_equal(tick(&r, 102), STATUS_BUSY);
    assert_int_equal(tick(&r, 103), STATUS_OK);
    assert_emitted("a ");
    /* A late span that is refused changes nothing; the record comes again. */
    output.refuse = 1;
    const char *late = "[{\"trace\":1,\"name\":\"a2\"},{\"trace\":2,\"name\":\"b\",\"status\":2}]";
    assert_int_equal(take(&r, 2, late), STATUS_BUSY);
    assert_true(needs(&r) == UINT64_MAX);
    assert_int_equal(take(&r, 2, late), STATUS_OK);
    assert_emitted("a2 ");
    assert_int_equal(tick(&r, 110), STATUS_OK);
    assert_emitted("b ");
    rig_close(&r);
}

/* ---- over a restart ---- */

/* Records 1 to 3; trace 1 is decided with record 1 only, 2 waits from record 1 on. */
static void before_the_restart(rig *r)
{
    assert_int_equal(tick(r, 100), STATUS_OK);
    assert_int_equal(take(r, 1,
                          "[{\"trace\":1,\"name\":\"a1\",\"status\":2},{\"trace\":3,"
                          "\"name\":\"c1\"},{\"trace\":2,\"name\":\"b1\",\"parent\":9}]"),
                     STATUS_OK);
    assert_int_equal(tick(r, 105), STATUS_OK);
    assert_int_equal(take(r, 2,
                          "[{\"trace\":1,\"name\":\"a2\"},{\"trace\":3,\"name\":\"c2\","
                          "\"status\":2}]"),
                     STATUS_OK);
}

static void what_was_decided_stays_so_after_a_restart(void **state)
{
    (void)state;
    rig r, again;
    error err;
    buf saved;
    const char *yaml = "  decision_wait: 30s\n  decision_wait_after_root_received: 5s\n" ERRORS;
    buf_init(&saved, MiB(1));
    tail_start(&r, yaml);
    before_the_restart(&r);
    assert_emitted("a1 a2 ");
    assert_int_equal(needs(&r), 1);
    assert_ok(r.component.type->save(r.component.self, &saved, &err));
    rig_close(&r);

    tail_start(&again, yaml);
    assert_ok(again.component.type->load(again.component.self, buf_view(&saved), &err));
    before_the_restart(&again); /* from record 1 on, as `needs` said */
    assert_emitted("");         /* nothing twice */
    assert_drops(&again, "");   /* and nothing counted twice */
    assert_int_equal(take(&again, 3,
                          "[{\"trace\":3,\"name\":\"c3\",\"status\":2},{\"trace\":1,"
                          "\"name\":\"a3\"},{\"trace\":2,\"name\":\"b2\",\"status\":2}]"),
                     STATUS_OK);
    assert_emitted("a3 ");
    assert_drops(&again, "1 late, not sampled");
    assert_int_equal(tick(&again, 200), STATUS_OK);
    assert_emitted("b1 b2 ");
    rig_close(&again);
    buf_done(&saved);
}

static void damaged_decisions_are_refused(void **state)
{
    (void)state;
    rig r;
    error err;
    buf saved;
    buf_init(&saved, MiB(1));
    tail_start(&r, "  decision_wait: 0s\n" ERRORS);
    assert_int_equal(tick(&r, 100), STATUS_OK);
    assert_int_equal(take(&r, 300, "[{\"trace\":1,\"name\":\"a\",\"status\":2}]"), STATUS_OK);
    assert_int_equal(tick(&r, 101), STATUS_OK);
    assert_ok(r.component.type->save(r.component.self, &saved, &err));
    for (size_t n = 0; n < saved.len; n++)
        assert_int_not_equal(r.component.type->load(r.component.self, str_n(saved.ptr, n), &err),
                             STATUS_OK);
    saved.ptr[0] = 9;
    assert_int_equal(r.component.type->load(r.component.self, buf_view(&saved), &err),
                     STATUS_UNSUPPORTED);
    rig_close(&r);
    buf_done(&saved);
}

static void policies_are_counted_by_name(void **state)
{
    (void)state;
    rig r;
    tail_start(&r, "  decision_wait: 0s\n  policies: [{name: all, type: always_sample}, {name: "
                   "'no \"x', type: drop, drop: {drop_sub_policy: [{name: d, type: status_code, "
                   "status_code: {status_codes: [OK]}}]}}]\n");
    assert_int_equal(tick(&r, 1), STATUS_OK);
    assert_int_equal(take(&r, 1, "[{\"trace\":1,\"status\":1},{\"trace\":2},{\"trace\":3}]"),
                     STATUS_OK);
    assert_int_equal(tick(&r, 2), STATUS_OK);
    assert_drops(&r, "1 not sampled by no _x");
    assert_int_equal(counts_sum(r.component.counts, COUNT_SAMPLED_TRACES, SIGNAL_TRACES), 2);
    rig_close(&r);
}

static void the_oldest_decisions_are_forgotten(void **state)
{
    (void)state;
    error err;
    tail_memory *m;
    bool sampled;
    uint64_t sequence;
    assert_ok(tail_memory_new(&m, 10, 10, &err));
    for (uint8_t i = 0; i < 100; i++) {
        trace_id id = { { i, 1 } };
        assert_ok(tail_memory_put(m, &id, i % 2, i, 60, &err));
    }
    for (uint8_t i = 0; i < 100; i++) {
        trace_id id = { { i, 1 } };
        bool known = tail_memory_find(m, &id, &sampled, &sequence);
        assert_int_equal(known, i >= 60); /* those that are read again, though they are many */
        if (known)
            assert_int_equal(sampled, i % 2);
    }
    for (uint8_t i = 100; i < 200; i++) {
        trace_id id = { { i, 1 } };
        assert_ok(tail_memory_put(m, &id, true, i, UINT64_MAX, &err));
    }
    trace_id old = { { 189, 1 } }, young = { { 190, 1 } };
    assert_false(tail_memory_find(m, &old, &sampled, &sequence));
    assert_true(tail_memory_find(m, &young, &sampled, &sequence));
    tail_memory_free(m);
}

static void the_log_sees_many_traces_go_by(void **state)
{
    (void)state;
    rig r;
    char row[400];
    tail_start(&r, "  decision_wait: 2s\n  num_traces: 1000\n" ERRORS);
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(row, sizeof(row),
                 "[{\"trace\":%u,\"name\":\"x\"},{\"trace\":%u,\"name\":\"y\",\"status\":2}]",
                 i / 2 + 1, i + 100000);
        assert_int_equal(tick(&r, 100 + i / 500), STATUS_OK);
        assert_int_equal(take(&r, i + 1, row), STATUS_OK);
    }
    assert_int_equal(tick(&r, 1000), STATUS_OK);
    tail_counts c = tail_sampling_counts(r.component.self);
    assert_int_equal(c.sampled, 5000);
    assert_int_equal(c.traces, 0);
    assert_int_equal(c.bytes, 0);
    assert_int_equal(output.names.len, 2 * 5000);
    rig_close(&r);
}

static int output_open(void **state)
{
    (void)state;
    buf_init(&output.names, 0);
    return 0;
}

static int output_close(void **state)
{
    (void)state;
    buf_done(&output.names);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(policies_say_what_the_script_says),
        cmocka_unit_test(probabilistic_is_a_part_and_nested),
        cmocka_unit_test(traces_wait_and_late_spans_follow),
        cmocka_unit_test(a_root_shortens_the_wait),
        cmocka_unit_test(beyond_num_traces_the_oldest_is_decided),
        cmocka_unit_test(refused_output_is_tried_again),
        cmocka_unit_test(what_was_decided_stays_so_after_a_restart),
        cmocka_unit_test(damaged_decisions_are_refused),
        cmocka_unit_test(policies_are_counted_by_name),
        cmocka_unit_test(the_oldest_decisions_are_forgotten),
        cmocka_unit_test(the_log_sees_many_traces_go_by),
    };
    return cmocka_run_group_tests(tests, output_open, output_close);
}
