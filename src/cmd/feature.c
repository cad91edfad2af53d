// SPDX-License-Identifier: Apache-2.0
/* The names that Prometheus's --enable-feature knows. A command line that was written for
 * Prometheus starts, and each name that changes nothing is told with its reason. */
#include "cmd/feature.h"

#include "query/promql/ast.h"

#include <sonde/sonde.h>

typedef struct {
    const char *name;
    bool always; /* on without asking; else not there */
    const char *detail;
} known_feature;

static const known_feature known[] = {
    { "promql-duration-expr", true, "durations may always be calculated" },
    { "promql-extended-range-selectors", true, "anchored and smoothed are always there" },
    { "exemplar-storage", true, "exemplars are always stored" },
    { "memory-snapshot-on-shutdown", true,
      "what is in memory is in the intake log as well, from which a start reads it" },
    { "metadata-wal-records", true, "type, help and unit are stored with the samples" },
    { "native-histograms", true,
      "native histograms are always stored; scrape_native_histograms decides whether they are "
      "scraped" },
    { "ooo-native-histograms", true, "samples may always come out of order" },
    { "auto-reload-config", true, "the configuration file is read again when it changes" },
    { "otlp-deltatocumulative", true, "deltas are always added up" },
    { "remote-write-receiver", true, "remote write is always received" },
    { "promql-at-modifier", true, "@ is always there" },
    { "promql-negative-offset", true, "offsets may always be negative" },
    { "extra-scrape-metrics", false,
      "the prometheus receiver's option report_extra_scrape_metrics switches them on" },
    { "promql-per-step-stats", false,
      "the parameter stats counts over the whole range: it is evaluated at once" },
    { "concurrent-rule-eval", false,
      "groups are evaluated side by side, the rules of one group in their order" },
    { "created-timestamp-zero-ingestion", false,
      "no sample of zero is stored at the time at which a counter began" },
    { "st-storage", false, "start times are passed on to exporters, and not stored" },
    { "st-synthesis", false, "start times are not stored" },
    { "use-start-timestamps", false,
      "start times are not stored: rate and increase see restarts by falling values" },
    { "xor2-encoding", false, "the store has encodings of its own" },
    { "histograms-st-encoding", false, "the store has encodings of its own" },
    { "delayed-compaction", false, "one server merges its parts when they are due" },
    { "use-uncached-io", false, "the store reads its parts by mapping them" },
    { "fast-startup", false, "a start reads the intake log only, which is small" },
    { "old-ui", false, "the user interface is sonde's own" },
    { "otlp-native-delta-ingestion", false, "deltas are added up instead" },
    { "openmetrics2", false, "pages of OpenMetrics 1.0 are the newest that are scraped" },
    { "type-and-unit-labels", false,
      "type and unit are no labels: /api/v1/metadata has them by metric" },
    { "zstd-scrape", false, "pages are scraped with gzip or as they are" },
    { "search-api", false, "/api/v1/labels and /api/v1/label/NAME/values take match[] and limit" },
    { "query-cost", false,
      "there is no estimate; a query that would read too much is always refused with its cost" },
    { "agent", false, "this server always stores; a collector file decides what is forwarded" },
};

static const known_feature *find(str name)
{
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (str_is(name, known[i].name))
            return &known[i];
    return NULL;
}

uint32_t feature_bits(const char *list)
{
    uint32_t features = 0;
    str rest = str_c(list ? list : "");
    while (rest.len)
        features |= promql_feature_find(str_trim(str_cut(rest, ',', &rest)));
    return features;
}

bool feature_all_known(const char *list)
{
    str rest = str_c(list);
    bool good = true;
    while (rest.len) {
        str name = str_trim(str_cut(rest, ',', &rest));
        good = good && (promql_feature_find(name) || find(name));
    }
    return good;
}

void feature_tell(const char *list)
{
    str rest = str_c(list ? list : "");
    while (rest.len) {
        str name = str_trim(str_cut(rest, ',', &rest));
        const known_feature *f = find(name);
        sonde_str shown = { name.ptr, name.len };
        if (f && f->always)
            sonde_info("feature_always_on", sonde_kv("feature", shown),
                       sonde_kv("detail", f->detail));
        else if (f)
            sonde_warn("feature_without_effect", sonde_kv("feature", shown),
                       sonde_kv("detail", f->detail));
        else if (name.len && !promql_feature_find(name))
            sonde_warn("feature_unknown", sonde_kv("feature", shown),
                       sonde_kv("detail", "neither sonde nor Prometheus 3 has a feature of this "
                                          "name; docs/query.md lists those that there are"));
    }
}
