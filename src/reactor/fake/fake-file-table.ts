/**
 * FakeFileTable: the open files of one fake process, and the claims on them: exclusive for
 * writers, shared among readers, as every Io of ours keeps them.
 */

import { assert } from "../../util/assert.ts";
import { PenstockError } from "../../util/errors.ts";
import { Errno } from "../errno.ts";
import { openFileError, sizeMismatchError } from "../io-errors.ts";
import type { FileHandle, OpenedFile, OpenFileOptions } from "../io.ts";
import type { FakeDisk } from "./fake-disk.ts";
import type { FakeFile } from "./fake-file.ts";
import type { FakeOp } from "./fake-op.ts";

const BLOCK_BYTES = 512;
const PAGE_BYTES = 4096;

/** One open file. */
export class FakeOpenFile {
  readonly file: FakeFile;
  readonly write: boolean;
  /** Nobody else may write it meanwhile, nor read it. */
  readonly isExclusive: boolean;
  readonly alignmentBytes: number;
  readonly holder: string;
  /** The operation started last; a file is closed when nothing is in flight. */
  readonly #ops = new Set<FakeOp>();

  constructor(file: FakeFile, options: OpenFileOptions) {
    this.file = file;
    this.write = options.write;
    this.isExclusive = options.write && options.shared !== true;
    this.alignmentBytes = options.direct === true ? BLOCK_BYTES : 1;
    this.holder = options.holder ?? "another process";
  }

  get isBusy(): boolean {
    for (const op of this.#ops) if (op.file === this.file && op.kind !== "idle") return true;
    return false;
  }

  /** @returns 0, or the errno that the kernel would refuse the operation with */
  check(op: FakeOp): number {
    this.#ops.add(op);
    const { kind, vector } = op;
    const modifies = kind === "write" || kind === "punch" || kind === "zero";
    if (modifies && !this.write) return Errno.EBADF;
    if (this.file.isBlockDevice) {
      const errno = this.#checkDevice(op);
      if (errno !== 0) return errno;
    }
    if (this.alignmentBytes === 1 || (kind !== "read" && kind !== "write")) return 0;
    if (kind === "read" && op.position >= this.file.sizeBytes) return 0;
    const mask = this.alignmentBytes - 1;
    if (op.position % this.alignmentBytes !== 0) return Errno.EINVAL;
    for (let index = 0; index < vector.count; index++) {
      if (((vector.offsetAt(index) | vector.lengthAt(index)) & mask) !== 0) return Errno.EINVAL;
    }
    return 0;
  }

  /** What a block device refuses before it looks at memory: no holes, whole blocks, its end. */
  #checkDevice({ kind, position, length }: FakeOp): number {
    const { sizeBytes } = this.file;
    if (kind === "seek") return Errno.EINVAL;
    if (kind === "write" && position >= sizeBytes) return Errno.ENOSPC;
    if (kind !== "punch" && kind !== "zero") return 0;
    if (position >= sizeBytes) return Errno.EINVAL;
    const taken = Math.min(length, sizeBytes - position);
    return ((position | taken) & (BLOCK_BYTES - 1)) === 0 ? 0 : Errno.EINVAL;
  }
}

export class FakeFileTable {
  readonly #disk: FakeDisk;
  readonly #host: string;
  readonly #opened: (FakeOpenFile | null)[] = [];

  constructor(disk: FakeDisk, host: string) {
    this.#disk = disk;
    this.#host = host;
  }

  open(options: OpenFileOptions): OpenedFile {
    const effect = this.#disk.faults.strike(options.path, "open", 0, 0)?.options.effect;
    if (effect?.kind === "error") throw openFileError(options.path, { errno: effect.errno });
    const file = this.#findOrCreate(options);
    const opened = new FakeOpenFile(file, options);
    this.#checkClaims(opened);
    resize(file, options);
    this.#disk.holders.add(opened);
    const handle = this.#opened.length;
    this.#opened.push(opened);
    const identity = `fake:${this.#host}:${file.id}`;
    return {
      file: handle,
      sizeBytes: file.sizeBytes,
      isBlockDevice: file.isBlockDevice,
      alignmentBytes: opened.alignmentBytes,
      logicalBlockBytes: BLOCK_BYTES,
      physicalBlockBytes: PAGE_BYTES,
      canPunch: true,
      canZero: true,
      identity,
      bootId: `boot-${this.#host}-${this.#disk.powerLossCount}`,
      faultCount: this.#disk.faultCount(identity),
    };
  }

  get(handle: FileHandle): FakeOpenFile {
    const opened = this.#opened[handle];
    assert(opened !== null && opened !== undefined, "a file handle is open");
    return opened;
  }

  close(handle: FileHandle): void {
    const opened = this.get(handle);
    assert(!opened.isBusy, "a file is closed when nothing is in flight on it");
    this.#forget(handle, opened);
  }

  abandonAll(): void {
    for (const [handle, opened] of this.#opened.entries()) {
      if (opened !== null) this.#forget(handle, opened);
    }
  }

  #forget(handle: FileHandle, opened: FakeOpenFile): void {
    this.#opened[handle] = null;
    this.#disk.holders.delete(opened);
  }

  #findOrCreate(options: OpenFileOptions): FakeFile {
    const { path, createSizeBytes } = options;
    const file = this.#disk.file(path);
    if (file !== undefined) return file;
    if (createSizeBytes === undefined) throw openFileError(path, { errno: Errno.ENOENT });
    return this.#disk.create({ path, sizeBytes: createSizeBytes });
  }

  #checkClaims(opened: FakeOpenFile): void {
    for (const other of this.#disk.holders) {
      if (other.file !== opened.file || !(other.isExclusive || opened.isExclusive)) continue;
      throw new PenstockError({
        code: "claimed",
        message: `${opened.file.path} is in use by ${other.holder}`,
        retryable: true,
        details: { path: opened.file.path, holder: other.holder },
      });
    }
  }
}

/** Grows a regular file to the size asked for; the other cases are errors. */
function resize(file: FakeFile, { path, createSizeBytes }: OpenFileOptions): void {
  const wantedBytes = createSizeBytes ?? file.sizeBytes;
  if (file.sizeBytes > wantedBytes || (file.isBlockDevice && file.sizeBytes !== wantedBytes)) {
    throw sizeMismatchError(path, { haveBytes: file.sizeBytes, wantedBytes });
  }
  file.sizeBytes = wantedBytes;
}
