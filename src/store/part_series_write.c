// SPDX-License-Identifier: Apache-2.0
/* Writing parts of metrics: blocks of one series packed in pages, with times shared where series of
 * one export have the same; see part_series.h. */
#include "store/column.h"
#include "store/label_index.h"
#include "store/part_histogram.h"
#include "store/part_series.h"

#include <stdlib.h>
#include <xxhash.h>

enum { PAGE_BYTES = 32 << 10, SHARED_TIMES = 4, SHARED_MAX = 512 };

typedef struct {
    int64_t times[SHARED_MAX];
    uint32_t count;
    uint64_t place; /* 1 + offset in the page; 0: free */
} shared_times;

struct part_series_writer {
    part_file_writer file;
    buf page;
    uint32_t pages, blocks, series, families;
    buf page_directory, block_directory, series_list, symbol_list, family_list;
    buf histogram_list, exemplar_list;
    uint32_t histograms, last_histogram, last_exemplars; /* blocks; the last of each list */
    map symbols;
    map family_names;
    arena memory; /* symbols */
    label_index *index;
    uint32_t last_series, last_page; /* of the block before */
    shared_times shared[SHARED_TIMES];
    uint32_t next_shared;
    int64_t times[PART_BLOCK_ROWS];
    double values[PART_BLOCK_ROWS];
    int64_t first_time; /* the directory's base */
    bool failed;
};

status part_series_create(part_series_writer **ret, const part_identity *id, error *err)
{
    part_series_writer *w = calloc(1, sizeof(*w));
    if (!w)
        return fail(err, STATUS_NO_MEMORY, "no memory to write a part");
    buf_init(&w->page, 0);
    buf_init(&w->page_directory, 0);
    buf_init(&w->block_directory, 0);
    buf_init(&w->series_list, 0);
    buf_init(&w->symbol_list, 0);
    buf_init(&w->family_list, 0);
    buf_init(&w->histogram_list, 0);
    buf_init(&w->exemplar_list, 0);
    map_init(&w->symbols);
    map_init(&w->family_names);
    arena_init(&w->memory, 0);
    w->index = label_index_new();
    status st = part_file_begin(&w->file, id, err);
    if (st == STATUS_OK && !w->index)
        st = fail(err, STATUS_NO_MEMORY, "no memory to write a part");
    if (st != STATUS_OK) {
        part_series_abort(w);
        return st;
    }
    *ret = w;
    return STATUS_OK;
}

void part_series_abort(part_series_writer *w)
{
    if (!w)
        return;
    part_file_done(&w->file);
    buf_done(&w->page);
    buf_done(&w->page_directory);
    buf_done(&w->block_directory);
    buf_done(&w->series_list);
    buf_done(&w->symbol_list);
    buf_done(&w->family_list);
    buf_done(&w->histogram_list);
    buf_done(&w->exemplar_list);
    map_done(&w->symbols);
    map_done(&w->family_names);
    arena_done(&w->memory);
    label_index_free(w->index);
    free(w);
}

/* The symbol's number; *ret_text is the copy that lives as long as the writer. */
static uint32_t symbol(part_series_writer *w, str text, str *ret_text)
{
    uint64_t *found = map_get(&w->symbols, text);
    if (!found) {
        str copy = arena_str(&w->memory, text);
        found = copy.ptr ? map_put(&w->symbols, copy, w->symbols.count, NULL) : NULL;
        if (!found) {
            w->failed = true;
            *ret_text = STR_EMPTY;
            return 0;
        }
        put_text(&w->symbol_list, copy);
        *ret_text = copy;
        return (uint32_t)*found;
    }
    /* The map's key is the copy: the slot stands before the value. */
    const map_slot *slot =
        (const map_slot *)(const void *)((const char *)found - offsetof(map_slot, value));
    *ret_text = slot->key;
    return (uint32_t)*found;
}

