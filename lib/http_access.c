// SPDX-License-Identifier: Apache-2.0
/* The log line of a request. Its fields are "name" or "name=source" of the table below, as the
 * option access_fields lists them; what the context has (request_id, user_id, …) is in it anyway.
 */
#include "lib/env.h"
#include "lib/http_internal.h"

#include "sonde/log.h"

typedef struct {
    const sonde_http *x;
    const http_outcome *end;
    const char *key;
} access_line;

static double round_us(double seconds)
{
    return (double)(int64_t)(seconds * 1e6 + 0.5);
}

static sonde_attr put_method(const access_line *l)
{
    return sonde_kv_str(l->key, l->x->known_method);
}
static sonde_attr put_path(const access_line *l)
{
    return sonde_kv_str(l->key, l->x->path);
}
static sonde_attr put_route(const access_line *l)
{
    return sonde_kv_str(l->key, l->x->route);
}
static sonde_attr put_status(const access_line *l)
{
    return sonde_kv_i64(l->key, l->end->status);
}
static sonde_attr put_ms(const access_line *l)
{
    return sonde_kv_f64(l->key, round_us(l->end->seconds) / 1e3);
}
static sonde_attr put_seconds(const access_line *l)
{
    return sonde_kv_f64(l->key, round_us(l->end->seconds) / 1e6);
}
static sonde_attr put_client(const access_line *l)
{
    return sonde_kv_str(l->key, l->x->client);
}
static sonde_attr put_host(const access_line *l)
{
    return sonde_kv_str(l->key, l->x->host);
}
static sonde_attr put_scheme(const access_line *l)
{
    return sonde_kv_str(l->key, l->x->scheme);
}
static sonde_attr put_version(const access_line *l)
{
    return sonde_kv_str(l->key, l->x->version);
}
static sonde_attr put_body_size(const access_line *l)
{
    return sonde_kv_u64(l->key, l->x->body_total);
}

static const struct {
    const char *name;
    sonde_attr (*put)(const access_line *l);
} sources[] = {
    { "method", put_method },
    { "path", put_path },
    { "route", put_route },
    { "status", put_status },
    { "duration_ms", put_ms },
    { "latency_ms", put_ms },
    { "duration_seconds", put_seconds },
    { "client_address", put_client },
    { "host", put_host },
    { "scheme", put_scheme },
    { "protocol_version", put_version },
    { "request_bytes", put_body_size },
};

static void parse_field(http_config *c, str item)
{
    str source, name = str_cut(item, '=', &source);
    name = str_trim(name);
    source = source.len ? str_trim(source) : name;
    for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
        if (!str_is(source, sources[i].name))
            continue;
        if (c->access_field_count == ACCESS_FIELDS_MAX)
            break;
        http_access_field *field = &c->access_field[c->access_field_count++];
        str_copy_c(field->key, sizeof(field->key), name);
        field->source = (uint8_t)i;
        return;
    }
    lib_warn("http.access_fields: '%.*s' is left out: there are at most %d fields, each a name or "
             "name=source with a source such as method, route, status, latency_ms",
             STR_ARG(item), ACCESS_FIELDS_MAX);
}

void http_access_parse(http_config *c, const sonde_http_options *o)
{
    c->no_access_log = o->no_access_log;
    c->access_level = o->access_level ? o->access_level : SONDE_INFO;
    c->default_access = !o->access_event && !o->access_fields && !o->access_level;
    str_copy_c(c->access_event, sizeof(c->access_event),
               str_c(o->access_event ? o->access_event : "http_request"));
    str rest = str_c(o->access_fields ? o->access_fields
                                      : "method,path,route,status,duration_ms,client_address");
    while (rest.len) {
        str item = str_trim(str_cut(rest, ',', &rest));
        if (item.len)
            parse_field(c, item);
    }
}

/* The keys are literals here, so that the site knows them and a line costs little. */
#define DEFAULT_FIELDS \
    sonde_kv_how_(put_method(&method), 2), sonde_kv_how_(put_path(&path), 2), \
        sonde_kv_how_(put_route(&route), 2), sonde_kv_how_(put_status(&status), 2), \
        sonde_kv_how_(put_ms(&ms), 2), sonde_kv_how_(put_client(&client), 2)

static void default_line(const sonde_http *x, const http_outcome *end)
{
    access_line method = { x, end, "method" }, path = { x, end, "path" },
                route = { x, end, "route" }, status = { x, end, "status" },
                ms = { x, end, "duration_ms" }, client = { x, end, "client_address" };
    if (end->status >= 500)
        sonde_error("http_request", DEFAULT_FIELDS);
    else
        sonde_info("http_request", DEFAULT_FIELDS);
}

void http_access_log(const http_config *c, const sonde_http *x, const http_outcome *end)
{
    sonde_attr attributes[ACCESS_FIELDS_MAX];
    sonde_level level = end->status >= 500 ? SONDE_ERROR : c->access_level;
    if (c->default_access) {
        default_line(x, end);
        return;
    }
    if (!sonde_log_enabled(level))
        return;
    for (uint32_t i = 0; i < c->access_field_count; i++) {
        const http_access_field *field = &c->access_field[i];
        access_line l = { x, end, field->key };
        attributes[i] = sources[field->source].put(&l);
    }
    sonde_log(level, (sonde_str){ c->access_event, strlen(c->access_event) }, attributes,
              c->access_field_count);
}
