// SPDX-License-Identifier: Apache-2.0
/* The workflow that makes a video: 15 nodes one after the other, each of some steps. What a node
 * computes here is a stand-in for a model: a little arithmetic and a wait. Its progress is
 * /debug/workflow. One workflow at a time. */
#ifndef EXAMPLES_FRAMECAST_WORKFLOW_H
#define EXAMPLES_FRAMECAST_WORKFLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct workflow workflow;

workflow *workflow_new(void);
void workflow_free(workflow *w);

/* How long a step takes, and which node fails from now on ("" none); for demonstrations. */
void workflow_control(workflow *w, long step_ms, const char *failing_node);

/* Whether a generation shall not go on; asked at each step. */
typedef bool workflow_stop(void *user);

typedef struct {
    char failed_node[32]; /* empty: completed, or stopped */
    bool stopped;
    double seconds;
    uint64_t checksum; /* of what the nodes computed: the picture */
} workflow_result;

/* Runs it for one prompt, as a span for each node. */
workflow_result workflow_run(workflow *w, const char *generation_id, const char *prompt,
                             workflow_stop *stop, void *user);
int workflow_percent(workflow *w);

#endif
