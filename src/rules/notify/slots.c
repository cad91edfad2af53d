// SPDX-License-Identifier: Apache-2.0
/* What each integration was told of each group (Alertmanager's notification log), and what it is
 * being told. There is at most one notification on its way for an integration and group, so that
 * they arrive in order; what changes meanwhile is told after it. */
#include "rules/notify/state.h"

#include <stdlib.h>

static const int64_t again_ms = 5000; /* what the database could not store */

/* ---- slots ---- */

static slot *slot_get(alertmanager *am, str text)
{
    uint64_t *known = map_get(&am->slots, text);
    if (known)
        return (slot *)(uintptr_t)*known;
    slot *s = calloc(1, sizeof(*s));
    if (s)
        s->text = malloc(text.len + 1);
    if (!s || !s->text) {
        free(s);
        return NULL;
    }
    str_copy_c(s->text, text.len + 1, text);
    if (!map_put(&am->slots, str_c(s->text), (uint64_t)(uintptr_t)s, NULL)) {
        free(s->text);
        free(s);
        return NULL;
    }
    return s;
}

static void pending_free(pending *p)
{
    free(p->firing);
    free(p->resolved);
    free(p);
}

static void slot_free(slot *s)
{
    if (s->pending)
        pending_free(s->pending);
    free(s->firing);
    free(s->resolved);
    free(s->text);
    free(s);
}

slot *slot_of(alertmanager *am, const integration *g, str group_key)
{
    buf text;
    buf_init(&text, MiB(1));
    buf_fmt(&text, "%.*s\n%s\n%u\n", STR_ARG(g->receiver->name), notify_kind_names[g->kind],
            g->index);
    buf_str(&text, group_key);
    slot *s = text.failed ? NULL : slot_get(am, buf_view(&text));
    buf_done(&text);
    return s;
}

integration *slot_integration(const config *c, const slot *s, str *ret_group_key)
{
    str rest, receiver_name = str_cut(str_c(s->text), '\n', &rest);
    str kind = str_cut(rest, '\n', &rest), index = str_cut(rest, '\n', ret_group_key);
    uint64_t number;
    for (uint32_t i = 0; i < c->receiver_count && str_to_u64(index, &number); i++) {
        const receiver *r = &c->receivers[i];
        for (uint32_t k = 0; str_eq(r->name, receiver_name) && k < r->count; k++)
            if (r->integrations[k].index == number &&
                str_is(kind, notify_kind_names[r->integrations[k].kind]))
                return &r->integrations[k];
    }
    return NULL;
}

/* ---- sets of fingerprints ---- */

static uint64_t *copy_set(const void *items, uint32_t count)
{
    uint64_t *copy = malloc(MAX(count, 1u) * sizeof(*copy));
    if (copy && count)
        memcpy(copy, items, count * sizeof(*copy));
    return copy;
}

