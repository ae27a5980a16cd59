/**
 * ProxyDevice: a device of another reactor, used from this one. Its requests go as records through
 * a shared ring to the `ProxyServer` beside the real device; data stays where it is, in slabs that
 * all threads see.
 *
 *   open --close(), drained--> `end` sent --`ended`--> closed
 *     `leaving` arrives: the owner goes; later requests: not-ready; `end` sent
 *
 * A reactor's thread that dies takes the process with it (ARCHITECTURE), so nothing waits in vain.
 * In flight: at most PROXY_IN_FLIGHT_MAX requests at the server, each in a slot; the rest waits
 * here in its order (a list through the requests themselves, so its bound is the submitters').
 */

import { BellPush } from "../reactor/doorbell.ts";
import { ChannelReader, ChannelWriter, type RecordSink } from "../reactor/channel.ts";
import type { Flushable, Poller, Reactor } from "../reactor/reactor.ts";
import { assert } from "../util/assert.ts";
import { PenstockError } from "../util/errors.ts";
import { Device } from "./device.ts";
import type { ExtentList } from "./extents.ts";
import { Operation, RequestFlag } from "./operation.ts";
import type { Request } from "./request.ts";
import {
  DONE_WORDS,
  EXTENT_WORDS,
  EXTENTS_WORDS,
  type DeviceTicket,
  getDouble,
  OwnerWord,
  PROXY_IN_FLIGHT_MAX,
  putDouble,
  REQUEST_WORDS,
  SEGMENT_WORDS,
  TicketState,
  UserWord,
} from "./proxy-wire.ts";
import { Status } from "./status.ts";

/**
 * Opens the device that `ticket` is for, on `reactor`'s thread. Closing the proxy does not close
 * the device.
 * @throws PenstockError `not-ready` when the ticket was withdrawn, or opened before
 */
export function openProxy(reactor: Reactor, ticket: DeviceTicket): ProxyDevice {
  const { offered, opened } = TicketState;
  const before = Atomics.compareExchange(new Int32Array(ticket.state), 0, offered, opened);
  if (before !== offered) {
    const what = before === opened ? "is in use already" : "is not served any more";
    throw new PenstockError({ code: "not-ready", message: `${ticket.info.name} ${what}` });
  }
  return new ProxyDevice(reactor, ticket);
}

export class ProxyDevice extends Device implements Poller, Flushable, RecordSink {
  isDirty = false;
  readonly #requests: ChannelWriter;
  readonly #answers: ChannelReader;
  readonly #bell: BellPush;
  /** By slot; null while the slot is free. */
  readonly #slots: (Request | null)[] = [];
  /** By slot: counts its uses: an answer must be for the request that is in its slot now. */
  readonly #generations = new Int32Array(PROXY_IN_FLIGHT_MAX);
  readonly #freeSlots: number[] = [];
  /** Requests that wait for a slot or for room in the ring, oldest first. */
  #waitingFirst: Request | null = null;
  #waitingLast: Request | null = null;
  /** What a request gets that cannot be sent any more; ok while it can. */
  #refusal: Status = Status.ok;
  #ringWanted = false;
  #endWanted = false;
  #endSent = false;
  #ended = false;
  #onEnded: (() => void) | null = null;

  /** Use `openProxy`. */
  constructor(reactor: Reactor, ticket: DeviceTicket) {
    super(reactor, { ...ticket.info, lendsReads: false }, ticket.operations);
    this.#requests = new ChannelWriter(ticket.requests);
    this.#answers = new ChannelReader(ticket.answers);
    this.#bell = new BellPush(reactor.io, ticket.doorbell);
    this.#sayHello();
    reactor.addPoller(this);
  }

