// SPDX-License-Identifier: Apache-2.0
/* The options of tail_sampling, and what no single one of them can check. */
#include "pipeline/pattern.h"
#include "pipeline/processors/tail_sampling.h"

#include <assert.h>
#include <stdio.h>

const char *const policy_kinds[] = {
    [POLICY_ALWAYS_SAMPLE] = "always_sample",
    [POLICY_LATENCY] = "latency",
    [POLICY_NUMERIC_ATTRIBUTE] = "numeric_attribute",
    [POLICY_PROBABILISTIC] = "probabilistic",
    [POLICY_STATUS_CODE] = "status_code",
    [POLICY_STRING_ATTRIBUTE] = "string_attribute",
    [POLICY_TRACE_STATE] = "trace_state",
    [POLICY_TRACE_FLAGS] = "trace_flags",
    [POLICY_RATE_LIMITING] = "rate_limiting",
    [POLICY_BYTES_LIMITING] = "bytes_limiting",
    [POLICY_SPAN_COUNT] = "span_count",
    [POLICY_BOOLEAN_ATTRIBUTE] = "boolean_attribute",
    [POLICY_OTTL_CONDITION] = "ottl_condition",
    [POLICY_NOT] = "not",
    [POLICY_AND] = "and",
    [POLICY_DROP] = "drop",
    [POLICY_COMPOSITE] = "composite",
    NULL,
};

/* ---- rows: offsets are those of simple_policy, because its parts have no names of their own ----
 */

#define AT(member) offsetof(simple_policy, member)
#define ROW(name_, type_, member_, ...) \
    { \
        .name = (name_), .type = (type_), .offset = AT(member_), __VA_ARGS__ \
    }
#define PART(rows_) \
    { \
        (rows_), ARRAY_LEN(rows_), sizeof(simple_policy) \
    }

static const option latency_rows[] = {
    ROW("threshold_ms", OPTION_INT, latency.threshold_ms,
        .help = "traces that took at least so long, from first start to last end"),
    ROW("upper_threshold_ms", OPTION_INT, latency.upper_threshold_ms,
        .help = "and at most so long; 0: any"),
};
static const option_table latency_options = PART(latency_rows);

static const option numeric_rows[] = {
    ROW("key", OPTION_TEXT, numeric.key, .required = true,
        .help = "integer attribute of a span or its resource"),
    ROW("min_value", OPTION_VALUE, numeric.min_value, .help = "smallest value that fits"),
    ROW("max_value", OPTION_VALUE, numeric.max_value, .help = "largest value that fits"),
    ROW("invert_match", OPTION_BOOL, numeric.invert_match,
        .help = "older form: traces without such a value; others are not sampled"),
};
static const option_table numeric_options = PART(numeric_rows);

static const option probabilistic_rows[] = {
    ROW("sampling_percentage", OPTION_NUMBER, probabilistic.sampling_percentage, .min = 0,
        .max = 1e9, .help = "part of the traces; 100 and above: all"),
    ROW("hash_salt", OPTION_TEXT, probabilistic.hash_salt, .fallback = "default-hash-seed",
        .help = "another one for tiers of collectors behind each other"),
};
static const option_table probabilistic_options = PART(probabilistic_rows);

static const option status_code_rows[] = {
    ROW("status_codes", OPTION_TEXTS, status_code.status_codes,
        .help = "OK, ERROR, UNSET: traces with such a span"),
};
static const option_table status_code_options = PART(status_code_rows);

static const option string_rows[] = {
    ROW("key", OPTION_TEXT, string.key, .required = true,
        .help = "text attribute of a span or its resource"),
    ROW("values", OPTION_TEXTS, string.values, .help = "values that fit"),
    ROW("enabled_regex_matching", OPTION_BOOL, string.enabled_regex_matching,
        .help = "the values are regular expressions"),
    { .name = "cache_max_size",
      .type = OPTION_IGNORED,
      .help = "patterns are compiled, and their results need no cache" },
    ROW("invert_match", OPTION_BOOL, string.invert_match,
        .help = "older form: traces without such a value; others are not sampled"),
};
static const option_table string_options = PART(string_rows);

static const option trace_state_rows[] = {
    ROW("key", OPTION_TEXT, trace_state.key, .required = true, .help = "member of tracestate"),
    ROW("values", OPTION_TEXTS, trace_state.values, .help = "values that fit"),
};
static const option_table trace_state_options = PART(trace_state_rows);

