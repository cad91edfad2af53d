// SPDX-License-Identifier: Apache-2.0
/* Metric, unit and label names after Prometheus's OTLP translation (github.com/prometheus/
 * otlptranslator, strategy UnderscoreEscapingWithSuffixes, and its tests). Names are split into
 * words at every character outside [A-Za-z0-9:]; the unit's words are appended unless one of the
 * name's words is the same; "total" and "ratio" move to the end. */
#include "codec/prom_name.h"

#include "codec/json_value.h"

#include <stdlib.h>

typedef struct {
    const char *unit;
    const char *word;
} unit_word;

static const unit_word main_units[] = {
    { "1", "" },
    { "s", "seconds" },
    { "By", "bytes" },
    { "ms", "milliseconds" },
    { "us", "microseconds" },
    { "ns", "nanoseconds" },
    { "min", "minutes" },
    { "h", "hours" },
    { "d", "days" },
    { "KiBy", "kibibytes" },
    { "MiBy", "mebibytes" },
    { "GiBy", "gibibytes" },
    { "TiBy", "tibibytes" },
    { "KBy", "kilobytes" },
    { "MBy", "megabytes" },
    { "GBy", "gigabytes" },
    { "TBy", "terabytes" },
    { "m", "meters" },
    { "V", "volts" },
    { "A", "amperes" },
    { "J", "joules" },
    { "W", "watts" },
    { "g", "grams" },
    { "Cel", "celsius" },
    { "Hz", "hertz" },
    { "%", "percent" },
};

static const unit_word per_units[] = {
    { "s", "second" }, { "m", "minute" }, { "h", "hour" }, { "d", "day" },
    { "w", "week" },   { "mo", "month" }, { "y", "year" },
};

prom_type prom_type_of(const batch_metric *m)
{
    switch (m->type) {
    case METRIC_GAUGE:
        return PROM_GAUGE;
    case METRIC_SUM:
        return m->monotonic ? PROM_COUNTER : PROM_GAUGE;
    case METRIC_HISTOGRAM:
    case METRIC_EXP_HISTOGRAM:
        return PROM_HISTOGRAM;
    case METRIC_SUMMARY:
        return PROM_SUMMARY;
    case METRIC_NONE:
        break;
    }
    return PROM_UNKNOWN;
}

const char *prom_type_name(prom_type t)
{
    static const char *const names[] = { "unknown", "counter", "gauge", "histogram", "summary" };
    return names[t];
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c);
}

static bool is_name_char(char c)
{
    return is_letter_or_digit(c) || c == ':';
}

static str unit_lookup(const unit_word *table, size_t count, str unit)
{
    for (size_t i = 0; i < count; i++)
        if (str_is(unit, table[i].unit))
            return str_c(table[i].word);
    return unit;
}

/* One side of a unit's '/': trimmed, in words; empty when it is an annotation in braces. */
static str unit_side(const unit_word *table, size_t count, str side)
{
    side = str_trim(side);
    if (str_find_char(side, '{') != SIZE_MAX || str_find_char(side, '}') != SIZE_MAX)
        return STR_EMPTY;
    return unit_lookup(table, count, side);
}

/* Appends `s` with each run of other characters (and underscores) as one '_', none in front. */
static void add_clean(buf *out, str s)
{
    bool wrote = false, gap = false;
    for (size_t i = 0; i < s.len; i++) {
        if (!is_name_char(s.ptr[i])) {
            gap = true;
            continue;
        }
        if (gap && wrote)
            buf_char(out, '_');
        gap = false;
        wrote = true;
        buf_char(out, s.ptr[i]);
    }
    /* A trailing run is cut: a name never ends in the underscore of its unit. */
}

/* The unit's two suffixes in words, appended to `words`: main first, from *ret_per on "per_…". */
static void unit_words(buf *words, str unit, size_t *ret_per)
{
    str per;
    str left = str_cut(unit, '/', &per);
    add_clean(words, unit_side(main_units, ARRAY_LEN(main_units), left));
    *ret_per = words->len;
    per = unit_side(per_units, ARRAY_LEN(per_units), per);
    if (per.len == 0)
        return;
    buf_lit(words, "per_");
    add_clean(words, per);
    if (words->len == *ret_per + 4) /* nothing usable was left of it */
        words->len = *ret_per;
}

void prom_unit_name(buf *out, str unit)
{
    size_t start = out->len, per = 0;
    unit_words(out, unit, &per);
    if (!out->failed && per > start && out->len > per) {
        /* Both sides: one underscore between them. */
        buf_char(out, '_');
        if (!out->failed) {
            memmove(out->ptr + per + 1, out->ptr + per, out->len - 1 - per);
            out->ptr[per] = '_';
        }
    }
}

static str next_word(str name, size_t *at)
{
    while (*at < name.len && !is_name_char(name.ptr[*at]))
        (*at)++;
    size_t start = *at;
    while (*at < name.len && is_name_char(name.ptr[*at]))
        (*at)++;
    return str_slice(name, start, *at);
}

static void add_word(buf *out, size_t start, str word)
{
    if (word.len == 0)
        return;
    if (out->len > start)
        buf_char(out, '_');
    buf_str(out, word);
}

