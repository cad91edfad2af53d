// SPDX-License-Identifier: Apache-2.0
/* What `sonde check config` tells about components, out of their option tables; the other things
 * that are checked. */
#ifndef SONDE_CMD_CHECK_H
#define SONDE_CMD_CHECK_H

#include "pipeline/component.h"

/* A line for each component. */
void check_list_components(buf *out);
/* Every component of that type with its options, as text for a terminal; false: there is none. */
bool check_describe(str type, buf *out);
/* docs/reference/collector.md */
void check_write_reference(buf *out);

/* sonde check rules; argv: what follows these words. The exit code. */
int check_rules(int argc, char **argv);
/* sonde check alerts: the same. */
int check_alerts(int argc, char **argv);

#endif
