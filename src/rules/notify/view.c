// SPDX-License-Identifier: Apache-2.0
/* What the alertmanager shows and takes through its API (v2), in the shapes of Alertmanager's
 * OpenAPI: alerts, groups, silences, receivers, status. */
#include "rules/notify/state.h"

#include <stdio.h>
#include <stdlib.h>

enum { SHOWN_SILENCES = 64, POSTED_MAX = 10000, FILTER_BYTES = 4 << 20 };

/* ---- filters ---- */

typedef struct {
    const alertmanager_filter *asked;
    arena arena;
    notify_matchers matchers;
    regex *receiver;
    int64_t now_ms;
} view_filter;

static status filter_init(view_filter *f, const alertmanager_filter *asked, int64_t now_ms,
                          error *err)
{
    *f = (view_filter){ .asked = asked, .now_ms = now_ms };
    arena_init(&f->arena, FILTER_BYTES);
    status st = STATUS_OK;
    for (uint32_t i = 0; i < asked->filter_count && st == STATUS_OK; i++)
        st = notify_matchers_parse(&f->arena, asked->filters[i], &f->matchers, err);
    if (st == STATUS_OK && asked->receiver.len)
        st = regex_compile(&f->receiver, asked->receiver, REGEX_WHOLE, &f->arena, err);
    if (st != STATUS_OK)
        arena_done(&f->arena);
    return st;
}

static bool takes_receiver(const view_filter *f, const receiver *r)
{
    bool found = true;
    error err;
    return !f->receiver || (regex_match(f->receiver, r->name, &found, &err) == STATUS_OK && found);
}

/* ---- one alert ---- */

static void put_time(json_writer *w, const char *name, int64_t time_ms)
{
    buf text;
    buf_init(&text, 64);
    clock_format_rfc3339(&text, time_ms * NS_PER_MS, 3);
    json_key(w, str_c(name));
    json_str(w, buf_view(&text));
    buf_done(&text);
}

static void put_fingerprint(json_writer *w, uint64_t fingerprint)
{
    char text[17];
    snprintf(text, sizeof(text), "%016llx", (unsigned long long)fingerprint);
    json_str(w, str_c(text));
}

/* What mutes an alert now. */
typedef struct {
    const kept_alert *source; /* that inhibits it */
    const silence *silences[SHOWN_SILENCES];
    uint32_t count;
    const route *muted; /* by its time intervals; NULL: none */
} muting;

static void find_muting(alertmanager *am, kept_alert *a, int64_t now_ms, muting *ret)
{
    ret->muted = NULL;
    ret->source = inhibited_by(am, a->labels, now_ms);
    ret->count =
        MIN(silenced_by(am, a, now_ms, ret->silences, SHOWN_SILENCES), (uint32_t)SHOWN_SILENCES);
}

static void put_status(json_writer *w, const muting *m, int64_t now_ms)
{
    json_key(w, STR("status"));
    json_begin_object(w);
    json_key(w, STR("inhibitedBy"));
    json_begin_array(w);
    if (m->source)
        put_fingerprint(w, m->source->fingerprint);
    json_end_array(w);
    json_key(w, STR("mutedBy"));
    json_begin_array(w);
    if (m->muted)
        route_write_muting(m->muted, now_ms, w);
    json_end_array(w);
    json_key(w, STR("silencedBy"));
    json_begin_array(w);
    for (uint32_t i = 0; i < m->count; i++)
        json_str(w, str_c(m->silences[i]->id));
    json_end_array(w);
    JSON_PUT(w, str, "state",
             m->source || m->count || m->muted ? STR("suppressed") : STR("active"));
    json_end_object(w);
}

typedef struct {
    json_writer *w;
    const view_filter *filter;
    bool any; /* receiver that is wanted */
} receiver_writer;

static bool note_receiver(void *user, const route *r)
{
    receiver_writer *v = user;
    v->any = v->any || takes_receiver(v->filter, r->receiver);
    return true;
}

