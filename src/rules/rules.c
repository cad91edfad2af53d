// SPDX-License-Identifier: Apache-2.0
/* All groups and the threads that evaluate them. Every group has its times: multiples of its
 * interval, moved by a phase that its file and name give, so that load is spread and the times stay
 * the same over restarts. A thread takes the group that is due first; a group has one thread at a
 * time. Lock order: the manager's, then a group's; neither is held while a query runs. */
#include "rules/rules.h"

#include "base/clock.h"
#include "rules/group_internal.h"
#include "rules/paths.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    THREADS_DEFAULT = 2,
    THREADS_MAX = 64,
    WAIT_MS = 1000, /* at most: wall time may be set */
    OPTIONS_BYTES = 16 << 20,
    CATCH_UP_SLOTS_MAX = 5000,
    LEAVING_MAX = 1000
};

typedef struct {
    rule_group *group;
    int64_t next_ms; /* when it is due */
    bool busy;
    _Atomic int canceled;
    uint32_t rounds;      /* since the start, up to 2: the `for` state waits for the second */
    bool restores, looks; /* `for` state; gaps: still to be done */
    int64_t catch_up_ms;  /* of the options when its turn began */
    uint8_t *gaps;        /* NULL: none; slots from gap_first_ms on */
    uint32_t gap_count, gap_at;
    int64_t gap_first_ms;
    rule_series *gap_written; /* of each rule */
} entry;

/* Series of a group that the files do not have any more: ended after two intervals, when a group
 * that took them over under another name has shown itself. */
typedef struct leaving {
    struct leaving *next;
    int64_t due_ms, time_ms;
    arena memory;
    labels *items;
    uint32_t count;
} leaving;

struct rules {
    store *store;
    void (*say)(void *user, bool warning, const char *event, const char *text);
    void *user;
    rules_meters meters;
    pthread_t threads[THREADS_MAX];
    uint32_t thread_count;

    /* the main thread */
    uint64_t mark;

    pthread_mutex_t lock;  /* of what follows; the main thread alone writes the options */
    rules_options options; /* texts in `memory` */
    arena memory;
    pthread_cond_t wake, idle;
    entry **entries; /* by file and name */
    uint32_t count;
    leaving *leaving;
    uint32_t leaving_count;
    bool stopping, started;
    _Atomic int canceled;
    int64_t started_ms;
    uint64_t reload_failures;
    bool last_reload_good;
};

static int64_t now_ms(void)
{
    return clock_now_ns() / NS_PER_MS;
}

/* ---- times ---- */

static int64_t phase_ms(const rule_group *g)
{
    label key[] = { { STR("file"), g->file }, { STR("name"), g->name } };
    return (int64_t)(alert_fingerprint(key, 2) % (uint64_t)g->interval_ms);
}

/* The group's last time at or before t. */
static int64_t slot_before(const rule_group *g, int64_t t_ms)
{
    int64_t phase = phase_ms(g);
    return t_ms - (t_ms - phase) % g->interval_ms;
}

/* ---- entries ---- */

static void entry_end_gaps(entry *e)
{
    for (uint32_t i = 0; e->gap_written && i < e->group->rule_count; i++)
        rule_series_done(&e->gap_written[i]);
    free(e->gap_written);
    free(e->gaps);
    e->gap_written = NULL;
    e->gaps = NULL;
}

static void entry_free(entry *e)
{
    if (!e)
        return;
    entry_end_gaps(e);
    rule_group_free(e->group);
    free(e);
}

static void leaving_free(leaving *l)
{
    arena_done(&l->memory);
    free(l);
}

/* ---- one group's turn ---- */

static void look_for_gaps(rules *r, entry *e, int64_t first_ms)
{
    arena a;
    error err;
    rule_group *g = e->group;
    e->looks = false;
    int64_t count = e->catch_up_ms / g->interval_ms;
    if (count > CATCH_UP_SLOTS_MAX)
        count = CATCH_UP_SLOTS_MAX;
    if (count < 1)
        return;
    uint8_t *gaps = calloc((size_t)count + 1, 1);
    rule_series *written = calloc((size_t)g->rule_count + 1, sizeof(*written));
    int64_t from = first_ms - count * g->interval_ms;
    arena_init(&a, MiB(64));
    g->canceled = &e->canceled;
    status st = gaps && written
                    ? rule_group_gaps(g, from, (uint32_t)count, &a, gaps, &err)
                    : fail(&err, STATUS_NO_MEMORY, "no memory to look for missed evaluations");
    arena_done(&a);
    bool any = st == STATUS_OK && memchr(gaps, 1, (size_t)count);
    if (st != STATUS_OK && r->say)
        r->say(r->user, true, "rules_not_caught_up", err.message);
    if (any) {
        gaps[count] = gaps[count - 1]; /* the slot of the first evaluation, with late samples */
        e->gaps = gaps;
        e->gap_written = written;
        e->gap_count = (uint32_t)count + 1;
        e->gap_at = 0;
        e->gap_first_ms = from;
    } else {
        free(gaps);
        free(written);
    }
}