static const option rate_rows[] = {
    ROW("spans_per_second", OPTION_INT, rate_limiting.spans_per_second, .min = 0, .max = 1e12,
        .help = "traces while a second has fewer sampled spans"),
};
static const option_table rate_options = PART(rate_rows);

static const option bytes_rows[] = {
    ROW("bytes_per_second", OPTION_INT, bytes_limiting.bytes_per_second, .min = 0, .max = 1e15,
        .help = "bytes of OTLP that come into the bucket each second"),
    ROW("burst_capacity", OPTION_INT, bytes_limiting.burst_capacity, .min = 0, .max = 1e15,
        .help = "what the bucket holds; 0: two seconds' worth"),
};
static const option_table bytes_options = PART(bytes_rows);

static const option span_count_rows[] = {
    ROW("min_spans", OPTION_INT, span_count.min_spans, .min = 0, .max = 1e9,
        .help = "traces of at least so many spans"),
    ROW("max_spans", OPTION_INT, span_count.max_spans, .min = 0, .max = 1e9,
        .help = "and at most so many; 0: any"),
};
static const option_table span_count_options = PART(span_count_rows);

static const option boolean_rows[] = {
    ROW("key", OPTION_TEXT, boolean.key, .required = true,
        .help = "bool attribute of a span or its resource"),
    ROW("value", OPTION_BOOL, boolean.value, .help = "the value that fits"),
    ROW("invert_match", OPTION_BOOL, boolean.invert_match,
        .help = "older form: traces without such a value; others are not sampled"),
};
static const option_table boolean_options = PART(boolean_rows);

static const option ottl_rows[] = {
    ROW("error_mode", OPTION_CHOICE, ottl.error_mode, .choices = ottl_error_modes,
        .fallback = "propagate",
        .help = "a condition that fails on a span does not hold; ignore and "
                "propagate say so in the log"),
    ROW("span", OPTION_TEXTS, ottl.span, .help = "conditions (OTTL) on spans"),
    ROW("spanevent", OPTION_TEXTS, ottl.spanevent, .help = "conditions (OTTL) on their events"),
};
static const option_table ottl_options = PART(ottl_rows);

/* The part's table has offsets of the whole policy, so the section stands at its begin. */
#define SECTION(name_, table_, help_) \
    { \
        .name = (name_), .type = OPTION_SECTION, .offset = 0, .table = &(table_), .help = (help_) \
    }

static const option simple_rows[] = {
    ROW("name", OPTION_TEXT, name, .required = true, .help = "shown where decisions are counted"),
    ROW("type", OPTION_CHOICE, type, .choices = policy_kinds, .required = true,
        .help = "the kind of policy; its own options stand below its name"),
    SECTION("latency", latency_options, "by the time that a trace took"),
    SECTION("numeric_attribute", numeric_options, "by an integer attribute"),
    SECTION("probabilistic", probabilistic_options, "a part of the traces, by their ids"),
    SECTION("status_code", status_code_options, "by the status of spans"),
    SECTION("string_attribute", string_options, "by a text attribute"),
    SECTION("trace_state", trace_state_options, "by tracestate"),
    SECTION("rate_limiting", rate_options, "so many spans a second"),
    SECTION("bytes_limiting", bytes_options, "so many bytes a second"),
    SECTION("span_count", span_count_options, "by the number of spans"),
    SECTION("boolean_attribute", boolean_options, "by a bool attribute"),
    SECTION("ottl_condition", ottl_options, "by conditions on spans and events"),
};
#undef AT
static const option_table simple_options = PART(simple_rows);

static const option not_rows[] = {
    { .name = "not_sub_policy",
      .type = OPTION_SECTION,
      .offset = offsetof(inner_policy, not_policy),
      .table = &simple_options,
      .help = "the policy that must not sample" },
};
static const option_table not_options = { not_rows, ARRAY_LEN(not_rows), sizeof(inner_policy) };

static const option inner_rows[] = {
    { .name = "simple", .type = OPTION_INLINE, .offset = 0, .table = &simple_options },
    SECTION("not", not_options, "traces that a policy does not sample"),
};
static const option_table inner_options = OPTION_TABLE(inner_rows, inner_policy);

static const option and_rows[] = {
    { .name = "and_sub_policy",
      .type = OPTION_SECTIONS,
      .offset = offsetof(middle_policy, and_policies),
      .table = &inner_options,
      .help = "policies that must all sample" },
};
static const option_table and_options = { and_rows, ARRAY_LEN(and_rows), sizeof(middle_policy) };

