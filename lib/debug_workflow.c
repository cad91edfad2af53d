// SPDX-License-Identifier: Apache-2.0
/* Workflows: lists of nodes with their progress, changed by the program and shown by
 * /debug/workflow. One lock over all; nodes are found by a walk from the one touched last. */
#include "lib/debug_internal.h"

#include <stdlib.h>

enum { WORKFLOWS_MAX = 256, NODES_MAX = 4096, STATUS_SIZE = 32 };

typedef struct {
    char id[DEBUG_NAME_SIZE];
    char status[STATUS_SIZE];
    uint64_t steps, total;
    bool has_progress;
} workflow_node;

struct sonde_workflow {
    char name[DEBUG_NAME_SIZE];
    uint32_t expected;
    workflow_node *nodes;
    uint32_t count, capacity;
    uint32_t last; /* touched */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static sonde_workflow *workflows[WORKFLOWS_MAX];
static size_t workflow_count;

void debug_workflow_forked(void)
{
    lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}

sonde_workflow *sonde_workflow_new(const char *name)
{
    sonde_workflow *w = calloc(1, sizeof(*w));
    if (!w)
        return NULL;
    str_copy_c(w->name, sizeof(w->name), str_c(name));
    pthread_mutex_lock(&lock);
    bool room = workflow_count < WORKFLOWS_MAX;
    if (room)
        workflows[workflow_count++] = w;
    pthread_mutex_unlock(&lock);
    if (room)
        return w;
    free(w);
    return NULL;
}

void sonde_workflow_free(sonde_workflow *workflow)
{
    if (!workflow)
        return;
    pthread_mutex_lock(&lock);
    size_t i = 0;
    while (i < workflow_count && workflows[i] != workflow)
        i++;
    if (i < workflow_count) {
        memmove(&workflows[i], &workflows[i + 1], (workflow_count - i - 1) * sizeof(void *));
        workflow_count--;
    }
    pthread_mutex_unlock(&lock);
    free(workflow->nodes);
    free(workflow);
}

void sonde_workflow_expect(sonde_workflow *workflow, uint32_t nodes)
{
    if (!workflow)
        return;
    pthread_mutex_lock(&lock);
    workflow->expected = nodes;
    pthread_mutex_unlock(&lock);
}

static workflow_node *add_node(sonde_workflow *w, const char *id)
{
    if (w->count == NODES_MAX)
        return NULL;
    if (w->count == w->capacity) {
        uint32_t capacity = w->capacity ? w->capacity * 2 : 16;
        workflow_node *more = realloc(w->nodes, capacity * sizeof(*more));
        if (!more)
            return NULL;
        w->nodes = more;
        w->capacity = capacity;
    }
    workflow_node *n = &w->nodes[w->last = w->count++];
    *n = (workflow_node){ .steps = 0 };
    str_copy_c(n->id, sizeof(n->id), str_c(id));
    return n;
}

/* Under the lock. The node, made with `status` when it is new; NULL when there is no room. */
static workflow_node *find_node(sonde_workflow *w, const char *id, const char *status)
{
    char key[DEBUG_NAME_SIZE];
    str_copy_c(key, sizeof(key), str_c(id));
    for (uint32_t i = 0; i < w->count; i++) {
        uint32_t at = (w->last + i) % w->count;
        if (strcmp(w->nodes[at].id, key) == 0)
            return &w->nodes[w->last = at];
    }
    workflow_node *n = add_node(w, key);
    if (n)
        str_copy_c(n->status, sizeof(n->status), str_c(status));
    return n;
}

bool sonde_workflow_node(sonde_workflow *workflow, const char *id, const char *status)
{
    if (!workflow || !id)
        return false;
    pthread_mutex_lock(&lock);
    workflow_node *n = find_node(workflow, id, "pending");
    if (n && status)
        str_copy_c(n->status, sizeof(n->status), str_c(status));
    pthread_mutex_unlock(&lock);
    return n != NULL;
}

bool sonde_workflow_progress(sonde_workflow *workflow, const char *id, uint64_t steps,
                             uint64_t total)
{
    if (!workflow || !id)
        return false;
    pthread_mutex_lock(&lock);
    workflow_node *n = find_node(workflow, id, "running");
    if (n) {
        n->steps = steps;
        n->total = total;
        n->has_progress = true;
    }
    pthread_mutex_unlock(&lock);
    return n != NULL;
}

/* ---- the page ---- */

static void put_node(json_writer *w, const sonde_workflow *flow, const workflow_node *n)
{
    json_begin_object(w);
    JSON_PUT(w, str, "id", str_c(n->id));
    JSON_PUT(w, str, "status", str_c(n->status));
    if (flow->name[0])
        JSON_PUT(w, str, "workflow", str_c(flow->name));
    if (n->has_progress) {
        json_key(w, STR("progress"));
        json_begin_object(w);
        JSON_PUT(w, u64, "steps", n->steps);
        if (n->total)
            JSON_PUT(w, u64, "total", n->total);
        json_end_object(w);
    }
    json_end_object(w);
}

static void count_nodes(uint64_t *ret_total, uint64_t *ret_completed)
{
    *ret_total = *ret_completed = 0;
    for (size_t i = 0; i < workflow_count; i++) {
        const sonde_workflow *flow = workflows[i];
        *ret_total += MAX(flow->expected, flow->count);
        for (uint32_t j = 0; j < flow->count; j++)
            *ret_completed += strcmp(flow->nodes[j].status, "completed") == 0;
    }
}

int debug_workflow_page(page *p)
{
    char wanted[QUERY_TEXT_MAX];
    bool all = !query_get(p->query, "status", wanted);
    uint64_t total, completed;
    json_writer w = debug_begin_json(p);
    pthread_mutex_lock(&lock);
    count_nodes(&total, &completed);
    JSON_PUT(&w, u64, "nodes_total", total);
    JSON_PUT(&w, u64, "nodes_completed", completed);
    json_key(&w, STR("nodes"));
    json_begin_array(&w);
    for (size_t i = 0; i < workflow_count; i++)
        for (uint32_t j = 0; j < workflows[i]->count; j++)
            if (all || strcmp(workflows[i]->nodes[j].status, wanted) == 0)
                put_node(&w, workflows[i], &workflows[i]->nodes[j]);
    pthread_mutex_unlock(&lock);
    json_end_array(&w);
    return debug_end_json(p, &w);
}
