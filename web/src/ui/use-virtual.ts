// SPDX-License-Identifier: Apache-2.0
// Rows of a long list that are in sight: @tanstack/virtual-core bound to a Preact component.
import {
  Virtualizer,
  elementScroll,
  observeElementOffset,
  observeElementRect,
  type VirtualItem,
} from "@tanstack/virtual-core";
import { useLayoutEffect, useReducer, useState } from "preact/hooks";
import type { RefObject } from "preact";

export interface VirtualRows {
  items: VirtualItem[];
  total: number;
  /**
   * Give it to a row's `ref`, with data-index set, when its height may differ from the estimate.
   */
  measure: (element: Element | null) => void;
  scrollTo: (index: number) => void;
}

export interface VirtualOptions {
  scroller: RefObject<HTMLElement | null>;
  count: number;
  rowHeight: number;
  overscan?: number;
  keyOf?: (index: number) => string | number;
}

export function useVirtual(o: VirtualOptions): VirtualRows {
  const [, redraw] = useReducer((n: number) => n + 1, 0);
  const options = {
    count: o.count,
    getScrollElement: () => o.scroller.current,
    estimateSize: () => o.rowHeight,
    overscan: o.overscan ?? 12,
    ...(o.keyOf ? { getItemKey: o.keyOf } : {}),
    scrollToFn: elementScroll,
    observeElementRect,
    observeElementOffset,
    onChange: () => redraw(0),
  };
  const [virtualizer] = useState(() => new Virtualizer<HTMLElement, Element>(options));
  virtualizer.setOptions(options);
  useLayoutEffect(() => virtualizer._didMount(), []);
  useLayoutEffect(() => virtualizer._willUpdate());
  return {
    items: virtualizer.getVirtualItems(),
    total: virtualizer.getTotalSize(),
    measure: (element) => virtualizer.measureElement(element),
    scrollTo: (index) => virtualizer.scrollToIndex(index, { align: "auto" }),
  };
}
