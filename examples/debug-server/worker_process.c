// SPDX-License-Identifier: Apache-2.0
/* Starts and ends workers; see worker_process.h. The worker sets its limits itself before it reads
 * the program. */
#include "examples/debug-server/worker_process.h"

#include "examples/common/config.h"
#include "examples/debug-server/protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CONTROL = 3, MAX_VARIABLES = 40, PATH_BYTES = 1024 };

/* The worker's program stands beside the runner's. */
static void worker_path(char ret[PATH_BYTES])
{
    ssize_t n = readlink("/proc/self/exe", ret, PATH_BYTES - 8);
    ret[n > 0 ? n : 0] = 0;
    char *slash = strrchr(ret, '/');
    snprintf(slash ? slash + 1 : ret, 8, "worker");
}

/* A file name without folders: nothing outside of the repository can be named. */
static bool program_path(const char *repository, const char *name, char ret[PATH_BYTES],
                         char *error, size_t size)
{
    const char *root = config_text("DEBUG_REPOSITORIES", "examples/debug-server/repositories");
    int n = snprintf(ret, PATH_BYTES, "%s/%s/%s", root, repository, name);
    if (strchr(name, '/') || name[0] == '.' || n >= PATH_BYTES || access(ret, R_OK) != 0) {
        snprintf(error, size, "the repository %s has no program of that name", repository);
        return false;
    }
    return true;
}

static void close_pair(const int pair[2])
{
    for (int i = 0; i < 2; i++)
        if (pair[i] >= 0)
            close(pair[i]);
}

/* The worker's environment: the session's alone. Freed by the caller, texts too. */
static char **environment_of(json_t *object)
{
    char **list = calloc(MAX_VARIABLES + 1, sizeof(*list));
    const char *name;
    json_t *value;
    int n = 0;
    json_object_foreach(object, name, value) if (list && n < MAX_VARIABLES &&
                                                 asprintf(&list[n], "%s=%s", name,
                                                          json_string_value(value)) > 0) n++;
    return list;
}

static int spawn(pid_t *pid, char *const *argv, char *const *environment, int out, int err,
                 int control)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigemptyset(&none);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, out, 1);
    posix_spawn_file_actions_adddup2(&files, err, 2);
    posix_spawn_file_actions_adddup2(&files, control, CONTROL);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    int problem = posix_spawn(pid, argv[0], &files, &attributes, argv, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return problem;
}

static int run(pid_t *pid, const char *program, const json_t *command, json_t *environment,
               long cpu_seconds, const int pipes[3][2])
{
    char path[PATH_BYTES], self[24], seconds[24];
    char *argv[ARGUMENTS_MAX + 5] = { path, self, seconds, (char *)(uintptr_t)program };
    char **variables = environment_of(environment);
    worker_path(path);
    snprintf(self, sizeof(self), "%d", getpid());
    snprintf(seconds, sizeof(seconds), "%ld", cpu_seconds);
    for (size_t i = 1; i < json_array_size(command) && i < ARGUMENTS_MAX; i++)
        argv[i + 3] = (char *)(uintptr_t)json_string_value(json_array_get(command, i));
    int problem =
        variables ? spawn(pid, argv, variables, pipes[0][1], pipes[1][1], pipes[2][1]) : ENOMEM;
    for (int i = 0; variables && variables[i]; i++)
        free(variables[i]);
    free(variables);
    return problem;
}

bool worker_start(worker_process *ret, const char *repository, const json_t *command,
                  json_t *environment, long cpu_seconds, char *error, size_t size)
{
    int pipes[3][2] = { { -1, -1 }, { -1, -1 }, { -1, -1 } }, problem;
    char program[PATH_BYTES];
    const char *name = json_string_value(json_array_get(command, 0));
    if (!program_path(repository, name ? name : "", program, error, size))
        return false;
    if (pipe2(pipes[0], O_CLOEXEC) != 0 || pipe2(pipes[1], O_CLOEXEC) != 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pipes[2]) != 0)
        problem = errno;
    else
        problem = run(&ret->pid, program, command, environment, cpu_seconds, pipes);
    if (problem) {
        snprintf(error, size, "cannot start a worker: %s", strerror(problem));
        for (int i = 0; i < 3; i++)
            close_pair(pipes[i]);
        return false;
    }
    for (int i = 0; i < 3; i++) {
        close(pipes[i][1]);
        fcntl(pipes[i][0], F_SETFL, O_NONBLOCK);
    }
    ret->out = pipes[0][0];
    ret->err = pipes[1][0];
    ret->control = pipes[2][0];
    return true;
}

bool worker_tell(const worker_process *w, const json_t *message)
{
    char *text = json_dumps(message, JSON_COMPACT);
    size_t len = text ? strlen(text) : 0;
    if (text)
        text[len++] = '\n'; /* in the terminator's place */
    bool good = text && send(w->control, text, len, MSG_NOSIGNAL) == (ssize_t)len;
    free(text);
    return good;
}

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

int worker_end(worker_process *w, bool kill_it)
{
    int status = 0;
    if (kill_it)
        kill(w->pid, SIGKILL);
    while (waitpid(w->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    close_end(&w->out);
    close_end(&w->err);
    close_end(&w->control);
    return status;
}
