// SPDX-License-Identifier: Apache-2.0
/* Damaged recorder files: cut short at any byte, or with any bytes changed, they are read as far as
 * they are good. Run with the address sanitizer, this is the reader's proof of trusting nothing. */
#include "base/random.h"
#include "tests/unit/lib/recorder_fixture.h"

#include <limits.h>

enum { LOGS = 120 };

/* A file with logs, spans, events, open spans, long streams and a context. */
static void fill(void)
{
    char text[700];
    memset(text, 't', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    SONDE_CONTEXT (sonde_kv("request_id", "r-1")) {
        for (int i = 0; i < LOGS; i++) {
            SONDE_SPAN ("work", sonde_kv("i", i)) {
                sonde_info("filled", sonde_kv("n", i), sonde_kv("text", "some text"));
                sonde_span_event("event", sonde_kv("i", i));
            }
        }
        sonde_span *open = sonde_span_start("open", NULL);
        sonde_span_set_on(open, sonde_kv("text", text));
        sonde_span_event_on(open, "event", NULL, 0);
    }
}

/* The part of the file that has anything in it. */
static size_t used_bytes(fixture *f)
{
    uint64_t end = 0;
    buf file;
    buf_init(&file, MiB(32));
    assert_int_equal(file_read(recorder_path(f->recorder), &file, NULL), STATUS_OK);
    for (size_t i = 0; i < file.len; i++) {
        if (file.ptr[i])
            end = i + 1;
    }
    buf_done(&file);
    return end;
}

/* Reads all that can be read; the number of logs, whose numbers must be 0, 1, 2, … when `whole`. */
static uint32_t read_everything(fixture *f, recorder_reader *r, bool whole)
{
    recorder_cursor *c;
    uint32_t rows = 0;
    bool full;
    batch_clear(&f->logs);
    batch_clear(&f->spans);
    recorder_reader_info(r);
    if (recorder_cursor_open_unnamed(r, &c, NULL) == STATUS_OK)
        (void)!recorder_poll(r, c, INT64_MAX, UINT32_MAX, &f->logs, &f->spans, &rows, &full, NULL);
    for (uint32_t row = 0; whole && row < f->logs.logs.count; row++) {
        const value *n = attrs_get(&f->logs.logs.attributes[row], STR("n"));
        if (n)
            assert_int_equal(n->i64, row);
    }
    (void)!recorder_live_spans(r, &f->spans, NULL);
    recorder_last_sign_ns(r);
    return f->logs.logs.count;
}

static void cut_short_at_any_byte(void **state)
{
    fixture *f = *state;
    char path[PATH_MAX];
    buf file;
    fill();
    size_t used = used_bytes(f);
    buf_init(&file, MiB(32));
    assert_int_equal(file_read(recorder_path(f->recorder), &file, NULL), STATUS_OK);
    snprintf(path, sizeof(path), "%s/cut.rec", f->dir);
    assert_int_equal(file_replace(f->dir, "cut.rec", str_slice(buf_view(&file), 0, used), NULL),
                     STATUS_OK);
    buf_done(&file);
    uint32_t most = UINT32_MAX, opened = 0;
    /* Each byte of the header's first part and of a stretch of records; a prime step elsewhere. */
    for (size_t n = used; n-- > 0; n -= n > 2000 && n % 16384 > 1500 ? MIN(n, 46u) : 0) {
        recorder_reader *r;
        assert_int_equal(truncate(path, (off_t)n), 0);
        if (recorder_reader_open(&r, path, NULL, NULL) != STATUS_OK)
            continue;
        uint32_t logs = read_everything(f, r, true);
        assert_true(logs <= most);
        most = logs;
        opened++;
        recorder_reader_close(r);
    }
    assert_true(opened > 1000);
    assert_int_equal(most, 0);
}

static void with_any_bytes_changed(void **state)
{
    fixture *f = *state;
    buf file;
    random_state random;
    fill();
    size_t used = used_bytes(f);
    buf_init(&file, MiB(32));
    assert_int_equal(file_read(recorder_path(f->recorder), &file, NULL), STATUS_OK);
    char *copy = malloc(used);
    uint32_t opened = 0;
    for (uint64_t seed = 1; seed <= 600; seed++) {
        recorder_reader *r;
        random_init(&random, seed);
        memcpy(copy, file.ptr, used);
        for (int i = 0; i < 40; i++) {
            uint64_t at = random_next(&random), with = random_next(&random);
            /* Half of the time in the tables at the start, where offsets live. */
            at = at & 1 ? 16384 + (at >> 8) % 2048 : (at >> 8) % used;
            copy[at] = (char)(with & 3 ? with >> 8 : with & 4 ? 0 : 0xff);
        }
        if (recorder_reader_open_memory(&r, copy, used, NULL, NULL) != STATUS_OK)
            continue;
        read_everything(f, r, false);
        opened++;
        recorder_cursor *c;
        uint32_t rows;
        bool full;
        batch_clear(&f->logs);
        if (recorder_cursor_open(r, &c, STR("sink"), NULL) == STATUS_OK &&
            recorder_poll(r, c, INT64_MAX, 100, &f->logs, NULL, &rows, &full, NULL) == STATUS_OK)
            (void)!recorder_cursor_commit(r, c, NULL);
        recorder_reader_close(r);
    }
    assert_true(opened > 300);
    free(copy);
    buf_done(&file);
}

static void damage_in_one_extent_leaves_the_next_readable(void **state)
{
    fixture *f = *state;
    buf file;
    for (int i = 0; i < 2000; i++)
        sonde_info("filled", sonde_kv("n", i), sonde_kv("text", "some text"));
    buf_init(&file, MiB(32));
    assert_int_equal(file_read(recorder_path(f->recorder), &file, NULL), STATUS_OK);
    recorder_reader *r;
    assert_int_equal(recorder_reader_open_memory(&r, file.ptr, file.len, NULL, NULL), STATUS_OK);
    assert_int_equal(read_everything(f, r, true), 2000);
    /* The second record of the first extent. */
    const char *second = attrs_get_str(&f->logs.logs.attributes[1], STR("sonde.record.id")).ptr;
    uint64_t offset = strtoull(strrchr(second, ':') + 1, NULL, 10) & 0xffffff;
    recorder_reader_close(r);
    for (size_t block = 0; block < file.len / RECORDER_BLOCK_BYTES; block++) {
        char *base = file.ptr + block * RECORDER_BLOCK_BYTES;
        recorder_extent head;
        memcpy(&head, base, sizeof(head));
        if (head.magic == (RECORDER_EXTENT_MAGIC ^ recorder_id(f->recorder)) && head.index == 0)
            memset(base + offset, 0x5a, 8);
    }
    assert_int_equal(recorder_reader_open_memory(&r, file.ptr, file.len, NULL, NULL), STATUS_OK);
    uint32_t left = read_everything(f, r, false);
    assert_true(left > 1500 && left < 2000);
    assert_int_equal(attrs_get(&f->logs.logs.attributes[0], STR("n"))->i64, 0);
    assert_int_equal(attrs_get(&f->logs.logs.attributes[left - 1], STR("n"))->i64, 1999);
    recorder_reader_close(r);
    buf_done(&file);
}

static void what_is_no_recorder_is_refused(void **state)
{
    fixture *f = *state;
    error err;
    recorder_reader *r;
    char path[PATH_MAX];
    static char zeros[20000];
    static const char text[] = "not a recorder";
    snprintf(path, sizeof(path), "%s/x.rec", f->dir);
    assert_int_equal(recorder_reader_open(&r, path, NULL, &err), STATUS_NOT_FOUND);
    assert_ok(file_replace(f->dir, "x.rec", str_c(text), &err));
    assert_int_equal(recorder_reader_open(&r, path, NULL, &err), STATUS_CORRUPT);
    assert_ok(file_replace(f->dir, "x.rec", str_n(zeros, sizeof(zeros)), &err));
    assert_int_equal(recorder_reader_open(&r, path, NULL, &err), STATUS_BUSY);
    recorder_header *h = (recorder_header *)zeros;
    h->magic = RECORDER_MAGIC;
    h->version = 2;
    assert_ok(file_replace(f->dir, "x.rec", str_n(zeros, sizeof(zeros)), &err));
    assert_int_equal(recorder_reader_open(&r, path, NULL, &err), STATUS_UNSUPPORTED);
    recorder_reader_options look = { .read_only = true };
    assert_int_equal(recorder_reader_open(&r, f->dir, &look, &err), STATUS_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(cut_short_at_any_byte),
        FIXTURE_TEST(with_any_bytes_changed),
        FIXTURE_TEST(damage_in_one_extent_leaves_the_next_readable),
        FIXTURE_TEST(what_is_no_recorder_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
