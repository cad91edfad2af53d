// SPDX-License-Identifier: Apache-2.0
/* The options of filelog's operators: one table for all of them, since the type of an operator
 * stands beside its options. Which operator has which is checked in filelog_build.c. */
#include "pipeline/receivers/filelog_operators.h"

static const char *const on_errors[] = { "send", "drop", "send_quiet", "drop_quiet", NULL };

#define TEXT_ROW(name_, type_, member_, help_) \
    { \
        .name = (name_), .type = OPTION_TEXT, .offset = offsetof(type_, member_), .help = (help_) \
    }
#define IGNORED_ROW(name_, help_) \
    { \
        .name = (name_), .type = OPTION_IGNORED, .help = (help_) \
    }

#define HELP_LAYOUT   "how it is written: strptime's letters, Go's reference time, or s, ms, us, ns"
#define HELP_LOCATION "zone of times that name none: Local (default) or UTC"
#define HELP_LEVELS   "level -> texts, numbers, {min, max} or \"5xx\" that mean it"

static const option time_rows[] = {
    TEXT_ROW("parse_from", filelog_time_settings, parse_from, "field with the time"),
    TEXT_ROW("layout", filelog_time_settings, layout, HELP_LAYOUT),
    { .name = "layout_type",
      .type = OPTION_CHOICE,
      .offset = offsetof(filelog_time_settings, layout_type),
      .choices = filelog_layout_types,
      .fallback = "strptime",
      .help = "what kind of layout it is" },
    TEXT_ROW("location", filelog_time_settings, location, HELP_LOCATION),
};
static const option_table time_options = OPTION_TABLE(time_rows, filelog_time_settings);

static const option severity_rows[] = {
    TEXT_ROW("parse_from", filelog_severity_settings, parse_from, "field with the level"),
    TEXT_ROW("preset", filelog_severity_settings, preset, "none: only `mapping` counts"),
    { .name = "mapping",
      .type = OPTION_VALUE,
      .offset = offsetof(filelog_severity_settings, mapping),
      .help = HELP_LEVELS },
    { .name = "overwrite_text",
      .type = OPTION_BOOL,
      .offset = offsetof(filelog_severity_settings, overwrite_text),
      .help = "severity text is the level's own name, not what stood in the line" },
};
static const option_table severity_options = OPTION_TABLE(severity_rows, filelog_severity_settings);

static const option from_rows[] = {
    { .name = "parse_from", .type = OPTION_TEXT, .help = "field that it stands in" },
};
static const option_table from_options = OPTION_TABLE(from_rows, str);

#define FROM_ROW(name_, type_, member_, help_) \
    { \
        .name = (name_), .type = OPTION_SECTION, .offset = offsetof(type_, member_), \
        .table = &from_options, .help = (help_) \
    }
#define TRACE_ROWS(type_) \
    FROM_ROW("trace_id", type_, trace_id, "32 hexadecimal digits; attributes.trace_id"), \
        FROM_ROW("span_id", type_, span_id, "16 hexadecimal digits; attributes.span_id"), \
        FROM_ROW("trace_flags", type_, trace_flags, \
                 "2 hexadecimal digits; attributes.trace_flags")

static const option trace_rows[] = { TRACE_ROWS(filelog_trace_settings) };
static const option_table trace_options = OPTION_TABLE(trace_rows, filelog_trace_settings);

