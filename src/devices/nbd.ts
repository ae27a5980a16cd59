/**
 * NbdDevice: another machine's export as a source, `nbd://host:port/export`.
 *
 * What it does with requests while they wait, and when connections are lost, is `RemoteDevice`'s.
 * Here is how each operation becomes commands of NBD. A compare-and-write is alone on its range
 * among the users of this device: NBD has no such command.
 */

import { type DeviceInfo, modifies } from "../block/device.ts";
import { Operation, RequestFlag } from "../block/operation.ts";
import type { Request } from "../block/request.ts";
import type { SegmentList } from "../block/segments.ts";
import { Status } from "../block/status.ts";
import { Command, CommandFlag, NbdError } from "../proto/nbd/constants.ts";
import type { InitiatorCommand } from "../proto/nbd/initiator-command.ts";
import type { InitiatorSession } from "../proto/nbd/initiator-session.ts";
import { statusForError } from "../proto/nbd/status.ts";
import type { SocketAddress } from "../reactor/io.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { unreachable } from "../util/assert.ts";
import { Link, type LinkOwner, type LinkState } from "./nbd/link.ts";
import { NbdTask, Step } from "./nbd/task.ts";
import { describeExport, incompatibility, offers, operationsOf } from "./nbd/terms.ts";
import { outageTerms, type RemoteOptions } from "./remote/outage-terms.ts";
import { RemoteDevice, TICKS_PER_TIMEOUT } from "./remote/remote-device.ts";

export interface NbdOptions extends RemoteOptions {
  readonly address: SocketAddress;
  readonly exportName: string;
  readonly blockSizeBytes?: number;
  /** Connections where the server allows several; default 4. */
  readonly connections?: number;
}

/** What became of a device, for listings. */
export interface NbdCondition {
  readonly link: LinkState;
  readonly connections: number;
  /** Set for good: the device has to be opened again. */
  readonly fault: Status;
  readonly reason: string;
}

/** A block status asks for at most this; longer requests go in parts. */
const STATUS_BYTES_MAX = 1024 * 1024 * 1024;
/** Zeroing, too; a server that has to write all of it must be done well within the time-out. */
const ZERO_BYTES_MAX = 64 * 1024 * 1024;

export class NbdDevice extends RemoteDevice<NbdTask> implements LinkOwner {
  readonly #link: Link;
  #session: InitiatorSession;

  /**
   * Connects and agrees on terms.
   * @throws PenstockError of `Io.connect` and the handshake (`export-unknown`, `not-nbd`, ...),
   *   `connection-timeout`, `size-invalid`, `block-size-invalid`, `transfer-size-invalid`,
   *   `out-of-buffers`
   */
  static async open(reactor: Reactor, options: NbdOptions): Promise<NbdDevice> {
    const terms = outageTerms(options);
    const timeoutMs = terms.answerMsMax;
    const link = new Link({
      reactor,
      address: options.address,
      exportName: options.exportName,
      hostId: options.openingId,
      connections: options.connections ?? null,
      ...terms,
    });
    try {
      const session = await link.open();
      const info = describeExport(session, { ...options, instanceId: options.openingId });
      return new NbdDevice(reactor, info, { link, session, timeoutMs });
    } catch (error) {
      await link.close();
      throw error;
    }
  }

  private constructor(
    reactor: Reactor,
    info: DeviceInfo,
    parts: { readonly link: Link; readonly session: InitiatorSession; readonly timeoutMs: number },
  ) {
    super(reactor, info, operationsOf(parts.session), parts.timeoutMs);
    this.#link = parts.link;
    this.#session = parts.session;
    this.#link.owner = this;
  }

  get condition(): NbdCondition {
    return {
      link: this.#link.state,
      connections: this.#link.connectionCount,
      fault: this.fault,
      reason: this.faultReason === "" ? this.#link.reason : this.faultReason,
    };
  }

