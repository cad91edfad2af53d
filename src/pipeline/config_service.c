// SPDX-License-Identifier: Apache-2.0
/* service.extensions, service.pipelines, service.telemetry, and what must hold between them and the
 * components. See config_read.h. */
#include "pipeline/config_read.h"

static const char *const signal_names[SIGNAL_COUNT] = { "logs", "metrics", "traces" };

/* ---- references by id ---- */

/* Ids of a kind (and of connectors beside it), to suggest one. */
static void not_defined(config_reader *r, const char *who, component_kind kind, str id,
                        const yaml_node *at)
{
    const config *c = r->c;
    const char *names[64];
    size_t count = 0;
    buf b;
    for (uint32_t i = 0; i < c->component_count && count < ARRAY_LEN(names); i++) {
        component_kind k = c->components[i].kind;
        bool side =
            (kind == COMPONENT_RECEIVER || kind == COMPONENT_EXPORTER) && k == COMPONENT_CONNECTOR;
        if (k == kind || side)
            names[count++] = c->components[i].id;
    }
    buf_init(&b, 3000);
    option_suggest(&b, id, names, count);
    config_error(r, at, "%s: %s \"%.*s\" is not defined in %s%.*s", who, component_kind_name(kind),
                 (int)MIN(id.len, (size_t)80), id.ptr, config_sections[kind],
                 STR_ARG(buf_view(&b)));
    buf_done(&b);
}

static const yaml_node *list_of(config_reader *r, const char *who, const char *name,
                                const yaml_node *n)
{
    if (n && n->tree)
        n = n->tree;
    if (yaml_is_null(n))
        return NULL;
    if (n->kind == YAML_SEQUENCE)
        return n;
    config_error(r, n, "%s: %s wants a list of ids, not %s", who, name, yaml_kind_name(n));
    return NULL;
}

/* Finds each id of a list; connectors count for receivers and exporters. */
static void read_ids(config_reader *r, const char *who, component_kind kind, const yaml_node *n,
                     uint32_t **ret, uint32_t *ret_count)
{
    uint32_t *found = ARENA_ARRAY(&r->c->arena, uint32_t, MAX(n ? n->count : 0, 1u)), count = 0;
    *ret = found;
    if (!found) {
        config_error(r, n, "larger than the memory of a configuration");
        return;
    }
    for (uint32_t i = 0; n && i < n->count; i++) {
        const yaml_node *item = n->items[i];
        if (item->kind != YAML_SCALAR || yaml_is_null(item)) {
            config_error(r, item, "%s: wants the id of %s %s, not %s", who,
                         kind == COMPONENT_EXPORTER || kind == COMPONENT_EXTENSION ? "an" : "a",
                         component_kind_name(kind), yaml_kind_name(item));
            continue;
        }
        uint32_t at = config_find(r, kind, item->text);
        if (at == UINT32_MAX && (kind == COMPONENT_RECEIVER || kind == COMPONENT_EXPORTER))
            at = config_find(r, COMPONENT_CONNECTOR, item->text);
        if (at == UINT32_MAX) {
            not_defined(r, who, kind, item->text, item);
            continue;
        }
        bool twice = false;
        for (uint32_t j = 0; j < count; j++)
            twice = twice || found[j] == at;
        if (twice)
            config_error(r, item, "%s: %s \"%.*s\" stands twice in the list", who,
                         component_kind_name(kind), STR_ARG(item->text));
        else
            found[count++] = at;
        r->c->components[at].used = true;
    }
    *ret_count = count;
}

/* ---- pipelines ---- */

static void name_signals(buf *out, unsigned signals)
{
    const char *before = "";
    for (int s = 0; s < SIGNAL_COUNT; s++) {
        if (signals & (1u << s)) {
            buf_fmt(out, "%s%s", before, signal_names[s]);
            before = " and ";
        }
    }
}

static void check_signal(config_reader *r, const config_pipeline *p, uint32_t component,
                         const yaml_node *at)
{
    static const char *const verbs[COMPONENT_KINDS] = { "gives", "works on", "takes", "takes", "" };
    const config_component *part = &r->c->components[component];
    buf b;
    if (!part->type || part->kind == COMPONENT_CONNECTOR ||
        (part->type->signals & (1u << p->signal)))
        return;
    buf_init(&b, 200);
    name_signals(&b, part->type->signals);
    config_error(r, at, "pipeline %s: %s %s %s %.*s, not %s", p->id,
                 component_kind_name(part->kind), part->id, verbs[part->kind],
                 STR_ARG(buf_view(&b)), signal_names[p->signal]);
    buf_done(&b);
}

