// SPDX-License-Identifier: Apache-2.0
/* The inside of the alertmanager: what it knows, and the functions that change it. Everything here
 * happens under `lock`, but for requests to receivers, which senders make with a reference to the
 * configuration. Times are wall time in ms. */
#ifndef SONDE_RULES_NOTIFY_STATE_H
#define SONDE_RULES_NOTIFY_STATE_H

#include "base/clock.h"
#include "base/map.h"
#include "base/random.h"
#include "rules/notify/config.h"
#include "rules/notify/db.h"
#include "rules/notify/notify.h"

#include <pthread.h>

typedef struct silence silence;
typedef struct group group;
typedef struct slot slot;

enum {
    SENDERS = 8,            /* threads at the start; */
    SENDERS_MAX = 64,       /* more are started while all of them wait for answers */
    SENDERS_ONE = 2,        /* of them at most for one integration */
    ALERT_LABELS_MAX = 128, /* and annotations */
    ALERT_BYTES_MAX = 64 << 10,
    CONTENT_BYTES_MAX = 4 << 20,
    CONTENT_MEMORY = 32 << 20, /* of the arena a notification is made in */
    KEY_SIZE = 37
};

typedef struct {
    uint64_t fingerprint; /* its bytes are the key in maps */
    labels labels, annotations;
    str generator;
    char *block; /* that those texts and lists stand in */
    int64_t starts_ms, ends_ms, updated_ms;
    bool timeout;
    uint32_t groups, routes; /* that it stands in, that it was routed to */
    uint64_t silences_version;
    silence **silences; /* that match it, whatever their state; good for silences_version */
    uint32_t silence_count, silences_seen; /* and how many silences were looked at */
} kept_alert;

struct silence {
    char id[KEY_SIZE];
    arena arena;
    notify_matchers matchers;
    int64_t starts_ms, ends_ms, updated_ms;
    str created_by, comment;
};

/* Alerts of one route with equal values of its labels. */
struct group {
    char *key; /* of am->groups: "RECEIVER\nGROUP KEY" */
    str group_key;
    labels labels;
    arena arena; /* of labels */
    const route *route;
    kept_alert **alerts;
    uint32_t count, capacity;
    map members; /* fingerprint -> index in alerts */
    int64_t next_ms;
    bool flushed;
};

/* A notification that was begun and is not done. */
typedef struct pending {
    struct pending *next, *before;
    slot *slot;
    int64_t id; /* in the database */
    char key[KEY_SIZE];
    uint64_t *firing, *resolved;
    uint32_t firing_count, resolved_count;
    int64_t created_ms, log_expires_ms;
    int64_t next_ms; /* of the next attempt */
    uint32_t attempts;
    bool running;
    bool stored;     /* else the transaction that stores it is not committed yet */
    uint64_t commit; /* that transaction: it is on the disk before the first attempt */
} pending;

/* What an integration was told of a group, and is being told. */
struct slot {
    char *text;                  /* key of am->slots: "RECEIVER\nKIND\nINDEX\nGROUP KEY" */
    int64_t time_ms, expires_ms; /* 0: never told */
    uint64_t *firing, *resolved;
    uint32_t firing_count, resolved_count;
    pending *pending;
    group *group;             /* NULL: not in memory */
    integration *integration; /* good for config_version; NULL: the configuration has none */
    uint64_t config_version;
};

typedef struct {
    uint64_t received_firing, received_resolved, invalid, refused;
    uint64_t notifications[NOTIFY_KINDS], failed[NOTIFY_KINDS], requests[NOTIFY_KINDS];
    uint64_t requests_failed[NOTIFY_KINDS], dropped[NOTIFY_KINDS];
    uint64_t suppressed_silence, suppressed_inhibition, suppressed_time;
    double latency_s[NOTIFY_KINDS];
    uint64_t latency_buckets[NOTIFY_KINDS][6]; /* up to 1, 5, 10, 15, 20 s, and all */
    uint64_t group_limit, pending_limit, silence_limit, alert_limit;
    uint64_t reloads_failed, database_errors;
    bool reload_good;
    int64_t reload_ms;
} counters;

/* What came of one attempt. */
typedef enum { SENT, SEND_LATER, SEND_NEVER } send_result;
typedef struct {
    send_result result;
    int64_t retry_after_ms; /* 0: not said */
    char reason[300];
} send_outcome;
typedef void send_function(const integration *g, str content, const char *key,
                           const _Atomic int *canceled, send_outcome *ret);
void notify_send(const integration *g, str content, const char *key, const _Atomic int *canceled,
                 send_outcome *ret);

