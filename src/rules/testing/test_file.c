// SPDX-License-Identifier: Apache-2.0
/* Reads test files of rules: a table of keys for each kind of map, every key once, none that is not
 * known. */
#include "rules/testing/test_file.h"

#include "base/clock.h"
#include "settings/yaml.h"

#include <math.h>
#include <stdlib.h>

typedef struct {
    arena *a;
    const char *path;
    error *err;
} reader;

/* Reads the value of a key into the struct that the map describes. */
typedef status field_reader(reader *r, const yaml_node *n, void *into);

typedef struct {
    const char *key;
    field_reader *read;
    size_t offset; /* of what it fills */
} field;

static status wrong(reader *r, const yaml_node *n, const char *what)
{
    return fail(r->err, STATUS_INVALID, "%s:%u:%u: %s", r->path, n->line, n->column, what);
}

static status no_memory(reader *r)
{
    return fail(r->err, STATUS_LIMIT, "%s: takes more memory than it may", r->path);
}

static status read_map(reader *r, const yaml_node *n, const field *fields, size_t count, void *into)
{
    if (yaml_is_null(n))
        return STATUS_OK;
    if (n->kind != YAML_MAPPING)
        return wrong(r, n, "a map should stand here");
    for (uint32_t i = 0; i < n->count; i++) {
        const yaml_pair *p = &n->pairs[i];
        size_t k = 0;
        while (k < count && !str_is(p->key->text, fields[k].key))
            k++;
        if (k == count)
            return fail(r->err, STATUS_INVALID, "%s:%u:%u: field %.*s is not known here", r->path,
                        p->key->line, p->key->column, (int)MIN(p->key->text.len, 100),
                        p->key->text.ptr);
        status st = fields[k].read(r, p->value, (char *)into + fields[k].offset);
        if (st != STATUS_OK)
            return st;
    }
    return STATUS_OK;
}

/* ---- scalars ---- */

static status read_text(reader *r, const yaml_node *n, void *into)
{
    if (n->kind != YAML_SCALAR)
        return wrong(r, n, "a text should stand here");
    *(str *)into = yaml_is_null(n) ? STR_EMPTY : n->text;
    return STATUS_OK;
}

static status read_duration(reader *r, const yaml_node *n, void *into)
{
    int64_t ns = 0;
    if (n->kind != YAML_SCALAR)
        return wrong(r, n, "a duration as 5m should stand here");
    bool good = str_is(n->text, "0") ||
                (str_find_char(n->text, '.') == SIZE_MAX && clock_parse_duration(n->text, &ns));
    if (!good)
        return fail(r->err, STATUS_INVALID, "%s:%u:%u: not a valid duration string: \"%.*s\"",
                    r->path, n->line, n->column, (int)MIN(n->text.len, 100), n->text.ptr);
    *(int64_t *)into = ns / NS_PER_MS;
    return STATUS_OK;
}

static status read_bool(reader *r, const yaml_node *n, void *into)
{
    return yaml_to_bool(n, into) ? STATUS_OK : wrong(r, n, "true or false should stand here");
}

static status read_value(reader *r, const yaml_node *n, void *into)
{
    if (yaml_to_f64(n, into) || (n->kind == YAML_SCALAR && str_to_f64(n->text, into)))
        return STATUS_OK;
    return wrong(r, n, "a number should stand here");
}

static status read_time(reader *r, const yaml_node *n, void *into)
{
    int64_t ns = 0;
    double seconds = 0;
    if (n->kind == YAML_SCALAR && clock_parse_rfc3339(n->text, &ns)) {
        *(int64_t *)into = ns / NS_PER_MS;
        return STATUS_OK;
    }
    if (n->kind == YAML_SCALAR && str_to_f64(n->text, &seconds) && fabs(seconds) < 9e9) {
        *(int64_t *)into = llround(seconds * 1000);
        return STATUS_OK;
    }
    return wrong(r, n, "a time (RFC 3339 or Unix seconds) should stand here");
}

