// SPDX-License-Identifier: Apache-2.0
/* Labels and annotations of alerts: what their templates know, and the text that stands in for one
 * that fails. */
#include "query/promql/histogram.h"
#include "rules/template_internal.h"

/* Goes before each text; errors count positions from its beginning, as Prometheus's do. */
#define DEFINITIONS \
    "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}" \
    "{{$externalURL := .ExternalURL}}{{$value := .Value}}"

status template_parse_alert(template_set **ret, arena *a, str alert_name, str text, error *err)
{
    template_set *set = template_set_new(a, TEMPLATE_PROMETHEUS);
    str name = arena_fmt(a, "__alert_%.*s", STR_ARG(alert_name));
    str whole = arena_fmt(a, DEFINITIONS "%.*s", STR_ARG(text));
    if (!set || !name.ptr || !whole.ptr)
        return fail(err, STATUS_LIMIT, "no memory for a template");
    status st = template_parse(set, name, whole, err);
    set->alert = name;
    if (st == STATUS_OK)
        *ret = set;
    return st;
}

bool template_histogram(arena *a, const histogram *h, template_value *ret)
{
    buf b;
    buf_init(&b, MiB(1));
    histogram_print(&b, h);
    str text = b.failed ? (str){ NULL, 0 } : arena_str(a, buf_view(&b));
    buf_done(&b);
    *ret = (template_value){ .kind = TEMPLATE_OTHER, .text = text };
    return text.ptr != NULL;
}

static bool alert_data(arena *a, const template_alert *alert, const template_context *context,
                       template_value *ret)
{
    template_member *members = ARENA_ARRAY(a, template_member, 4);
    if (!members)
        return false;
    members[0].name = STR("Labels");
    members[1].name = STR("ExternalLabels");
    members[2] = (template_member){ STR("ExternalURL"), template_text(context->external_url) };
    members[3] = (template_member){ STR("Value"), template_number(alert->value) };
    *ret = template_struct(members, 4, &template_type_rule);
    if (alert->histogram && !template_histogram(a, alert->histogram, &members[3].value))
        return false;
    return template_label_map(a, alert->labels.items, alert->labels.count, &template_type_labels,
                              &members[0].value) &&
           template_label_map(a, alert->external_labels.items, alert->external_labels.count,
                              &template_type_labels, &members[1].value);
}

status template_expand_alert(const template_set *set, const template_alert *data,
                             const template_context *context, arena *a, buf *out, error *err)
{
    error own = { 0 };
    error *problem = err ? err : &own;
    template_value dot;
    status st;
    if (alert_data(a, data, context, &dot))
        st = template_execute(set, set->alert, &dot, context, a, out, problem);
    else
        st = fail(problem, STATUS_LIMIT, "no memory for the alert's labels");
    if (st == STATUS_OK)
        return st;
    buf_fmt(out, "<error expanding template: error executing template %.*s: %s>",
            STR_ARG(set->alert), problem->message);
    return st;
}
