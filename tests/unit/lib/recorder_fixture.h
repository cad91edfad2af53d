// SPDX-License-Identifier: Apache-2.0
/* A started library without drainer, in a directory of its own, and a reader on its recorder. */
#ifndef SONDE_TESTS_RECORDER_FIXTURE_H
#define SONDE_TESTS_RECORDER_FIXTURE_H

#include "base/file.h"
#include "codec/recorder.h"
#include "lib/state.h"
#include "sonde/span.h"
#include "tests/support.h"

#include <errno.h>

typedef struct {
    char dir[64];
    recorder *recorder;
    recorder_reader *reader;
    recorder_cursor *cursor;
    batch logs, spans;
} fixture;

#define assert_text(actual, literal) assert_str(actual, STR(literal))

static inline void fixture_open_reader(fixture *f)
{
    error err;
    if (recorder_open_reader(f->recorder, &f->reader, NULL, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    if (recorder_cursor_open(f->reader, &f->cursor, STR("test"), &err) != STATUS_OK)
        fail_msg("%s", err.message);
}

/* Starts with a recorder of `bytes` (0: default). */
static inline fixture *fixture_start(size_t bytes)
{
    fixture *f = calloc(1, sizeof(*f));
    error err = { 0 };
    attr resource[] = { { STR_INIT("service.name"), VALUE_S(STR("tested")) } };
    assert_non_null(f);
    test_make_dir(f->dir);
    recorder_options options = { .service = STR("tested"),
                                 .dir = str_c(f->dir),
                                 .bytes = bytes,
                                 .resource = resource,
                                 .resource_count = 1 };
    if (recorder_open(&f->recorder, &options, &err) != STATUS_OK || err.code != STATUS_OK)
        fail_msg("%s", err.message);
    state_sampler all = { .reject_below = 0, .parent_based = true };
    assert_int_equal(state_enable(f->recorder, &options, SONDE_INFO, all, &err), STATUS_OK);
    batch_init(&f->logs, SIGNAL_LOGS, MiB(256));
    batch_init(&f->spans, SIGNAL_TRACES, MiB(256));
    fixture_open_reader(f);
    return f;
}

static inline void fixture_stop(fixture *f)
{
    recorder_reader_close(f->reader);
    if (state_disable())
        recorder_close(f->recorder, true);
    batch_done(&f->logs);
    batch_done(&f->spans);
    test_remove_dir(f->dir);
    free(f);
}

/* Everything that was committed since the last poll. */
static inline void fixture_poll(fixture *f)
{
    uint32_t rows;
    bool full;
    error err;
    batch_clear(&f->logs);
    batch_clear(&f->spans);
    if (recorder_poll(f->reader, f->cursor, INT64_MAX, UINT32_MAX, &f->logs, &f->spans, &rows,
                      &full, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_false(full);
}

static inline int fixture_setup(void **state)
{
    *state = fixture_start(0);
    return 0;
}

static inline int fixture_teardown(void **state)
{
    fixture_stop(*state);
    return 0;
}

#define FIXTURE_TEST(function) \
    cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)

#endif
