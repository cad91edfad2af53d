// SPDX-License-Identifier: Apache-2.0
/* Sealing: a frozen part in memory becomes part files, one per signal and day, which become visible
 * together with the cursor by one change of the manifest. */
#include "store/part_rows.h"
#include "store/part_series.h"
#include "store/samples.h"
#include "store/store_internal.h"

#include "base/clock.h"

#include <malloc.h>
#include <stdlib.h>

enum { DAYS_MAX = 4096, RETRY_MS = 1000 };

/* ---- freezing ---- */

bool mem_rotate(store *s)
{
    mem_part *m = s->mems[s->mem_count - 1];
    if (m->first_sequence == 0)
        return false;
    while (m->pending && m == s->mems[s->mem_count - 1])
        pthread_cond_wait(&s->changed, &s->lock);
    if (m != s->mems[s->mem_count - 1])
        return true; /* somebody else did it meanwhile */
    mem_part *fresh = s->mem_count < MEMS_MAX ? mem_part_new(s->generation + 1) : NULL;
    if (!fresh)
        return false;
    dedup_save(&s->seen, &m->dedup_state);
    if (m->dedup_state.failed) {
        buf_clear(&m->dedup_state);
        mem_part_unref(fresh);
        return false;
    }
    pthread_mutex_lock(&s->metrics_lock);
    series_table_trim(&s->series, m->metrics.count, s->mems[0]->metrics.generation);
    pthread_mutex_unlock(&s->metrics_lock);
    atomic_store(&s->metrics_bytes, 0);
    s->generation++;
    s->mems[s->mem_count++] = fresh;
    return true;
}

/* ---- parts being made ---- */

typedef struct {
    store *s;
    mem_part *m;
    part **parts;
    uint32_t count, capacity;
} sealing;

static part_identity next_identity(sealing *sl, signal_kind signal, int32_t day)
{
    return (part_identity){ .dir = sl->s->dir,
                            .signal = signal,
                            .day = day,
                            .first = sl->m->first_sequence,
                            .last = sl->m->last_sequence,
                            .n = atomic_fetch_add(&sl->s->next_part, 1) };
}

static status note_part(sealing *sl, part *p, error *err)
{
    if (sl->count == sl->capacity) {
        uint32_t capacity = sl->capacity ? sl->capacity * 2 : 8;
        part **grown = realloc(sl->parts, capacity * sizeof(part *));
        if (!grown) {
            atomic_store(&p->doomed, true);
            part_unref(p);
            return fail(err, STATUS_NO_MEMORY, "no memory for a list of parts");
        }
        sl->parts = grown;
        sl->capacity = capacity;
    }
    sl->parts[sl->count++] = p;
    return STATUS_OK;
}

/* ---- logs and traces ---- */

typedef struct {
    int32_t day;
    uint32_t stream;
    int64_t time_ns;
    const row *r;
    const row_names *names;
} sealed_row;

static int by_day_stream_time(const void *a, const void *b)
{
    const sealed_row *x = a, *y = b;
    if (x->day != y->day)
        return x->day < y->day ? -1 : 1;
    if (x->stream != y->stream)
        return x->stream < y->stream ? -1 : 1;
    if (x->time_ns != y->time_ns)
        return x->time_ns < y->time_ns ? -1 : 1;
    return x->r < y->r ? -1 : x->r > y->r;
}

static int by_text(const void *a, const void *b)
{
    return str_cmp(*(const str *)a, *(const str *)b);
}

typedef struct {
    sealed_row *rows;
    uint32_t count;
    str *streams; /* sorted */
    uint32_t stream_count;
    map stream_of; /* bytes -> index */
    arena memory;
} row_order;

/* Numbers the distinct resources of all chunks in byte order. */
static bool number_streams(row_order *o, const mem_part *m, signal_kind signal)
{
    uint32_t n = m->chunk_count[signal], capacity = 0;
    const row_chunk *c = m->first[signal];
    for (uint32_t i = 0; i < n; i++, c = c->next)
        capacity += c->names.resource_count;
    o->streams = ARENA_ARRAY(&o->memory, str, MAX(capacity, 1u));
    if (!o->streams)
        return false;
    c = m->first[signal];
    for (uint32_t i = 0; i < n; i++, c = c->next) {
        for (uint32_t k = 0; k < c->names.resource_count; k++) {
            bool new_one;
            if (!map_put(&o->stream_of, c->names.resources[k], 0, &new_one))
                return false;
            if (new_one)
                o->streams[o->stream_count++] = c->names.resources[k];
        }
    }
    qsort(o->streams, o->stream_count, sizeof(str), by_text);
    for (uint32_t i = 0; i < o->stream_count; i++)
        *map_get(&o->stream_of, o->streams[i]) = i;
    return true;
}

