/**
 * NvmeTargetRig: one TargetConnection over a stream whose every receive and send ends when the test
 * says so, in front of a model that the test scripts.
 *
 * At the fake level. Owned by one test; the device is the test's.
 */

import assert from "node:assert/strict";
import type { Device } from "../block/device.ts";
import type { NvmeCommand } from "../proto/nvme/io-command.ts";
import { IoCounters } from "../proto/nvme/io-counters.ts";
import type {
  Access,
  CommandError,
  ControllerFace,
  NamespaceFace,
  QueueLink,
  SlowCommand,
  SubsystemTarget,
} from "../proto/nvme/transport.ts";
import { PduType } from "../proto/nvme-tcp/common.ts";
import { TargetConnection } from "../proto/nvme-tcp/target-connection.ts";
import type { TargetHost } from "../proto/nvme-tcp/target-link.ts";
import { ReceiveVectors } from "../proto/stream/receive-vectors.ts";
import { ReceiveWindow } from "../proto/stream/receive-window.ts";
import { SendBankPool } from "../proto/stream/send-bank.ts";
import { BUFFER_BYTES_MAX, BUFFER_BYTES_MIN, BufferReserve } from "../reactor/buffer-pool.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { ManualStream } from "./manual-stream.ts";
import { connectCapsule, icReq, type Incoming, type PduForm, takePdus } from "./nvme-pdus.ts";

export const RIG_NQN = "nqn.2026-11.io.penstock:rig";

/** A model of one subsystem with one controller and one namespace, which does what it is told. */
export class ScriptedModel implements SubsystemTarget, ControllerFace, NamespaceFace {
  readonly nqn = RIG_NQN;
  readonly device: Device;
  readonly counters = new IoCounters();
  readonly nsid = 1;
  readonly blockShift: number;
  readonly hostIndex = 0;
  readonly cntlid = 1;
  readonly hostNqn = "nqn.2026-11.io.penstock:test-host";
  readonly limits = {
    transferBytesMax: 1024 * 1024,
    inCapsuleBytesMax: 8192,
  };
  readonly slow: SlowCommand[] = [];
  readonly errors: CommandError[] = [];
  readonly ended: QueueLink[] = [];
  isReady = true;
  deadlineMs: number = Infinity;
  readOnly = false;
  pathStatus = 0;
  isReserved = false;
  refused: readonly Access[] = [];
  /** Of the next Connect. */
  qid = 1;
  entries = 32;
  hasSqFlowControl = true;
  link: QueueLink | null = null;

  constructor(device: Device) {
    this.device = device;
    this.blockShift = device.info.blockSizeBytes === 4096 ? 12 : 9;
  }

  get blocks(): number {
    return this.device.info.sizeBytes >> this.blockShift;
  }

  connect(command: SlowCommand): void {
    const { qid, entries, hasSqFlowControl } = this;
    this.link = command.queue;
    command.queue.attach({ controller: this, qid, entries, hasSqFlowControl });
    command.complete(0, 1);
  }

  queueEnded(link: QueueLink): void {
    this.ended.push(link);
  }

  namespaceOf(nsid: number): NamespaceFace | null {
    return nsid === this.nsid ? this : null;
  }

  admin(command: SlowCommand): void {
    this.slow.push(command);
  }

  ioSlow(command: SlowCommand): void {
    this.slow.push(command);
  }

  noteError(error: CommandError): void {
    this.errors.push(error);
  }

  overdue(): void {
    this.link?.end("overdue");
  }

  refuses(_hostIndex: number, access: Access): boolean {
    return this.refused.includes(access);
  }
}

export class NvmeTargetRig {
  readonly reactor: Reactor;
  readonly stream = new ManualStream();
  readonly model: ScriptedModel;
  readonly connection: TargetConnection;
  /** What the controller has said and `take` has not taken. */
  readonly incoming: Incoming[] = [];
  /** Why it has closed. */
  reason = "";
  /** The reactor that the connection was handed to. */
  handedTo = -1;
  /** What went with it. */
  unread: Uint8Array = new Uint8Array(0);
  /** As negotiated, to take replies apart. */
  form: PduForm & { readonly alignmentBytes?: number } = {};
  readonly #reserve: BufferReserve;
  readonly #reservedBytes: number;
  readonly #deviceBytes: number;
  #seenBytes = 0;