static int compare_labels(const void *a, const void *b)
{
    return str_cmp(((const label *)a)->name, ((const label *)b)->name);
}

static status read_labels(reader *r, const yaml_node *n, void *into)
{
    if (yaml_is_null(n))
        return STATUS_OK;
    if (n->kind != YAML_MAPPING)
        return wrong(r, n, "a map of texts should stand here");
    label *items = ARENA_ARRAY(r->a, label, (size_t)n->count + 1);
    if (!items)
        return no_memory(r);
    for (uint32_t i = 0; i < n->count; i++) {
        items[i].name = n->pairs[i].key->text;
        status st = read_text(r, n->pairs[i].value, &items[i].value);
        if (st != STATUS_OK)
            return st;
    }
    qsort(items, n->count, sizeof(*items), compare_labels);
    *(labels *)into = (labels){ items, n->count };
    return STATUS_OK;
}

/* ---- lists ---- */

typedef struct {
    void **items;
    uint32_t *count;
    size_t size;
} list_target;

static status read_list(reader *r, const yaml_node *n, field_reader *read, const list_target *to)
{
    *to->count = 0;
    if (yaml_is_null(n))
        return STATUS_OK;
    if (n->kind != YAML_SEQUENCE)
        return wrong(r, n, "a list should stand here");
    char *items = arena_calloc(r->a, (size_t)n->count + 1, to->size);
    if (!items)
        return no_memory(r);
    for (uint32_t i = 0; i < n->count; i++) {
        status st = read(r, n->items[i], items + i * to->size);
        if (st != STATUS_OK)
            return st;
    }
    *to->items = items;
    *to->count = n->count;
    return STATUS_OK;
}

/* A reader of a list whose pointer and count are members of `owner`. */
#define LIST_READER(name, owner, pointer, counter, type, read_one) \
    static status name(reader *r, const yaml_node *n, void *into) \
    { \
        owner *o = into; \
        void *items = NULL; \
        status st = \
            read_list(r, n, read_one, &(list_target){ &items, &o->counter, sizeof(type) }); \
        o->pointer = items; \
        return st; \
    }

/* ---- series ---- */

typedef struct {
    str series, values;
} raw_series;

static status read_series(reader *r, const yaml_node *n, void *into)
{
    static const field fields[] = {
        { "series", read_text, offsetof(raw_series, series) },
        { "values", read_text, offsetof(raw_series, values) },
    };
    raw_series raw = { STR_EMPTY, STR_EMPTY };
    test_series *s = into;
    error problem;
    status st = read_map(r, n, fields, ARRAY_LEN(fields), &raw);
    if (st != STATUS_OK)
        return st;
    st = series_text_labels(r->a, raw.series, &s->labels, &problem);
    if (st == STATUS_OK)
        st = series_text_read(r->a, raw.values, &s->values, &problem);
    if (st == STATUS_OK)
        return st;
    return fail(r->err, st, "%s:%u:%u: series %.*s: %s", r->path, n->line, n->column,
                (int)MIN(raw.series.len, 100), raw.series.ptr, problem.message);
}

/* ---- what is expected ---- */

static status read_alert(reader *r, const yaml_node *n, void *into)
{
    static const field fields[] = {
        { "exp_labels", read_labels, offsetof(test_alert, labels) },
        { "exp_annotations", read_labels, offsetof(test_alert, annotations) },
    };
    return read_map(r, n, fields, ARRAY_LEN(fields), into);
}

LIST_READER(read_alerts, test_alert_case, alerts, alert_count, test_alert, read_alert)