static void run_due(rules *r, entry *e, int64_t time_ms)
{
    arena a;
    if (e->looks)
        look_for_gaps(r, e, time_ms);
    rule_group_eval(e->group, time_ms, &e->canceled);
    if (e->restores && ++e->rounds == 2 && !atomic_load(&e->canceled)) {
        arena_init(&a, MiB(256));
        rule_group_restore(e->group, time_ms, &a);
        arena_done(&a);
        e->restores = false;
    }
}

/* The next slot of the gaps that there are. */
static void run_gap(entry *e)
{
    uint32_t at = e->gap_at;
    while (at < e->gap_count && !e->gaps[at])
        at++;
    if (at > e->gap_at || at == 0) /* not beside the former one: nothing is known of it */
        for (uint32_t i = 0; i < e->group->rule_count; i++)
            rule_series_done(&e->gap_written[i]);
    if (at < e->gap_count) {
        e->group->canceled = &e->canceled;
        rule_group_catch_up(e->group, e->gap_first_ms + at * e->group->interval_ms, e->gap_written);
        e->gap_at = at + 1;
    } else {
        entry_end_gaps(e);
    }
}

/* ---- threads ---- */

typedef struct {
    entry *entry; /* NULL: nothing is due */
    bool gap;
    leaving *leaving;
    int64_t wait_ms;
} choice;

static void realign(entry *e, int64_t now)
{
    if (e->next_ms - now > e->group->interval_ms) /* the clock was set back */
        e->next_ms = slot_before(e->group, now) + e->group->interval_ms;
}

static choice choose(rules *r, int64_t now)
{
    choice c = { .wait_ms = WAIT_MS };
    entry *gap = NULL;
    bool may_catch_up = now >= r->started_ms + r->options.catch_up_delay_ms;
    for (uint32_t i = 0; i < r->count; i++) {
        entry *e = r->entries[i];
        if (e->busy || atomic_load(&e->canceled)) /* canceled: another takes its place */
            continue;
        realign(e, now);
        if (e->next_ms <= now && (!c.entry || e->next_ms < c.entry->next_ms))
            c.entry = e;
        c.wait_ms = MIN(c.wait_ms, e->next_ms - now);
        if (e->gaps && may_catch_up && !gap)
            gap = e;
    }
    for (leaving **l = &r->leaving; !c.entry && *l; l = &(*l)->next)
        if ((*l)->due_ms <= now) {
            c.leaving = *l;
            *l = c.leaving->next;
            r->leaving_count--;
            return c;
        }
    if (!c.entry && gap) {
        c.entry = gap;
        c.gap = true;
    }
    return c;
}

static void count_iteration(entry *e, uint64_t missed)
{
    rule_group *g = e->group;
    pthread_mutex_lock(&g->lock);
    g->iterations += missed + 1;
    g->missed += missed;
    pthread_mutex_unlock(&g->lock);
}

/* Called with the lock, which is let go meanwhile. */
static void take_turn(rules *r, const choice *c, int64_t now)
{
    entry *e = c->entry;
    int64_t interval = e->group->interval_ms;
    int64_t missed = c->gap ? 0 : (now - e->next_ms) / interval;
    int64_t time_ms = e->next_ms + missed * interval;
    e->busy = true;
    e->catch_up_ms = r->options.catch_up_ms;
    if (!c->gap)
        e->next_ms = time_ms + interval;
    pthread_mutex_unlock(&r->lock);
    if (c->gap) {
        run_gap(e);
    } else {
        count_iteration(e, (uint64_t)missed);
        run_due(r, e, time_ms);
    }
    pthread_mutex_lock(&r->lock);
    e->busy = false;
    pthread_cond_broadcast(&r->idle);
}