static void add_labels(part_series_writer *w, str key)
{
    uint32_t count = 0;
    for (bytes_reader r = bytes_read(key); r.at < r.end; count++) {
        get_text(&r);
        get_text(&r);
    }
    put_varint(&w->series_list, count);
    for (bytes_reader r = bytes_read(key); r.at < r.end;) {
        str name, value;
        uint32_t n = symbol(w, get_text(&r), &name);
        uint32_t v = symbol(w, get_text(&r), &value);
        put_varint(&w->series_list, n);
        put_varint(&w->series_list, v);
        if (!w->failed && !label_index_add(w->index, name, value, w->series))
            w->failed = true;
    }
}

static void end_page(part_series_writer *w)
{
    if (w->page.len == 0)
        return;
    put_varint(&w->page_directory, part_file_offset(&w->file));
    put_varint(&w->page_directory, w->page.len);
    put_u64(&w->page_directory, XXH3_64bits(w->page.ptr, w->page.len));
    part_file_write(&w->file, buf_view(&w->page));
    w->failed |= w->page.failed;
    buf_clear(&w->page);
    w->pages++;
    for (int i = 0; i < SHARED_TIMES; i++)
        w->shared[i].place = 0;
}

static void put_times(part_series_writer *w, uint32_t n)
{
    size_t size = n * sizeof(int64_t);
    if (n <= SHARED_MAX) {
        for (int i = 0; i < SHARED_TIMES; i++) {
            const shared_times *s = &w->shared[i];
            if (s->place && s->count == n && memcmp(s->times, w->times, size) == 0) {
                put_varint(&w->page, s->place);
                return;
            }
        }
    }
    put_varint(&w->page, 0);
    if (n <= SHARED_MAX) {
        shared_times *s = &w->shared[w->next_shared++ % SHARED_TIMES];
        s->place = w->page.len + 1;
        s->count = n;
        memcpy(s->times, w->times, size);
    }
    column_put_ints(&w->page, w->times, n);
}

static void note_block(part_series_writer *w, uint32_t n, size_t offset)
{
    buf *d = &w->block_directory;
    if (w->blocks == 0)
        w->first_time = w->times[0];
    put_varint(d, w->series - w->last_series);
    put_varint(d, n);
    put_zigzag(d, w->times[0] - w->first_time);
    put_varint(d, (uint64_t)w->times[n - 1] - (uint64_t)w->times[0]);
    put_varint(d, w->pages - w->last_page);
    put_varint(d, offset);
    put_varint(d, w->page.len - offset);
    part_file_times(&w->file, w->times[0], w->times[n - 1]);
    w->last_series = w->series;
    w->last_page = w->pages;
    w->blocks++;
    w->file.rows += n;
}

/* Begins a block of n samples with their times; returns its place in the page. */
static size_t begin_block(part_series_writer *w, const sample *samples, uint32_t n)
{
    if (w->page.len >= PAGE_BYTES)
        end_page(w);
    for (uint32_t i = 0; i < n; i++)
        w->times[i] = samples[i].time_ms;
    size_t offset = w->page.len;
    put_times(w, n);
    return offset;
}

static void add_numbers(part_series_writer *w, const sample *samples, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        w->values[i] = samples[i].value;
    size_t offset = begin_block(w, samples, n);
    column_put_doubles(&w->page, w->values, n);
    note_block(w, n, offset);
}

/* Returns how many of the samples, all histograms, went into the block. */
static uint32_t add_histograms(part_series_writer *w, const sample *samples, uint32_t n)
{
    const histogram *list[PART_HISTOGRAM_ROWS];
    n = MIN(n, (uint32_t)PART_HISTOGRAM_ROWS);
    for (uint32_t i = 0; i < n; i++)
        list[i] = value_histogram(samples[i].value);
    n = part_histogram_fit(list, n);
    size_t offset = begin_block(w, samples, n);
    part_histogram_write(&w->page, list, n);
    put_varint(&w->histogram_list, w->blocks - w->last_histogram);
    w->last_histogram = w->blocks;
    w->histograms++;
    note_block(w, n, offset);
    return n;
}

