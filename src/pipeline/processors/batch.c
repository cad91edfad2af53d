// SPDX-License-Identifier: Apache-2.0
/* The processor "batch": a wish to the readers of the log behind it, how many items they gather for
 * one request. Nothing waits here: what was acknowledged stands in the log. */
#include "pipeline/component.h"

static const option batch_processor_rows[] = {
    { .name = "batch", .type = OPTION_INLINE, .offset = 0, .table = &batch_options },
};

static status batch_check(const void *settings, char *where, size_t where_size, error *err)
{
    const batch_settings *s = settings;
    if (!s->send_batch_max_size || s->send_batch_max_size >= s->send_batch_size)
        return STATUS_OK;
    str_copy_c(where, where_size, STR("send_batch_max_size"));
    return fail(err, STATUS_INVALID, "must not be below send_batch_size (%lld)",
                (long long)s->send_batch_size);
}

static status batch_open(void **ret_self, component *c, error *err)
{
    (void)err;
    *ret_self = c;
    return STATUS_OK;
}

const component_type batch_processor = {
    .type = "batch",
    .kind = COMPONENT_PROCESSOR,
    .signals = SIGNALS_ALL,
    .help = "Says how many items exporters gather into one request.",
    .options = OPTION_TABLE(batch_processor_rows, batch_settings),
    .check = batch_check,
    .open = batch_open,
    .batching = 1,
};
