// SPDX-License-Identifier: Apache-2.0
/* Reads the values of series of rule tests, and writes labels and histograms as tests show them. */
#include "rules/testing/series_text.h"

#include "query/promql/ast.h"
#include "query/promql/histogram.h"

#include <math.h>

typedef struct {
    arena *a;
    str text;
    size_t at;
    series_text_values *out;
    error *err;
} reader;

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static char peek(const reader *r)
{
    return r->at < r->text.len ? r->text.ptr[r->at] : '\0';
}

static str rest(const reader *r)
{
    return str_slice(r->text, r->at, r->text.len);
}

static void skip_spaces(reader *r)
{
    while (r->at < r->text.len && is_space(r->text.ptr[r->at]))
        r->at++;
}

static bool take(reader *r, str what)
{
    bool found = str_starts(rest(r), what);
    r->at += found ? what.len : 0;
    return found;
}

static status wrong(reader *r, const char *wanted)
{
    str here = str_slice(rest(r), 0, 20);
    if (!here.len)
        return fail(r->err, STATUS_INVALID, "character %zu: the text ends where %s should stand",
                    r->at + 1, wanted);
    return fail(r->err, STATUS_INVALID, "character %zu: %s should stand before \"%.*s\"", r->at + 1,
                wanted, STR_ARG(here));
}

static status no_memory(reader *r)
{
    return fail(r->err, STATUS_LIMIT, "the series takes more memory than it may");
}

static status put(reader *r, series_text_value v)
{
    series_text_values *list = r->out;
    if (list->count >= SERIES_TEXT_VALUES_MAX)
        return fail(r->err, STATUS_LIMIT, "the series has more than %d values",
                    SERIES_TEXT_VALUES_MAX);
    if (list->count == list->capacity) {
        uint32_t more = list->capacity ? list->capacity * 2 : 16;
        series_text_value *grown =
            arena_grow(r->a, list->items, list->count * sizeof(*grown), more * sizeof(*grown));
        if (!grown)
            return no_memory(r);
        list->items = grown;
        list->capacity = more;
    }
    list->items[list->count++] = v;
    return STATUS_OK;
}

/* ---- numbers ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static void take_digits(reader *r)
{
    while (is_digit(peek(r)))
        r->at++;
}

/* Without a sign; "x" is never part of it. */
static bool read_unsigned(reader *r, double *ret)
{
    str here = rest(r);
    if (str_eq_nocase(str_slice(here, 0, 3), STR("inf")) ||
        str_eq_nocase(str_slice(here, 0, 3), STR("nan"))) {
        *ret = (here.ptr[0] | 0x20) == 'i' ? INFINITY : NAN;
        r->at += 3;
        return true;
    }
    size_t start = r->at;
    take_digits(r);
    if (peek(r) == '.') {
        r->at++;
        take_digits(r);
    }
    size_t mantissa = r->at;
    if (mantissa > start && (peek(r) | 0x20) == 'e') {
        r->at++;
        if (peek(r) == '+' || peek(r) == '-')
            r->at++;
        if (!is_digit(peek(r)))
            r->at = mantissa;
        take_digits(r);
    }
    return str_to_f64(str_slice(r->text, start, r->at), ret);
}

static bool read_number(reader *r, double *ret)
{
    size_t start = r->at;
    bool negative = peek(r) == '-';
    if (negative || peek(r) == '+')
        r->at++;
    if (!read_unsigned(r, ret)) {
        r->at = start;
        return false;
    }
    if (negative)
        *ret = -*ret;
    return true;
}

/* "x5"; false without an error when there is none. */
static status read_times(reader *r, bool *ret_any, uint64_t *ret)
{
    *ret_any = peek(r) == 'x';
    if (!*ret_any)
        return STATUS_OK;
    r->at++;
    size_t start = r->at;
    take_digits(r);
    if (!str_to_u64(str_slice(r->text, start, r->at), ret)) {
        r->at = start;
        return wrong(r, "a number of repetitions");
    }
    return STATUS_OK;
}

/* ---- histograms ---- */

typedef struct {
    str key;
    size_t offset; /* in histogram_fields */
    enum { FIELD_NUMBER, FIELD_INTEGER, FIELD_LIST, FIELD_HINT } kind;
} histogram_key;

typedef struct {
    double *items;
    uint32_t count;
} number_list;

typedef struct {
    double sum, count, zero_count, zero_width, schema, offset, negative_offset;
    number_list buckets, negative_buckets, custom;
    histogram_hint hint;
} histogram_fields;

