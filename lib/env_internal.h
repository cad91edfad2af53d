// SPDX-License-Identifier: Apache-2.0
/* What the files of lib/env*.c share: env.c (the table, defaults, options), env_values.c (parsers
 * of one value), env_otlp.c (what exists for each signal), env_entities.c (OTEL_ENTITIES). */
#ifndef SONDE_LIB_ENV_INTERNAL_H
#define SONDE_LIB_ENV_INTERNAL_H

#include "lib/env.h"

/* Sets what the text says; false when it says nothing that is expected. `field` is in `s`. */
typedef bool env_setter(settings *s, void *field, str text);

typedef struct {
    const char *name;
    env_setter *set;
    size_t field; /* offset in settings */
    const char *expected;
    const char *fallback; /* the default as text, where the field alone does not tell it */
} env_row;

/* The variables that exist once. */
extern const env_row env_rows[];
extern const size_t env_row_count;
/* The suffixes of OTEL_EXPORTER_OTLP_ and OTEL_EXPORTER_OTLP_<SIGNAL>_, without ENDPOINT. */
extern const char *const env_signal_names[SIGNAL_COUNT]; /* "LOGS", … */

/* Notes that a setting was given; the last one counts. */
void env_given(settings *s, const char *variable, setting_origin from, str text);

env_setter env_set_bool;
env_setter env_set_both_counts;
env_setter env_set_both_lengths;
env_setter env_set_bytes;
env_setter env_set_level;
env_setter env_set_log_output;
env_setter env_set_positive;
env_setter env_set_propagators;
env_setter env_set_sampler;
env_setter env_set_semconv;
env_setter env_set_text;
env_setter env_set_u32;
env_setter env_set_levels;
env_setter env_set_drain;
env_setter env_set_temporality;
env_setter env_set_aggregation;
env_setter env_set_exemplars;
env_setter env_set_sampler_arg;
env_setter env_set_entities;
env_setter env_set_library_level;

const char *env_level_name(uint8_t severity); /* empty for none of the levels */
void env_warn_value(const char *name, str text, const char *expected);
void env_resource_put(settings *s, str key, str text);
/* %XX stands for a byte; false when a % is not followed by two digits. */
bool env_percent_decode(arena *a, str in, str *ret);

/* [a-zA-Z][a-zA-Z0-9._-]* and nothing else, key=value with percent-encoding; see env_entities.c. */
bool env_key_is_good(str key);
/* Protocols, endpoints, headers … of the signals, from the options and, when told to, the
 * environment. `o` may be NULL. */
void env_otlp_load(settings *s, const sonde_options *o, bool environment);
/* After env_otlp_load. */
void env_exporters_load(settings *s, bool environment);

#endif
