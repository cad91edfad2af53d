// SPDX-License-Identifier: Apache-2.0
/* One worker as the runner has it: a process, its two outputs and its control line. */
#ifndef DEBUG_SERVER_WORKER_PROCESS_H
#define DEBUG_SERVER_WORKER_PROCESS_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

typedef struct {
    pid_t pid;
    int out, err, control; /* non-blocking; -1: none, or closed */
} worker_process;

/* Starts the program `command[0]` of a repository, with the rest as arguments and `environment`
 * (an object of texts, may be NULL) as all of its environment. False, with why, when it cannot be.
 */
bool worker_start(worker_process *ret, const char *repository, const json_t *command,
                  json_t *environment, long cpu_seconds, char *error, size_t size);
/* Sends one object. False when the worker does not take it. */
bool worker_tell(const worker_process *w, const json_t *message);
/* Ends it, if it runs, and waits for it: the status of waitpid. Closes everything. */
int worker_end(worker_process *w, bool kill_it);

#endif
