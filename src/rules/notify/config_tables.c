// SPDX-License-Identifier: Apache-2.0
/* The tables of Alertmanager's configuration file; names and defaults are Alertmanager's. Kinds of
 * receivers that are not built are known by name, so that the file is refused with the reason. */
#include "rules/notify/config.h"

#define IGNORED(name_, why_) \
    { \
        .name = (name_), .type = OPTION_IGNORED, .help = (why_) \
    }
#define ROW(name_, type_, help_, ...) \
    { \
        .name = (name_), .type = (type_), .help = (help_), __VA_ARGS__ \
    }
#define MEMBER(type_, member_) .offset = offsetof(type_, member_)
#define WHY_KIND               "receivers of this kind are refused"

/* ---- receivers ---- */
#define AT(member) MEMBER(webhook_settings, member)
static const option webhook_rows[] = {
    ROW("send_resolved", OPTION_BOOL, "whether the end of alerts is told", AT(send_resolved),
        .fallback = "true"),
    ROW("url", OPTION_SECRET, "URL that the JSON is posted to", AT(url)),
    ROW("url_file", OPTION_TEXT, "file with that URL, read at each request", AT(url_file)),
    ROW("http_config", OPTION_SECTION, "how requests are made; absent: as global says", AT(http),
        .table = &prometheus_http_options, .present = OPTION_PRESENT(webhook_settings, has_http)),
    ROW("max_alerts", OPTION_INT, "alerts in one notification at most; 0: all", AT(max_alerts),
        .min = 0, .max = 1e6),
    ROW("timeout", OPTION_DURATION, "of one request; 0: 30s", AT(timeout), .min = 0, .max = 3600),
};
#undef AT
static const option_table webhook_options = OPTION_TABLE(webhook_rows, webhook_settings);

#define AT(member) MEMBER(email_settings, member)
static const option email_rows[] = {
    ROW("send_resolved", OPTION_BOOL, "whether the end of alerts is told", AT(send_resolved),
        .fallback = "false"),
    ROW("to", OPTION_TEXT, "addresses, separated by commas; a template", AT(to), .required = true),
    ROW("from", OPTION_TEXT, "sender; absent: smtp_from", AT(from)),
    ROW("hello", OPTION_TEXT, "name said in EHLO; absent: smtp_hello", AT(hello)),
    ROW("smarthost", OPTION_TEXT, "HOST:PORT of the SMTP server; absent: smtp_smarthost",
        AT(smarthost)),
    ROW("auth_username", OPTION_TEXT, "user; absent: smtp_auth_username", AT(auth_username)),
    ROW("auth_password", OPTION_SECRET, "password; absent: smtp_auth_password", AT(auth_password)),
    ROW("auth_password_file", OPTION_TEXT, "file with the password", AT(auth_password_file)),
    ROW("auth_secret", OPTION_SECRET, "of CRAM-MD5; absent: smtp_auth_secret", AT(auth_secret)),
    ROW("auth_identity", OPTION_TEXT, "identity of PLAIN; absent: smtp_auth_identity",
        AT(auth_identity)),
    ROW("headers", OPTION_PAIRS, "more headers, or others; templates", AT(headers)),
    ROW("html", OPTION_TEXT, "HTML body; a template", AT(html),
        .fallback = "{{ template \"email.default.html\" . }}"),
    ROW("text", OPTION_TEXT, "text body; a template", AT(text),
        .fallback = "{{ template \"email.default.text\" . }}"),
    ROW("require_tls", OPTION_BOOL, "STARTTLS or nothing; absent: smtp_require_tls",
        AT(require_tls), .present = OPTION_PRESENT(email_settings, has_require_tls)),
    ROW("tls_config", OPTION_SECTION, "of that encryption; absent: smtp_tls_config", AT(tls),
        .table = &prometheus_tls_options, .present = OPTION_PRESENT(email_settings, has_tls)),
};
#undef AT
static const option_table email_options = OPTION_TABLE(email_rows, email_settings);

