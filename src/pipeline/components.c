// SPDX-License-Identifier: Apache-2.0
/* Every component there is, by kind and name: a row each. What one is: component.h. */
#include "pipeline/component.h"

/* clang-format off: a row each */
#define COMPONENTS(X) \
    X(elasticsearch_receiver) \
    X(filelog_receiver) \
    X(jaeger_receiver) \
    X(loki_receiver) \
    X(otlp_receiver) \
    X(prometheus_receiver) \
    X(prometheusremotewrite_receiver) \
    X(recorder_receiver) \
    X(zipkin_receiver) \
    X(attributes_processor) \
    X(batch_processor) \
    X(filter_processor) \
    X(memory_limiter_processor) \
    X(probabilistic_sampler_processor) \
    X(redaction_processor) \
    X(resource_processor) \
    X(tail_sampling_processor) \
    X(count_connector) \
    X(forward_connector) \
    X(debug_exporter) \
    X(file_exporter) \
    X(jaeger_exporter) \
    X(logging_exporter) \
    X(loki_exporter) \
    X(otlp_exporter) \
    X(otlphttp_exporter) \
    X(prometheus_exporter) \
    X(prometheusremotewrite_exporter) \
    X(sonde_exporter) \
    X(zipkin_exporter) \
    X(basicauth_extension) \
    X(bearertokenauth_extension) \
    X(file_storage_extension) \
    X(health_check_extension) \
    X(pprof_extension) \
    X(sonde_rules_extension) \
    X(sonde_web_extension) \
    X(zpages_extension)
/* clang-format on */

#define X(name) extern const component_type name;
COMPONENTS(X)
#undef X

#define X(name) &name,
static const component_type *const all[] = { COMPONENTS(X) NULL };
#undef X

static const char *const kind_names[COMPONENT_KINDS] = { "receiver", "processor", "connector",
                                                         "exporter", "extension" };

const char *component_kind_name(component_kind k)
{
    return kind_names[k];
}

const component_type *const *component_all(size_t *ret_count)
{
    *ret_count = ARRAY_LEN(all) - 1;
    return all;
}

const component_type *component_find(component_kind k, str type)
{
    for (size_t i = 0; all[i]; i++)
        if (all[i]->kind == k && str_is(type, all[i]->type))
            return all[i];
    return NULL;
}
