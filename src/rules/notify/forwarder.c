// SPDX-License-Identifier: Apache-2.0
/* Sends alerts to external Alertmanagers (POST /api/v2/alerts). Each has a queue and a thread of
 * its own; of an alert that waits only the newest state is kept. A request holds up to a fixed
 * number of alerts and is tried until it is taken, refused for good, or its alerts are replaced by
 * newer. */
#include "base/map.h"
#include "rules/notify/state.h"

#include <stdio.h>
#include <stdlib.h>

enum { QUEUE_DEFAULT = 10000, BATCH = 64, BODY_MAX = 16 << 20, TEXTS_MAX = 1 << 20 };
static const int64_t default_timeout = 10 * NS_PER_S, longest_pause = 30 * NS_PER_S;

/* An alert as JSON, waiting. */
typedef struct item {
    struct item *next;
    uint64_t fingerprint;
    size_t length;
    char json[];
} item;

typedef struct {
    alert_forwarder *forwarder;
    arena arena; /* of the texts of its settings */
    prometheus_http http;
    char *url; /* with /api/v2/alerts */
    char shown[300];
    int64_t timeout_ns;
    pthread_t thread;
    bool running;
    integration integration; /* its connections, from one request to the next */
    item *first, *last;
    uint32_t count;
    map waiting; /* fingerprint -> item */
    uint64_t sent, errors, dropped, replaced;
    double latency_s;
    uint64_t requests;
} target;

struct alert_forwarder {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    target *targets;
    uint32_t count, queue;
    _Atomic int stopping;
    alert_sink sink;
    notify_say *say;
    void *user;
};

/* ---- the queue ---- */

static void put_time(json_writer *w, const char *name, int64_t time_ms)
{
    buf text;
    if (!time_ms)
        return;
    buf_init(&text, 64);
    clock_format_rfc3339(&text, time_ms * NS_PER_MS, 3);
    json_key(w, str_c(name));
    json_str(w, buf_view(&text));
    buf_done(&text);
}

static item *item_new(const alert *a)
{
    buf text;
    buf_init(&text, MiB(1));
    json_writer writer = json_write(&text), *w = &writer;
    json_begin_object(w);
    json_key(w, STR("labels"));
    labels_to_json(w, (labels){ a->labels, a->label_count });
    json_key(w, STR("annotations"));
    labels_to_json(w, (labels){ a->annotations, a->annotation_count });
    put_time(w, "startsAt", a->starts_ms);
    put_time(w, "endsAt", a->ends_ms);
    if (a->generator_url.len)
        JSON_PUT(w, str, "generatorURL", a->generator_url);
    json_end_object(w);
    item *i = text.failed ? NULL : malloc(sizeof(*i) + text.len);
    if (i) {
        i->next = NULL;
        i->fingerprint = alert_fingerprint(a->labels, a->label_count);
        i->length = text.len;
        memcpy(i->json, text.ptr, text.len);
    }
    buf_done(&text);
    return i;
}

/* The older state of the same alert gives its place away. */
static void unlink_item(target *t, item *old)
{
    item *before = NULL;
    for (item *i = t->first; i != old; i = i->next)
        before = i;
    if (before)
        before->next = old->next;
    else
        t->first = old->next;
    if (t->last == old)
        t->last = before;
    t->count--;
    (void)map_remove(&t->waiting, fingerprint_key(&old->fingerprint));
    free(old);
}

static bool enqueue(target *t, uint32_t limit, item *i)
{
    uint64_t *known = map_get(&t->waiting, fingerprint_key(&i->fingerprint));
    if (known) {
        t->replaced++;
        unlink_item(t, (item *)(uintptr_t)*known);
    }
    if (t->count >= limit ||
        !map_put(&t->waiting, fingerprint_key(&i->fingerprint), (uint64_t)(uintptr_t)i, NULL)) {
        t->dropped++;
        free(i);
        return false;
    }
    if (t->last)
        t->last->next = i;
    else
        t->first = i;
    t->last = i;
    t->count++;
    return true;
}