static const option middle_rows[] = {
    { .name = "inner", .type = OPTION_INLINE, .offset = 0, .table = &inner_options },
    SECTION("and", and_options, "traces that several policies sample"),
};
static const option_table middle_options = OPTION_TABLE(middle_rows, middle_policy);

static const option drop_rows[] = {
    { .name = "drop_sub_policy",
      .type = OPTION_SECTIONS,
      .offset = offsetof(outer_policy, drop_policies),
      .table = &inner_options,
      .help = "traces that all of these sample are left out, whatever others say" },
};
static const option_table drop_options = { drop_rows, ARRAY_LEN(drop_rows), sizeof(outer_policy) };

static const option allocation_rows[] = {
    { .name = "policy",
      .type = OPTION_TEXT,
      .offset = offsetof(rate_allocation, policy),
      .required = true,
      .help = "name of a policy of composite_sub_policy" },
    { .name = "percent",
      .type = OPTION_INT,
      .offset = offsetof(rate_allocation, percent),
      .min = 0,
      .max = 100,
      .help = "its part of max_total_spans_per_second" },
};
static const option_table allocation_options = OPTION_TABLE(allocation_rows, rate_allocation);

#define AT(member) offsetof(outer_policy, composite.member)
static const option composite_rows[] = {
    { .name = "max_total_spans_per_second",
      .type = OPTION_INT,
      .offset = AT(max_total_spans_per_second),
      .min = 0,
      .max = 1e12,
      .help = "spans that all of its policies sample in a second" },
    { .name = "policy_order",
      .type = OPTION_TEXTS,
      .offset = AT(policy_order),
      .help = "names of its policies; the first that samples decides" },
    { .name = "composite_sub_policy",
      .type = OPTION_SECTIONS,
      .offset = AT(policies),
      .table = &middle_options,
      .help = "its policies" },
    { .name = "rate_allocation",
      .type = OPTION_SECTIONS,
      .offset = AT(allocation),
      .table = &allocation_options,
      .help = "parts of the rate; policies without one have the same part each" },
};
#undef AT
static const option_table composite_options = { composite_rows, ARRAY_LEN(composite_rows),
                                                sizeof(outer_policy) };

static const option outer_rows[] = {
    { .name = "middle", .type = OPTION_INLINE, .offset = 0, .table = &middle_options },
    SECTION("drop", drop_options, "traces that are left out, whatever other policies say"),
    SECTION("composite", composite_options, "policies in order, each with a part of a rate"),
};
static const option_table outer_options = OPTION_TABLE(outer_rows, outer_policy);

static const option cache_rows[] = {
    { .name = "sampled_cache_size",
      .type = OPTION_INT,
      .offset = offsetof(tail_settings, decision_cache.sampled_cache_size),
      .min = 0,
      .max = 1000000,
      .help = "sampled traces whose late spans pass; at least num_traces" },
    { .name = "non_sampled_cache_size",
      .type = OPTION_INT,
      .offset = offsetof(tail_settings, decision_cache.non_sampled_cache_size),
      .min = 0,
      .max = 1000000,
      .help = "traces left out whose late spans are left out; at least num_traces" },
};
static const option_table cache_options = { cache_rows, ARRAY_LEN(cache_rows),
                                            sizeof(tail_settings) };

#define AT(member) offsetof(tail_settings, member)
const option tail_rows[] = {
    { .name = "decision_wait",
      .type = OPTION_DURATION,
      .offset = AT(decision_wait),
      .fallback = "30s",
      .min = 0,
      .max = 86400,
      .help = "from a trace's first span to the decision" },
    { .name = "decision_wait_after_root_received",
      .type = OPTION_DURATION,
      .offset = AT(decision_wait_after_root_received),
      .fallback = "0s",
      .min = 0,
      .max = 86400,
      .help = "from the span without parent to the decision, when that is sooner; 0: not used" },
    { .name = "num_traces",
      .type = OPTION_INT,
      .offset = AT(num_traces),
      .fallback = "50000",
      .min = 1,
      .max = 1000000,
      .help = "traces that wait; beyond, the oldest is decided before its time" },
    { .name = "expected_new_traces_per_sec",
      .type = OPTION_IGNORED,
      .help = "memory is taken as it is needed" },
    { .name = "decision_cache",
      .type = OPTION_SECTION,
      .offset = 0,
      .table = &cache_options,
      .help = "decisions that are remembered, also over a restart" },
    { .name = "sample_on_first_match",
      .type = OPTION_BOOL,
      .offset = AT(sample_on_first_match),
      .help = "no policy is asked behind one that samples" },
    { .name = "drop_pending_traces_on_shutdown",
      .type = OPTION_IGNORED,
      .help = "traces that wait stay in the log and are decided after the next start" },
    { .name = "block_on_overflow",
      .type = OPTION_IGNORED,
      .help = "beyond num_traces the oldest trace is decided before its time" },
    { .name = "policies",
      .type = OPTION_SECTIONS,
      .offset = AT(policies),
      .table = &outer_options,
      .required = true,
      .help = "a trace is sampled when one of them says so, and no drop policy forbids it" },
};
#undef AT
static_assert(ARRAY_LEN(tail_rows) == TAIL_ROWS, "as many as the header says");

