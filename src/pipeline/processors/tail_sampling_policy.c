// SPDX-License-Identifier: Apache-2.0
/* What the policies of tail_sampling say of a trace. A policy is a row of a table by its kind;
 * those with policies of their own hold them as a list. Meaning and hashes are the Collector's. */
#include "pipeline/pattern.h"
#include "pipeline/processors/sampler_hash.h"
#include "pipeline/processors/tail_sampling.h"
#include "pipeline/trace_state.h"

#include "codec/batch_rows.h"
#include "codec/otlp.h"

#include <math.h>
#include <stdlib.h>

typedef struct policy policy;

struct policy {
    const simple_policy *s;
    char *name;
    policy *items; /* of not, and, drop; of composite in its order */
    uint32_t count;
    pattern **patterns;
    uint32_t pattern_count;
    ottl_list span, spanevent;
    uint64_t threshold;    /* probabilistic */
    int64_t second;        /* rate_limiting, composite: the one that is counted */
    uint64_t spans, limit; /* sampled in it, and how many may be */
    double tokens;         /* bytes_limiting */
    int64_t filled_ns;
};

struct policies {
    policy *items;
    uint32_t count;
    bool first_match;
};

/* ---- attributes ---- */

/* Whether a span, or its resource, has an attribute that fits. */
typedef bool fits(const policy *p, const value *v);

static bool any_attribute(const policy *p, const tail_trace *t, str key, fits *fit)
{
    const batch_resource *seen = NULL;
    for (uint32_t i = 0; i < t->count; i++) {
        const batch *b = t->spans[i].b;
        const batch_resource *resource = batch_row_resource(b, t->spans[i].row);
        const value *v = attrs_get(&b->spans.attributes[t->spans[i].row], key);
        if (v && fit(p, v))
            return true;
        v = resource != seen ? attrs_get(&resource->attributes, key) : NULL;
        if (v && fit(p, v))
            return true;
        seen = resource;
    }
    return false;
}

static decision inverted(bool invert, bool found)
{
    if (invert)
        return found ? DECISION_INVERT_NOT_SAMPLED : DECISION_INVERT_SAMPLED;
    return found ? DECISION_SAMPLED : DECISION_NOT_SAMPLED;
}

static decision sampled_if(bool truth)
{
    return truth ? DECISION_SAMPLED : DECISION_NOT_SAMPLED;
}

static bool numeric_fits(const policy *p, const value *v)
{
    const value *min = &p->s->numeric.min_value, *max = &p->s->numeric.max_value;
    return v->type == VALUE_I64 && (min->type != VALUE_I64 || v->i64 >= min->i64) &&
           (max->type != VALUE_I64 || v->i64 <= max->i64);
}

static decision numeric_attribute(policy *p, tail_trace *t)
{
    return inverted(p->s->numeric.invert_match,
                    any_attribute(p, t, p->s->numeric.key, numeric_fits));
}

static bool listed(const text_list *l, str text)
{
    for (uint32_t i = 0; i < l->count; i++)
        if (str_eq(l->items[i], text))
            return true;
    return false;
}

static bool string_fits(const policy *p, const value *v)
{
    if (v->type != VALUE_STR)
        return false;
    for (uint32_t i = 0; i < p->pattern_count; i++)
        if (pattern_matches(p->patterns[i], v->s))
            return true;
    return !p->pattern_count && v->s.len && listed(&p->s->string.values, v->s);
}

static decision string_attribute(policy *p, tail_trace *t)
{
    return inverted(p->s->string.invert_match, any_attribute(p, t, p->s->string.key, string_fits));
}

static bool boolean_fits(const policy *p, const value *v)
{
    return v->type == VALUE_BOOL && v->b == p->s->boolean.value;
}

static decision boolean_attribute(policy *p, tail_trace *t)
{
    return inverted(p->s->boolean.invert_match,
                    any_attribute(p, t, p->s->boolean.key, boolean_fits));
}

/* ---- spans ---- */

static decision always_sample(policy *p, tail_trace *t)
{
    (void)p;
    (void)t;
    return DECISION_SAMPLED;
}

static decision latency(policy *p, tail_trace *t)
{
    int64_t from = INT64_MAX, to = INT64_MIN;
    for (uint32_t i = 0; i < t->count; i++) {
        const span_rows *s = &t->spans[i].b->spans;
        from = MIN(from, s->start_ns[t->spans[i].row]);
        to = MAX(to, s->end_ns[t->spans[i].row]);
    }
    int64_t ms = to > from ? (int64_t)(((uint64_t)to - (uint64_t)from) / NS_PER_MS) : 0;
    int64_t lower = p->s->latency.threshold_ms, upper = p->s->latency.upper_threshold_ms;
    return sampled_if(upper ? lower < ms && ms <= upper : ms >= lower);
}