static bool order_rows(row_order *o, const mem_part *m, signal_kind signal)
{
    o->rows = malloc(MAX(m->rows[signal], UINT64_C(1)) * sizeof(sealed_row));
    if (!o->rows || !number_streams(o, m, signal))
        return false;
    const row_chunk *c = m->first[signal];
    for (uint32_t n = m->chunk_count[signal]; n > 0; n--, c = c->next) {
        uint32_t *streams = ARENA_ARRAY(&o->memory, uint32_t, MAX(c->names.resource_count, 1u));
        if (!streams)
            return false;
        for (uint32_t k = 0; k < c->names.resource_count; k++)
            streams[k] = (uint32_t)*map_get(&o->stream_of, c->names.resources[k]);
        for (uint32_t i = 0; i < c->count; i++) {
            const row *r = &c->rows[i];
            o->rows[o->count++] = (sealed_row){ .day = (int32_t)day_of_ns(r->time_ns),
                                                .stream = streams[r->resource],
                                                .time_ns = r->time_ns,
                                                .r = r,
                                                .names = &c->names };
        }
    }
    qsort(o->rows, o->count, sizeof(sealed_row), by_day_stream_time);
    return true;
}

static status write_day(sealing *sl, const row_order *o, signal_kind signal, uint32_t from,
                        uint32_t to, error *err)
{
    str *streams = malloc(MAX(o->stream_count, 1u) * sizeof(str));
    uint32_t count = 0;
    if (!streams)
        return fail(err, STATUS_NO_MEMORY, "no memory to seal rows");
    for (uint32_t i = from; i < to; i++) {
        if (i == from || o->rows[i].stream != o->rows[i - 1].stream)
            streams[count++] = o->streams[o->rows[i].stream];
    }
    part_identity id = next_identity(sl, signal, o->rows[from].day);
    part_rows_writer *w;
    status st = part_rows_create(&w, &id, streams, count, err);
    uint32_t stream = 0;
    for (uint32_t i = from; i < to && st == STATUS_OK; i++) {
        if (i > from && o->rows[i].stream != o->rows[i - 1].stream)
            stream++;
        row r = *o->rows[i].r;
        r.resource = stream;
        st = part_rows_add(w, &r, o->rows[i].names, err);
        if (st != STATUS_OK)
            part_rows_abort(w);
    }
    part *p;
    if (st == STATUS_OK)
        st = part_rows_finish(w, &p, err);
    free(streams);
    return st == STATUS_OK ? note_part(sl, p, err) : st;
}

static status seal_rows(sealing *sl, signal_kind signal, error *err)
{
    row_order o = { 0 };
    if (sl->m->rows[signal] == 0)
        return STATUS_OK;
    if (sl->m->rows[signal] > UINT32_MAX)
        return fail(err, STATUS_LIMIT, "more than 4 billion rows in memory");
    arena_init(&o.memory, 0); /* by the rows in memory */
    map_init(&o.stream_of);
    status st = order_rows(&o, sl->m, signal)
                    ? STATUS_OK
                    : fail(err, STATUS_NO_MEMORY, "no memory to seal rows");
    for (uint32_t from = 0, to; from < o.count && st == STATUS_OK; from = to) {
        for (to = from; to < o.count && o.rows[to].day == o.rows[from].day;)
            to++;
        st = write_day(sl, &o, signal, from, to, err);
    }
    free(o.rows);
    map_done(&o.stream_of);
    arena_done(&o.memory);
    return st;
}

/* ---- metrics ---- */

static int by_key(const void *a, const void *b)
{
    const series_key *x = (*(mem_series *const *)a)->key, *y = (*(mem_series *const *)b)->key;
    return label_key_cmp(str_n(x->key, x->key_len), str_n(y->key, y->key_len));
}