static bool put_receiver(void *user, const route *r)
{
    receiver_writer *v = user;
    json_begin_object(v->w);
    JSON_PUT(v->w, str, "name", r->receiver->name);
    json_end_object(v->w);
    return true;
}

static void put_alert(alertmanager *am, json_writer *w, kept_alert *a, const muting *m,
                      const receiver *only, const view_filter *f)
{
    receiver_writer v = { w, f, false };
    json_begin_object(w);
    json_key(w, STR("annotations"));
    labels_to_json(w, a->annotations);
    put_time(w, "endsAt", a->ends_ms);
    json_key(w, STR("fingerprint"));
    put_fingerprint(w, a->fingerprint);
    json_key(w, STR("receivers"));
    json_begin_array(w);
    if (only)
        put_receiver(&v, &(route){ .receiver = (receiver *)only });
    else
        routes_match(&am->config->root, a->labels, put_receiver, &v);
    json_end_array(w);
    put_time(w, "startsAt", a->starts_ms);
    put_status(w, m, f->now_ms);
    put_time(w, "updatedAt", a->updated_ms);
    if (a->generator.len)
        JSON_PUT(w, str, "generatorURL", a->generator);
    json_key(w, STR("labels"));
    labels_to_json(w, a->labels);
    json_end_object(w);
}

/* Ended ones are not shown. */
static bool takes_alert(alertmanager *am, const view_filter *f, kept_alert *a, muting *m)
{
    const alertmanager_filter *asked = f->asked;
    if (is_resolved(a, f->now_ms) || !notify_matchers_take(&f->matchers, a->labels))
        return false;
    find_muting(am, a, f->now_ms, m);
    if (!m->source && !m->count)
        return asked->active;
    return (asked->silenced || !m->count) && (asked->inhibited || !m->source);
}

static int by_fingerprint(const void *a, const void *b)
{
    uint64_t x = (*(kept_alert *const *)a)->fingerprint;
    uint64_t y = (*(kept_alert *const *)b)->fingerprint;
    return x < y ? -1 : x > y;
}

static void write_alerts(alertmanager *am, const view_filter *f, json_writer *w)
{
    kept_alert **list = malloc((am->alerts.count + 1) * sizeof(void *));
    size_t n = 0;
    for (map_slot *s = NULL; list && (s = map_next(&am->alerts, s));)
        list[n++] = (kept_alert *)(uintptr_t)s->value;
    if (n)
        qsort(list, n, sizeof(void *), by_fingerprint);
    json_begin_array(w);
    for (size_t i = 0; i < n && !w->out->failed; i++) {
        muting m;
        receiver_writer v = { w, f, !f->receiver };
        if (!v.any)
            routes_match(&am->config->root, list[i]->labels, note_receiver, &v);
        if (v.any && takes_alert(am, f, list[i], &m))
            put_alert(am, w, list[i], &m, NULL, f);
    }
    json_end_array(w);
    free(list);
}

/* Begins, writes under the lock, and says whether all found place. */
typedef void view_writer(alertmanager *am, const view_filter *f, json_writer *w);

static status write_filtered(alertmanager *am, const alertmanager_filter *filter, json_writer *w,
                             view_writer *write, error *err)
{
    view_filter f;
    pthread_mutex_lock(&am->lock);
    status st = filter_init(&f, filter, am_now(am), err);
    if (st == STATUS_OK) {
        write(am, &f, w);
        arena_done(&f.arena);
        st = buf_check(w->out, err, "the answer");
    }
    pthread_mutex_unlock(&am->lock);
    return st;
}

status alertmanager_write_alerts(alertmanager *am, const alertmanager_filter *filter,
                                 json_writer *w, error *err)
{
    return write_filtered(am, filter, w, write_alerts, err);
}

/* ---- groups ---- */

static int by_labels(const void *a, const void *b)
{
    const group *x = *(group *const *)a, *y = *(group *const *)b;
    int c = labels_cmp(x->labels, y->labels);
    return c ? c : str_cmp(x->route->receiver->name, y->route->receiver->name);
}

