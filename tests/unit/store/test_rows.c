// SPDX-License-Identifier: Apache-2.0
/* Logs and spans: what matchers and line filters mean, order and limits; in memory and in parts. */
#include "fixture.h"

typedef struct {
    char *dir;
    store *s;
} env;

static int set_up(void **state)
{
    env *e = calloc(1, sizeof(*e));
    e->dir = make_dir();
    e->s = open_store(e->dir);
    *state = e;
    return 0;
}

static int tear_down(void **state)
{
    env *e = *state;
    store_close(e->s);
    remove_dir(e->dir);
    free(e);
    return 0;
}

/* Seven lines, each found by its number in the answers below. */
static void ingest_lines(store *s)
{
    batch b;
    batch_init(&b, SIGNAL_LOGS, MiB(1));
    uint32_t api = add_service(&b, "api");
    add_attr(&b, &b.resources[0].attributes, "host.name", VALUE_S(STR("h1")));
    uint32_t worker = add_service(&b, "worker");
    uint32_t i = add_log(&b, api, T0_NS + 0, 9, STR("1 Image created at once"));
    add_attr(&b, &b.logs.attributes[i], "request.id", VALUE_S(STR("r-1")));
    add_attr(&b, &b.logs.attributes[i], "host.name", VALUE_S(STR("other")));
    i = add_log(&b, api, T0_NS + NS_PER_MS, 17, STR("2 failed: timeout after 30 s"));
    add_attr(&b, &b.logs.attributes[i], "status", VALUE_I(500));
    b.logs.trace[i] = trace_n(7);
    i = add_log(
        &b, worker, T0_NS + 2 * NS_PER_MS, 0,
        STR("{\"n\":\"3\",\"request_id\":\"r-3\",\"job\":{\"a\":1},\"ok\":true,\"code\":42}"));
    i = add_log(&b, worker, T0_NS + 3 * NS_PER_MS, 0, STR("4 only severity text"));
    b.logs.severity_text[i] = STR("WARNING");
    i = add_log(&b, worker, T0_NS + 4 * NS_PER_MS, 13, STR("5 path C:\\temp\\new \"quoted\" end"));
    add_attr(&b, &b.logs.attributes[i], "path", VALUE_S(STR("C:\\temp\\new")));
    i = add_log(&b, worker, T0_NS + 5 * NS_PER_MS, 13,
                STR("6 gr\xC3\xB6\xC3\x9F"
                    "er"));
    i = add_log(&b, worker, T0_NS + 6 * NS_PER_MS, 9,
                STR("{\"n\":\"7\",\"who\":\"J\\u00fcrgen\",\"trace_id\":\"abc\"}"));
    ingest(s, &b);
    batch_done(&b);
}

/* The numbers of the lines found, in order. */
static void numbers(store *s, row_query q, char *ret)
{
    collected c = run_rows(s, q);
    size_t n = 0;
    for (size_t i = 0; i < c.text.len; i++) {
        size_t line = i;
        while (i < c.text.len && c.text.ptr[i] != '\n')
            i++;
        str text = str_n(c.text.ptr + line, i - line), rest;
        str_cut(text, ' ', &rest);
        str_cut(rest, ' ', &rest);
        ret[n++] = rest.ptr[0] == '{' ? rest.ptr[6] : rest.ptr[0];
    }
    ret[n] = 0;
    buf_done(&c.text);
}

