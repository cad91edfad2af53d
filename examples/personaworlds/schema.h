// SPDX-License-Identifier: Apache-2.0
/* The tables, as numbered migrations that are noted in the table schema_migrations. */
#ifndef EXAMPLES_PERSONAWORLDS_SCHEMA_H
#define EXAMPLES_PERSONAWORLDS_SCHEMA_H

#include "examples/common/database.h"

/* Applies the migrations that are not noted yet, in order. False when one fails. */
bool schema_migrate(database *d);

/* For sonde_health_check_new with a `database *`: whether every migration that this program was
 * built with is applied; the detail names the first that is not. */
bool schema_check(void *user, char *detail, size_t size);

#endif