static void write_group(alertmanager *am, const view_filter *f, const group *g, json_writer *w)
{
    bool begun = false, by_time = route_is_muted(g->route, f->now_ms);
    kept_alert **list =
        by_time && !f->asked->muted ? NULL : malloc((g->count + 1) * sizeof(void *));
    if (!list)
        return;
    memcpy(list, g->alerts, g->count * sizeof(void *));
    qsort(list, g->count, sizeof(void *), by_fingerprint);
    for (uint32_t i = 0; i < g->count && !w->out->failed; i++) {
        muting m;
        if (!takes_alert(am, f, list[i], &m))
            continue;
        m.muted = by_time ? g->route : NULL;
        if (!begun) {
            json_begin_object(w);
            json_key(w, STR("alerts"));
            json_begin_array(w);
        }
        begun = true;
        put_alert(am, w, list[i], &m, g->route->receiver, f);
    }
    free(list);
    if (!begun)
        return;
    json_end_array(w);
    json_key(w, STR("labels"));
    labels_to_json(w, g->labels);
    json_key(w, STR("receiver"));
    json_begin_object(w);
    JSON_PUT(w, str, "name", g->route->receiver->name);
    json_end_object(w);
    json_end_object(w);
}

static void write_groups(alertmanager *am, const view_filter *f, json_writer *w)
{
    group **list = malloc((am->groups.count + 1) * sizeof(void *));
    size_t n = 0;
    for (map_slot *s = NULL; list && (s = map_next(&am->groups, s));) {
        group *g = (group *)(uintptr_t)s->value;
        if (takes_receiver(f, g->route->receiver))
            list[n++] = g;
    }
    if (n)
        qsort(list, n, sizeof(void *), by_labels);
    json_begin_array(w);
    for (size_t i = 0; i < n && !w->out->failed; i++)
        write_group(am, f, list[i], w);
    json_end_array(w);
    free(list);
}

status alertmanager_write_groups(alertmanager *am, const alertmanager_filter *filter,
                                 json_writer *w, error *err)
{
    return write_filtered(am, filter, w, write_groups, err);
}

/* ---- silences ---- */

static const char *const state_names[] = {
    [SILENCE_PENDING] = "pending", [SILENCE_ACTIVE] = "active", [SILENCE_EXPIRED] = "expired"
};

static void put_matchers(json_writer *w, const notify_matchers *list)
{
    json_key(w, STR("matchers"));
    json_begin_array(w);
    for (uint32_t i = 0; i < list->count; i++) {
        const notify_matcher *m = &list->items[i];
        json_begin_object(w);
        JSON_PUT(w, bool, "isEqual", m->op == MATCH_EQ || m->op == MATCH_RE);
        JSON_PUT(w, bool, "isRegex", m->re != NULL);
        JSON_PUT(w, str, "name", m->name);
        JSON_PUT(w, str, "value", m->value);
        json_end_object(w);
    }
    json_end_array(w);
}

static void put_silence(json_writer *w, const silence *s, int64_t now_ms)
{
    json_begin_object(w);
    JSON_PUT(w, str, "id", str_c(s->id));
    json_key(w, STR("status"));
    json_begin_object(w);
    JSON_PUT(w, str, "state", str_c(state_names[silence_state_at(s, now_ms)]));
    json_end_object(w);
    put_time(w, "updatedAt", s->updated_ms);
    JSON_PUT(w, str, "comment", s->comment);
    JSON_PUT(w, str, "createdBy", s->created_by);
    put_time(w, "endsAt", s->ends_ms);
    put_matchers(w, &s->matchers);
    put_time(w, "startsAt", s->starts_ms);
    json_end_object(w);
}

