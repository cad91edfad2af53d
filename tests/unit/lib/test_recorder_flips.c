// SPDX-License-Identifier: Apache-2.0
/* A small recorder with logs, spans, open spans and metrics, each of its bytes changed in turn, and
 * cut short at each length: what the damage does not touch is read as it was, and nothing else
 * happens. Run with the address sanitizer. */
#include "base/random.h"
#include "codec/recorder_metrics.h"
#include "lib/metric.h"
#include "sonde/metric.h"
#include "tests/unit/lib/recorder_fixture.h"

#include <inttypes.h>

enum { LOGS = 12, SPANS = 4, OPEN = 2 };

typedef struct {
    size_t begin, end; /* file offsets */
    int log;           /* its number; -1: a span */
} record;

typedef struct {
    buf file;
    size_t used;
    record records[LOGS + SPANS];
    uint32_t record_count;
    size_t extent; /* file offset of the only extent */
    size_t blocks_offset;
    recorder_block_kind kinds[64]; /* of the blocks */
    batch logs, spans, points;
    uint32_t point_count;    /* of the whole file */
    recorder_reader *reader; /* of the rows in the batches: texts of call sites are in it */
} damaged;

static void text_of(int n, char text[64])
{
    memset(text, 'a' + n % 26, 63);
    text[63] = 0;
}

static void fill(void)
{
    char text[64];
    sonde_counter *c = sonde_counter_new("flips_total", "Help.", SONDE_LABELS("label"));
    sonde_histogram *h = sonde_histogram_new("flips_seconds", "Help.", SONDE_LABELS());
    sonde_counter_add(c, 7, "value");
    sonde_histogram_record(h, 0.5);
    for (int i = 0; i < LOGS; i++) {
        text_of(i, text);
        if (i % 3 == 0) {
            SONDE_SPAN ("work", sonde_kv("i", i)) {
                sonde_span_event("event", sonde_kv("i", i));
                sonde_info("filled", sonde_kv("n", i), sonde_kv("text", text));
            }
        } else {
            sonde_info("filled", sonde_kv("n", i), sonde_kv("text", text));
        }
    }
    for (int i = 0; i < OPEN; i++)
        sonde_span_set_on(sonde_span_start("open", NULL), sonde_kv("i", i));
}

static void note_records(damaged *d, fixture *f)
{
    const recorder_header *h = (const recorder_header *)d->file.ptr;
    d->blocks_offset = h->blocks_offset;
    for (uint32_t i = 0; i < ARRAY_LEN(d->kinds) && i < h->block_count; i++) {
        uint64_t word;
        memcpy(&word, d->file.ptr + h->table_offset + i * 8, 8);
        d->kinds[i] = (recorder_block_kind)RECORDER_WORD_KIND(word);
        if (d->kinds[i] == RECORDER_EXTENT) {
            assert_int_equal(d->extent, 0);
            d->extent = d->blocks_offset + i * RECORDER_BLOCK_BYTES;
        }
    }
    (void)f;
    int logs = 0;
    for (size_t at = d->extent + sizeof(recorder_extent);;) {
        uint64_t word;
        memcpy(&word, d->file.ptr + at, 8);
        if (!word)
            break;
        assert_true(d->record_count < ARRAY_LEN(d->records));
        bool log = RECORDER_WORD_RECORD(word) == RECORDER_LOG;
        d->records[d->record_count++] =
            (record){ at, at + RECORDER_WORD_SIZE(word), log ? logs++ : -1 };
        at += RECORDER_WORD_SIZE(word);
    }
    assert_int_equal(d->record_count, LOGS + SPANS);
}

static damaged damaged_new(fixture *f)
{
    damaged d = { .used = 0 };
    metric_attach();
    fill();
    buf_init(&d.file, MiB(32));
    assert_int_equal(file_read(recorder_path(f->recorder), &d.file, NULL), STATUS_OK);
    for (size_t i = 0; i < d.file.len; i++)
        d.used = d.file.ptr[i] ? i + 1 : d.used;
    note_records(&d, f);
    /* The last record may end with zeros, and a zero word follows it. */
    d.used = MAX(d.used, d.records[d.record_count - 1].end + 8);
    batch_init(&d.logs, SIGNAL_LOGS, MiB(4));
    batch_init(&d.spans, SIGNAL_TRACES, MiB(4));
    batch_init(&d.points, SIGNAL_METRICS, MiB(4));
    return d;
}

static void damaged_done(damaged *d)
{
    recorder_reader_close(d->reader);
    metric_detach();
    buf_done(&d->file);
    batch_done(&d->logs);
    batch_done(&d->spans);
    batch_done(&d->points);
}

/* Everything that a reader can be asked for. False: the file is refused. */
static bool read_all(damaged *d, const char *bytes, size_t n)
{
    recorder_reader *r;
    recorder_cursor *c;
    uint32_t rows = 0;
    bool full;
    recorder_reader_close(d->reader);
    d->reader = NULL;
    batch_clear(&d->logs);
    batch_clear(&d->spans);
    batch_clear(&d->points);
    recorder_reader_options look = { .read_only = true };
    if (recorder_reader_open_memory(&r, (char *)(uintptr_t)bytes, n, &look, NULL) != STATUS_OK)
        return false;
    if (recorder_cursor_open_unnamed(r, &c, NULL) == STATUS_OK)
        (void)!recorder_poll(r, c, INT64_MAX, 1000, &d->logs, &d->spans, &rows, &full, NULL);
    recorder_written(r, SIGNAL_LOGS);
    (void)!recorder_live_spans(r, &d->spans, NULL);
    (void)!recorder_metrics_read(r, &d->points, NULL);
    d->reader = r;
    return true;
}

