// SPDX-License-Identifier: Apache-2.0
/* What a notification says: what its alerts have in common, the data that templates see, and the
 * expansion of an integration's texts. */
#include "rules/notify/state.h"

const char *content_status(const notification *n)
{
    for (uint32_t i = 0; i < n->count; i++)
        if (!is_resolved(n->alerts[i], n->now_ms))
            return "firing";
    return "resolved";
}

/* ---- what the alerts have in common ---- */

static labels labels_of(const kept_alert *a, bool annotations)
{
    return annotations ? a->annotations : a->labels;
}

static bool has_label(labels l, const label *wanted)
{
    for (uint32_t i = 0; i < l.count; i++)
        if (str_eq(l.items[i].name, wanted->name))
            return str_eq(l.items[i].value, wanted->value);
    return false;
}

static bool make_common(notification *n, bool annotations, labels *ret)
{
    labels first = n->count ? labels_of(n->alerts[0], annotations) : (labels){ 0 };
    label *items = ARENA_ARRAY(n->arena, label, MAX(first.count, 1u));
    uint32_t count = 0;
    for (uint32_t i = 0; items && i < first.count; i++) {
        bool common = true;
        for (uint32_t k = 1; common && k < n->count; k++)
            common = has_label(labels_of(n->alerts[k], annotations), &first.items[i]);
        if (common)
            items[count++] = first.items[i];
    }
    *ret = (labels){ items, count };
    return items != NULL;
}

/* ---- data for templates ---- */

enum { ALERT_MEMBERS = 7, DATA_MEMBERS = 8 };

static bool label_map(const notification *n, labels l, template_value *ret)
{
    return template_label_map(n->arena, l.items, l.count, &template_type_kv, ret);
}

static bool alert_value(const notification *n, const kept_alert *a, template_value *ret)
{
    template_member *m = ARENA_ARRAY(n->arena, template_member, ALERT_MEMBERS);
    bool resolved = is_resolved(a, n->now_ms);
    str fingerprint = arena_fmt(n->arena, "%016llx", (unsigned long long)a->fingerprint);
    if (!m || !fingerprint.ptr)
        return false;
    m[0] = (template_member){ STR("Status"),
                              template_text(resolved ? STR("resolved") : STR("firing")) };
    m[1].name = STR("Labels");
    m[2].name = STR("Annotations");
    m[3] = (template_member){ STR("StartsAt"), template_time(a->starts_ms * NS_PER_MS) };
    m[4] = (template_member){ STR("EndsAt"), template_time(resolved ? a->ends_ms * NS_PER_MS : 0) };
    m[5] = (template_member){ STR("GeneratorURL"), template_text(a->generator) };
    m[6] = (template_member){ STR("Fingerprint"), template_text(fingerprint) };
    *ret = template_struct(m, ALERT_MEMBERS, &template_type_alert);
    return label_map(n, a->labels, &m[1].value) && label_map(n, a->annotations, &m[2].value);
}

static bool make_data(notification *n)
{
    template_member *m = ARENA_ARRAY(n->arena, template_member, DATA_MEMBERS);
    template_value *alerts = ARENA_ARRAY(n->arena, template_value, n->count + 1);
    if (!m || !alerts)
        return false;
    for (uint32_t i = 0; i < n->count; i++)
        if (!alert_value(n, n->alerts[i], &alerts[i]))
            return false;
    m[0] = (template_member){ STR("Receiver"), template_text(n->integration->receiver->name) };
    m[1] = (template_member){ STR("Status"), template_text(str_c(content_status(n))) };
    m[2] =
        (template_member){ STR("Alerts"), template_list(alerts, n->count, &template_type_alerts) };
    m[3].name = STR("GroupLabels");
    m[4].name = STR("CommonLabels");
    m[5].name = STR("CommonAnnotations");
    m[6] = (template_member){ STR("ExternalURL"), template_text(n->external_url) };
    m[7] = (template_member){ STR("TruncatedAlerts"),
                              { .kind = TEMPLATE_INT, .integer = n->truncated } };
    n->data = template_struct(m, DATA_MEMBERS, &template_type_data);
    return label_map(n, n->group_labels, &m[3].value) &&
           label_map(n, n->common_labels, &m[4].value) &&
           label_map(n, n->common_annotations, &m[5].value);
}

/* ---- expansion ---- */

status content_expand(const notification *n, str text, bool html, str *ret, error *err)
{
    buf out;
    *ret = text;
    if (!str_contains(text, STR("{{")))
        return STATUS_OK;
    template_set *set = template_set_extend(n->config->templates, n->arena);
    template_context context = {
        .now_ms = n->now_ms, .external_url = n->external_url, .html = html, .output_limit = MiB(1)
    };
    if (!set)
        return fail(err, STATUS_LIMIT, "no memory for a template");
    buf_init(&out, MiB(1));
    status st = template_parse(set, STR("text"), text, err);
    if (st == STATUS_OK)
        st = template_execute(set, STR("text"), &n->data, &context, n->arena, &out, err);
    if (st == STATUS_OK) {
        *ret = arena_str(n->arena, buf_view(&out));
        if (!ret->ptr)
            st = fail(err, STATUS_LIMIT, "no memory for a notification");
    }
    buf_done(&out);
    return st;
}

static status (*const makers[NOTIFY_KINDS])(const notification *n, buf *out, error *err) = {
    [NOTIFY_WEBHOOK] = webhook_content,
    [NOTIFY_EMAIL] = email_content,
    [NOTIFY_SLACK] = slack_content,
};

status content_make(notification *n, buf *out, error *err)
{
    if (n->integration->kind == NOTIFY_WEBHOOK) {
        uint32_t most = (uint32_t)n->integration->webhook->max_alerts;
        n->truncated = most && n->count > most ? n->count - most : 0;
        n->count -= n->truncated;
    }
    if (!make_common(n, false, &n->common_labels) ||
        !make_common(n, true, &n->common_annotations) || !make_data(n))
        return fail(err, STATUS_LIMIT, "the notification is larger than %d MiB of memory",
                    CONTENT_MEMORY >> 20);
    status st = makers[n->integration->kind](n, out, err);
    return st == STATUS_OK ? buf_check(out, err, "a notification") : st;
}
