/**
 * PoolModel: what the listings of a pool may say, the dumb way. Per name (of a volume, or of the
 * pool itself) it holds all states that may be there; nothing of it is in flight.
 *
 * A change that has begun may have happened from then on. One that was acknowledged has, for good;
 * one that was refused has not; and of one whose answer never came (its process died) both are
 * right until the pool has been seen again: what was seen then stays.
 */

import { assert } from "../util/assert.ts";

/** Plain JSON; null: there is no such thing. */
export type ModelState = Readonly<Record<string, unknown>> | null;

/** A change under way. It ends once, by one of the three. */
export interface ModelChange {
  acknowledged(): void;
  refused(): void;
  /** Nobody can tell any more: the next look decides. */
  unanswered(): void;
}

export class PoolModel<T extends ModelState> {
  /** By name: texts of all states that are possible. A name that is missing is surely absent. */
  readonly #possible = new Map<string, ReadonlySet<string>>();
  readonly #changing = new Set<string>();

  /** Names of which something is known, other than that there is none. */
  get names(): string[] {
    return [...this.#possible.keys()];
  }

  /** All states that `name` may be in. */
  possible(name: string): readonly (T | null)[] {
    return [...this.#textsOf(name)].map((text) => JSON.parse(text) as T | null);
  }

  /** One change of a name at a time. @param change pure */
  begin(name: string, change: (state: T | null) => T | null): ModelChange {
    assert(!this.#changing.has(name), `one change of ${name} at a time`);
    this.#changing.add(name);
    const before = this.#textsOf(name);
    const after = new Set([...before].map((text) => textOf(change(JSON.parse(text) as T | null))));
    this.#possible.set(name, new Set([...before, ...after]));
    const end = (texts: ReadonlySet<string> | null): void => {
      assert(this.#changing.delete(name), `a change of ${name} ends once`);
      if (texts !== null) this.#keep(name, texts);
    };
    return {
      acknowledged: () => end(after),
      refused: () => end(before),
      unanswered: () => end(null),
    };
  }

  /**
   * This is there now, as somebody has seen after all changes had ended or could not go on any
   * more. From now on it is all that is possible.
   * @returns what is wrong with it, one sentence each
   */
  seen(states: ReadonlyMap<string, T>): string[] {
    assert(this.#changing.size === 0, "nothing changes while all is looked at");
    const problems: string[] = [];
    for (const name of new Set([...this.#possible.keys(), ...states.keys()])) {
      const text = textOf(states.get(name) ?? null);
      const possible = this.#textsOf(name);
      if (!possible.has(text)) {
        problems.push(`${name} is ${text}; it may have been ${[...possible].join(" or ")}`);
      }
      this.#keep(name, new Set([text]));
    }
    return problems;
  }

  /** Nothing of it is there any more, and everybody knows. */
  forget(): void {
    assert(this.#changing.size === 0, "nothing changes while all is lost");
    this.#possible.clear();
  }

  #textsOf(name: string): ReadonlySet<string> {
    return this.#possible.get(name) ?? ABSENT;
  }

  #keep(name: string, texts: ReadonlySet<string>): void {
    if (texts.size === 1 && texts.has("null")) this.#possible.delete(name);
    else this.#possible.set(name, texts);
  }
}

const ABSENT: ReadonlySet<string> = new Set(["null"]);

/** Equal for equal states, whatever the order of their keys. */
function textOf(state: ModelState): string {
  return JSON.stringify(state, (_key, value: unknown) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
    const entries = Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1));
    return Object.fromEntries(entries);
  });
}