#define AT(member) MEMBER(slack_field_settings, member)
static const option field_rows[] = {
    ROW("title", OPTION_TEXT, "title; a template", AT(title), .required = true),
    ROW("value", OPTION_TEXT, "value; a template", AT(value), .required = true),
    ROW("short", OPTION_BOOL, "stands beside others; absent: short_fields", AT(is_short),
        .present = OPTION_PRESENT(slack_field_settings, has_short)),
};
#undef AT
static const option_table field_options = OPTION_TABLE(field_rows, slack_field_settings);

#define AT(member) MEMBER(slack_confirm_settings, member)
static const option confirm_rows[] = {
    ROW("text", OPTION_TEXT, "question; a template", AT(text), .required = true),
    ROW("title", OPTION_TEXT, "title; a template", AT(title)),
    ROW("ok_text", OPTION_TEXT, "yes; a template", AT(ok_text)),
    ROW("dismiss_text", OPTION_TEXT, "no; a template", AT(dismiss_text)),
};
#undef AT
static const option_table confirm_options = OPTION_TABLE(confirm_rows, slack_confirm_settings);

#define AT(member) MEMBER(slack_action_settings, member)
static const option action_rows[] = {
    ROW("type", OPTION_TEXT, "kind of the action; a template", AT(type), .required = true),
    ROW("text", OPTION_TEXT, "text on it; a template", AT(text), .required = true),
    ROW("url", OPTION_TEXT, "where it leads; a template", AT(url)),
    ROW("style", OPTION_TEXT, "default, primary or danger; a template", AT(style)),
    ROW("name", OPTION_TEXT, "name of the action; a template", AT(name)),
    ROW("value", OPTION_TEXT, "value of the action; a template", AT(value)),
    ROW("confirm", OPTION_SECTION, "a question before it", AT(confirm), .table = &confirm_options,
        .present = OPTION_PRESENT(slack_action_settings, has_confirm)),
};
#undef AT
static const option_table action_options = OPTION_TABLE(action_rows, slack_action_settings);

#define AT(member) MEMBER(slack_settings, member)
static const option slack_rows[] = {
    ROW("send_resolved", OPTION_BOOL, "whether the end of alerts is told", AT(send_resolved),
        .fallback = "false"),
    ROW("http_config", OPTION_SECTION, "how requests are made; absent: as global says", AT(http),
        .table = &prometheus_http_options, .present = OPTION_PRESENT(slack_settings, has_http)),
    ROW("api_url", OPTION_SECRET, "URL of the incoming webhook; absent: slack_api_url",
        AT(api_url)),
    ROW("api_url_file", OPTION_TEXT, "file with that URL, read at each request", AT(api_url_file)),
    ROW("channel", OPTION_TEXT, "channel or user; a template", AT(channel)),
    ROW("username", OPTION_TEXT, "shown sender; a template", AT(username),
        .fallback = "{{ template \"slack.default.username\" . }}"),
    ROW("color", OPTION_TEXT, "color beside the text; a template", AT(color),
        .fallback = "{{ if eq .Status \"firing\" }}danger{{ else }}good{{ end }}"),
    ROW("title", OPTION_TEXT, "title; a template", AT(title),
        .fallback = "{{ template \"slack.default.title\" . }}"),
    ROW("title_link", OPTION_TEXT, "where it leads; a template", AT(title_link),
        .fallback = "{{ template \"slack.default.titlelink\" . }}"),
    ROW("pretext", OPTION_TEXT, "text above; a template", AT(pretext),
        .fallback = "{{ template \"slack.default.pretext\" . }}"),
    ROW("text", OPTION_TEXT, "text; a template", AT(text),
        .fallback = "{{ template \"slack.default.text\" . }}"),
    ROW("footer", OPTION_TEXT, "text below; a template", AT(footer),
        .fallback = "{{ template \"slack.default.footer\" . }}"),
    ROW("fallback", OPTION_TEXT, "for clients that show text only; a template", AT(fallback),
        .fallback = "{{ template \"slack.default.fallback\" . }}"),
    ROW("callback_id", OPTION_TEXT, "id for actions; a template", AT(callback_id),
        .fallback = "{{ template \"slack.default.callbackid\" . }}"),
    ROW("icon_emoji", OPTION_TEXT, "icon; a template", AT(icon_emoji),
        .fallback = "{{ template \"slack.default.iconemoji\" . }}"),
    ROW("icon_url", OPTION_TEXT, "icon; a template", AT(icon_url),
        .fallback = "{{ template \"slack.default.iconurl\" . }}"),
    ROW("image_url", OPTION_TEXT, "image; a template", AT(image_url)),
    ROW("thumb_url", OPTION_TEXT, "small image; a template", AT(thumb_url)),
    ROW("fields", OPTION_SECTIONS, "short texts in columns", AT(fields), .table = &field_options),
    ROW("actions", OPTION_SECTIONS, "buttons", AT(actions), .table = &action_options),
    ROW("short_fields", OPTION_BOOL, "fields stand beside each other", AT(short_fields),
        .fallback = "false"),
    ROW("link_names", OPTION_BOOL, "names of channels and users become links", AT(link_names),
        .fallback = "false"),
    ROW("mrkdwn_in", OPTION_TEXTS, "parts that are Markdown", AT(mrkdwn_in),
        .fallback = "[fallback, pretext, text]"),
    ROW("timeout", OPTION_DURATION, "of one request; 0: 30s", AT(timeout), .min = 0, .max = 3600),
};
#undef AT
static const option_table slack_options = OPTION_TABLE(slack_rows, slack_settings);

