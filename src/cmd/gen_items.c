// SPDX-License-Identifier: Apache-2.0
/* Items of about the size and variety that services send: a request's log line with six attributes,
 * a trace of five spans with four to six, a gauge with three labels. */
#include "cmd/gen_items.h"

#include "base/clock.h"

#define SPANS_PER_TRACE 5

static const char *const routes[] = { "/api/orders", "/api/orders/{id}", "/api/users/{id}",
                                      "/api/search", "/api/checkout",    "/healthz" };
static const char *const methods[] = { "GET", "POST", "PUT", "DELETE" };
static const char *const events[] = { "order placed", "cache refreshed", "request finished",
                                      "payment declined by the provider", "user signed in" };
static const char *const queries[] = { "SELECT orders", "INSERT order_items", "SELECT users",
                                       "UPDATE stock" };

status gen_source_init(gen_source *s, const gen_options *options, error *err)
{
    uint64_t seed = 0;
    *s = (gen_source){ .options = *options };
    (void)random_seed(&seed, sizeof(seed));
    random_init(&s->random, seed);
    arena_init(&s->texts, 0);
    if (options->worker < options->series)
        s->series_count = (options->series - 1 - options->worker) / options->workers + 1;
    s->services = ARENA_ARRAY(&s->texts, str, options->services);
    s->series = ARENA_ARRAY(&s->texts, str, (size_t)s->series_count + 1);
    bool ok = s->services && s->series;
    for (uint32_t i = 0; ok && i < options->services; i++) {
        s->services[i] = arena_fmt(&s->texts, "gen-%u", i);
        ok = s->services[i].ptr != NULL;
    }
    for (uint32_t i = 0; ok && options->signal == SIGNAL_METRICS && i < s->series_count; i++) {
        s->series[i] = arena_fmt(&s->texts, "s-%u", options->worker + i * options->workers);
        ok = s->series[i].ptr != NULL;
    }
    if (ok)
        return STATUS_OK;
    gen_source_done(s);
    return fail(err, STATUS_NO_MEMORY, "no memory for %u services and %u series", options->services,
                options->series);
}

void gen_source_done(gen_source *s)
{
    arena_done(&s->texts);
}

/* ---- pieces ---- */

#define PICK(s, table) str_c((table)[random_next(&(s)->random) % ARRAY_LEN(table)])

/* Lists are built at once, so their size is known. */
typedef struct {
    attrs *list;
    uint32_t capacity;
    arena *a;
    bool ok;
} adder;

static adder add_to(arena *a, attrs *list, uint32_t room)
{
    list->items = ARENA_ARRAY(a, attr, room);
    list->count = 0;
    return (adder){ list, list->items ? room : 0, a, list->items != NULL };
}

static void add(adder *to, str key, value v)
{
    to->ok = to->ok && attrs_append(to->a, to->list, &to->capacity, key, v);
}

/* The scope of a service's resource. */
static uint32_t add_service(gen_source *s, batch *b, uint32_t service)
{
    uint32_t r = batch_add_resource(b);
    if (r == BATCH_FULL)
        return BATCH_FULL;
    adder to = add_to(&b->arena, &b->resources[r].attributes, 4);
    add(&to, STR("service.name"), VALUE_S(s->services[service]));
    add(&to, STR("service.version"), VALUE_S(STR("1.0.0")));
    add(&to, STR("host.name"), VALUE_S(STR("gen")));
    uint32_t scope = to.ok ? batch_add_scope(b, r) : BATCH_FULL;
    if (scope != BATCH_FULL)
        b->scopes[scope].name = STR("sonde.gen");
    return scope;
}

static void add_number(gen_source *s, adder *to, uint64_t number)
{
    add(to, STR("gen.run"), VALUE_S(str_c(s->options.run)));
    add(to, STR("gen.number"), VALUE_I((int64_t)number));
}

/* ---- logs ---- */

static bool fill_log(gen_source *s, batch *b, uint32_t scope, uint64_t number, int64_t now)
{
    uint32_t i = batch_add_log(b, scope);
    if (i == BATCH_FULL)
        return false;
    uint64_t chance = random_next(&s->random);
    bool failed = chance % 50 == 0;
    log_rows *l = &b->logs;
    l->time_ns[i] = now;
    l->observed_ns[i] = now;
    l->severity[i] = failed ? 17 : 9;
    l->severity_text[i] = failed ? STR("ERROR") : STR("INFO");
    l->body[i] = VALUE_S(PICK(s, events));
    for (int k = 0; k < 2; k++) {
        uint64_t id = random_next(&s->random);
        memcpy(l->trace[i].bytes + 8 * (size_t)k, &id, 8);
        memcpy(l->span[i].bytes, &id, 8);
    }
    adder to = add_to(&b->arena, &l->attributes[i], 6);
    add_number(s, &to, number);
    add(&to, STR("http.route"), VALUE_S(PICK(s, routes)));
    add(&to, STR("http.request.method"), VALUE_S(PICK(s, methods)));
    add(&to, STR("http.response.status_code"), VALUE_I(failed ? 500 : 200));
    add(&to, STR("duration_ms"), VALUE_D((double)(chance >> 8 & 0xfffff) / 1000.0));
    return to.ok;
}

/* ---- spans ---- */

typedef struct {
    trace_id trace;
    span_id root;
    int64_t start_ns;
} gen_trace;

