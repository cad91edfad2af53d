// SPDX-License-Identifier: Apache-2.0
/* What all exposition formats share: families, samples, labels in order, numbers; see
 * exposition.h. */
#include "codec/exposition_internal.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { FIRST_SAMPLES = 128, FIRST_FAMILIES = 32 };
static const size_t memory_default = MiB(256);
static const uint32_t samples_default = 10000000;

static const char *const format_names[] = {
    [EXPOSITION_TEXT] = "text",
    [EXPOSITION_OPENMETRICS] = "OpenMetrics",
    [EXPOSITION_PROTOBUF] = "protobuf",
};

const char *exposition_format_name(exposition_format f)
{
    return format_names[f];
}

bool exposition_format_of(str content_type, exposition_format *ret)
{
    static const struct {
        const char *type;
        exposition_format format;
    } types[] = {
        { "text/plain", EXPOSITION_TEXT },
        { "application/openmetrics-text", EXPOSITION_OPENMETRICS },
        { "application/vnd.google.protobuf", EXPOSITION_PROTOBUF },
    };
    str rest, media = str_trim(str_cut(content_type, ';', &rest));
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (str_eq_nocase(media, str_c(types[i].type))) {
            *ret = types[i].format;
            return true;
        }
    return false;
}

/* ---- the page ---- */

status exposition_read(exposition_page *ret, exposition_format format, str body,
                       const exposition_options *options, error *err)
{
    static const exposition_options none;
    options = options ? options : &none;
    *ret = (exposition_page){ .classic = options->classic, .customs = options->customs };
    arena_init(&ret->arena, options->memory ? options->memory : memory_default);
    if (format == EXPOSITION_PROTOBUF)
        return exposition_read_protobuf(ret, body, options, err);
    return exposition_read_text(ret, format == EXPOSITION_OPENMETRICS, body, options, err);
}

void exposition_done(exposition_page *p)
{
    arena_done(&p->arena);
    free(p->families);
    free(p->samples);
    *p = (exposition_page){ 0 };
}

status exposition_no_memory(const exposition_page *p, error *err)
{
    return fail(err, STATUS_LIMIT, "the page's samples need more than the limit of %zu bytes",
                p->arena.limit);
}

static void *grown(void *items, uint32_t *capacity, uint32_t first, size_t size)
{
    uint32_t wanted = *capacity ? *capacity * 2 : first;
    void *more = wanted > *capacity ? realloc(items, wanted * size) : NULL;
    if (more)
        *capacity = wanted;
    return more;
}

exposition_family *exposition_new_family(exposition_page *p, str name, error *err)
{
    if (p->family_count == p->family_capacity) {
        exposition_family *more =
            grown(p->families, &p->family_capacity, FIRST_FAMILIES, sizeof(*more));
        if (!more) {
            (void)exposition_no_memory(p, err);
            return NULL;
        }
        p->families = more;
    }
    exposition_family *f = &p->families[p->family_count++];
    *f = (exposition_family){ .name = name };
    return f;
}

exposition_sample *exposition_new_sample(exposition_page *p, const exposition_options *options,
                                         error *err)
{
    uint32_t limit = options && options->sample_limit ? options->sample_limit : samples_default;
    if (p->sample_count >= limit) {
        (void)fail(err, STATUS_LIMIT, "the page has more than %u samples, which is the limit",
                   limit);
        return NULL;
    }
    if (p->sample_count == p->sample_capacity) {
        exposition_sample *more =
            grown(p->samples, &p->sample_capacity, FIRST_SAMPLES, sizeof(*more));
        if (!more) {
            (void)exposition_no_memory(p, err);
            return NULL;
        }
        p->samples = more;
    }
    exposition_sample *s = &p->samples[p->sample_count++];
    *s = (exposition_sample){ .family = EXPOSITION_NO_FAMILY };
    return s;
}

exposition_sample *exposition_add(exposition_page *p, str name, double value)
{
    exposition_sample *s = exposition_new_sample(p, NULL, NULL);
    if (!s)
        return NULL;
    s->name = name;
    s->value = value;
    s->hash = str_hash(name);
    return s;
}

str exposition_label(const exposition_sample *s, str name)
{
    for (uint32_t i = 0; i < s->label_count; i++)
        if (str_eq(s->labels[i].name, name))
            return s->labels[i].value;
    return STR_EMPTY;
}

