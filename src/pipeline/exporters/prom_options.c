// SPDX-License-Identifier: Apache-2.0
/* How names and resources become series; see prom_options.h. */
#include "pipeline/exporters/prom_options.h"

enum { AS_SUFFIXES_SAY, UNDERSCORES, UNDERSCORES_WITHOUT, UTF8, UNCHANGED };
static const char *const strategies[] = { "default",
                                          "UnderscoreEscapingWithSuffixes",
                                          "UnderscoreEscapingWithoutSuffixes",
                                          "NoUTF8EscapingWithSuffixes",
                                          "NoTranslation",
                                          NULL };

static const option resource_rows[] = {
    { .name = "enabled",
      .type = OPTION_BOOL,
      .offset = offsetof(prom_resource_settings, enabled),
      .fallback = "false",
      .help = "every attribute of the resource is a label of its series" },
    { .name = "exclude_service_attributes",
      .type = OPTION_BOOL,
      .offset = offsetof(prom_resource_settings, exclude_service_attributes),
      .fallback = "false",
      .help = "but not service.name, service.namespace and service.instance.id, which are in job "
              "and instance" },
};
static const option_table resource_options = OPTION_TABLE(resource_rows, prom_resource_settings);

static const option name_rows[] = {
    { .name = "namespace",
      .type = OPTION_TEXT,
      .offset = offsetof(prom_name_settings, namespace),
      .help = "stands before every metric's name, with an underscore" },
    { .name = "add_metric_suffixes",
      .type = OPTION_BOOL,
      .offset = offsetof(prom_name_settings, add_metric_suffixes),
      .fallback = "true",
      .help = "names end in their unit and, of counters, in _total" },
    { .name = "translation_strategy",
      .type = OPTION_CHOICE,
      .offset = offsetof(prom_name_settings, translation_strategy),
      .fallback = "default",
      .choices = strategies,
      .help = "how names are translated; takes precedence over add_metric_suffixes; default: "
              "underscores, and suffixes as that says" },
    { .name = "resource_to_telemetry_conversion",
      .type = OPTION_SECTION,
      .offset = offsetof(prom_name_settings, resource),
      .table = &resource_options,
      .help = "attributes of the resource as labels, beside job and instance" },
};
const option_table prom_name_options = OPTION_TABLE(name_rows, prom_name_settings);

bool prom_series_settings(arena *a, const prom_name_settings *s, const pair_list *labels,
                          prom_series_options *ret)
{
    int strategy = s->translation_strategy;
    *ret = (prom_series_options){ .prefix = s->namespace };
    ret->without_suffixes = strategy == AS_SUFFIXES_SAY
                                ? !s->add_metric_suffixes
                                : strategy == UNDERSCORES_WITHOUT || strategy == UNCHANGED;
    ret->utf8 = strategy == UTF8 || strategy == UNCHANGED;
    ret->resource_labels = s->resource.enabled;
    ret->without_service = s->resource.exclude_service_attributes;
    ret->more.items = ARENA_ARRAY(a, prom_label, (size_t)labels->count + 1);
    if (!ret->more.items)
        return false;
    for (uint32_t i = 0; i < labels->count; i++) {
        buf name;
        buf_init(&name, KiB(64));
        str text = labels->items[i].name;
        if (ret->utf8)
            buf_str(&name, text);
        else
            prom_native_name(&name, text, true, PROM_UNDERSCORES);
        text = arena_str(a, buf_view(&name));
        buf_done(&name);
        if (!text.ptr)
            return false;
        prom_labels_put(&ret->more, (prom_label){ text, labels->items[i].value }, true);
    }
    return true;
}
