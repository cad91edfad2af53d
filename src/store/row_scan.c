// SPDX-License-Identifier: Apache-2.0
/* Scans over rows: parts in memory and blocks of sealed parts are sources, ordered by the earliest
 * (or latest) time that they may hold, opened only when the merge reaches that time, and filtered
 * before rows are built. A scan holds the matching rows of the sources that overlap in time. */
#include "store/row_scan.h"

#include "store/token.h"

#include <stdlib.h>

enum { CONTROL_EVERY = 1024 };

typedef struct {
    int64_t time_ns;
    const row *r;
    const row_names *names;
} hit;

typedef struct {
    int64_t bound_ns; /* no row comes before it in the scan's order */
    uint32_t mem;     /* index of the mem_view, or UINT32_MAX */
    uint32_t part;    /* index into scan.open_parts */
    uint32_t block;
    arena memory; /* rows and hits while open */
    hit *hits;
    uint32_t count, next;
} source;

typedef struct {
    store *s;
    const row_query *q;
    row_visitor *visit;
    void *user;
    uint32_t columns;
    row_filter filter;
    snapshot sn;
    arena memory; /* directories of parts, sources */
    part_rows *open_parts;
    source *sources;
    uint32_t source_count, source_capacity;
    uint32_t next_source; /* the first one not opened */
    source **heap;
    uint32_t heap_count;
    size_t budget; /* bytes that sources may still take */
    uint64_t wanted_hashes[128];
    uint32_t wanted_count;
    trace_id trace;
    str trace_text;
    bool by_trace;
    uint32_t until_check;
} scan;

/* ---- what the filter needs ---- */

static uint32_t columns_for_name(signal_kind signal, str name)
{
    static const struct {
        str name;
        uint32_t logs, traces;
    } fixed[] = {
        { STR_INIT("trace_id"), COLUMN_BIT(COLUMN_TRACE), COLUMN_BIT(COLUMN_TRACE) },
        { STR_INIT("span_id"), COLUMN_BIT(COLUMN_SPAN), COLUMN_BIT(COLUMN_SPAN) },
        { STR_INIT("parent_span_id"), 0, COLUMN_BIT(COLUMN_PARENT) },
        { STR_INIT("name"), 0, COLUMN_BIT(COLUMN_TEXT + ROW_MAIN) },
        { STR_INIT("kind"), 0, COLUMN_BIT(COLUMN_LEVEL) },
        { STR_INIT("status"), 0, COLUMN_BIT(COLUMN_STATUS) },
        { STR_INIT("level"), COLUMN_BIT(COLUMN_LEVEL) | COLUMN_BIT(COLUMN_TEXT + ROW_INFO), 0 },
        { STR_INIT("detected_level"), COLUMN_BIT(COLUMN_LEVEL) | COLUMN_BIT(COLUMN_TEXT + ROW_INFO),
          0 },
    };
    uint32_t generic = COLUMN_BIT(COLUMN_TEXT + ROW_ATTRS);
    if (signal == SIGNAL_LOGS)
        generic |= COLUMN_BIT(COLUMN_TEXT + ROW_MAIN);
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++) {
        if (str_eq(name, fixed[i].name))
            return generic | (signal == SIGNAL_LOGS ? fixed[i].logs : fixed[i].traces);
    }
    return generic;
}

static uint32_t columns_for_filter(const row_query *q)
{
    uint32_t c = COLUMN_BIT(COLUMN_TIME);
    for (uint32_t i = 0; i < q->matcher_count; i++)
        c |= columns_for_name(q->signal, q->matchers[i].name);
    if (q->line_count)
        c |= COLUMN_BIT(COLUMN_TEXT + ROW_MAIN);
    if (q->min_duration_ns || q->max_duration_ns)
        c |= COLUMN_BIT(COLUMN_EXTRA);
    return c;
}

static void want_token(void *user, uint64_t hash)
{
    scan *sc = user;
    if (sc->wanted_count < ARRAY_LEN(sc->wanted_hashes))
        sc->wanted_hashes[sc->wanted_count++] = hash;
}

/* Tokens that stand whole within a text that contains `needle`: its first and last may be parts of
 * longer ones. */