/* ---- checks ---- */

static status check_status_codes(const simple_policy *p, error *err)
{
    for (uint32_t i = 0; i < p->status_code.status_codes.count; i++) {
        str s = p->status_code.status_codes.items[i];
        if (!str_is(s, "OK") && !str_is(s, "ERROR") && !str_is(s, "UNSET"))
            return fail(err, STATUS_INVALID, "\"%.*s\" is no status; known are OK, ERROR, UNSET",
                        (int)MIN(s.len, 40), s.ptr);
    }
    return p->status_code.status_codes.count
               ? STATUS_OK
               : fail(err, STATUS_INVALID, "at least one of OK, ERROR, UNSET is needed");
}

static status check_patterns(const simple_policy *p, error *err)
{
    status st = STATUS_OK;
    for (uint32_t i = 0;
         i < p->string.values.count && p->string.enabled_regex_matching && st == STATUS_OK; i++) {
        pattern *re = NULL;
        st = pattern_new(&re, p->string.values.items[i], false, err);
        pattern_free(re);
    }
    return st;
}

static status check_bound(const value *v, error *err)
{
    if (v->type == VALUE_EMPTY || v->type == VALUE_I64)
        return STATUS_OK;
    return fail(err, STATUS_INVALID, "min_value and max_value are integers");
}

static status check_simple(const simple_policy *p, const char *at, char *where, size_t size,
                           error *err)
{
    char name[200];
    snprintf(where, size, "%s.%s", at, policy_kinds[p->type]);
    status st = STATUS_OK;
    switch (p->type) {
    case POLICY_STATUS_CODE:
        return check_status_codes(p, err);
    case POLICY_STRING_ATTRIBUTE:
        if (!p->string.values.count)
            return fail(err, STATUS_INVALID, "at least one value is needed");
        return check_patterns(p, err);
    case POLICY_NUMERIC_ATTRIBUTE:
        st = check_bound(&p->numeric.min_value, err);
        return st == STATUS_OK ? check_bound(&p->numeric.max_value, err) : st;
    case POLICY_BYTES_LIMITING:
        return p->bytes_limiting.bytes_per_second > 0
                   ? STATUS_OK
                   : fail(err, STATUS_INVALID, "bytes_per_second must be above 0");
    case POLICY_OTTL_CONDITION:
        if (!p->ottl.span.count && !p->ottl.spanevent.count)
            return fail(err, STATUS_INVALID, "at least one condition is needed");
        snprintf(name, sizeof(name), "%s.ottl_condition.span", at);
        st = ottl_list_check(OTTL_SPAN, &p->ottl.span, name, where, size, err);
        snprintf(name, sizeof(name), "%s.ottl_condition.spanevent", at);
        return st != STATUS_OK
                   ? st
                   : ottl_list_check(OTTL_SPANEVENT, &p->ottl.spanevent, name, where, size, err);
    default:
        return STATUS_OK;
    }
}

static status refuse_kind(const simple_policy *p, const char *at, char *where, size_t size,
                          error *err)
{
    snprintf(where, size, "%s.type", at);
    return fail(err, STATUS_INVALID, "a policy of type %s cannot stand here",
                policy_kinds[p->type]);
}