static int by_name(const void *a, const void *b)
{
    const prom_label *x = a, *y = b;
    return str_cmp(x->name, y->name);
}

bool exposition_sort_labels(prom_label *labels, uint32_t count, str *ret_twice)
{
    enum { FEW = 16 };
    if (count > FEW) {
        qsort(labels, count, sizeof(*labels), by_name);
    } else {
        for (uint32_t i = 1; i < count; i++) {
            prom_label moved = labels[i];
            uint32_t at = i;
            for (; at > 0 && str_cmp(labels[at - 1].name, moved.name) > 0; at--)
                labels[at] = labels[at - 1];
            labels[at] = moved;
        }
    }
    for (uint32_t i = 1; i < count; i++)
        if (str_eq(labels[i - 1].name, labels[i].name)) {
            *ret_twice = labels[i].name;
            return false;
        }
    return true;
}

/* ---- parts ---- */

typedef struct {
    family_type type;
    str suffix;
    sample_part part;
    bool text, openmetrics; /* in which formats that name is so */
} part_row;

static const part_row part_rows[] = {
    { FAMILY_UNKNOWN, STR_INIT(""), PART_VALUE, true, true },
    { FAMILY_GAUGE, STR_INIT(""), PART_VALUE, true, true },
    { FAMILY_COUNTER, STR_INIT(""), PART_TOTAL, true, false },
    { FAMILY_COUNTER, STR_INIT("_total"), PART_TOTAL, false, true },
    { FAMILY_COUNTER, STR_INIT("_created"), PART_CREATED, false, true },
    { FAMILY_HISTOGRAM, STR_INIT("_bucket"), PART_BUCKET, true, true },
    { FAMILY_HISTOGRAM, STR_INIT("_sum"), PART_SUM, true, true },
    { FAMILY_HISTOGRAM, STR_INIT("_count"), PART_COUNT, true, true },
    { FAMILY_HISTOGRAM, STR_INIT("_created"), PART_CREATED, false, true },
    { FAMILY_GAUGE_HISTOGRAM, STR_INIT("_bucket"), PART_BUCKET, true, true },
    { FAMILY_GAUGE_HISTOGRAM, STR_INIT("_gsum"), PART_SUM, true, true },
    { FAMILY_GAUGE_HISTOGRAM, STR_INIT("_gcount"), PART_COUNT, true, true },
    { FAMILY_SUMMARY, STR_INIT(""), PART_QUANTILE, true, true },
    { FAMILY_SUMMARY, STR_INIT("_sum"), PART_SUM, true, true },
    { FAMILY_SUMMARY, STR_INIT("_count"), PART_COUNT, true, true },
    { FAMILY_SUMMARY, STR_INIT("_created"), PART_CREATED, false, true },
    { FAMILY_INFO, STR_INIT("_info"), PART_VALUE, true, true },
    { FAMILY_STATESET, STR_INIT(""), PART_VALUE, true, true },
};

bool exposition_part_of(const exposition_family *f, str name, bool openmetrics, sample_part *ret)
{
    if (!str_starts(name, f->name))
        return false;
    str suffix = str_slice(name, f->name.len, name.len);
    for (size_t i = 0; i < ARRAY_LEN(part_rows); i++) {
        const part_row *row = &part_rows[i];
        if (row->type == f->type && (openmetrics ? row->openmetrics : row->text) &&
            str_eq(row->suffix, suffix)) {
            *ret = row->part;
            return true;
        }
    }
    return false;
}

/* ---- numbers ---- */

/* A decimal number whose digits fit into 53 bits and whose power of ten a double holds: the product
 * or quotient of the two is then the nearest double (Clinger 1990). */
