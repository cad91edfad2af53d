// SPDX-License-Identifier: Apache-2.0
/* Merges parts of metrics, series by series in the order of labels. */
#include "store/merge.h"

#include "store/samples.h"

#include <stdlib.h>

typedef struct {
    part_series ps;
    uint32_t series; /* the one that stands next */
    buf key;         /* its labels */
    bytes_reader exemplars;
    uint64_t ring_series; /* whose exemplars `ring` has; UINT64_MAX: there are no more */
    exemplar_ring ring;
} input;

typedef struct {
    store *s;
    input *inputs;
    uint32_t count;
    arena directories;
    sample_list samples;
    arena histograms; /* of the samples */
    exemplar_ring exemplars;
    buf key; /* of the series being written */
} series_merge;

static void load_key(input *in)
{
    buf_clear(&in->key);
    if (in->series < in->ps.count)
        part_series_key(&in->ps, in->series, &in->key);
}

static status read_samples(series_merge *m, input *in, error *err)
{
    int64_t times[PART_BLOCK_ROWS];
    double values[PART_BLOCK_ROWS];
    status st = STATUS_OK;
    for (uint32_t b = in->ps.block_start[in->series];
         b < in->ps.block_start[in->series + 1] && st == STATUS_OK; b++) {
        st = part_series_read_any(&in->ps, b, times, values, &m->histograms, err);
        for (uint32_t i = 0; i < in->ps.blocks[b].samples && st == STATUS_OK; i++)
            st = sample_list_add(&m->samples, (sample){ times[i], values[i] }, err);
    }
    return st;
}

/* Entries beyond the last series, and damaged ones, end it. */
static void next_ring(input *in)
{
    uint32_t gap;
    if (exemplar_ring_read(&in->exemplars, &gap, &in->ring))
        in->ring_series += gap;
    else
        in->ring_series = UINT64_MAX;
}

static status open_exemplars(series_merge *m, input *in, part *p, error *err)
{
    str section;
    status st = part_section_read(p, in->ps.fd, SECTION_EXEMPLARS, &m->directories, &section, err);
    if (st == STATUS_OK) {
        in->exemplars = bytes_read(section);
        next_ring(in);
    }
    return st;
}

/* Of inputs that rise by time the newest stay. */
static bool add_exemplars(series_merge *m, input *in)
{
    if (in->ring_series != in->series)
        return true;
    const exemplar_ring *r = &in->ring;
    for (uint32_t i = 0; i < r->count; i++)
        if (!exemplar_ring_add(&m->exemplars, &m->histograms, &r->items[i]))
            return false;
    next_ring(in);
    return true;
}

/* Writes the smallest series of all inputs, joined. */
static status merge_next(series_merge *m, part_series_writer *w, bool *ret_more, error *err)
{
    const input *smallest = NULL;
    for (uint32_t i = 0; i < m->count; i++) {
        const input *in = &m->inputs[i];
        if (in->series < in->ps.count &&
            (!smallest || label_key_cmp(buf_view(&in->key), buf_view(&smallest->key)) < 0))
            smallest = in;
    }
    *ret_more = smallest != NULL;
    if (!smallest)
        return STATUS_OK;
    buf_clear(&m->key);
    buf_str(&m->key, buf_view(&smallest->key));
    if (m->key.failed)
        return fail(err, STATUS_NO_MEMORY, "no memory to merge parts");
    str key = buf_view(&m->key);
    m->samples.count = 0;
    m->exemplars = (exemplar_ring){ 0 };
    arena_clear(&m->histograms);
    for (uint32_t i = 0; i < m->count; i++) {
        input *in = &m->inputs[i];
        if (in->series >= in->ps.count || !str_eq(buf_view(&in->key), key))
            continue;
        status st = read_samples(m, in, err);
        if (st == STATUS_OK && !add_exemplars(m, in))
            st = fail(err, STATUS_NO_MEMORY, "no memory to merge parts");
        if (st != STATUS_OK)
            return st;
        in->series++;
        load_key(in);
    }
    status st = sample_list_settle(&m->samples, err);
    if (st == STATUS_OK)
        st = part_series_add(w, key, m->samples.items, m->samples.count, err);
    if (st == STATUS_OK && m->samples.count)
        part_series_exemplars(w, &m->exemplars);
    return st;
}

static status merge_families(series_merge *m, part *const *inputs, part_series_writer *w,
                             error *err)
{
    /* The newest description of a family stays: it is written first. */
    for (uint32_t i = m->count; i-- > 0;) {
        family *f;
        uint32_t count;
        status st = part_families_read(inputs[i], &m->directories, &f, &count, err);
        for (uint32_t k = 0; k < count && st == STATUS_OK; k++)
            st = part_series_family(w, &f[k], err);
        if (st != STATUS_OK)
            return st;
    }
    return STATUS_OK;
}

static status merge_all(series_merge *m, part *const *inputs, part_series_writer *w, error *err)
{
    status st = merge_families(m, inputs, w, err);
    for (bool more = true; st == STATUS_OK && more;) {
        st = merge_continues(m->s, err);
        if (st == STATUS_OK)
            st = merge_next(m, w, &more, err);
    }
    return st;
}

status merge_series(store *s, part *const *inputs, uint32_t count, part **ret, error *err)
{
    series_merge m = { .s = s, .count = count };
    m.inputs = calloc(count, sizeof(input));
    if (!m.inputs)
        return fail(err, STATUS_NO_MEMORY, "no memory to merge parts");
    arena_init(&m.directories, MERGE_MEMORY);
    arena_init(&m.histograms, MERGE_MEMORY);
    buf_init(&m.key, 0);
    status st = STATUS_OK;
    uint32_t opened = 0;
    for (; opened < count && st == STATUS_OK; opened++) {
        input *in = &m.inputs[opened];
        buf_init(&in->key, 0);
        st = part_series_open(&in->ps, inputs[opened], &m.directories, err);
        if (st == STATUS_OK)
            st = open_exemplars(&m, in, inputs[opened], err);
        if (st == STATUS_OK)
            load_key(in);
    }
    part_series_writer *w = NULL;
    part_identity id = merged_identity(s, inputs, count);
    if (st == STATUS_OK)
        st = part_series_create(&w, &id, err);
    if (st == STATUS_OK) {
        st = merge_all(&m, inputs, w, err);
        if (st == STATUS_OK)
            st = part_series_finish(w, ret, err);
        else
            part_series_abort(w);
    }
    for (uint32_t i = 0; i < opened; i++) {
        part_series_close(&m.inputs[i].ps);
        buf_done(&m.inputs[i].key);
    }
    sample_list_done(&m.samples);
    buf_done(&m.key);
    free(m.inputs);
    arena_done(&m.histograms);
    arena_done(&m.directories);
    return st;
}
