// SPDX-License-Identifier: Apache-2.0
/* Alerts and their states: pending for a while, firing, kept firing, resolved and told for a
 * quarter of an hour; the series ALERTS and ALERTS_FOR_STATE; what is given to the sinks. */
#include "base/clock.h"
#include "base/map.h"
#include "rules/group_internal.h"

#include <stdio.h>
#include <stdlib.h>

enum { SENT_AT_ONCE = 256 };

/* ---- labels in one block of memory ---- */

/* A copy in one malloc'ed block, which is also *ret's memory; NULL without memory. */
static char *labels_block(labels from, labels *ret)
{
    size_t size = sizeof(label) * MAX(from.count, 1u);
    for (uint32_t i = 0; i < from.count; i++)
        size += from.items[i].name.len + from.items[i].value.len;
    char *block = malloc(size);
    if (!block)
        return NULL;
    label *items = (label *)block;
    char *at = block + sizeof(label) * MAX(from.count, 1u);
    for (uint32_t i = 0; i < from.count; i++) {
        str name = from.items[i].name, value = from.items[i].value;
        memcpy(at, name.ptr, name.len);
        items[i].name = str_n(at, name.len);
        at += name.len;
        if (value.len)
            memcpy(at, value.ptr, value.len);
        items[i].value = str_n(at, value.len);
        at += value.len;
    }
    *ret = (labels){ items, from.count };
    return block;
}

/* What tells one alert from another, as bytes in `a`; .ptr NULL: no memory. */
static str alert_key(arena *a, labels l)
{
    buf b;
    buf_init(&b, MiB(4));
    for (uint32_t i = 0; i < l.count; i++) {
        uint32_t sizes[2] = { (uint32_t)l.items[i].name.len, (uint32_t)l.items[i].value.len };
        buf_add(&b, sizes, sizeof(sizes));
        buf_str(&b, l.items[i].name);
        buf_str(&b, l.items[i].value);
    }
    str key = b.failed ? (str){ 0 } : arena_str(a, buf_view(&b));
    buf_done(&b);
    return key;
}

static void free_alert(active_alert *al)
{
    free(al->memory);
    free(al->annotation_memory);
    free(al);
}

void alerting_done(rule *r)
{
    for (uint32_t i = 0; i < r->active_count; i++)
        free_alert(r->active[i]);
    free(r->active);
    r->active = NULL;
    r->active_count = r->active_capacity = 0;
}

void alerting_move(rule *to, rule *from)
{
    alerting_done(to);
    to->active = from->active;
    to->active_count = from->active_count;
    to->active_capacity = from->active_capacity;
    from->active = NULL;
    from->active_count = from->active_capacity = 0;
}

alert_state alerting_state(const rule *r)
{
    alert_state highest = ALERT_INACTIVE;
    if (!r->last_evaluation_ns)
        return ALERT_UNKNOWN;
    for (uint32_t i = 0; i < r->active_count; i++)
        highest = MAX(highest, r->active[i]->state);
    return highest;
}

/* ---- what the result says ---- */

typedef struct {
    labels labels, annotations;
    double value;
} candidate;

typedef struct {
    rule_group *g;
    rule *r;
    int64_t time_ms;
    arena *a;
    error failure; /* of the first template that failed */
    bool failed;
    int64_t deadline_mono_ns;
} expansion;

static status run_query(void *user, str expression, arena *a, template_value *ret, error *err)
{
    const expansion *e = user;
    const promql_node *node;
    promql_result result;
    promql_options options = { .start_ms = e->time_ms,
                               .end_ms = e->time_ms,
                               .step_ms = 1,
                               .default_step_ms = e->g->options.interval_ms,
                               .features = e->g->options.features,
                               .control = &(query_control){ .deadline_mono_ns = e->deadline_mono_ns,
                                                            .canceled = e->g->canceled } };
    status st = promql_parse(&node, expression, options.features, a, err);
    if (st == STATUS_OK)
        st = promql_instant(e->g->options.store, node, expression, &options, a, &result, err);
    if (st == STATUS_OK && result.type != PROMQL_VECTOR && result.type != PROMQL_SCALAR)
        return fail(err, STATUS_INVALID, "rule result is not a vector or scalar");
    if (st == STATUS_OK && !template_vector(a, &result, ret))
        return fail(err, STATUS_LIMIT, "the result takes more memory than a template may use");
    return st;
}

