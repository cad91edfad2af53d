// SPDX-License-Identifier: Apache-2.0
/* /api/v1/rules, /api/v1/alerts and /api/v1/alertmanagers, in Prometheus's shapes. */
#include "api/prometheus.h"
#include "base/clock.h"
#include "query/promql/ast.h"
#include "rules/notify/notify.h"
#include "rules/rules.h"
#include "store/match.h"

#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- values ---- */

/* As Go marshals a time: nanoseconds without zeros at their end. */
static void put_time(json_writer *w, int64_t time_ns)
{
    char text[64];
    buf b = { .ptr = text, .cap = sizeof(text), .limit = sizeof(text) };
    if (!time_ns) {
        json_str(w, STR("0001-01-01T00:00:00Z"));
        return;
    }
    clock_format_rfc3339(&b, time_ns, time_ns % NS_PER_S ? 9 : 0);
    if (time_ns % NS_PER_S) {
        size_t n = b.len - 1;
        while (text[n - 1] == '0')
            n--;
        text[n++] = 'Z';
        b.len = n;
    }
    json_str(w, buf_view(&b));
}

/* The shortest text with an exponent that reads back the same: "1e+00", "1.5e-03". */
static void put_value(json_writer *w, double v)
{
    char text[64];
    buf b = { .ptr = text, .cap = sizeof(text), .limit = sizeof(text) };
    if (v - v != 0) {
        buf_f64(&b, v);
        json_str(w, buf_view(&b));
        return;
    }
    for (int digits = 0; digits < 18; digits++) {
        double back;
        snprintf(text, sizeof(text), "%.*e", digits, v);
        if (str_to_f64(str_c(text), &back) && back == v)
            break;
    }
    json_str(w, str_c(text));
}

static void put_alert(json_writer *w, const alert_view *al)
{
    json_begin_object(w);
    json_key(w, STR("labels"));
    labels_to_json(w, al->labels);
    json_key(w, STR("annotations"));
    labels_to_json(w, al->annotations);
    JSON_PUT(w, str, "state", str_c(alert_state_name(al->state)));
    json_key(w, STR("activeAt"));
    put_time(w, al->active_ms * NS_PER_MS);
    if (al->keep_firing_since_ms) {
        json_key(w, STR("keepFiringSince"));
        put_time(w, al->keep_firing_since_ms * NS_PER_MS);
    }
    json_key(w, STR("value"));
    put_value(w, al->value);
    json_end_object(w);
}

/* ---- what was asked for ---- */

typedef struct {
    api_request *r;
    bool alerting, recording, with_alerts;
    match_set *sets; /* one of them must match */
    uint32_t set_count;
    uint64_t group_limit; /* 0: none */
    str next_token;
} wanted;

/* Whether a repeated parameter is absent, or one of it is that text. */
static bool is_named(const wanted *w, const char *parameter, str text)
{
    bool found = true;
    for (unsigned i = 0;; i++) {
        str value = http_param(w->r->x, parameter, i, &found);
        if (!found)
            return i == 0;
        if (str_eq(value, text))
            return true;
    }
}

static bool matches_all(match_set *set, labels l)
{
    for (uint32_t i = 0; i < set->count; i++)
        if (!match_value(set, &set->items[i], labels_get(l, set->items[i].name)))
            return false;
    return true;
}

static bool is_matched(const wanted *w, labels l)
{
    for (uint32_t i = 0; i < w->set_count; i++)
        if (matches_all(&w->sets[i], l))
            return true;
    return w->set_count == 0;
}

static bool is_wanted(const wanted *w, const rule_view *rule)
{
    return (rule->alerting ? w->alerting : w->recording) &&
           is_named(w, "rule_name[]", rule->name) && is_matched(w, rule->labels);
}

static bool read_matchers(wanted *w)
{
    enum { SELECTORS_MAX = 64 };
    api_request *r = w->r;
    bool found = true;
    w->sets = ARENA_ARRAY(r->arena, match_set, SELECTORS_MAX);
    for (unsigned i = 0; w->sets; i++) {
        const promql_node *node;
        str text = http_param(r->x, "match[]", i, &found);
        if (!found)
            return true;
        if (i == SELECTORS_MAX) {
            request_fail(r, STATUS_INVALID, "at most %d parameters match[]", SELECTORS_MAX);
            return false;
        }
        status st = promql_parse_selector(&node, text, r->arena, &r->err);
        if (st == STATUS_OK)
            st = match_set_init(&w->sets[i], node->selector.matchers, node->selector.matcher_count,
                                NULL, 0, &r->err);
        if (st != STATUS_OK) {
            request_fail_status(r, st);
            return false;
        }
        w->set_count++;
    }
    request_fail(r, STATUS_LIMIT, "no memory for the parameters match[]");
    return false;
}

