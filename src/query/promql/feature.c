// SPDX-License-Identifier: Apache-2.0
/* The language's features that are off by default, by Prometheus's names. */
#include "query/promql/ast.h"

static const struct {
    const char *name;
    uint32_t feature;
} features[] = {
    { "promql-experimental-functions", PROMQL_EXPERIMENTAL_FUNCTIONS },
    { "promql-duration-expr", PROMQL_DURATION_EXPR },
    { "promql-delayed-name-removal", PROMQL_DELAYED_NAME_REMOVAL },
    { "promql-extended-range-selectors", PROMQL_EXTENDED_RANGE_SELECTORS },
    { "promql-binop-fill-modifiers", PROMQL_BINOP_FILL_MODIFIERS },
    { "promql-per-step-stats", PROMQL_PER_STEP_STATS },
    { "promql-unquoted-utf8-names", PROMQL_UNQUOTED_UTF8_NAMES },
};

uint32_t promql_feature_find(str name)
{
    for (size_t i = 0; i < ARRAY_LEN(features); i++)
        if (str_is(name, features[i].name))
            return features[i].feature;
    return 0;
}
