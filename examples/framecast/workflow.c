// SPDX-License-Identifier: Apache-2.0
/* The workflow; see workflow.h. */
#include "examples/framecast/workflow.h"

#include "examples/common/config.h"

#include <pthread.h>
#include <sonde/sonde.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 20000 }; /* of arithmetic in a step, some 20 µs */

static const struct {
    const char *id;
    int steps;
} nodes[] = {
    { "CheckpointLoader_1", 1 }, { "TextEncode_1", 1 },   { "TextEncode_2", 1 },
    { "EmptyLatent_1", 1 },      { "KSampler_1", 8 },     { "KSampler_2", 8 },
    { "LatentUpscale_1", 2 },    { "KSampler_3", 30 },    { "VAEDecode_1", 2 },
    { "FaceRestore_1", 2 },      { "Interpolate_1", 2 },  { "ColorMatch_1", 1 },
    { "Watermark_1", 1 },        { "VideoCombine_1", 2 }, { "SaveVideo_1", 1 },
};
enum { NODES = sizeof(nodes) / sizeof(nodes[0]) };

struct workflow {
    sonde_workflow *shown;
    pthread_mutex_t lock;
    char failing_node[32];
    atomic_long step_ms;
    atomic_int steps_done, steps_total;
};

workflow *workflow_new(void)
{
    workflow *w = calloc(1, sizeof(*w));
    if (!w)
        return NULL;
    pthread_mutex_init(&w->lock, NULL);
    w->step_ms = 10;
    for (size_t i = 0; i < NODES; i++)
        w->steps_total += nodes[i].steps;
    return w;
}

void workflow_free(workflow *w)
{
    if (!w)
        return;
    sonde_workflow_free(w->shown);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

void workflow_control(workflow *w, long step_ms, const char *failing_node)
{
    w->step_ms = step_ms;
    pthread_mutex_lock(&w->lock);
    snprintf(w->failing_node, sizeof(w->failing_node), "%s", failing_node);
    pthread_mutex_unlock(&w->lock);
}

int workflow_percent(workflow *w)
{
    return w->steps_done * 100 / w->steps_total;
}

static bool shall_fail(workflow *w, const char *node)
{
    pthread_mutex_lock(&w->lock);
    bool fails = strcmp(w->failing_node, node) == 0;
    pthread_mutex_unlock(&w->lock);
    return fails;
}

/* The last workflow stays to be seen until the next one begins. */
static void show_nodes(workflow *w, const char *generation_id)
{
    sonde_workflow_free(w->shown);
    w->shown = sonde_workflow_new(generation_id);
    sonde_workflow_expect(w->shown, NODES);
    for (size_t i = 0; i < NODES; i++)
        sonde_workflow_node(w->shown, nodes[i].id, "pending");
    w->steps_done = 0;
}

static void compute(uint64_t *state)
{
    for (int i = 0; i < ROUNDS; i++)
        *state = (*state ^ *state >> 27) * 0x3C79AC492BA7B653u + 1;
}

static bool run_node(workflow *w, size_t at, workflow_result *result, workflow_stop *stop,
                     void *user)
{
    const char *id = nodes[at].id;
    int steps = nodes[at].steps;
    SONDE_SPAN ("execute_node", sonde_kv("node.id", id), sonde_kv("node.steps", steps)) {
        sonde_workflow_node(w->shown, id, "running");
        for (int step = 0; step < steps; step++) {
            result->stopped = stop(user) || config_stopping();
            if (result->stopped) {
                sonde_workflow_node(w->shown, id, "stopped");
                return false;
            }
            sonde_workflow_progress(w->shown, id, (uint64_t)step, (uint64_t)steps);
            compute(&result->checksum);
            config_wait((int)w->step_ms);
            w->steps_done++;
            sonde_debug("Step finished", sonde_kv("node_id", id), sonde_kv("step", step + 1),
                        sonde_kv("total", steps));
        }
        sonde_workflow_progress(w->shown, id, (uint64_t)steps, (uint64_t)steps);
        if (shall_fail(w, id)) {
            sonde_workflow_node(w->shown, id, "failed");
            snprintf(result->failed_node, sizeof(result->failed_node), "%s", id);
            sonde_span_error("out_of_memory", "CUDA out of memory");
            sonde_error("Node failed", sonde_kv("node_id", id),
                        sonde_kv("error", "CUDA out of memory"));
            return false;
        }
        sonde_workflow_node(w->shown, id, "completed");
    }
    return true;
}

workflow_result workflow_run(workflow *w, const char *generation_id, const char *prompt,
                             workflow_stop *stop, void *user)
{
    workflow_result result = { .checksum = strlen(prompt) + 1 };
    for (const char *c = prompt; *c; c++)
        result.checksum = result.checksum * 31 + (unsigned char)*c;
    show_nodes(w, generation_id);
    int64_t begun_ms = config_now_ms();
    for (size_t i = 0; i < NODES; i++)
        if (!run_node(w, i, &result, stop, user))
            break;
    result.seconds = (double)(config_now_ms() - begun_ms) / 1000;
    return result;
}
