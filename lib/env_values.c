// SPDX-License-Identifier: Apache-2.0
/* Parsers of one value, which the tables of env.c and env_otlp.c name. Each returns false for a
 * text that means nothing, and then has changed nothing that matters. */
#include "lib/env_internal.h"

bool env_set_bool(settings *s UNUSED, void *field, str text)
{
    bool yes = str_eq_nocase(text, STR("true"));
    if (!yes && !str_eq_nocase(text, STR("false")))
        return false;
    *(bool *)field = yes;
    return true;
}

bool env_set_u32(settings *s UNUSED, void *field, str text)
{
    uint64_t n;
    if (!str_to_u64(text, &n) || n > INT32_MAX)
        return false;
    *(uint32_t *)field = (uint32_t)n;
    return true;
}

bool env_set_positive(settings *s, void *field, str text)
{
    uint32_t n;
    if (!env_set_u32(s, &n, text) || n == 0)
        return false;
    *(uint32_t *)field = n;
    return true;
}

bool env_set_text(settings *s, void *field, str text)
{
    *(str *)field = arena_str(&s->arena, text);
    return true;
}

/* "16777216", "16MiB", "16M", "64k". */
bool env_set_bytes(settings *s UNUSED, void *field, str text)
{
    static const struct {
        const char *suffix;
        unsigned shift;
    } units[] = { { "kib", 10 }, { "mib", 20 }, { "gib", 30 }, { "kb", 10 }, { "mb", 20 },
                  { "gb", 30 },  { "k", 10 },   { "m", 20 },   { "g", 30 },  { "b", 0 } };
    unsigned shift = 0;
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        str unit = str_c(units[i].suffix);
        if (text.len > unit.len &&
            str_eq_nocase(str_slice(text, text.len - unit.len, text.len), unit)) {
            text = str_trim(str_slice(text, 0, text.len - unit.len));
            shift = units[i].shift;
            break;
        }
    }
    uint64_t n;
    if (!str_to_u64(text, &n) || n > (UINT64_MAX >> 1 >> shift))
        return false;
    *(uint64_t *)field = n << shift;
    return true;
}

/* "info", or "info,db=debug,http=warn": a level, and levels by logger name. */
bool env_set_levels(settings *s, void *field, str text)
{
    str first, rest;
    first = str_trim(str_cut(text, ',', &rest));
    bool has_level = str_find_char(first, '=') == SIZE_MAX;
    if (has_level && !env_set_level(s, field, first))
        return false;
    rest = has_level ? rest : text;
    if (rest.len)
        s->log_levels = arena_str(&s->arena, rest);
    return true;
}

static const struct {
    const char *name;
    uint8_t severity;
} levels[] = { { "debug", 5 },    { "info", 9 },   { "warn", 13 },
               { "warning", 13 }, { "error", 17 }, { "fatal", 21 } };

const char *env_level_name(uint8_t severity)
{
    for (size_t i = 0; i < ARRAY_LEN(levels); i++)
        if (levels[i].severity == severity)
            return levels[i].name;
    return "";
}

bool env_set_level(settings *s UNUSED, void *field, str text)
{
    for (size_t i = 0; i < ARRAY_LEN(levels); i++)
        if (str_eq_nocase(text, str_c(levels[i].name))) {
            *(uint8_t *)field = levels[i].severity;
            return true;
        }
    return false;
}

bool env_set_log_output(settings *s, void *field UNUSED, str text)
{
    if (str_is(text, "stdout"))
        s->log_output = LOG_TO_STDOUT;
    else if (str_is(text, "stderr"))
        s->log_output = LOG_TO_STDERR;
    else if (str_is(text, "none"))
        s->log_output = LOG_TO_NONE;
    else if (str_starts(text, STR("file:")) && text.len > 5) {
        s->log_output = LOG_TO_FILE;
        s->log_path = arena_str(&s->arena, str_slice(text, 5, text.len));
    } else
        return false;
    return true;
}

