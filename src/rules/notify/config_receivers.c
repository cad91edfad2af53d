// SPDX-License-Identifier: Apache-2.0
/* Receivers of a configuration file: what each is sent by, with what `global` says filled in. */
#include "rules/notify/config_make.h"

#include <stdio.h>

enum { RECEIVERS_MAX = 10000, PATH_SIZE = 200 };

const char *const notify_kind_names[NOTIFY_KINDS] = {
    [NOTIFY_WEBHOOK] = "webhook", [NOTIFY_EMAIL] = "email", [NOTIFY_SLACK] = "slack"
};

/* What one kind is made by. */
typedef struct {
    config_maker *maker;
    const char *path; /* receivers[0].webhook_configs[1] */
    const void *settings;
    integration *to;
} making;

static void wrong(const making *g, const char *option, const char *text)
{
    char path[PATH_SIZE + 80];
    snprintf(path, sizeof(path), "%s%s%s", g->path, *option ? "." : "", option);
    notify_config_wrong(g->maker, path, "%s", text);
}

static bool is_url(str s)
{
    return str_starts(s, STR("http://")) || str_starts(s, STR("https://"));
}

/* path: of the http_config. */
static void check_http(config_maker *m, const char *path, const prometheus_http *http)
{
    char whole[PATH_SIZE + 80];
    const char *option;
    error err;
    if (prometheus_http_check(http, &option, &err) == STATUS_OK)
        return;
    snprintf(whole, sizeof(whole), "%s.%s", path, option);
    notify_config_wrong(m, whole, "%s", err.message);
}

static void take_http(const making *g, bool has_own, const prometheus_http *own)
{
    const global_settings *global = &g->maker->file.global;
    char path[PATH_SIZE + 40];
    g->to->http = has_own || !global->has_http ? own : &global->http; /* global's is checked */
    snprintf(path, sizeof(path), "%s.http_config", g->path);
    if (has_own)
        check_http(g->maker, path, own);
}

static void make_webhook(const making *g)
{
    const webhook_settings *s = g->settings;
    g->to->webhook = s;
    g->to->send_resolved = s->send_resolved;
    g->to->timeout_ns = s->timeout;
    take_http(g, s->has_http, &s->http);
    if (!s->url.len == !s->url_file.len)
        wrong(g, "", "one of url or url_file must be configured");
    else if (s->url.len && !is_url(s->url))
        wrong(g, "url", "the URL must begin with http:// or https://");
}

static str choose(str own, str global)
{
    return own.len ? own : global;
}

static void check_email(const making *g, const email_settings *s)
{
    size_t colon = s->smarthost.len;
    uint64_t port;
    while (colon > 0 && s->smarthost.ptr[colon - 1] != ':')
        colon--;
    if (!s->smarthost.len)
        wrong(g, "", "no global SMTP smarthost set");
    else if (colon < 2 || !str_to_u64(str_slice(s->smarthost, colon, s->smarthost.len), &port) ||
             port == 0 || port > 65535)
        wrong(g, "smarthost", "the SMTP server must be HOST:PORT");
    if (!s->from.len)
        wrong(g, "", "no global SMTP from set");
    if (!s->to.len)
        wrong(g, "to", "missing to address in email config");
}

static void make_email(const making *g)
{
    const global_settings *global = &g->maker->file.global;
    email_settings *s = arena_calloc(&g->maker->config->arena, 1, sizeof(*s));
    if (!s) {
        wrong(g, "", "larger than the memory of a configuration");
        return;
    }
    *s = *(const email_settings *)g->settings;
    s->from = choose(s->from, global->smtp_from);
    s->hello = choose(s->hello, global->smtp_hello);
    s->smarthost = choose(s->smarthost, global->smtp_smarthost);
    s->auth_username = choose(s->auth_username, global->smtp_auth_username);
    if (!s->auth_password.len && !s->auth_password_file.len) {
        s->auth_password = global->smtp_auth_password;
        s->auth_password_file = global->smtp_auth_password_file;
    }
    s->auth_secret = choose(s->auth_secret, global->smtp_auth_secret);
    s->auth_identity = choose(s->auth_identity, global->smtp_auth_identity);
    if (!s->has_require_tls)
        s->require_tls = global->smtp_require_tls;
    if (!s->has_tls && global->has_smtp_tls)
        s->tls = global->smtp_tls_config;
    g->to->email = s;
    g->to->send_resolved = s->send_resolved;
    check_email(g, s);
}

