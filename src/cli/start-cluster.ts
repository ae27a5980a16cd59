/**
 * Cluster: the four engines of `npm start`.
 *
 *   engine-1, -2, -3   each shares a file of every disk over NVMe/TCP on loopback
 *   engine-4           for every disk a mirror of the three, shared over NVMe/TCP, and that share
 *                      once more over NBD: both show the same disk
 *
 * Whoever has it calls `stop`, whatever happened: then all four processes are gone.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseEngineAddress } from "../api/engine-address.ts";
import type { GetStatsResponse } from "../api/penstock/engine/v1/engine_pb.ts";
import { percentEncode } from "../pipe/characters.ts";
import { legHealth } from "../pipe/pipe-graph.ts";
import type { StageListing } from "../pipe/replumb.ts";
import { chooseLevel, type LevelChoice } from "../reactor/open-io.ts";
import { toPenstockError } from "../util/errors.ts";
import { EngineChild, type EngineEnd } from "./engine-child.ts";
import { pipeDetailView } from "./pipe-view.ts";
import { type LegFolder, legPath, noteServing, repairLegs, settleLegs } from "./start-legs.ts";

export const LEG_COUNT = 3;
/** A leg that does not answer for this long is given up. */
const CHILD_TIMEOUT = "2s";
const IN_SYNC = "in-sync";
/** Connections from the mirror to each leg, besides one for its controller. */
const LEG_QUEUES = 2;
/** Names pipes that show a disk over NBD. What they do is counted by the disk's own pipe, too. */
export const NBD_SUFFIX = "-nbd";

export interface Disk {
  readonly name: string;
  /** With its unit. */
  readonly size: string;
}

export interface ClusterOptions {
  readonly folder: string;
  /** The command line's entry. */
  readonly program: string;
  readonly io: LevelChoice;
  readonly disks: readonly Disk[];
  /** Of the mirrors' shares. */
  readonly nvmePort: WantedPort;
  readonly nbdPort: WantedPort;
}

export interface WantedPort {
  /** 0: any. */
  readonly port: number;
  /** Told that the port is busy, before any other is taken. Undefined: that is an error. */
  readonly onBusy: (() => void) | undefined;
}

export interface ClusterEngine {
  readonly name: string;
  readonly child: EngineChild;
  /** Of each disk what clients connect to, over NVMe/TCP. */
  readonly uris: readonly string[];
}

export interface MirrorEngine extends ClusterEngine {
  /** ... and over NBD. */
  readonly nbdUris: readonly string[];
}

/** One leg, as the mirror sees it. */
export interface LegView {
  /** Name of the engine that shares it. */
  readonly engine: string;
  readonly state: string;
  /** When and why it was taken out, or "". */
  readonly reason: string;
}

export class Cluster {
  /** engine-1, -2, -3. */
  readonly legs: readonly ClusterEngine[];
  readonly mirror: MirrorEngine;
  /** Of each disk that was mended at the start: the leg (from 0) that the others are copies of. */
  readonly repairedFrom: ReadonlyMap<string, number>;
  readonly #folder: LegFolder;
  readonly #sockets: string | null;
  #stopped: Promise<EngineEnd> | null = null;

  /** @throws PenstockError; nothing runs then */
  static async start(options: ClusterOptions): Promise<Cluster> {
    const names = Array.from({ length: LEG_COUNT + 1 }, (_, index) => `engine-${index + 1}`);
    const folder: LegFolder = {
      path: options.folder,
      names: options.disks.map(({ name }) => name),
      legCount: LEG_COUNT,
      engines: names.map((name) => join(options.folder, name)),
      level: await chooseLevel(options.io),
    };
    // What a starter that was killed has left behind, before its pipes come back by themselves.
    await settleLegs(folder);
    const sockets = await socketFolder(folder.path);
    const started = await Promise.allSettled(
      names.map((name) => startEngine(name, sockets ?? folder.path, options)),
    );
    const children = started.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
    try {
      for (const each of started) if (each.status === "rejected") throw each.reason;
      // From here on nobody else has the files.
      const repairedFrom = await repairLegs(folder);
      const legs = await Promise.all(
        children.slice(0, LEG_COUNT).map((child, leg) => shareFiles(child, leg, options)),
      );
      await noteServing(folder);
      const mirror = await shareMirrors(children[LEG_COUNT] as EngineChild, legs, options);
      return new Cluster({ legs, mirror, repairedFrom, folder, sockets });
    } catch (thrown) {
      await Promise.all(children.map((child) => child.stop()));
      if (sockets !== null) await rm(sockets, { recursive: true, force: true });
      throw toPenstockError(thrown);
    }
  }

  private constructor(parts: {
    readonly legs: readonly ClusterEngine[];
    readonly mirror: MirrorEngine;
    readonly repairedFrom: ReadonlyMap<string, number>;
    readonly folder: LegFolder;
    readonly sockets: string | null;
  }) {
    this.legs = parts.legs;
    this.mirror = parts.mirror;
    this.repairedFrom = parts.repairedFrom;
    this.#folder = parts.folder;
    this.#sockets = parts.sockets;
  }

  get engines(): readonly ClusterEngine[] {
    return [...this.legs, this.mirror];
  }

  /** Of each engine, in their order; null: it does not answer. Never rejects. */
  async stats(): Promise<readonly (GetStatsResponse | null)[]> {
    return await Promise.all(
      this.engines.map(({ child }) =>
        child.end === null
          ? child.ask(({ engine }) => engine.getStats({})).catch(() => null)
          : null,
      ),
    );
  }