static str expand(expansion *e, const rule_template *t, const template_alert *data)
{
    error err;
    buf out;
    if (t->literal)
        return t->text;
    template_context context = { .now_ms = e->time_ms,
                                 .external_url = e->g->options.external_url,
                                 .query = run_query,
                                 .user = e };
    buf_init(&out, MiB(4));
    if (template_expand_alert(t->set, data, &context, e->a, &out, &err) != STATUS_OK &&
        !e->failed) {
        e->failed = true;
        e->failure = err;
    }
    str text = arena_str(e->a, buf_view(&out));
    buf_done(&out);
    return text.ptr ? text : STR_EMPTY;
}

/* The result's labels without its name, the rule's over them, and the alert's name. */
static bool expand_labels(expansion *e, const template_alert *data, labels *ret)
{
    const rule *r = e->r;
    label *items = ARENA_ARRAY(e->a, label, (size_t)data->labels.count + r->labels.count + 1);
    uint32_t n = 0;
    if (!items)
        return false;
    for (uint32_t i = 0; i < data->labels.count; i++)
        if (!str_eq(data->labels.items[i].name, LABEL_NAME))
            items[n++] = data->labels.items[i];
    for (uint32_t i = 0; i < r->labels.count; i++)
        items[n++] = (label){ r->labels.items[i].name, expand(e, &r->label_templates[i], data) };
    items[n++] = (label){ STR("alertname"), r->name };
    *ret = labels_sort(items, n);
    return true;
}

static bool expand_annotations(expansion *e, const template_alert *data, labels *ret)
{
    const rule *r = e->r;
    label *items = ARENA_ARRAY(e->a, label, (size_t)r->annotations.count + 1);
    if (!items)
        return false;
    for (uint32_t i = 0; i < r->annotations.count; i++)
        items[i] =
            (label){ r->annotations.items[i].name, expand(e, &r->annotation_templates[i], data) };
    *ret = (labels){ items, r->annotations.count };
    return true;
}

static void tell_template(const expansion *e)
{
    rule *r = e->r;
    const rules_options *o = &e->g->options;
    if (e->failed && !r->template_told && o->say) {
        char text[1024];
        snprintf(text, sizeof(text), "group \"%.*s\", alert \"%.*s\": %s", STR_ARG(e->g->name),
                 STR_ARG(r->name), e->failure.message);
        o->say(o->user, true, "alert_template_failed", text);
    }
    r->template_told = e->failed;
}

static status no_memory(error *err)
{
    return fail(err, STATUS_LIMIT, "the alerts take more memory than an evaluation may use");
}

static status make_candidates(expansion *e, const promql_result *result, candidate **ret,
                              error *err)
{
    candidate *list = ARENA_ARRAY(e->a, candidate, (size_t)result->count + 1);
    if (!list)
        return no_memory(err);
    if (result->count > ACTIVE_ALERTS_MAX)
        return fail(err, STATUS_LIMIT, "%u alerts, a rule may have %d", result->count,
                    ACTIVE_ALERTS_MAX);
    for (uint32_t i = 0; i < result->count; i++) {
        const promql_series *s = &result->series[i];
        const histogram *h = s->histograms ? s->histograms[0] : NULL;
        template_alert data = { s->labels, e->g->external_labels, h ? 0 : s->value[0], h };
        list[i].value = data.value;
        if (!expand_labels(e, &data, &list[i].labels) ||
            !expand_annotations(e, &data, &list[i].annotations))
            return no_memory(err);
        if (rule_group_canceled(e->g))
            return fail(err, STATUS_CANCELED, "the rules are being stopped");
    }
    tell_template(e);
    *ret = list;
    return STATUS_OK;
}

/* ---- states ---- */

