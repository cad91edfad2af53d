// SPDX-License-Identifier: Apache-2.0
/* The processor "probabilistic_sampler": lets a part of the traces or log records pass, chosen by
 * their trace ids, so that collectors with the same settings choose the same ones: by a 14-bit hash
 * (hash_seed), or by OpenTelemetry's consistent probability sampling (proportional, equalizing),
 * which keeps its threshold in tracestate, or in attributes of log records. */
#include "pipeline/component.h"
#include "pipeline/processors/edit.h"
#include "pipeline/processors/sampler_hash.h"
#include "pipeline/trace_state.h"

#include "codec/batch_rows.h"

#include <stdlib.h>

typedef struct {
    double sampling_percentage;
    int64_t hash_seed;
    int mode;
    int64_t sampling_precision;
    bool fail_closed;
    int attribute_source;
    str from_attribute, sampling_priority;
} sampler_settings;

typedef enum { MODE_HASH_SEED, MODE_PROPORTIONAL, MODE_EQUALIZING } sampler_mode;
typedef enum { SOURCE_TRACE_ID, SOURCE_RECORD } attribute_source;

static const char *const modes[] = { "hash_seed", "proportional", "equalizing", NULL };
static const char *const sources[] = { "traceID", "record", NULL };

#define AT(member) offsetof(sampler_settings, member)
static const option sampler_rows[] = {
    { .name = "sampling_percentage",
      .type = OPTION_NUMBER,
      .offset = AT(sampling_percentage),
      .min = 0,
      .max = 1e9,
      .help = "part that passes; 100 and above: all, 0: none" },
    { .name = "hash_seed",
      .type = OPTION_INT,
      .offset = AT(hash_seed),
      .min = 0,
      .max = UINT32_MAX,
      .help = "collectors of one tier need the same, tiers behind each other different ones" },
    { .name = "mode",
      .type = OPTION_CHOICE,
      .offset = AT(mode),
      .choices = modes,
      .fallback = "hash_seed",
      .help = "hash_seed: by a hash of the trace id; by the trace id's own randomness, "
              "proportional: a part of what comes, equalizing: up to the part that was left" },
    { .name = "sampling_precision",
      .type = OPTION_INT,
      .offset = AT(sampling_precision),
      .fallback = "4",
      .min = 1,
      .max = 14,
      .help = "hexadecimal digits of the threshold" },
    { .name = "fail_closed",
      .type = OPTION_BOOL,
      .offset = AT(fail_closed),
      .fallback = "true",
      .help = "leave out items that nothing can be chosen by, or with a malformed tracestate" },
    { .name = "attribute_source",
      .type = OPTION_CHOICE,
      .offset = AT(attribute_source),
      .choices = sources,
      .fallback = "traceID",
      .help = "what log records are chosen by: traceID, or record for from_attribute" },
    { .name = "from_attribute",
      .type = OPTION_TEXT,
      .offset = AT(from_attribute),
      .help = "attribute of log records whose value chooses" },
    { .name = "sampling_priority",
      .type = OPTION_TEXT,
      .offset = AT(sampling_priority),
      .help = "attribute of log records with a percentage that they ask for" },
};
#undef AT

typedef struct {
    component *component;
    const sampler_settings *s;
    double ratio;                 /* (0, 1]; 0: never */
    uint64_t by_hash, equalizing; /* thresholds */
} sampler;

static status sampler_check(const void *settings, char *where, size_t where_size, error *err)
{
    const sampler_settings *s = settings;
    if (s->attribute_source == SOURCE_TRACE_ID || s->from_attribute.len)
        return STATUS_OK;
    str_copy_c(where, where_size, STR("from_attribute"));
    return fail(err, STATUS_INVALID, "attribute_source: record needs from_attribute");
}

static status sampler_open(void **ret_self, component *c, error *err)
{
    sampler *p = calloc(1, sizeof(*p));
    if (!p)
        return fail(err, STATUS_NO_MEMORY, "no memory for the processor %s", c->id);
    p->component = c;
    p->s = c->settings;
    double percent = MIN(p->s->sampling_percentage, 100.0);
    p->ratio = percent <= 0 ? 0 : MAX(percent / 100, 0x1p-56);
    p->equalizing =
        p->ratio > 0 ? sampling_threshold(p->ratio, (int)p->s->sampling_precision) : SAMPLING_MAX;
    p->by_hash = sampler_hash_threshold(percent);
    *ret_self = p;
    return STATUS_OK;
}

static void sampler_close(void *self)
{
    free(self);
}

/* ---- one item ---- */

typedef struct {
    const char *reason; /* why it could not be chosen well; NULL: it could */
    bool has_randomness;
    bool explicit_state; /* the randomness is to be written down */
    uint64_t randomness;
    sampling_state state;
} item;