  /** The legs' states now, with reasons. @throws PenstockError: the mirror's engine is silent */
  async legStates(): Promise<readonly LegView[]> {
    return await this.mirror.child.ask(async ({ pipes }) => {
      const disks: LegView[][] = [];
      for (const { name } of (await pipes.listPipes({})).pipes) {
        const { tree } = await pipes.getPipe({ name });
        const stages = tree === undefined ? [] : pipeDetailView(tree).stages;
        disks.push(stages.flatMap((stage) => stage.legs.map((_leg, leg) => viewOf(stage, leg))));
      }
      return worstOf(disks);
    });
  }

  /** At once, whatever they do. */
  kill(): void {
    for (const { child } of this.engines) child.kill();
  }

  /**
   * The mirror first: all that was acknowledged is flushed while its legs are there. Idempotent.
   * @returns how the mirror's engine ended
   */
  stop(): Promise<EngineEnd> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<EngineEnd> {
    try {
      const end = await this.mirror.child.stop();
      const ends = await Promise.all(this.legs.map((leg) => leg.child.stop()));
      const failedLegs = ends.flatMap(({ code }, leg) => (code === 0 ? [] : [leg]));
      await settleLegs(this.#folder, { isClean: end.code === 0, failedLegs });
      return end;
    } finally {
      if (this.#sockets !== null) await rm(this.#sockets, { recursive: true, force: true });
    }
  }
}

/** What the mirrors of an answer say of their legs; empty when there are none. */
export function legsOf(stats: GetStatsResponse | null): readonly LegView[] {
  const mirrors = (stats?.pipes ?? []).flatMap(({ stages }) =>
    stages.filter(({ kind }) => kind === "mirror"),
  );
  return worstOf(
    mirrors.map(({ children }) =>
      children.map(({ state }, leg) => ({ engine: `engine-${leg + 1}`, state, reason: "" })),
    ),
  );
}

function viewOf(stage: StageListing, leg: number): LegView {
  return { engine: `engine-${leg + 1}`, ...legHealth(stage, leg) };
}

/** Of each leg the worst that any mirror says. */
function worstOf(mirrors: readonly (readonly LegView[])[]): readonly LegView[] {
  const [first = []] = mirrors;
  return first.map((view, leg) => {
    const views = mirrors.flatMap((each) => each[leg] ?? []);
    return views.find(({ state }) => state !== IN_SYNC) ?? view;
  });
}

async function startEngine(
  name: string,
  sockets: string,
  { folder, program, io }: ClusterOptions,
): Promise<EngineChild> {
  return await EngineChild.start({
    program,
    dataDir: join(folder, name),
    address: `unix:${join(sockets, `${name}.sock`)}`,
    // One that is killed stays dead: that is what the demonstration shows.
    args: ["--no-supervisor", "--io", io],
  });
}

/** A folder of its own for the sockets, where the data's path is too long for them; else null. */
async function socketFolder(folder: string): Promise<string | null> {
  try {
    parseEngineAddress(`unix:${join(folder, "engine-1.sock")}`);
    return null;
  } catch {
    return await mkdtemp(join(tmpdir(), "penstock-"));
  }
}

async function shareFiles(
  child: EngineChild,
  leg: number,
  { folder, disks }: ClusterOptions,
): Promise<ClusterEngine> {
  const uris: string[] = [];
  for (const { name, size } of disks) {
    const source = `${percentEncode(legPath(folder, name, leg))}?size=${size}`;
    uris.push(await openPipe(child, name, `${source} | ${nvmfShare(`${name}-${leg + 1}`, 0)}`));
  }
  return { name: `engine-${leg + 1}`, child, uris };
}

async function shareMirrors(
  child: EngineChild,
  legs: readonly ClusterEngine[],
  { disks, nvmePort, nbdPort }: ClusterOptions,
): Promise<MirrorEngine> {
  const uris = await onPort(nvmePort, disks, ({ name }, port, index) => {
    const children = legs.map((leg) => `${leg.uris[index]}?queues=${LEG_QUEUES}`).join(", ");
    const source = `mirror(${children})?timeout=${CHILD_TIMEOUT}&read=least-loaded`;
    return openPipe(child, name, `${source} | ${nvmfShare(name, port)}`);
  });
  // A pipe has one share: the other one stands on it.
  const nbdUris = await onPort(nbdPort, disks, ({ name }, port, index) => {
    const source = `${uris[index]}?queues=1`;
    const share = `nbd://127.0.0.1:${port}/${name}`;
    return openPipe(child, name + NBD_SUFFIX, `${source} | ${share}`);
  });
  return { name: `engine-${LEG_COUNT + 1}`, child, uris, nbdUris };
}

/** On the port that is asked for, or on any when that is busy and nobody insists on it. */
async function onPort(
  { port, onBusy }: WantedPort,
  disks: readonly Disk[],
  open: (disk: Disk, port: number, index: number) => Promise<string>,
): Promise<string[]> {
  const uris: string[] = [];
  const openAll = async (used: number): Promise<void> => {
    for (const [index, disk] of disks.entries()) uris.push(await open(disk, used, index));
  };
  try {
    await openAll(port);
  } catch (thrown) {
    if (toPenstockError(thrown).code !== "address-in-use" || onBusy === undefined) throw thrown;
    onBusy();
    // The first of them fails, or none: they share the port.
    await openAll(0);
  }
  return uris;
}

function nvmfShare(name: string, port: number): string {
  return `nvmf://127.0.0.1:${port}/nqn.2026-11.io.penstock:${name}`;
}

async function openPipe(child: EngineChild, name: string, text: string): Promise<string> {
  const { pipe } = await child.ask(({ pipes }) => pipes.createPipe({ name, text }));
  return pipe?.uri ?? "";
}
