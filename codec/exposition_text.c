// SPDX-License-Identifier: Apache-2.0
/* Prometheus text and OpenMetrics, read in one pass over the bytes. Text 0.0.4 is taken as
 * Prometheus takes it (white space anywhere, commas between labels left out); OpenMetrics has one
 * space where the standard has one. Metric names may stand quoted in the braces in both. */
#include "codec/exposition_internal.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

typedef struct {
    const char *at, *end;
    exposition_page *p;
    const exposition_options *options;
    error *err;
    bool om;
    bool ended; /* "# EOF" was there */
    uint32_t line;
    openmetrics_rules *rules; /* NULL: none apply */
    map by_name;              /* families */
    uint32_t family;          /* of the last line */
    bool family_has_samples;
    str last_name; /* of the last sample: most often the next one has the same */
    sample_part last_part;
    prom_label labels[EXPOSITION_LABELS_MAX];
} reader;

enum { SHOWN = 60 }; /* bytes of a text that a message shows */

static PRINTF_LIKE(2, 3) status bad(reader *r, const char *format, ...)
{
    char text[300];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return fail(r->err, STATUS_INVALID, "line %u: %s", r->line, text);
}

#define SHOW(s) (int)MIN((s).len, (size_t)SHOWN), (s).ptr

/* ---- bytes ---- */

enum { NAME_FIRST = 1, NAME_MORE = 2, COLON = 4 };
static const uint8_t classes[256] = {
    ['a' ... 'z'] = NAME_FIRST | NAME_MORE,
    ['A' ... 'Z'] = NAME_FIRST | NAME_MORE,
    ['_'] = NAME_FIRST | NAME_MORE,
    ['0' ... '9'] = NAME_MORE,
    [':'] = COLON,
};

static inline bool has(const reader *r, char c)
{
    return r->at < r->end && *r->at == c;
}

static inline bool at_blank(const reader *r)
{
    return has(r, ' ') || has(r, '\t');
}

/* White space, where text 0.0.4 has it. */
static inline void blanks(reader *r)
{
    while (at_blank(r))
        r->at++;
}

static inline void text_blanks(reader *r)
{
    if (!r->om)
        blanks(r);
}

/* A name that needs no quotes; empty when there is none. */
static str plain_name(reader *r, unsigned more)
{
    const char *from = r->at;
    if (r->at < r->end && (classes[(uint8_t)*r->at] & (NAME_FIRST | more)))
        while (r->at < r->end && (classes[(uint8_t)*r->at] & (NAME_MORE | more)))
            r->at++;
    return str_n(from, (size_t)(r->at - from));
}

/* What stands until a space or the end of the line. */
static str word(reader *r)
{
    const char *from = r->at;
    while (r->at < r->end && *r->at != ' ' && *r->at != '\n' && (r->om || *r->at != '\t'))
        r->at++;
    return str_n(from, (size_t)(r->at - from));
}

static str rest_of_line(reader *r)
{
    const char *from = r->at;
    const char *to = memchr(from, '\n', (size_t)(r->end - from));
    r->at = to ? to : r->end;
    return str_n(from, (size_t)(r->at - from));
}

/* \\ \n and, `quotes`, \": any other backslash stands for itself. */
static str unescaped(reader *r, str s, bool quotes)
{
    char *out = arena_alloc_aligned(&r->p->arena, s.len + 1, 1);
    size_t n = 0;
    if (!out)
        return (str){ NULL, 0 };
    for (size_t i = 0; i < s.len; i++) {
        char next = s.ptr[i] == '\\' && i + 1 < s.len ? s.ptr[i + 1] : 0;
        bool known = next == '\\' || next == 'n' || (next == '"' && quotes);
        out[n++] = !known ? s.ptr[i] : next == 'n' ? '\n' : next;
        i += known;
    }
    return str_n(out, n);
}

