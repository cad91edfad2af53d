// SPDX-License-Identifier: Apache-2.0
/* The exposition formats, written from a batch. Rows are put in order of family name first, because
 * a family must stand together; within a family they keep the batch's order, so that a series stays
 * at its place from scrape to scrape. Formats: https://prometheus.io/docs/instrumenting/
 * exposition_formats/ and the OpenMetrics specification 1.0. */
#include "codec/prom_text.h"

#include "codec/prom_name.h"

#include <math.h>
#include <stdlib.h>

/* The help text of a metric that has none: linters refuse a family without. */
#define NO_HELP "No description was given."

typedef struct {
    str family; /* with "_total" for counters */
    prom_type type;
} family_name;

typedef struct {
    str family;
    uint32_t row;
} row_order;

typedef struct {
    const batch *b;
    arena arena;
    prom_format format;
    prom_text_options options;
    buf *out;
    family_name *families;  /* by metric index */
    prom_labels *resources; /* by resource index; NULL without resource labels */
    uint32_t skipped;
} writer;

static bool is_openmetrics(const writer *w)
{
    return w->format != PROM_TEXT_0_0_4;
}

/* ---- pieces ---- */

static void add_escaped(buf *out, str s, bool quotes)
{
    size_t from = 0;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c == '\\' || c == '\n' || (c == '"' && quotes)) {
            buf_add(out, s.ptr + from, i - from);
            buf_char(out, '\\');
            buf_char(out, c == '\n' ? 'n' : (char)c);
            from = i + 1;
        }
    }
    buf_add(out, s.ptr + from, s.len - from);
}

/* As add_escaped, with each byte that is not UTF-8 as U+FFFD. */
static void add_text(buf *out, str s, bool quotes)
{
    while (s.len > 0) {
        size_t good = utf8_valid_prefix(s);
        add_escaped(out, str_slice(s, 0, good), quotes);
        if (good < s.len) {
            buf_lit(out, "\xef\xbf\xbd");
            good++;
        }
        s = str_slice(s, good, s.len);
    }
}

static void add_label(buf *out, bool *first, str name, str text)
{
    buf_char(out, *first ? '{' : ',');
    *first = false;
    buf_str(out, name);
    buf_lit(out, "=\"");
    add_text(out, text, true);
    buf_char(out, '"');
}

/* OpenMetrics writes bounds as floats ("1.0"), so that both ends have one text for one number. */
static str bound_text(const writer *w, double bound, char ret[static 48])
{
    buf text;
    buf_init(&text, 40);
    buf_f64(&text, bound);
    size_t n = MIN(text.len, 40);
    memcpy(ret, text.ptr, n);
    buf_done(&text);
    str s = str_n(ret, n);
    bool plain = true;
    for (size_t i = 0; i < n; i++)
        plain = plain && ((ret[i] >= '0' && ret[i] <= '9') || ret[i] == '-');
    if (is_openmetrics(w) && plain) {
        ret[s.len++] = '.';
        ret[s.len++] = '0';
    }
    return s;
}

static void add_time(const writer *w, int64_t time_ns)
{
    if (is_openmetrics(w))
        buf_fmt(w->out, "%lld.%03lld", (long long)(time_ns / NS_PER_S),
                (long long)(time_ns % NS_PER_S / NS_PER_MS));
    else
        buf_i64(w->out, time_ns / NS_PER_MS);
}

/* " # {trace_id="…",span_id="…"} value time"; other attributes only while all labels together
 * stay within the 128 characters that OpenMetrics allows. */
static void add_exemplar(writer *w, const exemplar *e)
{
    static const size_t most = 128;
    buf *out = w->out;
    char hex[32];
    size_t used = 0;
    buf_lit(out, " # {");
    bool first = true;
    size_t at = out->len;
    if (trace_id_is_set(e->trace)) {
        str_to_hex(e->trace.bytes, sizeof(e->trace.bytes), hex);
        add_label(out, &first, STR("trace_id"), str_n(hex, 32));
        used += 8 + 32;
    }
    if (span_id_is_set(e->span)) {
        str_to_hex(e->span.bytes, sizeof(e->span.bytes), hex);
        add_label(out, &first, STR("span_id"), str_n(hex, 16));
        used += 7 + 16;
    }
    prom_labels more;
    if (prom_point_labels(&w->arena, &e->filtered_attributes, NULL, &more)) {
        size_t extra = 0;
        for (uint32_t i = 0; i < more.count; i++)
            extra += more.items[i].name.len + more.items[i].value.len;
        for (uint32_t i = 0; used + extra <= most && i < more.count; i++)
            add_label(out, &first, more.items[i].name, more.items[i].value);
    }
    if (!first && !out->failed) { /* add_label wrote a brace of its own */
        memmove(out->ptr + at, out->ptr + at + 1, out->len - at - 1);
        out->len--;
    }
    buf_lit(out, "} ");
    if (e->is_int)
        buf_i64(out, e->i64);
    else
        buf_f64(out, e->f64);
    if (e->time_ns > 0) {
        buf_char(out, ' ');
        add_time(w, e->time_ns);
    }
}

