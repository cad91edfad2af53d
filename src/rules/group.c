// SPDX-License-Identifier: Apache-2.0
/* A running group: made of its definition, evaluated, shown. See group.h. */
#include "base/clock.h"
#include "rules/group_internal.h"

#include <stdio.h>
#include <stdlib.h>

enum { EVALUATION_BYTES = 256 << 20 };

const char *alert_state_name(alert_state s)
{
    static const char *const names[] = { "unknown", "inactive", "pending", "firing" };
    return names[s];
}

void rule_meter_add(rule_meter *m, int64_t ns)
{
    atomic_fetch_add(&m->count, 1);
    atomic_fetch_add(&m->sum_ns, (uint64_t)MAX(ns, 0));
}

/* ---- making one ---- */

static status no_memory(error *err)
{
    return fail(err, STATUS_NO_MEMORY, "no memory for a group of rules");
}

static status make_templates(rule_group *g, const rule *r, labels from, rule_template **ret,
                             error *err)
{
    rule_template *list = ARENA_ARRAY(&g->memory, rule_template, (size_t)from.count + 1);
    status st = list ? STATUS_OK : no_memory(err);
    for (uint32_t i = 0; i < from.count && st == STATUS_OK; i++) {
        const label *l = &from.items[i];
        list[i] = (rule_template){ .name = l->name, .text = l->value };
        list[i].literal = !str_contains(l->value, STR("{{"));
        if (!list[i].literal)
            st = template_parse_alert(&list[i].set, &g->memory, r->name, l->value, err);
    }
    *ret = list;
    return st;
}

static status make_expression(rule_group *g, rule *r, error *err)
{
    buf text;
    r->query = r->text;
    if (g->language == RULE_LOGQL)
        return logql_parse(&r->logql, r->text, &g->memory, err);
    status st = promql_parse(&r->promql, r->text, g->options.features, &g->memory, err);
    if (st != STATUS_OK)
        return st;
    buf_init(&text, MiB(1));
    promql_print(&text, r->promql);
    if (!text.failed)
        r->query = arena_str(&g->memory, buf_view(&text));
    buf_done(&text);
    return r->query.ptr ? STATUS_OK : no_memory(err);
}

static status make_rule(rule_group *g, const rule_group_definition *d, uint32_t i, bool restored,
                        error *err)
{
    labels joined;
    const rule_definition *from = &d->rules[i];
    rule *r = &g->rules[i];
    r->alerting = from->alert.len > 0;
    r->name = arena_str(&g->memory, r->alerting ? from->alert : from->record);
    r->text = arena_str(&g->memory, from->expr);
    r->for_ms = from->for_ms;
    r->keep_firing_for_ms = from->keep_firing_for_ms;
    r->health = "unknown";
    r->restored = restored;
    if (!r->name.ptr || !r->text.ptr || !rule_labels(&g->memory, d, from, &joined) ||
        !rule_labels_copy(&g->memory, joined, &r->labels) ||
        !rule_labels_copy(&g->memory, from->annotations, &r->annotations))
        return no_memory(err);
    status st = make_expression(g, r, err);
    if (st != STATUS_OK || !r->alerting)
        return st;
    st = make_templates(g, r, r->labels, &r->label_templates, err);
    if (st == STATUS_OK)
        st = make_templates(g, r, r->annotations, &r->annotation_templates, err);
    return st;
}

/* The group as YAML and what it takes from the options: two of the same are the same group. */
static bool make_fingerprint(rule_group *g, const rule_group_definition *d)
{
    buf b;
    buf_init(&b, GROUP_BYTES_MAX);
    rule_group_print(&b, d, false);
    buf_fmt(&b, "# %lld %lld %lld %u ", (long long)g->interval_ms, (long long)g->query_offset_ms,
            (long long)g->options.resend_delay_ms, g->options.features);
    labels_print(&b, g->external_labels);
    buf_str(&b, g->options.external_url);
    g->fingerprint = b.failed ? (str){ 0 } : arena_str(&g->memory, buf_view(&b));
    buf_done(&b);
    return g->fingerprint.ptr != NULL;
}