/* Answers with the parameter's name and what is wrong; always false. */
static bool wrong_parameter(const wanted *w, const char *name, const char *format, ...)
    PRINTF_LIKE(3, 4);
static bool wrong_parameter(const wanted *w, const char *name, const char *format, ...)
{
    char why[300];
    va_list list;
    va_start(list, format);
    vsnprintf(why, sizeof(why), format, list);
    va_end(list);
    request_fail(w->r, STATUS_INVALID, "invalid parameter \"%s\": %s", name, why);
    return false;
}

enum { SHOWN = 200 };
#define SHOW(s) (int)MIN((s).len, (size_t)SHOWN), (s).ptr

static bool read_type(wanted *w)
{
    str type = request_param(w->r, "type");
    w->alerting = !type.len || str_eq_nocase(type, STR("alert"));
    w->recording = !type.len || str_eq_nocase(type, STR("record"));
    return w->alerting || w->recording ||
           wrong_parameter(w, "type", "not supported value \"%.*s\"", SHOW(type));
}

/* The words that Go takes for a bool. */
static bool read_exclusion(wanted *w)
{
    static const char *const yes[] = { "1", "t", "true" }, *const no[] = { "", "0", "f", "false" };
    str text = request_param(w->r, "exclude_alerts");
    for (size_t i = 0; i < ARRAY_LEN(yes); i++)
        if (str_eq_nocase(text, str_c(yes[i])))
            return true;
    w->with_alerts = true;
    for (size_t i = 0; i < ARRAY_LEN(no); i++)
        if (str_eq_nocase(text, str_c(no[i])))
            return true;
    return wrong_parameter(w, "exclude_alerts",
                           "error converting exclude_alerts: strconv.ParseBool: parsing "
                           "\"%.*s\": invalid syntax",
                           SHOW(text));
}

static bool read_pages(wanted *w)
{
    str limit = request_param(w->r, "group_limit");
    int64_t number = 0;
    w->next_token = request_param(w->r, "group_next_token");
    if (!limit.len)
        return !w->next_token.len ||
               wrong_parameter(w, "group_next_token",
                               "group_limit needs to be present in order to paginate over the "
                               "groups");
    if (!str_to_i64(limit, &number) || number > INT32_MAX || number < INT32_MIN)
        return wrong_parameter(w, "group_limit",
                               "group_limit needs to be a valid number: strconv.ParseInt: parsing "
                               "\"%.*s\": invalid syntax",
                               SHOW(limit));
    if (number <= 0)
        return wrong_parameter(w, "group_limit", "group_limit needs to be greater than 0");
    w->group_limit = (uint64_t)number;
    return true;
}

/* ---- rules ---- */

typedef struct {
    char text[65];
} group_token;

static group_token token_of(const group_view *g)
{
    group_token t = { "" };
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    buf b;
    buf_init(&b, MiB(1));
    buf_fmt(&b, "%.*s;%.*s", STR_ARG(g->file), STR_ARG(g->name));
    if (EVP_Digest(buf_view(&b).ptr, b.len, digest, &size, EVP_sha256(), NULL) == 1 && size == 32)
        str_to_hex(digest, 32, t.text);
    buf_done(&b);
    return t;
}

static void put_rule(json_writer *w, const rule_view *rule, bool with_alerts)
{
    json_begin_object(w);
    if (rule->alerting)
        JSON_PUT(w, str, "state", str_c(alert_state_name(rule->state)));
    JSON_PUT(w, str, "name", rule->name);
    JSON_PUT(w, str, "query", rule->query);
    if (rule->alerting) {
        JSON_PUT(w, f64, "duration", (double)rule->for_ms / 1000);
        JSON_PUT(w, f64, "keepFiringFor", (double)rule->keep_firing_for_ms / 1000);
    }
    json_key(w, STR("labels"));
    labels_to_json(w, rule->labels);
    if (rule->alerting) {
        json_key(w, STR("annotations"));
        labels_to_json(w, rule->annotations);
        json_key(w, STR("alerts"));
        if (with_alerts) {
            json_begin_array(w);
            for (uint32_t i = 0; i < rule->alert_count; i++)
                put_alert(w, &rule->alerts[i]);
            json_end_array(w);
        } else {
            json_null(w);
        }
    }
    JSON_PUT(w, str, "health", str_c(rule->health));
    if (rule->last_error.len)
        JSON_PUT(w, str, "lastError", rule->last_error);
    JSON_PUT(w, f64, "evaluationTime", (double)rule->evaluation_ns / NS_PER_S);
    json_key(w, STR("lastEvaluation"));
    put_time(w, rule->last_evaluation_ns);
    JSON_PUT(w, str, "type", rule->alerting ? STR("alerting") : STR("recording"));
    json_end_object(w);
}

