// SPDX-License-Identifier: Apache-2.0
/* From a configuration to components and paths. A pipeline is followed from its receivers through
 * its processors to each of its exporters; a connector leads on into the pipelines that receive
 * from it; a processor that waits ends a path and begins another one, as a sender of its own. */
#include "pipeline/pipelines_internal.h"

#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>

#define ORIGINS_FILE_MAX MiB(4)

/* ---- senders' numbers ---- */

static status add_origin(collector *c, str name, error *err)
{
    char **grown = realloc(c->origins, (c->origin_count + 1) * sizeof(char *));
    if (grown)
        c->origins = grown;
    char *copy = grown ? strndup(name.ptr, name.len) : NULL;
    if (!copy)
        return fail(err, STATUS_NO_MEMORY, "no memory for the names of senders");
    c->origins[c->origin_count++] = copy;
    return STATUS_OK;
}

/* A line for each number, from 1. */
status origins_load(collector *c, error *err)
{
    char path[4096];
    buf text;
    if (snprintf(path, sizeof(path), "%s/pipeline/origins", c->options.data) >= (int)sizeof(path))
        return fail(err, STATUS_INVALID, "the path %s is too long", c->options.data);
    buf_init(&text, ORIGINS_FILE_MAX);
    status st = file_read(path, &text, err);
    if (st == STATUS_NOT_FOUND)
        st = STATUS_OK;
    str rest = buf_view(&text);
    while (st == STATUS_OK && rest.len)
        st = add_origin(c, str_cut(rest, '\n', &rest), err);
    buf_done(&text);
    return st;
}

status origins_save(collector *c, error *err)
{
    char dir[4096];
    buf text;
    if (!c->origins_changed)
        return STATUS_OK;
    if (snprintf(dir, sizeof(dir), "%s/pipeline", c->options.data) >= (int)sizeof(dir))
        return fail(err, STATUS_INVALID, "the path %s is too long", c->options.data);
    buf_init(&text, ORIGINS_FILE_MAX);
    for (uint32_t i = 0; i < c->origin_count; i++)
        buf_fmt(&text, "%s\n", c->origins[i]);
    status st = buf_check(&text, err, "the names of senders");
    if (st == STATUS_OK)
        st = file_make_dirs(dir, 0750, err);
    if (st == STATUS_OK)
        st = file_sync_dir(c->options.data, err); /* records name their senders by these numbers */
    if (st == STATUS_OK)
        st = file_replace(dir, "origins", buf_view(&text), err);
    c->origins_changed = st != STATUS_OK;
    buf_done(&text);
    return st;
}

uint16_t origin_number(collector *c, const char *name)
{
    error err;
    for (uint32_t i = 0; i < c->origin_count; i++)
        if (strcmp(c->origins[i], name) == 0)
            return (uint16_t)(i + 1);
    if (c->origin_count >= ORIGINS_MAX || add_origin(c, str_c(name), &err) != STATUS_OK)
        return 0;
    c->origins_changed = true;
    return (uint16_t)c->origin_count;
}

/* ---- components ---- */

static bool waits(const component_type *t)
{
    return t->take != NULL;
}

static component_counts *counts_of(collector *c, component_kind kind, const char *id)
{
    pthread_mutex_lock(&c->counts_lock);
    component_counts **at = &c->counts;
    while (*at && !counts_are_of(*at, kind, id))
        at = counts_next(*at);
    if (!*at)
        *at = counts_new(kind, id);
    component_counts *found = *at;
    pthread_mutex_unlock(&c->counts_lock);
    return found;
}

static status init_component(pipelines *p, component *c, const config_component *from,
                             const char *id, error *err)
{
    *c = (component){ .type = from->type, .id = id, .settings = from->settings, .owner = p };
    c->counts = counts_of(p->owner, from->type->kind, from->id);
    if (!c->counts)
        return fail(err, STATUS_NO_MEMORY, "no memory for the counts of %s", id);
    if (from->type->kind != COMPONENT_RECEIVER && !waits(from->type))
        return STATUS_OK;
    c->origin = origin_number(p->owner, id);
    return c->origin ? STATUS_OK : fail(err, STATUS_LIMIT, "more than %d senders", ORIGINS_MAX);
}

/* Extensions first, then from the far end of the pipelines to the near one, so that nothing is open
 * before what it needs. */
static const component_kind opening_order[] = { COMPONENT_EXTENSION, COMPONENT_EXPORTER,
                                                COMPONENT_CONNECTOR, COMPONENT_PROCESSOR,
                                                COMPONENT_RECEIVER };

