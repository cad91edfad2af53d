// SPDX-License-Identifier: Apache-2.0
/* What the parts of tail_sampling share. tail_sampling.c: the component, traces that wait, what is
 * emitted; tail_sampling_policy.c: what the policies say; tail_sampling_options.c: the options;
 * tail_sampling_memory.c: decisions that were made. One thread. */
#ifndef SONDE_PIPELINE_PROCESSORS_TAIL_SAMPLING_H
#define SONDE_PIPELINE_PROCESSORS_TAIL_SAMPLING_H

#include "pipeline/component.h"
#include "pipeline/ottl.h"

#include "base/map.h"

/* ---- options ---- */

typedef enum {
    POLICY_ALWAYS_SAMPLE,
    POLICY_LATENCY,
    POLICY_NUMERIC_ATTRIBUTE,
    POLICY_PROBABILISTIC,
    POLICY_STATUS_CODE,
    POLICY_STRING_ATTRIBUTE,
    POLICY_TRACE_STATE,
    POLICY_TRACE_FLAGS,
    POLICY_RATE_LIMITING,
    POLICY_BYTES_LIMITING,
    POLICY_SPAN_COUNT,
    POLICY_BOOLEAN_ATTRIBUTE,
    POLICY_OTTL_CONDITION,
    POLICY_NOT,
    POLICY_AND,
    POLICY_DROP,
    POLICY_COMPOSITE,
    POLICY_KINDS
} policy_kind;
extern const char *const policy_kinds[]; /* their names, ended by NULL */

typedef struct {
    str name;
    int type; /* policy_kind */
    struct {
        int64_t threshold_ms, upper_threshold_ms;
    } latency;
    struct {
        str key;
        value min_value, max_value; /* VALUE_EMPTY: unbounded */
        bool invert_match;
    } numeric;
    struct {
        str hash_salt;
        double sampling_percentage;
    } probabilistic;
    struct {
        text_list status_codes;
    } status_code;
    struct {
        str key;
        text_list values;
        bool enabled_regex_matching, invert_match;
    } string;
    struct {
        str key;
        text_list values;
    } trace_state;
    struct {
        int64_t spans_per_second;
    } rate_limiting;
    struct {
        int64_t bytes_per_second, burst_capacity;
    } bytes_limiting;
    struct {
        int64_t min_spans, max_spans;
    } span_count;
    struct {
        str key;
        bool value, invert_match;
    } boolean;
    struct {
        int error_mode;
        text_list span, spanevent;
    } ottl;
} simple_policy;

/* Policies in policies: a simple one or a not; with and; with drop and composite. */
typedef struct {
    simple_policy simple;
    simple_policy not_policy;
} inner_policy;

typedef struct {
    inner_policy inner;
    section_list and_policies; /* inner_policy */
} middle_policy;

typedef struct {
    str policy;
    int64_t percent;
} rate_allocation;

typedef struct {
    middle_policy middle;
    section_list drop_policies; /* inner_policy */
    struct {
        int64_t max_total_spans_per_second;
        text_list policy_order;
        section_list policies;   /* middle_policy */
        section_list allocation; /* rate_allocation */
    } composite;
} outer_policy;

typedef struct {
    int64_t decision_wait, decision_wait_after_root_received; /* ns; the latter 0: not used */
    int64_t num_traces;
    bool sample_on_first_match;
    struct {
        int64_t sampled_cache_size, non_sampled_cache_size;
    } decision_cache;
    section_list policies; /* outer_policy */
} tail_settings;

enum { TAIL_ROWS = 9 };
extern const option tail_rows[TAIL_ROWS];
option_check tail_check;

/* ---- policies ---- */

/* A span of a trace that is decided on. */
typedef struct {
    const batch *b;
    uint32_t row;
} tail_span;

typedef struct {
    const trace_id *id;
    tail_span *spans;
    uint32_t count;
    int64_t now_ns;
    arena *scratch;
    uint64_t condition_errors; /* added to */
} tail_trace;

typedef enum {
    DECISION_NOT_SAMPLED,
    DECISION_SAMPLED,
    DECISION_DROPPED,
    DECISION_INVERT_SAMPLED,
    DECISION_INVERT_NOT_SAMPLED
} decision;

typedef struct policies policies;

MUST_USE status policies_new(policies **ret, const tail_settings *s, error *err);
void policies_free(policies *p); /* NULL is fine */
/* Whether the trace is sampled; *ret_policy is the name of the one that decided, or "". */
bool policies_decide(policies *p, tail_trace *t, const char **ret_policy);

/* ---- decisions that were made ---- */

/* Of each trace that was decided: spans that come later follow it. `sequence` is the last record
 * whose spans are done with: what is read again after a restart is known by it. */
typedef struct tail_memory tail_memory;

MUST_USE status tail_memory_new(tail_memory **ret, uint64_t sampled_limit, uint64_t dropped_limit,
                                error *err);
void tail_memory_free(tail_memory *m);
/* True when the trace was decided. */
bool tail_memory_find(tail_memory *m, const trace_id *id, bool *ret_sampled,
                      uint64_t *ret_sequence);
/* Adds one, or raises its sequence. Older ones than `needed` may be forgotten at the limit. */
MUST_USE status tail_memory_put(tail_memory *m, const trace_id *id, bool sampled, uint64_t sequence,
                                uint64_t needed, error *err);
/* docs/format/tail_sampling.md */
void tail_memory_save(const tail_memory *m, buf *out);
MUST_USE status tail_memory_load(tail_memory *m, str bytes, error *err);

/* ---- the component, for its tests ---- */

typedef status tail_emit(component *c, const batch *b, error *err);
void tail_sampling_set_emit(void *self, tail_emit *emit);

typedef struct {
    uint64_t traces, bytes;        /* that wait */
    uint64_t sampled, not_sampled; /* traces that were decided */
    uint64_t early;                /* of them, before their time, for lack of room */
} tail_counts;
tail_counts tail_sampling_counts(const void *self);

#endif