static uint64_t threshold_of(const sampler *p, sampler_mode mode, const item *it)
{
    if (p->ratio == 0)
        return SAMPLING_MAX;
    if (mode == MODE_HASH_SEED)
        return p->by_hash;
    if (mode == MODE_EQUALIZING)
        return p->equalizing;
    double incoming = it->state.has_threshold ? sampling_probability(it->state.threshold) : 1;
    double outgoing = incoming * p->ratio;
    return outgoing < 0x1p-56 ? SAMPLING_MAX
                              : sampling_threshold(outgoing, (int)p->s->sampling_precision);
}

/* In hash_seed's mode, what stands in the item already must stay alone. */
static void check_item(sampler_mode mode, item *it)
{
    if (it->reason)
        return;
    if (mode == MODE_HASH_SEED && it->state.has_randomness)
        it->reason = "randomness in use";
    else if (mode == MODE_HASH_SEED && it->state.has_threshold)
        it->reason = "threshold in use";
    else if (!it->has_randomness)
        it->reason = "no trace id";
    else if (it->state.has_threshold && it->state.threshold > it->randomness)
        it->reason = "inconsistent threshold";
    else if (mode == MODE_HASH_SEED) {
        it->explicit_state = true;
        it->state.has_randomness = true;
        it->state.randomness = it->randomness;
    }
}

/* ---- spans ---- */

typedef enum { PRIORITY_NONE, PRIORITY_KEEP, PRIORITY_DROP } priority;

static priority span_priority(const attrs *a)
{
    const value *v = attrs_get(a, STR("sampling.priority"));
    double d;
    if (!v)
        return PRIORITY_NONE;
    if (v->type == VALUE_I64)
        d = (double)v->i64;
    else if (v->type == VALUE_F64)
        d = v->f64;
    else if (v->type != VALUE_STR || !str_to_f64(v->s, &d))
        return PRIORITY_NONE;
    return d == 0 ? PRIORITY_DROP : d > 0 ? PRIORITY_KEEP : PRIORITY_NONE;
}

static uint64_t hash_of(const sampler *p, const trace_id *id)
{
    return sampler_hash(str_n(id->bytes, sizeof(id->bytes)), (uint32_t)p->s->hash_seed);
}

static item span_item(const sampler *p, sampler_mode mode, const batch *b, uint32_t row)
{
    item it = { 0 };
    const trace_id *id = &b->spans.trace[row];
    if (!sampling_state_parse(b->spans.trace_state[row], &it.state))
        it.reason = "malformed tracestate";
    it.has_randomness = trace_id_is_set(*id);
    if (mode == MODE_HASH_SEED) {
        it.randomness = hash_of(p, id);
    } else if (!it.reason && it.state.has_randomness) {
        it.has_randomness = true;
        it.randomness = it.state.randomness;
    } else {
        it.randomness = sampling_randomness(id);
    }
    return it;
}

/* True: it passes. */
static bool sample_span(const sampler *p, sampler_mode mode, batch *b, uint32_t row,
                        const char **ret_reason, bool *ret_failed)
{
    priority wish = span_priority(&b->spans.attributes[row]);
    *ret_reason = "sampling.priority 0";
    if (wish == PRIORITY_DROP)
        return false;
    item it = span_item(p, mode, b, row);
    bool malformed = it.reason != NULL;
    check_item(mode, &it);
    if (it.reason && it.state.has_threshold && mode != MODE_HASH_SEED)
        it.state.has_threshold = false;
    uint64_t threshold = wish == PRIORITY_KEEP ? 0 : SAMPLING_MAX;
    if (!it.reason && wish == PRIORITY_NONE)
        threshold = threshold_of(p, mode, &it);
    else if (it.reason && !p->s->fail_closed)
        threshold = 0;
    *ret_reason = it.reason ? it.reason : "not sampled";
    if (threshold > (it.has_randomness ? it.randomness : SAMPLING_MAX - 1))
        return false;
    bool own = mode != MODE_HASH_SEED || it.explicit_state;
    if (malformed || !own)
        return true;
    if (wish == PRIORITY_NONE && !it.reason) {
        it.state.has_threshold = true;
        it.state.threshold = MAX(threshold, it.state.threshold);
    }
    str written = sampling_state_write(&b->arena, b->spans.trace_state[row], &it.state);
    *ret_failed |= !written.ptr;
    if (written.ptr)
        b->spans.trace_state[row] = written;
    return true;
}

/* ---- log records ---- */