static void service_of_a_log_is_the_attribute_service_where_there_is_one(void **state)
{
    env *e = *state;
    batch b;
    batch_init(&b, SIGNAL_LOGS, MiB(1));
    uint32_t api = add_service(&b, "shop-api");
    add_attr(&b, &b.resources[0].attributes, "service", VALUE_S(STR("api")));
    add_log(&b, api, T0_NS, 9, STR("1"));
    add_log(&b, add_service(&b, "shop-worker"), T0_NS + 1, 9, STR("2"));
    ingest(e->s, &b);
    batch_done(&b);
    static const struct {
        const char *name, *value, *lines;
    } cases[] = { { "service", "api", "1" },
                  { "service", "shop-api", "" },
                  { "service", "shop-worker", "2" },
                  { "service_name", "shop-api", "1" } };
    for (int sealed = 0; sealed < 2; sealed++) {
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
            matcher m = { str_c(cases[i].name), MATCH_EQ, str_c(cases[i].value) };
            row_query q = all_rows(SIGNAL_LOGS);
            char found[32];
            q.matchers = &m;
            q.matcher_count = 1;
            numbers(e->s, q, found);
            assert_string_equal(found, cases[i].lines);
        }
        arena a;
        str_list l;
        arena_init(&a, MiB(4));
        names_query q = { .signal = SIGNAL_LOGS, .from_ns = 0, .to_ns = INT64_MAX };
        assert_int_equal(store_label_values(e->s, &q, STR("service"), &a, &l, NULL), STATUS_OK);
        assert_int_equal(l.count, 2);
        assert_true(str_is(l.items[0], "api"));
        assert_true(str_is(l.items[1], "shop-worker"));
        arena_done(&a);
        seal(e->s);
    }
}

static void log_matchers_find_the_same_in_memory_and_in_parts(void **state)
{
    env *e = *state;
    ingest_lines(e->s);
    static const struct {
        const char *name;
        match_op op;
        const char *value;
        const char *lines;
    } cases[] = {
        { "service_name", MATCH_EQ, "api", "12" },
        { "service", MATCH_RE, "api|worker", "1234567" },
        { "service", MATCH_NE, "api", "34567" },
        { "service.name", MATCH_EQ, "worker", "34567" },
        { "host_name", MATCH_EQ, "h1", "12" },  /* the resource comes before the log record */
        { "host_name", MATCH_EQ, "other", "" }, /* and hides the record's own */
        { "request_id", MATCH_EQ, "r-1", "1" }, /* '_' finds '.' */
        { "request_id", MATCH_EQ, "r-3", "3" }, /* in a JSON body */
        { "request_id", MATCH_NE, "r-3", "124567" },
        { "request_id", MATCH_EQ, "", "24567" },
        { "request_id", MATCH_RE, "r-.", "13" },
        { "status", MATCH_EQ, "500", "2" }, /* an integer as text */
        { "code", MATCH_EQ, "42", "3" },
        { "ok", MATCH_EQ, "true", "3" },
        { "job", MATCH_EQ, "{\"a\":1}", "3" },
        { "level", MATCH_EQ, "info", "17" },
        { "level", MATCH_EQ, "error", "2" },
        { "level", MATCH_RE, "warn|error", "2456" },
        { "level", MATCH_EQ, "", "3" },
        { "message", MATCH_EQ, "4 only severity text", "4" },
        { "message", MATCH_RE, ".*timeout.*", "2" },
        { "path", MATCH_EQ, "C:\\temp\\new", "5" },
        { "message", MATCH_EQ, "5 path C:\\temp\\new \"quoted\" end", "5" },
        { "who", MATCH_EQ, "J\xC3\xBCrgen", "7" },
        { "trace_id", MATCH_EQ, "ab000000070000000000000007000000", "2" },
        { "trace_id", MATCH_EQ, "abc", "7" },
        { "absent", MATCH_EQ, "", "1234567" },
        { "absent", MATCH_NE, "", "" },
        { "absent", MATCH_NRE, "x", "1234567" },
    };
    for (int sealed = 0; sealed < 2; sealed++) {
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
            matcher m = { str_c(cases[i].name), cases[i].op, str_c(cases[i].value) };
            row_query q = all_rows(SIGNAL_LOGS);
            q.matchers = &m;
            q.matcher_count = 1;
            char found[32];
            numbers(e->s, q, found);
            if (strcmp(found, cases[i].lines) != 0)
                FAIL("%s %d \"%s\" finds %s, not %s (%s)", cases[i].name, cases[i].op,
                     cases[i].value, found, cases[i].lines, sealed ? "sealed" : "in memory");
        }
        seal(e->s);
    }
}

