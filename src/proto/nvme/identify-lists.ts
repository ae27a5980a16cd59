/**
 * The lists that Identify returns: namespaces, a namespace's descriptors, controllers, command
 * sets.
 *
 * Stateless; off the hot path. Decoders take what is well-formed and stop where it ends.
 *
 * spec: Base 2.0 4.5 (lists), figures 277 (descriptors), 289 (command sets)
 */

import { IDENTIFY_BYTES } from "./constants.ts";
import { getHex, getUuid, setHex, setUuid, viewOf } from "./wire.ts";

/** Entries of a namespace list. */
export const NAMESPACE_LIST_MAX = 1024;
/** Entries of a controller list. */
export const CONTROLLER_LIST_MAX = 2047;

/**
 * CNS 02h and 07h: the active NSIDs above the command's, ascending, zero behind the last.
 *
 * @param nsids ascending; those beyond 1,024 are left to the host's next command
 */
export function encodeNamespaceList(nsids: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(IDENTIFY_BYTES);
  const view = viewOf(bytes);
  const count = Math.min(nsids.length, NAMESPACE_LIST_MAX);
  for (let index = 0; index < count; index++) {
    view.setUint32(4 * index, nsids[index] ?? 0, true);
  }
  return bytes;
}

/** Ends at the first zero, or with the bytes. */
export function decodeNamespaceList(bytes: Uint8Array): number[] {
  const view = viewOf(bytes);
  const nsids: number[] = [];
  for (let at = 0; at + 4 <= Math.min(bytes.length, IDENTIFY_BYTES); at += 4) {
    const nsid = view.getUint32(at, true);
    if (nsid === 0) break;
    nsids.push(nsid);
  }
  return nsids;
}

/** NIDT of a namespace identification descriptor. */
const DescriptorType = { eui64: 1, nguid: 2, uuid: 3, commandSet: 4 } as const;

/** CNS 03h: what a namespace is known by; null: it has none of that type. */
export interface NamespaceDescriptors {
  /** 16 hexadecimal digits. */
  readonly eui64: string | null;
  /** 32 hexadecimal digits. */
  readonly nguid: string | null;
  /** UUID text. */
  readonly uuid: string | null;
  /** `CommandSet`. */
  readonly commandSet: number | null;
}

export function encodeNamespaceDescriptors(descriptors: NamespaceDescriptors): Uint8Array {
  const bytes = new Uint8Array(IDENTIFY_BYTES);
  let at = 0;
  const begin = (type: number, lengthBytes: number): number => {
    bytes[at] = type;
    bytes[at + 1] = lengthBytes;
    at += 4 + lengthBytes;
    return at - lengthBytes;
  };
  const { eui64, nguid, uuid, commandSet } = descriptors;
  if (eui64 !== null) setHex(bytes, begin(DescriptorType.eui64, 8), 8, eui64);
  if (nguid !== null) setHex(bytes, begin(DescriptorType.nguid, 16), 16, nguid);
  if (uuid !== null) setUuid(bytes, begin(DescriptorType.uuid, 16), uuid);
  if (commandSet !== null) bytes[begin(DescriptorType.commandSet, 1)] = commandSet;
  return bytes;
}

/** Unknown types are skipped; a descriptor beyond the end, or of length 0, ends the list. */
export function decodeNamespaceDescriptors(bytes: Uint8Array): NamespaceDescriptors {
  let eui64: string | null = null;
  let nguid: string | null = null;
  let uuid: string | null = null;
  let commandSet: number | null = null;
  let at = 0;
  while (at + 4 <= bytes.length) {
    const type = bytes[at] ?? 0;
    const lengthBytes = bytes[at + 1] ?? 0;
    const value = at + 4;
    if (lengthBytes === 0 || value + lengthBytes > bytes.length) break;
    if (type === DescriptorType.eui64 && lengthBytes === 8) eui64 = getHex(bytes, value, 8);
    else if (type === DescriptorType.nguid && lengthBytes === 16) nguid = getHex(bytes, value, 16);
    else if (type === DescriptorType.uuid && lengthBytes === 16) uuid = getUuid(bytes, value);
    else if (type === DescriptorType.commandSet) commandSet = bytes[value] ?? 0;
    at = value + lengthBytes;
  }
  return { eui64, nguid, uuid, commandSet };
}

/** CNS 13h: controllers of the subsystem. @param cntlids ascending; at most 2,047 are listed */
export function encodeControllerList(cntlids: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(IDENTIFY_BYTES);
  const view = viewOf(bytes);
  const count = Math.min(cntlids.length, CONTROLLER_LIST_MAX);
  view.setUint16(0, count, true);
  for (let index = 0; index < count; index++) {
    view.setUint16(2 + 2 * index, cntlids[index] ?? 0, true);
  }
  return bytes;
}

/** CNS 1Ch: 512 combinations of command sets, of which the first is the NVM command set alone. */
export function encodeCommandSets(): Uint8Array {
  const bytes = new Uint8Array(IDENTIFY_BYTES);
  bytes[0] = 1;
  return bytes;
}
