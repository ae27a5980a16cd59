/**
 * Writes the archive format that the Linux kernel takes as an initramfs ("newc" cpio).
 *
 * Needs neither root nor a cpio program. The owner adds entries, then calls `finish` once; every
 * entry belongs to root and parents are made as needed. Contents are kept by reference until then.
 */

import { Buffer } from "node:buffer";
import { posix } from "node:path";

import { assert } from "../../util/assert.ts";

/** File type bits of `st_mode`. */
const TYPE_FILE = 0o100000;
const TYPE_FOLDER = 0o040000;
const TYPE_LINK = 0o120000;

/** The kernel's limit for a name in an initramfs is PATH_MAX. */
const NAME_BYTES_MAX = 4095;

export class CpioArchive {
  readonly #parts: Buffer[] = [];
  readonly #names = new Set<string>(["/", "."]);
  #nextInode = 1;

  /** Adds a file; `path` is absolute. A second file of that path is ignored. */
  addFile(path: string, content: Uint8Array, mode = 0o644): void {
    this.#add(path, TYPE_FILE | mode, content);
  }

  addLink(path: string, target: string): void {
    this.#add(path, TYPE_LINK | 0o777, Buffer.from(target));
  }

  addFolder(path: string): void {
    this.#add(path, TYPE_FOLDER | 0o755, new Uint8Array(0));
  }

  /** The whole archive. The instance is of no use afterwards. */
  finish(): Buffer {
    this.#append("TRAILER!!!", 0, new Uint8Array(0));
    return Buffer.concat(this.#parts);
  }

  #add(path: string, mode: number, content: Uint8Array): void {
    assert(posix.isAbsolute(path), `not an absolute path: ${path}`);
    const clean = posix.normalize(path);
    if (this.#names.has(clean)) {
      return;
    }
    const parent = posix.dirname(clean);
    if (!this.#names.has(parent)) {
      this.addFolder(parent);
    }
    this.#names.add(clean);
    this.#append(clean.slice(1), mode, content);
  }

  #append(name: string, mode: number, content: Uint8Array): void {
    const nameBytes = Buffer.from(`${name}\0`);
    assert(nameBytes.length <= NAME_BYTES_MAX, `name too long: ${name}`);
    const fields = [
      this.#nextInode,
      mode,
      0, // owner
      0, // group
      1, // links
      0, // modification time
      content.length,
      0, // device of the file, major and minor
      0,
      0, // device it stands for, major and minor
      0,
      nameBytes.length,
      0, // check sum, unused in this variant
    ];
    this.#nextInode += 1;
    const header = `070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`;
    this.#push(Buffer.from(header, "latin1"), nameBytes);
    this.#push(Buffer.from(content.buffer, content.byteOffset, content.byteLength));
  }

  /** Appends the pieces and zeroes up to the next multiple of four. */
  #push(...pieces: readonly Buffer[]): void {
    const lengthBytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
    this.#parts.push(...pieces, Buffer.alloc((4 - (lengthBytes % 4)) % 4));
  }
}