static bool add_active(rule *r, const candidate *c, int64_t time_ms)
{
    if (r->active_count == r->active_capacity) {
        uint32_t more = r->active_capacity ? r->active_capacity * 2 : 8;
        active_alert **grown = realloc(r->active, more * sizeof(active_alert *));
        if (!grown)
            return false;
        r->active = grown;
        r->active_capacity = more;
    }
    active_alert *al = calloc(1, sizeof(*al));
    if (!al)
        return false;
    al->memory = labels_block(c->labels, &al->labels);
    al->annotation_memory = labels_block(c->annotations, &al->annotations);
    if (!al->memory || !al->annotation_memory) {
        free_alert(al);
        return false;
    }
    al->active_ms = time_ms;
    al->state = ALERT_PENDING;
    al->value = c->value;
    al->seen = true;
    r->active[r->active_count++] = al;
    return true;
}

static bool update_active(active_alert *al, const candidate *c)
{
    al->seen = true;
    al->value = c->value;
    if (labels_eq(al->annotations, c->annotations))
        return true;
    labels copy;
    char *block = labels_block(c->annotations, &copy);
    if (!block)
        return false;
    free(al->annotation_memory);
    al->annotation_memory = block;
    al->annotations = copy;
    return true;
}

/* The keys of all candidates; STATUS_INVALID when two are the same. */
static status make_keys(const candidate *list, uint32_t count, arena *a, str **ret, error *err)
{
    map given;
    status st = STATUS_OK;
    str *keys = ARENA_ARRAY(a, str, (size_t)count + 1);
    if (!keys)
        return no_memory(err);
    map_init(&given);
    for (uint32_t i = 0; i < count && st == STATUS_OK; i++) {
        bool is_new = false;
        keys[i] = alert_key(a, list[i].labels);
        if (!keys[i].ptr || !map_put(&given, keys[i], i, &is_new))
            st = no_memory(err);
        else if (!is_new)
            st = fail(err, STATUS_INVALID,
                      "vector contains metrics with the same labelset after applying alert labels");
    }
    map_done(&given);
    *ret = keys;
    return st;
}

/* An alert that was resolved and is active again is another one, in its place. */
static bool place(rule *r, uint64_t *found, const candidate *c, int64_t time_ms)
{
    active_alert *known = found ? r->active[*found] : NULL;
    if (known && known->state != ALERT_INACTIVE)
        return update_active(known, c);
    if (!add_active(r, c, time_ms))
        return false;
    if (known) {
        r->active[*found] = r->active[--r->active_count];
        free_alert(known);
    }
    return true;
}

/* Finds each candidate among the alerts that there are. */
static status merge(rule *r, const candidate *list, const str *keys, uint32_t count,
                    int64_t time_ms, arena *a, error *err)
{
    map known;
    status st = STATUS_OK;
    map_init(&known);
    for (uint32_t i = 0; i < r->active_count && st == STATUS_OK; i++) {
        str key = alert_key(a, r->active[i]->labels);
        r->active[i]->seen = false;
        if (!key.ptr || !map_put(&known, key, i, NULL))
            st = no_memory(err);
    }
    for (uint32_t i = 0; i < count && st == STATUS_OK; i++)
        if (!place(r, map_get(&known, keys[i]), &list[i], time_ms))
            st = no_memory(err);
    map_done(&known);
    return st;
}

/* An alert whose condition is over. False: it is to be forgotten. */
static bool step_ended(const rule *r, active_alert *al, int64_t time_ms, bool *ret_active)
{
    bool kept = false;
    if (al->state == ALERT_FIRING && r->keep_firing_for_ms > 0) {
        if (!al->keep_firing_since_ms)
            al->keep_firing_since_ms = time_ms;
        kept = time_ms - al->keep_firing_since_ms < r->keep_firing_for_ms;
    }
    *ret_active = kept;
    if (al->state == ALERT_PENDING ||
        (al->resolved_ms && time_ms - al->resolved_ms > RESOLVED_KEPT_MS))
        return false;
    if (al->state != ALERT_INACTIVE && !kept) {
        al->state = ALERT_INACTIVE;
        al->resolved_ms = time_ms;
    }
    return true;
}

/* One whose condition holds, or that keep_firing_for keeps. */
static void step_active(const rule *r, active_alert *al, int64_t time_ms)
{
    if (al->active_ms > time_ms) /* the clock was set back */
        al->active_ms = time_ms - (al->state == ALERT_FIRING ? r->for_ms : 0);
    int64_t held = time_ms - al->active_ms;
    if (al->state == ALERT_PENDING && held >= r->for_ms) {
        al->state = ALERT_FIRING;
        al->fired_ms = time_ms;
    } else if (al->state == ALERT_FIRING && held < r->for_ms) { /* `for` is longer now */
        al->state = ALERT_PENDING;
        al->fired_ms = al->sent_ms = al->keep_firing_since_ms = 0;
    }
}