static void line_filters_find_the_same_in_memory_and_in_parts(void **state)
{
    env *e = *state;
    ingest_lines(e->s);
    static const struct {
        line_op op;
        const char *text;
        const char *lines;
    } cases[] = {
        { LINE_CONTAINS, "Image created", "1" },
        { LINE_CONTAINS, "mage creat", "1" }, /* within words */
        { LINE_CONTAINS, " created at ", "1" },
        { LINE_CONTAINS, "", "1234567" },
        { LINE_NOT_CONTAINS, "a", "46" },
        { LINE_CONTAINS, "temp", "5" },
        { LINE_CONTAINS, ":\\temp\\", "5" },
        { LINE_CONTAINS, " \"quoted\" ", "5" },
        { LINE_CONTAINS, "\xC3\xB6\xC3\x9F", "6" },
        { LINE_CONTAINS, "nothing like it anywhere", "" },
        { LINE_MATCHES, "time(out|less)", "2" }, /* unanchored */
        { LINE_MATCHES, "^\\d only", "4" },
        { LINE_NOT_MATCHES, "[a-z]{3}", "6" },
    };
    for (int sealed = 0; sealed < 2; sealed++) {
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
            line_filter l = { cases[i].op, str_c(cases[i].text) };
            row_query q = all_rows(SIGNAL_LOGS);
            q.lines = &l;
            q.line_count = 1;
            char found[32];
            numbers(e->s, q, found);
            if (strcmp(found, cases[i].lines) != 0)
                FAIL("filter %d \"%s\" finds %s, not %s (%s)", cases[i].op, cases[i].text, found,
                     cases[i].lines, sealed ? "sealed" : "in memory");
        }
        line_filter two[] = { { LINE_NOT_CONTAINS, STR("{") }, { LINE_CONTAINS, STR("e") } };
        row_query q = all_rows(SIGNAL_LOGS);
        q.lines = two;
        q.line_count = 2;
        char found[32];
        numbers(e->s, q, found);
        assert_string_equal(found, "12456");
        seal(e->s);
    }
}

