/**
 * What an engine has done so far, gathered when somebody asks: the reactors are asked once, the
 * rest is read here. Plain values; counters only grow.
 */

import type { PipeHost } from "../pipe/pipe-host.ts";
import type { PipeStats, ReactorStats } from "../pipe/reactor-protocol.ts";
import type { EntryState } from "./pipe-entry.ts";
import type { PipeRegistry } from "./pipe-registry.ts";

export interface EngineStats {
  /** Milliseconds since 1970. */
  readonly timeMs: number;
  /** Since the engine started; monotonic. */
  readonly uptimeMs: number;
  /** Of all threads. */
  readonly cpuMs: number;
  readonly residentBytes: number;
  readonly reactors: readonly ReactorStats[];
  /** In the order in which they were made. */
  readonly pipes: readonly NamedPipeStats[];
}

export interface NamedPipeStats {
  readonly name: string;
  readonly state: EntryState;
  /** Null unless it is ready. */
  readonly stats: PipeStats | null;
}

export interface EngineStatsParts {
  readonly registry: Pick<PipeRegistry, "list" | "nameOf" | "idOf">;
  readonly host: Pick<PipeHost, "reactorStats" | "pipeStats">;
  readonly startedAtMs: number;
}

const US_PER_MS = 1000;

/** @param name only this one of the pipes. @throws PenstockError `pipe-not-found` */
export async function gatherStats(parts: EngineStatsParts, name?: string): Promise<EngineStats> {
  const { registry, host, startedAtMs } = parts;
  const reactors = await host.reactorStats(name === undefined ? undefined : registry.idOf(name));
  const byName = new Map(
    host.pipeStats(reactors).map(({ id, stats }) => [registry.nameOf(id), stats]),
  );
  // After the reactors have answered: a pipe that was deleted meanwhile is not there any more.
  const listed = registry.list().filter((pipe) => name === undefined || pipe.name === name);
  const { user, system } = process.cpuUsage();
  return {
    timeMs: Date.now(),
    uptimeMs: performance.now() - startedAtMs,
    cpuMs: (user + system) / US_PER_MS,
    residentBytes: process.memoryUsage.rss(),
    reactors,
    pipes: listed.map(({ name: each, state }) => ({
      name: each,
      state,
      stats: state === "ready" ? (byName.get(each) ?? null) : null,
    })),
  };
}
