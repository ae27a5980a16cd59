/**
 * One measurement: one client against one running server, with what both and the rest of the
 * machine used meanwhile. Stateless.
 */

import { setTimeout as sleep } from "node:timers/promises";

import { type ClientFigures, runFio } from "./fio.ts";
import type { Operation } from "./scenarios.ts";
import type { RunningServer } from "./servers/server.ts";
import {
  machineBusyNs,
  ownBusyNs,
  type ProcessorClock,
  threadsOffCore,
  treeProcessorNs,
  treeResidentBytes,
} from "./usage.ts";

const NS_PER_US = 1e3;

export interface Cores {
  /** Null: not pinned. */
  readonly server: number | null;
  readonly client: number | null;
}

export interface CellRequest {
  readonly server: RunningServer;
  readonly operation: Operation;
  readonly sizeBytes: number;
  readonly durationMs: number;
  readonly cores: Cores;
  readonly clock: ProcessorClock;
}

export interface CellFigures extends ClientFigures {
  readonly cpuUsPerOperation: number;
  readonly residentBytes: number;
  /** What neither server nor client nor bench used, in cores: neighbours, hypervisor, kernel. */
  readonly otherCores: number;
  /** Threads of the server that were not held to its core. */
  readonly threadsOffCore: readonly string[];
}

export async function measureCell(request: CellRequest): Promise<CellFigures> {
  const { server, operation, sizeBytes, durationMs, cores, clock } = request;
  const startMs = performance.now();
  const busyStartNs = machineBusyNs();
  const ownStartNs = ownBusyNs();
  const serverStartNs = treeProcessorNs(server.pid, clock);
  const [figures, strays] = await Promise.all([
    runFio({ uri: server.uri, core: cores.client, operation, sizeBytes, durationMs }),
    lookAtThreads(server.pid, cores.server, durationMs),
  ]);
  const serverNs = treeProcessorNs(server.pid, clock) - serverStartNs;
  const ownNs = ownBusyNs() - ownStartNs;
  const busyNs = machineBusyNs() - busyStartNs;
  const elapsedNs = (performance.now() - startMs) * 1e6;
  return {
    ...figures,
    cpuUsPerOperation: serverNs / NS_PER_US / Math.max(1, figures.operations),
    residentBytes: treeResidentBytes(server.pid),
    // The machine's total comes in ticks, so short cells can seem to have used less than nothing.
    otherCores: Math.max(0, (busyNs - serverNs - ownNs) / elapsedNs),
    threadsOffCore: strays,
  };
}

/** In the middle of the cell, when the workers that come with the load are there. */
async function lookAtThreads(
  pid: number,
  core: number | null,
  durationMs: number,
): Promise<string[]> {
  await sleep(durationMs * 0.6);
  return core === null ? [] : threadsOffCore(pid, core);
}
