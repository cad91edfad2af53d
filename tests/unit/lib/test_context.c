// SPDX-License-Identifier: Apache-2.0
/* Contexts: what scopes add to logs and spans, how they nest, and how they travel. */
#include "lib/context.h"
#include "tests/unit/lib/recorder_fixture.h"

#include <pthread.h>

static str log_attr_text(const fixture *f, uint32_t row, str key)
{
    return attrs_get_str(&f->logs.logs.attributes[row], key);
}

static void context_attributes_are_on_every_log_and_span_inside(void **state)
{
    fixture *f = *state;
    SONDE_CONTEXT (sonde_kv("request_id", "r-1"), sonde_kv("user_id", "ann")) {
        sonde_info("first");
        SONDE_CONTEXT (sonde_kv("user_id", "bob"), sonde_kv("job_id", 7)) {
            sonde_info("second", sonde_kv("request_id", "own"));
            SONDE_SPAN ("work") {
            }
        }
        sonde_info("third");
    }
    sonde_info("fourth");
    fixture_poll(f);
    assert_text(log_attr_text(f, 0, STR("request_id")), "r-1");
    assert_text(log_attr_text(f, 0, STR("user_id")), "ann");
    assert_text(log_attr_text(f, 1, STR("request_id")), "own");
    assert_text(log_attr_text(f, 1, STR("user_id")), "bob");
    assert_int_equal(attrs_get(&f->logs.logs.attributes[1], STR("job_id"))->i64, 7);
    assert_text(log_attr_text(f, 2, STR("user_id")), "ann");
    assert_null(attrs_get(&f->logs.logs.attributes[2], STR("job_id")));
    assert_null(attrs_get(&f->logs.logs.attributes[3], STR("request_id")));
    const attrs *span = &f->spans.spans.attributes[0];
    assert_text(attrs_get_str(span, STR("request_id")), "r-1");
    assert_text(attrs_get_str(span, STR("user_id")), "bob");
}

static void getters_tell_the_current_values(void **state)
{
    (void)state;
    assert_int_equal(sonde_request_id().len, 0);
    SONDE_CONTEXT (sonde_kv("request_id", "r-9")) {
        sonde_str id = sonde_request_id();
        assert_text(str_n(id.ptr, id.len), "r-9");
        assert_int_equal(sonde_context_get("nothing").len, 0);
    }
    assert_int_equal(sonde_request_id().len, 0);
}

static void what_does_not_fit_is_left_out_and_counted(void **state)
{
    fixture *f = *state;
    char value[301];
    memset(value, 'v', 300);
    value[300] = 0;
    SONDE_CONTEXT (sonde_kv("a", value), sonde_kv("b", value), sonde_kv("c", value),
                   sonde_kv("d", value), sonde_kv_bytes("e", value, 300)) {
        sonde_info("full");
    }
    fixture_poll(f);
    const attrs *a = &f->logs.logs.attributes[0];
    assert_int_equal(attrs_get_str(a, STR("a")).len, 300);
    assert_int_equal(attrs_get_str(a, STR("c")).len, 300);
    assert_null(attrs_get(a, STR("e")));
    assert_true(recorder_drops(f->reader, SIGNAL_LOGS, RECORDER_DROP_CONTEXT) >= 1);
}

typedef struct {
    sonde_context saved;
    bool finished;
} carried;

static void *other_thread(void *argument)
{
    carried *c = argument;
    sonde_info("without");
    SONDE_WITH (c->saved) {
        sonde_info("with");
        SONDE_SPAN ("elsewhere") {
        }
        sonde_span_set(sonde_kv("from", "other thread"));
    }
    sonde_info("after");
    c->finished = true;
    return NULL;
}

static void a_captured_context_carries_everything_to_another_thread(void **state)
{
    fixture *f = *state;
    carried c = { 0 };
    pthread_t thread;
    SONDE_CONTEXT (sonde_kv("request_id", "r-2")) {
        SONDE_SPAN ("here") {
            c.saved = sonde_context_capture();
            assert_int_equal(pthread_create(&thread, NULL, other_thread, &c), 0);
            pthread_join(thread, NULL);
        }
    }
    assert_true(c.finished);
    fixture_poll(f);
    const span_rows *s = &f->spans.spans;
    assert_int_equal(s->count, 2);
    assert_text(s->name[0], "elsewhere");
    assert_memory_equal(&s->parent[0], &s->span[1], 8);
    assert_text(attrs_get_str(&s->attributes[1], STR("from")), "other thread");
    assert_text(attrs_get_str(&s->attributes[0], STR("request_id")), "r-2");
    assert_null(attrs_get(&f->logs.logs.attributes[0], STR("request_id")));
    assert_text(log_attr_text(f, 1, STR("request_id")), "r-2");
    assert_memory_equal(&f->logs.logs.span[1], &s->span[1], 8);
    assert_null(attrs_get(&f->logs.logs.attributes[2], STR("request_id")));
}

