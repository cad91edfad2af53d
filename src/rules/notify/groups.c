// SPDX-License-Identifier: Apache-2.0
/* Alerts find their routes and stand there in groups; a group that is due is made into
 * notifications for the receiver's integrations, as far as they do not know it yet. */
#include "rules/notify/state.h"

#include <stdlib.h>

enum { CLOCK_STEP_MS = 1000, CLOCK_AHEAD_MS = 60000, LIMIT_TOLD_MS = 60000 };

/* ---- routes ---- */

/* Whether the walk goes on behind this route. */
typedef struct {
    bool (*take)(void *user, const route *r);
    void *user;
    bool stopped;
} walk;

/* True when r or a route below it takes the labels. */
static bool walk_route(walk *w, const route *r, labels l)
{
    bool taken = false;
    if (!notify_matchers_take(&r->matchers, l))
        return false;
    for (uint32_t i = 0; i < r->route_count && !w->stopped; i++) {
        bool below = walk_route(w, &r->routes[i], l);
        taken = taken || below;
        if (below && !r->routes[i].continues)
            break;
    }
    if (!taken && !w->stopped)
        w->stopped = !w->take(w->user, r);
    return true;
}

void routes_match(const route *root, labels l, bool (*take)(void *user, const route *r), void *user)
{
    walk w = { take, user, false };
    (void)walk_route(&w, root, l);
}

/* ---- groups ---- */

static bool group_labels(arena *a, const route *r, labels l, labels *ret)
{
    return r->group_by_all ? labels_drop(a, l, (name_list){ 0 }, ret)
                           : labels_keep(a, l, r->group_by, ret);
}

static void group_free(group *g)
{
    map_done(&g->members);
    arena_done(&g->arena);
    free(g->alerts);
    free(g->key);
    free(g);
}

static void forget_slots(alertmanager *am, const group *g)
{
    const receiver *r = g->route->receiver;
    for (uint32_t i = 0; i < r->count; i++) {
        slot *s = slot_of(am, &r->integrations[i], g->group_key);
        if (s && s->group == g)
            s->group = NULL;
    }
}

static void group_drop(alertmanager *am, group *g)
{
    forget_slots(am, g);
    (void)map_remove(&am->groups, str_c(g->key));
    group_free(g);
}

/* Texts of the labels are copied: the alert that they come from may go before the group. */
static bool copy_labels(arena *a, labels *l)
{
    label *items = ARENA_ARRAY(a, label, MAX(l->count, 1u));
    for (uint32_t i = 0; items && i < l->count; i++) {
        items[i] = (label){ arena_str(a, l->items[i].name), arena_str(a, l->items[i].value) };
        if (!items[i].name.ptr || !items[i].value.ptr)
            return false;
    }
    l->items = items;
    return items != NULL;
}

static group *group_new(alertmanager *am, const route *r, labels l, str key, int64_t now_ms)
{
    group *g = calloc(1, sizeof(*g));
    if (!g)
        return NULL;
    arena_init(&g->arena, MiB(1));
    map_init(&g->members);
    g->route = r;
    g->labels = l;
    g->next_ms = now_ms + r->group_wait_ms;
    g->key = malloc(key.len + 1);
    if (!g->key || !copy_labels(&g->arena, &g->labels)) {
        group_free(g);
        return NULL;
    }
    str_copy_c(g->key, key.len + 1, key);
    (void)str_cut(str_c(g->key), '\n', &g->group_key);
    if (!map_put(&am->groups, str_c(g->key), (uint64_t)(uintptr_t)g, NULL)) {
        group_free(g);
        return NULL;
    }
    return g;
}

static status group_find(alertmanager *am, const route *r, labels l, int64_t now_ms, group **ret,
                         error *err)
{
    arena scratch;
    labels own;
    buf key;
    status st = STATUS_OK;
    arena_init(&scratch, MiB(1));
    buf_init(&key, MiB(1));
    bool good = group_labels(&scratch, r, l, &own);
    buf_fmt(&key, "%.*s\n%.*s:", STR_ARG(r->receiver->name), STR_ARG(r->key));
    if (good)
        labels_print(&key, own);
    uint64_t *known = map_get(&am->groups, buf_view(&key));
    if (!good || key.failed) {
        st = fail(err, STATUS_NO_MEMORY, "no memory for a group of alerts");
    } else if (known) {
        *ret = (group *)(uintptr_t)*known;
    } else if (am->groups.count >= am->options.max_groups) {
        am->counters.group_limit++;
        st = fail(err, STATUS_LIMIT, "there are %u groups of alerts already, which is the limit",
                  am->options.max_groups);
    } else if (!(*ret = group_new(am, r, own, buf_view(&key), now_ms))) {
        st = fail(err, STATUS_NO_MEMORY, "no memory for a group of alerts");
    }
    buf_done(&key);
    arena_done(&scratch);
    return st;
}

