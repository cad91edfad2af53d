// SPDX-License-Identifier: Apache-2.0
/* The reader against a file put together by hand from docs/format/recorder.md: what a version 1
 * file means must not drift with the writer. */
#include "codec/recorder.h"
#include "tests/support.h"

enum {
    BLOCKS = 8,
    TABLE = RECORDER_HEADER_BYTES,
    FIRST = 2 * RECORDER_HEADER_BYTES,
    FILE_BYTES = FIRST + BLOCKS * (int)RECORDER_BLOCK_BYTES
};

typedef struct {
    char *bytes;
    uint32_t at[2]; /* end of what is written in the extent of ring 0 and 1 */
} by_hand;

static char *block(const by_hand *f, int i)
{
    return f->bytes + FIRST + (size_t)i * RECORDER_BLOCK_BYTES;
}

static void put_word(by_hand *f, int i, uint64_t word)
{
    memcpy(f->bytes + TABLE + i * 8, &word, 8);
}

/* Blocks: 0 sites, 1 ring rows, 2 and 3 an extent of ring 0 and 1, 4 live slots. */
static by_hand file_new(void)
{
    by_hand f = { .bytes = calloc(1, FILE_BYTES), .at = { 32, 32 } };
    recorder_header *h = (recorder_header *)f.bytes;
    *h = (recorder_header){ .magic = RECORDER_MAGIC,
                            .version = 1,
                            .header_bytes = RECORDER_HEADER_BYTES,
                            .block_bytes = RECORDER_BLOCK_BYTES,
                            .block_count = BLOCKS,
                            .table_offset = TABLE,
                            .blocks_offset = FIRST,
                            .id = 0xabcdef,
                            .reserved = BLOCKS,
                            .ring_count = 2,
                            .clock_count = 1,
                            .heartbeat = 5000,
                            .resource_count = 1 };
    /* One tick is half a nanosecond, tick 1000 is second 1. */
    h->clock[0] = (recorder_clock_row){ 1, 1000, NS_PER_S, 1ull << 31 };
    static const uint8_t resource[] = "\x17\x0cservice.name\x04\x00shop";
    memcpy(h->resource, resource, sizeof(resource) - 1);
    h->resource_bytes = sizeof(resource) - 1;
    put_word(&f, 0, recorder_block_word(RECORDER_SITES, 1, 0, 0));
    put_word(&f, 1, recorder_block_word(RECORDER_RINGS, 1, 0, 0));
    put_word(&f, 2, recorder_block_word(RECORDER_EXTENT, 1, 0, 5));
    put_word(&f, 3, recorder_block_word(RECORDER_EXTENT, 1, 1, 0));
    put_word(&f, 4, recorder_block_word(RECORDER_LIVE, 1, 0, 0));
    for (int ring = 0; ring < 2; ring++) {
        recorder_extent extent = { .magic = RECORDER_EXTENT_MAGIC ^ 0xabcdef,
                                   .ring = (uint32_t)ring,
                                   .index = ring ? 0 : 5,
                                   .bytes = RECORDER_BLOCK_BYTES };
        memcpy(block(&f, 2 + ring), &extent, sizeof(extent));
    }
    recorder_site_row site = {
        .level = 9, .key_count = 2, .name_bytes = 5, .line = 7, .file_bytes = 3, .function_bytes = 4
    };
    static const char texts[] = "eventa.cmain\x01k\x01m";
    site.word = (uint32_t)((sizeof(site) + sizeof(texts) - 1 + 7) & ~7ull);
    memcpy(block(&f, 0) + 8, &site, sizeof(site));
    memcpy(block(&f, 0) + 8 + sizeof(site), texts, sizeof(texts) - 1);
    return f;
}

/* A log of the site with k = number and, by its own key, x = text "y". */
static void add_log(by_hand *f, int ring, uint64_t ticks, int64_t n, bool committed)
{
    char *p = block(f, 2 + ring) + f->at[ring];
    recorder_log log = {
        .ticks = ticks, .site = RECORDER_SITE(0, 8), .attributes = 2, .severity = 9
    };
    char body[] = "\x04........\x17\x01x\x01\x00y";
    memcpy(body + 1, &n, 8);
    log.bytes = sizeof(body) - 1;
    uint32_t size = (uint32_t)((sizeof(log) + log.bytes + 7) & ~7ull);
    if (committed)
        log.word = recorder_record_word(size, RECORDER_LOG,
                                        recorder_check((uint32_t)ring, ring ? 0 : 5, f->at[ring]));
    memcpy(p, &log, sizeof(log));
    memcpy(p + sizeof(log), body, log.bytes);
    f->at[ring] += size;
}