static status put_alerts(void *user, const alert *alerts, uint32_t count, error *err)
{
    alert_forwarder *f = user;
    uint64_t refused = 0;
    pthread_mutex_lock(&f->lock);
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t t = 0; t < f->count; t++) {
            item *one = item_new(&alerts[i]);
            if (!one)
                f->targets[t].dropped++;
            refused += !one || !enqueue(&f->targets[t], f->queue, one);
        }
    pthread_cond_broadcast(&f->wake);
    pthread_mutex_unlock(&f->lock);
    if (refused)
        return fail(err, STATUS_LIMIT,
                    "%llu alerts found no place in the queues to Alertmanagers (%u each)",
                    (unsigned long long)refused, f->queue);
    return STATUS_OK;
}

/* ---- sending ---- */

static item *take_batch(target *t, uint32_t *ret_count)
{
    item *first = t->first, *last = NULL;
    uint32_t n = 0;
    size_t bytes = 0;
    for (item *i = first; i && n < BATCH && bytes + i->length < BODY_MAX / 2; i = i->next, n++) {
        (void)map_remove(&t->waiting, fingerprint_key(&i->fingerprint));
        bytes += i->length + 1;
        last = i;
    }
    if (!last)
        return NULL;
    t->first = last->next;
    if (!t->first)
        t->last = NULL;
    last->next = NULL;
    t->count -= n;
    *ret_count = n;
    return first;
}

/* What could not be sent goes back to the front, but for alerts that have a newer state. */
static void put_back(target *t, item *batch)
{
    item *kept = NULL, *last = NULL;
    for (item *i = batch, *next; i; i = next) {
        next = i->next;
        i->next = NULL;
        if (map_get(&t->waiting, fingerprint_key(&i->fingerprint)) ||
            !map_put(&t->waiting, fingerprint_key(&i->fingerprint), (uint64_t)(uintptr_t)i, NULL)) {
            free(i);
            continue;
        }
        if (last)
            last->next = i;
        else
            kept = i;
        last = i;
        t->count++;
    }
    if (!last)
        return;
    last->next = t->first;
    t->first = kept;
    if (!t->last)
        t->last = last;
}

static void free_batch(item *batch)
{
    for (item *next; batch; batch = next) {
        next = batch->next;
        free(batch);
    }
}

static void make_body(const item *batch, buf *out)
{
    buf_char(out, '[');
    for (const item *i = batch; i; i = i->next) {
        buf_add(out, i->json, i->length);
        buf_char(out, i->next ? ',' : ']');
    }
}

static void send_body(target *t, str body, send_outcome *ret)
{
    /* The same request as a webhook's, to a URL of this target's. */
    webhook_settings settings = { .url = str_c(t->url) };
    integration *g = &t->integration;
    g->kind = NOTIFY_WEBHOOK;
    g->webhook = &settings;
    g->http = &t->http;
    g->timeout_ns = t->timeout_ns;
    char key[KEY_SIZE];
    uuid_make(key);
    http_notification_send(g, body, key, &t->forwarder->stopping, ret);
}

static void say(const target *t, const char *event, const char *reason, uint32_t count)
{
    char text[800];
    if (!t->forwarder->say)
        return;
    snprintf(text, sizeof(text), "%s: %u alerts: %s", t->shown, count, reason);
    t->forwarder->say(t->forwarder->user, true, event, text);
}

static void wait_ns(alert_forwarder *f, int64_t ns)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    ns += until.tv_nsec;
    until.tv_sec += (time_t)(ns / NS_PER_S);
    until.tv_nsec = (long)(ns % NS_PER_S);
    int64_t end = (int64_t)until.tv_sec * NS_PER_S + until.tv_nsec;
    while (!atomic_load(&f->stopping) && clock_mono_ns() < end)
        (void)pthread_cond_timedwait(&f->wake, &f->lock, &until);
}

/* Under the lock, but for the request itself. */
static void send_batch(target *t, item *batch, uint32_t count, unsigned *failures)
{
    alert_forwarder *f = t->forwarder;
    buf body;
    send_outcome outcome = { .result = SEND_LATER };
    pthread_mutex_unlock(&f->lock);
    buf_init(&body, BODY_MAX);
    make_body(batch, &body);
    int64_t start = clock_mono_ns();
    send_body(t, buf_view(&body), &outcome);
    double seconds = (double)(clock_mono_ns() - start) / 1e9;
    buf_done(&body);
    pthread_mutex_lock(&f->lock);
    t->requests++;
    t->latency_s += seconds;
    t->sent += outcome.result == SENT ? count : 0;
    t->errors += outcome.result == SENT ? 0 : count;
    if (outcome.result == SEND_LATER) {
        put_back(t, batch);
        if (atomic_load(&f->stopping))
            return;
        if ((*failures & (*failures + 1)) == 0)
            say(t, "alertmanager_away", outcome.reason, count);
        int64_t pause = MIN((NS_PER_S / 2) << MIN(*failures, 7u), longest_pause);
        (*failures)++;
        wait_ns(f, MAX(pause, outcome.retry_after_ms * NS_PER_MS));
        return;
    }
    *failures = 0;
    if (outcome.result == SEND_NEVER) {
        t->dropped += count;
        say(t, "alertmanager_refused_alerts", outcome.reason, count);
    }
    free_batch(batch);
}

