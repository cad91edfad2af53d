// SPDX-License-Identifier: Apache-2.0
/* The processor "tail_sampling": spans wait until their trace is complete enough to be decided on.
 * Spans of one record of the log are held together ("held") as the bytes of a request and the rows
 * that were decoded from them, until the last of their traces was decided; a trace is a list of
 * places in them. The log holds them too: after a restart it is read again from the oldest record
 * that is held, and what was decided before is known by the decisions that are saved. */
#include "pipeline/processors/tail_sampling.h"
#include "pipeline/counts.h"

#include "base/clock.h"
#include "codec/batch_rows.h"
#include "codec/otlp.h"

#include <stdio.h>
#include <stdlib.h>

/* Spans that wait may take so much memory; beyond, the oldest trace is decided before its time. */
#define HELD_LIMIT    MiB(256)
#define HELD_ONE      MiB(512) /* of one record, decoded */
#define SCRATCH_LIMIT MiB(16)
enum { EMIT_ROWS = 8192, EMIT_TRACES = 4096 };

typedef struct held held;
struct held {
    uint64_t sequence;
    buf bytes;
    batch rows;
    uint32_t waiting; /* rows whose trace is not done */
    uint8_t *skip;    /* per row: not in the next emission */
    bool touched;
    held *before, *after;
};

typedef struct {
    held *at;
    uint32_t row;
} place;

typedef struct trace trace;
struct trace {
    trace_id id;
    int64_t first_ns, root_ns; /* arrival; root_ns 0: no root yet */
    uint64_t sequence;         /* the newest record with one of its spans */
    place *places;
    uint32_t count, capacity;
    bool decided, sampled;
    const char *policy;
    trace *older, *newer;           /* by first_ns */
    trace *root_older, *root_newer; /* by root_ns, once it is set */
};

typedef struct {
    component *component;
    const tail_settings *s;
    policies *policies;
    tail_memory *memory;
    tail_emit *emit;
    map by_id;
    trace *oldest, *newest, *root_oldest, *root_newest;
    held *first, *last;
    tail_counts counts;
    int64_t now_ns;
    arena scratch;
} tail;

void tail_sampling_set_emit(void *self, tail_emit *emit)
{
    ((tail *)self)->emit = emit;
}

tail_counts tail_sampling_counts(const void *self)
{
    return ((const tail *)self)->counts;
}

/* ---- life ---- */

static void held_free(tail *t, held *h)
{
    t->counts.bytes -= h->bytes.cap + h->rows.arena.used;
    *(h->before ? &h->before->after : &t->first) = h->after;
    *(h->after ? &h->after->before : &t->last) = h->before;
    batch_done(&h->rows);
    buf_done(&h->bytes);
    free(h->skip);
    free(h);
}

static str key_of(const trace_id *id)
{
    return str_n(id->bytes, sizeof(id->bytes));
}

static void trace_free(tail *t, trace *x)
{
    *(x->older ? &x->older->newer : &t->oldest) = x->newer;
    *(x->newer ? &x->newer->older : &t->newest) = x->older;
    if (x->root_ns) {
        *(x->root_older ? &x->root_older->root_newer : &t->root_oldest) = x->root_newer;
        *(x->root_newer ? &x->root_newer->root_older : &t->root_newest) = x->root_older;
    }
    map_remove(&t->by_id, key_of(&x->id));
    for (uint32_t i = 0; i < x->count; i++)
        if (--x->places[i].at->waiting == 0)
            held_free(t, x->places[i].at);
    free(x->places);
    free(x);
    t->counts.traces--;
}

static void tail_close(void *self)
{
    tail *t = self;
    while (t->oldest)
        trace_free(t, t->oldest);
    map_done(&t->by_id);
    tail_memory_free(t->memory);
    policies_free(t->policies);
    arena_done(&t->scratch);
    free(t);
}

