// SPDX-License-Identifier: Apache-2.0
/* Names and limits that server, runner and client agree on. */
#ifndef DEBUG_SERVER_PROTOCOL_H
#define DEBUG_SERVER_PROTOCOL_H

#define SESSIONS_QUEUE "debug_sessions"

enum {
    SERVER_PORT = 8000,
    RUNNER_PORT = 8001,
    SESSION_SECONDS = 30,      /* unless the session asks for less */
    SESSION_SECONDS_MAX = 600, /* DEBUG_SESSION_SECONDS_MAX */
    OUTPUT_BYTES = 4 << 20,    /* DEBUG_OUTPUT_BYTES: a worker that writes more is ended */
    OUTPUT_LINE_BYTES = 2048,  /* longer lines are cut */
    MESSAGE_BYTES = 64 << 10,
    ARGUMENTS_MAX = 16,
    PENDING_COMMANDS = 32, /* of one session, not answered yet */
    COMMAND_BYTES = 4096,
    CONTROL_LINE_BYTES = 32 << 10, /* one reply or event of a worker */
    COMMAND_MS = 5000,             /* a worker answers within that */
};

/* What a client may have the debugger do; the label of its metrics. */
static const char *const debugger_commands[] = {
    "set_breakpoint", "clear_breakpoint", "continue",  "step",
    "pause",          "evaluate",         "variables", "where",
};

#endif
