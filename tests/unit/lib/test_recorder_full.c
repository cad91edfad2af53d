// SPDX-License-Identifier: Apache-2.0
/* A full recorder: calls drop at once, or wait as long as they were told to; what was written and
 * dropped is counted; redaction rules and counts are there for readers. */
#include "lib/redact.h"
#include "lib/ring.h"
#include "lib/state_thread.h"
#include "tests/unit/lib/recorder_fixture.h"

#include "lib/recorder_internal.h"
#include "lib/tsc.h"
#include "sonde/redact.h"

#include <pthread.h>

static uint64_t full_drops(fixture *f)
{
    return recorder_drops(f->reader, SIGNAL_LOGS, RECORDER_DROP_FULL);
}

/* Until a call drops; the number of those that did not. */
static int fill(fixture *f)
{
    char text[400];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    uint64_t before = full_drops(f);
    int n = 0;
    while (full_drops(f) == before) {
        sonde_info("fill", sonde_kv("n", n), sonde_kv("text", text));
        n++;
    }
    return n - 1;
}

static void a_full_recorder_drops_at_once_by_default(void **state)
{
    (void)state;
    fixture *f = fixture_start(KiB(256));
    int n = fill(f);
    assert_true(n > 100);
    int64_t start = clock_mono_ns();
    for (int i = 0; i < 1000; i++)
        sonde_info("dropped");
    assert_true(clock_mono_ns() - start < NS_PER_S);
    assert_true(full_drops(f) >= 900); /* short ones may find a gap at first */
    assert_int_equal(recorder_written(f->reader, SIGNAL_LOGS) + full_drops(f), n + 1001);
    fixture_stop(f);
}

