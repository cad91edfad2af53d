// SPDX-License-Identifier: Apache-2.0
/* Sends what is on its way: oldest first, a few at once for one integration, again after growing
 * pauses until the receiver takes it or refuses it for good. Content and key of an attempt are
 * those that were stored before the first one. */
#include "rules/notify/state.h"

#include <stdlib.h>

static const int64_t first_pause_ms = 500, longest_pause_ms = 60000;

static send_function *const senders[NOTIFY_KINDS] = {
    [NOTIFY_WEBHOOK] = http_notification_send,
    [NOTIFY_EMAIL] = email_send,
    [NOTIFY_SLACK] = http_notification_send,
};

void notify_send(const integration *g, str content, const char *key, const _Atomic int *canceled,
                 send_outcome *ret)
{
    senders[g->kind](g, content, key, canceled, ret);
}

static integration *target_of(const alertmanager *am, slot *s)
{
    str group_key;
    if (s->config_version != am->config_version)
        s->integration = slot_integration(am->config, s, &group_key);
    s->config_version = am->config_version;
    return s->integration;
}

/* Integrations that do not answer hold a thread until the timeout. Those that failed last and those
 * that were not tried yet have one thread each, and all of them together leave some of the threads
 * to those that answer, the failing ones also some to the new ones. */
static bool has_place(const alertmanager *am, const integration *g)
{
    static const unsigned together[] = {
        [TARGET_NEW] = SENDERS_MAX * 3 / 4, [TARGET_FAILS] = SENDERS_MAX / 2
    };
    return g->state == TARGET_ANSWERS ? g->running < SENDERS_ONE
                                      : !g->running && am->running_doubtful < together[g->state];
}

int64_t sender_next_ms(const alertmanager *am)
{
    int64_t next = INT64_MAX;
    for (const pending *p = am->first; p; p = p->next)
        if (!p->running && p->next_ms < next) {
            const integration *g = target_of(am, p->slot);
            if (!g || has_place(am, g)) /* else who makes the place looks for the next */
                next = p->next_ms;
        }
    return next;
}

static pending *find_due(alertmanager *am, integration **ret)
{
    int64_t now = am_now(am);
    for (pending *p = am->first; p; p = p->next) {
        if (p->running || p->next_ms > now)
            continue;
        integration *g = target_of(am, p->slot);
        if (g && has_place(am, g)) {
            *ret = g;
            return p;
        }
        if (!g) /* the configuration has it no more */
            p->next_ms = now + longest_pause_ms;
    }
    return NULL;
}

/* Doubled each time, up to a minute, by a random half more or less; the receiver may ask for more.
 */
static int64_t pause_ms(alertmanager *am, const pending *p, int64_t asked_ms)
{
    int64_t pause = first_pause_ms << MIN(p->attempts - 1, 7u);
    pause = MIN(pause, longest_pause_ms);
    pause = pause / 2 + (int64_t)(random_next(&am->random) % (uint64_t)pause);
    return MAX(pause, asked_ms);
}

static void count_latency(counters *c, notify_kind kind, double seconds)
{
    static const double bounds[] = { 1, 5, 10, 15, 20 };
    c->latency_s[kind] += seconds;
    for (size_t i = 0; i < ARRAY_LEN(bounds); i++)
        c->latency_buckets[kind][i] += seconds <= bounds[i];
    c->latency_buckets[kind][ARRAY_LEN(bounds)]++;
}

static void judge(alertmanager *am, pending *p, const integration *g, const send_outcome *outcome)
{
    int64_t now = am_now(am);
    slot *s = p->slot;
    group *of = s->group;
    str rest, receiver_name = str_cut(str_c(s->text), '\n', &rest);
    p->attempts++;
    if (outcome->result != SENT)
        am->counters.requests_failed[g->kind]++;
    if (outcome->result == SEND_LATER) {
        p->next_ms = now + pause_ms(am, p, outcome->retry_after_ms);
        if ((p->attempts & (p->attempts - 1)) == 0) /* 1, 2, 4, 8 … */
            am_say(am, true, "notification_delayed",
                   "receiver %.*s, %s: attempt %u failed, sent again in %lld ms: %s",
                   STR_ARG(receiver_name), notify_kind_names[g->kind], p->attempts,
                   (long long)(p->next_ms - now), outcome->reason);
        if (!slot_integration(am->config, s, &rest)) /* the configuration is another one by now */
            am_drop_orphans(am, now);
        (void)am_commit(am, NULL);
        return;
    }
    if (outcome->result == SEND_NEVER) {
        am->counters.failed[g->kind]++;
        am_say(am, true, "notification_refused", "receiver %.*s, %s: not sent again: %s",
               STR_ARG(receiver_name), notify_kind_names[g->kind], outcome->reason);
        slot_give_up(am, s, p);
    }
    am->counters.notifications[g->kind] += outcome->result == SENT;
    pending_done(am, p, outcome->result == SENT, now);
    if (of)
        group_settle(am, of, now);
    (void)am_commit(am, NULL);
}

/* The configuration may have been replaced meanwhile: its integration has counts of its own. */
bool sender_step(alertmanager *am)
{
    integration *g = NULL;
    buf content;
    char key[KEY_SIZE];
    error err;
    pthread_mutex_lock(&am->lock);
    pending *p = find_due(am, &g);
    if (!p) {
        pthread_mutex_unlock(&am->lock);
        return false;
    }
    config *c = notify_config_ref(am->config);
    send_outcome outcome = { .result = SEND_LATER };
    buf_init(&content, CONTENT_BYTES_MAX + KiB(4));
    memcpy(key, p->key, sizeof(key));
    bool doubtful = g->state != TARGET_ANSWERS;
    p->running = true;
    g->running++;
    am->running_doubtful += doubtful;
    am->sending++;
    am_add_sender(am);
    uint64_t commit = p->commit;
    status st = db_read_content(am->db, p->id, &content, &err);
    am->counters.requests[g->kind]++;
    pthread_mutex_unlock(&am->lock);
    if (st == STATUS_OK)
        st = am_durable(am, commit, &err);
    int64_t start = clock_mono_ns();
    if (st == STATUS_OK)
        am->send(g, buf_view(&content), key, &am->stopping, &outcome);
    else
        str_copy_c(outcome.reason, sizeof(outcome.reason), str_c(err.message));
    double seconds = (double)(clock_mono_ns() - start) / 1e9;
    pthread_mutex_lock(&am->lock);
    p->running = false;
    g->running--;
    am->running_doubtful -= doubtful;
    am->sending--;
    unsigned before = g->state;
    g->state = outcome.result == SEND_LATER ? TARGET_FAILS : TARGET_ANSWERS;
    if (g->state != before)
        pthread_cond_broadcast(&am->wake); /* it has more places now, or fewer */
    count_latency(&am->counters, g->kind, seconds);
    if (!atomic_load(&am->stopping) || outcome.result == SENT)
        judge(am, p, g, &outcome);
    notify_config_unref(c);
    pthread_mutex_unlock(&am->lock);
    buf_done(&content);
    return true;
}
