// SPDX-License-Identifier: Apache-2.0
/* One document as one log record; see elastic_bulk.h for what becomes of its members. */
#include "codec/elastic_document.h"

#include "codec/json_value.h"
#include "codec/log_fields.h"

enum { ATTRIBUTES_MAX = 1024, DEPTH_MAX = 32, RESOURCE_MAX = 64 };

/* A document on its way to a row. */
typedef struct {
    elastic_documents *d;
    json_reader r;
    uint32_t row, count, capacity, resource_capacity;
    attrs resource;
    int64_t arrival_ns, own_ns; /* "@timestamp"; "timestamp" */
    str service;                /* where service.name is not said */
    uint8_t body_rank;          /* of what the body was taken from; 0: none yet */
    str problem;
    bool full;
} document;

/* ---- where members go ---- */

typedef enum { TO_ARRIVAL, TO_TIME, TO_BODY, TO_SERVICE } target;

static const struct {
    const char *path;
    target to;
    uint8_t rank; /* of several bodies the highest counts */
} known_paths[] = {
    { "@timestamp", TO_ARRIVAL, 0 },
    { "timestamp", TO_TIME, 0 },
    { "time", TO_TIME, 0 },
    { "ts", TO_TIME, 0 },
    { "message", TO_BODY, 5 },
    { "msg", TO_BODY, 4 },
    { "log", TO_BODY, 3 },
    { "event", TO_BODY, 2 },
    { "event.original", TO_BODY, 1 },
    { "service", TO_SERVICE, 0 },
    { "fields.service", TO_SERVICE, 0 },
    { "app", TO_SERVICE, 0 },
    { "application", TO_SERVICE, 0 },
    { "programname", TO_SERVICE, 0 },
    { "syslogtag", TO_SERVICE, 0 },
};

static const char *const resource_prefixes[] = { "service.",     "host.",  "container.",
                                                 "kubernetes.",  "cloud.", "agent.",
                                                 "orchestrator." };

/* Names of the Elastic Common Schema that are called otherwise in OpenTelemetry. */
static const struct {
    const char *from, *to;
} renamed[] = {
    { "service.environment", "deployment.environment.name" },
    { "service.node.name", "service.instance.id" },
    { "host.hostname", "host.name" },
    { "host", "host.name" },
    { "kubernetes.pod.name", "k8s.pod.name" },
    { "kubernetes.namespace", "k8s.namespace.name" },
    { "kubernetes.node.name", "k8s.node.name" },
    { "kubernetes.container.name", "k8s.container.name" },
};

static bool document_full(document *o)
{
    o->full = true;
    return false;
}

static bool put_resource(document *o, str key, value v)
{
    for (size_t i = 0; i < ARRAY_LEN(renamed); i++)
        if (str_is(key, renamed[i].from))
            key = str_c(renamed[i].to);
    if (attrs_get(&o->resource, key))
        return true;
    return attrs_append(&o->d->b->arena, &o->resource, &o->resource_capacity, key, v) ||
           document_full(o);
}

static bool put_attribute(document *o, str key, value v)
{
    attrs *own = &o->d->b->logs.attributes[o->row];
    if (own->count >= o->d->max_attributes) {
        o->problem = STR("too many fields in one document");
        return false;
    }
    return attrs_append(&o->d->b->arena, own, &o->capacity, key, v) || document_full(o);
}

/* True when the member was used up; else it is an attribute as well. */
static bool put_known(document *o, str path, const value *v)
{
    value *body = &o->d->b->logs.body[o->row];
    for (size_t i = 0; i < ARRAY_LEN(known_paths); i++) {
        if (!str_is(path, known_paths[i].path))
            continue;
        switch (known_paths[i].to) {
        case TO_ARRIVAL:
            return log_time_of_value(v, &o->arrival_ns);
        case TO_TIME:
            return !o->own_ns && log_time_of_value(v, &o->own_ns);
        case TO_BODY:
            if (v->type != VALUE_STR || known_paths[i].rank <= o->body_rank)
                return false;
            *body = *v;
            o->body_rank = known_paths[i].rank;
            return known_paths[i].rank > 2; /* "event" is asked for by its name, too */
        case TO_SERVICE:
            if (v->type == VALUE_STR && !o->service.len)
                o->service = v->s;
            return false;
        }
    }
    return false;
}

