// SPDX-License-Identifier: Apache-2.0
/* PromQL: what parses, prints as something that parses and prints the same again; and it evaluates
 * over a small store without harm, within its limits. */
#include "fuzz/fuzz.h"

#include "query/promql/promql.h"
#include "unit/query/fake_store.h"

#include <math.h>

static store *some_series(void)
{
    static const char *const names[] = { "a", "b_bucket" };
    store *s = fake_store_new();
    for (size_t n = 0; n < ARRAY_LEN(names); n++) {
        for (int i = 0; i < 3; i++) {
            char le[8];
            snprintf(le, sizeof(le), i == 2 ? "+Inf" : "%d", i);
            label l[] = { { STR("__name__"), str_c(names[n]) }, { STR("le"), str_c(le) } };
            int64_t times[20];
            double v[20];
            for (int k = 0; k < 20; k++) {
                times[k] = k * 15000;
                v[k] = k % 7 ? k * (i + 1) : (double)NAN;
            }
            fake_add_samples(s, (labels){ l, 2 }, times, v, 20);
        }
    }
    return s;
}

static void print(const promql_node *n, buf *out)
{
    buf_init(out, MiB(4));
    promql_print(out, n);
    FUZZ_CHECK(!out->failed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    str query = str_n(data, size);
    const promql_node *n, *again;
    promql_result r;
    error err;
    arena a;
    arena_init(&a, MiB(32));
    if (size > KiB(4) || promql_parse(&n, query, 0, &a, &err) != STATUS_OK) {
        arena_done(&a);
        return 0;
    }
    buf first, second;
    print(n, &first);
    FUZZ_CHECK(promql_parse(&again, buf_view(&first), 0, &a, &err) == STATUS_OK);
    print(again, &second);
    FUZZ_CHECK(str_eq(buf_view(&first), buf_view(&second)));
    store *s = some_series();
    promql_options o = {
        .start_ms = 60000, .end_ms = 240000, .step_ms = 30000, .sample_limit = 20000
    };
    if (promql_range_query(s, n, query, &o, &a, &r, &err) == STATUS_OK)
        for (uint32_t i = 0; i < r.count; i++)
            FUZZ_CHECK(r.series[i].count > 0 && r.series[i].count <= 7);
    o.end_ms = o.start_ms;
    (void)!promql_instant(s, n, query, &o, &a, &r, &err);
    fake_store_free(s);
    buf_done(&first);
    buf_done(&second);
    arena_done(&a);
    return 0;
}
