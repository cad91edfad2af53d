// SPDX-License-Identifier: Apache-2.0
/* The elasticsearch receiver: Elasticsearch's bulk API for those who ship logs by it (Filebeat,
 * Logstash, rsyslog, Fluent Bit, Vector), and plausible answers to what they ask before. Documents
 * become log records; nothing can be searched here. Handlers run on the ingest workers and remember
 * nothing: a template or policy that is put is acknowledged and forgotten. */
#include "pipeline/component.h"

#include "base/clock.h"
#include "codec/elastic_bulk.h"
#include "codec/json.h"

#include <stdio.h>

typedef struct {
    server_settings server;
} elastic_settings;

static const option elastic_rows[] = {
    { .name = "endpoint",
      .type = OPTION_TEXT,
      .offset = offsetof(elastic_settings, server.endpoint),
      .fallback = "localhost:9200",
      .address = true,
      .help = "address to listen on: HOST:PORT" },
    { .type = OPTION_INLINE,
      .offset = offsetof(elastic_settings, server),
      .table = &server_options },
};

/* ---- answers ---- */

static void begin_answer(http_exchange *x, int code)
{
    http_set_status(x, code);
    http_set_header(x, "Content-Type", STR("application/json"));
    /* The clients of Elastic speak to nobody who does not say this. */
    http_set_header(x, "X-Elastic-Product", STR("Elasticsearch"));
}

static void answer_error(http_exchange *x, int code, const char *type, const char *reason)
{
    begin_answer(x, code);
    elastic_error(http_out(x), code, str_c(type), str_c(reason));
}

static void answer_failure(http_exchange *x, const error *err)
{
    static const struct {
        int code;
        const char *type;
    } types[] = { { 400, "illegal_argument_exception" },
                  { 413, "content_too_long_exception" },
                  { 429, "es_rejected_execution_exception" },
                  { 503, "unavailable_shards_exception" } };
    ingest_failure f = ingest_failure_of(err->code);
    const char *type = "exception";
    char seconds[16];
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (types[i].code == f.http)
            type = types[i].type;
    answer_error(x, f.http, type, err->message);
    if (f.retry_s) {
        snprintf(seconds, sizeof(seconds), "%u", f.retry_s);
        http_set_header(x, "Retry-After", str_c(seconds));
    }
}

/* ---- documents ---- */

static uint32_t refused_items(const elastic_items *items)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < items->count; i++)
        n += items->items[i].status >= 300;
    return n;
}

static status take(component *c, batch *b, elastic_items *items, error *err)
{
    ingest_result result = { 0 };
    uint32_t refused = refused_items(items);
    int64_t now = clock_now_ns();
    for (uint32_t i = 0; i < b->logs.count; i++)
        if (!b->logs.observed_ns[i])
            b->logs.observed_ns[i] = now;
    if (refused)
        component_refused(c, "http", SIGNAL_LOGS, refused);
    if (!batch_row_count(b))
        return STATUS_OK;
    status st = component_ingest(c, "http", b, STR_EMPTY, &result, err);
    if (st == STATUS_OK && result.rejected) {
        str reason = arena_str(&b->arena, str_c(result.reason));
        elastic_items_reject_oldest(items, b, result.rejected,
                                    reason.ptr ? reason : STR("not accepted"));
    }
    return st;
}

static void batch_begin(batch *b, size_t body)
{
    batch_init(b, SIGNAL_LOGS, ingest_memory(body, 12));
}

static void bulk(http_exchange *x, void *user)
{
    component *c = user;
    batch b;
    elastic_items items = { 0 };
    error err;
    int64_t start = clock_mono_ns();
    str body = http_body(x);
    batch_begin(&b, body.len);
    status st = elastic_bulk_decode(&b, body, http_path_param(x, "index"), NULL, &items, &err);
    if (st != STATUS_OK)
        component_failed(c, "http", SIGNAL_LOGS);
    else
        st = take(c, &b, &items, &err);
    if (st == STATUS_OK) {
        begin_answer(x, 200);
        elastic_bulk_answer(&items, (clock_mono_ns() - start) / NS_PER_MS, (uint64_t)clock_now_ns(),
                            http_out(x));
    } else {
        answer_failure(x, &err);
    }
    batch_done(&b);
}

static void document(http_exchange *x, void *user)
{
    component *c = user;
    batch b;
    elastic_items items = { 0 };
    error err;
    str body = http_body(x);
    batch_begin(&b, body.len);
    status st = elastic_document_decode(&b, body, http_path_param(x, "index"), &items, &err);
    if (st != STATUS_OK)
        component_failed(c, "http", SIGNAL_LOGS);
    else
        st = take(c, &b, &items, &err);
    if (st == STATUS_OK) {
        items.items[0].id = http_path_param(x, "id");
        begin_answer(x, items.items[0].status);
        elastic_document_answer(&items.items[0], (uint64_t)clock_now_ns(), http_out(x));
    } else {
        answer_failure(x, &err);
    }
    batch_done(&b);
}

