// SPDX-License-Identifier: Apache-2.0
/* The exporter of a library that was built without libcurl: there is none, and it says so. */
#include "lib/export.h"

#if !SONDE_EXPORT
status exporter_new(exporter **ret UNUSED, const settings *s UNUSED, export_done_fn *done UNUSED,
                    void *user UNUSED, error *err)
{
    return fail(err, STATUS_UNSUPPORTED, "this build of libsonde sends nothing over the network");
}

void exporter_free(exporter *e UNUSED)
{
}

status export_prepare(error *err)
{
    return fail(err, STATUS_UNSUPPORTED, "this build of libsonde sends nothing over the network");
}

lane_state exporter_state(const exporter *e UNUSED, lane_id lane UNUSED)
{
    return LANE_IDLE;
}

status exporter_encode(const exporter *e UNUSED, lane_id lane UNUSED, const batch *b UNUSED,
                       buf *out UNUSED, error *err)
{
    return fail(err, STATUS_UNSUPPORTED, "this build of libsonde sends nothing over the network");
}

bool exporter_encodes_protobuf(const exporter *e UNUSED, lane_id lane UNUSED)
{
    return false;
}

status exporter_send(exporter *e UNUSED, lane_id lane UNUSED, str body UNUSED, uint64_t rows UNUSED,
                     error *err)
{
    return fail(err, STATUS_UNSUPPORTED, "this build of libsonde sends nothing over the network");
}

void exporter_step(exporter *e UNUSED)
{
}

void exporter_wait(exporter *e UNUSED, int timeout_ms UNUSED)
{
}

void exporter_wake(exporter *e UNUSED)
{
}

int exporter_next_ms(const exporter *e UNUSED)
{
    return -1;
}

void exporter_report(exporter *e UNUSED, lane_id lane UNUSED, lane_report *ret)
{
    *ret = (lane_report){ .protocol = "none" };
}
#endif
