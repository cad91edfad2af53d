// SPDX-License-Identifier: Apache-2.0
/* Jaeger's spans in and out, field by field; Thrift's bytes come from Apache's own library. */
#include "codec/jaeger.h"

#include "codec/protobuf.h"
#include "support.h"
#include "unit/codec/batch_equal.h"
#include "unit/codec/jaeger_batch.h"

static str binary_bytes(void)
{
    return str_n(jaeger_batch_binary, sizeof(jaeger_batch_binary));
}

static str compact_bytes(void)
{
    return str_n(jaeger_batch_compact, sizeof(jaeger_batch_compact));
}

static void assert_attr(const attrs *a, const char *key, value want)
{
    const value *v = attrs_get(a, str_c(key));
    if (!v || !value_equal(v, &want))
        fail_msg("attribute %s is not what was sent", key);
}

static void assert_rich_span(const batch *b)
{
    static const uint8_t trace[16] = { 1,    2,    3,    4,    5,    6,    7,    8,
                                       0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe };
    static const uint8_t span[8] = { 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18 };
    const span_rows *s = &b->spans;
    assert_int_equal(s->count, 1);
    assert_memory_equal(s->trace[0].bytes, trace, 16);
    assert_memory_equal(s->span[0].bytes, span, 8);
    assert_memory_equal(s->parent[0].bytes, "\0\0\0\0\0\0\0\5", 8);
    assert_str(s->name[0], STR("GET /"));
    assert_int_equal(s->flags[0], 1);
    assert_int_equal(s->kind[0], SPAN_KIND_SERVER);
    assert_int_equal(s->start_ns[0], 1700000000123456000);
    assert_int_equal(s->end_ns[0], 1700000000124956000);
    assert_int_equal(s->status[0], SPAN_STATUS_ERROR);
    assert_str(s->status_message[0], STR("gone"));
    const attrs *a = &s->attributes[0];
    assert_int_equal(a->count, 7);
    assert_attr(a, "text", VALUE_S(STR("gr\xc3\xbcn")));
    assert_attr(a, "yes", VALUE_B(true));
    assert_attr(a, "no", VALUE_B(false));
    assert_attr(a, "n", VALUE_I(-7));
    assert_attr(a, "d", VALUE_D(2.5));
    assert_attr(a, "raw", (value){ .type = VALUE_BYTES, .s = STR("\0\xff") });
    assert_attr(a, "jaeger.debug", VALUE_B(true));
}

/* The reference that is the parent is none of the links; a second parent says that it is one. */
static void assert_rich_parts(const batch *b)
{
    const span_links *l = &b->spans.links[0];
    const span_events *e = &b->spans.events[0];
    assert_int_equal(l->count, 2);
    assert_memory_equal(l->items[0].span.bytes, "\0\0\0\0\0\0\0\12", 8);
    assert_int_equal(l->items[0].trace.bytes[15], 9);
    assert_int_equal(l->items[0].attributes.count, 0);
    assert_memory_equal(l->items[1].span.bytes, "\0\0\0\0\0\0\0\14", 8);
    assert_attr(&l->items[1].attributes, "opentracing.ref_type", VALUE_S(STR("child_of")));
    assert_int_equal(e->count, 1);
    assert_str(e->items[0].name, STR("retry"));
    assert_int_equal(e->items[0].time_ns, 1700000000123460000);
    assert_int_equal(e->items[0].attributes.count, 1);
    assert_attr(&e->items[0].attributes, "attempt", VALUE_I(2));
    const attrs *r = &b->resources[0].attributes;
    assert_int_equal(r->count, 3);
    assert_attr(r, "service.name", VALUE_S(STR("shop")));
    assert_attr(r, "host.name", VALUE_S(STR("box")));
    assert_attr(r, "cores", VALUE_I(4));
}

static void both_thrift_protocols_say_the_same(void **state UNUSED)
{
    const struct {
        str bytes;
        thrift_protocol protocol;
    } cases[] = { { binary_bytes(), THRIFT_BINARY }, { compact_bytes(), THRIFT_COMPACT } };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        batch b;
        error err;
        batch_init(&b, SIGNAL_TRACES, MiB(1));
        assert_ok(jaeger_thrift_decode(&b, cases[i].bytes, cases[i].protocol, &err));
        assert_rich_span(&b);
        assert_rich_parts(&b);
        batch_done(&b);
    }
}