static void new_trace(gen_source *s, gen_trace *t, int64_t now)
{
    uint64_t id[3];
    for (size_t i = 0; i < ARRAY_LEN(id); i++)
        id[i] = random_next(&s->random) | 1;
    memcpy(t->trace.bytes, id, 16);
    memcpy(t->root.bytes, id + 2, 8);
    t->start_ns = now - 50 * NS_PER_MS;
}

static bool fill_span(gen_source *s, batch *b, uint32_t scope, uint64_t number, uint32_t place,
                      const gen_trace *t)
{
    uint32_t i = batch_add_span(b, scope);
    if (i == BATCH_FULL)
        return false;
    span_rows *p = &b->spans;
    uint64_t chance = random_next(&s->random);
    p->trace[i] = t->trace;
    p->flags[i] = 1;
    p->span[i] = t->root;
    p->start_ns[i] = t->start_ns + (int64_t)place * 5 * NS_PER_MS;
    p->end_ns[i] = p->start_ns[i] + (int64_t)(chance % (place == 0 ? 50 : 10) + 1) * NS_PER_MS;
    adder to = add_to(&b->arena, &p->attributes[i], 7);
    add_number(s, &to, number);
    if (place == 0) {
        bool failed = chance % 40 == 0;
        p->kind[i] = SPAN_KIND_SERVER;
        p->name[i] = PICK(s, routes);
        p->status[i] = failed ? SPAN_STATUS_ERROR : SPAN_STATUS_UNSET;
        add(&to, STR("http.route"), VALUE_S(p->name[i]));
        add(&to, STR("http.request.method"), VALUE_S(PICK(s, methods)));
        add(&to, STR("url.scheme"), VALUE_S(STR("https")));
        add(&to, STR("http.response.status_code"), VALUE_I(failed ? 500 : 200));
        return to.ok;
    }
    uint64_t id = random_next(&s->random) | 1;
    memcpy(p->span[i].bytes, &id, 8);
    p->parent[i] = t->root;
    p->kind[i] = SPAN_KIND_CLIENT;
    p->name[i] = PICK(s, queries);
    add(&to, STR("db.system.name"), VALUE_S(STR("postgresql")));
    add(&to, STR("db.query.summary"), VALUE_S(p->name[i]));
    add(&to, STR("server.address"), VALUE_S(STR("db.internal")));
    return to.ok;
}

/* ---- metrics ---- */

/* The gauge of one service; a batch may pass from one service's series to the next's. */
static uint32_t add_gauge(gen_source *s, batch *b, uint32_t service)
{
    uint32_t scope = add_service(s, b, service);
    uint32_t metric = scope == BATCH_FULL ? BATCH_FULL : batch_add_metric(b, scope);
    if (metric == BATCH_FULL)
        return BATCH_FULL;
    batch_metric *m = &b->metrics[metric];
    m->type = METRIC_GAUGE;
    m->name = STR("gen.number");
    m->description = STR("Number of the item of sonde gen.");
    return metric;
}

static uint32_t service_of_series(const gen_source *s)
{
    return (uint32_t)((uint64_t)s->next_series * s->options.services / s->series_count);
}

static bool fill_points(gen_source *s, batch *b, uint64_t first, uint32_t count)
{
    uint32_t metric = BATCH_FULL, service = UINT32_MAX;
    for (uint32_t k = 0; k < count; k++) {
        if (s->next_series == 0)
            s->round_ns = MAX(clock_now_ns(), s->round_ns + NS_PER_MS);
        uint32_t at = service_of_series(s);
        if (at != service) {
            service = at;
            metric = add_gauge(s, b, service);
            if (metric == BATCH_FULL)
                return false;
        }
        uint32_t i = batch_add_point(b, metric);
        if (i == BATCH_FULL)
            return false;
        b->points.time_ns[i] = s->round_ns;
        b->points.value[i] = (point_value){ .is_int = true, .i64 = (int64_t)(first + k) };
        adder to = add_to(&b->arena, &b->points.attributes[i], 3);
        add(&to, STR("gen.run"), VALUE_S(str_c(s->options.run)));
        add(&to, STR("series"), VALUE_S(s->series[s->next_series]));
        add(&to, STR("zone"), VALUE_S(STR("eu-1")));
        if (!to.ok)
            return false;
        s->next_series = (s->next_series + 1) % s->series_count;
    }
    return true;
}

static bool fill_rows(gen_source *s, batch *b, uint64_t first, uint32_t count)
{
    int64_t now = clock_now_ns();
    uint32_t scope = add_service(s, b, (uint32_t)(random_next(&s->random) % s->options.services));
    if (scope == BATCH_FULL)
        return false;
    gen_trace trace = { 0 };
    bool ok = true;
    for (uint32_t k = 0; ok && k < count; k++) {
        if (s->options.signal == SIGNAL_LOGS) {
            ok = fill_log(s, b, scope, first + k, now + (int64_t)k);
            continue;
        }
        if (k % SPANS_PER_TRACE == 0)
            new_trace(s, &trace, now);
        ok = fill_span(s, b, scope, first + k, k % SPANS_PER_TRACE, &trace);
    }
    return ok;
}

status gen_fill(gen_source *s, batch *b, uint64_t first, uint32_t count, error *err)
{
    bool ok = s->options.signal == SIGNAL_METRICS ? fill_points(s, b, first, count)
                                                  : fill_rows(s, b, first, count);
    return ok ? STATUS_OK
              : fail(err, STATUS_LIMIT, "a batch of %u items takes more memory than it may", count);
}
