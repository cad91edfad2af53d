// SPDX-License-Identifier: Apache-2.0
/* The trace of a job; see trace_job.h. */
#include "examples/common/trace_job.h"

#include <string.h>

/* The request id's member is named as everywhere else in a job. */
static const char *member_of(const char *header)
{
    return strcmp(header, "x-request-id") == 0 ? "request_id" : header;
}

static void set_member(void *user, const char *name, const char *value)
{
    json_object_set_new(user, member_of(name), json_string(value));
}

static const char *get_member(void *user, const char *name)
{
    return json_string_value(json_object_get(user, member_of(name)));
}

void trace_job_inject(json_t *job)
{
    sonde_inject(set_member, job);
}

sonde_context trace_job_extract(const json_t *job)
{
    return sonde_extract(get_member, (void *)job);
}
