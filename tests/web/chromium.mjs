// SPDX-License-Identifier: Apache-2.0
// Debian's Chromium under playwright-core, silenced: no profile of the user's, no background
// requests.
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * Where playwright-core may be installed: SONDE_WEB_MODULES (a node_modules folder), else
 * web/node_modules.
 */
function loadPlaywright() {
    const web = fileURLToPath(new URL("../../web/", import.meta.url));
    const modules = process.env.SONDE_WEB_MODULES;
    return createRequire(modules ? join(modules, "..", "package.json") : join(web, "package.json"))(
        "playwright-core",
    );
}

const BINARIES = [
    process.env.SONDE_CHROMIUM,
    "/usr/bin/chromium",
    "/usr/bin/chromium-browser",
    "/usr/bin/google-chrome",
];

const FLAGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-extensions",
    "--metrics-recording-only",
    "--disable-features=Translate,OptimizationHints,MediaRouter,AutofillServerCommunication,CertificateTransparencyComponentUpdater",
    "--disable-domain-reliability",
    "--disable-breakpad",
    "--disable-dev-shm-usage",
    "--password-store=basic",
];

/** Opens a browser with a profile of its own; close() ends it and removes the profile. */
export async function openChromium(options = {}) {
    const { chromium } = loadPlaywright();
    const binary = BINARIES.find((b) => b && existsSync(b));
    if (!binary)
        throw new Error(
            "no Chromium: install Debian's chromium, or set SONDE_CHROMIUM to its path",
        );
    const profile = mkdtempSync(join(tmpdir(), "sonde-chromium-"));
    const args = process.getuid?.() === 0 ? [...FLAGS, "--no-sandbox"] : FLAGS;
    const context = await chromium.launchPersistentContext(profile, {
        executablePath: binary,
        headless: false,
        args: ["--headless=new", ...args],
        viewport: { width: 1280, height: 800 },
        ...options,
    });
    const close = async () => {
        await context.close();
        rmSync(profile, { recursive: true, force: true });
    };
    return { context, page: context.pages()[0] ?? (await context.newPage()), close };
}
