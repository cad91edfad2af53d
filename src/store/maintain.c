// SPDX-License-Identifier: Apache-2.0
/* What happens to sealed parts: retention removes whole days, merges make few large parts of many
 * small ones of the same day. One thread; it holds no lock while it reads and writes. */
#include "store/merge.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MERGE_MIN = 4, MERGE_MOST = 16, CHECK_MS = 30000, RETRY_MS = 60000 };
#define MERGED_BYTES_MAX GiB(1)

/* ---- retention ---- */

/* Days have parts of several signals; an emptied directory goes with its last part. */
static void remove_day_dir(const char *path)
{
    char dir[4200];
    str_copy_c(dir, sizeof(dir), str_c(path));
    char *slash = strrchr(dir, '/');
    if (!slash)
        return;
    *slash = 0;
    rmdir(dir);
}

status retention_apply(store *s, int64_t now_ns, error *err)
{
    if (s->options.retention_ns == 0)
        return STATUS_OK;
    int64_t first_kept = day_of_ns(now_ns - s->options.retention_ns);
    pthread_mutex_lock(&s->lock);
    part **old = calloc(MAX(s->part_count, 1u), sizeof(part *));
    uint32_t count = 0;
    for (uint32_t i = 0; old && i < s->part_count; i++) {
        part *p = s->parts[i];
        if (p->day < first_kept && !atomic_load(&p->merging)) {
            part_ref(p);
            old[count++] = p;
        }
    }
    pthread_mutex_unlock(&s->lock);
    if (!old)
        return fail(err, STATUS_NO_MEMORY, "no memory for a list of parts");
    status st = STATUS_OK;
    if (count)
        st = manifest_change(s, &(part_change){ .removed = old, .removed_count = count }, err);
    for (uint32_t i = 0; i < count && st == STATUS_OK; i++) {
        if (old[i]->signal == SIGNAL_METRICS)
            changes_note(&s->changes, old[i]->min_time);
    }
    for (uint32_t i = 0; i < count; i++) {
        char path[4200];
        str_copy_c(path, sizeof(path), str_c(old[i]->path));
        part_unref(old[i]);
        if (st == STATUS_OK)
            remove_day_dir(path);
    }
    free(old);
    return st;
}

/* ---- choosing what to merge ---- */

typedef struct {
    uint32_t from, count;
    double gain; /* bytes of all / bytes of the largest */
} window;

static bool mergeable(const part *p, const part *first)
{
    return p->signal == first->signal && p->day == first->day && !atomic_load(&p->damaged);
}

/* The run of adjacent parts that rewrites least for what it joins; count 0: none is worth it. */
static window choose(part *const *parts, uint32_t count)
{
    window best = { 0 };
    for (uint32_t from = 0; from < count; from++) {
        uint64_t total = 0, largest = 0;
        for (uint32_t n = 0; n < MERGE_MOST && from + n < count; n++) {
            const part *p = parts[from + n];
            if (!mergeable(p, parts[from]))
                break;
            total += p->bytes;
            largest = MAX(largest, p->bytes);
            if (total > MERGED_BYTES_MAX)
                break;
            double gain = (double)total / (double)largest;
            if (n + 1 >= MERGE_MIN && gain >= 2 && gain > best.gain)
                best = (window){ from, n + 1, gain };
        }
    }
    return best;
}

/* s->parts is ordered by (signal, last record); of one day the order within is kept. */
static int by_signal_day(const void *a, const void *b)
{
    const part *x = *(part *const *)a, *y = *(part *const *)b;
    if (x->signal != y->signal)
        return (int)x->signal - (int)y->signal;
    if (x->day != y->day)
        return x->day < y->day ? -1 : 1;
    if (x->last != y->last)
        return x->last < y->last ? -1 : 1;
    return x->n < y->n ? -1 : x->n > y->n;
}

static part **pick_inputs(store *s, uint32_t *ret_count)
{
    pthread_mutex_lock(&s->lock);
    uint32_t count = s->part_count;
    part **all = calloc(MAX(count, 1u), sizeof(part *));
    for (uint32_t i = 0; all && i < count; i++) {
        all[i] = s->parts[i];
        part_ref(all[i]);
    }
    pthread_mutex_unlock(&s->lock);
    *ret_count = 0;
    if (!all)
        return NULL;
    if (count)
        qsort(all, count, sizeof(part *), by_signal_day);
    window w = choose(all, count);
    for (uint32_t i = 0; i < count; i++) {
        if (i < w.from || i >= w.from + w.count)
            part_unref(all[i]);
    }
    memmove(all, all + w.from, w.count * sizeof(part *));
    *ret_count = w.count;
    return all;
}

status merge_one(store *s, bool *ret_did, error *err)
{
    uint32_t count;
    part **inputs = pick_inputs(s, &count);
    *ret_did = false;
    if (!inputs)
        return fail(err, STATUS_NO_MEMORY, "no memory for a list of parts");
    status st = STATUS_OK;
    if (count) {
        part *merged;
        st = inputs[0]->signal == SIGNAL_METRICS ? merge_series(s, inputs, count, &merged, err)
                                                 : merge_rows(s, inputs, count, &merged, err);
        if (st == STATUS_OK)
            st = manifest_change(
                s,
                &(part_change){
                    .added = &merged, .added_count = 1, .removed = inputs, .removed_count = count },
                err);
        if (st == STATUS_OK) {
            *ret_did = true;
            pthread_mutex_lock(&s->lock);
            s->stats.merges++;
            pthread_mutex_unlock(&s->lock);
        } else if (st == STATUS_CORRUPT) {
            *ret_did = true; /* the damaged part is marked; look again without it */
        }
    }
    for (uint32_t i = 0; i < count; i++)
        part_unref(inputs[i]);
    free(inputs);
    return st;
}

part_identity merged_identity(store *s, part *const *inputs, uint32_t count)
{
    part_identity id = { .dir = s->dir,
                         .signal = inputs[0]->signal,
                         .day = inputs[0]->day,
                         .first = inputs[0]->first,
                         .last = inputs[0]->last,
                         .n = atomic_fetch_add(&s->next_part, 1) };
    for (uint32_t i = 1; i < count; i++) {
        id.first = MIN(id.first, inputs[i]->first);
        id.last = MAX(id.last, inputs[i]->last);
    }
    return id;
}

status merge_continues(store *s, error *err)
{
    return atomic_load(&s->stopping) ? fail(err, STATUS_CANCELED, "the store is closing")
                                     : STATUS_OK;
}

/* ---- the thread ---- */

void *maintainer_main(void *arg)
{
    store *s = arg;
    pthread_setname_np(pthread_self(), "sonde-merge");
    pthread_mutex_lock(&s->lock);
    while (!s->stop) {
        s->merge_now = false;
        pthread_mutex_unlock(&s->lock);
        bool did = true;
        error err;
        status st = retention_apply(s, clock_now_ns(), &err);
        while (st == STATUS_OK && did)
            st = merge_one(s, &did, &err);
        pthread_mutex_lock(&s->lock);
        int64_t until = clock_mono_ns() + (st == STATUS_OK ? CHECK_MS : RETRY_MS) * NS_PER_MS;
        struct timespec t = { .tv_sec = until / NS_PER_S, .tv_nsec = until % NS_PER_S };
        while (!s->stop && !(s->merge_now && st == STATUS_OK) && clock_mono_ns() < until)
            pthread_cond_timedwait(&s->changed, &s->lock, &t);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}
