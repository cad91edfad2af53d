// SPDX-License-Identifier: Apache-2.0
/* Remote write requests: any bytes, of the version that the first one says. What was taken goes out
 * again as either version and comes back with as many samples. */
#include "fuzz/fuzz.h"

#include "codec/remote_write.h"

enum { MEMORY = 16 << 20 };

typedef struct {
    remote_write_version version;
    uint32_t rows;
} received;

static status take(void *user, str body, uint32_t samples, error *err)
{
    received *r = user;
    remote_write_result result;
    batch b;
    batch_init(&b, SIGNAL_METRICS, 16 * (size_t)MEMORY);
    status st = remote_write_decode(&b, body, r->version, NULL, NULL, &result, err);
    FUZZ_CHECK(st == STATUS_OK || st == STATUS_LIMIT);
    if (st == STATUS_OK) {
        FUZZ_CHECK(result.samples + result.histograms + result.rejected == samples);
        FUZZ_CHECK(b.points.count == result.samples + result.histograms);
    }
    batch_done(&b);
    return st;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    batch b;
    error err;
    remote_write_result result;
    remote_write_types *types;
    if (size < 1 || remote_write_types_new(&types, &err) != STATUS_OK)
        return 0;
    batch_init(&b, SIGNAL_METRICS, MEMORY);
    if (remote_write_decode(&b, str_n(data + 1, size - 1), (remote_write_version)(data[0] & 1),
                            NULL, types, &result, &err) == STATUS_OK) {
        for (int v = 0; v < 2; v++) {
            received r = { .version = (remote_write_version)v };
            remote_write_counts counts;
            remote_write_options o = { .version = r.version, .metadata = true };
            status st = remote_write_encode(&b, &o, take, &r, &counts, &err);
            FUZZ_CHECK(st == STATUS_OK || st == STATUS_LIMIT || st == STATUS_NO_MEMORY);
        }
    }
    batch_done(&b);
    remote_write_types_free(types);
    return 0;
}