static void span_matchers_find_the_same_in_memory_and_in_parts(void **state)
{
    env *e = *state;
    batch b;
    batch_init(&b, SIGNAL_TRACES, MiB(1));
    uint32_t scope = add_service(&b, "api");
    add_attr(&b, &b.resources[0].attributes, "zone", VALUE_S(STR("r")));
    uint32_t i = add_span(&b, scope, T0_NS, 5 * NS_PER_MS, 1, 1, "GET");
    add_attr(&b, &b.spans.attributes[i], "zone", VALUE_S(STR("s")));
    b.spans.status[i] = SPAN_STATUS_ERROR;
    span_event *event = ARENA_NEW(&b.arena, span_event);
    *event = (span_event){ .time_ns = T0_NS + 1, .name = STR("boom") };
    add_attr(&b, &event->attributes, "k", VALUE_S(STR("v")));
    b.spans.events[i] = (span_events){ event, 1, 2 };
    span_link *link = ARENA_NEW(&b.arena, span_link);
    *link = (span_link){ .trace = trace_n(9), .trace_state = STR("a=b"), .flags = 1 };
    b.spans.links[i] = (span_links){ link, 1, 0 };
    i = add_span(&b, scope, T0_NS + NS_PER_MS, 50 * NS_PER_MS, 1, 2, "SELECT");
    b.spans.parent[i] = b.spans.span[0];
    b.spans.kind[i] = SPAN_KIND_CLIENT;
    ingest(e->s, &b);
    batch_done(&b);
    static const struct {
        const char *name;
        match_op op;
        const char *value;
        const char *found;
    } cases[] = {
        { "service", MATCH_EQ, "api", "api 0 GET\napi 1 SELECT\n" },
        { "name", MATCH_EQ, "SELECT", "api 1 SELECT\n" },
        { "name", MATCH_RE, "G.*", "api 0 GET\n" },
        { "kind", MATCH_EQ, "client", "api 1 SELECT\n" },
        { "status", MATCH_EQ, "error", "api 0 GET\n" },
        { "zone", MATCH_EQ, "s", "api 0 GET\n" },    /* the span's before the resource's */
        { "zone", MATCH_EQ, "r", "api 1 SELECT\n" }, /* the resource's where the span has none */
        { "parent_span_id", MATCH_EQ, "", "api 0 GET\n" },
        { "parent_span_id", MATCH_NE, "", "api 1 SELECT\n" },
    };
    for (int sealed = 0; sealed < 2; sealed++) {
        for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
            matcher m = { str_c(cases[k].name), cases[k].op, str_c(cases[k].value) };
            row_query q = all_rows(SIGNAL_TRACES);
            q.matchers = &m;
            q.matcher_count = 1;
            assert_rows(e->s, q, cases[k].found);
        }
        row_query q = all_rows(SIGNAL_TRACES);
        q.min_duration_ns = 6 * NS_PER_MS;
        assert_rows(e->s, q, "api 1 SELECT\n");
        q.min_duration_ns = 0;
        q.max_duration_ns = 6 * NS_PER_MS;
        assert_rows(e->s, q, "api 0 GET\n");
        batch t;
        batch_init(&t, SIGNAL_TRACES, MiB(1));
        assert_int_equal(store_trace(e->s, trace_n(1), &t, NULL), STATUS_OK);
        assert_int_equal(t.spans.count, 2);
        assert_int_equal(t.spans.events[0].count, 1);
        assert_int_equal(t.spans.events[0].dropped, 2);
        assert_true(str_is(t.spans.events[0].items[0].name, "boom"));
        assert_true(str_is(attrs_get_str(&t.spans.events[0].items[0].attributes, STR("k")), "v"));
        assert_memory_equal(t.spans.links[0].items[0].trace.bytes, trace_n(9).bytes, 16);
        assert_true(str_is(t.spans.links[0].items[0].trace_state, "a=b"));
        assert_int_equal(t.spans.status[0], SPAN_STATUS_ERROR);
        assert_true(str_is(t.scopes[t.spans.scope[0]].name, "test"));
        batch_done(&t);
        seal(e->s);
    }
}

static void rows_come_in_order_over_many_parts_and_memory(void **state)
{
    env *e = *state;
    /* 40 batches whose times interleave, a seal after each tenth. */
    for (int n = 0; n < 40; n++) {
        batch b;
        batch_init(&b, SIGNAL_LOGS, MiB(1));
        uint32_t scope = add_service(&b, n % 3 ? "a" : "b");
        for (int i = 0; i < 50; i++)
            add_log(&b, scope, T0_NS + ((i * 7919 + n * 104729) % 5000) * NS_PER_MS, 9, STR("x"));
        ingest(e->s, &b);
        batch_done(&b);
        if (n % 10 == 9 && n < 39)
            seal(e->s);
    }
    row_query q = all_rows(SIGNAL_LOGS);
    assert_int_equal(count_rows(e->s, q), 2000); /* run_rows asserts the order */
    q.newest_first = true;
    assert_int_equal(count_rows(e->s, q), 2000);
    q.limit = 77;
    assert_int_equal(count_rows(e->s, q), 77);
    q = all_rows(SIGNAL_LOGS);
    q.from_ns = T0_NS + 1000 * NS_PER_MS;
    q.to_ns = T0_NS + 2000 * NS_PER_MS;
    collected c = run_rows(e->s, q);
    assert_true(c.rows > 300 && c.rows < 500);
    assert_true(c.last_ns < q.to_ns);
    buf_done(&c.text);
}

static bool stop_at_once(void *user, const batch *b)
{
    *(uint32_t *)user += 1;
    return b == NULL;
}

