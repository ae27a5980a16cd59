/**
 * RequestBank: the requests of one send, as NBD writes them.
 */

import { InitiatorBank } from "../stream/initiator-bank.ts";
import { Command } from "./constants.ts";
import type { InitiatorCommand } from "./initiator-command.ts";
import { encodeRequest, RequestHeader, requestHeaderBytes, setOffset } from "./pdu-request.ts";

export class RequestBank extends InitiatorBank<InitiatorCommand> {
  #extended = false;
  #headerBytes: number = requestHeaderBytes(false);
  readonly #header = new RequestHeader();

  /** From now on requests have extended headers, or not. */
  setForm(extended: boolean): void {
    this.#extended = extended;
    this.#headerBytes = requestHeaderBytes(extended);
  }

  /** True while any one request still fits. Hot path. */
  get hasRoom(): boolean {
    return this.hasRoomFor(this.#headerBytes);
  }

  /** Adds a request, a write's data with it. Hot path. */
  add(command: InitiatorCommand): void {
    const header = this.#header;
    header.flags = command.flags;
    header.command = command.command;
    header.cookieHigh = 0;
    header.cookieLow = command.cookie;
    header.length = command.length;
    setOffset(header, command.offset);
    this.used += encodeRequest(this.slab.view, this.used, this.#extended, header);
    if (command.command !== Command.write || command.segments === null) return;
    this.pushData(command, command.segments, command.segmentStart, command.length);
  }

  /** The last request: nothing is answered. */
  addDisconnect(): void {
    const header = this.#header;
    header.flags = 0;
    header.command = Command.disconnect;
    header.cookieLow = 0;
    header.length = 0;
    setOffset(header, 0);
    this.used += encodeRequest(this.slab.view, this.used, this.#extended, header);
  }
}