/* What is known of the list counts; an unknown name makes it fail. */
bool env_set_propagators(settings *s, void *field UNUSED, str text)
{
    static const struct {
        const char *name;
        propagator_kind kind;
    } known[] = {
        { "tracecontext", PROPAGATE_TRACECONTEXT },
        { "baggage", PROPAGATE_BAGGAGE },
        { "b3", PROPAGATE_B3 },
        { "b3multi", PROPAGATE_B3_MULTI },
        { "xray", PROPAGATE_XRAY },
        { "jaeger", PROPAGATE_JAEGER },
    };
    uint32_t chosen = 0;
    bool good = true;
    while (text.len) {
        str name = str_trim(str_cut(text, ',', &text));
        size_t i = 0;
        while (i < ARRAY_LEN(known) && !str_is(name, known[i].name))
            i++;
        if (i < ARRAY_LEN(known))
            chosen |= 1u << known[i].kind;
        else if (!str_is(name, "none"))
            good = false;
    }
    if (!good && !chosen)
        return false;
    s->propagators = chosen;
    return good;
}

bool env_set_sampler(settings *s, void *field UNUSED, str text)
{
    static const struct {
        const char *name;
        sampler_kind kind;
        bool parent;
    } samplers[] = {
        { "always_on", SAMPLER_ALWAYS_ON, false },
        { "always_off", SAMPLER_ALWAYS_OFF, false },
        { "traceidratio", SAMPLER_RATIO, false },
        { "parentbased_always_on", SAMPLER_ALWAYS_ON, true },
        { "parentbased_always_off", SAMPLER_ALWAYS_OFF, true },
        { "parentbased_traceidratio", SAMPLER_RATIO, true },
        { "ratelimited", SAMPLER_RATE, false },
        { "parentbased_ratelimited", SAMPLER_RATE, true },
    };
    for (size_t i = 0; i < ARRAY_LEN(samplers); i++)
        if (str_is(text, samplers[i].name)) {
            s->sampler = samplers[i].kind;
            s->sampler_parent_based = samplers[i].parent;
            return true;
        }
    return false;
}

/* A ratio, or the traces per second of a rate-limited sampler: the sampler may be named later. */
bool env_set_sampler_arg(settings *s, void *field UNUSED, str text)
{
    double n;
    if (!str_to_f64(text, &n) || !(n >= 0 && n <= 1e9))
        return false;
    s->sampler_rate = n;
    if (n <= 1)
        s->sampler_ratio = n;
    return n <= 1 || s->sampler == SAMPLER_RATE;
}

bool env_set_semconv(settings *s, void *field UNUSED, str text)
{
    while (text.len) {
        str item = str_trim(str_cut(text, ',', &text));
        s->http_old_names = s->http_old_names || str_is(item, "http/dup");
        s->db_old_names = s->db_old_names || str_is(item, "database/dup");
    }
    return true; /* other categories concern other libraries */
}

bool env_set_drain(settings *s, void *field UNUSED, str text)
{
    static const char *const names[] = { "auto", "thread", "server" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_is(text, names[i])) {
            s->drain = (drain_kind)i;
            return true;
        }
    return false;
}

bool env_set_temporality(settings *s, void *field UNUSED, str text)
{
    static const char *const names[] = { "cumulative", "delta", "lowmemory" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq_nocase(text, str_c(names[i]))) {
            s->temporality = (temporality_preference)i;
            return true;
        }
    return false;
}

bool env_set_aggregation(settings *s, void *field UNUSED, str text)
{
    s->exponential_histograms = str_eq_nocase(text, STR("base2_exponential_bucket_histogram"));
    return s->exponential_histograms || str_eq_nocase(text, STR("explicit_bucket_histogram"));
}

bool env_set_exemplars(settings *s, void *field UNUSED, str text)
{
    static const char *const names[] = { "trace_based", "always_on", "always_off" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq_nocase(text, str_c(names[i]))) {
            s->exemplars = (exemplar_filter)i;
            return true;
        }
    return false;
}

bool env_set_both_lengths(settings *s, void *field UNUSED, str text)
{
    uint32_t n;
    if (!env_set_u32(s, &n, text))
        return false;
    s->attribute_length_max[SIGNAL_LOGS] = s->attribute_length_max[SIGNAL_TRACES] = n;
    return true;
}

bool env_set_both_counts(settings *s, void *field UNUSED, str text)
{
    uint32_t n;
    if (!env_set_u32(s, &n, text))
        return false;
    s->attribute_count_max[SIGNAL_LOGS] = s->attribute_count_max[SIGNAL_TRACES] = n;
    return true;
}
