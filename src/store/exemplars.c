// SPDX-License-Identifier: Apache-2.0
/* Exemplars of series; see exemplars.h. store_exemplars goes through the entries of all parts and
 * rings that may have some of the range: they are few beside the samples. */
#include "store/exemplars.h"

#include "store/part_series.h"
#include "store/store_internal.h"

#include <stdlib.h>

/* A sample may come so much later than its exemplar. */
#define LATE_MS INT64_C(3600000)
enum { CONTROL_EVERY = 1024 };

/* ---- rings ---- */

static bool same_exemplar(const kept_exemplar *a, const kept_exemplar *b)
{
    return a->time_ms == b->time_ms && memcmp(&a->value, &b->value, 8) == 0 &&
           str_eq(a->labels, b->labels);
}

bool exemplar_ring_add(exemplar_ring *r, arena *a, const kept_exemplar *e)
{
    for (uint32_t i = 0; i < r->count; i++)
        if (same_exemplar(&r->items[i], e))
            return true;
    kept_exemplar *to = &r->items[r->next];
    str labels = to->labels;
    /* The text of the one that goes is used again where it is long enough. */
    if (labels.ptr && labels.len >= e->labels.len) {
        memcpy((char *)(uintptr_t)labels.ptr, e->labels.ptr, e->labels.len);
        labels.len = e->labels.len;
    } else if (!(labels = arena_str(a, e->labels)).ptr) {
        return false;
    }
    *to = (kept_exemplar){ e->time_ms, e->value, labels };
    r->next = (r->next + 1) % EXEMPLARS_KEPT;
    r->count += r->count < EXEMPLARS_KEPT;
    return true;
}

void exemplar_ring_write(buf *out, uint32_t gap, const exemplar_ring *r)
{
    put_varint(out, gap);
    put_varint(out, r->count);
    uint32_t first = r->count < EXEMPLARS_KEPT ? 0 : r->next;
    for (uint32_t i = 0; i < r->count; i++) {
        const kept_exemplar *e = &r->items[(first + i) % EXEMPLARS_KEPT];
        put_zigzag(out, e->time_ms);
        buf_add(out, &e->value, 8);
        put_text(out, e->labels);
    }
}

bool exemplar_ring_read(bytes_reader *r, uint32_t *ret_gap, exemplar_ring *ret)
{
    if (r->failed || r->at == r->end)
        return false;
    *ret_gap = get_count(r, UINT32_MAX);
    ret->count = get_count(r, EXEMPLARS_KEPT);
    ret->next = ret->count % EXEMPLARS_KEPT;
    for (uint32_t i = 0; i < ret->count; i++) {
        kept_exemplar *e = &ret->items[i];
        e->time_ms = get_zigzag(r);
        uint64_t bits = get_u64(r);
        memcpy(&e->value, &bits, 8);
        e->labels = get_text(r);
    }
    return !r->failed;
}

/* ---- queries ---- */

typedef struct {
    str key;
    kept_exemplar e;
} found_exemplar;

typedef struct {
    store *s;
    const series_query *q;
    match_set set;
    snapshot sn;
    arena *a;      /* the answer */
    arena scratch; /* what is found */
    found_exemplar *found;
    uint32_t count, capacity;
} exemplar_scan;

static status no_memory(error *err)
{
    return fail(err, STATUS_LIMIT,
                "the query needs more memory than it may use; narrow the selector or the range");
}

static bool matches(exemplar_scan *sc, str key)
{
    for (uint32_t i = 0; i < sc->set.count; i++) {
        const match_item *m = &sc->set.items[i];
        if (!match_value(&sc->set, m, label_key_get(key, m->name)))
            return false;
    }
    return true;
}

static status add_found(exemplar_scan *sc, str key, const kept_exemplar *e, error *err)
{
    if (sc->count == sc->capacity) {
        uint32_t capacity = sc->capacity ? sc->capacity * 2 : 64;
        found_exemplar *grown =
            arena_grow(&sc->scratch, sc->found, sc->count * sizeof(found_exemplar),
                       capacity * sizeof(found_exemplar));
        if (!grown)
            return no_memory(err);
        sc->found = grown;
        sc->capacity = capacity;
    }
    found_exemplar *f = &sc->found[sc->count];
    *f = (found_exemplar){ key, *e };
    f->e.labels = arena_str(sc->a, e->labels);
    if (!f->e.labels.ptr)
        return no_memory(err);
    sc->count++;
    return STATUS_OK;
}

static bool in_range(const exemplar_scan *sc, const exemplar_ring *r)
{
    for (uint32_t i = 0; i < r->count; i++)
        if (r->items[i].time_ms >= sc->q->from_ms && r->items[i].time_ms <= sc->q->to_ms)
            return true;
    return false;
}

static status add_ring(exemplar_scan *sc, str key, const exemplar_ring *r, error *err)
{
    status st = STATUS_OK;
    if (!in_range(sc, r) || !matches(sc, key))
        return STATUS_OK;
    str copy = arena_str(sc->a, key);
    if (!copy.ptr)
        return no_memory(err);
    for (uint32_t i = 0; i < r->count && st == STATUS_OK; i++) {
        const kept_exemplar *e = &r->items[i];
        if (e->time_ms >= sc->q->from_ms && e->time_ms <= sc->q->to_ms)
            st = add_found(sc, copy, e, err);
    }
    return st;
}