static void a_call_waits_for_room_as_long_as_it_was_told_to(void **state)
{
    (void)state;
    fixture *f = fixture_start(KiB(256));
    fill(f);
    f->recorder->full_wait_ms = 60;
    uint64_t before = full_drops(f);
    char text[9000];
    memset(text, 'y', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    int64_t start = clock_mono_ns();
    sonde_info("late", sonde_kv("text", text));
    int64_t took = clock_mono_ns() - start;
    assert_true(took >= 60 * NS_PER_MS);
    assert_int_equal(full_drops(f), before + 1);
    /* One that interrupted a writer of its thread does not wait. */
    thread_get()->busy = 1;
    start = clock_mono_ns();
    sonde_info("nested", sonde_kv("text", text));
    took = clock_mono_ns() - start;
    thread_get()->busy = 0;
    assert_true(took < 60 * NS_PER_MS);
    fixture_stop(f);
}

static void *drain_after_a_while(void *arg)
{
    fixture *f = arg;
    uint32_t rows = 1;
    bool full;
    error err;
    nanosleep(&(struct timespec){ .tv_nsec = 30 * NS_PER_MS }, NULL);
    while (rows) {
        batch_clear(&f->logs);
        if (recorder_poll(f->reader, f->cursor, INT64_MAX, 1000, &f->logs, NULL, &rows, &full,
                          &err) != STATUS_OK ||
            recorder_cursor_commit(f->reader, f->cursor, &err) != STATUS_OK)
            return (void *)1;
    }
    return NULL;
}

static void a_waiting_call_goes_on_when_there_is_room(void **state)
{
    (void)state;
    fixture *f = fixture_start(KiB(256));
    pthread_t thread;
    void *failed;
    fill(f);
    f->recorder->full_wait_ms = 10000;
    uint64_t before = full_drops(f);
    char text[9000];
    memset(text, 'y', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    int64_t start = clock_mono_ns();
    assert_int_equal(pthread_create(&thread, NULL, drain_after_a_while, f), 0);
    sonde_info("late", sonde_kv("text", text));
    int64_t took = clock_mono_ns() - start;
    pthread_join(thread, &failed);
    assert_null(failed);
    assert_true(took >= 20 * NS_PER_MS && took < 9 * NS_PER_S);
    assert_int_equal(full_drops(f), before);
    fixture_stop(f);
}

static void *log_some(void *arg)
{
    (void)arg;
    for (int i = 0; i < 500; i++) {
        SONDE_SPAN ("counted") {
            sonde_info("counted", sonde_kv("i", i));
        }
        sonde_info("counted", sonde_kv("i", i));
    }
    return NULL;
}

static void what_was_written_is_counted_drained_or_not(void **state)
{
    (void)state;
    fixture *f = fixture_start(0);
    pthread_t threads[3];
    error err;
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, log_some, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(recorder_written(f->reader, SIGNAL_LOGS), 3000);
    assert_int_equal(recorder_written(f->reader, SIGNAL_TRACES), 1500);
    assert_int_equal(recorder_count_written(f->recorder, SIGNAL_LOGS), 3000);
    assert_int_equal(recorder_count_written(f->recorder, SIGNAL_TRACES), 1500);
    fixture_poll(f);
    assert_ok(recorder_cursor_commit(f->reader, f->cursor, &err));
    recorder_reclaim(f->recorder);
    recorder_reader *fresh;
    assert_ok(recorder_open_reader(f->recorder, &fresh, NULL, &err));
    assert_int_equal(recorder_written(fresh, SIGNAL_LOGS), 3000);
    assert_int_equal(recorder_written(fresh, SIGNAL_TRACES), 1500);
    recorder_reader_close(fresh);
    fixture_stop(f);
}

static void a_reader_keeps_the_clock_of_a_process_without_drainer(void **state)
{
    (void)state;
    fixture *f = fixture_start(0);
    recorder_reader *r;
    error err;
    uint64_t before = f->recorder->header->clock_count;
    assert_ok(recorder_reader_open(&r, recorder_path(f->recorder), NULL, &err));
    bool calibrated = !tsc_usable;
    for (int64_t end = clock_mono_ns() + 5 * NS_PER_S; !calibrated && clock_mono_ns() < end;) {
        assert_true(recorder_reader_info(r).alive);
        assert_ok(recorder_reader_calibrate(r, &err));
        calibrated = f->recorder->header->clock_count >= before + 3;
        usleep(1000);
    }
    assert_true(calibrated);
    assert_true(recorder_reader_info(r).alive);
    int64_t now_ns = clock_now_ns();
    int64_t read_ns = recorder_ticks_to_ns(r, recorder_ticks());
    assert_true(read_ns - now_ns < 5 * NS_PER_MS && now_ns - read_ns < 5 * NS_PER_MS);
    recorder_reader_close(r);
    fixture_stop(f);
}

static void texts_are_redacted_by_the_reader_and_keys_at_the_call(void **state)
{
    (void)state;
    redact_configure(STR_EMPTY, STR("iban,*_pin"));
    fixture *f = fixture_start(0);
    SONDE_CONTEXT (sonde_kv("user_pin", "1234"), sonde_kv("session_id", "s-1")) {
        SONDE_SPAN ("work", sonde_kv("url", "postgres://u:hunter2@db/x")) {
            sonde_span_event("got", sonde_kv("header", "Bearer abc123def"));
            sonde_info("sent", sonde_kv("IBAN", "DE02"), sonde_kv("text", "card 4111111111111111"),
                       sonde_kv_bytes("raw", "token=abc", 9));
        }
    }
    fixture_poll(f);
    const attrs *log = &f->logs.logs.attributes[0];
    assert_text(attrs_get_str(log, STR("IBAN")), "[REDACTED]");
    assert_text(attrs_get_str(log, STR("user_pin")), "[REDACTED]");
    assert_text(attrs_get_str(log, STR("session_id")), "s-1");
    assert_text(attrs_get_str(log, STR("text")), "card [REDACTED]");
    const value *raw = attrs_get(log, STR("raw"));
    assert_non_null(raw);
    assert_text(raw->s, "token=[REDACTED]");
    const attrs *span = &f->spans.spans.attributes[0];
    assert_text(attrs_get_str(span, STR("url")), "postgres://[REDACTED]@db/x");
    const span_event *event = &f->spans.spans.events[0].items[0];
    assert_text(attrs_get_str(&event->attributes, STR("header")), "Bearer [REDACTED]");
    assert_true(sonde_redact_key("my-pin-pin"));
    redact_configure(STR_EMPTY, STR_EMPTY);
    assert_false(sonde_redact_key("iban"));
    fixture_stop(f);
}

/* What a new reader makes of a text, with `list` in the recorder's header. */
static bool is_redacted(fixture *f, str list, uint32_t check)
{
    error err;
    recorder_reader *r;
    recorder_header *h = f->recorder->header;
    memcpy(h->redact, list.ptr, list.len);
    h->redact_values_bytes = (uint16_t)list.len;
    h->redact_check = check;
    assert_ok(recorder_open_reader(f->recorder, &r, NULL, &err));
    size_t begin, end;
    bool found = redact_find(recorder_redact_rules(r), STR("Bearer abc123"), 0, &begin, &end);
    recorder_reader_close(r);
    return found;
}

static void damage_never_turns_rules_off(void **state)
{
    (void)state;
    fixture *f = fixture_start(0);
    assert_false(is_redacted(f, STR("none"), recorder_redact_check(4, 0)));
    assert_false(is_redacted(f, STR("card"), recorder_redact_check(4, 0)));
    assert_true(is_redacted(f, STR("none"), 0));
    assert_true(is_redacted(f, STR("nonf"), recorder_redact_check(4, 0)));
    assert_true(is_redacted(f, STR("non"), recorder_redact_check(4, 0)));
    fixture_stop(f);
}

static void a_program_can_redact_texts_of_its_own(void **state)
{
    (void)state;
    char out[64];
    const char *text = "x Bearer abc123 y";
    assert_int_equal(sonde_redact_text(text, strlen(text), out, sizeof(out)), 21);
    assert_string_equal(out, "x Bearer [REDACTED] y");
    assert_int_equal(sonde_redact_text(text, strlen(text), out, 10), 21);
    assert_string_equal(out, "x Bearer ");
    assert_int_equal(sonde_redact_text(text, strlen(text), NULL, 0), 21);
    assert_int_equal(sonde_redact_text(NULL, 5, out, sizeof(out)), 0);
    assert_string_equal(out, "");
    assert_false(sonde_redact_key(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_recorder_drops_at_once_by_default),
        cmocka_unit_test(a_call_waits_for_room_as_long_as_it_was_told_to),
        cmocka_unit_test(a_waiting_call_goes_on_when_there_is_room),
        cmocka_unit_test(what_was_written_is_counted_drained_or_not),
        cmocka_unit_test(a_reader_keeps_the_clock_of_a_process_without_drainer),
        cmocka_unit_test(texts_are_redacted_by_the_reader_and_keys_at_the_call),
        cmocka_unit_test(damage_never_turns_rules_off),
        cmocka_unit_test(a_program_can_redact_texts_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
