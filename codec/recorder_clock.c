// SPDX-License-Identifier: Apache-2.0
/* Calibrations on behalf of a process that has no drainer of its own. Its ticks are this machine's
 * time stamp counter, which runs at one rate on all CPUs, so whoever reads its recorder on the same
 * machine can say what time a tick is. */
#include "codec/recorder_reader.h"

#include "base/clock.h"

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#define EVERY_NS (10 * NS_PER_S)

#if defined(__x86_64__)

static const recorder_clock_row *row_at(const recorder_reader *r, uint64_t n)
{
    return &r->header.clock[n % RECORDER_CLOCK_ROWS];
}

static uint64_t offset_of(uint64_t n)
{
    return offsetof(recorder_header, clock) +
           (n % RECORDER_CLOCK_ROWS) * sizeof(recorder_clock_row);
}

/* In the writer's order: an empty row, its content, its number, the count of rows. */
static status put_row(recorder_reader *r, uint64_t n, const recorder_clock_row *row, error *err)
{
    uint64_t at = offset_of(n), none = 0, count = n + 1;
    size_t rest = offsetof(recorder_clock_row, ticks);
    status st = source_write(r, at, &none, sizeof(none), err);
    if (st == STATUS_OK)
        st = source_write(r, at + rest, (const char *)row + rest, sizeof(*row) - rest, err);
    if (st == STATUS_OK)
        st = source_write(r, at, &count, sizeof(count), err);
    if (st == STATUS_OK)
        st = source_write(r, offsetof(recorder_header, clock_count), &count, sizeof(count), err);
    return st;
}

status recorder_reader_calibrate(recorder_reader *r, error *err)
{
    uint64_t now = __rdtsc(), n = r->header.clock_count;
    int64_t now_ns = clock_now_ns();
    if (r->options.read_only || !r->same_boot || n == 0)
        return STATUS_OK;
    const recorder_clock_row *last = row_at(r, n - 1);
    const recorder_clock_row *first = row_at(r, n > RECORDER_CLOCK_ROWS - 1 ? n + 1 : 0);
    /* A row at tick 0 with one tick a nanosecond: the clock is no counter. */
    if (!first->sequence || (first->ticks == 0 && first->mult == 1ull << 32) || now <= last->ticks)
        return STATUS_OK;
    status st = source_write(r, offsetof(recorder_header, heartbeat), &now, sizeof(now), err);
    int64_t due_ns = MIN((10 * NS_PER_MS) << MIN(n - 1, (uint64_t)10), EVERY_NS);
    if (st != STATUS_OK || now_ns - last->real_ns < due_ns)
        return st;
    uint64_t ticks = now - first->ticks;
    int64_t passed = now_ns - first->real_ns;
    if (ticks == 0 || passed <= 0)
        return STATUS_OK;
    recorder_clock_row row = { .ticks = now, .real_ns = now_ns };
    row.mult = (uint64_t)(((unsigned __int128)(uint64_t)passed << 32) / ticks);
    /* The wall clock was set meanwhile: the new row tells the new time, the rate is as it was. */
    if (row.mult > last->mult + last->mult / 100 || row.mult < last->mult - last->mult / 100)
        row.mult = last->mult;
    return put_row(r, n, &row, err);
}

#else

status recorder_reader_calibrate(recorder_reader *r, error *err)
{
    (void)r;
    (void)err;
    return STATUS_OK;
}

#endif
