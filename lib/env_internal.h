// SPDX-License-Identifier: Apache-2.0
/* What the files of lib/env*.c share: env.c (the table, defaults, options), env_values.c (parsers
 * of one value), env_otlp.c (what exists for each signal). */
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
} env_row;

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

void env_warn_value(const char *name, str text, const char *expected);
void env_resource_put(settings *s, str key, str text);
/* %XX stands for a byte; false when a % is not followed by two digits. */
bool env_percent_decode(arena *a, str in, str *ret);

bool env_endpoint_is_good(str url);
/* The endpoint of all signals. */
void env_endpoint_base(settings *s, str base);
/* "key=value,key=value" into header lines. */
bool env_otlp_headers(settings *s, signal_settings *one, str list);
void env_otlp_load(settings *s);
/* After env_otlp_load. */
void env_exporters_load(settings *s);

#endif