static status tail_open(void **ret_self, component *c, error *err)
{
    tail *t = calloc(1, sizeof(*t));
    if (!t)
        return fail(err, STATUS_NO_MEMORY, "no memory for the processor %s", c->id);
    t->component = c;
    t->s = c->settings;
    t->emit = component_emit;
    map_init(&t->by_id);
    arena_init(&t->scratch, SCRATCH_LIMIT);
    status st = policies_new(&t->policies, t->s, err);
    int64_t least = t->s->num_traces;
    if (st == STATUS_OK)
        st = tail_memory_new(
            &t->memory, (uint64_t)MAX(t->s->decision_cache.sampled_cache_size, least),
            (uint64_t)MAX(t->s->decision_cache.non_sampled_cache_size, least), err);
    if (st == STATUS_OK)
        *ret_self = t;
    else
        tail_close(t);
    return st;
}

static uint64_t tail_needs(void *self)
{
    const tail *t = self;
    return t->first ? t->first->sequence : UINT64_MAX;
}

static status tail_save(void *self, buf *out, error *err)
{
    tail *t = self;
    tail_memory_save(t->memory, out);
    return buf_check(out, err, "decisions of tail_sampling");
}

static status tail_load(void *self, str bytes, error *err)
{
    tail *t = self;
    return tail_memory_load(t->memory, bytes, err);
}

/* ---- deciding ---- */

static status evaluate(tail *t, trace *x, error *err)
{
    tail_span *spans = malloc(MAX(x->count, 1u) * sizeof(*spans));
    if (!spans)
        return fail(err, STATUS_NO_MEMORY, "no memory to decide on a trace of %u spans", x->count);
    for (uint32_t i = 0; i < x->count; i++)
        spans[i] = (tail_span){ &x->places[i].at->rows, x->places[i].row };
    tail_trace view = {
        .id = &x->id, .spans = spans, .count = x->count, .now_ns = t->now_ns, .scratch = &t->scratch
    };
    x->sampled = policies_decide(t->policies, &view, &x->policy);
    x->decided = true;
    free(spans);
    arena_clear(&t->scratch);
    if (view.condition_errors)
        component_warn(t->component, "condition_failed", "conditions failed on %llu spans",
                       (unsigned long long)view.condition_errors);
    return STATUS_OK;
}

/* What waits to be emitted together. */
typedef struct {
    trace *traces[EMIT_TRACES];
    uint32_t count, rows;
} group;

/* The rows of the group's sampled traces, in the order in which they came. */
static status emit_group(tail *t, const group *g, error *err)
{
    batch out;
    batch_init(&out, SIGNAL_TRACES, HELD_ONE);
    for (uint32_t i = 0; i < g->count; i++)
        for (uint32_t k = 0; k < g->traces[i]->count && g->traces[i]->sampled; k++) {
            place *p = &g->traces[i]->places[k];
            p->at->skip[p->row] = 0;
            p->at->touched = true;
        }
    bool ok = true;
    for (held *h = t->first; h && g->rows; h = h->after) {
        if (!h->touched)
            continue;
        ok = ok && batch_append_rows(&out, &h->rows, h->skip);
        memset(h->skip, 1, h->rows.spans.count);
        h->touched = false;
    }
    status st = ok ? STATUS_OK : fail(err, STATUS_NO_MEMORY, "no memory for %u spans", g->rows);
    if (st == STATUS_OK && g->rows)
        st = t->emit(t->component, &out, err);
    batch_done(&out);
    return st;
}

/* "not sampled by POLICY"; names stand in label values, so nothing odd may be in them. */
static void count_trace(tail *t, const trace *x)
{
    char policy[32], reason[48];
    snprintf(policy, sizeof(policy), "%s", x->policy);
    for (char *c = policy; *c; c++)
        if (*c == '"' || *c == '\\' || (unsigned char)*c < ' ')
            *c = '_';
    snprintf(reason, sizeof(reason), "not sampled%s%s", *policy ? " by " : "", policy);
    if (x->sampled) {
        t->counts.sampled++;
        counts_add(t->component->counts, COUNT_SAMPLED_TRACES, SIGNAL_TRACES, policy, 1);
    } else {
        t->counts.not_sampled++;
        component_drop(t->component, SIGNAL_TRACES, reason, x->count);
    }
}