static bool has_word(str name, str word)
{
    size_t at = 0;
    for (str w; (w = next_word(name, &at)).len > 0;)
        if (str_eq(w, word))
            return true;
    return false;
}

bool prom_metric_name(buf *out, const batch_metric *m)
{
    prom_type type = prom_type_of(m);
    str last = STR_EMPTY;
    if (type == PROM_COUNTER)
        last = STR("total");
    else if (m->type == METRIC_GAUGE && str_is(m->unit, "1"))
        last = STR("ratio");

    size_t start = out->len;
    size_t at = 0;
    str word = next_word(m->name, &at);
    if (word.len > 0 && is_digit(word.ptr[0]))
        buf_char(out, '_');
    size_t first = out->len;
    for (; word.len > 0; word = next_word(m->name, &at))
        if (!str_eq(word, last))
            add_word(out, first, word);

    if (m->unit.len > 0) {
        /* The unit's words are written behind the name and moved up to it. */
        buf words;
        buf_init(&words, KiB(4));
        size_t per = 0;
        unit_words(&words, m->unit, &per);
        str main_unit = str_slice(buf_view(&words), 0, per);
        str per_unit = str_slice(buf_view(&words), per, words.len);
        if (!str_eq(main_unit, last) && !has_word(m->name, main_unit))
            add_word(out, first, main_unit);
        if (!has_word(m->name, per_unit))
            add_word(out, first, per_unit);
        buf_done(&words);
    }
    bool usable = false;
    for (size_t i = start; i < out->len && !usable; i++)
        usable = out->ptr[i] != '_';
    /* A counter that is called only "total" keeps that name. */
    if (!usable && !has_word(m->name, last)) {
        out->len = start;
        return false;
    }
    add_word(out, first, last);
    return !out->failed;
}

/* Bytes of the UTF-8 character at s[0]; 1 for a byte that begins none. */
static size_t char_bytes(str s)
{
    unsigned char c = (unsigned char)s.ptr[0];
    size_t n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
    return n <= s.len && utf8_valid_prefix(str_slice(s, 0, n)) == n ? n : 1;
}

bool prom_label_name(buf *out, str key)
{
    size_t start = out->len;
    bool usable = false, changed = false;
    if (key.len > 0 && is_digit(key.ptr[0]))
        buf_lit(out, "key_");
    size_t first = out->len;
    for (size_t i = 0; i < key.len;) {
        char c = key.ptr[i];
        if (is_letter_or_digit(c) || c == '_') {
            usable = usable || c != '_';
            buf_char(out, c);
            i++;
        } else {
            changed = true;
            buf_char(out, '_');
            i += char_bytes(str_slice(key, i, key.len));
        }
    }
    if (out->failed || key.len == 0 || (!usable && changed)) {
        out->len = start;
        return false;
    }
    bool one_underscore =
        out->ptr[first] == '_' && (out->len - first < 2 || out->ptr[first + 1] != '_');
    if (one_underscore) {
        buf_lit(out, "key");
        if (out->failed)
            return false;
        memmove(out->ptr + first + 3, out->ptr + first, out->len - 3 - first);
        memcpy(out->ptr + first, "key", 3);
    }
    return true;
}

/* ---- label sets ---- */

typedef struct {
    str key; /* as the sender wrote it */
    str name;
    str value;
} raw_label;

static int by_name_then_key(const void *a, const void *b)
{
    const raw_label *x = a, *y = b;
    int c = str_cmp(x->name, y->name);
    return c != 0 ? c : str_cmp(x->key, y->key);
}

/* The label name of a key: the key itself when it is one already. ptr NULL without memory; empty
 * when the key gives no name. */
static str label_name(arena *a, str key, prom_escaping escaping)
{
    bool plain =
        escaping == PROM_UNDERSCORES && key.len > 0 && !is_digit(key.ptr[0]) && key.ptr[0] != '_';
    for (size_t i = 0; plain && i < key.len; i++)
        plain = is_letter_or_digit(key.ptr[i]) || key.ptr[i] == '_';
    if (plain)
        return key;
    buf text;
    buf_init(&text, 8 * key.len + 16);
    bool named = prom_label_name_as(&text, key, escaping);
    str name = STR_EMPTY;
    if (text.failed)
        name.ptr = NULL;
    else if (named)
        name = arena_str(a, buf_view(&text));
    buf_done(&text);
    return name;
}

static str label_value(arena *a, const value *v)
{
    if (v->type == VALUE_STR)
        return v->s;
    buf text;
    buf_init(&text, KiB(64));
    value_to_text(v, &text);
    str copy = text.failed ? STR_EMPTY : arena_str(a, buf_view(&text));
    buf_done(&text);
    return copy;
}