static bool log_state(const attrs *a, sampling_state *ret)
{
    str th = attrs_get_str(a, STR("sampling.threshold"));
    str rv = attrs_get_str(a, STR("sampling.randomness"));
    *ret = (sampling_state){ 0 };
    if (th.len && !(ret->has_threshold = sampling_threshold_parse(th, &ret->threshold)))
        return false;
    return !rv.len || (ret->has_randomness = sampling_randomness_parse(rv, &ret->randomness));
}

static item log_item(const sampler *p, sampler_mode mode, batch *b, uint32_t row)
{
    item it = { 0 };
    const attrs *a = &b->logs.attributes[row];
    const trace_id *id = &b->logs.trace[row];
    const value *from = p->s->from_attribute.len ? attrs_get(a, p->s->from_attribute) : NULL;
    if (!log_state(a, &it.state))
        it.reason = "malformed sampling attributes";
    bool by_id = p->s->attribute_source == SOURCE_TRACE_ID || mode != MODE_HASH_SEED;
    it.has_randomness = true;
    if (mode != MODE_HASH_SEED && !it.reason && it.state.has_randomness) {
        it.randomness = it.state.randomness;
    } else if (by_id && trace_id_is_set(*id)) {
        it.randomness = mode == MODE_HASH_SEED ? hash_of(p, id) : sampling_randomness(id);
    } else if (from) {
        str text = from->type == VALUE_BYTES ? from->s : value_text(&b->arena, from);
        it.randomness = sampler_hash(text, (uint32_t)p->s->hash_seed);
    } else {
        it.has_randomness = false;
    }
    return it;
}

/* The record's own wish, a percentage; false: none. */
static bool log_priority(const sampler *p, const attrs *a, uint64_t *ret)
{
    const value *v = p->s->sampling_priority.len ? attrs_get(a, p->s->sampling_priority) : NULL;
    if (!v || (v->type != VALUE_F64 && v->type != VALUE_I64))
        return false;
    double percent = v->type == VALUE_F64 ? v->f64 : (double)v->i64;
    *ret = percent > 0x1p-40
               ? sampling_threshold(MIN(percent / 100, 1.0), (int)p->s->sampling_precision)
               : SAMPLING_MAX;
    return true;
}

static bool sample_log(const sampler *p, sampler_mode mode, batch *b, uint32_t row,
                       const char **ret_reason, bool *ret_failed)
{
    attrs *list = &b->logs.attributes[row];
    item it = log_item(p, mode, b, row);
    check_item(mode, &it);
    uint64_t threshold =
        it.reason ? (p->s->fail_closed ? SAMPLING_MAX : 0) : threshold_of(p, mode, &it);
    (void)log_priority(p, list, &threshold);
    *ret_reason = it.reason ? it.reason : "not sampled";
    if (threshold > (it.has_randomness ? it.randomness : SAMPLING_MAX - 1))
        return false;
    if (it.reason)
        return true;
    attr_edit e = attr_edit_of(&b->arena, list);
    str th = sampling_threshold_text(&b->arena, MAX(threshold, it.state.threshold));
    attr_edit_set(&e, STR("sampling.threshold"), VALUE_S(th));
    if (it.explicit_state) {
        str rv = sampling_randomness_text(&b->arena, it.randomness);
        attr_edit_set(&e, STR("sampling.randomness"), VALUE_S(rv));
    }
    b->logs.context[row] = (attr_range){ 0, 0 };
    *ret_failed |= e.failed || !th.ptr;
    return true;
}

/* ---- the component ---- */

static status sampler_process(void *self, batch *b, error *err)
{
    const sampler *p = self;
    sampler_mode mode = (sampler_mode)p->s->mode;
    uint32_t count = batch_row_count(b);
    uint8_t *skip = ARENA_ARRAY(&b->arena, uint8_t, MAX(count, 1u));
    bool failed = !skip;
    for (uint32_t i = 0; i < count && !failed; i++) {
        const char *reason;
        skip[i] = b->signal == SIGNAL_TRACES ? !sample_span(p, mode, b, i, &reason, &failed)
                                             : !sample_log(p, mode, b, i, &reason, &failed);
        if (skip[i])
            component_drop(p->component, b->signal, reason, 1);
    }
    if (failed)
        return fail(err, STATUS_NO_MEMORY, "no memory to sample %u items", count);
    batch_remove_rows(b, skip);
    return STATUS_OK;
}

const component_type probabilistic_sampler_processor = {
    .type = "probabilistic_sampler",
    .kind = COMPONENT_PROCESSOR,
    .signals = SIGNALS_TRACES | SIGNALS_LOGS,
    .help = "Lets a part of the traces or log records pass, the same ones in every collector.",
    .options = OPTION_TABLE(sampler_rows, sampler_settings),
    .check = sampler_check,
    .open = sampler_open,
    .close = sampler_close,
    .process = sampler_process,
};
