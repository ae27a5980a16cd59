/** Connections that come and go: the same short life again and again, several at once. */

export interface CycleOptions {
  /** A multiple of `atOnce`. */
  readonly count: number;
  readonly atOnce: number;
}

/** Each batch begins when the one before it has ended. */
export async function cycles(
  { count, atOnce }: CycleOptions,
  cycle: () => Promise<void>,
): Promise<void> {
  for (let done = 0; done < count; done += atOnce) {
    await Promise.all(Array.from({ length: atOnce }, cycle));
  }
}
