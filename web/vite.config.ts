// SPDX-License-Identifier: Apache-2.0
// Pages and the chart library are chunks of their own; the entry holds the frame, the URL and the API.
import { defineConfig } from "vitest/config";

const server = process.env.SONDE_ADDR ?? "http://127.0.0.1:4319";

export default defineConfig({
  esbuild: { jsx: "automatic", jsxImportSource: "preact", legalComments: "none" },
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    emptyOutDir: true,
  },
  // `npm run dev` shows a running server's data.
  server: {
    proxy: {
      "/api": server,
      "/jaeger": server,
      "/loki": { target: server, ws: true },
    },
  },
  test: { include: ["test/**/*.test.ts"], environment: "node" },
});
