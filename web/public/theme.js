// SPDX-License-Identifier: Apache-2.0
// Runs before the first paint, so that a stored dark theme never flashes white.
try {
  const theme = localStorage.getItem("sonde.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage may be forbidden; then the system's preference decides.
}