static const histogram_key keys[] = {
    { STR_INIT("schema"), offsetof(histogram_fields, schema), FIELD_INTEGER },
    { STR_INIT("sum"), offsetof(histogram_fields, sum), FIELD_NUMBER },
    { STR_INIT("count"), offsetof(histogram_fields, count), FIELD_NUMBER },
    { STR_INIT("z_bucket"), offsetof(histogram_fields, zero_count), FIELD_NUMBER },
    { STR_INIT("z_bucket_w"), offsetof(histogram_fields, zero_width), FIELD_NUMBER },
    { STR_INIT("custom_values"), offsetof(histogram_fields, custom), FIELD_LIST },
    { STR_INIT("buckets"), offsetof(histogram_fields, buckets), FIELD_LIST },
    { STR_INIT("offset"), offsetof(histogram_fields, offset), FIELD_INTEGER },
    { STR_INIT("n_buckets"), offsetof(histogram_fields, negative_buckets), FIELD_LIST },
    { STR_INIT("n_offset"), offsetof(histogram_fields, negative_offset), FIELD_INTEGER },
    { STR_INIT("counter_reset_hint"), offsetof(histogram_fields, hint), FIELD_HINT },
};

static const struct {
    str name;
    histogram_hint hint;
} hints[] = {
    { STR_INIT("unknown"), HISTOGRAM_RESET_UNKNOWN },
    { STR_INIT("reset"), HISTOGRAM_RESET },
    { STR_INIT("not_reset"), HISTOGRAM_NO_RESET },
    { STR_INIT("gauge"), HISTOGRAM_GAUGE },
};

static str read_word(reader *r)
{
    size_t start = r->at;
    while ((peek(r) >= 'a' && peek(r) <= 'z') || peek(r) == '_')
        r->at++;
    return str_slice(r->text, start, r->at);
}

static status read_list(reader *r, number_list *ret)
{
    *ret = (number_list){ 0 };
    if (!take(r, STR("[")))
        return wrong(r, "[");
    uint32_t capacity = 0;
    for (skip_spaces(r); !take(r, STR("]")); skip_spaces(r)) {
        double v;
        if (!read_number(r, &v))
            return wrong(r, "a number");
        if (ret->count == capacity) {
            capacity = capacity ? capacity * 2 : 16;
            double *grown = arena_grow(r->a, ret->items, ret->count * sizeof(double),
                                       capacity * sizeof(double));
            if (!grown)
                return no_memory(r);
            ret->items = grown;
        }
        ret->items[ret->count++] = v;
    }
    return ret->count ? STATUS_OK : wrong(r, "a number in the list");
}

static status read_hint(reader *r, histogram_hint *ret)
{
    str name = read_word(r);
    for (size_t i = 0; i < ARRAY_LEN(hints); i++)
        if (str_eq(name, hints[i].name)) {
            *ret = hints[i].hint;
            return STATUS_OK;
        }
    return wrong(r, "unknown, reset, not_reset or gauge");
}

static status read_field(reader *r, const histogram_key *key, histogram_fields *fields)
{
    void *at = (char *)fields + key->offset;
    if (key->kind == FIELD_LIST)
        return read_list(r, at);
    if (key->kind == FIELD_HINT)
        return read_hint(r, at);
    double v;
    bool whole = key->kind == FIELD_INTEGER;
    if (!read_number(r, &v) || (whole && (v != floor(v) || fabs(v) > 1e9)))
        return wrong(r, whole ? "a whole number" : "a number");
    memcpy(at, &v, sizeof(v));
    return STATUS_OK;
}

static bool make_side(reader *r, const number_list *list, double offset, histogram_side *ret)
{
    *ret = (histogram_side){ 0 };
    if (!list->count)
        return true;
    native_span *span = ARENA_NEW(r->a, native_span);
    if (!span)
        return false;
    *span = (native_span){ (int32_t)offset, list->count };
    *ret = (histogram_side){ span, list->items, 1, list->count };
    return true;
}

static status make_histogram(reader *r, const histogram_fields *f, const histogram **ret)
{
    histogram *h = ARENA_NEW(r->a, histogram);
    if (!h)
        return no_memory(r);
    *h = (histogram){ .schema = (int32_t)f->schema,
                      .hint = f->hint,
                      .zero_threshold = f->zero_width,
                      .zero_count = f->zero_count,
                      .count = f->count,
                      .sum = f->sum,
                      .custom = f->custom.items,
                      .custom_count = f->custom.count };
    if (!make_side(r, &f->buckets, f->offset, &h->positive) ||
        !make_side(r, &f->negative_buckets, f->negative_offset, &h->negative))
        return no_memory(r);
    const char *problem = NULL;
    if (!histogram_check(h, &problem))
        return fail(r->err, STATUS_INVALID, "character %zu: no histogram: %s", r->at + 1, problem);
    *ret = h;
    return STATUS_OK;
}