static void make_slack(const making *g)
{
    const global_settings *global = &g->maker->file.global;
    slack_settings *s = arena_calloc(&g->maker->config->arena, 1, sizeof(*s));
    if (!s) {
        wrong(g, "", "larger than the memory of a configuration");
        return;
    }
    *s = *(const slack_settings *)g->settings;
    if (!s->api_url.len && !s->api_url_file.len) {
        s->api_url = global->slack_api_url;
        s->api_url_file = global->slack_api_url_file;
    }
    g->to->slack = s;
    g->to->send_resolved = s->send_resolved;
    g->to->timeout_ns = s->timeout;
    take_http(g, s->has_http, &s->http);
    if (!s->api_url.len && !s->api_url_file.len)
        wrong(g, "", "no global Slack API URL set either inline or in a file");
    else if (s->api_url.len && s->api_url_file.len)
        wrong(g, "", "at most one of api_url and api_url_file must be configured");
    else if (s->api_url.len && !is_url(s->api_url))
        wrong(g, "api_url", "the URL must begin with http:// or https://");
}

static const struct {
    size_t list; /* in receiver_settings */
    size_t size;
    void (*make)(const making *g);
} kinds[NOTIFY_KINDS] = {
    [NOTIFY_WEBHOOK] = { offsetof(receiver_settings, webhook_configs), sizeof(webhook_settings),
                         make_webhook },
    [NOTIFY_EMAIL] = { offsetof(receiver_settings, email_configs), sizeof(email_settings),
                       make_email },
    [NOTIFY_SLACK] = { offsetof(receiver_settings, slack_configs), sizeof(slack_settings),
                       make_slack },
};

static void refuse_others(config_maker *m, uint32_t number, const receiver_settings *s)
{
    for (unsigned i = 0; notify_other_kind(i); i++) {
        char path[PATH_SIZE];
        if (s->others[i].type == VALUE_EMPTY)
            continue;
        snprintf(path, sizeof(path), "receivers[%u].%s", number, notify_other_kind(i));
        notify_config_wrong(
            m, path,
            "receivers of this kind are not built; webhook_configs, email_configs and "
            "slack_configs are");
    }
}

static void make_receiver(config_maker *m, uint32_t number, const receiver_settings *s, receiver *r)
{
    char path[PATH_SIZE];
    uint32_t total = s->webhook_configs.count + s->email_configs.count + s->slack_configs.count;
    r->name = s->name;
    r->integrations = ARENA_ARRAY(&m->config->arena, integration, MAX(total, 1u));
    snprintf(path, sizeof(path), "receivers[%u].name", number);
    if (!s->name.len || str_find_char(s->name, '\n') != SIZE_MAX)
        notify_config_wrong(m, path, "missing name in receiver");
    for (uint32_t i = 0; i < number; i++)
        if (str_eq(m->config->receivers[i].name, s->name))
            notify_config_wrong(m, path, "notification config name \"%.*s\" is not unique",
                                STR_ARG(str_slice(s->name, 0, 80)));
    refuse_others(m, number, s);
    if (!r->integrations) {
        notify_config_wrong(m, path, "larger than the memory of a configuration");
        return;
    }
    for (int kind = 0; kind < NOTIFY_KINDS; kind++) {
        const section_list *list =
            (const section_list *)(const void *)((const char *)s + kinds[kind].list);
        for (uint32_t i = 0; i < list->count; i++) {
            integration *to = &r->integrations[r->count++];
            *to = (integration){ .kind = (notify_kind)kind, .index = i, .receiver = r };
            snprintf(path, sizeof(path), "receivers[%u].%s_configs[%u]", number,
                     notify_kind_names[kind], i);
            kinds[kind].make(
                &(making){ m, path, (const char *)list->items + i * kinds[kind].size, to });
        }
    }
}

