// SPDX-License-Identifier: Apache-2.0
/* Writing parts of logs and traces. Rows of the block that is being filled are held as they came;
 * directory, token filters and trace entries grow with the part. */
#include "store/column.h"
#include "store/label_index.h"
#include "store/part_rows.h"
#include "store/token.h"

#include <stdlib.h>
#include <xxhash.h>

enum { BLOCK_BYTES = 2 << 20, TRACE_PAGE = 512, SCOPES_MAX = 1 << 20 };

typedef struct {
    uint64_t hash;
    uint32_t block;
} trace_entry;

struct part_rows_writer {
    part_file_writer file;
    const str *streams;
    uint32_t stream_count;
    /* the block being filled */
    row rows[PART_BLOCK_ROWS];
    uint32_t count;
    size_t bytes;
    arena block_memory; /* its texts */
    /* of the part so far */
    uint32_t blocks;
    buf directory;
    buf filters;
    trace_entry *traces;
    uint32_t trace_count, trace_capacity;
    map scope_index; /* bytes -> number */
    buf scopes;
    arena scope_memory;
    /* last scope looked up, by address */
    const char *last_scope;
    uint32_t last_scope_index;
    /* scratch of one block */
    arena scratch;
    buf text;
    buf column;
    uint64_t *token_slots;
    uint32_t token_capacity, token_count;
    bool no_filter;
    bool failed;
};

status part_rows_create(part_rows_writer **ret, const part_identity *id, const str *streams,
                        uint32_t stream_count, error *err)
{
    part_rows_writer *w = calloc(1, sizeof(*w));
    if (!w)
        return fail(err, STATUS_NO_MEMORY, "no memory to write a part");
    w->streams = streams;
    w->stream_count = stream_count;
    buf_init(&w->directory, 0);
    buf_init(&w->filters, 0);
    buf_init(&w->scopes, 0);
    buf_init(&w->text, 0);
    buf_init(&w->column, 0);
    map_init(&w->scope_index);
    arena_init(&w->scope_memory, 0);
    arena_init(&w->scratch, 0);
    arena_init(&w->block_memory, 0); /* one block and one row */
    status st = part_file_begin(&w->file, id, err);
    if (st != STATUS_OK) {
        part_rows_abort(w);
        return st;
    }
    *ret = w;
    return STATUS_OK;
}

void part_rows_abort(part_rows_writer *w)
{
    if (!w)
        return;
    part_file_done(&w->file);
    buf_done(&w->directory);
    buf_done(&w->filters);
    buf_done(&w->scopes);
    buf_done(&w->text);
    buf_done(&w->column);
    map_done(&w->scope_index);
    arena_done(&w->scope_memory);
    arena_done(&w->scratch);
    arena_done(&w->block_memory);
    free(w->traces);
    free(w->token_slots);
    free(w);
}

static bool find_scope(part_rows_writer *w, str scope, uint32_t *ret)
{
    if (w->last_scope == scope.ptr && scope.len) {
        *ret = w->last_scope_index;
        return true;
    }
    uint64_t *found = map_get(&w->scope_index, scope);
    if (!found) {
        str copy = arena_str(&w->scope_memory, scope);
        if (!copy.ptr || w->scope_index.count >= SCOPES_MAX)
            return false;
        put_text(&w->scopes, scope);
        found = map_put(&w->scope_index, copy, w->scope_index.count, NULL);
        if (!found)
            return false;
    }
    w->last_scope = scope.ptr;
    w->last_scope_index = *ret = (uint32_t)*found;
    return true;
}

static status flush_block(part_rows_writer *w, error *err);

static bool copy_texts(part_rows_writer *w, row *to, size_t size)
{
    char *copy = arena_alloc_aligned(&w->block_memory, MAX(size, (size_t)1), 1);
    for (int t = 0; copy && t < ROW_TEXTS; t++) {
        str *s = &to->text[t];
        if (s->len)
            memcpy(copy, s->ptr, s->len);
        s->ptr = copy;
        copy += s->len;
    }
    return copy != NULL;
}