/* From the opening quote on; `what` is named in messages. */
static status quoted(reader *r, const char *what, str *ret)
{
    const char *from = ++r->at;
    bool escapes = false;
    uint8_t high = 0;
    for (; r->at < r->end && *r->at != '"'; r->at++) {
        high |= (uint8_t)*r->at;
        if (*r->at == '\\') {
            escapes = true;
            if (++r->at == r->end)
                break;
            if (*r->at == '\n')
                return bad(r, "a backslash at the end of the line, in the %s", what);
        }
        if (*r->at == '\n') {
            if (r->om)
                return bad(r, "the %s's closing quote is missing on this line", what);
            r->line++;
        }
    }
    if (r->at >= r->end)
        return bad(r, "the %s's closing quote is missing", what);
    str s = str_n(from, (size_t)(r->at++ - from));
    if (high & 0x80 && utf8_valid_prefix(s) != s.len)
        return bad(r, "the %s \"%.*s\" is not valid UTF-8", what, SHOW(s));
    *ret = escapes ? unescaped(r, s, true) : s;
    return ret->ptr ? STATUS_OK : exposition_no_memory(r->p, r->err);
}

/* ---- labels ---- */

/* After a label's value: a comma and whether another one follows. */
static status after_label(reader *r, bool *ret_done)
{
    text_blanks(r);
    bool comma = has(r, ',');
    r->at += comma;
    text_blanks(r);
    *ret_done = has(r, '}');
    if (*ret_done && comma && r->rules)
        return bad(r, "a comma stands before the closing brace; OpenMetrics has none there");
    if (!*ret_done && !comma && r->om)
        return bad(r, "a comma or a closing brace is missing after a label's value");
    r->at += *ret_done;
    return STATUS_OK;
}

static status label_value(reader *r, str label, str *ret)
{
    text_blanks(r);
    if (!has(r, '='))
        return bad(r, "\"=\" is missing after the label name \"%.*s\"", SHOW(label));
    r->at++;
    text_blanks(r);
    if (!has(r, '"'))
        return bad(r, "the value of label \"%.*s\" must be in quotes", SHOW(label));
    return quoted(r, "label value", ret);
}

/* A quoted text that no "=" follows is the metric's name. */
static status set_name(reader *r, str text, str *name)
{
    if (!name)
        return bad(r, "a value is missing after the label name \"%.*s\"", SHOW(text));
    if (name->ptr)
        return bad(r, "the metric has two names, \"%.*s\" and \"%.*s\"", SHOW(*name), SHOW(text));
    if (text.len == 0)
        return bad(r, "the metric's name is empty");
    *name = text;
    return STATUS_OK;
}

static status label_name(reader *r, str *ret, bool *ret_quoted)
{
    *ret_quoted = has(r, '"');
    if (*ret_quoted)
        return quoted(r, "name", ret);
    *ret = plain_name(r, 0);
    if (ret->len == 0)
        return bad(r,
                   r->at < r->end ? "a label name was expected, and \"%.*s\" stands there"
                                  : "the closing brace is missing%.*s",
                   (int)MIN(r->end - r->at, 10), r->at);
    return STATUS_OK;
}

/* Behind the opening brace, up to behind the closing one. `name`: where a quoted metric name goes;
 * NULL: an exemplar, which has none. */
static status braces(reader *r, str *name, uint32_t *ret_count)
{
    uint32_t count = 0;
    text_blanks(r);
    bool done = has(r, '}');
    r->at += done;
    while (!done) {
        str key, text;
        bool in_quotes;
        status st = label_name(r, &key, &in_quotes);
        text_blanks(r);
        if (st == STATUS_OK && in_quotes && (has(r, ',') || has(r, '}')))
            st = set_name(r, key, name);
        else if (st == STATUS_OK && (st = label_value(r, key, &text)) == STATUS_OK) {
            if (count == EXPOSITION_LABELS_MAX)
                return bad(r, "more than %u labels", EXPOSITION_LABELS_MAX);
            if (key.len == 0 || str_is(key, "__name__"))
                return bad(r, "a label cannot have the name \"%.*s\"", SHOW(key));
            r->labels[count] = (prom_label){ key, text };
            count++;
        }
        if (st == STATUS_OK)
            st = after_label(r, &done);
        if (st != STATUS_OK)
            return st;
    }
    str twice;
    if (!exposition_sort_labels(r->labels, count, &twice))
        return bad(r, "the label \"%.*s\" is there twice", SHOW(twice));
    *ret_count = count;
    return STATUS_OK;
}