typedef struct {
    const prom_labels *labels;
    str name;
    const char *suffix;
    const char *extra; /* a label more: "le", "quantile"; or NULL */
    str extra_value;
    const exemplar *exemplar; /* or NULL */
    int64_t time_ns;
} sample;

static void begin_sample(writer *w, const sample *s)
{
    buf_str(w->out, s->name);
    buf_str(w->out, str_c(s->suffix));
    bool first = true;
    for (uint32_t i = 0; i < s->labels->count; i++)
        if (!s->extra || !str_is(s->labels->items[i].name, s->extra))
            add_label(w->out, &first, s->labels->items[i].name, s->labels->items[i].value);
    if (s->extra)
        add_label(w->out, &first, str_c(s->extra), s->extra_value);
    if (!first)
        buf_char(w->out, '}');
    buf_char(w->out, ' ');
}

static void end_sample(writer *w, const sample *s)
{
    if (w->options.timestamps && s->time_ns > 0) {
        buf_char(w->out, ' ');
        add_time(w, s->time_ns);
    }
    if (s->exemplar && is_openmetrics(w))
        add_exemplar(w, s->exemplar);
    buf_char(w->out, '\n');
}

static void add_sample_f64(writer *w, const sample *s, double v)
{
    begin_sample(w, s);
    buf_f64(w->out, v);
    end_sample(w, s);
}

static void add_sample_u64(writer *w, const sample *s, uint64_t v)
{
    begin_sample(w, s);
    buf_u64(w->out, v);
    end_sample(w, s);
}

/* ---- points ---- */

/* The newest exemplar with a value in (low, high]. */
static const exemplar *exemplar_between(const exemplars *list, double low, double high)
{
    const exemplar *best = NULL;
    for (uint32_t i = 0; i < list->count; i++) {
        const exemplar *e = &list->items[i];
        double v = e->is_int ? (double)e->i64 : e->f64;
        if (v > low && v <= high && (!best || e->time_ns >= best->time_ns))
            best = e;
    }
    return best;
}

static void add_histogram(writer *w, uint32_t row, sample s, const histogram_value *h)
{
    const exemplars *list = &w->b->points.exemplars[row];
    uint64_t below = 0;
    double low = -INFINITY;
    s.suffix = "_bucket";
    s.extra = "le";
    for (uint32_t i = 0; i < h->bound_count && i < h->bucket_count; i++) {
        if (isinf(h->bounds[i]) && h->bounds[i] > 0)
            break; /* the last line says it */
        char text[48];
        below += h->buckets[i];
        s.extra_value = bound_text(w, h->bounds[i], text);
        s.exemplar = exemplar_between(list, low, h->bounds[i]);
        low = h->bounds[i];
        add_sample_u64(w, &s, below);
    }
    s.extra_value = STR("+Inf");
    s.exemplar = exemplar_between(list, low, INFINITY);
    add_sample_u64(w, &s, h->count);
    s.extra = NULL;
    s.exemplar = NULL;
    if (h->has_sum) {
        s.suffix = "_sum";
        add_sample_f64(w, &s, h->sum);
    }
    s.suffix = "_count";
    add_sample_u64(w, &s, h->count);
}

static void add_summary(writer *w, sample s, const summary_value *v)
{
    s.extra = "quantile";
    for (uint32_t i = 0; i < v->quantile_count; i++) {
        char text[48];
        s.extra_value = bound_text(w, v->quantiles[i].quantile, text);
        add_sample_f64(w, &s, v->quantiles[i].value);
    }
    s.extra = NULL;
    s.suffix = "_sum";
    add_sample_f64(w, &s, v->sum);
    s.suffix = "_count";
    add_sample_u64(w, &s, v->count);
}

static void add_number(writer *w, uint32_t row, sample s, prom_type type)
{
    const point_value *v = &w->b->points.value[row];
    const exemplars *list = &w->b->points.exemplars[row];
    if (type == PROM_COUNTER && list->count > 0)
        s.exemplar = &list->items[list->count - 1];
    begin_sample(w, &s);
    if (v->is_int)
        buf_i64(w->out, v->i64);
    else
        buf_f64(w->out, v->f64);
    end_sample(w, &s);
}