static const char *const other_kinds[] = {
    "discord_configs",   "incidentio_configs", "jira_configs",     "mattermost_configs",
    "msteams_configs",   "msteamsv2_configs",  "opsgenie_configs", "pagerduty_configs",
    "pushover_configs",  "rocketchat_configs", "sns_configs",      "telegram_configs",
    "victorops_configs", "webex_configs",      "wechat_configs",   NULL,
};

const char *notify_other_kind(unsigned n)
{
    return n < ARRAY_LEN(other_kinds) ? other_kinds[n] : NULL;
}

#define AT(member) MEMBER(receiver_settings, member)
static const option receiver_rows[] = {
    ROW("name", OPTION_TEXT, "name, by which routes choose it", AT(name), .required = true),
    ROW("webhook_configs", OPTION_SECTIONS, "HTTP requests with JSON", AT(webhook_configs),
        .table = &webhook_options),
    ROW("email_configs", OPTION_SECTIONS, "mails", AT(email_configs), .table = &email_options),
    ROW("slack_configs", OPTION_SECTIONS, "messages in Slack", AT(slack_configs),
        .table = &slack_options),
    ROW("discord_configs", OPTION_VALUE, "refused: not built", AT(others[0])),
    ROW("incidentio_configs", OPTION_VALUE, "refused: not built", AT(others[1])),
    ROW("jira_configs", OPTION_VALUE, "refused: not built", AT(others[2])),
    ROW("mattermost_configs", OPTION_VALUE, "refused: not built", AT(others[3])),
    ROW("msteams_configs", OPTION_VALUE, "refused: not built", AT(others[4])),
    ROW("msteamsv2_configs", OPTION_VALUE, "refused: not built", AT(others[5])),
    ROW("opsgenie_configs", OPTION_VALUE, "refused: not built", AT(others[6])),
    ROW("pagerduty_configs", OPTION_VALUE, "refused: not built", AT(others[7])),
    ROW("pushover_configs", OPTION_VALUE, "refused: not built", AT(others[8])),
    ROW("rocketchat_configs", OPTION_VALUE, "refused: not built", AT(others[9])),
    ROW("sns_configs", OPTION_VALUE, "refused: not built", AT(others[10])),
    ROW("telegram_configs", OPTION_VALUE, "refused: not built", AT(others[11])),
    ROW("victorops_configs", OPTION_VALUE, "refused: not built", AT(others[12])),
    ROW("webex_configs", OPTION_VALUE, "refused: not built", AT(others[13])),
    ROW("wechat_configs", OPTION_VALUE, "refused: not built", AT(others[14])),
};
#undef AT
static const option_table receiver_options = OPTION_TABLE(receiver_rows, receiver_settings);

