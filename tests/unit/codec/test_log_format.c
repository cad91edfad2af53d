// SPDX-License-Identifier: Apache-2.0
/* Formats of log lines: each preset's whole line, changes to them, errors that say what would be
 * right, and the console format's safety. */
#include "codec/log_console.h"
#include "codec/log_format.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

typedef struct {
    batch b;
    uint32_t row, capacity;
    buf out;
} fixture;

/* A record of service `api`, at 2025-10-12T20:30:00.123456789Z. */
static int setup(void **state)
{
    fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    batch_init(&f->b, SIGNAL_LOGS, MiB(1));
    buf_init(&f->out, MiB(1));
    uint32_t r = batch_add_resource(&f->b), capacity = 0;
    attrs *resource = &f->b.resources[r].attributes;
    attrs_append(&f->b.arena, resource, &capacity, STR("service.name"), VALUE_S(STR("api")));
    attrs_append(&f->b.arena, resource, &capacity, STR("deployment.environment.name"),
                 VALUE_S(STR("production")));
    uint32_t scope = batch_add_scope(&f->b, r);
    f->b.scopes[scope].name = STR("sonde");
    f->row = batch_add_log(&f->b, 0);
    f->b.logs.time_ns[f->row] = 1760301000123456789LL;
    f->b.logs.severity[f->row] = 9;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    batch_done(&f->b);
    buf_done(&f->out);
    free(f);
    return 0;
}

static void event(fixture *f, const char *name)
{
    f->b.logs.event_name[f->row] = str_c(name);
    f->b.logs.body[f->row] = VALUE_S(str_c(name));
}

static void put(fixture *f, const char *key, value v)
{
    assert_true(
        attrs_append(&f->b.arena, &f->b.logs.attributes[f->row], &f->capacity, str_c(key), v));
}

/* The same, as an attribute of the context: after the call's own. */
static void share(fixture *f, const char *key, const char *text)
{
    attr_range *c = &f->b.logs.context[f->row];
    if (c->count == 0)
        c->from = f->b.logs.attributes[f->row].count;
    c->count++;
    put(f, key, VALUE_S(str_c(text)));
}

static void trace(fixture *f)
{
    memset(f->b.logs.trace[f->row].bytes, 0xab, 16);
    memset(f->b.logs.span[f->row].bytes, 0xcd, 8);
}

#define TRACE "abababababababababababababababab"
#define SPAN  "cdcdcdcdcdcdcdcd"

static void is_line(fixture *f, const char *spec, const char *want)
{
    log_format format;
    error err;
    if (log_format_parse(&format, str_c(spec), &err) != STATUS_OK)
        fail_msg("%s", err.message);
    log_json_options options = { .schema = &format.schema };
    buf_clear(&f->out);
    log_json_row(&f->b, f->row, &options, &f->out);
    str got = buf_view(&f->out);
    if (!str_is(str_slice(got, 0, got.len - 1), want))
        fail_msg("%s\ngot  %.*swant %s", spec, STR_ARG(got), want);
}

static void framecast_keeps_the_calls_own_attributes_apart(void **state)
{
    fixture *f = *state;
    event(f, "Generation status changed");
    trace(f);
    put(f, "old_status", VALUE_S(STR("processing")));
    put(f, "new_status", VALUE_S(STR("completed")));
    share(f, "request_id", "req_abc123");
    share(f, "user_id", "usr_123");
    share(f, "team_id", "tm_456");
    share(f, "generation_id", "gen_789");
    is_line(f, "framecast",
            "{\"timestamp\":\"2025-10-12T20:30:00.123Z\",\"level\":\"info\","
            "\"request_id\":\"req_abc123\",\"trace_id\":\"" TRACE "\",\"span_id\":\"" SPAN "\","
            "\"service\":\"api\",\"environment\":\"production\",\"user_id\":\"usr_123\","
            "\"team_id\":\"tm_456\",\"generation_id\":\"gen_789\","
            "\"message\":\"Generation status changed\","
            "\"data\":{\"old_status\":\"processing\",\"new_status\":\"completed\"}}");
}

static void framecast_has_every_member_in_every_line(void **state)
{
    fixture *f = *state;
    event(f, "Service started");
    is_line(f, "framecast",
            "{\"timestamp\":\"2025-10-12T20:30:00.123Z\",\"level\":\"info\","
            "\"request_id\":null,\"trace_id\":null,\"span_id\":null,"
            "\"service\":\"api\",\"environment\":\"production\",\"user_id\":null,"
            "\"team_id\":null,\"generation_id\":null,"
            "\"message\":\"Service started\",\"data\":{}}");
    put(f, "n", VALUE_I(1));
    is_line(f, "framecast,absent=omit,order=time:data",
            "{\"timestamp\":\"2025-10-12T20:30:00.123Z\",\"data\":{\"n\":1},\"level\":\"info\","
            "\"service\":\"api\",\"environment\":\"production\",\"message\":\"Service started\"}");
}