static void put_group(const wanted *want, const group_view *g)
{
    json_writer *w = &want->r->json;
    json_begin_object(w);
    JSON_PUT(w, str, "name", g->name);
    JSON_PUT(w, str, "file", g->file);
    json_key(w, STR("rules"));
    json_begin_array(w);
    for (uint32_t i = 0; i < g->rule_count; i++)
        if (is_wanted(want, &g->rules[i]))
            put_rule(w, &g->rules[i], want->with_alerts);
    json_end_array(w);
    JSON_PUT(w, f64, "interval", (double)g->interval_ms / 1000);
    JSON_PUT(w, i64, "limit", g->limit);
    JSON_PUT(w, f64, "evaluationTime", (double)g->evaluation_ns / NS_PER_S);
    json_key(w, STR("lastEvaluation"));
    put_time(w, g->last_evaluation_ns);
    json_end_object(w);
}

static bool has_wanted(const wanted *w, const group_view *g)
{
    if (!is_named(w, "rule_group[]", g->name) || !is_named(w, "file[]", g->file))
        return false;
    for (uint32_t i = 0; i < g->rule_count; i++)
        if (is_wanted(w, &g->rules[i]))
            return true;
    return false;
}

/* The group that the token names; false: there is none. */
static bool find_start(const wanted *w, const rules_view *all, uint32_t *ret)
{
    *ret = 0;
    if (!w->next_token.len)
        return true;
    for (; *ret < all->count; (*ret)++)
        if (str_is(w->next_token, token_of(&all->groups[*ret]).text))
            return true;
    return false;
}

static void answer_rules(wanted *w, const rules_view *all)
{
    api_request *r = w->r;
    uint32_t i;
    uint64_t written = 0;
    if (!find_start(w, all, &i)) {
        (void)wrong_parameter(w, "group_next_token",
                              "invalid group_next_token '%.*s'. were rule groups changed?",
                              SHOW(w->next_token));
        return;
    }
    const group_view *next = NULL;
    prometheus_begin(r);
    json_begin_object(&r->json);
    json_key(&r->json, STR("groups"));
    json_begin_array(&r->json);
    for (; i < all->count && !next && request_flush(r); i++) {
        if (!has_wanted(w, &all->groups[i]))
            continue;
        if (w->group_limit && written == w->group_limit)
            next = &all->groups[i];
        else
            put_group(w, &all->groups[i]);
        written++;
    }
    json_end_array(&r->json);
    if (next)
        JSON_PUT(&r->json, str, "groupNextToken", str_c(token_of(next).text));
    json_end_object(&r->json);
    prometheus_end(r);
}

static bool list_rules(api_request *r, bool with_alerts, rules_view *ret)
{
    *ret = (rules_view){ 0 };
    if (!r->api->options.rules)
        return true;
    status st = rules_list(r->api->options.rules, with_alerts, r->arena, ret, &r->err);
    if (st != STATUS_OK)
        request_fail_status(r, st);
    return st == STATUS_OK;
}

void prometheus_rules(api_request *r)
{
    rules_view all;
    wanted w = { .r = r };
    if (read_matchers(&w) && read_type(&w) && read_exclusion(&w) && read_pages(&w) &&
        list_rules(r, w.with_alerts, &all))
        answer_rules(&w, &all);
    for (uint32_t i = 0; i < w.set_count; i++)
        match_set_done(&w.sets[i]);
}

/* ---- alerts ---- */

/* By state, then name, within a group. */
static int compare_rules(const void *a, const void *b)
{
    const rule_view *x = *(const rule_view *const *)a, *y = *(const rule_view *const *)b;
    if (x->state != y->state)
        return x->state > y->state ? -1 : 1;
    int order = str_cmp(x->name, y->name);
    return order ? order : x < y ? -1 : 1;
}

static void put_group_alerts(api_request *r, const group_view *g)
{
    const rule_view **list = ARENA_ARRAY(r->arena, const rule_view *, (size_t)g->rule_count + 1);
    uint32_t n = 0;
    for (uint32_t i = 0; list && i < g->rule_count; i++)
        if (g->rules[i].alert_count)
            list[n++] = &g->rules[i];
    if (n > 1)
        qsort(list, n, sizeof(void *), compare_rules);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < list[i]->alert_count && request_flush(r); j++)
            put_alert(&r->json, &list[i]->alerts[j]);
}

void prometheus_alerts(api_request *r)
{
    rules_view all;
    if (!list_rules(r, true, &all))
        return;
    prometheus_begin(r);
    json_begin_object(&r->json);
    json_key(&r->json, STR("alerts"));
    json_begin_array(&r->json);
    for (uint32_t i = 0; i < all.count && request_flush(r); i++)
        put_group_alerts(r, &all.groups[i]);
    json_end_array(&r->json);
    json_end_object(&r->json);
    prometheus_end(r);
}

void prometheus_alertmanagers(api_request *r)
{
    prometheus_begin(r);
    alert_forwarder_write_targets(r->api->options.alert_forwarder, &r->json);
    prometheus_end(r);
}