/* alertname belongs to the labels of each alert. */
static bool add_name(reader *r, test_alert *alert, str name)
{
    label *items = ARENA_ARRAY(r->a, label, (size_t)alert->labels.count + 1);
    uint32_t n = 0;
    if (!items)
        return false;
    for (uint32_t i = 0; i < alert->labels.count; i++)
        if (!str_is(alert->labels.items[i].name, "alertname"))
            items[n++] = alert->labels.items[i];
    items[n++] = (label){ STR("alertname"), name };
    qsort(items, n, sizeof(*items), compare_labels);
    alert->labels = (labels){ items, n };
    return true;
}

static status read_alert_case(reader *r, const yaml_node *n, void *into)
{
    static const field fields[] = {
        { "eval_time", read_duration, offsetof(test_alert_case, eval_ms) },
        { "alertname", read_text, offsetof(test_alert_case, alertname) },
        { "exp_alerts", read_alerts, 0 },
    };
    test_alert_case *c = into;
    status st = read_map(r, n, fields, ARRAY_LEN(fields), c);
    if (st != STATUS_OK)
        return st;
    if (!c->alertname.len)
        return wrong(r, n, "an item under alert_rule_test misses the attribute alertname");
    for (uint32_t i = 0; i < c->alert_count; i++)
        if (!add_name(r, &c->alerts[i], c->alertname))
            return no_memory(r);
    return STATUS_OK;
}

typedef struct {
    str labels, histogram;
    double value;
} raw_sample;

static status read_raw_sample(reader *r, const yaml_node *n, void *into)
{
    static const field fields[] = {
        { "labels", read_text, offsetof(raw_sample, labels) },
        { "value", read_value, offsetof(raw_sample, value) },
        { "histogram", read_text, offsetof(raw_sample, histogram) },
    };
    raw_sample *s = into;
    s->labels = s->histogram = STR_EMPTY;
    return read_map(r, n, fields, ARRAY_LEN(fields), s);
}

static status make_sample(reader *r, const raw_sample *raw, test_sample *ret, error *err)
{
    series_text_values values;
    ret->value = raw->value;
    ret->histogram = STR_EMPTY;
    status st = series_text_labels(r->a, raw->labels, &ret->labels, err);
    if (st != STATUS_OK || !raw->histogram.len)
        return st;
    st = series_text_read(r->a, raw->histogram, &values, err);
    if (st != STATUS_OK)
        return st;
    if (values.count != 1 || values.items[0].kind != SERIES_HISTOGRAM)
        return fail(err, STATUS_INVALID, "expected one histogram, got %u values", values.count);
    buf text;
    buf_init(&text, MiB(1));
    series_text_print_histogram(&text, values.items[0].histogram);
    ret->histogram = text.failed ? (str){ NULL, 0 } : arena_str(r->a, buf_view(&text));
    ret->value = 0;
    buf_done(&text);
    return ret->histogram.ptr ? STATUS_OK : no_memory(r);
}

typedef struct {
    raw_sample *items;
    uint32_t count;
} raw_samples;

LIST_READER(read_raw_samples, raw_samples, items, count, raw_sample, read_raw_sample)

typedef struct {
    str expr;
    int64_t eval_ms;
    raw_samples samples;
} raw_expr;

static status read_expr_case(reader *r, const yaml_node *n, void *into)
{
    static const field fields[] = {
        { "expr", read_text, offsetof(raw_expr, expr) },
        { "eval_time", read_duration, offsetof(raw_expr, eval_ms) },
        { "exp_samples", read_raw_samples, offsetof(raw_expr, samples) },
    };
    raw_expr raw = { .expr = STR_EMPTY };
    test_expr_case *c = into;
    status st = read_map(r, n, fields, ARRAY_LEN(fields), &raw);
    if (st != STATUS_OK)
        return st;
    *c = (test_expr_case){ .expr = raw.expr, .eval_ms = raw.eval_ms, .problem = STR_EMPTY };
    c->samples = ARENA_ARRAY(r->a, test_sample, (size_t)raw.samples.count + 1);
    if (!c->samples)
        return no_memory(r);
    for (uint32_t i = 0; i < raw.samples.count; i++) {
        error problem;
        st = make_sample(r, &raw.samples.items[i], &c->samples[c->sample_count++], &problem);
        if (st == STATUS_OK)
            continue;
        str labels = raw.samples.items[i].labels;
        c->problem = arena_fmt(r->a, "labels \"%.*s\": %s", STR_ARG(labels), problem.message);
        return c->problem.ptr ? STATUS_OK : no_memory(r);
    }
    return STATUS_OK;
}

