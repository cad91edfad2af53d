// SPDX-License-Identifier: Apache-2.0
/* Turns a command into a job and has an agent do it: parses the intent, stores the job, works it
 * off on threads of its own. Shared by all threads. */
#ifndef EXAMPLES_SIXSEVEN_ORCHESTRATOR_H
#define EXAMPLES_SIXSEVEN_ORCHESTRATOR_H

#include "examples/sixseven/agent.h"

typedef struct orchestrator orchestrator;

typedef struct {
    database *database;
    sonde_jobs *jobs; /* the observer of all jobs */
    agent_settings agents;
    unsigned threads; /* at most 64 */
} orchestrator_options;

/* Also takes up what an earlier process left unfinished. NULL after a message on stderr. */
orchestrator *orchestrator_start(const orchestrator_options *options);
/* Jobs that run are left to the next start. */
void orchestrator_stop(orchestrator *o);

typedef enum { COMMAND_ACCEPTED, COMMAND_UNCLEAR, COMMAND_NOT_STORED, COMMAND_TOO_MANY } accepted;
/* A command (session_id, command, image and options of `j`) becomes a job that an agent does;
 * COMMAND_ACCEPTED: id, type and status of `j` are set, and the texts are taken over. Its span is
 * the current one. */
accepted orchestrator_handle(orchestrator *o, job *j);

typedef enum { CANCEL_ACCEPTED, CANCEL_UNKNOWN, CANCEL_TOO_LATE, CANCEL_NOT_STORED } cancelled;
cancelled orchestrator_cancel(orchestrator *o, const char *id);

#endif
