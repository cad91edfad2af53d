// SPDX-License-Identifier: Apache-2.0
/* Rules and notification; see serve_rules.h. */
#include "cmd/serve_rules.h"

#include "pipeline/receivers/prometheus_settings.h"

#include <sonde/sonde.h>
#include <stdio.h>
#include <stdlib.h>

static void say(void *user, bool warning, const char *event, const char *text)
{
    (void)user;
    if (warning)
        sonde_warn("component_warning", sonde_kv("component_event", event),
                   sonde_kv("component", "rules"), sonde_kv("detail", text));
    else
        sonde_info("component_news", sonde_kv("component_event", event),
                   sonde_kv("component", "rules"), sonde_kv("detail", text));
}

/* ---- from settings to options ---- */

/* By the port of the web UI; an address of all machines is told as the loopback one. */
static void own_url(serve_rules *s, const serve_rules_options *o)
{
    const server_settings *web = o->web;
    char host[256];
    size_t colon = web->endpoint.len;
    while (colon > 0 && web->endpoint.ptr[colon - 1] != ':')
        colon--;
    str_copy_c(host, sizeof(host), str_n(web->endpoint.ptr, colon ? colon - 1 : 0));
    bool all = !*host || str_is(str_c(host), "0.0.0.0") || str_is(str_c(host), "[::]");
    str port = str_slice(web->endpoint, colon, web->endpoint.len);
    char bound[16];
    snprintf(bound, sizeof(bound), "%u", o->port);
    if (o->port)
        port = str_c(bound);
    snprintf(s->url, sizeof(s->url), "%s://%s:%.*s", web->has_tls ? "https" : "http",
             all ? "127.0.0.1" : host, STR_ARG(port));
}

static str external_url(const serve_rules *s, const sonde_rules_settings *from)
{
    str url = from->external_url.len ? from->external_url : str_c(s->url);
    while (str_ends(url, STR("/")))
        url.len--;
    return url;
}

/* *labels: memory of the external ones, to be freed. */
static status make_options(const serve_rules *s, const serve_rules_options *o, label **labels,
                           rules_options *ret, error *err)
{
    const sonde_rules_settings *from = o->settings;
    label *items = calloc((size_t)from->external_labels.count + 1, sizeof(*items));
    if (!items)
        return fail(err, STATUS_NO_MEMORY, "no memory for the settings of rules");
    for (uint32_t i = 0; i < from->external_labels.count; i++)
        items[i] =
            (label){ from->external_labels.items[i].name, from->external_labels.items[i].value };
    *labels = items;
    *ret = (rules_options){
        .store = o->store,
        .paths = from->rule_files.items,
        .path_count = from->rule_files.count,
        .interval_ms = from->evaluation_interval / NS_PER_MS,
        .query_offset_ms = from->query_offset / NS_PER_MS,
        .resend_delay_ms = from->resend_delay / NS_PER_MS,
        .outage_tolerance_ms = from->outage_tolerance / NS_PER_MS,
        .grace_period_ms = from->grace_period ? from->grace_period / NS_PER_MS : -1,
        .catch_up_ms = from->catch_up / NS_PER_MS,
        .catch_up_delay_ms = from->catch_up_delay / NS_PER_MS,
        .external_labels = items,
        .external_label_count = from->external_labels.count,
        .external_url = external_url(s, from),
        .threads = (uint32_t)from->threads,
        .features = o->features,
        .say = say,
    };
    return STATUS_OK;
}

/* ---- who is told ---- */

static const char *config_path(const sonde_rules_settings *from)
{
    return from->alertmanager_config.len ? from->alertmanager_config.ptr : NULL;
}

static const char *url_text(const serve_rules *s, const sonde_rules_settings *from, buf *text)
{
    buf_init(text, KiB(64));
    buf_str(text, external_url(s, from));
    buf_char(text, '\0');
    return text->failed ? s->url : text->ptr;
}

static status open_alertmanager(serve_rules *s, const serve_rules_options *o, error *err)
{
    buf text;
    const char *url = url_text(s, o->settings, &text);
    alertmanager_options options = {
        .data = o->data, .config = config_path(o->settings), .external_url = url, .say = say
    };
    status st = alertmanager_open(&s->alertmanager, &options, err);
    buf_done(&text);
    return st;
}

typedef struct {
    alert_forwarder_target targets[ALERT_FORWARDER_TARGETS_MAX];
    uint32_t count;
    arena memory; /* of URLs */
} target_list;

