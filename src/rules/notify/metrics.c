// SPDX-License-Identifier: Apache-2.0
/* The alertmanager's metrics, with Alertmanager's names where it has the same. */
#include "rules/notify/state.h"

typedef struct {
    alertmanager *am;
    buf *out;
    bool openmetrics;
    int64_t now_ms;
} page;

static void family(const page *p, const char *name, const char *type, const char *help)
{
    str family = str_c(name);
    if (p->openmetrics && str_ends(family, STR("_total")))
        family.len -= strlen("_total");
    buf_fmt(p->out, "# HELP %.*s %s\n# TYPE %.*s %s\n", STR_ARG(family), help, STR_ARG(family),
            type);
}

static void line(const page *p, const char *name, const char *labels_text, double v)
{
    buf_fmt(p->out, "%s%s ", name, labels_text);
    buf_f64(p->out, v);
    buf_char(p->out, '\n');
}

static void single(const page *p, const char *name, const char *type, const char *help, double v)
{
    family(p, name, type, help);
    line(p, name, "", v);
}

static void by_kind(const page *p, const char *name, const char *help, const uint64_t *counts)
{
    family(p, name, "counter", help);
    for (int kind = 0; kind < NOTIFY_KINDS; kind++)
        buf_fmt(p->out, "%s{integration=\"%s\"} %llu\n", name, notify_kind_names[kind],
                (unsigned long long)counts[kind]);
}

static void write_alerts(const page *p)
{
    uint64_t active = 0, suppressed = 0;
    const counters *c = &p->am->counters;
    for (map_slot *s = NULL; (s = map_next(&p->am->alerts, s));) {
        kept_alert *a = (kept_alert *)(uintptr_t)s->value;
        if (is_resolved(a, p->now_ms))
            continue;
        bool muted = silenced_by(p->am, a, p->now_ms, NULL, 0) > 0 ||
                     inhibited_by(p->am, a->labels, p->now_ms);
        active += !muted;
        suppressed += muted;
    }
    family(p, "alertmanager_alerts", "gauge", "Alerts by state.");
    line(p, "alertmanager_alerts", "{state=\"active\"}", (double)active);
    line(p, "alertmanager_alerts", "{state=\"suppressed\"}", (double)suppressed);
    family(p, "alertmanager_alerts_received_total", "counter", "Alerts given, by their state.");
    line(p, "alertmanager_alerts_received_total", "{status=\"firing\"}",
         (double)c->received_firing);
    line(p, "alertmanager_alerts_received_total", "{status=\"resolved\"}",
         (double)c->received_resolved);
    single(p, "alertmanager_alerts_invalid_total", "counter", "Alerts refused as wrong.",
           (double)c->invalid);
    single(p, "alertmanager_alerts_refused_total", "counter",
           "Alerts refused for a limit or the database.", (double)c->refused);
}

static void write_silences(const page *p)
{
    static const char *const states[] = { "{state=\"pending\"}", "{state=\"active\"}",
                                          "{state=\"expired\"}" };
    uint64_t counts[3] = { 0 };
    for (uint32_t i = 0; i < p->am->silence_count; i++)
        counts[silence_state_at(p->am->silences[i], p->now_ms)]++;
    family(p, "alertmanager_silences", "gauge", "Silences by state.");
    for (size_t i = 0; i < ARRAY_LEN(states); i++)
        line(p, "alertmanager_silences", states[i], (double)counts[i]);
}

