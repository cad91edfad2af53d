// SPDX-License-Identifier: Apache-2.0
/* The library's own metrics; see library_metrics.h. */
#include "lib/library_metrics.h"

#include "lib/metric.h"
#include "lib/recorder_internal.h"
#include "lib/state.h"

/* Part of the library's one instance; written once under library_metrics_register. */
static struct {
    sonde_counter *written;
    sonde_bound_counter *exported[SIGNAL_COUNT], *failed[SIGNAL_COUNT];
    sonde_gauge *size;
} own;

static uint64_t used_blocks(const recorder *r)
{
    uint64_t used = 0, reserved = atomic_load(atomic_u64(&r->header->reserved));
    for (uint64_t i = 0; i < MIN(reserved, r->block_count); i++)
        used += RECORDER_WORD_KIND(atomic_load_explicit(&r->table[i], memory_order_relaxed)) !=
                RECORDER_FREE;
    return used;
}

static void read_library(sonde_gauge *used, void *user)
{
    (void)user;
    recorder *r = state_recorder();
    if (!r)
        return;
    metric_set_whole(own.written, "logs", recorder_count_written(r, SIGNAL_LOGS));
    metric_set_whole(own.written, "traces", recorder_count_written(r, SIGNAL_TRACES));
    sonde_gauge_set(own.size, (double)r->block_count * RECORDER_BLOCK_BYTES);
    sonde_gauge_set(used, (double)used_blocks(r) * RECORDER_BLOCK_BYTES);
}

void library_metrics_register(void)
{
    sonde_counter *exported = sonde_counter_new(
        "sonde_exported_total", "Log records, spans and metric points that a receiver took.",
        SONDE_LABELS("signal"));
    sonde_counter *failed = sonde_counter_new(
        "sonde_export_failures_total",
        "Requests to a receiver that were given up or refused for good.", SONDE_LABELS("signal"));
    for (int i = 0; i < SIGNAL_COUNT; i++) {
        own.exported[i] = sonde_counter_bind(exported, signal_name((signal_kind)i));
        own.failed[i] = sonde_counter_bind(failed, signal_name((signal_kind)i));
    }
    own.written = sonde_counter_new("sonde_records_written_total",
                                    "Log records and finished spans that were recorded.",
                                    SONDE_LABELS("signal"));
    own.size = sonde_gauge_new("sonde_recorder_size_bytes", "What the recorder may grow to.",
                               SONDE_LABELS(), .unit = "By");
    (void)sonde_gauge_callback("sonde_recorder_used_bytes", "What the recorder holds now.",
                               read_library, NULL, SONDE_LABELS(), .unit = "By");
}

void library_metrics_exported(signal_kind signal, uint64_t taken_rows, bool failed)
{
    sonde_counter_add(own.exported[signal], taken_rows);
    if (failed)
        sonde_counter_add(own.failed[signal], 1);
}
