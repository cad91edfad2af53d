// SPDX-License-Identifier: Apache-2.0
/* The recorder's reader on any file: it reads what is good, ends, and stays within its limits.
 *
 * A file is mostly zeros, so an input is a list of what is in it: u8 options, u8 size of the file
 * in units of 4 KiB (little-endian numbers throughout), then per piece u32 offset, u16 length,
 * bytes. tests/fuzz/recorder_seeds makes inputs out of real files. */
#include "fuzz/fuzz.h"

#include "codec/recorder.h"
#include "codec/recorder_metrics.h"

enum { READ_ONLY = 1, CODE_ATTRIBUTES = 2, SMALL_POLLS = 4, UNNAMED = 8, REMOVE = 16 };
enum { FILE_UNIT = 4096, PIECE_HEAD = 6 };

/* A zeroed block of its exact size, with the pieces in it. */
static char *file_of(const uint8_t *data, size_t size, size_t *ret_bytes)
{
    size_t bytes = (size_t)data[1] * FILE_UNIT;
    char *file = aligned_alloc(64, MAX(bytes, (size_t)64));
    FUZZ_CHECK(file);
    memset(file, 0, MAX(bytes, (size_t)64));
    for (size_t at = 2; size - at > PIECE_HEAD;) {
        uint32_t offset;
        uint16_t length;
        memcpy(&offset, data + at, sizeof(offset));
        memcpy(&length, data + at + sizeof(offset), sizeof(length));
        at += PIECE_HEAD;
        size_t n = MIN((size_t)length, size - at);
        if (offset < bytes)
            memcpy(file + offset, data + at, MIN(n, bytes - offset));
        at += n;
    }
    *ret_bytes = bytes;
    return file;
}

/* Reads to the end. A damaged file may show the same bytes as several rings' records, but not
 * without end. */
static void read_all(recorder_reader *r, recorder_cursor *c, uint32_t max_rows, size_t bytes)
{
    batch logs, spans;
    error err;
    size_t limit = (bytes / RECORDER_BLOCK_BYTES + 1) * (bytes / 8 + 1), total = 0;
    uint32_t rows = 1;
    bool full = false;
    batch_init(&logs, SIGNAL_LOGS, MiB(8));
    batch_init(&spans, SIGNAL_TRACES, MiB(8));
    while (rows > 0 || full) {
        batch_clear(&logs);
        batch_clear(&spans);
        if (recorder_poll(r, c, INT64_MAX, max_rows, &logs, &spans, &rows, &full, &err) !=
            STATUS_OK) {
            FUZZ_CHECK(err.message[0]);
            break;
        }
        FUZZ_CHECK(rows <= max_rows && rows == logs.logs.count + spans.spans.count);
        FUZZ_CHECK(rows > 0 || !full); /* 8 MiB hold a record */
        total += rows;
        FUZZ_CHECK(total <= limit);
    }
    batch_done(&logs);
    batch_done(&spans);
}

static void read_rest(recorder_reader *r)
{
    batch spans, metrics;
    error err;
    batch_init(&spans, SIGNAL_TRACES, MiB(8));
    batch_init(&metrics, SIGNAL_METRICS, MiB(8));
    if (recorder_live_spans(r, &spans, &err) != STATUS_OK)
        FUZZ_CHECK(err.message[0]);
    if (recorder_metrics_read(r, &metrics, &err) != STATUS_OK)
        FUZZ_CHECK(err.message[0]);
    for (int reason = 0; reason < RECORDER_DROP_COUNT; reason++) {
        (void)recorder_drops(r, SIGNAL_LOGS, reason);
        FUZZ_CHECK(recorder_drop_label(reason)[0]);
    }
    recorder_info info = recorder_reader_info(r);
    FUZZ_CHECK(!info.service.len || info.service.ptr);
    (void)recorder_horizon(r);
    (void)recorder_last_sign_ns(r);
    batch_done(&spans);
    batch_done(&metrics);
}

static void use(recorder_reader *r, uint8_t options, size_t bytes)
{
    recorder_cursor *c;
    error err;
    status st = options & UNNAMED ? recorder_cursor_open_unnamed(r, &c, &err)
                                  : recorder_cursor_open(r, &c, STR("stdout"), &err);
    if (st != STATUS_OK) {
        FUZZ_CHECK(err.message[0]);
        return;
    }
    read_all(r, c, options & SMALL_POLLS ? 3 : 10000, bytes);
    (void)recorder_cursor_behind_bytes(r, c);
    recorder_cursor_rewind(r, c);
    read_all(r, c, 10000, bytes);
    read_rest(r);
    if (recorder_cursor_commit(r, c, &err) != STATUS_OK)
        FUZZ_CHECK(err.message[0]);
    if (options & REMOVE && recorder_sink_remove(r, STR("stdout"), &err) != STATUS_OK)
        FUZZ_CHECK(err.message[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t bytes;
    char *file = file_of(data, size, &bytes), *before = NULL;
    uint8_t how = data[0];
    recorder_reader *r;
    error err;
    recorder_reader_options options = { .read_only = how & READ_ONLY,
                                        .code_attributes = how & CODE_ATTRIBUTES };
    if (options.read_only && bytes && (before = malloc(bytes)))
        memcpy(before, file, bytes);
    if (recorder_reader_open_memory(&r, file, bytes, &options, &err) == STATUS_OK) {
        use(r, how, bytes);
        recorder_reader_close(r);
    } else {
        FUZZ_CHECK(err.message[0]);
    }
    FUZZ_CHECK(!before || memcmp(before, file, bytes) == 0);
    free(before);
    free(file);
    return 0;
}