/* A queue of contexts by value between two threads: what a callback or a job gets. */
typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    sonde_context items[4];
    int put, taken;
} queue;

enum { JOBS = 40 };

static void *consume(void *argument)
{
    queue *q = argument;
    for (int i = 0; i < JOBS; i++) {
        pthread_mutex_lock(&q->lock);
        while (q->put == q->taken)
            pthread_cond_wait(&q->changed, &q->lock);
        sonde_context job = q->items[q->taken++ % 4];
        pthread_cond_signal(&q->changed);
        pthread_mutex_unlock(&q->lock);
        sonde_attachment attachment;
        sonde_context_attach(&attachment, &job);
        sonde_info("job");
        sonde_context_detach(&attachment);
        assert_false(sonde_trace_id((char[33]){ 0 }));
    }
    return NULL;
}

static void contexts_travel_through_a_queue(void **state)
{
    fixture *f = *state;
    queue q = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, consume, &q), 0);
    for (int i = 0; i < JOBS; i++) {
        SONDE_CONTEXT (sonde_kv("job_id", i)) {
            SONDE_SPAN ("produce") {
                pthread_mutex_lock(&q.lock);
                while (q.put - q.taken == 4)
                    pthread_cond_wait(&q.changed, &q.lock);
                q.items[q.put++ % 4] = sonde_context_capture();
                pthread_cond_signal(&q.changed);
                pthread_mutex_unlock(&q.lock);
            }
        }
    }
    pthread_join(thread, NULL);
    fixture_poll(f);
    assert_int_equal(f->logs.logs.count, JOBS);
    for (uint32_t i = 0; i < JOBS; i++) {
        const attrs *a = &f->logs.logs.attributes[i];
        assert_int_equal(attrs_get(a, STR("job_id"))->i64, i);
        assert_memory_equal(&f->logs.logs.span[i], &f->spans.spans.span[i], 8);
    }
}

static void contexts_are_built_from_ids_and_attributes(void **state UNUSED)
{
    const char *trace = "01000000000000000000000000000000", *span = "00f067aa0ba902b7";
    sonde_context c = sonde_context_of_ids(trace, span, true);
    sonde_attr user = sonde_kv("user_id", "ann");
    assert_true(sonde_context_set(&c, &user));
    SONDE_WITH (c) {
        char text[33];
        assert_true(sonde_trace_id(text));
        assert_string_equal(text, trace);
        sonde_str id = sonde_context_get("user_id");
        assert_text(str_n(id.ptr, id.len), "ann");
    }
    assert_int_equal(sonde_context_of_ids(trace, "0000000000000000", true).flags, 0);
    assert_int_equal(sonde_context_of_ids("01", span, true).flags, 0);
    assert_int_equal(sonde_context_of_ids(NULL, NULL, true).flags, 0);
}

static void hidden_entries_travel_and_are_not_logged(void **state)
{
    fixture *f = *state;
    sonde_context c = { 0 };
    context_hidden kind;
    str key, text;
    assert_true(context_put_hidden(&c, CONTEXT_BAGGAGE, STR("tenant"), STR("acme")));
    assert_true(context_put_hidden(&c, CONTEXT_TRACESTATE, STR(""), STR("v=1")));
    SONDE_WITH (c) {
        SONDE_CONTEXT (sonde_kv("k", "v")) {
            sonde_info("quiet");
            sonde_context copy = sonde_context_capture();
            assert_true(context_hidden_at(&copy, 1, &kind, &key, &text));
            assert_int_equal(kind, CONTEXT_BAGGAGE);
            assert_text(key, "tenant");
            assert_text(text, "acme");
            assert_text(context_tracestate(&copy), "v=1");
            assert_false(context_hidden_at(&copy, 2, &kind, &key, &text));
        }
    }
    fixture_poll(f);
    assert_null(attrs_get(&f->logs.logs.attributes[0], STR("tenant")));
    assert_text(log_attr_text(f, 0, STR("k")), "v");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(context_attributes_are_on_every_log_and_span_inside),
        FIXTURE_TEST(getters_tell_the_current_values),
        FIXTURE_TEST(what_does_not_fit_is_left_out_and_counted),
        FIXTURE_TEST(a_captured_context_carries_everything_to_another_thread),
        FIXTURE_TEST(contexts_travel_through_a_queue),
        FIXTURE_TEST(contexts_are_built_from_ids_and_attributes),
        FIXTURE_TEST(hidden_entries_travel_and_are_not_logged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
