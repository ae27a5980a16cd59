/**
 * A scripted NVMe host against the target's model, without any transport: commands go in as SQEs,
 * completions are collected. Links close when the test says so, as with commands that last.
 */

import { MallocDevice } from "../devices/malloc.ts";
import { beginAdmin } from "../proto/nvme/admin-commands.ts";
import {
  type ConnectCommand,
  type ConnectData,
  encodeConnect,
  encodeConnectData,
} from "../proto/nvme/connect.ts";
import { CNTLID_DYNAMIC } from "../proto/nvme/constants.ts";
import {
  encodeConfiguration,
  encodePropertyGet,
  encodePropertySet,
  PropertyOffset,
} from "../proto/nvme/properties.ts";
import { Sqe } from "../proto/nvme/sqe.ts";
import { codeOf } from "../proto/nvme/status.ts";
import type {
  ControllerFace,
  QueueLink,
  QueuePlace,
  SlowCommand,
  SubsystemTarget,
} from "../proto/nvme/transport.ts";
import type { Clock, Timer } from "../reactor/clock.ts";
import { FakeWorld } from "../reactor/fake/fake-world.ts";
import { Reactor } from "../reactor/reactor.ts";
import { assert } from "../util/assert.ts";

/** Time that goes on when told. */
export class ManualClock implements Clock {
  #nowMs = 1000;
  readonly #timers = new Set<{ readonly atMs: number; readonly callback: () => void }>();

  nowMs(): number {
    return this.#nowMs;
  }