/* Every prefix but those that end between two fields of the outermost structure is an error, and
 * none is read past its end (the copy has its exact size). */
static void thrift_that_is_cut_is_refused(void **state UNUSED)
{
    const struct {
        str bytes;
        thrift_protocol protocol;
    } cases[] = { { binary_bytes(), THRIFT_BINARY }, { compact_bytes(), THRIFT_COMPACT } };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (size_t n = 0; n < cases[i].bytes.len; n++) {
            batch b;
            error err;
            char *exact = malloc(MAX(n, (size_t)1));
            assert_non_null(exact);
            memcpy(exact, cases[i].bytes.ptr, n);
            batch_init(&b, SIGNAL_TRACES, MiB(1));
            status st = jaeger_thrift_decode(&b, str_n(exact, n), cases[i].protocol, &err);
            assert_int_equal(st, STATUS_INVALID);
            assert_non_null(strstr(err.message, "at byte"));
            batch_done(&b);
            free(exact);
        }
    }
}

static void the_agent_takes_calls_of_emit_batch_only(void **state UNUSED)
{
    error err;
    buf call;
    batch b;
    batch_init(&b, SIGNAL_TRACES, MiB(1));
    buf_init(&call, 0);
    buf_lit(&call, "\x82\x81\x00\x09"
                   "emitBatch\x1c");
    buf_str(&call, compact_bytes());
    buf_char(&call, 0);
    assert_ok(jaeger_agent_decode(&b, buf_view(&call), THRIFT_COMPACT, &err));
    assert_rich_span(&b);
    batch_clear(&b);
    call.ptr[4] = 'E';
    assert_int_equal(jaeger_agent_decode(&b, buf_view(&call), THRIFT_COMPACT, &err),
                     STATUS_UNSUPPORTED);
    assert_non_null(strstr(err.message, "\"EmitBatch\""));
    assert_int_equal(jaeger_agent_decode(&b, buf_view(&call), THRIFT_BINARY, &err), STATUS_INVALID);
    buf_done(&call);
    batch_done(&b);
}

/* ---- protobuf ---- */

static void encode_all(const batch *b, size_t max_bytes, buf *out, uint32_t *ret_requests)
{
    jaeger_cursor at = { 0, 0 };
    uint32_t spans, total = 0;
    *ret_requests = 0;
    while (jaeger_proto_encode(b, &at, max_bytes, out, &spans)) {
        ++*ret_requests;
        total += spans;
    }
    assert_false(out->failed);
    assert_int_equal(total, b->spans.count);
}

static void what_goes_out_as_protobuf_comes_back(void **state UNUSED)
{
    batch b, again;
    error err;
    buf out;
    uint32_t requests;
    batch_init(&b, SIGNAL_TRACES, MiB(1));
    batch_init(&again, SIGNAL_TRACES, MiB(1));
    buf_init(&out, 0);
    assert_ok(jaeger_thrift_decode(&b, binary_bytes(), THRIFT_BINARY, &err));
    b.spans.start_ns[0] += 789; /* nanoseconds are kept */
    b.spans.trace_state[0] = STR("a=b");
    b.scopes[0].name = STR("lib");
    b.scopes[0].version = STR("2");
    b.spans.attributes[0].dropped = 5;
    encode_all(&b, MiB(1), &out, &requests);
    assert_int_equal(requests, 1);
    assert_ok(jaeger_proto_decode(&again, buf_view(&out), &err));
    assert_true(spans_equal(&b.spans, &again.spans, 0));
    assert_true(attrs_equal(&b.resources[0].attributes, &again.resources[0].attributes));
    assert_str(again.scopes[0].name, STR("lib"));
    assert_str(again.scopes[0].version, STR("2"));
    buf_done(&out);
    batch_done(&b);
    batch_done(&again);
}

/* A resource is a request; one that would be too large is cut between spans. */
static void requests_keep_to_their_size_and_resource(void **state UNUSED)
{
    batch b;
    buf out;
    uint32_t requests;
    batch_init(&b, SIGNAL_TRACES, MiB(4));
    buf_init(&out, 0);
    uint32_t scopes[2];
    for (size_t i = 0; i < 2; i++)
        scopes[i] = batch_add_scope(&b, batch_add_resource(&b));
    for (int i = 0; i < 10; i++) {
        uint32_t row = batch_add_span(&b, scopes[i % 2]);
        b.spans.name[row] = STR("x");
        b.spans.trace[row].bytes[0] = b.spans.span[row].bytes[0] = 1;
    }
    encode_all(&b, MiB(1), &out, &requests);
    assert_int_equal(requests, 2);
    buf_clear(&out);
    encode_all(&b, 1, &out, &requests);
    assert_int_equal(requests, 10);
    buf_done(&out);
    batch_done(&b);
}