/* ---- routes and rules ---- */

static const option_table route_options; /* routes have routes */

#define AT(member) MEMBER(route_settings, member)
static const option route_rows[] = {
    ROW("receiver", OPTION_TEXT, "who is told; absent: as the route above", AT(receiver)),
    ROW("group_by", OPTION_TEXTS, "labels whose values make a group; ...: all", AT(group_by)),
    ROW("group_wait", OPTION_DURATION,
        "wait for others before a group is told first; absent: as above, 30s", AT(group_wait),
        .fallback = "-1ns"),
    ROW("group_interval", OPTION_DURATION, "between notifications of changes; absent: as above, 5m",
        AT(group_interval), .fallback = "-1ns"),
    ROW("repeat_interval", OPTION_DURATION, "after which it is told again; absent: as above, 4h",
        AT(repeat_interval), .fallback = "-1ns"),
    ROW("matchers", OPTION_TEXTS, "what alerts must match", AT(matchers)),
    ROW("match", OPTION_PAIRS, "older form: labels and values", AT(match)),
    ROW("match_re", OPTION_PAIRS, "older form: labels and regular expressions", AT(match_re)),
    ROW("continue", OPTION_BOOL, "whether the routes after it are tried too", AT(continues),
        .fallback = "false"),
    ROW("mute_time_intervals", OPTION_TEXTS, "when nothing is told", AT(mute_time_intervals)),
    ROW("active_time_intervals", OPTION_TEXTS, "only when something is told",
        AT(active_time_intervals)),
    ROW("routes", OPTION_SECTIONS, "tried before this one", AT(routes), .table = &route_options),
};
#undef AT
static const option_table route_options = OPTION_TABLE(route_rows, route_settings);

#define AT(member) MEMBER(inhibit_settings, member)
static const option inhibit_rows[] = {
    ROW("target_matchers", OPTION_TEXTS, "alerts that are muted", AT(target_matchers)),
    ROW("source_matchers", OPTION_TEXTS, "while such a one fires", AT(source_matchers)),
    ROW("equal", OPTION_TEXTS, "and these labels are equal", AT(equal)),
    ROW("target_match", OPTION_PAIRS, "older form of target_matchers", AT(target_match)),
    ROW("target_match_re", OPTION_PAIRS, "older form of target_matchers", AT(target_match_re)),
    ROW("source_match", OPTION_PAIRS, "older form of source_matchers", AT(source_match)),
    ROW("source_match_re", OPTION_PAIRS, "older form of source_matchers", AT(source_match_re)),
};
#undef AT
static const option_table inhibit_options = OPTION_TABLE(inhibit_rows, inhibit_settings);

#define AT(member) MEMBER(named_interval_settings, member)
static const option named_rows[] = {
    ROW("name", OPTION_TEXT, "name, by which routes choose it", AT(name), .required = true),
    ROW("time_intervals", OPTION_SECTIONS, "any of which holds", AT(intervals),
        .table = &interval_options),
};
#undef AT
static const option_table named_options = OPTION_TABLE(named_rows, named_interval_settings);

/* ---- the file ---- */