/* ---- what is asked before ---- */

/* The version whose API this is; a Filebeat that is newer sends nevertheless (its
 * allow_older_versions is true by default). */
#define VERSION      "8.19.0"
#define UUID         "c09de500-0000-4000-8000-000000000001"
#define LICENSE      "\"status\":\"active\",\"uid\":\"" UUID "\",\"type\":\"basic\""
#define ACKNOWLEDGED "{\"acknowledged\":true}"
#define NO_SHARDS    "\"_shards\":{\"total\":1,\"successful\":1,\"skipped\":0,\"failed\":0}"

typedef struct {
    const char *methods; /* letters: Get (and head), pUt, Post, Delete */
    const char *path;    /* may end in "*" */
    int code;
    const char *body;
} reply;

static const reply replies[] = {
    { "G", "/", 200,
      "{\"name\":\"sonde\",\"cluster_name\":\"sonde\",\"cluster_uuid\":\"" UUID "\","
      "\"version\":{\"number\":\"" VERSION "\",\"build_flavor\":\"default\",\"build_type\":\"tar\","
      "\"build_hash\":\"0000000000000000000000000000000000000000\","
      "\"build_date\":\"2025-07-01T00:00:00.000Z\",\"build_snapshot\":false,"
      "\"lucene_version\":\"9.12.2\",\"minimum_wire_compatibility_version\":\"7.17.0\","
      "\"minimum_index_compatibility_version\":\"7.0.0\"},"
      "\"tagline\":\"You Know, for Search\"}" },
    { "G", "/_license*", 200,
      "{\"license\":{" LICENSE ",\"issued_to\":\"sonde\",\"issuer\":\"sonde\"}}" },
    { "G", "/_xpack/license", 200, "{\"license\":{" LICENSE "}}" },
    { "G", "/_xpack*", 200,
      "{\"build\":{\"hash\":\"0\",\"date\":\"2025-07-01T00:00:00.000Z\"},\"license\":{" LICENSE
      ",\"mode\":\"basic\"},\"features\":{\"ilm\":{\"available\":true,\"enabled\":true},"
      "\"security\":{\"available\":true,\"enabled\":false},"
      "\"monitoring\":{\"available\":true,\"enabled\":false}},\"tagline\":\"\"}" },
    { "G", "/_cluster/health*", 200,
      "{\"cluster_name\":\"sonde\",\"status\":\"green\",\"timed_out\":false,"
      "\"number_of_nodes\":1,\"number_of_data_nodes\":1,\"active_primary_shards\":1,"
      "\"active_shards\":1,\"relocating_shards\":0,\"initializing_shards\":0,"
      "\"unassigned_shards\":0,\"delayed_unassigned_shards\":0,\"number_of_pending_tasks\":0,"
      "\"number_of_in_flight_fetch\":0,\"task_max_waiting_in_queue_millis\":0,"
      "\"active_shards_percent_as_number\":100.0}" },
    { "GU", "/_cluster/settings*", 200,
      "{\"acknowledged\":true,\"persistent\":{},\"transient\":{},\"defaults\":{}}" },
    { "G", "/_nodes*", 200,
      "{\"_nodes\":{\"total\":1,\"successful\":1,\"failed\":0},\"cluster_name\":\"sonde\","
      "\"nodes\":{}}" },
    { "G", "/_cat/health*", 200, "sonde green 1 1 1 1 0 0 0 0 - 100.0%\n" },
    { "G", "/_cat*", 200, "\n" },
    { "G", "/_index_template/*", 404, NULL },
    { "G", "/_component_template/*", 404, NULL },
    { "G", "/_template/*", 404, NULL },
    { "G", "/_ilm/policy/*", 404, NULL },
    { "G", "/_ilm/status", 200, "{\"operation_mode\":\"RUNNING\"}" },
    { "G", "/_data_stream/*", 404, NULL },
    { "G", "/_ingest/pipeline/*", 404, NULL },
    { "G", "/_alias*", 404, NULL },
    { "G", "/_resolve/*", 200, "{\"indices\":[],\"aliases\":[],\"data_streams\":[]}" },
    { "UPD", "/_index_template/*", 200, ACKNOWLEDGED },
    { "UPD", "/_component_template/*", 200, ACKNOWLEDGED },
    { "UPD", "/_template/*", 200, ACKNOWLEDGED },
    { "UPD", "/_ilm/*", 200, ACKNOWLEDGED },
    { "UPD", "/_data_stream/*", 200, ACKNOWLEDGED },
    { "UPD", "/_ingest/pipeline/*", 200, ACKNOWLEDGED },
    { "P", "/_aliases", 200, ACKNOWLEDGED },
    { "GP", "/_refresh", 200, "{" NO_SHARDS "}" },
    { "GP", "/_flush", 200, "{" NO_SHARDS "}" },
};