  startTimer(delayMs: number, callback: () => void): Timer {
    const timer = { atMs: this.#nowMs + delayMs, callback };
    this.#timers.add(timer);
    return { cancel: () => void this.#timers.delete(timer) };
  }

  advance(ms: number): void {
    const endMs = this.#nowMs + ms;
    for (;;) {
      const due = [...this.#timers].sort((a, b) => a.atMs - b.atMs)[0];
      if (due === undefined || due.atMs > endMs) break;
      this.#timers.delete(due);
      this.#nowMs = Math.max(this.#nowMs, due.atMs);
      due.callback();
    }
    this.#nowMs = endMs;
  }

  get timers(): number {
    return this.#timers.size;
  }
}

/** A device of memory; nothing is ever submitted to it. */
export function modelDevice(
  options: { sizeBytes?: number; blockSizeBytes?: number } = {},
): Promise<MallocDevice> {
  const reactor = new Reactor({ id: 0, io: new FakeWorld({ seed: 1 }).process().io });
  return MallocDevice.open(reactor, {
    name: "/model",
    sizeBytes: options.sizeBytes ?? 1024 * 1024,
    blockSizeBytes: options.blockSizeBytes ?? 512,
    instanceId: "11111111-2222-4333-8444-555555555555",
  });
}

/** A completion; null fields: not yet. */
export class ModelCommand implements SlowCommand {
  readonly sqe = new Sqe();
  readonly queue: ModelLink;
  data: Uint8Array = new Uint8Array(0);
  replyBytesMax = 0;
  /** Null: not answered. */
  status: number | null = null;
  dw0 = 0;
  dw1 = 0;
  reply: Uint8Array = new Uint8Array(0);

  constructor(queue: ModelLink) {
    this.queue = queue;
  }

  complete(status: number, dw0 = 0, data?: Uint8Array, dw1 = 0): void {
    assert(this.status === null, "a command is answered once");
    assert((data?.length ?? 0) <= this.replyBytesMax, "an answer fits");
    this.status = status;
    this.dw0 = dw0;
    this.dw1 = dw1;
    if (data !== undefined) this.reply = data;
  }

  /** SCT and SC; -1: not answered. */
  get code(): number {
    return this.status === null ? -1 : codeOf(this.status);
  }
}

export class ModelLink implements QueueLink {
  readonly peer: string;
  readonly listener: string;
  commandsInFlight = 0;
  place: QueuePlace | null = null;
  endedBy: string | null = null;
  /** Cids that `abort` finds. */
  readonly abortable = new Set<number>();
  readonly settling: (() => void)[] = [];
  readonly #subsystem: SubsystemTarget;
  #isClosed = false;

  constructor(subsystem: SubsystemTarget, peer: string, listener: string) {
    this.#subsystem = subsystem;
    this.peer = peer;
    this.listener = listener;
  }

  attach(place: QueuePlace): void {
    assert(this.place === null, "a link is attached once");
    this.place = place;
  }

  end(reason: string): void {
    this.endedBy ??= reason;
  }

  abort(cid: number): boolean {
    return this.abortable.delete(cid);
  }

  settle(_nsid: number, done: () => void): void {
    if (this.commandsInFlight === 0) done();
    else this.settling.push(done);
  }

  /** Its last command has ended, the connection is closed. */
  close(): void {
    assert(!this.#isClosed, "a link closes once");
    this.#isClosed = true;
    this.#subsystem.queueEnded(this);
  }

  get controller(): ControllerFace {
    assert(this.place !== null, "the link was attached");
    return this.place.controller;
  }
}

export interface ModelHostOptions {
  readonly nqn?: string;
  readonly id?: string;
  readonly peer?: string;
  readonly listener?: string;
}

export class ModelHost {
  readonly #subsystem: SubsystemTarget;
  readonly #options: ModelHostOptions;
  admin: ModelLink;

  constructor(subsystem: SubsystemTarget, options: ModelHostOptions = {}) {
    this.#subsystem = subsystem;
    this.#options = options;
    this.admin = this.link();
  }

  get hostId(): string {
    return this.#options.id ?? "00000000-0000-4000-8000-000000000001";
  }

  link(): ModelLink {
    const { peer = "192.0.2.1", listener = "tcp:192.0.2.9:4420" } = this.#options;
    return new ModelLink(this.#subsystem, peer, listener);
  }

  /** A Connect on a new link; the admin queue's unless `connect.qid` says otherwise. */
  connect(connect: Partial<ConnectCommand> = {}, data: Partial<ConnectData> = {}): ModelCommand {
    const link = this.link();
    if ((connect.qid ?? 0) === 0) this.admin = link;
    const command = new ModelCommand(link);
    encodeConnect(
      { recordFormat: 0, qid: 0, queueSize: 32, attributes: 0, keepAliveMs: 0, ...connect },
      command.sqe,
    );
    command.data = encodeConnectData({
      hostId: this.hostId,
      cntlid: CNTLID_DYNAMIC,
      subsystemNqn: this.#subsystem.nqn,
      hostNqn: this.#options.nqn ?? "nqn.2026-11.test:host",
      ...data,
    });
    this.#subsystem.connect(command);
    return command;
  }

  /** Connected and enabled. */
  start(keepAliveMs = 0): this {
    const connected = this.connect({ keepAliveMs });
    assert(connected.status === 0, `connected: ${connected.status}`);
    assert(this.configure({ enable: true }).status === 0, "enabled");
    return this;
  }

  get cntlid(): number {
    return this.controller.cntlid;
  }

  get controller(): ControllerFace {
    return this.admin.controller;
  }

  connectIo(qid: number, connect: Partial<ConnectCommand> = {}): ModelCommand {
    return this.connect({ qid, ...connect }, { cntlid: this.cntlid });
  }

  configure(fields: { enable?: boolean; shutdown?: number; sqeShift?: number }): ModelCommand {
    const { enable = true, shutdown = 0, sqeShift = 6 } = fields;
    const value = encodeConfiguration({
      enable,
      commandSet: 0,
      memoryPageShift: 0,
      arbitration: 0,
      shutdown,
      sqeShift,
      cqeShift: 4,
      readyIndependentOfMedia: false,
    });
    return this.do((sqe) => encodePropertySet(PropertyOffset.configuration, value, sqe));
  }

  property(offset: number, sizeBytes: 4 | 8 = 4): ModelCommand {
    return this.do((sqe) => encodePropertyGet(offset, sizeBytes, sqe));
  }

  /** An admin command without data, or with room for `sglLength` bytes. */
  do(fill: (sqe: Sqe) => void, data?: Uint8Array): ModelCommand {
    return run(this.admin, fill, data, (command) => this.controller.admin(command));
  }

  /** An admin command by its opcode. */
  plain(opcode: number, nsid = 0, fill: (sqe: Sqe) => void = () => undefined): ModelCommand {
    return this.do((sqe) => {
      beginAdmin(opcode, nsid, 0, sqe);
      fill(sqe);
    });
  }

  /** A slow command on an I/O queue. */
  io(link: ModelLink, fill: (sqe: Sqe) => Uint8Array | undefined): ModelCommand {
    const command = new ModelCommand(link);
    const data = fill(command.sqe);
    if (data === undefined) command.replyBytesMax = command.sqe.sglLength;
    else command.data = data;
    link.controller.ioSlow(command);
    return command;
  }
}

function run(
  link: ModelLink,
  fill: (sqe: Sqe) => void,
  data: Uint8Array | undefined,
  give: (command: SlowCommand) => void,
): ModelCommand {
  const command = new ModelCommand(link);
  fill(command.sqe);
  if (data === undefined) command.replyBytesMax = command.sqe.sglLength;
  else command.data = data;
  give(command);
  return command;
}