static void want_inner_tokens(scan *sc, str needle)
{
    size_t from = 0, to = needle.len;
    while (from < to && token_char(needle.ptr[from]))
        from++;
    while (to > from && token_char(needle.ptr[to - 1]))
        to--;
    if (memchr(needle.ptr, '\\', needle.len) || memchr(needle.ptr, '"', needle.len))
        return;
    tokens_of_text(str_slice(needle, from, to), false, want_token, sc);
}

/* Fields that the token filter does not cover, or that resources may answer. */
static bool token_searchable(str name)
{
    static const str not_in_tokens[] = { STR_INIT("level"),         STR_INIT("detected_level"),
                                         STR_INIT("span_id"),       STR_INIT("trace_id"),
                                         STR_INIT("kind"),          STR_INIT("status"),
                                         STR_INIT("parent_span_id") };
    for (size_t i = 0; i < ARRAY_LEN(not_in_tokens); i++) {
        if (str_eq(name, not_in_tokens[i]))
            return false;
    }
    return true;
}

static void plan_filters(scan *sc)
{
    const row_query *q = sc->q;
    for (uint32_t i = 0; i < q->matcher_count; i++) {
        const matcher *m = &q->matchers[i];
        if (m->op == MATCH_EQ && str_eq(m->name, STR("trace_id")) &&
            str_from_hex(m->value, sc->trace.bytes, 16)) {
            sc->by_trace = true;
            sc->trace_text = m->value;
        }
    }
    for (uint32_t i = 0; i < q->line_count; i++) {
        if (q->lines[i].op == LINE_CONTAINS)
            want_inner_tokens(sc, q->lines[i].text);
    }
}

/* ---- sources ---- */

static status add_source(scan *sc, source src, error *err)
{
    if (sc->source_count == sc->source_capacity) {
        uint32_t capacity = sc->source_capacity ? sc->source_capacity * 2 : 64;
        source *grown = arena_grow(&sc->memory, sc->sources, sc->source_count * sizeof(source),
                                   capacity * sizeof(source));
        if (!grown)
            return fail(err, STATUS_LIMIT, "the query reads too many blocks for its memory limit");
        sc->sources = grown;
        sc->source_capacity = capacity;
    }
    sc->sources[sc->source_count++] = src;
    return STATUS_OK;
}

static bool block_in_range(const scan *sc, const row_block *b)
{
    const row_query *q = sc->q;
    if (b->max_time_ns < q->from_ns || b->min_time_ns >= q->to_ns)
        return false;
    if (q->signal == SIGNAL_TRACES && ((q->min_duration_ns && b->max_extra < q->min_duration_ns) ||
                                       (q->max_duration_ns && b->min_extra > q->max_duration_ns)))
        return false;
    return true;
}

/* EQ matchers that this stream's resource leaves to the rows become tokens that must be there. */
static status filter_stream_blocks(scan *sc, part_rows *pr, const resource_verdict *v,
                                   uint32_t stream, uint8_t *keep, error *err)
{
    uint32_t line_tokens = sc->wanted_count;
    for (uint32_t i = 0; i < sc->q->matcher_count; i++) {
        const matcher *m = &sc->q->matchers[i];
        if (m->op == MATCH_EQ && m->value.len && row_filter_needs_row(v, i) &&
            token_searchable(m->name) && !memchr(m->value.ptr, '\\', m->value.len))
            tokens_of_text(m->value, false, want_token, sc);
    }
    status st = STATUS_OK;
    if (sc->wanted_count)
        st = part_rows_tokens(pr, stream, sc->wanted_hashes, sc->wanted_count, keep, err);
    sc->wanted_count = line_tokens;
    return st;
}

static status mark_streams(scan *sc, part_rows *pr, uint8_t *keep, error *err)
{
    status st = STATUS_OK;
    resource_verdict v;
    uint32_t last = UINT32_MAX;
    bool possible = false;
    for (uint32_t i = 0; i < pr->block_count && st == STATUS_OK; i++) {
        const row_block *b = &pr->blocks[i];
        if (b->stream != last) {
            last = b->stream;
            possible = row_filter_resource(&sc->filter, pr->names.resources[last], &v);
            if (possible)
                st = filter_stream_blocks(sc, pr, &v, last, keep, err);
        }
        if (!possible || !block_in_range(sc, b))
            keep[i] = 0;
    }
    return st;
}