static const histogram_key *find_key(str word)
{
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (str_eq(word, keys[i].key))
            return &keys[i];
    return NULL;
}

/* Behind "{{". */
static status read_histogram(reader *r, const histogram **ret, bool *ret_hint)
{
    histogram_fields fields = { 0 };
    uint32_t seen = 0;
    *ret_hint = false;
    for (skip_spaces(r); !take(r, STR("}}")); skip_spaces(r)) {
        size_t start = r->at;
        const histogram_key *key = find_key(read_word(r));
        if (!key || !take(r, STR(":")) || seen & 1u << (key - keys)) {
            r->at = start;
            return wrong(r, "the description of a histogram, as buckets:[5 10 7], each part once");
        }
        seen |= 1u << (key - keys);
        *ret_hint = *ret_hint || key->kind == FIELD_HINT;
        status st = read_field(r, key, &fields);
        if (st != STATUS_OK)
            return st;
    }
    return make_histogram(r, &fields, ret);
}

static status step_histogram(reader *r, const histogram *now, const histogram *by, bool minus,
                             const histogram **ret)
{
    if (now->schema > by->schema)
        return fail(r->err, STATUS_INVALID,
                    "error combining histograms: cannot merge from schema %d to %d",
                    (int)by->schema, (int)now->schema);
    status st = minus ? histogram_subtract(r->a, now, by, NULL, ret)
                      : histogram_add(r->a, now, by, NULL, ret);
    if (st == STATUS_OK)
        return st;
    return st == STATUS_INVALID ? fail(r->err, st, "exponential and custom buckets cannot be added")
                                : no_memory(r);
}

static status read_histograms(reader *r)
{
    const histogram *h = NULL, *by = NULL;
    bool hint, any, minus = false;
    uint64_t times = 0;
    status st = read_histogram(r, &h, &hint);
    if (st == STATUS_OK && (peek(r) == '+' || peek(r) == '-')) {
        minus = peek(r) == '-';
        r->at++;
        if (!take(r, STR("{{")))
            return wrong(r, "{{");
        st = read_histogram(r, &by, &hint);
    }
    if (st == STATUS_OK)
        st = read_times(r, &any, &times);
    if (st == STATUS_OK && by && !any)
        return wrong(r, "x and a number of repetitions");
    for (uint64_t i = 0; st == STATUS_OK && i <= times; i++) {
        st = put(r, (series_text_value){ SERIES_HISTOGRAM, 0, h, hint });
        if (st == STATUS_OK && by && i < times)
            st = step_histogram(r, h, by, minus, &h);
    }
    return st;
}

/* ---- values ---- */

static status read_omitted(reader *r)
{
    bool any;
    uint64_t times = 1;
    status st = read_times(r, &any, &times);
    for (uint64_t i = 0; st == STATUS_OK && i < times; i++)
        st = put(r, (series_text_value){ .kind = SERIES_OMITTED });
    return st;
}

static status read_floats(reader *r, bool stale)
{
    double v = 0, by = 0;
    bool any, stepped = false;
    uint64_t times = 0;
    if (!stale && !read_number(r, &v))
        return wrong(r, "a number, _, stale or a histogram");
    if (peek(r) == '+' || peek(r) == '-') {
        stepped = true;
        if (!read_number(r, &by))
            return wrong(r, "a number");
    }
    status st = read_times(r, &any, &times);
    if (st == STATUS_OK && stepped && !any)
        return wrong(r, "x and a number of repetitions");
    for (uint64_t i = 0; st == STATUS_OK && i <= times; i++, v += by)
        st = put(r, (series_text_value){ stale ? SERIES_STALE : SERIES_FLOAT, v, NULL, false });
    return st;
}

static status read_item(reader *r)
{
    if (take(r, STR("_")))
        return read_omitted(r);
    if (take(r, STR("{{")))
        return read_histograms(r);
    return read_floats(r, take(r, STR("stale")));
}

status series_text_read(arena *a, str text, series_text_values *ret, error *err)
{
    reader r = { .a = a, .text = text, .out = ret, .err = err };
    *ret = (series_text_values){ 0 };
    for (skip_spaces(&r); r.at < text.len; skip_spaces(&r)) {
        status st = read_item(&r);
        if (st != STATUS_OK)
            return st;
        if (r.at < text.len && !is_space(text.ptr[r.at]))
            return wrong(&r, "a space");
    }
    return STATUS_OK;
}

/* ---- labels ---- */

