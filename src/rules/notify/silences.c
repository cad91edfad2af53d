// SPDX-License-Identifier: Apache-2.0
/* Silences: set, changed, expired, matched. A change that would alter what a silence has done
 * already (its matchers, its start) expires it and makes another. */
#include "rules/notify/state.h"

#include <stdlib.h>

enum { SILENCE_BYTES = 256 << 10, TEXT_MAX = 16 << 10 };
static const int64_t kept_after_ms = INT64_C(120) * 3600 * 1000; /* an expired one */

void uuid_make(char ret[KEY_SIZE])
{
    uint8_t b[16];
    char hex[32];
    (void)random_seed(b, sizeof(b));
    b[6] = (uint8_t)(0x40 | (b[6] & 0x0f)); /* version 4, variant of RFC 4122 */
    b[8] = (uint8_t)(0x80 | (b[8] & 0x3f));
    str_to_hex(b, sizeof(b), hex);
    static const unsigned ends[] = { 8, 12, 16, 20, 32 };
    unsigned from = 0, at = 0;
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        memcpy(ret + at, hex + from, ends[i] - from);
        at += ends[i] - from;
        from = ends[i];
        ret[at++] = i + 1 < ARRAY_LEN(ends) ? '-' : '\0';
    }
}

silence_state silence_state_at(const silence *s, int64_t now_ms)
{
    return now_ms < s->starts_ms ? SILENCE_PENDING
           : now_ms < s->ends_ms ? SILENCE_ACTIVE
                                 : SILENCE_EXPIRED;
}

/* ---- matching ---- */

static bool add_match(kept_alert *a, silence *s)
{
    if ((a->silence_count & (a->silence_count - 1)) == 0) {
        uint32_t capacity = a->silence_count ? a->silence_count * 2 : 1;
        silence **larger = realloc(a->silences, capacity * sizeof(void *));
        if (!larger)
            return false;
        a->silences = larger;
    }
    a->silences[a->silence_count++] = s;
    return true;
}

uint32_t silenced_by(alertmanager *am, kept_alert *a, int64_t now_ms, const silence **ret,
                     uint32_t max)
{
    uint32_t n = 0;
    if (a->silences_version != am->silences_version) {
        a->silence_count = a->silences_seen = 0;
        a->silences_version = am->silences_version;
    }
    for (; a->silences_seen < am->silence_count; a->silences_seen++) {
        silence *s = am->silences[a->silences_seen];
        if (silence_state_at(s, now_ms) != SILENCE_EXPIRED &&
            notify_matchers_take(&s->matchers, a->labels) && !add_match(a, s))
            break; /* found again the next time */
    }
    for (uint32_t i = 0; i < a->silence_count; i++)
        if (silence_state_at(a->silences[i], now_ms) == SILENCE_ACTIVE) {
            if (n < max)
                ret[n] = a->silences[i];
            n++;
        }
    return n;
}

/* ---- keeping ---- */

static silence *silence_find(alertmanager *am, str id)
{
    for (uint32_t i = 0; i < am->silence_count; i++)
        if (str_is(id, am->silences[i]->id))
            return am->silences[i];
    return NULL;
}

static void silence_free(silence *s)
{
    arena_done(&s->arena);
    free(s);
}

static silence *silence_new(void)
{
    silence *s = calloc(1, sizeof(*s));
    if (s)
        arena_init(&s->arena, SILENCE_BYTES);
    return s;
}

static status list_silence(alertmanager *am, silence *s, error *err)
{
    silence **larger = realloc(am->silences, (am->silence_count + 1u) * sizeof(void *));
    if (!larger)
        return fail(err, STATUS_NO_MEMORY, "no memory for a silence");
    am->silences = larger;
    am->silences[am->silence_count++] = s; /* alerts look at the new ones */
    return STATUS_OK;
}

