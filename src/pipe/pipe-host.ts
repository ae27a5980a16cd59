/**
 * PipeHost: the pipes of this process, opened on its reactors and closed in order.
 *
 * A pipe lives on one reactor (`together`) or has its source on one and its share on another
 * (`apart`), joined by a proxy. Opened source first and share last, closed the other way round;
 * an opening that fails leaves nothing behind. On the main thread.
 */

import type { DeviceDetails } from "../block/device.ts";
import { assert } from "../util/assert.ts";
import { PenstockError, toPenstockError } from "../util/errors.ts";
import { FirstFailure } from "../util/first-failure.ts";
import { ListenerDirectory, type ListenerPlace } from "./listener-directory.ts";
import { type PipePlan, planPipe } from "./pipe-plan.ts";
import type { Placement } from "./placement.ts";
import { PoolHost } from "./pool-host.ts";
import { ReactorPool, type ReactorPoolOptions, type RemoteReactor } from "./reactor-pool.ts";
import type { PipeRecord, PipeStats, PipeTree, ReactorStats } from "./reactor-protocol.ts";
import type { Change, Insertion, Removal, StageListing } from "./replumb.ts";
import { type GroupPlace, ShareGroups } from "./share-groups.ts";
import type { SharePlan } from "./share-plan.ts";
import { shareUri } from "./shares/share-uri.ts";
import type { SocketAddress } from "../reactor/io.ts";
import { type BranchPlan, volumesOf } from "./stage-plan.ts";

export interface PipeHostOptions extends ReactorPoolOptions {
  readonly placement: Placement;
  /** A fresh UUID; randomness comes from the caller. */
  makeUuid(): string;
}

/** A pipe that serves. */
export interface ServedPipe {
  readonly id: number;
  /** Canonical text. */
  readonly text: string;
  /** What a client connects to. */
  readonly uri: string;
}

export interface PipeOpenOptions {
  /** Called with the pipe's id before it is opened: events name it while that goes on. */
  onId?(id: number): void;
  /** Called when it cannot be opened, before what is open of it by then is closed. */
  onFailing?(): void;
  /** Taken where the text leaves the port of the share open: it was found free before. */
  readonly port?: number;
  /** What the opener has kept of it; it records which legs are out (`onLegOut`). */
  readonly record?: PipeRecord;
  /** Absolute: where a namespace keeps its reservations if its text names no file. */
  readonly reservationsPath?: string;
}

/** What a pipe did so far. */
export interface ServedPipeStats extends ServedPipe {
  readonly stats: PipeStats;
}

/** The stages of a pipe as they are now. */
export interface ServedPipeTree extends ServedPipe, PipeTree {
  /** Canonical text of the share's stage. */
  readonly shareText: string;
  /** What the share tells of itself. */
  readonly shareDetails: DeviceDetails;
}

interface OpenPipe extends ServedPipe {
  /** Canonical, of the share's stage. */
  readonly shareText: string;
  /** Where its labelled stages live. */
  readonly labels: readonly string[];
  /** The pipe whose stage it taps. */
  readonly tappedId: number | undefined;
  /** The servers of its sources, perhaps other pipes of this process. */
  readonly servers: readonly SocketAddress[];
  readonly place: ListenerPlace;
  readonly group: GroupPlace;
  readonly shareReactor: RemoteReactor;
  readonly deviceReactor: RemoteReactor;
}

/** Which reactors a pipe goes to. */
interface Placing {
  readonly deviceReactor: RemoteReactor;
  readonly shareReactor: RemoteReactor;
  /** What its source stands on is there: it lives nowhere else. */
  readonly isFixed: boolean;
}

export class PipeHost {
  /** Storage pools, which live on the same reactors; they end after the pipes. */
  readonly pools: PoolHost;
  readonly #pool: ReactorPool;
  readonly #options: PipeHostOptions;
  readonly #listeners = new ListenerDirectory();
  readonly #groups = new ShareGroups();
  readonly #pipes = new Map<number, OpenPipe>();
  readonly #openings = new Set<Promise<unknown>>();
  #lastId = 0;
  #closed: Promise<readonly PenstockError[]> | null = null;

  /** @throws PenstockError `reactors-unsupported`, `placement-unsupported` and those of the Io */
  static async start(options: PipeHostOptions): Promise<PipeHost> {
    if (options.placement === "apart" && options.reactors < 2) {
      throw new PenstockError({
        code: "placement-unsupported",
        message: "placement apart needs two reactors or more (--reactors 2)",
      });
    }
    return new PipeHost(await ReactorPool.start(options), options);
  }