/* A span of its own process, twice the same: one resource, beside the batch's. */
static void a_span_may_have_a_process_of_its_own(void **state UNUSED)
{
    batch b;
    error err;
    buf out;
    batch_init(&b, SIGNAL_TRACES, MiB(1));
    buf_init(&out, 0);
    pb_mark outer = pb_begin(&out, 1, 100);
    for (int i = 0; i < 3; i++) {
        pb_mark span = pb_begin(&out, 1, 50);
        pb_put_bytes(&out, 1, STR("\1\2"));
        pb_put_bytes(&out, 2, STR("\3"));
        if (i < 2) {
            pb_mark process = pb_begin(&out, 10, 10);
            pb_put_bytes(&out, 1, STR("own"));
            pb_end(&out, process);
        }
        pb_end(&out, span);
    }
    pb_mark process = pb_begin(&out, 2, 10);
    pb_put_bytes(&out, 1, STR("common"));
    pb_end(&out, process);
    pb_end(&out, outer);
    assert_ok(jaeger_proto_decode(&b, buf_view(&out), &err));
    assert_int_equal(b.resource_count, 2);
    static const char *const services[] = { "own", "own", "common" };
    for (uint32_t i = 0; i < 3; i++)
        assert_str(attrs_get_str(&b.resources[b.scopes[b.spans.scope[i]].resource].attributes,
                                 STR("service.name")),
                   str_c(services[i]));
    /* Short ids have zeros in front. */
    assert_memory_equal(b.spans.trace[0].bytes + 12, "\0\0\1\2", 4);
    assert_memory_equal(b.spans.span[0].bytes, "\0\0\0\0\0\0\0\3", 8);
    assert_int_equal(b.spans.kind[0], SPAN_KIND_UNSPECIFIED);
    buf_done(&out);
    batch_done(&b);
}

static void assert_refused(const char *bytes, size_t n, const char *part)
{
    batch b;
    error err;
    batch_init(&b, SIGNAL_TRACES, MiB(1));
    assert_int_equal(jaeger_proto_decode(&b, str_n(bytes, n), &err), STATUS_INVALID);
    if (!strstr(err.message, part))
        fail_msg("\"%s\" has no \"%s\"", err.message, part);
    batch_done(&b);
}
#define ASSERT_REFUSED(bytes, part) assert_refused(bytes, sizeof(bytes) - 1, part)

static void wrong_requests_are_told_what_and_where(void **state UNUSED)
{
    ASSERT_REFUSED("\x0a\x05\x0a", "a length goes past the end of its message, at byte 1");
    ASSERT_REFUSED("\x0a\x02\x0a\x00", "span 0: it has no span id");
    ASSERT_REFUSED("\x0a\x05\x0a\x03\x12\x01\x07", "span 0: it has no trace id");
    ASSERT_REFUSED("\x0a\x0d\x0a\x0b\x12\x09"
                   "123456789",
                   "an id of 9 bytes; it must have at most 8");
    ASSERT_REFUSED("\x0a\x06\x0a\x04\x42\x02\x10\x07", "a tag has the unknown type 7");
    /* Year 10000. */
    ASSERT_REFUSED("\x0a\x0b\x0a\x09\x32\x07\x08\x80\xa0\xb8\xf9\xf2\x07", "past the year 2262");
    ASSERT_REFUSED("\x08\x01\x0a\x02\x0a\x00", "span 0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_thrift_protocols_say_the_same),
        cmocka_unit_test(thrift_that_is_cut_is_refused),
        cmocka_unit_test(the_agent_takes_calls_of_emit_batch_only),
        cmocka_unit_test(what_goes_out_as_protobuf_comes_back),
        cmocka_unit_test(requests_keep_to_their_size_and_resource),
        cmocka_unit_test(a_span_may_have_a_process_of_its_own),
        cmocka_unit_test(wrong_requests_are_told_what_and_where),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