status series_text_labels(arena *a, str text, labels *ret, error *err)
{
    const promql_node *n = NULL;
    str trimmed = str_trim(text);
    *ret = (labels){ 0 };
    if (!trimmed.len || str_is(trimmed, "{}"))
        return STATUS_OK;
    /* A selector of empty values alone is refused, so it gets company. */
    size_t brace = str_find_char(trimmed, '{');
    bool bare = brace == 0 && trimmed.ptr[trimmed.len - 1] == '}';
    str query =
        bare ? arena_fmt(a, "{__test__=\"x\",%.*s", STR_ARG(str_slice(trimmed, 1, trimmed.len)))
             : arena_str(a, trimmed);
    if (!query.ptr)
        return fail(err, STATUS_LIMIT, "no memory for labels");
    status st = promql_parse_selector(&n, query, a, err);
    if (st != STATUS_OK)
        return st;
    const promql_selector *s = &n->selector;
    label *items = ARENA_ARRAY(a, label, (size_t)s->matcher_count + 1);
    uint32_t count = 0;
    if (!items)
        return fail(err, STATUS_LIMIT, "no memory for labels");
    for (uint32_t i = 0; i < s->matcher_count; i++) {
        if (s->matchers[i].op != MATCH_EQ)
            return fail(err, STATUS_INVALID, "%.*s: only = is possible in a series' labels",
                        (int)MIN(trimmed.len, 200), trimmed.ptr);
        if (!str_is(s->matchers[i].name, "__test__"))
            items[count++] = (label){ s->matchers[i].name, s->matchers[i].value };
    }
    *ret = labels_sort(items, count);
    return STATUS_OK;
}

/* ---- printing ---- */

static bool is_plain_name(str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i], low = (char)(c | 0x20);
        if (!(low >= 'a' && low <= 'z') && c != '_' && (i == 0 || !is_digit(c)))
            return false;
    }
    return s.len > 0;
}

void series_text_print_labels(buf *out, labels l)
{
    buf_char(out, '{');
    for (uint32_t i = 0; i < l.count; i++) {
        if (i)
            buf_lit(out, ", ");
        if (is_plain_name(l.items[i].name))
            buf_str(out, l.items[i].name);
        else
            print_quoted(out, l.items[i].name);
        buf_char(out, '=');
        print_quoted(out, l.items[i].value);
    }
    buf_char(out, '}');
}

static void print_key(buf *out, const char *key)
{
    if (out->ptr[out->len - 1] != '{')
        buf_char(out, ' ');
    buf_fmt(out, "%s:", key);
}

static void print_field(buf *out, const char *key, double v)
{
    if (v == 0 || out->failed)
        return;
    print_key(out, key);
    histogram_print_number(out, v);
}

static void print_list(buf *out, const char *key, const double *items, uint32_t count)
{
    if (out->failed)
        return;
    print_key(out, key);
    buf_char(out, '[');
    for (uint32_t i = 0; i < count; i++) {
        if (i)
            buf_char(out, ' ');
        histogram_print_number(out, items[i]);
    }
    buf_char(out, ']');
}

/* As one span from the first to the last bucket that is not empty. */
static void print_side(buf *out, const histogram_side *side, const char *key, const char *offset)
{
    int64_t index = 0, first = 0, last = 0;
    bool any = false;
    for (int pass = 0; pass < 2 && !out->failed; pass++) {
        uint32_t n = 0;
        int64_t put = first;
        index = 0;
        for (uint32_t s = 0; s < side->span_count; s++) {
            index += side->spans[s].offset;
            for (uint32_t i = 0; i < side->spans[s].length; i++, index++, n++) {
                double count = side->counts[n];
                if (pass == 0 && count != 0) {
                    first = any ? first : index;
                    last = index;
                    any = true;
                }
                for (; pass == 1 && put <= index && put <= last && index >= first; put++) {
                    if (put > first)
                        buf_char(out, ' ');
                    histogram_print_number(out, put == index ? count : 0);
                }
            }
        }
        if (!any)
            return;
        if (pass == 0) {
            print_field(out, offset, (double)first);
            print_key(out, key);
            buf_char(out, '[');
        }
    }
    buf_char(out, ']');
}

void series_text_print_histogram(buf *out, const histogram *h)
{
    buf_lit(out, "{{");
    print_field(out, "schema", h->schema);
    print_field(out, "count", h->count);
    print_field(out, "sum", h->sum);
    print_field(out, "z_bucket", h->zero_count);
    print_field(out, "z_bucket_w", h->zero_threshold);
    if (histogram_is_custom(h))
        print_list(out, "custom_values", h->custom, h->custom_count);
    for (size_t i = 1; i < ARRAY_LEN(hints) && !out->failed; i++)
        if (hints[i].hint == h->hint) {
            print_key(out, "counter_reset_hint");
            buf_str(out, hints[i].name);
        }
    print_side(out, &h->positive, "buckets", "offset");
    print_side(out, &h->negative, "n_buckets", "n_offset");
    buf_lit(out, "}}");
}