static bool copy_options(rule_group *g, const rules_options *o)
{
    labels external;
    label *items = ARENA_ARRAY(&g->memory, label, (size_t)o->external_label_count + 1);
    g->options = *o;
    g->options.external_url = arena_str(&g->memory, o->external_url);
    if (!items || !g->options.external_url.ptr)
        return false;
    for (uint32_t i = 0; i < o->external_label_count; i++)
        items[i] = o->external_labels[i];
    external = labels_sort(items, o->external_label_count);
    return rule_labels_copy(&g->memory, external, &g->external_labels);
}

status rule_group_new(rule_group **ret, const rules_options *options, const char *path,
                      const rule_group_definition *d, bool restored, error *err)
{
    rule_group *g = calloc(1, sizeof(*g));
    if (!g)
        return no_memory(err);
    arena_init(&g->memory, GROUP_BYTES_MAX);
    arena_init(&g->stale_memory, GROUP_BYTES_MAX);
    pthread_mutex_init(&g->lock, NULL);
    int64_t interval = options->interval_ms ? options->interval_ms : 60000;
    g->name = arena_str(&g->memory, d->name);
    g->file = arena_str(&g->memory, str_c(path));
    g->language = d->language;
    g->interval_ms = d->interval_ms ? d->interval_ms : interval;
    g->query_offset_ms = d->has_query_offset ? d->query_offset_ms : options->query_offset_ms;
    g->limit = d->limit;
    g->rules = ARENA_ARRAY(&g->memory, rule, (size_t)d->rule_count + 1);
    status st = STATUS_OK;
    if (!g->name.ptr || !g->file.ptr || !g->rules || !copy_options(g, options) ||
        !make_fingerprint(g, d))
        st = no_memory(err);
    for (uint32_t i = 0; i < d->rule_count && st == STATUS_OK; i++, g->rule_count++)
        st = make_rule(g, d, i, restored, err);
    if (st == STATUS_OK && !rule_group_depend(g))
        st = no_memory(err);
    if (st == STATUS_OK)
        *ret = g;
    else
        rule_group_free(g);
    return st;
}

void rule_group_free(rule_group *g)
{
    if (!g)
        return;
    for (uint32_t i = 0; i < g->rule_count; i++) {
        rule *r = &g->rules[i];
        alerting_done(r);
        rule_series_done(&r->written);
        free(r->last_error);
    }
    pthread_mutex_destroy(&g->lock);
    arena_done(&g->stale_memory);
    arena_done(&g->memory);
    free(g);
}

int64_t rule_group_interval_ms(const rule_group *g)
{
    return g->interval_ms;
}

/* ---- evaluation ---- */

status rule_query(rule_group *g, const rule *r, int64_t time_ms, arena *a, promql_result *ret,
                  error *err)
{
    query_control control = { .deadline_mono_ns =
                                  clock_mono_ns() + (int64_t)RULE_EVALUATION_MS * NS_PER_MS,
                              .canceled = g->canceled };
    int64_t at = time_ms - g->query_offset_ms;
    promql_options options = { .start_ms = at,
                               .end_ms = at,
                               .step_ms = 1,
                               .default_step_ms = g->options.interval_ms,
                               .features = g->options.features,
                               .control = &control };
    store *s = g->options.store;
    status st = g->language == RULE_LOGQL
                    ? logql_instant(s, &r->logql, r->text, &options, a, ret, err)
                    : promql_instant(s, r->promql, r->text, &options, a, ret, err);
    if (st == STATUS_OK && ret->type != PROMQL_VECTOR && ret->type != PROMQL_SCALAR)
        st = fail(err, STATUS_INVALID, "rule result is not a vector or scalar");
    return st;
}