static decision probabilistic(policy *p, tail_trace *t)
{
    str id = str_n(t->id->bytes, sizeof(t->id->bytes));
    return sampled_if(sampler_fnv64(p->s->probabilistic.hash_salt, id) <= p->threshold);
}

static decision status_code(policy *p, tail_trace *t)
{
    static const char *const names[] = { "UNSET", "OK", "ERROR" };
    bool found = false;
    for (uint32_t i = 0; i < t->count && !found; i++) {
        uint8_t code = t->spans[i].b->spans.status[t->spans[i].row];
        found =
            code < ARRAY_LEN(names) && listed(&p->s->status_code.status_codes, str_c(names[code]));
    }
    return sampled_if(found);
}

static decision trace_state(policy *p, tail_trace *t)
{
    bool found = false;
    for (uint32_t i = 0; i < t->count && !found; i++) {
        str state = t->spans[i].b->spans.trace_state[t->spans[i].row];
        str value = trace_state_get(state, p->s->trace_state.key);
        found = value.ptr && listed(&p->s->trace_state.values, value);
    }
    return sampled_if(found);
}

static decision trace_flags(policy *p, tail_trace *t)
{
    bool found = false;
    (void)p;
    for (uint32_t i = 0; i < t->count && !found; i++)
        found = t->spans[i].b->spans.flags[t->spans[i].row] & 1;
    return sampled_if(found);
}

static decision span_count(policy *p, tail_trace *t)
{
    int64_t min = p->s->span_count.min_spans, max = p->s->span_count.max_spans;
    return sampled_if(t->count >= min && (!max || t->count <= max));
}

static bool condition_holds(policy *p, tail_trace *t, const ottl_list *l, const ottl_row *row)
{
    bool truth = false;
    error err;
    arena_clear(t->scratch);
    status st = ottl_any(
        l, row, OTTL_IGNORE, t->scratch, &truth,
        p->s->ottl.error_mode == OTTL_SILENT ? &(uint64_t){ 0 } : &t->condition_errors, &err);
    return st == STATUS_OK && truth;
}

static decision ottl_condition(policy *p, tail_trace *t)
{
    bool found = false;
    for (uint32_t i = 0; i < t->count && !found; i++) {
        ottl_row row = { .b = t->spans[i].b, .row = t->spans[i].row };
        const span_events *events = &row.b->spans.events[row.row];
        found = condition_holds(p, t, &p->span, &row);
        for (uint32_t k = 0; k < events->count && !found && p->spanevent.count; k++) {
            row.event = &events->items[k];
            row.event_index = k;
            found = condition_holds(p, t, &p->spanevent, &row);
        }
    }
    return sampled_if(found);
}

/* ---- limits ---- */

/* Begins a new second; the count of the old one is forgotten. */
static void next_second(policy *p, const tail_trace *t)
{
    int64_t second = t->now_ns / NS_PER_S;
    if (second == p->second)
        return;
    p->second = second;
    p->spans = 0;
    for (uint32_t i = 0; i < p->count; i++)
        p->items[i].spans = 0;
}

static decision rate_limiting(policy *p, tail_trace *t)
{
    next_second(p, t);
    if (p->spans + t->count >= (uint64_t)p->s->rate_limiting.spans_per_second)
        return DECISION_NOT_SAMPLED;
    p->spans += t->count;
    return DECISION_SAMPLED;
}

/* The trace as an OTLP request would have it. */
static size_t bytes_of(const tail_trace *t)
{
    batch own;
    buf out;
    size_t size = 0;
    batch_init(&own, SIGNAL_TRACES, MiB(64));
    buf_init(&out, MiB(64));
    bool ok = true;
    for (uint32_t i = 0; i < t->count && ok; i++) {
        const batch *b = t->spans[i].b;
        uint32_t rows = b->spans.count;
        uint8_t *skip = arena_alloc(&own.arena, MAX(rows, 1u));
        ok = skip != NULL;
        if (!ok)
            break;
        memset(skip, 1, rows);
        do
            skip[t->spans[i].row] = 0;
        while (i + 1 < t->count && t->spans[i + 1].b == b && ++i);
        ok = batch_append_rows(&own, b, skip);
    }
    size = ok && otlp_encode(&own, &out, NULL) == STATUS_OK ? out.len : SIZE_MAX;
    buf_done(&out);
    batch_done(&own);
    return size;
}

static decision bytes_limiting(policy *p, tail_trace *t)
{
    double rate = (double)p->s->bytes_limiting.bytes_per_second;
    double capacity = p->s->bytes_limiting.burst_capacity
                          ? (double)p->s->bytes_limiting.burst_capacity
                          : 2 * rate;
    if (!p->filled_ns)
        p->tokens = capacity;
    else if (t->now_ns > p->filled_ns)
        p->tokens =
            MIN(capacity, p->tokens + rate * (double)(t->now_ns - p->filled_ns) / (double)NS_PER_S);
    p->filled_ns = t->now_ns;
    double size = (double)bytes_of(t);
    if (size > p->tokens)
        return DECISION_NOT_SAMPLED;
    p->tokens -= size;
    return DECISION_SAMPLED;
}

