// SPDX-License-Identifier: Apache-2.0
/* The processor "attributes": actions on the attributes of spans, log records and data points. */
#include "pipeline/component.h"
#include "pipeline/processors/actions.h"
#include "pipeline/processors/match.h"

#include "codec/batch_rows.h"

#include <stdlib.h>

typedef struct {
    section_list actions; /* action_settings */
    bool has_include, has_exclude;
    match_settings include, exclude;
} attributes_settings;

#define AT(member) offsetof(attributes_settings, member)
static const option attributes_rows[] = {
    { .name = "actions",
      .type = OPTION_SECTIONS,
      .offset = AT(actions),
      .table = &action_options,
      .required = true,
      .help = "what is done, in order" },
    { .name = "include",
      .type = OPTION_SECTION,
      .offset = AT(include),
      .table = &match_options,
      .present = OPTION_PRESENT(attributes_settings, has_include),
      .help = "only these items are changed" },
    { .name = "exclude",
      .type = OPTION_SECTION,
      .offset = AT(exclude),
      .table = &match_options,
      .present = OPTION_PRESENT(attributes_settings, has_exclude),
      .help = "these items are not changed" },
};
#undef AT

typedef struct {
    actions *actions;
    item_match *include, *exclude;
} attributes;

static status attributes_check(const void *settings, char *where, size_t where_size, error *err)
{
    const attributes_settings *s = settings;
    status st = actions_check(&s->actions, "actions", where, where_size, err);
    if (st == STATUS_OK && s->has_include)
        st = match_check(&s->include, "include", where, where_size, err);
    if (st == STATUS_OK && s->has_exclude)
        st = match_check(&s->exclude, "exclude", where, where_size, err);
    return st;
}

static void attributes_close(void *self)
{
    attributes *a = self;
    actions_free(a->actions);
    match_free(a->include);
    match_free(a->exclude);
    free(a);
}

static status attributes_open(void **ret_self, component *c, error *err)
{
    const attributes_settings *s = c->settings;
    attributes *a = calloc(1, sizeof(*a));
    if (!a)
        return fail(err, STATUS_NO_MEMORY, "no memory for the processor %s", c->id);
    status st = actions_new(&a->actions, &s->actions, err);
    if (st == STATUS_OK && s->has_include)
        st = match_new(&a->include, &s->include, err);
    if (st == STATUS_OK && s->has_exclude)
        st = match_new(&a->exclude, &s->exclude, err);
    if (st == STATUS_OK)
        *ret_self = a;
    else
        attributes_close(a);
    return st;
}

static status attributes_process(void *self, batch *b, error *err)
{
    const attributes *a = self;
    for (uint32_t i = 0; i < batch_row_count(b); i++) {
        if ((a->include && !match_row(a->include, b, i)) ||
            (a->exclude && match_row(a->exclude, b, i)))
            continue;
        attrs *list = batch_row_attributes(b, i);
        if (b->signal == SIGNAL_LOGS && b->logs.context[i].count)
            b->logs.context[i] = (attr_range){ 0, 0 }; /* places in the list change */
        if (!actions_apply(a->actions, &b->arena, list))
            return fail(err, STATUS_NO_MEMORY, "no memory for the attributes of %u items",
                        batch_row_count(b));
    }
    return STATUS_OK;
}

const component_type attributes_processor = {
    .type = "attributes",
    .kind = COMPONENT_PROCESSOR,
    .signals = SIGNALS_ALL,
    .help = "Changes the attributes of spans, log records and data points.",
    .options = OPTION_TABLE(attributes_rows, attributes_settings),
    .check = attributes_check,
    .open = attributes_open,
    .close = attributes_close,
    .process = attributes_process,
};