static status add_target(target_list *l, const sonde_alertmanager_settings *from, str url,
                         error *err)
{
    if (l->count == ALERT_FORWARDER_TARGETS_MAX)
        return fail(err, STATUS_LIMIT, "sonde_rules: more than %d alertmanagers",
                    ALERT_FORWARDER_TARGETS_MAX);
    if (!url.ptr)
        return fail(err, STATUS_NO_MEMORY, "no memory for an Alertmanager");
    l->targets[l->count++] = (alert_forwarder_target){ url, from->http, from->timeout };
    return STATUS_OK;
}

static status add_targets(target_list *l, const sonde_alertmanager_settings *from, error *err)
{
    const static_settings *groups = from->static_configs.items;
    str prefix = from->path_prefix;
    status st = from->url.len ? add_target(l, from, from->url, err) : STATUS_OK;
    while (str_starts(prefix, STR("/")))
        prefix = str_slice(prefix, 1, prefix.len);
    for (uint32_t i = 0; i < from->static_configs.count; i++)
        for (uint32_t k = 0; st == STATUS_OK && k < groups[i].targets.count; k++)
            st = add_target(l, from,
                            arena_fmt(&l->memory, "%s://%.*s/%.*s",
                                      sonde_alertmanager_schemes[from->scheme],
                                      STR_ARG(groups[i].targets.items[k]), STR_ARG(prefix)),
                            err);
    return st;
}

/* The memory is the caller's to give back, also on failure. */
static status list_targets(target_list *l, const sonde_rules_settings *from, error *err)
{
    const sonde_alertmanager_settings *items = from->alertmanagers.items;
    status st = STATUS_OK;
    l->count = 0;
    arena_init(&l->memory, MiB(1));
    for (uint32_t i = 0; i < from->alertmanagers.count && st == STATUS_OK; i++)
        st = add_targets(l, &items[i], err);
    return st;
}

static uint64_t hash_addresses(const target_list *l)
{
    uint64_t hash = l->count;
    for (uint32_t i = 0; i < l->count; i++)
        hash = hash * 31 + str_hash(l->targets[i].url);
    return hash;
}

static status open_forwarder(serve_rules *s, const sonde_rules_settings *from, error *err)
{
    target_list list;
    status st = list_targets(&list, from, err);
    s->addresses = hash_addresses(&list);
    alert_forwarder_options options = { .targets = list.targets,
                                        .target_count = list.count,
                                        .say = say };
    if (st == STATUS_OK && list.count)
        st = alert_forwarder_new(&s->forwarder, &options, err);
    arena_done(&list.memory);
    return st;
}

static status open_sinks(serve_rules *s, const serve_rules_options *o, error *err)
{
    status st = open_alertmanager(s, o, err);
    if (st == STATUS_OK)
        st = open_forwarder(s, o->settings, err);
    return st == STATUS_OK
               ? alert_relabel_new(&s->relabel, &o->settings->alert_relabel_configs, err)
               : st;
}

/* ---- life ---- */

status serve_rules_open(serve_rules *s, const serve_rules_options *o, error *err)
{
    rules_options options;
    label *labels = NULL;
    if (!o->settings)
        return STATUS_OK;
    s->settings = o->settings;
    own_url(s, o);
    status st = open_sinks(s, o, err);
    if (st == STATUS_OK)
        st = make_options(s, o, &labels, &options, err);
    if (st == STATUS_OK) {
        const alert_sink *away = s->forwarder ? alert_forwarder_sink(s->forwarder) : NULL;
        options.sinks[0] = alert_relabel_sink(s->relabel, alertmanager_sink(s->alertmanager));
        options.sinks[1] = alert_relabel_sink(s->relabel, away);
    }
    if (st == STATUS_OK)
        st = rules_new(&s->rules, &options, err);
    free(labels);
    return st == STATUS_OK ? rules_load(s->rules, err) : st;
}

/* Of rules and links, as the settings are now. */
static status use_settings(serve_rules *s, const serve_rules_options *o, error *err)
{
    buf text;
    rules_options options;
    label *labels = NULL;
    own_url(s, o);
    alertmanager_set_external_url(s->alertmanager, url_text(s, o->settings, &text));
    buf_done(&text);
    status st = make_options(s, o, &labels, &options, err);
    if (st == STATUS_OK)
        st = rules_reload(s->rules, &options, err);
    free(labels);
    return st;
}

status serve_rules_bound(serve_rules *s, const serve_rules_options *o, error *err)
{
    bool open = str_ends(str_c(s->url), STR(":0"));
    if (!s->rules || !open || !o->port || o->settings->external_url.len)
        return STATUS_OK;
    return use_settings(s, o, err);
}