static void add_point(writer *w, uint32_t row)
{
    const point_rows *p = &w->b->points;
    const batch_metric *m = &w->b->metrics[p->metric[row]];
    const family_name *family = &w->families[p->metric[row]];
    const prom_labels *resource = NULL;
    if (w->resources)
        resource = &w->resources[w->b->scopes[m->scope].resource];
    prom_labels labels;
    if (!prom_point_labels(&w->arena, &p->attributes[row], resource, &labels)) {
        w->out->failed = true;
        return;
    }
    sample s = { .labels = &labels, .name = family->family, .suffix = "" };
    s.time_ns = p->time_ns[row];
    switch (m->type) {
    case METRIC_HISTOGRAM:
        add_histogram(w, row, s, p->value[row].histogram);
        break;
    case METRIC_EXP_HISTOGRAM: {
        /* The text formats have no exponential buckets: count and sum remain. */
        const exp_histogram_value *e = p->value[row].exp;
        histogram_value h = { .count = e->count, .sum = e->sum, .has_sum = e->has_sum };
        add_histogram(w, row, s, &h);
        break;
    }
    case METRIC_SUMMARY:
        add_summary(w, s, p->value[row].summary);
        break;
    default:
        add_number(w, row, s, family->type);
    }
}

/* ---- families ---- */

static void add_comment(writer *w, const char *keyword, str family, str text)
{
    buf_fmt(w->out, "# %s %.*s ", keyword, STR_ARG(family));
    add_text(w->out, text, is_openmetrics(w) && keyword[0] == 'H');
    buf_char(w->out, '\n');
}

static void add_family_head(writer *w, const batch_metric *m, const family_name *f)
{
    str name = f->family;
    if (f->type == PROM_COUNTER && is_openmetrics(w) && str_ends(name, STR("_total")))
        name = str_slice(name, 0, name.len - 6);
    add_comment(w, "HELP", name, m->description.len > 0 ? m->description : STR(NO_HELP));
    const char *type = prom_type_name(f->type);
    if (f->type == PROM_UNKNOWN && !is_openmetrics(w))
        type = "untyped";
    add_comment(w, "TYPE", name, str_c(type));
    if (!is_openmetrics(w))
        return;
    buf unit;
    buf_init(&unit, KiB(4));
    buf_char(&unit, '_');
    prom_unit_name(&unit, m->unit);
    if (unit.len > 1 && !unit.failed && str_ends(name, buf_view(&unit)))
        add_comment(w, "UNIT", name, str_slice(buf_view(&unit), 1, unit.len));
    buf_done(&unit);
}

static int by_family(const void *a, const void *b)
{
    const row_order *x = a, *y = b;
    int c = str_cmp(x->family, y->family);
    return c != 0 ? c : (x->row > y->row) - (x->row < y->row);
}

/* The rows that can be shown, in order of family. */
static row_order *sorted_rows(writer *w, uint32_t *ret_count)
{
    const point_rows *p = &w->b->points;
    row_order *rows = ARENA_ARRAY(&w->arena, row_order, (size_t)p->count + 1);
    if (!rows)
        return NULL;
    uint32_t count = 0;
    for (uint32_t i = 0; i < p->count; i++) {
        if (p->flags[i] & POINT_FLAG_NO_RECORDED_VALUE)
            continue;
        str family = w->families[p->metric[i]].family;
        if (family.len > 0)
            rows[count++] = (row_order){ family, i };
        else
            w->skipped++;
    }
    if (count > 1)
        qsort(rows, count, sizeof(rows[0]), by_family);
    *ret_count = count;
    return rows;
}

static bool name_families(writer *w)
{
    const batch *b = w->b;
    w->families = ARENA_ARRAY(&w->arena, family_name, (size_t)b->metric_count + 1);
    if (!w->families)
        return false;
    buf name;
    buf_init(&name, KiB(64));
    bool ok = true;
    for (uint32_t i = 0; i < b->metric_count && ok; i++) {
        buf_clear(&name);
        w->families[i].type = prom_type_of(&b->metrics[i]);
        if (prom_metric_name(&name, &b->metrics[i])) {
            w->families[i].family = arena_str(&w->arena, buf_view(&name));
            ok = w->families[i].family.ptr != NULL;
        }
    }
    buf_done(&name);
    return ok;
}

static bool label_resources(writer *w)
{
    if (!w->options.resource_labels)
        return true;
    const batch *b = w->b;
    w->resources = ARENA_ARRAY(&w->arena, prom_labels, (size_t)b->resource_count + 1);
    if (!w->resources)
        return false;
    for (uint32_t i = 0; i < b->resource_count; i++)
        if (!prom_resource_labels(&w->arena, &b->resources[i].attributes, &w->resources[i]))
            return false;
    return true;
}