static bool parse_exact(str s, double *ret)
{
    static const double powers[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                     1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                     1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };
    const char *at = s.ptr, *end = s.ptr + s.len;
    uint64_t digits = 0;
    int count = 0, scale = 0, exponent = 0;
    bool negative = at < end && *at == '-', point = false;
    if (at < end && (*at == '-' || *at == '+'))
        at++;
    for (; at < end; at++) {
        if (*at >= '0' && *at <= '9') {
            digits = digits * 10 + (uint64_t)(*at - '0');
            scale -= point;
            if (++count > 18)
                return false;
        } else if (*at == '.' && !point) {
            point = true;
        } else {
            break;
        }
    }
    if (count == 0)
        return false;
    if (at < end) {
        if (*at != 'e' && *at != 'E')
            return false;
        at++;
        bool below = at < end && *at == '-';
        if (at < end && (*at == '-' || *at == '+'))
            at++;
        if (at == end || end - at > 3)
            return false;
        for (; at < end; at++) {
            if (*at < '0' || *at > '9')
                return false;
            exponent = exponent * 10 + (*at - '0');
        }
        exponent = below ? -exponent : exponent;
    }
    exponent += scale;
    if (digits >> 53 || exponent > 22 || exponent < -22)
        return false;
    double v =
        exponent < 0 ? (double)digits / powers[-exponent] : (double)digits * powers[exponent];
    *ret = negative ? -v : v;
    return true;
}

bool exposition_parse_number(str s, double *ret)
{
    if (LIKELY(parse_exact(s, ret)))
        return true;
    bool digits = false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == 'x' || c == 'X' || c == 'p' || c == 'P')
            return false;
        digits |= c >= '0' && c <= '9';
    }
    double v;
    if (!str_to_f64(s, &v) || (digits && !isfinite(v)))
        return false;
    if (isnan(v)) {
        if (s.len != 3)
            return false; /* "-nan" is none */
        v = NAN;
    }
    *ret = v;
    return true;
}

/* Of the digits that read back as the same double the fewest: "d.ddde[+-]dd". */
static void shortest(double v, char *ret, size_t size)
{
    for (int precision = 0; precision <= 16; precision++) {
        snprintf(ret, size, "%.*e", precision, v);
        if (strtod(ret, NULL) == v)
            return;
    }
}

void exposition_number(buf *out, double v)
{
    enum { PLAIN_LEAST = -4, PLAIN_BELOW = 6 };
    char text[40], digits[24];
    if (!isfinite(v)) {
        buf_f64(out, v);
        return;
    }
    shortest(fabs(v), text, sizeof(text));
    char *e = strchr(text, 'e');
    int exponent = e ? (int)strtol(e + 1, NULL, 10) : 0, n = 0;
    for (const char *c = text; c < e && n < (int)sizeof(digits); c++)
        if (*c >= '0' && *c <= '9')
            digits[n++] = *c;
    while (n > 1 && digits[n - 1] == '0')
        n--;
    if (signbit(v))
        buf_char(out, '-');
    if (exponent < PLAIN_LEAST || exponent >= PLAIN_BELOW) {
        buf_char(out, digits[0]);
        if (n > 1)
            buf_char(out, '.');
        buf_add(out, digits + 1, (size_t)n - 1);
        buf_fmt(out, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
        return;
    }
    if (exponent < 0)
        buf_lit(out, "0.");
    for (int i = exponent + 1; i < 0; i++)
        buf_char(out, '0');
    for (int i = 0; i < n; i++) {
        if (i == exponent + 1 && i > 0)
            buf_char(out, '.');
        buf_char(out, digits[i]);
    }
    for (int i = n; i <= exponent; i++)
        buf_char(out, '0');
    if (n <= exponent + 1)
        buf_lit(out, ".0");
}

/* Texts that are as exposition_number would write them, found without reading the number. */
static bool is_canonical(str s)
{
    size_t point = str_find_char(s, '.');
    if (point == SIZE_MAX || point == 0 || point > 6 || s.len > 16 || point + 1 == s.len)
        return str_is(s, "+Inf");
    for (size_t i = 0; i < s.len; i++)
        if (i != point && (s.ptr[i] < '0' || s.ptr[i] > '9'))
            return false;
    if (s.ptr[0] == '0' && point > 1)
        return false;
    if (s.ptr[s.len - 1] == '0')
        return s.len == point + 2;
    return s.ptr[0] != '0' || s.ptr[point + 1] != '0' || s.len < 5 || s.ptr[point + 2] != '0';
}

str exposition_canonical(arena *a, str number)
{
    double v;
    if (is_canonical(number) || !exposition_parse_number(number, &v))
        return number;
    buf out;
    buf_init(&out, 64);
    exposition_number(&out, v);
    str copy = arena_str(a, buf_view(&out));
    buf_done(&out);
    return copy;
}
