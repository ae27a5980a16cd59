/**
 * A dumb model of one namespace's reservations: what the specification's text says, step by step,
 * with lists and no cleverness, to compare the real one with.
 *
 * spec: NVMe Base 2.0 8.19, figure "command behaviour in the presence of a reservation"
 */

export interface ModelReservationCommand {
  readonly kind: "register" | "acquire" | "release";
  readonly host: string;
  readonly action: number;
  readonly ignoreKey: boolean;
  readonly type: number;
  /** CRKEY. */
  readonly current: bigint;
  /** NRKEY or PRKEY. */
  readonly other: bigint;
}

export type ModelResult = "ok" | "conflict" | "invalid";

export interface ModelTold {
  readonly host: string;
  /** 1 registration preempted, 2 reservation released, 3 reservation preempted. */
  readonly what: number;
}

/** May a command: by type, of the holder, a registrant, a stranger: r reads, w writes. */
const TABLE: readonly (readonly [string, string, string])[] = [
  ["rw", "rw", "rw"],
  ["rw", "r", "r"],
  ["rw", "", ""],
  ["rw", "rw", "r"],
  ["rw", "rw", ""],
  ["rw", "rw", "r"],
  ["rw", "rw", ""],
];

export class ReservationModel {
  type = 0;
  generation = 0;
  keys: { host: string; key: bigint }[] = [];
  holders: string[] = [];
  told: ModelTold[] = [];

  may(host: string, access: "r" | "w"): boolean {
    const [holder, registrant, stranger] = TABLE[this.type] ?? ["", "", ""];
    const isRegistered = this.keys.some((each) => each.host === host);
    const column = this.holders.includes(host) ? holder : isRegistered ? registrant : stranger;
    return column.includes(access);
  }

  run(command: ModelReservationCommand): ModelResult {
    this.told = [];
    const { kind, action, host, current } = command;
    if (kind === "register") return this.#register(command);
    const isKnown = kind === "acquire" ? action <= 2 : action <= 1;
    if (!isKnown || command.ignoreKey) return "invalid";
    if (kind === "acquire" && (command.type < 1 || command.type > 6)) return "invalid";
    if (this.#keyOf(host) !== current) return "conflict";
    return kind === "acquire" ? this.#acquire(command) : this.#release(command);
  }

  #keyOf(host: string): bigint | undefined {
    return this.keys.find((each) => each.host === host)?.key;
  }

  #register({ action, host, current, other, ignoreKey }: ModelReservationCommand): ModelResult {
    const known = this.#keyOf(host);
    if (action > 2 || (action !== 1 && other === 0n)) return "invalid";
    if (action === 0) {
      if (known !== undefined && known !== other) return "conflict";
      if (known === undefined) this.keys.push({ host, key: other });
      if (this.type >= 5 && !this.holders.includes(host)) this.holders.push(host);
    } else {
      if (known === undefined || (!ignoreKey && known !== current)) return "conflict";
      if (action === 1) this.#remove(host, host);
      else this.keys = this.keys.map((each) => (each.host === host ? { host, key: other } : each));
    }
    this.generation++;
    return "ok";
  }

  #acquire(command: ModelReservationCommand): ModelResult {
    const { action, host, type, other } = command;
    if (action === 0) {
      if (this.type === 0) this.#hold(host, type);
      else if (!this.holders.includes(host) || this.type !== type) return "conflict";
      return "ok";
    }
    const before = this.type;
    if (before === 5 || before === 6) {
      if (other === 0n) {
        for (const victim of this.#others(host)) this.#preempted(victim);
        this.#hold(host, type);
        this.generation++;
        return "ok";
      }
    } else if (before !== 0) {
      if (other === 0n) return "invalid";
      if (this.#keyOf(this.holders[0] ?? "") === other) {
        for (const victim of this.#others(host)) {
          if (this.#keyOf(victim) === other) this.#preempted(victim);
        }
        this.#hold(host, type);
        if (type !== before) this.#tell(this.#others(host), 2);
        this.generation++;
        return "ok";
      }
    }
    const victims = this.keys.filter(({ key }) => key === other).map((each) => each.host);
    if (victims.length === 0) return "conflict";
    for (const victim of victims) {
      this.#remove(victim, host);
      if (victim !== host) this.#tell([victim], 1);
    }
    this.generation++;
    return "ok";
  }

  #release({ action, host, type }: ModelReservationCommand): ModelResult {
    if (action === 1) {
      this.#tell(this.#others(host), 3);
      this.keys = [];
      this.#end();
      this.generation++;
      return "ok";
    }
    if (!this.holders.includes(host)) return "ok";
    if (type !== this.type) return "invalid";
    if (type > 2) this.#tell(this.#others(host), 2);
    this.#end();
    return "ok";
  }

  /** A holder that takes over from another. */
  #preempted(victim: string): void {
    this.keys = this.keys.filter((each) => each.host !== victim);
    this.#tell([victim], 1);
  }

  #remove(host: string, actor: string): void {
    this.keys = this.keys.filter((each) => each.host !== host);
    if (!this.holders.includes(host)) return;
    this.holders = this.holders.filter((each) => each !== host);
    if (this.holders.length > 0) return;
    if (this.type > 2) this.#tell(this.#others(actor), 2);
    this.#end();
  }

  #hold(host: string, type: number): void {
    this.type = type;
    this.holders = type >= 5 ? this.keys.map((each) => each.host) : [host];
  }

  #end(): void {
    this.type = 0;
    this.holders = [];
  }

  #others(host: string): string[] {
    return this.keys.map((each) => each.host).filter((each) => each !== host);
  }

  #tell(hosts: readonly string[], what: number): void {
    for (const host of hosts) this.told.push({ host, what });
  }
}
