// SPDX-License-Identifier: Apache-2.0
/* Pipelines that connectors join: each connector must have two ends whose signals fit, and no item
 * may come back to a pipeline that it left. */
#include "pipeline/config_read.h"

static bool lists(const uint32_t *items, uint32_t count, uint32_t wanted)
{
    for (uint32_t i = 0; i < count; i++)
        if (items[i] == wanted)
            return true;
    return false;
}

static signal_kind produced(const component_type *type, signal_kind taken)
{
    return type->produce ? type->produces : taken;
}

bool config_connects(const config *c, uint32_t connector, const config_pipeline *from,
                     const config_pipeline *to)
{
    const component_type *type = c->components[connector].type;
    return type && c->components[connector].kind == COMPONENT_CONNECTOR &&
           lists(from->exporters, from->exporter_count, connector) &&
           lists(to->receivers, to->receiver_count, connector) &&
           (type->signals & (1u << from->signal)) && produced(type, from->signal) == to->signal;
}

/* ---- both ends ---- */

/* One end of a connector in pipeline p: is there a pipeline at the other end that fits? */
static void check_end(config_reader *r, uint32_t connector, const config_pipeline *p, bool is_near)
{
    const config *c = r->c;
    const config_component *part = &c->components[connector];
    const yaml_node at = { .line = part->line, .column = part->column };
    bool other_end = false;
    for (uint32_t i = 0; i < c->pipeline_count; i++) {
        const config_pipeline *q = &c->pipelines[i];
        if (is_near ? config_connects(c, connector, p, q) : config_connects(c, connector, q, p))
            return;
        other_end = other_end || (is_near ? lists(q->receivers, q->receiver_count, connector)
                                          : lists(q->exporters, q->exporter_count, connector));
    }
    const char *signal = signal_name(p->signal);
    if (is_near && !(part->type->signals & (1u << p->signal)))
        config_error(r, &at, "connector %s takes no %s: it cannot be an exporter of pipeline %s",
                     part->id, signal, p->id);
    else if (!other_end)
        config_error(r, &at, "connector %s is %s of pipeline %s and %s of no pipeline", part->id,
                     is_near ? "an exporter" : "a receiver", p->id,
                     is_near ? "a receiver" : "an exporter");
    else if (is_near)
        config_error(r, &at,
                     "connector %s gives %s from pipeline %s: no %s pipeline has it as a receiver",
                     part->id, signal_name(produced(part->type, p->signal)), p->id,
                     signal_name(produced(part->type, p->signal)));
    else
        config_error(r, &at,
                     "connector %s is a receiver of pipeline %s: none of the pipelines that it is "
                     "an exporter of makes it give %s",
                     part->id, p->id, signal);
}

static void check_connector(config_reader *r, uint32_t connector)
{
    const config *c = r->c;
    uint32_t errors = r->errors;
    for (uint32_t i = 0; i < c->pipeline_count && errors == r->errors; i++) {
        const config_pipeline *p = &c->pipelines[i];
        if (lists(p->exporters, p->exporter_count, connector))
            check_end(r, connector, p, true);
        if (errors == r->errors && lists(p->receivers, p->receiver_count, connector))
            check_end(r, connector, p, false);
    }
}

/* ---- cycles ---- */

typedef enum { NEW, OPEN, DONE } mark;

/* A path through pipelines that is being followed. */
typedef struct {
    config_reader *r;
    mark *marks;
    uint32_t *pipelines;  /* on the path */
    uint32_t *connectors; /* connectors[i] leads from pipelines[i] to the next */
    uint32_t depth;
    const yaml_node *at;
} walk;

static void report_cycle(walk *w, uint32_t first)
{
    const config *c = w->r->c;
    uint32_t i = 0;
    buf b;
    buf_init(&b, 4000);
    while (w->pipelines[i] != first)
        i++;
    for (; i < w->depth; i++)
        buf_fmt(&b, "%s -> %s -> ", c->pipelines[w->pipelines[i]].id,
                c->components[w->connectors[i]].id);
    buf_fmt(&b, "%s", c->pipelines[first].id);
    config_error(w->r, w->at, "pipelines run in a circle: %.*s", STR_ARG(buf_view(&b)));
    buf_done(&b);
}

/* False when a cycle was found and reported: one is enough. */
static bool follow(walk *w, uint32_t at)
{
    const config *c = w->r->c;
    const config_pipeline *p = &c->pipelines[at];
    w->marks[at] = OPEN;
    w->pipelines[w->depth++] = at;
    for (uint32_t e = 0; e < p->exporter_count; e++) {
        for (uint32_t q = 0; q < c->pipeline_count; q++) {
            if (w->marks[q] == DONE || !config_connects(c, p->exporters[e], p, &c->pipelines[q]))
                continue;
            w->connectors[w->depth - 1] = p->exporters[e];
            if (w->marks[q] == OPEN) {
                report_cycle(w, q);
                return false;
            }
            if (!follow(w, q))
                return false;
        }
    }
    w->depth--;
    w->marks[at] = DONE;
    return true;
}

void config_check_graph(config_reader *r, const yaml_node *at)
{
    config *c = r->c;
    size_t count = MAX(c->pipeline_count, 1u);
    for (uint32_t i = 0; i < c->component_count; i++)
        if (c->components[i].kind == COMPONENT_CONNECTOR && c->components[i].type)
            check_connector(r, i);
    walk w = { .r = r,
               .marks = ARENA_ARRAY(&c->arena, mark, count),
               .pipelines = ARENA_ARRAY(&c->arena, uint32_t, count),
               .connectors = ARENA_ARRAY(&c->arena, uint32_t, count),
               .at = at };
    if (!w.marks || !w.pipelines || !w.connectors) {
        config_error(r, at, "larger than the memory of a configuration");
        return;
    }
    for (uint32_t i = 0; i < c->pipeline_count; i++)
        if (w.marks[i] == NEW && !follow(&w, i))
            return;
}