static void staging_is_flat_with_whole_seconds(void **state)
{
    fixture *f = *state;
    event(f, "Image created successfully");
    trace(f);
    put(f, "image_id", VALUE_S(STR("img_123")));
    put(f, "project_id", VALUE_S(STR("proj_456")));
    put(f, "duration_ms", VALUE_I(45));
    share(f, "user_id", "user_xyz");
    is_line(f, "staging",
            "{\"timestamp\":\"2025-10-12T20:30:00Z\",\"level\":\"info\",\"service\":\"api\","
            "\"trace_id\":\"" TRACE "\",\"span_id\":\"" SPAN "\",\"user_id\":\"user_xyz\","
            "\"message\":\"Image created successfully\",\"image_id\":\"img_123\","
            "\"project_id\":\"proj_456\",\"duration_ms\":45}");
}

static void a_resource_attribute_service_is_the_lines_service(void **state)
{
    fixture *f = *state;
    attrs *resource = &f->b.resources[0].attributes;
    uint32_t capacity = resource->count;
    attr *items = arena_alloc(&f->b.arena, sizeof(attr) * (capacity + 1));
    memcpy(items, resource->items, sizeof(attr) * capacity);
    items[resource->count++] = (attr){ STR("service"), VALUE_S(STR("worker")) };
    resource->items = items;
    event(f, "e");
    is_line(f, "staging",
            "{\"timestamp\":\"2025-10-12T20:30:00Z\",\"level\":\"info\",\"service\":\"worker\","
            "\"message\":\"e\"}");
}

static void a_name_in_the_order_means_the_key_with_dots_too(void **state)
{
    fixture *f = *state;
    event(f, "e");
    put(f, "n", VALUE_I(1));
    share(f, "user.id", "user_xyz");
    is_line(f, "staging",
            "{\"timestamp\":\"2025-10-12T20:30:00Z\",\"level\":\"info\",\"service\":\"api\","
            "\"user_id\":\"user_xyz\",\"message\":\"e\",\"n\":1}");
    share(f, "user_id", "user_last");
    is_line(f, "staging",
            "{\"timestamp\":\"2025-10-12T20:30:00Z\",\"level\":\"info\",\"service\":\"api\","
            "\"user_id\":\"user_last\",\"message\":\"e\",\"n\":1}");
}

static void personaworlds_has_short_names(void **state)
{
    fixture *f = *state;
    event(f, "request");
    put(f, "method", VALUE_S(STR("GET")));
    put(f, "status", VALUE_I(200));
    put(f, "latency_ms", VALUE_D(1.5));
    put(f, "route", VALUE_S(STR("/worlds/{id}")));
    put(f, "extra", VALUE_B(true));
    share(f, "request_id", "r-1");
    share(f, "user_id", "u-1");
    is_line(f, "personaworlds",
            "{\"ts\":\"2025-10-12T20:30:00.123Z\",\"level\":\"info\",\"msg\":\"request\","
            "\"service\":\"api\",\"request_id\":\"r-1\",\"route\":\"/worlds/{id}\","
            "\"method\":\"GET\",\"status\":200,\"latency_ms\":1.5,\"user_id\":\"u-1\","
            "\"extra\":true}");
}

static void sixseven_is_events_with_pythons_level_names(void **state)
{
    fixture *f = *state;
    event(f, "command_received");
    f->b.scopes[0].name = STR("app.main");
    put(f, "command", VALUE_S(STR("research quantum computing")));
    put(f, "has_image", VALUE_B(false));
    share(f, "session_id", "abc-123");
    share(f, "request_id", "550e8400-e29b-41d4-a716-446655440000");
    is_line(f, "sixseven",
            "{\"event\":\"command_received\",\"command\":\"research quantum computing\","
            "\"has_image\":false,\"session_id\":\"abc-123\","
            "\"request_id\":\"550e8400-e29b-41d4-a716-446655440000\","
            "\"timestamp\":\"2025-10-12T20:30:00.123456Z\",\"level\":\"info\","
            "\"logger\":\"app.main\"}");
    f->b.logs.severity[f->row] = 13;
    is_line(f, "sixseven,order=level,time=,logger=",
            "{\"level\":\"warning\",\"event\":\"command_received\","
            "\"command\":\"research quantum computing\",\"has_image\":false,"
            "\"session_id\":\"abc-123\","
            "\"request_id\":\"550e8400-e29b-41d4-a716-446655440000\"}");
}