/* ---- families ---- */

static status start_family(reader *r, str name)
{
    bool added;
    uint64_t *known = map_put(&r->by_name, name, r->p->family_count, &added);
    if (!known)
        return exposition_no_memory(r->p, r->err);
    r->last_name = STR_EMPTY;
    r->family_has_samples = false;
    if (!added && !r->rules) {
        r->family = (uint32_t)*known;
        return STATUS_OK;
    }
    *known = r->p->family_count;
    if (!exposition_new_family(r->p, name, r->err))
        return r->err ? r->err->code : STATUS_LIMIT;
    r->family = r->p->family_count - 1;
    error why;
    if (r->rules && openmetrics_family(r->rules, r->family, &why) != STATUS_OK)
        return bad(r, "%s", why.message);
    return STATUS_OK;
}

static bool family_takes(reader *r, uint32_t family, str name, sample_part *ret)
{
    return exposition_part_of(&r->p->families[family], name, r->om, ret);
}

/* A family of which a sample with that name may be, by the suffixes that there are. */
static bool find_family(reader *r, str name, sample_part *ret)
{
    uint64_t *known = map_get(&r->by_name, name);
    if (known && family_takes(r, (uint32_t)*known, name, ret)) {
        r->family = (uint32_t)*known;
        return true;
    }
    for (size_t i = name.len; i-- > 1;) {
        if (name.ptr[i] != '_')
            continue;
        known = map_get(&r->by_name, str_slice(name, 0, i));
        if (known && family_takes(r, (uint32_t)*known, name, ret)) {
            r->family = (uint32_t)*known;
            return true;
        }
        break;
    }
    return false;
}

static status resolve(reader *r, str name, sample_part *ret)
{
    if (r->last_name.len && str_eq(name, r->last_name)) {
        *ret = r->last_part;
        return STATUS_OK;
    }
    bool found = r->family != EXPOSITION_NO_FAMILY && family_takes(r, r->family, name, ret);
    if (!found && !r->rules)
        found = find_family(r, name, ret);
    if (!found && r->rules && r->family != EXPOSITION_NO_FAMILY &&
        str_eq(r->p->families[r->family].name, name))
        return bad(r, "\"%.*s\" has no sample of that name, by its type only with a suffix",
                   SHOW(name));
    if (!found) {
        status st = start_family(r, name);
        if (st != STATUS_OK)
            return st;
        if (!family_takes(r, r->family, name, ret))
            *ret = PART_VALUE; /* lenient: a counter without its suffix */
    }
    r->last_name = name;
    r->last_part = *ret;
    return STATUS_OK;
}

static const struct {
    const char *name;
    family_type type;
    bool text, openmetrics;
} type_names[] = {
    { "counter", FAMILY_COUNTER, true, true },
    { "gauge", FAMILY_GAUGE, true, true },
    { "histogram", FAMILY_HISTOGRAM, true, true },
    { "summary", FAMILY_SUMMARY, true, true },
    { "untyped", FAMILY_UNKNOWN, true, false },
    { "unknown", FAMILY_UNKNOWN, false, true },
    { "gaugehistogram", FAMILY_GAUGE_HISTOGRAM, false, true },
    { "info", FAMILY_INFO, false, true },
    { "stateset", FAMILY_STATESET, false, true },
};

static status set_type(reader *r, exposition_family *f, str text)
{
    for (size_t i = 0; i < ARRAY_LEN(type_names); i++)
        if ((r->om ? type_names[i].openmetrics : type_names[i].text) &&
            str_is(text, type_names[i].name)) {
            f->type = type_names[i].type;
            f->has_type = true;
            return STATUS_OK;
        }
    return bad(r, "\"%.*s\" is no type; %s", SHOW(text),
               r->om ? "counter, gauge, histogram, gaugehistogram, summary, info, stateset and "
                       "unknown are"
                     : "counter, gauge, histogram, summary and untyped are");
}

typedef enum { META_HELP, META_TYPE, META_UNIT, META_KINDS } meta_kind;
static const char *const meta_names[META_KINDS] = { "HELP", "TYPE", "UNIT" };

