/**
 * ReactorHost: everything that lives on one reactor: its Io, its shares' services, its parts of
 * pipes. Answers the main thread's calls; owns all of it until `stop`.
 */

import type { DeviceDetails } from "../block/device.ts";
import { openProxy } from "../block/proxy-device.ts";
import { serveDevice } from "../block/proxy-server.ts";
import type { DeviceTicket } from "../block/proxy-wire.ts";
import type { Io, IoTurnStats, SocketAddress } from "../reactor/io.ts";
import type { ScrubProgress } from "../pool/check/scrub.ts";
import type { PoolEvent } from "../pool/pool-environment.ts";
import type { VolumeInfo } from "../pool/pool-info.ts";
import { openIo } from "../reactor/open-io.ts";
import { Reactor } from "../reactor/reactor.ts";
import { assert } from "../util/assert.ts";
import { snapshotOf } from "../util/histogram-snapshot.ts";
import { ComposedPipe } from "./composer.ts";
import { planPipe } from "./pipe-plan.ts";
import type { GrownPool, PoolListing, PoolMethods, ProbedDisk } from "./pool-protocol.ts";
import { poolMaker, Pools } from "./pools.ts";
import {
  type Change,
  changeStage,
  type Insertion,
  insertStage,
  type Removal,
  removeStage,
  treeOf,
} from "./replumb.ts";
import { resizeBranch } from "./resize.ts";
import { ShareServices } from "./share-services.ts";
import type { LiveShare, ShareAnnouncement, ShareHandOff } from "./shares/share-service.ts";
import { tappedStage } from "./stage-address.ts";
import type { OpenContext, OutLeg, PipeEvent, TappedStage } from "./stage-plan.ts";
import type {
  ListenerName,
  PipeOpening,
  ShareOpening,
  PipeRecord,
  PipeStats,
  PipeTree,
  ReactorMethods,
  ReactorSettings,
  ReactorStats,
  ShareLatency,
} from "./reactor-protocol.ts";
import { statsOfStages } from "./stage-stats.ts";
import type { VersionMethods } from "./version-protocol.ts";
import type { VersionSessions } from "./version-sessions.ts";

/** Read at a stretch, in about half a millisecond. */
const PIPES_PER_STEP = 32;
const US_PER_MS = 1000;

interface HostedPart {
  readonly pipe: ComposedPipe;
  share: LiveShare | null;
}

/** What a reactor says without being asked. */
export interface ReactorHostLink {
  handOff(toReactor: number, message: ShareHandOff): void;
  report(pipeId: number, event: PipeEvent): void;
  reportPool(event: PoolEvent): void;
  recordOut(pipeId: number, leg: OutLeg): Promise<void>;
}

type Params<K extends keyof PoolMethods> = Parameters<PoolMethods[K]>[0];

export class ReactorHost implements Omit<ReactorMethods, keyof VersionMethods> {
  readonly #settings: ReactorSettings;
  readonly #link: ReactorHostLink;
  readonly #parts = new Map<number, HostedPart>();
  #io: Io | null = null;
  #reactor: Reactor | null = null;
  #shares: ShareServices | null = null;
  #pools: Pools | null = null;

  constructor(settings: ReactorSettings, link: ReactorHostLink) {
    this.#settings = settings;
    this.#link = link;
  }