/* The labels of ALERTS and ALERTS_FOR_STATE: the rule's (as written, where the alert has none of
 * that name) and the alert's. state NULL: none. */
static bool state_labels(arena *a, const rule *r, const active_alert *al, str metric,
                         const char *state, labels *ret)
{
    label *items = ARENA_ARRAY(a, label, (size_t)r->labels.count + al->labels.count + 3);
    uint32_t n = 0;
    if (!items)
        return false;
    for (uint32_t i = 0; i < r->labels.count; i++)
        items[n++] = r->labels.items[i];
    for (uint32_t i = 0; i < al->labels.count; i++)
        items[n++] = al->labels.items[i];
    items[n++] = (label){ LABEL_NAME, metric };
    items[n++] = (label){ STR("alertname"), r->name };
    if (state)
        items[n++] = (label){ STR("alertstate"), str_c(state) };
    *ret = labels_sort(items, n);
    return true;
}

static bool add_state(arena *a, const rule *r, const active_alert *al, rule_samples *ret)
{
    labels alerts, for_state;
    int64_t since = al->active_ms / 1000; /* seconds */
    return state_labels(a, r, al, STR("ALERTS"), alert_state_name(al->state), &alerts) &&
           state_labels(a, r, al, STR("ALERTS_FOR_STATE"), NULL, &for_state) &&
           rule_samples_add(a, ret, (rule_sample){ .labels = alerts, .value = 1 }) &&
           rule_samples_add(a, ret, (rule_sample){ .labels = for_state, .value = (double)since });
}

static status step_all(rule_group *g, rule *r, int64_t time_ms, arena *a, rule_samples *ret,
                       error *err)
{
    uint32_t active = 0, kept = 0;
    status st = STATUS_OK;
    for (uint32_t i = 0; i < r->active_count; i++) {
        active_alert *al = r->active[i];
        bool counts = true;
        if (al->seen)
            al->keep_firing_since_ms = 0;
        else if (!step_ended(r, al, time_ms, &counts)) {
            free_alert(al);
            continue;
        }
        r->active[kept++] = al;
        if (!counts)
            continue;
        active++;
        step_active(r, al, time_ms);
        if (r->restored && st == STATUS_OK && !add_state(a, r, al, ret))
            st = no_memory(err);
    }
    r->active_count = kept;
    if (st == STATUS_OK && g->limit > 0 && active > g->limit) {
        alerting_done(r);
        st = fail(err, STATUS_LIMIT, "exceeded limit of %lld with %u alerts", (long long)g->limit,
                  active);
    }
    return st;
}

status alerting_update(rule_group *g, rule *r, int64_t time_ms, const promql_result *result,
                       arena *a, rule_samples *ret, error *err)
{
    candidate *list = NULL;
    expansion e = { .g = g, .r = r, .time_ms = time_ms, .a = a };
    e.deadline_mono_ns = clock_mono_ns() + (int64_t)RULE_EVALUATION_MS * NS_PER_MS;
    str *keys = NULL;
    status st = make_candidates(&e, result, &list, err);
    if (st == STATUS_OK)
        st = make_keys(list, result->count, a, &keys, err);
    if (st != STATUS_OK)
        return st;
    pthread_mutex_lock(&g->lock);
    st = merge(r, list, keys, result->count, time_ms, a, err);
    if (st == STATUS_OK)
        st = step_all(g, r, time_ms, a, ret, err);
    pthread_mutex_unlock(&g->lock);
    return st;
}

/* ---- to the sinks ---- */

static bool is_due(const active_alert *al, int64_t time_ms, int64_t resend_ms)
{
    if (al->state == ALERT_PENDING)
        return false;
    return al->resolved_ms > al->sent_ms || al->sent_ms + resend_ms < time_ms ||
           al->sent_ms > time_ms; /* the clock was set back */
}

