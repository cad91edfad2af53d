// SPDX-License-Identifier: Apache-2.0
/* Secrets in the texts of a request, found by their names: members of a JSON body, fields of a form
 * or query. Nothing else of the text changes, so that malformed and cut ones can be kept too. */
#ifndef SONDE_LIB_REQUEST_REDACT_H
#define SONDE_LIB_REQUEST_REDACT_H

#include "base/buf.h"

#define REDACTED_TEXT "[REDACTED]"

/* A value whose key names a secret becomes the string "[REDACTED]", objects and arrays whole. */
void redact_json_text(buf *out, str json);
/* "a=1&password=[REDACTED]" */
void redact_form_text(buf *out, str form);
/* An absolute URL without user and password, its query as a form. */
void redact_url_text(buf *out, str url);

#endif