/* ---- tests ---- */

LIST_READER(read_input, test_group, series, series_count, test_series, read_series)
LIST_READER(read_alert_cases, test_group, alerts, alert_count, test_alert_case, read_alert_case)
LIST_READER(read_expr_cases, test_group, exprs, expr_count, test_expr_case, read_expr_case)

static status read_test(reader *r, const yaml_node *n, void *into)
{
    static const field fields[] = {
        { "name", read_text, offsetof(test_group, name) },
        { "interval", read_duration, offsetof(test_group, interval_ms) },
        { "start_timestamp", read_time, offsetof(test_group, start_ms) },
        { "input_series", read_input, 0 },
        { "alert_rule_test", read_alert_cases, 0 },
        { "promql_expr_test", read_expr_cases, 0 },
        { "external_labels", read_labels, offsetof(test_group, external_labels) },
        { "external_url", read_text, offsetof(test_group, external_url) },
    };
    test_group *t = into;
    t->name = t->external_url = STR_EMPTY;
    return read_map(r, n, fields, ARRAY_LEN(fields), t);
}

LIST_READER(read_tests, test_file, tests, test_count, test_group, read_test)
LIST_READER(read_rule_files, test_file, rule_files, rule_file_count, str, read_text)
LIST_READER(read_order, test_file, order, order_count, str, read_text)

static status finish(reader *r, test_file *f)
{
    size_t folder = 0;
    for (size_t i = 0; r->path[i]; i++)
        if (r->path[i] == '/')
            folder = i + 1;
    for (uint32_t i = 0; i < f->rule_file_count; i++) {
        str *file = &f->rule_files[i];
        if (file->len && file->ptr[0] == '/')
            continue;
        *file = arena_fmt(r->a, "%.*s%.*s", (int)folder, r->path, STR_ARG(*file));
        if (!file->ptr)
            return no_memory(r);
    }
    for (uint32_t i = 0; i < f->order_count; i++)
        for (uint32_t j = 0; j < i; j++)
            if (str_eq(f->order[i], f->order[j]))
                return fail(r->err, STATUS_INVALID,
                            "%s: group name repeated in evaluation order: %.*s", r->path,
                            (int)MIN(f->order[i].len, 200), f->order[i].ptr);
    if (!f->interval_ms)
        f->interval_ms = 60000;
    for (uint32_t i = 0; i < f->test_count; i++)
        if (!f->tests[i].interval_ms)
            f->tests[i].interval_ms = f->interval_ms;
    return STATUS_OK;
}

status test_file_parse(arena *a, const char *path, str text, test_file *ret, error *err)
{
    static const field fields[] = {
        { "rule_files", read_rule_files, 0 },
        { "evaluation_interval", read_duration, offsetof(test_file, interval_ms) },
        { "group_eval_order", read_order, 0 },
        { "tests", read_tests, 0 },
        { "fuzzy_compare", read_bool, offsetof(test_file, fuzzy) },
    };
    reader r = { a, path, err };
    yaml_document document;
    yaml_error problem;
    *ret = (test_file){ 0 };
    status st = yaml_parse(a, text, &document, &problem);
    if (st != STATUS_OK)
        return fail(err, st, "%s:%u:%u: %s", path, problem.line, problem.column,
                    problem.error.message);
    if (document.root)
        st = read_map(&r, document.root, fields, ARRAY_LEN(fields), ret);
    return st == STATUS_OK ? finish(&r, ret) : st;
}