static bool group_add(group *g, kept_alert *a, bool *ret_new)
{
    if (g->count == g->capacity) {
        uint32_t capacity = g->capacity ? g->capacity * 2 : 4;
        kept_alert **larger = realloc(g->alerts, capacity * sizeof(void *));
        if (!larger)
            return false;
        g->alerts = larger;
        g->capacity = capacity;
    }
    if (!map_put(&g->members, fingerprint_key(&a->fingerprint), g->count, ret_new))
        return false;
    if (*ret_new)
        g->alerts[g->count++] = a;
    return true;
}

static void group_remove(alertmanager *am, group *g, kept_alert *a, int64_t now_ms)
{
    uint64_t *at = map_get(&g->members, fingerprint_key(&a->fingerprint));
    if (!at)
        return;
    uint32_t index = (uint32_t)*at;
    (void)map_remove(&g->members, fingerprint_key(&a->fingerprint));
    kept_alert *moved = g->alerts[--g->count];
    if (moved != a) {
        g->alerts[index] = moved;
        *map_get(&g->members, fingerprint_key(&moved->fingerprint)) = index;
    }
    for (uint32_t i = 0; i < g->route->receiver->count; i++) {
        slot *s = slot_of(am, &g->route->receiver->integrations[i], g->group_key);
        if (s)
            slot_forget(am, s, a->fingerprint);
    }
    a->groups--;
    alerts_release(am, a, now_ms);
}

typedef struct {
    alertmanager *am;
    kept_alert *alert;
    int64_t now_ms;
    status st;
    error *err;
} routing;

static bool take_route(void *user, const route *r)
{
    routing *g = user;
    group *to = NULL;
    bool is_new = false;
    g->alert->routes++; /* also when there is no place: it is looked for again */
    status st = group_find(g->am, r, g->alert->labels, g->now_ms, &to, g->err);
    if (st == STATUS_OK && !group_add(to, g->alert, &is_new))
        st = fail(g->err, STATUS_NO_MEMORY, "no memory for a group of alerts");
    if (st != STATUS_OK) {
        g->st = st;
        return true;
    }
    g->alert->groups += is_new;
    /* Whoever waits for group_wait does so from the alert's start. */
    if (!to->flushed && g->alert->starts_ms + r->group_wait_ms < g->now_ms)
        to->next_ms = g->now_ms;
    return true;
}

status groups_route(alertmanager *am, kept_alert *a, int64_t now_ms, error *err)
{
    routing g = { am, a, now_ms, STATUS_OK, err };
    if (a->routes && a->groups == a->routes)
        return STATUS_OK; /* it stands everywhere already */
    a->routes = 0;
    routes_match(&am->config->root, a->labels, take_route, &g);
    return g.st;
}

/* ---- what is to be told ---- */

/* The alerts of a group that are not muted, and their fingerprints. */
typedef struct {
    kept_alert **alerts;
    uint64_t *firing, *resolved; /* sorted */
    uint32_t count, firing_count, resolved_count;
} told;

static bool holds(const interval_list *list, int64_t now_ms)
{
    for (uint32_t i = 0; i < list->count; i++)
        for (uint32_t k = 0; k < list->items[i]->count; k++)
            if (interval_holds(list->items[i]->items[k], now_ms))
                return true;
    return false;
}

bool route_is_muted(const route *r, int64_t now_ms)
{
    return holds(&r->mute, now_ms) || (r->active.count && !holds(&r->active, now_ms));
}