  // hot path
  protected override start(request: Request): void {
    if (this.#refusal !== Status.ok) {
      this.reactor.completions.push(request, this.#refusal);
      return;
    }
    if (this.#waitingFirst === null && this.#send(request)) return;
    request.next = null;
    if (this.#waitingLast === null) this.#waitingFirst = request;
    else this.#waitingLast.next = request;
    this.#waitingLast = request;
  }

  protected override async release(): Promise<void> {
    this.#sendEnd();
    if (this.#ended) return;
    await new Promise<void>((resolve) => {
      this.#onEnded = resolve;
    });
  }

  /** Shows the server what this turn has sent, and wakes it once. Hot path. */
  flush(): void {
    if (!this.#requests.publish() && !this.#ringWanted) return;
    this.#ringWanted = false;
    this.#bell.ring();
  }

  // hot path
  poll(): boolean {
    const worked = this.#answers.read(this) > 0;
    if (this.#answers.writerWaits()) {
      this.#ringWanted = true;
      this.reactor.markDirty(this);
    }
    while (this.#waitingFirst !== null && this.#send(this.#waitingFirst)) this.#dropFirst();
    if (this.#endWanted && !this.#endSent) this.#sendEnd();
    return worked;
  }

  // hot path
  record(words: Int32Array, at: number, length: number): void {
    switch (words[at]) {
      case OwnerWord.done:
        this.#finish(words, at, length);
        break;
      case OwnerWord.extents:
        this.#addExtents(words, at, length);
        break;
      case OwnerWord.leaving:
        this.#refuse(Status.notReady);
        this.#sendEnd();
        break;
      default:
        assert(words[at] === OwnerWord.ended, "the server speaks our language");
        this.#end();
    }
  }

  /** False when there is no slot or no room now: an answer, or the server, will ring. Hot path. */
  #send(request: Request): boolean {
    const slot = this.#takeSlot();
    if (slot < 0) return false;
    const { segments } = request;
    const { count } = segments;
    const channel = this.#requests;
    let at = channel.reserve(REQUEST_WORDS + count * SEGMENT_WORDS);
    if (at < 0) {
      this.#freeSlots.push(slot);
      return false;
    }
    this.#slots[slot] = request;
    const { words } = channel;
    words[at] = request.operation;
    words[at + 1] = slot;
    words[at + 2] = this.#generations[slot] as number;
    words[at + 3] = request.flags & ~RequestFlag.mayLend;
    words[at + 4] = request.stream;
    putDouble(words, at + 5, request.offset);
    putDouble(words, at + 7, request.length);
    at += REQUEST_WORDS;
    for (let index = 0; index < count; index++, at += SEGMENT_WORDS) {
      words[at] = segments.slabId(index);
      words[at + 1] = segments.offset(index);
      words[at + 2] = segments.length(index);
    }
    if (request.operation === Operation.blockStatus) (request.extents as ExtentList).clear();
    this.reactor.markDirty(this);
    return true;
  }

  // hot path
  #finish(words: Int32Array, at: number, length: number): void {
    const request = this.#requestOf(words, at);
    if (length > DONE_WORDS) request.errorOffset = getDouble(words, at + DONE_WORDS);
    this.#freeSlot(words[at + 1] as number);
    request.finish(words[at + 3] as Status);
  }

  #addExtents(words: Int32Array, at: number, length: number): void {
    const extents = this.#requestOf(words, at).extents as ExtentList;
    const end = at + length;
    for (let from = at + EXTENTS_WORDS; from < end; from += EXTENT_WORDS) {
      extents.push(getDouble(words, from), words[from + 2] as number);
    }
  }

  /** The request that a record is about. Hot path. */
  #requestOf(words: Int32Array, at: number): Request {
    const slot = words[at + 1] as number;
    const request = this.#slots[slot] ?? null;
    const isNow = this.#generations[slot] === words[at + 2];
    assert(request !== null && isNow, "an answer is for the request in its slot");
    return request;
  }

  /** A slot for one use, or -1. Hot path. */
  #takeSlot(): number {
    const slot = this.#freeSlots.pop();
    if (slot !== undefined) return slot;
    if (this.#slots.length === PROXY_IN_FLIGHT_MAX) return -1;
    return this.#slots.push(null) - 1;
  }

  // hot path
  #freeSlot(slot: number): void {
    this.#slots[slot] = null;
    this.#generations[slot] = ((this.#generations[slot] as number) + 1) | 0;
    this.#freeSlots.push(slot);
  }

  #dropFirst(): void {
    const first = this.#waitingFirst as Request;
    this.#waitingFirst = first.next;
    first.next = null;
    if (this.#waitingFirst === null) this.#waitingLast = null;
  }

  /** Nothing is sent from now on: what waits, and what comes, finishes with `status`. */
  #refuse(status: Status): void {
    this.#refusal = status;
    while (this.#waitingFirst !== null) {
      const request = this.#waitingFirst;
      this.#dropFirst();
      this.reactor.completions.push(request, status);
    }
  }

  #sayHello(): void {
    const at = this.#requests.reserve(3);
    assert(at >= 0, "a new channel has room");
    const { words } = this.#requests;
    const { slabId, wakeHandle } = this.reactor.doorbell.address;
    words[at] = UserWord.hello;
    words[at + 1] = slabId;
    words[at + 2] = wakeHandle;
    this.reactor.markDirty(this);
  }

  /** Says, once and as soon as there is room, that no request follows. */
  #sendEnd(): void {
    this.#endWanted = true;
    if (this.#endSent || this.#ended) return;
    const at = this.#requests.reserve(1);
    if (at < 0) return;
    this.#requests.words[at] = UserWord.end;
    this.#endSent = true;
    this.reactor.markDirty(this);
  }

  /** The server is gone: this object hears nothing any more. */
  #end(): void {
    this.#ended = true;
    this.reactor.removePoller(this);
    if (this.#refusal === Status.ok) this.#refuse(Status.notReady);
    if (this.#onEnded !== null) this.reactor.deliverLater(this.#onEnded);
  }
}
