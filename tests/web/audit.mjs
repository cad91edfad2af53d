// SPDX-License-Identifier: Apache-2.0
// Two accessibility checks that run inside the page: contrast of visible text (WCAG 2 formula) and
// names of controls. Both return what is wrong as text, so an empty list is good.

export function auditContrast(least) {
    const channel = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const luminance = ([r, g, b]) =>
        0.2126 * channel(r / 255) + 0.7152 * channel(g / 255) + 0.0722 * channel(b / 255);
    const parse = (css) => {
        const m = /^rgba?\(([\d.]+),? ([\d.]+),? ([\d.]+)(?:,? ?\/? ?([\d.]+))?\)$/.exec(css);
        return m
            ? [Number(m[1]), Number(m[2]), Number(m[3]), m[4] === undefined ? 1 : Number(m[4])]
            : [0, 0, 0, 0];
    };
    const over = (top, below) =>
        [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
    const ground = (element) => {
        const layers = [];
        for (let e = element; e; e = e.parentElement) {
            const c = parse(getComputedStyle(e).backgroundColor);
            if (c[3] > 0) layers.push(c);
            if (c[3] === 1) break;
        }
        return layers.reduceRight((below, top) => over(top, below), [255, 255, 255, 1]);
    };
    const opacity = (element) => {
        let o = 1;
        for (let e = element; e; e = e.parentElement) o *= Number(getComputedStyle(e).opacity);
        return o;
    };
    const found = new Map();
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        const element = node.parentElement;
        if (
            !node.data.trim() ||
            !element ||
            element.closest("option, script, style, noscript, :disabled")
        )
            continue;
        const box = element.getBoundingClientRect();
        if (!box.width || !box.height || getComputedStyle(element).visibility === "hidden")
            continue;
        const o = opacity(element);
        if (o === 0) continue;
        const below = ground(element);
        const color = parse(getComputedStyle(element).color);
        const text = over([...color.slice(0, 3), color[3] * o], below);
        const [a, b] = [luminance(text), luminance(below)].sort((x, y) => y - x);
        const ratio = (a + 0.05) / (b + 0.05);
        if (ratio < least)
            found.set(
                `${element.tagName.toLowerCase()}.${element.className}`,
                `${ratio.toFixed(2)} "${node.data.trim().slice(0, 30)}"`,
            );
    }
    return [...found].map(([where, what]) => `${where}: ${what}`);
}

export function auditNames() {
    const wrong = [];
    for (const e of document.querySelectorAll(
        "button, a, input, select, summary, [role=img], [role=tree], [role=group], [role=dialog]",
    )) {
        const labelled =
            e.getAttribute("aria-label") ||
            e.getAttribute("title") ||
            e.textContent.trim() ||
            e.labels?.length ||
            document.getElementById(e.getAttribute("aria-labelledby") ?? "")?.textContent;
        if (!labelled && !e.closest("[aria-hidden=true]")) wrong.push(e.outerHTML.slice(0, 120));
    }
    return wrong;
}
