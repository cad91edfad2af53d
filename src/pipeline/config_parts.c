// SPDX-License-Identifier: Apache-2.0
/* The components of a configuration file: ids, types, settings. See config_read.h. */
#include "pipeline/config_read.h"

#include <stdio.h>

const char *const config_sections[COMPONENT_KINDS] = { "receivers", "processors", "connectors",
                                                       "exporters", "extensions" };

/* Types that the Collector renamed: both names are in use. */
static const struct {
    component_kind kind;
    const char *name, *type;
} renamed[] = {
    { COMPONENT_EXPORTER, "otlp_grpc", "otlp" },
    { COMPONENT_EXPORTER, "otlp_http", "otlphttp" },
    { COMPONENT_EXPORTER, "prometheus_remote_write", "prometheusremotewrite" },
    { COMPONENT_RECEIVER, "file_log", "filelog" },
    { COMPONENT_RECEIVER, "prometheus_remote_write", "prometheusremotewrite" },
    { COMPONENT_EXTENSION, "bearer_token_auth", "bearertokenauth" },
    { COMPONENT_EXTENSION, "basic_auth", "basicauth" },
    { COMPONENT_EXTENSION, "healthcheck", "health_check" },
};

static const component_type *find_type(component_kind kind, str name)
{
    const component_type *type = component_find(kind, name);
    for (size_t i = 0; !type && i < ARRAY_LEN(renamed); i++)
        if (renamed[i].kind == kind && str_is(name, renamed[i].name))
            type = component_find(kind, str_c(renamed[i].type));
    return type;
}

bool config_is_without_effect(const component_type *type)
{
    for (size_t i = 0; i < type->options.count; i++)
        if (type->options.rows[i].type != OPTION_IGNORED)
            return false;
    return type->options.count > 0;
}

uint32_t config_find(const config_reader *r, component_kind kind, str id)
{
    for (uint32_t i = 0; i < r->c->component_count; i++)
        if (r->c->components[i].kind == kind && str_is(id, r->c->components[i].id))
            return i;
    return UINT32_MAX;
}

static void unknown_type(config_reader *r, component_kind kind, str type, const yaml_node *at)
{
    const char *names[512];
    size_t all, count = 0;
    buf b;
    const component_type *const *types = component_all(&all);
    const char *kind_name = component_kind_name(kind);
    for (int k = 0; k < COMPONENT_KINDS; k++) {
        if (k != (int)kind && find_type((component_kind)k, type)) {
            config_error(r, at, "there is no %s \"%.*s\", only %s %s of that name", kind_name,
                         STR_ARG(type),
                         k == COMPONENT_EXTENSION || k == COMPONENT_EXPORTER ? "an" : "a",
                         component_kind_name((component_kind)k));
            return;
        }
    }
    for (size_t i = 0; i < all && count < ARRAY_LEN(names); i++)
        if (types[i]->kind == kind)
            names[count++] = types[i]->type;
    buf_init(&b, 4000);
    option_suggest(&b, type, names, count);
    config_error(r, at, "unknown %s \"%.*s\"%.*s", kind_name, (int)MIN(type.len, (size_t)80),
                 type.ptr, STR_ARG(buf_view(&b)));
    buf_done(&b);
}

/* "type" or "type/name". */
static bool check_id(config_reader *r, component_kind kind, str id, str *ret_type,
                     const yaml_node *at)
{
    str name;
    *ret_type = str_cut(id, '/', &name);
    bool has_slash = ret_type->len<id.len, good = ret_type->len> 0;
    for (size_t i = 0; i < id.len && good; i++)
        good = (unsigned char)id.ptr[i] > ' ' && id.ptr[i] != 0x7f;
    if (good && (!has_slash || name.len) && id.len <= 200)
        return true;
    config_error(r, at, "%s: \"%.*s\" is no id; an id is TYPE or TYPE/NAME, without spaces",
                 config_sections[kind], (int)MIN(id.len, (size_t)80), id.ptr);
    return false;
}

static void check_settings(config_reader *r, const config_component *part, const yaml_node *key,
                           const yaml_node *n)
{
    char where[256] = "";
    error err;
    if (part->type->check(part->settings, where, sizeof(where), &err) == STATUS_OK)
        return;
    const yaml_node *at = yaml_is_null(n) ? key : option_find_path(n, where);
    config_error(r, at == n ? key : at, "%s: %s%s%s", r->options.who, where, *where ? ": " : "",
                 err.message);
}

static void read_one(config_reader *r, component_kind kind, const yaml_node *key,
                     const yaml_node *n)
{
    str type_name;
    config *c = r->c;
    if (!check_id(r, kind, key->text, &type_name, key))
        return;
    config_component *part =
        config_add(r, (void **)&c->components, &c->component_count, &r->component_capacity,
                   sizeof(*part), CONFIG_COMPONENTS_MAX, key);
    if (!part)
        return;
    str id = arena_str(&c->arena, key->text);
    str who = arena_fmt(&c->arena, "%s %.*s", component_kind_name(kind), STR_ARG(key->text));
    *part = (config_component){ .type = find_type(kind, type_name),
                                .kind = kind,
                                .id = id.ptr ? id.ptr : "",
                                .line = key->line,
                                .column = key->column };
    if (!part->type) {
        unknown_type(r, kind, type_name, key);
        return;
    }
    void *settings = arena_calloc(&c->arena, 1, MAX(part->type->options.size, (size_t)1));
    if (!settings || !who.ptr || !id.ptr) {
        config_error(r, key, "larger than the memory of a configuration");
        return;
    }
    uint32_t errors = r->errors;
    part->settings = settings;
    r->options.who = who.ptr;
    r->options.path[0] = '\0';
    r->options.quiet = config_is_without_effect(part->type);
    option_fill(&r->options, &part->type->options, n, key, settings);
    if (errors == r->errors && part->type->check)
        check_settings(r, part, key, n);
}

void config_read_components(config_reader *r, component_kind kind, const yaml_node *n)
{
    if (n && n->tree)
        n = n->tree;
    if (yaml_is_null(n))
        return;
    if (n->kind != YAML_MAPPING) {
        config_error(r, n, "%s wants a map of ids to options, not %s", config_sections[kind],
                     yaml_kind_name(n));
        return;
    }
    for (uint32_t i = 0; i < n->count; i++)
        read_one(r, kind, n->pairs[i].key, n->pairs[i].value);
}
