// SPDX-License-Identifier: Apache-2.0
/* The library's own state, for people and for /debug: what is configured and where each setting
 * came from, the recorder, the sinks, what was taken, sent and dropped. Secrets are redacted here,
 * whatever the caller does. Any thread, at any time; while the library starts or stops (or is off)
 * each says just that, after a quarter of a second at most. */
#ifndef SONDE_LIB_DESCRIBE_H
#define SONDE_LIB_DESCRIBE_H

#include "base/buf.h"
#include "codec/json.h"
#include "lib/env.h"

/* Lines of text, as sonde_describe writes them. */
void describe_text(buf *out);

/* One object: {"OTEL_SERVICE_NAME":{"value":"api","from":"option"},…}, "from" being "default",
 * "option" or "environment"; "value" is text. */
void describe_config_json(json_writer *w);

/* Every setting with its value as text, secrets redacted, and its origin. The texts are valid
 * during the call only. */
typedef void describe_setting_fn(void *user, str name, str text, setting_origin from);
void describe_each_setting(const settings *s, describe_setting_fn *each, void *user);
const char *describe_origin(setting_origin from); /* "default", "option", "environment" */

/* One object: {"state":"running","service":…,"recorder":{"path":…,"bytes":…,"used_bytes":…},
 * "sinks":[{"name":"otlp traces","state":"waiting",…}],
 * "signals":{"logs":{"read":…,"dropped":{"recorder_full":…}},…}} */
void describe_status_json(json_writer *w);

#endif
