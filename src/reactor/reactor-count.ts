/**
 * How many reactors a process may have: numbers that are unique in a process are made of theirs.
 */

/** More than any machine's cores that this was measured on; each has its buffers and its ring. */
export const REACTOR_COUNT_MAX = 64;