static int32_t day_of_ms(int64_t ms)
{
    const int64_t day = 86400000;
    return (int32_t)(ms / day - (ms % day < 0));
}

typedef struct {
    int32_t days[DAYS_MAX];
    uint32_t count;
} day_set;

static bool add_day(day_set *d, int32_t day)
{
    uint32_t at = d->count;
    while (at > 0 && d->days[at - 1] >= day) {
        if (d->days[at - 1] == day)
            return true;
        at--;
    }
    if (d->count == DAYS_MAX)
        return false;
    memmove(d->days + at + 1, d->days + at, (d->count - at) * sizeof(int32_t));
    d->days[at] = day;
    d->count++;
    return true;
}

static status find_days(const mem_metrics *m, day_set *d, error *err)
{
    d->count = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        const mem_series *s = m->series[i];
        int32_t last = day_of_ms(s->max_ms);
        bool ok = add_day(d, last);
        if (day_of_ms(s->min_ms) == last && ok)
            continue;
        for (const sample_chunk *c = s->first; c && ok; c = c->next) {
            for (uint32_t k = 0; k < c->count && ok; k++)
                ok = add_day(d, day_of_ms(c->samples[k].time_ms));
        }
        if (!ok)
            return fail(err, STATUS_LIMIT, "samples of more than %d days in memory", DAYS_MAX);
    }
    return STATUS_OK;
}

static status write_series_day(sealing *sl, part_series_writer *w, int32_t day, error *err)
{
    const mem_metrics *m = &sl->m->metrics;
    sample_list list = { 0 };
    status st = STATUS_OK;
    for (uint32_t i = 0; i < m->count && st == STATUS_OK; i++) {
        const mem_series *s = m->series[i];
        if (day_of_ms(s->min_ms) > day || day_of_ms(s->max_ms) < day)
            continue;
        list.count = 0;
        for (const sample_chunk *c = s->first; c && st == STATUS_OK; c = c->next) {
            for (uint32_t k = 0; k < c->count && st == STATUS_OK; k++) {
                if (day_of_ms(c->samples[k].time_ms) == day)
                    st = sample_list_add(&list, c->samples[k], err);
            }
        }
        if (st == STATUS_OK)
            st = sample_list_settle(&list, err);
        if (st == STATUS_OK)
            st = part_series_add(w, str_n(s->key->key, s->key->key_len), list.items, list.count,
                                 err);
        if (st == STATUS_OK && s->exemplars && list.count && day_of_ms(s->max_ms) == day)
            part_series_exemplars(w, s->exemplars);
    }
    sample_list_done(&list);
    return st;
}

static status seal_metrics(sealing *sl, error *err)
{
    mem_metrics *m = &sl->m->metrics;
    if (m->count == 0)
        return STATUS_OK;
    day_set *days = malloc(sizeof(*days));
    mem_series **order = malloc(m->count * sizeof(mem_series *));
    status st = days && order ? find_days(m, days, err)
                              : fail(err, STATUS_NO_MEMORY, "no memory to seal samples");
    mem_metrics sorted = *m; /* readers go on with the order of arrival */
    if (st == STATUS_OK) {
        memcpy(order, m->series, m->count * sizeof(mem_series *));
        qsort(order, m->count, sizeof(mem_series *), by_key);
        sorted.series = order;
    }
    mem_part view = { .first_sequence = sl->m->first_sequence,
                      .last_sequence = sl->m->last_sequence,
                      .metrics = sorted };
    sealing inner = *sl;
    inner.m = &view;
    for (uint32_t i = 0; st == STATUS_OK && i < days->count; i++) {
        part_series_writer *w;
        part *p = NULL;
        part_identity id = next_identity(sl, SIGNAL_METRICS, days->days[i]);
        st = part_series_create(&w, &id, err);
        if (st != STATUS_OK)
            break;
        st = write_series_day(&inner, w, days->days[i], err);
        for (uint32_t f = 0; f < m->family_count && st == STATUS_OK; f++)
            st = part_series_family(w, &m->families[f], err);
        if (st == STATUS_OK)
            st = part_series_finish(w, &p, err);
        else
            part_series_abort(w);
        if (st == STATUS_OK)
            st = note_part(sl, p, err);
    }
    free(order);
    free(days);
    return st;
}