status part_rows_add(part_rows_writer *w, const row *r, const row_names *names, error *err)
{
    size_t size = 0;
    for (int t = 0; t < ROW_TEXTS; t++)
        size += r->text[t].len;
    if (w->count && (w->count == PART_BLOCK_ROWS || w->rows[0].resource != r->resource ||
                     w->bytes + size > BLOCK_BYTES)) {
        status st = flush_block(w, err);
        if (st != STATUS_OK)
            return st;
    }
    row *to = &w->rows[w->count];
    *to = *r;
    if (!find_scope(w, names->scopes[r->scope], &to->scope))
        return fail(err, STATUS_LIMIT, "a part with more than %d scopes", SCOPES_MAX);
    if (!copy_texts(w, to, size))
        return fail(err, STATUS_NO_MEMORY, "no memory to write a part");
    w->count++;
    w->bytes += size;
    return STATUS_OK;
}

/* ---- columns ---- */

static int64_t int_of(const row *r, int column)
{
    switch (column) {
    case COLUMN_TIME:
        return r->time_ns;
    case COLUMN_EXTRA:
        return (int64_t)((uint64_t)r->extra_ns - (uint64_t)r->time_ns);
    case COLUMN_LEVEL:
        return r->level;
    case COLUMN_STATUS:
        return r->status;
    case COLUMN_FLAGS:
        return r->flags;
    default:
        return r->scope;
    }
}

static str text_of(const row *r, int column)
{
    switch (column) {
    case COLUMN_TRACE:
        return trace_id_is_set(r->trace) ? str_n(r->trace.bytes, 16) : STR_EMPTY;
    case COLUMN_SPAN:
        return span_id_is_set(r->span) ? str_n(r->span.bytes, 8) : STR_EMPTY;
    case COLUMN_PARENT:
        return span_id_is_set(r->parent) ? str_n(r->parent.bytes, 8) : STR_EMPTY;
    default:
        return r->text[column - COLUMN_TEXT];
    }
}

static bool put_int_column(part_rows_writer *w, int column, int64_t *min, int64_t *max)
{
    int64_t v[PART_BLOCK_ROWS];
    *min = INT64_MAX;
    *max = INT64_MIN;
    for (uint32_t i = 0; i < w->count; i++) {
        v[i] = int_of(&w->rows[i], column);
        *min = MIN(*min, v[i]);
        *max = MAX(*max, v[i]);
    }
    if (*min == 0 && *max == 0)
        return false;
    column_put_ints(&w->column, v, w->count);
    return true;
}

static bool put_text_column(part_rows_writer *w, int column)
{
    arena_clear(&w->scratch);
    str *v = ARENA_ARRAY(&w->scratch, str, w->count);
    if (!v) {
        w->failed = true;
        return false;
    }
    bool any = false;
    for (uint32_t i = 0; i < w->count; i++) {
        v[i] = text_of(&w->rows[i], column);
        any |= v[i].len > 0;
    }
    if (any)
        column_put_texts(&w->column, v, w->count, &w->scratch);
    return any;
}

/* ---- tokens and traces ---- */

static bool grow_tokens(part_rows_writer *w)
{
    uint32_t capacity = w->token_capacity ? w->token_capacity * 2 : 4096;
    uint64_t *slots = calloc(capacity, sizeof(uint64_t));
    if (!slots)
        return false;
    for (uint32_t i = 0; i < w->token_capacity; i++) {
        uint64_t h = w->token_slots[i];
        if (!h)
            continue;
        uint64_t at = h & (capacity - 1);
        while (slots[at])
            at = (at + 1) & (capacity - 1);
        slots[at] = h;
    }
    free(w->token_slots);
    w->token_slots = slots;
    w->token_capacity = capacity;
    return true;
}

static void note_token(void *user, uint64_t hash)
{
    part_rows_writer *w = user;
    if (hash == 0)
        hash = 1;
    if (w->token_count * 2 >= w->token_capacity && !grow_tokens(w)) {
        w->no_filter = true;
        return;
    }
    uint64_t at = hash & (w->token_capacity - 1);
    while (w->token_slots[at] && w->token_slots[at] != hash)
        at = (at + 1) & (w->token_capacity - 1);
    if (!w->token_slots[at]) {
        w->token_slots[at] = hash;
        w->token_count++;
    }
}

