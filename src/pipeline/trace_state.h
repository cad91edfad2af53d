// SPDX-License-Identifier: Apache-2.0
/* W3C tracestate lists ("a=1,ot=th:8;rv:0123456789abcd") and what OpenTelemetry's consistent
 * probability sampling keeps in them: a threshold below which a trace's randomness is dropped.
 * Both are 56-bit numbers. Pure functions. */
#ifndef SONDE_PIPELINE_TRACE_STATE_H
#define SONDE_PIPELINE_TRACE_STATE_H

#include "codec/batch.h"

#define SAMPLING_MAX (UINT64_C(1) << 56) /* as a threshold: nothing is sampled */

/* The value of a list's member; .ptr NULL when there is none. */
str trace_state_get(str list, str key);

typedef struct {
    bool has_threshold, has_randomness;
    uint64_t threshold;  /* 0: all; sampled when threshold <= randomness */
    uint64_t randomness; /* below SAMPLING_MAX */
} sampling_state;

/* "th" and "rv" of the member "ot". False when it is malformed. */
MUST_USE bool sampling_state_parse(str list, sampling_state *ret);
/* The list with th and rv as in `s`, other members and fields kept; .ptr NULL: no memory. */
str sampling_state_write(arena *a, str list, const sampling_state *s);

/* Up to 14 hexadecimal digits, of which zeros at the end may be left out ("8" is one half). */
MUST_USE bool sampling_threshold_parse(str text, uint64_t *ret);
MUST_USE bool sampling_randomness_parse(str text, uint64_t *ret); /* exactly 14 digits */
str sampling_threshold_text(arena *a, uint64_t threshold);        /* "0" for all */
str sampling_randomness_text(arena *a, uint64_t randomness);

/* The threshold of a probability in (0, 1], with `precision` significant hexadecimal digits. */
uint64_t sampling_threshold(double probability, int precision);
double sampling_probability(uint64_t threshold);
/* The last 56 bits of a trace id. */
uint64_t sampling_randomness(const trace_id *id);

#endif
