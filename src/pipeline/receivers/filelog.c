// SPDX-License-Identifier: Apache-2.0
/* The filelog receiver: follows log files. Its options, and its life; what it does stands in
 * filelog_reader.c, what becomes of files in filelog_files.c, operators in filelog_operators.c. */
#include "pipeline/receivers/filelog.h"

#include <stdlib.h>

static const char *const starts[] = { "end", "beginning", NULL };

#define AT(member) offsetof(filelog_settings, member)
#define BOOL_ROW(name_, member_, fallback_, help_) \
    { \
        .name = (name_), .type = OPTION_BOOL, .offset = AT(member_), .fallback = (fallback_), \
        .help = (help_) \
    }
#define TEXT_ROW(name_, member_, help_) \
    { \
        .name = (name_), .type = OPTION_TEXT, .offset = AT(member_), .help = (help_) \
    }
#define IGNORED_ROW(name_, help_) \
    { \
        .name = (name_), .type = OPTION_IGNORED, .help = (help_) \
    }

static const option multiline_rows[] = {
    { .name = "line_start_pattern",
      .type = OPTION_TEXT,
      .offset = offsetof(filelog_multiline, line_start_pattern),
      .help = "regular expression at which an entry begins" },
    { .name = "line_end_pattern",
      .type = OPTION_TEXT,
      .offset = offsetof(filelog_multiline, line_end_pattern),
      .help = "regular expression with which an entry ends" },
    { .name = "omit_pattern",
      .type = OPTION_BOOL,
      .offset = offsetof(filelog_multiline, omit_pattern),
      .fallback = "false",
      .help = "what matched is left out of the entry" },
};
static const option_table multiline_options = OPTION_TABLE(multiline_rows, filelog_multiline);

static const option filelog_rows[] = {
    { .name = "include",
      .type = OPTION_TEXTS,
      .offset = AT(include),
      .required = true,
      .help = "files to follow: paths with *, ?, [], {a,b} and ** for any folders" },
    { .name = "exclude", .type = OPTION_TEXTS, .offset = AT(exclude), .help = "which of them not" },
    { .name = "start_at",
      .type = OPTION_CHOICE,
      .offset = AT(start_at),
      .choices = starts,
      .fallback = "end",
      .help = "where files begin that were there before the receiver ran for the first time" },
    { .name = "poll_interval",
      .type = OPTION_DURATION,
      .offset = AT(poll_interval),
      .fallback = "200ms",
      .min = 0.001,
      .max = 3600,
      .help = "how often files are looked at" },
    { .name = "max_log_size",
      .type = OPTION_INT,
      .offset = AT(max_log_size),
      .fallback = "1MiB",
      .min = 16,
      .max = 67108864,
      .help = "bytes of one entry; a longer one becomes several" },
    { .name = "max_concurrent_files",
      .type = OPTION_INT,
      .offset = AT(max_concurrent_files),
      .fallback = "1024",
      .min = 1,
      .max = 16384,
      .help = "files that are open at once" },
    { .name = "fingerprint_size",
      .type = OPTION_INT,
      .offset = AT(fingerprint_size),
      .fallback = "1kb",
      .min = 16,
      .max = 65536,
      .help = "bytes at a file's beginning by which it is known again" },
    { .name = "force_flush_period",
      .type = OPTION_DURATION,
      .offset = AT(force_flush_period),
      .fallback = "500ms",
      .min = 0,
      .max = 3600,
      .help = "a line without an end is an entry when nothing came for so long; 0: never" },
    { .name = "exclude_older_than",
      .type = OPTION_DURATION,
      .offset = AT(exclude_older_than),
      .fallback = "0s",
      .min = 0,
      .max = 315360000,
      .help = "files that were not changed for so long are not begun; 0: all are" },
    { .name = "encoding",
      .type = OPTION_TEXT,
      .offset = AT(encoding),
      .fallback = "utf-8",
      .help = "utf-8 only; what is not becomes U+FFFD" },
    { .name = "multiline",
      .type = OPTION_SECTION,
      .offset = AT(multiline),
      .table = &multiline_options,
      .help = "entries of several lines; absent: each line is one" },
    BOOL_ROW("preserve_leading_whitespaces", preserve_leading, "false",
             "blanks before an entry stay"),
    BOOL_ROW("preserve_trailing_whitespaces", preserve_trailing, "false", "blanks behind it stay"),
    BOOL_ROW("include_file_name", file_name, "true", "attribute log.file.name"),
    BOOL_ROW("include_file_path", file_path, "false", "attribute log.file.path"),
    BOOL_ROW("include_file_name_resolved", name_resolved, "false",
             "attribute log.file.name_resolved: behind links"),
    BOOL_ROW("include_file_path_resolved", path_resolved, "false",
             "attribute log.file.path_resolved: behind links"),
    BOOL_ROW("include_file_owner_name", owner_name, "false", "attribute log.file.owner.name"),
    BOOL_ROW("include_file_owner_group_name", owner_group, "false",
             "attribute log.file.owner.group.name"),
    BOOL_ROW("include_file_record_number", record_number, "false",
             "attribute log.file.record_number"),
    BOOL_ROW("include_file_record_offset", record_offset, "false",
             "attribute log.file.record_offset"),
    BOOL_ROW("delete_after_read", delete_after_read, "false",
             "files are deleted when all their lines are durable; needs start_at: beginning"),
    { .name = "attributes",
      .type = OPTION_PAIRS,
      .offset = AT(attributes),
      .help = "attributes of every record" },
    { .name = "resource",
      .type = OPTION_PAIRS,
      .offset = AT(resource),
      .help = "resource attributes of every record: service.name: shop" },
    { .name = "operators",
      .type = OPTION_SECTIONS,
      .offset = AT(operators),
      .table = &filelog_operator_options,
      .help = "what is done with each entry, in order" },
    TEXT_ROW("compression", compression, "not supported: compressed files are passed over"),
    { .name = "header",
      .type = OPTION_VALUE,
      .offset = AT(header),
      .help = "not supported: lines of a header are entries like others" },
    IGNORED_ROW("storage", "places in files always are kept in the data directory"),
    IGNORED_ROW("retry_on_failure", "lines always wait in their files until they were taken"),
    IGNORED_ROW("initial_buffer_size", "buffers are sized as lines need it"),
    IGNORED_ROW("max_batches", "all files are read in each poll"),
    IGNORED_ROW("acquire_fs_lock", "files are only read"),
    IGNORED_ROW("polls_to_archive", "places of rotated files are kept with the others"),
    IGNORED_ROW("on_truncate", "a truncated file is read from its beginning"),
    IGNORED_ROW("ordering_criteria", "all files that match are followed"),
    IGNORED_ROW("include_file_permissions", "permissions are not recorded"),
};
#undef AT

