// SPDX-License-Identifier: Apache-2.0
/* What the fuzz targets of exposition formats share: whatever is read becomes points, too. */
#ifndef SONDE_FUZZ_EXPOSITION_H
#define SONDE_FUZZ_EXPOSITION_H

#include "codec/exposition.h"
#include "fuzz/fuzz.h"

static inline void fuzz_exposition(exposition_format format, str page, bool option)
{
    exposition_page p;
    exposition_options options = {
        .lenient = option, .native = option, .memory = MiB(16), .sample_limit = 5000
    };
    error err;
    batch b;
    if (exposition_read(&p, format, page, &options, &err) == STATUS_OK) {
        for (int stale = 0; stale < 2; stale++) {
            for (uint32_t i = 0; i < p.sample_count; i++)
                p.samples[i].stale = stale;
            batch_init(&b, SIGNAL_METRICS, MiB(16));
            bool whole = exposition_append(&p, p.samples, p.sample_count, 1, &b);
            FUZZ_CHECK(!whole || batch_row_count(&b) <= p.sample_count);
            batch_done(&b);
        }
    } else {
        FUZZ_CHECK(err.message[0]);
    }
    exposition_done(&p);
}

#endif
