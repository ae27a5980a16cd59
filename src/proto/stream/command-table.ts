/**
 * CommandTable: the commands of one connection that the server has, by the number that it repeats
 * in its answers: the place in the table and how often places have been used, so that no late
 * answer fits a newer command.
 */

import { assert } from "../../util/assert.ts";

/** Places are this many low bits of a number. */
const INDEX_BITS = 8;
/** A table never has more places. */
export const COMMAND_TABLE_MAX: number = 2 ** INDEX_BITS;

export interface Tabled {
  /** Place in the connection's table; -1 while it is not with the server. */
  index: number;
  /** The number that the server repeats. */
  cookie: number;
  /** The last of the answer has come. */
  isAnswered: boolean;
}

export class CommandTable<C extends Tabled> {
  count = 0;
  readonly #limit: number;
  readonly #mask: number;
  readonly #slots: (C | null)[] = [];
  readonly #free: number[] = [];
  #uses = 0;

  /**
   * @param limit places, at most COMMAND_TABLE_MAX
   * @param mask bits that a number may have: the low eight and more
   */
  constructor(limit: number, mask: number) {
    assert(limit > 0 && limit <= COMMAND_TABLE_MAX, "a table has 1 to 256 places");
    this.#limit = limit;
    this.#mask = mask;
  }

  get isFull(): boolean {
    return this.count === this.#limit;
  }

  /** Places that are free. Hot path. */
  get room(): number {
    return this.#limit - this.count;
  }

  /** Gives it a number. Hot path. */
  add(command: C): void {
    assert(command.index === -1 && !this.isFull, "a command is with the server once");
    const index = this.#free.pop() ?? this.#slots.length;
    this.#uses = (this.#uses + 1) | 0;
    command.index = index;
    command.cookie = ((this.#uses << INDEX_BITS) | index) & this.#mask;
    this.#slots[index] = command;
    this.count++;
  }

  /** The command that an answer with this number is for, or null. Hot path. */
  find(cookie: number): C | null {
    const found = this.#slots[cookie & (COMMAND_TABLE_MAX - 1)] ?? null;
    if (found === null || found.cookie !== cookie) return null;
    return found.isAnswered ? null : found;
  }

  // hot path
  remove(command: C): void {
    assert(this.#slots[command.index] === command, "only a command of the table leaves it");
    this.#slots[command.index] = null;
    this.#free.push(command.index);
    command.index = -1;
    this.count--;
  }

  /** Takes any of them out, or null. */
  takeAny(): C | null {
    for (const command of this.#slots) {
      if (command === null) continue;
      this.remove(command);
      return command;
    }
    return null;
  }
}
