/**
 * What blocks of a version (volume or snapshot) may hold: the dumb model of scenario `snapshot`.
 *
 * A block's content is a number; 0: zeroes. A Cell is a content that several versions share: what
 * a read has shown of one of them holds for all.
 */

/** Contents that a read may show; one after the first read. */
export class Cell {
  values: number[];

  constructor(values: readonly number[]) {
    this.values = [...new Set(values)];
  }

  settle(found: number, what: string): void {
    if (!this.values.includes(found)) {
      throw new Error(`${what} holds ${found}; it may hold ${this.values.join(" or ")}`);
    }
    this.values = [found];
  }
}

const ZEROES = new Cell([0]);

/** A content that was replaced, and may come back with a power loss. */
interface Older {
  readonly value: number;
  /** Of the change that replaced it. */
  readonly change: number;
}

/** A snapshot that is being taken while its volume changes. */
export interface Taking {
  /** Per block: contents that came or went meanwhile; undefined: none did. */
  readonly seen: (number[] | undefined)[];
}

export class VersionHistory {
  readonly cells: Cell[];
  readonly #older: Older[][];
  /** Being written: its value. */
  readonly #pending: (number | undefined)[];
  readonly #takings = new Set<Taking>();
  #changes = 0;

  constructor(cells: readonly Cell[]) {
    this.cells = [...cells];
    this.#older = cells.map(() => []);
    this.#pending = cells.map(() => undefined);
  }

  static empty(blocks: number): VersionHistory {
    return new VersionHistory(new Array<Cell>(blocks).fill(ZEROES));
  }

  get blocks(): number {
    return this.cells.length;
  }

  /** Of changes that have ended: for `flushed`. */
  get changes(): number {
    return this.#changes;
  }

  isBusy(first: number, count: number): boolean {
    return this.#pending.slice(first, first + count).some((value) => value !== undefined);
  }

  begin(first: number, count: number, value: number): void {
    for (let block = first; block < first + count; block++) {
      this.#pending[block] = value;
      for (const { seen } of this.#takings) {
        const values = seen[block] ?? [...this.#cell(block).values];
        values.push(value);
        seen[block] = values;
      }
    }
  }

  /** @param isDurable it was written with FUA */
  end(first: number, count: number, isDurable: boolean): void {
    this.#changes++;
    for (let block = first; block < first + count; block++) {
      const value = this.#pending[block] ?? 0;
      const older = this.#older[block] as Older[];
      if (isDurable) older.length = 0;
      else older.push(...this.#replaced(block));
      this.cells[block] = new Cell([value]);
      this.#pending[block] = undefined;
    }
  }

  /** A change that has failed: either content. */
  fail(first: number, count: number): void {
    for (let block = first; block < first + count; block++) {
      this.cells[block] = new Cell([...this.#cell(block).values, this.#pending[block] ?? 0]);
      this.#pending[block] = undefined;
    }
  }

  /** A flush has ended that began after so many changes. */
  flushed(changes: number): void {
    for (const [block, older] of this.#older.entries()) {
      this.#older[block] = older.filter(({ change }) => change > changes);
    }
  }

  take(): Taking {
    const seen = this.#pending.map((value, block) => {
      return value === undefined ? undefined : [...this.#cell(block).values, value];
    });
    const taking = { seen };
    this.#takings.add(taking);
    return taking;
  }

  /** @returns what the snapshot holds */
  taken(taking: Taking): VersionHistory {
    this.#takings.delete(taking);
    const cells = taking.seen.map((values, block) => {
      return values === undefined ? this.#cell(block) : new Cell(values);
    });
    return new VersionHistory(cells);
  }

  /** @returns what a snapshot holds whose making was not answered */
  unsure(taking: Taking): VersionHistory {
    this.#takings.delete(taking);
    const cells = this.cells.map((cell, block) => {
      const older = (this.#older[block] as Older[]).map(({ value }) => value);
      return new Cell([...older, ...cell.values, ...(taking.seen[block] ?? [])]);
    });
    return new VersionHistory(cells);
  }

  /** The pool has come back: what it shows is durable. */
  settled(): void {
    for (const older of this.#older) older.length = 0;
  }

  /** The pool's process is gone. */
  lost(how: "power" | "kill" | "none"): void {
    for (const [block, older] of this.#older.entries()) {
      const pending = this.#pending[block];
      const values = [...this.#cell(block).values];
      if (how === "power") values.push(...older.map(({ value }) => value));
      if (pending !== undefined) values.push(pending);
      if (values.length > this.#cell(block).values.length) this.cells[block] = new Cell(values);
      this.#pending[block] = undefined;
    }
    this.#takings.clear();
  }

  /** Blocks that are cut off are gone; new ones are zeroes. */
  resize(blocks: number): void {
    while (this.cells.length > blocks) {
      this.cells.pop();
      this.#older.pop();
      this.#pending.pop();
    }
    while (this.cells.length < blocks) {
      this.cells.push(ZEROES);
      this.#older.push([]);
      this.#pending.push(undefined);
    }
  }

  /** It holds what it held, or that. */
  mayBe(cells: readonly Cell[]): void {
    for (const [block, cell] of this.cells.entries()) {
      this.cells[block] = new Cell([...cell.values, ...(cells[block]?.values ?? [0])]);
    }
  }

  settle(block: number, found: number, what: string): void {
    this.#cell(block).settle(found, `block ${block} of ${what}`);
  }

  #replaced(block: number): Older[] {
    return this.#cell(block).values.map((value) => ({ value, change: this.#changes }));
  }

  #cell(block: number): Cell {
    return this.cells[block] as Cell;
  }
}