  // hot path
  ended(command: InitiatorCommand): void {
    const task = command as NbdTask; // the link carries no other commands
    const request = task.request as Request; // set while it is in use
    if (task.error !== NbdError.none) {
      this.#failed(task, request);
      return;
    }
    switch (task.step) {
      case Step.transfer:
        this.#changed(task, request);
        return;
      case Step.flush:
        if (request.operation === Operation.flush) this.ledger.flushed(task.cover);
        this.end(task, request, Status.ok);
        return;
      case Step.zero:
        task.done += task.length;
        if (task.done < request.length) this.issueAgain(task);
        else this.#changed(task, request);
        return;
      case Step.compareRead:
        this.#compare(task, request);
        return;
      case Step.status:
        if (task.endStatus()) this.end(task, request, Status.ok);
        else this.issueAgain(task);
        return;
      default:
        unreachable(task.step);
    }
  }

  linkDown(): void {
    for (const task of this.active) {
      if (!task.isSettled) task.restart();
    }
    if (this.isClosing) this.settleAll(Status.aborted);
  }

  linkUp(session: InitiatorSession): void {
    const before = this.#session;
    this.#session = session;
    this.continueWith({
      problem: incompatibility(this.info, session),
      // Without an instance id it may have been another process, or another boot.
      isSame: session.instanceId !== null && session.instanceId === before.instanceId,
      hadNoCache: before.instanceId !== null && before.volatileCache === false,
    });
  }

  linkLost(isTimeout: boolean): void {
    this.giveUpAll(isTimeout);
  }

  protected override newTask(): NbdTask {
    return new NbdTask();
  }

  protected override get isAway(): boolean {
    const { state } = this.#link;
    return state === "down" || state === "lost";
  }

  // hot path
  protected override get flushes(): boolean {
    return offers(this.#session, "sendFlush");
  }

  protected override waited(_task: NbdTask, ticks: number): void {
    if (ticks <= TICKS_PER_TIMEOUT || !this.#link.isUp) return;
    this.#link.fail(`no answer within ${this.timeoutMs} ms`, true);
  }

  protected override failLink(message: string): void {
    this.#link.fail(message);
  }

  protected override stopLooking(): void {
    this.#link.stopLooking();
  }

  protected override closeLink(): Promise<void> {
    return this.#link.close();
  }

  // hot path
  protected override issue(task: NbdTask): void {
    if (!this.#link.isUp) return;
    const request = task.request as Request; // set while it is in use
    switch (task.step) {
      case Step.transfer: {
        const isRead = request.operation === Operation.read;
        task.command = isRead ? Command.read : Command.write;
        task.flags = isRead ? 0 : this.#fuaFlag(request);
        // The second half of a compare-and-write's memory is what to write.
        const isSecond = request.operation === Operation.compareAndWrite;
        this.#sendData(task, request.segments, isSecond ? request.length : 0, request.length);
        return;
      }
      case Step.flush:
        this.#issueFlush(task, request);
        return;
      case Step.zero:
        this.#issueZero(task, request);
        return;
      case Step.compareRead:
        this.#issueCompare(task, request);
        return;
      case Step.status:
        this.#issueStatus(task, request);
        return;
      default:
        unreachable(task.step);
    }
  }

  /** The range of the request that is not done, or `length` of it, with data. Hot path. */
  #sendData(task: NbdTask, segments: SegmentList, start: number, length: number): void {
    const request = task.request as Request; // set while it is in use
    task.offset = request.offset + task.done;
    task.length = length;
    task.segments = segments;
    task.segmentStart = start;
    this.#link.submit(task);
  }

  #issueFlush(task: NbdTask, request: Request): void {
    if (request.operation === Operation.flush && this.ledger.mustReport(task.base, task.cover)) {
      this.settle(task, Status.dataLost);
      return;
    }
    if (!offers(this.#session, "sendFlush")) {
      // Without a flush of its own a server has nothing that needs one.
      this.settle(task, Status.ok);
      return;
    }
    task.command = Command.flush;
    task.flags = 0;
    task.offset = 0;
    task.length = 0;
    task.segments = null;
    this.#link.submit(task);
  }

  /** Discard and write-zeroes: by trimming, by zeroing, or by writing zeroes; the next part. */
  #issueZero(task: NbdTask, request: Request): void {
    const session = this.#session;
    const left = request.length - task.done;
    const isFast = (request.flags & RequestFlag.fastZero) !== 0;
    task.offset = request.offset + task.done;
    task.length = Math.min(left, ZERO_BYTES_MAX);
    task.segments = null;
    task.flags = this.#fuaFlag(request);
    if (request.operation === Operation.discard && this.#mayTrim(request)) {
      task.command = Command.trim;
    } else if (isFast && !offers(session, "sendFastZero")) {
      this.settle(task, Status.unsupported);
      return;
    } else if (offers(session, "sendWriteZeroes")) {
      task.command = Command.writeZeroes;
      if ((request.flags & RequestFlag.noUnmap) !== 0) task.flags |= CommandFlag.noHole;
      if (isFast) task.flags |= CommandFlag.fastZero;
    } else {
      task.command = Command.write;
      task.length = Math.min(left, this.info.maxTransferBytes);
      task.segments = this.zeroMemory();
      task.segmentStart = 0;
    }
    this.#link.submit(task);
  }

  /** Ours zero what they trim, but whole blocks of theirs only, of at most the preferred size. */
  #mayTrim(request: Request): boolean {
    const { instanceId, preferredBlockBytes } = this.#session;
    if (instanceId === null || !offers(this.#session, "sendTrim")) return false;
    return request.offset % preferredBlockBytes === 0 && request.length % preferredBlockBytes === 0;
  }

  /** Reads what is to be compared, as much of it as there is memory for; the next part. */
  #issueCompare(task: NbdTask, request: Request): void {
    const length = this.acquireBounce(task, request.length - task.done);
    if (length === 0) return;
    task.command = Command.read;
    task.flags = 0;
    this.#sendData(task, task.bounceSegments, 0, length);
  }

  #issueStatus(task: NbdTask, request: Request): void {
    task.offset = request.offset + task.done;
    task.length = Math.min(request.length - task.done, STATUS_BYTES_MAX);
    task.segments = null;
    task.beginStatus();
    if (this.#session.allocationContext === null) {
      task.length = request.length;
      task.extent(request.length, 0);
      this.settle(task, Status.ok);
      return;
    }
    const isOne = (request.flags & RequestFlag.oneExtent) !== 0;
    task.command = Command.blockStatus;
    task.flags = isOne ? CommandFlag.reqOne : 0;
    this.#link.submit(task);
  }