static void put_filter(part_rows_writer *w)
{
    w->no_filter = false;
    w->token_count = 0;
    if (w->token_slots)
        memset(w->token_slots, 0, w->token_capacity * sizeof(uint64_t));
    for (uint32_t i = 0; i < w->count && !w->no_filter; i++) {
        arena_clear(&w->scratch);
        if (!tokens_of_row(w->file.id.signal, &w->rows[i], note_token, w, &w->text, &w->scratch))
            w->no_filter = true;
    }
    uint64_t words = 1;
    while (words * 64 < (uint64_t)w->token_count * TOKEN_BITS)
        words *= 2;
    put_varint(&w->filters, w->no_filter ? 0 : words);
    if (w->no_filter || !buf_reserve(&w->filters, words * 8))
        return;
    char *bits = w->filters.ptr + w->filters.len;
    memset(bits, 0, words * 8);
    for (uint32_t i = 0; i < w->token_capacity; i++) {
        if (w->token_slots[i])
            bloom_add(bits, words, w->token_slots[i]);
    }
    w->filters.len += words * 8;
}

static uint64_t trace_hash(trace_id id)
{
    uint64_t a, b;
    memcpy(&a, id.bytes, 8);
    memcpy(&b, id.bytes + 8, 8);
    return a ^ b;
}

static int by_trace(const void *a, const void *b)
{
    const trace_entry *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return x->block < y->block ? -1 : x->block > y->block;
}

static void note_traces(part_rows_writer *w)
{
    uint32_t from = w->trace_count;
    for (uint32_t i = 0; i < w->count; i++) {
        if (!trace_id_is_set(w->rows[i].trace) ||
            (i && memcmp(&w->rows[i].trace, &w->rows[i - 1].trace, sizeof(trace_id)) == 0))
            continue;
        if (w->trace_count == w->trace_capacity) {
            uint32_t capacity = w->trace_capacity ? w->trace_capacity * 2 : 1024;
            trace_entry *grown = realloc(w->traces, capacity * sizeof(trace_entry));
            if (!grown) {
                w->failed = true;
                return;
            }
            w->traces = grown;
            w->trace_capacity = capacity;
        }
        w->traces[w->trace_count++] = (trace_entry){ trace_hash(w->rows[i].trace), w->blocks };
    }
    uint32_t n = w->trace_count - from, kept = from;
    if (n == 0)
        return;
    qsort(w->traces + from, n, sizeof(trace_entry), by_trace);
    for (uint32_t i = from; i < w->trace_count; i++) {
        if (i == from || w->traces[i].hash != w->traces[kept - 1].hash)
            w->traces[kept++] = w->traces[i];
    }
    w->trace_count = kept;
}

/* ---- blocks ---- */

typedef struct {
    uint8_t id;
    uint64_t length, sum;
} put_column;

static uint32_t level_set(const part_rows_writer *w)
{
    uint32_t set = 0;
    for (uint32_t i = 0; i < w->count; i++)
        set |= 1u << MIN(w->rows[i].level, 31);
    return set;
}

static status flush_block(part_rows_writer *w, error *err)
{
    if (w->count == 0)
        return STATUS_OK;
    put_column columns[ROW_COLUMNS];
    uint32_t n = 0;
    int64_t min[COLUMN_SCOPE + 1], max[COLUMN_SCOPE + 1];
    uint64_t offset = part_file_offset(&w->file);
    for (int c = COLUMN_TIME; c < ROW_COLUMNS; c++) {
        buf_clear(&w->column);
        if (c <= COLUMN_SCOPE ? !put_int_column(w, c, &min[c], &max[c]) : !put_text_column(w, c))
            continue;
        str bytes = buf_view(&w->column);
        w->failed |= w->column.failed;
        columns[n++] = (put_column){ (uint8_t)c, bytes.len, XXH3_64bits(bytes.ptr, bytes.len) };
        part_file_write(&w->file, bytes);
    }
    put_filter(w);
    note_traces(w);
    buf *d = &w->directory;
    put_varint(d, w->rows[0].resource);
    put_varint(d, w->count);
    put_zigzag(d, min[COLUMN_TIME]);
    put_varint(d, (uint64_t)max[COLUMN_TIME] - (uint64_t)min[COLUMN_TIME]);
    put_zigzag(d, min[COLUMN_EXTRA]);
    put_varint(d, (uint64_t)max[COLUMN_EXTRA] - (uint64_t)min[COLUMN_EXTRA]);
    put_varint(d, level_set(w));
    put_varint(d, offset);
    buf_char(d, (char)n);
    for (uint32_t i = 0; i < n; i++) {
        buf_char(d, (char)columns[i].id);
        put_varint(d, columns[i].length);
        put_u64(d, columns[i].sum);
    }
    part_file_times(&w->file, min[COLUMN_TIME], max[COLUMN_TIME]);
    w->file.rows += w->count;
    w->blocks++;
    w->count = 0;
    w->bytes = 0;
    w->last_scope = NULL; /* its address may be used again for another text */
    arena_clear(&w->block_memory);
    if (w->failed || d->failed || w->filters.failed || w->scopes.failed)
        return fail(err, STATUS_NO_MEMORY, "no memory to write a part");
    return STATUS_OK;
}