static str set_bytes(const uint64_t *items, uint32_t count)
{
    return str_n(items, count * sizeof(*items));
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Both are sorted. */
static bool is_subset(const uint64_t *part, uint32_t part_count, const uint64_t *whole,
                      uint32_t whole_count)
{
    for (uint32_t i = 0; i < part_count; i++)
        if (!whole_count || !bsearch(&part[i], whole, whole_count, sizeof(*whole), compare_u64))
            return false;
    return true;
}

bool slot_needs(const slot *s, const integration *g, const uint64_t *firing, uint32_t firing_count,
                const uint64_t *resolved, uint32_t resolved_count, int64_t repeat_ms,
                int64_t now_ms)
{
    if (!s->time_ms || s->expires_ms <= now_ms)
        return firing_count > 0;
    if (!is_subset(firing, firing_count, s->firing, s->firing_count))
        return true;
    if (firing_count == 0)
        return s->firing_count > 0;
    if (g->send_resolved && !is_subset(resolved, resolved_count, s->resolved, s->resolved_count))
        return true;
    return s->time_ms < now_ms - repeat_ms;
}

/* ---- the log ---- */

static void set_log(slot *s, uint64_t *firing, uint32_t firing_count, uint64_t *resolved,
                    uint32_t resolved_count)
{
    free(s->firing);
    free(s->resolved);
    s->firing = firing;
    s->resolved = resolved;
    s->firing_count = firing ? firing_count : 0;
    s->resolved_count = resolved ? resolved_count : 0;
}

static void store_log(alertmanager *am, const slot *s)
{
    error err;
    am_begin(am);
    if (db_put_log(am->db,
                   &(db_log){ .slot = str_c(s->text),
                              .time_ms = s->time_ms,
                              .expires_ms = s->expires_ms,
                              .firing = set_bytes(s->firing, s->firing_count),
                              .resolved = set_bytes(s->resolved, s->resolved_count) },
                   &err) != STATUS_OK)
        am->counters.database_errors++;
}

void slot_log(alertmanager *am, slot *s, const uint64_t *firing, uint32_t firing_count,
              const uint64_t *resolved, uint32_t resolved_count, int64_t expires_ms, int64_t now_ms)
{
    set_log(s, copy_set(firing, firing_count), firing_count, copy_set(resolved, resolved_count),
            resolved_count);
    s->time_ms = now_ms;
    s->expires_ms = expires_ms;
    store_log(am, s);
}

void slot_forget(alertmanager *am, slot *s, uint64_t fingerprint)
{
    uint64_t *at = s->firing_count ? bsearch(&fingerprint, s->firing, s->firing_count,
                                             sizeof(fingerprint), compare_u64)
                                   : NULL;
    if (!at)
        return;
    s->firing_count--;
    memmove(at, at + 1, (size_t)(s->firing + s->firing_count - at) * sizeof(*at));
    store_log(am, s);
}

void slot_give_up(alertmanager *am, slot *s, const pending *p)
{
    uint64_t *resolved = s->time_ms ? copy_set(p->resolved, p->resolved_count) : NULL;
    if (!resolved)
        return;
    for (uint32_t i = 0; i < p->resolved_count; i++)
        slot_forget(am, s, p->resolved[i]);
    free(s->resolved);
    s->resolved = resolved;
    s->resolved_count = p->resolved_count;
    store_log(am, s);
}

status slots_load_log(alertmanager *am, const db_log *stored, error *err)
{
    slot *s = slot_get(am, stored->slot);
    uint32_t firing = (uint32_t)(stored->firing.len / 8);
    uint32_t resolved = (uint32_t)(stored->resolved.len / 8);
    if (!s)
        return fail(err, STATUS_NO_MEMORY, "no memory for the notification log");
    set_log(s, copy_set(stored->firing.ptr, firing), firing,
            copy_set(stored->resolved.ptr, resolved), resolved);
    s->time_ms = stored->time_ms;
    s->expires_ms = stored->expires_ms;
    return STATUS_OK;
}

/* ---- notifications on their way ---- */

static status enlist(alertmanager *am, slot *s, const db_pending *from, pending **ret, error *err)
{
    pending *p = calloc(1, sizeof(*p));
    if (!p)
        return fail(err, STATUS_NO_MEMORY, "no memory for a notification");
    p->firing_count = (uint32_t)(from->firing.len / 8);
    p->resolved_count = (uint32_t)(from->resolved.len / 8);
    p->firing = copy_set(from->firing.ptr, p->firing_count);
    p->resolved = copy_set(from->resolved.ptr, p->resolved_count);
    if (!p->firing || !p->resolved) {
        pending_free(p);
        return fail(err, STATUS_NO_MEMORY, "no memory for a notification");
    }
    p->id = from->id;
    p->created_ms = from->created_ms;
    p->log_expires_ms = from->log_expires_ms;
    str_copy_c(p->key, sizeof(p->key), from->key);
    p->slot = s;
    s->pending = p;
    p->before = am->last;
    if (am->last)
        am->last->next = p;
    else
        am->first = p;
    am->last = p;
    am->pending_count++;
    *ret = p;
    return STATUS_OK;
}

status slots_load_pending(alertmanager *am, const db_pending *stored, error *err)
{
    pending *p;
    slot *s = slot_get(am, stored->slot);
    status st = s ? enlist(am, s, stored, &p, err)
                  : fail(err, STATUS_NO_MEMORY, "no memory for a notification");
    if (st == STATUS_OK) {
        p->stored = true;
        p->commit = atomic_load(&am->committed);
    }
    return st;
}

status pending_add(alertmanager *am, slot *s, const db_pending *from, error *err)
{
    pending *p;
    if (am->pending_count >= am->options.max_pending) {
        am->counters.pending_limit++;
        return fail(err, STATUS_LIMIT, "%u notifications are on their way, which is the limit",
                    am->options.max_pending);
    }
    db_pending stored = *from;
    am_begin(am);
    status st = db_add_pending(am->db, from, &stored.id, err);
    if (st == STATUS_OK)
        st = enlist(am, s, &stored, &p, err);
    if (st == STATUS_OK) {
        p->stored = !am->in_transaction;
        p->commit = atomic_load(&am->committed) + 1; /* the one that is open */
    }
    return st;
}

static void unlist(alertmanager *am, pending *p)
{
    if (p->before)
        p->before->next = p->next;
    else
        am->first = p->next;
    if (p->next)
        p->next->before = p->before;
    else
        am->last = p->before;
    am->pending_count--;
    p->slot->pending = NULL;
}

/* Those that were begun last are the last ones. */
void pending_committed(alertmanager *am, bool stored)
{
    for (pending *p = am->last, *before; p && !p->stored; p = before) {
        group *g = p->slot->group;
        before = p->before;
        p->stored = stored;
        if (stored)
            continue;
        unlist(am, p);
        if (g)
            g->next_ms = MIN(g->next_ms, am_now(am) + again_ms);
        pending_free(p);
    }
}

void pending_done(alertmanager *am, pending *p, bool told, int64_t now_ms)
{
    error err;
    slot *s = p->slot;
    am_begin(am);
    if (db_delete_pending(am->db, p->id, &err) != STATUS_OK)
        am->counters.database_errors++;
    unlist(am, p);
    if (told) {
        set_log(s, p->firing, p->firing_count, p->resolved, p->resolved_count);
        s->time_ms = now_ms;
        s->expires_ms = MAX(p->log_expires_ms - p->created_ms + now_ms, p->log_expires_ms);
        p->firing = p->resolved = NULL;
        store_log(am, s);
    }
    pending_free(p);
}

void slots_sweep(alertmanager *am, int64_t now_ms)
{
    error err;
    size_t n = 0;
    slot **over = malloc((am->slots.count + 1) * sizeof(void *));
    for (map_slot *m = NULL; over && (m = map_next(&am->slots, m));) {
        slot *s = (slot *)(uintptr_t)m->value;
        if (!s->pending && !s->group && s->expires_ms <= now_ms)
            over[n++] = s;
    }
    for (size_t i = 0; i < n; i++) {
        slot *s = over[i];
        am_begin(am);
        if (s->time_ms && db_delete_log(am->db, str_c(s->text), &err) != STATUS_OK)
            am->counters.database_errors++;
        (void)map_remove(&am->slots, str_c(s->text));
        slot_free(s);
    }
    free(over);
}

void slots_done(alertmanager *am)
{
    for (map_slot *m = NULL; (m = map_next(&am->slots, m));)
        slot_free((slot *)(uintptr_t)m->value);
    map_done(&am->slots);
}