static void changes_hold_for_any_preset(void **state)
{
    fixture *f = *state;
    event(f, "e");
    f->b.logs.severity[f->row] = 21;
    put(f, "n", VALUE_I(1));
    is_line(f, "",
            "{\"timestamp\":\"2025-10-12T20:30:00.123456Z\",\"level\":\"fatal\","
            "\"service\":\"api\",\"message\":\"e\",\"n\":1}");
    is_line(f, "debug-server",
            "{\"timestamp\":\"2025-10-12T20:30:00.123456Z\",\"level\":\"fatal\","
            "\"service\":\"api\",\"message\":\"e\",\"n\":1}");
    is_line(
        f, "json,time=ts,message=msg,level_case=upper,level_names=python,time_digits=3,data=nested",
        "{\"ts\":\"2025-10-12T20:30:00.123Z\",\"level\":\"CRITICAL\",\"service\":\"api\","
        "\"msg\":\"e\",\"data\":{\"n\":1}}");
    is_line(f, "time_digits=ns , level_fatal=PANIC,service=,data_key=fields",
            "{\"timestamp\":\"2025-10-12T20:30:00.123456789Z\",\"level\":\"PANIC\","
            "\"message\":\"e\",\"fields\":{\"n\":1}}");
}

static void a_group_named_data_is_the_data(void **state)
{
    fixture *f = *state;
    attr inner[] = { { STR_INIT("old"), VALUE_I(1) }, { STR_INIT("n"), VALUE_I(2) } };
    event(f, "e");
    put(f, "n", VALUE_I(1));
    put(f, "data", (value){ .type = VALUE_MAP, .map = { .items = inner, .count = 2 } });
    is_line(f, "json,data=nested,time=",
            "{\"level\":\"info\",\"service\":\"api\",\"message\":\"e\","
            "\"data\":{\"n\":1,\"old\":1}}");
    is_line(f, "json,time=",
            "{\"level\":\"info\",\"service\":\"api\",\"message\":\"e\",\"n\":1,"
            "\"data\":{\"old\":1,\"n\":2}}");
}

static void a_field_never_hides_a_member(void **state)
{
    fixture *f = *state;
    event(f, "e");
    put(f, "msg", VALUE_I(1));
    put(f, "message", VALUE_I(2));
    share(f, "ts", "3");
    is_line(f, "time=ts,message=msg,time_digits=0,service=",
            "{\"ts\":\"2025-10-12T20:30:00Z\",\"level\":\"info\",\"msg\":\"e\",\"field_msg\":1,"
            "\"message\":2,\"field_ts\":\"3\"}");
}

static void an_id_of_the_context_stands_for_a_trace_that_is_not_there(void **state)
{
    fixture *f = *state;
    event(f, "e");
    put(f, "trace_id", VALUE_S(STR("the call's")));
    is_line(f, "time=,level=,service=,message=msg",
            "{\"msg\":\"e\",\"field_trace_id\":\"the call's\"}");
    share(f, "trace_id", "r-1");
    is_line(f, "time=,level=,service=,message=msg", "{\"trace_id\":\"r-1\",\"msg\":\"e\"}");
    is_line(f, "time=,level=,service=,message=msg,absent=null",
            "{\"trace_id\":\"r-1\",\"span_id\":null,\"msg\":\"e\"}");
    trace(f);
    is_line(f, "time=,level=,service=,message=msg,span=",
            "{\"trace_id\":\"" TRACE "\",\"msg\":\"e\",\"field_trace_id\":\"r-1\"}");
    is_line(f, "time=,level=,service=,message=msg,trace=span_trace_id,span=",
            "{\"span_trace_id\":\"" TRACE "\",\"msg\":\"e\",\"trace_id\":\"r-1\"}");
}

static void the_place_in_the_code_is_shown_when_asked_for(void **state)
{
    fixture *f = *state;
    event(f, "e");
    share(f, "request_id", "r");
    put(f, "code.line.number", VALUE_I(7));
    is_line(f, "time=,service=", "{\"level\":\"info\",\"message\":\"e\",\"request_id\":\"r\"}");
    is_line(f, "time=,service=,code=on",
            "{\"level\":\"info\",\"message\":\"e\",\"request_id\":\"r\",\"code.line.number\":7}");
}

static void a_wrong_format_names_the_item_and_is_json(void **state UNUSED)
{
    static const struct {
        const char *spec, *in_error;
    } wrong[] = {
        { "yaml", "\"yaml\" is not known; the text begins with json" },
        { "json,nested", "\"nested\" is not known; known are time, level" },
        { "json,colour=red", "\"colour=red\" is not known; known are time, level" },
        { "json,time_digits=4", "time_digits must be 0, 3, 6, 9, s, ms, us or ns, not \"4\"" },
        { "json,data=deep", "data must be flat or nested, not \"deep\"" },
        { "json,level_case=UPPER", "level_case must be lower or upper" },
        { "json,level_names=java", "level_names must be short or python" },
        { "json,message=level", "two members are called \"level\"" },
        { "json,order=a:b:a", "two members are called \"a\"" },
        { "json,order=a1:a2:a3:a4:a5:a6:a7:a8:a9:b1:b2:b3:b4:b5:b6:b7:b8:b9:c1:c2:c3:c4:c5:c6:c7:"
          "c8:c9:d1:d2:d3:d4:d5:d6:d7:d8:d9:e1:e2:e3:e4:e5",
          "more than 40 names in order" },
    };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        log_format format;
        error err;
        assert_int_not_equal(log_format_parse(&format, str_c(wrong[i].spec), &err), STATUS_OK);
        if (!str_contains(str_c(err.message), str_c(wrong[i].in_error)))
            fail_msg("%s: %s", wrong[i].spec, err.message);
        assert_false(format.console);
        assert_int_equal(format.schema.count, log_schema_default.count);
    }
}