static bool add_target_info(writer *w)
{
    bool headed = false;
    for (uint32_t i = 0; i < w->b->resource_count; i++) {
        prom_labels labels;
        if (!prom_target_info(&w->arena, &w->b->resources[i].attributes, w->options.resource_labels,
                              &labels))
            return false;
        if (labels.count == 0)
            continue;
        if (!headed) {
            str name = is_openmetrics(w) ? STR("target") : STR("target_info");
            add_comment(w, "HELP", name, STR("What reports these metrics."));
            add_comment(w, "TYPE", name, is_openmetrics(w) ? STR("info") : STR("gauge"));
        }
        headed = true;
        sample s = { .labels = &labels, .name = STR("target_info"), .suffix = "" };
        add_sample_u64(w, &s, 1);
    }
    return true;
}

static bool write_page(writer *w)
{
    uint32_t count = 0;
    if (!name_families(w) || !label_resources(w))
        return false;
    row_order *rows = sorted_rows(w, &count);
    if (!rows || (w->options.target_info && !add_target_info(w)))
        return false;
    const family_name *family = NULL;
    for (uint32_t i = 0; i < count && !w->out->failed; i++) {
        uint32_t metric = w->b->points.metric[rows[i].row];
        const family_name *f = &w->families[metric];
        if (!family || !str_eq(family->family, f->family)) {
            family = f;
            add_family_head(w, &w->b->metrics[metric], f);
        }
        if (family->type == f->type)
            add_point(w, rows[i].row);
        else
            w->skipped++;
    }
    if (is_openmetrics(w))
        buf_lit(w->out, "# EOF\n");
    return true;
}

status prom_text_write(const batch *b, prom_format format, const prom_text_options *options,
                       buf *out, uint32_t *ret_skipped, error *err)
{
    writer w = { .b = b, .format = format, .out = out };
    if (options)
        w.options = *options;
    arena_init(&w.arena, 0);
    bool done = write_page(&w);
    arena_done(&w.arena);
    if (ret_skipped)
        *ret_skipped = w.skipped;
    if (!done)
        return fail(err, STATUS_NO_MEMORY, "no memory for a metrics page of %u points",
                    b->points.count);
    return buf_check(out, err, "the metrics page");
}

/* ---- negotiation ---- */

typedef struct {
    const char *type;
    const char *version; /* "" when the entry names none */
    prom_format format;
} offer;

/* Best first: decides between entries of equal q. */
static const offer offers[] = {
    { "application/openmetrics-text", "1.0.0", PROM_OPENMETRICS_1_0_0 },
    { "application/openmetrics-text", "", PROM_OPENMETRICS_1_0_0 },
    { "application/openmetrics-text", "0.0.1", PROM_OPENMETRICS_0_0_1 },
    { "text/plain", "0.0.4", PROM_TEXT_0_0_4 },
    { "text/plain", "1.0.0", PROM_TEXT_0_0_4 },
    { "text/plain", "", PROM_TEXT_0_0_4 },
    { "text/*", "", PROM_TEXT_0_0_4 },
    { "*/*", "", PROM_TEXT_0_0_4 },
};

prom_format prom_negotiate(str accept)
{
    double best_q = 0;
    size_t best = ARRAY_LEN(offers);
    while (accept.len > 0) {
        str entry = str_cut(accept, ',', &accept);
        str parameters;
        str type = str_trim(str_cut(entry, ';', &parameters));
        str version = STR_EMPTY;
        double q = 1;
        while (parameters.len > 0) {
            str text;
            str name = str_trim(str_cut(str_cut(parameters, ';', &parameters), '=', &text));
            text = str_trim(text);
            if (str_eq_nocase(name, STR("version")))
                version = text;
            else if (str_eq_nocase(name, STR("q")) &&
                     (!str_to_f64(text, &q) || !(q >= 0 && q <= 1)))
                q = 0;
        }
        for (size_t i = 0; i < ARRAY_LEN(offers); i++)
            if (str_eq_nocase(type, str_c(offers[i].type)) && str_is(version, offers[i].version) &&
                (q > best_q || (q > 0 && q == best_q && i < best))) {
                best_q = q;
                best = i;
            }
    }
    return best < ARRAY_LEN(offers) ? offers[best].format : PROM_TEXT_0_0_4;
}

const char *prom_content_type(prom_format f)
{
    switch (f) {
    case PROM_OPENMETRICS_1_0_0:
        return "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores";
    case PROM_OPENMETRICS_0_0_1:
        return "application/openmetrics-text; version=0.0.1; charset=utf-8";
    case PROM_TEXT_0_0_4:
        break;
    }
    return "text/plain; version=0.0.4; charset=utf-8";
}