#define AT(member) MEMBER(global_settings, member)
static const option global_rows[] = {
    ROW("smtp_from", OPTION_TEXT, "sender of mails", AT(smtp_from)),
    ROW("smtp_hello", OPTION_TEXT, "name said in EHLO", AT(smtp_hello), .fallback = "localhost"),
    ROW("smtp_smarthost", OPTION_TEXT, "HOST:PORT of the SMTP server", AT(smtp_smarthost)),
    ROW("smtp_auth_username", OPTION_TEXT, "user", AT(smtp_auth_username)),
    ROW("smtp_auth_password", OPTION_SECRET, "password", AT(smtp_auth_password)),
    ROW("smtp_auth_password_file", OPTION_TEXT, "file with the password",
        AT(smtp_auth_password_file)),
    ROW("smtp_auth_secret", OPTION_SECRET, "secret of CRAM-MD5", AT(smtp_auth_secret)),
    ROW("smtp_auth_identity", OPTION_TEXT, "identity of PLAIN", AT(smtp_auth_identity)),
    ROW("smtp_require_tls", OPTION_BOOL, "STARTTLS or nothing", AT(smtp_require_tls),
        .fallback = "true"),
    ROW("smtp_tls_config", OPTION_SECTION, "of that encryption", AT(smtp_tls_config),
        .table = &prometheus_tls_options, .present = OPTION_PRESENT(global_settings, has_smtp_tls)),
    ROW("slack_api_url", OPTION_SECRET, "URL of the incoming webhook", AT(slack_api_url)),
    ROW("slack_api_url_file", OPTION_TEXT, "file with that URL", AT(slack_api_url_file)),
    ROW("resolve_timeout", OPTION_DURATION,
        "after which an alert without an end is over unless it is given again", AT(resolve_timeout),
        .fallback = "5m", .min = 0.001, .max = 31536000),
    ROW("http_config", OPTION_SECTION, "how requests are made", AT(http),
        .table = &prometheus_http_options, .present = OPTION_PRESENT(global_settings, has_http)),
    IGNORED("pagerduty_url", WHY_KIND),
    IGNORED("opsgenie_api_url", WHY_KIND),
    IGNORED("opsgenie_api_key", WHY_KIND),
    IGNORED("opsgenie_api_key_file", WHY_KIND),
    IGNORED("victorops_api_url", WHY_KIND),
    IGNORED("victorops_api_key", WHY_KIND),
    IGNORED("victorops_api_key_file", WHY_KIND),
    IGNORED("wechat_api_url", WHY_KIND),
    IGNORED("wechat_api_secret", WHY_KIND),
    IGNORED("wechat_api_corp_id", WHY_KIND),
    IGNORED("webex_api_url", WHY_KIND),
    IGNORED("telegram_api_url", WHY_KIND),
    IGNORED("jira_api_url", WHY_KIND),
    IGNORED("rocketchat_api_url", WHY_KIND),
    IGNORED("rocketchat_token", WHY_KIND),
    IGNORED("rocketchat_token_file", WHY_KIND),
    IGNORED("rocketchat_token_id", WHY_KIND),
    IGNORED("rocketchat_token_id_file", WHY_KIND),
    IGNORED("mattermost_webhook_url", WHY_KIND),
    IGNORED("mattermost_webhook_url_file", WHY_KIND),
};
#undef AT
static const option_table global_options = OPTION_TABLE(global_rows, global_settings);

#define AT(member) MEMBER(file_settings, member)
static const option file_rows[] = {
    ROW("global", OPTION_SECTION, "what holds where nothing else is said", AT(global),
        .table = &global_options),
    ROW("route", OPTION_SECTION, "the root of the tree of routes", AT(route),
        .table = &route_options, .present = OPTION_PRESENT(file_settings, has_route)),
    ROW("receivers", OPTION_SECTIONS, "who can be told", AT(receivers), .table = &receiver_options),
    ROW("inhibit_rules", OPTION_SECTIONS, "alerts that mute others", AT(inhibit_rules),
        .table = &inhibit_options),
    ROW("time_intervals", OPTION_SECTIONS, "times with a name", AT(time_intervals),
        .table = &named_options),
    ROW("mute_time_intervals", OPTION_SECTIONS, "older name of time_intervals",
        AT(mute_time_intervals), .table = &named_options),
    ROW("templates", OPTION_TEXTS, "files with templates; * in names stands for any text",
        AT(templates)),
};
#undef AT
const option_table notify_file_options = OPTION_TABLE(file_rows, file_settings);