/* One label of each run of equal names, values joined by ';'; empty ones left out. */
static bool merge_labels(arena *a, raw_label *raw, size_t count, prom_labels *ret)
{
    uint32_t kept = 0;
    for (size_t i = 0; i < count;) {
        size_t end = i + 1, bytes = raw[i].value.len;
        for (; end < count && str_eq(raw[end].name, raw[i].name); end++)
            bytes += 1 + raw[end].value.len;
        str text = raw[i].value;
        if (end > i + 1) {
            char *joined = arena_alloc(a, bytes);
            if (!joined)
                return false;
            size_t at = 0;
            for (size_t k = i; k < end; k++) {
                if (k > i)
                    joined[at++] = ';';
                memcpy(joined + at, raw[k].value.ptr, raw[k].value.len);
                at += raw[k].value.len;
            }
            text = str_n(joined, at);
        }
        if (text.len > 0)
            ret->items[kept++] = (prom_label){ raw[i].name, text };
        i = end;
    }
    ret->count = kept;
    return true;
}

static bool is_identifying(str key)
{
    return str_is(key, "service.name") || str_is(key, "service.namespace") ||
           str_is(key, "service.instance.id");
}

/* `list` as labels, with room for `spare` more behind them. */
static bool labels_of(arena *a, const attrs *list, bool skip_identifying, uint32_t spare,
                      prom_escaping escaping, prom_labels *ret)
{
    raw_label *raw = ARENA_ARRAY(a, raw_label, (size_t)list->count + 1);
    prom_label *items = ARENA_ARRAY(a, prom_label, (size_t)list->count + spare + 1);
    if (!raw || !items)
        return false;
    size_t count = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        const attr *x = &list->items[i];
        if (skip_identifying && is_identifying(x->key))
            continue;
        raw_label l = { x->key, label_name(a, x->key, escaping), label_value(a, &x->value) };
        if (!l.name.ptr || !l.value.ptr)
            return false;
        if (l.name.len > 0)
            raw[count++] = l;
    }
    if (count > 1)
        qsort(raw, count, sizeof(raw[0]), by_name_then_key);
    *ret = (prom_labels){ items, 0 };
    return merge_labels(a, raw, count, ret);
}

void prom_labels_put(prom_labels *l, prom_label add, bool replace)
{
    if (add.value.len == 0)
        return;
    uint32_t at = 0;
    int order = 1;
    while (at < l->count && (order = str_cmp(l->items[at].name, add.name)) < 0)
        at++;
    if (at < l->count && order == 0) {
        if (replace)
            l->items[at].value = add.value;
        return;
    }
    memmove(l->items + at + 1, l->items + at, (l->count - at) * sizeof(add));
    l->items[at] = add;
    l->count++;
}

bool prom_resource_labels(arena *a, const attrs *resource, prom_labels *ret)
{
    prom_label *items = ARENA_ARRAY(a, prom_label, 4);
    if (!items)
        return false;
    *ret = (prom_labels){ items, 0 };
    static const struct {
        const char *key;
        const char *name;
    } copied[] = {
        { "service.instance.id", "instance" },
        { "service.name", "service_name" },
        { "deployment.environment.name", "deployment_environment_name" },
    };
    for (size_t i = 0; i < ARRAY_LEN(copied); i++) {
        const value *v = attrs_get(resource, str_c(copied[i].key));
        str text = v ? label_value(a, v) : STR_EMPTY;
        if (!text.ptr)
            return false;
        prom_labels_put(ret, (prom_label){ str_c(copied[i].name), text }, false);
    }
    const value *name = attrs_get(resource, STR("service.name"));
    if (!name)
        return true;
    str job = label_value(a, name);
    const value *space = attrs_get(resource, STR("service.namespace"));
    if (space && job.ptr) {
        str prefix = label_value(a, space);
        job = arena_fmt(a, "%.*s/%.*s", STR_ARG(prefix), STR_ARG(job));
    }
    if (!job.ptr)
        return false;
    prom_labels_put(ret, (prom_label){ STR("job"), job }, false);
    return true;
}

bool prom_point_labels(arena *a, const attrs *point, const prom_labels *resource, prom_labels *ret)
{
    return prom_point_labels_as(a, point, resource, PROM_UNDERSCORES, ret);
}

bool prom_point_labels_as(arena *a, const attrs *point, const prom_labels *resource,
                          prom_escaping escaping, prom_labels *ret)
{
    uint32_t extra = resource ? resource->count : 0;
    if (!labels_of(a, point, false, extra, escaping, ret))
        return false;
    for (uint32_t i = 0; i < extra; i++) {
        str name = resource->items[i].name;
        prom_labels_put(ret, resource->items[i], str_is(name, "job") || str_is(name, "instance"));
    }
    return true;
}

bool prom_target_info(arena *a, const attrs *resource, bool with_job, prom_labels *ret)
{
    prom_labels from_resource;
    if (!labels_of(a, resource, true, 2, PROM_UNDERSCORES, ret))
        return false;
    if (!with_job || ret->count == 0)
        return true;
    if (!prom_resource_labels(a, resource, &from_resource))
        return false;
    bool identified = false;
    for (uint32_t i = 0; i < from_resource.count; i++) {
        prom_label l = from_resource.items[i];
        if (str_is(l.name, "job") || str_is(l.name, "instance")) {
            prom_labels_put(ret, l, true);
            identified = true;
        }
    }
    if (!identified) /* nothing could join it to a series */
        ret->count = 0;
    return true;
}