status rule_record(rule_group *g, const rule *r, const promql_result *result, arena *a,
                   rule_samples *ret, error *err)
{
    for (uint32_t i = 0; i < result->count; i++) {
        const promql_series *s = &result->series[i];
        label *items = ARENA_ARRAY(a, label, (size_t)s->labels.count + r->labels.count + 1);
        uint32_t n = 0;
        if (!items)
            return fail(err, STATUS_LIMIT, "the result takes more memory than it may");
        for (uint32_t j = 0; j < s->labels.count; j++)
            if (!str_eq(s->labels.items[j].name, LABEL_NAME))
                items[n++] = s->labels.items[j];
        for (uint32_t j = 0; j < r->labels.count; j++)
            items[n++] = r->labels.items[j];
        items[n++] = (label){ LABEL_NAME, r->name };
        rule_sample sample = { .labels = labels_sort(items, n),
                               .value = s->value[0],
                               .histogram = s->histograms ? s->histograms[0] : NULL };
        if (!rule_samples_add(a, ret, sample))
            return fail(err, STATUS_LIMIT, "the result takes more memory than it may");
    }
    if (!rule_samples_sort(ret))
        return fail(err, STATUS_INVALID,
                    "vector contains metrics with the same labelset after applying rule labels");
    if (g->limit > 0 && ret->count > g->limit)
        return fail(err, STATUS_LIMIT, "exceeded limit of %lld with %u series", (long long)g->limit,
                    ret->count);
    return STATUS_OK;
}

static void set_result(rule_group *g, rule *r, const rule_outcome *o)
{
    pthread_mutex_lock(&g->lock);
    free(r->last_error);
    r->last_error = o->st == STATUS_OK ? NULL : strdup(o->err.message);
    r->health = o->st == STATUS_OK ? "ok" : "err";
    r->evaluation_ns = o->took_ns;
    r->last_evaluation_ns = o->began_ns;
    g->evaluations++;
    g->failures += o->st != STATUS_OK;
    pthread_mutex_unlock(&g->lock);
}

static void tell_failure(rule_group *g, const rule *r, const error *err)
{
    char text[1024];
    if (!g->options.say)
        return;
    snprintf(text, sizeof(text), "group \"%.*s\" of %.*s, rule \"%.*s\": %s", STR_ARG(g->name),
             STR_ARG(g->file), STR_ARG(r->name), err->message);
    g->options.say(g->options.user, true, "rule_failed", text);
}

void rule_set_outcome(rule_group *g, rule *r, const rule_outcome *o)
{
    if (o->st == STATUS_CANCELED && rule_group_canceled(g))
        return;                               /* it is being stopped: nothing is wrong with it */
    if (o->st != STATUS_OK && !r->last_error) /* only this thread writes it */
        tell_failure(g, r, &o->err);
    set_result(g, r, o);
    g->eval_samples += o->st == STATUS_OK ? o->samples : 0;
    g->eval_rules_ns += o->took_ns;
    if (g->meters)
        rule_meter_add(&g->meters->evaluation, o->took_ns);
}

static void eval_rule(rule_group *g, rule *r, int64_t time_ms, arena *a, held_rules *held)
{
    promql_result result;
    rule_samples samples = { 0 };
    rule_outcome o = { .began_ns = clock_now_ns() };
    int64_t mono = clock_mono_ns();
    arena_clear(a);
    status st = rule_query(g, r, time_ms, a, &result, &o.err);
    if (st == STATUS_OK)
        st = r->alerting ? alerting_update(g, r, time_ms, &result, a, &samples, &o.err)
                         : rule_record(g, r, &result, a, &samples, &o.err);
    if (st == STATUS_OK && r->alerting) {
        alerting_send(g, r, time_ms, a);
        if (!rule_samples_sort(&samples))
            st = fail(&o.err, STATUS_INVALID,
                      "two alerts have the same labels once ALERTS has those of the rule");
    }
    if (st == STATUS_OK)
        st = rule_hold(held, g, r, &samples, time_ms - g->query_offset_ms, &o.err);
    o.st = st;
    o.took_ns = clock_mono_ns() - mono;
    o.samples = samples.count;
    if (st == STATUS_OK)
        rule_hold_outcome(held, &o);
    else
        rule_set_outcome(g, r, &o);
}