/* ---- one part in memory ---- */

status seal_oldest(store *s, error *err)
{
    pthread_mutex_lock(&s->lock);
    mem_part *m = s->mem_count > 1 ? s->mems[0] : NULL;
    if (m)
        mem_part_ref(m);
    pthread_mutex_unlock(&s->lock);
    if (!m)
        return STATUS_OK;
    sealing sl = { .s = s, .m = m };
    status st = seal_rows(&sl, SIGNAL_LOGS, err);
    if (st == STATUS_OK)
        st = seal_rows(&sl, SIGNAL_TRACES, err);
    if (st == STATUS_OK)
        st = seal_metrics(&sl, err);
    if (st == STATUS_OK) {
        st = manifest_change(
            s, &(part_change){ .added = sl.parts, .added_count = sl.count, .sealed = m }, err);
    } else {
        for (uint32_t i = 0; i < sl.count; i++) {
            atomic_store(&sl.parts[i]->doomed, true);
            part_unref(sl.parts[i]);
        }
    }
    free(sl.parts);
    mem_part_unref(m);
    if (st == STATUS_OK && s->intake)
        log_trim(s);
    return st;
}

/* ---- the thread ---- */

static void wait_until(store *s, int64_t mono_ns)
{
    struct timespec t = { .tv_sec = mono_ns / NS_PER_S, .tv_nsec = mono_ns % NS_PER_S };
    pthread_cond_timedwait(&s->changed, &s->lock, &t);
}

/* Whether the receiving part is due; else when to look again. */
static bool seal_is_due(const store *s, int64_t *ret_wake)
{
    const mem_part *m = s->mems[s->mem_count - 1];
    int64_t now = clock_mono_ns();
    *ret_wake = now + 3600 * NS_PER_S;
    if (m->first_sequence == 0)
        return false;
    if (s->seal_wanted >= m->metrics.generation)
        return true;
    *ret_wake = m->began_mono_ns + s->options.seal_after_ns;
    return *ret_wake <= now;
}

void *sealer_main(void *arg)
{
    store *s = arg;
    pthread_setname_np(pthread_self(), "sonde-seal");
    pthread_mutex_lock(&s->lock);
    while (!s->stop) {
        int64_t wake;
        if (s->mem_count > 1) {
            error err = { 0 };
            s->sealing = true;
            pthread_mutex_unlock(&s->lock);
            status st = seal_oldest(s, &err);
            malloc_trim(0); /* the rows' memory goes back to the system */
            pthread_mutex_lock(&s->lock);
            s->sealing = false;
            s->seal_trouble = err;
            s->seal_trouble.code = st;
            s->seal_failures += st != STATUS_OK;
            s->merge_now |= st == STATUS_OK;
            pthread_cond_broadcast(&s->changed);
            int64_t retry = clock_mono_ns() + RETRY_MS * NS_PER_MS;
            while (st != STATUS_OK && !s->stop && clock_mono_ns() < retry)
                wait_until(s, retry);
        } else if (seal_is_due(s, &wake)) {
            if (!mem_rotate(s))
                wait_until(s, clock_mono_ns() + RETRY_MS * NS_PER_MS);
        } else {
            wait_until(s, wake);
        }
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

status store_seal(store *s, error *err)
{
    status st = STATUS_OK;
    pthread_mutex_lock(&s->lock);
    const mem_part *m = s->mems[s->mem_count - 1];
    uint64_t target = m->first_sequence ? m->metrics.generation : m->metrics.generation - 1;
    uint64_t failures = s->seal_failures;
    s->seal_wanted = MAX(s->seal_wanted, target);
    pthread_cond_broadcast(&s->changed);
    while ((s->mems[0]->metrics.generation <= target || s->sealing) &&
           s->seal_failures == failures && !s->stop)
        pthread_cond_wait(&s->changed, &s->lock);
    if (s->mems[0]->metrics.generation <= target) {
        st = s->stop ? fail(err, STATUS_CANCELED, "the store is closing") : s->seal_trouble.code;
        if (!s->stop && err)
            *err = s->seal_trouble;
    }
    pthread_mutex_unlock(&s->lock);
    return st;
}