static bool method_fits(const char *methods, str method)
{
    static const struct {
        const char *name;
        char letter;
    } names[] = {
        { "GET", 'G' }, { "HEAD", 'G' }, { "PUT", 'U' }, { "POST", 'P' }, { "DELETE", 'D' }
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_is(method, names[i].name))
            return strchr(methods, names[i].letter) != NULL;
    return false;
}

static bool path_fits(const char *pattern, str path)
{
    str p = str_c(pattern);
    if (p.ptr[p.len - 1] != '*')
        return str_eq(path, p);
    p.len--;
    return str_starts(path, p) ||
           (p.ptr[p.len - 1] == '/' && str_eq(path, str_slice(p, 0, p.len - 1)));
}

/* The path below the prefix, without a slash at the end. */
static str own_path(http_exchange *x, const component *c)
{
    const elastic_settings *s = c->settings;
    str path = http_path(x);
    if (str_starts(path, s->server.path_prefix))
        path = str_slice(path, s->server.path_prefix.len, path.len);
    while (path.len > 1 && path.ptr[path.len - 1] == '/')
        path.len--;
    return path.len ? path : STR("/");
}

/* An index by itself: there is none, and making one is fine. */
static bool answer_index(http_exchange *x, str path)
{
    str name = str_slice(path, 1, path.len), method = http_method(x);
    if (!name.len || name.ptr[0] == '_' || str_find_char(name, '/') != SIZE_MAX)
        return false;
    if (str_is(method, "PUT")) {
        json_writer w = json_write(http_out(x));
        begin_answer(x, 200);
        json_begin_object(&w);
        JSON_PUT(&w, bool, "acknowledged", true);
        JSON_PUT(&w, bool, "shards_acknowledged", true);
        JSON_PUT(&w, str, "index", name);
        json_end_object(&w);
    } else if (str_is(method, "HEAD")) {
        begin_answer(x, 404); /* as an index without documents: senders then go on */
    } else {
        return false;
    }
    return true;
}

static void ask(http_exchange *x, void *user)
{
    str path = own_path(x, user), method = http_method(x);
    char text[300];
    for (size_t i = 0; i < ARRAY_LEN(replies); i++) {
        const reply *r = &replies[i];
        if (!method_fits(r->methods, method) || !path_fits(r->path, path))
            continue;
        if (!r->body) {
            snprintf(text, sizeof(text), "%.*s is not kept here: what is put is acknowledged only",
                     (int)MIN(path.len, (size_t)200), path.ptr);
            answer_error(x, r->code, "resource_not_found_exception", text);
            return;
        }
        begin_answer(x, r->code);
        if (r->body[0] != '{')
            http_set_header(x, "Content-Type", STR("text/plain; charset=UTF-8"));
        buf_str(http_out(x), str_c(r->body));
        return;
    }
    if (answer_index(x, path))
        return;
    snprintf(text, sizeof(text),
             "no handler found for uri [%.*s] and method [%.*s]: logs are taken by _bulk and "
             "_doc, and found by LogQL",
             (int)MIN(path.len, (size_t)150), path.ptr, (int)MIN(method.len, (size_t)20),
             method.ptr);
    answer_error(x, 400, "illegal_argument_exception", text);
}

static const http_route routes[] = {
    { "POST|PUT", "/_bulk", bulk, NULL, POOL_INGEST, "Elasticsearch bulk: log records" },
    { "POST|PUT", "/{index}/_bulk", bulk, NULL, POOL_INGEST, "Elasticsearch bulk of one index" },
    { "POST|PUT", "/{index}/{type}/_bulk", bulk, NULL, POOL_INGEST,
      "Elasticsearch bulk, with the type of old versions" },
    { "POST", "/{index}/_doc", document, NULL, POOL_INGEST, "one document" },
    { "POST|PUT", "/{index}/_doc/{id}", document, NULL, POOL_INGEST, "one document" },
    { "POST|PUT", "/{index}/_create/{id}", document, NULL, POOL_INGEST, "one document" },
    { "GET|POST|PUT|DELETE", "/*", ask, NULL, POOL_INGEST,
      "what clients of Elasticsearch ask before they send" },
};

/* ---- the component ---- */

static status elastic_open(void **ret_self, component *c, error *err)
{
    const elastic_settings *s = c->settings;
    status st = component_listen(c, &s->server, routes, ARRAY_LEN(routes), c, err);
    if (st == STATUS_OK)
        *ret_self = c;
    return st;
}

const component_type elasticsearch_receiver = {
    .type = "elasticsearch",
    .kind = COMPONENT_RECEIVER,
    .signals = SIGNALS_LOGS,
    .help =
        "Takes log records by Elasticsearch's bulk API, as Filebeat, Logstash and rsyslog send.",
    .options = OPTION_TABLE(elastic_rows, elastic_settings),
    .open = elastic_open,
};