status serve_rules_start(serve_rules *s, error *err)
{
    if (!s->rules)
        return STATUS_OK;
    status st = alertmanager_start(s->alertmanager, err);
    return st == STATUS_OK ? rules_start(s->rules, err) : st;
}

static void tell_load(status st, const error *err)
{
    if (st == STATUS_OK)
        sonde_info("rules_loaded");
    else
        sonde_error("rules_refused", sonde_kv("detail", (const char *)err->message),
                    sonde_kv("outcome", "the former rules stay"));
}

static void reload_alertmanager(serve_rules *s)
{
    error err;
    if (alertmanager_reload(s->alertmanager, config_path(s->settings), &err) == STATUS_OK)
        sonde_info("alertmanager_reloaded");
    else
        sonde_error("alertmanager_refused", sonde_kv("detail", (const char *)err.message),
                    sonde_kv("outcome", "the former configuration stays"));
}

void serve_rules_look(serve_rules *s)
{
    error err;
    if (s->rules && rules_changed(s->rules))
        tell_load(rules_load(s->rules, &err), &err);
    if (s->rules && alertmanager_changed(s->alertmanager))
        reload_alertmanager(s);
}

static void warn_of_other_targets(const serve_rules *s)
{
    target_list list;
    bool same = list_targets(&list, s->settings, NULL) == STATUS_OK &&
                hash_addresses(&list) == s->addresses;
    arena_done(&list.memory);
    if (!same)
        sonde_warn("restart_needed",
                   sonde_kv("detail", "sonde_rules: alertmanagers are those of the start until the "
                                      "server is started anew"));
}

void serve_rules_reload(serve_rules *s, const serve_rules_options *o)
{
    error err;
    if (!s->rules || !o->settings) {
        if (s->rules || o->settings)
            sonde_warn("restart_needed",
                       sonde_kv("detail", "the extension sonde_rules came or went: rules are as at "
                                          "the start until the server is started anew"));
        return;
    }
    s->settings = o->settings;
    status st = alert_relabel_set(s->relabel, &o->settings->alert_relabel_configs, &err);
    if (st == STATUS_OK)
        st = use_settings(s, o, &err);
    tell_load(st, &err);
    reload_alertmanager(s);
    warn_of_other_targets(s);
}

void serve_rules_stop(serve_rules *s)
{
    rules_stop(s->rules);
    if (s->alertmanager)
        alertmanager_stop(s->alertmanager);
}

void serve_rules_close(serve_rules *s)
{
    rules_free(s->rules);
    alert_forwarder_free(s->forwarder);
    alert_relabel_free(s->relabel);
    alertmanager_free(s->alertmanager);
    *s = (serve_rules){ 0 };
}

/* ---- metrics ---- */

typedef struct {
    buf *out;
    bool openmetrics;
    const rules_view *view;
} page;

static void family(const page *p, const char *name, const char *type, const char *help)
{
    str text = str_c(name);
    if (p->openmetrics && str_is(str_c(type), "counter"))
        text.len -= strlen("_total");
    buf_fmt(p->out, "# HELP %.*s %s\n# TYPE %.*s %s\n", STR_ARG(text), help, STR_ARG(text), type);
}

static void put_escaped(buf *out, str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '\n')
            buf_lit(out, "\\n");
        else if (s.ptr[i] == '"' || s.ptr[i] == '\\')
            buf_fmt(out, "\\%c", s.ptr[i]);
        else
            buf_char(out, s.ptr[i]);
    }
}

typedef double group_number(const group_view *g);

static double n_evaluations(const group_view *g)
{
    return (double)g->evaluations;
}
static double n_failures(const group_view *g)
{
    return (double)g->failures;
}
static double n_iterations(const group_view *g)
{
    return (double)g->iterations;
}
static double n_missed(const group_view *g)
{
    return (double)g->missed;
}
static double n_caught_up(const group_view *g)
{
    return (double)g->caught_up;
}
static double n_interval(const group_view *g)
{
    return (double)g->interval_ms / 1000;
}
static double n_last(const group_view *g)
{
    return (double)g->last_evaluation_ns / NS_PER_S;
}
static double n_duration(const group_view *g)
{
    return (double)g->evaluation_ns / NS_PER_S;
}
static double n_sum(const group_view *g)
{
    return (double)g->rule_duration_ns / NS_PER_S;
}
static double n_restore(const group_view *g)
{
    return (double)g->restore_ns / NS_PER_S;
}
static double n_rules(const group_view *g)
{
    return (double)g->rule_count;
}
static double n_samples(const group_view *g)
{
    return (double)g->last_samples;
}