static status set_metadata(reader *r, meta_kind kind, str text)
{
    exposition_family *f = &r->p->families[r->family];
    bool *const given[META_KINDS] = { &f->has_help, &f->has_type, &f->has_unit };
    if (r->rules && r->family_has_samples)
        return bad(r, "the %s of %.*s stands behind its samples; it must stand before them",
                   meta_names[kind], SHOW(f->name));
    if (r->rules && *given[kind])
        return bad(r, "%.*s has a %s already", SHOW(f->name), meta_names[kind]);
    *given[kind] = true;
    r->last_name = STR_EMPTY;
    if (kind == META_TYPE)
        return set_type(r, f, text);
    if (utf8_valid_prefix(text) != text.len)
        return bad(r, "the text of %s is not valid UTF-8", meta_names[kind]);
    if (kind == META_UNIT) {
        f->unit = text;
        return STATUS_OK;
    }
    bool escapes = text.len && memchr(text.ptr, '\\', text.len);
    f->help = escapes ? unescaped(r, text, r->om) : text;
    return f->help.ptr ? STATUS_OK : exposition_no_memory(r->p, r->err);
}

static status metadata(reader *r, meta_kind kind)
{
    str name;
    status st = STATUS_OK;
    if (has(r, '"'))
        st = quoted(r, "name", &name);
    else
        name = plain_name(r, COLON);
    if (st != STATUS_OK)
        return st;
    if (name.len == 0)
        return bad(r, "a metric's name is missing after %s", meta_names[kind]);
    if (r->om && !has(r, ' '))
        return bad(r, "a space and the text are missing after %s %.*s", meta_names[kind],
                   SHOW(name));
    r->at += r->at < r->end && *r->at != '\n'; /* Prometheus takes any character there, too */
    str text = rest_of_line(r);
    if (!r->om && kind == META_TYPE)
        text = str_trim(text);
    if (r->family == EXPOSITION_NO_FAMILY || !str_eq(r->p->families[r->family].name, name))
        st = start_family(r, name);
    return st == STATUS_OK ? set_metadata(r, kind, text) : st;
}

/* Behind the "#". Comments that are no metadata are read over in text, and an error in OpenMetrics.
 */
static status hash_line(reader *r)
{
    const char *from = r->at;
    r->om ? (void)(r->at += has(r, ' ')) : blanks(r);
    if (r->at > from) {
        str line = str_n(r->at, (size_t)MIN(r->end - r->at, 5));
        for (int i = 0; i < META_KINDS - !r->om; i++)
            if (str_starts(line, str_c(meta_names[i])) && line.len == 5 &&
                (line.ptr[4] == ' ' || (line.ptr[4] == '\t' && !r->om))) {
                r->at += 5;
                text_blanks(r);
                return metadata(r, i);
            }
        if (r->om && str_is(rest_of_line(r), "EOF")) {
            r->ended = true;
            return STATUS_OK;
        }
    }
    if (r->om)
        return bad(r,
                   "\"#%.*s\" is none of # HELP, # TYPE, # UNIT (each with a name and a text) "
                   "and # EOF",
                   (int)MIN(r->at - from, SHOWN), from);
    (void)rest_of_line(r);
    return STATUS_OK;
}

/* ---- samples ---- */

static status number(reader *r, const char *what, double *ret)
{
    str text = word(r);
    if (text.len && exposition_parse_number(text, ret))
        return STATUS_OK;
    return text.len ? bad(r, "the %s \"%.*s\" is no number", what, SHOW(text))
                    : bad(r, "the %s is missing", what);
}

/* Seconds with a fraction in OpenMetrics. */
static status seconds(reader *r, double *ret)
{
    status st = number(r, "timestamp", ret);
    if (st == STATUS_OK && !(fabs(*ret) < 9e15))
        return bad(r, "the timestamp is no finite number of seconds");
    return st;
}

static status timestamp(reader *r, exposition_sample *s)
{
    s->has_time = true;
    if (r->om) {
        double v;
        status st = seconds(r, &v);
        if (st != STATUS_OK)
            return st;
        s->time_ms = (int64_t)(v * 1000);
    } else {
        str text = word(r);
        if (!str_to_i64(text, &s->time_ms))
            return bad(r, "the timestamp \"%.*s\" is no whole number of milliseconds", SHOW(text));
        blanks(r);
    }
    if (s->time_ms > EXPOSITION_TIME_MS_MAX || s->time_ms < -EXPOSITION_TIME_MS_MAX)
        return bad(r, "the timestamp is not between the years 1677 and 2262");
    return STATUS_OK;
}