void route_write_muting(const route *r, int64_t now_ms, json_writer *w)
{
    bool inactive = r->active.count && !holds(&r->active, now_ms);
    for (uint32_t i = 0; i < r->mute.count; i++)
        if (holds(&(interval_list){ &r->mute.items[i], 1 }, now_ms))
            json_str(w, r->mute.items[i]->name);
    for (uint32_t i = 0; inactive && i < r->active.count; i++)
        json_str(w, r->active.items[i]->name);
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Counts what is muted when `count` says so. False without memory. */
static bool collect(alertmanager *am, group *g, int64_t now_ms, bool count, told *ret)
{
    *ret = (told){ .alerts = malloc((g->count + 1) * sizeof(void *)),
                   .firing = malloc((g->count + 1) * sizeof(uint64_t)),
                   .resolved = malloc((g->count + 1) * sizeof(uint64_t)) };
    if (!ret->alerts || !ret->firing || !ret->resolved)
        return false;
    for (uint32_t i = 0; i < g->count; i++) {
        kept_alert *a = g->alerts[i];
        bool inhibited = inhibited_by(am, a->labels, now_ms) != NULL;
        bool silenced = silenced_by(am, a, now_ms, NULL, 0) > 0;
        am->counters.suppressed_inhibition += count && inhibited;
        am->counters.suppressed_silence += count && silenced && !inhibited;
        if (inhibited || silenced)
            continue;
        ret->alerts[ret->count++] = a;
        if (is_resolved(a, now_ms))
            ret->resolved[ret->resolved_count++] = a->fingerprint;
        else
            ret->firing[ret->firing_count++] = a->fingerprint;
    }
    qsort(ret->alerts, ret->count, sizeof(void *), alerts_compare);
    qsort(ret->firing, ret->firing_count, sizeof(uint64_t), compare_u64);
    qsort(ret->resolved, ret->resolved_count, sizeof(uint64_t), compare_u64);
    return true;
}

static void told_done(told *t)
{
    free(t->alerts);
    free(t->firing);
    free(t->resolved);
}

/* ---- settling ---- */

static bool is_settled(alertmanager *am, group *g, const told *t, int64_t now_ms)
{
    const receiver *r = g->route->receiver;
    for (uint32_t i = 0; i < r->count; i++) {
        const slot *s = slot_of(am, &r->integrations[i], g->group_key);
        if (!s || s->pending ||
            (t->count && slot_needs(s, &r->integrations[i], t->firing, t->firing_count, t->resolved,
                                    t->resolved_count, g->route->repeat_interval_ms, now_ms)))
            return false;
    }
    return true;
}

void group_settle(alertmanager *am, group *g, int64_t now_ms)
{
    told t;
    bool muted = route_is_muted(g->route, now_ms);
    if (collect(am, g, now_ms, false, &t)) {
        if (muted)
            t.count = 0;
        if (is_settled(am, g, &t, now_ms))
            for (uint32_t i = g->count; i-- > 0;)
                if (is_resolved(g->alerts[i], now_ms))
                    group_remove(am, g, g->alerts[i], now_ms);
    }
    told_done(&t);
    if (!g->count)
        group_drop(am, g);
}

/* ---- flushing ---- */

/* The alerts that go into a notification: those that fire, with the ended ones where wanted. */
static uint32_t choose(const told *t, const integration *g, int64_t now_ms, kept_alert **to)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < t->count; i++)
        if (g->send_resolved || !is_resolved(t->alerts[i], now_ms))
            to[n++] = t->alerts[i];
    return n;
}

static status make_notification(alertmanager *am, const group *g, const integration *to, slot *s,
                                const told *t, int64_t now_ms, error *err)
{
    arena memory;
    buf content;
    char key[KEY_SIZE];
    arena_init(&memory, CONTENT_MEMORY);
    buf_init(&content, CONTENT_BYTES_MAX);
    uuid_make(key);
    kept_alert **chosen = ARENA_ARRAY(&memory, kept_alert *, t->count + 1);
    status st = STATUS_OK;
    notification n = { .arena = &memory,
                       .config = am->config,
                       .integration = to,
                       .external_url = str_c(am->external_url),
                       .group_key = g->group_key,
                       .group_labels = g->labels,
                       .alerts = chosen,
                       .now_ms = now_ms,
                       .key = key };
    if (!chosen)
        st = fail(err, STATUS_LIMIT, "more alerts than a notification can hold");
    else
        n.count = choose(t, to, now_ms, chosen);
    if (st == STATUS_OK)
        st = content_make(&n, &content, err);
    if (st == STATUS_OK)
        st = pending_add(
            am, s,
            &(db_pending){ .slot = str_c(s->text),
                           .key = str_c(key),
                           .content = buf_view(&content),
                           .created_ms = now_ms,
                           .log_expires_ms = now_ms + 2 * g->route->repeat_interval_ms,
                           .firing = str_n(t->firing, t->firing_count * sizeof(uint64_t)),
                           .resolved = str_n(t->resolved, t->resolved_count * sizeof(uint64_t)) },
            err);
    buf_done(&content);
    arena_done(&memory);
    return st;
}