static const struct {
    const char *name, *type;
    group_number *number;
    const char *help;
} group_rows[] = {
    { "prometheus_rule_evaluations_total", "counter", n_evaluations, "Evaluations of rules." },
    { "prometheus_rule_evaluation_failures_total", "counter", n_failures,
      "Evaluations of rules that failed." },
    { "prometheus_rule_group_iterations_total", "counter", n_iterations,
      "Evaluations of the group that were due, executed or missed." },
    { "prometheus_rule_group_iterations_missed_total", "counter", n_missed,
      "Evaluations of the group that were left out, because one before took too long." },
    { "sonde_rule_group_iterations_caught_up_total", "counter", n_caught_up,
      "Evaluations of the group that were made up after a restart." },
    { "prometheus_rule_group_interval_seconds", "gauge", n_interval, "Interval of the group." },
    { "prometheus_rule_group_last_evaluation_timestamp_seconds", "gauge", n_last,
      "When the group was evaluated last." },
    { "prometheus_rule_group_last_duration_seconds", "gauge", n_duration, "How long that took." },
    { "prometheus_rule_group_last_rule_duration_sum_seconds", "gauge", n_sum,
      "How long its rules took, added up." },
    { "prometheus_rule_group_last_restore_duration_seconds", "gauge", n_restore,
      "How long it took to restore the state of alerts after the start." },
    { "prometheus_rule_group_rules", "gauge", n_rules, "Rules of the group." },
    { "prometheus_rule_group_last_evaluation_samples", "gauge", n_samples,
      "Samples that the last evaluation gave." },
};

static void put_groups(const page *p)
{
    for (size_t i = 0; i < ARRAY_LEN(group_rows) && p->view->count; i++) {
        family(p, group_rows[i].name, group_rows[i].type, group_rows[i].help);
        for (uint32_t g = 0; g < p->view->count; g++) {
            const group_view *v = &p->view->groups[g];
            buf_fmt(p->out, "%s{rule_group=\"", group_rows[i].name);
            put_escaped(p->out, v->file);
            buf_char(p->out, ';');
            put_escaped(p->out, v->name);
            buf_lit(p->out, "\"} ");
            buf_f64(p->out, group_rows[i].number(v));
            buf_char(p->out, '\n');
        }
    }
}

static void put_duration(const page *p, const char *name, const char *help, const rules_duration *d)
{
    family(p, name, "summary", help);
    buf_fmt(p->out, "%s_sum %.9g\n%s_count %llu\n", name, (double)d->sum_ns / NS_PER_S, name,
            (unsigned long long)d->count);
}

static void single(const page *p, const char *name, const char *type, const char *help, uint64_t n)
{
    family(p, name, type, help);
    buf_fmt(p->out, "%s %llu\n", name, (unsigned long long)n);
}

static void put_stats(const page *p, rules *r)
{
    rules_stats t;
    rules_get_stats(r, &t);
    put_duration(p, "prometheus_rule_evaluation_duration_seconds",
                 "Time that evaluations of rules took.", &t.evaluation);
    put_duration(p, "prometheus_rule_group_duration_seconds",
                 "Time that evaluations of groups took.", &t.iteration);
    single(p, "sonde_rules_alerts_told_total", "counter",
           "Alerts that rules gave to notification, each as often as it was told again.",
           t.alerts_sent);
    single(p, "sonde_rules_alerts_refused_total", "counter",
           "Alerts that notification did not take; they are given again.", t.alerts_dropped);
    single(p, "sonde_rules_reload_failures_total", "counter",
           "Times that changed rule files could not be used.", t.reload_failures);
    single(p, "sonde_rules_last_reload_successful", "gauge",
           "Whether the rule files as they are now are in use.", t.last_reload_good);
}

void serve_rules_metrics(serve_rules *s, buf *out, bool openmetrics)
{
    arena a;
    rules_view view;
    error err;
    if (!s->rules)
        return;
    arena_init(&a, MiB(64));
    page p = { out, openmetrics, &view };
    if (rules_list(s->rules, false, &a, &view, &err) == STATUS_OK)
        put_groups(&p);
    put_stats(&p, s->rules);
    arena_done(&a);
    alertmanager_write_metrics(s->alertmanager, out, openmetrics);
    alert_forwarder_write_metrics(s->forwarder, out, openmetrics);
}