/* The filter's matchers look at the values of the silence's own. */
static bool takes_silence(const view_filter *f, const silence *s)
{
    for (uint32_t i = 0; i < f->matchers.count; i++) {
        const notify_matcher *m = &f->matchers.items[i];
        str value = STR_EMPTY;
        for (uint32_t k = 0; k < s->matchers.count; k++)
            if (str_eq(s->matchers.items[k].name, m->name))
                value = s->matchers.items[k].value;
        if (!notify_matcher_takes(m, value))
            return false;
    }
    return true;
}

/* Active ones by their end, then those to come by their start, then ended ones, newest first. */
static int compare_silences(const silence *x, const silence *y, int64_t now_ms)
{
    static const int order[] = {
        [SILENCE_ACTIVE] = 0, [SILENCE_PENDING] = 1, [SILENCE_EXPIRED] = 2
    };
    silence_state a = silence_state_at(x, now_ms), b = silence_state_at(y, now_ms);
    if (a != b)
        return order[a] - order[b];
    int64_t left = a == SILENCE_PENDING ? x->starts_ms : x->ends_ms;
    int64_t right = a == SILENCE_PENDING ? y->starts_ms : y->ends_ms;
    int c = left < right ? -1 : left > right;
    return a == SILENCE_EXPIRED ? -c : c;
}

static int order_silences(const void *a, const void *b, void *now)
{
    return compare_silences(*(const silence *const *)a, *(const silence *const *)b,
                            *(int64_t *)now);
}

static void write_silences(alertmanager *am, const view_filter *f, json_writer *w)
{
    silence **list = malloc((am->silence_count + 1u) * sizeof(void *));
    uint32_t n = 0;
    int64_t now = f->now_ms;
    for (uint32_t i = 0; list && i < am->silence_count; i++)
        if (takes_silence(f, am->silences[i]))
            list[n++] = am->silences[i];
    if (n)
        qsort_r(list, n, sizeof(void *), order_silences, &now);
    json_begin_array(w);
    for (uint32_t i = 0; i < n && !w->out->failed; i++)
        put_silence(w, list[i], now);
    json_end_array(w);
    free(list);
}

status alertmanager_write_silences(alertmanager *am, const alertmanager_filter *filter,
                                   json_writer *w, error *err)
{
    return write_filtered(am, filter, w, write_silences, err);
}

status alertmanager_write_silence(alertmanager *am, str id, json_writer *w, error *err)
{
    status st = STATUS_NOT_FOUND;
    pthread_mutex_lock(&am->lock);
    for (uint32_t i = 0; i < am->silence_count; i++)
        if (str_is(id, am->silences[i]->id)) {
            put_silence(w, am->silences[i], am_now(am));
            st = STATUS_OK;
        }
    pthread_mutex_unlock(&am->lock);
    return st == STATUS_OK ? st
                           : fail(err, st, "silence %.*s not found", STR_ARG(str_slice(id, 0, 80)));
}

/* ---- the rest ---- */

void alertmanager_write_receivers(alertmanager *am, json_writer *w)
{
    pthread_mutex_lock(&am->lock);
    json_begin_array(w);
    for (uint32_t i = 0; i < am->config->receiver_count; i++)
        put_receiver(&(receiver_writer){ .w = w },
                     &(route){ .receiver = &am->config->receivers[i] });
    json_end_array(w);
    pthread_mutex_unlock(&am->lock);
}

/* One server is no cluster. */
void alertmanager_write_status(alertmanager *am, json_writer *w)
{
    static const struct {
        const char *name, *value;
    } version[] = { { "branch", "" },    { "buildDate", "" }, { "buildUser", "sonde" },
                    { "goVersion", "" }, { "revision", "" },  { "version", SONDE_VERSION } };
    pthread_mutex_lock(&am->lock);
    json_begin_object(w);
    json_key(w, STR("cluster"));
    json_begin_object(w);
    JSON_PUT(w, str, "name", STR("sonde"));
    json_key(w, STR("peers"));
    json_begin_array(w);
    json_end_array(w);
    JSON_PUT(w, str, "status", STR("disabled"));
    json_end_object(w);
    json_key(w, STR("config"));
    json_begin_object(w);
    JSON_PUT(w, str, "original", am->config->original);
    json_end_object(w);
    put_time(w, "uptime", am->started_ms);
    json_key(w, STR("versionInfo"));
    json_begin_object(w);
    for (size_t i = 0; i < ARRAY_LEN(version); i++) {
        json_key(w, str_c(version[i].name));
        json_str(w, str_c(version[i].value));
    }
    json_end_object(w);
    json_end_object(w);
    pthread_mutex_unlock(&am->lock);
}