static void tell(alertmanager *am, group *g, const integration *to, const told *t, int64_t now_ms)
{
    error err;
    slot *s = slot_of(am, to, g->group_key);
    if (!s)
        return;
    s->group = g;
    if (s->pending || !slot_needs(s, to, t->firing, t->firing_count, t->resolved, t->resolved_count,
                                  g->route->repeat_interval_ms, now_ms))
        return;
    if (am->pending_count >= am->options.max_pending) {
        am->counters.pending_limit++;
        if (am->limit_told_ms + LIMIT_TOLD_MS <= now_ms || am->limit_told_ms > now_ms) {
            am_say(am, true, "notifications_wait",
                   "%u notifications are on their way, which is the limit: the others wait",
                   am->pending_count);
            am->limit_told_ms = now_ms;
        }
        return;
    }
    if (!to->send_resolved && !t->firing_count) {
        slot_log(am, s, t->firing, 0, t->resolved, t->resolved_count,
                 now_ms + 2 * g->route->repeat_interval_ms, now_ms);
        return;
    }
    if (make_notification(am, g, to, s, t, now_ms, &err) != STATUS_OK) {
        am->counters.failed[to->kind]++;
        am_say(am, true, "notification_not_made", "receiver %.*s, %s %u, group %.*s: %s",
               STR_ARG(to->receiver->name), notify_kind_names[to->kind], to->index,
               STR_ARG(str_slice(g->group_key, 0, 200)), err.message);
    }
}

static void group_flush(alertmanager *am, group *g, int64_t now_ms)
{
    told t;
    const receiver *r = g->route->receiver;
    if (route_is_muted(g->route, now_ms)) {
        am->counters.suppressed_time += g->count;
    } else {
        if (collect(am, g, now_ms, true, &t) && t.count)
            for (uint32_t i = 0; i < r->count; i++)
                tell(am, g, &r->integrations[i], &t, now_ms);
        told_done(&t);
    }
    g->flushed = true;
    g->next_ms = now_ms + g->route->group_interval_ms;
    group_settle(am, g, now_ms);
}

/* A clock that was set back would else keep all that waits waiting for as long; one that was set
 * forward, or a machine that slept, would end alerts that nobody could give again meanwhile. */
void groups_follow_clock(alertmanager *am, int64_t now_ms)
{
    int64_t before = am->seen_ms, back = before - now_ms;
    am->seen_ms = now_ms;
    if (before && -back > CLOCK_AHEAD_MS) {
        am_say(am, true, "clock_set_forward", "the clock went on by %lld s at once",
               (long long)(-back / 1000));
        alerts_outlast(am, before, now_ms);
    }
    if (back < CLOCK_STEP_MS)
        return;
    for (map_slot *s = NULL; (s = map_next(&am->groups, s));)
        ((group *)(uintptr_t)s->value)->next_ms -= back;
    for (pending *p = am->first; p; p = p->next)
        p->next_ms -= back;
    am->swept_ms -= back;
}

int64_t groups_flush_due(alertmanager *am, int64_t now_ms)
{
    int64_t next = INT64_MAX;
    uint32_t n = 0;
    group **due = malloc((am->groups.count + 1) * sizeof(void *));
    if (!due)
        return now_ms + 1000;
    for (map_slot *s = NULL; (s = map_next(&am->groups, s));) {
        group *g = (group *)(uintptr_t)s->value;
        if (g->next_ms <= now_ms)
            due[n++] = g;
    }
    for (uint32_t i = 0; i < n; i++)
        group_flush(am, due[i], now_ms); /* drops no other group than its own */
    free(due);
    for (map_slot *s = NULL; (s = map_next(&am->groups, s));)
        next = MIN(next, ((group *)(uintptr_t)s->value)->next_ms);
    return next;
}

/* ---- another configuration ---- */

void groups_rebuild(alertmanager *am, int64_t now_ms)
{
    error err;
    map old = am->groups;
    map_init(&am->groups);
    for (map_slot *m = NULL; (m = map_next(&am->slots, m));)
        ((slot *)(uintptr_t)m->value)->group = NULL;
    for (map_slot *m = NULL; (m = map_next(&am->alerts, m));) {
        kept_alert *a = (kept_alert *)(uintptr_t)m->value;
        a->groups = a->routes = 0;
        if (groups_route(am, a, now_ms, &err) != STATUS_OK)
            am_say(am, true, "alert_not_routed", "%s", err.message);
    }
    for (map_slot *m = NULL; (m = map_next(&old, m));) {
        group *before = (group *)(uintptr_t)m->value;
        uint64_t *now = map_get(&am->groups, str_c(before->key));
        group *g = now ? (group *)(uintptr_t)*now : NULL;
        if (g && before->flushed) {
            g->flushed = true;
            g->next_ms = MIN(before->next_ms, now_ms + g->route->group_interval_ms);
        }
        group_free(before);
    }
    map_done(&old);
}

void groups_done(alertmanager *am)
{
    for (map_slot *s = NULL; (s = map_next(&am->groups, s));)
        group_free((group *)(uintptr_t)s->value);
    map_done(&am->groups);
}