/* Series of rules that the file does not have any more. */
static void end_stale(rule_group *g, int64_t time_ms, arena *a)
{
    rule_samples list = { 0 };
    error err;
    bool ok = true;
    if (!g->stale_count)
        return;
    arena_clear(a);
    for (uint32_t i = 0; ok && i < g->stale_count; i++)
        if (!rule_is_given(g, NULL, g->stale[i], time_ms))
            ok = rule_samples_add(a, &list, (rule_sample){ .labels = g->stale[i], .stale = true });
    if (ok && rule_write(g->options.store, &list, time_ms, &err) == STATUS_OK) {
        g->stale_count = 0;
        g->stale = NULL;
        arena_done(&g->stale_memory);
        arena_init(&g->stale_memory, GROUP_BYTES_MAX);
    }
}

static void eval_rules(rule_group *g, int64_t time_ms, arena *a, held_rules *held)
{
    int64_t at = time_ms - g->query_offset_ms;
    for (uint32_t i = 0; i < g->rule_count && !rule_group_canceled(g); i++) {
        if (rule_held_is_due(g, held, &g->rules[i]))
            rule_held_write(held, g, at);
        eval_rule(g, &g->rules[i], time_ms, a, held);
    }
    rule_held_write(held, g, at);
    if (!rule_group_canceled(g))
        end_stale(g, at, a);
}

static void fail_all(rule_group *g)
{
    rule_outcome o = { .began_ns = clock_now_ns() };
    o.st = no_memory(&o.err);
    for (uint32_t i = 0; i < g->rule_count; i++)
        rule_set_outcome(g, &g->rules[i], &o);
}

void rule_group_eval(rule_group *g, int64_t time_ms, const _Atomic int *canceled)
{
    arena a;
    int64_t began = clock_now_ns(), mono = clock_mono_ns();
    held_rules *held = rule_held_new();
    arena_init(&a, g->options.query_memory ? g->options.query_memory : EVALUATION_BYTES);
    g->canceled = canceled;
    g->eval_samples = 0;
    g->eval_rules_ns = 0;
    if (held)
        eval_rules(g, time_ms, &a, held);
    else
        fail_all(g);
    rule_held_free(held);
    arena_done(&a);
    int64_t took = clock_mono_ns() - mono;
    pthread_mutex_lock(&g->lock);
    g->last_samples = g->eval_samples;
    g->rule_duration_ns = g->eval_rules_ns;
    g->evaluation_ns = took;
    g->last_evaluation_ns = began;
    pthread_mutex_unlock(&g->lock);
    if (g->meters)
        rule_meter_add(&g->meters->iteration, took);
}

/* ---- a changed group ---- */

static bool keep_stale(rule_group *to, const labels *items, uint32_t count)
{
    labels *grown = arena_grow(&to->stale_memory, to->stale, to->stale_count * sizeof(labels),
                               ((size_t)to->stale_count + count) * sizeof(labels));
    if (count == 0)
        return true;
    if (!grown)
        return false;
    to->stale = grown;
    for (uint32_t i = 0; i < count; i++)
        if (rule_labels_copy(&to->stale_memory, items[i], &to->stale[to->stale_count]))
            to->stale_count++;
        else
            return false;
    return true;
}

