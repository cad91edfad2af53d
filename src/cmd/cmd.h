// SPDX-License-Identifier: Apache-2.0
/* Subcommands of `sonde`: one file each, one row each in main.c. */
#ifndef SONDE_CMD_CMD_H
#define SONDE_CMD_CMD_H

/* Exit codes (docs/cli.md). */
enum { EXIT_GOOD = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_PROBLEMS = 3 };

/* argv[0] is the subcommand's name. Errors go to stderr as one plain line. */
typedef int cmd_main(int argc, char **argv);

cmd_main cmd_serve, cmd_query, cmd_tail, cmd_trace, cmd_recover, cmd_check, cmd_test, cmd_gen,
    cmd_version;

#endif
