// SPDX-License-Identifier: Apache-2.0
/* Extensions that Collector files have and that nothing is left to do for: they are accepted, their
 * options checked for known names, and a warning says that they have no effect (all of their
 * options are OPTION_IGNORED). */
#include "pipeline/component.h"

#define IGNORED(name_, why_) \
    { \
        .name = (name_), .type = OPTION_IGNORED, .help = (why_) \
    }
#define ACCEPTED(rows_) \
    { \
        .rows = (rows_), .count = ARRAY_LEN(rows_), .size = 1 \
    }

#define WHY_STORED "what must last lies in the intake log and in DATA/pipeline"
static const option storage_rows[] = {
    IGNORED("directory", WHY_STORED),        IGNORED("timeout", WHY_STORED),
    IGNORED("compaction", WHY_STORED),       IGNORED("fsync", WHY_STORED),
    IGNORED("create_directory", WHY_STORED), IGNORED("directory_permissions", WHY_STORED),
    IGNORED("recreate", WHY_STORED),
};

#define WHY_PPROF "this server has no Go profiles; perf and gdb read it"
static const option pprof_rows[] = {
    IGNORED("endpoint", WHY_PPROF),
    IGNORED("dialer", WHY_PPROF),
    IGNORED("block_profile_fraction", WHY_PPROF),
    IGNORED("mutex_profile_fraction", WHY_PPROF),
    IGNORED("save_to_file", WHY_PPROF),
};

#define WHY_ZPAGES "the web UI shows what the pipelines do"
static const option zpages_rows[] = {
    IGNORED("endpoint", WHY_ZPAGES), IGNORED("expvar", WHY_ZPAGES), IGNORED("tls", WHY_ZPAGES),
    IGNORED("auth", WHY_ZPAGES),     IGNORED("cors", WHY_ZPAGES),
};

static status open_nothing(void **ret_self, component *c, error *err)
{
    (void)err;
    *ret_self = c;
    return STATUS_OK;
}

const component_type file_storage_extension = {
    .type = "file_storage",
    .kind = COMPONENT_EXTENSION,
    .help = "Accepted, without effect: what must last is in the intake log already.",
    .options = ACCEPTED(storage_rows),
    .open = open_nothing,
};

const component_type pprof_extension = {
    .type = "pprof",
    .kind = COMPONENT_EXTENSION,
    .help = "Accepted, without effect: there are no Go profiles of this server.",
    .options = ACCEPTED(pprof_rows),
    .open = open_nothing,
};

const component_type zpages_extension = {
    .type = "zpages",
    .kind = COMPONENT_EXTENSION,
    .help = "Accepted, without effect: the web UI and /metrics show what the pipelines do.",
    .options = ACCEPTED(zpages_rows),
    .open = open_nothing,
};
