// SPDX-License-Identifier: Apache-2.0
/* Texts of requests and statements as they come from anywhere: bodies, forms and URLs lose their
 * secrets once and for all, SQL texts their literals, within bounds. */
#include "fuzz/fuzz.h"

#include "lib/db.h"
#include "lib/request_redact.h"

typedef void redactor(buf *out, str text);

/* What was redacted has nothing more to redact. */
static void check_redactor(redactor *redact, str text)
{
    buf once, twice;
    buf_init(&once, 0);
    buf_init(&twice, 0);
    redact(&once, text);
    FUZZ_CHECK(once.len <= 8 * text.len + 16);
    redact(&twice, buf_view(&once));
    FUZZ_CHECK(str_eq(buf_view(&once), buf_view(&twice)));
    buf_done(&once);
    buf_done(&twice);
}

static void check_sql(str text, bool quotes_are_text)
{
    buf out;
    sql_summary summary;
    buf_init(&out, 0);
    sql_clean(text, quotes_are_text, &out, &summary);
    FUZZ_CHECK(out.len <= 2 * text.len + 2);
    FUZZ_CHECK(strnlen(summary.summary, sizeof(summary.summary)) < sizeof(summary.summary));
    FUZZ_CHECK(strnlen(summary.operation, sizeof(summary.operation)) < sizeof(summary.operation));
    buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    str text = str_n(data, size);
    check_redactor(redact_json_text, text);
    check_redactor(redact_form_text, text);
    check_redactor(redact_url_text, text);
    check_sql(text, false);
    check_sql(text, true);
    return 0;
}
