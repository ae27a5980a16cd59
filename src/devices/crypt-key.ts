/**
 * The key of `crypt`, from the bytes of a key file or a variable. Pure.
 *
 * Works on bytes only: a key that was a string once would stay in the heap for as long as the
 * engine likes. Errors name lengths, never content.
 */

import { XTS_KEY_BYTES } from "../sys/sector-cipher.ts";
import { PenstockError } from "../util/errors.ts";

/** Longer contents are refused unread: 128 hex digits and the end of a line, and some more. */
export const KEY_CONTENT_BYTES_MAX = 160;

const NEWLINE = 10;
const RETURN = 13;

/**
 * The key that `content` spells: 64 raw bytes (AES-256) or 32 (AES-128), or 128 hex digits, with or
 * without a newline behind them. Always a copy; both are the caller's to wipe.
 * @param source where it was read, for messages: "file:/etc/k"
 * @throws PenstockError `key-invalid`
 */
export function parseXtsKey(content: Uint8Array, source: string): Uint8Array {
  const key = keyOf(content, source);
  if (!hasEqualHalves(key)) return key;
  key.fill(0);
  throw refusal(source, "has two equal halves, expected two different keys (XTS needs two)");
}

function keyOf(content: Uint8Array, source: string): Uint8Array {
  const { aes128, aes256 } = XTS_KEY_BYTES;
  const { length } = content;
  const digits = withoutNewline(content);
  const isHex = digits.length > 0 && digits.every((byte) => hexValue(byte) >= 0);
  if (isHex && digits.length === 2 * aes256) return fromHex(digits);
  // Taken as raw bytes, such a file would be a key with half the strength that its length shows.
  if (isHex) throw refusal(source, `has ${digits.length} hex digits, expected ${2 * aes256}`);
  if (length === aes256 || length === aes128) return content.slice();
  const found = length > KEY_CONTENT_BYTES_MAX ? `more than ${KEY_CONTENT_BYTES_MAX}` : length;
  throw refusal(
    source,
    `has ${found} bytes, expected ${aes256} (or ${2 * aes256} hex digits) for AES-256-XTS, ` +
      `${aes128} for AES-128-XTS`,
  );
}

function refusal(source: string, problem: string): PenstockError {
  return new PenstockError({
    code: "key-invalid",
    message: `the key in ${source} ${problem}`,
    details: { source },
  });
}

function hasEqualHalves(key: Uint8Array): boolean {
  const half = key.length / 2;
  let difference = 0;
  for (let at = 0; at < half; at++) {
    difference |= (key[at] as number) ^ (key[at + half] as number);
  }
  return difference === 0;
}

function withoutNewline(content: Uint8Array): Uint8Array {
  let end = content.length;
  if (content[end - 1] === NEWLINE) end--;
  if (end < content.length && content[end - 1] === RETURN) end--;
  return content.subarray(0, end);
}

function fromHex(digits: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(digits.length / 2);
  for (let at = 0; at < bytes.length; at++) {
    const high = hexValue(digits[2 * at] as number);
    bytes[at] = high * 16 + hexValue(digits[2 * at + 1] as number);
  }
  return bytes;
}

/** The digit's value, or -1. */
function hexValue(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const lower = byte | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}