/* ---- policies of policies ---- */

static decision decide(policy *p, tail_trace *t);

static bool samples(policy *p, tail_trace *t)
{
    decision d = decide(p, t);
    return d == DECISION_SAMPLED || d == DECISION_INVERT_SAMPLED;
}

static bool all_sample(policy *p, tail_trace *t)
{
    bool all = true;
    for (uint32_t i = 0; i < p->count && all; i++)
        all = samples(&p->items[i], t);
    return all;
}

static decision not(policy * p, tail_trace *t)
{
    return sampled_if(!samples(&p->items[0], t));
}

static decision and (policy * p, tail_trace *t)
{
    return sampled_if(all_sample(p, t));
}

static decision drop(policy *p, tail_trace *t)
{
    return all_sample(p, t) ? DECISION_DROPPED : DECISION_NOT_SAMPLED;
}

static decision composite(policy *p, tail_trace *t)
{
    next_second(p, t);
    for (uint32_t i = 0; i < p->count; i++) {
        policy *item = &p->items[i];
        if (!samples(item, t))
            continue;
        uint64_t spans = item->spans + t->count;
        if (spans > item->limit || spans > p->limit)
            return DECISION_NOT_SAMPLED;
        item->spans = spans;
        return DECISION_SAMPLED;
    }
    return DECISION_NOT_SAMPLED;
}

static decision decide(policy *p, tail_trace *t)
{
    static decision (*const by_kind[POLICY_KINDS])(policy *, tail_trace *) = {
        [POLICY_ALWAYS_SAMPLE] = always_sample,
        [POLICY_LATENCY] = latency,
        [POLICY_NUMERIC_ATTRIBUTE] = numeric_attribute,
        [POLICY_PROBABILISTIC] = probabilistic,
        [POLICY_STATUS_CODE] = status_code,
        [POLICY_STRING_ATTRIBUTE] = string_attribute,
        [POLICY_TRACE_STATE] = trace_state,
        [POLICY_TRACE_FLAGS] = trace_flags,
        [POLICY_RATE_LIMITING] = rate_limiting,
        [POLICY_BYTES_LIMITING] = bytes_limiting,
        [POLICY_SPAN_COUNT] = span_count,
        [POLICY_BOOLEAN_ATTRIBUTE] = boolean_attribute,
        [POLICY_OTTL_CONDITION] = ottl_condition,
        [POLICY_NOT] = not,
        [POLICY_AND] = and,
        [POLICY_DROP] = drop,
        [POLICY_COMPOSITE] = composite,
    };
    return by_kind[p->s->type](p, t);
}

/* A drop, or an inverted no, wins over all; then a yes; then an inverted yes without any no. */
bool policies_decide(policies *p, tail_trace *t, const char **ret_policy)
{
    const char *by[DECISION_INVERT_NOT_SAMPLED + 1] = { NULL };
    for (uint32_t i = 0; i < p->count; i++) {
        decision d = decide(&p->items[i], t);
        if (!by[d])
            by[d] = p->items[i].name;
        if (d == DECISION_DROPPED || (p->first_match && d == DECISION_SAMPLED))
            break;
    }
    const char *no = by[DECISION_DROPPED] ? by[DECISION_DROPPED] : by[DECISION_INVERT_NOT_SAMPLED];
    const char *yes = by[DECISION_SAMPLED];
    if (!yes && !by[DECISION_NOT_SAMPLED])
        yes = by[DECISION_INVERT_SAMPLED];
    *ret_policy = no ? no : yes ? yes : "";
    return !no && yes;
}

/* ---- life ---- */

static void policy_done(policy *p)
{
    for (uint32_t i = 0; i < p->count; i++)
        policy_done(&p->items[i]);
    for (uint32_t i = 0; i < p->pattern_count; i++)
        pattern_free(p->patterns[i]);
    ottl_list_free(&p->span);
    ottl_list_free(&p->spanevent);
    free(p->patterns);
    free(p->items);
    free(p->name);
}

static status no_memory(error *err)
{
    return fail(err, STATUS_NO_MEMORY, "no memory for policies");
}

/* Of 2^64 - 1, cut; computed with all 64 bits. */
static uint64_t threshold_of(double percent)
{
    if (percent >= 100)
        return UINT64_MAX;
    if (!(percent > 0))
        return 0;
    return (uint64_t)((long double)UINT64_MAX * (long double)(percent / 100));
}