/* Emits and forgets the group; when it cannot be emitted, its traces stay as they are, decided. */
static status finish(tail *t, group *g, error *err)
{
    status st = emit_group(t, g, err);
    for (uint32_t i = 0; i < g->count && st == STATUS_OK; i++) {
        trace *x = g->traces[i];
        st = tail_memory_put(t->memory, &x->id, x->sampled, x->sequence, tail_needs(t), err);
        if (st != STATUS_OK)
            break;
        count_trace(t, x);
        trace_free(t, x);
    }
    g->count = g->rows = 0;
    return st;
}

static status add_to_group(tail *t, group *g, trace *x, error *err)
{
    status st = x->decided ? STATUS_OK : evaluate(t, x, err);
    if (st != STATUS_OK)
        return st;
    g->traces[g->count++] = x;
    g->rows += x->sampled ? x->count : 0;
    return g->count == EMIT_TRACES || g->rows >= EMIT_ROWS ? finish(t, g, err) : STATUS_OK;
}

static bool is_due(const tail *t, const trace *x)
{
    int64_t root = t->s->decision_wait_after_root_received;
    return t->now_ns - x->first_ns >= t->s->decision_wait ||
           (x->root_ns && root && t->now_ns - x->root_ns >= root);
}

/* Those whose time has come: the heads of the two lists, which are ordered by it. A trace stands in
 * both, so each list is gone through once, with the group finished between. */
static status decide_due(tail *t, error *err)
{
    group *g = malloc(sizeof(*g));
    status st = STATUS_OK;
    if (!g)
        return fail(err, STATUS_NO_MEMORY, "no memory to decide on traces");
    g->count = g->rows = 0;
    for (trace *x = t->oldest, *next; x && st == STATUS_OK && is_due(t, x); x = next) {
        next = x->newer;
        st = add_to_group(t, g, x, err);
    }
    if (st == STATUS_OK)
        st = finish(t, g, err);
    for (trace *x = t->root_oldest, *next; x && st == STATUS_OK && is_due(t, x); x = next) {
        next = x->root_newer;
        st = add_to_group(t, g, x, err);
    }
    if (st == STATUS_OK)
        st = finish(t, g, err);
    free(g);
    return st;
}

static bool is_over(const tail *t)
{
    return t->counts.traces > (uint64_t)t->s->num_traces || t->counts.bytes > HELD_LIMIT;
}

/* The oldest are decided with what came of them, until the rest has room. */
static status make_room(tail *t, error *err)
{
    if (!is_over(t))
        return STATUS_OK;
    group *g = malloc(sizeof(*g));
    status st = STATUS_OK;
    uint64_t before = t->counts.early;
    if (!g)
        return fail(err, STATUS_NO_MEMORY, "no memory to decide on traces");
    while (is_over(t) && t->oldest && st == STATUS_OK) {
        uint64_t over = t->counts.traces > (uint64_t)t->s->num_traces
                            ? t->counts.traces - (uint64_t)t->s->num_traces
                            : 1;
        g->count = g->rows = 0;
        uint64_t many = MIN(over, (uint64_t)EMIT_TRACES - 1), decided = 0;
        for (trace *x = t->oldest; x && decided < many && g->rows < EMIT_ROWS; x = x->newer) {
            if (!x->decided && (st = evaluate(t, x, err)) != STATUS_OK)
                break;
            g->traces[g->count++] = x;
            g->rows += x->sampled ? x->count : 0;
            decided++;
        }
        if (st == STATUS_OK)
            st = finish(t, g, err);
        t->counts.early += st == STATUS_OK ? decided : 0;
    }
    free(g);
    if (t->counts.early != before)
        component_warn(t->component, "decided_early",
                       "%llu traces were decided before their time: more than num_traces (%lld) or "
                       "%zu MiB wait",
                       (unsigned long long)(t->counts.early - before), (long long)t->s->num_traces,
                       HELD_LIMIT >> 20);
    return st;
}

