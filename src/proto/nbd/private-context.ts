/**
 * The private metadata namespace `x-penstock:`, which tells Penstock's initiator what NBD has no
 * words for, and other clients nothing: it is listed only when asked for by name, and SET selects
 * no context by it, so BLOCK_STATUS is as ever.
 *
 *   LIST query              answer
 *   x-penstock:instance     x-penstock:instance=UUID    changes when volatile data may be lost
 *   x-penstock:cache        x-penstock:cache=volatile, or =none: an answered write needs no flush
 *
 *   SET query               effect
 *   x-penstock:host=UUID/N  none is selected. The connection belongs to association N of this
 *                           host: what its lower ones still do ends before its first command
 *
 * Stateless. spec: NBD proto.md "Metadata querying" (a namespace defines what its queries mean)
 */

import type { ExportDescription } from "./export-description.ts";

const PRIVATE_NAMESPACE = "x-penstock:";
export const INSTANCE_QUERY = "x-penstock:instance";
export const CACHE_QUERY = "x-penstock:cache";
const HOST_PREFIX = "x-penstock:host=";

const UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}";
const HOST_PATTERN = new RegExp(`^${HOST_PREFIX}(${UUID})/([1-9][0-9]{0,14})$`);
const INSTANCE_PATTERN = new RegExp(`^${INSTANCE_QUERY}=(${UUID})$`);

/** Who a connection belongs to: plain values. */
export interface HostAssociation {
  /** UUID of the initiator's device, new each time that it is opened. */
  readonly host: string;
  /** 1 and up: all connections that are up together have the same. */
  readonly number: number;
}

/** What an initiator has learned; null: not a target of ours. */
export interface TargetState {
  readonly instanceId: string | null;
  readonly volatileCache: boolean | null;
}

/** The names that answer `query` in LIST; empty when it is none of ours. */
export function privateAnswers(query: string, exported: ExportDescription): readonly string[] {
  const isAll = query === PRIVATE_NAMESPACE;
  const answers: string[] = [];
  if (isAll || query === INSTANCE_QUERY) answers.push(`${INSTANCE_QUERY}=${exported.instanceId}`);
  if (isAll || query === CACHE_QUERY) {
    answers.push(`${CACHE_QUERY}=${exported.volatileCache ? "volatile" : "none"}`);
  }
  return answers;
}

/** What `names`, answers to LIST, say of the target. */
export function readPrivateAnswers(names: readonly string[]): TargetState {
  let instanceId: string | null = null;
  let volatileCache: boolean | null = null;
  for (const name of names) {
    instanceId = INSTANCE_PATTERN.exec(name)?.[1] ?? instanceId;
    if (name === `${CACHE_QUERY}=volatile`) volatileCache = true;
    if (name === `${CACHE_QUERY}=none`) volatileCache = false;
  }
  return { instanceId, volatileCache };
}

export function hostQuery({ host, number }: HostAssociation): string {
  return `${HOST_PREFIX}${host}/${number}`;
}

/** The association that a SET query names, or null. */
export function readHostQuery(query: string): HostAssociation | null {
  const [, host, number] = HOST_PATTERN.exec(query) ?? [];
  return host === undefined ? null : { host, number: Number(number) };
}