static status open_simple(policy *p, const simple_policy *s, error *err)
{
    uint32_t index;
    const text_list *values = &s->string.values;
    status st = STATUS_OK;
    p->s = s;
    p->name = strndup(s->name.ptr ? s->name.ptr : "", s->name.len);
    p->threshold = threshold_of(s->probabilistic.sampling_percentage);
    if (!p->name)
        return no_memory(err);
    if (s->type == POLICY_STRING_ATTRIBUTE && s->string.enabled_regex_matching) {
        p->patterns = calloc(MAX(values->count, 1u), sizeof(pattern *));
        if (!p->patterns)
            return no_memory(err);
        for (uint32_t i = 0; i < values->count && st == STATUS_OK; i++) {
            st = pattern_new(&p->patterns[i], values->items[i], false, err);
            if (st == STATUS_OK)
                p->pattern_count++;
        }
    }
    if (st == STATUS_OK)
        st = ottl_list_parse(&p->span, OTTL_SPAN, &s->ottl.span, &index, err);
    if (st == STATUS_OK)
        st = ottl_list_parse(&p->spanevent, OTTL_SPANEVENT, &s->ottl.spanevent, &index, err);
    return st;
}

static status make_items(policy *p, uint32_t count, error *err)
{
    p->items = calloc(MAX(count, 1u), sizeof(policy));
    p->count = p->items ? count : 0; /* those not opened yet are all zero, and done as such */
    return p->items ? STATUS_OK : no_memory(err);
}

static status open_inner(policy *p, const inner_policy *s, error *err)
{
    status st = open_simple(p, &s->simple, err);
    if (st != STATUS_OK || s->simple.type != POLICY_NOT)
        return st;
    st = make_items(p, 1, err);
    return st == STATUS_OK ? open_simple(&p->items[0], &s->not_policy, err) : st;
}

static status open_inners(policy *p, const section_list *list, error *err)
{
    const inner_policy *items = list->items;
    status st = make_items(p, list->count, err);
    for (uint32_t i = 0; i < list->count && st == STATUS_OK; i++)
        st = open_inner(&p->items[i], &items[i], err);
    return st;
}

static status open_middle(policy *p, const middle_policy *s, error *err)
{
    status st = open_inner(p, &s->inner, err);
    if (st == STATUS_OK && s->inner.simple.type == POLICY_AND)
        st = open_inners(p, &s->and_policies, err);
    return st;
}

/* A policy's own part of the rate, or an equal one. */
static uint64_t allocated(const outer_policy *s, str name)
{
    const rate_allocation *rates = s->composite.allocation.items;
    double total = (double)s->composite.max_total_spans_per_second;
    for (uint32_t i = 0; i < s->composite.allocation.count; i++)
        if (str_eq(rates[i].policy, name) && rates[i].percent)
            return (uint64_t)(total * (double)rates[i].percent / 100);
    return (uint64_t)(total / MAX(s->composite.policies.count, 1u));
}

static status open_composite(policy *p, const outer_policy *s, error *err)
{
    const middle_policy *items = s->composite.policies.items;
    const text_list *order = &s->composite.policy_order;
    status st = make_items(p, order->count, err);
    p->limit = (uint64_t)s->composite.max_total_spans_per_second;
    for (uint32_t i = 0; i < order->count && st == STATUS_OK; i++)
        for (uint32_t k = 0; k < s->composite.policies.count; k++)
            if (str_eq(items[k].inner.simple.name, order->items[i])) {
                st = open_middle(&p->items[i], &items[k], err);
                p->items[i].limit = allocated(s, order->items[i]);
                break;
            }
    return st;
}

static status open_outer(policy *p, const outer_policy *s, error *err)
{
    status st = open_middle(p, &s->middle, err);
    if (st == STATUS_OK && p->s->type == POLICY_DROP)
        return open_inners(p, &s->drop_policies, err);
    if (st == STATUS_OK && p->s->type == POLICY_COMPOSITE)
        return open_composite(p, s, err);
    return st;
}

status policies_new(policies **ret, const tail_settings *s, error *err)
{
    const outer_policy *items = s->policies.items;
    policies *p = calloc(1, sizeof(*p));
    if (p)
        p->items = calloc(MAX(s->policies.count, 1u), sizeof(policy));
    if (!p || !p->items) {
        free(p);
        return no_memory(err);
    }
    p->first_match = s->sample_on_first_match;
    p->count = s->policies.count;
    status st = STATUS_OK;
    for (uint32_t i = 0; i < p->count && st == STATUS_OK; i++)
        st = open_outer(&p->items[i], &items[i], err);
    if (st == STATUS_OK)
        *ret = p;
    else
        policies_free(p);
    return st;
}

void policies_free(policies *p)
{
    if (!p)
        return;
    for (uint32_t i = 0; i < p->count; i++)
        policy_done(&p->items[i]);
    free(p->items);
    free(p);
}
