/**
 * The commands of snapshots and clones: each makes one call and prints what came of it.
 */

import { askEngine, type EngineClient } from "../api/engine-client.ts";
import type { MeasureSpaceResponse, Snapshot } from "../api/penstock/engine/v1/snapshot_pb.ts";
import { engineAddressFor } from "./engine-place.ts";
import { formatTable, formatValue } from "./output.ts";
import type { ClientOptions, ListOptions } from "./pipe-client.ts";
import { shownSize } from "./pool-view.ts";
import { diffView, type SnapshotView, snapshotColumns, snapshotView } from "./snapshot-view.ts";

export interface UuidOptions extends ClientOptions {
  readonly uuid?: string;
}

export interface ListSnapshotsOptions extends ListOptions {
  readonly pool?: string;
  readonly replica?: string;
  /** Finds out what each holds alone. */
  readonly space: boolean;
}

export interface DiffOptions extends ListOptions {
  /** Bytes. */
  readonly offset: number;
}

const CLEAR_LINE = "\r\u001b[2K";
/** Of one call. */
const MEASURED_MAX = 1000;

export async function createSnapshot(
  pool: string,
  snapshot: string,
  { uuid, ...options }: UuidOptions,
): Promise<void> {
  const request = { pool, snapshot, ...(uuid === undefined ? {} : { uuid }) };
  await ask(options, ({ snapshots }) => snapshots.createSnapshot(request));
}

export async function listSnapshots(listing: ListSnapshotsOptions): Promise<void> {
  const { output, pool, replica, space, ...options } = listing;
  const views = await ask(options, async (client) => {
    const only = { ...(pool === undefined ? {} : { pool }) };
    const of = { ...(replica === undefined ? {} : { replica }) };
    const { snapshots } = await client.snapshots.listSnapshots({ ...only, ...of });
    const spaces = space ? await measure(client, snapshots) : new Map();
    return snapshots.map((each) => snapshotView(each, spaces.get(keyOf(each))));
  });
  print(output === "table" ? tableOf(views, space) : formatValue(views, output));
}

export async function deleteSnapshot(
  pool: string,
  snapshot: string,
  options: ClientOptions,
): Promise<void> {
  await ask(options, ({ snapshots }) => snapshots.deleteSnapshot({ pool, snapshot }));
}

export async function rollbackSnapshot(
  pool: string,
  snapshot: string,
  options: ClientOptions,
): Promise<void> {
  await ask(options, ({ snapshots }) => snapshots.rollbackSnapshot({ pool, snapshot }));
}

/** Prints extents as they come: there may be millions. */
export async function diffSnapshots(
  pool: string,
  from: string,
  to: string,
  { output, offset, ...options }: DiffOptions,
): Promise<void> {
  const request = { pool, from, to, offset: BigInt(offset) };
  await ask(options, async ({ snapshots }) => {
    let count = 0;
    if (output === "json") print("[");
    for await (const { extents } of snapshots.diffSnapshots(request)) {
      const views = extents.map(diffView);
      const isFirst = count === 0;
      count += views.length;
      if (output === "json") {
        const lines = views.map((view) => `\n  ${JSON.stringify(view)}`).join(",");
        print(isFirst ? lines : `,${lines}`);
      } else if (output === "yaml") {
        print(formatValue(views, output));
      } else {
        print(views.map((each) => `${each.offset}\t${each.length}\t${each.kind}\n`).join(""));
      }
    }
    if (output === "json") print(count === 0 ? "]\n" : "\n]\n");
    if (output === "yaml" && count === 0) print("[]\n");
  });
}

export async function cloneSnapshot(
  at: { readonly pool: string; readonly snapshot: string; readonly name: string },
  { uuid, ...options }: UuidOptions,
): Promise<void> {
  const request = { ...at, ...(uuid === undefined ? {} : { uuid }) };
  await ask(options, ({ snapshots }) => snapshots.cloneSnapshot(request));
}

export async function promoteReplica(
  pool: string,
  name: string,
  options: ClientOptions,
): Promise<void> {
  await ask(options, ({ snapshots }) => snapshots.promoteReplica({ pool, name }));
}

export async function flattenReplica(
  pool: string,
  name: string,
  options: ClientOptions,
): Promise<void> {
  await ask(options, async ({ snapshots }) => {
    for await (const progress of snapshots.flattenReplica({ pool, name })) {
      if (!process.stderr.isTTY) continue;
      const { doneBytes, totalBytes } = progress;
      const sizes = `${shownSize(Number(doneBytes))} of ${shownSize(Number(totalBytes))}`;
      process.stderr.write(progress.finished ? CLEAR_LINE : `${CLEAR_LINE}flattened ${sizes}`);
    }
  });
}

async function measure(
  { snapshots }: EngineClient,
  all: readonly Snapshot[],
): Promise<ReadonlyMap<string, MeasureSpaceResponse>> {
  const found = new Map<string, MeasureSpaceResponse>();
  for (const pool of new Set(all.map((each) => each.pool))) {
    // One that is being deleted holds what it holds only until it can go.
    const names = all.filter((each) => each.pool === pool).map(({ name }) => name);
    for (let at = 0; at < names.length; at += MEASURED_MAX) {
      const some = names.slice(at, at + MEASURED_MAX);
      for await (const space of snapshots.measureSpace({ pool, names: some })) {
        found.set(keyOf({ pool, name: space.name }), space);
      }
    }
  }
  return found;
}

function keyOf({ pool, name }: { readonly pool: string; readonly name: string }): string {
  return `${pool}/${name}`;
}

function tableOf(views: readonly SnapshotView[], measured: boolean): string {
  if (views.length === 0) return "No snapshots have been taken\n";
  return formatTable(views, snapshotColumns(measured));
}

function ask<T>({ engine }: ClientOptions, call: (client: EngineClient) => Promise<T>): Promise<T> {
  return askEngine(engineAddressFor(engine), call);
}

function print(text: string): void {
  process.stdout.write(text);
}
