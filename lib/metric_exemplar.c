// SPDX-License-Identifier: Apache-2.0
/* Writing exemplars; see metric_exemplar.h. A writer that meets another one at the same place
 * leaves it alone: either is as good an example. */
#include "lib/metric_exemplar.h"

#define SAMPLED 1u /* sonde_current_.flags */
/* Without a span, the same place is written again after so many ticks: about a millisecond. */
#define TICKS_BETWEEN (UINT64_C(1) << 22)

metric_exemplar_rule metric_exemplars = { 0, SAMPLED };

/* Of series for which the recorder has no room: written, never read. */
static recorder_exemplar nowhere[8];

void metric_exemplars_configure(exemplar_filter filter)
{
    static const metric_exemplar_rule rules[] = {
        [EXEMPLARS_TRACE_BASED] = { 0, SAMPLED },
        [EXEMPLARS_ALWAYS_ON] = { SAMPLED, SAMPLED },
        [EXEMPLARS_ALWAYS_OFF] = { 0, 0 },
    };
    metric_exemplars = rules[filter];
}

static recorder_exemplar *make(metric_series *s)
{
    uint64_t offset;
    if (!metric_lock())
        return NULL;
    recorder_exemplar *made = atomic_load(&s->exemplars);
    if (!made && s->row) {
        made = metric_area_alloc(s->metric->exemplar_count * sizeof(*made), &offset);
        if (made)
            __atomic_store_n(&s->row->exemplars, (uint32_t)(offset / RECORDER_CELL_UNIT),
                             __ATOMIC_RELEASE);
        else
            made = nowhere;
        atomic_store_explicit(&s->exemplars, made, memory_order_release);
    }
    metric_unlock();
    return made;
}

/* Of an exemplar that another thread may be changing: then either answer will do. */
TSAN_BLIND static inline uint64_t span_of(const uint8_t *id)
{
    uint64_t v;
    memcpy(&v, id, sizeof(v));
    return v;
}

TSAN_BLIND static inline bool is_due(const recorder_exemplar *e, const sonde_current_ *current,
                                     uint64_t *ret_ticks)
{
    uint64_t span = span_of(current->span_id);
    if (LIKELY(span != 0)) {
        if (span == span_of(e->span_id))
            return false;
        *ret_ticks = recorder_ticks();
        return true;
    }
    *ret_ticks = recorder_ticks();
    return *ret_ticks - e->ticks > TICKS_BETWEEN;
}

void metric_exemplar_put(metric_series *s, uint32_t at, uint64_t value, bool is_int)
{
    if (s->metric->exemplar_count == 0)
        return;
    recorder_exemplar *e = atomic_load_explicit(&s->exemplars, memory_order_acquire);
    if (UNLIKELY(!e) && !(e = make(s)))
        return;
    e += at;
    const sonde_current_ *current = &thread_get()->current;
    uint64_t ticks, sequence = __atomic_load_n(&e->sequence, __ATOMIC_RELAXED);
    if ((sequence & 1) || !is_due(e, current, &ticks) ||
        !__atomic_compare_exchange_n(&e->sequence, &sequence, sequence + 1, false, __ATOMIC_ACQUIRE,
                                     __ATOMIC_RELAXED))
        return;
    __atomic_thread_fence(__ATOMIC_RELEASE);
    e->ticks = ticks;
    e->value = value;
    e->is_int = is_int;
    memcpy(e->trace_id, current->trace_id, sizeof(e->trace_id));
    memcpy(e->span_id, current->span_id, sizeof(e->span_id));
    __atomic_store_n(&e->sequence, sequence + 2, __ATOMIC_RELEASE);
}