#define AT(member)                 offsetof(filelog_operator_settings, member)
#define OWN(name_, member_, help_) TEXT_ROW(name_, filelog_operator_settings, member_, help_)
#define PRESENT(member_)           OPTION_PRESENT(filelog_operator_settings, member_)
static const option operator_rows[] = {
    { .name = "type",
      .type = OPTION_TEXT,
      .offset = AT(type),
      .required = true,
      .help = "json_parser, regex_parser, key_value_parser, time_parser, severity_parser, "
              "trace_parser, scope_name_parser, move, copy, remove, add, retain, flatten, filter, "
              "recombine, noop" },
    OWN("id", id, "a name, for `output`"),
    OWN("output", output,
        "id of the next operator: the order of the list is the only one there is"),
    OWN("if", condition, "an expression: entries for which it is false pass untouched"),
    { .name = "on_error",
      .type = OPTION_CHOICE,
      .offset = AT(on_error),
      .choices = on_errors,
      .fallback = "send",
      .help = "what becomes of an entry that does not fit: sent on as it is, or dropped" },
    OWN("parse_from", parse_from, "parsers: the field with the text; body"),
    OWN("parse_to", parse_to, "parsers: where the fields go; attributes"),
    OWN("body", body, "parsers: the field that becomes the body"),
    OWN("regex", regex, "regex_parser: a regular expression with named groups"),
    OWN("delimiter", delimiter, "key_value_parser: between key and value; \"=\""),
    OWN("pair_delimiter", pair_delimiter, "key_value_parser: between pairs; blanks"),
    OWN("layout", layout, HELP_LAYOUT),
    { .name = "layout_type",
      .type = OPTION_CHOICE,
      .offset = AT(layout_type),
      .choices = filelog_layout_types,
      .fallback = "strptime",
      .help = "time_parser: what kind of layout it is" },
    OWN("location", location, HELP_LOCATION),
    OWN("preset", preset, "severity_parser: none: only `mapping` counts"),
    { .name = "mapping", .type = OPTION_VALUE, .offset = AT(mapping), .help = HELP_LEVELS },
    { .name = "overwrite_text",
      .type = OPTION_BOOL,
      .offset = AT(overwrite_text),
      .help = "severity_parser: severity text is the level's own name" },
    { .name = "timestamp",
      .type = OPTION_SECTION,
      .offset = AT(timestamp),
      .table = &time_options,
      .present = PRESENT(has_timestamp),
      .help = "parsers: the time, from what was parsed" },
    { .name = "severity",
      .type = OPTION_SECTION,
      .offset = AT(severity),
      .table = &severity_options,
      .present = PRESENT(has_severity),
      .help = "parsers: the severity, from what was parsed" },
    { .name = "trace",
      .type = OPTION_SECTION,
      .offset = AT(trace),
      .table = &trace_options,
      .present = PRESENT(has_trace),
      .help = "parsers: trace and span id, from what was parsed" },
    TRACE_ROWS(filelog_operator_settings),
    { .name = "scope_name",
      .type = OPTION_SECTION,
      .offset = AT(scope_name),
      .table = &from_options,
      .present = PRESENT(has_scope_name),
      .help = "parsers: the scope's name, from what was parsed" },
    OWN("from", from, "move, copy: the field"),
    OWN("to", to, "move, copy: where it goes"),
    OWN("field", field, "add, remove, flatten: the field"),
    { .name = "fields",
      .type = OPTION_TEXTS,
      .offset = AT(fields),
      .help = "retain: what is kept" },
    { .name = "value", .type = OPTION_VALUE, .offset = AT(value), .help = "add: what is set" },
    OWN("expr", expr, "filter: entries for which it is true are dropped"),
    { .name = "drop_ratio",
      .type = OPTION_NUMBER,
      .offset = AT(drop_ratio),
      .fallback = "1",
      .min = 0,
      .max = 1,
      .help = "filter: which part of them; 1: all" },
    OWN("combine_field", combine_field, "recombine: the field that is joined; body"),
    { .name = "combine_with",
      .type = OPTION_TEXT,
      .offset = AT(combine_with),
      .fallback = "\n",
      .help = "recombine: stands between the parts; a new line" },
    OWN("is_first_entry", is_first_entry, "recombine: true for the first entry of a group"),
    OWN("is_last_entry", is_last_entry, "recombine: true for the last entry of a group"),
    OWN("overwrite_with", overwrite_with,
        "recombine: oldest (default) or newest: whose other fields stay"),
    { .name = "max_batch_size",
      .type = OPTION_INT,
      .offset = AT(max_batch_size),
      .fallback = "1000",
      .min = 1,
      .max = 100000,
      .help = "recombine: entries in one group at most" },
    { .name = "max_log_size",
      .type = OPTION_INT,
      .offset = AT(max_log_size),
      .fallback = "1MiB",
      .min = 1,
      .max = 67108864,
      .help = "recombine: bytes in one group at most" },
    { .name = "force_flush_period",
      .type = OPTION_DURATION,
      .offset = AT(force_flush_period),
      .fallback = "5s",
      .min = 0.001,
      .max = 3600,
      .help = "recombine: a group without a new entry for so long is complete" },
    IGNORED_ROW("source_identifier", "entries are combined file by file"),
    IGNORED_ROW("max_sources", "entries are combined file by file"),
    IGNORED_ROW("max_unmatched_batch_size", "max_batch_size holds"),
    IGNORED_ROW("parse_ints", "whole numbers always are integers"),
    IGNORED_ROW("cache", "expressions are compiled"),
};
#undef AT
const option_table filelog_operator_options =
    OPTION_TABLE(operator_rows, filelog_operator_settings);
