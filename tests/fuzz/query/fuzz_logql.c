// SPDX-License-Identifier: Apache-2.0
/* LogQL: whatever parses also runs, over lines of every kind, within its limits. */
#include "fuzz/fuzz.h"

#include "query/logql/logql.h"
#include "unit/query/fake_store.h"

static store *some_lines(void)
{
    store *s = fake_store_new();
    fake_add_log(s, 1 * NS_PER_S, "api", 9, "plain text", (const char *const[]){ "a", "1", NULL });
    fake_add_log(s, 2 * NS_PER_S, "api", 17,
                 "{\"a\":{\"b\":1.5},\"c\":[1],\"d\":null,\"e\":\"10ms\"}", NULL);
    fake_add_log(s, 3 * NS_PER_S, "worker", 0, "a=1 b=\"two\\n\" c", NULL);
    fake_add_log(s, 4 * NS_PER_S, "worker", 13, "{broken a=\"", NULL);
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    str query = str_n(data, size);
    logql_query q;
    error err;
    arena a;
    arena_init(&a, MiB(32));
    if (size > KiB(4) || logql_parse(&q, query, &a, &err) != STATUS_OK) {
        arena_done(&a);
        return 0;
    }
    FUZZ_CHECK((q.root != NULL) != (q.pipeline != NULL));
    store *s = some_lines();
    if (q.pipeline) {
        logql_lines lines;
        logql_options o = { .to_ns = 10 * NS_PER_S, .limit = 3, .newest_first = size & 1 };
        if (logql_select(s, q.pipeline, &o, &a, &lines, &err) == STATUS_OK)
            FUZZ_CHECK(lines.count <= 3);
        if (logql_accept(q.pipeline, &s->rows[SIGNAL_LOGS], 10, &a, &lines, &err) == STATUS_OK)
            FUZZ_CHECK(lines.count <= 4);
    } else {
        promql_result r;
        promql_options o = { .end_ms = 10000, .step_ms = 1000, .sample_limit = 20000 };
        if (logql_range_query(s, &q, query, &o, &a, &r, &err) == STATUS_OK)
            for (uint32_t i = 0; i < r.count; i++)
                FUZZ_CHECK(r.series[i].count > 0 && r.series[i].count <= 11);
    }
    fake_store_free(s);
    arena_done(&a);
    return 0;
}