/* An instance for each pipeline that has it. */
static status add_waiting(pipelines *p, const config_component *from, uint32_t index, error *err)
{
    status st = STATUS_OK;
    for (uint32_t i = 0; i < p->file.pipeline_count && st == STATUS_OK; i++) {
        const config_pipeline *pipeline = &p->file.pipelines[i];
        for (uint32_t k = 0; k < pipeline->processor_count && st == STATUS_OK; k++) {
            if (pipeline->processors[k] != index)
                continue;
            str id = arena_fmt(&p->file.arena, "%s@%s", from->id, pipeline->id);
            if (!id.ptr)
                return fail(err, STATUS_NO_MEMORY, "no memory for the components");
            st = init_component(p, &p->components[p->count++], from, id.ptr, err);
        }
    }
    return st;
}

static status add_components(pipelines *p, error *err)
{
    size_t most = p->file.component_count + 1;
    for (uint32_t i = 0; i < p->file.pipeline_count; i++)
        most += p->file.pipelines[i].processor_count;
    p->components = calloc(most, sizeof(component));
    if (!p->components)
        return fail(err, STATUS_NO_MEMORY, "no memory for the components");
    status st = STATUS_OK;
    for (size_t k = 0; k < ARRAY_LEN(opening_order); k++) {
        for (uint32_t i = 0; i < p->file.component_count && st == STATUS_OK; i++) {
            const config_component *from = &p->file.components[i];
            if (from->type->kind != opening_order[k] || !from->used)
                continue;
            if (waits(from->type))
                st = add_waiting(p, from, i, err);
            else
                st = init_component(p, &p->components[p->count++], from, from->id, err);
        }
    }
    return st;
}

/* The instance of a component of the file, in that pipeline. */
static component *instance(pipelines *p, uint32_t index, const config_pipeline *pipeline)
{
    const config_component *from = &p->file.components[index];
    size_t length = strlen(from->id);
    for (uint32_t i = 0; i < p->count; i++) {
        component *c = &p->components[i];
        if (c->settings != from->settings || c->type != from->type)
            continue;
        if (!waits(c->type))
            return c;
        if (strncmp(c->id, from->id, length) == 0 && c->id[length] == '@' &&
            strcmp(c->id + length + 1, pipeline->id) == 0)
            return c;
    }
    return NULL;
}

/* ---- paths ---- */

typedef struct {
    pipelines *p;
    path so_far;
    component *stages[STAGES_MAX];
    uint32_t shared; /* of these stages, those of a path that was added before */
    error *err;
} walk;

static status add_path(walk *w, component *sink)
{
    pipelines *p = w->p;
    arena *a = &p->file.arena;
    path done = w->so_far;
    if (p->path_count >= PATHS_MAX)
        return fail(w->err, STATUS_LIMIT, "more than %d ways through the pipelines", PATHS_MAX);
    path *grown = realloc(p->paths, (p->path_count + 1) * sizeof(path));
    if (grown)
        p->paths = grown;
    done.stages = ARENA_ARRAY(a, component *, MAX(done.stage_count, 1u));
    if (!grown || !done.stages)
        return fail(w->err, STATUS_NO_MEMORY, "no memory for the ways through the pipelines");
    memcpy(done.stages, w->stages, done.stage_count * sizeof(component *));
    done.sink = sink;
    done.shared = MIN(w->shared, done.stage_count);
    w->shared = done.stage_count;
    p->paths[p->path_count++] = done;
    return STATUS_OK;
}

static status follow(walk *w, const config_pipeline *pipeline);

static status add_stage(walk *w, component *c)
{
    if (w->so_far.stage_count == STAGES_MAX)
        return fail(w->err, STATUS_LIMIT,
                    "more than %d processors and connectors one after another", STAGES_MAX);
    w->shared = MIN(w->shared, w->so_far.stage_count);
    w->stages[w->so_far.stage_count++] = c;
    return STATUS_OK;
}

/* Through a connector into every pipeline that receives from it. */
static status follow_connector(walk *w, uint32_t index, component *c)
{
    pipelines *p = w->p;
    uint32_t stages = w->so_far.stage_count;
    status st = STATUS_OK;
    for (uint32_t i = 0; i < p->file.pipeline_count && st == STATUS_OK; i++) {
        const config_pipeline *next = &p->file.pipelines[i];
        for (uint32_t k = 0; k < next->receiver_count && st == STATUS_OK; k++) {
            if (next->receivers[k] != index)
                continue;
            if (c->type->produce)
                st = add_stage(w, c);
            if (st == STATUS_OK)
                st = follow(w, next);
            w->so_far.stage_count = stages;
        }
    }
    return st;
}

