// SPDX-License-Identifier: Apache-2.0
// Light, dark, or as the system has it. theme.js applies the stored choice before the first paint.
import { computed, signal } from "@preact/signals";

export type Theme = "light" | "dark" | "auto";

const KEY = "sonde.theme";
const system = matchMedia("(prefers-color-scheme: dark)");
const systemDark = signal(system.matches);
system.addEventListener("change", () => (systemDark.value = system.matches));

function stored(): Theme {
  const t = document.documentElement.dataset.theme;
  return t === "light" || t === "dark" ? t : "auto";
}

export const theme = signal<Theme>(stored());
export const dark = computed(() =>
  theme.value === "auto" ? systemDark.value : theme.value === "dark",
);

export function setTheme(next: Theme): void {
  if (next === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  theme.value = next;
  try {
    if (next === "auto") localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, next);
  } catch {
    // Without storage the choice lasts as long as the page.
  }
}

/** The one that is not shown now: one click always changes something. */
export function toggleTheme(): void {
  setTheme(dark.peek() ? "light" : "dark");
}