/* Hex digits of a trace_id or span_id go to the exemplar's own fields. */
static bool take_id(exemplar *e, const prom_label *l)
{
    if (str_is(l->name, "trace_id") && l->value.len == 32)
        return str_from_hex(l->value, e->trace.bytes, sizeof(e->trace.bytes));
    if (str_is(l->name, "span_id") && l->value.len == 16)
        return str_from_hex(l->value, e->span.bytes, sizeof(e->span.bytes));
    return false;
}

static status exemplar_labels(reader *r, exemplar *e)
{
    uint32_t count = 0, capacity = 0;
    size_t characters = 0;
    status st = braces(r, NULL, &count);
    for (uint32_t i = 0; st == STATUS_OK && i < count; i++) {
        const prom_label *l = &r->labels[i];
        for (size_t k = 0; k < l->name.len; k++)
            characters += ((uint8_t)l->name.ptr[k] & 0xc0) != 0x80;
        for (size_t k = 0; k < l->value.len; k++)
            characters += ((uint8_t)l->value.ptr[k] & 0xc0) != 0x80;
        if (!take_id(e, l) && !attrs_append(&r->p->arena, &e->filtered_attributes, &capacity,
                                            l->name, VALUE_S(l->value)))
            return exposition_no_memory(r->p, r->err);
    }
    if (st == STATUS_OK && r->rules && characters > 128)
        return bad(r, "the exemplar's labels have %zu characters, the limit is 128", characters);
    return st;
}

/* Behind the "#": " {labels} value" and perhaps a time. */
static status read_exemplar(reader *r, exposition_sample *s)
{
    if (r->end - r->at < 2 || r->at[0] != ' ' || r->at[1] != '{')
        return bad(r, "an exemplar's labels in braces are missing after \"# \"");
    r->at += 2;
    exemplar *e = ARENA_NEW(&r->p->arena, exemplar);
    if (!e)
        return exposition_no_memory(r->p, r->err);
    status st = exemplar_labels(r, e);
    if (st == STATUS_OK && !has(r, ' '))
        return bad(r, "a space and a value are missing after the exemplar's labels");
    r->at++;
    if (st == STATUS_OK)
        st = number(r, "exemplar's value", &e->f64);
    if (st == STATUS_OK && has(r, ' ')) {
        double v;
        r->at++;
        st = seconds(r, &v);
        if (st == STATUS_OK)
            e->time_ns = fabs(v) < 9e9 ? (int64_t)(v * 1e9) : 0;
    }
    s->exemplars = e;
    s->exemplar_count = 1;
    return st;
}

/* Value, time, exemplar. */
static status suffix(reader *r, exposition_sample *s)
{
    if (r->om && !has(r, ' '))
        return bad(r, "a space and a value are missing after the series");
    r->om ? (void)r->at++ : blanks(r);
    status st = number(r, "value", &s->value);
    text_blanks(r);
    if (st != STATUS_OK || r->at == r->end || *r->at == '\n')
        return st;
    if (!r->om)
        return timestamp(r, s);
    r->at++;
    if (!has(r, '#')) {
        st = timestamp(r, s);
        if (st != STATUS_OK || !has(r, ' '))
            return st;
        r->at++;
        if (!has(r, '#'))
            return bad(r, "behind the timestamp only an exemplar may stand, which begins \"# {\"");
    }
    r->at++;
    return read_exemplar(r, s);
}

static const char *canonical_label(family_type type, sample_part part)
{
    return part == PART_BUCKET && type == FAMILY_HISTOGRAM   ? "le"
           : part == PART_QUANTILE && type == FAMILY_SUMMARY ? "quantile"
                                                             : NULL;
}