/* Rules are the same by name and labels; of doubles the first is the first. */
bool rule_group_take_over(rule_group *to, rule_group *from)
{
    bool ok = keep_stale(to, from->stale, from->stale_count);
    bool *taken = calloc((size_t)from->rule_count + 1, sizeof(bool));
    if (!taken)
        return false;
    for (uint32_t i = 0; i < to->rule_count; i++) {
        rule *r = &to->rules[i];
        uint32_t j = 0;
        while (j < from->rule_count && (taken[j] || !str_eq(from->rules[j].name, r->name) ||
                                        from->rules[j].alerting != r->alerting ||
                                        !labels_eq(from->rules[j].labels, r->labels)))
            j++;
        if (j == from->rule_count)
            continue;
        taken[j] = true;
        r->written = from->rules[j].written;
        from->rules[j].written = (rule_series){ 0 };
        r->restored |= from->rules[j].restored;
        alerting_move(r, &from->rules[j]);
    }
    for (uint32_t j = 0; j < from->rule_count; j++)
        if (!taken[j])
            ok &= keep_stale(to, from->rules[j].written.items, from->rules[j].written.count);
    free(taken);
    to->evaluations = from->evaluations;
    to->failures = from->failures;
    to->iterations = from->iterations;
    to->missed = from->missed;
    to->caught_up = from->caught_up;
    to->evaluation_ns = from->evaluation_ns;
    to->last_evaluation_ns = from->last_evaluation_ns;
    return ok;
}

/* ---- views ---- */

static bool view_alerts(const rule *r, arena *a, rule_view *ret)
{
    alert_view *list = ARENA_ARRAY(a, alert_view, (size_t)r->active_count + 1);
    uint32_t n = 0;
    if (!list)
        return false;
    for (uint32_t i = 0; i < r->active_count; i++) {
        const active_alert *al = r->active[i];
        if (al->resolved_ms)
            continue;
        list[n] = (alert_view){ .state = al->state,
                                .value = al->value,
                                .active_ms = al->active_ms,
                                .keep_firing_since_ms = al->keep_firing_since_ms };
        if (!rule_labels_copy(a, al->labels, &list[n].labels) ||
            !rule_labels_copy(a, al->annotations, &list[n].annotations))
            return false;
        n++;
    }
    ret->alerts = list;
    ret->alert_count = n;
    return true;
}

static bool view_rule(const rule *r, bool with_alerts, arena *a, rule_view *ret)
{
    *ret = (rule_view){
        .alerting = r->alerting,
        .name = arena_str(a, r->name),
        .query = arena_str(a, r->query),
        .for_ms = r->for_ms,
        .keep_firing_for_ms = r->keep_firing_for_ms,
        .state = alerting_state(r),
        .health = r->health,
        .last_error = arena_str(a, str_c(r->last_error)),
        .evaluation_ns = r->evaluation_ns,
        .last_evaluation_ns = r->last_evaluation_ns,
    };
    return ret->name.ptr && ret->query.ptr && ret->last_error.ptr &&
           rule_labels_copy(a, r->labels, &ret->labels) &&
           rule_labels_copy(a, r->annotations, &ret->annotations) &&
           (!with_alerts || view_alerts(r, a, ret));
}

status rule_group_view(rule_group *g, bool with_alerts, arena *a, group_view *ret, error *err)
{
    rule_view *list = ARENA_ARRAY(a, rule_view, (size_t)g->rule_count + 1);
    bool ok = list != NULL;
    pthread_mutex_lock(&g->lock);
    for (uint32_t i = 0; ok && i < g->rule_count; i++)
        ok = view_rule(&g->rules[i], with_alerts, a, &list[i]);
    *ret = (group_view){
        .name = arena_str(a, g->name),
        .file = arena_str(a, g->file),
        .interval_ms = g->interval_ms,
        .limit = g->limit,
        .evaluation_ns = g->evaluation_ns,
        .last_evaluation_ns = g->last_evaluation_ns,
        .rules = list,
        .rule_count = g->rule_count,
        .evaluations = g->evaluations,
        .failures = g->failures,
        .iterations = g->iterations,
        .missed = g->missed,
        .caught_up = g->caught_up,
        .last_samples = g->last_samples,
        .rule_duration_ns = g->rule_duration_ns,
        .restore_ns = g->restore_ns,
    };
    pthread_mutex_unlock(&g->lock);
    return ok && ret->name.ptr && ret->file.ptr
               ? STATUS_OK
               : fail(err, STATUS_LIMIT, "the list of rules takes more than %zu bytes", a->limit);
}