/* For spans the trace index is complete; a log record may carry the id in a text as well. */
static status mark_trace(scan *sc, part_rows *pr, uint8_t *keep, error *err)
{
    uint8_t *hit_blocks = ARENA_ARRAY(&sc->memory, uint8_t, pr->block_count);
    uint8_t *by_token = ARENA_ARRAY(&sc->memory, uint8_t, pr->block_count);
    if (!hit_blocks || !by_token)
        return fail(err, STATUS_LIMIT, "the query reads too many blocks for its memory limit");
    status st = part_rows_trace(pr, sc->trace, hit_blocks, err);
    if (st == STATUS_OK && sc->q->signal == SIGNAL_LOGS) {
        memset(by_token, 1, pr->block_count);
        uint64_t hash = token_hash(sc->trace_text);
        st = part_rows_tokens(pr, UINT32_MAX, &hash, 1, by_token, err);
    }
    for (uint32_t i = 0; i < pr->block_count; i++) {
        if (!hit_blocks[i] && !by_token[i])
            keep[i] = 0;
    }
    return st;
}

static status add_part(scan *sc, uint32_t index, error *err)
{
    part_rows *pr = &sc->open_parts[index];
    status st = part_rows_open(pr, sc->sn.parts[index], &sc->memory, err);
    if (st != STATUS_OK)
        return st;
    uint8_t *keep = arena_alloc(&sc->memory, MAX(pr->block_count, 1u));
    if (!keep)
        return fail(err, STATUS_LIMIT, "the query reads too many blocks for its memory limit");
    memset(keep, 1, pr->block_count);
    if (sc->by_trace)
        st = mark_trace(sc, pr, keep, err);
    if (st == STATUS_OK)
        st = mark_streams(sc, pr, keep, err);
    bool newest = sc->q->newest_first;
    uint32_t before = sc->source_count;
    for (uint32_t i = 0; i < pr->block_count && st == STATUS_OK; i++) {
        if (keep[i])
            st = add_source(sc,
                            (source){ .bound_ns = newest ? pr->blocks[i].max_time_ns
                                                         : pr->blocks[i].min_time_ns,
                                      .mem = UINT32_MAX,
                                      .part = index,
                                      .block = i },
                            err);
    }
    if (sc->source_count == before)
        part_rows_close(pr); /* nothing of it will be read: its descriptor serves others */
    return st;
}

static int by_bound(const void *a, const void *b)
{
    const source *x = a, *y = b;
    return x->bound_ns < y->bound_ns ? -1 : x->bound_ns > y->bound_ns;
}

static int by_bound_newest(const void *a, const void *b)
{
    return by_bound(b, a);
}

static status add_sources(scan *sc, error *err)
{
    status st = STATUS_OK;
    sc->open_parts = ARENA_ARRAY(&sc->memory, part_rows, sc->sn.part_count);
    if (!sc->open_parts)
        return fail(err, STATUS_LIMIT, "the query reads too many parts for its memory limit");
    for (uint32_t i = 0; i < sc->sn.part_count; i++)
        sc->open_parts[i].fd = -1;
    for (uint32_t i = 0; i < sc->sn.mem_count && st == STATUS_OK; i++)
        st = add_source(
            sc, (source){ .bound_ns = sc->q->newest_first ? INT64_MAX : INT64_MIN, .mem = i }, err);
    for (uint32_t i = 0; i < sc->sn.part_count && st == STATUS_OK; i++) {
        st = add_part(sc, i, err);
        if (st == STATUS_CORRUPT)
            st = STATUS_OK; /* counted by the part; the others still answer */
        if (st == STATUS_OK)
            st = control_check(sc->q->control, err);
    }
    if (st == STATUS_OK && sc->source_count)
        qsort(sc->sources, sc->source_count, sizeof(source),
              sc->q->newest_first ? by_bound_newest : by_bound);
    sc->heap = ARENA_ARRAY(&sc->memory, source *, MAX(sc->source_count, 1u));
    if (st == STATUS_OK && !sc->heap)
        st = fail(err, STATUS_LIMIT, "the query reads too many blocks for its memory limit");
    return st;
}

/* ---- opening ---- */

static bool control_due(scan *sc)
{
    if (sc->until_check-- > 0)
        return false;
    sc->until_check = CONTROL_EVERY;
    return true;
}

typedef struct {
    hit *items;
    uint32_t count, capacity;
} hit_list;

