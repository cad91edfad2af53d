// SPDX-License-Identifier: Apache-2.0
/* Directories whose names survive a power cut. */
#ifndef SONDE_STORE_DURABLE_H
#define SONDE_STORE_DURABLE_H

#include "base/error.h"

/* mkdir -p with mode 0700. Syncs the parent of each level that is new, and of the last two in any
 * case: an earlier attempt may have made them and failed before it synced. */
MUST_USE status make_dirs_durably(const char *path, error *err);

#endif