/* ---- sections ---- */

static void put_traces(part_rows_writer *w)
{
    if (w->trace_count == 0)
        return;
    qsort(w->traces, w->trace_count, sizeof(trace_entry), by_trace);
    buf *section = &w->text, *page = &w->column;
    buf_clear(section);
    put_varint(section, (w->trace_count + TRACE_PAGE - 1) / TRACE_PAGE);
    for (uint32_t from = 0; from < w->trace_count; from += TRACE_PAGE) {
        uint32_t to = MIN(from + TRACE_PAGE, w->trace_count);
        buf_clear(page);
        for (uint32_t i = from; i < to; i++) {
            put_u64(page, w->traces[i].hash);
            put_u32(page, w->traces[i].block);
        }
        put_u64(section, w->traces[from].hash);
        put_varint(section, part_file_offset(&w->file));
        put_varint(section, to - from);
        put_u64(section, XXH3_64bits(page->ptr, page->len));
        part_file_write(&w->file, buf_view(page));
    }
    part_file_section(&w->file, SECTION_TRACES, buf_view(section));
}

static bool put_index(part_rows_writer *w)
{
    label_index *x = label_index_new();
    bool ok = x != NULL;
    buf scratch;
    buf_init(&scratch, 0);
    arena_clear(&w->scratch);
    for (uint32_t i = 0; ok && i < w->stream_count; i++) {
        bytes_reader it = enc_attrs_begin(enc_resource_attrs(w->streams[i]), NULL);
        str key;
        enc_view v;
        while (ok && enc_attrs_next(&it, &key, &v)) {
            if (v.type == VALUE_BYTES || v.type == VALUE_ARRAY || v.type == VALUE_MAP)
                continue;
            str text = enc_text(v, &scratch, &w->scratch);
            if (v.type != VALUE_STR)
                text = arena_str(&w->scratch, text);
            ok = text.ptr && label_index_add(x, key, text, i);
        }
    }
    buf_clear(&w->text);
    ok = ok && label_index_write(x, &w->text);
    if (ok)
        part_file_section(&w->file, SECTION_INDEX, buf_view(&w->text));
    label_index_free(x);
    buf_done(&scratch);
    return ok;
}

static void put_counted(part_rows_writer *w, section_kind kind, uint32_t count, const buf *items)
{
    buf_clear(&w->text);
    put_varint(&w->text, count);
    buf_str(&w->text, buf_view(items));
    w->failed |= w->text.failed;
    part_file_section(&w->file, kind, buf_view(&w->text));
}

status part_rows_finish(part_rows_writer *w, part **ret, error *err)
{
    status st = flush_block(w, err);
    if (st == STATUS_OK) {
        put_traces(w);
        buf_clear(&w->text);
        put_varint(&w->text, w->stream_count);
        for (uint32_t i = 0; i < w->stream_count; i++)
            put_text(&w->text, w->streams[i]);
        w->failed |= w->text.failed;
        part_file_section(&w->file, SECTION_STREAMS, buf_view(&w->text));
        put_counted(w, SECTION_BLOCKS, w->blocks, &w->directory);
        put_counted(w, SECTION_SCOPES, (uint32_t)w->scope_index.count, &w->scopes);
        part_file_section(&w->file, SECTION_TOKENS, buf_view(&w->filters));
        w->failed |= !put_index(w);
        st = w->failed ? fail(err, STATUS_NO_MEMORY, "no memory to write a part")
                       : part_file_finish(&w->file, ret, err);
    }
    part_rows_abort(w);
    return st;
}