static void a_sink_can_end_the_scan(void **state)
{
    env *e = *state;
    batch b;
    batch_init(&b, SIGNAL_LOGS, MiB(4));
    uint32_t scope = add_service(&b, "a");
    for (int i = 0; i < 3000; i++)
        add_log(&b, scope, T0_NS + i, 9, STR("x"));
    ingest(e->s, &b);
    batch_done(&b);
    uint32_t calls = 0;
    row_query q = all_rows(SIGNAL_LOGS);
    assert_int_equal(store_rows(e->s, &q, stop_at_once, &calls, NULL), STATUS_OK);
    assert_int_equal(calls, 1);
}

static void names_and_values_come_from_resources_and_rows(void **state)
{
    env *e = *state;
    ingest_lines(e->s);
    batch b;
    batch_init(&b, SIGNAL_TRACES, MiB(1));
    add_span(&b, add_service(&b, "api"), T0_NS, 5, 1, 1, "GET");
    add_span(&b, add_service(&b, "db"), T0_NS, 5, 1, 2, "SELECT");
    ingest(e->s, &b);
    batch_done(&b);
    for (int sealed = 0; sealed < 2; sealed++) {
        arena a;
        str_list l;
        arena_init(&a, MiB(4));
        names_query q = { .signal = SIGNAL_LOGS, .from_ns = 0, .to_ns = INT64_MAX };
        assert_int_equal(store_label_values(e->s, &q, STR("service_name"), &a, &l, NULL),
                         STATUS_OK);
        assert_int_equal(l.count, 2);
        assert_true(str_is(l.items[1], "worker"));
        assert_int_equal(store_label_values(e->s, &q, STR("level"), &a, &l, NULL), STATUS_OK);
        assert_int_equal(l.count, 3);
        assert_true(str_is(l.items[2], "warn"));
        assert_int_equal(store_label_names(e->s, &q, &a, &l, NULL), STATUS_OK);
        assert_int_equal(l.count, 6);
        assert_true(str_is(l.items[0], "host_name"));
        q.signal = SIGNAL_TRACES;
        assert_int_equal(store_label_values(e->s, &q, STR("service"), &a, &l, NULL), STATUS_OK);
        assert_int_equal(l.count, 2);
        matcher m = { STR("service"), MATCH_EQ, STR("db") };
        q.matchers = &m;
        q.matcher_count = 1;
        assert_int_equal(store_label_values(e->s, &q, STR("name"), &a, &l, NULL), STATUS_OK);
        assert_int_equal(l.count, 1);
        assert_true(str_is(l.items[0], "SELECT"));
        arena_done(&a);
        seal(e->s);
    }
}

static void a_scan_over_its_memory_limit_says_so(void **state)
{
    (void)state;
    char *dir = make_dir();
    store *s = open_with((store_options){ .dir = dir, .query_memory = KiB(256) });
    batch b;
    batch_init(&b, SIGNAL_LOGS, MiB(64));
    uint32_t scope = add_service(&b, "a");
    for (int i = 0; i < 20000; i++)
        add_log(&b, scope, T0_NS + i, 9, text(&b, "line %d with some text", i));
    ingest(s, &b);
    batch_done(&b);
    for (int sealed = 0; sealed < 2; sealed++) {
        uint32_t calls = 0;
        error err = { 0 };
        row_query q = all_rows(SIGNAL_LOGS);
        assert_int_equal(store_rows(s, &q, stop_at_once, &calls, &err), STATUS_LIMIT);
        assert_non_null(strstr(err.message, "memory"));
        seal(s);
    }
    store_close(s);
    remove_dir(dir);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(log_matchers_find_the_same_in_memory_and_in_parts),
        TEST(service_of_a_log_is_the_attribute_service_where_there_is_one),
        TEST(line_filters_find_the_same_in_memory_and_in_parts),
        TEST(span_matchers_find_the_same_in_memory_and_in_parts),
        TEST(rows_come_in_order_over_many_parts_and_memory),
        TEST(a_sink_can_end_the_scan),
        TEST(names_and_values_come_from_resources_and_rows),
        cmocka_unit_test(a_scan_over_its_memory_limit_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