static status refuse(char *where, size_t size, const char *option, error *err, const char *reason)
{
    str_copy_c(where, size, str_c(option));
    return fail(err, STATUS_UNSUPPORTED, "%s", reason);
}

static status filelog_check(const void *settings, char *where, size_t where_size, error *err)
{
    const filelog_settings *s = settings;
    filelog_reader *r;
    if (s->include.count == 0)
        return refuse(where, where_size, "include", err, "at least one path is needed");
    if (!str_eq_nocase(s->encoding, STR("utf-8")) && !str_eq_nocase(s->encoding, STR("utf8")) &&
        !str_eq_nocase(s->encoding, STR("ascii")) && !str_eq_nocase(s->encoding, STR("us-ascii")) &&
        !str_eq_nocase(s->encoding, STR("utf-8-raw")))
        return refuse(where, where_size, "encoding", err, "only utf-8 is supported");
    if (s->compression.len)
        return refuse(where, where_size, "compression", err, "compressed files are not read");
    if (s->header.type != VALUE_EMPTY)
        return refuse(where, where_size, "header", err,
                      "headers of files are not supported; use recombine or filter");
    if (s->multiline.line_start_pattern.len && s->multiline.line_end_pattern.len)
        return refuse(where, where_size, "multiline", err,
                      "either line_start_pattern or line_end_pattern, not both");
    if (s->delete_after_read && s->start_at == 0)
        return refuse(where, where_size, "delete_after_read", err,
                      "needs start_at: beginning, or lines would be deleted unread");
    status st = filelog_reader_new(&r, NULL, s, where, where_size, err);
    if (st == STATUS_OK)
        filelog_reader_free(r);
    return st;
}

static status filelog_open(void **ret_self, component *c, error *err)
{
    char where[128];
    filelog_reader *r;
    status st = filelog_reader_new(&r, c, c->settings, where, sizeof(where), err);
    if (st == STATUS_OK)
        *ret_self = r;
    return st;
}

static status filelog_start(void *self, error *err)
{
    return filelog_reader_start(self, err);
}

static void filelog_stop(void *self)
{
    filelog_reader_stop(self);
}

static void filelog_close(void *self)
{
    filelog_reader_free(self);
}

const component_type filelog_receiver = {
    .type = "filelog",
    .kind = COMPONENT_RECEIVER,
    .signals = SIGNALS_LOGS,
    .help = "Follows log files through rotation and restarts.",
    .options = OPTION_TABLE(filelog_rows, filelog_settings),
    .check = filelog_check,
    .open = filelog_open,
    .start = filelog_start,
    .stop = filelog_stop,
    .close = filelog_close,
};
