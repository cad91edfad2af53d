// SPDX-License-Identifier: Apache-2.0
/* The exporter `file`: one line of OTLP JSON for each batch, or frames of a big-endian 32-bit
 * length and that many bytes where lines cannot be (protobuf, zstd). A batch counts as delivered
 * when the file system has it (fdatasync): a kill or power cut costs nothing, as the intake log has
 * the rest. What could be written only in part is taken back, so that no line is torn. */
#include "base/file.h"
#include "base/clock.h"
#include "net/client_encoding.h"
#include "pipeline/exporters/file_rotate.h"
#include "pipeline/exporters/otlp.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    exporter_settings exporter;
    str path;
    bool has_rotation, append;
    file_rotation rotation;
    int format;      /* 0: JSON, 1: protobuf */
    int compression; /* 0: none, 1: zstd */
    bool create_directory;
} file_settings;

typedef struct {
    component *component;
    int fd; /* -1: not open */
    off_t size;
    struct stat identity; /* of the open file */
    bool broken;          /* a sync failed: never again over the same descriptor */
    buf record, packed;
} file_writer;

static const char *const formats[] = { "json", "proto", NULL };
static const char *const compressions[] = { "none", "zstd", NULL };

#define AT(member) offsetof(file_settings, member)
static const option directory_rows[] = {
    { .name = "enabled",
      .type = OPTION_BOOL,
      .offset = AT(create_directory),
      .fallback = "false",
      .help = "whether missing directories of the path are made" },
    { .name = "directory_permissions",
      .type = OPTION_IGNORED,
      .help = "directories are made with 0755 less the process's umask" },
};
static const option_table directory_options = OPTION_TABLE(directory_rows, file_settings);

static const option file_rows[] = {
    { .name = "path",
      .type = OPTION_TEXT,
      .offset = AT(path),
      .required = true,
      .help = "the file; when it was renamed or removed, a new one is begun" },
    { .name = "rotation",
      .type = OPTION_SECTION,
      .offset = AT(rotation),
      .table = &file_rotation_options,
      .present = OPTION_PRESENT(file_settings, has_rotation),
      .help =
          "when the file is renamed to NAME-TIME.EXTENSION and a new one begun; absent: never" },
    { .name = "format",
      .type = OPTION_CHOICE,
      .offset = AT(format),
      .fallback = "json",
      .choices = formats,
      .help = "json: one line of OTLP JSON for each batch; proto: frames of a 4-byte length and a "
              "protobuf message" },
    { .name = "compression",
      .type = OPTION_CHOICE,
      .offset = AT(compression),
      .fallback = "none",
      .choices = compressions,
      .help = "of each batch; zstd: then both formats are framed by a 4-byte length" },
    { .name = "append",
      .type = OPTION_BOOL,
      .offset = AT(append),
      .fallback = "true",
      .help = "false: the file is emptied at start (the Collector's default; here delivery goes on "
              "where it ended)" },
    { .name = "create_directory",
      .type = OPTION_SECTION,
      .offset = 0,
      .table = &directory_options,
      .help = "directories of the path" },
    { .name = "flush_interval",
      .type = OPTION_IGNORED,
      .help = "each batch is written and synced before it counts as delivered" },
    { .name = "encoding",
      .type = OPTION_IGNORED,
      .help = "there are no encoding extensions; `format` says it" },
    { .name = "group_by",
      .type = OPTION_IGNORED,
      .help = "one exporter writes one file; pipelines with `filter` write several" },
    { .type = OPTION_INLINE, .offset = AT(exporter), .table = &exporter_options },
};
#undef AT

static status file_check(const void *settings, char *where, size_t where_size, error *err)
{
    const file_settings *s = settings;
    if (s->path.len && !str_ends(s->path, STR("/")))
        return STATUS_OK;
    str_copy_c(where, where_size, STR("path"));
    return fail(err, STATUS_INVALID, "must name a file");
}

/* ---- the file ---- */

static status make_parents(const file_settings *s, error *err)
{
    char dir[PATH_MAX];
    size_t slash = s->path.len;
    while (slash > 0 && s->path.ptr[slash - 1] != '/')
        slash--;
    if (!s->create_directory || slash <= 1 || slash >= sizeof(dir))
        return STATUS_OK;
    str_copy_c(dir, sizeof(dir), str_slice(s->path, 0, slash - 1));
    return file_make_dirs(dir, 0755, err);
}

static status open_file(file_writer *w, int flags, error *err)
{
    const file_settings *s = w->component->settings;
    status st = make_parents(s, err);
    if (st != STATUS_OK)
        return st;
    w->fd = open(s->path.ptr, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | flags, 0644);
    if (w->fd < 0)
        return fail_errno(err, errno, "cannot write to \"%s\"", s->path.ptr);
    if (fstat(w->fd, &w->identity) != 0) {
        st = fail_errno(err, errno, "\"%s\"", s->path.ptr);
        file_closep(&w->fd);
        w->fd = -1;
        return st;
    }
    w->size = w->identity.st_size;
    w->broken = false;
    return STATUS_OK;
}