void notify_config_make_receivers(config_maker *m)
{
    const receiver_settings *s = m->file.receivers.items;
    uint32_t count = m->file.receivers.count;
    config *c = m->config;
    c->smtp_hello = m->file.global.smtp_hello;
    if (m->file.global.has_http)
        check_http(m, "global.http_config", &m->file.global.http);
    if (count > RECEIVERS_MAX) {
        notify_config_wrong(m, "receivers", "more than %d receivers", RECEIVERS_MAX);
        return;
    }
    c->receivers = ARENA_ARRAY(&c->arena, receiver, MAX(count, 1u));
    if (!c->receivers) {
        notify_config_wrong(m, "receivers", "larger than the memory of a configuration");
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        make_receiver(m, i, &s[i], &c->receivers[i]);
        c->receiver_count = i + 1;
    }
}

/* ---- templated texts ---- */

typedef struct {
    const char *name;
    size_t offset;
} text_at;

static const text_at email_texts[] = {
    { "to", offsetof(email_settings, to) },
    { "from", offsetof(email_settings, from) },
    { "html", offsetof(email_settings, html) },
    { "text", offsetof(email_settings, text) },
};
#define SLACK_TEXT(name_) \
    { \
#name_, offsetof(slack_settings, name_) \
    }
static const text_at slack_texts[] = {
    SLACK_TEXT(channel),     SLACK_TEXT(username),   SLACK_TEXT(color),    SLACK_TEXT(title),
    SLACK_TEXT(title_link),  SLACK_TEXT(pretext),    SLACK_TEXT(text),     SLACK_TEXT(footer),
    SLACK_TEXT(callback_id), SLACK_TEXT(icon_emoji), SLACK_TEXT(icon_url), SLACK_TEXT(image_url),
    SLACK_TEXT(thumb_url),   SLACK_TEXT(fallback),
};

static status visit_texts(const text_at *texts, size_t count, const void *settings,
                          template_visit *visit, void *user, error *err)
{
    status st = STATUS_OK;
    for (size_t i = 0; i < count && st == STATUS_OK; i++) {
        const char *at = (const char *)settings + texts[i].offset;
        st = visit(user, texts[i].name, *(const str *)(const void *)at, err);
    }
    return st;
}

static status visit_email(const email_settings *s, template_visit *visit, void *user, error *err)
{
    status st = visit_texts(email_texts, ARRAY_LEN(email_texts), s, visit, user, err);
    for (uint32_t i = 0; i < s->headers.count && st == STATUS_OK; i++)
        st = visit(user, "headers", s->headers.items[i].value, err);
    return st;
}

static status visit_slack(const slack_settings *s, template_visit *visit, void *user, error *err)
{
    const slack_field_settings *f = s->fields.items;
    const slack_action_settings *a = s->actions.items;
    status st = visit_texts(slack_texts, ARRAY_LEN(slack_texts), s, visit, user, err);
    for (uint32_t i = 0; i < s->fields.count && st == STATUS_OK; i++) {
        st = visit(user, "fields", f[i].title, err);
        if (st == STATUS_OK)
            st = visit(user, "fields", f[i].value, err);
    }
    for (uint32_t i = 0; i < s->actions.count && st == STATUS_OK; i++) {
        const str texts[] = { a[i].type, a[i].text,  a[i].url,          a[i].style,
                              a[i].name, a[i].value, a[i].confirm.text, a[i].confirm.title };
        for (size_t k = 0; k < ARRAY_LEN(texts) && st == STATUS_OK; k++)
            st = visit(user, "actions", texts[k], err);
    }
    return st;
}

status integration_templates(const integration *i, template_visit *visit, void *user, error *err)
{
    switch (i->kind) {
    case NOTIFY_EMAIL:
        return i->email ? visit_email(i->email, visit, user, err) : STATUS_OK;
    case NOTIFY_SLACK:
        return i->slack ? visit_slack(i->slack, visit, user, err) : STATUS_OK;
    default:
        return STATUS_OK; /* a webhook's JSON is fixed */
    }
}
