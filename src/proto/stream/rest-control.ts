/**
 * RestControl: decides whether a connection puts its next receive off for some microseconds, so
 * that one receive and one send serve several commands. Pure: it is told what came.
 *
 * A client with many requests on their way, which sends them one by one as replies come in, loses
 * nothing when a few of its replies are a little late: it has others to work on. One with few
 * requests on their way would wait for us, and so would one that sends several at once, as answers
 * come in several at once: it and we work at the same time, on different batches, until somebody
 * rests. How many there are shows in the largest receives: after any hiccup all arrive at once.
 *
 * An initiator rests for the same reasons, on the answers of its server. It knows how many commands
 * it has on their way.
 */

/** The fewest requests on their way with which a rest holds up nobody. */
const DEPTH_MIN = 8;
/** Receives that usually bring more than this share of them are batches, without resting. */
const BATCH_SHARE = 1 / 4;
/** While resting, at most this share of them gathers here. */
const HELD_SHARE = 1 / 4;
/** An ordinary client sends a request about this often, in milliseconds. */
const CLIENT_MS_PER_COMMAND = 0.008;
const REST_MS_MAX = 0.03;

const BATCH_WEIGHT = 1 / 16;
/** How fast a depth is forgotten that does not show again, per receive. */
const DEPTH_DECAY = 1 / 4096;

export class RestControl {
  /** Commands that a receive usually brings. */
  #batch = 1;
  /** Requests that the client seems to have on their way at most. */
  #depth = 1;

  /** A receive has brought `commands`. @returns how long to rest before the next, ms. Hot path. */
  received(commands: number): number {
    this.#batch += (commands - this.#batch) * BATCH_WEIGHT;
    this.#depth = Math.max(commands, this.#depth - this.#depth * DEPTH_DECAY);
    return this.#restMs(this.#depth);
  }

  /**
   * For the other side: a receive has brought the answers to `answered` of our own commands, and
   * `left` are still with the server. @returns how long to rest before the next, ms. Hot path.
   */
  answered(answered: number, left: number): number {
    this.#batch += (answered - this.#batch) * BATCH_WEIGHT;
    return this.#restMs(answered + left);
  }

  // hot path
  #restMs(depth: number): number {
    if (depth < DEPTH_MIN || this.#batch > depth * BATCH_SHARE) return 0;
    return Math.min(depth * HELD_SHARE * CLIENT_MS_PER_COMMAND, REST_MS_MAX);
  }
}