static status keep_labels(reader *r, exposition_sample *s, uint32_t count)
{
    if (count == 0)
        return STATUS_OK;
    s->labels = ARENA_ARRAY(&r->p->arena, prom_label, count);
    if (!s->labels)
        return exposition_no_memory(r->p, r->err);
    s->label_count = count;
    memcpy(s->labels, r->labels, count * sizeof(prom_label));
    const char *known = canonical_label(r->p->families[r->family].type, s->part);
    for (uint32_t i = 0; known && i < count; i++)
        if (str_is(s->labels[i].name, known)) {
            s->labels[i].value = exposition_canonical(&r->p->arena, s->labels[i].value);
            if (!s->labels[i].value.ptr)
                return exposition_no_memory(r->p, r->err);
        }
    return STATUS_OK;
}

static status read_sample(reader *r)
{
    const char *from = r->at;
    uint32_t count = 0, line = r->line;
    sample_part part = PART_VALUE;
    str name = plain_name(r, COLON);
    status st = STATUS_OK;
    if (name.len == 0)
        name.ptr = NULL;
    const char *to = r->at;
    text_blanks(r);
    if (has(r, '{')) {
        r->at++;
        st = braces(r, &name, &count);
        to = r->at;
    }
    if (st == STATUS_OK && !name.ptr)
        return bad(r, "a metric's name was expected, and \"%.*s\" stands there",
                   (int)MIN(r->end - from, 10), from);
    if (st == STATUS_OK)
        st = resolve(r, name, &part);
    exposition_sample *s = st == STATUS_OK ? exposition_new_sample(r->p, r->options, r->err) : NULL;
    if (!s)
        return st != STATUS_OK ? st : STATUS_LIMIT;
    s->name = name;
    s->family = r->family;
    s->line = line;
    s->part = part;
    s->hash = str_hash(str_n(from, (size_t)(to - from)));
    st = keep_labels(r, s, count);
    if (st == STATUS_OK)
        st = suffix(r, s);
    error why;
    r->family_has_samples = true;
    if (st == STATUS_OK && r->rules && openmetrics_sample(r->rules, s, &why) != STATUS_OK)
        return bad(r, "%s", why.message);
    return st;
}

/* ---- the page ---- */

static status read_line(reader *r)
{
    text_blanks(r);
    status st = STATUS_OK;
    if (has(r, '#')) {
        r->at++;
        st = hash_line(r);
    } else if (r->at < r->end && *r->at != '\n') {
        st = read_sample(r);
    } else if (r->om) {
        return bad(r, "empty lines are not allowed in OpenMetrics");
    }
    if (st != STATUS_OK)
        return st;
    if (r->at < r->end && *r->at != '\n')
        return bad(r, "the line should end where \"%.*s\" stands", (int)MIN(r->end - r->at, 10),
                   r->at);
    if (r->at == r->end && r->om && !r->ended)
        return bad(r, "the last line is cut short: its line end and # EOF are missing");
    r->at += r->at < r->end;
    r->line++;
    return STATUS_OK;
}

static status read_all(reader *r)
{
    status st = STATUS_OK;
    error why;
    while (st == STATUS_OK && r->at < r->end) {
        if (r->ended)
            return bad(r, "something stands behind # EOF, which must be the end");
        st = read_line(r);
    }
    if (st != STATUS_OK || !r->om)
        return st;
    if (!r->ended)
        return bad(r, "# EOF is missing at the end: the page is cut short");
    if (r->rules && openmetrics_end(r->rules, &why) != STATUS_OK)
        return bad(r, "%s", why.message);
    return STATUS_OK;
}

status exposition_read_text(exposition_page *p, bool openmetrics, str body,
                            const exposition_options *options, error *err)
{
    error own;
    reader *r = ARENA_NEW(&p->arena, reader);
    if (!r)
        return exposition_no_memory(p, err);
    r->at = body.len ? body.ptr : "";
    r->end = r->at + body.len;
    r->p = p;
    r->options = options;
    r->err = err ? err : &own;
    r->om = openmetrics;
    r->line = 1;
    r->family = EXPOSITION_NO_FAMILY;
    if (openmetrics && !options->lenient && !(r->rules = openmetrics_rules_new(p)))
        return exposition_no_memory(p, err);
    map_init(&r->by_name);
    status st = read_all(r);
    map_done(&r->by_name);
    openmetrics_rules_done(r->rules);
    return st;
}
