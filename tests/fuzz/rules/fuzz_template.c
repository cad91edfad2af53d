// SPDX-License-Identifier: Apache-2.0
/* Templates of rules (first byte even) and of notifications: whatever parses is executed within its
 * limits; a name that the text defines is known afterwards. */
#include "fuzz/fuzz.h"

#include "rules/template.h"

static const label labels_of_alert[] = { { STR_INIT("instance"), STR_INIT("host:80") },
                                         { STR_INIT("job"), STR_INIT("api") } };

static status query(void *user, str expression, arena *a, template_value *ret, error *err)
{
    static const double value = 3;
    (void)user;
    (void)err;
    promql_series series = { .labels = { labels_of_alert, 2 }, .value = &value, .count = 1 };
    promql_result result = { .type = PROMQL_VECTOR,
                             .series = &series,
                             .count = expression.len % 2 };
    return template_vector(a, &result, ret) ? STATUS_OK : STATUS_LIMIT;
}

static template_value data_of(arena *a)
{
    template_member *m = ARENA_ARRAY(a, template_member, 3);
    template_value *alerts = ARENA_ARRAY(a, template_value, 1);
    m[0] = (template_member){ STR("Status"), template_text(STR("firing")) };
    m[1] = (template_member){ STR("StartsAt"), template_time(1700000000 * NS_PER_S) };
    m[2].name = STR("Alerts");
    alerts[0] = template_struct(m, 2, &template_type_alert);
    m[2].value = template_list(alerts, 1, &template_type_alerts);
    return template_struct(m, 3, &template_type_data);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    arena a;
    buf out;
    error err;
    template_set *set = NULL;
    if (size == 0)
        return 0;
    str text = str_n(bytes + 1, size - 1);
    template_context context = { .external_url = STR("http://x/y"),
                                 .query = query,
                                 .html = bytes[0] % 4 == 3,
                                 .output_limit = KiB(64),
                                 .step_limit = 2000 };
    arena_init(&a, MiB(16));
    buf_init(&out, MiB(1));
    if (bytes[0] % 2 == 0) {
        template_alert alert = { .labels = { labels_of_alert, 2 }, .value = 1.5 };
        if (template_parse_alert(&set, &a, STR("A"), text, &err) == STATUS_OK)
            (void)template_expand_alert(set, &alert, &context, &a, &out, &err);
    } else {
        set = template_set_new(&a, TEMPLATE_ALERTMANAGER);
        template_value data = data_of(&a);
        if (set && template_parse(set, STR("x"), text, &err) == STATUS_OK) {
            FUZZ_CHECK(template_has(set, STR("x")));
            status st = template_execute(set, STR("x"), &data, &context, &a, &out, &err);
            FUZZ_CHECK(st == STATUS_OK || out.len == 0);
        }
    }
    FUZZ_CHECK(out.len <= KiB(64) + 512);
    buf_done(&out);
    arena_done(&a);
    return 0;
}
