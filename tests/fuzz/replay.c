// SPDX-License-Identifier: Apache-2.0
/* Feeds every file of the directories named on the command line to a fuzz target, in builds without
 * a fuzzer. Each input is given from a block of its exact size, so that the address sanitizer sees
 * a read past its end. Fails when a directory has no input: a test that tested nothing. */
#include "fuzz/fuzz.h"

#include "base/file.h"

#include <dirent.h>

static int feed(const char *path)
{
    buf content;
    error err;
    buf_init(&content, MiB(16));
    if (file_read(path, &content, &err) != STATUS_OK) {
        fprintf(stderr, "%s\n", err.message);
        buf_done(&content);
        return 1;
    }
    uint8_t *exact = malloc(MAX(content.len, (size_t)1));
    if (!exact)
        return 1;
    if (content.len)
        memcpy(exact, content.ptr, content.len);
    LLVMFuzzerTestOneInput(exact, content.len);
    free(exact);
    buf_done(&content);
    return 0;
}

int main(int argc, char **argv)
{
    int failed = 0, fed = 0;
    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);
        if (!dir) {
            fprintf(stderr, "%s: cannot be read\n", argv[i]);
            return 1;
        }
        for (struct dirent *e; (e = readdir(dir));) {
            char path[4096];
            if (e->d_name[0] == '.')
                continue;
            snprintf(path, sizeof(path), "%s/%s", argv[i], e->d_name);
            failed += feed(path);
            fed++;
        }
        closedir(dir);
    }
    printf("%d inputs\n", fed);
    return failed || fed == 0;
}