static void write_notifications(const page *p)
{
    const counters *c = &p->am->counters;
    by_kind(p, "alertmanager_notifications_total", "Notifications that were delivered.",
            c->notifications);
    by_kind(p, "alertmanager_notifications_failed_total",
            "Notifications that could not be made, or that a receiver refused for good.",
            c->failed);
    by_kind(p, "alertmanager_notifications_dropped_total",
            "Notifications given up: their receiver is not configured any more.", c->dropped);
    by_kind(p, "alertmanager_notification_requests_total", "Attempts to deliver.", c->requests);
    by_kind(p, "alertmanager_notification_requests_failed_total", "Attempts that failed.",
            c->requests_failed);
    single(p, "alertmanager_notifications_pending", "gauge",
           "Notifications that were begun and are not delivered.", (double)p->am->pending_count);
    family(p, "alertmanager_notifications_suppressed_total", "counter",
           "Alerts left out of notifications.");
    line(p, "alertmanager_notifications_suppressed_total", "{reason=\"silence\"}",
         (double)c->suppressed_silence);
    line(p, "alertmanager_notifications_suppressed_total", "{reason=\"inhibition\"}",
         (double)c->suppressed_inhibition);
    line(p, "alertmanager_notifications_suppressed_total", "{reason=\"time_interval\"}",
         (double)c->suppressed_time);
}

static void write_latency(const page *p)
{
    static const char *const bounds[] = { "1.0", "5.0", "10.0", "15.0", "20.0", "+Inf" };
    const char *name = "alertmanager_notification_latency_seconds";
    family(p, name, "histogram", "Time of attempts to deliver.");
    for (int kind = 0; kind < NOTIFY_KINDS; kind++) {
        const uint64_t *buckets = p->am->counters.latency_buckets[kind];
        for (size_t i = 0; i < ARRAY_LEN(bounds); i++)
            buf_fmt(p->out, "%s_bucket{integration=\"%s\",le=\"%s\"} %llu\n", name,
                    notify_kind_names[kind], bounds[i], (unsigned long long)buckets[i]);
        buf_fmt(p->out, "%s_sum{integration=\"%s\"} ", name, notify_kind_names[kind]);
        buf_f64(p->out, p->am->counters.latency_s[kind]);
        buf_fmt(p->out, "\n%s_count{integration=\"%s\"} %llu\n", name, notify_kind_names[kind],
                (unsigned long long)buckets[ARRAY_LEN(bounds) - 1]);
    }
}

static void write_limits(const page *p)
{
    const counters *c = &p->am->counters;
    const struct {
        const char *text;
        uint64_t count;
    } limits[] = { { "{limit=\"alerts\"}", c->alert_limit },
                   { "{limit=\"groups\"}", c->group_limit },
                   { "{limit=\"notifications\"}", c->pending_limit },
                   { "{limit=\"silences\"}", c->silence_limit } };
    single(p, "alertmanager_dispatcher_aggregation_groups", "gauge", "Groups of alerts.",
           (double)p->am->groups.count);
    family(p, "alertmanager_limit_reached_total", "counter", "What was refused at a limit.");
    for (size_t i = 0; i < ARRAY_LEN(limits); i++)
        line(p, "alertmanager_limit_reached_total", limits[i].text, (double)limits[i].count);
    single(p, "alertmanager_database_errors_total", "counter",
           "Changes that alertmanager.db did not take.", (double)c->database_errors);
    single(p, "alertmanager_config_last_reload_successful", "gauge",
           "Whether the newest configuration could be used.", c->reload_good);
    single(p, "alertmanager_config_last_reload_success_timestamp_seconds", "gauge",
           "When a configuration was taken last.", (double)c->reload_ms / 1000);
    single(p, "alertmanager_config_hash", "gauge", "A number that changes with the configuration.",
           (double)(p->am->config->hash & 0xffffffffffff));
    single(p, "alertmanager_receivers", "gauge", "Configured receivers.",
           (double)p->am->config->receiver_count);
}

void alertmanager_write_metrics(alertmanager *am, buf *out, bool openmetrics)
{
    if (!am)
        return;
    pthread_mutex_lock(&am->lock);
    page p = { am, out, openmetrics, am_now(am) };
    write_alerts(&p);
    write_silences(&p);
    write_notifications(&p);
    write_latency(&p);
    write_limits(&p);
    pthread_mutex_unlock(&am->lock);
}
