/**
 * The files that servers serve: allocated, filled and cached before anything is measured.
 *
 * Owns one folder on tmpfs and one on disk; both go with close(), and when a signal ends the bench.
 */

import { randomFillSync } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { open, statfs } from "node:fs/promises";
import { join } from "node:path";

import type { SourceName } from "./scenarios.ts";
import type { Backing, ServerAdapter } from "./servers/server.ts";

const TMPFS_FOLDER = "/dev/shm";
const CHUNK_BYTES = 2 ** 20;
/** spec: statfs(2) */
const FILE_SYSTEM_NAMES: ReadonlyMap<number, string> = new Map([
  [0x1021994, "tmpfs"],
  [0xef53, "ext4"],
  [0x58465342, "xfs"],
  [0x9123683e, "btrfs"],
  [0x794c7630, "overlayfs"],
]);

export class BackingFiles {
  readonly #folders = new Map<string, string>();
  readonly #diskFolder: string;
  readonly #onSignal = (): void => this.close();

  /** `diskFolder`: where the source `file` has its files. */
  constructor(diskFolder: string) {
    this.#diskFolder = diskFolder;
    // Before any server is started: whoever stops the servers on a signal ends this process, too.
    process.once("SIGINT", this.#onSignal);
    process.once("SIGTERM", this.#onSignal);
  }

  async make(source: SourceName, adapter: ServerAdapter, sizeBytes: number): Promise<Backing> {
    if (source === "ram" && adapter.hasMemoryDisk) return { kind: "memory", sizeBytes };
    const folder = this.#folder(source === "file" ? this.#diskFolder : TMPFS_FOLDER);
    const path = join(folder, `${source}-${adapter.name}.img`);
    await fillFile(path, sizeBytes);
    return { kind: "file", path, sizeBytes };
  }

  /** Writes dirty pages back, so that the next cell does not pay for this one. */
  async settle(backing: Backing): Promise<void> {
    if (backing.kind === "memory") return;
    const file = await open(backing.path, "r+");
    await file.datasync();
    await file.close();
  }

  remove(backing: Backing): void {
    if (backing.kind === "file") rmSync(backing.path, { force: true });
  }

  close(): void {
    process.off("SIGINT", this.#onSignal);
    process.off("SIGTERM", this.#onSignal);
    for (const folder of this.#folders.values()) rmSync(folder, { recursive: true, force: true });
    this.#folders.clear();
  }

  #folder(parent: string): string {
    const known = this.#folders.get(parent);
    if (known !== undefined) return known;
    const made = mkdtempSync(join(parent, "penstock-bench-"));
    this.#folders.set(parent, made);
    return made;
  }
}

/** Such as "ext4"; the kernel's number when it has no name here. */
export async function fileSystemName(folder: string): Promise<string> {
  const { type } = await statfs(folder);
  return FILE_SYSTEM_NAMES.get(type) ?? `0x${type.toString(16)}`;
}

/** Random bytes, so that nothing on the way finds zeroes or sameness to profit from. */
async function fillFile(path: string, sizeBytes: number): Promise<void> {
  const chunk = randomFillSync(Buffer.alloc(CHUNK_BYTES));
  const file = await open(path, "w");
  try {
    for (let offset = 0; offset < sizeBytes; offset += CHUNK_BYTES) {
      await file.write(chunk, 0, Math.min(CHUNK_BYTES, sizeBytes - offset), offset);
    }
    await file.datasync();
  } finally {
    await file.close();
  }
}