static bool is_resource(str path)
{
    if (str_is(path, "host"))
        return true;
    for (size_t i = 0; i < ARRAY_LEN(resource_prefixes); i++)
        if (str_starts(path, str_c(resource_prefixes[i])))
            return true;
    return false;
}

static bool put_member(document *o, str path, const value *v)
{
    if (v->type == VALUE_EMPTY || put_known(o, path, v) ||
        log_set_known_field(o->d->b, o->row, path, v))
        return true;
    if (is_resource(path) && v->type == VALUE_STR && o->resource.count < RESOURCE_MAX)
        return put_resource(o, path, *v);
    return put_attribute(o, path, *v);
}

/* ---- the walk ---- */

static bool join_path(document *o, str prefix, str key, str *ret)
{
    *ret = key;
    if (!prefix.len || str_is(prefix, "json"))
        return true;
    *ret = arena_fmt(&o->d->b->arena, "%.*s.%.*s", STR_ARG(prefix), STR_ARG(key));
    return ret->ptr != NULL || document_full(o);
}

/* A member's value; its first token was read. Recursion is bounded by the reader. */
static bool walk(document *o, str path);

static bool walk_object(document *o, str prefix)
{
    str key, path;
    while (json_next_key(&o->r, &key)) {
        if (!join_path(o, prefix, key, &path))
            return false;
        json_next(&o->r);
        if (!walk(o, path))
            return false;
    }
    return o->r.type != JSON_ERROR;
}

static bool walk_array(document *o, value *ret)
{
    uint32_t capacity = 0;
    value v;
    *ret = (value){ .type = VALUE_ARRAY };
    for (;;) {
        json_reader before = o->r;
        if (!json_next_item(&o->r))
            return o->r.type != JSON_ERROR;
        o->r = before; /* value_from_json reads the first token itself */
        if (!value_from_json(&o->r, &o->d->b->arena, &v))
            return false;
        if (ret->array.count == capacity) {
            uint32_t more = MAX(capacity * 2, 4u);
            value *items = arena_grow(&o->d->b->arena, ret->array.items, capacity * sizeof(v),
                                      more * sizeof(v));
            if (!items)
                return document_full(o);
            ret->array.items = items;
            capacity = more;
        }
        ret->array.items[ret->array.count++] = v;
    }
}

static bool walk(document *o, str path)
{
    const json_reader *r = &o->r;
    value v = { 0 };
    double number;
    switch (r->type) {
    case JSON_OBJECT:
        return walk_object(o, path);
    case JSON_ARRAY:
        return walk_array(o, &v) && put_member(o, path, &v);
    case JSON_STRING:
        v = VALUE_S(r->text);
        break;
    case JSON_BOOL:
        v = VALUE_B(r->boolean);
        break;
    case JSON_NUMBER:
        if (r->integral && json_get_i64(r, &v.i64))
            v.type = VALUE_I64;
        else if (json_get_f64(r, &number))
            v = VALUE_D(number);
        else
            v = VALUE_S(r->text);
        break;
    case JSON_NULL:
        return true;
    default:
        return false;
    }
    return put_member(o, path, &v);
}

/* ---- resources ---- */

/* "sixseven-2025.10.12" and "sixseven-000001" are indexes of sixseven. */
static str index_base(str index)
{
    size_t n = index.len;
    while (n && ((index.ptr[n - 1] >= '0' && index.ptr[n - 1] <= '9') || index.ptr[n - 1] == '.' ||
                 index.ptr[n - 1] == '-'))
        n--;
    return n ? str_slice(index, 0, n) : index;
}

static bool set_service(document *o, str index)
{
    if (attrs_get(&o->resource, STR("service.name")))
        return true;
    while (o->service.len && o->service.ptr[o->service.len - 1] == ':') /* syslogtag "sshd:" */
        o->service.len--;
    str name = o->service.len ? o->service : index_base(index);
    return !name.len || put_resource(o, STR("service.name"), VALUE_S(name));
}