static status check_inner(const inner_policy *p, const char *at, char *where, size_t size,
                          error *err)
{
    char name[160];
    if (p->simple.type > POLICY_NOT)
        return refuse_kind(&p->simple, at, where, size, err);
    if (p->simple.type != POLICY_NOT)
        return check_simple(&p->simple, at, where, size, err);
    snprintf(name, sizeof(name), "%s.not.not_sub_policy", at);
    if (p->not_policy.type >= POLICY_NOT)
        return refuse_kind(&p->not_policy, name, where, size, err);
    snprintf(where, size, "%s", name);
    if (!p->not_policy.name.len)
        return fail(err, STATUS_INVALID, "the policy that must not sample is missing");
    return check_simple(&p->not_policy, name, where, size, err);
}

static status check_inners(const section_list *list, const char *at, const char *what, char *where,
                           size_t size, error *err)
{
    char name[140];
    const inner_policy *items = list->items;
    status st = STATUS_OK;
    snprintf(where, size, "%s.%s", at, what);
    if (!list->count)
        return fail(err, STATUS_INVALID, "at least one policy is needed");
    for (uint32_t i = 0; i < list->count && st == STATUS_OK; i++) {
        snprintf(name, sizeof(name), "%s.%s[%u]", at, what, i);
        st = check_inner(&items[i], name, where, size, err);
    }
    return st;
}

static status check_middle(const middle_policy *p, const char *at, char *where, size_t size,
                           error *err)
{
    if (p->inner.simple.type > POLICY_AND)
        return refuse_kind(&p->inner.simple, at, where, size, err);
    if (p->inner.simple.type == POLICY_AND)
        return check_inners(&p->and_policies, at, "and.and_sub_policy", where, size, err);
    return check_inner(&p->inner, at, where, size, err);
}

static bool has_policy(const section_list *list, str name)
{
    const middle_policy *items = list->items;
    for (uint32_t i = 0; i < list->count; i++)
        if (str_eq(items[i].inner.simple.name, name))
            return true;
    return false;
}

static status check_composite(const outer_policy *p, const char *at, char *where, size_t size,
                              error *err)
{
    char name[120];
    const middle_policy *items = p->composite.policies.items;
    const rate_allocation *rates = p->composite.allocation.items;
    status st = STATUS_OK;
    for (uint32_t i = 0; i < p->composite.policies.count && st == STATUS_OK; i++) {
        snprintf(name, sizeof(name), "%s.composite.composite_sub_policy[%u]", at, i);
        st = check_middle(&items[i], name, where, size, err);
    }
    if (st != STATUS_OK)
        return st;
    snprintf(where, size, "%s.composite.policy_order", at);
    if (!p->composite.policy_order.count)
        return fail(err, STATUS_INVALID, "the order of the policies is missing");
    for (uint32_t i = 0; i < p->composite.policy_order.count; i++)
        if (!has_policy(&p->composite.policies, p->composite.policy_order.items[i]))
            return fail(err, STATUS_INVALID, "composite_sub_policy has no \"%.*s\"",
                        STR_ARG(str_slice(p->composite.policy_order.items[i], 0, 80)));
    for (uint32_t i = 0; i < p->composite.allocation.count; i++)
        if (!has_policy(&p->composite.policies, rates[i].policy)) {
            snprintf(where, size, "%s.composite.rate_allocation[%u].policy", at, i);
            return fail(err, STATUS_INVALID, "composite_sub_policy has no \"%.*s\"",
                        STR_ARG(str_slice(rates[i].policy, 0, 80)));
        }
    return STATUS_OK;
}

status tail_check(const void *settings, char *where, size_t where_size, error *err)
{
    char at[40];
    const tail_settings *s = settings;
    const outer_policy *items = s->policies.items;
    status st = STATUS_OK;
    str_copy_c(where, where_size, STR("policies"));
    if (!s->policies.count)
        return fail(err, STATUS_INVALID, "at least one policy is needed");
    for (uint32_t i = 0; i < s->policies.count && st == STATUS_OK; i++) {
        const simple_policy *p = &items[i].middle.inner.simple;
        snprintf(at, sizeof(at), "policies[%u]", i);
        for (uint32_t k = 0; k < i; k++)
            if (str_eq(items[k].middle.inner.simple.name, p->name)) {
                snprintf(where, where_size, "%s.name", at);
                return fail(err, STATUS_INVALID, "policies[%u] has that name already", k);
            }
        if (p->type == POLICY_DROP)
            st = check_inners(&items[i].drop_policies, at, "drop.drop_sub_policy", where,
                              where_size, err);
        else if (p->type == POLICY_COMPOSITE)
            st = check_composite(&items[i], at, where, where_size, err);
        else
            st = check_middle(&items[i].middle, at, where, where_size, err);
    }
    return st;
}