static void is_console(fixture *f, bool colour, const char *want)
{
    buf_clear(&f->out);
    log_console_row(&f->b, f->row, 3, colour, &f->out);
    if (!str_is(buf_view(&f->out), want))
        fail_msg("got  %.*swant %s", STR_ARG(buf_view(&f->out)), want);
}

static void the_console_line_is_for_people(void **state)
{
    fixture *f = *state;
    event(f, "image_created");
    f->b.scopes[0].name = STR("app.db");
    put(f, "id", VALUE_S(STR("img_1")));
    put(f, "what", VALUE_S(STR("two words")));
    put(f, "ms", VALUE_D(45.5));
    put(f, "none", (value){ .type = VALUE_EMPTY });
    put(f, "exception.stacktrace", VALUE_S(STR("#0 a(b+0x1)\n#1 c")));
    share(f, "request_id", "r-1");
    put(f, "sonde.record.id", VALUE_S(STR("1:2:3")));
    trace(f);
    is_console(f, false,
               "20:30:00.123 INFO  app.db: image_created id=img_1 what=\"two words\" ms=45.5 "
               "none=null request_id=r-1 trace_id=" TRACE "\n    #0 a(b+0x1)\n    #1 c\n");
}

static void the_console_line_is_coloured(void **state)
{
    fixture *f = *state;
    event(f, "e");
    f->b.logs.severity[f->row] = 17;
    put(f, "k", VALUE_I(1));
    is_console(f, true,
               "\033[2m20:30:00.123\033[0m \033[31mERROR\033[0m \033[1me\033[0m "
               "\033[36mk\033[0m=1\n");
}

static void nothing_that_is_logged_reaches_the_terminal_as_a_command(void **state)
{
    fixture *f = *state;
    attr inner[] = { { STR_INIT("k\033"), VALUE_S(STR("v\033\xc2\x9b")) } };
    event(f, "e\033[2J\r\n\x7f");
    put(f, "k\033]0;t\a",
        VALUE_S(STR("\xc2\x9b"
                    "31m\xe2\x80\xae\"=\\ \xff\xc3\xa9")));
    put(f, "map", (value){ .type = VALUE_MAP, .map = { .items = inner, .count = 1 } });
    put(f, "exception.stacktrace", VALUE_S(STR("#0\033[1m\n")));
    is_console(f, true,
               "\033[2m20:30:00.123\033[0m \033[32mINFO \033[0m \033[1me\\x1b[2J\\r\\n\\x7f\033[0m "
               "\033[36mk\\x1b]0;t\\x07\033[0m=\"\\xc2\\x9b31m\\xe2\\x80\\xae\\\"=\\\\ "
               "\\xff\xc3\xa9\" \033[36mmap\033[0m={\"k\\u001b\":\"v\\u001b\\xc2\\x9b\"}\n"
               "    #0\\x1b[1m\n");
}

int main(void)
{
#define ROW_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        ROW_TEST(framecast_keeps_the_calls_own_attributes_apart),
        ROW_TEST(framecast_has_every_member_in_every_line),
        ROW_TEST(staging_is_flat_with_whole_seconds),
        ROW_TEST(a_resource_attribute_service_is_the_lines_service),
        ROW_TEST(a_name_in_the_order_means_the_key_with_dots_too),
        ROW_TEST(personaworlds_has_short_names),
        ROW_TEST(sixseven_is_events_with_pythons_level_names),
        ROW_TEST(changes_hold_for_any_preset),
        ROW_TEST(a_group_named_data_is_the_data),
        ROW_TEST(a_field_never_hides_a_member),
        ROW_TEST(an_id_of_the_context_stands_for_a_trace_that_is_not_there),
        ROW_TEST(the_place_in_the_code_is_shown_when_asked_for),
        cmocka_unit_test(a_wrong_format_names_the_item_and_is_json),
        ROW_TEST(the_console_line_is_for_people),
        ROW_TEST(the_console_line_is_coloured),
        ROW_TEST(nothing_that_is_logged_reaches_the_terminal_as_a_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
