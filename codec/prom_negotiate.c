// SPDX-License-Identifier: Apache-2.0
/* Which format a scraper wants: https://prometheus.io/docs/instrumenting/content_negotiation/. */
#include "codec/prom_text.h"

typedef struct {
    const char *type;
    const char *version; /* "" when the entry names none */
    prom_format format;
} offer;

/* Best first: decides between entries of equal q. */
static const offer offers[] = {
    { "application/vnd.google.protobuf", "", PROM_PROTOBUF },
    { "application/openmetrics-text", "1.0.0", PROM_OPENMETRICS_1_0_0 },
    { "application/openmetrics-text", "", PROM_OPENMETRICS_1_0_0 },
    { "application/openmetrics-text", "0.0.1", PROM_OPENMETRICS_0_0_1 },
    { "text/plain", "1.0.0", PROM_TEXT_1_0_0 },
    { "text/plain", "0.0.4", PROM_TEXT_0_0_4 },
    { "text/plain", "", PROM_TEXT_0_0_4 },
    { "text/*", "", PROM_TEXT_0_0_4 },
    { "*/*", "", PROM_TEXT_0_0_4 },
};

static const char *const escapings[] = {
    [PROM_UNDERSCORES] = "underscores",
    [PROM_ALLOW_UTF8] = "allow-utf-8",
    [PROM_ESCAPE_DOTS] = "dots",
    [PROM_ESCAPE_VALUES] = "values",
};

typedef struct {
    str type, version, proto, encoding, escaping;
    double q;
} entry;

static str unquoted(str s)
{
    return s.len >= 2 && s.ptr[0] == '"' && s.ptr[s.len - 1] == '"' ? str_slice(s, 1, s.len - 1)
                                                                    : s;
}

static entry parse_entry(str text)
{
    str parameters;
    entry e = { .q = 1 };
    e.type = str_trim(str_cut(text, ';', &parameters));
    const struct {
        const char *name;
        str *value;
    } known[] = { { "version", &e.version },
                  { "proto", &e.proto },
                  { "encoding", &e.encoding },
                  { "escaping", &e.escaping } };
    while (parameters.len > 0) {
        str value;
        str name = str_trim(str_cut(str_cut(parameters, ';', &parameters), '=', &value));
        value = unquoted(str_trim(value));
        for (size_t i = 0; i < ARRAY_LEN(known); i++)
            if (str_eq_nocase(name, str_c(known[i].name)))
                *known[i].value = value;
        if (str_eq_nocase(name, STR("q")) && (!str_to_f64(value, &e.q) || !(e.q >= 0 && e.q <= 1)))
            e.q = 0;
    }
    return e;
}

static bool takes(const entry *e, const offer *o)
{
    if (!str_eq_nocase(e->type, str_c(o->type)))
        return false;
    if (o->format == PROM_PROTOBUF)
        return str_is(e->proto, "io.prometheus.client.MetricFamily") &&
               str_eq_nocase(e->encoding, STR("delimited"));
    return str_is(e->version, o->version);
}

static void set_escaping(prom_choice *c, str name)
{
    c->escaping = PROM_UNDERSCORES;
    c->says_escaping = c->format == PROM_OPENMETRICS_1_0_0;
    for (size_t i = 0; i < ARRAY_LEN(escapings); i++)
        if (str_eq_nocase(name, str_c(escapings[i])) && c->format != PROM_OPENMETRICS_0_0_1) {
            c->escaping = (prom_escaping)i;
            c->says_escaping = true;
        }
}

/* The best of the offers from `first` on. */
static prom_choice choose_from(str accept, size_t first)
{
    double best_q = 0;
    size_t best = ARRAY_LEN(offers);
    prom_choice choice = { .format = PROM_TEXT_0_0_4 };
    while (accept.len > 0) {
        entry e = parse_entry(str_cut(accept, ',', &accept));
        for (size_t i = first; i < ARRAY_LEN(offers); i++)
            if (takes(&e, &offers[i]) && (e.q > best_q || (e.q > 0 && e.q == best_q && i < best))) {
                best_q = e.q;
                best = i;
                choice.format = offers[i].format;
                set_escaping(&choice, e.escaping);
            }
    }
    return choice;
}

prom_choice prom_choose(str accept)
{
    return choose_from(accept, 0);
}

prom_format prom_negotiate(str accept)
{
    prom_format format = choose_from(accept, 1).format;
    return format == PROM_TEXT_1_0_0 ? PROM_TEXT_0_0_4 : format;
}

#define TYPES_OF(text) \
    { \
        text, text "; escaping=underscores", text "; escaping=allow-utf-8", \
            text "; escaping=dots", text "; escaping=values" \
    }

static const char *const types[PROM_FORMAT_COUNT][5] = {
    [PROM_TEXT_0_0_4] = TYPES_OF("text/plain; version=0.0.4; charset=utf-8"),
    [PROM_TEXT_1_0_0] = TYPES_OF("text/plain; version=1.0.0; charset=utf-8"),
    [PROM_OPENMETRICS_0_0_1] =
        TYPES_OF("application/openmetrics-text; version=0.0.1; charset=utf-8"),
    [PROM_OPENMETRICS_1_0_0] =
        TYPES_OF("application/openmetrics-text; version=1.0.0; charset=utf-8"),
    [PROM_PROTOBUF] = TYPES_OF("application/vnd.google.protobuf; "
                               "proto=io.prometheus.client.MetricFamily; encoding=delimited"),
};

const char *prom_choice_type(const prom_choice *c)
{
    return types[c->format][c->says_escaping ? 1 + c->escaping : 0];
}

const char *prom_content_type(prom_format f)
{
    prom_choice c = { .format = f, .says_escaping = f == PROM_OPENMETRICS_1_0_0 };
    return prom_choice_type(&c);
}
