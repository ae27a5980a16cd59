/**
 * The properties of an object as bytes: an area that is replaced as a whole. Pure.
 *
 * Entries in the order of their keys: key length (u16), value length (u32), key, value. A key
 * length of zero, or the area's end, ends it.
 *
 * spec: docs/internals/pool-format.md, Pointers and pages
 */

import { PenstockError } from "../../util/errors.ts";

export const PROPERTIES_BYTES_MAX = 124 * 1024;
export const PROPERTY_KEY_BYTES_MAX = 64;
export const PROPERTY_VALUE_BYTES_MAX = 64 * 1024;

/** Key length and value length. */
const HEADER_BYTES = 6;

const decoder = new TextDecoder("utf-8", { fatal: true });

/** Values by key. */
export type Properties = ReadonlyMap<string, Uint8Array>;

/** @throws PenstockError `properties-too-large` */
export function encodeProperties(properties: Properties): Uint8Array {
  const entries = [...properties].map(([key, value]) => ({ key: Buffer.from(key), value }));
  entries.sort((a, b) => Buffer.compare(a.key, b.key));
  let lengthBytes = 0;
  for (const { key, value } of entries) {
    checkEntry(key, value);
    lengthBytes += HEADER_BYTES + key.length + value.length;
  }
  if (lengthBytes > PROPERTIES_BYTES_MAX) {
    throw tooLarge(`all properties have ${lengthBytes} bytes, at most ${PROPERTIES_BYTES_MAX}`);
  }
  const area = Buffer.alloc(lengthBytes);
  let at = 0;
  for (const { key, value } of entries) {
    area.writeUInt16LE(key.length, at);
    area.writeUInt32LE(value.length, at + 2);
    area.set(key, at + HEADER_BYTES);
    area.set(value, at + HEADER_BYTES + key.length);
    at += HEADER_BYTES + key.length + value.length;
  }
  return area;
}

/** The values are copies. @returns null: these bytes are no such area */
export function decodeProperties(bytes: Uint8Array): Map<string, Uint8Array> | null {
  const area = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const properties = new Map<string, Uint8Array>();
  let before: Buffer | null = null;
  for (let at = 0; at + HEADER_BYTES <= area.length; ) {
    const keyLength = area.readUInt16LE(at);
    const valueLength = area.readUInt32LE(at + 2);
    if (keyLength === 0) break;
    const keyEnd = at + HEADER_BYTES + keyLength;
    const end = keyEnd + valueLength;
    if (keyLength > PROPERTY_KEY_BYTES_MAX || end > area.length) return null;
    if (valueLength > PROPERTY_VALUE_BYTES_MAX) return null;
    const key = area.subarray(at + HEADER_BYTES, keyEnd);
    if (before !== null && Buffer.compare(before, key) >= 0) return null;
    const text = textOf(key);
    if (text === null) return null;
    properties.set(text, Uint8Array.from(area.subarray(keyEnd, end)));
    before = key;
    at = end;
  }
  return properties;
}

function checkEntry(key: Uint8Array, value: Uint8Array): void {
  if (key.length === 0 || key.length > PROPERTY_KEY_BYTES_MAX) {
    throw tooLarge(`a key of ${key.length} bytes: 1 to ${PROPERTY_KEY_BYTES_MAX} are possible`);
  }
  if (value.length > PROPERTY_VALUE_BYTES_MAX) {
    throw tooLarge(`a value of ${value.length} bytes, at most ${PROPERTY_VALUE_BYTES_MAX}`);
  }
}

function textOf(key: Uint8Array): string | null {
  try {
    return decoder.decode(key);
  } catch (_notUtf8) {
    return null;
  }
}

function tooLarge(message: string): PenstockError {
  return new PenstockError({ code: "properties-too-large", message });
}