static void close_file(file_writer *w)
{
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
}

/* Whether the path still is the file that is open. */
static bool is_same(const file_writer *w)
{
    const file_settings *s = w->component->settings;
    struct stat now;
    return stat(s->path.ptr, &now) == 0 && now.st_ino == w->identity.st_ino &&
           now.st_dev == w->identity.st_dev;
}

static status ready_file(file_writer *w, size_t n, error *err)
{
    const file_settings *s = w->component->settings;
    status st = STATUS_OK;
    if (w->fd >= 0 && (w->broken || !is_same(w)))
        close_file(w);
    if (w->fd < 0)
        st = open_file(w, 0, err);
    bool full = st == STATUS_OK && s->has_rotation && w->size > 0 &&
                w->size + (off_t)n > (off_t)MiB(s->rotation.max_megabytes);
    if (!full)
        return st;
    close_file(w);
    st = file_rotate(s->path, &s->rotation, clock_now_ns(), err);
    return st == STATUS_OK ? open_file(w, 0, err) : st;
}

static status write_record(file_writer *w, str record, error *err)
{
    status st = ready_file(w, record.len, err);
    if (st != STATUS_OK)
        return st;
    st = file_write_all(w->fd, record.ptr, record.len, err);
    if (st != STATUS_OK) {
        error ignored;
        if (ftruncate(w->fd, w->size) != 0)
            (void)fail(&ignored, STATUS_IO, "the torn record stays");
        return st;
    }
    st = file_sync(w->fd, err);
    w->broken = st != STATUS_OK;
    w->size += (off_t)record.len;
    return st;
}

/* ---- the exporter ---- */

static status file_open(void **ret_self, component *c, error *err)
{
    const file_settings *s = c->settings;
    file_writer *w = calloc(1, sizeof(*w));
    if (!w)
        return fail(err, STATUS_NO_MEMORY, "no memory for an exporter");
    *w = (file_writer){ .component = c, .fd = -1 };
    buf_init(&w->record, OTLP_REQUEST_MAX);
    buf_init(&w->packed, OTLP_REQUEST_MAX);
    status st = open_file(w, s->append ? 0 : O_TRUNC, err);
    if (st != STATUS_OK) {
        free(w);
        return st;
    }
    *ret_self = w;
    return STATUS_OK;
}

static void file_close(void *self)
{
    file_writer *w = self;
    close_file(w);
    buf_done(&w->record);
    buf_done(&w->packed);
    free(w);
}

static void put_length(uint8_t *head, size_t n)
{
    for (int i = 0; i < 4; i++)
        head[i] = (uint8_t)(n >> (24 - 8 * i));
}

/* The batch as it stands in the file. */
static status make_record(file_writer *w, const batch *b, buf **ret, error *err)
{
    const file_settings *s = w->component->settings;
    bool json = s->format == 0, framed = !json || s->compression;
    buf *out = framed ? &w->packed : &w->record;
    status st = otlp_request(b, json ? OTLP_JSON : OTLP_PROTOBUF, &w->record, err);
    if (st != STATUS_OK)
        return st;
    if (framed) {
        buf_clear(out);
        buf_add(out, "\0\0\0\0", 4);
        if (s->compression)
            st = client_compress("zstd", buf_view(&w->record), out, err);
        else
            buf_str(out, buf_view(&w->record));
        if (out->len >= 4)
            put_length((uint8_t *)out->ptr, out->len - 4);
    } else {
        buf_char(out, '\n');
    }
    *ret = out;
    return st == STATUS_OK ? buf_check(out, err, "a batch") : st;
}

static status file_send(void *self, const batch *b, send_result *ret, error *err)
{
    file_writer *w = self;
    buf *record = NULL;
    *ret = (send_result){ 0 };
    status st = make_record(w, b, &record, err);
    if (st == STATUS_LIMIT)
        st = err->code = STATUS_INVALID;
    if (st == STATUS_OK) {
        st = write_record(w, buf_view(record), err);
        if (st != STATUS_OK && st != STATUS_FULL)
            st = err->code = STATUS_IO; /* also a directory that is gone: it may come back */
    }
    otlp_request_release(&w->record);
    otlp_request_release(&w->packed);
    return st;
}

const component_type file_exporter = {
    .type = "file",
    .kind = COMPONENT_EXPORTER,
    .signals = SIGNALS_ALL,
    .help = "Writes OTLP to a file, as JSON lines or protobuf.",
    .options = OPTION_TABLE(file_rows, file_settings),
    .check = file_check,
    .open = file_open,
    .close = file_close,
    .send = file_send,
};