static bool read_signal(config_reader *r, const yaml_node *key, signal_kind *ret)
{
    str name, signal = str_cut(key->text, '/', &name);
    buf b;
    for (int s = 0; s < SIGNAL_COUNT; s++) {
        if (!str_is(signal, signal_names[s]))
            continue;
        *ret = (signal_kind)s;
        if (signal.len == key->text.len || name.len)
            return true;
        config_error(r, key, "pipeline \"%.*s\": a name is missing after the \"/\"",
                     STR_ARG(key->text));
        return false;
    }
    buf_init(&b, 400);
    option_suggest(&b, signal, signal_names, SIGNAL_COUNT);
    config_error(r, key, "pipeline \"%.*s\": unknown signal \"%.*s\"%.*s",
                 (int)MIN(key->text.len, (size_t)80), key->text.ptr,
                 (int)MIN(signal.len, (size_t)80), signal.ptr, STR_ARG(buf_view(&b)));
    buf_done(&b);
    return false;
}

static void check_keys(config_reader *r, const char *who, const yaml_node *n,
                       const char *const *known, size_t count)
{
    for (uint32_t i = 0; n && n->kind == YAML_MAPPING && i < n->count; i++) {
        const yaml_node *key = n->pairs[i].key;
        bool found = false;
        for (size_t j = 0; j < count; j++)
            found = found || str_is(key->text, known[j]);
        if (found)
            continue;
        buf b;
        buf_init(&b, 1000);
        option_suggest(&b, key->text, known, count);
        config_error(r, key, "%s: unknown option \"%.*s\"%.*s", who,
                     (int)MIN(key->text.len, (size_t)80), key->text.ptr, STR_ARG(buf_view(&b)));
        buf_done(&b);
    }
}

/* One of the three lists of a pipeline. */
static void read_part(config_reader *r, const config_pipeline *p, const char *who,
                      component_kind kind, const yaml_node *n, uint32_t **ret, uint32_t *ret_count)
{
    const yaml_node *list =
        list_of(r, who, config_sections[kind], yaml_get(n, str_c(config_sections[kind])));
    read_ids(r, who, kind, list, ret, ret_count);
    for (uint32_t i = 0, at = 0; list && i < list->count && at < *ret_count; i++)
        if (list->items[i]->kind == YAML_SCALAR &&
            str_is(list->items[i]->text, r->c->components[(*ret)[at]].id))
            check_signal(r, p, (*ret)[at++], list->items[i]);
}

static void read_pipeline(config_reader *r, const yaml_node *key, const yaml_node *n,
                          config_pipeline *p)
{
    static const char *const known[] = { "receivers", "processors", "exporters" };
    str who = arena_fmt(&r->c->arena, "pipeline %.*s", STR_ARG(key->text));
    str id = arena_str(&r->c->arena, key->text);
    if (!who.ptr || !id.ptr) {
        config_error(r, key, "larger than the memory of a configuration");
        return;
    }
    p->id = id.ptr;
    if (n->tree)
        n = n->tree;
    if (n->kind != YAML_MAPPING && !yaml_is_null(n)) {
        config_error(r, n, "%s: wants receivers, processors and exporters, not %s", who.ptr,
                     yaml_kind_name(n));
        return;
    }
    check_keys(r, who.ptr, n, known, ARRAY_LEN(known));
    read_part(r, p, who.ptr, COMPONENT_RECEIVER, n, &p->receivers, &p->receiver_count);
    read_part(r, p, who.ptr, COMPONENT_PROCESSOR, n, &p->processors, &p->processor_count);
    read_part(r, p, who.ptr, COMPONENT_EXPORTER, n, &p->exporters, &p->exporter_count);
    static const component_kind wanted[] = { COMPONENT_RECEIVER, COMPONENT_EXPORTER };
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        const yaml_node *list = yaml_get(n, str_c(config_sections[wanted[i]]));
        if (yaml_is_null(list) || (list->kind == YAML_SEQUENCE && list->count == 0))
            config_error(r, list ? list : key, "%s has no %s", who.ptr, config_sections[wanted[i]]);
    }
}

static void read_pipelines(config_reader *r, const yaml_node *n, const yaml_node *at)
{
    config *c = r->c;
    uint32_t capacity = 0;
    if (n && n->tree)
        n = n->tree;
    if (yaml_is_null(n) || (n->kind == YAML_MAPPING && n->count == 0)) {
        config_error(r, n ? n : at, "service.pipelines names no pipeline: nothing would run");
        return;
    }
    if (n->kind != YAML_MAPPING) {
        config_error(r, n, "service.pipelines wants a map of pipelines, not %s", yaml_kind_name(n));
        return;
    }
    for (uint32_t i = 0; i < n->count; i++) {
        signal_kind signal;
        if (!read_signal(r, n->pairs[i].key, &signal))
            continue;
        config_pipeline *p = config_add(r, (void **)&c->pipelines, &c->pipeline_count, &capacity,
                                        sizeof(*p), CONFIG_PIPELINES_MAX, n->pairs[i].key);
        if (!p)
            return;
        *p = (config_pipeline){ .id = "", .signal = signal };
        read_pipeline(r, n->pairs[i].key, n->pairs[i].value, p);
    }
}