static status tail_tick(void *self, int64_t now_ns, error *err)
{
    tail *t = self;
    t->now_ns = MAX(now_ns, t->now_ns); /* a clock that is set back decides nothing later */
    return decide_due(t, err);
}

/* ---- taking ---- */

typedef enum { ROW_WAITS, ROW_PASSES, ROW_LEFT_OUT, ROW_KNOWN } row_fate;

/* What becomes of a row: of a trace that was decided, from a record that was seen before or not. */
static row_fate fate_of(tail *t, uint64_t sequence, const trace_id *id)
{
    bool sampled;
    uint64_t known;
    if (!tail_memory_find(t->memory, id, &sampled, &known))
        return ROW_WAITS;
    if (sequence <= known)
        return ROW_KNOWN;
    return sampled ? ROW_PASSES : ROW_LEFT_OUT;
}

static bool hold_place(trace *x, held *h, uint32_t row)
{
    if (x->count == x->capacity) {
        uint32_t wanted = MAX(x->capacity * 2, 4u);
        place *grown = realloc(x->places, wanted * sizeof(place));
        if (!grown)
            return false;
        x->places = grown;
        x->capacity = wanted;
    }
    x->places[x->count++] = (place){ h, row };
    h->waiting++;
    x->sequence = MAX(x->sequence, h->sequence);
    return true;
}

static trace *trace_of(tail *t, const trace_id *id)
{
    uint64_t *known = map_get(&t->by_id, key_of(id));
    if (known)
        return (trace *)(uintptr_t)*known;
    trace *x = calloc(1, sizeof(*x));
    if (!x)
        return NULL;
    x->id = *id;
    x->first_ns = t->now_ns;
    if (!map_put(&t->by_id, key_of(&x->id), (uintptr_t)x, NULL)) {
        free(x);
        return NULL;
    }
    x->older = t->newest;
    *(t->newest ? &t->newest->newer : &t->oldest) = x;
    t->newest = x;
    t->counts.traces++;
    return x;
}

static void root_came(tail *t, trace *x)
{
    if (x->root_ns)
        return;
    x->root_ns = MAX(t->now_ns, 1);
    x->root_older = t->root_newest;
    *(t->root_newest ? &t->root_newest->root_newer : &t->root_oldest) = x;
    t->root_newest = x;
}

/* The rows that wait, as bytes and decoded from them: nothing of the caller's is kept. */
static status held_new(tail *t, held **ret, uint64_t sequence, const batch *b, const uint8_t *skip,
                       error *err)
{
    batch view;
    held *h = calloc(1, sizeof(*h));
    if (!h)
        return fail(err, STATUS_NO_MEMORY, "no memory for spans that wait");
    h->sequence = sequence;
    buf_init(&h->bytes, HELD_ONE);
    batch_init(&h->rows, SIGNAL_TRACES, HELD_ONE);
    batch_init(&view, SIGNAL_TRACES, HELD_ONE);
    status st = batch_append_rows(&view, b, skip)
                    ? otlp_encode(&view, &h->bytes, err)
                    : fail(err, STATUS_NO_MEMORY, "no memory for spans that wait");
    batch_done(&view);
    if (st == STATUS_OK)
        st = otlp_decode(&h->rows, buf_view(&h->bytes), NULL, NULL, err);
    if (st == STATUS_OK && !(h->skip = malloc(MAX(h->rows.spans.count, 1u))))
        st = fail(err, STATUS_NO_MEMORY, "no memory for spans that wait");
    h->before = t->last;
    *(t->last ? &t->last->after : &t->first) = h;
    t->last = h;
    t->counts.bytes += h->bytes.cap + h->rows.arena.used;
    if (st != STATUS_OK) {
        held_free(t, h);
        return st;
    }
    memset(h->skip, 1, h->rows.spans.count);
    *ret = h;
    return STATUS_OK;
}

