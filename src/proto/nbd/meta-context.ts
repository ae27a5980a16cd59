/**
 * Metadata contexts: what BLOCK_STATUS can report, and which of them a query means.
 *
 * A listener has a fixed list of contexts with fixed ids, so that the session knows by its id which
 * provider answers. Stateless.
 *
 * spec: NBD proto.md "Metadata querying"
 */

import { assert } from "../../util/assert.ts";
import { utf8 } from "./byte-sink.ts";
import { META_CONTEXT_COUNT_MAX, META_CONTEXT_NAME_BYTES_MAX } from "./constants.ts";
import type { ExportDescription } from "./export-description.ts";

export interface MetaContext {
  /** Unique on the listener; what block-status chunks carry. */
  readonly id: number;
  /** `namespace:leaf`, printable. */
  readonly name: string;
  /** True when the export has it. Must not throw. */
  offeredBy(exported: ExportDescription): boolean;
}

/** A context that a client has selected; plain values. */
export interface SelectedContext {
  readonly id: number;
  readonly name: string;
}

/**
 * Holes and zeroes. Every export has it: where a device can't tell, status 0 is always right.
 * spec: NBD proto.md "`base:allocation` metadata context"
 */
export const BASE_ALLOCATION: MetaContext = {
  id: 0,
  name: "base:allocation",
  offeredBy: () => true,
};

/** Checks a listener's list of contexts, once: throws an AssertionError. */
export function checkContexts(contexts: readonly MetaContext[]): void {
  assert(contexts.length <= META_CONTEXT_COUNT_MAX, "a listener has at most 8 metadata contexts");
  const ids = new Set(contexts.map((context) => context.id));
  assert(ids.size === contexts.length, "metadata context ids are unique");
  for (const { name } of contexts) {
    assert(/^[^\s:]+:[^\s]+$/.test(name), "a metadata context is named namespace:leaf");
    assert(utf8(name).length <= META_CONTEXT_NAME_BYTES_MAX, "a context's name is short");
  }
}

/**
 * True when `query` selects `context`. A query without a leaf (`base:`) is a wildcard for LIST
 * and selects nothing for SET; queries of other namespaces select nothing and are no error.
 * spec: NBD proto.md "The `base:` metadata namespace"
 */
export function queryMatches(query: string, context: MetaContext, wildcards: boolean): boolean {
  if (query === context.name) return true;
  return wildcards && query.endsWith(":") && query === namespaceOf(context.name);
}

/** The namespace with its colon. */
function namespaceOf(name: string): string {
  return name.slice(0, name.indexOf(":") + 1);
}
