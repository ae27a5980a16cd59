/**
 * Registers one test per level, backing and transport, each with a fresh server and one export.
 *
 * Everyday runs take every backing at the first level and one at each of the others, and alternate
 * the transports; long runs take all of them.
 */

import { join } from "node:path";
import { type TestContext, test } from "node:test";

import {
  type Backing,
  type BackingName,
  type BackingSource,
  backingsOf,
  usualBackingsOf,
} from "./backings.ts";
import type { TestScope } from "./cleanup.ts";
import { LEVELS, type Level } from "./levels.ts";
import { LONG_RUN } from "./long-run.ts";
import { type PenstockProcess, startPenstock } from "./penstock-process.ts";
import { makeTempDir } from "./temp-dir.ts";

export type Transport = "tcp" | "unix";

const TRANSPORTS: readonly Transport[] = ["tcp", "unix"];
const EXPORT_BYTES_DEFAULT = 16 * 2 ** 20;
const TEST_TIMEOUT_MS_DEFAULT = 180_000;

/** What a test gets: a running server with one export named "vol". */
export interface ServedExport {
  readonly uri: string;
  readonly sizeBytes: number;
  readonly level: Level;
  readonly transport: Transport;
  readonly backing: BackingName;
  readonly source: BackingSource;
  readonly server: PenstockProcess;
}

export interface ExportMatrixOptions {
  /** As of node:test; use missingTools. */
  readonly skip?: string | false;
  /** Default 16 MiB. */
  readonly sizeBytes?: number;
  /** Default: all of them. */
  readonly backings?: readonly BackingName[];
  readonly timeoutMs?: number;
}

/** Registers "title, TRANSPORT to BACKING at LEVEL" for each cell of the matrix. */
export function forEachExport(
  title: string,
  options: ExportMatrixOptions,
  body: (t: TestContext, served: ServedExport) => Promise<void>,
): void {
  for (const [levelIndex, level] of LEVELS.entries()) {
    for (const [backingIndex, backing] of backingsOf(level).entries()) {
      const isUsual = usualBackingsOf(level).includes(backing);
      if (!isUsual || options.backings?.includes(backing.name) === false) {
        continue;
      }
      for (const [transportIndex, transport] of TRANSPORTS.entries()) {
        if (!LONG_RUN && (levelIndex + backingIndex + transportIndex) % 2 !== 0) {
          continue;
        }
        const settings = {
          skip: options.skip || backing.skip,
          timeout: options.timeoutMs ?? TEST_TIMEOUT_MS_DEFAULT,
        };
        test(`${title}, ${transport} to ${backing.name} at ${level.name}`, settings, async (t) => {
          await body(t, await serve(t, { level, backing, transport, options }));
        });
      }
    }
  }
}

interface Cell {
  readonly level: Level;
  readonly backing: Backing;
  readonly transport: Transport;
  readonly options: ExportMatrixOptions;
}

async function serve(t: TestScope, cell: Cell): Promise<ServedExport> {
  const { level, backing, transport, options } = cell;
  const sizeBytes = options.sizeBytes ?? EXPORT_BYTES_DEFAULT;
  const source = await backing.make(t, sizeBytes);
  const server = await startPenstock(t, `${source.stage} | ${shareStage(t, transport)}`, { level });
  const { uri } = server;
  return { uri, sizeBytes, level, transport, backing: backing.name, source, server };
}

/** A share named "vol" on a free port, or on a socket in a fresh folder. */
export function shareStage(t: TestScope, transport: Transport, name = "vol"): string {
  if (transport === "tcp") {
    return `nbd://127.0.0.1:0/${name}`;
  }
  return `nbd+unix:///${name}?socket=${join(makeTempDir(t), "nbd.sock")}`;
}
