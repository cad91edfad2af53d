// SPDX-License-Identifier: Apache-2.0
/* sonde version */
#include "cmd/cmd.h"

#include <stdio.h>
#include <string.h>

int cmd_version(int argc, char **argv)
{
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        puts("usage: sonde version");
        return EXIT_GOOD;
    }
    if (argc > 1) {
        fprintf(stderr, "sonde version: \"%s\" is not wanted here\n", argv[1]);
        return EXIT_USAGE;
    }
    puts("sonde " SONDE_VERSION);
    return EXIT_GOOD;
}
