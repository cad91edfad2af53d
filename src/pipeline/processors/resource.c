// SPDX-License-Identifier: Apache-2.0
/* The processor "resource": actions on the attributes of resources. */
#include "pipeline/component.h"
#include "pipeline/processors/actions.h"

typedef struct {
    section_list attributes; /* action_settings */
} resource_settings;

static const option resource_rows[] = {
    { .name = "attributes",
      .type = OPTION_SECTIONS,
      .offset = offsetof(resource_settings, attributes),
      .table = &action_options,
      .required = true,
      .help = "actions, done in order" },
};

static status resource_check(const void *settings, char *where, size_t where_size, error *err)
{
    const resource_settings *s = settings;
    return actions_check(&s->attributes, "attributes", where, where_size, err);
}

static status resource_open(void **ret_self, component *c, error *err)
{
    const resource_settings *s = c->settings;
    actions *a;
    status st = actions_new(&a, &s->attributes, err);
    if (st == STATUS_OK)
        *ret_self = a;
    return st;
}

static void resource_close(void *self)
{
    actions_free(self);
}

static status resource_process(void *self, batch *b, error *err)
{
    for (uint32_t i = 0; i < b->resource_count; i++)
        if (!actions_apply(self, &b->arena, &b->resources[i].attributes))
            return fail(err, STATUS_NO_MEMORY, "no memory for the attributes of a resource");
    return STATUS_OK;
}

const component_type resource_processor = {
    .type = "resource",
    .kind = COMPONENT_PROCESSOR,
    .signals = SIGNALS_ALL,
    .help = "Changes the attributes of resources.",
    .options = OPTION_TABLE(resource_rows, resource_settings),
    .check = resource_check,
    .open = resource_open,
    .close = resource_close,
    .process = resource_process,
};