static status store_silence(alertmanager *am, const silence *s, error *err)
{
    buf matchers;
    buf_init(&matchers, SILENCE_BYTES);
    notify_matchers_print(&matchers, &s->matchers);
    status st = buf_check(&matchers, err, "a silence");
    if (st == STATUS_OK)
        st = db_put_silence(am->db,
                            &(db_silence){ .id = str_c(s->id),
                                           .matchers = buf_view(&matchers),
                                           .starts_ms = s->starts_ms,
                                           .ends_ms = s->ends_ms,
                                           .updated_ms = s->updated_ms,
                                           .created_by = s->created_by,
                                           .comment = s->comment },
                            err);
    buf_done(&matchers);
    return st;
}

status silences_load(alertmanager *am, const db_silence *stored, error *err)
{
    silence *s = silence_new();
    if (!s)
        return fail(err, STATUS_NO_MEMORY, "no memory for a silence");
    str_copy_c(s->id, sizeof(s->id), stored->id);
    s->starts_ms = stored->starts_ms;
    s->ends_ms = stored->ends_ms;
    s->updated_ms = stored->updated_ms;
    s->created_by = arena_str(&s->arena, stored->created_by);
    s->comment = arena_str(&s->arena, stored->comment);
    status st = notify_matchers_parse(&s->arena, stored->matchers, &s->matchers, err);
    if (st == STATUS_OK)
        st = list_silence(am, s, err);
    if (st != STATUS_OK)
        silence_free(s);
    return st;
}

void silences_sweep(alertmanager *am, int64_t now_ms)
{
    uint32_t kept = 0;
    error err;
    for (uint32_t i = 0; i < am->silence_count; i++) {
        silence *s = am->silences[i];
        if (s->ends_ms + kept_after_ms > now_ms) {
            am->silences[kept++] = s;
            continue;
        }
        am_begin(am);
        if (db_delete_silence(am->db, str_c(s->id), &err) != STATUS_OK)
            am->counters.database_errors++;
        silence_free(s);
    }
    if (kept != am->silence_count)
        am->silences_version++; /* alerts forget the pointers before they use them */
    am->silence_count = kept;
}

void silences_done(alertmanager *am)
{
    for (uint32_t i = 0; i < am->silence_count; i++)
        silence_free(am->silences[i]);
    free(am->silences);
}

/* ---- the body of a request ---- */

static bool read_text(json_reader *r, str *ret)
{
    if (json_next(r) != JSON_STRING || r->text.len > TEXT_MAX)
        return json_refuse(r, "wants a text of at most 16 KiB");
    *ret = r->text;
    return true;
}

static bool read_time(json_reader *r, int64_t *ret)
{
    int64_t ns;
    if (json_next(r) != JSON_STRING || !clock_parse_rfc3339(r->text, &ns))
        return json_refuse(r, "wants a time as 2006-01-02T15:04:05Z");
    *ret = ns / NS_PER_MS;
    return true;
}

static bool read_flag(json_reader *r, bool *ret)
{
    if (json_next(r) != JSON_BOOL)
        return json_refuse(r, "wants true or false");
    *ret = r->boolean;
    return true;
}

static status read_matcher(json_reader *r, silence *s, error *err)
{
    str key, name = STR_EMPTY, value = STR_EMPTY;
    bool regex = false, equal = true, has_value = false;
    if (r->type != JSON_OBJECT)
        (void)json_refuse(r, "wants an object");
    while (json_next_key(r, &key)) {
        if (str_is(key, "name"))
            (void)read_text(r, &name);
        else if (str_is(key, "value"))
            has_value = read_text(r, &value);
        else if (str_is(key, "isRegex"))
            (void)read_flag(r, &regex);
        else if (str_is(key, "isEqual"))
            (void)read_flag(r, &equal);
        else
            (void)json_skip_next(r);
    }
    status st = json_fail_status(r, err, "matchers");
    if (st != STATUS_OK)
        return st;
    if (!name.len || !has_value)
        return fail(err, STATUS_INVALID, "a matcher wants name, value and isRegex");
    match_op op = regex ? (equal ? MATCH_RE : MATCH_NRE) : (equal ? MATCH_EQ : MATCH_NE);
    return notify_matchers_add(&s->arena, &s->matchers, name, op, value, err);
}

