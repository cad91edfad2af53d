// SPDX-License-Identifier: Apache-2.0
/* Where filelog stands in each file, on disk: docs/format/filelog.md. The file is replaced whole.
 */
#include "pipeline/receivers/filelog.h"

#include "base/clock.h"
#include "base/file.h"
#include "codec/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECKPOINT     "checkpoints.json"
#define CHECKPOINT_MAX MiB(16)

static void put_patterns(json_writer *w, const text_list *include)
{
    json_begin_array(w);
    for (uint32_t i = 0; i < include->count; i++)
        json_str(w, include->items[i]);
    json_end_array(w);
}

static void put_file(json_writer *w, const filelog_file *f)
{
    json_begin_object(w);
    JSON_PUT(w, str, "path", str_c(f->path));
    JSON_PUT(w, u64, "device", f->dev);
    JSON_PUT(w, u64, "inode", f->ino);
    JSON_PUT(w, u64, "offset", f->offset);
    JSON_PUT(w, u64, "records", f->records);
    JSON_PUT(w, u64, "print_length", f->print_length);
    JSON_PUT(w, u64_quoted, "print", f->print_hash);
    json_end_object(w);
}

status filelog_checkpoint_save(const filelog_files *files, const text_list *include,
                               const char *dir, error *err)
{
    buf out;
    buf_init(&out, CHECKPOINT_MAX);
    json_writer w = json_write(&out);
    json_begin_object(&w);
    JSON_PUT(&w, u64, "version", 1);
    json_key(&w, STR("include"));
    put_patterns(&w, include);
    json_key(&w, STR("files"));
    json_begin_array(&w);
    for (const filelog_file *f = files->first; f; f = f->next)
        put_file(&w, f);
    json_end_array(&w);
    json_end_object(&w);
    status st = buf_check(&out, err, "the checkpoints of files");
    if (st == STATUS_OK)
        st = file_replace(dir, CHECKPOINT, buf_view(&out), err);
    buf_done(&out);
    return st;
}

/* ---- reading ---- */

static bool read_number(json_reader *r, uint64_t *ret)
{
    json_next(r);
    return json_get_u64(r, ret) || json_refuse(r, "a number was expected");
}

static bool read_file_entry(json_reader *r, filelog_files *files)
{
    str key, path = STR_EMPTY;
    uint64_t device = 0, inode = 0, offset = 0, records = 0, length = 0, print = 0;
    const struct {
        const char *name;
        uint64_t *to;
    } numbers[] = { { "device", &device },   { "inode", &inode },         { "offset", &offset },
                    { "records", &records }, { "print_length", &length }, { "print", &print } };
    if (r->type != JSON_OBJECT)
        return json_refuse(r, "a file must be an object");
    while (json_next_key(r, &key)) {
        uint64_t *to = NULL;
        for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
            if (str_is(key, numbers[i].name))
                to = numbers[i].to;
        if (to ? !read_number(r, to) : !json_skip_next(r))
            return false;
        if (str_is(key, "path") && r->type == JSON_STRING)
            path = r->text;
    }
    if (r->type == JSON_ERROR || files->count >= FILELOG_FILES_MAX)
        return r->type != JSON_ERROR;
    filelog_file *f = filelog_files_add(files, path, (dev_t)device, (ino_t)inode);
    if (!f)
        return json_refuse(r, "no memory");
    f->offset = f->emitted = offset;
    f->records = records;
    f->print_length = (uint32_t)MIN(length, (uint64_t)UINT32_MAX);
    f->print_hash = print;
    f->grown_ns = clock_mono_ns();
    return true;
}

static bool same_patterns(json_reader *r, const text_list *include)
{
    uint32_t n = 0;
    bool same = true;
    if (json_next(r) != JSON_ARRAY)
        return json_refuse(r, "a list of patterns was expected");
    for (; json_next_item(r); n++)
        same &= n < include->count && str_eq(r->text, include->items[n]);
    return same && n == include->count;
}

static void read_checkpoint(json_reader *r, filelog_files *files, const text_list *include)
{
    str key;
    bool known = false;
    if (json_next(r) != JSON_OBJECT)
        json_refuse(r, "an object was expected");
    while (json_next_key(r, &key)) {
        if (str_is(key, "include")) {
            known = same_patterns(r, include);
        } else if (str_is(key, "files")) {
            if (json_next(r) != JSON_ARRAY)
                json_refuse(r, "a list of files was expected");
            while (json_next_item(r) && read_file_entry(r, files))
                ;
        } else {
            json_skip_next(r);
        }
    }
    json_next(r);
    files->known = known && !r->problem;
}

status filelog_checkpoint_load(filelog_files *files, const text_list *include, const char *dir,
                               error *err)
{
    char path[4096];
    buf bytes;
    arena memory;
    json_reader r;
    int n = snprintf(path, sizeof(path), "%s/" CHECKPOINT, dir);
    if (n < 0 || (size_t)n >= sizeof(path))
        return fail(err, STATUS_INVALID, "the data directory's path is too long");
    buf_init(&bytes, CHECKPOINT_MAX);
    arena_init(&memory, CHECKPOINT_MAX);
    status st = file_read(path, &bytes, err);
    if (st == STATUS_OK) {
        json_read(&r, buf_view(&bytes), &memory, 8);
        read_checkpoint(&r, files, include);
        st = json_fail_status(&r, err, path);
        if (st != STATUS_OK)
            filelog_files_done(files);
    } else if (st == STATUS_NOT_FOUND) {
        st = STATUS_OK;
    }
    files->changed = false;
    arena_done(&memory);
    buf_done(&bytes);
    return st;
}