static status add_hit(scan *sc, source *src, hit_list *l, const row *r, const row_names *names,
                      error *err)
{
    if (control_due(sc)) {
        status st = control_check(sc->q->control, err);
        if (st == STATUS_OK)
            st = match_set_trouble(&sc->filter.set, err);
        if (st != STATUS_OK)
            return st;
    }
    if (l->count == l->capacity) {
        uint32_t capacity = l->capacity ? l->capacity * 2 : 256;
        hit *grown =
            arena_grow(&src->memory, l->items, l->count * sizeof(hit), capacity * sizeof(hit));
        if (!grown)
            return fail(err, STATUS_LIMIT,
                        "the rows that overlap in time exceed the query's memory limit of %zu "
                        "bytes; narrow the time range or the selector",
                        sc->s->options.query_memory);
        l->items = grown;
        l->capacity = capacity;
    }
    l->items[l->count++] = (hit){ r->time_ns, r, names };
    return STATUS_OK;
}

static int hit_oldest(const void *a, const void *b)
{
    const hit *x = a, *y = b;
    if (x->time_ns != y->time_ns)
        return x->time_ns < y->time_ns ? -1 : 1;
    return x->r < y->r ? -1 : x->r > y->r;
}

static int hit_newest(const void *a, const void *b)
{
    return hit_oldest(b, a);
}

static status open_mem(scan *sc, source *src, hit_list *l, error *err)
{
    const mem_view *v = &sc->sn.mems[src->mem];
    const row_query *q = sc->q;
    status st = STATUS_OK;
    const row_chunk *c = v->first;
    for (uint32_t n = 0; n < v->chunk_count && st == STATUS_OK; n++) {
        bool outside = c->max_time_ns < q->from_ns || c->min_time_ns >= q->to_ns;
        resource_verdict verdict;
        uint32_t last = UINT32_MAX;
        bool possible = false;
        for (uint32_t i = 0; !outside && i < c->count && st == STATUS_OK; i++) {
            const row *r = &c->rows[i];
            if (r->resource != last) {
                last = r->resource;
                possible = row_filter_resource(&sc->filter, c->names.resources[last], &verdict);
            }
            if (possible && row_filter_row(&sc->filter, r, &verdict))
                st = add_hit(sc, src, l, r, &c->names, err);
        }
        if (n + 1 < v->chunk_count)
            c = c->next;
    }
    if (st == STATUS_OK && l->count)
        qsort(l->items, l->count, sizeof(hit), q->newest_first ? hit_newest : hit_oldest);
    return st;
}

static status open_block(scan *sc, source *src, hit_list *l, error *err)
{
    part_rows *pr = &sc->open_parts[src->part];
    const row_block *b = &pr->blocks[src->block];
    const row_query *q = sc->q;
    row *rows = ARENA_ARRAY(&src->memory, row, b->rows);
    resource_verdict verdict;
    if (!rows)
        return fail(err, STATUS_LIMIT, "a block exceeds the query's memory limit");
    uint32_t filter_columns = columns_for_filter(q);
    status st = part_rows_read(pr, src->block, filter_columns, &src->memory, rows, err);
    if (st != STATUS_OK ||
        !row_filter_resource(&sc->filter, pr->names.resources[b->stream], &verdict))
        return st;
    for (uint32_t k = 0; k < b->rows && st == STATUS_OK; k++) {
        const row *r = &rows[q->newest_first ? b->rows - 1 - k : k];
        if (!row_filter_row(&sc->filter, r, &verdict))
            continue;
        st = add_hit(sc, src, l, r, &pr->names, err);
        if (q->limit && l->count == q->limit)
            break;
    }
    uint32_t rest = sc->columns & ~filter_columns;
    if (st == STATUS_OK && l->count && rest)
        st = part_rows_read(pr, src->block, rest, &src->memory, rows, err);
    return st;
}

static bool heap_before(const scan *sc, const source *a, const source *b)
{
    int64_t x = a->hits[a->next].time_ns, y = b->hits[b->next].time_ns;
    if (x != y)
        return sc->q->newest_first ? x > y : x < y;
    return a < b;
}

static void heap_down(scan *sc, uint32_t at)
{
    for (;;) {
        uint32_t best = at, left = 2 * at + 1;
        for (uint32_t c = left; c < left + 2 && c < sc->heap_count; c++) {
            if (heap_before(sc, sc->heap[c], sc->heap[best]))
                best = c;
        }
        if (best == at)
            return;
        source *swap = sc->heap[at];
        sc->heap[at] = sc->heap[best];
        sc->heap[best] = swap;
        at = best;
    }
}

