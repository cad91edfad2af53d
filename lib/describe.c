// SPDX-License-Identifier: Apache-2.0
/* See describe.h. */
#include "lib/describe.h"

void describe_text(buf *out)
{
    buf_str(out, STR("sonde\n"));
}

void describe_config_json(json_writer *w)
{
    json_begin_object(w);
    json_end_object(w);
}

void describe_status_json(json_writer *w)
{
    json_begin_object(w);
    json_end_object(w);
}