/* Which logs are there as they were written, as bits. Others count as torn where `strict`. */
static uint32_t logs_found(const damaged *d, int may_differ)
{
    uint32_t found = 0;
    for (uint32_t row = 0; row < d->logs.logs.count; row++) {
        const attrs *a = &d->logs.logs.attributes[row];
        const value *n = attrs_get(a, STR("n"));
        char text[64];
        bool good = n && n->type == VALUE_I64 && n->i64 >= 0 && n->i64 < LOGS;
        if (good) {
            text_of((int)n->i64, text);
            good = str_eq(attrs_get_str(a, STR("text")), str_c(text));
        }
        if (good)
            found |= 1u << n->i64;
        else if ((int)row != may_differ && may_differ != INT32_MAX)
            fail_msg("log %u is torn", row);
    }
    return found;
}

#define ALL_LOGS ((1u << LOGS) - 1)

static bool in_block_of(const damaged *d, size_t at, recorder_block_kind kind)
{
    size_t block =
        at < d->blocks_offset ? SIZE_MAX : (at - d->blocks_offset) / RECORDER_BLOCK_BYTES;
    return block < ARRAY_LEN(d->kinds) && d->kinds[block] == kind;
}

static bool in_resource_or_redaction(size_t at)
{
    return at >= offsetof(recorder_header, resource) && at < RECORDER_HEADER_BYTES;
}

static void check_flip(damaged *d, const char *copy, size_t at)
{
    bool opened = read_all(d, copy, d->used);
    if (at >= d->extent && at < d->extent + RECORDER_BLOCK_BYTES) {
        uint32_t lost = 0;
        int differs = -1;
        for (uint32_t i = 0; i < d->record_count; i++) {
            const record *one = &d->records[i];
            /* A record's own word tells where the next one is; any other byte is its own affair. */
            bool word = at < d->extent + sizeof(recorder_extent) ||
                        (at >= one->begin && at < one->begin + 8);
            for (uint32_t k = i; word && k < d->record_count; k++)
                lost |= d->records[k].log >= 0 ? 1u << d->records[k].log : 0;
            if (at >= one->begin && at < one->end && one->log >= 0) {
                lost |= 1u << one->log;
                differs = INT32_MAX; /* its time may place it anywhere */
            }
        }
        assert_true(opened);
        assert_int_equal(d->points.points.count, d->point_count);
        uint32_t found = logs_found(d, differs);
        if ((found | lost) != ALL_LOGS)
            fail_msg("byte %zu: logs %x are gone too", at, ALL_LOGS & ~(found | lost));
    } else if (in_block_of(d, at, RECORDER_LIVE) || in_block_of(d, at, RECORDER_METRICS) ||
               in_block_of(d, at, RECORDER_FREE) || in_resource_or_redaction(at)) {
        assert_true(opened);
        assert_int_equal(logs_found(d, -1), ALL_LOGS);
        if (!in_block_of(d, at, RECORDER_LIVE))
            assert_int_equal(d->spans.spans.count, SPANS + OPEN);
        if (!in_block_of(d, at, RECORDER_METRICS))
            assert_int_equal(d->points.points.count, d->point_count);
    } else if (opened) {
        assert_true(d->logs.logs.count <= LOGS);
    }
}

static void any_one_byte_may_be_changed(void **state)
{
    fixture *f = *state;
    damaged d = damaged_new(f);
    random_state random;
    random_init(&random, 1);
    char *copy = malloc(d.used);
    memcpy(copy, d.file.ptr, d.used);
    assert_true(read_all(&d, copy, d.used));
    assert_int_equal(logs_found(&d, -1), ALL_LOGS);
    assert_int_equal(d.spans.spans.count, SPANS + OPEN);
    assert_true(d.points.points.count >= 2);
    d.point_count = d.points.points.count;
    size_t tried = 0, near = 0;
    for (size_t at = 0; at < d.used; at++) {
        /* Of long runs of zeros, which are no part of anything, some bytes. */
        near = copy[at] ? 64 : near ? near - 1 : 0;
        if (!near && at % 7)
            continue;
        char was = copy[at], other = (char)(random_next(&random) >> 8);
        copy[at] = (char)(was ^ 0xff);
        check_flip(&d, copy, at);
        copy[at] = (char)(other == was ? was ^ 1 : other);
        check_flip(&d, copy, at);
        copy[at] = was;
        tried++;
    }
    assert_true(tried > 4000);
    free(copy);
    damaged_done(&d);
}

static void the_file_may_end_anywhere(void **state)
{
    fixture *f = *state;
    damaged d = damaged_new(f);
    uint32_t most = 0;
    for (size_t n = 0; n <= d.used; n++) {
        /* Where nothing begins or ends, some lengths. */
        bool plain = n > 16384 + 512 && (n < d.extent || n > d.records[d.record_count - 1].end);
        if (plain && n % 97)
            continue;
        char *copy = malloc(n ? n : 1); /* exact, for the sanitizer */
        memcpy(copy, d.file.ptr, n);
        if (read_all(&d, copy, n)) {
            uint32_t found = (uint32_t)__builtin_popcount(logs_found(&d, -1));
            assert_true(found >= most || n < d.extent);
            most = MAX(most, found);
        }
        free(copy);
    }
    assert_int_equal(most, LOGS);
    damaged_done(&d);
}

static int start_small(void **state)
{
    *state = fixture_start(KiB(256));
    return 0;
}

static int stop_small(void **state)
{
    fixture_stop(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(any_one_byte_may_be_changed, start_small, stop_small),
        cmocka_unit_test_setup_teardown(the_file_may_end_anywhere, start_small, stop_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
