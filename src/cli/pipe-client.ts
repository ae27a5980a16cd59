/**
 * The commands that ask an engine: each makes one call and prints what came of it.
 */

import { askEngine, type EngineClient } from "../api/engine-client.ts";
import type { PipeTree } from "../api/penstock/engine/v1/engine_pb.ts";
import { graphSvg } from "../pipe/graph-svg.ts";
import { graphText } from "../pipe/graph-text.ts";
import { stageFacts } from "../pipe/pipe-graph.ts";
import type { StageListing } from "../pipe/replumb.ts";
import { formatDuration } from "../util/duration.ts";
import { withAbsolutePaths } from "./absolute-paths.ts";
import { engineAddressFor } from "./engine-place.ts";
import { inOneLine } from "./in-one-line.ts";
import { type Column, formatTable, formatValue, type OutputFormat } from "./output.ts";
import {
  engineView,
  type EventView,
  eventView,
  pipeDetailView,
  pipeGraph,
  type PipeView,
  pipeView,
} from "./pipe-view.ts";
import { allStages } from "./stage-walk.ts";

export interface ClientOptions {
  /** unix:PATH or HOST:PORT; default: this machine's engine. */
  readonly engine?: string;
}

export interface ListOptions extends ClientOptions {
  readonly output: OutputFormat;
}

export interface ReplumbOptions extends ClientOptions {
  /** Milliseconds. */
  readonly timeout?: number;
  readonly above?: string;
}

export async function createPipe(
  name: string,
  text: string,
  options: ClientOptions,
): Promise<void> {
  // The engine's current folder is not that of whoever types.
  const absolute = withAbsolutePaths(text, process.cwd());
  const { pipe } = await ask(options, ({ pipes }) => pipes.createPipe({ name, text: absolute }));
  print(`ready ${pipe?.uri ?? ""}\n`);
}

export async function listPipes(options: ListOptions): Promise<void> {
  const { pipes } = await ask(options, ({ pipes }) => pipes.listPipes({}));
  const views = pipes.map(pipeView);
  print(
    options.output === "table"
      ? formatTable(views, PIPE_COLUMNS)
      : formatValue(views, options.output),
  );
}

export async function showPipe(name: string, options: ListOptions): Promise<void> {
  const { tree } = await ask(options, ({ pipes }) => pipes.getPipe({ name }));
  const view = pipeDetailView(treeOf(tree));
  if (options.output !== "table") {
    print(formatValue(view, options.output));
    return;
  }
  const facts: (readonly [string, string])[] = [
    ["name", view.name],
    ["state", view.state],
    ["uri", view.uri ?? "-"],
    ["text", view.text],
    ["created", view.createdAt ?? "-"],
    ...(view.failure === null
      ? []
      : [["failure", `${view.failure.code}: ${view.failure.message}`] as const]),
    ...(view.retryAt === null ? [] : [["next try", view.retryAt] as const]),
  ];
  print(facts.map(([key, value]) => `${key.padEnd(8)}  ${value}\n`).join(""));
  const stages = [...allStages(view.stages)];
  if (stages.length > 0) print(`\n${formatTable(stages, STAGE_COLUMNS)}`);
}

export async function drawPipe(
  name: string,
  options: ClientOptions & { readonly output: "text" | "svg" },
): Promise<void> {
  const { tree } = await ask(options, ({ pipes }) => pipes.getPipe({ name }));
  const graph = pipeGraph(pipeDetailView(treeOf(tree)));
  print(options.output === "svg" ? graphSvg(graph) : `${graphText(graph)}\n`);
}

export async function insertStage(
  pipe: string,
  text: string,
  { above, timeout, ...options }: ReplumbOptions,
): Promise<void> {
  const { tree } = await ask(options, ({ pipes }) =>
    pipes.insertStage({
      pipe,
      text,
      ...(above === undefined ? {} : { above }),
      ...timeoutOf(timeout),
    }),
  );
  printText(tree);
}

export async function removeStage(
  pipe: string,
  stage: string,
  { timeout, ...options }: ReplumbOptions,
): Promise<void> {
  const request = { pipe, stage, ...timeoutOf(timeout) };
  const { tree } = await ask(options, ({ pipes }) => pipes.removeStage(request));
  printText(tree);
}

