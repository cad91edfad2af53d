// SPDX-License-Identifier: Apache-2.0
/* `sonde`: finds the subcommand and runs it. */
#include "cmd/cmd.h"

#include "base/str.h"

#include <stdio.h>
#include <unistd.h>

static cmd_main cmd_help;

typedef struct {
    const char *name;
    cmd_main *run;
    const char *help;
} command;

static const command commands[] = {
    { "serve", cmd_serve, "receive, store and query telemetry; the web UI" },
    { "query", cmd_query, "run a PromQL or LogQL query, or search traces" },
    { "tail", cmd_tail, "follow logs live" },
    { "trace", cmd_trace, "print one trace as a waterfall" },
    { "recover", cmd_recover, "read what dead processes left in their recorders" },
    { "check", cmd_check, "judge a configuration file without running it" },
    { "test", cmd_test, "run unit tests of rules" },
    { "gen", cmd_gen, "send synthetic load, every item numbered" },
    { "version", cmd_version, "print the version" },
    { "help", cmd_help, "print this list; `sonde COMMAND --help` tells more" },
};

static void print_commands(FILE *to)
{
    fputs("usage: sonde COMMAND [OPTION]...\n\ncommands:\n", to);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        fprintf(to, "  %-9s %s\n", commands[i].name, commands[i].help);
}

static const command *find_command(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (str_is(str_c(name), commands[i].name))
            return &commands[i];
    return NULL;
}

static int unknown_command(const char *name)
{
    fprintf(stderr, "sonde: \"%s\" is no command; `sonde help` lists them\n", name);
    return EXIT_USAGE;
}

static int cmd_help(int argc, char **argv)
{
    if (argc < 2) {
        print_commands(stdout);
        return EXIT_GOOD;
    }
    const command *c = find_command(argv[1]);
    if (!c)
        return unknown_command(argv[1]);
    if (c->run == cmd_help) {
        print_commands(stdout);
        return EXIT_GOOD;
    }
    return c->run(2, (char *[]){ argv[1], (char[]){ "--help" }, NULL });
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_commands(stderr);
        return EXIT_USAGE;
    }
    str first = str_c(argv[1]);
    if (str_is(first, "--help") || str_is(first, "-h"))
        return cmd_help(1, argv);
    if (str_is(first, "--version"))
        return cmd_version(1, argv + 1);
    const command *c = find_command(argv[1]);
    return c ? c->run(argc - 1, argv + 1) : unknown_command(argv[1]);
}