static status read_member(json_reader *r, str key, silence *s, str *id, error *err)
{
    static const struct {
        const char *name;
        size_t text; /* offset */
    } texts[] = { { "createdBy", offsetof(silence, created_by) },
                  { "comment", offsetof(silence, comment) } };
    static const struct {
        const char *name;
        size_t time;
    } times[] = { { "startsAt", offsetof(silence, starts_ms) },
                  { "endsAt", offsetof(silence, ends_ms) } };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (str_is(key, texts[i].name)) {
            (void)read_text(r, (str *)(void *)((char *)s + texts[i].text));
            return STATUS_OK;
        }
    for (size_t i = 0; i < ARRAY_LEN(times); i++)
        if (str_is(key, times[i].name)) {
            (void)read_time(r, (int64_t *)(void *)((char *)s + times[i].time));
            return STATUS_OK;
        }
    if (str_is(key, "matchers")) {
        status st = STATUS_OK;
        if (json_next(r) != JSON_ARRAY)
            (void)json_refuse(r, "wants a list");
        while (st == STATUS_OK && json_next_item(r))
            st = read_matcher(r, s, err);
        return st;
    }
    if (!str_is(key, "id"))
        (void)json_skip_next(r);
    else if (json_next(r) == JSON_STRING)
        *id = r->text;
    else if (r->type != JSON_NULL)
        (void)json_refuse(r, "wants a text");
    return STATUS_OK;
}

static status read_body(str body, arena *a, silence *s, str *id, error *err)
{
    json_reader r;
    str key;
    status st = STATUS_OK;
    *id = STR_EMPTY;
    json_read(&r, body, a, 8);
    if (json_next(&r) != JSON_OBJECT)
        (void)json_refuse(&r, "wants an object");
    while (st == STATUS_OK && json_next_key(&r, &key))
        st = read_member(&r, key, s, id, err);
    if (st == STATUS_OK)
        st = json_fail_status(&r, err, "the silence");
    if (st != STATUS_OK)
        return st;
    s->created_by = arena_str(&s->arena, s->created_by);
    s->comment = arena_str(&s->arena, s->comment);
    if (!s->created_by.ptr || !s->comment.ptr)
        return fail(err, STATUS_NO_MEMORY, "no memory for a silence");
    notify_matchers_sort(&s->matchers);
    return STATUS_OK;
}

static status check(const silence *s, int64_t now_ms, error *err)
{
    bool all_empty = true;
    if (!s->starts_ms || !s->ends_ms)
        return fail(err, STATUS_INVALID, "a silence wants startsAt and endsAt");
    if (s->starts_ms >= s->ends_ms)
        return fail(err, STATUS_INVALID,
                    "Failed to create silence: start time must be before end time");
    if (s->ends_ms < now_ms)
        return fail(err, STATUS_INVALID, "Failed to create silence: end time can't be in the past");
    if (!s->matchers.count)
        return fail(err, STATUS_INVALID, "invalid silence: at least one matcher required");
    for (uint32_t i = 0; i < s->matchers.count; i++)
        all_empty = all_empty && notify_matcher_takes(&s->matchers.items[i], STR_EMPTY);
    if (all_empty)
        return fail(err, STATUS_INVALID,
                    "invalid silence: at least one matcher must not match the empty string");
    return STATUS_OK;
}

/* ---- setting ---- */

static bool can_update(const silence *old, const silence *next, int64_t now_ms)
{
    if (!notify_matchers_equal(&old->matchers, &next->matchers))
        return false;
    switch (silence_state_at(old, now_ms)) {
    case SILENCE_ACTIVE:
        return next->starts_ms == old->starts_ms && next->ends_ms >= now_ms;
    case SILENCE_PENDING:
        return next->starts_ms >= now_ms;
    case SILENCE_EXPIRED:
        break;
    }
    return false;
}

static status expire(alertmanager *am, silence *s, int64_t now_ms, error *err)
{
    int64_t starts = s->starts_ms, ends = s->ends_ms, updated = s->updated_ms;
    if (silence_state_at(s, now_ms) == SILENCE_PENDING)
        s->starts_ms = now_ms;
    s->ends_ms = now_ms;
    s->updated_ms = now_ms;
    status st = store_silence(am, s, err);
    if (st != STATUS_OK) {
        s->starts_ms = starts;
        s->ends_ms = ends;
        s->updated_ms = updated;
    }
    return st;
}

