// SPDX-License-Identifier: Apache-2.0
/* Which traces are sampled: ratios, rates, parents; and unsampled ones whose local root fails. */
#include "lib/context.h"
#include "lib/env.h"
#include "lib/recorder_internal.h"
#include "lib/span_sampler.h"
#include "tests/unit/lib/recorder_fixture.h"

static state_sampler with(sampler_kind kind, double argument)
{
    settings s = { .sampler = kind, .sampler_ratio = argument, .sampler_rate = argument };
    return sampler_from(&s);
}

static uint32_t kept_of(state_sampler sampler, uint32_t traces)
{
    uint32_t kept = 0;
    state_one.sampler = sampler;
    for (uint32_t i = 0; i < traces; i++)
        SONDE_SPAN ("root")
            kept += sonde_span_is_recording();
    return kept;
}

static void ratios_keep_their_part_of_the_traces(void **state UNUSED)
{
    assert_int_equal(kept_of(with(SAMPLER_ALWAYS_ON, 0), 500), 500);
    assert_int_equal(kept_of(with(SAMPLER_ALWAYS_OFF, 0), 500), 0);
    assert_in_range(kept_of(with(SAMPLER_RATIO, 0.25), 4000), 800, 1200);
    assert_int_equal(kept_of(with(SAMPLER_RATIO, 0.0), 500), 0);
    assert_int_equal(kept_of(with(SAMPLER_RATIO, 1.0), 500), 500);
}

static void a_bucket_gives_its_burst_and_then_its_rate(void **state UNUSED)
{
    _Atomic uint64_t until = 0;
    state_sampler s = with(SAMPLER_RATE, 10);
    uint64_t now = 7 * NS_PER_S, got = 0;
    for (int i = 0; i < 100; i++)
        got += sampler_take(&until, now, s.interval_ns, s.burst_ns);
    assert_int_equal(got, 10);
    for (int i = 0; i < 1000; i++) /* 10 s in steps of 10 ms */
        got += sampler_take(&until, now += 10 * NS_PER_MS, s.interval_ns, s.burst_ns);
    assert_int_equal(got, 110);
    now += 3600 * NS_PER_S; /* what is saved up is never more than a burst */
    for (int i = 0; i < 100; i++)
        got += sampler_take(&until, now, s.interval_ns, s.burst_ns);
    assert_int_equal(got, 120);
}

static void a_rate_below_one_saves_up_to_one(void **state UNUSED)
{
    _Atomic uint64_t until = 0;
    state_sampler s = with(SAMPLER_RATE, 0.5);
    uint64_t now = 100 * NS_PER_S;
    assert_true(sampler_take(&until, now, s.interval_ns, s.burst_ns));
    assert_false(sampler_take(&until, now + NS_PER_S, s.interval_ns, s.burst_ns));
    assert_true(sampler_take(&until, now + 2 * NS_PER_S, s.interval_ns, s.burst_ns));
    assert_int_equal(with(SAMPLER_RATE, 0).reject_below, STATE_REJECT_ALL);
    assert_int_equal(with(SAMPLER_RATE, 2e9).interval_ns, 0);
}

static void the_rate_limits_roots_only(void **state)
{
    fixture *f = *state;
    state_one.sampler = with(SAMPLER_RATE, 3);
    state_one.sampler.parent_based = true;
    for (int i = 0; i < 50; i++) {
        SONDE_SPAN ("root") {
            SONDE_SPAN ("child") {
            }
        }
    }
    fixture_poll(f);
    assert_in_range(f->spans.spans.count, 6, 8); /* one more when a third of a second goes by */
    assert_int_equal(f->spans.spans.count % 2, 0);
}

/* ---- always-on-error ---- */

static void keep_on_error(void)
{
    state_one.sampler = with(SAMPLER_ALWAYS_OFF, 0);
    state_one.sampler.parent_based = true;
    state_one.sampler.on_error = true;
}

static void an_unsampled_trace_is_recorded_when_its_local_root_fails(void **state)
{
    fixture *f = *state;
    keep_on_error();
    SONDE_SPAN ("root", sonde_kv("n", 1)) {
        SONDE_SPAN ("child", sonde_kv("n", 2)) {
            assert_true(sonde_span_is_recording());
            SONDE_SPAN ("grandchild") {
                sonde_span_set(sonde_kv("late", true));
            }
            sonde_context now = sonde_context_capture();
            assert_int_equal(now.flags & CONTEXT_SAMPLED, 0); /* others still hear: not sampled */
        }
        fixture_poll(f);
        assert_int_equal(f->spans.spans.count, 0);
        sonde_span_fail("broken");
    }
    fixture_poll(f);
    const span_rows *s = &f->spans.spans;
    assert_int_equal(s->count, 3);
    for (uint32_t i = 0; i < 3; i++)
        assert_memory_equal(&s->trace[i], &s->trace[0], 16);
    uint32_t root = 0, child = 0, grand = 0;
    for (uint32_t i = 0; i < 3; i++) {
        root = str_eq(s->name[i], STR("root")) ? i : root;
        child = str_eq(s->name[i], STR("child")) ? i : child;
        grand = str_eq(s->name[i], STR("grandchild")) ? i : grand;
    }
    assert_memory_equal(&s->parent[child], &s->span[root], 8);
    assert_memory_equal(&s->parent[grand], &s->span[child], 8);
    assert_int_equal(s->status[root], SPAN_STATUS_ERROR);
    assert_int_equal(s->status[child], SPAN_STATUS_UNSET);
    assert_true(s->flags[child] & 1);
    assert_true(s->end_ns[grand] <= s->end_ns[child] && s->end_ns[child] <= s->end_ns[root]);
    assert_int_equal(attrs_get(&s->attributes[child], STR("n"))->i64, 2);
    assert_true(attrs_get(&s->attributes[grand], STR("late"))->b);
}