/* One block of the samples, which are of one kind as far as it goes; returns how many. */
static uint32_t add_block(part_series_writer *w, const sample *samples, size_t count)
{
    uint32_t n = 1;
    bool histograms = value_is_histogram(samples[0].value);
    while (n < count && n < PART_BLOCK_ROWS && value_is_histogram(samples[n].value) == histograms)
        n++;
    if (histograms)
        return add_histograms(w, samples, n);
    add_numbers(w, samples, n);
    return n;
}

status part_series_add(part_series_writer *w, str key, const sample *samples, size_t count,
                       error *err)
{
    if (count == 0)
        return STATUS_OK;
    add_labels(w, key);
    for (size_t from = 0; from < count;)
        from += add_block(w, samples + from, count - from);
    w->series++;
    if (w->failed || w->page.failed || w->block_directory.failed || w->series_list.failed)
        return fail(err, STATUS_NO_MEMORY, "no memory to write a part");
    return STATUS_OK;
}

void part_series_exemplars(part_series_writer *w, const exemplar_ring *r)
{
    if (r->count == 0)
        return;
    exemplar_ring_write(&w->exemplar_list, w->series - 1 - w->last_exemplars, r);
    w->last_exemplars = w->series - 1;
}

status part_series_family(part_series_writer *w, const family *f, error *err)
{
    bool new_one;
    str name = arena_str(&w->memory, f->name);
    if (!name.ptr || !map_put(&w->family_names, name, 0, &new_one))
        return fail(err, STATUS_NO_MEMORY, "no memory to write a part");
    if (!new_one)
        return STATUS_OK;
    put_text(&w->family_list, f->name);
    put_text(&w->family_list, f->type);
    put_text(&w->family_list, f->unit);
    put_text(&w->family_list, f->help);
    w->families++;
    return STATUS_OK;
}

/* The sections that only some parts have. */
static void write_extras(part_series_writer *w, buf *section)
{
    if (w->histograms) {
        w->file.version = PART_VERSION_HISTOGRAMS;
        buf_clear(section);
        put_varint(section, w->histograms);
        buf_str(section, buf_view(&w->histogram_list));
        w->failed |= section->failed || w->histogram_list.failed;
        part_file_section(&w->file, SECTION_HISTOGRAMS, buf_view(section));
    }
    w->failed |= w->exemplar_list.failed;
    if (w->exemplar_list.len)
        part_file_section(&w->file, SECTION_EXEMPLARS, buf_view(&w->exemplar_list));
}

status part_series_finish(part_series_writer *w, part **ret, error *err)
{
    end_page(w);
    buf *section = &w->page;
    buf_clear(section);
    put_varint(section, w->symbols.count);
    buf_str(section, buf_view(&w->symbol_list));
    put_varint(section, w->series);
    buf_str(section, buf_view(&w->series_list));
    w->failed |= section->failed || w->symbol_list.failed;
    part_file_section(&w->file, SECTION_STREAMS, buf_view(section));
    buf_clear(section);
    put_varint(section, w->pages);
    buf_str(section, buf_view(&w->page_directory));
    put_varint(section, w->blocks);
    put_zigzag(section, w->first_time);
    buf_str(section, buf_view(&w->block_directory));
    w->failed |= section->failed || w->page_directory.failed || w->block_directory.failed;
    part_file_section(&w->file, SECTION_BLOCKS, buf_view(section));
    buf_clear(section);
    w->failed |= !label_index_write(w->index, section);
    part_file_section(&w->file, SECTION_INDEX, buf_view(section));
    buf_clear(section);
    put_varint(section, w->families);
    buf_str(section, buf_view(&w->family_list));
    w->failed |= section->failed || w->family_list.failed;
    part_file_section(&w->file, SECTION_FAMILIES, buf_view(section));
    write_extras(w, section);
    status st = w->failed ? fail(err, STATUS_NO_MEMORY, "no memory to write a part")
                          : part_file_finish(&w->file, ret, err);
    part_series_abort(w);
    return st;
}