static void put_escaped(buf *out, str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '_' || c == '.' || c == '~';
        if (plain)
            buf_char(out, (char)c);
        else if (c == ' ')
            buf_char(out, '+');
        else
            buf_fmt(out, "%%%02X", c);
    }
}

static str generator_url(arena *a, const rule_group *g, const rule *r)
{
    buf b;
    buf_init(&b, MiB(1));
    buf_str(&b, g->options.external_url);
    buf_lit(&b, "/graph?g0.expr=");
    put_escaped(&b, r->query);
    buf_lit(&b, "&g0.tab=1");
    str url = b.failed ? STR_EMPTY : arena_str(a, buf_view(&b));
    buf_done(&b);
    return url.ptr ? url : STR_EMPTY;
}

/* The alert's labels, and external ones of names that it does not have. */
static bool sent_labels(arena *a, labels own, labels external, labels *ret)
{
    label *items = ARENA_ARRAY(a, label, (size_t)own.count + external.count + 1);
    uint32_t n = 0;
    if (!items)
        return false;
    for (uint32_t i = 0; i < external.count; i++)
        items[n++] = external.items[i];
    for (uint32_t i = 0; i < own.count; i++)
        items[n++] = own.items[i];
    *ret = labels_sort(items, n);
    return true;
}

typedef struct {
    alert *alerts;
    int64_t *former; /* sent_ms of before, for when the sink refuses */
    active_alert **active;
    uint32_t count;
} sending;

static bool collect(rule_group *g, rule *r, int64_t time_ms, arena *a, sending *s)
{
    int64_t resend = g->options.resend_delay_ms ? g->options.resend_delay_ms : 60000;
    str url = generator_url(a, g, r);
    for (uint32_t i = 0; i < r->active_count; i++) {
        active_alert *al = r->active[i];
        labels l;
        if (!is_due(al, time_ms, resend))
            continue;
        if (!sent_labels(a, al->labels, g->external_labels, &l))
            return false;
        s->former[s->count] = al->sent_ms;
        s->active[s->count] = al;
        al->sent_ms = time_ms;
        al->valid_until_ms = time_ms + 4 * MAX(g->interval_ms, resend);
        s->alerts[s->count++] = (alert){
            .labels = l.items,
            .label_count = l.count,
            .annotations = al->annotations.items,
            .annotation_count = al->annotations.count,
            .starts_ms = al->fired_ms,
            .ends_ms = al->resolved_ms ? al->resolved_ms : al->valid_until_ms,
            .generator_url = url,
        };
    }
    return true;
}

static bool put_all(rule_group *g, const sending *s, error *err)
{
    bool good = true;
    for (size_t i = 0; i < RULES_SINKS_MAX && g->options.sinks[i]; i++) {
        const alert_sink *sink = g->options.sinks[i];
        for (uint32_t at = 0; at < s->count; at += SENT_AT_ONCE)
            good &= sink->put(sink->user, s->alerts + at,
                              MIN(s->count - at, (uint32_t)SENT_AT_ONCE), err) == STATUS_OK;
    }
    return good;
}

void alerting_send(rule_group *g, rule *r, int64_t time_ms, arena *a)
{
    error err;
    if (!r->active_count || !g->options.sinks[0])
        return;
    sending s = { .alerts = ARENA_ARRAY(a, alert, r->active_count),
                  .former = ARENA_ARRAY(a, int64_t, r->active_count),
                  .active = ARENA_ARRAY(a, active_alert *, r->active_count) };
    if (!s.alerts || !s.former || !s.active)
        return; /* they are due with the next evaluation as well */
    pthread_mutex_lock(&g->lock);
    (void)collect(g, r, time_ms, a, &s);
    pthread_mutex_unlock(&g->lock);
    /* Only this thread changes annotations, so that they stay valid without the lock. */
    bool good = s.count == 0 || put_all(g, &s, &err);
    if (g->meters)
        atomic_fetch_add(good ? &g->meters->alerts_sent : &g->meters->alerts_dropped, s.count);
    if (good)
        return;
    pthread_mutex_lock(&g->lock);
    for (uint32_t i = 0; i < s.count; i++)
        s.active[i]->sent_ms = s.former[i];
    pthread_mutex_unlock(&g->lock);
    if (g->options.say)
        g->options.say(g->options.user, true, "alerts_not_taken", err.message);
}
