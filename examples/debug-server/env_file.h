// SPDX-License-Identifier: Apache-2.0
/* Settings from a file of lines KEY=VALUE, for --env-file. */
#ifndef DEBUG_SERVER_ENV_FILE_H
#define DEBUG_SERVER_ENV_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* Puts what the file says into the environment; a variable that is set already keeps its value.
 * Lines: KEY=VALUE, "export KEY=VALUE", comments after '#', empty ones. A value in '…' is taken as
 * it is, in "…" \n, \t, \" and \\ are understood; without quotes it ends before " #". False, with
 * "FILE:LINE: what is wrong": nothing was set then. Call it before there are threads. */
bool env_file_load(const char *path, char *error, size_t size);

#endif