  #compare(task: NbdTask, request: Request): void {
    const equal = this.equalBytes(task, request, task.done);
    task.done += equal;
    if (equal < task.length) {
      request.errorOffset = request.offset + task.done;
      this.end(task, request, Status.compareFailed);
    } else if (task.done < request.length) {
      this.issueAgain(task);
    } else if (request.operation === Operation.compare) {
      this.end(task, request, Status.ok);
    } else {
      task.hasCompared = true;
      task.done = 0;
      task.step = Step.transfer;
      this.issueAgain(task);
    }
  }

  /** All data is there, or everything is changed; durable too, if that was asked. Hot path. */
  #changed(task: NbdTask, request: Request): void {
    const isDurable = request.operation !== Operation.read && this.wantsFua(request);
    if (!isDurable || offers(this.#session, "sendFua")) {
      this.end(task, request, Status.ok);
      return;
    }
    task.step = Step.flush;
    this.issueAgain(task);
  }

  #failed(task: NbdTask, request: Request): void {
    if (task.error === NbdError.eshutdown) {
      // Not done, says the server, and that it goes: the same as if it had gone already.
      this.#link.fail("the server is shutting down");
      return;
    }
    const status = statusForError(task.error);
    if (status === Status.mediaError) {
      request.errorOffset = task.errorOffset < 0 ? request.offset + task.done : task.errorOffset;
    }
    const isFlush = task.step === Step.flush;
    const isDurable = modifies(request.operation) && this.wantsFua(request);
    // Safety rule 2: what failed to get to the medium once is not retried into success.
    if (isFlush || (isDurable && status === Status.mediaError)) {
      this.setFault(status, "the server could not make writes durable");
    }
    this.end(task, request, status);
  }

  // hot path
  #fuaFlag(request: Request): number {
    return this.wantsFua(request) && offers(this.#session, "sendFua") ? CommandFlag.fua : 0;
  }
}