static void *run(void *user)
{
    target *t = user;
    alert_forwarder *f = t->forwarder;
    unsigned failures = 0;
    pthread_mutex_lock(&f->lock);
    while (!atomic_load(&f->stopping)) {
        uint32_t count;
        item *batch = take_batch(t, &count);
        if (batch)
            send_batch(t, batch, count, &failures);
        else
            (void)pthread_cond_wait(&f->wake, &f->lock);
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

/* ---- opening ---- */

/* The texts that requests use. */
static bool copy_http(arena *a, prometheus_http *h)
{
    str *const texts[] = {
        &h->basic_auth.username,
        &h->basic_auth.username_file,
        &h->basic_auth.password,
        &h->basic_auth.password_file,
        &h->authorization.type,
        &h->authorization.credentials,
        &h->authorization.credentials_file,
        &h->bearer_token,
        &h->bearer_token_file,
        &h->tls.ca,
        &h->tls.ca_file,
        &h->tls.cert,
        &h->tls.cert_file,
        &h->tls.key,
        &h->tls.key_file,
        &h->tls.server_name,
        &h->proxy_url,
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if ((*texts[i] = arena_str(a, *texts[i])).ptr == NULL)
            return false;
    h->headers = (section_list){ 0 };
    return true;
}

static status target_init(target *t, alert_forwarder *f, const alert_forwarder_target *from,
                          error *err)
{
    str url = from->url;
    const char *option;
    t->forwarder = f;
    map_init(&t->waiting);
    arena_init(&t->arena, TEXTS_MAX);
    t->http = from->http;
    t->timeout_ns = from->timeout_ns ? from->timeout_ns : default_timeout;
    if (!str_starts(url, STR("http://")) && !str_starts(url, STR("https://")))
        return fail(err, STATUS_INVALID,
                    "\"%.*s\" is no URL of an Alertmanager: it must begin with http:// or https://",
                    STR_ARG(str_slice(url, 0, 80)));
    while (str_ends(url, STR("/")))
        url.len--;
    str whole = str_ends(url, STR("/api/v2/alerts"))
                    ? arena_str(&t->arena, url)
                    : arena_fmt(&t->arena, "%.*s/api/v2/alerts", STR_ARG(url));
    if (!whole.ptr || !copy_http(&t->arena, &t->http))
        return fail(err, STATUS_NO_MEMORY, "no memory for an Alertmanager");
    t->url = (char *)whole.ptr;
    /* Neither user nor password of the URL are shown. */
    size_t at = str_find_char(whole, '@'), start = str_find(whole, STR("://")) + 3;
    str shown =
        at != SIZE_MAX ? str_slice(whole, at + 1, whole.len) : str_slice(whole, start, whole.len);
    snprintf(t->shown, sizeof(t->shown), "%.*s%.*s", (int)start, whole.ptr, STR_ARG(shown));
    return prometheus_http_check(&t->http, &option, err);
}

static status start_all(alert_forwarder *f, const alert_forwarder_options *o, error *err)
{
    status st = STATUS_OK;
    f->targets = calloc(MAX(o->target_count, 1u), sizeof(*f->targets));
    if (!f->targets)
        return fail(err, STATUS_NO_MEMORY, "no memory for Alertmanagers");
    for (uint32_t i = 0; i < o->target_count && st == STATUS_OK; i++) {
        f->count++;
        st = target_init(&f->targets[i], f, &o->targets[i], err);
    }
    for (uint32_t i = 0; i < f->count && st == STATUS_OK; i++) {
        int code = pthread_create(&f->targets[i].thread, NULL, run, &f->targets[i]);
        if (code)
            st = fail_errno(err, code, "a thread for an Alertmanager");
        f->targets[i].running = code == 0;
    }
    return st;
}

status alert_forwarder_new(alert_forwarder **ret, const alert_forwarder_options *o, error *err)
{
    pthread_condattr_t attributes;
    if (o->target_count > ALERT_FORWARDER_TARGETS_MAX)
        return fail(err, STATUS_LIMIT, "more than %d Alertmanagers", ALERT_FORWARDER_TARGETS_MAX);
    alert_forwarder *f = calloc(1, sizeof(*f));
    if (!f)
        return fail(err, STATUS_NO_MEMORY, "no memory for Alertmanagers");
    pthread_mutex_init(&f->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&f->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    f->queue = o->queue ? o->queue : QUEUE_DEFAULT;
    f->say = o->say;
    f->user = o->user;
    f->sink = (alert_sink){ put_alerts, f };
    status st = start_all(f, o, err);
    if (st != STATUS_OK) {
        alert_forwarder_free(f);
        return st;
    }
    *ret = f;
    return STATUS_OK;
}

void alert_forwarder_free(alert_forwarder *f)
{
    if (!f)
        return;
    pthread_mutex_lock(&f->lock);
    atomic_store(&f->stopping, 1);
    pthread_cond_broadcast(&f->wake);
    pthread_mutex_unlock(&f->lock);
    for (uint32_t i = 0; i < f->count; i++) {
        target *t = &f->targets[i];
        if (t->running)
            pthread_join(t->thread, NULL);
        free_batch(t->first);
        map_done(&t->waiting);
        integration_done(&t->integration);
        arena_done(&t->arena);
    }
    free(f->targets);
    pthread_cond_destroy(&f->wake);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

const alert_sink *alert_forwarder_sink(alert_forwarder *f)
{
    return &f->sink;
}

/* ---- shown ---- */

void alert_forwarder_write_targets(const alert_forwarder *f, json_writer *w)
{
    json_begin_object(w);
    json_key(w, STR("activeAlertmanagers"));
    json_begin_array(w);
    for (uint32_t i = 0; f && i < f->count; i++) {
        json_begin_object(w);
        JSON_PUT(w, str, "url", str_c(f->targets[i].shown));
        json_end_object(w);
    }
    json_end_array(w);
    json_key(w, STR("droppedAlertmanagers"));
    json_begin_array(w);
    json_end_array(w);
    json_end_object(w);
}

typedef struct {
    const char *name, *type, *help;
    size_t offset; /* of a uint64_t of target; SIZE_MAX: the queue's length */
} metric_row;

static const metric_row metric_rows[] = {
    { "prometheus_notifications_sent_total", "counter", "Alerts that an Alertmanager has taken.",
      offsetof(target, sent) },
    { "prometheus_notifications_errors_total", "counter",
      "Alerts in requests to an Alertmanager that failed.", offsetof(target, errors) },
    { "prometheus_notifications_dropped_total", "counter",
      "Alerts that an Alertmanager was not told: its queue was full, or it refused them.",
      offsetof(target, dropped) },
    { "prometheus_notifications_queue_length", "gauge", "Alerts that wait for an Alertmanager.",
      SIZE_MAX },
};

void alert_forwarder_write_metrics(alert_forwarder *f, buf *out, bool openmetrics)
{
    if (!f)
        return;
    pthread_mutex_lock(&f->lock);
    for (size_t r = 0; r < ARRAY_LEN(metric_rows); r++) {
        const metric_row *m = &metric_rows[r];
        str family = str_c(m->name);
        if (openmetrics && str_ends(family, STR("_total")))
            family.len -= strlen("_total");
        buf_fmt(out, "# HELP %.*s %s\n# TYPE %.*s %s\n", STR_ARG(family), m->help, STR_ARG(family),
                m->type);
        for (uint32_t i = 0; i < f->count; i++) {
            const target *t = &f->targets[i];
            uint64_t v = m->offset == SIZE_MAX
                             ? t->count
                             : *(const uint64_t *)(const void *)((const char *)t + m->offset);
            buf_fmt(out, "%s{alertmanager=\"%s\"} %llu\n", m->name, t->shown,
                    (unsigned long long)v);
        }
    }
    pthread_mutex_unlock(&f->lock);
}