/* Alerts by a part of their labels, for inhibition. */
typedef struct {
    uint64_t hash; /* of the values of `equal` */
    kept_alert *alert;
} inhibit_source;
typedef struct {
    inhibit_source *items; /* by hash */
    uint32_t count;
} inhibit_index;

struct alertmanager {
    alertmanager_options options;
    char *data, *external_url, *config_path;
    pthread_mutex_t lock;
    pthread_cond_t wake; /* something is due earlier, a notification was added, or it stops */
    config *config;
    uint64_t config_version;
    db *db;
    bool begun, in_transaction; /* begun without a transaction: each change is its own */
    _Atomic uint64_t committed; /* number of the newest transaction */
    pthread_mutex_t sync_lock;  /* of the two below; taken after `lock` */
    pthread_cond_t sync_wake;   /* there is more to sync, or a sync ended */
    uint64_t durable;           /* number of the newest transaction that is on the disk */
    bool syncing;
    map alerts; /* kept_alert by fingerprint */
    map groups;
    map slots;
    pending *first, *last; /* oldest first */
    uint32_t pending_count;
    unsigned running_doubtful; /* requests now to integrations that are new or failed last */
    unsigned sending;          /* senders that are in a request */
    silence **silences;
    uint32_t silence_count;
    uint64_t silences_version, alerts_version;
    inhibit_index *inhibit; /* one for each rule; good for inhibit_version */
    uint64_t inhibit_version;
    int64_t swept_ms, started_ms, seen_ms, limit_told_ms;
    random_state random;
    counters counters;
    alert_sink sink;
    send_function *send; /* notify_send, or a test's */
    _Atomic int stopping;
    pthread_t threads[SENDERS_MAX + 2];
    unsigned thread_count; /* under the lock until it stops */
};

static inline int64_t am_now(const alertmanager *am)
{
    return am->options.now_ms ? am->options.now_ms(am->options.user) : clock_now_ns() / NS_PER_MS;
}

static inline bool is_resolved(const kept_alert *a, int64_t now_ms)
{
    return a->ends_ms <= now_ms;
}

void am_say(const alertmanager *am, bool warning, const char *event, const char *format, ...)
    PRINTF_LIKE(4, 5);
/* A transaction around several changes; again is fine. Commit reports and counts a failure, after
 * which the notifications begun in it are forgotten, to be made again by their groups. What was
 * committed is on the disk after am_durable. */
void am_begin(alertmanager *am);
status am_commit(alertmanager *am, error *err);
/* Waits until this transaction is on the disk, with all before it. Without the lock. */
MUST_USE status am_durable(alertmanager *am, uint64_t number, error *err);
void am_sync_init(alertmanager *am);
void am_sync_done(alertmanager *am);
void *am_sync_run(void *user); /* a thread: syncs what nobody waits for */
void am_sync_wake(alertmanager *am);
void am_add_sender(alertmanager *am); /* when there is none left that waits for work */
/* What the configuration does not have any more is given up. */
void am_drop_orphans(alertmanager *am, int64_t now_ms);

/* ---- alerts.c ---- */

/* Without a change to groups. *ret_new tells. */
MUST_USE status alerts_put(alertmanager *am, const alert *given, int64_t now_ms, kept_alert **ret,
                           error *err);
MUST_USE status alerts_load(alertmanager *am, const db_alert *stored, error *err);
/* Those that had not ended at last_ms, and of which nobody could tell it since, last as long from
 * now on as they did from their newest message. */
void alerts_outlast(alertmanager *am, int64_t last_ms, int64_t now_ms);
/* The newest time that anything says: after all is read, when the server was last there. */
int64_t alerts_last_known(const alertmanager *am);
/* When it is resolved and no group has it: forgets it. */
void alerts_release(alertmanager *am, kept_alert *a, int64_t now_ms);
void alerts_done(alertmanager *am);
/* A JSON object of texts, as a sorted list in `a`. */
MUST_USE status labels_of_json(arena *a, str json, label **ret, uint32_t *ret_count, error *err);
str fingerprint_key(const uint64_t *fingerprint);
/* By job and instance, then all labels: the order of notifications. */
int alerts_compare(const void *a, const void *b); /* of kept_alert pointers */

/* ---- groups.c ---- */

/* Puts the alert into the groups of the routes that take it. */
MUST_USE status groups_route(alertmanager *am, kept_alert *a, int64_t now_ms, error *err);
/* The routes that take a label set, in order; `take` returns false to stop. */
void routes_match(const route *root, labels l, bool (*take)(void *user, const route *r),
                  void *user);
bool route_is_muted(const route *r, int64_t now_ms);
/* Names of the time intervals that mute it, into a list. */
void route_write_muting(const route *r, int64_t now_ms, json_writer *w);
/* Follows a clock that was set, or stood still for it: waits end earlier, alerts last longer. At
 * least every WAIT_MAX_MS. */
