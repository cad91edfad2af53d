// SPDX-License-Identifier: Apache-2.0
/* The web UI as bytes inside the binary. tools/embed.py writes the table from Vite's output;
 * src/cmd/serve_web.c answers requests from it. Sorted by path in byte order, all memory static. */
#ifndef SONDE_WEB_ASSETS_H
#define SONDE_WEB_ASSETS_H

#include <stddef.h>

typedef struct web_asset {
    const char *path;     /* "/index.html", "/assets/index-B1x2.js" */
    const char *mime;     /* "text/html; charset=utf-8" */
    const char *encoding; /* "gzip": data is compressed; "": data is as it is */
    const char *etag;     /* with its double quotes */
    const unsigned char *data;
    size_t size; /* bytes of data */
} web_asset;

extern const web_asset web_assets[];
extern const size_t web_asset_count;

#endif
