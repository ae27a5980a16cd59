/**
 * HostTable: small numbers for the hosts that a subsystem has controllers of, so that a command's
 * check against a reservation is one look into an array. A number is used again when the last
 * controller of its host has gone.
 */

import { assert } from "../../util/assert.ts";
import type { HostId } from "./reservation-rules.ts";

export class HostTable {
  /** By index; null: nobody's. */
  readonly hosts: (HostId | null)[] = [];
  readonly #controllers: number[] = [];

  /** A controller of the host more. @returns its index */
  enter(host: HostId): number {
    const known = this.hosts.indexOf(host);
    const free = known >= 0 ? known : this.hosts.indexOf(null);
    const index = free >= 0 ? free : this.hosts.length;
    this.hosts[index] = host;
    this.#controllers[index] = (this.#controllers[index] ?? 0) + 1;
    return index;
  }

  /** One less; nothing of it is in flight any more. */
  leave(index: number): void {
    const count = this.#controllers[index] ?? 0;
    assert(count > 0, "a controller leaves once");
    this.#controllers[index] = count - 1;
    if (count === 1) this.hosts[index] = null;
  }
}