static void rings_are_merged_and_decoded_as_the_format_says(void **state)
{
    (void)state;
    by_hand f = file_new();
    add_log(&f, 0, 3000, 2, true);
    add_log(&f, 1, 2000, 1, true);
    add_log(&f, 1, 4000, 3, true);
    add_log(&f, 1, 4500, 4, false);
    recorder_reader *r;
    recorder_cursor *c;
    error err;
    batch logs;
    uint32_t rows;
    bool full;
    recorder_reader_options options = { .code_attributes = true };
    batch_init(&logs, SIGNAL_LOGS, MiB(1));
    assert_ok(recorder_reader_open_memory(&r, f.bytes, FILE_BYTES, &options, &err));
    recorder_info info = recorder_reader_info(r);
    assert_str(info.service, STR("shop"));
    assert_false(info.alive);
    assert_ok(recorder_cursor_open(r, &c, STR("sink"), &err));
    assert_ok(recorder_poll(r, c, INT64_MAX, 100, &logs, NULL, &rows, &full, &err));
    assert_int_equal(rows, 3);
    static const int64_t times[] = { NS_PER_S + 500, NS_PER_S + 1000, NS_PER_S + 1500 };
    for (uint32_t i = 0; i < 3; i++) {
        const attrs *a = &logs.logs.attributes[i];
        assert_int_equal(attrs_get(a, STR("k"))->i64, i + 1);
        assert_str(attrs_get_str(a, STR("x")), STR("y"));
        assert_str(attrs_get_str(a, STR("code.file.path")), STR("a.c"));
        assert_str(attrs_get_str(a, STR("code.function.name")), STR("main"));
        assert_int_equal(attrs_get(a, STR("code.line.number"))->i64, 7);
        assert_str(logs.logs.event_name[i], STR("event"));
        assert_str(logs.logs.severity_text[i], STR("INFO"));
        assert_int_equal(logs.logs.time_ns[i], times[i]);
    }
    /* Ring 0, extent 5, offset 32. */
    assert_str(attrs_get_str(&logs.logs.attributes[1], STR("sonde.record.id")),
               STR("0000000000abcdef:0:83886112"));
    batch_done(&logs);
    recorder_reader_close(r);
    free(f.bytes);
}

static void polls_stop_at_the_horizon_and_at_max_rows(void **state)
{
    (void)state;
    by_hand f = file_new();
    for (int i = 0; i < 10; i++)
        add_log(&f, i % 2, (uint64_t)(2000 + 100 * i), i, true);
    recorder_reader *r;
    recorder_cursor *c;
    error err;
    batch logs;
    uint32_t rows;
    bool full;
    batch_init(&logs, SIGNAL_LOGS, MiB(1));
    assert_ok(recorder_reader_open_memory(&r, f.bytes, FILE_BYTES, NULL, &err));
    assert_ok(recorder_cursor_open(r, &c, STR("sink"), &err));
    assert_ok(recorder_poll(r, c, NS_PER_S + 700, 100, &logs, NULL, &rows, &full, &err));
    assert_int_equal(rows, 5);
    assert_ok(recorder_poll(r, c, INT64_MAX, 3, &logs, NULL, &rows, &full, &err));
    assert_int_equal(rows, 3);
    assert_int_equal(logs.resource_count, 1);
    recorder_cursor_rewind(r, c);
    assert_ok(recorder_poll(r, c, INT64_MAX, 100, &logs, NULL, &rows, &full, &err));
    assert_int_equal(rows, 10);
    recorder_reader_close(r);

    /* What was committed by a name is remembered in the file; other names begin at the start. */
    assert_ok(recorder_reader_open_memory(&r, f.bytes, FILE_BYTES, NULL, &err));
    assert_ok(recorder_cursor_open(r, &c, STR("sink"), &err));
    assert_ok(recorder_poll(r, c, INT64_MAX, 4, &logs, NULL, &rows, &full, &err));
    assert_ok(recorder_cursor_commit(r, c, &err));
    recorder_reader_close(r);
    assert_ok(recorder_reader_open_memory(&r, f.bytes, FILE_BYTES, NULL, &err));
    assert_ok(recorder_cursor_open(r, &c, STR("sink"), &err));
    assert_ok(recorder_poll(r, c, INT64_MAX, 100, NULL, NULL, &rows, &full, &err));
    batch_clear(&logs);
    recorder_cursor_rewind(r, c);
    assert_ok(recorder_poll(r, c, INT64_MAX, 100, &logs, NULL, &rows, &full, &err));
    assert_int_equal(rows, 6);
    assert_int_equal(attrs_get(&logs.logs.attributes[0], STR("k"))->i64, 4);
    for (int i = 0; i < 7; i++) {
        char name[8];
        snprintf(name, sizeof(name), "s%d", i);
        assert_ok(recorder_cursor_open(r, &c, str_c(name), &err));
    }
    assert_int_equal(recorder_cursor_open(r, &c, STR("ninth"), &err), STATUS_LIMIT);
    assert_ok(recorder_sink_remove(r, STR("s3"), &err));
    assert_ok(recorder_cursor_open(r, &c, STR("ninth"), &err));
    recorder_reader_close(r);
    batch_done(&logs);
    free(f.bytes);
}