static status follow_exporters(walk *w, const config_pipeline *pipeline)
{
    status st = STATUS_OK;
    for (uint32_t i = 0; i < pipeline->exporter_count && st == STATUS_OK; i++) {
        uint32_t index = pipeline->exporters[i];
        component *c = instance(w->p, index, pipeline);
        if (c->type->kind == COMPONENT_CONNECTOR)
            st = follow_connector(w, index, c);
        else
            st = add_path(w, c);
    }
    return st;
}

/* Begins again behind a processor that waits, whose output is in the log. */
static void begin_behind(walk *w, component *waiting, signal_kind signal, uint16_t *origin)
{
    *origin = waiting->origin;
    w->so_far = (path){
        .pipeline = w->so_far.pipeline, .origins = origin, .origin_count = 1, .signal = signal
    };
}

static status follow(walk *w, const config_pipeline *pipeline)
{
    path before = w->so_far;
    component *stages[STAGES_MAX]; /* what comes behind a processor that waits overwrites them */
    memcpy(stages, w->stages, sizeof(stages));
    status st = STATUS_OK;
    for (uint32_t i = 0; i < pipeline->processor_count && st == STATUS_OK; i++) {
        component *c = instance(w->p, pipeline->processors[i], pipeline);
        if (c->type->batching) {
            const char *settings = c->settings;
            memcpy(&w->so_far.batching, settings + c->type->batching - 1, sizeof(batch_settings));
            w->so_far.has_batching = true;
        }
        if (c->type->admit)
            w->so_far.gate = c;
        if (waits(c->type)) {
            st = add_path(w, c);
            uint16_t *origin = ARENA_ARRAY(&w->p->file.arena, uint16_t, 1);
            if (!origin)
                return fail(w->err, STATUS_NO_MEMORY, "no memory for the ways of rows");
            begin_behind(w, c, pipeline->signal, origin);
        } else if (c->type->process) {
            st = add_stage(w, c);
        }
    }
    if (st == STATUS_OK)
        st = follow_exporters(w, pipeline);
    w->shared = MIN(w->shared, before.stage_count);
    if (memcmp(w->stages, stages, before.stage_count * sizeof(component *)) != 0)
        w->shared = 0;
    memcpy(w->stages, stages, sizeof(stages));
    w->so_far = before;
    return st;
}

static status add_paths(pipelines *p, error *err)
{
    status st = STATUS_OK;
    for (uint32_t i = 0; i < p->file.pipeline_count && st == STATUS_OK; i++) {
        const config_pipeline *pipeline = &p->file.pipelines[i];
        walk w = { .p = p, .err = err };
        w.so_far = (path){ .pipeline = pipeline->id, .signal = pipeline->signal };
        w.so_far.origins = ARENA_ARRAY(&p->file.arena, uint16_t, MAX(pipeline->receiver_count, 1u));
        if (!w.so_far.origins)
            return fail(err, STATUS_NO_MEMORY, "no memory for the ways of rows");
        for (uint32_t k = 0; k < pipeline->receiver_count; k++) {
            const component *c = instance(p, pipeline->receivers[k], pipeline);
            if (c->type->kind == COMPONENT_RECEIVER)
                w.so_far.origins[w.so_far.origin_count++] = c->origin;
        }
        if (w.so_far.origin_count)
            st = follow(&w, pipeline);
    }
    return st;
}

/* More ways into the store than one record has places for would be refused for ever: better now. */
static status check_store_ways(const pipelines *p, const component *sender, error *err)
{
    for (signal_kind signal = 0; signal < SIGNAL_COUNT; signal++) {
        uint32_t ways = 0;
        for (uint32_t i = 0; i < p->path_count; i++)
            ways += p->paths[i].sink->type->is_store &&
                    path_takes(&p->paths[i], sender->origin, signal);
        if (ways > STORE_ROUTED_MAX)
            return fail(err, STATUS_LIMIT,
                        "%s of %s go %u ways into the store, at most %d are possible",
                        signal_name(signal), sender->id, ways, STORE_ROUTED_MAX);
    }
    return STATUS_OK;
}

status graph_build(pipelines *p, error *err)
{
    status st = add_components(p, err);
    if (st == STATUS_OK)
        st = add_paths(p, err);
    for (uint32_t i = 0; i < p->count && st == STATUS_OK; i++)
        if (p->components[i].origin)
            st = check_store_ways(p, &p->components[i], err);
    return st;
}

void graph_free(pipelines *p)
{
    for (uint32_t i = 0; i < p->count; i++)
        free(p->components[i].dir);
    free(p->components);
    free(p->paths);
    free(p->mounts);
    config_done(&p->file);
    free(p);
}

bool path_takes(const path *p, uint16_t origin, signal_kind signal)
{
    for (uint32_t i = 0; i < p->origin_count && p->signal == signal; i++)
        if (p->origins[i] == origin)
            return true;
    return false;
}