static void end_leaving(rules *r, leaving *l)
{
    arena a;
    error err;
    rule_samples list = { 0 };
    arena_init(&a, MiB(256));
    status st = rule_series_without_newer(r->store, l->items, l->count, l->time_ms, now_ms(), &a,
                                          &list, &err);
    if (st == STATUS_OK)
        st = rule_write(r->store, &list, l->time_ms, &err);
    if (st != STATUS_OK && r->say)
        r->say(r->user, true, "rule_series_not_ended", err.message);
    arena_done(&a);
    leaving_free(l);
}

static void wait_at_most(rules *r, int64_t ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    ms = MAX(ms, (int64_t)1);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * NS_PER_MS;
    if (until.tv_nsec >= NS_PER_S) {
        until.tv_nsec -= NS_PER_S;
        until.tv_sec++;
    }
    (void)pthread_cond_timedwait(&r->wake, &r->lock, &until);
}

static void *work(void *user)
{
    rules *r = user;
    pthread_mutex_lock(&r->lock);
    while (!r->stopping) {
        int64_t now = now_ms();
        choice c = choose(r, now);
        if (c.leaving) {
            pthread_mutex_unlock(&r->lock);
            end_leaving(r, c.leaving);
            pthread_mutex_lock(&r->lock);
        } else if (c.entry) {
            take_turn(r, &c, now);
        } else {
            wait_at_most(r, c.wait_ms);
        }
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* ---- options ---- */

static status copy_options(rules *r, const rules_options *o, error *err)
{
    arena made;
    rules_options copy = *o;
    arena_init(&made, OPTIONS_BYTES);
    str *paths = ARENA_ARRAY(&made, str, (size_t)o->path_count + 1);
    label *external = ARENA_ARRAY(&made, label, (size_t)o->external_label_count + 1);
    copy.external_url = arena_str(&made, o->external_url);
    bool ok = paths && external && copy.external_url.ptr;
    for (uint32_t i = 0; ok && i < o->path_count; i++)
        ok = (paths[i] = arena_str(&made, o->paths[i])).ptr != NULL;
    for (uint32_t i = 0; ok && i < o->external_label_count; i++) {
        external[i] = (label){ arena_str(&made, o->external_labels[i].name),
                               arena_str(&made, o->external_labels[i].value) };
        ok = external[i].name.ptr && external[i].value.ptr;
    }
    if (!ok) {
        arena_done(&made);
        return fail(err, STATUS_NO_MEMORY, "no memory for the settings of rules");
    }
    copy.paths = paths;
    copy.external_labels = external;
    if (!copy.interval_ms)
        copy.interval_ms = 60000;
    if (!copy.threads)
        copy.threads = THREADS_DEFAULT;
    copy.threads = MIN(copy.threads, (uint32_t)THREADS_MAX);
    arena_done(&r->memory);
    r->memory = made;
    r->options = copy;
    return STATUS_OK;
}

status rules_new(rules **ret, const rules_options *options, error *err)
{
    pthread_condattr_t monotonic;
    rules *r = calloc(1, sizeof(*r));
    if (!r)
        return fail(err, STATUS_NO_MEMORY, "no memory for rules");
    arena_init(&r->memory, OPTIONS_BYTES);
    status st = copy_options(r, options, err);
    if (st != STATUS_OK) {
        free(r);
        return st;
    }
    r->store = options->store;
    r->say = options->say;
    r->user = options->user;
    pthread_mutex_init(&r->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&r->wake, &monotonic);
    pthread_cond_init(&r->idle, NULL);
    pthread_condattr_destroy(&monotonic);
    r->last_reload_good = true;
    *ret = r;
    return STATUS_OK;
}

/* ---- loading ---- */

typedef struct {
    entry **items;
    uint32_t count, capacity;
} entry_list;

static void free_list(entry_list *list)
{
    for (uint32_t i = 0; i < list->count; i++)
        entry_free(list->items[i]);
    free(list->items);
    *list = (entry_list){ 0 };
}

static status add_group(entry_list *list, rule_group *g, error *err)
{
    if (list->count == list->capacity) {
        uint32_t more = list->capacity ? list->capacity * 2 : 16;
        entry **grown = realloc(list->items, more * sizeof(entry *));
        if (!grown)
            return fail(err, STATUS_NO_MEMORY, "no memory for groups of rules");
        list->items = grown;
        list->capacity = more;
    }
    entry *e = calloc(1, sizeof(*e));
    if (!e)
        return fail(err, STATUS_NO_MEMORY, "no memory for groups of rules");
    e->group = g;
    list->items[list->count++] = e;
    return STATUS_OK;
}

static void tell_finding(void *user, bool warning, const char *text)
{
    const rules *r = user;
    if (r->say)
        r->say(r->user, true, warning ? "rule_file_warning" : "rule_file_wrong", text);
}

static status load_file(rules *r, const char *path, entry_list *list, error *err)
{
    rule_file f;
    status st = rule_file_read(&f, path, r->options.features, tell_finding, r, err);
    if (st != STATUS_OK)
        return st;
    for (uint32_t i = 0; i < f.group_count && st == STATUS_OK; i++) {
        rule_group *g = NULL;
        st = rule_group_new(&g, &r->options, path, &f.groups[i], r->started, err);
        if (st == STATUS_OK)
            st = add_group(list, g, err);
        if (st != STATUS_OK)
            rule_group_free(g);
        else
            g->meters = &r->meters;
    }
    rule_file_done(&f);
    return st;
}

static int compare_entries(const void *a, const void *b)
{
    const rule_group *x = (*(entry *const *)a)->group, *y = (*(entry *const *)b)->group;
    int order = str_cmp(x->file, y->file);
    return order ? order : str_cmp(x->name, y->name);
}

static entry *find_entry(const rules *r, entry *like)
{
    entry **found =
        r->count ? bsearch(&like, r->entries, r->count, sizeof(entry *), compare_entries) : NULL;
    return found ? *found : NULL;
}

/* Called with the lock. */
static void wait_idle(rules *r, entry *e)
{
    atomic_store(&e->canceled, 1);
    while (e->busy)
        pthread_cond_wait(&r->idle, &r->lock);
}

/* Keeps what a group that is gone gave last, to end it. */
static void let_go(rules *r, const rule_group *g)
{
    leaving *l = r->leaving_count < LEAVING_MAX ? calloc(1, sizeof(*l)) : NULL;
    size_t total = g->stale_count;
    if (!l)
        return;
    arena_init(&l->memory, MiB(256));
    for (uint32_t i = 0; i < g->rule_count; i++)
        total += g->rules[i].written.count;
    l->items = total ? ARENA_ARRAY(&l->memory, labels, total) : NULL;
    if (!l->items) {
        leaving_free(l);
        return;
    }
    for (uint32_t i = 0; i < g->stale_count; i++)
        l->count += rule_labels_copy(&l->memory, g->stale[i], &l->items[l->count]);
    for (uint32_t i = 0; i < g->rule_count; i++)
        for (uint32_t j = 0; j < g->rules[i].written.count; j++)
            l->count +=
                rule_labels_copy(&l->memory, g->rules[i].written.items[j], &l->items[l->count]);
    l->time_ms = now_ms() - g->query_offset_ms;
    l->due_ms = now_ms() + 2 * g->interval_ms;
    l->next = r->leaving;
    r->leaving = l;
    r->leaving_count++;
}

/* Called with the lock: `made` in place of what there was. */
static void put_in_place(rules *r, entry_list *made)
{
    int64_t now = now_ms();
    for (uint32_t i = 0; i < made->count; i++) {
        entry *e = made->items[i], *old = find_entry(r, e);
        if (old && str_eq(old->group->fingerprint, e->group->fingerprint)) {
            entry_free(e);
            made->items[i] = old;
            continue;
        }
        if (old) {
            wait_idle(r, old);
            if (!rule_group_take_over(e->group, old->group) && r->say)
                r->say(r->user, true, "rule_state_lost",
                       "no memory to keep the series of a changed group");
            e->restores = old->restores;
            e->looks = old->looks;
            e->rounds = old->rounds;
        } else {
            e->restores = e->looks = !r->started;
        }
        e->next_ms = slot_before(e->group, now) + e->group->interval_ms;
    }
    for (uint32_t i = 0; i < r->count; i++) {
        entry *old = r->entries[i], **same = NULL;
        if (made->count)
            same = bsearch(&old, made->items, made->count, sizeof(entry *), compare_entries);
        if (same && *same == old)
            continue;
        if (!same) {
            wait_idle(r, old);
            let_go(r, old->group);
        }
        entry_free(old);
    }
    free(r->entries);
    r->entries = made->items;
    r->count = made->count;
}

status rules_load(rules *r, error *err)
{
    arena a;
    rule_paths files;
    entry_list made = { 0 };
    arena_init(&a, MiB(16));
    status st = rule_paths_find(r->options.paths, r->options.path_count, &a, &files, err);
    if (st == STATUS_OK)
        r->mark = rule_paths_mark(&files);
    for (uint32_t i = 0; st == STATUS_OK && i < files.count; i++)
        st = load_file(r, files.items[i], &made, err);
    arena_done(&a);
    if (st == STATUS_OK && made.count > 1)
        qsort(made.items, made.count, sizeof(entry *), compare_entries);
    pthread_mutex_lock(&r->lock);
    r->last_reload_good = st == STATUS_OK;
    r->reload_failures += st != STATUS_OK;
    if (st == STATUS_OK)
        put_in_place(r, &made);
    pthread_cond_broadcast(&r->wake);
    pthread_mutex_unlock(&r->lock);
    if (st != STATUS_OK)
        free_list(&made);
    return st;
}

status rules_reload(rules *r, const rules_options *options, error *err)
{
    rules_options kept = *options;
    kept.store = r->store;
    kept.say = r->say;
    kept.user = r->user;
    memcpy(kept.sinks, r->options.sinks, sizeof(kept.sinks));
    pthread_mutex_lock(&r->lock);
    status st = copy_options(r, &kept, err);
    pthread_mutex_unlock(&r->lock);
    return st == STATUS_OK ? rules_load(r, err) : st;
}

bool rules_changed(rules *r)
{
    arena a;
    rule_paths files;
    error err;
    arena_init(&a, MiB(16));
    uint64_t mark = 0;
    if (rule_paths_find(r->options.paths, r->options.path_count, &a, &files, &err) == STATUS_OK)
        mark = rule_paths_mark(&files);
    arena_done(&a);
    bool changed = mark != r->mark;
    r->mark = mark;
    return changed;
}

/* ---- life ---- */

status rules_start(rules *r, error *err)
{
    pthread_mutex_lock(&r->lock);
    r->started = true;
    r->started_ms = now_ms();
    for (uint32_t i = 0; i < r->count; i++)
        r->entries[i]->next_ms =
            slot_before(r->entries[i]->group, r->started_ms) + r->entries[i]->group->interval_ms;
    pthread_mutex_unlock(&r->lock);
    while (r->thread_count < r->options.threads) {
        int rc = pthread_create(&r->threads[r->thread_count], NULL, work, r);
        if (rc)
            return fail_errno(err, rc, "a thread for rules");
        r->thread_count++;
    }
    return STATUS_OK;
}

void rules_stop(rules *r)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->stopping = true;
    for (uint32_t i = 0; i < r->count; i++)
        atomic_store(&r->entries[i]->canceled, 1);
    pthread_cond_broadcast(&r->wake);
    pthread_mutex_unlock(&r->lock);
    while (r->thread_count)
        pthread_join(r->threads[--r->thread_count], NULL);
}

void rules_free(rules *r)
{
    if (!r)
        return;
    rules_stop(r);
    for (uint32_t i = 0; i < r->count; i++)
        entry_free(r->entries[i]);
    free(r->entries);
    while (r->leaving) {
        leaving *next = r->leaving->next;
        leaving_free(r->leaving);
        r->leaving = next;
    }
    pthread_cond_destroy(&r->idle);
    pthread_cond_destroy(&r->wake);
    pthread_mutex_destroy(&r->lock);
    arena_done(&r->memory);
    free(r);
}

/* ---- views ---- */

status rules_list(rules *r, bool with_alerts, arena *a, rules_view *ret, error *err)
{
    status st = STATUS_OK;
    pthread_mutex_lock(&r->lock);
    group_view *list = ARENA_ARRAY(a, group_view, (size_t)r->count + 1);
    if (!list)
        st = fail(err, STATUS_LIMIT, "the list of rules takes more than %zu bytes", a->limit);
    for (uint32_t i = 0; i < r->count && st == STATUS_OK; i++)
        st = rule_group_view(r->entries[i]->group, with_alerts, a, &list[i], err);
    *ret = (rules_view){ list, r->count };
    pthread_mutex_unlock(&r->lock);
    return st;
}

static void read_meter(const rule_meter *m, rules_duration *ret)
{
    ret->count = atomic_load(&m->count);
    ret->sum_ns = (int64_t)atomic_load(&m->sum_ns);
}

void rules_get_stats(rules *r, rules_stats *ret)
{
    read_meter(&r->meters.evaluation, &ret->evaluation);
    read_meter(&r->meters.iteration, &ret->iteration);
    ret->alerts_sent = atomic_load(&r->meters.alerts_sent);
    ret->alerts_dropped = atomic_load(&r->meters.alerts_dropped);
    pthread_mutex_lock(&r->lock);
    ret->reload_failures = r->reload_failures;
    ret->last_reload_good = r->last_reload_good;
    pthread_mutex_unlock(&r->lock);
}
