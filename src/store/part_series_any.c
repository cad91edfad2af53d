// SPDX-License-Identifier: Apache-2.0
/* Blocks of parts of metrics that may hold histograms; see part_series.h. */
#include "store/part_histogram.h"
#include "store/part_series.h"

status part_series_mark_histograms(part_series *ps, error *err)
{
    str section;
    if (ps->part->sections[SECTION_HISTOGRAMS].length == 0)
        return STATUS_OK;
    status st = part_section_read(ps->part, ps->fd, SECTION_HISTOGRAMS, ps->memory, &section, err);
    if (st != STATUS_OK)
        return st;
    uint32_t blocks = ps->block_start[ps->count];
    bytes_reader r = bytes_read(section);
    uint64_t block = 0;
    for (uint32_t left = get_count(&r, blocks); left > 0 && !r.failed; left--) {
        block += get_count(&r, blocks);
        if (r.failed || block >= blocks)
            return part_damage(ps->part, err, "the list of blocks with histograms");
        ps->blocks[block].histograms = true;
    }
    return r.failed ? part_damage(ps->part, err, "the list of blocks with histograms") : STATUS_OK;
}

static status read_histograms(const part_series *ps, series_block_view *v, double *values, arena *a,
                              error *err)
{
    const histogram *list[PART_HISTOGRAM_ROWS];
    if (v->count > PART_HISTOGRAM_ROWS)
        return part_damage(ps->part, err, "a block of histograms");
    status st = part_histogram_read(&v->values, v->count, a, list);
    if (st == STATUS_CORRUPT)
        return part_damage(ps->part, err, "a block of histograms");
    if (st != STATUS_OK)
        return fail(err, st, "reading a part needs more memory than the query may use");
    for (uint32_t i = 0; i < v->count; i++)
        values[i] = histogram_boxed(list[i]);
    return STATUS_OK;
}

status part_series_read_any(const part_series *ps, uint32_t block, int64_t *times, double *values,
                            arena *a, error *err)
{
    series_block_view v;
    if (!ps->blocks[block].histograms) {
        status st = part_series_read(ps, block, times, values, err);
        for (uint32_t i = 0; st == STATUS_OK && i < ps->blocks[block].samples; i++)
            values[i] = value_tamed(values[i]);
        return st;
    }
    status st = part_series_view(ps, block, NULL, &v, err);
    if (st != STATUS_OK)
        return st;
    column_ints_part(&v.times, 0, v.count, times);
    return read_histograms(ps, &v, values, a, err);
}
