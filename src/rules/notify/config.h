// SPDX-License-Identifier: Apache-2.0
/* Alertmanager's configuration file: as its table reads it (…_settings), and as the rest works with
 * it (config, route, receiver, integration). Made whole by config_read, immutable but for the
 * counts of integrations; shared by reference, so that a request that runs keeps the one it was
 * begun with. Regular expressions in it are used under the alertmanager's lock only. */
#ifndef SONDE_RULES_NOTIFY_CONFIG_H
#define SONDE_RULES_NOTIFY_CONFIG_H

#include "rules/notify/interval.h"
#include "rules/notify/matcher.h"
#include "rules/template.h"
#include "settings/prometheus_http.h"
#include "settings/yaml.h"

#include <stdatomic.h>

/* ---- the file ---- */

typedef struct {
    str smtp_from, smtp_hello, smtp_smarthost;
    str smtp_auth_username, smtp_auth_password, smtp_auth_password_file;
    str smtp_auth_secret, smtp_auth_identity;
    bool smtp_require_tls, has_smtp_tls;
    prometheus_tls smtp_tls_config;
    str slack_api_url, slack_api_url_file;
    int64_t resolve_timeout;
    bool has_http;
    prometheus_http http;
} global_settings;

typedef struct {
    str receiver;
    text_list group_by;
    int64_t group_wait, group_interval, repeat_interval; /* ns; -1: as the route above */
    text_list matchers;
    pair_list match, match_re;
    bool continues;
    text_list mute_time_intervals, active_time_intervals;
    section_list routes;
} route_settings;

typedef struct {
    bool send_resolved, has_http;
    str url, url_file;
    prometheus_http http;
    int64_t max_alerts;
    int64_t timeout;
} webhook_settings;

typedef struct {
    bool send_resolved;
    str to, from, hello, smarthost;
    str auth_username, auth_password, auth_password_file, auth_secret, auth_identity;
    pair_list headers;
    str html, text;
    bool require_tls, has_require_tls, has_tls;
    prometheus_tls tls;
} email_settings;

typedef struct {
    str title, value;
    bool is_short, has_short;
} slack_field_settings;

typedef struct {
    str text, title, ok_text, dismiss_text;
} slack_confirm_settings;

typedef struct {
    str type, text, url, style, name, value;
    bool has_confirm;
    slack_confirm_settings confirm;
} slack_action_settings;

typedef struct {
    bool send_resolved, has_http;
    prometheus_http http;
    str api_url, api_url_file;
    str channel, username, color, title, title_link, pretext, text, footer, fallback, callback_id;
    str icon_emoji, icon_url, image_url, thumb_url;
    section_list fields, actions;
    bool short_fields, link_names;
    text_list mrkdwn_in;
    int64_t timeout;
} slack_settings;

enum { OTHER_KINDS_MAX = 16 };

typedef struct {
    str name;
    section_list webhook_configs, email_configs, slack_configs;
    value others[OTHER_KINDS_MAX]; /* kinds that are refused */
} receiver_settings;

typedef struct {
    text_list target_matchers, source_matchers, equal;
    pair_list target_match, target_match_re, source_match, source_match_re;
} inhibit_settings;

typedef struct {
    str name;
    section_list intervals; /* of interval_settings */
} named_interval_settings;

typedef struct {
    global_settings global;
    bool has_route;
    route_settings route;
    section_list receivers, inhibit_rules;
    section_list time_intervals, mute_time_intervals; /* of named_interval_settings */
    text_list templates;
} file_settings;
extern const option_table notify_file_options;
/* The n-th kind of receiver that is refused; NULL: no more. */
const char *notify_other_kind(unsigned n);

/* ---- what is made of it ---- */

typedef enum { NOTIFY_WEBHOOK, NOTIFY_EMAIL, NOTIFY_SLACK, NOTIFY_KINDS } notify_kind;
enum { IDLE_CLIENTS = 2 };
extern const char *const notify_kind_names[NOTIFY_KINDS]; /* "webhook", … */

typedef struct {
    notify_kind kind;
    uint32_t index; /* among those of its kind and receiver */
    bool send_resolved;
    const struct receiver *receiver;
    union {
        const webhook_settings *webhook;
        const email_settings *email; /* with global's values where it has none */
        const slack_settings *slack;
    };
    const prometheus_http *http; /* not of email */
    int64_t timeout_ns;
    unsigned running; /* requests now; under the alertmanager's lock, as the next */
    enum { TARGET_NEW, TARGET_ANSWERS, TARGET_FAILS } state; /* by the newest request */
    _Atomic(struct http_client *) idle[IDLE_CLIENTS]; /* with connections that are open still */
} integration;
void integration_done(integration *g); /* closes its connections */

typedef struct receiver {
    str name;
    integration *integrations;
    uint32_t count;
} receiver;

typedef struct {
    const interval *const *items; /* any of them */
    uint32_t count;
    str name;
} named_interval;

typedef struct {
    const named_interval **items;
    uint32_t count;
} interval_list;

typedef struct route route;
struct route {
    const route *parent;
    receiver *receiver;
    name_list group_by; /* sorted */
    bool group_by_all;
    int64_t group_wait_ms, group_interval_ms, repeat_interval_ms;
    notify_matchers matchers;
    bool continues;
    interval_list mute, active;
    route *routes;
    uint32_t route_count;
    str key; /* {}/{severity="critical"} */
    uint32_t number;
};

typedef struct {
    notify_matchers source, target;
    name_list equal;
} inhibit_rule;

typedef struct {
    atomic_uint references;
    arena arena;
    str path;     /* empty: built in */
    str original; /* YAML as it may be shown */
    uint64_t hash;
    route root;
    uint32_t route_count;
    receiver *receivers;
    uint32_t receiver_count;
    inhibit_rule *inhibit_rules;
    uint32_t inhibit_count;
    named_interval *intervals;
    uint32_t interval_count;
    int64_t resolve_timeout_ms;
    str smtp_hello;
    template_set *templates;
    uint64_t watched;         /* hash of names, sizes and times of the files it was read from */
    text_list template_files; /* patterns */
} config;

typedef void config_issue(void *user, bool warning, const char *text);

/* path NULL: the built-in one, whose only receiver tells nobody. */
MUST_USE status notify_config_read(config **ret, const char *path, config_issue *issue, void *user,
                                   error *err);
/* The same of a text; path is for messages, and for names beside it. */
MUST_USE status notify_config_parse(config **ret, const char *path, str text, config_issue *issue,
                                    void *user, error *err);
config *notify_config_ref(config *c);
void notify_config_unref(config *c); /* NULL is fine */
/* Of the files as they are now; compare with `watched`. */
uint64_t notify_config_watch(const config *c);
/* YAML of the tree without secrets. */
void notify_config_show(buf *out, const yaml_node *root);
/* Summary for people: receivers, routes, templates. */
void notify_config_describe(const config *c, buf *out);

/* Texts of templates that are always there. */
str notify_default_templates(void);

/* Every templated text of an integration, for checks. */
typedef status template_visit(void *user, const char *option, str text, error *err);
status integration_templates(const integration *i, template_visit *visit, void *user, error *err);

#endif