/* `old` becomes what `next` says, with its id; `next` is what it was. */
static status replace(alertmanager *am, silence *old, silence *next, error *err)
{
    memcpy(next->id, old->id, sizeof(next->id));
    status st = store_silence(am, next, err);
    if (st == STATUS_OK) { /* the matchers are equal: alerts that it matches keep pointing to it */
        silence was = *old;
        *old = *next;
        *next = was;
    }
    return st;
}

static status add(alertmanager *am, silence *old, silence *s, int64_t now_ms, error *err)
{
    if (am->silence_count >= am->options.max_silences) {
        am->counters.silence_limit++;
        return fail(err, STATUS_LIMIT, "there are %u silences already, which is the limit",
                    am->options.max_silences);
    }
    status st = STATUS_OK;
    if (old && silence_state_at(old, now_ms) != SILENCE_EXPIRED)
        st = expire(am, old, now_ms, err);
    uuid_make(s->id);
    s->starts_ms = MAX(s->starts_ms, now_ms);
    if (st == STATUS_OK)
        st = store_silence(am, s, err);
    return st == STATUS_OK ? list_silence(am, s, err) : st;
}

static status set(alertmanager *am, silence *s, str id, error *err)
{
    int64_t now = am_now(am);
    silence *old = id.len ? silence_find(am, id) : NULL;
    status st = check(s, now, err);
    if (st == STATUS_OK && id.len && !old)
        st = fail(err, STATUS_NOT_FOUND, "silence %.*s not found", STR_ARG(str_slice(id, 0, 80)));
    if (st != STATUS_OK)
        return st;
    s->updated_ms = now;
    am_begin(am);
    st = old && can_update(old, s, now) ? replace(am, old, s, err) : add(am, old, s, now, err);
    status committed = am_commit(am, st == STATUS_OK ? err : NULL);
    return st == STATUS_OK ? committed : st;
}

static bool is_listed(const alertmanager *am, const silence *s)
{
    for (uint32_t i = am->silence_count; i-- > 0;)
        if (am->silences[i] == s)
            return true;
    return false;
}

status alertmanager_post_silence(alertmanager *am, str body, arena *a, str *ret_id, error *err)
{
    str id;
    silence *s = silence_new();
    if (!s)
        return fail(err, STATUS_NO_MEMORY, "no memory for a silence");
    status st = read_body(body, a, s, &id, err);
    pthread_mutex_lock(&am->lock);
    if (st == STATUS_OK)
        st = set(am, s, id, err);
    if (st == STATUS_OK)
        *ret_id = arena_str(a, str_c(s->id));
    if (!is_listed(am, s))
        silence_free(s);
    uint64_t number = atomic_load(&am->committed);
    pthread_mutex_unlock(&am->lock);
    return st == STATUS_OK ? am_durable(am, number, err) : st;
}

static status expire_alone(alertmanager *am, silence *s, int64_t now_ms, error *err)
{
    am_begin(am);
    status st = expire(am, s, now_ms, err);
    status committed = am_commit(am, st == STATUS_OK ? err : NULL);
    return st == STATUS_OK ? committed : st;
}

status alertmanager_expire_silence(alertmanager *am, str id, error *err)
{
    pthread_mutex_lock(&am->lock);
    int64_t now = am_now(am);
    silence *s = silence_find(am, id);
    status st = STATUS_OK;
    if (!s)
        st = fail(err, STATUS_NOT_FOUND, "silence %.*s not found", STR_ARG(str_slice(id, 0, 80)));
    else if (silence_state_at(s, now) == SILENCE_EXPIRED)
        st = fail(err, STATUS_EXISTS, "silence %s already expired", s->id);
    else
        st = expire_alone(am, s, now, err);
    uint64_t number = atomic_load(&am->committed);
    pthread_mutex_unlock(&am->lock);
    return st == STATUS_OK ? am_durable(am, number, err) : st;
}