  async start(): Promise<void> {
    const { id, level, slabTable, spinMsMax, bufferLimitBytes, poolCacheBytes } = this.#settings;
    this.#io = await openIo({
      level,
      ...(slabTable === undefined ? {} : { slabTable }),
      ...(spinMsMax === undefined ? {} : { spinMsMax }),
    });
    const limit = bufferLimitBytes === undefined ? {} : { bufferLimitBytes };
    this.#reactor = new Reactor({ id, io: this.#io, ...limit });
    this.#shares = new ShareServices(this.#reactor, {
      handOff: (toReactor, message) => this.#link.handOff(toReactor, message),
    });
    const maker = poolMaker(poolCacheBytes);
    this.#pools = new Pools(this.#reactor, (event) => this.#link.reportPool(event), maker);
  }

  async openDevices(params: PipeOpening): Promise<void> {
    const { pipe } = this.#addPart(params);
    await pipe.openDevices();
  }

  async serveDevices(params: { pipeId: number; toReactor: number }): Promise<DeviceTicket> {
    const { pipe } = this.#part(params.pipeId);
    const served = await pipe.openShare(async (device) => serveDevice(this.#live, device));
    pipe.markReady();
    return served.ticket;
  }

  async openProxy(params: PipeOpening & { ticket: DeviceTicket }): Promise<void> {
    const { pipe } = this.#addPart(params);
    await pipe.openProxy(async () => openProxy(this.#live, params.ticket));
  }

  listen({ kind, address }: ListenerName): Promise<SocketAddress> {
    return this.#services.listen(kind, address);
  }

  unlisten({ kind, address }: ListenerName): Promise<void> {
    return this.#services.unlisten(kind, address);
  }

  async openShare(params: ShareOpening): Promise<ShareAnnouncement> {
    const part = this.#part(params.pipeId);
    const { share: plan, shareText } = part.pipe.plan;
    const { reservationsPath } = params;
    const context = {
      ...part.pipe.shareContext(shareText),
      ...(reservationsPath && { reservationsPath }),
    };
    const share = await part.pipe.openShare((device) =>
      this.#services.open(params.address, device, plan, context),
    );
    part.share = share;
    part.pipe.markReady();
    return share.announcement;
  }

  async addRemoteShare(params: {
    address: SocketAddress;
    announcement: ShareAnnouncement;
    reactorId: number;
  }): Promise<void> {
    this.#services.addRemote(params.address, params.announcement, params.reactorId);
  }

  async removeRemoteShare(params: {
    address: SocketAddress;
    announcement: ShareAnnouncement;
  }): Promise<void> {
    this.#services.removeRemote(params.address, params.announcement);
  }

  async hurryPipe(params: { pipeId: number }): Promise<void> {
    this.#parts.get(params.pipeId)?.pipe.hurry();
  }

  async closePipe(params: { pipeId: number }): Promise<void> {
    const part = this.#parts.get(params.pipeId);
    if (part === undefined) return;
    try {
      await part.pipe.close();
    } finally {
      this.#parts.delete(params.pipeId);
    }
  }

  insertStage({ pipeId, ...insertion }: { pipeId: number } & Insertion): Promise<PipeTree> {
    return this.#part(pipeId).pipe.change(async (branch) => {
      await insertStage(branch, insertion);
      return treeOf(branch);
    });
  }

  removeStage({ pipeId, ...removal }: { pipeId: number } & Removal): Promise<PipeTree> {
    return this.#part(pipeId).pipe.change(async (branch) => {
      await removeStage(branch, removal);
      return treeOf(branch);
    });
  }

  changeStage({ pipeId, ...change }: { pipeId: number } & Change): Promise<PipeTree> {
    return this.#part(pipeId).pipe.change((branch) => {
      changeStage(branch, change);
      return treeOf(branch);
    });
  }

  resizePipe(params: {
    pipeId: number;
    sizeBytes: number;
  }): Promise<{ tree: PipeTree; announcement: ShareAnnouncement }> {
    const { pipe, share } = this.#part(params.pipeId);
    return pipe.change(async (branch) => {
      assert(share !== null, "a pipe that is resized has its share on this reactor");
      await resizeBranch(branch, params.sizeBytes);
      share.resized();
      const tree = treeOf(branch);
      return { tree, announcement: share.announcement };
    });
  }

  describePipe({ pipeId }: { pipeId: number }): Promise<PipeTree> {
    return this.#part(pipeId).pipe.change((branch) => {
      return treeOf(branch);
    });
  }

  async describeShare({ pipeId }: { pipeId: number }): Promise<DeviceDetails> {
    return this.#parts.get(pipeId)?.share?.describe() ?? {};
  }

  async stats(only: { pipeId: number } | null): Promise<ReactorStats> {
    const wanted = [...this.#parts].filter(([id]) => only === null || id === only.pipeId);
    const pipes: PipeStats[] = [];
    for (const [id, part] of wanted) {
      pipes.push(statsOf(id, part));
      // Reading many takes long enough for clients to notice.
      if (pipes.length % PIPES_PER_STEP === 0) await nextRound(this.#live);
    }
    const { connectionCounts, openConnections } = this.#services;
    return {
      ...statsOfReactor(this.#live),
      queue: queueOf(this.#live, [...this.#parts.values()]),
      connections: openConnections,
      connectionCounts: { ...connectionCounts },
      pipes,
    };
  }

  createPool({ opening, options }: Params<"createPool">): Promise<PoolListing> {
    return this.#livePools.create(opening, options);
  }

  importPool({ opening, uuid }: Params<"importPool">): Promise<PoolListing> {
    return this.#livePools.import(opening, uuid);
  }

  probeDisks({ opening }: Params<"probeDisks">): Promise<readonly ProbedDisk[]> {
    return this.#livePools.probe(opening);
  }

  async addPoolDisk({ opening }: Params<"addPoolDisk">): Promise<PoolListing> {
    return await this.#livePools.addDisk(opening);
  }

  async growPool({ pool, disk }: Params<"growPool">): Promise<GrownPool> {
    return await this.#livePools.grow(pool, disk);
  }

  async scrubPool({ pool, settings }: Params<"scrubPool">): Promise<ScrubProgress> {
    return this.#livePools.startScrub(pool, settings);
  }

  async scrubProgress({ pool }: Params<"scrubProgress">): Promise<ScrubProgress> {
    return this.#livePools.scrubProgress(pool);
  }

  async stopScrub({ pool }: Params<"stopScrub">): Promise<void> {
    await this.#livePools.stopScrub(pool);
  }

  async describePool({ pool }: Params<"describePool">): Promise<PoolListing> {
    return this.#livePools.describe(pool);
  }

  async createVolume({ pool, options }: Params<"createVolume">): Promise<VolumeInfo> {
    return await this.#livePools.createVolume(pool, options);
  }

  async resizeVolume({ pool, volume, sizeBytes }: Params<"resizeVolume">): Promise<VolumeInfo> {
    return await this.#livePools.resizeVolume(pool, volume, sizeBytes);
  }

  async deleteVolume({ pool, volume }: Params<"deleteVolume">): Promise<void> {
    await this.#livePools.deleteVolume(pool, volume);
  }

  async endPool({ pool, how }: Params<"endPool">): Promise<void> {
    await this.#livePools.end(pool, how);
  }

  /** Of this reactor's pools. */
  get versions(): VersionSessions {
    return this.#livePools.versions;
  }

  /** A connection that another reactor accepted for a share of this one. */
  adopt(message: ShareHandOff): void {
    this.#services.adopt(message);
  }

  async stop(): Promise<void> {
    for (const pipeId of [...this.#parts.keys()]) await this.closePipe({ pipeId });
    await this.#pools?.closeAll();
    await this.#shares?.close();
    await this.#io?.close();
  }

  get #live(): Reactor {
    assert(this.#reactor !== null, "a reactor is started before it is used");
    return this.#reactor;
  }

  get #services(): ShareServices {
    assert(this.#shares !== null, "a reactor is started before it is used");
    return this.#shares;
  }

  get #livePools(): Pools {
    assert(this.#pools !== null, "a reactor is started before it is used");
    return this.#pools;
  }

  #part(pipeId: number): HostedPart {
    const part = this.#parts.get(pipeId);
    assert(part !== undefined, "a pipe is opened before it is used");
    return part;
  }

  #findStage(label: string): TappedStage | undefined {
    const branches = [...this.#parts.values()].map(({ pipe }) => pipe.branch);
    return tappedStage(branches, label);
  }

  #recordOf(pipeId: number, record: PipeRecord): Pick<OpenContext, keyof PipeRecord | "recordOut"> {
    return { ...record, recordOut: (leg) => this.#link.recordOut(pipeId, leg) };
  }

  #addPart(params: PipeOpening): HostedPart {
    assert(!this.#parts.has(params.pipeId), "a pipe has one part per reactor");
    const plan = planPipe(params.text);
    const pipe = new ComposedPipe(plan, {
      reactor: this.#live,
      holder: `pipe ${plan.shareText}`,
      instanceSeed: params.instanceSeed,
      report: (event) => this.#link.report(params.pipeId, event),
      findStage: (label) => this.#findStage(label),
      findPool: (name) => this.#livePools.find(name),
      ...(params.record === undefined ? {} : this.#recordOf(params.pipeId, params.record)),
    });
    const part = { pipe, share: null };
    this.#parts.set(params.pipeId, part);
    return part;
  }
}

function statsOf(pipeId: number, part: HostedPart): PipeStats {
  const { state, failure, branch } = part.pipe;
  const { share } = part;
  return {
    pipeId,
    state,
    failure: failure?.message ?? null,
    share: share === null ? null : { ...share.counts },
    shareLatency: share === null ? null : shareLatencyOf(share),
    stages: branch === null ? [] : statsOfStages(branch),
  };
}

function shareLatencyOf({ latency }: LiveShare): ShareLatency {
  const { reads, writes, others } = latency;
  return { reads: snapshotOf(reads), writes: snapshotOf(writes), others: snapshotOf(others) };
}

function statsOfReactor(
  reactor: Reactor,
): Omit<ReactorStats, "queue" | "connections" | "connectionCounts" | "pipes"> {
  const { id, buffers, io } = reactor;
  const { user, system } = process.threadCpuUsage();
  const turnStats: IoTurnStats = io.turnStats ?? { turns: 0 };
  const { turns, sleeps = 0, blocks = 0, rests = 0 } = turnStats;
  return {
    reactor: id,
    bufferLimitBytes: buffers.limitBytes,
    bufferAllocatedBytes: buffers.allocatedBytes,
    bufferHeldBytes: buffers.heldBytes,
    bufferWaiters: buffers.waiterCount,
    cpuMs: (user + system) / US_PER_MS,
    spinMs: turnStats.idleSpinMs ?? 0,
    turns,
    sleeps,
    blocks,
    rests,
    ioCompletions: turnStats.completions ?? 0,
  };
}

/** What clients wait for: requests that are in the topmost stages, and completions on their way. */
function queueOf({ completions }: Reactor, parts: readonly HostedPart[]): number {
  let queue = completions.count;
  for (const { share, pipe } of parts) {
    if (share !== null) queue += pipe.inFlight;
  }
  return queue;
}

/** Lets turns and timers in. */
async function nextRound({ io }: Reactor): Promise<void> {
  await new Promise<void>((resolve) => io.defer(resolve));
}
