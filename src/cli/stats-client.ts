/**
 * `penstock stats`, `penstock top`, `penstock reactor list`: ask the engine twice, show what came
 * in between.
 *
 *   top: asked --interval--> asked, shown --interval--> asked, shown ... --q, signal, count--> end
 */

import { setTimeout as sleep } from "node:timers/promises";
import { askEngine } from "../api/engine-client.ts";
import type { GetStatsResponse } from "../api/penstock/engine/v1/engine_pb.ts";
import { engineAddressFor } from "./engine-place.ts";
import { formatValue } from "./output.ts";
import type { ClientOptions, ListOptions } from "./pipe-client.ts";
import { type StatsView, statsBetween } from "./stats-rates.ts";
import { operationsOf, pipesTable, pipeTable, reactorsTable, summaryText } from "./stats-table.ts";
import { TopScreen } from "./top-screen.ts";

export interface StatsOptions extends ListOptions {
  /** Milliseconds. */
  readonly interval: number;
}

export interface TopOptions extends ClientOptions {
  /** Milliseconds. */
  readonly interval: number;
  /** Tables to show; absent: until it is told to end. */
  readonly count?: number;
  readonly once: boolean;
}

export async function showStats(pipe: string | undefined, options: StatsOptions): Promise<void> {
  const view = await watchFor(options, pipe);
  const [first] = view.pipes;
  if (options.output !== "table") print(formatValue(view, options.output));
  else print(pipe === undefined || first === undefined ? pipesTable(view.pipes) : pipeTable(first));
}

export async function listReactors(options: StatsOptions): Promise<void> {
  const { reactors } = await watchFor(options);
  print(
    options.output === "table" ? reactorsTable(reactors) : formatValue(reactors, options.output),
  );
}

/** On a terminal one table in place, elsewhere one after the other. */
export async function runTop(options: TopOptions): Promise<void> {
  const count = options.once ? 1 : (options.count ?? Number.POSITIVE_INFINITY);
  const isLive = count === Number.POSITIVE_INFINITY && process.stdout.isTTY;
  const screen = isLive ? new TopScreen(process.stdin, process.stdout) : null;
  // Whoever reads our lines may go away.
  const gone = new AbortController();
  process.stdout.once("error", () => gone.abort());
  const ended = screen === null ? gone.signal : AbortSignal.any([gone.signal, screen.ended]);
  try {
    let before = await ask(options);
    for (let shown = 0; shown < count && !ended.aborted; shown += 1) {
      await sleep(options.interval, undefined, { signal: ended });
      const after = await ask(options);
      const text = topText(statsBetween(before, after));
      if (screen === null) print(shown === 0 ? text : `\n${text}`);
      else screen.show(text);
      before = after;
    }
  } catch (thrown) {
    if (!ended.aborted) throw thrown;
  } finally {
    screen?.close();
  }
}

/** The busiest pipes first. */
function topText(view: StatsView): string {
  const pipes = view.pipes.toSorted((left, right) => operationsOf(right) - operationsOf(left));
  return `${summaryText(view)}\n${pipesTable(pipes)}`;
}

async function watchFor(options: StatsOptions, pipe?: string): Promise<StatsView> {
  const before = await ask(options, pipe);
  await sleep(options.interval);
  return statsBetween(before, await ask(options, pipe));
}

function ask({ engine }: ClientOptions, pipe?: string): Promise<GetStatsResponse> {
  return askEngine(engineAddressFor(engine), (client) =>
    client.engine.getStats(pipe === undefined ? {} : { pipe }),
  );
}

function print(text: string): void {
  process.stdout.write(text);
}