/* ---- what must hold in the whole ---- */

static void check_authenticators(config_reader *r)
{
    const config *c = r->c;
    for (uint32_t i = 0; i < r->auth_count; i++) {
        const auth_use *u = &r->auths[i];
        const yaml_node at = { .line = u->line, .column = u->column };
        uint32_t found = config_find(r, COMPONENT_EXTENSION, u->id);
        if (found == UINT32_MAX) {
            not_defined(r, u->who, COMPONENT_EXTENSION, u->id, &at);
            continue;
        }
        const component_type *type = c->components[found].type;
        if (!c->components[found].used)
            config_error(r, &at, "%s: authenticator %s is not in service.extensions", u->who,
                         c->components[found].id);
        else if (type && !(u->listening ? (void *)type->authenticate : (void *)type->authorize))
            config_error(r, &at, "%s: extension %s cannot %s", u->who, c->components[found].id,
                         u->listening ? "check who calls" : "add credentials to requests");
    }
}

static void check_used(config_reader *r)
{
    const config *c = r->c;
    for (uint32_t i = 0; i < c->component_count; i++) {
        const config_component *part = &c->components[i];
        const yaml_node at = { .line = part->line, .column = part->column };
        if (part->kind == COMPONENT_CONNECTOR && part->type &&
            (config_find(r, COMPONENT_RECEIVER, str_c(part->id)) != UINT32_MAX ||
             config_find(r, COMPONENT_EXPORTER, str_c(part->id)) != UINT32_MAX))
            config_error(r, &at, "connector %s: a receiver or an exporter has the same id",
                         part->id);
        if (!part->used && part->type)
            config_warning(r, &at, "%s %s is defined and not used by %s",
                           component_kind_name(part->kind), part->id,
                           part->kind == COMPONENT_EXTENSION ? "service.extensions"
                                                             : "any pipeline");
    }
}

/* An extension that is accepted and does nothing. */
static void check_effect(config_reader *r)
{
    const config *c = r->c;
    for (uint32_t i = 0; i < c->extension_count; i++) {
        const config_component *part = &c->components[c->extensions[i]];
        const yaml_node at = { .line = part->line, .column = part->column };
        if (part->type && config_is_without_effect(part->type))
            config_warning(r, &at, "extension %s: %s", part->id, part->type->help);
    }
}

static void check_stored(config_reader *r, const yaml_node *at)
{
    const config *c = r->c;
    for (uint32_t i = 0; i < c->component_count; i++) {
        const config_component *part = &c->components[i];
        if (part->used && part->type && part->type->is_store)
            return;
    }
    if (r->errors == 0)
        config_warning(r, at,
                       "no pipeline has the exporter sonde: nothing is stored here, and "
                       "queries and the web UI find nothing");
}

static void read_telemetry(config_reader *r, const yaml_node *n)
{
    static const char *const known[] = { "logs", "metrics", "traces", "resource" };
    if (yaml_is_null(n))
        return;
    check_keys(r, "service.telemetry", n, known, ARRAY_LEN(known));
    config_warning(r, n,
                   "service.telemetry has no effect here: the server's own metrics are at "
                   "/metrics of its web port, its logs on stderr (--log-level)");
}

void config_read_service(config_reader *r, const yaml_node *n)
{
    static const char *const known[] = { "extensions", "pipelines", "telemetry" };
    config *c = r->c;
    if (yaml_is_null(n) || n->kind != YAML_MAPPING) {
        config_error(r, n ? n : r->doc.root,
                     "\"service\" is missing or empty: service.pipelines says what runs");
        return;
    }
    check_keys(r, "service", n, known, ARRAY_LEN(known));
    read_ids(r, "service.extensions", COMPONENT_EXTENSION,
             list_of(r, "service", "extensions", yaml_get(n, STR("extensions"))), &c->extensions,
             &c->extension_count);
    read_pipelines(r, yaml_get(n, STR("pipelines")), n);
    read_telemetry(r, yaml_get(n, STR("telemetry")));
    check_authenticators(r);
    check_effect(r);
    check_used(r);
    config_check_graph(r, n);
    check_stored(r, n);
}
