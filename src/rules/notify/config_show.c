// SPDX-License-Identifier: Apache-2.0
/* A configuration as it may be shown: YAML written from the tree, secrets left out. A secret is the
 * value of an option that the tables call one; also where the option stands elsewhere by mistake,
 * and every header's value. */
#include "codec/json.h"
#include "rules/notify/config.h"

static const char hidden[] = "<secret>";

/* Options whose values, or all texts below, are never shown. */
static bool is_secret(str name)
{
    static const char *const names[] = {
        "smtp_auth_password", "smtp_auth_secret",
        "auth_password",      "auth_secret",
        "slack_api_url",      "api_url",
        "password",           "credentials",
        "bearer_token",       "key",
        "http_headers",       "oauth2",
        "proxy_url",
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_is(name, names[i]))
            return true;
    return false;
}

typedef struct {
    buf *out;
    unsigned depth;
    bool secret;
    bool webhook; /* below webhook_configs: url is one, too */
} shower;

static void write_node(shower s, const yaml_node *n);

static void indent(const shower *s)
{
    buf_fmt(s->out, "%*s", (int)(s->depth * 2), "");
}

static void write_scalar(const shower *s, const yaml_node *n)
{
    if (n->plain && !n->text.len)
        buf_lit(s->out, "null");
    else if (s->secret && n->text.len)
        /* A webhook's URL stays one for amtool, which reads the configuration again. */
        buf_fmt(s->out, "%s%s", s->webhook && str_starts(n->text, STR("http")) ? "http://" : "",
                hidden);
    else if (n->plain && !str_contains(n->text, STR(": ")) && !str_contains(n->text, STR("\n")))
        buf_str(s->out, n->text);
    else
        json_quote(s->out, n->text);
}

static bool is_short(const yaml_node *n)
{
    return n->kind == YAML_SCALAR || n->count == 0;
}

static void write_value(const shower *s, const yaml_node *n)
{
    if (n->kind == YAML_SCALAR)
        write_scalar(s, n);
    else
        buf_str(s->out, n->kind == YAML_SEQUENCE ? STR("[]") : STR("{}"));
    buf_char(s->out, '\n');
}

static void write_pairs(const shower *s, const yaml_node *n, bool first_in_line)
{
    for (uint32_t i = 0; i < n->count && !s->out->failed; i++) {
        str name = n->pairs[i].key->text;
        const yaml_node *value = n->pairs[i].value;
        shower below = { s->out, s->depth + 1,
                         s->secret || is_secret(name) || (s->webhook && str_is(name, "url")),
                         s->webhook || str_is(name, "webhook_configs") };
        if (i || !first_in_line)
            indent(s);
        if (n->pairs[i].key->plain)
            buf_str(s->out, name);
        else
            json_quote(s->out, name);
        buf_str(s->out, is_short(value) ? STR(": ") : STR(":\n"));
        write_node(below, value);
    }
}

static void write_node(shower s, const yaml_node *n)
{
    if (is_short(n)) {
        write_value(&s, n);
        return;
    }
    if (n->kind == YAML_MAPPING) {
        write_pairs(&s, n, false);
        return;
    }
    for (uint32_t i = 0; i < n->count && !s.out->failed; i++) {
        const yaml_node *item = n->items[i];
        shower below = s;
        below.depth++;
        indent(&s);
        buf_lit(s.out, "- ");
        if (item->kind == YAML_MAPPING && item->count) {
            write_pairs(&below, item, true);
        } else if (is_short(item)) {
            write_value(&below, item);
        } else {
            buf_char(s.out, '\n');
            write_node(below, item);
        }
    }
}

void notify_config_show(buf *out, const yaml_node *root)
{
    if (root)
        write_node((shower){ .out = out }, root);
}
