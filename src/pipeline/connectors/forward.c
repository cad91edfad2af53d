// SPDX-License-Identifier: Apache-2.0
/* The connector forward: what one pipeline gives, others of the same signal take, as it is. */
#include "pipeline/component.h"

static status forward_open(void **ret_self, component *c, error *err)
{
    (void)err;
    *ret_self = c;
    return STATUS_OK;
}

const component_type forward_connector = {
    .type = "forward",
    .kind = COMPONENT_CONNECTOR,
    .signals = SIGNALS_ALL,
    .help = "Joins pipelines of one signal: merges several into one, or one into several.",
    .open = forward_open,
};