static status scan_section(exemplar_scan *sc, part_series *ps, str section, error *err)
{
    bytes_reader r = bytes_read(section);
    exemplar_ring ring;
    uint64_t series = 0;
    uint32_t gap;
    status st = STATUS_OK;
    buf key;
    buf_init(&key, MiB(16));
    while (st == STATUS_OK && exemplar_ring_read(&r, &gap, &ring)) {
        series += gap;
        if (series >= ps->count)
            r.failed = true;
        if (r.failed)
            break;
        buf_clear(&key);
        part_series_key(ps, (uint32_t)series, &key);
        st = key.failed ? no_memory(err) : add_ring(sc, buf_view(&key), &ring, err);
    }
    buf_done(&key);
    if (st == STATUS_OK && r.failed)
        st = part_damage(ps->part, err, "the exemplars");
    return st;
}

static status scan_part(exemplar_scan *sc, part *p, error *err)
{
    part_series ps;
    str section;
    arena memory;
    if (p->sections[SECTION_EXEMPLARS].length == 0)
        return STATUS_OK;
    arena_init(&memory, sc->s->options.query_memory);
    status st = part_series_open(&ps, p, &memory, err);
    if (st == STATUS_OK) {
        st = part_section_read(p, ps.fd, SECTION_EXEMPLARS, &memory, &section, err);
        if (st == STATUS_OK)
            st = scan_section(sc, &ps, section, err);
        part_series_close(&ps);
    }
    arena_done(&memory);
    return st == STATUS_CORRUPT ? STATUS_OK : st; /* counted by the part; others still answer */
}

static status scan_mem(exemplar_scan *sc, const mem_view *v, error *err)
{
    status st = STATUS_OK;
    for (uint32_t i = 0; i < v->series_count && st == STATUS_OK; i++) {
        const mem_series *ms = v->series[i];
        if (v->receiving)
            pthread_mutex_lock(&sc->s->metrics_lock);
        if (ms->exemplars)
            st = add_ring(sc, str_n(ms->key->key, ms->key->key_len), ms->exemplars, err);
        if (v->receiving)
            pthread_mutex_unlock(&sc->s->metrics_lock);
        if (st == STATUS_OK && i % CONTROL_EVERY == 0)
            st = control_check(sc->q->control, err);
    }
    return st;
}

static int by_series_then_time(const void *a, const void *b)
{
    const found_exemplar *x = a, *y = b;
    int c = label_key_cmp(x->key, y->key);
    if (c == 0)
        c = (x->e.time_ms > y->e.time_ms) - (x->e.time_ms < y->e.time_ms);
    if (c == 0)
        c = memcmp(&x->e.value, &y->e.value, 8);
    return c ? c : str_cmp(x->e.labels, y->e.labels);
}

static status build_answer(exemplar_scan *sc, stored_exemplar **ret, uint32_t *ret_count,
                           error *err)
{
    if (sc->count)
        qsort(sc->found, sc->count, sizeof(found_exemplar), by_series_then_time);
    stored_exemplar *items = ARENA_ARRAY(sc->a, stored_exemplar, MAX(sc->count, 1u));
    if (!items)
        return no_memory(err);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < sc->count; i++) {
        const found_exemplar *f = &sc->found[i], *before = i ? f - 1 : NULL;
        if (before && str_eq(before->key, f->key) && same_exemplar(&before->e, &f->e))
            continue;
        stored_exemplar *to = &items[kept];
        to->time_ms = f->e.time_ms;
        to->value = f->e.value;
        if (!label_key_labels(f->e.labels, sc->a, &to->own, &to->own_count) ||
            (!(kept && str_eq(f->key, before->key)) &&
             !label_key_labels(f->key, sc->a, &to->labels, &to->label_count)))
            return no_memory(err);
        if (!to->labels) {
            to->labels = items[kept - 1].labels;
            to->label_count = items[kept - 1].label_count;
        }
        kept++;
    }
    *ret = items;
    *ret_count = kept;
    return STATUS_OK;
}

status store_exemplars(store *s, const series_query *q, arena *a, stored_exemplar **ret,
                       uint32_t *ret_count, error *err)
{
    exemplar_scan sc = { .s = s, .q = q, .a = a };
    int64_t to_ms = q->to_ms > INT64_MAX - LATE_MS ? INT64_MAX : q->to_ms + LATE_MS;
    status st = match_set_init(&sc.set, q->matchers, q->matcher_count, NULL, 0, err);
    if (st != STATUS_OK)
        return st;
    arena_init(&sc.scratch, s->options.query_memory);
    st = snapshot_take(s, SIGNAL_METRICS, q->from_ms, to_ms, &sc.sn, err);
    for (uint32_t i = 0; st == STATUS_OK && i < sc.sn.part_count; i++)
        st = scan_part(&sc, sc.sn.parts[i], err);
    for (uint32_t i = 0; st == STATUS_OK && i < sc.sn.mem_count; i++)
        st = scan_mem(&sc, &sc.sn.mems[i], err);
    if (st == STATUS_OK)
        st = match_set_trouble(&sc.set, err);
    if (st == STATUS_OK)
        st = build_answer(&sc, ret, ret_count, err);
    snapshot_done(&sc.sn);
    arena_done(&sc.scratch);
    match_set_done(&sc.set);
    return st;
}