  private constructor(pool: ReactorPool, options: PipeHostOptions) {
    this.#pool = pool;
    this.#options = options;
    this.pools = new PoolHost(pool);
  }

  /**
   * Opens a pipe; clients can connect when it settles.
   * @throws GrammarError, or a PenstockError of the device or the share
   */
  async open(text: string, options: PipeOpenOptions = {}): Promise<ServedPipe> {
    const plan = planPipe(text);
    if (this.#closed !== null) {
      throw new PenstockError({ code: "aborted", message: "the process is being stopped" });
    }
    const opening = this.#open(text, plan, options);
    this.#openings.add(opening);
    try {
      return await opening;
    } finally {
      this.#openings.delete(opening);
    }
  }

  /** Ends one pipe. @throws what its devices or share reported, after all is closed */
  async closePipe(id: number): Promise<void> {
    const pipe = this.#pipes.get(id);
    if (pipe === undefined) return;
    const tap = [...this.#pipes.values()].find(({ tappedId }) => tappedId === id);
    if (tap !== undefined) {
      const message = `${pipe.uri} is tapped by ${tap.uri}: close that pipe first`;
      throw new PenstockError({ code: "stage-tapped", message });
    }
    this.#pipes.delete(id);
    const failure = await closeAll(pipe);
    if (failure !== null) throw failure;
  }

  /**
   * Ends all pipes, then the reactors. Idempotent.
   * @returns what went wrong on the way; empty when all data that was acknowledged is safe
   */
  close(): Promise<readonly PenstockError[]> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  /** Puts a filter into a pipe that runs. @throws as `insertStage` of replumb.ts */
  insertStage(id: number, insertion: Insertion): Promise<ServedPipeTree> {
    return this.#onPipe(id, (reactor) => reactor.call("insertStage", { pipeId: id, ...insertion }));
  }

  /** Takes a filter out of a pipe that runs. @throws as `removeStage` of replumb.ts */
  removeStage(id: number, removal: Removal): Promise<ServedPipeTree> {
    return this.#onPipe(id, (reactor) => reactor.call("removeStage", { pipeId: id, ...removal }));
  }

  /** Gives a filter of a pipe that runs other settings. @throws as `changeStage` of replumb.ts */
  changeStage(id: number, change: Change): Promise<ServedPipeTree> {
    return this.#onPipe(id, (reactor) => reactor.call("changeStage", { pipeId: id, ...change }));
  }

  /**
   * Makes the source of a pipe that runs larger, and all that stands on it.
   * @throws PenstockError as `resizeBranch` of resize.ts
   */
  resize(id: number, sizeBytes: number): Promise<ServedPipeTree> {
    return this.#onPipe(id, async (reactor, { place, shareReactor }) => {
      if (reactor !== shareReactor) {
        throw new PenstockError({
          code: "resize-unsupported",
          message: "a pipe with its source on one reactor and its share on another keeps its size",
        });
      }
      const params = { pipeId: id, sizeBytes };
      const { tree, announcement } = await reactor.call("resizePipe", params);
      await place.announce(announcement);
      return tree;
    });
  }

  /** @throws PenstockError `pipe-not-found` */
  describe(id: number): Promise<ServedPipeTree> {
    return this.#onPipe(id, (reactor) => reactor.call("describePipe", { pipeId: id }));
  }

  /** @param pipeId only this one of the pipes; default: all */
  async reactorStats(pipeId?: number): Promise<readonly ReactorStats[]> {
    const params = pipeId === undefined ? null : { pipeId };
    return await Promise.all(this.#pool.reactors.map((reactor) => reactor.call("stats", params)));
  }

  /** In the order of opening; of a pipe on two reactors what both know. */
  pipeStats(reactors: readonly ReactorStats[]): ServedPipeStats[] {
    const byReactor = new Map(
      reactors.map(({ reactor, pipes }) => [
        reactor,
        new Map(pipes.map((pipe) => [pipe.pipeId, pipe])),
      ]),
    );
    return [...this.#pipes.values()].flatMap(({ id, text, uri, shareReactor, deviceReactor }) => {
      const share = byReactor.get(shareReactor.id)?.get(id);
      if (share === undefined) return [];
      const { stages } = byReactor.get(deviceReactor.id)?.get(id) ?? share;
      return [{ id, text, uri, stats: { ...share, stages } }];
    });
  }

  async #open(text: string, plan: PipePlan, options: PipeOpenOptions): Promise<ServedPipe> {
    const { onId, port, record } = options;
    const share = withPort(plan.share, port);
    // Before anything is touched: two pipes of one command must not fight over a name.
    this.#listeners.checkFree(share);
    this.#lastId += 1;
    const id = this.#lastId;
    onId?.(id);
    const tapped = this.#tapped(plan.branch.source.taps);
    const wanted = this.#place(id, tapped, plan.branch);
    const group = this.#groups.enter(share, wanted.shareReactor);
    const shareReactor = group.reactor;
    const isTogether = !wanted.isFixed && wanted.deviceReactor === wanted.shareReactor;
    const deviceReactor = isTogether ? shareReactor : wanted.deviceReactor;
    let place: ListenerPlace | null = null;
    try {
      const kept = record === undefined ? {} : { record };
      await this.#openDevices({ id, text, deviceReactor, shareReactor, ...kept });
      place = await this.#listeners.enter(share, shareReactor);
      const { address } = place;
      const { reservationsPath } = options;
      const opening = { pipeId: id, address, ...(reservationsPath && { reservationsPath }) };
      await place.announce(await shareReactor.call("openShare", opening));
      const uri = shareUri(share, address);
      const { shareText } = plan;
      const labels = labelsOf(plan.branch);
      const served = { id, text: plan.text, uri };
      const where = { place, group, shareReactor, deviceReactor, servers: serversOf(plan.branch) };
      this.#pipes.set(id, { ...served, ...where, shareText, labels, tappedId: tapped?.id });
      return served;
    } catch (thrown) {
      options.onFailing?.();
      await closeAll({ id, place, group, shareReactor, deviceReactor });
      throw thrown;
    }
  }

  async #openDevices(pipe: {
    readonly id: number;
    readonly text: string;
    readonly deviceReactor: RemoteReactor;
    readonly shareReactor: RemoteReactor;
    readonly record?: PipeRecord;
  }): Promise<void> {
    const { id, text, deviceReactor, shareReactor, record } = pipe;
    const opening = { pipeId: id, text, instanceSeed: this.#options.makeUuid() };
    const kept = record === undefined ? {} : { record };
    await deviceReactor.call("openDevices", { ...opening, ...kept });
    if (deviceReactor === shareReactor) return;
    const toReactor = shareReactor.id;
    const ticket = await deviceReactor.call("serveDevices", { pipeId: id, toReactor });
    await shareReactor.call("openProxy", { ...opening, ticket });
  }

  async #onPipe(
    id: number,
    call: (reactor: RemoteReactor, pipe: OpenPipe) => Promise<PipeTree>,
  ): Promise<ServedPipeTree> {
    const pipe = this.#pipes.get(id);
    if (pipe === undefined) {
      throw new PenstockError({ code: "pipe-not-found", message: `there is no pipe ${id}` });
    }
    const { uri, shareText } = pipe;
    const tree = await call(pipe.deviceReactor, pipe);
    const shareDetails = await pipe.shareReactor.call("describeShare", { pipeId: id });
    const text = `${tree.text} | ${shareText}`;
    const labels = [...labelsIn(tree.stages)];
    // It may have been closed meanwhile.
    if (this.#pipes.has(id)) this.#pipes.set(id, { ...pipe, text, labels });
    return { id, uri, text, shareText, shareDetails, stages: tree.stages };
  }

  /**
   * The pipe with the stage that is labelled so; a tap lives where it does.
   * @throws PenstockError `label-ambiguous`: a tap must not read another volume than was meant
   */
  #tapped(label: string | undefined): OpenPipe | undefined {
    if (label === undefined) return undefined;
    const found = [...this.#pipes.values()].filter(({ labels }) => labels.includes(label));
    if (found.length > 1) {
      const uris = found.map(({ uri }) => uri).join(", ");
      throw new PenstockError({
        code: "label-ambiguous",
        message: `${found.length} pipes have a stage #${label}, expected one to tap: ${uris}`,
        details: { label },
      });
    }
    return found[0];
  }

  /**
   * A tap lives with what it taps, a volume with its pool. Other pipes go round the reactors;
   * apart, shares keep to the first and sources to the others.
   * @throws PenstockError `pool-not-found`, `pools-apart`
   */
  #place(id: number, tapped: OpenPipe | undefined, branch: BranchPlan): Placing {
    const { count } = this.#pool;
    const isApart = this.#options.placement === "apart";
    const first = this.#pool.reactor(0);
    if (tapped !== undefined) return { ...placingOf(tapped), isFixed: true };
    const ofPool = this.pools.reactorOf(volumesOf(branch));
    if (ofPool !== undefined) {
      return { deviceReactor: ofPool, shareReactor: isApart ? first : ofPool, isFixed: true };
    }
    const reactor = this.#pool.reactor(isApart ? 1 + ((id - 1) % (count - 1)) : (id - 1) % count);
    return { deviceReactor: reactor, shareReactor: isApart ? first : reactor, isFixed: false };
  }

  async #close(): Promise<readonly PenstockError[]> {
    await Promise.allSettled([...this.#openings]);
    // Taps before what they tap, which may be taps again: never in a circle. And those that flush
    // to the share of another one before that one, unless they all do.
    const results: PromiseSettledResult<void>[] = [];
    for (let left = [...this.#pipes.values()]; left.length > 0; ) {
      const tapped = new Set(left.map(({ tappedId }) => tappedId));
      const free = left.filter(({ id }) => !tapped.has(id));
      assert(free.length > 0, "some pipe is not tapped");
      const unused = free.filter((pipe) => !left.some((other) => mayUse(other, pipe)));
      const batch = new Set(unused.length > 0 ? unused : free);
      const closing = [...batch].map(({ id }) => this.closePipe(id));
      results.push(...(await Promise.allSettled(closing)));
      left = left.filter((pipe) => !batch.has(pipe));
    }
    const poolFailures = await this.pools.close();
    await this.#pool.stop();
    const failures = results.flatMap((result) =>
      result.status === "rejected" ? [toPenstockError(result.reason)] : [],
    );
    return [...failures, ...poolFailures];
  }
}

function placingOf({ deviceReactor, shareReactor }: OpenPipe): Omit<Placing, "isFixed"> {
  return { deviceReactor, shareReactor };
}

function withPort(share: SharePlan, port: number | undefined): SharePlan {
  const { address } = share;
  const isOpen = address.kind === "tcp" && address.port === 0;
  return isOpen && port !== undefined ? { ...share, address: { ...address, port } } : share;
}

function serversOf({ source }: BranchPlan): SocketAddress[] {
  const below = (source.legs ?? []).flatMap(serversOf);
  return [...below, ...(source.servers ?? [])];
}

function mayUse(user: OpenPipe, used: OpenPipe): boolean {
  const { address } = used.place;
  return user !== used && user.servers.some((server) => mayBeOne(server, address));
}

/** By the port alone over TCP: a host has many names. */
function mayBeOne(one: SocketAddress, other: SocketAddress): boolean {
  if (one.kind === "unix") return other.kind === "unix" && one.path === other.path;
  return other.kind === "tcp" && one.port === other.port;
}

function labelsOf(branch: BranchPlan): string[] {
  const { sourceStage, filterStages, source } = branch;
  const own = [sourceStage, ...filterStages].map(({ label }) => label);
  const below = (source.legs ?? []).flatMap(labelsOf);
  return [...below, ...own.filter((label) => label !== undefined)];
}

function* labelsIn(stages: readonly StageListing[]): Generator<string> {
  for (const { label, legs } of stages) {
    for (const leg of legs) yield* labelsIn(leg);
    if (label !== null) yield label;
  }
}

/** Listener first, then the share's side, then the source's. The first failure, after all ended. */
async function closeAll(
  pipe: Pick<OpenPipe, "id" | "group" | "shareReactor" | "deviceReactor"> & {
    readonly place: ListenerPlace | null;
  },
): Promise<PenstockError | null> {
  const { id: pipeId, place, group, shareReactor, deviceReactor } = pipe;
  const parts = [...new Set([shareReactor, deviceReactor])];
  const steps = [
    ...parts.map((reactor) => () => reactor.call("hurryPipe", { pipeId })),
    async () => place?.leave(),
    ...parts.map((reactor) => () => reactor.call("closePipe", { pipeId })),
  ];
  const first = new FirstFailure();
  for (const step of steps) await first.attempt(step);
  group.leave();
  return first.failure;
}