  constructor(device: Device) {
    const { reactor } = device;
    const { buffers, io } = reactor;
    this.#deviceBytes = buffers.heldBytes;
    const reserve = BufferReserve.create(buffers, BUFFER_BYTES_MAX);
    this.#reservedBytes = buffers.heldBytes;
    const buffer = buffers.acquire(BUFFER_BYTES_MIN);
    assert.ok(reserve !== null && buffer !== null);
    this.reactor = reactor;
    this.model = new ScriptedModel(device);
    this.#reserve = reserve;
    const host: TargetHost = {
      reactor,
      banks: new SendBankPool<NvmeCommand>(io),
      reserve,
      vectors: new ReceiveVectors(io),
      listener: "tcp:127.0.0.1:4420",
      handshakeMsMax: 1000,
      drainMsMax: 1000,
      findSubsystem: (nqn) =>
        nqn === RIG_NQN ? this.model : nqn === `${RIG_NQN}-elsewhere` ? 7 : null,
      handOff: (_connection, reactorId, _session, unread) => {
        this.handedTo = reactorId;
        this.unread = unread;
        return true;
      },
      connectionClosed: (_connection, reason) => {
        this.reason = reason;
      },
    };
    const window = new ReceiveWindow(buffers, buffer);
    this.connection = new TargetConnection({ host, stream: this.stream, window, peer: "10.0.0.1" });
    this.connection.start();
  }

  /** Initializes and connects a queue. */
  async connect(
    options: { readonly digests?: number; readonly alignment?: number } = {},
  ): Promise<void> {
    const { digests = 0, alignment = 0 } = options;
    await this.say(icReq({ digests, alignment }));
    assert.equal(this.take("ic").fields.digests, digests);
    this.form = {
      headerDigest: (digests & 1) !== 0,
      dataDigest: (digests & 2) !== 0,
      alignmentBytes: 4 * (alignment + 1),
    };
    const { qid, entries: queueSize } = this.model;
    await this.say(connectCapsule({ qid, queueSize, subsystemNqn: RIG_NQN, form: this.form }));
    const { cqe } = this.take("response");
    assert.equal(cqe.status, 0);
    assert.equal(cqe.dw0, 1);
  }

  /** The host's bytes arrive, in receives as large as there is room. */
  async say(...pdus: readonly Uint8Array[]): Promise<void> {
    let bytes = Buffer.concat(pdus);
    while (bytes.length > 0) {
      assert.ok(this.stream.isReceiving, "the target receives");
      const taken = Math.min(bytes.length, this.stream.receiveRoom);
      this.stream.deliver(bytes.subarray(0, taken));
      bytes = bytes.subarray(taken);
      await this.settle(2);
    }
  }

  /** The oldest PDU that has come; it must be of that kind. */
  take<K extends Incoming["kind"]>(kind: K): Extract<Incoming, { kind: K }> {
    const next = this.incoming.shift();
    const found = JSON.stringify(next)?.slice(0, 300);
    assert.equal(next?.kind, kind, `${found} instead of a PDU of kind ${kind}`);
    return next as Extract<Incoming, { kind: K }>;
  }

  /** The oldest PDU is a completion of that command; its status. */
  takeStatus(cid: number): number {
    const { cqe } = this.take("response");
    assert.equal(cqe.cid, cid);
    return cqe.status;
  }

  /** Lets `ms` of virtual time go by. */
  async settle(ms = 5): Promise<void> {
    const { clock } = this.reactor;
    const untilMs = clock.nowMs() + ms;
    do {
      if (this.stream.sendsByItself && this.stream.isSending) this.stream.endSend();
      await new Promise<void>((resolve) => void clock.startTimer(1, resolve));
    } while (clock.nowMs() < untilMs || (this.stream.sendsByItself && this.stream.isSending));
    const { pdus, taken } = takePdus(this.stream.sent.subarray(this.#seenBytes), this.form);
    this.#seenBytes += taken;
    this.incoming.push(...pdus);
  }

  /** The controller has said why, and has closed when the host has. */
  async expectTermination(fatalError: number, information: number): Promise<void> {
    await this.settle();
    const { fields, wrong } = this.take("term");
    assert.deepEqual(fields, { fatalError, information });
    assert.ok(wrong.length > 0 && wrong[0] !== PduType.c2hTermReq);
    assert.deepEqual(this.incoming, [], "nothing follows a C2HTermReq");
    await this.hangUp();
    this.finish();
  }

  /** The host ends its direction of the stream. */
  async hangUp(): Promise<void> {
    for (let round = 0; round < 10 && !this.stream.isClosed; round++) {
      if (this.stream.isReceiving) this.stream.endReceive(0);
      await this.settle();
    }
  }

  /** What of the pool is held beside the reserves. */
  get heldBytes(): number {
    return this.reactor.buffers.heldBytes - this.#reservedBytes;
  }

  /** The connection has closed: nothing may be left. */
  finish(): void {
    assert.ok(this.stream.isClosed, "the connection has closed");
    // A test that has closed the device has given its reserve back, too.
    const allBack = [0, -this.#deviceBytes];
    assert.ok(allBack.includes(this.heldBytes), `${this.heldBytes} bytes of buffers are not back`);
    assert.equal(this.connection.queue.commands.inFlight, 0);
    assert.equal(this.connection.queue.transfers.count, 0);
    if (this.model.link !== null) assert.deepEqual(this.model.ended, [this.model.link]);
    this.#reserve.close();
  }
}