static void heap_push(scan *sc, source *src)
{
    uint32_t at = sc->heap_count++;
    sc->heap[at] = src;
    while (at > 0 && heap_before(sc, sc->heap[at], sc->heap[(at - 1) / 2])) {
        source *up = sc->heap[(at - 1) / 2];
        sc->heap[(at - 1) / 2] = sc->heap[at];
        sc->heap[at] = up;
        at = (at - 1) / 2;
    }
}

static status open_source(scan *sc, source *src, error *err)
{
    hit_list l = { 0 };
    arena_init(&src->memory, sc->budget);
    status st = src->mem != UINT32_MAX ? open_mem(sc, src, &l, err) : open_block(sc, src, &l, err);
    if (st == STATUS_CORRUPT)
        st = STATUS_OK; /* counted; the block is left out */
    else if (l.count)
        src->count = l.count;
    src->hits = l.items;
    if (st == STATUS_OK)
        st = match_set_trouble(&sc->filter.set, err);
    if (st == STATUS_OK)
        st = control_check(sc->q->control, err);
    if (st != STATUS_OK || src->count == 0) {
        arena_done(&src->memory);
        src->count = 0;
        return st;
    }
    sc->budget -= MIN(sc->budget - 1, src->memory.used); /* 0 would be no limit */
    heap_push(sc, src);
    return STATUS_OK;
}

static void close_source(scan *sc, source *src)
{
    sc->budget += src->memory.used;
    arena_done(&src->memory);
}

/* ---- the merge ---- */

static bool source_is_due(const scan *sc)
{
    if (sc->next_source == sc->source_count)
        return false;
    if (sc->heap_count == 0)
        return true;
    int64_t bound = sc->sources[sc->next_source].bound_ns;
    int64_t top = sc->heap[0]->hits[sc->heap[0]->next].time_ns;
    return sc->q->newest_first ? bound >= top : bound <= top;
}

static status merge(scan *sc, error *err)
{
    for (uint64_t given = 0; !sc->q->limit || given < sc->q->limit;) {
        while (source_is_due(sc)) {
            status st = open_source(sc, &sc->sources[sc->next_source++], err);
            if (st != STATUS_OK)
                return st;
        }
        if (sc->heap_count == 0)
            return STATUS_OK;
        if (control_due(sc)) {
            status st = control_check(sc->q->control, err);
            if (st != STATUS_OK)
                return st;
        }
        source *top = sc->heap[0];
        const hit *h = &top->hits[top->next++];
        bool more;
        status st = sc->visit(sc->user, h->r, h->names, &more, err);
        if (st != STATUS_OK || !more)
            return st;
        given++;
        if (top->next == top->count) {
            sc->heap[0] = sc->heap[--sc->heap_count];
            close_source(sc, top);
        }
        heap_down(sc, 0);
    }
    return STATUS_OK;
}

status row_scan(store *s, const row_query *q, uint32_t columns, row_visitor *visit, void *user,
                error *err)
{
    scan sc = { .s = s,
                .q = q,
                .visit = visit,
                .user = user,
                .columns = columns,
                .budget = s->options.query_memory };
    if (q->signal != SIGNAL_LOGS && q->signal != SIGNAL_TRACES)
        return fail(err, STATUS_INVALID, "rows are logs or traces");
    status st = row_filter_init(&sc.filter, q, err);
    if (st != STATUS_OK)
        return st;
    arena_init(&sc.memory, s->options.query_memory);
    plan_filters(&sc);
    st = snapshot_take(s, q->signal, q->from_ns, q->to_ns, &sc.sn, err);
    if (st == STATUS_OK)
        st = add_sources(&sc, err);
    if (st == STATUS_OK)
        st = merge(&sc, err);
    for (uint32_t i = 0; i < sc.heap_count; i++)
        arena_done(&sc.heap[i]->memory);
    for (uint32_t i = 0; sc.open_parts && i < sc.sn.part_count; i++)
        part_rows_close(&sc.open_parts[i]);
    snapshot_done(&sc.sn);
    arena_done(&sc.memory);
    row_filter_done(&sc.filter);
    return st;
}
