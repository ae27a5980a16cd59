/**
 * OptionReader: reads the fields of one option's data, big-endian, never past its end.
 *
 * Made per option over the handshake's own buffer. A field that is not there (or is no string by
 * the spec) gives null, which the option answers with an error; nothing throws.
 */

import { STRING_BYTES_MAX } from "./constants.ts";

// A byte order mark is part of the name, not decoration.
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export class OptionReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  /** @param bytes exactly the option's data; read, never kept after the option */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** Bytes not read yet. */
  get leftBytes(): number {
    return this.#bytes.length - this.#at;
  }

  uint16(): number | null {
    if (this.leftBytes < 2) return null;
    this.#at += 2;
    return this.#view.getUint16(this.#at - 2);
  }

  uint32(): number | null {
    if (this.leftBytes < 4) return null;
    this.#at += 4;
    return this.#view.getUint32(this.#at - 4);
  }

  /** A string of `lengthBytes`; null when it is not there or no string. */
  string(lengthBytes: number): string | null {
    if (lengthBytes > this.leftBytes) return null;
    this.#at += lengthBytes;
    return decodeString(this.#bytes.subarray(this.#at - lengthBytes, this.#at));
  }

  /** A string after its own u32 length. */
  sizedString(): string | null {
    const lengthBytes = this.uint32();
    return lengthBytes === null ? null : this.string(lengthBytes);
  }
}

/**
 * The string in `bytes`, null when it is none: over 4096 bytes, not UTF-8, or with a NUL.
 * spec: NBD proto.md "Conventions"
 */
export function decodeString(bytes: Uint8Array): string | null {
  if (bytes.length > STRING_BYTES_MAX || bytes.includes(0)) return null;
  try {
    return decoder.decode(bytes);
  } catch (_notUtf8) {
    return null;
  }
}
