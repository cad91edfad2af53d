// SPDX-License-Identifier: Apache-2.0
/* The text formats, written from a page. Formats: https://prometheus.io/docs/instrumenting/
 * exposition_formats/ and the OpenMetrics specification 1.0. */
#include "codec/prom_text.h"

#include "codec/prom_page.h"
#include "codec/prom_protobuf.h"

#include <math.h>
#include <stdlib.h>

typedef struct {
    prom_page page;
    prom_format format;
    buf *out;
} writer;

static bool is_openmetrics(const writer *w)
{
    return w->format == PROM_OPENMETRICS_0_0_1 || w->format == PROM_OPENMETRICS_1_0_0;
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

/* Printable ASCII without what must be escaped: most label values. */
static bool is_plain_text(str s)
{
    bool plain = true;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        plain = plain & (c >= ' ') & (c < 0x80) & (c != '"') & (c != '\\');
    }
    return plain;
}

/* In quotes where it must be. */
static void add_name(buf *out, str name)
{
    if (prom_name_is_plain(name)) {
        buf_str(out, name);
        return;
    }
    buf_char(out, '"');
    add_text(out, name, true);
    buf_char(out, '"');
}

static void add_label(buf *out, bool *first, str name, str text)
{
    buf_char(out, *first ? '{' : ',');
    *first = false;
    add_name(out, name);
    if (is_plain_text(text) && buf_reserve(out, text.len + 3)) {
        char *at = out->ptr + out->len;
        *at++ = '=';
        *at++ = '"';
        memcpy(at, text.ptr, text.len);
        at[text.len] = '"';
        out->len += text.len + 3;
        return;
    }
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
    if (prom_page_attributes(&w->page, &e->filtered_attributes, &more)) {
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
    bool is_quoted; /* it has characters outside of the old set */
    const char *suffix;
    const char *extra; /* a label more: "le", "quantile"; or NULL */
    str extra_value;
    const exemplar *exemplar; /* or NULL */
    int64_t time_ns;
} sample;

static void begin_sample(writer *w, const sample *s)
{
    bool first = true;
    if (s->is_quoted) { /* the name stands among the labels */
        buf_lit(w->out, "{\"");
        add_text(w->out, s->name, true);
        buf_str(w->out, str_c(s->suffix));
        buf_char(w->out, '"');
        first = false;
    } else {
        buf_str(w->out, s->name);
        buf_str(w->out, str_c(s->suffix));
    }
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
    if (w->page.options.timestamps && s->time_ns > 0) {
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

static void add_histogram(writer *w, uint32_t row, sample s, const histogram_value *h)
{
    const exemplars *list = &w->page.b->points.exemplars[row];
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
        s.exemplar = prom_exemplar_between(list, low, h->bounds[i]);
        low = h->bounds[i];
        add_sample_u64(w, &s, below);
    }
    s.extra_value = STR("+Inf");
    s.exemplar = prom_exemplar_between(list, low, INFINITY);
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
    const point_value *v = &w->page.b->points.value[row];
    const exemplars *list = &w->page.b->points.exemplars[row];
    if (type == PROM_COUNTER && list->count > 0 && str_ends(s.name, STR("_total")))
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
    const point_rows *p = &w->page.b->points;
    const batch_metric *m = prom_page_metric(&w->page, row);
    const prom_family *family = prom_page_family(&w->page, row);
    prom_labels labels;
    if (!prom_page_labels(&w->page, row, &labels)) {
        w->out->failed = true;
        return;
    }
    sample s = { .labels = &labels, .name = family->name, .suffix = "" };
    s.is_quoted = w->page.escaping == PROM_ALLOW_UTF8 && !prom_name_is_plain(s.name);
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
    buf_fmt(w->out, "# %s ", keyword);
    add_name(w->out, family);
    buf_char(w->out, ' ');
    add_text(w->out, text, is_openmetrics(w) && keyword[0] == 'H');
    buf_char(w->out, '\n');
}

static void add_family_head(writer *w, const batch_metric *m, const prom_family *f)
{
    str name = f->name;
    if (f->type == PROM_COUNTER && is_openmetrics(w) && str_ends(name, STR("_total")))
        name = str_slice(name, 0, name.len - 6);
    bool unsayable = f->type == PROM_COUNTER && is_openmetrics(w) && name.len == f->name.len;
    add_comment(w, "HELP", name, m->description.len > 0 ? m->description : STR(PROM_NO_HELP));
    /* OpenMetrics has no counters but those of names with _total. */
    const char *type = prom_type_name(unsayable ? PROM_UNKNOWN : f->type);
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

static bool add_target_info(writer *w)
{
    bool headed = false;
    for (uint32_t i = 0; i < w->page.b->resource_count; i++) {
        prom_labels labels;
        if (!prom_page_target(&w->page, i, &labels))
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
    const prom_family *family = NULL;
    if (w->page.options.target_info && !add_target_info(w))
        return false;
    for (uint32_t i = 0; i < w->page.row_count && !w->out->failed; i++) {
        uint32_t row = w->page.rows[i];
        bool shown;
        if (prom_page_begins(&w->page, i, &family, &shown))
            add_family_head(w, prom_page_metric(&w->page, row), family);
        if (shown)
            add_point(w, row);
    }
    if (is_openmetrics(w))
        buf_lit(w->out, "# EOF\n");
    return true;
}

status prom_write(const batch *b, const prom_choice *choice, const prom_text_options *options,
                  buf *out, uint32_t *ret_skipped, error *err)
{
    writer w = { .format = choice->format, .out = out };
    bool done =
        prom_page_init(&w.page, b, choice->escaping, options) &&
        (choice->format == PROM_PROTOBUF ? prom_protobuf_page(&w.page, out) : write_page(&w));
    prom_page_done(&w.page);
    if (ret_skipped)
        *ret_skipped = w.page.skipped;
    if (!done)
        return fail(err, STATUS_NO_MEMORY, "no memory for a metrics page of %u points",
                    b->points.count);
    return buf_check(out, err, "the metrics page");
}

status prom_text_write(const batch *b, prom_format format, const prom_text_options *options,
                       buf *out, uint32_t *ret_skipped, error *err)
{
    return prom_write(b, &(prom_choice){ .format = format }, options, out, ret_skipped, err);
}