/* Spans that wait are lost to a trace only when there is no memory for their place. */
static status wait_for(tail *t, uint64_t sequence, const batch *b, const uint8_t *skip, error *err)
{
    held *h = NULL;
    status st = held_new(t, &h, sequence, b, skip, err);
    if (st != STATUS_OK)
        return st;
    uint32_t lost = 0;
    h->waiting = 1; /* until all of it has its place */
    for (uint32_t i = 0; i < h->rows.spans.count; i++) {
        trace *x = trace_of(t, &h->rows.spans.trace[i]);
        if (!x || !hold_place(x, h, i)) {
            lost++;
            continue;
        }
        if (!span_id_is_set(h->rows.spans.parent[i]))
            root_came(t, x);
        x->decided = x->sampled = false; /* it came while the decision could not be emitted */
    }
    if (lost)
        component_drop(t->component, SIGNAL_TRACES, "no memory", lost);
    if (--h->waiting == 0)
        held_free(t, h);
    return STATUS_OK;
}

/* Late spans of sampled traces go out first: when that fails, nothing has changed, and the record
 * is offered again. */
static status pass_late(tail *t, const batch *b, const uint8_t *fates, uint8_t *skip, error *err)
{
    batch out;
    uint32_t passing = 0;
    for (uint32_t i = 0; i < b->spans.count; i++) {
        skip[i] = fates[i] != ROW_PASSES;
        passing += !skip[i];
    }
    if (!passing)
        return STATUS_OK;
    batch_init(&out, SIGNAL_TRACES, HELD_ONE);
    status st = batch_append_rows(&out, b, skip)
                    ? t->emit(t->component, &out, err)
                    : fail(err, STATUS_NO_MEMORY, "no memory for %u late spans", passing);
    batch_done(&out);
    return st;
}

static status take_rows(tail *t, uint64_t sequence, const batch *b, uint8_t *fates, uint8_t *skip,
                        error *err)
{
    uint32_t waiting = 0, left_out = 0, count = b->spans.count;
    for (uint32_t i = 0; i < count; i++)
        fates[i] = (uint8_t)fate_of(t, sequence, &b->spans.trace[i]);
    status st = pass_late(t, b, fates, skip, err);
    for (uint32_t i = 0; i < count; i++) {
        skip[i] = fates[i] != ROW_WAITS;
        waiting += !skip[i];
        left_out += fates[i] == ROW_LEFT_OUT;
    }
    if (st == STATUS_OK && waiting)
        st = wait_for(t, sequence, b, skip, err);
    if (st != STATUS_OK)
        return st;
    for (uint32_t i = 0; i < count; i++)
        if (fates[i] == ROW_PASSES || fates[i] == ROW_LEFT_OUT) /* known ones cannot fail */
            (void)!tail_memory_put(t->memory, &b->spans.trace[i], fates[i] == ROW_PASSES, sequence,
                                   tail_needs(t), err);
    if (left_out)
        component_drop(t->component, SIGNAL_TRACES, "late, not sampled", left_out);
    return STATUS_OK;
}

static status tail_take(void *self, uint64_t sequence, const batch *b, error *err)
{
    tail *t = self;
    if (!t->now_ns)
        t->now_ns = clock_now_ns();
    status st = make_room(t, err);
    if (st != STATUS_OK || b->signal != SIGNAL_TRACES || !b->spans.count)
        return st;
    uint8_t *marks = malloc((size_t)b->spans.count * 2);
    if (!marks)
        return fail(err, STATUS_NO_MEMORY, "no memory for %u spans", b->spans.count);
    st = take_rows(t, sequence, b, marks, marks + b->spans.count, err);
    free(marks);
    return st;
}

const component_type tail_sampling_processor = {
    .type = "tail_sampling",
    .kind = COMPONENT_PROCESSOR,
    .signals = SIGNALS_TRACES,
    .help = "Waits for whole traces, and lets those pass that policies choose.",
    .options = OPTION_TABLE(tail_rows, tail_settings),
    .check = tail_check,
    .open = tail_open,
    .close = tail_close,
    .take = tail_take,
    .tick = tail_tick,
    .needs = tail_needs,
    .save = tail_save,
    .load = tail_load,
};