/* ---- alerts that are posted ---- */

static bool read_time(json_reader *r, int64_t *ret)
{
    int64_t ns;
    if (json_next(r) == JSON_NULL ||
        (r->type == JSON_STRING && (!r->text.len || str_starts(r->text, STR("0001-01-01")))))
        return true; /* Go's zero time: not said */
    if (r->type != JSON_STRING || !clock_parse_rfc3339(r->text, &ns))
        return json_refuse(r, "wants a time as 2006-01-02T15:04:05Z");
    *ret = ns / NS_PER_MS;
    return true;
}

/* Labels without a value are not there. */
static bool read_labels(json_reader *r, arena *a, const label **ret, uint32_t *ret_count)
{
    str name;
    uint32_t n = 0;
    label *items = ARENA_ARRAY(a, label, ALERT_LABELS_MAX + 1);
    if (json_next(r) == JSON_NULL)
        return true;
    if (!items || r->type != JSON_OBJECT)
        return json_refuse(r, items ? "wants an object" : "the request is too large");
    while (json_next_key(r, &name)) {
        if (json_next(r) != JSON_STRING)
            return json_refuse(r, "wants a text");
        if (n > ALERT_LABELS_MAX)
            return json_refuse(r, "too many labels");
        items[n++] = (label){ name, r->text };
    }
    *ret = items;
    *ret_count = labels_sort(items, n).count;
    return true;
}

static void read_alert(json_reader *r, arena *a, alert *to)
{
    str key;
    if (r->type != JSON_OBJECT) {
        (void)json_refuse(r, "wants an object");
        return;
    }
    while (json_next_key(r, &key)) {
        if (str_is(key, "labels"))
            (void)read_labels(r, a, &to->labels, &to->label_count);
        else if (str_is(key, "annotations"))
            (void)read_labels(r, a, &to->annotations, &to->annotation_count);
        else if (str_is(key, "startsAt"))
            (void)read_time(r, &to->starts_ms);
        else if (str_is(key, "endsAt"))
            (void)read_time(r, &to->ends_ms);
        else if (!str_is(key, "generatorURL"))
            (void)json_skip_next(r);
        else if (json_next(r) == JSON_STRING)
            to->generator_url = r->text;
        else if (r->type != JSON_NULL)
            (void)json_refuse(r, "wants a text");
    }
}

status alertmanager_post_alerts(alertmanager *am, str body, arena *a, error *err)
{
    json_reader r;
    alert *items = NULL;
    uint32_t count = 0, capacity = 0;
    json_read(&r, body, a, 8);
    if (json_next(&r) != JSON_ARRAY)
        (void)json_refuse(&r, "wants a list of alerts");
    while (json_next_item(&r)) {
        if (count == capacity) {
            uint32_t more = capacity ? capacity * 2 : 16;
            items = arena_grow(a, items, capacity * sizeof(*items), more * sizeof(*items));
            capacity = more;
        }
        if (!items || count == POSTED_MAX)
            return fail(err, STATUS_LIMIT, "more than %d alerts in one request", POSTED_MAX);
        items[count] = (alert){ .generator_url = STR_EMPTY };
        read_alert(&r, a, &items[count++]);
    }
    status st = json_fail_status(&r, err, "alerts");
    return st == STATUS_OK ? am->sink.put(am->sink.user, items, count, err) : st;
}