void groups_follow_clock(alertmanager *am, int64_t now_ms);
/* Makes the notifications of the groups that are due; the time of the next. */
int64_t groups_flush_due(alertmanager *am, int64_t now_ms);
/* Takes resolved alerts out of the group about whose end everybody was told. */
void group_settle(alertmanager *am, group *g, int64_t now_ms);
void groups_done(alertmanager *am);
/* All alerts routed anew by am->config; times of groups that are as before stay. */
void groups_rebuild(alertmanager *am, int64_t now_ms);

/* ---- inhibit.c ---- */

/* The alert that inhibits these labels now, or NULL. */
const kept_alert *inhibited_by(alertmanager *am, labels l, int64_t now_ms);
void inhibit_done(alertmanager *am);

/* ---- silences.c ---- */

typedef enum { SILENCE_PENDING, SILENCE_ACTIVE, SILENCE_EXPIRED } silence_state;
silence_state silence_state_at(const silence *s, int64_t now_ms);
/* Silences that are active and match; ret may be NULL with max 0. The number of them. */
uint32_t silenced_by(alertmanager *am, kept_alert *a, int64_t now_ms, const silence **ret,
                     uint32_t max);
MUST_USE status silences_load(alertmanager *am, const db_silence *stored, error *err);
void silences_sweep(alertmanager *am, int64_t now_ms); /* what ended long ago */
void silences_done(alertmanager *am);
void uuid_make(char ret[KEY_SIZE]);

/* ---- slots.c ---- */

MUST_USE status slots_load_log(alertmanager *am, const db_log *stored, error *err);
MUST_USE status slots_load_pending(alertmanager *am, const db_pending *stored, error *err);
/* NULL without memory. */
slot *slot_of(alertmanager *am, const integration *g, str group_key);
/* NULL: the configuration has it no more. */
integration *slot_integration(const config *c, const slot *s, str *ret_group_key);
/* Whether what there is now is to be told: more alerts, an end, or repeat_interval passed. */
bool slot_needs(const slot *s, const integration *g, const uint64_t *firing, uint32_t firing_count,
                const uint64_t *resolved, uint32_t resolved_count, int64_t repeat_ms,
                int64_t now_ms);
/* Writes down that it was told, without a request. */
void slot_log(alertmanager *am, slot *s, const uint64_t *firing, uint32_t firing_count,
              const uint64_t *resolved, uint32_t resolved_count, int64_t expires_ms,
              int64_t now_ms);
/* The alert is over and out of the group: when it comes again, it is told again. */
void slot_forget(alertmanager *am, slot *s, uint64_t fingerprint);
/* The receiver refused to be told; the ends in that notification are not told again. */
void slot_give_up(alertmanager *am, slot *s, const pending *p);
MUST_USE status pending_add(alertmanager *am, slot *s, const db_pending *p, error *err);
/* The transaction's notifications are stored with it, or forgotten. */
void pending_committed(alertmanager *am, bool stored);
/* Told, or given up: out of the list and the database. */
void pending_done(alertmanager *am, pending *p, bool told, int64_t now_ms);
void slots_sweep(alertmanager *am, int64_t now_ms);
void slots_done(alertmanager *am);

/* ---- sender.c ---- */

/* One attempt of the oldest notification that is due; false: there is none. Takes the lock. */
bool sender_step(alertmanager *am);
int64_t sender_next_ms(const alertmanager *am); /* under the lock */

/* ---- content.c and a file for each kind ---- */

/* What a notification is made of. */
typedef struct {
    arena *arena;
    const config *config;
    const integration *integration;
    str external_url, group_key;
    labels group_labels, common_labels, common_annotations;
    kept_alert *const *alerts; /* sorted; not more than max_alerts */
    uint32_t count, truncated;
    int64_t now_ms;
    const char *key;
    template_value data; /* for templates */
} notification;

/* The content as it will be stored and sent. */
MUST_USE status content_make(notification *n, buf *out, error *err);
/* The template's text, in n->arena. */
MUST_USE status content_expand(const notification *n, str text, bool html, str *ret, error *err);
const char *content_status(const notification *n); /* "firing", "resolved" */

MUST_USE status webhook_content(const notification *n, buf *out, error *err);
MUST_USE status email_content(const notification *n, buf *out, error *err);
MUST_USE status slack_content(const notification *n, buf *out, error *err);
void http_notification_send(const integration *g, str content, const char *key,
                            const _Atomic int *canceled, send_outcome *ret);
void email_send(const integration *g, str content, const char *key, const _Atomic int *canceled,
                send_outcome *ret);

#endif
