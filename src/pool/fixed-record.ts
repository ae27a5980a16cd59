/**
 * Fields of fixed records in a DataView: 48 and 64 bit numbers, uuids and names. Pure.
 *
 * All numbers are little-endian; spec: docs/internals/pool-format.md. Numbers read are what a disk
 * holds: they are checked by whoever knows what they mean.
 */

import { assert } from "../util/assert.ts";

const UINT16_RANGE = 2 ** 16;
const UINT32_RANGE = 2 ** 32;
const UINT48_RANGE = 2 ** 48;
const UUID_BYTES = 16;

const decoder = new TextDecoder("utf-8", { fatal: true });
const encoder = new TextEncoder();

export function getU48(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint16(at + 4, true) * UINT32_RANGE;
}

export function putU48(view: DataView, at: number, value: number): void {
  assert(value >= 0 && value < UINT48_RANGE, "a u48 has 48 bits");
  view.setUint32(at, value % UINT32_RANGE, true);
  view.setUint16(at + 4, (value / UINT32_RANGE) % UINT16_RANGE, true);
}

/** A number up to 2^53 - 1; larger ones come back as Infinity, which no check lets pass. */
export function getU64(view: DataView, at: number): number {
  const value = view.getUint32(at, true) + view.getUint32(at + 4, true) * UINT32_RANGE;
  return Number.isSafeInteger(value) ? value : Number.POSITIVE_INFINITY;
}

export function putU64(view: DataView, at: number, value: number): void {
  assert(Number.isSafeInteger(value) && value >= 0, "a u64 of ours is a safe integer");
  view.setUint32(at, value % UINT32_RANGE, true);
  view.setUint32(at + 4, Math.floor(value / UINT32_RANGE), true);
}

/** The first 8 bytes of a session or pool uuid, as 16 hex digits: never compared as a number. */
export function getHex64(view: DataView, at: number): string {
  return hexOf(view, at, 8);
}

export function putHex64(view: DataView, at: number, hex: string): void {
  assert(/^[0-9a-f]{16}$/.test(hex), "eight bytes are 16 hex digits");
  putHex(view, at, hex);
}

/** In the order of its text. */
export function getUuid(view: DataView, at: number): string {
  const hex = hexOf(view, at, UUID_BYTES);
  const [a, b, c] = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16)];
  return `${a}-${b}-${c}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

export function putUuid(view: DataView, at: number, uuid: string): void {
  const hex = uuid.replaceAll("-", "").toLowerCase();
  assert(/^[0-9a-f]{32}$/.test(hex), `a uuid has 32 hex digits: ${uuid}`);
  putHex(view, at, hex);
}

/** UTF-8, zero-padded. Null: bytes that are no name (not UTF-8, or something after the zero). */
export function getName(view: DataView, at: number, lengthBytes: number): string | null {
  const bytes = new Uint8Array(view.buffer, view.byteOffset + at, lengthBytes);
  const zero = bytes.indexOf(0);
  const end = zero < 0 ? lengthBytes : zero;
  for (let index = end; index < lengthBytes; index++) if (bytes[index] !== 0) return null;
  try {
    return decoder.decode(bytes.subarray(0, end));
  } catch (_notUtf8) {
    return null;
  }
}

/** Bytes that `name` takes in a record. */
export function nameBytes(name: string): number {
  return encoder.encode(name).length;
}

export function putName(view: DataView, at: number, lengthBytes: number, name: string): void {
  const encoded = encoder.encode(name);
  assert(encoded.length <= lengthBytes, "a name fits into its field: checked when it was given");
  assert(encoded.indexOf(0) < 0, "a name has no zero byte");
  const bytes = new Uint8Array(view.buffer, view.byteOffset + at, lengthBytes);
  bytes.fill(0);
  bytes.set(encoded);
}

function hexOf(view: DataView, at: number, lengthBytes: number): string {
  let hex = "";
  for (let index = 0; index < lengthBytes; index++) {
    hex += view
      .getUint8(at + index)
      .toString(16)
      .padStart(2, "0");
  }
  return hex;
}

function putHex(view: DataView, at: number, hex: string): void {
  for (let index = 0; index < hex.length; index += 2) {
    view.setUint8(at + index / 2, Number.parseInt(hex.slice(index, index + 2), 16));
  }
}
