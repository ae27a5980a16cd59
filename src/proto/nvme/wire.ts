/**
 * What the structures of NVMe have in common: little-endian 64-bit fields as doubles, fixed and
 * terminated text, UUIDs as bytes.
 *
 * Stateless. Nothing here throws for a peer's bytes; ranges are the caller's business.
 */

import { assert } from "../../util/assert.ts";

const WORD = 4_294_967_296;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** An unsigned 64-bit field; rounded, but at least 2^53, when it is beyond 2^53 - 1. */
export function getUint64(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * WORD + view.getUint32(at, true);
}

/** @param value 0 to 2^53 - 1, or a larger double whose bits are written as they are */
export function setUint64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % WORD, true);
  view.setUint32(at + 4, Math.floor(value / WORD), true);
}

/** A view of exactly these bytes. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** UTF-8 text that ends at its first NUL, or fills the field. Bad UTF-8 becomes U+FFFD. */
export function getTerminated(bytes: Uint8Array, at: number, lengthBytes: number): string {
  const field = bytes.subarray(at, at + lengthBytes);
  const end = field.indexOf(0);
  return decoder.decode(end < 0 ? field : field.subarray(0, end));
}

/** Writes UTF-8 `text`, which must leave room for a NUL, and zeroes behind it. */
export function setTerminated(
  bytes: Uint8Array,
  at: number,
  lengthBytes: number,
  text: string,
): void {
  const encoded = encoder.encode(text);
  assert(encoded.length < lengthBytes, "terminated text fits into its field");
  bytes.fill(0, at, at + lengthBytes);
  bytes.set(encoded, at);
}

/** ASCII text without the spaces (and NULs) that pad it. spec: Base 2.0 1.4.2 */
export function getPadded(bytes: Uint8Array, at: number, lengthBytes: number): string {
  const text = decoder.decode(bytes.subarray(at, at + lengthBytes));
  return text.replace(/[ \0]+$/, "");
}

/** Writes ASCII `text`, cut to the field and padded with spaces. */
export function setPadded(bytes: Uint8Array, at: number, lengthBytes: number, text: string): void {
  for (let index = 0; index < lengthBytes; index++) {
    const code = index < text.length ? text.charCodeAt(index) : 0x20;
    // spec: Base 2.0 1.4.2: ASCII strings hold 20h to 7Eh.
    bytes[at + index] = code >= 0x20 && code <= 0x7e ? code : 0x3f;
  }
}

/** `lengthBytes` bytes as lower-case hexadecimal digits, in their order. */
export function getHex(bytes: Uint8Array, at: number, lengthBytes: number): string {
  let hex = "";
  for (let index = 0; index < lengthBytes; index++) {
    hex += (bytes[at + index] ?? 0).toString(16).padStart(2, "0");
  }
  return hex;
}

/** @param hex twice as many hexadecimal digits; hyphens between them do not matter */
export function setHex(bytes: Uint8Array, at: number, lengthBytes: number, hex: string): void {
  const digits = hex.replaceAll("-", "");
  assert(digits.length === 2 * lengthBytes, "hexadecimal text has two digits for each byte");
  assert(/^[0-9a-fA-F]*$/.test(digits), "hexadecimal text has no other characters");
  for (let index = 0; index < lengthBytes; index++) {
    bytes[at + index] = Number.parseInt(digits.slice(2 * index, 2 * index + 2), 16);
  }
}

/** The 16 bytes at `at`, in the order of a UUID's text, as lower-case text. */
export function getUuid(bytes: Uint8Array, at: number): string {
  const hex = getHex(bytes, at, 16);
  const parts = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20)];
  return `${parts.join("-")}-${hex.slice(20)}`;
}

/** @param uuid 32 hexadecimal digits, with or without hyphens */
export function setUuid(bytes: Uint8Array, at: number, uuid: string): void {
  setHex(bytes, at, 16, uuid);
}

/** Where a number lies in a structure, and its bytes: 8 is a double's 53 bits of 64. */
export type Field = readonly [offset: number, lengthBytes: 1 | 2 | 4 | 8];

/** Writes the numbers that `fields` names. */
export function encodeFields<Name extends string>(
  view: DataView,
  fields: Readonly<Record<Name, Field>>,
  values: Readonly<Record<Name, number>>,
): void {
  for (const name of Object.keys(fields) as Name[]) {
    const [offset, lengthBytes] = fields[name];
    const value = values[name];
    if (lengthBytes === 1) view.setUint8(offset, value);
    else if (lengthBytes === 2) view.setUint16(offset, value, true);
    else if (lengthBytes === 4) view.setUint32(offset, value, true);
    else setUint64(view, offset, value);
  }
}

/** Reads the numbers that `fields` names; all of the structure must be there. */
export function decodeFields<Name extends string>(
  view: DataView,
  fields: Readonly<Record<Name, Field>>,
): Record<Name, number> {
  const values: Partial<Record<Name, number>> = {};
  for (const name of Object.keys(fields) as Name[]) {
    const [offset, lengthBytes] = fields[name];
    if (lengthBytes === 1) values[name] = view.getUint8(offset);
    else if (lengthBytes === 2) values[name] = view.getUint16(offset, true);
    else if (lengthBytes === 4) values[name] = view.getUint32(offset, true);
    else values[name] = getUint64(view, offset);
  }
  return values as Record<Name, number>;
}
