// SPDX-License-Identifier: Apache-2.0
/* How many records were written. The writer notes in a ring's row what stands before the extent
 * that it goes on to; the rest is counted here, record by record. */
#include "codec/recorder_reader.h"

#include <stdlib.h>

enum { TRIES = 4 };

/* The row between two changes; false when it is damaged or never still. */
static bool read_row(recorder_reader *r, uint32_t ring, recorder_ring_row *ret)
{
    uint64_t offset = recorder_ring_row_offset(r, ring);
    recorder_ring_row again;
    for (int i = 0; offset && i < TRIES; i++) {
        if (recorder_read(r, offset, ret, sizeof(*ret), NULL) != STATUS_OK ||
            recorder_read(r, offset, &again, sizeof(again), NULL) != STATUS_OK)
            return false;
        if (ret->counted_index != UINT64_MAX && ret->counted_index == again.counted_index &&
            ret->written[0] == again.written[0] && ret->written[1] == again.written[1])
            return true;
    }
    return false;
}

static void count_ring(recorder_reader *r, uint32_t ring, uint64_t sum[2])
{
    recorder_ring_row row;
    if (!read_row(r, ring, &row) || row.counted_index > UINT32_MAX)
        return;
    sum[0] += row.written[0];
    sum[1] += row.written[1];
    ring_stream s = { .ring = ring, .index = (uint32_t)row.counted_index };
    while (recorder_stream_fill(r, &s)) {
        uint32_t size, kind;
        do {
            recorder_stream_front(&s, &size, &kind);
            sum[kind == RECORDER_SPAN]++;
        } while (recorder_stream_step(r, &s));
    }
    free(s.copy);
}

uint64_t recorder_written(recorder_reader *r, signal_kind signal)
{
    uint64_t sum[2] = { 0 };
    if (signal == SIGNAL_METRICS || recorder_refresh(r, NULL) != STATUS_OK)
        return signal == SIGNAL_METRICS ? 0 : r->written[signal == SIGNAL_TRACES];
    for (uint32_t ring = 0; ring < recorder_ring_count(r); ring++)
        count_ring(r, ring, sum);
    for (int i = 0; i < 2; i++)
        r->written[i] = MAX(r->written[i], sum[i]);
    return r->written[signal == SIGNAL_TRACES];
}