export async function changeStage(
  pipe: string,
  stage: string,
  text: string,
  options: ClientOptions,
): Promise<void> {
  const { tree } = await ask(options, ({ pipes }) => pipes.changeStage({ pipe, stage, text }));
  printText(tree);
}

export async function resizePipe(
  pipe: string,
  sizeBytes: number,
  options: ClientOptions,
): Promise<void> {
  const request = { pipe, sizeBytes: BigInt(sizeBytes) };
  const { tree } = await ask(options, ({ pipes }) => pipes.resizePipe(request));
  printText(tree);
}

export async function deletePipe(name: string, options: ClientOptions): Promise<void> {
  await ask(options, ({ pipes }) => pipes.deletePipe({ name }));
}

export async function showEngine(options: ListOptions): Promise<void> {
  const engine = await ask(options, ({ engine }) => engine.getEngine({}));
  const view = engineView(engine);
  if (options.output !== "table") {
    print(formatValue(view, options.output));
    return;
  }
  const { version, level, reactors, uptimeMs, processId, dataDir, listen } = engine;
  const { pipesReady, pipesFailed, pipesOther } = engine;
  const facts = [
    ["version", version],
    ["level", `${level}, ${reactors} reactor${reactors === 1 ? "" : "s"}`],
    ["process", String(processId)],
    ["uptime", formatDuration(Number(uptimeMs))],
    ["data", dataDir],
    ["listens", listen.join(", ")],
    ["pipes", `${pipesReady} ready, ${pipesFailed} failed, ${pipesOther} opening or closing`],
  ] as const;
  print(facts.map(([key, value]) => `${key.padEnd(8)}  ${value}\n`).join(""));
}

/** One line each, as it comes. */
export async function printEvents(
  options: ListOptions & { readonly follow: boolean },
): Promise<void> {
  const { follow, output } = options;
  await ask(options, async ({ engine }) => {
    for await (const { event } of engine.watchEvents({ follow })) {
      if (event !== undefined) print(formatEvent(eventView(event), output));
    }
  });
}

const PIPE_COLUMNS: readonly Column<PipeView>[] = [
  { title: "NAME", text: ({ name }) => name },
  { title: "STATE", text: ({ state }) => state },
  { title: "URI", text: ({ uri }) => uri ?? "" },
  {
    title: "PIPE",
    text: ({ text, failure }) =>
      failure === null ? text : `${text} (${failure.code}: ${failure.message})`,
  },
];

const STAGE_COLUMNS: readonly Column<StageListing>[] = [
  { title: "STAGE", text: ({ place }) => place },
  { title: "LABEL", text: ({ label }) => label ?? "" },
  { title: "KIND", text: ({ kind }) => kind },
  { title: "SIZE", text: stageFacts },
  { title: "REMOVABLE", text: ({ fixedBecause }) => (fixedBecause === null ? "yes" : "no") },
  { title: "TEXT", text: ({ text }) => text },
];

function formatEvent(event: EventView, output: OutputFormat): string {
  if (output === "json") return `${JSON.stringify(event)}\n`;
  return output === "yaml" ? `---\n${formatValue(event, "yaml")}` : eventLine(event);
}

function eventLine({ time, level, code, pipe, stage, pool, message }: EventView): string {
  const where = [pipe, stage, pool].filter((word) => word !== null).map((word) => `${word}: `);
  return `${time ?? "-"} ${level.padEnd(7)} ${code}: ${inOneLine(`${where.join("")}${message}`)}\n`;
}

function ask<T>({ engine }: ClientOptions, call: (client: EngineClient) => Promise<T>): Promise<T> {
  return askEngine(engineAddressFor(engine), call);
}

function timeoutOf(timeout: number | undefined): { readonly timeoutMs?: number } {
  return timeout === undefined ? {} : { timeoutMs: Math.ceil(timeout) };
}

function treeOf(tree: PipeTree | undefined): PipeTree {
  if (tree === undefined) throw new TypeError("the engine answered without a pipe");
  return tree;
}

/** The pipe as it is now. */
function printText(tree: PipeTree | undefined): void {
  print(`${treeOf(tree).pipe?.text ?? ""}\n`);
}

function print(text: string): void {
  process.stdout.write(text);
}