static uint32_t free_slots(const fixture *f)
{
    uint32_t n = 0;
    recorder *r = f->recorder;
    for (uint32_t b = 0; b < r->live_count; b++)
        n += (uint32_t)__builtin_popcount(r->live_free[b]);
    return n + thread_local_self.slot_count;
}

static void one_that_succeeds_leaves_nothing_and_gives_its_slots_back(void **state)
{
    fixture *f = *state;
    keep_on_error();
    for (int i = 0; i < 2000; i++) {
        SONDE_SPAN ("root") {
            SONDE_SPAN ("child") {
                sonde_span_fail("seen to by the root");
            }
        }
    }
    fixture_poll(f);
    assert_int_equal(f->spans.spans.count, 0);
    assert_int_equal(f->recorder->tentative, 0);
    assert_int_equal(free_slots(f), f->recorder->live_count * RECORDER_SLOTS_PER_BLOCK);
    error err;
    assert_ok(recorder_live_spans(f->reader, &f->spans, &err));
    assert_int_equal(f->spans.spans.count, 0);
}

static void a_child_that_ends_after_the_failed_root_is_recorded_too(void **state)
{
    fixture *f = *state;
    keep_on_error();
    sonde_span *failed = NULL, *fine = NULL, *later;
    SONDE_SPAN ("fails") {
        failed = sonde_span_start("late 1", NULL);
        sonde_span_fail(NULL);
    }
    SONDE_SPAN ("does not") {
        fine = sonde_span_start("late 2", NULL);
    }
    sonde_context inside = sonde_span_context(fine);
    later = sonde_span_start("below the late one", &(sonde_span_options){ .parent = &inside });
    sonde_span_end(failed);
    sonde_span_end(later);
    sonde_span_end(fine);
    fixture_poll(f);
    assert_int_equal(f->spans.spans.count, 2);
    assert_text(f->spans.spans.name[0], "fails");
    assert_text(f->spans.spans.name[1], "late 1");
    assert_int_equal(f->recorder->tentative, 0);
    assert_int_equal(free_slots(f), f->recorder->live_count * RECORDER_SLOTS_PER_BLOCK);
}

static void more_than_may_be_kept_is_counted(void **state)
{
    fixture *f = *state;
    keep_on_error();
    SONDE_SPAN ("root") {
        for (int i = 0; i < 9000; i++) {
            SONDE_SPAN ("child") {
            }
        }
        sonde_span_fail(NULL);
    }
    fixture_poll(f);
    uint64_t lost = recorder_drops(f->reader, SIGNAL_TRACES, RECORDER_DROP_LIVE);
    assert_true(lost > 0);
    assert_int_equal(f->spans.spans.count + lost, 9001);
}

static void copy_file(const char *from, const char *to)
{
    char bytes[65536];
    size_t n;
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    assert_true(in && out);
    while ((n = fread(bytes, 1, sizeof(bytes), in)) > 0)
        assert_int_equal(fwrite(bytes, 1, n, out), n);
    fclose(in);
    assert_int_equal(fclose(out), 0);
}

static void a_trace_is_exported_when_the_process_dies_in_its_local_root(void **state)
{
    fixture *f = *state;
    error err;
    keep_on_error();
    sonde_span *root = sonde_span_start("root", NULL), *open = NULL;
    sonde_context inside = sonde_span_context(root);
    SONDE_WITH (inside) {
        SONDE_SPAN ("ended") {
        }
        open = sonde_span_start("open", NULL);
        assert_ok(recorder_live_spans(f->reader, &f->spans, &err));
        assert_int_equal(f->spans.spans.count, 2); /* what runs: not the one that ended */
    }
    /* The file as a killed process would leave it. */
    char copy[128];
    recorder_reader *dead;
    snprintf(copy, sizeof(copy), "%s/copy", f->dir);
    copy_file(recorder_path(f->recorder), copy);
    assert_ok(recorder_reader_open(&dead, copy, NULL, &err));
    batch_clear(&f->spans);
    assert_ok(recorder_live_spans(dead, &f->spans, &err));
    const span_rows *s = &f->spans.spans;
    assert_int_equal(s->count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        bool ended = str_eq(s->name[i], STR("ended"));
        assert_int_equal(s->status[i], ended ? SPAN_STATUS_UNSET : SPAN_STATUS_ERROR);
        assert_true(s->flags[i] & 1);
    }
    recorder_reader_close(dead);
    sonde_span_end(open);
    sonde_span_end(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(ratios_keep_their_part_of_the_traces),
        FIXTURE_TEST(a_bucket_gives_its_burst_and_then_its_rate),
        FIXTURE_TEST(a_rate_below_one_saves_up_to_one),
        FIXTURE_TEST(the_rate_limits_roots_only),
        FIXTURE_TEST(an_unsampled_trace_is_recorded_when_its_local_root_fails),
        FIXTURE_TEST(one_that_succeeds_leaves_nothing_and_gives_its_slots_back),
        FIXTURE_TEST(a_child_that_ends_after_the_failed_root_is_recorded_too),
        FIXTURE_TEST(more_than_may_be_kept_is_counted),
        FIXTURE_TEST(a_trace_is_exported_when_the_process_dies_in_its_local_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