static void a_batch_without_room_says_full_and_nothing_is_skipped(void **state)
{
    (void)state;
    by_hand f = file_new();
    for (int i = 0; i < 100; i++)
        add_log(&f, 0, (uint64_t)(2000 + i), i, true);
    recorder_reader *r;
    recorder_cursor *c;
    error err;
    batch logs;
    uint32_t rows, sum = 0;
    bool full = true;
    batch_init(&logs, SIGNAL_LOGS, KiB(48));
    assert_ok(recorder_reader_open_memory(&r, f.bytes, FILE_BYTES, NULL, &err));
    assert_ok(recorder_cursor_open(r, &c, STR("sink"), &err));
    for (int polls = 0; sum < 100 && polls < 100; polls++) {
        batch_clear(&logs);
        assert_ok(recorder_poll(r, c, INT64_MAX, 100, &logs, NULL, &rows, &full, &err));
        assert_int_equal(rows, logs.logs.count);
        assert_true(polls > 0 || full);
        for (uint32_t i = 0; i < rows; i++)
            assert_int_equal(attrs_get(&logs.logs.attributes[i], STR("k"))->i64, sum++);
    }
    assert_int_equal(sum, 100);
    recorder_reader_close(r);
    batch_done(&logs);
    free(f.bytes);
}

static void an_open_span_of_a_dead_process_ends_at_its_last_sign(void **state)
{
    (void)state;
    by_hand f = file_new();
    recorder_span span = { .word = RECORDER_SLOT_LIVE,
                           .site = RECORDER_SITE(0, 8),
                           .kind = 2,
                           .flags = RECORDER_FLAG_SAMPLED,
                           .trace_id = { 1 },
                           .span_id = { 2 },
                           .start_ticks = 3000 };
    memcpy(block(&f, 4) + RECORDER_SLOT_BYTES, &span, sizeof(span));
    add_log(&f, 1, 9000, 1, true);
    /* Ended, with its record committed, but not freed yet: it is not open any more. */
    span.end_ring = 1;
    span.end_seq = RECORDER_SEQ(0, 32);
    memcpy(block(&f, 4) + 2 * RECORDER_SLOT_BYTES, &span, sizeof(span));
    /* Ended, but the record never got committed. */
    span.end_seq = RECORDER_SEQ(0, f.at[1]);
    memcpy(block(&f, 4) + 3 * RECORDER_SLOT_BYTES, &span, sizeof(span));
    recorder_reader *r;
    error err;
    batch spans;
    batch_init(&spans, SIGNAL_TRACES, MiB(1));
    assert_ok(recorder_reader_open_memory(&r, f.bytes, FILE_BYTES, NULL, &err));
    assert_ok(recorder_live_spans(r, &spans, &err));
    assert_int_equal(spans.spans.count, 2);
    assert_str(spans.spans.name[0], STR("event"));
    assert_int_equal(spans.spans.kind[0], SPAN_KIND_SERVER);
    assert_int_equal(spans.spans.start_ns[0], NS_PER_S + 1000);
    assert_int_equal(spans.spans.end_ns[0], NS_PER_S + 4000);
    assert_int_equal(spans.spans.status[0], SPAN_STATUS_ERROR);
    assert_str(spans.spans.status_message[0], STR("process died before the span ended"));
    assert_str(attrs_get_str(&spans.spans.attributes[1], STR("sonde.record.id")),
               STR("0000000000abcdef:live:3"));
    recorder_reader_close(r);
    batch_done(&spans);
    free(f.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rings_are_merged_and_decoded_as_the_format_says),
        cmocka_unit_test(polls_stop_at_the_horizon_and_at_max_rows),
        cmocka_unit_test(a_batch_without_room_says_full_and_nothing_is_skipped),
        cmocka_unit_test(an_open_span_of_a_dead_process_ends_at_its_last_sign),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