/* Documents of the same resource share it. */
static bool set_scope(document *o, str index)
{
    elastic_documents *d = o->d;
    batch *b = d->b;
    bool fresh;
    if (!set_service(o, index) || !put_resource(o, STR("elasticsearch.index"), VALUE_S(index)))
        return false;
    buf_clear(&d->scratch);
    for (uint32_t i = 0; i < o->resource.count; i++) {
        const attr *a = &o->resource.items[i];
        buf_fmt(&d->scratch, "%zu,%zu:", a->key.len, a->value.s.len);
        buf_str(&d->scratch, a->key);
        buf_str(&d->scratch, a->value.s);
    }
    uint64_t *known = map_get(&d->scopes, buf_view(&d->scratch));
    if (!known) {
        str key = arena_str(&b->arena, buf_view(&d->scratch));
        uint32_t resource = batch_add_resource(b);
        uint32_t scope = resource == BATCH_FULL ? BATCH_FULL : batch_add_scope(b, resource);
        if (!key.ptr || d->scratch.failed || scope == BATCH_FULL ||
            !(known = map_put(&d->scopes, key, scope, &fresh)))
            return document_full(o);
        b->resources[resource].attributes = o->resource;
    }
    b->logs.scope[o->row] = (uint32_t)*known;
    return true;
}

/* ---- a document ---- */

static void set_times(document *o)
{
    log_rows *l = &o->d->b->logs;
    l->time_ns[o->row] = o->own_ns ? o->own_ns : o->arrival_ns;
    l->observed_ns[o->row] = o->own_ns ? o->arrival_ns : 0;
}

/* The newest row again, as if it had never been. */
static void take_back(batch *b, uint32_t row)
{
    log_rows *l = &b->logs;
    l->time_ns[row] = l->observed_ns[row] = 0;
    l->severity[row] = 0;
    l->severity_text[row] = (str){ 0 };
    l->body[row] = (value){ 0 };
    l->attributes[row] = (attrs){ 0 };
    l->trace[row] = (trace_id){ 0 };
    l->span[row] = (span_id){ 0 };
    l->count = row;
}

static status no_room(error *err)
{
    return fail(err, STATUS_LIMIT, "the request needs more memory than it may take");
}

static status refused(document *o, error *err)
{
    take_back(o->d->b, o->row);
    if (o->problem.len)
        return fail(err, STATUS_INVALID, "failed to parse: %.*s", STR_ARG(o->problem));
    bool deep = o->r.code == STATUS_LIMIT && o->r.depth >= DEPTH_MAX;
    if (o->full || (o->r.code != STATUS_INVALID && !deep))
        return no_room(err);
    json_fail_status(&o->r, err, "failed to parse");
    return err->code = STATUS_INVALID;
}

status elastic_document_add(elastic_documents *d, str json, str index, uint32_t *ret_row,
                            error *err)
{
    batch *b = d->b;
    document o = { .d = d };
    if (b->scope_count == 0) { /* a place for rows until their resource is known */
        uint32_t resource = batch_add_resource(b);
        if (resource == BATCH_FULL || batch_add_scope(b, resource) == BATCH_FULL)
            return no_room(err);
    }
    o.row = batch_add_log(b, 0);
    if (o.row == BATCH_FULL)
        return no_room(err);
    json_read(&o.r, json, &b->arena, DEPTH_MAX);
    if (json_next(&o.r) != JSON_OBJECT)
        json_refuse(&o.r, "a document must be an object");
    if (!walk_object(&o, STR_EMPTY) || json_next(&o.r) != JSON_END || !set_scope(&o, index))
        return refused(&o, err);
    if (!o.body_rank)
        b->logs.body[o.row] = VALUE_S(json); /* what it says is at least to be seen */
    set_times(&o);
    *ret_row = o.row;
    return STATUS_OK;
}

void elastic_documents_init(elastic_documents *d, batch *b, uint32_t max_attributes)
{
    *d = (elastic_documents){ .b = b,
                              .max_attributes = max_attributes ? max_attributes : ATTRIBUTES_MAX };
    map_init(&d->scopes);
    buf_init(&d->scratch, MiB(1));
}

void elastic_documents_done(elastic_documents *d)
{
    map_done(&d->scopes);
    buf_done(&d->scratch);
}
